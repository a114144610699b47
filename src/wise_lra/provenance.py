"""What made a record: device, memory, versions, commit, and whether the sources differ from the commit."""

import platform
import resource
import subprocess
import sys
from functools import cache
from importlib.metadata import version
from pathlib import Path

import torch

_ROOT = Path(__file__).parents[2]
_SOURCES = ("src", "configs", "scripts", "pyproject.toml", "constraints.txt")
_PACKAGES = ("wise-lra", "torch", "pytorch-lightning", "hydra-core", "numpy", "PyWavelets", "wandb")


def versions() -> dict[str, str]:
    """Return the version of Python and of the packages that decide a result."""
    return {"python": platform.python_version()} | {name: version(name) for name in _PACKAGES}


def commit() -> str:
    """Return the commit that is checked out, "unknown" outside a git checkout."""
    return _git("rev-parse", "HEAD").strip() or "unknown"


def dirty() -> bool:
    """Tell whether sources or configs differ from the commit; results that runs write do not count."""
    return bool(_git("status", "--porcelain", "--", *_SOURCES).strip())


@cache
def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], cwd=_ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout


def device_name(device: torch.device) -> str:
    """Return the GPU's name, or the processor's and the number of threads used."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"{_processor()}, {threads} thread{'s' * (threads > 1)}"


def peak_memory(device: torch.device) -> int:
    """Return the greatest memory used so far, in bytes: the GPU's by tensors, else the process's in RAM."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


@cache
def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
