"""The history of a run: a point at each validation, and the seconds of each phase, for the record."""

import time
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from wise_lra.provenance import peak_memory


class History(Callback):
    """What the record needs: one point a validation, and the seconds of each phase. A resumed run continues it.

    Points hold step, train_loss and train_accuracy (means since the last point), validation_loss,
    validation_accuracy and lr. `seconds` holds train, validation and test. Tokens per second and peak memory go
    to the loggers at every validation.
    """

    def __init__(self) -> None:
        self.points: list[dict[str, Any]] = []
        self.seconds = {"train": 0.0, "validation": 0.0, "test": 0.0}
        self.seconds_before = 0.0
        self._sums = torch.zeros(3)
        self._rate = 0.0
        self._begin = 0.0

    def tokens_per_second(self, trainer: Trainer) -> float:
        """Return the training tokens per second of all devices since the first step, padding included."""
        data = trainer.datamodule  # type: ignore[attr-defined]
        tokens = round(data.batch_size * data.tokens_per_example) * self.points[-1]["step"]
        return tokens / max(1e-9, self.seconds["train"])

    def on_save_checkpoint(
        self, trainer: Trainer, module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Put the history into the checkpoint."""
        checkpoint["history"] = {"points": self.points, "seconds": self.seconds}

    def on_load_checkpoint(
        self, trainer: Trainer, module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Take it back when training resumes, but not when the best checkpoint is loaded for the test."""
        if trainer.state.fn == "fit":
            self.points, self.seconds = checkpoint["history"]["points"], checkpoint["history"]["seconds"]
            self.seconds_before = sum(self.seconds.values())

    def on_train_epoch_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Start the clock of an evaluation interval."""
        self._sums = torch.zeros(3, device=module.device)
        self._begin = time.perf_counter()

    def on_train_batch_end(self, trainer: Trainer, module: LightningModule, outputs: Any, *_: Any) -> None:
        """Add a step to the means, from what `Training.training_step` returns with the step's last piece."""
        if "step" in outputs:
            self._sums[:2] += outputs["step"]
            self._sums[2] += 1
            self._rate = outputs["lr"]

    def on_validation_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Stop the clock of the interval, start that of the validation."""
        now = _now(module)
        self.seconds["train"] += now - self._begin
        self._begin = now

    def on_validation_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Add a point; log tokens per second and peak memory."""
        self.seconds["validation"] += _now(module) - self._begin
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
        if trainer.loggers:
            values = {
                "tokens_per_second": self.tokens_per_second(trainer),
                "peak_memory_gb": peak_memory(module.device) / 1e9,
            }
            for logger in trainer.loggers:
                logger.log_metrics(values, step=trainer.global_step)

    def on_test_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Start the clock of the test."""
        self._begin = time.perf_counter()

    def on_test_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Stop the clock of the test."""
        self.seconds["test"] += _now(module) - self._begin


def _now(module: LightningModule) -> float:
    if module.device.type == "cuda":
        torch.cuda.synchronize(module.device)
    return time.perf_counter()
