"""Training steps on made-up batches, thrown away again: what fits into memory, and how long a step takes."""

import gc
import logging
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import FrameType

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig
from pytorch_lightning.utilities.memory import is_oom_error
from torch.nn.functional import cross_entropy

from wise_lra.devices import visible_gpus
from wise_lra.grid.aside import aside
from wise_lra.model import chunk_mlp
from wise_lra.provenance import device_name

log = logging.getLogger(__name__)

_ALLOWED = 0.9  # of a GPU's memory: the rest is for DDP's buckets and what does not fit into gaps


@dataclass(frozen=True)
class Pace:
    """Seconds that one example takes in training and in evaluation, measured `size` at a time."""

    train: float
    evaluation: float
    size: int


class Trial:
    """The model of a configuration with its optimiser on one device, fed full-length examples of zeros."""

    def __init__(self, cfg: DictConfig, mixed: bool) -> None:
        self.task, self.mixed = cfg.task, mixed
        gpu = cfg.trainer.accelerator != "cpu" and torch.cuda.is_available()
        self.device = torch.device("cuda", 0) if gpu else torch.device("cpu")
        self.model = instantiate(cfg.model).to(self.device)
        chunk_mlp(self.model, cfg.trainer.mlp_chunk)
        self.optimizer = torch.optim.AdamW(self.model.parameters())

    def step(self, size: int) -> None:
        """Train on a batch of that many."""
        self.optimizer.zero_grad()
        labels = torch.zeros(size, dtype=torch.int64, device=self.device)
        cross_entropy(self.logits(size).float(), labels).backward()
        self.optimizer.step()

    def logits(self, size: int) -> torch.Tensor:
        """Compute a batch of that many."""
        documents = (self.task.documents,) if self.task.documents > 1 else ()
        tokens = torch.zeros(size, *documents, self.task.length, dtype=torch.int64, device=self.device)
        mask = torch.ones_like(tokens, dtype=torch.bool) if self.task.padded else None
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.mixed):
            return self.model(tokens, mask)

    @torch.no_grad()
    def evaluate(self, size: int) -> None:
        """Compute a batch of that many without gradients."""
        self.logits(size)

    def seconds(self, work: Callable[[int], None], size: int) -> float:
        """Return how long it took."""
        begin = time.perf_counter()
        work(size)
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter() - begin


def largest(cfg: DictConfig, share: int, mixed: bool) -> int:
    """Return the largest number of examples, `share` halved as often as need be, that a training step fits.

    Each number is tried in a process of its own on the first device, the others being taken to be like it; so a
    process that the system kills for its memory is an answer too, and nothing of the trial stays behind.
    Raises ValueError where not even one example fits.
    """
    size = share
    while not _tried(cfg, size, mixed):
        if size == 1:
            raise ValueError(
                "trainer.find_batch=true: not even one example fits into memory; expected a smaller model, "
                "a shorter task.length or a larger device"
            )
        size = -(-size // 2)
    log.info("trainer.find_batch: %d of a device's %d examples at a time fit into memory", size, share)
    return size


def fits(cfg: DictConfig, size: int, mixed: bool) -> bool:
    """Tell whether training steps of so many examples fit; to be called aside."""
    try:
        trial = Trial(cfg, mixed)
        if trial.device.type == "cuda":
            torch.cuda.set_per_process_memory_fraction(_ALLOWED, trial.device)
        for _ in range(2):  # the second has the optimiser's state in memory from its beginning
            trial.step(size)
    except RuntimeError as error:
        if is_oom_error(error):
            return False
        raise
    return True


def device(threads: int | None) -> tuple[list[str], str]:
    """Return the names of the visible GPUs, as CUDA_VISIBLE_DEVICES has them, and what records call the device.

    Without a GPU, that is the processor with so many threads; to be called aside.
    """
    if threads:
        torch.set_num_threads(threads)
    gpus = visible_gpus()
    return gpus, device_name(torch.device("cuda", 0) if gpus else torch.device("cpu"))


def paces(cfgs: Sequence[DictConfig], seconds: float, threads: int | None) -> list[Pace | None]:
    """Return the pace of each configuration's model, found in about `seconds` for all; to be called aside.

    The size is doubled up to the recipe's batch as long as time and memory last. Where time ends before the first
    example, size is 0 and the pace the least that it can be; None where memory does.
    """
    if threads:
        torch.set_num_threads(threads)
    mixed = torch.cuda.is_available() and torch.cuda.is_bf16_supported()
    signal.signal(signal.SIGALRM, _end)
    found = []
    for cfg in cfgs:
        found.append(_pace(cfg, seconds / len(cfgs), mixed))
        gc.collect()
    return found


class _OutOfTime(Exception):
    """The seconds of a measurement are over."""


def _end(_: int, __: FrameType | None) -> None:
    raise _OutOfTime


def _pace(cfg: DictConfig, seconds: float, mixed: bool) -> Pace | None:
    pace, size = None, 1
    try:
        trial = Trial(cfg, mixed)
        signal.setitimer(signal.ITIMER_REAL, seconds)
        trial.evaluate(1)  # the first call makes what later ones find
        while True:
            took, plain = trial.seconds(trial.step, size), trial.seconds(trial.evaluate, size)
            pace = Pace(took / size, plain / size, size)
            if size == cfg.recipe.batch_size:
                return pace
            size = min(2 * size, cfg.recipe.batch_size)
    except _OutOfTime:
        return pace or Pace(seconds, 0.0, 0)
    except RuntimeError as error:
        if is_oom_error(error):
            return pace
        raise
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _tried(cfg: DictConfig, size: int, mixed: bool) -> bool:
    try:
        return aside(fits, cfg, size, mixed)
    except ChildProcessError as error:
        if not str(error).endswith(f"status {-signal.SIGKILL}"):  # what the system does where memory ends
            raise
        return False
