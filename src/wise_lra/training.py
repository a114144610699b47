"""Training: the one LightningModule."""

from typing import Any, Literal

import torch
from pytorch_lightning import LightningModule
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from wise_lra.data.task import Batch
from wise_lra.recipe import Recipe

_CHECKED_EVERY = 20  # steps between looks at the loss: each makes a GPU wait for the host
# Odd, so that the seeds of devices differ also in the half that torch's CPU uses.
_SPREAD = 0x1E3779B97F4A7C15


class Diverged(RuntimeError):
    """The loss is not finite any more."""


class Training(LightningModule):
    """Cross-entropy training of a classifier by a `Recipe`, one evaluation interval a Lightning epoch.

    Dropout of interval k depends on (seed, k) alone, as the data's order depends on (seed, step): a run resumed
    at the end of an interval goes on as if it had never stopped. On several devices each has a noise of its own.

    A step's batch comes in pieces, `accumulate_grad_batches` of them on each device; each counts by its examples,
    so that the gradient is the mean over the batch however it is parted.
    """

    def __init__(self, model: nn.Module, recipe: Recipe, seed: int) -> None:
        super().__init__()
        self.model, self.recipe, self.seed = model, recipe, seed
        self._step = torch.zeros(2)  # loss and accuracy of the step so far
        self._evaluated = torch.zeros(3)  # sums of loss and accuracy over examples, and their number

    def forward(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return logits (batch, classes)."""
        return self.model(tokens, mask)

    def on_train_epoch_start(self) -> None:
        """Set the noise of this interval."""
        torch.manual_seed((((self.seed << 20) + self.current_epoch) ^ (self.global_rank * _SPREAD)) % 2**64)
        self._step = torch.zeros(2, device=self.device)

    def training_step(self, batch: Batch, index: int) -> dict[str, Any]:
        """Return the weighted loss of a piece, and with a step's last one "step", its loss and accuracy, and "lr".

        Raises Diverged, on all devices, where the step's loss is not finite.
        """
        loss, accuracy, _ = self._measure(batch)
        pieces = self.trainer.accumulate_grad_batches
        share = len(batch.labels) * self.trainer.world_size / self.recipe.batch_size
        self._step += torch.stack([loss.detach(), accuracy]) * share
        weighted = loss * (
            share * pieces
        )  # Lightning divides by the number of pieces, DDP by that of devices
        return {"loss": weighted} | (self._ended_step() if (index + 1) % pieces == 0 else {})

    def on_train_batch_end(self, *_: Any) -> None:
        """End the run at its last step, inside an interval if need be; Lightning validates before it stops."""
        if self.global_step == self.recipe.steps:
            self.trainer.should_stop = True

    def on_validation_epoch_start(self) -> None:
        """Begin the validation means."""
        self._evaluated = torch.zeros(3, device=self.device)

    def validation_step(self, batch: Batch, index: int) -> None:
        """Add a batch to the validation means."""
        self._evaluate(batch)

    def on_validation_epoch_end(self) -> None:
        """Log them. Raises Diverged, on all devices, where the loss is not finite."""
        self._expect_finite(self._log_means("validation"))

    def on_test_epoch_start(self) -> None:
        """Begin the test means."""
        self._evaluated = torch.zeros(3, device=self.device)

    def test_step(self, batch: Batch, index: int) -> Tensor:
        """Add a batch to the test means; return its logits for those who keep them."""
        return self._evaluate(batch)

    def on_test_epoch_end(self) -> None:
        """Log them."""
        self._log_means("test")

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Return AdamW(0.9, 0.98, 1e-9) with the recipe's rate, set anew at every step."""
        recipe = self.recipe
        optimizer = torch.optim.AdamW(
            self.parameters(), lr=1.0, betas=(0.9, 0.98), eps=1e-9, weight_decay=recipe.weight_decay
        )
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda done: recipe.learning_rate(done + 1))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Note in how many pieces the batches came that Lightning counts."""
        checkpoint["pieces"] = self.trainer.accumulate_grad_batches

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Count them in the pieces of this run, so that one parted otherwise begins where the other ended."""
        before, now = checkpoint.get("pieces", 1), self.trainer.accumulate_grad_batches
        progress = checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]
        for counts in (progress["total"], progress["current"]):
            counts.update({name: count // before * now for name, count in counts.items()})

    def _ended_step(self) -> dict[str, Any]:
        """Return what a step came to, and log it where a logger is due: each time costs a small model 5 %."""
        step, self._step = self._over_devices(self._step, "mean"), torch.zeros_like(self._step)
        if self.global_step % _CHECKED_EVERY == 0:
            self._expect_finite(step[0])
        rate = self.trainer.optimizers[0].param_groups[0]["lr"]
        if (self.global_step + 1) % self.trainer.log_every_n_steps == 0:  # type: ignore[attr-defined]
            self.log_dict({"train/loss": step[0], "train/accuracy": step[1], "train/lr": rate})
        return {"step": step, "lr": rate}

    def _over_devices(self, values: Tensor, reduction: Literal["mean", "sum"]) -> Tensor:
        """Return mean or sum over devices; on one, the values themselves."""
        reduced = self.trainer.strategy.reduce(values, reduce_op=reduction)
        assert isinstance(reduced, Tensor)
        return reduced

    def _expect_finite(self, loss: Tensor) -> None:
        if not torch.isfinite(loss):
            raise Diverged(
                f"the loss is {loss.item()} at step {self.global_step}: lower recipe.lr, "
                "lengthen recipe.warmup_steps or set recipe.clip=1.0"
            )

    def _evaluate(self, batch: Batch) -> Tensor:
        loss, accuracy, logits = self._measure(batch)
        self._evaluated += torch.stack([loss, accuracy, torch.ones_like(loss)]) * len(batch.labels)
        return logits

    def _log_means(self, split: str) -> Tensor:
        """Log the means over the examples of all devices, and return that of the loss.

        Lightning's own means over devices cut a mean number of examples to a whole one.
        """
        loss, accuracy, examples = self._over_devices(self._evaluated, "sum")
        self.log_dict(
            {f"{split}/loss": loss / examples, f"{split}/accuracy": accuracy / examples}, sync_dist=True
        )
        return loss

    def _measure(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Return mean cross-entropy and share of right answers, scalars, and logits (batch, classes); float32."""
        logits = self.model(batch.tokens, batch.mask).float()
        right = (logits.argmax(dim=-1) == batch.labels).float().mean()
        return cross_entropy(logits, batch.labels), right, logits
