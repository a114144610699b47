"""The composition root: from a checked configuration to a trained, tested and recorded run."""

import hashlib
import json
import logging
import platform
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import ModelCheckpoint

from wise_lra.configuration import compose, plain_dict
from wise_lra.data.module import DataModule
from wise_lra.data.packed import read_manifest
from wise_lra.data.prepare import prepare
from wise_lra.data.task import SPLITS, Task
from wise_lra.grid import claim
from wise_lra.model import parameter_count
from wise_lra.progress import History, Screen, Throughput, peak_memory
from wise_lra.provenance import commit, dirty, versions
from wise_lra.results.atomic import write_text
from wise_lra.results.record import Record
from wise_lra.tracking import finish, make_logger
from wise_lra.training import Training

log = logging.getLogger(__name__)

_SCIENCE = ("task", "model", "backbone", "attention", "heads", "wavelet", "recipe", "preset")
"""Nodes that decide what a run computes; with these of `data`, whose other keys say where files lie."""
_SCIENCE_DATA = ("protocol", "seed", "generated", "standin", "validation_examples", "test_examples")


class Refused(RuntimeError):
    """A run that must not be trained as configured."""


@dataclass(frozen=True)
class Run:
    """A cell of the grid with its seed, and the places that belong to it."""

    cfg: DictConfig
    task: Task
    folder: Path
    data: Path
    manifest: dict[str, Any]
    preset: str

    @property
    def name(self) -> str:
        """The run in one line: "text (stand-in) wise_adaptive softmax seed 0"."""
        variant = f" ({self.manifest['variant']})" if self.manifest["variant"] else ""
        cfg = self.cfg
        return f"{self.task.name}{variant} {cfg.backbone.name} {cfg.attention.name} seed {cfg.seed}"

    @property
    def place(self) -> Path:
        """Where records and runs keep it: <preset>/<task>/<backbone>/<attention>/seed<k>."""
        variant = f"-{self.manifest['variant']}" if self.manifest["variant"] else ""
        cfg = self.cfg
        names = (
            self.preset,
            self.task.name + variant,
            cfg.backbone.name,
            cfg.attention.name,
            f"seed{cfg.seed}",
        )
        return Path(*names)


def data_settings(task: str, preset: str, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Return the keyword arguments of `prepare` for a task and a preset.

    Raises ConfigurationError on an unknown task, preset or override.
    """
    return _preparation(compose([f"task={task}", f"preset={preset}", *overrides]))


def train(cfg: DictConfig) -> Record:
    """Train, test and record one run, or return the record that is there; `cfg` is checked (see `compose`).

    A run that was stopped goes on from its last validation. Test data are touched once, after the best checkpoint
    by validation accuracy has been chosen.
    Raises Refused for a cell with too many parameters, AlreadyRunning, Diverged, and what the data room raises.
    """
    run = _opened(cfg)
    path = Path(cfg.records, run.place).with_suffix(".json")
    if path.exists() and not cfg.overwrite:
        log.info("%s: its record is there already (%s); overwrite=true trains it again", run.name, path)
        return Record.from_mapping(json.loads(path.read_text(encoding="utf-8")))
    with claim(run.folder):
        record = _trained(run)
        record.write(cfg.records, overwrite=cfg.overwrite)
        (run.folder / "checkpoints" / "last.ckpt").unlink(missing_ok=True)
    return record


def build_model(cfg: DictConfig) -> torch.nn.Module:
    """Return the untrained model of a run, its weights drawn from the run's seed."""
    torch.manual_seed(cfg.seed)
    return instantiate(cfg.model)


def _opened(cfg: DictConfig) -> Run:
    """Find or make the data of a run, and name the places that follow from it."""
    if cfg.data.folder:
        folder = Path(cfg.data.folder)
        manifest = read_manifest(folder)
    else:
        prepared = prepare(**_preparation(cfg))
        folder, manifest = prepared.folder, prepared.manifest
    run = Run(cfg, instantiate(cfg.task), Path(), folder, manifest, preset_label(cfg))
    return Run(cfg, run.task, Path(cfg.runs) / run.place, folder, manifest, run.preset)


def preset_label(cfg: DictConfig) -> str:
    """Return the preset's name, or name and hash where a setting that matters is not the preset's own.

    So a changed run never takes the place of a true one, nor a place in its column.
    """
    choices = {
        "preset": "preset.name",
        "task": "task.name",
        "backbone": "backbone.name",
        "attention": "attention.name",
    }
    own = compose([f"{group}={OmegaConf.select(cfg, key)}" for group, key in choices.items()])
    here, there = _science(cfg), _science(own)
    if here == there:
        return str(cfg.preset.name)
    digest = hashlib.sha256(json.dumps(here, sort_keys=True).encode()).hexdigest()
    return f"{cfg.preset.name}-{digest[:8]}"


def _science(cfg: DictConfig) -> dict[str, Any]:
    plain = plain_dict(cfg)
    return {key: plain[key] for key in _SCIENCE} | {
        f"data.{key}": plain["data"][key] for key in _SCIENCE_DATA
    }


def _preparation(cfg: DictConfig) -> dict[str, Any]:
    data = plain_dict(cfg)["data"]
    return {
        "task": instantiate(cfg.task),
        "root": Path(data["root"]),
        "source": data["source"],
        "archives": Path(data["archives"]) if data["archives"] else None,
        "release": Path(data["release"]) if data["release"] else None,
        "protocol": data["protocol"],
        "generated": data["generated"],
        "standin": data["standin"],
        "seed": data["seed"],
    }


def _trained(run: Run) -> Record:
    cfg, started = run.cfg, datetime.now(UTC)
    begin = time.perf_counter()
    if cfg.trainer.threads:
        torch.set_num_threads(cfg.trainer.threads)
    recipe = instantiate(cfg.recipe)
    model = build_model(cfg)
    parameters = _within_limit(cfg, model)
    data = DataModule(
        run.task,
        run.data,
        recipe.batch_size,
        recipe.validate_every,
        cfg.seed,
        workers=cfg.trainer.workers,
        validation_examples=cfg.data.validation_examples,
        test_examples=cfg.data.test_examples,
    )
    if run.manifest["variant"]:
        log.warning("%s: the data are not LRA's own but %s", run.name, run.manifest["source"])
    history = History()
    throughput = Throughput(history, recipe.batch_size * data.tokens_per_example)
    screen = Screen(run.folder / "progress.json", run.name, recipe.steps, cfg.trainer.progress)
    checkpoint = ModelCheckpoint(
        run.folder / "checkpoints",
        filename="best",
        monitor="validation/accuracy",
        mode="max",
        save_last=True,
        enable_version_counter=False,
    )
    config = _without_places(plain_dict(cfg))
    logger = make_logger(
        plain_dict(cfg)["logger"], run.folder, _wandb_facts(run), config | {"parameters": parameters}
    )
    _silence()
    trainer = Trainer(
        accelerator=cfg.trainer.accelerator,
        devices=1,
        precision=_precision(cfg.trainer.precision),
        max_epochs=recipe.stretches,
        num_sanity_val_steps=0,
        gradient_clip_val=recipe.clip,
        log_every_n_steps=min(recipe.validate_every, max(1, recipe.validate_every // 10)),
        logger=logger,
        callbacks=[history, throughput, screen, checkpoint],
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    module = Training(model, recipe, cfg.seed)
    try:
        trainer.fit(module, datamodule=data, ckpt_path=_resumed(run, config), weights_only=True)
        tested = trainer.test(module, datamodule=data, ckpt_path="best", weights_only=True, verbose=False)[0]
    except SystemExit:  # what Lightning makes of Ctrl-C
        finish(logger, {}, exit_code=130)
        raise KeyboardInterrupt from None
    except BaseException:
        finish(logger, {}, exit_code=1)
        raise
    best = max(history.points, key=lambda point: point["validation_accuracy"])  # the first, as the checkpoint
    summary = {"test_accuracy": tested["test/accuracy"], "parameters": parameters, "best_step": best["step"]}
    identity = None if cfg.logger.name == "csv" else str(logger.version)
    if line := finish(logger, summary):
        log.info(line)
    return Record(
        preset=run.preset,
        task=run.task.name,
        variant=run.manifest["variant"],
        backbone=cfg.backbone.name,
        attention=cfg.attention.name,
        seed=cfg.seed,
        protocol=cfg.preset.protocol
        + ("" if cfg.data.protocol == "held-out" else f", data.protocol={cfg.data.protocol}"),
        comparable=cfg.preset.comparable and not run.manifest["variant"],
        data={
            "source": run.manifest["source"],
            "sha256": run.manifest["sha256"],
            "counts": {split: data.count(split) for split in SPLITS},
            "length": run.task.length,
            "majority": data.majority,
        },
        metrics={
            "test_accuracy": exact(tested["test/accuracy"], data.count("test")),
            "test_loss": tested["test/loss"],
            "test_examples": data.count("test"),
            "validation_accuracy": exact(best["validation_accuracy"], data.count("validation")),
            "validation_loss": best["validation_loss"],
            "best_step": best["step"],
        },
        history=history.points,
        steps=trainer.global_step,
        budget={
            "steps": recipe.steps,
            "batch_size": recipe.batch_size,
            "examples": recipe.steps * recipe.batch_size,
        },
        parameters=parameters,
        seconds={**history.seconds, "total": history.seconds_before + time.perf_counter() - begin},
        tokens_per_second=throughput.tokens_per_second,
        peak_memory_bytes=peak_memory(module.device),
        device=_device_name(trainer),
        precision=str(trainer.precision),
        versions=versions(),
        commit=commit(),
        dirty=dirty(),
        config=config,
        started=started.isoformat(timespec="seconds"),
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
        wandb_id=identity,
    )


def exact(accuracy: float, examples: int) -> float:
    """Return a share of examples that came as float32 as the fraction that it is."""
    return round(accuracy * examples) / examples


def _within_limit(cfg: DictConfig, model: torch.nn.Module) -> int:
    """Return the number of parameters. Raises Refused where they are too many for the preset."""
    own, limit = parameter_count(model), cfg.preset.parameter_limit
    if limit:
        vanilla = parameters_of_vanilla(cfg)
        if own > limit * vanilla:
            raise Refused(
                f"{cfg.backbone.name}: {own:,} parameters are {own / vanilla:.1%} of vanilla's {vanilla:,}; "
                f"preset={cfg.preset.name} allows {limit:.0%}: lower wavelet.taps or heads.qkv_dim"
            )
    return own


def parameters_of_vanilla(cfg: DictConfig) -> int:
    """Return the parameters of the vanilla backbone at these sizes, without making its weights."""
    plain, vanilla = plain_dict(cfg, resolve=False), plain_dict(compose(["backbone=vanilla"]), resolve=False)
    plain["backbone"] = vanilla["backbone"]
    if plain["attention"]["mixer"] is None:
        plain["attention"] = vanilla["attention"]
    with torch.device("meta"):
        return parameter_count(instantiate(OmegaConf.create(plain).model))


def _resumed(run: Run, config: dict[str, Any]) -> str | None:
    """Return the checkpoint to go on from, and note the configuration that the next one will have."""
    note, last = run.folder / "config.json", run.folder / "checkpoints" / "last.ckpt"
    text = json.dumps(config, indent=1) + "\n"
    if last.exists() and note.exists() and note.read_text(encoding="utf-8") == text:
        log.info("%s: goes on from its last validation", run.name)
        return str(last)
    last.unlink(missing_ok=True)
    write_text(note, text)
    return None


def _without_places(plain: dict[str, Any]) -> dict[str, Any]:
    """Return a configuration without what belongs to one machine or person."""
    data = {key: value for key, value in plain["data"].items() if key in (*_SCIENCE_DATA, "source")}
    kept = {
        key: value for key, value in plain.items() if key not in ("records", "runs", "overwrite", "logger")
    }
    return kept | {"data": data}


def _wandb_facts(run: Run) -> dict[str, Any]:
    digest = hashlib.sha256(f"{run.place}{run.folder.resolve()}".encode()).hexdigest()[:8]
    return {
        "id": f"{run.cfg.task.name}-{run.cfg.backbone.name}-{digest}",
        "name": run.name,
        "group": run.preset,
        "job_type": run.task.name,
        "tags": [run.cfg.backbone.name, run.cfg.attention.name],
    }


def _precision(choice: str) -> Any:
    if choice == "auto":
        bf16 = torch.cuda.is_available() and torch.cuda.is_bf16_supported()
        return "bf16-mixed" if bf16 else "32-true"
    return {"32": "32-true", "bf16": "bf16-mixed"}[str(choice)]


@cache
def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _device_name(trainer: Trainer) -> str:
    device = trainer.strategy.root_device
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"{_cpu_name()}, {threads} thread{'s' * (threads > 1)}"


def _silence() -> None:
    """Quieten what Lightning says of every run and nobody can act on."""
    for name in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(f"{name}.utilities.rank_zero").setLevel(logging.WARNING)
    for message in (
        ".*does not have many workers.*",  # batches are cut from a memory map; workers are ours to set
        ".*exists and is not empty.*",  # a resumed run's folder
        ".*GPU available but not used.*",  # trainer=cpu was asked for
        ".*LeafSpec.*",  # Lightning's own use of torch's pytree
    ):
        warnings.filterwarnings("ignore", message=message)
