"""A reproduction from end to end: preset, data, grid and table. What it needs of others it is given."""

import contextlib
import dataclasses
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from rich.console import Console

from wise_lra.grid.cells import Cell, cells
from wise_lra.grid.child import OUT_OF_TIME
from wise_lra.grid.live import Live
from wise_lra.grid.places import places, preset_for
from wise_lra.grid.plain import Plain
from wise_lra.grid.report import farewell, report, shown
from wise_lra.grid.runner import Runner
from wise_lra.grid.standing import State
from wise_lra.grid.wishes import Wishes

OWN = {
    "preset": "--preset (make: PRESET=)",
    "task": "--tasks (make: TASKS=)",
    "backbone": "--backbones (make: BACKBONES=)",
    "attention": "--attentions (make: ATTENTIONS=)",
    "seed": "--seeds (make: SEEDS=)",
    "data.folder": "--data (make: DATA=)",
    "records": "--records",
    "runs": "--runs",
    "overwrite": "nothing of the kind: remove the records of the cells to train again",
}
"""What a grid decides for its cells, and the option to say instead of an override."""

Labels = Mapping[tuple[str, str, str], str]


@dataclass(frozen=True)
class Plan:
    """What is known before the first cell: of each task the folder of its data and their variant, or why not.

    `labels` holds the preset under which a (task, backbone, attention) is filed where overrides make it another
    than the preset itself.
    """

    data: Mapping[str, tuple[Path, str]]
    unprepared: Mapping[str, str] = field(default_factory=dict)
    labels: Labels = field(default_factory=dict)


@dataclass(frozen=True)
class Reproduction:
    """What to reproduce, where it goes, and the four verbs that others lend.

    Args:
        wishes: preset and axes of the grid.
        jobs: cells at a time; None for one a GPU, or one a core.
        overrides: settings of every cell, as `train` takes them.
        records: folder of records.
        runs: folder of run folders.
        gpus: returns the names of the visible GPUs, as CUDA_VISIBLE_DEVICES has them.
        plan: prepares the data of a preset, saying a line a task.
        train: the command that trains a cell but for its settings.
        tables: writes and prints the table of a preset; returns its exit status.
        launcher: a launcher of Hydra's ("submitit_slurm", say) that is sent the whole grid; "" for none.
    """

    wishes: Wishes
    jobs: int | None
    overrides: Sequence[str]
    records: Path
    runs: Path
    gpus: Callable[[], Sequence[str]]
    plan: Callable[[str], Plan]
    train: Sequence[str]
    tables: Callable[[str], int]
    launcher: str = ""

    def run(self) -> int:
        """Return 0 if every cell has its record, 1 if something failed, 130 if it was interrupted.

        Where nothing failed but cells were stopped from outside: 75 if one was out of time, else 130.

        Raises ValueError, before anything is written, on an override that is the grid's to decide or unknown.
        """
        for override in self.overrides:
            if instead := OWN.get(override.lstrip("+~").partition("=")[0]):
                raise ValueError(f"{override}: the grid decides this for every cell; say {instead}")
        try:
            with _terminable():
                return self._run()
        except KeyboardInterrupt:
            print("stopped before the first cell; the same command goes on from here")
            return 130

    def _run(self) -> int:
        gpus = list(self.gpus())
        preset, why = preset_for(self.wishes.preset, gpus)
        _say(f"preset={preset}: {why}")
        plan = self.plan(preset)
        alone = preset == "quick" or not (
            gpus or self.launcher
        )  # one thread a cell: no result depends on how many run at a time
        settings = (*(["trainer.threads=1"] if alone else []), *self._places(), *self.overrides)

        def command(cell: Cell) -> list[str]:
            folder = quoted(plan.data[cell.task][0])
            own = [f"{axis}={getattr(cell, axis)}" for axis in ("task", "backbone", "attention", "seed")]
            return [*self.train, f"preset={preset}", *own, f"data.folder={folder}", *settings]

        grid = self._grid(preset, plan)
        if self.launcher:
            return self._sent(preset, plan, settings, grid)
        at_a_time = places(gpus, self.jobs)
        with _screen(f"preset={preset}, {len(grid)} cells, {len(at_a_time)} at a time") as screen:
            runner = Runner(grid, command, at_a_time, self.records, self.runs, screen)
            have = f"{runner.already} of {len(grid)} cells have their record"
            screen.note(f"{have}; {runner.left} to run, {min(len(at_a_time), max(runner.left, 1))} at a time")
            ends = runner.run()
        now = runner.snapshot()
        if runner.stopped:
            for line in farewell(ends, now):
                _say(line)
            return 130
        status = self.tables(preset)
        _say_apart(preset, grid)
        for line in report(ends, now, command, self.runs):
            _say(line)
        for task, reason in plan.unprepared.items():
            _say(f"failed  {task}: its data could not be prepared: {reason}")
        if status:
            _say(f"failed  the table: status {status} of scripts/tables.py; `make tables` builds it again")
        if now.failed or plan.unprepared or status:
            return 1
        ended = {end.status for end in ends if end.state == State.STOPPED}
        return OUT_OF_TIME if OUT_OF_TIME in ended else 130 if ended else 0

    def _sent(self, preset: str, plan: Plan, settings: Sequence[str], grid: Sequence[Cell]) -> int:
        """Send the grid to the launcher as one sweep, wait for it, and build the table."""
        wishes = self.wishes
        axes = {
            "task": [task for task in wishes.tasks if task in plan.data],
            "backbone": wishes.backbones,
            "seed": wishes.seeds,
        }
        product = [f"{axis}={','.join(map(str, names))}" for axis, names in axes.items() if names]
        product.append(f"attention=choice({','.join(wishes.attentions)})")  # for the backbones that hold one
        command = [*self.train, "-m", f"hydra/launcher={self.launcher}", f"preset={preset}", *product]
        _say(f"sent to {self.launcher}: {shown([*command, *settings])}")
        swept = subprocess.run([*command, *settings], check=False).returncode if axes["task"] else 0
        if swept not in (0, 1):  # nothing was sent, or the wait was interrupted
            return swept
        status = self.tables(preset)
        _say_apart(preset, grid)
        for task, reason in plan.unprepared.items():
            _say(f"failed  {task}: its data could not be prepared: {reason}")
        return int(bool(swept or plan.unprepared or status))

    def _grid(self, preset: str, plan: Plan) -> list[Cell]:
        wishes = self.wishes
        variants = {task: plan.data[task][1] for task in wishes.tasks if task in plan.data}
        grid = cells(preset, variants, wishes.backbones, wishes.attentions, wishes.seeds)
        labels = [plan.labels.get((c.task, c.backbone, c.attention), preset) for c in grid]
        return [dataclasses.replace(c, preset=label) for c, label in zip(grid, labels, strict=True)]

    def _places(self) -> list[str]:
        """Return the overrides that send records and runs elsewhere than by default."""
        defaults = {"records": Path("results/records"), "runs": Path("results/runs")}
        chosen = {name: getattr(self, name) for name in defaults}
        return [f"{name}={quoted(path)}" for name, path in chosen.items() if path != defaults[name]]


def quoted(path: Path) -> str:
    """Return a path as Hydra reads it back, whatever signs it has."""
    text = str(path)
    if re.fullmatch(r"[\w./-]+", text, re.ASCII):
        return text
    return "'" + re.sub(r"(\\*)'", r"\1\1\\'", re.sub(r"(\\+)$", r"\1\1", text)) + "'"


def _screen(title: str) -> Live | Plain:
    on_terminal = sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"
    return Live(Console(), title) if on_terminal else Plain()


def _say_apart(preset: str, grid: Sequence[Cell]) -> None:
    """Say where the records of runs are that overrides make others than those of the preset."""
    if apart := sorted({cell.preset for cell in grid} - {preset}):
        _say(
            f"overrides make these runs others than preset={preset}: their records are in {', '.join(apart)}"
        )


def _say(text: str) -> None:
    print(text, flush=True)


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM end this as Ctrl-C does, so that nothing is left half-done."""
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupt(_: int, __: FrameType | None) -> None:
    raise KeyboardInterrupt
