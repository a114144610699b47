"""Several devices: how many a run takes, how a batch is parted among them, and a process for each.

The processes are torch's (`torch.multiprocessing.spawn`) and join by Lightning's DDP. They are not started anew
from the command line, as Lightning would, so a run on several devices works wherever one on a single device does:
under any launcher of Hydra's, or called from Python.
"""

import logging
import multiprocessing
import os
import pickle
import signal
import sys
import traceback
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Concatenate, TypeVar

import torch
from lightning_fabric.plugins.environments import LightningEnvironment
from lightning_fabric.plugins.environments.lightning import find_free_network_port
from torch import distributed
from torch.multiprocessing.spawn import ProcessContext, ProcessExitedException, spawn

from wise_lra.stopping import interruptible

PATIENCE = 30.0  # seconds for the processes to end by themselves when the run is interrupted

T = TypeVar("T")


@dataclass(frozen=True)
class Place:
    """One process of a run: its rank among `count`. The first one shows, logs and writes."""

    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the process that speaks for all."""
        return self.rank == 0

    def trainer(self) -> dict[str, Any]:
        """Return what Lightning's Trainer is told of it."""
        return {"devices": self.count, "strategy": "ddp" if self.count > 1 else "auto"}

    def plugins(self) -> list[Any]:
        """Return the environment that says to Lightning that the processes are there already."""
        return [LightningEnvironment()] if self.count > 1 else []


class Lost(ChildProcessError):
    """A process of the run is gone without a word."""


def number(accelerator: str, devices: int | str) -> int:
    """Return how many devices `trainer.accelerator` and `trainer.devices` mean here.

    On a CPU a device is a process, and there may be any number. Raises ValueError where there are fewer GPUs.
    """
    gpus = torch.cuda.device_count() if accelerator != "cpu" and torch.cuda.is_available() else 0
    if accelerator == "gpu" and not gpus:
        wanted = "one" if devices in (1, "all") else devices
        raise ValueError(
            f"trainer.accelerator=gpu: torch sees no CUDA device here; expected {wanted}, or trainer=cpu"
        )
    if devices == "all":
        if not gpus:
            raise ValueError("trainer.devices=all: torch sees no CUDA device here; expected a number")
        return gpus
    if gpus and int(devices) > gpus:
        raise ValueError(f"trainer.devices={devices}: torch sees {gpus} CUDA here; expected {gpus} or fewer")
    return int(devices)


def pieces(batch_size: int, devices: int, micro_batch: int | None) -> int:
    """Return in how many pieces each device computes its share of a batch, none above `micro_batch` examples.

    Raises ValueError where a device would have a piece without examples.
    """
    share = -(-batch_size // devices)
    count = -(-share // (micro_batch or share))
    if count * devices > batch_size:
        raise ValueError(
            f"trainer.devices={devices}, trainer.micro_batch={micro_batch}: recipe.batch_size={batch_size} "
            f"cannot be parted in {count * devices}; expected fewer devices, or another micro_batch"
        )
    return count


def together(count: int, work: Callable[Concatenate[Place, ...], T], *arguments: Any) -> T:
    """Return what `work(place, *arguments)` returns in the first of `count` processes; one is this process itself.

    Work, arguments and result must pickle. The first exception of any process is raised here and ends the others,
    and so is KeyboardInterrupt. Raises Lost where a process was killed.
    """
    if count == 1:
        return work(Place(), *arguments)
    logging.getLogger("torch.multiprocessing.spawn").setLevel(logging.ERROR)
    answers: Any = multiprocessing.get_context("spawn").SimpleQueue()
    port = find_free_network_port()
    running = spawn(_work, (count, port, answers, work, arguments), nprocs=count, join=False)
    got: list[tuple[bool, Any]] = []
    try:
        _await(running, answers, got)
    except KeyboardInterrupt:
        _interrupt(running)
        raise
    except ProcessExitedException as error:
        if not got:
            died = f"process {error.error_index} of {count} ended by {error.signal_name or error.exit_code}"
            more = " (out of memory?)" if error.signal_name == "SIGKILL" else ""
            raise Lost(f"{died}{more}; the same command goes on from the last validation") from None
    done, value = got[0]
    if not done:
        raise value
    return value


def _await(running: ProcessContext, answers: Any, got: list[tuple[bool, Any]]) -> None:
    """Collect what the processes send until all have ended; a queue that is not read would hold them."""
    ended = False
    while not ended:
        try:
            ended = running.join(timeout=0.05, grace_period=5.0)
        finally:
            while not answers.empty():
                got.append(answers.get())


def _interrupt(running: ProcessContext) -> None:
    """Hand Ctrl-C on, wait, and kill what is left."""
    for process in running.processes:
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGINT)
    with suppress(KeyboardInterrupt):
        for process in running.processes:
            process.join(PATIENCE)
    for process in running.processes:
        process.kill()


def _work(
    rank: int,
    count: int,
    port: int,
    answers: Any,
    work: Callable[Concatenate[Place, ...], Any],
    arguments: tuple[Any, ...],
) -> None:
    """Be one of the processes: join the others, work, send the first one's result or what went wrong."""
    os.environ |= {
        "LOCAL_RANK": str(rank),
        "NODE_RANK": "0",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    logging.basicConfig(
        level=logging.ERROR if rank else logging.INFO, format="%(message)s", stream=sys.stderr
    )
    if rank:
        warnings.simplefilter("ignore")  # the first one warns for all
    try:
        with interruptible():
            result = work(Place(rank, count), *arguments)
    except BaseException as error:
        answers.put((False, _sendable(error)))
        sys.exit(1)
    if rank == 0:
        answers.put((True, result))
    if distributed.is_initialized():
        distributed.destroy_process_group()


def _sendable(error: BaseException) -> BaseException:
    """Return an exception that another process can read, its traceback as a note."""
    error.add_note(traceback.format_exc())
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # what a class of others does when it pickles is without limit
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
