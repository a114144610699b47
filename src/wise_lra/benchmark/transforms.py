"""wavedec and waverec, there and back, beside other packages, a Fourier transform and a copy."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import Any

import pywt
import torch
from torch import Tensor

from wise_lra.wavelets import daubechies, max_level, wavedec, waverec

from .measure import Case, Measured, Setting, Work, measure

BATCH, LENGTH, WIDTH, TAPS = 4, 4096, 128, 16  # the setting that the others vary
TWO_THREADS: Setting = {"threads": 2, "allocator": "default"}  # as in a program that uses the library
LENGTHS = (1024, 2048, 4096, 8192, 16384, 32768, 65536)
FORWARD, BOTH = "forward", "forward + backward"


def _ours(x: Tensor, low: Tensor, level: int) -> Tensor:
    return waverec(wavedec(x, low, level), low, x.shape[1])


def _fourier(x: Tensor, low: Tensor, level: int) -> Tensor:
    return torch.fft.irfft(torch.fft.rfft(x, dim=1), n=x.shape[1], dim=1)


def _ptwt(x: Tensor, low: Tensor, level: int) -> Tensor:
    import ptwt

    wavelet = f"db{len(low) // 2}"
    bands = ptwt.wavedec(x, wavelet, mode="reflect", level=level, axis=1)
    return ptwt.waverec(bands, wavelet, axis=1)[:, : x.shape[1]]


def _pytorch_wavelets(x: Tensor, low: Tensor, level: int) -> Tensor:
    there, back = _modules(f"db{len(low) // 2}", level, x.device)
    return back(there(x.transpose(1, 2))).transpose(1, 2)[:, : x.shape[1]]


@cache
def _modules(wavelet: str, level: int, device: torch.device) -> tuple[Any, Any]:
    from pytorch_wavelets import DWT1DForward, DWT1DInverse

    there, back = DWT1DForward(level, wavelet, "reflect"), DWT1DInverse(wavelet, "reflect")
    return there.to(device), back.to(device)


def _pywavelets(x: Tensor, low: Tensor, level: int) -> Any:
    if x.is_cuda:
        raise RuntimeError("PyWavelets runs on a CPU only")
    wavelet = f"db{len(low) // 2}"
    bands = pywt.wavedec(x.numpy(), wavelet, "reflect", level, axis=1)
    return pywt.waverec(bands, wavelet, "reflect", axis=1)[:, : x.shape[1]]


CONTENDERS: dict[str, Callable[[Tensor, Tensor, int], Any]] = {
    "fixed filters": _ours,
    "filters per channel": _ours,
    "rfft + irfft": _fourier,
    "ptwt": _ptwt,
    "pytorch_wavelets": _pytorch_wavelets,
    "PyWavelets": _pywavelets,
    "copy": lambda x, low, level: x.clone(),
}
"""Name -> a transform there and back: of a signal (batch, length, width) by the Daubechies low-pass of a case."""

_FORWARD_ONLY = ("PyWavelets", "copy")
_MEMORY = ("fixed filters", "filters per channel", "rfft + irfft")  # whose memory is measured


def cases(device: torch.device, quick: bool) -> Iterator[Case]:
    """Yield lengths, widths, taps and levels around one setting, one at a time: all combinations would be 448.

    And what a program has that uses the library: on two threads, with an allocator that is not set.
    """
    lengths = (1024, 4096, 16384) if quick else LENGTHS
    widths = (64, 512) if quick else (64, 256, 512)
    taps = (2, 40) if quick else (2, 4, 8, 40)
    settings = [(n, WIDTH, TAPS, level) for level in ("1", "full") for n in lengths]
    settings += [(LENGTH, width, TAPS, level) for level in ("1", "full") for width in widths]
    settings += [(LENGTH, WIDTH, m, level) for level in ("1", "full") for m in taps]
    if not quick:
        settings += [(1024, WIDTH, m, level) for level in ("1", "6", "full") for m in (2, 4, 8)]
        settings += [(1024, WIDTH, TAPS, "6")]
        settings += [(1024, 96, 40, "1")]  # as many taps as the authors' filters have
    for n, width, m, level in settings:
        setting: Setting = {"batch": BATCH, "length": n, "width": width, "taps": m, "level": level}
        yield Case("transforms", setting, partial(measured, device, setting))
    if device.type == "cpu":
        setting = {"batch": BATCH, "length": LENGTH, "width": WIDTH, "taps": TAPS, "level": "1"}
        setting |= TWO_THREADS
        yield Case("transforms", setting, partial(_in_new_process, setting))


def measured(device: torch.device, setting: Setting, seconds: float) -> dict[str, Measured]:
    """Return what each contender takes on one float32 tensor (batch, length, width)."""
    batch, length, width, taps = (int(setting[name]) for name in ("batch", "length", "width", "taps"))
    if "threads" in setting:
        torch.set_num_threads(int(setting["threads"]))
    level = max_level(length, taps) if setting["level"] == "full" else int(setting["level"])
    works = {
        f"{name}, {passes}": partial(build, name, passes, str(device), (batch, length, width), taps, level)
        for name in CONTENDERS
        for passes in ((FORWARD,) if name in _FORWARD_ONLY else (FORWARD, BOTH))
    }
    return measure(works, device, seconds, [f"{name}, {BOTH}" for name in _MEMORY])


def build(name: str, passes: str, device: str, shape: tuple[int, int, int], taps: int, level: int) -> Work:
    """Return a work: a contender there and back, and for `BOTH` the gradients by signal and learned filters."""
    torch.manual_seed(0)
    x, low = torch.randn(shape, device=device), daubechies(taps).float().to(device)
    learned = name == "filters per channel"
    if learned:
        low = low[:, None].repeat(1, shape[2]).requires_grad_()
    forward = partial(CONTENDERS[name], x, low, level)
    if passes == FORWARD:
        return torch.no_grad()(forward)
    inputs, cotangent = [x.requires_grad_(), *([low] if learned else [])], torch.randn_like(x)
    return lambda: torch.autograd.grad(forward(), inputs, cotangent)


def _in_new_process(setting: Setting, seconds: float) -> dict[str, Measured]:
    """Return `measured` of a process whose allocator is not set."""
    program = f"""if True:
        import json, torch
        from wise_lra.benchmark.transforms import measured
        print(json.dumps(measured(torch.device("cpu"), {setting}, {seconds})))
    """
    command = [sys.executable, "-c", program]
    # in a session of its own, so that Ctrl-C reaches this process alone, which then ends the other
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, start_new_session=True)
    return json.loads(done.stdout.splitlines()[-1])
