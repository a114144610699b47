"""A job of a sweep: one run, what is said on the command line to train it, and how it ends."""

import json
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from wise_lra.bars import bars
from wise_lra.configuration import ConfigurationError, compose, plain_dict
from wise_lra.run import Run
from wise_lra.runs.key import RunKey

OUT_OF_TIME = 75  # exit status of a run whose trainer.max_time is over
STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
STOPPED = {OUT_OF_TIME: "out of time"} | {
    status: "interrupted"
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
    for status in (128 + number, -number)
}
"""Exit statuses that are no failure: the run goes on from its last checkpoint at the next start."""


@dataclass(frozen=True)
class Outcome:
    """How a job ended: its exit status (minus the signal that killed it) and the reason if that is not 0."""

    status: int
    reason: str = ""
    held: bool = False  # it could not begin, for another process runs it

    @property
    def stopped(self) -> bool:
        """Whether the run ended early and goes on at the next start."""
        return self.status in STOPPED

    @property
    def failed(self) -> bool:
        """Whether the run ended with an error."""
        return self.status != 0 and not self.stopped


@dataclass(frozen=True)
class Job:
    """One run of a sweep. `setting` is the part of `overrides` that not all jobs of the sweep share.

    `problem` says why its data cannot be prepared, "" where they are. `recorded` is false where test=false.
    """

    key: RunKey
    overrides: tuple[str, ...]
    setting: str
    records: Path
    runs: Path
    overwrite: bool = False
    recorded: bool = True
    problem: str = ""

    @property
    def folder(self) -> Path:
        """The run folder."""
        return self.key.folder(self.runs)


Data = dict[str, tuple[Path, dict[str, Any]] | str]
"""Of what a configuration says of its data: the packed folder and its manifest, or why there is none."""


def planned(
    combinations: Sequence[tuple[str, ...]], here: bool = True, data: Data | None = None
) -> list[Job]:
    """Return the job of each combination of overrides; `here` says that this machine runs them.

    All are composed and checked, then the data that are not in `data` are prepared, once for all jobs.
    Raises ConfigurationError naming the first job whose configuration is wrong or whose devices are not here.
    """
    shared = set.intersection(*map(set, combinations)) if len(combinations) > 1 else set(combinations[0])
    checked = []
    for overrides in combinations:
        setting = " ".join(text for text in overrides if text not in shared)
        where = f" (the cell {setting}; no job was started)" if setting else ""
        try:
            checked.append((overrides, setting, where, compose(overrides)))
        except ConfigurationError as error:
            raise ConfigurationError(f"{error}{where}") from None
    for _, _, where, cfg in checked:
        if here and (cfg.trainer.devices != 1 or cfg.trainer.accelerator == "gpu"):
            from wise_lra.experiment import Refused, on_devices  # Lightning takes seconds to import

            try:
                on_devices(cfg)
            except Refused as error:
                raise ConfigurationError(f"{error}{where}") from None
    data = {} if data is None else data
    jobs = []
    for overrides, setting, _, cfg in checked:
        plain = plain_dict(cfg)
        known = json.dumps([plain["task"], plain["data"]], sort_keys=True)
        if known not in data:
            data[known] = _prepared(cfg)
        found = data[known]
        run = Run(cfg, Path(), {"variant": ""}) if isinstance(found, str) else Run(cfg, *found)
        jobs.append(
            Job(
                run.key,
                overrides,
                setting,
                Path(cfg.records),
                Path(cfg.runs),
                bool(cfg.overwrite),
                bool(cfg.test) and "trial" not in cfg,
                found if isinstance(found, str) else "",
            )
        )
    return jobs


def _prepared(cfg: Any) -> tuple[Path, dict[str, Any]] | str:
    """Return the packed folder of a run's data and its manifest, or why there is none."""
    from wise_lra.data.packed import read_manifest  # torch takes seconds to import
    from wise_lra.data.prepare import prepare
    from wise_lra.preparation import preparation

    try:
        if cfg.data.folder:
            return Path(cfg.data.folder), read_manifest(Path(cfg.data.folder))
        with bars(Console(stderr=True)) as progress:
            prepared = prepare(**preparation(cfg), progress=progress)
        return prepared.folder, prepared.manifest
    except (ValueError, OSError) as error:
        return f"its data cannot be prepared: {error}"
