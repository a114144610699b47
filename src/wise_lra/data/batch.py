"""What the data module yields and the training step consumes."""

from typing import NamedTuple

from torch import Tensor


class Batch(NamedTuple):
    """tokens: int64 (batch, length), or (batch, 2, length) for pairs; mask: bool of that shape, True = real
    token, or None where nothing is padded; labels: int64 (batch,)."""

    tokens: Tensor
    mask: Tensor | None
    labels: Tensor
