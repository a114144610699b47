"""Oracle: the same transforms by torch's convolutions, in float64; what torch's own modes and transforms see."""

import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from wise_lra.benchmark.measure import peak_memory
from wise_lra.wavelets import MODES, FilterBank, trilinear, wavedec, waverec
from wise_lra.wavelets.extension import Extension

WITHIN = {torch.float32: 1e-6, torch.float64: 1e-13}


def without_kernels(call: Callable[[], tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trilinear, "_kernels", lambda: None)
        return call()


def check_same(ours: tuple[Tensor, ...], theirs: tuple[Tensor, ...], within: float) -> None:
    """Bound the differences in units of the largest value."""
    for found, expected in zip(ours, theirs, strict=True):
        assert found.shape == expected.shape
        if expected.numel():
            assert (found - expected).abs().max() <= within * max(1e-3, expected.abs().max().item())


def everything(x: Tensor, bank: FilterBank, level: int, mode: str) -> tuple[Tensor, ...]:
    """Return bands, signal, gradients by the signal and the four filters, and a second derivative by each."""
    length, inputs = x.shape[1], (x, *bank)
    bands = wavedec(x, bank, level, mode)
    y = waverec([band * band for band in bands], bank, length, mode)
    gradients = torch.autograd.grad((y * y).sum() + bands[0].sum(), inputs, create_graph=True)
    second = torch.autograd.grad(sum(g.square().sum() for g in gradients), inputs)
    return tuple(t.detach() for t in (*bands, y, *gradients, *second))


@pytest.mark.parametrize("dtype", WITHIN)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("batch", "length", "channels", "taps", "level"),
    [
        *((2, 1, 3, 2, 1), (1, 7, 1, 8, 1), (3, 101, 17, 2, 3), (2, 64, 33, 6, 2), (1, 301, 20, 16, 3)),
        *((2, 75, 2, 40, 1), (1, 600, 5, 256, 1), (0, 33, 4, 4, 2)),
    ],
)
@pytest.mark.filterwarnings("ignore:level=")
def test_kernels_are_the_plain_form(
    batch: int, length: int, channels: int, taps: int, level: int, mode: str, dtype: torch.dtype
) -> None:
    if length == 1 and mode == "antireflect":
        pytest.skip("PyWavelets refuses it")
    torch.manual_seed(0)
    scale = taps**-0.5
    x = torch.randn(batch, length, channels, dtype=dtype, requires_grad=True)
    bank = FilterBank(*(scale * torch.randn(taps, channels, dtype=dtype) for _ in range(4)))
    bank = FilterBank(*(taps.requires_grad_() for taps in bank))
    exact = x.detach().double().requires_grad_()
    doubles = FilterBank(*(taps.detach().double().requires_grad_() for taps in bank))
    theirs = without_kernels(lambda: everything(exact, doubles, level, mode))
    check_same(everything(x, bank, level, mode), theirs, 10 * WITHIN[dtype])


@pytest.mark.parametrize("dtype", WITHIN)
@pytest.mark.parametrize("taps", [2, 4, 10, 40, 128, 256])
@pytest.mark.parametrize("channels", [1, 16, 37])
def test_each_sum_is_the_plain_one(channels: int, taps: int, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    extension = Extension(501, taps - 2, 1 + taps % 4, "reflect")
    count = extension.count(taps)
    x = torch.randn(2, 501, channels, dtype=dtype)
    a, d = torch.randn(2, 2, count, channels, dtype=dtype)
    low, high = torch.randn(2, taps, channels, dtype=dtype)
    for by, others in enumerate(((a, d, low, high), (x, low, high), (x, a, d))):
        kernels = trilinear.kernels_for(*others)
        assert kernels is not None
        theirs = without_kernels(
            lambda by=by, others=others: trilinear._Derivative.forward(
                by, extension, *(t.double() for t in others)
            )
        )
        check_same(kernels.derivative(by, extension, *others), theirs, WITHIN[dtype])


def moved(x: Tensor) -> list[Tensor]:
    """Return the values of ``x`` in other layouts, the last one with its sign left to be taken."""
    negative = torch.complex(torch.zeros_like(x), -x).conj().imag
    assert negative.is_neg()
    return [x.mT.contiguous().mT, torch.stack([x, x], dim=3)[..., 1], x.flip(1).flip(1)[:, :], negative]


def test_a_signal_may_lie_in_memory_as_it_likes() -> None:
    torch.manual_seed(0)
    x, low = torch.randn(3, 50, 18), torch.randn(8, 18)
    expected = wavedec(x, low, 2)
    for other in moved(x):
        assert all(map(torch.equal, wavedec(other, low, 2), expected))
    for some in zip(*(moved(band) for band in expected), strict=True):
        assert torch.equal(waverec(some, low, 50), waverec(expected, low, 50))
    shared = torch.randn(8)
    assert all(map(torch.equal, wavedec(x, shared, 2), wavedec(x, shared[:, None].expand(8, 18), 2)))


def test_threads_change_nothing() -> None:
    torch.manual_seed(0)
    x = torch.randn(4, 1000, 72, requires_grad=True)
    low = torch.randn(16, 72, requires_grad=True)

    def run() -> tuple[Tensor, ...]:
        y = waverec(wavedec(x, low, 2), low, 1000)
        return y.detach(), *torch.autograd.grad(y.sum(), (x, low))

    before, alone = torch.get_num_threads(), run()
    try:
        for threads in (2, 3):
            torch.set_num_threads(threads)
            with ThreadPoolExecutor(3) as callers:
                results = [callers.submit(run) for _ in range(6)]
            for result in results:
                assert all(map(torch.equal, result.result(), alone))
    finally:
        torch.set_num_threads(before)


def test_what_looks_at_operations_sees_them() -> None:
    x, low = torch.randn(2, 64, 3, requires_grad=True), torch.randn(8, 3)
    with FlopCounterMode(display=False) as flops:
        bands = wavedec(x, low, 1)
    assert flops.get_total_flops() == 2 * 2 * 8 * bands[0].numel()
    bands = wavedec(x, low, 1)
    with FlopCounterMode(display=False) as flops:
        (gradient,) = torch.autograd.grad(bands, x, bands)
    assert flops.get_total_flops() > 0
    torch.testing.assert_close(gradient, torch.autograd.grad(wavedec(x, low, 1), x, bands)[0])


def test_gradients_in_batches_are_those_one_by_one() -> None:
    """Of the signal: this kind of vmap cannot take the plain form's gradients of filters either."""
    torch.manual_seed(0)
    x, low = torch.randn(2, 40, 3, requires_grad=True), torch.randn(8, 3)
    y = waverec(wavedec(x, low, 2), low, 40)
    several = torch.randn(5, *y.shape)
    (found,) = torch.autograd.grad(y, x, several, is_grads_batched=True, retain_graph=True)
    each = [torch.autograd.grad(y, x, one, retain_graph=True)[0] for one in several]
    torch.testing.assert_close(found, torch.stack(each), atol=1e-4, rtol=1e-5)


def test_memory_does_not_grow() -> None:
    x = torch.randn(2, 4096, 16, requires_grad=True)
    low = torch.randn(16, 16, requires_grad=True)

    def work() -> tuple[Tensor, ...]:
        return torch.autograd.grad(waverec(wavedec(x, low, 3), low, 4096).sum(), (x, low))

    cpu, plain = torch.device("cpu"), []
    without_kernels(lambda: plain.append(peak_memory(work, cpu)) or ())
    assert x.nbytes < peak_memory(work, cpu) <= plain[0]


def test_numba_that_cannot_compile_is_done_without(monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.randn(2, 64, 3)
    expected = wavedec(x, "db4", 2)
    kernels = trilinear.kernels_for(x)
    assert kernels is not None

    def broken(*_: object) -> None:
        raise RuntimeError("no LLVM")

    monkeypatch.setattr(kernels, "derivative", broken)
    trilinear._kernels.cache_clear()
    try:
        assert trilinear.kernels_for(x) is None
        for ours, theirs in zip(wavedec(x, "db4", 2), expected, strict=True):
            torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    finally:
        trilinear._kernels.cache_clear()


PROGRAM = """
import os, resource, sys, warnings
warnings.simplefilter("error")
import numpy as np
import torch
from wise_lra import wavelets
assert not {"numba", "llvmlite"} & sys.modules.keys()
torch.set_num_threads(2)
x = torch.randn(4, 2048, 64, requires_grad=True)
low = torch.randn(16, 64, requires_grad=True)
def work():
    return torch.autograd.grad(wavelets.waverec(wavelets.wavedec(x, low, 2), low, 2048).sum(), (x, low))
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
work()
from wise_lra.wavelets import kernels
parts = kernels._analyse, kernels._synthesise, kernels._filter_gradients
print(*(sum(part.stats.cache_hits.values()) for part in parts), *(len(part.signatures) for part in parts))
from wise_lra.wavelets.extension import Extension
sum_of = 1, Extension(2048, 14, 16, "reflect"), x, low, low
bands = kernels.derivative(*sum_of)
child = os.fork()  # which has none of the threads; of torch's own operations those with threads would hang there
if not child:
    os._exit(0 if all(map(np.array_equal, kernels.derivative(*sum_of), bands)) else 1)
print(os.waitpid(child, 0)[1])
from wise_lra.performance import keep_freed_memory
keep_freed_memory()
for _ in range(20):
    work()
before = faults()
for _ in range(5):
    work()
print((faults() - before) // 5)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="page faults and forks are counted and made on Linux")
def test_importing_compiles_nothing_and_the_first_call_is_silent(tmp_path: Path) -> None:
    """A second process finds the kernels in the cache; neither touches new pages at every call."""
    told = []
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM],
            capture_output=True,
            text=True,
            timeout=200,
            env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)},
        )
        assert (done.returncode, done.stderr) == (0, "")
        told.append([[int(word) for word in line.split()] for line in done.stdout.splitlines()])
    (first, *rest), (second, *others) = told
    assert first == [0, 0, 0, 1, 1, 1]
    assert second == [1, 1, 1, 1, 1, 1]
    for (forked,), (faults,) in (rest, others):
        assert forked == 0
        assert faults <= 256  # a signal alone has 512 pages, and a call makes several of its size
