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
from wise_lra.data.batch import Batch
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
    """Return whole steps of a run, what in them is the model's, and batches from its loader alone.

    Two stretches between validations as the preset has them, however long they take: what is logged how often
    depends on their length.
    """
    with tempfile.TemporaryDirectory() as folder:
        cfg = compose(
            [
                *(f"task={task}", f"backbone={backbone}", f"data.source={kind(task)}", "logger.mode=offline"),
                *(f"{name}={folder}/{name}" for name in ("data.root", "runs", "records")),
                *("trainer.progress=none", "data.validation_examples=16", "data.test_examples=16"),
            ]
        )
        steps = cfg.recipe.validate_every
        cfg.recipe.steps = 2 * steps
        whole: list[float] = []
        inside: list[float] = []
        experiment.train(cfg, partial(Timed, clock=Clock(whole, inside)))
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


class Clock:
    """Seconds of steps, and of the parts of each that are begun and ended. What it costs itself counts as a step's.

    Args:
        whole, inside: lists that get the seconds of every step, and of its parts together.
    """

    def __init__(self, whole: list[float], inside: list[float]) -> None:
        self.whole, self.inside = whole, inside
        self.cuda = False
        self._uncounted, self._last, self._within, self._began = 0, 0.0, 0.0, 0.0

    def start(self) -> None:
        """Let the next `_WARM` steps go uncounted."""
        self._uncounted = _WARM

    def begin(self, *_: Any) -> None:
        """Begin a part."""
        self._began = self._now()

    def end(self, *_: Any) -> None:
        """End it."""
        self._within += self._now() - self._began

    def step(self) -> None:
        """End a step."""
        now = self._now()
        if self._uncounted:
            self._uncounted -= 1
        else:
            self.whole.append(now - self._last)
            self.inside.append(self._within)
        self._last, self._within = now, 0.0

    def _now(self) -> float:
        if self.cuda:
            torch.cuda.synchronize()
        return time.perf_counter()


class Timed(Training):
    """A `Training` that notes how long its steps are, and how long of it forward, backward and optimiser take.

    A step is from the end of the batch before it to its own: loading, logging, callbacks and all. Forward is from
    the tokens to the loss; the optimiser's are its update and its clearing of the gradients.
    """

    def __init__(self, model: nn.Module, recipe: Recipe, seed: int, clock: Clock) -> None:
        super().__init__(model, recipe, seed)
        self.clock = clock

    def on_train_epoch_start(self) -> None:
        """Start a stretch."""
        super().on_train_epoch_start()
        self.clock.cuda = self.device.type == "cuda"
        self.clock.start()

    def _measure(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Time the forward pass."""
        self.clock.begin()
        measured = super()._measure(batch)
        self.clock.end()
        return measured

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Time the gradients."""
        self.clock.begin()
        super().backward(loss, *args, **kwargs)
        self.clock.end()

    def configure_optimizers(self) -> Any:
        """Have the optimiser's update timed, from `on_before_optimizer_step` to its end."""
        made = super().configure_optimizers()
        made["optimizer"].register_step_post_hook(self.clock.end)
        return made

    def optimizer_zero_grad(self, epoch: int, batch_idx: int, optimizer: torch.optim.Optimizer) -> None:
        """Time the clearing of the gradients."""
        self.clock.begin()
        super().optimizer_zero_grad(epoch, batch_idx, optimizer)
        self.clock.end()

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Start the clock of the update."""
        self.clock.begin()

    def on_train_batch_end(self, *arguments: Any) -> None:
        """Note the step."""
        super().on_train_batch_end(*arguments)
        self.clock.step()
