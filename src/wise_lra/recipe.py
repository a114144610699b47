"""The recipe: how a model is trained, and the learning rate of each step."""

import math
from dataclasses import dataclass
from typing import Literal

Schedule = Literal["rsqrt", "cosine"]


@dataclass(frozen=True)
class Recipe:
    """How a model is trained; the same for every backbone of a task and preset.

    Args:
        steps: optimiser steps of the whole run.
        batch_size: examples a step.
        lr: base learning rate; "rsqrt" divides it by sqrt(step), so 0.05 there is 0.0016 at step 1,000.
        warmup_steps: steps of linear warm-up.
        schedule: "rsqrt" or "cosine" (to zero at the last step).
        weight_decay: decoupled (AdamW), on every parameter as in LRA's code.
        validate_every: steps between two validations; the last step is always validated.
        clip: greatest norm of the gradient, or None.

    Raises:
        ValueError: a number out of range, or an unknown schedule.
    """

    steps: int
    batch_size: int
    lr: float
    warmup_steps: int
    schedule: Schedule
    weight_decay: float
    validate_every: int
    clip: float | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be trained with."""
        for name in ("steps", "batch_size", "warmup_steps", "validate_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"recipe.{name}={getattr(self, name)}: expected at least 1")
        for name, value in (("lr", self.lr), ("clip", 1.0 if self.clip is None else self.clip)):
            if not 0 < value < math.inf:
                raise ValueError(f"recipe.{name}={value}: expected a finite number above 0")
        if not 0 <= self.weight_decay < math.inf:
            raise ValueError(f"recipe.weight_decay={self.weight_decay}: expected a finite number, 0 or more")
        if self.schedule not in ("rsqrt", "cosine"):
            raise ValueError(f"recipe.schedule={self.schedule!r}: expected 'rsqrt' or 'cosine'")

    @property
    def intervals(self) -> int:
        """Number of evaluation intervals of `validate_every` steps, the last perhaps shorter."""
        return -(-self.steps // self.validate_every)

    def learning_rate(self, step: int) -> float:
        """Return the rate of a step, counted from 1 (LRA, lra_benchmarks/utils/train_utils.py).

        rsqrt: lr * min(1, step / warm-up) / sqrt(max(step, warm-up)). cosine: the same warm-up, then one half
        wave over the steps that are left, so that it never restarts.
        """
        warm = min(1.0, step / self.warmup_steps)
        if self.schedule == "rsqrt":
            return self.lr * warm / math.sqrt(max(step, self.warmup_steps))
        progress = max(0.0, step - self.warmup_steps) / max(1, self.steps - self.warmup_steps)
        return self.lr * warm * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
