"""Measure transforms, layers, training steps and the input pipeline, and hold them to their targets.

  python scripts/benchmark.py                             everything: about 25 minutes on one core
  python scripts/benchmark.py --sections transforms --quick

Writes results/benchmarks/<device>.json after every case, so that the same command goes on where it was stopped,
then a page and pictures from it. A case is done if measured on the same sources and torch with the same
options; --fresh measures all anew.
"""

from wise_lra.stopping import end_quietly

if __name__ == "__main__":
    end_quietly()

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from wise_lra.allocator import keep_freed_memory
from wise_lra.benchmark import models, pipeline, transforms
from wise_lra.benchmark.case import Case
from wise_lra.benchmark.figures import series, spread
from wise_lra.benchmark.page import SECTIONS, markdown
from wise_lra.benchmark.store import Store
from wise_lra.benchmark.targets import Target, targets
from wise_lra.plots import draw_costs, save
from wise_lra.results.atomic import write_text

MATRIX = {
    "transforms": transforms.cases,
    "layers": models.layers,
    "steps": models.steps,
    "pipeline": pipeline.cases,
}
DRAWN = ("vanilla softmax", "vanilla linear", "fnet none", "wise_fixed softmax", "wise_fixed linear",
         "wise_fixed performer", "wise_fixed longformer", "wise_adaptive softmax")  # fmt: skip
TIMED = [
    f"{name}, forward + backward" for name in ("fixed filters", "filters per channel", "rfft + irfft", "ptwt")
]
TIMED += ["copy, forward"]


def main() -> int:
    """Measure, write and print; return 0, or 2 for a section that is not there."""
    options = read(sys.argv[1:])
    wanted = options.sections.split(",")
    if unknown := [name for name in wanted if name not in MATRIX]:
        print(
            f"error: --sections {','.join(unknown)}: expected some of {','.join(SECTIONS)}", file=sys.stderr
        )
        return 2
    torch.set_num_threads(options.threads)
    keep_freed_memory()  # as a run has it
    device = torch.device(options.device)
    store = Store(options.results, device, quick=options.quick, seconds=options.seconds)
    cases = [case for name in wanted for case in MATRIX[name](device, options.quick)]
    if options.fresh:
        store.cases = {key: case for key, case in store.cases.items() if case["section"] not in wanted}
    console = Console()
    for line in measure(store, cases, options.seconds):
        console.print(line, highlight=False, soft_wrap=True)
    written = write(store, options.results)
    console.print(table(targets(store.cases)))
    console.print(f"{', '.join(path.name for path in written)} in {options.results}")
    return 0


def read(arguments: list[str]) -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sections", default=",".join(SECTIONS), help=f"some of {','.join(SECTIONS)}")
    parser.add_argument("--quick", action="store_true", help="fewer lengths, widths, taps and contenders")
    parser.add_argument(
        "--seconds", type=float, default=6.0, help="about so long a case, three rounds at least"
    )
    parser.add_argument("--threads", type=int, default=1, help="threads of torch")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--fresh", action="store_true", help="measure what is there already as well")
    parser.add_argument("--results", type=Path, default=Path("results/benchmarks"))
    return parser.parse_args(arguments)


def measure(store: Store, cases: list[Case], seconds: float) -> Iterator[str]:
    """Measure what is missing, and yield a line a case: what it was, and what is left."""
    missing = [case for case in cases if not store.done(case)]
    if len(missing) < len(cases):
        yield f"{len(cases) - len(missing)} of {len(cases)} cases are there already"
    took: dict[str, list[float]] = {}
    for index, case in enumerate(missing, start=1):
        begin = time.perf_counter()
        store.add(case, case.run(seconds), time.perf_counter() - begin)
        took.setdefault(case.section, []).append(time.perf_counter() - begin)
        left = sum(_expected(took, later.section, seconds) for later in missing[index:])
        done = f"{index}/{len(missing)}  {took[case.section][-1]:5.1f} s"
        yield f"{done}  {case.key}   about {left / 60:.0f} min left"


def _expected(took: dict[str, list[float]], section: str, seconds: float) -> float:
    """Return what a case of a section should take: as those before it, else three times what it is given."""
    own = took.get(section, [3 * seconds])
    return sum(own) / len(own)


def write(store: Store, folder: Path) -> list[Path]:
    """Write page and pictures from what was measured; return their paths."""
    drawn = []
    for name, title, panels in pictures(store):
        if any(panels.values()):
            drawn += save(draw_costs(panels, title), folder, f"{store.name}-{name}")
    page = folder / f"{store.name}.md"
    shown = [path.name for path in drawn if path.suffix == ".png"]
    write_text(page, markdown(store.device, store.cases, shown))
    return [store.path, page, *drawn]


def pictures(store: Store) -> Iterator[tuple[str, str, dict[str, dict[str, dict[int, float]]]]]:
    """Yield name, title and panels of each picture."""
    at: dict[str, str | int] = {
        "batch": transforms.BATCH,
        "width": transforms.WIDTH,
        "taps": transforms.TAPS,
        "level": "1",
    }
    found = {name: series(store.cases, "transforms", name, at) for name in TIMED}
    yield (
        "transforms",
        f"wavedec + waverec, 16 taps, level 1, (4, length, 128) · {store.device}",
        {"ms": {name: milliseconds(one) for name, one in found.items() if one}},
    )
    steps = {name: series(store.cases, "steps", name, {"precision": "float32"}) for name in DRAWN}
    memory = {
        name: {n: c["memory"] / 1e6 for n, c in one.items() if c.get("memory")} for name, one in steps.items()
    }
    yield (
        "steps",
        f"One training step of one document, one block of width 128 · {store.device}",
        {
            "ms": {name: milliseconds(one) for name, one in steps.items() if one},
            "memory (MB)": {name: one for name, one in memory.items() if one},
        },
    )


def milliseconds(one: dict[int, dict]) -> dict[int, float]:
    """Return length -> median in milliseconds."""
    return {length: 1e3 * spread(c["samples"]).median for length, c in one.items()}


def table(found: list[Target]) -> Table:
    """Return for the terminal the targets whose cases were measured."""
    measured = [target for target in found if target.value is not None]
    rest = len(found) - len(measured)
    shown = Table("target", "measured", "bound", "", title="Targets")
    shown.caption = f"{rest} more were not measured" if rest else None
    for target in measured:
        colour = "green" if target.verdict == "holds" else "red"
        shown.add_row(
            target.what, target.measured, f"{target.side} {target.bound:g}", f"[{colour}]{target.verdict}[/]"
        )
    return shown


if __name__ == "__main__":
    raise SystemExit(main())
