"""Oracle: arithmetic and elements touched, counted as torch's operations are dispatched; nothing is timed.

All tensors are fake, with shapes and no values: 65,536 positions cost nothing.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses import FakeTensorMode
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from wise_lra.mixers import (
    LinearAttention,
    Linformer,
    Longformer,
    Performer,
    PerformerFavor,
    SoftmaxAttention,
    WaveletSpace,
)
from wise_lra.wavelets import DirectBank, FixedBank, LiftingBank, OrthogonalBank

SHORT, LONG = 4096, 65536
BOUND = 2.1  # cost per doubling of the length
ATTENTIONS: dict[str, Callable[..., nn.Module]] = {
    "linear": LinearAttention,
    "linformer": Linformer,
    "longformer": Longformer,
    "longformer_lra": partial(Longformer, symmetric=False),
    "performer": Performer,
    "performer_favor": PerformerFavor,
}
BANKS: dict[str, Callable[..., nn.Module]] = {
    "fixed": partial(FixedBank, "db8"),
    "direct": partial(DirectBank, 16, 8),
    "orthogonal": partial(OrthogonalBank, 16, 8),
    "lifting": partial(LiftingBank, 8, taps=16),
}


class Touched(TorchDispatchMode):
    """Counts the elements of every tensor that an operation reads or writes."""

    def __init__(self) -> None:
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        tensors = [leaf for leaf in tree_leaves((args, kwargs, out)) if isinstance(leaf, Tensor)]
        self.elements += sum(tensor.numel() for tensor in tensors)
        return out


def costs(work: Callable[[Tensor], Tensor], length: int) -> tuple[int, int]:
    """Return multiplications and elements touched, forward and backward, by signal and parameters."""
    x = torch.empty(1, length, 8, requires_grad=True)
    with FlopCounterMode(display=False) as flops, Touched() as touched:
        out = work(x)
        out.backward(torch.empty_like(out))
    return flops.get_total_flops(), touched.elements


def growth(make: Callable[[int], tuple[nn.Module, Callable[[Tensor], Tensor]]]) -> list[float]:
    """Return by what each cost is multiplied when the length doubles."""
    with (
        FakeTensorMode(),
        sdpa_kernel(SDPBackend.MATH),
    ):  # the fused kernel is one operation: nothing to count
        short, long = (costs(make(length)[1], length) for length in (SHORT, LONG))
    doublings = math.log2(LONG / SHORT)
    return [(more / less) ** (1 / doublings) for less, more in zip(short, long, strict=True) if less]


def transform(bank: Callable[..., nn.Module], level: int, length: int) -> tuple[nn.Module, Any]:
    made = bank(level=level)
    return made, lambda x: made.reconstruct(made.decompose(x), length)


def layer(attention: Callable[..., nn.Module], length: int) -> tuple[nn.Module, Any]:
    made = WaveletSpace(8, length, BANKS["fixed"], partial(attention, heads=1, qkv_dim=8))
    return made, made


@pytest.mark.parametrize("level", [1, 8])
@pytest.mark.parametrize("name", BANKS)
def test_a_transform_costs_twice_as_much_on_a_signal_twice_as_long(name: str, level: int) -> None:
    found = growth(partial(transform, BANKS[name], level))
    assert all(1.9 < each <= BOUND for each in found), found


@pytest.mark.parametrize("name", ATTENTIONS)
def test_a_wavelet_layer_with_linear_attention_is_linear(name: str) -> None:
    found = growth(partial(layer, ATTENTIONS[name]))
    assert len(found) == 2
    assert all(1.9 < each <= BOUND for each in found), found


def test_both_counts_see_what_is_quadratic() -> None:
    assert min(growth(partial(layer, SoftmaxAttention))) > 3


@pytest.mark.parametrize("taps", [2, 16, 40])
def test_a_transform_multiplies_each_sample_once_a_tap(taps: int) -> None:
    """Two bands of half the samples, each a sum over the taps: there, as much back; two for multiply and add."""
    length = 4096
    with FakeTensorMode():
        module, work = transform(partial(FixedBank, f"db{taps // 2}"), 1, length)
        x = torch.empty(1, length, 8)
        with FlopCounterMode(display=False) as flops:
            work(x)
    coefficients = 2 * module.band_lengths(length)[0]
    assert flops.get_total_flops() <= 2 * 2 * coefficients * 8 * taps


def test_fixed_filters_keep_no_signal_alive_for_their_gradient() -> None:
    kept: list[int] = []

    def keep(tensor: Tensor) -> Tensor:
        kept.append(tensor.numel())
        return tensor

    for bank, most in ((FixedBank("db8"), 16), (DirectBank(16, 8), 4096 * 8)):
        kept.clear()
        x = torch.randn(1, 4096, 8, requires_grad=True)
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            bank.reconstruct(bank.decompose(x), 4096)
        assert (max(kept) > 4096) == (most > 4096)
