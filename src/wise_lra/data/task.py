"""What a task is, and what one example of it is: facts that everything else is built from."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

SPLITS = ("train", "validation", "test")
PICTURES = ("image", "pathfinder")
"""Tasks of images: a document is the pixels of one, neither cut nor padded to the task's length."""

COUNTS = {
    "listops": ((96_000, 2_000, 2_000),),
    "text": ((22_500, 2_500, 25_000), (25_000, 25_000, 25_000)),
    "retrieval": ((147_086, 18_090, 17_437),),
    "image": ((45_000, 5_000, 10_000),),
    "pathfinder": ((160_000, 20_000, 20_000),),
}
"""Examples in each split of LRA's own data; of Text with data.protocol=held-out, then lra."""

# Nobody states the exact counts of these two: papers repeat Retrieval's, and LRA has empty images of Pathfinder.
_ABOUT = {"retrieval": 0.01, "pathfinder": 0.01}


def complete(task: str, counts: Sequence[int]) -> bool:
    """Tell whether so many examples of each split are LRA's own data, not a sample of them or other data.

    The counts of Retrieval and Pathfinder may differ by one per cent, the others not at all.
    """
    slack = _ABOUT.get(task, 0)
    return any(
        all(abs(count - known) <= slack * known for count, known in zip(counts, published, strict=True))
        for published in COUNTS.get(task, ())
    )


@dataclass(frozen=True)
class Task:
    """Facts of a task; a model is built from these, never from the data.

    vocabulary counts token ids, padding included; length is that of one document, in tokens, padding included.
    padded tells whether id 0 is padding, and masked. In images 0 is a black pixel, which LRA's code masks too.
    Source: reference of the benchmark, "Tasks" (Tay et al., arXiv 2011.04006, section 2).
    """

    name: str
    vocabulary: int
    length: int
    classes: int
    documents: int = 1
    padded: bool = True

    def __post_init__(self) -> None:
        """Refuse facts that no model can be built from."""
        for field in ("vocabulary", "length", "classes"):
            if getattr(self, field) < 1:
                raise ValueError(f"task.{field}={getattr(self, field)}: expected a positive integer")
        if self.documents not in (1, 2):
            raise ValueError(f"task.documents={self.documents}: expected 1, or 2 for a pair")


class Example(NamedTuple):
    """One example before packing: its split, token ids (uint8 or uint16, unpadded) per document, class."""

    split: str
    documents: tuple[np.ndarray, ...]
    label: int
