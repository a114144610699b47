"""Oracle: PyWavelets around the bands, and Fourier coefficients named one by one, in float64."""

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import pywt
import torch
from attentions import ATTENTIONS, CHANNELS
from torch import Tensor, nn

from wise_lra.mixers import (
    FourierAttention,
    SoftmaxAttention,
    WaveletSpace,
)
from wise_lra.wavelets import BiorthogonalBank, DirectBank, FixedBank, LiftingBank, OrthogonalBank

BANKS: dict[str, Callable[..., nn.Module]] = {
    "fixed": partial(FixedBank, wavelet="db2", level=2),
    "direct": partial(DirectBank, taps=4, level=2),
    "orthogonal": partial(OrthogonalBank, taps=4, level=2),
    "biorthogonal": partial(BiorthogonalBank, taps=4, level=2),
    "lifting": partial(LiftingBank, level=2),
    "lifting, learned": partial(LiftingBank, level=2, taps=4),
}
close = partial(torch.testing.assert_close, rtol=1e-10, atol=1e-10)


@pytest.fixture(autouse=True)
def _double() -> object:
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    yield
    torch.set_default_dtype(torch.float32)


class Kept(nn.Module):
    """Lets the first positions through, or all, and holds what it is given against what it was built for."""

    def __init__(self, d_model: int, length: int, first: int | None = None) -> None:
        super().__init__()
        self.shape, self.first = (length, d_model), length if first is None else first

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        assert x.shape[1:] == self.shape
        assert mask is None
        return x * (torch.arange(x.shape[1]) < self.first)[:, None]


@pytest.mark.parametrize("name", BANKS)
@pytest.mark.parametrize("length", [16, 21])
def test_wavelet_space_around_the_identity_zeroes_padding_and_nothing_else(name: str, length: int) -> None:
    space = WaveletSpace(CHANNELS, length, BANKS[name], Kept)
    x, mask = torch.randn(3, length, CHANNELS), torch.arange(length) < torch.tensor([[length], [5], [1]])
    close(space(x), x)
    close(space(x, mask), x * mask.unsqueeze(2))


@pytest.mark.parametrize("name", ATTENTIONS)
def test_wavelet_space_is_an_attention_of_its_own_on_each_band_of_pywavelets(name: str) -> None:
    space = WaveletSpace(CHANNELS, 37, BANKS["fixed"], ATTENTIONS[name])
    x = torch.randn(3, 37, CHANNELS)
    bands = [torch.from_numpy(band) for band in pywt.wavedec(x.numpy(), "db2", "reflect", 2, axis=1)]
    mixed = [a(band).detach().numpy() for a, band in zip(space.attentions, bands, strict=True)]
    expected = np.ascontiguousarray(pywt.waverec(mixed, "db2", "reflect", axis=1)[:, :37])
    close(space(x), torch.from_numpy(expected))


def test_bands_that_cannot_share_the_width_are_refused() -> None:
    inner = partial(SoftmaxAttention, heads=4, qkv_dim=8)
    with pytest.raises(ValueError, match="qkv_dim=8 over 3 bands is 2 a band, which heads=4 does not divide"):
        WaveletSpace(CHANNELS, 64, BANKS["fixed"], inner, fit_parameters=True)


def fourier(length: int, first: int | None = None) -> nn.Module:
    return FourierAttention(CHANNELS, length, partial(Kept, first=first))


@pytest.mark.parametrize("length", [1, 2, 8, 21])
def test_fourier_attention_orders_coefficients_by_frequency_real_before_imaginary(length: int) -> None:
    x = torch.randn(3, length, CHANNELS)
    close(fourier(length)(x), x)
    close(fourier(length, first=2)(x), x.mean(dim=1, keepdim=True).expand_as(x))
    if length > 4:
        angle = 2 * math.pi * 2 * torch.arange(length, dtype=torch.float64)[None, :, None] / length
        cosine, sine = (wave.expand(1, -1, CHANNELS) for wave in (angle.cos(), angle.sin()))
        nothing = torch.zeros_like(cosine)
        close(fourier(length, first=4)(cosine), nothing)
        close(fourier(length, first=5)(cosine), cosine)
        close(fourier(length, first=5)(sine), nothing)
        close(fourier(length, first=6)(sine), sine)


def test_fourier_attention_zeroes_padding() -> None:
    x, mask = torch.randn(2, 21, CHANNELS), torch.arange(21) < torch.tensor([[21], [4]])
    close(fourier(21)(x, mask), x * mask.unsqueeze(2))


@pytest.mark.parametrize("length", [8, 21])
def test_fourier_attention_is_attention_between_two_dense_transforms(length: int) -> None:
    mixer, x = FourierAttention(CHANNELS, length, ATTENTIONS["softmax"]), torch.randn(2, length, CHANNELS)
    place, frequency = torch.arange(length), torch.arange(length // 2 + 1)
    angle = 2 * math.pi * (frequency[:, None] * place).double() / length
    parts = torch.stack([angle.cos(), -angle.sin()], dim=1).flatten(0, 1) / math.sqrt(length)
    twice = torch.where((frequency == 0) | (2 * frequency == length), 1.0, 2.0).repeat_interleave(2)
    expected = (parts.T * twice) @ mixer.attention(parts @ x)
    close(mixer(x), expected)
