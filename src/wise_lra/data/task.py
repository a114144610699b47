"""What a task is, and what one example of it is: facts that everything else is built from."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

SPLITS = ("train", "validation", "test")


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
