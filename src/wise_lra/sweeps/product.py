"""The sweeper of a plain multirun: the product of what was given, checked as a whole, finished cells left out."""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hydra import initialize_config_dir
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from wise_lra.configuration import CONFIGS, ConfigurationError, compose, options, plain_dict
from wise_lra.grid.cells import UNATTENDED, Cell
from wise_lra.grid.lock import holder
from wise_lra.grid.standing import FAILED, record_failure
from wise_lra.sweeps.outcome import Outcome, outcome_of
from wise_lra.sweeps.summary import Line, summary

log = logging.getLogger(__name__)

EXTRA = "pip install -c constraints.txt -e '.[sweeps]' (make sweeps does it)"


@dataclass(frozen=True)
class Job:
    """One cell of a product: what is to be said to train it, what of this is its own, and where it lives."""

    overrides: tuple[str, ...]
    own: str
    cell: Cell
    records: Path
    runs: Path
    overwrite: bool


class Product(Sweeper):
    """Runs every combination of the values given, each a job of Hydra's launcher.

    All cells are composed and checked, and their data prepared, before the first job. Cells with a record and cells
    that another process trains are left out, unless `overwrite=true` asks for the former. A failed job is a line
    of the table that ends the sweep, not its end; the sweep then ends with status 1.
    """

    config: DictConfig
    launcher: Launcher

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Make the launcher. Raises ConfigurationError where the package that it needs is not installed."""
        expect_launcher(config)
        self.config, self.hydra_context = config, hydra_context
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        """Run the product of `arguments`. Raises ConfigurationError before any job, SystemExit(1) if one failed."""
        elsewhere = self.config.hydra.runtime.choices.get("hydra/launcher") == "submitit_slurm"
        jobs = planned(combinations(arguments), here=not elsewhere)
        waiting = [job for job in jobs if not _settled(job)]
        folder = Path(self.config.hydra.sweep.dir)
        folder.mkdir(parents=True, exist_ok=True)
        OmegaConf.save(self.config, folder / "multirun.yaml")
        log.info("%s cells, %s of them to run", len(jobs), len(waiting))
        for job in waiting:
            (job.cell.folder(job.runs) / FAILED).unlink(missing_ok=True)
        outcomes = dict(zip(waiting, self._launched([job.overrides for job in waiting]), strict=True))
        for job, outcome in outcomes.items():
            if outcome.failed:
                command = ["scripts/train.py", *job.overrides]
                record_failure(job.cell.folder(job.runs), outcome.reason, outcome.status, command)
        lines = [
            Line.of(job.cell, job.own, job.records, job.runs, outcomes.get(job), job.overwrite)
            for job in jobs
        ]
        Console(width=None if Console().is_terminal else 200).print(summary(lines))
        if any(line.bad for line in lines):
            raise SystemExit(1)

    def _launched(self, jobs: Sequence[tuple[str, ...]]) -> list[Outcome]:
        """Return the outcome of each job; a launcher that breaks is given the jobs again, one at a time."""
        if not jobs:
            return []
        try:
            returned = self.launcher.launch([list(job) for job in jobs], initial_job_idx=0)
            return [outcome_of(one) for one in returned]
        except ConfigurationError:
            raise
        except Exception as error:  # a worker that the system kills takes joblib's whole pool with it
            broken = Outcome(1, f"{type(error).__name__}: {' '.join(str(error).split())}")
        if len(jobs) == 1:
            return [broken]
        log.warning("%s; the jobs that are left run one at a time", broken.reason.partition(":")[0])
        return [outcome for job in jobs for outcome in self._launched([job])]


def own_files() -> None:
    """Let the files of configs/hydra stand alone; plug-ins' schemas of the same names would be merged into them."""
    for group in ("launcher", "sweeper"):
        stored = ConfigStore.instance().repo.get("hydra", {}).get(group, {})
        for name in options(f"hydra/{group}"):
            stored.pop(f"{name}.yaml", None)


def expect_launcher(config: DictConfig) -> None:
    """Raise ConfigurationError where the launcher of `config` is of a package that is not installed."""
    target = str(config.hydra.launcher.get("_target_"))
    if target not in Plugins.instance().class_name_to_class:
        name = config.hydra.runtime.choices.get("hydra/launcher")
        raise ConfigurationError(f"hydra/launcher={name}: not installed; {EXTRA}")


def combinations(arguments: Sequence[str]) -> list[tuple[str, ...]]:
    """Return the product of sweeping overrides, each combination once.

    A backbone that holds no attention has one cell, whatever the attentions that are swept.
    Raises HydraException on what cannot be parsed or is no list of values.
    """
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        parsed = OverridesParser.create(config_loader=loader).parse_overrides(list(arguments))
        (batch,) = BasicSweeper.split_arguments(parsed, None)
    swept = {override.key_or_group for override in parsed if override.is_sweep_override()}
    found: dict[tuple[str, ...], None] = {}
    for overrides in batch:
        alone = "attention" in swept and any(f"backbone={name}" in overrides for name in UNATTENDED)
        kept = [text for text in overrides if not (alone and text.startswith("attention="))]
        found[tuple(kept)] = None
    return list(found)


def planned(combinations: Sequence[tuple[str, ...]], here: bool = True) -> list[Job]:
    """Return the checked jobs of a product, their data found or made; with `here` this machine has their devices.

    Raises ConfigurationError naming the first that is not sound.
    """
    shared = set.intersection(*map(set, combinations)) if len(combinations) > 1 else set(combinations[0])
    checked = []
    for overrides in combinations:
        own = " ".join(text for text in overrides if text not in shared)
        where = f" (the cell {own}; no job was started)" if own else ""
        try:
            checked.append((overrides, own, where, compose(overrides)))
        except ConfigurationError as error:
            raise ConfigurationError(f"{error}{where}") from None
    # Here, for torch and Lightning take seconds to import.
    from wise_lra.experiment import Refused, on_devices, open_run
    from wise_lra.run import Run

    data: dict[str, Run] = {}
    jobs = []
    for overrides, own, where, cfg in checked:
        plain = plain_dict(cfg)
        key = json.dumps([plain["task"], plain["data"]], sort_keys=True)
        try:
            if here:
                on_devices(cfg)
            first = data[key] = data.get(key) or open_run(cfg)
        except (Refused, ValueError, OSError) as error:
            raise ConfigurationError(f"{error}{where}") from None
        cell = Run(cfg, first.data, first.manifest).cell
        jobs.append(Job(overrides, own, cell, Path(cfg.records), Path(cfg.runs), bool(cfg.overwrite)))
    return jobs


def _settled(job: Job) -> bool:
    """Tell whether a job is not to be run: its record is there, or another process trains it."""
    if holder(job.cell.folder(job.runs)) is not None:
        return True
    return job.cell.record(job.records).exists() and not job.overwrite
