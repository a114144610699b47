"""The progress of a run: a bar or lines on the terminal, and a file that the display of a grid reads."""

import json
import logging
import sys
import time
import warnings
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bar

from wise_lra.results.atomic import write_text
from wise_lra.runs.estimate import clock

_EVERY = 1.0  # seconds between two writes of the file
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
