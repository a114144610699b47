"""Oracle: 32 examples with random labels, which a model that learns at all knows by heart soon."""

from collections.abc import Iterator
from itertools import product

import pytest
import torch
from hydra.utils import instantiate
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from wise_lra.config import compose, options

ATTENTIONS = [name for name in options("attention") if name != "none"]
HOLDING = [name for name in options("backbone") if not name.startswith("fnet")]
PAIRS = [("fnet", "none"), ("fnet_prenorm", "none"), *product(HOLDING, ATTENTIONS)]
# Every backbone and every attention at least once; `make test-slow` runs all pairs.
SAMPLE = [
    ("fnet", "none"),
    ("fnet_prenorm", "none"),
    ("vanilla", "longformer"),
    ("wise_fixed", "linformer"),
    ("wise_adaptive", "performer"),
    ("wise_orthogonal", "linear"),
    ("wise_lifting", "softmax"),
    ("wise_biorthogonal", "longformer"),
    ("fourier_attention", "softmax"),
    ("wise_fixed", "performer_wise"),
    ("vanilla", "performer_favor"),
]
SMALL = [
    *(
        "task=listops",
        "task.length=31",
        "data.buckets=1",
        "model.d_model=32",
        "model.depth=1",
        "model.mlp_dim=64",
    ),
    *("model.pool=mean", "model.dropout=0.0", "heads.dropout=0.0"),
    *("heads.number=2", "heads.qkv_dim=32", "wavelet.taps=4", "wavelet.name=db2", "wavelet.level=2"),
]
# Small enough for 32 positions to be more than they see.
NARROW = {
    "linformer": ["attention.mixer.rank=8"],
    "performer_favor": ["attention.mixer.features=64"],
    "longformer": ["attention.mixer.window=4"],
}


def built(backbone: str, attention: str) -> nn.Module:
    torch.manual_seed(0)
    choice = [f"backbone={backbone}", f"attention={attention}", *NARROW.get(attention, [])]
    return instantiate(compose([*SMALL, *choice]).model).train()


def examples() -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(1, 16, (32, 31), generator=generator)
    lengths = torch.randint(20, 32, (32, 1), generator=generator)
    return tokens, torch.arange(31) < lengths, torch.randint(0, 10, (32,), generator=generator)


def steps(model: nn.Module, most: int) -> Iterator[tuple[float, bool]]:
    """Yield the loss before each step, and whether the model knew all labels then."""
    tokens, mask, labels = examples()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(most):
        logits = model(tokens, mask)
        loss = cross_entropy(logits, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield loss.item(), bool((logits.argmax(dim=1) == labels).all())


def test_the_sample_holds_every_backbone_and_every_attention() -> None:
    assert {backbone for backbone, _ in SAMPLE} == set(options("backbone"))
    assert {attention for _, attention in SAMPLE} == set(options("attention"))
    assert set(SAMPLE) <= set(PAIRS)


@pytest.mark.parametrize(("backbone", "attention"), PAIRS)
def test_every_pair_takes_two_steps_that_move_every_parameter(backbone: str, attention: str) -> None:
    model = built(backbone, attention)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    losses = [loss for loss, _ in steps(model, 3)]
    assert losses[2] < losses[0]
    for name, parameter in model.named_parameters():
        assert torch.isfinite(parameter).all(), name
        assert not torch.equal(parameter, before[name]), name


def learns_by_heart(backbone: str, attention: str) -> bool:
    return any(known for _, known in steps(built(backbone, attention), 150))


@pytest.mark.parametrize(("backbone", "attention"), SAMPLE)
def test_a_sample_of_pairs_learns_32_examples_by_heart(backbone: str, attention: str) -> None:
    assert learns_by_heart(backbone, attention)


@pytest.mark.slow
@pytest.mark.parametrize(("backbone", "attention"), [pair for pair in PAIRS if pair not in SAMPLE])
def test_every_other_pair_learns_32_examples_by_heart(backbone: str, attention: str) -> None:
    assert learns_by_heart(backbone, attention)
