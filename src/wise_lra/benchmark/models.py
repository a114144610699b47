"""Mixers alone and whole training steps: every backbone with every attention it holds, at equal hyperparameters."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from omegaconf import DictConfig
from torch import Tensor
from torch.nn.functional import cross_entropy

from wise_lra.configuration import compose, options
from wise_lra.experiment import build_model
from wise_lra.training import Recipe, Training

from .case import Case
from .measure import Measured, Work, interleaved, peak_memory
from .transforms import BOTH
from .transforms import build as build_transform

LENGTHS = (1024, 2048, 4096, 8192, 16384)
VANILLA = "vanilla softmax"
_WIDE, _CHUNKED = "bands of full width", "MLP in chunks"
WIDE = f"wise_fixed softmax, {_WIDE}"
CHUNKED = f"wise_fixed softmax, {_CHUNKED}"
VANILLA_CHUNKED = f"{VANILLA}, {_CHUNKED}"

# LRA's recipe for Text, narrower and one block deep so that a CPU can measure 16,384 tokens. Nothing is dropped:
# with dropout of its weights, attention on a CPU has no fused kernel, and vanilla would look worse than it is.
_SIZES = (
    *("task=text", "preset=lra", "logger=csv", "model.depth=1", "model.dropout=0", "heads.dropout=0"),
    *("model.d_model=128", "model.mlp_dim=512", "heads.number=2", "heads.qkv_dim=128", "model.pool=mean"),
    "preset.parameter_limit=null",
)
_VARIANTS = ("float32", "bf16", "compiled")
_CHANGES = {
    _WIDE: ("preset.fit_parameters=false",),
    _CHUNKED: ("trainer.mlp_chunk=256",),
}


def contenders(quick: bool) -> list[str]:
    """Return "backbone attention" of every pair, vanilla first; a few of them for a quick look."""
    if quick:
        some = ("fnet none", "wise_fixed softmax", "wise_fixed linear", "wise_fixed performer")
        return [VANILLA, *some]
    backbones = [
        "vanilla",
        *(name for name in options("backbone") if name not in ("vanilla", "fnet", "fnet_prenorm")),
    ]
    attentions = [
        "softmax",
        *(name for name in options("attention") if name not in ("softmax", "none", "performer_wise")),
    ]
    return [*(f"{b} {a}" for b in backbones for a in attentions), "fnet none", WIDE, CHUNKED, VANILLA_CHUNKED]


def layers(device: torch.device, quick: bool) -> Iterator[Case]:
    """Yield a case a length: the mixer of every contender, forward and backward.

    Beyond 4,096 only of vanilla, fnet and wise_fixed: banks differ by the transform, which has its own section.
    """
    for length in (1024, 4096) if quick else LENGTHS:
        names = [
            n for n in contenders(quick) if length <= 4096 or n.startswith(("vanilla", "fnet", "wise_fixed"))
        ]
        run = partial(measured, device, "layer", names, length, "float32", False)
        yield Case("layers", {"length": length, "precision": "float32"}, run)


def steps(device: torch.device, quick: bool) -> Iterator[Case]:
    """Yield a case a length: training steps of one document, with their memory; bf16 and compiled at 4,096.

    The last one is the transform's share of a step.
    """
    for length in (1024, 4096) if quick else LENGTHS:
        run = partial(measured, device, "step", contenders(quick), length, "float32", True)
        yield Case("steps", {"length": length, "precision": "float32"}, run)
    few = [VANILLA, "fnet none", "wise_fixed softmax", "wise_fixed linear", "wise_adaptive softmax"]
    for variant in _VARIANTS[1:]:
        length = 1024 if quick else 4096
        run = partial(measured, device, "step", few[: 3 if quick else 5], length, variant, False)
        yield Case("steps", {"length": length, "precision": variant}, run)
    yield Case("steps", {"length": 2048, "width": 256, "share": "transform"}, partial(_share, device))


def measured(
    device: torch.device,
    what: str,
    names: list[str],
    length: int,
    variant: str,
    with_memory: bool,
    seconds: float,
) -> dict[str, Measured]:
    """Return what each contender takes, in rounds that all of them share."""
    make = {"layer": build_layer, "step": build_step}[what]
    works: dict[str, Work] = {}
    absent: dict[str, Measured] = {}
    for name in names:
        try:
            works[name] = make(name, length, str(device), variant)
            if variant == "compiled":
                works[
                    name
                ]()  # here, so that a compiler that is not there costs one contender its row, not all
        except Exception as error:
            absent[name] = Measured(absent=f"{type(error).__name__}: {str(error).strip().splitlines()[0]}")
            works.pop(name, None)
    found = {name: Measured(samples) for name, samples in interleaved(works, device, seconds).items()}
    del works
    for name, measured in found.items():
        if with_memory:
            measured.memory = peak_memory(make(name, length, str(device), variant), device)
    return found | absent


def build_step(name: str, length: int, device: str, variant: str = "float32", *sizes: str) -> Work:
    """Return a work: one training step on one document of random bytes, as `Training` and its optimiser take it."""
    cfg = configured(name, length, *sizes)
    model = build_model(cfg).to(device)
    training = Training(model, Recipe(1, 1, cfg.recipe.lr, 1, "rsqrt", cfg.recipe.weight_decay, 1), seed=0)
    optimizer: torch.optim.Optimizer = training.configure_optimizers()["optimizer"]
    tokens = torch.randint(1, cfg.task.vocabulary, (1, length), device=device)
    mask = torch.ones_like(tokens, dtype=torch.bool)
    labels = torch.zeros(1, dtype=torch.long, device=device)
    forward = torch.compile(model) if variant == "compiled" else model
    kind = torch.device(device).type

    def step() -> None:
        with torch.autocast(kind, torch.bfloat16, enabled=variant == "bf16"):
            loss = cross_entropy(forward(tokens, mask).float(), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def build_layer(name: str, length: int, device: str, variant: str = "float32") -> Work:
    """Return a work: the mixer of the contender's block, forward and backward, on one sequence."""
    cfg = configured(name, length)
    model: Any = build_model(cfg)
    mixer = model.encoder.blocks[0].mixer.to(device)
    x = torch.randn(1, length, cfg.model.d_model, device=device, requires_grad=True)
    inputs: list[Tensor] = [x, *mixer.parameters()]
    cotangent = torch.randn_like(x)

    def layer() -> None:
        torch.autograd.grad(mixer(x, None), inputs, cotangent, allow_unused=True)

    return layer


def configured(name: str, length: int, *sizes: str) -> DictConfig:
    """Return the configuration of a contender, "backbone attention", at a length."""
    plain, _, change = name.partition(", ")
    backbone, attention = plain.split()
    overrides = [f"backbone={backbone}", f"task.length={length}", *_SIZES, *_CHANGES.get(change, ()), *sizes]
    return compose([*overrides, *([] if attention == "none" else [f"attention={attention}"])])


def _share(device: torch.device, seconds: float) -> dict[str, Measured]:
    """Return the transform of one layer, there and back with its gradients, beside the step that holds it."""
    wide = ("model.d_model=256", "model.mlp_dim=1024", "heads.number=4", "heads.qkv_dim=256")
    works = {
        "step": build_step("wise_fixed softmax", 2048, str(device), "float32", *wide),
        "transform": build_transform("fixed filters", BOTH, str(device), (1, 2048, 256), 16, 1),
    }
    return {name: Measured(samples) for name, samples in interleaved(works, device, seconds).items()}
