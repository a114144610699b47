"""Wavelet transforms with gradients: PyWavelets' verbs and names on torch, channels last, filters fixed or learned."""

from .banks import DirectBank, FixedBank
from .filters import FilterBank, daubechies, filter_bank, quadrature_mirror
from .transform import MODES, max_level, wavedec, waverec

__all__ = [
    "MODES",
    "DirectBank",
    "FilterBank",
    "FixedBank",
    "daubechies",
    "filter_bank",
    "max_level",
    "quadrature_mirror",
    "wavedec",
    "waverec",
]
