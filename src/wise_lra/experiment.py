"""The composition root: from a checked configuration to a trained, tested and recorded run."""

import json
import logging
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import Callback, Trainer
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.plugins.environments import SLURMEnvironment

from wise_lra.checkpoints import BEST, SafeCheckpoints, forget, newest
from wise_lra.configuration import CONFIGS, compose, plain_dict
from wise_lra.data.module import DataModule
from wise_lra.data.packed import read_manifest
from wise_lra.data.prepare import prepare
from wise_lra.data.task import SPLITS
from wise_lra.gradients import GradientNorms
from wise_lra.grid import claim
from wise_lra.model import parameter_count
from wise_lra.pictures import WaveletPictures
from wise_lra.predicting import Predicting
from wise_lra.preparation import preparation
from wise_lra.progress import History, Screen, Throughput, peak_memory
from wise_lra.provenance import commit, device_name, dirty, versions
from wise_lra.publication import publish
from wise_lra.results import record as records
from wise_lra.results.atomic import write_text
from wise_lra.results.predictions import PREDICTIONS
from wise_lra.results.record import Record
from wise_lra.run import Run, recorded_config
from wise_lra.stopping import TimeLimit
from wise_lra.tracking import finish, is_wandb, make_logger
from wise_lra.training import Training

log = logging.getLogger(__name__)

PUBLISHED = CONFIGS.parent / "results" / "published"


class Refused(RuntimeError):
    """A run that cannot, or must not, be trained as configured."""


def train(cfg: DictConfig) -> Record:
    """Train, test and record one run, or return the record that is there; `cfg` is checked (see `compose`).

    A run that was stopped goes on from its last validation. Test data are touched once, after the best checkpoint
    by validation accuracy has been chosen.
    Raises Refused for a cell with too many parameters, a device or data that are not there, AlreadyRunning,
    Diverged, and what the data room raises.
    """
    _expect_device(cfg)
    run = open_run(cfg)
    if run.record.exists() and not cfg.overwrite:
        log.info("%s: its record is there already (%s); overwrite=true trains it again", run.name, run.record)
        return records.read(run.record)
    with claim(run.folder):
        record, logger = _trained(run)
        record.write(cfg.records, overwrite=cfg.overwrite)
        checkpoints = run.folder / "checkpoints"
        forget(checkpoints)
        if is_wandb(logger) and cfg.logger.artifacts:
            publish(logger, record, Path(cfg.records), checkpoints / BEST, PUBLISHED)
        seconds = {f"seconds_{phase}": value for phase, value in record.seconds.items()}
        if line := finish(logger, record.metrics | seconds | {"parameters": record.parameters}):
            log.info(line)
    return record


def validate(cfg: DictConfig, watchers: Sequence[Callback] = ()) -> float:
    """Train as `train` does and return the best validation accuracy; no test data are opened, no record is written.

    `watchers` see the training, and may end it by raising GivenUp. Raises what `train` raises.
    """
    _expect_device(cfg)
    run = open_run(cfg)
    with claim(run.folder):
        fitted = _fitted(run, splits=("train", "validation"), watchers=watchers)
        accuracy = exact(fitted.best["validation_accuracy"], fitted.data.count("validation"))
        finish(fitted.logger, {"validation_accuracy": accuracy, "parameters": fitted.parameters})
        forget(run.folder / "checkpoints")
    return accuracy


def _expect_device(cfg: DictConfig) -> None:
    if cfg.trainer.accelerator == "gpu" and not torch.cuda.is_available():
        raise Refused("trainer.accelerator=gpu: torch sees no CUDA device here; expected one, or trainer=cpu")


def build_model(cfg: DictConfig) -> torch.nn.Module:
    """Return the untrained model of a run, its weights drawn from the run's seed.

    Raises Refused where it has more parameters than the preset allows.
    """
    torch.manual_seed(cfg.seed)
    model = instantiate(cfg.model)
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
    """Find or make the data of a run. Raises Refused, and what the data room raises."""
    if cfg.data.folder:
        try:
            return Run(cfg, Path(cfg.data.folder), read_manifest(Path(cfg.data.folder)))
        except FileNotFoundError:
            raise Refused(
                f"data.folder={cfg.data.folder}: no prepared data there; `make data` makes some"
            ) from None
    prepared = prepare(**preparation(cfg))
    return Run(cfg, prepared.folder, prepared.manifest)


@dataclass(frozen=True)
class _Fitted:
    """A run whose training is over, and what is left to be asked of it."""

    module: Training
    data: DataModule
    trainer: Trainer
    logger: Any
    history: History
    throughput: Throughput
    config: dict[str, Any]
    parameters: int

    @property
    def best(self) -> dict[str, Any]:
        """The first point of the best validation accuracy, as the checkpoint."""
        return max(self.history.points, key=lambda point: point["validation_accuracy"])


def _fitted(run: Run, splits: tuple[str, ...] = SPLITS, watchers: Sequence[Callback] = ()) -> _Fitted:
    """Train a run, from its last validation if it was stopped; only `splits` of the data are opened."""
    cfg = run.cfg
    if cfg.trainer.threads:
        torch.set_num_threads(cfg.trainer.threads)
    if run.variant:
        log.warning("%s: the data are not LRA's own but %s", run.name, run.manifest["source"])
    model, recipe = build_model(cfg), instantiate(cfg.recipe)
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
    history = History()
    throughput = Throughput(history, round(recipe.batch_size * data.tokens_per_example))
    module, config = Training(model, recipe, cfg.seed), recorded_config(cfg)
    parameters = parameter_count(model)
    logger = make_logger(
        plain_dict(cfg)["logger"], run.folder, run.wandb(), config | {"parameters": parameters}
    )
    predicting = [Predicting(run.folder / PREDICTIONS, data.chosen["test"])] if "test" in splits else []
    trainer = _trainer(run, module, logger, [history, throughput, *predicting, *watchers])
    with _ended(logger):
        trainer.fit(module, datamodule=data, ckpt_path=_resumed(run, config), weights_only=True)
    return _Fitted(module, data, trainer, logger, history, throughput, config, parameters)


@contextmanager
def _ended(logger: Any) -> Iterator[None]:
    """Close the logger where this block breaks, and let Ctrl-C be Ctrl-C."""
    try:
        yield
    except SystemExit:  # what Lightning makes of Ctrl-C
        finish(logger, {}, exit_code=130)
        raise KeyboardInterrupt from None
    except BaseException:
        finish(logger, {}, exit_code=1)
        raise


def _trained(run: Run) -> tuple[Record, Any]:
    """Return the record of a run that was trained and tested, and its logger, which is still open."""
    cfg, started, begin = run.cfg, datetime.now(UTC), time.perf_counter()
    fitted, recipe = _fitted(run), instantiate(cfg.recipe)
    module, data, trainer, logger = fitted.module, fitted.data, fitted.trainer, fitted.logger
    history, best = fitted.history, fitted.best
    with _ended(logger):
        tested = trainer.test(module, datamodule=data, ckpt_path="best", weights_only=True, verbose=False)[0]
    metrics = {
        "test_accuracy": exact(tested["test/accuracy"], data.count("test")),
        "test_loss": tested["test/loss"],
        "test_examples": data.count("test"),
        "validation_accuracy": exact(best["validation_accuracy"], data.count("validation")),
        "validation_loss": best["validation_loss"],
        "best_step": best["step"],
    }
    record = Record(
        preset=run.cell.preset,
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
        tokens_per_second=fitted.throughput.tokens_per_second,
        peak_memory_bytes=peak_memory(module.device),
        device=device_name(module.device),
        precision=str(trainer.precision),
        versions=versions(),
        commit=commit(),
        dirty=dirty(),
        config=fitted.config,
        started=started.isoformat(timespec="seconds"),
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
        wandb_id=str(logger.version) if is_wandb(logger) else None,
    )
    return record, logger


def _trainer(run: Run, module: Training, logger: Any, watchers: list[Any]) -> Trainer:
    cfg, recipe = run.cfg, module.recipe
    screen = Screen(run.folder / "progress.json", run.name, recipe.steps, cfg.trainer.progress)
    checkpoint = ModelCheckpoint(
        run.folder / "checkpoints",
        filename="best",
        monitor="validation/accuracy",
        mode="max",
        save_last=True,
        enable_version_counter=False,
    )
    limit = [TimeLimit(cfg.trainer.max_time, recipe.steps)] if cfg.trainer.max_time else []
    _silence()
    # submitit requeues; Lightning, which would too, is to leave the signals alone
    cluster = [SLURMEnvironment(auto_requeue=False)] if SLURMEnvironment.detect() else []
    return Trainer(
        plugins=[SafeCheckpoints(), *cluster],
        accelerator=cfg.trainer.accelerator,
        devices=1,
        precision=_precision(cfg.trainer.precision),
        max_epochs=recipe.stretches,
        num_sanity_val_steps=0,
        gradient_clip_val=recipe.clip,
        log_every_n_steps=max(1, recipe.validate_every // 10),
        logger=logger or False,
        callbacks=[
            *watchers,
            GradientNorms(),
            WaveletPictures(cfg.logger.get("pictures_every", 0), cfg.logger.get("artifacts", False)),
            screen,
            *limit,
            checkpoint,
        ],
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )


def exact(accuracy: float, examples: int) -> float:
    """Return a share of examples that came as float32 as the fraction that it is."""
    return round(accuracy * examples) / examples


def _resumed(run: Run, config: dict[str, Any]) -> str | None:
    """Return the checkpoint to go on from, and note the configuration that the next one will have."""
    note, folder = run.folder / "config.json", run.folder / "checkpoints"
    text = json.dumps(config, indent=1) + "\n"
    same = note.exists() and note.read_text(encoding="utf-8") == text
    if same and (last := newest(folder)):
        log.info("%s: goes on from its last validation", run.name)
        return str(last)
    forget(folder)
    write_text(note, text)
    return None


def _precision(choice: str) -> Any:
    if choice == "auto":
        bf16 = torch.cuda.is_available() and torch.cuda.is_bf16_supported()
        return "bf16-mixed" if bf16 else "32-true"
    return {"32": "32-true", "bf16": "bf16-mixed"}[str(choice)]


def _silence() -> None:
    """Quieten what Lightning says of every run and nobody can act on."""
    for name in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(f"{name}.utilities.rank_zero").setLevel(logging.WARNING)
    for message in (
        ".*does not have many workers.*",  # batches are cut from a memory map; workers are ours to set
        ".*exists and is not empty.*",  # a resumed run's folder
        ".*GPU available but not used.*",  # trainer=cpu was asked for
        ".*LeafSpec.*",  # Lightning's own use of torch's pytree
        ".*`srun` command is available.*",  # a run begun by hand on a machine of a cluster
    ):
        warnings.filterwarnings("ignore", message=message)
