"""Callbacks of a run: its history, gradient norms, wavelet pictures and test predictions.

`History` belongs to every run. The others come from configs/callbacks; none of them changes a result.
"""

import logging
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor, distributed, nn
from torch.nn.utils import get_total_norm

from wise_lra.data.task import Batch
from wise_lra.provenance import peak_memory
from wise_lra.results.predictions import PREDICTIONS, Predictions

log = logging.getLogger(__name__)


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


def _now(module: LightningModule) -> float:
    if module.device.type == "cuda":
        torch.cuda.synchronize(module.device)
    return time.perf_counter()
