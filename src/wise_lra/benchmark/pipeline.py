"""The input pipeline alone, and what a step of a real run takes beside forward, backward and optimiser."""

import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from hydra.utils import instantiate
from torch import Tensor, nn

from wise_lra import experiment
from wise_lra.configuration import compose
from wise_lra.data.made import kind
from wise_lra.data.module import DataModule
from wise_lra.data.packed import MANIFEST
from wise_lra.training import Recipe, Training

from .case import Case
from .measure import Measured

BACKBONES = ("vanilla", "fnet")  # the plain one, and the fastest: there the rest of a step weighs most
_WARM = 5  # steps at the start of a stretch that are not counted


def cases(device: torch.device, quick: bool) -> Iterator[Case]:
    """Yield a case a task and backbone: steps of preset=quick, as `scripts/train.py` runs them."""
    for task in ("listops",) if quick else ("listops", "image"):
        for backbone in BACKBONES[quick:]:
            setting = {"task": task, "backbone": backbone, "preset": "quick"}
            yield Case("pipeline", setting, partial(_loop, task, backbone))


def _loop(task: str, backbone: str, seconds: float) -> dict[str, Measured]:
    """Return whole steps of a run, what in them is the model's, and batches from its loader alone."""
    steps = max(2 * _WARM, min(60, int(5 * seconds)))
    with tempfile.TemporaryDirectory() as folder:
        cfg = compose(
            [
                *(f"task={task}", f"backbone={backbone}", f"data.source={kind(task)}", "logger.mode=offline"),
                *(f"{name}={folder}/{name}" for name in ("data.root", "runs", "records")),
                *(f"recipe.steps={2 * steps}", f"recipe.validate_every={steps}", "trainer.progress=none"),
                *("data.validation_examples=16", "data.test_examples=16"),
            ]
        )
        whole: list[float] = []
        inside: list[float] = []
        experiment.train(cfg, partial(Timed, whole=whole, inside=inside))
        batches = _loader(Path(folder), cfg, steps)
    return {"step": Measured(whole), "model": Measured(inside), "batch": Measured(batches)}


def _loader(folder: Path, cfg: Any, steps: int) -> list[float]:
    """Return the seconds that each batch takes to load."""
    (data,) = {path.parent for path in folder.glob(f"data.root/**/{MANIFEST}")}
    module = DataModule(
        instantiate(cfg.task), data, int(cfg.recipe.batch_size), steps, seed=0, buckets=cfg.data.buckets
    )
    samples, begin = [], time.perf_counter()
    for _ in module.train_dataloader():
        now = time.perf_counter()
        samples.append(now - begin)
        begin = now
    return samples[_WARM:]


class Timed(Training):
    """A `Training` that notes how long its steps are, and how long of it model, backward and optimiser take.

    A step is from the end of the batch before it to its own: loading, logging, callbacks and all.
    """

    def __init__(
        self, model: nn.Module, recipe: Recipe, seed: int, whole: list[float], inside: list[float]
    ) -> None:
        super().__init__(model, recipe, seed)
        self.whole, self.inside = whole, inside
        self._seen, self._ended, self._within, self._began = 0, 0.0, 0.0, 0.0
        model.register_forward_pre_hook(self._begin)
        model.register_forward_hook(self._end)

    def on_train_epoch_start(self) -> None:
        """Start a stretch."""
        super().on_train_epoch_start()
        self._seen = 0

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Time the gradients."""
        self._begin()
        super().backward(loss, *args, **kwargs)
        self._end()

    def configure_optimizers(self) -> Any:
        """Have the optimiser's update timed, from `on_before_optimizer_step` to its end."""
        made = super().configure_optimizers()
        made["optimizer"].register_step_post_hook(self._end)
        return made

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Start the clock of the update."""
        self._begin()

    def on_train_batch_end(self, *arguments: Any) -> None:
        """Note the step."""
        super().on_train_batch_end(*arguments)
        self._seen += 1
        now = self._now()
        if self._seen > _WARM:
            self.whole.append(now - self._ended)
            self.inside.append(self._within)
        self._ended, self._within = now, 0.0

    def _begin(self, *_: Any) -> None:
        self._began = self._now()

    def _end(self, *_: Any) -> None:
        self._within += self._now() - self._began

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()
