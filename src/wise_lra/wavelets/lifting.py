"""Lifting: even and odd samples predict and update each other in turn, so that undoing it is exact for any filter.

Source: Sweldens (1996), and the lifting of WavSpA's code (arXiv 2210.01989), circular along the length.
"""

from functools import reduce

import torch
from torch import Tensor
from torch.nn.functional import pad, silu

from .extension import at, extend
from .transform import Bands, band_lengths, check_signals, matched
from .trilinear import traced


def lift(
    x: Tensor, level: int, estimate: Tensor | None = None, predict: Tensor | None = None
) -> list[Tensor]:
    """Return the bands ``[s_n, d_n, ..., d_1]`` of ``x`` (batch, length, channels).

    Without filters the 5/3 lifting: d_k = odd_k - (even_k + even_{k+1}) / 2, s_k = even_k + (d_{k-1} + d_k) / 4.
    With ``estimate`` and ``predict``, (taps, channels) each: d = odd - silu(even * estimate) / 2,
    s = even + silu(d * predict) / 4, where * is circular correlation. A band of odd length is first continued by a
    zero, so both halves are as long.

    Raises ValueError for a bad shape, a ``level`` too deep for the length, one filter without the other or other
    channels; TypeError where ``x`` is not floating point or the filters are complex.
    """
    check_signals([x], "x")
    if (estimate is None) != (predict is None):
        raise ValueError("estimate and predict: expected both filters or neither")
    if not traced():
        lifted_lengths(x.shape[1], level)
    bands = []
    for _ in range(level):
        even, odd = _halves(x)
        detail = odd - _estimated(even, estimate)
        x = even + _predicted(detail, predict)
        bands.append(detail)
    return [x, *reversed(bands)]


def unlift(
    bands: Bands, length: int | None = None, estimate: Tensor | None = None, predict: Tensor | None = None
) -> Tensor:
    """Return the signal (batch, length, channels) of the bands of `lift`, with the same filters.

    None is a band of zeros; without a length the signal's is even. Raises ValueError where the bands' shapes do not
    fit, TypeError where a band is not floating point.
    """
    if (estimate is None) != (predict is None):
        raise ValueError("estimate and predict: expected both filters or neither")
    (x, *details), lengths = matched(bands, length, 2, "periodization")
    for detail, wanted in zip(details, lengths, strict=True):
        even = x - _predicted(detail, predict)
        odd = detail + _estimated(even, estimate)
        x = _woven(even, odd, wanted)
    return x if details else x.clone()


def lifted_lengths(length: int, level: int) -> list[int]:
    """Return the lengths of the bands of `lift`, coarsest first. Raises ValueError if ``level`` is too deep."""
    deepest = max(0, length - 1).bit_length()
    if not 1 <= level <= deepest:
        raise ValueError(f"level={level} for length={length}: expected 1 to {deepest}")
    return band_lengths(length, 2, level, "periodization")


def correlate(x: Tensor, filters: Tensor, name: str) -> Tensor:
    """Return sum_k filters[k] x[i + k], circular, for ``x`` (batch, length, channels), filters (taps, channels)."""
    if filters.is_complex():
        raise TypeError(f"{name} of dtype {filters.dtype}: expected real taps")
    if filters.ndim != 2 or (not torch.jit.is_tracing() and filters.shape[1] != x.shape[2]):
        raise ValueError(
            f"{name} of shape {tuple(filters.shape)}, {filters.shape[-1]} channels: expected (taps, {x.shape[2]})"
        )
    length = x.shape[1]
    x = extend(x, 0, filters.shape[0] - 1, "periodic")
    terms = (x[:, k : k + length] * taps for k, taps in enumerate(filters.unbind()))
    return reduce(torch.add, terms)


@torch.compiler.allow_in_graph
def _halves(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the even and the odd samples, as many; see `extend` for lengths that are no int."""
    n = x.shape[1]
    if not isinstance(n, int):
        even = 2 * torch.arange((n + 1) // 2, device=x.device)
        return at(x, even, "zero"), at(x, even + 1, "zero")
    x = pad(x, (0, 0, 0, 1)) if n % 2 else x
    return x[:, 0::2], x[:, 1::2]


@torch.compiler.allow_in_graph
def _woven(even: Tensor, odd: Tensor, length: int) -> Tensor:
    """Return ``length`` samples, even and odd ones in turn."""
    half = even.shape[1]
    if not isinstance(half, int):
        place = torch.arange(length, device=even.device)
        return torch.cat([even, odd], dim=1)[:, place // 2 + place % 2 * half]
    return torch.stack([even, odd], dim=2).flatten(1, 2)[:, :length]


def _estimated(even: Tensor, estimate: Tensor | None) -> Tensor:
    if estimate is None:
        return (even + torch.roll(even, -1, dims=1)) / 2
    return silu(correlate(even, estimate, "estimate")) / 2


def _predicted(detail: Tensor, predict: Tensor | None) -> Tensor:
    if predict is None:
        return (torch.roll(detail, 1, dims=1) + detail) / 4
    return silu(correlate(detail, predict, "predict")) / 4
