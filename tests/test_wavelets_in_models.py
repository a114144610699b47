"""The wavelet library in other people's models: in-place operations, open lengths, PyWavelets' calls, packages.

Oracles: the out-of-place form of each operation, the eager transform, PyWavelets, and the table of dependencies.
"""

import io
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import pywt
import torch
from torch import Tensor, nn
from torch._dynamo.testing import CompileCounterWithBackend
from torch.nn.functional import dropout

from wise_lra.wavelets import (
    MODES,
    BiorthogonalBank,
    DirectBank,
    FixedBank,
    LiftingBank,
    OrthogonalBank,
    lift,
    unlift,
    wavedec,
    waverec,
)

ROOT = Path(__file__).parents[1]
BANKS: dict[str, Callable[[], nn.Module]] = {
    **{f"fixed {mode}": lambda mode=mode: FixedBank("db4", level=2, mode=mode) for mode in MODES},
    "fixed haar": lambda: FixedBank("haar", level=3),
    "direct": lambda: DirectBank(taps=8, channels=3, level=2),
    "direct periodization": lambda: DirectBank(taps=8, channels=3, level=2, mode="periodization"),
    "orthogonal": lambda: OrthogonalBank(taps=8, channels=3, level=2),
    "biorthogonal": lambda: BiorthogonalBank(taps=8, channels=3, level=2),
    "lifting": lambda: LiftingBank(channels=3, level=3),
    "lifting adaptive": lambda: LiftingBank(channels=3, level=3, taps=4),
}
LEARNED = ["direct", "orthogonal", "biorthogonal", "lifting adaptive"]


def made(name: str) -> nn.Module:
    """Return a bank with random parameters: its own start would hide much."""
    torch.manual_seed(0)
    bank = BANKS[name]()
    for parameter in bank.parameters():
        nn.init.normal_(parameter)
    return bank


def signal(length: int, dtype: torch.dtype = torch.float64, batch: int = 2) -> Tensor:
    return torch.randn(batch, length, 3, dtype=dtype, generator=torch.Generator().manual_seed(length))


def check_same(ours: Tensor, theirs: Tensor, *inputs: Tensor, within: float = 1e-10) -> None:
    """Hold a value and its gradients by the inputs against those of another way."""
    torch.testing.assert_close(ours, theirs, atol=within, rtol=within)
    for found, expected in zip(
        *(torch.autograd.grad(y.sin().sum(), inputs) for y in (ours, theirs)), strict=True
    ):
        torch.testing.assert_close(found, expected, atol=within, rtol=within)


def odd_places(y: Tensor) -> Tensor:
    return (torch.arange(y.shape[1]) % 2 == 1)[:, None]


def dropped(y: Tensor, inplace: bool) -> Tensor:
    torch.manual_seed(2)
    return dropout(y, 0.5, inplace=inplace)


CHANGES: dict[str, tuple[Callable[[Tensor], object], Callable[[Tensor], Tensor]]] = {
    "+=": (lambda y: y.add_(0.5 * y.detach()), lambda y: y + 0.5 * y.detach()),
    "relu": (torch.relu_, torch.relu),
    "dropout": (lambda y: dropped(y, True), lambda y: dropped(y, False)),
    "mask": (lambda y: y.masked_fill_(odd_places(y), 0.0), lambda y: y.masked_fill(odd_places(y), 0.0)),
    "half of it": (lambda y: y[:, 3:].mul_(2), lambda y: torch.cat([y[:, :3], 2 * y[:, 3:]], dim=1)),
    "zero": (torch.zero_, lambda y: 0 * y),
}


@pytest.mark.parametrize("length", [40, 41])
@pytest.mark.parametrize("name", BANKS)
def test_results_can_be_changed_in_place(name: str, length: int) -> None:
    bank = made(name).double()
    x = signal(length).requires_grad_()
    for in_place, out_of_place in CHANGES.values():
        bands, same = bank.decompose(x), bank.decompose(x)
        for band in bands:
            in_place(band)
        same = [out_of_place(band) for band in same]
        ours, theirs = (bank.reconstruct([band.cos() for band in b], length) for b in (bands, same))
        in_place(ours)
        flat = [torch.cat([*b, y], dim=1) for b, y in ((bands, ours), (same, out_of_place(theirs)))]
        check_same(*flat, x, *bank.parameters())


def test_what_a_user_writes_into_is_nobody_elses() -> None:
    x = signal(16)
    results = [wavedec(x, "haar", 0), wavedec(x, "haar", 2), lift(x, 2), [waverec([x], "haar")]]
    results += [[waverec([x], "haar", 16)], [unlift([x])]]
    for some in results:
        assert len({t.untyped_storage().data_ptr() for t in [x, *some]}) == 1 + len(some)


class There(nn.Module):
    """Bands of the signal, changed, and the signal of them again, at whatever length comes."""

    def __init__(self, bank: nn.Module) -> None:
        super().__init__()
        self.bank = bank

    def forward(self, x: Tensor) -> Tensor:
        y = self.bank.reconstruct([band.sin() for band in self.bank.decompose(x)], x.shape[1])
        return y.cos() + x


class Named(nn.Module):
    wavelet = pywt.Wavelet("db4")

    def forward(self, x: Tensor) -> Tensor:
        return waverec(wavedec(x, self.wavelet, 2), "db4", x.shape[1])


def compilations(model: nn.Module, backend: str, lengths: list[int]) -> int:
    """Return how often a model is compiled for these lengths; values and gradients are the eager ones."""
    torch._dynamo.reset()
    counter = CompileCounterWithBackend(backend)
    compiled = torch.compile(model, backend=counter, dynamic=True, fullgraph=True)
    for length in lengths:
        x = signal(length).requires_grad_()
        check_same(compiled(x), model(x), x, *model.parameters(), within=1e-9)
    return counter.frame_count


TWENTY = [*range(41, 51), 63, 64, 65, 100, 127, 128, 200, 301, 512, 1000]


def test_one_graph_is_for_twenty_lengths() -> None:
    assert compilations(There(made("direct").double()), "eager", TWENTY) == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", [*BANKS, "named"])
def test_one_graph_with_its_gradients_is_for_twenty_lengths(name: str) -> None:
    model = Named() if name == "named" else There(made(name).double())
    assert compilations(model, "aot_eager", TWENTY) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "strict"),
    [*((name, False) for name in BANKS), ("named", False), ("named", True), ("direct", True)],
)
def test_exported_with_an_open_length(name: str, strict: bool) -> None:
    model = Named() if name == "named" else There(made(name).double())
    length = torch.export.Dim("length", min=28, max=4096)
    program = torch.export.export(model, (signal(50),), dynamic_shapes=({1: length},), strict=strict)
    for n in (28, 29, 50, 51, 333):
        torch.testing.assert_close(program.module()(signal(n)), model(signal(n)))


@pytest.mark.filterwarnings("ignore:`torch.jit")  # deprecated, and in use
@pytest.mark.parametrize(
    "name", ["fixed reflect", "lifting", *(pytest.param(name, marks=pytest.mark.slow) for name in BANKS)]
)
def test_a_trace_is_for_every_length_and_can_be_kept(name: str) -> None:
    model, file = There(made(name).double()), io.BytesIO()
    torch.jit.save(torch.jit.trace(model, (signal(50),)), file)
    file.seek(0)
    kept = torch.jit.load(file)
    for n in (28, 29, 50, 51, 333):
        torch.testing.assert_close(kept(signal(n)), model(signal(n)))


@pytest.mark.parametrize("wavelet", ["db4", "bior2.2", pywt.Wavelet("sym5"), "db40"])
def test_a_wavelet_is_a_name_or_an_object(wavelet: str | pywt.Wavelet) -> None:
    x = signal(200)
    bands = wavedec(x, wavelet, 1)
    torch.testing.assert_close(waverec(bands, wavelet), x)
    for band, same in zip(bands, FixedBank(wavelet).decompose(x), strict=True):
        assert torch.equal(band, same)
    if wavelet != "db40":  # beyond PyWavelets
        for band, theirs in zip(bands, pywt.wavedec(x.numpy(), wavelet, "reflect", 1, axis=1), strict=True):
            np.testing.assert_allclose(band.numpy(), theirs, atol=1e-12)


def test_a_level_that_is_too_deep_warns_and_is_computed_and_a_model_refuses_it() -> None:
    x, bank = signal(20), FixedBank("db4", level=3)
    with pytest.warns(UserWarning, match="level=3"):
        theirs = wavedec(x, "db4", 3)
    with pytest.warns(UserWarning, match="level=3") as said:
        bands = bank.decompose(x)
    assert said[0].filename == __file__
    assert len(said) == 1
    assert all(map(torch.equal, bands, theirs))
    torch.testing.assert_close(bank.reconstruct(bands, 20), x)
    with pytest.raises(ValueError, match="level=3"):
        bank.band_lengths(20)


def test_the_layout_of_pytorch_is_noticed() -> None:
    x = torch.zeros(4, 16000, 1)
    wavedec(x, "db4", 2)
    for level in (None, 0, 2):
        with pytest.warns(UserWarning, match=r"\(4, 1, 16000\)"):
            wavedec(x.mT, "db4", level)


@pytest.mark.parametrize(
    ("missing", "length"),
    [
        *(([0], None), ([1], None), ([2], None), ([0, 1], None), ([1, 2], None)),
        *(([0], 41), ([3], 41), ([0, 1], 41), ([2, 3], 41), ([0, 1, 2], 41), ([1, 2, 3], 41)),
    ],
)
def test_none_is_a_band_of_zeros(missing: list[int], length: int | None) -> None:
    x, bank = signal(41), BiorthogonalBank(4, 3, level=3)
    nn.init.normal_(bank.update)
    for bands, back in (
        (wavedec(x, "db2", 3), lambda bands: waverec(bands, "db2", length)),
        (lift(x, 3), lambda bands: unlift(bands, length)),
        (bank.decompose(x), lambda bands: bank.reconstruct(bands, length)),
    ):
        zeros = [0 * band if k in missing else band for k, band in enumerate(bands)]
        nones = [None if k in missing else band for k, band in enumerate(bands)]
        assert torch.equal(back(nones), back(zeros))


def test_none_is_what_pywavelets_makes_of_it() -> None:
    bands = wavedec(signal(41), "db2", 2)
    for missing in (1, 2):
        some = [None if k == missing else band for k, band in enumerate(bands)]
        theirs = pywt.waverec([b if b is None else b.numpy() for b in some], "db2", "reflect", axis=1)
        np.testing.assert_allclose(waverec(some, "db2").numpy(), theirs, atol=1e-12)


@pytest.mark.parametrize("dtypes", [(torch.float32, torch.float64), (torch.float16, torch.bfloat16)])
def test_mixed_dtypes_are_promoted(dtypes: tuple[torch.dtype, torch.dtype]) -> None:
    bands = wavedec(signal(40), "db2", 1)
    for low, high in (dtypes, dtypes[::-1]):
        mixed = [bands[0].to(low), bands[1].to(high)]
        wide = torch.promote_types(low, high)
        for back in (lambda b: waverec(b, "db2", 40), FixedBank("db2").reconstruct, unlift):
            ours = back(mixed)
            assert ours.dtype == wide
            assert torch.equal(ours, back([band.to(wide) for band in mixed]))


@pytest.mark.parametrize("name", LEARNED)
def test_an_empty_batch_has_gradients_of_zero(name: str) -> None:
    bank, x = made(name), signal(40, torch.float32, batch=0).requires_grad_()
    y = bank.reconstruct([band.sin() for band in bank.decompose(x)], 40)
    assert y.shape == (0, 40, 3)
    for gradient, value in zip(
        torch.autograd.grad(y.sum(), [x, *bank.parameters()]), [x, *bank.parameters()], strict=True
    ):
        assert torch.equal(gradient, torch.zeros_like(value))


@pytest.mark.parametrize(
    "moved",
    [lambda m: m, lambda m: m.float(), lambda m: m.half().double(), lambda m: m.to("cpu", torch.bfloat16)],
)
def test_fixed_filters_are_exact_in_float64_wherever_the_module_went(moved: Callable) -> None:
    x = signal(200)
    theirs = pywt.wavedec(x.numpy(), "db4", "reflect", 2, axis=1)
    fixed, biorthogonal = moved(FixedBank("db4", level=2)), moved(BiorthogonalBank(8, 3, level=2))
    for bank in (fixed, biorthogonal):  # where it starts, the second is Daubechies' too
        bands = bank.decompose(x)
        for band, expected in zip(bands, theirs, strict=True):
            assert band.dtype == torch.float64
            np.testing.assert_allclose(band.numpy(force=True), expected, atol=1e-12)
        torch.testing.assert_close(bank.reconstruct(bands, 200), x, atol=1e-12, rtol=0)
        assert bank.decompose(x.half())[0].dtype == torch.float16
    assert list(fixed.state_dict()) == []
    assert list(biorthogonal.state_dict()) == ["predict", "update"]


HARNESS = (
    "pytorch_lightning hydra omegaconf wandb tensorflow_datasets array_record numba scipy matplotlib rich"
)


def test_the_library_imports_nothing_of_the_harness() -> None:
    script = f"""
import sys
sys.modules.update(dict.fromkeys({HARNESS.split()!r}))  # to import one of these raises
import torch
from wise_lra.wavelets import FixedBank
x = torch.randn(2, 64, 3)
bank = FixedBank("db2", level=2)
assert torch.allclose(bank.reconstruct(bank.decompose(x), 64), x, atol=1e-5)
print([name for name in sys.modules if name.startswith("wise_lra.") and not name.startswith("wise_lra.wavelets")])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stdout, done.stderr) == (0, "[]\n", "")


def test_the_library_alone_is_few_packages_in_ranges_and_each_is_pinned_for_us() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    name = re.compile(r"[A-Za-z0-9_.-]+")
    assert {name.match(line)[0] for line in project["dependencies"]} == {"torch", "PyWavelets", "numpy"}
    lines = [line for lines in (project["dependencies"], *extras.values()) for line in lines]
    assert not [line for line in lines if "==" in line.split(";")[0]]
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8").lower().replace("_", "-")
    wanted = {name.match(line)[0].lower().replace("_", "-") for line in lines}
    wanted -= {"wise-lra", "setuptools"}  # pip's constraints leave out what builds packages
    assert not [package for package in wanted if f"\n{package}==" not in pins]
