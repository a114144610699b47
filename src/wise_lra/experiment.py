"""The composition root: from a checked configuration to a trained, tested and recorded run."""

import json
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import Callback

from wise_lra import find_batch, processes
from wise_lra.checkpoints import BEST, begun, best, forget, unfit
from wise_lra.config import CONFIGS, compose, plain_dict
from wise_lra.data.packed import verify
from wise_lra.data.prepare import prepare
from wise_lra.data.task import SPLITS
from wise_lra.fitting import ended, fit, precision
from wise_lra.loggers import TolerantWandbLogger, finish, publish
from wise_lra.model import chunk_mlp, parameter_count
from wise_lra.preparation import preparation
from wise_lra.provenance import commit, device_name, dirty, peak_memory, versions
from wise_lra.results import record as records
from wise_lra.results.atomic import expect_room, write_text
from wise_lra.results.record import Record
from wise_lra.run import Run, recorded_config
from wise_lra.runs.lock import claim
from wise_lra.training import Training

log = logging.getLogger(__name__)

PUBLISHED = CONFIGS.parent / "results" / "published"
_STATES = 4 * 3 * 4  # bytes a parameter: four files at most, with weights and two means of gradients, float32


class Refused(RuntimeError):
    """A run that cannot, or must not, be trained as configured."""


def train(cfg: DictConfig, training: Callable[..., Training] = Training) -> Record:
    """Train, test and record one run, or return the record that is there; `cfg` is checked (see `compose`).

    A run that was stopped goes on from its last validation. Test data are touched once, after the best checkpoint
    by validation accuracy has been chosen. On several devices each has a process, which this one waits for.
    `training` makes the LightningModule, for one that measures itself.
    Raises Refused for a cell with too many parameters, devices or data that are not there, or a folder that cannot
    be written, AlreadyRunning, Diverged, Lost, and what the data room raises.
    """
    cfg = on_devices(cfg)
    run = open_run(cfg)
    if run.record.exists() and not cfg.overwrite:
        log.info("%s: its record is there already (%s); overwrite=true trains it again", run.name, run.record)
        return records.read(run.record)
    _expect_room(f"records={cfg.records}", run.record.parent)
    _expect_room(f"runs={cfg.runs}", run.folder)
    with claim(run.folder):
        if cfg.trainer.find_batch:
            run = replace(run, cfg=_with_micro_batch(cfg))
        state = _begun(run, build_model(run.cfg))
        return processes.together(cfg.trainer.devices, _trained, run, state, training)


def validate(cfg: DictConfig, watchers: Sequence[Callback] = ()) -> float:
    """Train as `train` does and return the best validation accuracy; no test data are opened, no record is written.

    `watchers` see the training, and may end it by raising GivenUp. Raises what `train` raises.
    """
    cfg = on_devices(cfg)
    if cfg.trainer.devices > 1:
        raise Refused(
            f"trainer.devices={cfg.trainer.devices}: a trial of a search runs on one device; expected 1"
        )
    run = open_run(cfg)
    _expect_room(f"runs={cfg.runs}", run.folder)
    with claim(run.folder):
        model = build_model(cfg)
        fitted = fit(processes.Place(), run, model, _begun(run, model), ("train", "validation"), watchers)
        accuracy = exact(best(fitted.history.points)["validation_accuracy"], fitted.data.count("validation"))
        finish(fitted.logger, {"validation_accuracy": accuracy, "parameters": fitted.parameters})
        forget(run.folder / "checkpoints")
    return accuracy


def build_model(cfg: DictConfig) -> torch.nn.Module:
    """Return the untrained model of a run, its weights drawn from the run's seed.

    Raises Refused where it has more parameters than the preset allows.
    """
    torch.manual_seed(cfg.seed)
    model = instantiate(cfg.model)
    chunk_mlp(model, cfg.trainer.mlp_chunk)
    if limit := cfg.preset.parameter_limit:
        own, vanilla = parameter_count(model), parameters_of_vanilla(cfg)
        if own > limit * vanilla:
            raise Refused(
                f"{cfg.backbone.name}: {own:,} parameters are {own / vanilla:.1%} of vanilla's {vanilla:,}; "
                f"preset={cfg.preset.name} allows {limit:.0%}: lower wavelet.taps or heads.qkv_dim"
            )
    return model


def parameters_of_vanilla(cfg: DictConfig) -> int:
    """Return the parameters of the vanilla backbone at these sizes, without making its weights."""
    plain, vanilla = plain_dict(cfg, resolve=False), plain_dict(compose(["backbone=vanilla"]), resolve=False)
    plain["backbone"] = vanilla["backbone"]
    if plain["attention"]["mixer"] is None:
        plain["attention"] = vanilla["attention"]
    with torch.device("meta"):
        return parameter_count(instantiate(OmegaConf.create(plain).model))


def open_run(cfg: DictConfig) -> Run:
    """Find or make the data of a run, and hash them. Raises Refused, and what the data room raises."""
    if cfg.data.folder:
        try:
            manifest = verify(Path(cfg.data.folder), instantiate(cfg.task))
        except FileNotFoundError:
            raise Refused(
                f"data.folder={cfg.data.folder}: no prepared data there; `make data` makes some"
            ) from None
        if cfg.task.name == "text" and manifest["protocol"] != cfg.data.protocol:
            raise Refused(
                f"data.folder={cfg.data.folder}: validates by {manifest['protocol']}, "
                f"expected data.protocol={cfg.data.protocol}"
            )
        return Run(cfg, Path(cfg.data.folder), manifest)
    prepared = prepare(**preparation(cfg))
    return Run(cfg, prepared.folder, prepared.manifest)


def _begun(run: Run, model: torch.nn.Module) -> Path | None:
    """Return the state that a stopped run of this model goes on from, and say so."""
    weights = {f"model.{name}": weight for name, weight in model.state_dict().items()}
    write_text(run.folder / "config.json", json.dumps(recorded_config(run.cfg), indent=1) + "\n")
    state = begun(run.folder / "checkpoints", run.identity, weights)
    if state:
        log.info("%s: goes on from its last validation", run.name)
    else:
        _expect_room(f"runs={run.cfg.runs}", run.folder, _STATES * parameter_count(model))
    return state


def _expect_room(setting: str, folder: Path, size: int = 1 << 16) -> None:
    """Raise Refused where so many bytes cannot be written."""
    try:
        expect_room(folder, size)
    except OSError as error:
        why = f"{error.strerror}: {error.filename}"
        raise Refused(
            f"{setting}: {size:,} bytes cannot be written ({why}); expected a folder with room"
        ) from None


def on_devices(cfg: DictConfig) -> DictConfig:
    """Return the configuration with the number of devices that it means here. Raises Refused if there are fewer."""
    cfg = cfg.copy()
    try:
        cfg.trainer.devices = processes.number(cfg.trainer.accelerator, cfg.trainer.devices)
        processes.pieces(cfg.recipe.batch_size, cfg.trainer.devices, cfg.trainer.micro_batch)
    except ValueError as error:
        raise Refused(str(error)) from None
    return cfg


def _with_micro_batch(cfg: DictConfig) -> DictConfig:
    """Return the configuration with the largest micro-batch that fits into memory."""
    cfg = cfg.copy()
    share = -(-cfg.recipe.batch_size // cfg.trainer.devices)
    mixed = precision(cfg.trainer.precision) == "bf16-mixed"
    cfg.trainer.micro_batch = find_batch.largest(cfg, share, mixed)
    return cfg


def _trained(
    place: processes.Place, run: Run, state: Path | None, training: Callable[..., Training]
) -> Record:
    """Train and test in one process of the run; all return the record, the first one writes it."""
    cfg, started, begin = run.cfg, datetime.now(UTC), time.perf_counter()
    fitted = fit(place, run, build_model(cfg), state, training=training)
    module, data, trainer, logger = fitted.module, fitted.data, fitted.trainer, fitted.logger
    recipe, history, chosen = module.recipe, fitted.history, best(fitted.history.points)
    checkpoint = run.folder / "checkpoints" / BEST
    with ended(logger):
        if reason := unfit(checkpoint, history.points, module.state_dict()):
            raise Refused(f"{reason}; nothing was tested: the same command mends it or begins again")
        tested = trainer.test(
            module, datamodule=data, ckpt_path=checkpoint, weights_only=True, verbose=False
        )[0]
    metrics = {
        "test_accuracy": exact(tested["test/accuracy"], data.count("test")),
        "test_loss": tested["test/loss"],
        "test_examples": data.count("test"),
        "validation_accuracy": exact(chosen["validation_accuracy"], data.count("validation")),
        "validation_loss": chosen["validation_loss"],
        "best_step": chosen["step"],
    }
    device = trainer.strategy.root_device  # the module's own is the processor again by now
    peak = torch.tensor(peak_memory(device), dtype=torch.float64, device=device)
    record = Record(
        preset=run.key.preset,
        task=cfg.task.name,
        variant=run.variant,
        backbone=cfg.backbone.name,
        attention=cfg.attention.name,
        seed=cfg.seed,
        protocol=run.protocol,
        comparable=cfg.preset.comparable and not run.variant,
        data={
            "source": run.manifest["source"],
            "sha256": run.manifest["sha256"],
            "counts": {split: data.count(split) for split in SPLITS},
            "length": cfg.task.length,
            "majority": data.majority,
        },
        metrics=metrics,
        history=history.points,
        steps=trainer.global_step,
        budget={
            "steps": recipe.steps,
            "batch_size": recipe.batch_size,
            "examples": recipe.steps * recipe.batch_size,
        },
        parameters=fitted.parameters,
        seconds={**history.seconds, "total": history.seconds_before + time.perf_counter() - begin},
        tokens_per_second=history.tokens_per_second(trainer),
        peak_memory_bytes=int(trainer.strategy.reduce(peak, reduce_op="max")),
        device=f"{place.count} x " * (place.count > 1) + device_name(device),
        precision=str(trainer.precision),
        versions=versions(),
        commit=commit(),
        dirty=dirty(),
        config=fitted.config,
        started=started.isoformat(timespec="seconds"),
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
        wandb_id=str(logger.version) if isinstance(logger, TolerantWandbLogger) else None,
    )
    if place.first:
        _keep(run, record, logger)
    return record


def _keep(run: Run, record: Record, logger: Any) -> None:
    """Write the record, then send what W&B gets of it, close the run: the record stays whatever comes after."""
    cfg, checkpoints = run.cfg, run.folder / "checkpoints"
    record.write(cfg.records, overwrite=cfg.overwrite)
    forget(checkpoints)
    if isinstance(logger, TolerantWandbLogger) and cfg.logger.artifacts:
        publish(logger, record, Path(cfg.records), checkpoints / BEST, PUBLISHED)
    seconds = {f"seconds_{phase}": value for phase, value in record.seconds.items()}
    if line := finish(logger, record.metrics | seconds | {"parameters": record.parameters}):
        log.info(line)


def exact(accuracy: float, examples: int) -> float:
    """Return a share of examples that came as float32 as the fraction that it is."""
    return round(accuracy * examples) / examples
