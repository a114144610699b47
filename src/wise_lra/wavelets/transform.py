"""The discrete wavelet transform along the length of (batch, length, channels), equal to PyWavelets'.

A level continues the signal beyond its ends, and takes the filters' products with it at every second place
(`trilinear`): linear in length, both bands from one pass, no dilated or zero-stuffed signal.
"""

import math
import warnings
from collections.abc import Callable, Sequence
from functools import reduce

import torch
from torch import Tensor

from .extension import MODES, Extension, extend
from .filters import FilterBank, Wavelet, as_bank
from .trilinear import analyse, kernels_for, synthesise, traced

Bands = Sequence[Tensor | None]
Step = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def wavedec(x: Tensor, wavelet: Wavelet, level: int | None = None, mode: str = "reflect") -> list[Tensor]:
    """Return the bands ``[cA_n, cD_n, ..., cD_1]`` of ``x`` (batch, length, channels), as `pywt.wavedec`.

    Args:
        wavelet: a name, a `pywt.Wavelet` or a `FilterBank`; or a low-pass filter, (taps,) or (taps, channels), that
            its quadrature mirror completes.
        level: number of times that the low band is split again; None is `max_level`, 0 returns a copy of ``x``.
        mode: how the signal goes on beyond its ends; one of `MODES`.

    Raises:
        ValueError: a bad shape, mode, level or filter length, no such wavelet, or taps that are not finite
            (a look that is spared where it costs: on a GPU, under vmap and in a compiled graph).
        TypeError: ``x`` is not floating point, or taps are complex.

    Warns with UserWarning, outside of compiled graphs, where ``level`` is above `max_level`, and where ``x`` has
    length 1 and many channels: PyTorch's layout.
    """
    bank = as_bank(wavelet)
    _check_finite(bank)
    return decomposed(x, bank, level, mode, None)


def decomposed(x: Tensor, bank: FilterBank, level: int | None, mode: str, step: Step | None) -> list[Tensor]:
    """Return what `wavedec` returns, of filters that are finite; ``step`` changes the two bands of each level."""
    check_signals([x], "x")
    _check_filters(bank, x.shape[2], mode)
    level = _level(x, bank.dec_lo.shape[0], level)
    dtype = x.dtype
    x, low, high = _ready(x, bank.dec_lo, bank.dec_hi)
    low, high = low.flip(0), high.flip(0)
    bands = []
    for _ in range(level):
        x, detail = _analyse(x, low, high, mode)
        if step is not None:
            x, detail = (band.to(low.dtype) for band in step(x, detail))
        bands.append(detail)
    return [band.to(dtype) for band in (x if level else x.clone(), *reversed(bands))]


def waverec(
    bands: Bands, wavelet: Wavelet, length: int | None = None, mode: str = "reflect", step: Step | None = None
) -> Tensor:
    """Return the signal (batch, length, channels) of ``bands`` as `wavedec` orders them.

    Args:
        bands: None is a band of zeros. Where dtypes differ, the signal has the one that holds them all.
        length: of the signal; None is that of `pywt.waverec`: one more than an odd length.
        wavelet, mode: those of `wavedec`.
        step: changes the two bands of each level before they are joined.

    Raises:
        ValueError, TypeError: as `wavedec`; ValueError also where the bands' shapes do not fit.
    """
    bank = as_bank(wavelet)
    (x, *details), lengths = matched(bands, length, bank.dec_lo.shape[0], mode)
    _check_filters(bank, x.shape[2], mode)
    dtype = x.dtype
    x, low, high = _ready(x, bank.rec_lo, bank.rec_hi)
    for detail, wanted in zip(details, lengths, strict=True):
        detail = detail.to(x.dtype)
        if step is not None:
            x, detail = (band.to(low.dtype) for band in step(x, detail))
        x = _synthesise(x, detail, low, high, wanted, mode)
    return x.to(dtype) if details else x.to(dtype, copy=True)


def max_level(length: int, taps: int) -> int:
    """Return the deepest level at which a band is still longer than the filters' reach, as `pywt.dwt_max_level`.

    0 where the signal itself is shorter. Raises ValueError for an empty signal or fewer than two taps.
    """
    if length < 1 or taps < 2:
        raise ValueError(f"length={length}, taps={taps}: expected at least 1 sample and 2 taps")
    level = 0
    while (taps - 1) << (level + 1) <= length:  # `bit_length` would make a compiler take the length for fixed
        level += 1
    return level


def band_lengths(length: int, taps: int, level: int, mode: str) -> list[int]:
    """Return the lengths of the bands of `wavedec`, coarsest first, of any level."""
    lengths = [length]
    for _ in range(level):
        lengths.insert(0, (lengths[0] + (1 if mode == "periodization" else taps - 1)) // 2)
    return [lengths[0], *lengths[:-1]]


def check_signals(signals: Sequence[Tensor], what: str) -> None:
    """Refuse what are no signals or bands, or do not have one batch and one number of channels."""
    if torch.jit.is_tracing():  # it warns of every look at a size
        return
    for x in signals:
        if not isinstance(x, Tensor) or not x.is_floating_point():
            raise TypeError(f"{what} of dtype {getattr(x, 'dtype', None)}: expected floating-point tensors")
        if x.ndim != 3 or 0 in x.shape[1:] or x.shape[::2] != signals[0].shape[::2]:
            shapes = ", ".join(str(tuple(s.shape)) for s in signals)
            raise ValueError(
                f"{what} of shape {shapes}: expected (batch, length, channels), length and channels not 0, "
                "batch and channels the same"
            )


def matched(bands: Bands, length: int | None, taps: int, mode: str) -> tuple[list[Tensor], list[int]]:
    """Return ``bands`` in one dtype, None as zeros, and the length after each level. Raises as `waverec`."""
    given = [band for band in bands if band is not None]
    if not given:
        raise ValueError("bands is empty: expected [cA_n, cD_n, ..., cD_1], not all of them None")
    check_signals(given, "bands")
    if length is None:
        length = 0
        for k, band in enumerate(bands):
            length = length if band is None else band.shape[1]
            if k > 0:
                length = 2 * length - (0 if mode == "periodization" else taps - 2)
    tracing = torch.jit.is_tracing()
    if isinstance(length, (str, float)) or (not tracing and length < 1):
        raise ValueError(f"length={length!r}: expected an integer, 1 or more, or None")
    expected = band_lengths(length, taps, len(bands) - 1, mode)
    if not tracing:
        found = [None if band is None else band.shape[1] for band in bands]
        if any(n not in (None, count) for n, count in zip(found, expected, strict=True)):
            raise ValueError(
                f"bands of lengths {found}: expected {expected} for length={length}, mode={mode!r}"
            )
    dtype = reduce(torch.promote_types, (band.dtype for band in given))
    batch, _, channels = given[0].shape
    return [
        given[0].new_zeros(batch, count, channels, dtype=dtype) if band is None else band.to(dtype)
        for band, count in zip(bands, expected, strict=True)
    ], [*expected[2:], length][: len(bands) - 1]


def _level(x: Tensor, taps: int, level: int | None) -> int:
    """Return the number of levels, and warn of too many, and of a signal that seems to have its axes exchanged."""
    if isinstance(level, (str, float)) or (level is not None and level < 0):
        raise ValueError(f"level={level!r}: expected an integer, 0 or more, or None for the deepest")
    length, channels = x.shape[1:]
    level = max_level(length, taps) if level is None else level
    if not traced() and (level > max_level(length, taps) or (length == 1 and channels >= 2 * taps)):
        warnings.warn(
            f"level={level} of x of shape {tuple(x.shape)}, taken as (batch, length, channels), and {taps} taps: "
            f"above level {max_level(length, taps)} all coefficients have boundary effects",
            stacklevel=4,
        )
    return level


def _check_filters(bank: FilterBank, channels: int, mode: str) -> None:
    """Refuse an unknown mode, and filters that a signal of these channels cannot take."""
    if mode not in MODES:
        raise ValueError(f"mode={mode!r}: expected one of {', '.join(MODES)}")
    if torch.jit.is_tracing():
        return
    for name, taps in zip(bank._fields, bank, strict=True):
        if taps.is_complex():
            raise TypeError(f"{name} of dtype {taps.dtype}: expected real taps")
        if taps.ndim not in (1, 2) or len(taps) != len(bank.dec_lo) or len(taps) < 2 or len(taps) % 2:
            raise ValueError(
                f"{name} of shape {tuple(taps.shape)}: expected (taps,) or (taps, channels), taps even"
            )
        if taps.ndim == 2 and taps.shape[1] != channels:
            raise ValueError(f"{name} for {taps.shape[1]} channels: the signal has {channels}")


def _check_finite(bank: FilterBank) -> None:
    """Refuse taps that are not finite, unless a look at them costs: on a GPU, and where they are being traced."""
    if traced():
        return
    for name, taps in zip(bank._fields, bank, strict=True):
        try:
            finite = (
                taps.device.type != "cpu" or math.isfinite(taps.detach().sum()) or bool(taps.isfinite().all())
            )
        except RuntimeError:  # under vmap there is no one value
            return
        if not finite:
            raise ValueError(f"{name} holds a value that is not finite: expected finite taps")


def _ready(x: Tensor, *filters: Tensor) -> list[Tensor]:
    """Return ``x`` as float32 or wider, since a coefficient sums many products, and filters (taps, channels)."""
    x = x.to(torch.promote_types(x.dtype, torch.float32))
    cast = (taps.to(x) for taps in filters)
    return [x, *(taps if taps.ndim == 2 else taps[:, None].expand(-1, x.shape[2]) for taps in cast)]


def _analyse(x: Tensor, low: Tensor, high: Tensor, mode: str) -> tuple[Tensor, Tensor]:
    """Split ``x`` once: coefficient k is ``sum_m filter[m] * extended[2k + m]``, the filters reversed already."""
    taps, length = low.shape[0], x.shape[1]
    count = band_lengths(length, taps, 1, mode)[0]
    before = taps // 2 - 1 if mode == "periodization" else taps - 2
    after = 2 * count + taps - 2 - before - length
    if kernels_for(x, low, high):
        return analyse(x, low, high, Extension(length, before, after, mode))
    return analyse(extend(x, before, after, mode), low, high)


def _synthesise(a: Tensor, d: Tensor, low: Tensor, high: Tensor, length: int, mode: str) -> Tensor:
    """Join two bands: the adjoint of `_analyse` for an orthogonal bank, without the samples beyond the ends."""
    taps = low.shape[0]
    if kernels_for(a, d, low, high):
        mode, begin = ("padded", taps // 2 - 1) if mode == "periodization" else ("zero", taps - 2)
        after = 2 * a.shape[1] + taps - 2 - begin - length
        return synthesise(a, d, low, high, Extension(length, begin, after, mode))
    begin = taps - 2
    if mode == "periodization":
        wrapped = taps // 4  # coefficients beyond either end that reach inside
        a, d = (extend(band, wrapped, wrapped, "periodic") for band in (a, d))
        begin = 2 * wrapped + taps // 2 - 1
    return _cut(synthesise(a, d, low, high), begin, length)


@torch.compiler.allow_in_graph
def _cut(x: Tensor, begin: int, length: int) -> Tensor:
    """Return ``length`` samples of ``x`` from ``begin`` on; see `extend`."""
    if not isinstance(x.shape[1], int):
        return x[:, torch.arange(begin, begin + length, device=x.device)]
    return x[:, begin : begin + length]
