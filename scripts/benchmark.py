"""Measure transforms, layers, training steps and the input pipeline, and compare them with the targets.

  python scripts/benchmark.py                             everything: about 25 minutes on one core
  python scripts/benchmark.py --sections transforms --quick

Writes results/benchmarks/<device>.json after every case, then a page and pictures from it. The same command goes on
where it was stopped: a case is done if measured on the same sources and torch with the same options.
"""

from wise_lra.stopping import end_quietly

if __name__ == "__main__":
    end_quietly()

import argparse
import sys
from pathlib import Path

import torch
from rich.console import Console

from wise_lra.benchmark import models, page, transforms
from wise_lra.benchmark.measure import ResultsFile
from wise_lra.benchmark.targets import targets
from wise_lra.performance import keep_freed_memory

CASES = dict(
    zip(page.SECTIONS, (transforms.cases, models.layers, models.steps, models.pipeline), strict=True)
)


def main() -> int:
    """Measure, write and print; return 0, or 2 for an unknown section."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    option = parser.add_argument
    option("--sections", default=",".join(CASES), help=f"some of {','.join(CASES)}")
    option("--quick", action="store_true", help="fewer lengths, widths, taps and contenders")
    option("--seconds", type=float, default=6.0, help="about so long a case, three rounds at least")
    option("--threads", type=int, default=1, help="threads of torch")
    option("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    option("--fresh", action="store_true", help="measure again what is done")
    option("--results", type=Path, default=Path("results/benchmarks"))
    options = parser.parse_args()
    sections = options.sections.split(",")
    if unknown := [name for name in sections if name not in CASES]:
        print(f"error: --sections {','.join(unknown)}: expected some of {','.join(CASES)}", file=sys.stderr)
        return 2
    torch.set_num_threads(options.threads)
    keep_freed_memory()  # as a run does
    device, console = torch.device(options.device), Console()
    results = ResultsFile(options.results, device, quick=options.quick, seconds=options.seconds)
    if options.fresh:
        results.cases = {key: case for key, case in results.cases.items() if case["section"] not in sections}
    cases = [case for name in sections for case in CASES[name](device, options.quick)]
    for line in results.measure(cases, options.seconds):
        console.print(line, highlight=False, soft_wrap=True)
    for target in targets(results.cases):
        if target.value is not None:
            style = "" if target.verdict == "holds" else "red"
            console.print("  ".join(target.row), style=style, highlight=False, soft_wrap=True)
    written = page.write(results.path)
    console.print(f"{', '.join(path.name for path in (results.path, *written))} in {options.results}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
