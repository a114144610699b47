"""Callbacks of configs/callbacks: progress, gradient norms, wavelet pictures, test predictions.

None of them changes a result.
"""

import json
import logging
import sys
import time
import warnings
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bar
from torch import Tensor, distributed, nn
from torch.nn.utils import get_total_norm

from wise_lra.data.task import Batch
from wise_lra.results.atomic import write_text
from wise_lra.results.predictions import PREDICTIONS, Predictions
from wise_lra.runs.estimate import clock

log = logging.getLogger(__name__)

_EVERY = 1.0  # seconds between two writes of the progress file
_LINE_EVERY = 20.0  # seconds between two lines where there is no terminal


class Progress(Callback):
    """Shows the run as a bar or as lines, and writes `progress.json` in the run folder for other readers.

    `style` is bar, lines, none, or auto: a bar on a terminal, else lines. The time left is that of the remaining
    steps at the pace of this process so far, validations included.
    """

    def __init__(self, style: str = "auto") -> None:
        if style == "auto":
            style = "bar" if sys.stderr.isatty() else "lines"
        self.style = style
        self._console = Console(stderr=True)
        self._bar: Bar | None = None
        self._written = self._shown = 0.0
        self._begin, self._first = time.monotonic(), 0

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Begin the bar."""
        self._begin, self._first = time.monotonic(), trainer.global_step
        if self.style == "bar" and trainer.is_global_zero:
            text = "{task.completed:>,.0f}/{task.total:,.0f}  {task.fields[numbers]}"
            columns = (TextColumn("{task.description}"), BarColumn(), TextColumn(text))
            self._bar = Bar(*columns, console=self._console)
            recipe: Any = module.recipe
            self._bar.add_task(_name(trainer), total=recipe.steps, numbers="")
            self._bar.start()

    def on_train_batch_end(self, trainer: Trainer, module: LightningModule, *_: Any) -> None:
        """Show a step."""
        self._tell(trainer, module, "train")

    def on_validation_batch_end(self, trainer: Trainer, module: LightningModule, *_: Any) -> None:
        """Keep the file fresh during a validation."""
        self._tell(trainer, module, "validation")

    def on_validation_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Show the accuracy of a validation."""
        self._tell(trainer, module, "train", now=True)

    def on_train_end(self, trainer: Trainer, module: LightningModule) -> None:
        """End the bar."""
        self._close()

    def on_test_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Show that the test has begun."""
        self._tell(trainer, module, "test", now=True)

    def on_exception(self, trainer: Trainer, module: LightningModule, exception: BaseException) -> None:
        """End the bar, so that the terminal is as it was."""
        self._close()

    def _close(self) -> None:
        if self._bar:
            self._bar.stop()
            self._bar = None

    def _tell(self, trainer: Trainer, module: LightningModule, phase: str, now: bool = False) -> None:
        time_now = time.monotonic()
        if not trainer.is_global_zero or (not now and time_now - self._written < _EVERY):
            return
        self._written = time_now
        recipe: Any = module.recipe
        metrics, step, steps = trainer.callback_metrics, trainer.global_step, recipe.steps
        elapsed, done = time_now - self._begin, step - self._first
        state = {
            "phase": phase,
            "step": step,
            "steps": steps,
            "loss": _number(metrics.get("train/loss")),
            "accuracy": _number(metrics.get("validation/accuracy")),
            "seconds": round(elapsed, 1),
            "seconds_left": round(elapsed / done * (steps - step), 1) if done else None,
        }
        write_text(Path(trainer.default_root_dir) / "progress.json", json.dumps(state) + "\n", durable=False)
        if self._bar:
            self._bar.update(self._bar.task_ids[0], completed=step, numbers=_numbers(state))
        elif self.style == "lines" and phase == "train" and (now or time_now - self._shown > _LINE_EVERY):
            self._shown = time_now
            line = f"{_name(trainer)}  step {step:,}/{steps:,}  {_numbers(state)}"
            self._console.print(line, highlight=False, markup=False, soft_wrap=True)


class GradientNorms(Callback):
    """Logs the norm of the gradient, part by part, as often as Lightning logs the loss, before any clipping.

    It tells a model that has stopped learning from one that is done. It reads gradients and draws no random
    number, so a run is the same with and without it.
    """

    def on_before_optimizer_step(
        self, trainer: Trainer, module: LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        """Measure, where the loss is logged too."""
        if not trainer.loggers or (trainer.global_step + 1) % trainer.log_every_n_steps:  # type: ignore[attr-defined]
            return
        values = {f"gradients/{part}": norm for part, norm in gradient_norms(module).items()}
        for logger in trainer.loggers:
            logger.log_metrics(values, step=trainer.global_step)


def gradient_norms(module: nn.Module) -> dict[str, float]:
    """Return the Euclidean norm of the gradient of each part and, as "total", of all; the host waits once.

    Parts are those of `model.Classifier`: embedding, layer1 and so on, norm, head. A part without gradients is
    left out.
    """
    parts: dict[str, list[Tensor]] = defaultdict(list)
    for name, parameter in module.named_parameters():
        if parameter.grad is not None:
            head, *rest = name.removeprefix("model.").removeprefix("encoder.").split(".")
            parts[f"layer{int(rest[0]) + 1}" if head == "blocks" else head].append(parameter.grad)
    if not parts:
        return {}
    norms = torch.stack([get_total_norm(gradients).float() for gradients in parts.values()])
    values = torch.cat([norms, norms.norm()[None]]).tolist()
    return dict(zip([*parts, "total"], values, strict=True))


class WaveletPictures(Callback):
    """Logs functions and responses of every layer's bank at every `every`-th validation; 0 logs none.

    With `at_end` also those of the best checkpoint, after the test. Does nothing for a model without banks or a
    logger without `log_image`. It never fails a run: an error is logged once and ends the pictures.
    """

    def __init__(self, every: int, at_end: bool = False) -> None:
        self.every, self.at_end, self.validations = every, at_end, 0

    def on_validation_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Log the pictures of every `every`-th validation."""
        self.validations += 1
        if self.every and not self.validations % self.every and not trainer.sanity_checking:
            self._send(trainer, module, f"step {trainer.global_step:,}")

    def on_test_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Log the pictures of the tested checkpoint."""
        if self.at_end:
            self._send(trainer, module, "best checkpoint")

    def _send(self, trainer: Trainer, module: LightningModule, title: str) -> None:
        loggers = [logger for logger in trainer.loggers if hasattr(logger, "log_image")]
        if not loggers:
            return
        try:
            from wise_lra.plots.draw import draw_functions, draw_responses, pixels
            from wise_lra.plots.measure import banks, functions, responses

            for layer, (_, bank) in enumerate(banks(module), start=1):
                caption = f"layer {layer} · {title}"
                figures = {
                    "functions": draw_functions({"now": functions(bank)}, caption),
                    "responses": draw_responses({"now": responses(bank)}, caption),
                }
                for name, figure in figures.items():
                    for logger in loggers:
                        key, image = f"wavelets/{name}_layer{layer}", pixels(figure)
                        logger.log_image(key=key, images=[image], step=trainer.global_step)
        except Exception as error:
            log.warning("no more pictures of the wavelets: %s: %s", type(error).__name__, error)
            self.every, self.at_end = 0, False


class TestPredictions(Callback):
    """Writes the answer to each test example to `predictions.npz` in the run folder, during the one test pass.

    Accuracy and record are the same without it. A disk that is full costs a warning, not the run.
    """

    __test__ = False  # no test of pytest's

    def __init__(self) -> None:
        self._answers: list[tuple[Tensor, Tensor]] = []

    def on_test_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Forget the answers of an earlier pass."""
        self._answers = []

    def on_test_batch_end(
        self, trainer: Trainer, module: LightningModule, outputs: Any, batch: Batch, *_: Any
    ) -> None:
        """Keep labels and logits (batch, classes) on their device: copying would make a GPU wait."""
        self._answers.append((batch.labels, outputs))

    def on_test_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Write the file. Of several devices, device r has the examples r, r + n, r + 2n and so on of n devices."""
        labels = np.concatenate([labels.cpu().numpy() for labels, _ in self._answers])
        chances = np.concatenate([logits.softmax(-1).cpu().numpy() for _, logits in self._answers])
        chosen = np.concatenate([logits.argmax(-1).cpu().numpy() for _, logits in self._answers])
        if trainer.world_size > 1:
            labels, chances, chosen = (_interleaved(x, trainer.world_size) for x in (labels, chances, chosen))
        if not trainer.is_global_zero:
            return
        file = Path(trainer.default_root_dir) / PREDICTIONS
        try:
            examples = trainer.datamodule.chosen["test"]  # type: ignore[attr-defined]
            Predictions(examples, labels, chosen, chances).write(file)
        except OSError as error:
            log.warning("%s: not written (%s); the run goes on without it", file, error)


def _interleaved(own: np.ndarray, devices: int) -> np.ndarray:
    """Return the rows of all devices in the order of the test split."""
    parts: list[np.ndarray] = [own] * devices
    distributed.all_gather_object(parts, own)
    whole = np.empty((sum(map(len, parts)), *own.shape[1:]), own.dtype)
    for rank, part in enumerate(parts):
        whole[rank::devices] = part
    return whole


def quiet() -> None:
    """Silence what Lightning says of every run and nobody can act on."""
    for name in ("pytorch_lightning.utilities", "lightning_fabric.utilities"):
        logging.getLogger(f"{name}.rank_zero").setLevel(logging.WARNING)
    logging.getLogger("lightning_fabric.utilities.distributed").setLevel(logging.WARNING)
    for message in (
        ".*does not have many workers.*",  # batches are cut from a memory map; workers are ours to set
        ".*exists and is not empty.*",  # the folder of a resumed run's curves
        ".*GPU available but not used.*",  # trainer=cpu was asked for
        ".*LeafSpec.*",  # Lightning's own use of torch's pytree
        ".*`srun` command is available.*",  # a run begun by hand on a machine of a cluster
    ):
        warnings.filterwarnings("ignore", message=message)


def _name(trainer: Trainer) -> str:
    """Return the run below its preset, from its folder: "text-stand-in/fnet/none/seed0"."""
    return "/".join(Path(trainer.default_root_dir).parts[-4:])


def _numbers(state: dict[str, Any]) -> str:
    parts = []
    if state["loss"] is not None:
        parts.append(f"loss {state['loss']:.3f}")
    if state["accuracy"] is not None:
        parts.append(f"validation accuracy {100 * state['accuracy']:.1f} %")
    if state["seconds_left"] is not None:
        parts.append(f"{clock(state['seconds_left'])} left")
    return "  ".join(parts)


def _number(value: Any) -> float | None:
    return None if value is None else round(float(value), 6)
