"""A run, from its configuration to its record: data, model, callbacks, logger, trainer, fit, test, record."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig
from pytorch_lightning import Callback, Trainer
from pytorch_lightning.profilers import PassThroughProfiler

from wise_lra import find_batch
from wise_lra.build import build_model
from wise_lra.callbacks import quiet
from wise_lra.checkpoints import BEST, SafeCheckpoints, Saving, best, expect_folder, forget, resumed, unfit
from wise_lra.checks import LIGHTNING
from wise_lra.config import CONFIGS, plain_dict
from wise_lra.data.datamodule import DataModule
from wise_lra.data.task import SPLITS
from wise_lra.devices import Worker, in_workers, on_devices, pieces, precision
from wise_lra.history import History
from wise_lra.identity import Run, open_run, recorded_config
from wise_lra.loggers import TolerantWandbLogger, finish, publish
from wise_lra.model import parameter_count
from wise_lra.performance import compile_in_place, keep_freed_memory
from wise_lra.provenance import commit, device_name, dirty, peak_memory, versions
from wise_lra.results import record as records
from wise_lra.results.record import Record
from wise_lra.runs.lock import claim
from wise_lra.training import Training

log = logging.getLogger(__name__)

PUBLISHED = CONFIGS.parent / "results" / "published"


class Refused(RuntimeError):
    """A run that must not go on: a trial on several devices, or a best checkpoint that is not the run's own."""


def train(cfg: DictConfig, training: Callable[..., Training] = Training) -> Record:
    """Train, test and record one run, or return its record if there is one; `cfg` is checked (see `compose`).

    A stopped run resumes from its last validation. The test set is read once, after the best checkpoint by
    validation accuracy is chosen. Of several devices each has a process, for which this one waits.
    `training` makes the LightningModule.
    Raises ConfigurationError for devices or data that are not here, too many parameters, a folder that cannot be
    written; AlreadyRunning, Diverged, OutOfTime, WorkerDied, Refused, and what the data room raises.
    """
    cfg = on_devices(cfg)
    run = open_run(cfg)
    if run.record.exists() and not cfg.overwrite:
        log.info("%s: its record is there already (%s); overwrite=true trains it again", run.name, run.record)
        return records.read(run.record)
    expect_folder(f"records={cfg.records}", run.record.parent)
    expect_folder(f"runs={cfg.runs}", run.folder)
    with claim(run.folder):
        if cfg.trainer.find_batch:
            share = -(-cfg.recipe.batch_size // cfg.trainer.devices)
            mixed = precision(cfg.trainer.precision) == "bf16-mixed"
            cfg.trainer.micro_batch = find_batch.largest(cfg, share, mixed)
            run = replace(run, cfg=cfg)
        state = resumed(run, build_model(cfg))
        return in_workers(cfg.trainer.devices, _train, run, state, training)


def validate(cfg: DictConfig, watchers: Sequence[Callback] = ()) -> float:
    """Train as `train` does and return the best validation accuracy; the test set is not read, no record written.

    `watchers` are more callbacks, and may end the training by raising GivenUp. Raises what `train` raises.
    """
    cfg = on_devices(cfg)
    if cfg.trainer.devices > 1:
        raise Refused(
            f"trainer.devices={cfg.trainer.devices}: a trial of a search runs on one device; expected 1"
        )
    run = open_run(cfg)
    expect_folder(f"runs={cfg.runs}", run.folder)
    with claim(run.folder):
        state = resumed(run, build_model(cfg))
        fitted = fit(Worker(), run, state, ("train", "validation"), watchers)
        accuracy = _fraction(
            best(fitted.history.points)["validation_accuracy"], fitted.data.count("validation")
        )
        finish(fitted.logger, {"validation_accuracy": accuracy, "parameters": fitted.parameters})
        forget(run.folder / "checkpoints")
    return accuracy


@dataclass(frozen=True)
class Fitted:
    """A trained run: what its test and its record need."""

    module: Training
    data: DataModule
    trainer: Trainer
    logger: Any
    history: History
    config: dict[str, Any]
    parameters: int


def fit(
    worker: Worker,
    run: Run,
    state: Path | None,
    splits: tuple[str, ...] = SPLITS,
    watchers: Sequence[Callback] = (),
    training: Callable[..., Training] = Training,
) -> Fitted:
    """Train a run, from `state` if it was stopped there; only `splits` of the data are opened.

    Raises Diverged, OutOfTime, and what a watcher raises.
    """
    cfg = run.cfg
    quiet()
    keep_freed_memory()
    if cfg.trainer.threads or worker.count > 1:
        torch.set_num_threads(cfg.trainer.threads or max(1, torch.get_num_threads() // worker.count))
    if run.variant:
        log.warning("%s: the data are not LRA's own but %s", run.name, run.manifest["source"])

    recipe = instantiate(cfg.recipe)
    data = DataModule(
        instantiate(cfg.task),
        run.data,
        recipe.batch_size,
        recipe.validate_every,
        cfg.seed,
        workers=cfg.trainer.workers,
        validation_examples=cfg.data.validation_examples,
        test_examples=cfg.data.test_examples,
        buckets=cfg.data.buckets,
        splits=splits,
    )

    model = build_model(cfg)
    if cfg.trainer.compile:
        compile_in_place(model)
    module, parameters = training(model, recipe, cfg.seed), parameter_count(model)

    history = History()
    saving = Saving(run.folder / "checkpoints", run.identity, history, cfg.trainer.max_time, recipe.steps)
    chosen = (cfg.get("callbacks") or {}).values()
    callbacks = [history, *watchers, *map(instantiate, chosen), saving]

    config, logger = recorded_config(cfg), None
    if worker.first:
        shown = config | {"parameters": parameters}
        logger = _partial(plain_dict(cfg)["logger"])(folder=run.folder, run=run.wandb(), config=shown)

    settings = {key: value for key, value in plain_dict(cfg)["trainer"].items() if key in LIGHTNING}
    devices = worker.trainer()
    trainer = _partial(settings)(
        **devices | {"plugins": [SafeCheckpoints(), *devices["plugins"]]},
        default_root_dir=run.folder,
        callbacks=callbacks,
        logger=logger or False,
        precision=precision(cfg.trainer.precision),
        max_epochs=recipe.intervals,
        accumulate_grad_batches=pieces(recipe.batch_size, worker.count, cfg.trainer.micro_batch),
        gradient_clip_val=recipe.clip,
        log_every_n_steps=max(1, recipe.validate_every // 10),
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        profiler=_Unprofiled(),
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    with _closed_on_error(logger):
        trainer.fit(module, datamodule=data, ckpt_path=state, weights_only=True)
    return Fitted(module, data, trainer, logger, history, config, parameters)


def _train(worker: Worker, run: Run, state: Path | None, training: Callable[..., Training]) -> Record:
    """Train, test and record in one process of the run; all return the record, the first one writes it."""
    cfg, started, begin = run.cfg, datetime.now(UTC), time.perf_counter()
    fitted = fit(worker, run, state, training=training)
    module, data, trainer, logger = fitted.module, fitted.data, fitted.trainer, fitted.logger
    recipe, history, chosen = module.recipe, fitted.history, best(fitted.history.points)
    checkpoint = run.folder / "checkpoints" / BEST

    with _closed_on_error(logger):
        if reason := unfit(checkpoint, history.points, module.state_dict()):
            raise Refused(f"{reason}; nothing was tested: the same command mends it or begins again")
        (tested,) = trainer.test(
            module, datamodule=data, ckpt_path=checkpoint, weights_only=True, verbose=False
        )

    device = trainer.strategy.root_device  # the module is on the processor again
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
        metrics={
            "test_accuracy": _fraction(tested["test/accuracy"], data.count("test")),
            "test_loss": tested["test/loss"],
            "test_examples": data.count("test"),
            "validation_accuracy": _fraction(chosen["validation_accuracy"], data.count("validation")),
            "validation_loss": chosen["validation_loss"],
            "best_step": chosen["step"],
        },
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
        device=f"{worker.count} x " * (worker.count > 1) + device_name(device),
        precision=str(trainer.precision),
        versions=versions(),
        commit=commit(),
        dirty=dirty(),
        config=fitted.config,
        started=started.isoformat(timespec="seconds"),
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
        wandb_id=str(logger.version) if isinstance(logger, TolerantWandbLogger) else None,
    )
    if worker.first:
        _write(run, record, logger)
    return record


def _write(run: Run, record: Record, logger: Any) -> None:
    """Write the record; then send W&B its part and close the run, which cannot harm the record any more."""
    cfg, checkpoints = run.cfg, run.folder / "checkpoints"
    record.write(cfg.records, overwrite=cfg.overwrite)
    forget(checkpoints)
    if isinstance(logger, TolerantWandbLogger) and cfg.logger.artifacts:
        publish(logger, record, Path(cfg.records), checkpoints / BEST, PUBLISHED)
    seconds = {f"seconds_{phase}": value for phase, value in record.seconds.items()}
    if line := finish(logger, record.metrics | seconds | {"parameters": record.parameters}):
        log.info(line)


@contextmanager
def _closed_on_error(logger: Any) -> Iterator[None]:
    """Close the logger where this block raises, and let Ctrl-C be Ctrl-C."""
    try:
        yield
    except SystemExit:  # what Lightning makes of Ctrl-C
        finish(logger, {}, exit_code=130)
        raise KeyboardInterrupt from None
    except BaseException:
        finish(logger, {}, exit_code=1)
        raise


class _Unprofiled(PassThroughProfiler):
    """Lightning's profiler that measures nothing, without a generator for each of the sixty parts of a step."""

    _nothing = nullcontext()

    def profile(self, action_name: str) -> AbstractContextManager[None]:  # type: ignore[override]
        return self._nothing


def _partial(node: dict[str, Any]) -> Callable[..., Any]:
    """Return the constructor of a node with the node's arguments; the others never pass through Hydra."""
    constructor: Callable[..., Any] = instantiate(node, _partial_=True)
    return constructor


def _fraction(accuracy: float, examples: int) -> float:
    """Return a share of examples, which came as float32, as the exact fraction."""
    return round(accuracy * examples) / examples
