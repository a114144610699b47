"""The largest piece of a batch that fits into a device's memory, found by trying."""

import logging
import signal

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig
from pytorch_lightning.utilities.memory import is_oom_error
from torch.nn.functional import cross_entropy

from wise_lra.grid.aside import aside

log = logging.getLogger(__name__)

_ALLOWED = 0.9  # of a GPU's memory: the rest is for DDP's buckets and what does not fit into gaps
_STEPS = 2  # the second has the optimiser's state in memory from its beginning


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
    """Tell whether two training steps of `size` full-length examples fit; to be called aside."""
    gpu = cfg.trainer.accelerator != "cpu" and torch.cuda.is_available()
    device = torch.device("cuda", 0) if gpu else torch.device("cpu")
    if gpu:
        torch.cuda.set_per_process_memory_fraction(_ALLOWED, device)
    documents = (cfg.task.documents,) if cfg.task.documents > 1 else ()
    try:
        model = instantiate(cfg.model).to(device)
        optimizer = torch.optim.AdamW(model.parameters())
        tokens = torch.zeros(size, *documents, cfg.task.length, dtype=torch.int64, device=device)
        mask = torch.ones_like(tokens, dtype=torch.bool) if cfg.task.padded else None
        labels = torch.zeros(size, dtype=torch.int64, device=device)
        for _ in range(_STEPS):
            optimizer.zero_grad()
            with torch.autocast(device.type, torch.bfloat16, enabled=mixed):
                logits = model(tokens, mask)
            cross_entropy(logits.float(), labels).backward()
            optimizer.step()
    except RuntimeError as error:
        if is_oom_error(error):
            return False
        raise
    return True


def _tried(cfg: DictConfig, size: int, mixed: bool) -> bool:
    try:
        return aside(fits, cfg, size, mixed)
    except ChildProcessError as error:
        if not str(error).endswith(f"status {-signal.SIGKILL}"):  # what the system does where memory ends
            raise
        return False
