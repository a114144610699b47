"""Wavelet space: a mixer that holds mixers, one for each band."""

import inspect
from collections.abc import Callable
from functools import partial
from typing import Protocol

from torch import Tensor, nn

from .mixer import MixerFactory, zero_padding


class Bank(Protocol):
    """A filter bank, an nn.Module: takes (batch, length, channels) to ``[cA_n, cD_n, ..., cD_1]`` and back."""

    def decompose(self, x: Tensor) -> list[Tensor]: ...  # noqa: D102
    def reconstruct(self, bands: list[Tensor], length: int) -> Tensor: ...  # noqa: D102
    def band_lengths(self, length: int) -> list[int]: ...  # noqa: D102


class WaveletSpace(nn.Module):
    """Learn attention in wavelet space (WISE, arXiv 2210.01989): decompose, mix each band, reconstruct.

    Padded positions are zeroed first. Each band has an attention of its own, with weights of its own and without a
    mask, since a coefficient belongs to no single token.

    Args:
        d_model: channels of input and output.
        length: positions the layer is built for.
        bank: makes the filter bank, an nn.Module and a `Bank`; called with ``channels=d_model`` where it takes
            channels (filters that differ per channel) and without arguments where it does not.
        attention: makes the mixer of a band; called as ``attention(d_model=..., length=<length of the band>)``.
        fit_parameters: divide the qkv_dim bound in ``attention`` by the number of bands, so that all bands
            together have no more projection weights than the one attention in token space (LRA's 10 % rule).

    Raises:
        ValueError: ``fit_parameters`` with an attention that has no bound qkv_dim and heads, or whose heads do not
            divide the qkv_dim of a band; and whatever ``bank`` raises for a level too deep for ``length``.
    """

    def __init__(
        self,
        d_model: int,
        length: int,
        bank: Callable[..., Bank],
        attention: MixerFactory,
        fit_parameters: bool = False,
    ) -> None:
        super().__init__()
        per_channel = "channels" in inspect.signature(bank).parameters
        self.bank: Bank = bank(channels=d_model) if per_channel else bank()
        lengths = self.bank.band_lengths(length)
        if fit_parameters:
            attention = _divide_width(attention, bands=len(lengths))
        self.attentions = nn.ModuleList(attention(d_model=d_model, length=n) for n in lengths)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Map ``x`` (batch, length, d_model) to the same shape; see `Mixer`."""
        bands = self.bank.decompose(zero_padding(x, mask))
        mixed = [attention(band) for attention, band in zip(self.attentions, bands, strict=True)]
        return self.bank.reconstruct(mixed, x.shape[1])


def _divide_width(attention: MixerFactory, bands: int) -> MixerFactory:
    """Return ``attention`` with its qkv_dim divided by the number of bands."""
    bound = attention.keywords if isinstance(attention, partial) else {}
    if not isinstance(attention, partial) or not {"qkv_dim", "heads"} <= bound.keys():
        raise ValueError(
            f"fit_parameters=True: expected an attention with qkv_dim and heads bound by functools.partial, "
            f"got {attention!r}; bind both, or set fit_parameters=False"
        )
    qkv_dim, heads = bound["qkv_dim"], bound["heads"]
    if qkv_dim // bands == 0 or (qkv_dim // bands) % heads:
        raise ValueError(
            f"fit_parameters=True: qkv_dim={qkv_dim} over {bands} bands is {qkv_dim // bands} a band, "
            f"which heads={heads} does not divide; change qkv_dim, heads or the level, or set fit_parameters=False"
        )
    return partial(attention.func, *attention.args, **bound | {"qkv_dim": qkv_dim // bands})
