"""Time and memory of pieces of work, measured so that they can be compared on a machine that is not quiet."""

import gc
import multiprocessing
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

Work = Callable[[], object]


@dataclass
class Measured:
    """What one contender of a case took.

    Args:
        samples: seconds, one a round; sample i of every contender of a case is of the same round.
        memory: bytes at the peak beyond what inputs and weights hold, or None where it was not measured.
        absent: why nothing was measured, or None.
    """

    samples: list[float] = field(default_factory=list)
    memory: int | None = None
    absent: str | None = None

    def plain(self) -> dict[str, Any]:
        """Return it for JSON, without what is None."""
        return {key: value for key, value in asdict(self).items() if value is not None}


def interleaved(
    works: Mapping[str, Work], device: torch.device, seconds: float, least: int = 3, most: int = 31
) -> dict[str, list[float]]:
    """Return seconds of each work, a sample a round; a round runs all of them once, in turn.

    So what slows the machine for a while slows all of them, and sample i of one is paired with sample i of another.
    One round goes before, uncounted. Rounds end after ``seconds`` in all, but there are ``least`` to ``most``.
    """
    for work in works.values():
        _timed(work, device)
    samples: dict[str, list[float]] = {name: [] for name in works}
    begin, rounds = time.perf_counter(), 0
    while rounds < least or (rounds < most and time.perf_counter() - begin < seconds):
        for name, work in works.items():
            samples[name].append(_timed(work, device))
        rounds += 1
    return samples


def _timed(work: Work, device: torch.device) -> float:
    _wait(device)
    begin = time.perf_counter()
    work()
    _wait(device)
    return time.perf_counter() - begin


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def peak_memory(build: Callable[..., Work], arguments: tuple[Any, ...], device: torch.device) -> int | None:
    """Return the bytes that a work, made by ``build(*arguments)``, needs beyond what its making left allocated.

    On a GPU the allocator counts them exactly. On a CPU the work runs once in a fresh process, and the growth of
    its resident memory is read from Linux: what the system had to give, page by page, allocator's waste included.
    None where Linux's /proc is not there, or the process was killed for want of memory.
    """
    if device.type == "cuda":
        work = build(*arguments)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        work()
        _wait(device)
        return torch.cuda.max_memory_allocated(device) - before
    if not Path("/proc/self/clear_refs").exists():
        return None
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["wise_lra.benchmark.models"])  # all that a work needs: imported once
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        try:
            return pool.submit(_growth, build, arguments, torch.get_num_threads()).result()
        except BrokenProcessPool:
            return None


def _growth(build: Callable[..., Work], arguments: tuple[Any, ...], threads: int) -> int:
    torch.set_num_threads(threads)
    work = build(*arguments)
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak is what is resident now
    before = _resident("VmRSS")
    work()
    return max(0, _resident("VmHWM") - before)


def _resident(name: str) -> int:
    """Return a line of /proc/self/status in bytes."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{name}:"):
            return 1024 * int(line.split()[1])
    raise OSError(f"/proc/self/status has no {name}")
