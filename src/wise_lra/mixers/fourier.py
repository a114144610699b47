"""Mixing by the discrete Fourier transform: FNet, and attention learned in Fourier space."""

import torch
from torch import Tensor, nn

from .attention import full_precision
from .mixer import MixerFactory, zero_padding


class FourierMixer(nn.Module):
    """FNet: the real part of the 2-D Fourier transform over length and channels (Lee-Thorp et al. 2021, eq. 3).

    It has no parameters. The published transform is unnormalised and masks nothing: it belongs to a block with a
    LayerNorm *after* each residual (``model.block=fnet``).

    Args:
        d_model: channels of input and output; any.
        length: positions; any. Both are part of the signature of every mixer.
        orthonormal: divide by sqrt(length * d_model), and zero the padded positions first: for a pre-norm block,
            whose residual the unnormalised transform outweighs.
    """

    def __init__(self, d_model: int, length: int, orthonormal: bool = False) -> None:
        super().__init__()
        self.orthonormal = orthonormal

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Map ``x`` (batch, length, d_model) to the same shape; see `Mixer`."""
        if self.orthonormal:
            return torch.fft.fft2(full_precision(zero_padding(x, mask)), dim=(1, 2), norm="ortho").real
        return torch.fft.fft2(full_precision(x), dim=(1, 2)).real


class FourierAttention(nn.Module):
    """Attention on the Fourier coefficients of the sequence, then the inverse transform.

    The counterpart of `WaveletSpace` in Fourier space. The orthonormal transform over the length gives
    length // 2 + 1 complex coefficients a channel; real and imaginary parts stand next to each other as two
    positions of d_model channels, so that ``attention`` keeps its width and parameters, and a local attention sees
    neighbouring frequencies. Padded positions are zeroed first; coefficients have no padding.

    Args:
        d_model: channels of input and output.
        length: positions the layer is built for.
        attention: makes the inner mixer; called as ``attention(d_model=..., length=2 * (length // 2 + 1))``.
    """

    def __init__(self, d_model: int, length: int, attention: MixerFactory) -> None:
        super().__init__()
        self.attention = attention(d_model=d_model, length=2 * (length // 2 + 1))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Map ``x`` (batch, length, d_model) to the same shape; see `Mixer`."""
        spectrum = torch.fft.rfft(full_precision(zero_padding(x, mask)), dim=1, norm="ortho")
        parts = torch.view_as_real(spectrum).movedim(-1, 2)  # (batch, frequency, 2, d_model)
        mixed = full_precision(self.attention(parts.flatten(1, 2))).unflatten(1, (-1, 2))
        spectrum = torch.view_as_complex(mixed.movedim(2, -1).contiguous())
        return torch.fft.irfft(spectrum, n=x.shape[1], dim=1, norm="ortho")
