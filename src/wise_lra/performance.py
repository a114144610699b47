"""What makes a run faster without changing its result: the C allocator and torch.compile."""

import ctypes
import logging
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

log = logging.getLogger(__name__)

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3  # malloc.h
_NEVER = -1
_LARGEST = 2**31 - 1  # a C int
_STEP = 2**28  # bytes by which the heap grows: fewer calls for more

_HARMLESS = (
    ".*torch.jit.script.* is deprecated.*",  # PyTorch's own use of it
    ".*code generation for complex operators.*",  # FNet's Fourier transform, which stays PyTorch's
)


def keep_freed_memory() -> bool:
    """Have freed memory kept for this process's next tensors; return whether the allocator takes the order.

    glibc maps every block above 32 MB anew, unmaps it when it is freed, and gives back the free end of the heap. A
    training step frees all that the next one needs, so the kernel clears the same pages at each step: most of the
    time of a transform of 65,536 samples (docs/performance.md). With this order the process keeps the most memory
    that it ever used until it ends. Only glibc takes it.
    """
    mallopt = getattr(_libc(), "mallopt", None)
    if mallopt is None:
        return False
    orders = {_MMAP_THRESHOLD: _LARGEST, _TRIM_THRESHOLD: _NEVER, _TOP_PAD: _STEP}
    taken = [mallopt(name, value) == 1 for name, value in orders.items()]
    return all(taken)


def _libc() -> ctypes.CDLL | None:
    """Return the functions of this process, or None where they cannot be asked for by name (Windows)."""
    try:
        return ctypes.CDLL(None)
    except (OSError, TypeError):
        return None


def compile_in_place(model: nn.Module) -> None:
    """Have a model's calls compiled by Inductor from the first one on; its weights keep their names.

    Whatever Inductor raises (no C++ compiler on a CPU, no Triton on a GPU, an operation that it does not know) is
    said once, and calls then run as PyTorch does without it.
    """
    failed = False

    def forgiving(graph: torch.fx.GraphModule, inputs: list[torch.Tensor]) -> Callable[..., Any]:
        nonlocal failed
        if not failed:
            try:
                with warnings.catch_warnings():
                    for message in _HARMLESS:
                        warnings.filterwarnings("ignore", message=message)
                    return torch._dynamo.lookup_backend("inductor")(graph, inputs)
            except Exception as error:  # what a compiler that is missing or broken raises is without limit
                failed = True
                reason = str(error).strip().splitlines()
                log.warning(
                    "trainer.compile=true: not compiled, the run goes on without (%s)",
                    reason[0] if reason else type(error).__name__,
                )
        return graph.forward

    model.compile(backend=forgiving)
