"""What a run answered to each test example: a small file in its folder, for whatever an accuracy does not tell."""

import io
import zipfile
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Self

import numpy as np

from wise_lra.results.atomic import write_bytes
from wise_lra.results.reading import expect_file

PREDICTIONS = "predictions.npz"
_MOST_BYTES = 1 << 28
_ARRAYS = ("example", "label", "predicted", "probability")


@dataclass(frozen=True, eq=False)
class Predictions:
    """An answer an example, in the order of the test.

    Attributes:
        example: (n,), the place of each example in the test split of the prepared data.
        label: (n,), its class.
        predicted: (n,), the class that the model chose.
        probability: (n, classes), how likely the model took each class to be; stored as float16.
    """

    example: np.ndarray
    label: np.ndarray
    predicted: np.ndarray
    probability: np.ndarray

    @property
    def accuracy(self) -> float:
        """The share of right answers: the test accuracy of the run's record."""
        return int((self.label == self.predicted).sum()) / len(self.label)

    def write(self, path: Path) -> None:
        """Write them to `path`, whole or not at all. Raises OSError."""
        kinds = (np.int32, np.uint16, np.uint16, np.float16)
        arrays = (array.astype(kind) for array, kind in zip(astuple(self), kinds, strict=True))
        content = io.BytesIO()
        np.savez_compressed(content, **dict(zip(_ARRAYS, arrays, strict=True)))
        write_bytes(path, content.getvalue(), durable=False)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what `write` wrote. Raises OSError, and ValueError naming a file that is anything else."""
        what = "the predictions of a run"
        expect_file(path, what, _MOST_BYTES)
        try:
            with zipfile.ZipFile(path) as archive:
                if sum(member.file_size for member in archive.infolist()) > _MOST_BYTES:
                    raise ValueError(f"expected arrays of at most {_MOST_BYTES:,} bytes")
            with np.load(path, allow_pickle=False) as arrays:
                predictions = cls(*(arrays[name] for name in _ARRAYS))
        except OSError:
            raise
        except Exception as error:  # what a broken file makes numpy and zip raise is without limit
            raise ValueError(f"{path}: not {what}: {error}") from error
        if fault := predictions.fault():
            raise ValueError(f"{path}: not {what}: {fault}")
        return predictions

    def fault(self) -> str:
        """Return what is wrong with shapes, types or values, "" if nothing is."""
        *columns, probability = astuple(self)
        shapes = [array.shape for array in astuple(self)]
        count = len(self.label) if self.label.ndim else 0
        if not count or [*shapes[:3], shapes[3][:1]] != [(count,)] * 4 or probability.ndim != 2:
            return f"arrays of shapes {shapes}; expected as many examples in each, and at least one"
        for name, array in zip(_ARRAYS, columns, strict=False):
            most = len(probability[0]) if name != "example" else 2**31
            if array.dtype.kind not in "iu":
                return f"{name} of type {array.dtype}; expected integers"
            if (low := int(array.min())) < 0 or (high := int(array.max())) >= most:
                return f"{name} {low if low < 0 else high}; expected 0 to {most - 1}"
        return "" if probability.dtype.kind == "f" else f"probability of type {probability.dtype}"
