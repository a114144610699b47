"""What `make reproduce-lra` does: choose the preset, run the grid by scripts/train.py -m, print the table."""

import os
import runpy
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from wise_lra.results.atomic import expect_room
from wise_lra.runs.job import OUT_OF_TIME, TRAIN
from wise_lra.runs.selection import Selection, preset_for, quoted

TABLES = TRAIN.with_name("tables.py")
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
"""What the grid sets for all its runs, and the option to use instead of an override."""


def reproduce(
    selection: Selection,
    overrides: Sequence[str],
    gpus: Sequence[str],
    *,
    jobs: int | None = None,
    launcher: str = "",
    records: Path = Path("results/records"),
    runs: Path = Path("results/runs"),
    train: Path = TRAIN,
    tables: Path = TABLES,
) -> int:
    """Run the selected grid and print its table; return the exit status.

    0 if every run has its record, 1 if something failed, 2 on a setting that is wrong. Where nothing failed but
    runs were stopped: 75 if one was out of time, else 130, as after Ctrl-C. `overrides` are settings of every run;
    the launcher is "local" by default, with `jobs` runs at a time. Raises OSError, before anything starts, where
    records or runs cannot be written.
    """
    for folder in (records, runs):
        expect_room(folder)
    preset, why = preset_for(selection.preset, gpus)
    print(f"preset={preset}: {why}")
    command = ["-m", *selection.multirun(preset), f"hydra/launcher={launcher or 'local'}"]
    if preset == "quick" or not (gpus or launcher):
        command += ["trainer.threads=1"]  # no result depends on how many run at a time
    command += [] if launcher else [f"hydra.launcher.n_jobs={jobs or 'null'}"]
    command += [f"{name}={quoted(path)}" for name, path in (("records", records), ("runs", runs))]
    command += overrides
    print(f"running scripts/train.py {shlex.join(command)}", flush=True)
    status = run_script(train, command)
    if status not in (0, 1, OUT_OF_TIME):  # nothing was started, or it was interrupted
        return status
    where = ["--records", str(records), "--out", str(records.parent)]
    built = subprocess.run([sys.executable, os.path.relpath(tables), "--preset", preset, *where], check=False)
    if built.returncode:
        print(
            f"failed  the table: status {built.returncode} of scripts/tables.py; `make tables` builds it again"
        )
    if status == 1:
        print("failed  some cells, for the reasons above; the same command runs these again, and only these")
    return 1 if built.returncode else status


def expect_settings(overrides: Sequence[str]) -> None:
    """Raise ValueError on an override that the grid sets itself."""
    for override in overrides:
        if instead := OWN.get(override.lstrip("+~").partition("=")[0]):
            raise ValueError(f"{override}: the grid decides this for every cell; say {instead}")


def run_script(path: Path, arguments: Sequence[str]) -> int:
    """Run a script in this process, so that no signal meets a process in between; return its exit status."""
    before, sys.argv = sys.argv, [str(path), *arguments]
    try:
        runpy.run_path(str(path), run_name="__main__")
        return 0
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except KeyboardInterrupt:
        return 130
    finally:
        sys.argv = before
