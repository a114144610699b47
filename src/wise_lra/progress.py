"""What a run shows and remembers while it trains: history, times, a bar or lines, and a file that others read."""

import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from wise_lra.results.atomic import write_text

_EVERY = 1.0  # seconds between two writes of the progress file
_LINE_EVERY = 20.0  # seconds between two lines where there is no terminal

Show = Callable[[str], None]


class History(Callback):
    """Keeps what the record needs: a point a validation, seconds a phase, all of it through a resume.

    Points hold step, train_loss and train_accuracy (means since the last point), validation_loss,
    validation_accuracy and lr. `seconds` holds train, validation and test. Raises nothing.
    """

    def __init__(self) -> None:
        self.points: list[dict[str, Any]] = []
        self.seconds = {"train": 0.0, "validation": 0.0, "test": 0.0}
        self.seconds_before = 0.0
        self._sums = torch.zeros(3)
        self._rate = 0.0
        self._begin = 0.0

    def on_save_checkpoint(
        self, trainer: Trainer, module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Keep the history in the checkpoint."""
        checkpoint["history"] = {"points": self.points, "seconds": self.seconds}

    def on_load_checkpoint(
        self, trainer: Trainer, module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Take it over when training goes on, but not when the best checkpoint is loaded to be tested."""
        if trainer.state.fn == "fit":
            self.points, self.seconds = checkpoint["history"]["points"], checkpoint["history"]["seconds"]
            self.seconds_before = sum(self.seconds.values())

    def on_train_epoch_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Start the clock of an interval."""
        self._sums = torch.zeros(3, device=module.device)
        self._begin = time.perf_counter()

    def on_train_batch_end(self, trainer: Trainer, module: LightningModule, outputs: Any, *_: Any) -> None:
        """Add a step to the means, from what `Training.training_step` returns with its last piece."""
        if "step" in outputs:
            self._sums[:2] += outputs["step"]
            self._sums[2] += 1
            self._rate = outputs["lr"]

    def on_validation_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Stop the clock of the interval, start that of the validation."""
        now = self._now(module)
        self.seconds["train"] += now - self._begin
        self._begin = now

    def on_validation_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Keep a point, and log what is worth a curve."""
        self.seconds["validation"] += self._now(module) - self._begin
        loss, accuracy, steps = self._sums.tolist()
        metrics = trainer.callback_metrics
        self.points.append(
            {
                "step": trainer.global_step,
                "train_loss": loss / max(1, steps),
                "train_accuracy": accuracy / max(1, steps),
                "validation_loss": float(metrics["validation/loss"]),
                "validation_accuracy": float(metrics["validation/accuracy"]),
                "lr": self._rate,
            }
        )

    def on_test_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Start the clock of the test."""
        self._begin = time.perf_counter()

    def on_test_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Stop the clock of the test."""
        self.seconds["test"] += self._now(module) - self._begin

    @staticmethod
    def _now(module: LightningModule) -> float:
        if module.device.type == "cuda":
            torch.cuda.synchronize(module.device)
        return time.perf_counter()


class Throughput(Callback):
    """Logs tokens per second and peak memory at every validation, `tokens` being those of one step."""

    def __init__(self, history: History, tokens: int) -> None:
        self.history, self.tokens = history, tokens

    @property
    def tokens_per_second(self) -> float:
        """Training tokens a second, validation left out, of all devices, since the first step."""
        return self.tokens * self.history.points[-1]["step"] / max(1e-9, self.history.seconds["train"])

    def on_validation_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Send both to the loggers."""
        values = {
            "tokens_per_second": self.tokens_per_second,
            "peak_memory_gb": peak_memory(module.device) / 1e9,
        }
        for logger in trainer.loggers:
            logger.log_metrics(values, step=trainer.global_step)


class Screen(Callback):
    """Shows the run, as a bar on a terminal or as lines elsewhere, and keeps `progress.json` for other readers.

    The time left is that of the steps left at the pace so far in this process, validations included.
    """

    def __init__(self, file: Path, name: str, steps: int, style: str) -> None:
        self.file, self.name, self.steps = file, name, steps
        if style == "auto":
            style = "bar" if sys.stderr.isatty() else "lines"
        self.style = style
        self._console = Console(stderr=True)
        self._bar: Progress | None = None
        self._written = self._shown = 0.0
        self._begin, self._first = time.monotonic(), 0
        self.state: dict[str, Any] = {}

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Begin the bar."""
        self._begin, self._first = time.monotonic(), trainer.global_step
        if self.style == "bar":
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.completed:>,.0f}/{task.total:,.0f}  {task.fields[numbers]}"),
                console=self._console,
            )
            self._bar.add_task(self.name, total=self.steps, numbers="")
            self._bar.start()

    def on_train_batch_end(self, trainer: Trainer, module: LightningModule, *_: Any) -> None:
        """Move on by a step."""
        self._tell(trainer, "train")

    def on_validation_batch_end(self, trainer: Trainer, module: LightningModule, *_: Any) -> None:
        """Stay alive while validating."""
        self._tell(trainer, "validation")

    def on_validation_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Show every validation's accuracy."""
        self._tell(trainer, "train", now=True)

    def on_train_end(self, trainer: Trainer, module: LightningModule) -> None:
        """End the bar."""
        self.close()

    def on_test_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Say that the test has begun."""
        self._tell(trainer, "test", now=True)

    def on_exception(self, trainer: Trainer, module: LightningModule, exception: BaseException) -> None:
        """Leave the terminal as it was."""
        self.close()

    def close(self) -> None:
        """Stop the bar."""
        if self._bar:
            self._bar.stop()
            self._bar = None

    def _tell(self, trainer: Trainer, phase: str, now: bool = False) -> None:
        clock = time.monotonic()
        if not now and clock - self._written < _EVERY:
            return
        self._written = clock
        metrics, step = trainer.callback_metrics, trainer.global_step
        elapsed, done = clock - self._begin, step - self._first
        self.state = {
            "phase": phase,
            "step": step,
            "steps": self.steps,
            "loss": _number(metrics.get("train/loss")),
            "accuracy": _number(metrics.get("validation/accuracy")),
            "seconds": round(elapsed, 1),
            "seconds_left": round(elapsed / done * (self.steps - step), 1) if done else None,
        }
        write_text(self.file, json.dumps(self.state) + "\n", durable=False)
        if self._bar:
            self._bar.update(self._bar.task_ids[0], completed=step, numbers=_numbers(self.state))
        elif self.style == "lines" and phase == "train" and (now or clock - self._shown > _LINE_EVERY):
            self._shown = clock
            self._console.print(
                f"{self.name}  step {step:,}/{self.steps:,}  {_numbers(self.state)}",
                highlight=False,
                soft_wrap=True,
            )


def peak_memory(device: torch.device) -> int:
    """Return the greatest memory used so far, in bytes: the GPU's by tensors, else the process's in RAM."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def duration(seconds: float) -> str:
    """Return 75 as "1:15", 3700 as "1:01:40"."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _numbers(state: dict[str, Any]) -> str:
    parts = []
    if state["loss"] is not None:
        parts.append(f"loss {state['loss']:.3f}")
    if state["accuracy"] is not None:
        parts.append(f"validation accuracy {100 * state['accuracy']:.1f} %")
    if state["seconds_left"] is not None:
        parts.append(f"{duration(state['seconds_left'])} left")
    return "  ".join(parts)


def _number(value: Any) -> float | None:
    return None if value is None else round(float(value), 6)
