"""What a mixer is: the only thing that the encoder knows of this package."""

from typing import Protocol

from torch import Tensor, nn


class Mixer(Protocol):
    """Maps (batch, length, d_model) to the same shape, letting positions exchange information."""

    def __call__(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Mix ``x``; ``mask`` is (batch, length), bool, True at real tokens; None means that all are real."""
        ...


class MixerFactory(Protocol):
    """Makes the mixer of one layer: a mixer class with every other argument already bound."""

    def __call__(self, *, d_model: int, length: int) -> nn.Module:
        """Return a `Mixer` module for sequences of ``length`` positions and ``d_model`` channels."""
        ...


def zero_padding(x: Tensor, mask: Tensor | None) -> Tensor:
    """Return ``x`` (batch, length, channels) with zeros where ``mask`` (batch, length) is False.

    For mixers that cannot leave positions out, so that the content of the padding reaches nothing.
    """
    return x if mask is None else x.masked_fill(~mask.unsqueeze(-1), 0.0)
