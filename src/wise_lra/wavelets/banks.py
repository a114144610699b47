"""Banks: filters, fixed or learned, with the two verbs that a mixer needs, `decompose` and `reconstruct`."""

from typing import Literal

import torch
from torch import Tensor, nn

from .filters import FilterBank, daubechies, filter_bank, quadrature_mirror
from .transform import MODES, band_lengths, wavedec, waverec


class _FilterBankModule(nn.Module):
    """What all banks of filters share: level, mode and the transform."""

    def __init__(self, level: int, mode: str) -> None:
        super().__init__()
        if level < 1:
            raise ValueError(f"level={level}: expected at least 1")
        if mode not in MODES:
            raise ValueError(f"mode={mode!r}: expected one of {', '.join(MODES)}")
        self.level, self.mode = level, mode

    def filters(self) -> FilterBank:
        """Return the filters of analysis and synthesis."""
        raise NotImplementedError

    def decompose(self, x: Tensor) -> list[Tensor]:
        """Return the bands ``[cA_n, cD_n, ..., cD_1]`` of ``x`` (batch, length, channels)."""
        return wavedec(x, self.filters(), self.level, self.mode)

    def reconstruct(self, bands: list[Tensor], length: int) -> Tensor:
        """Return the signal (batch, length, channels) of these bands."""
        return waverec(bands, self.filters(), length, self.mode)

    def band_lengths(self, length: int) -> list[int]:
        """Return the lengths of the bands, coarsest first. Raises ValueError if the level is too deep."""
        return band_lengths(length, self.filters().taps, self.level, self.mode)


class FixedBank(_FilterBankModule):
    """The filters of a discrete wavelet of PyWavelets, or of db1 to db128; nothing is learned.

    Raises:
        ValueError: no such wavelet, level below 1, or an unknown mode.
    """

    def __init__(self, wavelet: str, level: int = 1, mode: str = "reflect") -> None:
        super().__init__(level, mode)
        for name, taps in filter_bank(wavelet)._asdict().items():
            self.register_buffer(name, taps.to(torch.get_default_dtype()), persistent=False)

    def filters(self) -> FilterBank:
        """Return the four filters, each (taps,)."""
        return FilterBank(*(getattr(self, name) for name in FilterBank._fields))


class DirectBank(_FilterBankModule):
    """One learned low-pass filter a channel, the other three its quadrature mirrors (AdaWavSpA, arXiv 2210.01989).

    It reconstructs perfectly at the start; nothing keeps that in training.

    Args:
        taps: even length of the filters.
        channels: number of filters.
        init: "daubechies", or "sine": a decaying cosine, normalised.
        authors_flip: reconstruct channel c with the filters of channel channels-1-c, as the authors' code does by
            reversing both axes.

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
        bank = quadrature_mirror(self.dec_lo)
        if self.authors_flip:
            return bank._replace(rec_lo=bank.rec_lo.flip(1), rec_hi=bank.rec_hi.flip(1))
        return bank
