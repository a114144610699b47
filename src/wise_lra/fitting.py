"""A run put on Lightning: its data, callbacks and trainer, and the training itself."""

import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from hydra.utils import instantiate
from pytorch_lightning import Callback, Trainer
from pytorch_lightning.plugins.environments import SLURMEnvironment
from pytorch_lightning.profilers import PassThroughProfiler

from wise_lra import processes
from wise_lra.allocator import keep_freed_memory
from wise_lra.callbacks import GradientNorms, History, TestPredictions, WaveletPictures
from wise_lra.checkpoints import SafeCheckpoints, Saving
from wise_lra.compilation import compile_in_place
from wise_lra.config import plain_dict
from wise_lra.data.datamodule import DataModule
from wise_lra.data.task import SPLITS
from wise_lra.loggers import csv_logger, finish, wandb_logger
from wise_lra.model import parameter_count
from wise_lra.progress import Progress
from wise_lra.run import Run, recorded_config
from wise_lra.training import Training

log = logging.getLogger(__name__)

_JOINED = "lightning_fabric.utilities.distributed"


@dataclass(frozen=True)
class Fitted:
    """A run whose training is over, and what is left to be asked of it."""

    module: Training
    data: DataModule
    trainer: Trainer
    logger: Any
    history: History
    config: dict[str, Any]
    parameters: int


def fit(
    place: processes.Place,
    run: Run,
    model: torch.nn.Module,
    state: Path | None,
    splits: tuple[str, ...] = SPLITS,
    watchers: Sequence[Callback] = (),
    training: Callable[..., Training] = Training,
) -> Fitted:
    """Train the model of a run, from `state` if it was stopped there; only `splits` of the data are opened.

    `watchers` are callbacks more, `training` makes the LightningModule. Raises Diverged, and what a watcher raises.
    """
    cfg = run.cfg
    keep_freed_memory()
    if cfg.trainer.threads or place.count > 1:
        torch.set_num_threads(cfg.trainer.threads or max(1, torch.get_num_threads() // place.count))
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
    history = History()
    if cfg.trainer.compile:
        compile_in_place(model)
    module, config = training(model, recipe, cfg.seed), recorded_config(cfg)
    parameters = parameter_count(model)
    shown = config | {"parameters": parameters}
    begin = {"csv": csv_logger, "wandb": wandb_logger}[cfg.logger.name]
    logger = begin(run.folder, run.wandb(), shown, **plain_dict(cfg)["logger"]) if place.first else None
    saving = Saving(run.folder / "checkpoints", run.identity, history, cfg.trainer.max_time, recipe.steps)
    trainer = _trainer(place, run, module, logger, [history, *watchers, saving])
    with ended(logger):
        trainer.fit(module, datamodule=data, ckpt_path=state, weights_only=True)
    return Fitted(module, data, trainer, logger, history, config, parameters)


@contextmanager
def ended(logger: Any) -> Iterator[None]:
    """Close the logger where this block breaks, and let Ctrl-C be Ctrl-C."""
    try:
        yield
    except SystemExit:  # what Lightning makes of Ctrl-C
        finish(logger, {}, exit_code=130)
        raise KeyboardInterrupt from None
    except BaseException:
        finish(logger, {}, exit_code=1)
        raise


def _trainer(place: processes.Place, run: Run, module: Training, logger: Any, watchers: list[Any]) -> Trainer:
    cfg, recipe = run.cfg, module.recipe
    pictures = WaveletPictures(cfg.logger.get("pictures_every", 0), cfg.logger.get("artifacts", False))
    watchers = [*watchers, TestPredictions(), pictures, Progress(cfg.trainer.progress)]
    _silence()
    # submitit requeues; Lightning, which would too, is to leave the signals alone
    cluster = [SLURMEnvironment(auto_requeue=False)] if SLURMEnvironment.detect() else []
    return Trainer(
        default_root_dir=run.folder,
        plugins=[SafeCheckpoints(), *(place.plugins() or cluster)],
        accelerator=cfg.trainer.accelerator,
        **place.trainer(),
        accumulate_grad_batches=processes.pieces(recipe.batch_size, place.count, cfg.trainer.micro_batch),
        precision=precision(cfg.trainer.precision),
        max_epochs=recipe.intervals,
        num_sanity_val_steps=0,
        gradient_clip_val=recipe.clip,
        log_every_n_steps=max(1, recipe.validate_every // 10),
        logger=logger or False,
        profiler=_Unprofiled(),
        callbacks=[*watchers, GradientNorms()],
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )


class _Unprofiled(PassThroughProfiler):
    """Lightning's profiler that measures nothing, without a generator for each of the sixty parts of a step."""

    _nothing = nullcontext()

    def profile(self, action_name: str) -> AbstractContextManager[None]:  # type: ignore[override]
        return self._nothing


def precision(choice: str) -> Any:
    """Return what Lightning calls `trainer.precision`; "auto" is bf16 where a GPU has it."""
    if choice == "auto":
        bf16 = torch.cuda.is_available() and torch.cuda.is_bf16_supported()
        return "bf16-mixed" if bf16 else "32-true"
    return {"32": "32-true", "bf16": "bf16-mixed"}[str(choice)]


def _silence() -> None:
    """Quieten what Lightning says of every run and nobody can act on."""
    for name in ("pytorch_lightning.utilities.rank_zero", "lightning_fabric.utilities.rank_zero", _JOINED):
        logging.getLogger(name).setLevel(logging.WARNING)
    for message in (
        ".*does not have many workers.*",  # batches are cut from a memory map; workers are ours to set
        ".*exists and is not empty.*",  # the folder of a resumed run's curves
        ".*GPU available but not used.*",  # trainer=cpu was asked for
        ".*LeafSpec.*",  # Lightning's own use of torch's pytree
        ".*`srun` command is available.*",  # a run begun by hand on a machine of a cluster
    ):
        warnings.filterwarnings("ignore", message=message)
