"""What a grid costs on a GPU, by the FLOPs of its training steps, counted without computing anything."""

import math
from typing import Any

import torch
from hydra.utils import instantiate
from torch._subclasses import FakeTensorMode
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from wise_lra.config import compose
from wise_lra.registry import BACKBONES, TASKS
from wise_lra.results.text import Line, Section

SUSTAINED = 0.4 * 156e12
"""FLOP/s: 40 % of an A100's peak in TF32."""


def training_flops(preset: str, task: str, backbone: str) -> float:
    """Return the FLOPs of all training steps of a run, forward and backward; a multiply-add counts two.

    One example is counted, on tensors with shapes and no values, and multiplied by batch and steps. A Fourier
    transform of n numbers counts 5 n log2 n.
    """
    cfg = compose([f"preset={preset}", f"task={task}", f"backbone={backbone}"])
    shape = (1, cfg.task.documents, cfg.task.length) if cfg.task.documents > 1 else (1, cfg.task.length)
    transforms = (torch.ops.aten._fft_c2c, torch.ops.aten._fft_r2c, torch.ops.aten._fft_c2r)
    counter = FlopCounterMode(display=False, custom_mapping=dict.fromkeys(transforms, _fft))
    # The kernel MATH is made of operations that can be counted; a fused one is a single unknown operation.
    model = instantiate(cfg.model)
    with FakeTensorMode(allow_non_fake_inputs=True), sdpa_kernel(SDPBackend.MATH), counter:
        model(torch.ones(shape, dtype=torch.int64), torch.ones(shape, dtype=torch.bool)).sum().backward()
    return float(counter.get_total_flops()) * cfg.recipe.batch_size * cfg.recipe.steps


def _fft(x: Any, dims: list[int], *_: Any, **__: Any) -> int:
    return round(5 * math.prod(x) * math.log2(math.prod(x[dim] for dim in dims)))


def cost(presets: tuple[str, ...] = ("lra", "paper")) -> Section:
    """Return the GPU hours of one seed of the main backbones on every task, a line a preset and backbone."""
    backbones = [name for name, known in BACKBONES.items() if known.main]
    rows = []
    for preset in presets:
        for name in backbones:
            hours = [training_flops(preset, task, name) / SUSTAINED / 3600 for task in TASKS]
            rows.append(Line(f"{preset}, {name}", [f"{amount:,.2f}" for amount in (*hours, sum(hours))]))
    text = (
        f"Hours of one seed on an A100, by FLOPs at {SUSTAINED / 1e12:.1f} TFLOP/s (40 % of its 156 in TF32)."
        " Nothing was measured, and narrow models use less of a GPU: this is a lower bound."
        " `scripts/tables.py --flops` counts again."
    )
    return Section("Cost on a GPU", text, ["", *TASKS, "all"], rows)
