"""Oracles: PyWavelets for the transforms, the authors' outputs (wavelet_golden.npz), and what must hold exactly.

The golden file holds inputs, outputs and gradients of the authors' JAX code with the axis of its flip corrected.
"""

import warnings
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

import numpy as np
import pytest
import pywt
import torch
from torch import Tensor, nn

from wise_lra.wavelets import (
    MODES,
    BiorthogonalBank,
    DirectBank,
    FilterBank,
    FixedBank,
    LiftingBank,
    OrthogonalBank,
    daubechies,
    filter_bank,
    lift,
    max_level,
    orthogonal_filter,
    quadrature_mirror,
    unlift,
    wavedec,
    waverec,
)

GOLDEN = np.load(Path(__file__).parent / "golden" / "wavelet_golden.npz", allow_pickle=False)
DISCRETE = pywt.wavelist(kind="discrete")
SAMPLE = ["haar", "db2", "db8", "db38", "sym5", "coif3", "bior2.2", "bior6.8", "rbio3.1", "dmey"]
LENGTHS = [1, 2, 3, 5, 8, 17, 64, 101]

PERFECT: dict[str, Callable[[], nn.Module]] = {
    "fixed": lambda: FixedBank("db4", level=2),
    "fixed biorthogonal": lambda: FixedBank("bior4.4", level=2, mode="symmetric"),
    "orthogonal": lambda: OrthogonalBank(taps=8, channels=3, level=2),
    "orthogonal periodization": lambda: OrthogonalBank(taps=8, channels=3, level=2, mode="periodization"),
    "biorthogonal": lambda: BiorthogonalBank(taps=8, channels=3, level=2),
    "lifting": lambda: LiftingBank(channels=3, level=3),
    "lifting adaptive": lambda: LiftingBank(channels=3, level=3, taps=8),
}
BANKS = PERFECT | {"direct": lambda: DirectBank(taps=8, channels=3, level=2)}


def numbers(kind: str) -> list[str]:
    return sorted({key.split("/")[1] for key in GOLDEN if key.startswith(f"{kind}/")}, key=int)


def golden(kind: str, number: str, field: str) -> Tensor:
    return torch.tensor(GOLDEN[f"{kind}/{number}/{field}"])


def signal(length: int, channels: int = 3, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(2, length, channels, dtype=dtype, generator=torch.Generator().manual_seed(length))


def shaken(bank: nn.Module) -> nn.Module:
    """Return the bank with random parameters: at what it starts with, perfection would prove little."""
    torch.manual_seed(1)
    for parameter in bank.parameters():
        nn.init.normal_(parameter)
    return bank


def warned(transform: Callable[..., list], *args: object, **kwargs: object) -> tuple[list, bool]:
    """Return what a transform returns, and whether it warns."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        return transform(*args, **kwargs), bool(said)


def worst_against_pywavelets(wavelet: str, mode: str, dtype: torch.dtype) -> Iterator[tuple[float, float]]:
    """Yield the greatest error of the bands and of the signal for every length and level, and one level too many.

    Both in units of the greatest coefficient, if that is above 1: some filters amplify.
    """
    bank = FilterBank(*(taps.to(dtype) for taps in filter_bank(wavelet)))
    for length in LENGTHS:
        x = signal(length, dtype=dtype)
        data = x.double().numpy()
        deepest = max_level(length, bank.taps)
        for level in (*range(deepest), None, deepest + 1):  # None is the deepest
            try:
                expected, too_deep = warned(pywt.wavedec, data, wavelet, mode, level, axis=1)
            except ValueError:  # [anti]reflect refuses a single sample
                continue
            bands, said = warned(wavedec, x, bank, level, mode)
            assert said == too_deep
            assert [tuple(band.shape) for band in bands] == [band.shape for band in expected]
            error = max(
                np.abs(ours.double().numpy() - theirs).max()
                for ours, theirs in zip(bands, expected, strict=True)
            )
            back, whole = waverec(bands, bank, mode=mode), pywt.waverec(expected, wavelet, mode, axis=1)
            assert back.shape == whole.shape
            assert torch.equal(waverec(bands, bank, length, mode), back[:, :length])
            scale = max(1.0, *(np.abs(theirs).max() for theirs in expected))
            yield error / scale, np.abs(back.double().numpy() - whole).max() / scale


def check_against_pywavelets(wavelet: str, mode: str) -> None:
    for dtype, bound in ((torch.float64, 1e-10), (torch.float32, 1e-5)):
        for bands, back in worst_against_pywavelets(wavelet, mode, dtype):
            assert bands < bound
            assert back < bound


@pytest.mark.parametrize(
    ("wavelet", "mode"),
    [(wavelet, mode) for k, mode in enumerate(MODES) for wavelet in SAMPLE[:: 1 if k < 4 else 3]],
)
def test_bands_and_signal_are_those_of_pywavelets(wavelet: str, mode: str) -> None:
    check_against_pywavelets(wavelet, mode)


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("wavelet", DISCRETE)
def test_every_wavelet_is_that_of_pywavelets(wavelet: str, mode: str) -> None:
    check_against_pywavelets(wavelet, mode)


@pytest.mark.parametrize("moments", [1, 2, 7, 20, 38])
def test_daubechies_are_those_of_pywavelets(moments: int) -> None:
    theirs = np.array(pywt.Wavelet(f"db{moments}").dec_lo)
    np.testing.assert_allclose(daubechies(2 * moments).numpy(), theirs, atol=1e-14)


@pytest.mark.parametrize("taps", [78, 128, 256])
def test_longer_daubechies_are_orthogonal_and_flat(taps: int) -> None:
    low = daubechies(taps)
    shifts = torch.stack([(low[2 * k :] * low[: taps - 2 * k]).sum() for k in range(taps // 2)])
    assert (shifts - (torch.arange(taps // 2) == 0).double()).abs().max() < 1e-13
    signs = torch.where(torch.arange(taps) % 2 == 0, 1.0, -1.0).double()
    for moment in range(3):
        place = (torch.arange(taps).double() / taps) ** moment
        assert (low * signs * place).sum().abs() < 1e-12, "the high-pass filter must not see polynomials"


@pytest.mark.parametrize("number", numbers("orthogonal"))
def test_orthogonal_filters_are_those_of_the_authors(number: str) -> None:
    torch.testing.assert_close(
        orthogonal_filter(golden("orthogonal", number, "thetas")), golden("orthogonal", number, "filter")
    )


def cases(kind: str, levels: Collection[int]) -> list[tuple[str, Tensor, Tensor, int]]:
    """Return number, signal, low-pass filters and level of the golden cases that PyWavelets finds not too deep."""
    found = []
    for number in numbers(kind):
        x, low = golden(kind, number, "x"), golden(kind, number, "filter")
        level = int(golden(kind, number, "level"))
        if level in levels and level <= max_level(x.shape[1], len(low)):
            found.append((number, x, low, level))
    return found


@pytest.mark.parametrize("kind", ["fixed", "direct", "orthogonal"])
def test_level_one_is_that_of_the_authors(kind: str) -> None:
    """Their bands are longer; the first floor((n + taps - 1) / 2) coefficients are ours."""
    found = cases(kind, [1])
    assert len(found) == 6
    for number, x, low, level in found:
        bands = wavedec(x, low, level)
        for index, band in enumerate(bands):
            theirs = golden(kind, number, f"coeff{index}")[:, : band.shape[1]]
            torch.testing.assert_close(band, theirs, atol=1e-5, rtol=1e-5)
        back = waverec(bands, low, x.shape[1])
        torch.testing.assert_close(back, golden(kind, number, "rec"), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", ["fixed", "direct", "orthogonal"])
def test_deeper_levels_are_those_of_the_authors_away_from_the_end(kind: str) -> None:
    """Their deeper levels take the coefficients that they have beyond ours for signal."""
    found = cases(kind, [2, 3])
    assert len(found) == 9
    for number, x, low, level in found:
        for index, band in enumerate(wavedec(x, low, level)):
            inside = slice(0, band.shape[1] - len(low))
            assert inside.stop > 0
            theirs = golden(kind, number, f"coeff{index}")
            torch.testing.assert_close(band[:, inside], theirs[:, inside], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", ["direct", "orthogonal"])
def test_the_authors_flip_reconstructs_as_their_code_does(kind: str) -> None:
    for number, x, low, _ in cases(kind, [1]):
        bank = DirectBank(*low.shape, authors_flip=True)
        bank.dec_lo.data = low
        bands = bank.decompose(x)
        for index, band in enumerate(bands):
            theirs = golden(kind, number, f"asis_coeff{index}")[:, : band.shape[1]]
            torch.testing.assert_close(band, theirs, atol=1e-5, rtol=1e-5)
        back = bank.reconstruct(bands, x.shape[1])
        torch.testing.assert_close(back, golden(kind, number, "asis_rec"), atol=2e-5, rtol=1e-5)


def lifting_filters(kind: str, number: str) -> list[Tensor]:
    return [] if kind == "lifting" else [golden(kind, number, name) for name in ("estimate", "predict")]


@pytest.mark.parametrize("kind", ["lifting", "lifting_adaptive"])
def test_lifting_is_that_of_the_authors_and_perfect_where_theirs_is_not(kind: str) -> None:
    for number in numbers(kind):
        x, filters = golden(kind, number, "x"), lifting_filters(kind, number)
        bands = lift(x, int(golden(kind, number, "level")), *filters)
        for index, band in enumerate(bands):
            torch.testing.assert_close(band, golden(kind, number, f"coeff{index}"), atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(unlift(bands, x.shape[1], *filters), x, atol=1e-6, rtol=1e-5)
    x = signal(57, dtype=torch.float32)  # theirs: error 0.4 at two levels
    torch.testing.assert_close(unlift(lift(x, 2), 57), x, atol=1e-6, rtol=1e-5)


def beyond_ours(x: Tensor, low: Tensor, count: int) -> list[Tensor]:
    """Return what the authors' level-1 bands have after the first ``count`` coefficients.

    They continue the signal by taps - 2 samples at either end, an odd length by one more, and filter circularly.
    """
    taps, n = len(low), x.shape[1]
    end = x[:, n - 1 - (taps - 2) - n % 2 : n - 1].flip(1)
    signal = torch.cat([x[:, 1 : taps - 1].flip(1), x, end], dim=1)
    place = 2 * torch.arange(count, signal.shape[1] // 2)[:, None] + torch.arange(taps)
    stretches = signal[:, place % signal.shape[1]]
    bank = quadrature_mirror(low)
    return [torch.einsum("bkmc,mc->bkc", stretches, f.flip(0)) for f in (bank.dec_lo, bank.dec_hi)]


@pytest.mark.parametrize("kind", ["fixed", "direct", "orthogonal"])
def test_gradients_are_those_of_the_authors(kind: str) -> None:
    """By signal and filters, of the sum of all their bands and the reconstruction times their cotangents."""
    for number, x, low, level in cases(kind, [1]):
        x.requires_grad_()
        low.requires_grad_()
        bands = wavedec(x, low, level)
        back = waverec(bands, low, x.shape[1])
        total = (back * golden(kind, number, "rec_cotangent")).sum()
        rest = beyond_ours(x, low, bands[0].shape[1])
        for index, parts in enumerate(zip(bands, rest, strict=True)):
            whole = torch.cat(parts, dim=1)
            torch.testing.assert_close(whole, golden(kind, number, f"coeff{index}"), atol=1e-5, rtol=1e-5)
            total = total + (whole * golden(kind, number, f"coeff{index}_cotangent")).sum()
        by_signal, by_filters = torch.autograd.grad(total, (x, low))
        torch.testing.assert_close(by_signal, golden(kind, number, "grad_x"), atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(by_filters, golden(kind, number, "grad_filter"), atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("length", [57, 64])
@pytest.mark.parametrize("name", PERFECT)
def test_reconstruction_is_perfect_at_any_parameters(name: str, length: int) -> None:
    bank, x = shaken(PERFECT[name]()), signal(length, dtype=torch.float32)
    bands = bank.decompose(x)
    assert [band.shape[1] for band in bands] == bank.band_lengths(length)
    back = bank.reconstruct(bands, length)
    scale = max(band.abs().max().item() for band in bands)
    assert (back - x).abs().max() < 1e-5 * max(1.0, scale)


@pytest.mark.parametrize("name", PERFECT)
def test_reconstruction_is_perfect_after_100_steps_of_training(name: str) -> None:
    torch.manual_seed(0)
    bank, x = PERFECT[name](), signal(64, dtype=torch.float32)
    parameters = list(bank.parameters())
    before = [parameter.detach().clone() for parameter in parameters]
    if parameters:
        optimizer = torch.optim.Adam(parameters, lr=1e-2)
        for _ in range(100):
            loss = bank.decompose(x)[-1].abs().mean()  # sparse details: what a compressor would learn
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        assert any((new - old).abs().max() > 1e-2 for new, old in zip(parameters, before, strict=True))
    back = bank.reconstruct(bank.decompose(x), 64)
    assert (back - x).abs().max() < 1e-5 * float(x.abs().max())


def test_the_direct_bank_is_perfect_only_where_it_starts() -> None:
    bank, x = DirectBank(taps=8, channels=3), signal(64, dtype=torch.float32)
    torch.testing.assert_close(bank.reconstruct(bank.decompose(x), 64), x, atol=1e-5, rtol=1e-5)
    shaken(bank)
    assert (bank.reconstruct(bank.decompose(x), 64) - x).abs().max() > 0.1


@pytest.mark.parametrize("mode", MODES)
def test_first_and_second_derivatives(mode: str) -> None:
    x = signal(7, channels=2).requires_grad_()
    low = torch.randn(4, 2, dtype=torch.float64, requires_grad=True)

    def there_and_back(x: Tensor, low: Tensor) -> tuple[Tensor, ...]:
        bands = wavedec(x, low, 1, mode)
        return (*bands, waverec([band**2 for band in bands], low, 7, mode))

    fast = mode not in MODES[:4]
    assert torch.autograd.gradcheck(there_and_back, (x, low), fast_mode=fast)
    assert torch.autograd.gradgradcheck(there_and_back, (x, low), fast_mode=fast)


@pytest.mark.parametrize("name", BANKS)
def test_derivatives_of_every_bank(name: str) -> None:
    bank = shaken(BANKS[name]()).double()
    x = signal(40).requires_grad_()
    inputs = (x, *bank.parameters())

    def there_and_back(x: Tensor, *_: Tensor) -> Tensor:
        return bank.reconstruct([band**2 for band in bank.decompose(x)], 40)

    assert torch.autograd.gradcheck(there_and_back, inputs, fast_mode=True)
    assert torch.autograd.gradgradcheck(there_and_back, inputs, fast_mode=True)


@pytest.mark.parametrize("mode", MODES)
def test_linear_in_the_signal(mode: str) -> None:
    low, x, y = daubechies(8), signal(50), signal(50) ** 2
    for both, one, other in zip(*(wavedec(z, low, 2, mode) for z in (2 * x - 3 * y, x, y)), strict=True):
        torch.testing.assert_close(both, 2 * one - 3 * other)


def test_a_shift_by_two_shifts_the_bands_by_one() -> None:
    low, x = daubechies(8), signal(64)
    for band, shifted in zip(
        *(wavedec(z, low, 1, "periodization") for z in (x, x.roll(2, dims=1))), strict=True
    ):
        torch.testing.assert_close(band.roll(1, dims=1), shifted)


@pytest.mark.parametrize(
    "bank", [FixedBank("db6", 3, "periodization"), OrthogonalBank(8, 3, 3, "periodization")]
)
def test_energy_is_kept(bank: nn.Module) -> None:
    bank, x = bank.double(), signal(128)
    energy = sum((band**2).sum() for band in bank.decompose(x))
    torch.testing.assert_close(energy, (x**2).sum(), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("shared", [True, False])
def test_under_vmap(shared: bool) -> None:
    low = daubechies(4) if shared else daubechies(4)[:, None].repeat(1, 3)
    stack = torch.stack([signal(20), signal(20) + 1])
    for mapped, looped in zip(
        torch.func.vmap(lambda x: wavedec(x, low, 2))(stack),
        zip(*(wavedec(x, low, 2) for x in stack), strict=True),
        strict=True,
    ):
        torch.testing.assert_close(mapped, torch.stack(looped))


@pytest.mark.parametrize("name", BANKS)
def test_every_bank_under_vmap(name: str) -> None:
    bank, stack = shaken(BANKS[name]()).double(), torch.stack([signal(40), signal(40) + 1])

    def there_and_back(x: Tensor) -> Tensor:
        return bank.reconstruct([band.sin() for band in bank.decompose(x)], 40)

    looped = torch.stack([there_and_back(x) for x in stack])
    torch.testing.assert_close(torch.func.vmap(there_and_back)(stack), looped)


def test_gradients_of_each_filter_under_vmap() -> None:
    x, filters = signal(20), torch.stack([daubechies(4), torch.randn(4, dtype=torch.float64)])

    def loss(low: Tensor) -> Tensor:
        return waverec([band.sin() for band in wavedec(x, low, 2)], low, 20).square().sum()

    gradient = torch.func.grad(loss)
    torch.testing.assert_close(
        torch.func.vmap(gradient)(filters), torch.stack([gradient(low) for low in filters])
    )


@pytest.mark.parametrize("name", BANKS)
def test_compiles_as_one_graph(name: str) -> None:
    bank, x = shaken(BANKS[name]()), signal(40, dtype=torch.float32).requires_grad_()

    def there_and_back(x: Tensor) -> Tensor:
        bands = bank.decompose(x)
        bands[-1] *= 2  # in place, as below: what autograd makes of it is held by test_wavelets_in_models.py
        y = bank.reconstruct([band.sin() for band in bands], 40)
        y += x
        return y

    compiled = torch.compile(there_and_back, fullgraph=True, backend="aot_eager")
    ours, theirs = compiled(x).mul_(3), there_and_back(x).mul_(3)
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)
    inputs = (x, *bank.parameters())
    for found, expected in zip(
        torch.autograd.grad(ours.sum(), inputs), torch.autograd.grad(theirs.sum(), inputs), strict=True
    ):
        torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize("name", BANKS)
def test_every_bank_is_as_exact_under_autocast(name: str) -> None:
    bank, x = shaken(BANKS[name]()), signal(64, dtype=torch.float32)
    plain = bank.decompose(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        bands = bank.decompose(x)
        back = bank.reconstruct(bands, 64)
    for band, exact in zip(bands, plain, strict=True):
        torch.testing.assert_close(band, exact)
    torch.testing.assert_close(back, bank.reconstruct(plain, 64))


def test_sums_in_float32_under_autocast() -> None:
    x, low = signal(512, dtype=torch.float32), daubechies(40).float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        bands = wavedec(x, low, 2)
    for band, exact in zip(bands, wavedec(x.double(), low.double(), 2), strict=True):
        torch.testing.assert_close(band.double(), exact, atol=1e-5, rtol=1e-5)
    halves = wavedec(x.bfloat16(), low, 1)
    assert halves[0].dtype == torch.bfloat16
    torch.testing.assert_close(
        halves[0].double(), wavedec(x.bfloat16().double(), low.double(), 1)[0], atol=0.02, rtol=0.01
    )


@pytest.mark.parametrize(
    ("call", "error", "named"),
    [
        (lambda: wavedec(signal(20), daubechies(8), -1), ValueError, "level=-1"),
        (lambda: wavedec(signal(20), "db4", "periodic", 2), ValueError, "periodic"),  # PyWavelets' order
        (lambda: wavedec(signal(20), torch.ones(3), 1), ValueError, "even"),
        (lambda: wavedec(signal(20), torch.ones(4, 5), 1), ValueError, "5 channels"),
        (lambda: wavedec(signal(20), torch.tensor([1.0, float("nan")]), 1), ValueError, "dec_lo"),
        (lambda: wavedec(signal(20).long(), daubechies(4), 1), TypeError, "int64"),
        (lambda: wavedec(signal(20)[:, :0], daubechies(4), 1), ValueError, "length"),
        (lambda: wavedec(signal(20)[0], daubechies(4), 1), ValueError, "shape"),
        (lambda: wavedec(signal(20)[:, :, :0], daubechies(4), 1), ValueError, r"\(2, 20, 0\)"),
        (lambda: wavedec(signal(20), daubechies(4), 1, "periodical"), ValueError, "periodical"),
        (lambda: wavedec(signal(20) * 1j, "db4", 1), TypeError, "complex128"),
        (lambda: wavedec(signal(20).numpy(), "db4", 1), TypeError, "float64"),
        (lambda: wavedec(signal(20), daubechies(4) * 1j, 1), TypeError, "dec_lo of dtype torch.complex128"),
        (lambda: wavedec(signal(20), "db0", 1), ValueError, "db0"),
        (lambda: wavedec(signal(20), pywt.ContinuousWavelet("morl"), 1), ValueError, "morl"),
        (lambda: wavedec(signal(20), [0.7, 0.7], 1), ValueError, "0.7"),
        (lambda: waverec(wavedec(signal(20), daubechies(4), 1), daubechies(4), 30), ValueError, "length=30"),
        (lambda: waverec([signal(11)] * 2, daubechies(4), 20, "wrap"), ValueError, "wrap"),
        (lambda: waverec([signal(11)] * 2, torch.ones(4, 5), 20), ValueError, "5 channels"),
        (lambda: waverec([signal(11)] * 2, torch.ones(3), 20), ValueError, "even"),
        (lambda: waverec([signal(11).long()] * 2, daubechies(4), 20), TypeError, "int64"),
        (lambda: waverec([], daubechies(4), 20), ValueError, "empty"),
        (lambda: waverec([None, None], "db2"), ValueError, "None"),
        (lambda: waverec([signal(11)] * 2, "db2", 0), ValueError, "length=0"),
        (lambda: waverec([signal(3)] * 2, "db4"), ValueError, "length=0"),
        (lambda: waverec([signal(11)] * 2, "db2", "reflect"), ValueError, "length='reflect'"),
        (lambda: waverec([signal(11), signal(11)[:1]], "db2"), ValueError, r"\(1, 11, 3\)"),
        (lambda: waverec([signal(11), signal(11, 2)], "db2"), ValueError, r"\(2, 11, 2\)"),
        (lambda: waverec([signal(11), signal(12)], "db2"), ValueError, r"\[11, 12\]"),
        (lambda: waverec([signal(11)] * 2, daubechies(4) * 1j), TypeError, "complex128"),
        (lambda: max_level(0, 4), ValueError, "length=0"),
        (lambda: max_level(20, 1), ValueError, "taps=1"),
        (lambda: quadrature_mirror(torch.tensor(1.0)), ValueError, "dec_lo"),
        (lambda: daubechies(7), ValueError, "taps=7"),
        (lambda: daubechies(258), ValueError, "258"),
        (lambda: orthogonal_filter(torch.ones(4)), ValueError, "angles"),
        (lambda: filter_bank("db0"), ValueError, "db0"),
        (lambda: FixedBank("morl"), ValueError, "morl"),
        (lambda: FixedBank("db2", level=0), ValueError, "level=0"),
        (lambda: FixedBank("db2", mode="wrap"), ValueError, "wrap"),
        (lambda: DirectBank(4, 3, init="random"), ValueError, "random"),
        (lambda: DirectBank(5, 3, init="sine"), ValueError, "taps=5"),
        (lambda: OrthogonalBank(5, 3), ValueError, "taps=5"),
        (lambda: OrthogonalBank(4, 5).decompose(signal(20)), ValueError, "5 channels"),
        (lambda: BiorthogonalBank(4, 5).decompose(signal(20)), ValueError, "5 channels"),
        (lambda: BiorthogonalBank(4, 3, level=9).band_lengths(20), ValueError, "level=9"),
        (lambda: BiorthogonalBank(4, 3).reconstruct([signal(11), signal(1)], 20), ValueError, r"\[11, 1\]"),
        (lambda: LiftingBank(3, taps=0), ValueError, "taps=0"),
        (lambda: BiorthogonalBank(4, 3, steps=0), ValueError, "steps=0"),
        (lambda: lift(signal(4), 3), ValueError, "level=3"),
        (lambda: lift(signal(8), 1, torch.ones(2, 3)), ValueError, "both"),
        (lambda: lift(signal(8), 1, torch.ones(2, 2), torch.ones(2, 2)), ValueError, "estimate"),
        (lambda: lift(signal(8).int(), 1), TypeError, "int32"),
        (lambda: unlift(lift(signal(8), 1), 11), ValueError, "length=11"),
        (lambda: unlift(lift(signal(8), 1), 8, torch.ones(2, 3)), ValueError, "both"),
        (lambda: lift(signal(8)[:, :, :0], 1), ValueError, r"\(2, 8, 0\)"),
        (lambda: lift(signal(8), 1, *[torch.ones(2, 3) * 1j] * 2), TypeError, "estimate of dtype"),
        (lambda: unlift([], 8), ValueError, "empty"),
        (lambda: unlift([signal(4).long()] * 2), TypeError, "int64"),
        (lambda: unlift([signal(4), signal(4)[:1]]), ValueError, r"\(1, 4, 3\)"),
        (lambda: unlift([signal(4), signal(4, 1)]), ValueError, r"\(2, 4, 1\)"),
        (lambda: unlift([signal(4)] * 2, -8), ValueError, "length=-8"),
        (lambda: FixedBank("db8", level=4).band_lengths(32), ValueError, "level=4"),
    ],
)
def test_bad_input_is_named(call: Callable[[], object], error: type[Exception], named: str) -> None:
    with pytest.raises(error, match=named):
        call()
