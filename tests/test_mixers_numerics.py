"""Oracle: finite differences, float64 against less, and the convergence that the papers promise."""

import math
from collections.abc import Callable
from functools import partial

import pytest
import torch
from attentions import ATTENTIONS, CHANNELS, HEADS
from torch import Tensor, nn

from wise_lra.mixers import (
    FourierAttention,
    FourierMixer,
    Linformer,
    Longformer,
    PerformerFavor,
    SoftmaxAttention,
    WaveletSpace,
)
from wise_lra.mixers.performer_favor import orthogonal_directions
from wise_lra.wavelets import BiorthogonalBank, DirectBank, FixedBank, LiftingBank, OrthogonalBank

SPACES: dict[str, Callable[..., nn.Module]] = {
    "fnet": partial(FourierMixer, orthonormal=True),
    "fourier": partial(FourierAttention, attention=ATTENTIONS["softmax"]),
} | {
    name: partial(WaveletSpace, bank=bank, attention=ATTENTIONS["softmax"])
    for name, bank in {
        "fixed": partial(FixedBank, wavelet="db2"),
        "direct": partial(DirectBank, taps=4),
        "orthogonal": partial(OrthogonalBank, taps=4),
        "biorthogonal": partial(BiorthogonalBank, taps=4),
        "lifting": partial(LiftingBank, taps=4),
    }.items()
}


def made(factory: Callable[..., nn.Module], length: int) -> nn.Module:
    torch.manual_seed(0)
    return factory(d_model=CHANNELS, length=length).eval()


def sequence(length: int, batch: int = 3) -> Tensor:
    return torch.randn(batch, length, CHANNELS, generator=torch.Generator().manual_seed(1))


def padded(length: int, *real: int) -> Tensor:
    return torch.arange(length) < torch.tensor(real)[:, None]


@pytest.mark.parametrize("name", ATTENTIONS)
def test_gradients_are_those_of_finite_differences(name: str) -> None:
    """To autograd the stabilising factors of the kernel attentions are constants: they cancel."""
    mixer, x, mask = made(ATTENTIONS[name], 10).double(), sequence(10, 2).double(), padded(10, 10, 6)
    parameters = tuple(mixer.parameters())
    assert torch.autograd.gradcheck(lambda x, *_: mixer(x, mask)[mask], (x.requires_grad_(), *parameters))


@pytest.mark.parametrize("size", [0.0, 1.0, 1e3])
@pytest.mark.parametrize("name", [*ATTENTIONS, *SPACES])
def test_outputs_and_gradients_are_finite_whatever_the_size_of_the_input(name: str, size: float) -> None:
    mixer = made((ATTENTIONS | SPACES)[name], 24).train()
    x = (size * sequence(24)).requires_grad_()
    out = mixer(x, padded(24, 24, 7, 0))
    out.square().mean().backward()
    for tensor in (out, x.grad, *(parameter.grad for parameter in mixer.parameters())):
        assert torch.isfinite(tensor).all()


@pytest.mark.parametrize("name", [name for name in ATTENTIONS if name != "linformer"])
def test_how_long_the_padding_is_changes_nothing(name: str) -> None:
    mixer, x = made(ATTENTIONS[name], 40), sequence(40)
    short = mixer(x[:, :17], padded(17, 17, 17, 9))
    torch.testing.assert_close(mixer(x, padded(40, 17, 17, 9))[:, :9], short[:, :9])


@pytest.mark.parametrize("name", ATTENTIONS)
def test_a_position_that_is_masked_in_the_middle_reaches_no_other(name: str) -> None:
    mixer, x = made(ATTENTIONS[name], 40), sequence(40)
    mask = torch.rand(3, 40, generator=torch.Generator().manual_seed(2)) < 0.6
    other = torch.where(mask.unsqueeze(2), x, 100 * torch.ones_like(x))
    assert torch.equal(mixer(x, mask)[mask], mixer(other, mask)[mask])


@pytest.mark.parametrize("name", [*ATTENTIONS, *SPACES])
def test_autocast_to_bfloat16_stays_near_float32(name: str) -> None:
    mixer, x = made((ATTENTIONS | SPACES)[name], 64), sequence(64)
    exact = mixer(x)
    for given in (x.clone().requires_grad_(), x.bfloat16().requires_grad_()):
        with torch.autocast("cpu", torch.bfloat16):
            out = mixer(given).float()
        assert (out - exact).norm() < 0.03 * exact.norm()
        out.sum().backward()
        assert torch.isfinite(given.grad).all()


def test_dropout_drops_in_training_only() -> None:
    for kind in (SoftmaxAttention, Linformer, Longformer):
        mixer, x = made(partial(kind, **HEADS, dropout=0.5), 21), sequence(21)
        assert torch.equal(mixer(x), mixer(x))
        mixer.train()
        assert not torch.equal(mixer(x), mixer(x))


@pytest.mark.parametrize(("size", "least", "most"), [(0.5, 12, 21), (2, 0.8, 2)])
def test_favor_approaches_softmax_as_one_over_the_features_for_small_inputs_only(
    size: float, least: float, most: float
) -> None:
    """With 16 times the features the squared error falls by 16, but by little once |q + k|^2 is 10 and more.

    For the small ones the mean over draws lies a standard error away.
    """
    softmax, x = made(ATTENTIONS["softmax"], 12), sequence(12) * size
    exact = softmax(x)

    def estimates(features: int) -> Tensor:
        torch.manual_seed(0)
        draws = [orthogonal_directions(features, 4) for _ in range(60)]
        mixer = PerformerFavor(CHANNELS, 12, **HEADS, features=features)
        found = []
        for directions in draws:
            mixer.load_state_dict(softmax.state_dict() | {"directions": directions})
            found.append(mixer(x).detach())
        return torch.stack(found)

    many, few = estimates(2048), estimates(128)
    ratio = ((few - exact).square().mean() / (many - exact).square().mean()).item()
    assert least < ratio < most
    if size < 1:
        score = (many.mean(0) - exact) / (many.std(0) / math.sqrt(60))
        assert 0.6 < score.square().mean().sqrt() < 1.4


def test_directions_are_gaussian_orthogonal_in_blocks_and_drawn_from_torchs_generator() -> None:
    torch.manual_seed(0)
    directions = orthogonal_directions(4003, 5)
    torch.manual_seed(0)
    assert torch.equal(directions, orthogonal_directions(4003, 5))
    assert not torch.equal(directions, orthogonal_directions(4003, 5))
    gram = (blocks := directions[:4000].unflatten(0, (800, 5))) @ blocks.mT
    assert (gram - torch.diag_embed(gram.diagonal(dim1=1, dim2=2))).abs().max() < 1e-4
    assert directions.mean(0).abs().max() < 4 / math.sqrt(4003)
    assert (directions.T @ directions / 4003 - torch.eye(5)).abs().max() < 4 * math.sqrt(2 / 4003)
    squares = directions.square().sum(1)  # chi-squared of 5 degrees: variance 10
    assert squares.var().item() == pytest.approx(10, rel=0.15)
    assert "directions" in made(ATTENTIONS["performer_favor"], 8).state_dict()
