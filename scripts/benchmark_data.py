"""Measure how fast data are generated, and how much faster batches are loaded than a model takes them.

python scripts/benchmark_data.py --seconds 5
Rates are of this machine as it is now; a ratio compares two of them measured one after the other.
"""

from wise_lra.stopping import end_quietly

if __name__ == "__main__":
    end_quietly()

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from wise_lra.configuration import TASKS, compose
from wise_lra.data import listops, pathfinder
from wise_lra.data.batch import Batch
from wise_lra.data.made import kind
from wise_lra.data.packed import PackedSplit
from wise_lra.data.prepare import prepare
from wise_lra.experiment import build_model
from wise_lra.preparation import preparation

BACKBONE = "fnet"  # the fastest of preset=quick


def main() -> int:
    """Print both tables; return 0."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=3.0, help="about so long a measurement")
    parser.add_argument("--tasks", default=",".join(TASKS), help="whose loading is measured")
    options = parser.parse_args()
    console = Console()
    console.print(generators(options.seconds))
    console.print(loading(options.tasks.split(","), options.seconds))
    return 0


def generators(seconds: float) -> Table:
    """Return the rates of the two generators at LRA's settings, and the time for as many examples as LRA has."""
    table = Table("generator", "threads", "examples/s", "all of LRA's", title="Generators at LRA's settings")
    measure(table, "listops", 1, 100_000, 1000, listops.generate, seconds)
    for threads in sorted({1, os.cpu_count() or 1}):
        make = partial(pathfinder.generate, workers=threads)
        measure(table, "pathfinder", threads, 200_000, 256 * threads, make, seconds)
    return table


def measure(
    table: Table, name: str, threads: int, whole: int, count: int, make: Callable[..., object], seconds: float
) -> None:
    """Add the row of a generator that makes `count` examples at a time."""
    make(10, 0)  # compiled, and tables made
    rate = count * per_second(lambda turn: make(count, 1 + turn), seconds)
    table.add_row(name, str(threads), f"{rate:,.0f}", f"{whole / rate:,.0f} s")


def loading(tasks: list[str], seconds: float) -> Table:
    """Return for each task how many batches a second are loaded, and how many a model trains on."""
    title = f"Batches of preset=quick; trained: {BACKBONE}, its fastest"
    table = Table("task", "batch", "loaded/s", "trained/s", "ratio", title=title)
    for name in tasks:
        with tempfile.TemporaryDirectory() as root:
            size, loaded, trained = rates(name, Path(root), seconds)
        table.add_row(name, str(size), f"{loaded:,.0f}", f"{trained:,.1f}", f"{loaded / trained:,.0f}")
    return table


def rates(name: str, root: Path, seconds: float) -> tuple[int, float, float]:
    """Return the batch size of a task, the batches loaded a second, and those trained on, loading included."""
    cfg = compose([f"task={name}", f"backbone={BACKBONE}"])
    settings = preparation(compose([f"task={name}", f"data.source={kind(name)}"]))
    task, size = settings["task"], int(cfg.recipe.batch_size)
    split = PackedSplit(prepare(**settings | {"root": root}).folder, "train", task)
    orders = np.random.default_rng(0).integers(len(split), size=(64, size))
    model = build_model(cfg)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)

    def load(turn: int) -> Batch:
        return split.batch(orders[turn % 64], task.length)

    def train(turn: int) -> None:
        batch = load(turn)
        loss = torch.nn.functional.cross_entropy(model(batch.tokens, batch.mask), batch.labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return size, per_second(load, seconds), per_second(train, seconds)


def per_second(work: Callable[[int], object], seconds: float) -> float:
    """Return how often a second `work(turn)` is done, over about so many seconds and one turn at least."""
    begin, turns = time.perf_counter(), 0
    while not turns or time.perf_counter() - begin < seconds:
        work(turns)
        turns += 1
    return turns / (time.perf_counter() - begin)


if __name__ == "__main__":
    raise SystemExit(main())
