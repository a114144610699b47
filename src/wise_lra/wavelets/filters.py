"""Filters: Daubechies' of any length, orthogonal ones from angles, and PyWavelets' by name.

Names and orders are PyWavelets': ``dec_lo`` is convolved with the signal, ``rec_lo`` with the zero-stuffed band.
"""

import math
import re
from difflib import get_close_matches
from functools import lru_cache
from typing import NamedTuple, TypeAlias

import numpy as np
import pywt
import torch
from torch import Tensor

LONGEST_DAUBECHIES = 256


class FilterBank(NamedTuple):
    """Four filters of one length, each (taps,) shared by all channels or (taps, channels)."""

    dec_lo: Tensor
    dec_hi: Tensor
    rec_lo: Tensor
    rec_hi: Tensor

    @property
    def taps(self) -> int:
        """Length of each filter."""
        return self.dec_lo.shape[0]


Wavelet: TypeAlias = str | pywt.Wavelet | Tensor | FilterBank


def quadrature_mirror(dec_lo: Tensor) -> FilterBank:
    """Complete a low-pass filter: ``dec_hi[k] = (-1)^(k+1) dec_lo[taps-1-k]``, synthesis is analysis reversed.

    The bank reconstructs perfectly exactly when ``dec_lo`` has unit norm and is orthogonal to its even shifts.
    Raises ValueError where ``dec_lo`` is neither (taps,) nor (taps, channels).
    """
    if dec_lo.ndim not in (1, 2):
        raise ValueError(f"dec_lo of shape {tuple(dec_lo.shape)}: expected (taps,) or (taps, channels)")
    reverse = dec_lo.flip(0)
    sign = torch.ones_like(dec_lo)
    sign[0::2] = -1
    dec_hi = sign * reverse
    return FilterBank(dec_lo, dec_hi, reverse, dec_hi.flip(0))


def filter_bank(wavelet: str | pywt.Wavelet) -> FilterBank:
    """Return the float64 filters, each (taps,), of a `pywt.Wavelet`, a name or db1 to db128; else ValueError."""
    return FilterBank(*(torch.tensor(taps, dtype=torch.float64) for taps in _taps(wavelet)))


def as_bank(wavelet: Wavelet) -> FilterBank:
    """Return the filters that `wavedec` takes for ``wavelet``."""
    if isinstance(wavelet, FilterBank):
        return wavelet
    return quadrature_mirror(wavelet) if isinstance(wavelet, Tensor) else filter_bank(wavelet)


@torch.compiler.assume_constant_result
def _taps(wavelet: str | pywt.Wavelet) -> list[list[float]]:
    """Return the four filters as numbers; a compiler keeps these and does not look into PyWavelets."""
    try:
        return (wavelet if isinstance(wavelet, pywt.Wavelet) else pywt.Wavelet(wavelet)).filter_bank
    except (AttributeError, TypeError, ValueError) as error:
        name = re.fullmatch(r"db([1-9]\d*)", str(wavelet))
        if name and 2 * int(name[1]) <= LONGEST_DAUBECHIES:
            return [taps.tolist() for taps in quadrature_mirror(daubechies(2 * int(name[1])))]
        near = get_close_matches(str(wavelet), pywt.wavelist(kind="discrete"), n=1)
        raise ValueError(
            f"wavelet={wavelet!r}: expected one of pywt.wavelist(kind='discrete') or db1 to "
            f"db{LONGEST_DAUBECHIES // 2}{'; did you mean ' * bool(near)}{'?'.join([*near, ''])}"
        ) from error


def orthogonal_filter(angles: Tensor) -> Tensor:
    """Return a ``dec_lo``, (taps, channels), of unit norm and orthogonal to its even shifts, whatever the angles.

    ``angles`` is (taps/2, channels), in radians. A lattice of rotations of neighbouring pairs, each followed by a
    shift by one (Vaidyanathan and Hoang 1988; OrthoWavSpA in arXiv 2210.01989).
    Raises ValueError on another shape.
    """
    if angles.ndim != 2 or (not torch.jit.is_tracing() and angles.shape[0] == 0):
        raise ValueError(f"angles of shape {tuple(angles.shape)}: expected (taps/2, channels)")
    half, channels = angles.shape
    row = torch.zeros(2 * half, channels, dtype=angles.dtype, device=angles.device)
    row[0] = 1
    for angle in angles.unbind():
        first, second = row[0::2], row[1::2]
        sine, cosine = angle.sin(), angle.cos()
        pairs = torch.stack([first * sine + second * cosine, first * cosine - second * sine], dim=1)
        row = torch.roll(pairs.flatten(0, 1), 1, dims=0)
    return torch.roll(row, -1, dims=0)


def daubechies(taps: int) -> Tensor:
    """Return the minimum-phase Daubechies ``dec_lo``, (taps,) in float64, with taps/2 vanishing moments.

    ``daubechies(2 * k)`` is PyWavelets' ``db<k>``, which ends at 76 taps; here they go to 256.

    Raises:
        ValueError: ``taps`` is odd or outside 2 to 256.
    """
    if taps not in range(2, LONGEST_DAUBECHIES + 1, 2):
        raise ValueError(f"taps={taps}: expected an even number from 2 to {LONGEST_DAUBECHIES}")
    return torch.tensor(_daubechies(taps // 2), dtype=torch.float64)


@lru_cache
def _daubechies(moments: int) -> tuple[float, ...]:
    """Factor Daubechies' half-band polynomial (Ten Lectures on Wavelets, 6.1) on the unit circle.

    Multiplying roots out cancels catastrophically beyond 40 taps. Products of factors sampled on the circle
    cancel nothing, and an inverse FFT turns the samples into taps: about 1e-15 at any length.
    """
    y = _half_band_roots(moments)
    b = 1 - 2 * y
    root = np.sqrt(b * b - 1)  # z + 1/z = 2 - 4y has the solutions b + root and b - root
    z = np.where(np.abs(b + root) < 1, b + root, b - root)
    delay = np.exp(-1j * np.pi * np.arange(moments + 1) / moments)[:, None]  # z^-1 on the upper half circle
    gain = np.sqrt(2) * ((1 + delay[:, 0]) / 2) ** moments
    gain = gain * np.prod((1 - z * delay) / (1 - z), axis=1)
    return tuple(np.fft.irfft(gain, 2 * moments)[::-1])


def _half_band_roots(moments: int) -> np.ndarray:
    """Return the N-1 roots of ``P(y) = sum_k C(N-1+k, k) y^k``, each to float64 accuracy (N = moments).

    P's own sum loses 20 digits at N = 128. Its roots also solve ``I_y(N, N) = 1`` for the regularised incomplete
    beta function, whose series ``C(2N-1, N) (y (1-y))^N S(y)``, ``S = 2F1(2N, 1; N+1; y)``, loses none there.
    Newton's method runs on its logarithm, one branch ``2 pi i k`` a root.
    """
    n = moments
    branch = 2j * np.pi * np.arange(1, n // 2 + 1)
    scale = math.comb(2 * n - 1, n) / 4**n

    # Start from S = 1 / (1 - 2y), its limit for large N: w = 1 - 2y solves (1 - w^2)^N * scale = w exp(branch).
    w = np.full(n // 2, 0.5 + 0j)
    for _ in range(50):
        w = np.sqrt(1 - np.exp((branch + np.log(w / scale)) / n))
    y = (1 - w) / 2
    for _ in range(20):
        term = series = np.ones_like(y)
        for k in range(40 * n + 100):
            term = term * y * ((2 * n + k) / (n + 1 + k))
            series = series + term
        value = n * _log_on_branch(4 * y * (1 - y), branch / n) + np.log(scale * series) - branch
        y = y - value * y * (1 - y) * series / n
    return np.concatenate([y, y[: (n - 1) // 2].conj()])


def _log_on_branch(z: np.ndarray, near: np.ndarray) -> np.ndarray:
    """Return the logarithm of z whose imaginary part is nearest to that of ``near``."""
    log = np.log(z)
    return log + 2j * np.pi * np.round((near - log).imag / (2 * np.pi))
