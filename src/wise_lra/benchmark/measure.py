"""Time and memory of pieces of work, measured so that they can be compared on a machine that is not quiet."""

import json
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

Work = Callable[[], object]


@dataclass
class Measured:
    """What one contender of a case took.

    Args:
        samples: seconds, one a round; sample i of every contender of a case is of the same round.
        memory: bytes of tensors at the peak beyond inputs and weights, or None where it was not measured.
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


def peak_memory(work: Work, device: torch.device) -> int:
    """Return the bytes of tensors at the peak of a work, beyond what was there before it.

    A GPU's allocator counts them; on a CPU they are read from the profiler, which sees each tensor come and go.
    What a library takes aside from PyTorch's allocator is not among them.
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        work()
        _wait(device)
        return torch.cuda.max_memory_allocated(device) - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        work()
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / "trace.json"
        seen.export_chrome_trace(str(trace))
        events = json.loads(trace.read_text(encoding="utf-8"))["traceEvents"]
    steps = sorted((e["ts"], e["args"]["Bytes"]) for e in events if e["name"] == "[memory]")
    return max(accumulate((size for _, size in steps), initial=0))
