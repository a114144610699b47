"""Banks: filters, fixed or learned, with the verbs that a mixer needs, `decompose` and `reconstruct`."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Literal, Self

import pywt
import torch
from torch import Tensor, nn

from .filters import FilterBank, daubechies, filter_bank, orthogonal_filter, quadrature_mirror
from .lifting import correlate, lift, lifted_lengths, unlift
from .transform import MODES, Bands, Step, band_lengths, decomposed, max_level, waverec


class _Filtering(nn.Module, ABC):
    """What the banks of filters share: level, mode and the transform."""

    _after: Step | None = None  # what changes the bands of a level after analysis, and back before synthesis
    _before: Step | None = None

    def __init__(self, level: int, mode: str) -> None:
        super().__init__()
        _check_level(level)
        if mode not in MODES:
            raise ValueError(f"mode={mode!r}: expected one of {', '.join(MODES)}")
        self.level, self.mode = level, mode

    @abstractmethod
    def filters(self) -> FilterBank:
        """Return the filters of analysis and synthesis, each (taps,) or (taps, channels)."""

    def decompose(self, x: Tensor) -> list[Tensor]:
        """Return the bands ``[cA_n, cD_n, ..., cD_1]`` of ``x`` (batch, length, channels), as `wavedec`."""
        return decomposed(x, self.filters(), self.level, self.mode, self._after)

    def reconstruct(self, bands: Bands, length: int | None = None) -> Tensor:
        """Return the signal (batch, length, channels) of these bands, as `waverec`."""
        return waverec(bands, self.filters(), length, self.mode, self._before)

    def band_lengths(self, length: int) -> list[int]:
        """Return the lengths of the bands, coarsest first. Raises ValueError if the level is too deep."""
        taps = self.filters().taps
        deepest = max(1, max_level(length, taps))
        if self.level > deepest:
            raise ValueError(
                f"level={self.level}: expected 1 to {deepest} for length={length} and {taps} taps"
            )
        return band_lengths(length, taps, self.level, self.mode)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Move fixed filters with the module, but keep them in float64: they are cast where they meet a signal."""
        fixed = list(self.buffers())

        def moved(t: Tensor) -> Tensor:
            if not any(t is taps for taps in fixed):
                return fn(t)
            device = fn(t.float()).device  # MPS has no float64
            return t.to(device, torch.float32 if device.type == "mps" else torch.float64)

        return super()._apply(moved, recurse)


class FixedBank(_Filtering):
    """The filters of a `pywt.Wavelet`, or of its name, or of db1 to db128; nothing is learned.

    Raises:
        ValueError: no such wavelet, level below 1, or an unknown mode.
    """

    def __init__(self, wavelet: str | pywt.Wavelet, level: int = 1, mode: str = "reflect") -> None:
        super().__init__(level, mode)
        for name, taps in filter_bank(wavelet)._asdict().items():
            self.register_buffer(name, taps, persistent=False)

    def filters(self) -> FilterBank:
        """Return the four filters, each (taps,), in float64."""
        return FilterBank(*(getattr(self, name) for name in FilterBank._fields))


class DirectBank(_Filtering):
    """One learned low-pass filter a channel, the other three its quadrature mirrors (AdaWavSpA, arXiv 2210.01989).

    It reconstructs perfectly at the start; nothing keeps that in training.

    Args:
        taps: even length of the filters.
        channels: number of filters.
        init: "daubechies", or "sine": a decaying cosine, normalised.
        authors_flip: give channel c the low-pass filters of channel channels-1-c, as the authors' code does, which
            reverses filters along both axes.

    Raises:
        ValueError: odd ``taps``, an unknown ``init`` or mode, level below 1.
    """

    def __init__(
        self,
        taps: int,
        channels: int,
        level: int = 1,
        init: Literal["daubechies", "sine"] = "daubechies",
        mode: str = "reflect",
        authors_flip: bool = False,
    ) -> None:
        super().__init__(level, mode)
        _check_taps(taps)
        if init == "daubechies":
            start = daubechies(taps)
        elif init == "sine":
            time = torch.arange(taps, dtype=torch.float64) / taps
            start = torch.exp(-2 * time) * torch.cos(torch.pi * time)
            start = start / start.norm()
        else:
            raise ValueError(f"init={init!r}: expected 'daubechies' or 'sine'")
        self.authors_flip = authors_flip
        start = start.to(torch.get_default_dtype())
        self.dec_lo = nn.Parameter(start[:, None].repeat(1, channels))

    def filters(self) -> FilterBank:
        """Return the four filters, each (taps, channels)."""
        return _mirrored(self.dec_lo, self.authors_flip)


class OrthogonalBank(_Filtering):
    """Learned filters, one a channel, that stay orthogonal (OrthoWavSpA): any angles reconstruct perfectly.

    Args:
        taps: even length of the filters.
        channels: number of filters.
        authors_flip: see `DirectBank`; with it the reconstruction is wrong by about the size of the signal.

    Raises:
        ValueError: odd ``taps``, an unknown mode, level below 1.
    """

    def __init__(
        self, taps: int, channels: int, level: int = 1, mode: str = "reflect", authors_flip: bool = False
    ) -> None:
        super().__init__(level, mode)
        _check_taps(taps)
        self.authors_flip = authors_flip
        self.angles = nn.Parameter(torch.rand(taps // 2, channels) * 2 * math.pi)

    def filters(self) -> FilterBank:
        """Return the four filters, each (taps, channels)."""
        return _mirrored(orthogonal_filter(self.angles), self.authors_flip)


class BiorthogonalBank(_Filtering):
    """Learned freely, and reconstructing exactly at every step: Daubechies' bank, then learned lifting steps.

    At every level the detail is corrected by a filter of the low band, then the low band by one of the detail:
    ``d = cD - cA * predict``, ``s = cA + d * update`` (circular correlation, a filter a channel, the same at every
    level as those of the other banks). Any such bank is biorthogonal (Daubechies and Sweldens 1998), and the steps
    are undone in reverse whatever the filters. They start at zero: at Daubechies.

    Args:
        taps: even length of Daubechies' filters.
        channels: number of learned filters of each kind.
        steps: length of the learned filters.

    Raises:
        ValueError: odd ``taps``, ``steps`` below 1, an unknown mode, level below 1.
    """

    dec_lo: Tensor

    def __init__(
        self, taps: int, channels: int, level: int = 1, mode: str = "reflect", steps: int = 4
    ) -> None:
        super().__init__(level, mode)
        if steps < 1:
            raise ValueError(f"steps={steps}: expected at least 1")
        self.register_buffer("dec_lo", daubechies(taps), persistent=False)
        self.predict = nn.Parameter(torch.zeros(steps, channels))
        self.update = nn.Parameter(torch.zeros(steps, channels))

    def filters(self) -> FilterBank:
        """Return Daubechies' filters, each (taps,), on which the learned steps are put."""
        return quadrature_mirror(self.dec_lo)

    def _after(self, low: Tensor, detail: Tensor) -> tuple[Tensor, Tensor]:
        detail = detail - correlate(low, self.predict, "predict")
        return low + correlate(detail, self.update, "update"), detail

    def _before(self, low: Tensor, detail: Tensor) -> tuple[Tensor, Tensor]:
        low = low - correlate(detail, self.update, "update")
        return low, detail + correlate(low, self.predict, "predict")


class LiftingBank(nn.Module):
    """Lifting, fixed (5/3) or with learned filters (LiftWavSpA and 'adalift'); both reconstruct perfectly.

    Args:
        channels: number of learned filters.
        taps: length of the learned filters, which start as N(0, 0.02); None keeps the fixed lifting.

    Raises:
        ValueError: level or ``taps`` below 1.
    """

    def __init__(self, channels: int, level: int = 1, taps: int | None = None) -> None:
        super().__init__()
        _check_level(level)
        if taps is not None and taps < 1:
            raise ValueError(f"taps={taps}: expected at least 1, or None")
        self.level = level
        self.estimate = None if taps is None else nn.Parameter(torch.randn(taps, channels) * 0.02)
        self.predict = None if taps is None else nn.Parameter(torch.randn(taps, channels) * 0.02)

    def decompose(self, x: Tensor) -> list[Tensor]:
        """Return the bands ``[s_n, d_n, ..., d_1]`` of ``x`` (batch, length, channels)."""
        return lift(x, self.level, self.estimate, self.predict)

    def reconstruct(self, bands: Bands, length: int | None = None) -> Tensor:
        """Return the signal (batch, length, channels) of these bands, as `unlift`."""
        return unlift(bands, length, self.estimate, self.predict)

    def band_lengths(self, length: int) -> list[int]:
        """Return the lengths of the bands, coarsest first. Raises ValueError if the level is too deep."""
        return lifted_lengths(length, self.level)


def _mirrored(dec_lo: Tensor, authors_flip: bool) -> FilterBank:
    """Return the bank of a low-pass filter, its low-pass filters reversed along the channels where asked for."""
    bank = quadrature_mirror(dec_lo)
    if authors_flip:
        return bank._replace(dec_lo=bank.dec_lo.flip(1), rec_lo=bank.rec_lo.flip(1))
    return bank


def _check_level(level: int) -> None:
    if level < 1:
        raise ValueError(f"level={level}: expected at least 1")


def _check_taps(taps: int) -> None:
    if taps < 2 or taps % 2:
        raise ValueError(f"taps={taps}: expected an even number, 2 or more")
