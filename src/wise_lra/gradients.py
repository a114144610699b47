"""How long the gradients are, part by part: what tells a model that has stopped learning from one that is done."""

from collections import defaultdict

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor, nn
from torch.nn.utils import get_total_norm


class GradientNorms(Callback):
    """Sends the norms to the loggers as often as Lightning sends the loss, taken before any clipping.

    Reads gradients and draws no random number, so that a run is the same with it and without.
    """

    def on_before_optimizer_step(
        self, trainer: Trainer, module: LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        """Measure, where it is time."""
        if (trainer.global_step + 1) % trainer.log_every_n_steps:  # type: ignore[attr-defined]
            return
        values = {f"gradients/{part}": norm for part, norm in gradient_norms(module).items()}
        for logger in trainer.loggers:
            logger.log_metrics(values, step=trainer.global_step)


def gradient_norms(module: nn.Module) -> dict[str, float]:
    """Return the Euclidean norm of the gradient of each part and, as "total", of all; the host waits once.

    Parts are those of `model.Classifier`: embedding, layer1 and so on, norm, head. One without gradients is left
    out.
    """
    parts: dict[str, list[Tensor]] = defaultdict(list)
    for name, parameter in module.named_parameters():
        if parameter.grad is not None:
            parts[_part(name)].append(parameter.grad)
    if not parts:
        return {}
    norms = torch.stack([get_total_norm(gradients).float() for gradients in parts.values()])
    values = torch.cat([norms, norms.norm()[None]]).tolist()
    return dict(zip([*parts, "total"], values, strict=True))


def _part(name: str) -> str:
    """Return "layer1" for "model.encoder.blocks.0.mlp.0.weight", "head" for "model.head.0.bias"."""
    head, *rest = name.removeprefix("model.").removeprefix("encoder.").split(".")
    return f"layer{int(rest[0]) + 1}" if head == "blocks" else head
