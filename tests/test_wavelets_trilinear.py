"""Oracle: the sums, written out by `torch.einsum` over gathered samples; their derivatives by autograd."""

import numpy as np
import pytest
import torch
from torch import Tensor

from wise_lra.wavelets import DirectBank, FilterBank, wavedec, waverec
from wise_lra.wavelets.trilinear import analyse, synthesise

SHAPES = [
    (2, 1, 1),
    (2, 7, 3),
    (4, 8, 2),
    (16, 9, 3),
    (16, 65, 2),
    (40, 3, 1),
    (40, 50, 4),
    (6, 700, 80),  # many channels: the filters' gradient is taken stretch by stretch
]  # taps, count, channels
PADDED = {
    **{"reflect": "reflect", "symmetric": "symmetric", "zero": "constant"},
    **{"periodization": "wrap", "periodic": "wrap", "constant": "edge"},
}  # numpy's names of the modes that repeat samples


forward_mode = pytest.mark.filterwarnings(
    "ignore:`torch.jit.script` is deprecated"
)  # torch's own, at its first forward derivative


def random(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


def written_out(x: Tensor, filters: Tensor) -> Tensor:
    return torch.einsum("bkcm,mc->bkc", x.unfold(1, filters.shape[0], 2), filters)


def check_same(ours: tuple[Tensor, ...], theirs: tuple[Tensor, ...], within: float = 1e-11) -> None:
    for found, expected in zip(ours, theirs, strict=True):
        torch.testing.assert_close(found, expected, atol=within, rtol=within)


@pytest.mark.parametrize(("taps", "count", "channels"), SHAPES)
def test_both_are_the_sum_and_so_are_their_gradients(taps: int, count: int, channels: int) -> None:
    torch.manual_seed(0)
    a, d = random(3, count, channels), random(3, count, channels)
    low, high = random(taps, channels), random(taps, channels)
    x = random(3, 2 * count + taps - 2, channels)
    inputs = (a, d, low, high, x)
    theirs = (a * written_out(x, low) + d * written_out(x, high)).sum()
    bands = analyse(x, low, high)
    for ours in ((synthesise(a, d, low, high) * x).sum(), (a * bands[0] + d * bands[1]).sum()):
        check_same((ours,), (theirs,))
        found = torch.autograd.grad(ours, inputs, retain_graph=True)
        check_same(found, torch.autograd.grad(theirs, inputs, retain_graph=True))


def plain_step(x: Tensor, bank: FilterBank, mode: str) -> tuple[Tensor, Tensor]:
    """Return the two bands of one level: each coefficient is gathered from the continued signal and summed."""
    n, taps = x.shape[1], bank.taps
    place = np.arange(n)
    if mode == "periodization" and n % 2:
        place = np.append(place, n - 1)
    before = taps // 2 - 1 if mode == "periodization" else taps - 2
    count = len(place) // 2 if mode == "periodization" else (n + taps - 1) // 2
    after = 2 * count + taps - 2 - before - len(place)
    if mode == "zero":
        x = torch.cat([x, torch.zeros_like(x[:, :1])], dim=1)  # place n: nothing
        place = np.pad(place, (before, max(after, 0)), constant_values=n)
    else:
        place = np.pad(place, (before, max(after, 0)), mode=PADDED[mode])
    place = place[: 2 * count + taps - 2]
    samples = x[:, torch.from_numpy(place)].unfold(1, taps, 2)
    return tuple(torch.einsum("bkcm,mc->bkc", samples, f.flip(0)) for f in (bank.dec_lo, bank.dec_hi))


@pytest.mark.parametrize("mode", PADDED)
@pytest.mark.parametrize(
    ("taps", "length"), [(2, 9), (4, 32), (10, 51), (16, 64), (16, 131), (40, 200), (40, 333)]
)
def test_random_filters_and_their_gradients_are_those_of_plain_sums(
    taps: int, length: int, mode: str
) -> None:
    torch.manual_seed(0)
    x = random(2, length, 3)
    bank = FilterBank(*(random(taps, 3) for _ in range(4)))
    inputs = (x, bank.dec_lo, bank.dec_hi)
    (low, high), (a, d) = wavedec(x, bank, 1, mode), plain_step(x, bank, mode)
    check_same((low, high), (a, d))
    weights = torch.randn_like(low), torch.randn_like(high)
    ours, theirs = ((w[0] * weights[0] + w[1] * weights[1]).sum() for w in ((low, high), (a, d)))
    check_same(torch.autograd.grad(ours, inputs), torch.autograd.grad(theirs, inputs), 1e-10)
    if length >= 2 * taps:
        deeper = wavedec(x, bank, 2, mode)
        check_same(tuple(deeper), (*plain_step(a, bank, mode), d), 1e-9)


@pytest.mark.parametrize("taps", [2, 10, 40])
def test_synthesis_of_random_filters_is_that_of_plain_sums(taps: int) -> None:
    """Zeros put between the coefficients, convolved, and cut at both ends: `pywt.upcoef`'s definition."""
    torch.manual_seed(0)
    bank = FilterBank(*(random(taps, 3) for _ in range(4)))
    length = 4 * taps + 3
    bands = [band.detach() for band in wavedec(random(2, length, 3), bank, 1)]
    joined = torch.zeros(2, 2 * bands[0].shape[1] + taps - 1, 3, dtype=torch.float64)
    for band, filters in zip(bands, (bank.rec_lo, bank.rec_hi), strict=True):
        for k in range(band.shape[1]):
            joined[:, 2 * k : 2 * k + taps] += (band[:, k, None] * filters).detach()
    expected = joined[:, taps - 2 : taps - 2 + length]
    check_same((waverec(bands, bank, length),), (expected,))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients_of_filters_do_not_vary_between_runs(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    x, low = torch.randn(4, 300, 5, dtype=dtype), torch.randn(16, 5, dtype=dtype, requires_grad=True)

    def gradient() -> Tensor:
        bands = wavedec(x, low, 2)
        return torch.autograd.grad(waverec(bands, low, 300).square().sum(), low)[0]

    assert torch.equal(gradient(), gradient())


def loss(x: Tensor, low: Tensor) -> Tensor:
    bands = wavedec(x, low, 2)
    return waverec([band.sin() for band in bands], low, x.shape[1]).square().sum()


@forward_mode
def test_forward_derivatives_are_those_of_backward_ones() -> None:
    torch.manual_seed(0)
    primals = torch.randn(2, 22, 3, dtype=torch.float64), torch.randn(4, 3, dtype=torch.float64)
    tangents = tuple(torch.randn_like(value) for value in primals)
    gradients = torch.func.grad(loss, argnums=(0, 1))(*primals)
    slope = sum((g * t).sum() for g, t in zip(gradients, tangents, strict=True))
    torch.testing.assert_close(torch.func.jvp(loss, primals, tangents)[1], slope)
    forward_over_backward = torch.func.hessian(loss, argnums=(0, 1))(*primals)
    backward_twice = torch.func.jacrev(torch.func.jacrev(loss, argnums=(0, 1)), argnums=(0, 1))(*primals)
    torch.testing.assert_close(forward_over_backward, backward_twice)


@forward_mode
def test_forward_derivatives_by_finite_differences() -> None:
    torch.manual_seed(0)
    x, a, d, low, high = random(2, 10, 2), random(2, 4, 2), random(2, 4, 2), random(4, 2), random(4, 2)
    check = {"check_forward_ad": True, "check_backward_ad": False}
    assert torch.autograd.gradcheck(analyse, (x, low, high), **check)
    assert torch.autograd.gradcheck(synthesise, (a, d, low, high), **check)


def test_gradients_under_vmap_over_signals_and_filters() -> None:
    torch.manual_seed(0)
    x, low, high = torch.randn(5, 2, 22, 3), torch.randn(5, 4, 3), torch.randn(5, 4, 3)

    def total(x: Tensor, low: Tensor, high: Tensor) -> Tensor:
        a, d = analyse(x, low, high)
        return (synthesise(a.sin(), d, low, high) * x).sum()

    gradient = torch.func.grad(total, argnums=(0, 1, 2))
    found = torch.func.vmap(gradient)(x, low, high)
    each = [gradient(*inputs) for inputs in zip(x, low, high, strict=True)]
    check_same(found, tuple(torch.stack(one) for one in zip(*each, strict=True)), 1e-4)


@pytest.mark.parametrize("mapped", [0, 1], ids=["low band", "high band"])
def test_synthesis_under_vmap_over_one_band_alone(mapped: int) -> None:
    torch.manual_seed(0)
    bands = [torch.randn(2, 5, 3, dtype=torch.float64) for _ in "ad"]
    filters = [torch.randn(4, 3, dtype=torch.float64) for _ in "ad"]
    several = torch.randn(6, 2, 5, 3, dtype=torch.float64)

    def joined(band: Tensor) -> Tensor:
        return synthesise(*(band if k == mapped else bands[k] for k in range(2)), *filters)

    torch.testing.assert_close(torch.vmap(joined)(several), torch.stack([joined(band) for band in several]))


def test_bf16_signals_stay_in_float32_between_levels() -> None:
    torch.manual_seed(0)
    bank, x = DirectBank(taps=8, channels=3, level=3), torch.randn(2, 200, 3).bfloat16()
    for band, exact in zip(bank.decompose(x), bank.decompose(x.float()), strict=True):
        assert torch.equal(band, exact.bfloat16())


def test_gradients_taken_inside_autocast_are_in_float32() -> None:
    torch.manual_seed(0)
    bank, x = DirectBank(taps=8, channels=3, level=2), torch.randn(2, 64, 3)

    def gradient() -> Tensor:
        return torch.autograd.grad(bank.reconstruct(bank.decompose(x), 64).square().sum(), bank.dec_lo)[0]

    with torch.autocast("cpu", torch.bfloat16):
        inside = gradient()
    assert torch.equal(inside, gradient())


def test_tf32_is_off_while_the_sums_are_taken_and_as_it_was_afterwards(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What cuDNN would do can be seen on a GPU only; what it is told, here."""
    told = []
    real = torch.nn.functional.conv2d

    def conv2d(*args: object, **kwargs: object) -> Tensor:
        told.append(torch.backends.cudnn.conv.fp32_precision)
        return real(*args, **kwargs)

    monkeypatch.setattr("wise_lra.wavelets.trilinear.conv2d", conv2d)
    monkeypatch.setattr("wise_lra.wavelets.trilinear._kernels", lambda: None)
    before = torch.backends.cudnn.allow_tf32
    wavedec(torch.randn(1, 16, 1), torch.ones(2), 1)
    assert told == ["ieee", "ieee"]
    assert torch.backends.cudnn.allow_tf32 == before
