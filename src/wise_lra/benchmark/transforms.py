"""wavedec and waverec there and back, against their peers and against what no transform can beat: a copy."""

import importlib.util
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pywt
import torch
from torch import Tensor

from wise_lra.wavelets import daubechies, max_level, wavedec, waverec

from .case import Case
from .measure import Measured, Work, interleaved, peak_memory

BATCH, LENGTH, WIDTH, TAPS = 4, 4096, 128, 16  # the setting that the others vary, one at a time
LENGTHS = (1024, 2048, 4096, 8192, 16384, 32768, 65536)
FORWARD, BOTH = "forward", "forward + backward"

Transform = Callable[[Tensor], Tensor]


def cases(device: torch.device, quick: bool) -> Iterator[Case]:
    """Yield lengths, widths, taps and depths around one setting; a full grid would be 448 cases."""
    lengths = (1024, 4096, 16384) if quick else LENGTHS
    widths = (64, 512) if quick else (64, 256, 512)
    taps = (2, 40) if quick else (2, 4, 40)
    settings = [(n, WIDTH, TAPS, level) for level in ("1", "full") for n in lengths]
    settings += [(LENGTH, width, TAPS, level) for level in ("1", "full") for width in widths]
    settings += [(LENGTH, WIDTH, m, level) for level in ("1", "full") for m in taps]
    for n, width, m, level in settings:
        setting: dict[str, str | int] = {
            "batch": BATCH,
            "length": n,
            "width": width,
            "taps": m,
            "level": level,
        }
        yield Case("transforms", setting, partial(measured, device, n, width, m, level))


def measured(
    device: torch.device, length: int, width: int, taps: int, level: str, seconds: float, batch: int = BATCH
) -> dict[str, Measured]:
    """Return what each contender takes on one tensor (batch, length, width) of float32."""
    depth = max_level(length, taps) if level == "full" else int(level)
    shape, where = (batch, length, width), str(device)
    works: dict[str, Work] = {}
    absent = {}
    for name in ("fixed filters", "filters per channel", "rfft + irfft", "ptwt", "PyWavelets", "copy"):
        if reason := _missing(name, device):
            absent[name] = Measured(absent=reason)
            continue
        for passes in (FORWARD,) if name in ("PyWavelets", "copy") else (FORWARD, BOTH):
            works[f"{name}, {passes}"] = build(name, passes, where, shape, taps, depth)
    found = {name: Measured(s) for name, s in interleaved(works, device, seconds).items()}
    del works
    for name in ("fixed filters", "filters per channel", "rfft + irfft"):
        work = build(name, BOTH, where, shape, taps, depth)
        found[f"{name}, {BOTH}"].memory = peak_memory(work, device)
    return found | absent


def build(name: str, passes: str, device: str, shape: tuple[int, int, int], taps: int, level: int) -> Work:
    """Return a work: there and back of one contender, or that and the gradients by signal and learned filters."""
    torch.manual_seed(0)
    x = torch.randn(shape, device=device)
    filters: list[Tensor] = []
    there_and_back: Transform
    if name == "copy":
        return x.clone
    if name == "PyWavelets":
        return partial(_pywavelets, x.numpy(), f"db{taps // 2}", level)
    if name == "ptwt":
        there_and_back = partial(_ptwt, f"db{taps // 2}", level)
    elif name == "rfft + irfft":
        there_and_back = _fourier
    else:
        low = daubechies(taps).float().to(device)
        if name == "filters per channel":
            low = low[:, None].repeat(1, shape[2]).requires_grad_()
            filters = [low]
        there_and_back = partial(_ours, low, level)
    if passes == FORWARD:
        return partial(_forward, there_and_back, x)
    return partial(_both, there_and_back, x.requires_grad_(), filters, torch.randn_like(x))


def _missing(name: str, device: torch.device) -> str | None:
    if name == "ptwt" and importlib.util.find_spec("ptwt") is None:
        return "ptwt is not installed; `make benchmark` installs it"
    if name == "PyWavelets" and device.type != "cpu":
        return "PyWavelets runs on a CPU only"
    return None


def _forward(there_and_back: Transform, x: Tensor) -> None:
    with torch.no_grad():
        there_and_back(x)


def _both(there_and_back: Transform, x: Tensor, filters: list[Tensor], cotangent: Tensor) -> None:
    torch.autograd.grad(there_and_back(x), [x, *filters], cotangent)


def _ours(low: Tensor, level: int, x: Tensor) -> Tensor:
    return waverec(wavedec(x, low, level), low, x.shape[1])


def _fourier(x: Tensor) -> Tensor:
    return torch.fft.irfft(torch.fft.rfft(x, dim=1), n=x.shape[1], dim=1)


def _ptwt(wavelet: str, level: int, x: Tensor) -> Tensor:
    import ptwt

    bands = ptwt.wavedec(x, wavelet, mode="reflect", level=level, axis=1)
    return ptwt.waverec(bands, wavelet, axis=1)[:, : x.shape[1]]


def _pywavelets(x: Any, wavelet: str, level: int) -> Any:
    return pywt.waverec(pywt.wavedec(x, wavelet, "reflect", level, axis=1), wavelet, "reflect", axis=1)
