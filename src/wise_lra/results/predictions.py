"""What a run answered to each test example: a small file in its folder, for whatever an accuracy does not tell."""

import io
import zipfile
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Self

import numpy as np

from wise_lra.results.atomic import write_bytes

PREDICTIONS = "predictions.npz"
_ARRAYS = ("example", "label", "predicted", "probability")


@dataclass(frozen=True, eq=False)
class Predictions:
    """An answer an example, in the order of the test.

    Attributes:
        example: (n,), the place of each example in the test split of the prepared data.
        label: (n,), its class.
        predicted: (n,), the class that the model chose.
        probability: (n, classes), how likely the model took each class to be; kept as float16.
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
        """Read what `write` wrote. Raises FileNotFoundError, and ValueError naming a file that is anything else."""
        try:
            with np.load(path, allow_pickle=False) as arrays:
                found = cls(*(arrays[name] for name in _ARRAYS))
        except (ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(f"{path}: not the predictions of a run: {error}") from error
        shapes = [array.shape[0] if array.ndim else 0 for array in astuple(found)]
        if len(set(shapes)) != 1 or not shapes[0] or found.probability.ndim != 2:
            raise ValueError(
                f"{path}: arrays of {shapes} examples; expected as many in each, and at least one"
            )
        return found
