"""Lifting: even and odd samples predict and update each other in turn, so that undoing it is exact for any filter.

Source: Sweldens (1996), and the lifting of WavSpA's code (arXiv 2210.01989), circular along the length.
"""

import torch
from torch import Tensor
from torch.nn.functional import silu


def lift(
    x: Tensor, level: int, estimate: Tensor | None = None, predict: Tensor | None = None
) -> list[Tensor]:
    """Return the bands ``[s_n, d_n, ..., d_1]`` of ``x`` (batch, length, channels).

    Without filters the 5/3 lifting: d_k = odd_k - (even_k + even_{k+1}) / 2, s_k = even_k + (d_{k-1} + d_k) / 4.
    With ``estimate`` and ``predict``, (taps, channels) each: d = odd - silu(even * estimate) / 2,
    s = even + silu(d * predict) / 4, where * is circular correlation. A band of odd length is first continued by a
    zero, so both halves are as long.

    Raises:
        ValueError: an empty length, a ``level`` too deep for it, one filter without the other, or other channels.
        TypeError: ``x`` is not floating point.
    """
    if not x.is_floating_point():
        raise TypeError(f"x of dtype {x.dtype}: expected a floating-point tensor")
    if x.ndim != 3:
        raise ValueError(f"x of shape {tuple(x.shape)}: expected (batch, length, channels)")
    _check_filters(estimate, predict, x.shape[2])
    lifted_lengths(x.shape[1], level)
    bands = []
    for _ in range(level):
        if x.shape[1] % 2:
            x = torch.cat([x, torch.zeros_like(x[:, :1])], dim=1)
        even, odd = x[:, 0::2], x[:, 1::2]
        detail = odd - _estimated(even, estimate)
        x = even + _predicted(detail, predict)
        bands.append(detail)
    return [x, *reversed(bands)]


def unlift(
    bands: list[Tensor], length: int, estimate: Tensor | None = None, predict: Tensor | None = None
) -> Tensor:
    """Return the signal (batch, length, channels) of the bands of `lift`, with the same filters.

    Raises ValueError where the bands' lengths or channels do not fit.
    """
    if not bands:
        raise ValueError("bands is empty: expected [s_n, d_n, ..., d_1]")
    _check_filters(estimate, predict, bands[0].shape[2])
    lengths = [length]
    for _ in bands[1:]:
        lengths.append(-(-lengths[-1] // 2))
    expected = [lengths[-1], *reversed(lengths[1:])]
    if [band.shape[1] for band in bands] != expected:
        raise ValueError(
            f"bands of lengths {[band.shape[1] for band in bands]}: expected {expected} for length={length}"
        )
    x = bands[0]
    for detail, wanted in zip(bands[1:], reversed(lengths[:-1]), strict=True):
        even = x - _predicted(detail, predict)
        odd = detail + _estimated(even, estimate)
        x = torch.stack([even, odd], dim=2).flatten(1, 2)[:, :wanted]
    return x


def lifted_lengths(length: int, level: int) -> list[int]:
    """Return the lengths of the bands of `lift`, coarsest first. Raises ValueError if ``level`` is too deep."""
    deepest = max(0, length - 1).bit_length()
    if not 1 <= level <= deepest:
        raise ValueError(f"level={level} for length={length}: expected 1 to {deepest}")
    lengths = [length]
    for _ in range(level):
        lengths.append(-(-lengths[-1] // 2))
    return [lengths[-1], *reversed(lengths[1:])]


def correlate(x: Tensor, filters: Tensor) -> Tensor:
    """Return sum_k filters[k] x[i + k], circular, for ``x`` (batch, length, channels), filters (taps, channels)."""
    if filters.shape[1] != x.shape[2]:
        raise ValueError(f"filters of {filters.shape[1]} channels: the signal has {x.shape[2]}")
    total = x * filters[0]
    for k in range(1, filters.shape[0]):
        total = total + torch.roll(x, -k, dims=1) * filters[k]
    return total


def _estimated(even: Tensor, estimate: Tensor | None) -> Tensor:
    if estimate is None:
        return (even + torch.roll(even, -1, dims=1)) / 2
    return silu(correlate(even, estimate)) / 2


def _predicted(detail: Tensor, predict: Tensor | None) -> Tensor:
    if predict is None:
        return (torch.roll(detail, 1, dims=1) + detail) / 4
    return silu(correlate(detail, predict)) / 4


def _check_filters(estimate: Tensor | None, predict: Tensor | None, channels: int) -> None:
    if (estimate is None) != (predict is None):
        raise ValueError("estimate and predict: expected both filters or neither")
    for name, filters in (("estimate", estimate), ("predict", predict)):
        if filters is not None and (filters.ndim != 2 or filters.shape[1] != channels):
            raise ValueError(f"{name} of shape {tuple(filters.shape)}: expected (taps, {channels})")
