"""Time and memory of contenders, measured in rounds, and the JSON file that holds them."""

import hashlib
import json
import re
import time
import timeit
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import accumulate
from pathlib import Path
from typing import Any, TypedDict

import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils.benchmark import timer

from wise_lra.provenance import commit, device_name, dirty, versions
from wise_lra.results.atomic import write_text

Work = Callable[[], object]
Works = Mapping[str, Callable[[], Work]]  # name -> builds the work of a contender
Setting = dict[str, str | int]

_PACKAGE = Path(__file__).parents[1]
_SOURCES = (
    *("wavelets/*.py", "mixers/*.py", "model.py", "training.py"),
    *("benchmark/measure.py", "benchmark/transforms.py", "benchmark/models.py"),
)


class Measured(TypedDict, total=False):
    """What one contender of a case took.

    samples: seconds, one a round; sample i of every contender of a case is of round i. memory: bytes of tensors at
    the peak, beyond inputs and weights. absent: why nothing was measured.
    """

    samples: list[float]
    memory: int
    absent: str


@dataclass(frozen=True)
class Case:
    """One setting of a section, such as length, width and taps, with what measures it for about so many seconds."""

    section: str
    setting: Setting
    run: Callable[[float], dict[str, Measured]]

    @property
    def key(self) -> str:
        """The name of the case in the file of results."""
        return " ".join([self.section, *(f"{name}={value}" for name, value in self.setting.items())])


def measure(
    works: Works,
    device: torch.device,
    seconds: float,
    memory: Collection[str] = (),
    rounds: tuple[int, int] = (3, 31),
) -> dict[str, Measured]:
    """Return what each contender takes.

    A round runs every work once, in turn, so that a slow moment of the machine slows all of them. Each work runs
    once before, uncounted. Rounds end after ``seconds``, but there are at least and at most ``rounds``. The memory
    of those named in ``memory`` is measured on a work built anew. A contender whose package is missing, or that the
    machine cannot run (ImportError, RuntimeError), is absent with the reason.
    """
    found = _timed(works, seconds, *rounds)
    for name in memory:
        if "samples" in found[name]:
            found[name]["memory"] = peak_memory(works[name](), device)
    return found


def _timed(works: Works, seconds: float, least: int, most: int) -> dict[str, Measured]:
    found: dict[str, Measured] = {}
    timers: dict[str, timeit.Timer] = {}
    for name, build in works.items():
        try:
            work = build()
            work()
        except (ImportError, RuntimeError) as error:
            reason = str(error).strip().partition("\n")[0]
            found[name] = {"absent": f"{type(error).__name__}: {reason}"}
        else:
            # torch.utils.benchmark.Timer makes two uncounted warm-up calls for one that counts: three times as long
            timers[name] = timeit.Timer(work, timer=timer)
            found[name] = {"samples": []}
    begin, done = time.perf_counter(), 0
    while done < least or (done < most and time.perf_counter() - begin < seconds):
        for name in timers:
            found[name]["samples"].append(timers[name].timeit(1))
        done += 1
    return found


def peak_memory(work: Work, device: torch.device) -> int:
    """Return the bytes of tensors at the peak of a work, beyond those from before it.

    A GPU's allocator counts them; on a CPU the profiler sees each one allocated and freed. Memory that a library
    takes without PyTorch's allocator does not count.
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        work()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        work()
    events = [event for event in profiled.profiler.kineto_results.events() if event.name() == "[memory]"]
    return max(accumulate((e.nbytes() for e in sorted(events, key=lambda e: e.start_ns())), initial=0))


class ResultsFile:
    """The measurements of a device, ``folder``/<device>.json, written after every case.

    A case is done if it was measured on the same sources (of transforms, mixers, model, training and measurement),
    the same torch and number of threads, and with the same ``options``.
    """

    def __init__(self, folder: Path, device: torch.device, **options: float) -> None:
        self.device = device_name(device)
        name = re.sub(r"[^a-z0-9]+", "-", self.device.lower()).strip("-")
        self.path = folder / f"{name}.json"
        sources = b"".join(file.read_bytes() for part in _SOURCES for file in sorted(_PACKAGE.glob(part)))
        self.made_by = {
            "sources": hashlib.sha256(sources).hexdigest()[:12],
            "torch": str(torch.__version__),
            "threads": torch.get_num_threads(),
            **options,
        }
        before = json.loads(self.path.read_text(encoding="utf-8")) if self.path.exists() else {}
        self.cases: dict[str, dict[str, Any]] = before.get("cases", {})

    def done(self, case: Case) -> bool:
        """Tell whether the case was measured on the code as it is."""
        return case.key in self.cases and self.cases[case.key]["made_by"] == self.made_by

    def measure(self, cases: Sequence[Case], seconds: float) -> Iterator[str]:
        """Measure the cases that are not done, and yield a line for each."""
        missing = [case for case in cases if not self.done(case)]
        if len(missing) < len(cases):
            yield f"{len(cases) - len(missing)} of {len(cases)} cases are there already"
        for index, case in enumerate(missing, start=1):
            begin = time.perf_counter()
            measured = case.run(seconds)
            took = time.perf_counter() - begin
            self._write(case, measured, took)
            known = [self.cases.get(later.key, {}).get("seconds", 3 * seconds) for later in missing[index:]]
            line = f"{index}/{len(missing)}  {took:5.1f} s  {case.key}   about {sum(known) / 60:.0f} min left"
            absent = ", ".join(name for name, one in measured.items() if "absent" in one)
            yield f"{line}, absent: {absent}" if absent else line

    def _write(self, case: Case, measured: dict[str, Measured], seconds: float) -> None:
        self.cases[case.key] = {
            "section": case.section,
            "setting": case.setting,
            "contenders": measured,
            "seconds": round(seconds, 1),
            "measured": datetime.now(UTC).isoformat(timespec="seconds"),
            "commit": commit(),
            "dirty": dirty(),
            "made_by": self.made_by,
        }
        results = {"device": self.device, "versions": versions(), "cases": self.cases}
        text = json.dumps(results, indent=1, sort_keys=True) + "\n"
        write_text(self.path, text)
        self.cases = json.loads(text)["cases"]  # sorted, as a later command reads them
