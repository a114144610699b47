"""Mixers alone, training steps, and the input pipeline of whole runs: every backbone with every attention."""

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import torch
from omegaconf import DictConfig
from torch.nn.functional import cross_entropy
from torch.utils.benchmark import timer

from wise_lra import train
from wise_lra.build import build_model
from wise_lra.config import compose
from wise_lra.data import listops, pathfinder
from wise_lra.registry import ATTENTIONS, BACKBONES
from wise_lra.training import Recipe, Training

from . import transforms
from .measure import Case, Measured, Setting, Work, Works, measure

IMAGE: Setting = {"task": "image", "preset": "quick", "batch": 32}
LENGTHS = (1024, 2048, 4096, 8192, 16384)
VANILLA = "vanilla softmax"
WIDE = "wise_fixed softmax, bands of full width"
CHUNKED = "wise_fixed softmax, MLP in chunks"
VANILLA_CHUNKED = f"{VANILLA}, MLP in chunks"

# Text under LRA's recipe, narrower and one block deep so that a CPU can measure 16,384 tokens. Without dropout,
# because attention with dropout of its weights has no fused kernel on a CPU: vanilla would look slow.
TEXT = (
    *("task=text", "preset=lra", "model.depth=1", "model.dropout=0", "heads.dropout=0", "model.pool=mean"),
    *("model.d_model=128", "model.mlp_dim=512", "heads.number=2", "heads.qkv_dim=128"),
    "preset.parameter_limit=null",
)
_WIDER = ("model.d_model=256", "model.mlp_dim=1024", "heads.number=4", "heads.qkv_dim=256")
_CHANGES = {
    "bands of full width": ("preset.fit_parameters=false",),
    "MLP in chunks": ("trainer.mlp_chunk=256",),
}
_UNCOUNTED = 5  # steps at the start of an epoch


def contenders(quick: bool) -> list[str]:
    """Return "backbone attention" of every pair, vanilla first; five of them if ``quick``."""
    if quick:
        return [VANILLA, "fnet none", "wise_fixed softmax", "wise_fixed linear", "wise_fixed performer"]
    backbones = [name for name, backbone in BACKBONES.items() if backbone.holds_attention]
    attentions = [name for name in ATTENTIONS if name != "performer_wise"]
    pairs = [f"{backbone} {attention}" for backbone in backbones for attention in attentions]
    return [*pairs, "fnet none", WIDE, CHUNKED, VANILLA_CHUNKED]


def layers(device: torch.device, quick: bool) -> Iterator[Case]:
    """Yield a case a length: the mixer of every contender, forward and backward.

    Beyond 4,096 only of vanilla, fnet and wise_fixed: banks differ by the transform, which has its own section.
    """
    for length in (1024, 4096) if quick else LENGTHS:
        works: Works = {
            name: partial(build_layer, name, length, str(device))
            for name in contenders(quick)
            if length <= 4096 or name.startswith(("vanilla", "fnet", "wise_fixed"))
        }
        yield Case("layers", {"length": length, "precision": "float32"}, partial(measure, works, device))


def steps(device: torch.device, quick: bool) -> Iterator[Case]:
    """Yield training steps: of one document by length, with their memory; in bf16 and compiled; on Image.

    The last case is the transform's share of a step: the transform of one layer, beside the step that holds it.
    """

    def case(setting: Setting, names: Sequence[str], overrides: Sequence[str], **how: Any) -> Case:
        works: Works = {name: partial(build_step, name, overrides, str(device), **how) for name in names}
        memory = works if setting.get("precision") == "float32" else ()
        return Case("steps", setting, partial(measure, works, device, memory=memory))

    for length in (1024, 4096) if quick else LENGTHS:
        yield case({"length": length, "precision": "float32"}, contenders(quick), text(length))
    few = [VANILLA, "fnet none", "wise_fixed softmax", "wise_fixed linear", "wise_adaptive softmax"]
    few, length, batch = (few[:3], 1024, 4) if quick else (few, 4096, 32)
    for variant in ("bf16", "compiled"):
        yield case({"length": length, "precision": variant}, few, text(length), variant=variant)
    names = [VANILLA, "wise_fixed softmax", "wise_adaptive softmax"]
    yield case(IMAGE | {"batch": batch}, names, ("task=image", "preset=quick"), batch=batch)
    of_layer = ("fixed filters", transforms.BOTH, str(device), (1, 2048, 256), 16, 1)
    share: Works = {
        "step": partial(build_step, "wise_fixed softmax", (*text(2048), *_WIDER), str(device)),
        "transform": partial(transforms.build, *of_layer),
    }
    yield Case("steps", {"length": 2048, "width": 256, "share": "transform"}, partial(measure, share, device))


def text(length: int) -> tuple[str, ...]:
    """Return the overrides of one block on Text at a length."""
    return (*TEXT, f"task.length={length}")


def build_step(
    name: str, overrides: Sequence[str], device: str = "cpu", variant: str = "float32", batch: int = 1
) -> Work:
    """Return a work: a training step on random tokens, as `Training` and its optimiser make it.

    variant: float32, bf16 or compiled.
    """
    cfg = configured(name, overrides)
    model = build_model(cfg).to(device)
    training = Training(model, Recipe(1, 1, cfg.recipe.lr, 1, "rsqrt", cfg.recipe.weight_decay, 1), seed=0)
    optimizer: torch.optim.Optimizer = training.configure_optimizers()["optimizer"]
    tokens = torch.randint(1, cfg.task.vocabulary, (batch, cfg.task.length), device=device)
    mask = torch.ones_like(tokens, dtype=torch.bool) if cfg.task.padded else None
    labels = torch.zeros(batch, dtype=torch.long, device=device)
    forward = torch.compile(model) if variant == "compiled" else model

    def step() -> None:
        with torch.autocast(tokens.device.type, torch.bfloat16, enabled=variant == "bf16"):
            loss = cross_entropy(forward(tokens, mask).float(), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def build_layer(name: str, length: int, device: str = "cpu") -> Work:
    """Return a work: the mixer of a contender's block, forward and backward, on one sequence."""
    cfg = configured(name, text(length))
    model: Any = build_model(cfg)
    mixer = model.encoder.blocks[0].mixer.to(device)
    x = torch.randn(1, length, cfg.model.d_model, device=device, requires_grad=True)
    inputs, cotangent = [x, *mixer.parameters()], torch.randn_like(x)
    return lambda: torch.autograd.grad(mixer(x, None), inputs, cotangent, allow_unused=True)


def configured(name: str, overrides: Sequence[str]) -> DictConfig:
    """Return the configuration of a contender: "backbone attention", or that with ", " and one of the changes."""
    pair, _, change = name.partition(", ")
    backbone, attention = pair.split()
    chosen = [f"backbone={backbone}", *([] if attention == "none" else [f"attention={attention}"])]
    return compose([*chosen, *overrides, *_CHANGES.get(change, ())])


def pipeline(device: torch.device, quick: bool) -> Iterator[Case]:
    """Yield runs of preset=quick with the plain and the fastest backbone, and the two generators of data."""
    for task in ("listops",) if quick else ("listops", "image"):
        for backbone in ("fnet",) if quick else ("vanilla", "fnet"):
            setting: Setting = {"task": task, "backbone": backbone, "preset": "quick"}
            yield Case("pipeline", setting, partial(_run, task, backbone))
    makers: list[tuple[str, int, int, Work]] = [("listops", 1000, 1, partial(listops.generate, 1000, 0))]
    for threads in sorted({1, os.cpu_count() or 1}):
        examples = 256 * threads
        draw = partial(pathfinder.generate, examples, 0, workers=threads)
        makers.append(("pathfinder", examples, threads, draw))
    for name, examples, threads, work in makers:
        works: Works = {"generate": partial(partial, work)}
        setting = {"generator": name, "examples": examples, "threads": threads}
        yield Case("pipeline", setting, partial(measure, works, device))


def _run(task: str, backbone: str, seconds: float) -> dict[str, Measured]:
    """Return the steps of a run, the model's part of each, and the batches of its loader.

    The run has two epochs of the preset's length, whatever they take: how often values are logged depends on it.
    """
    samples: dict[str, list[float]] = {"step": [], "model": [], "batch": []}
    with tempfile.TemporaryDirectory() as folder:
        overrides = (
            *(f"task={task}", f"backbone={backbone}", "data.source=standin", "logger.mode=offline"),
            *(f"{name}={folder}/{name}" for name in ("data.root", "runs", "records")),
            *("trainer.progress=none", "data.validation_examples=16", "data.test_examples=16"),
        )
        cfg = compose(list(overrides))
        cfg.recipe.steps = 2 * cfg.recipe.validate_every
        train.train(cfg, partial(Timed, samples=samples))
    return {name: {"samples": found} for name, found in samples.items()}


class Timed(Training):
    """A `Training` that adds to `samples` the seconds of its steps, of the model in each, and of loading a batch.

    A step lasts from the end of the batch before it to its own: loading, logging and callbacks count. The model's
    part is forward from tokens to loss, backward, the optimiser's update and its clearing of gradients. The first
    steps of an epoch do not count. Batches are loaded once more after training.
    """

    def __init__(self, *args: Any, samples: dict[str, list[float]]) -> None:
        super().__init__(*args)
        self.samples, self._ended, self._inside = samples, 0.0, 0.0
        for name in ("_measure", "backward", "optimizer_zero_grad"):
            setattr(self, name, partial(self._add, getattr(self, name)))

    def _add(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call a function and add its seconds to the model's part."""
        begin = timer()
        result = function(*args, **kwargs)
        self._inside += timer() - begin
        return result

    def configure_optimizers(self) -> Any:
        """Time the update, from `on_before_optimizer_step` to its end."""
        found = super().configure_optimizers()
        found["optimizer"].register_step_post_hook(self._updated)
        return found

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Begin the update."""
        self._inside -= timer()

    def _updated(self, *_: Any) -> None:
        self._inside += timer()

    def on_train_batch_end(self, outputs: Any, batch: Any, index: int) -> None:
        """End the step."""
        super().on_train_batch_end(outputs, batch, index)
        now = timer()
        if index >= _UNCOUNTED:
            self.samples["step"].append(now - self._ended)
            self.samples["model"].append(self._inside)
        self._ended, self._inside = now, 0.0

    def on_train_end(self) -> None:
        """Time the loader alone."""
        begin = timer()
        for index, _ in enumerate(self.trainer.train_dataloader or ()):
            now = timer()
            if index >= _UNCOUNTED:
                self.samples["batch"].append(now - begin)
            begin = now
