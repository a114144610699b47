"""torch.compile as an option: where it cannot compile, a run goes on with the plain graph, after one warning."""

import logging
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

log = logging.getLogger(__name__)

_HARMLESS = (
    ".*torch.jit.script.* is deprecated.*",  # PyTorch's own use of it
    ".*code generation for complex operators.*",  # FNet's Fourier transform, which stays PyTorch's
)


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
