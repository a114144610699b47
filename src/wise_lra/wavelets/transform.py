"""The discrete wavelet transform along the length of (batch, length, channels), equal to PyWavelets'.

A level continues the signal beyond its ends, and takes the filters' products with it at every second place
(`trilinear`): linear in length, both bands from one pass, no dilated or zero-stuffed signal.
"""

import torch
from torch import Tensor

from .filters import FilterBank, quadrature_mirror
from .trilinear import analyse, synthesise

MODES = ("reflect", "symmetric", "zero", "periodization")


def wavedec(x: Tensor, dec_lo: Tensor | FilterBank, level: int, mode: str = "reflect") -> list[Tensor]:
    """Return the bands ``[cA_n, cD_n, ..., cD_1]`` of ``x`` (batch, length, channels), as `pywt.wavedec`.

    Args:
        dec_lo: low-pass filter, (taps,) or (taps, channels), whose quadrature mirror completes it; or all four
            filters, for biorthogonal families.
        level: number of times that the low band is split again.
        mode: how the signal goes on beyond its ends; one of `MODES`.

    Raises:
        ValueError: a bad shape, mode or filter length, a ``level`` above `max_level`, or taps that are not finite
            (a look that is spared where it costs: on a GPU, under vmap and in a compiled graph).
        TypeError: ``x`` is not floating point.
    """
    bank = _bank(dec_lo)
    _check_finite(bank)
    return decomposed(x, bank, level, mode)


def decomposed(x: Tensor, bank: FilterBank, level: int, mode: str) -> list[Tensor]:
    """Return what `wavedec` returns, for filters whose values need no check."""
    check(x, bank, level, mode)
    x, dtype = _wide(x), x.dtype
    bands = []
    for _ in range(level):
        x, detail = _analyse(x, bank, mode)
        bands.append(detail)
    return [band.to(dtype) for band in (x, *reversed(bands))]


def waverec(bands: list[Tensor], dec_lo: Tensor | FilterBank, length: int, mode: str = "reflect") -> Tensor:
    """Return the signal (batch, length, channels) of ``bands`` as `wavedec` orders them; cut to ``length``.

    ``dec_lo`` and ``mode`` are those of `wavedec`, and so are the errors; ValueError also where the bands' lengths
    do not fit.
    """
    bank = _bank(dec_lo)
    if not bands:
        raise ValueError("bands is empty: expected [cA_n, cD_n, ..., cD_1]")
    for band in bands:
        _check_fit(band, bank, mode, "a band")
    lengths = _lengths(length, bank.taps, len(bands) - 1, mode)
    expected = [lengths[-1], *reversed(lengths[1:])]
    if [band.shape[1] for band in bands] != expected:
        found = [band.shape[1] for band in bands]
        raise ValueError(f"bands of lengths {found}: expected {expected} for length={length}, mode={mode!r}")
    x = _wide(bands[0])
    for detail, wanted in zip(bands[1:], reversed(lengths[:-1]), strict=True):
        x = _synthesise(x, detail.to(x.dtype), bank, mode)[:, :wanted]
    return x.to(bands[0].dtype)


def max_level(length: int, taps: int) -> int:
    """Return the deepest level at which a band is still longer than the filters' reach, as PyWavelets has it.

    At least 1: one level can always be computed. Raises ValueError for an empty signal or fewer than two taps.
    """
    if length < 1 or taps < 2:
        raise ValueError(f"length={length}, taps={taps}: expected at least 1 sample and 2 taps")
    return max(1, (length // (taps - 1)).bit_length() - 1)


def band_lengths(length: int, taps: int, level: int, mode: str) -> list[int]:
    """Return the lengths of the bands of `wavedec`, coarsest first. Raises ValueError as it does."""
    deepest = max_level(length, taps)
    if not 1 <= level <= deepest:
        raise ValueError(
            f"level={level} for length={length} and filters of {taps} taps: expected 1 to {deepest}"
        )
    lengths = _lengths(length, taps, level, mode)
    return [lengths[-1], *reversed(lengths[1:])]


def check(x: Tensor, bank: FilterBank, level: int, mode: str) -> None:
    """Refuse what cannot be transformed; see `wavedec`."""
    _check_fit(x, bank, mode, "x")
    band_lengths(x.shape[1], bank.taps, level, mode)


def _check_fit(x: Tensor, bank: FilterBank, mode: str, what: str) -> None:
    """Refuse a signal or a band that these filters cannot take."""
    if not x.is_floating_point():
        raise TypeError(f"{what} of dtype {x.dtype}: expected a floating-point tensor")
    if x.ndim != 3 or x.shape[1] == 0:
        raise ValueError(
            f"{what} of shape {tuple(x.shape)}: expected (batch, length, channels), length at least 1"
        )
    if mode not in MODES:
        raise ValueError(f"mode={mode!r}: expected one of {', '.join(MODES)}")
    for name, taps in zip(bank._fields, bank, strict=True):
        if taps.ndim not in (1, 2) or len(taps) != bank.taps or bank.taps < 2 or bank.taps % 2:
            raise ValueError(
                f"{name} of shape {tuple(taps.shape)}: expected (taps,) or (taps, channels), taps even"
            )
        if taps.ndim == 2 and taps.shape[1] != x.shape[2]:
            raise ValueError(f"{name} for {taps.shape[1]} channels: {what} has {x.shape[2]}")


def _check_finite(bank: FilterBank) -> None:
    """Refuse taps that are not finite, unless a look at them costs: on a GPU, and where they are being traced."""
    if torch.compiler.is_compiling():
        return
    for name, taps in zip(bank._fields, bank, strict=True):
        try:
            finite = taps.device.type != "cpu" or bool(taps.isfinite().all())
        except RuntimeError:  # under vmap there is no one value
            return
        if not finite:
            raise ValueError(f"{name} holds a value that is not finite: expected finite taps")


def _bank(dec_lo: Tensor | FilterBank) -> FilterBank:
    return dec_lo if isinstance(dec_lo, FilterBank) else quadrature_mirror(dec_lo)


def _lengths(length: int, taps: int, level: int, mode: str) -> list[int]:
    """Return the length of the signal, then of the low band at every level."""
    lengths = [length]
    for _ in range(level):
        n = lengths[-1]
        lengths.append(-(-n // 2) if mode == "periodization" else (n + taps - 1) // 2)
    return lengths


def _wide(x: Tensor) -> Tensor:
    """Return ``x`` as float32, or unchanged where it is wider: a coefficient is a sum of many products."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _analyse(x: Tensor, bank: FilterBank, mode: str) -> tuple[Tensor, Tensor]:
    """Split ``x`` once: coefficient k is ``sum_m dec[taps-1-m] * extended[2k + m]``."""
    taps, length = bank.taps, x.shape[1]
    count = _lengths(length, taps, 1, mode)[1]
    if mode == "periodization":
        x = torch.cat([x, x[:, -1:]], dim=1) if length % 2 else x
        before = taps // 2 - 1
    else:
        before = taps - 2
    x = _extend(x, before, 2 * count + taps - 2 - before - x.shape[1], mode)
    return analyse(x, *(_spread(filters, x).flip(0) for filters in (bank.dec_lo, bank.dec_hi)))


def _synthesise(low: Tensor, high: Tensor, bank: FilterBank, mode: str) -> Tensor:
    """Join two bands: the adjoint of `_analyse` for an orthogonal bank, without the samples beyond the ends."""
    taps, count = bank.taps, low.shape[1]
    if mode == "periodization":
        wrapped = taps // 4  # coefficients beyond either end that reach inside
        low, high = (_extend(band, wrapped, wrapped, mode) for band in (low, high))
        inside = slice(2 * wrapped + taps // 2 - 1, 2 * wrapped + taps // 2 - 1 + 2 * count)
    else:
        inside = slice(taps - 2, 2 * count)
    return synthesise(low, high, *(_spread(filters, low) for filters in (bank.rec_lo, bank.rec_hi)))[
        :, inside
    ]


def _spread(filters: Tensor, x: Tensor) -> Tensor:
    """Return ``filters`` as (taps, channels) in the dtype of ``x``."""
    filters = filters.to(x.dtype)
    return filters if filters.ndim == 2 else filters.unsqueeze(1).expand(-1, x.shape[2])


def _extend(x: Tensor, before: int, after: int, mode: str) -> Tensor:
    """Continue ``x`` by ``before`` and ``after`` samples as ``mode`` says; ``after`` below 0 cuts."""
    if mode == "zero":
        return torch.nn.functional.pad(x, (0, 0, before, after))
    n = x.shape[1]
    left = x[:, _reflected(torch.arange(-before, 0, device=x.device), n, mode)]
    if after < 0:
        return torch.cat([left, x[:, :after]], dim=1)
    right = x[:, _reflected(torch.arange(n, n + after, device=x.device), n, mode)]
    return torch.cat([left, x, right], dim=1)


def _reflected(place: Tensor, n: int, mode: str) -> Tensor:
    """Return which of n samples stands at a place beyond the ends."""
    if mode == "periodization":
        return place % n
    if mode == "symmetric":
        place = place % (2 * n)
        return torch.minimum(place, 2 * n - 1 - place)
    period = max(1, 2 * n - 2)
    place = place % period
    return torch.minimum(place, period - place) if n > 1 else place * 0
