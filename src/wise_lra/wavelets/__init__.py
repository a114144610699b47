"""Wavelet transforms with gradients: PyWavelets' verbs and names on torch, channels last, fixed or learned."""

from .banks import BiorthogonalBank, DirectBank, FixedBank, LiftingBank, OrthogonalBank
from .extension import MODES
from .filters import FilterBank, daubechies, filter_bank, orthogonal_filter, quadrature_mirror
from .lifting import lift, unlift
from .transform import max_level, wavedec, waverec

__all__ = [
    "MODES",
    "BiorthogonalBank",
    "DirectBank",
    "FilterBank",
    "FixedBank",
    "LiftingBank",
    "OrthogonalBank",
    "daubechies",
    "filter_bank",
    "lift",
    "max_level",
    "orthogonal_filter",
    "quadrature_mirror",
    "unlift",
    "wavedec",
    "waverec",
]
