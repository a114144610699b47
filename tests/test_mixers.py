"""Oracles: the dense definition of every attention and transform, written out here over all pairs of positions."""

import math
from collections.abc import Callable
from functools import partial

import pytest
import torch
from attentions import ATTENTIONS as SMALL
from attentions import HEADS
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
from wise_lra.mixers.attention import MultiHeadAttention
from wise_lra.wavelets import DirectBank, FixedBank

LENGTH, D_MODEL = 30, 8
ATTENTIONS = SMALL | {"longformer": partial(Longformer, **HEADS, window=8)}


def made(factory: Callable[..., nn.Module], length: int = LENGTH, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return factory(d_model=D_MODEL, length=length).eval()


def sequence(length: int = LENGTH, batch: int = 3) -> Tensor:
    return torch.randn(batch, length, D_MODEL, generator=torch.Generator().manual_seed(1))


def masked(length: int = LENGTH) -> Tensor:
    return torch.arange(length).expand(3, length) < torch.tensor([[7], [19], [length]])


def dense(attention: MultiHeadAttention, x: Tensor, weights: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Return the attention with weights (batch, heads, length, length) before normalisation, from q and k."""
    query, key, value = (
        part.unflatten(-1, (attention.heads, -1)).transpose(1, 2)
        for part in attention.qkv(x).chunk(3, dim=-1)
    )
    pairs = weights(query, key)
    mixed = (pairs / pairs.sum(dim=-1, keepdim=True)) @ value
    return attention.output(mixed.transpose(1, 2).flatten(2))


def exponential(allowed: Tensor | None = None) -> Callable[[Tensor, Tensor], Tensor]:
    def weights(query: Tensor, key: Tensor) -> Tensor:
        pairs = (query @ key.mT / math.sqrt(query.shape[-1])).exp()
        return pairs if allowed is None else pairs * allowed

    return weights


def test_softmax_attention() -> None:
    attention, x, mask = made(ATTENTIONS["softmax"]), sequence(), masked()
    torch.testing.assert_close(attention(x), dense(attention, x, exponential()))
    torch.testing.assert_close(attention(x, mask), dense(attention, x, exponential(mask[:, None, None, :])))


@pytest.mark.parametrize(
    ("name", "phi"),
    [
        ("linear", lambda t: torch.where(t > 0, t + 1, t.exp())),
        ("performer", lambda t: torch.where(t > 0, t, 0.0) + 1e-3),
    ],
)
def test_a_kernel_attention_is_the_quadratic_sum(name: str, phi: Callable[[Tensor], Tensor]) -> None:
    attention, x, mask = made(ATTENTIONS[name]), sequence(), masked()

    def kernel(query: Tensor, key: Tensor) -> Tensor:
        return (phi(query) @ phi(key).mT) * mask[:, None, None, :]

    torch.testing.assert_close(attention(x, mask), dense(attention, x, kernel))


def test_performer_wise_normalises_query_key_and_value_over_a_head() -> None:
    attention, x, mask = made(ATTENTIONS["performer_wise"]), sequence(), masked()
    for parameter in attention.norms.parameters():  # each of the six counts
        parameter.data = torch.rand_like(parameter) + 0.5
    assert [tuple(parameter.shape) for parameter in attention.norms.parameters()] == 6 * [(4,)]
    parts = [t.unflatten(-1, (2, 4)).transpose(1, 2) for t in attention.qkv(x).chunk(3, dim=-1)]
    query, key, value = (
        (t - t.mean(-1, True)) / (t.var(-1, correction=0, keepdim=True) + 1e-6).sqrt() * norm.weight
        + norm.bias
        for norm, t in zip(attention.norms, parts, strict=True)
    )
    pairs = ((query.relu() + 1e-3) @ (key.relu() + 1e-3).mT) * mask[:, None, None, :]
    mixed = (pairs / pairs.sum(dim=-1, keepdim=True)) @ value
    torch.testing.assert_close(attention(x, mask), attention.output(mixed.transpose(1, 2).flatten(2)))


def test_performer_gives_the_mean_where_no_feature_is_positive() -> None:
    attention, x, mask = made(ATTENTIONS["performer"]), sequence(), masked()
    attention.qkv.weight.data[:16] = 0  # queries and keys
    out = attention(x, mask)
    value = attention.qkv(x)[:, :, 16:] * mask.unsqueeze(2)
    mean = attention.output(value.sum(dim=1, keepdim=True) / mask.sum(dim=1)[:, None, None])
    torch.testing.assert_close(out, mean.expand_as(out))
    out.sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in attention.parameters())


def test_linformer_with_the_identity_is_softmax_attention() -> None:
    attention, x = made(partial(Linformer, **HEADS, rank=LENGTH)), sequence()
    attention.compress.data = torch.eye(LENGTH)
    torch.testing.assert_close(attention(x), dense(attention, x, exponential()))


def test_linformer_compresses_keys_and_values() -> None:
    attention, x, mask = made(ATTENTIONS["linformer"]), sequence(), masked()
    query, key, value = (
        part.unflatten(-1, (2, -1)).transpose(1, 2) for part in attention.qkv(x).chunk(3, dim=-1)
    )
    small = attention.compress.mT.expand(3, 2, -1, -1)
    real = mask[:, None, :, None]
    pairs = (query @ (small @ (key * real)).mT / math.sqrt(4)).softmax(dim=-1)
    expected = attention.output((pairs @ (small @ (value * real))).transpose(1, 2).flatten(2))
    torch.testing.assert_close(attention(x, mask), expected)


def test_linformer_takes_a_shorter_input_as_one_that_is_padded() -> None:
    attention, x = made(ATTENTIONS["linformer"]), sequence()
    mask = (torch.arange(LENGTH) < 20).expand(len(x), -1)
    torch.testing.assert_close(attention(x[:, :20]), attention(x, mask)[:, :20])


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("window", [2, 8, 12, 60, 200])
@pytest.mark.parametrize("length", [1, 29, 30, 64])
def test_longformer_is_softmax_attention_under_the_band(window: int, length: int, symmetric: bool) -> None:
    """LRA's window, the one that is not symmetric, is keys i - (w/2 - 1) to i + w/2."""
    factory = partial(Longformer, **HEADS, window=window, symmetric=symmetric)
    attention, x = made(factory, length), sequence(length)
    place = torch.arange(length)
    offset, before = place - place[:, None], window // 2 if symmetric else window // 2 - 1
    band = (offset >= -before) & (offset <= window // 2)
    torch.testing.assert_close(attention(x), dense(attention, x, exponential(band)))
    if length == 30:
        mask = masked()
        allowed = band & mask[:, None, None, :]
        near = (allowed.any(dim=-1) & mask[:, None, :]).squeeze(1)
        expected = dense(attention, x, exponential(allowed))
        torch.testing.assert_close(attention(x, mask)[near], expected[near])


def test_performer_estimates_softmax_without_bias_and_better_with_more_features() -> None:
    """The mean over draws of the unnormalised weight is exp(q . k); the variance is that of the paper's lemma 2."""
    x = sequence(6, batch=1) / 4
    draws = 3000
    attention = made(partial(PerformerFavor, heads=1, qkv_dim=8, features=8), 6)
    query, key, _ = attention.qkv(x).chunk(3, dim=-1)
    scale = 8**-0.25
    exact = ((query * scale) @ (key * scale).mT).exp()[0]
    estimates = torch.empty(draws, 6, 6)
    for draw in range(draws):
        directions = made(partial(PerformerFavor, heads=1, qkv_dim=8, features=8), 6, seed=draw).directions
        features = [
            (t[0] * scale @ directions.mT - (t[0] * scale).square().sum(-1, keepdim=True) / 2).exp()
            for t in (query, key)
        ]
        estimates[draw] = features[0] @ features[1].mT / 8
    spread = estimates.std(dim=0) / math.sqrt(draws)
    assert ((estimates.mean(dim=0) - exact).abs() < 5 * spread).all()
    sums = ((query[0][:, None] + key[0][None]) * scale).square().sum(dim=-1)
    independent = (
        exact.square() * (sums.exp() - 1) / 8
    )  # Choromanski et al., lemma 2; orthogonal ones have less
    assert (estimates.var(dim=0) < 1.5 * independent).all()
    errors = []
    for features in (16, 256, 4096):
        attention = made(partial(PerformerFavor, heads=1, qkv_dim=8, features=features), 6)
        errors.append((attention(x) - dense(attention, x, exponential())).abs().max().item())
    assert errors[2] < 0.02
    assert errors[2] < errors[1] < errors[0]


def test_performer_masks_and_stays_finite_far_out() -> None:
    attention, x, mask = made(partial(PerformerFavor, **HEADS, features=2048)), sequence(), masked()
    expected = dense(attention, x / 2, exponential(mask[:, None, None, :]))
    torch.testing.assert_close(attention(x / 2, mask), expected, atol=0.05, rtol=0.1)
    assert attention(1000 * x, mask).isfinite().all()


@pytest.mark.parametrize("orthonormal", [False, True])
def test_fnet_is_the_product_with_two_fourier_matrices(orthonormal: bool) -> None:
    def matrix(n: int) -> Tensor:
        place = torch.arange(n, dtype=torch.float64)
        return torch.exp(-2j * math.pi * place[:, None] * place / n) / (math.sqrt(n) if orthonormal else 1)

    x = sequence()
    expected = (matrix(LENGTH) @ x.to(torch.complex128) @ matrix(D_MODEL)).real
    mixer = made(partial(FourierMixer, orthonormal=orthonormal))
    torch.testing.assert_close(mixer(x).double(), expected, atol=1e-5 * expected.std().item(), rtol=1e-5)


class Identity(nn.Module):
    """Mixes nothing."""

    def __init__(self, d_model: int, length: int) -> None:
        super().__init__()
        self.length = length

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        assert x.shape[1] == self.length
        return x


@pytest.mark.parametrize("length", [29, 30])
def test_fourier_and_wavelet_space_around_the_identity_are_the_identity(length: int) -> None:
    x = sequence(length)
    for mixer in (
        partial(FourierAttention, attention=Identity),
        partial(WaveletSpace, attention=Identity, bank=partial(FixedBank, wavelet="db2", level=2)),
        partial(WaveletSpace, attention=Identity, bank=partial(DirectBank, taps=4)),
    ):
        torch.testing.assert_close(made(mixer, length)(x), x, atol=1e-5, rtol=1e-5)


def test_every_band_has_an_attention_with_weights_of_its_own() -> None:
    space = made(
        partial(
            WaveletSpace, attention=ATTENTIONS["softmax"], bank=partial(FixedBank, wavelet="db2", level=2)
        )
    )
    assert len(space.attentions) == 3
    assert (
        len({weight.data_ptr() for attention in space.attentions for weight in attention.parameters()}) == 6
    )


def test_fit_parameters_keeps_the_projections_of_one_attention() -> None:
    space = made(
        partial(
            WaveletSpace,
            attention=ATTENTIONS["softmax"],
            bank=partial(FixedBank, wavelet="db2"),
            fit_parameters=True,
        )
    )
    alone = made(ATTENTIONS["softmax"])
    count = [sum(p.numel() for p in module.parameters()) for module in (space, alone)]
    assert count[0] == count[1]


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: SoftmaxAttention(8, 4, heads=3, qkv_dim=8), "heads=3"),
        (lambda: SoftmaxAttention(8, 0, heads=2, qkv_dim=8), "length=0"),
        (lambda: SoftmaxAttention(8, 4, heads=2, qkv_dim=8, dropout=1.0), "dropout=1.0"),
        (lambda: Linformer(8, 4, 2, 8, rank=0), "rank=0"),
        (lambda: made(ATTENTIONS["linformer"])(sequence(31)), "length 31"),
        (lambda: PerformerFavor(8, 4, 2, 8, features=0), "features=0"),
        (lambda: Longformer(8, 4, 2, 8, window=7), "window=7"),
        (
            lambda: made(
                partial(WaveletSpace, attention=Identity, bank=partial(FixedBank, wavelet="db8", level=4))
            ),
            "level=4",
        ),
        (
            lambda: made(
                partial(
                    WaveletSpace,
                    attention=Identity,
                    bank=partial(FixedBank, wavelet="db2"),
                    fit_parameters=True,
                )
            ),
            "qkv_dim and heads",
        ),
    ],
)
def test_bad_input_is_named(call: Callable[[], object], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        call()
