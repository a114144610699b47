"""Training steps on batches of zeros: the largest micro-batch that fits into memory, the seconds of an example."""

import logging
import multiprocessing
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import torch
from omegaconf import DictConfig
from pytorch_lightning.utilities.memory import is_oom_error
from torch.nn.functional import cross_entropy

from wise_lra.build import build_model

log = logging.getLogger(__name__)

_ALLOWED = 0.9  # of a GPU's memory: the rest is for DDP's buckets and what does not fit into gaps


class DryRun:
    """The model of a configuration with its optimiser on one device, fed full-length examples of zeros."""

    def __init__(self, cfg: DictConfig, mixed: bool) -> None:
        self.task, self.mixed = cfg.task, mixed
        gpu = cfg.trainer.accelerator != "cpu" and torch.cuda.is_available()
        self.device = torch.device("cuda", 0) if gpu else torch.device("cpu")
        self.model = build_model(cfg).to(self.device)
        self.optimizer = torch.optim.AdamW(self.model.parameters())

    def train(self, size: int) -> None:
        """Take a training step on a batch of that many."""
        self.optimizer.zero_grad()
        labels = torch.zeros(size, dtype=torch.int64, device=self.device)
        cross_entropy(self.logits(size).float(), labels).backward()
        self.optimizer.step()

    @torch.no_grad()
    def evaluate(self, size: int) -> None:
        """Compute a batch of that many without gradients."""
        self.logits(size)

    def logits(self, size: int) -> torch.Tensor:
        """Compute a batch of that many."""
        documents = (self.task.documents,) if self.task.documents > 1 else ()
        tokens = torch.zeros(size, *documents, self.task.length, dtype=torch.int64, device=self.device)
        mask = torch.ones_like(tokens, dtype=torch.bool) if self.task.padded else None
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.mixed):
            return self.model(tokens, mask)


def largest(cfg: DictConfig, share: int, mixed: bool) -> int:
    """Return the largest number of examples of a training step that fit: `share`, halved until it fits.

    Each number is tried in a process of its own, on the first device. A process that the system kills for its
    memory counts as one that did not fit.
    Raises ValueError where not even one example fits.
    """
    for size in _halved(share):
        if _tried(fits, cfg, size, mixed):
            log.info(
                "trainer.find_batch: %d of a device's %d examples at a time fit into memory", size, share
            )
            return size
    raise ValueError(
        "trainer.find_batch=true: not even one example fits into memory; expected a smaller model, "
        "a shorter task.length or a larger device"
    )


def fits(cfg: DictConfig, size: int, mixed: bool) -> bool:
    """Tell whether training steps of so many examples fit; memory is free again when the process ends."""
    try:
        dry = DryRun(cfg, mixed)
        if dry.device.type == "cuda":
            torch.cuda.set_per_process_memory_fraction(_ALLOWED, dry.device)
        for _ in range(2):  # the second has the optimiser's state in memory from its beginning
            dry.train(size)
    except RuntimeError as error:
        if is_oom_error(error):
            return False
        raise
    return True


def seconds_an_example(cfg: DictConfig, seconds: float) -> tuple[float, float] | None:
    """Return the seconds that an example takes in training and in evaluation, None where not even one fits.

    One example at a time on a CPU, on a GPU as many of the recipe's batch as fit; as often as `seconds` allow.
    """
    mixed = torch.cuda.is_available() and torch.cuda.is_bf16_supported()
    dry = DryRun(cfg, mixed)
    for size in _halved(cfg.recipe.batch_size if dry.device.type == "cuda" else 1):
        try:
            dry.evaluate(size)  # the first call makes what later ones find
            return _seconds(dry.train, size, seconds, dry.device), _seconds(
                dry.evaluate, size, seconds, dry.device
            )
        except RuntimeError as error:
            if not is_oom_error(error):
                raise
    return None


def _halved(size: int) -> Iterator[int]:
    """Yield a number, its half rounded up, and so on to 1."""
    yield size
    while size > 1:
        size = -(-size // 2)
        yield size


def _seconds(work: Callable[[int], None], size: int, limit: float, device: torch.device) -> float:
    begin, count = time.perf_counter(), 0
    while not count or time.perf_counter() - begin < limit / 2:
        work(size)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        count += 1
    return (time.perf_counter() - begin) / (count * size)


def _tried(work: Callable[..., bool], *arguments: Any) -> bool:
    """Return `work(*arguments)` of a process of its own, False where the system kills that for its memory."""
    spawn = multiprocessing.get_context("spawn")
    ignore = (signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is this process's to answer
    with ProcessPoolExecutor(1, spawn, initializer=signal.signal, initargs=ignore) as process:
        answer, started = process.submit(work, *arguments), multiprocessing.active_children()
        try:
            return answer.result()
        except BrokenProcessPool as error:
            broken = error
    # The pool has joined its process; before that two threads would wait for it, and one gets no exit code.
    if -signal.SIGKILL not in [one.exitcode for one in started]:
        raise broken
    return False
