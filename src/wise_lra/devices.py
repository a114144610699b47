"""The devices of a run: how many there are, how a batch is split among them, and a worker process for each.

The workers are a pool of Python's and join by Lightning's DDP. Lightning's own launchers do
not serve: one starts the command line again, which a launcher of Hydra's does not have; the other loses the type
of an exception, and with it the exit status, and cannot hand over a logger.
"""

import logging
import multiprocessing
import os
import signal
import sys
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Concatenate, TypeVar

import torch
from omegaconf import DictConfig
from torch import distributed

from wise_lra.constructors import ConfigurationError
from wise_lra.stopping import interruptible

PATIENCE = 30.0  # seconds for the processes to end by themselves when the run is interrupted
_GRACE = 5.0  # seconds for the other processes where one has failed

T = TypeVar("T")


@dataclass(frozen=True)
class Worker:
    """One process of a run: its rank among `count`. The first one shows, logs and writes."""

    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the process that speaks for all."""
        return self.rank == 0

    def trainer(self) -> dict[str, Any]:
        """Return the arguments of Lightning's Trainer for it; the processes are there already."""
        from lightning_fabric.plugins.environments import LightningEnvironment, SLURMEnvironment

        if self.count > 1:
            return {"devices": self.count, "strategy": "ddp", "plugins": [LightningEnvironment()]}
        # submitit requeues a job; Lightning would too, and takes the signals for it
        cluster = [SLURMEnvironment(auto_requeue=False)] if SLURMEnvironment.detect() else []
        return {"devices": 1, "strategy": "auto", "plugins": cluster}


class WorkerDied(ChildProcessError):
    """A worker process ended without an exception: it was killed."""


def visible_gpus() -> list[str]:
    """Return the names of the visible GPUs, as CUDA_VISIBLE_DEVICES has them."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    named = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    return named[:count] or [str(index) for index in range(count)]


def on_devices(cfg: DictConfig) -> DictConfig:
    """Return the configuration with the number of devices that it means here.

    Raises ConfigurationError where there are fewer, or where a batch cannot be split among them.
    """
    cfg = cfg.copy()
    try:
        cfg.trainer.devices = device_count(cfg.trainer.accelerator, cfg.trainer.devices)
        pieces(cfg.recipe.batch_size, cfg.trainer.devices, cfg.trainer.micro_batch)
    except ValueError as error:
        raise ConfigurationError(str(error)) from None
    return cfg


def device_count(accelerator: str, devices: int | str) -> int:
    """Return how many devices `trainer.accelerator` and `trainer.devices` mean here.

    On a CPU a device is a process, and there may be any number. Raises ValueError where there are fewer GPUs.
    """
    gpus = torch.cuda.device_count() if accelerator != "cpu" and torch.cuda.is_available() else 0
    if accelerator == "gpu" and not gpus:
        expected = "one" if devices in (1, "all") else devices
        raise ValueError(
            f"trainer.accelerator=gpu: torch sees no CUDA device here; expected {expected}, or trainer=cpu"
        )
    if devices == "all":
        if not gpus:
            raise ValueError("trainer.devices=all: torch sees no CUDA device here; expected a number")
        return gpus
    if gpus and int(devices) > gpus:
        raise ValueError(f"trainer.devices={devices}: torch sees {gpus} CUDA here; expected {gpus} or fewer")
    return int(devices)


def precision(choice: str | int) -> Any:
    """Return Lightning's name of `trainer.precision`; "auto" is bf16 where a GPU has it."""
    if choice == "auto":
        bf16 = torch.cuda.is_available() and torch.cuda.is_bf16_supported()
        return "bf16-mixed" if bf16 else "32-true"
    return {"32": "32-true", "bf16": "bf16-mixed"}[str(choice)]


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


def in_workers(count: int, work: Callable[Concatenate[Worker, ...], T], *arguments: Any) -> T:
    """Return what `work(worker, *arguments)` returns in the first of `count` processes; one is this process itself.

    Work, arguments and result must pickle. The first exception of any process is raised here and ends the others,
    and so is KeyboardInterrupt. Raises WorkerDied where a process was killed.
    """
    if count == 1:
        return work(Worker(), *arguments)
    from lightning_fabric.plugins.environments.lightning import find_free_network_port

    port = find_free_network_port()
    before = multiprocessing.active_children()
    with ProcessPoolExecutor(count, multiprocessing.get_context("spawn")) as pool:
        results = [pool.submit(_work, Worker(rank, count), port, work, arguments) for rank in range(count)]
        processes = [one for one in multiprocessing.active_children() if one not in before]
        try:
            wait(results, return_when=FIRST_EXCEPTION)
            for result in results:
                if result.done():
                    result.result()
            return results[0].result()
        except BrokenProcessPool:
            raise WorkerDied(
                f"one of {count} processes was killed (out of memory?); "
                "the same command goes on from the last validation"
            ) from None
        except KeyboardInterrupt:
            _end(processes, results, signal.SIGINT)
            raise
        except BaseException:
            _end(processes, results, signal.SIGTERM)
            raise


def _end(processes: Sequence[Any], results: Sequence[Future[Any]], number: signal.Signals) -> None:
    """Send a signal to the processes, wait for them, and kill those that do not end."""
    for process in processes:
        with suppress(ProcessLookupError):
            os.kill(process.pid, number)
    with suppress(KeyboardInterrupt):
        wait(results, PATIENCE if number == signal.SIGINT else _GRACE)
    for process in processes:
        process.kill()


def _work(worker: Worker, port: int, work: Callable[Concatenate[Worker, ...], T], arguments: Any) -> T:
    """Be one of the processes: join the others and work; end with the process that started this one."""
    prctl = getattr(torch.multiprocessing, "_prctl_pr_set_pdeathsig", None)
    if prctl:  # Linux
        prctl(signal.SIGKILL)
    address = {"NODE_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    os.environ |= address | {"LOCAL_RANK": str(worker.rank)}
    level = logging.INFO if worker.first else logging.ERROR
    logging.basicConfig(level=level, format="%(message)s", stream=sys.stderr)
    if not worker.first:
        warnings.simplefilter("ignore")  # the first one warns for all
    try:
        with interruptible():
            result = work(worker, *arguments)
    except BaseException:
        if distributed.is_initialized() and distributed.get_backend() == "gloo":
            distributed.destroy_process_group()  # so that the others do not wait for this one
        raise
    if distributed.is_initialized():
        distributed.destroy_process_group()
    return result
