"""How a run ends: by a signal, its time limit or an error, as exit status and one line. Imports nothing large."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from wise_lra.runs.job import JobResult

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


class OutOfTime(RuntimeError):
    """The time limit of the run has passed before its last step."""


class GivenUp(RuntimeError):
    """The search ends this trial before its last step."""


def end_quietly() -> None:
    """Let Ctrl-C, SIGTERM and SIGUSR1 end this script with status 128 + signal, without a traceback.

    Called before the imports that take seconds. While the script imports a module the process ends at once, for a
    library may make anything of an exception there; else KeyboardInterrupt is raised. Ignored signals stay ignored.
    """
    signals: list[int] = []

    def interrupt(number: int, frame: FrameType | None) -> None:
        signals.append(number)
        inner = ""
        while frame is not None:
            name = frame.f_globals.get("__name__", "")
            if (inner, name) == ("importlib._bootstrap", "__main__"):
                os._exit(128 + number)
            inner, frame = name, frame.f_back
        raise KeyboardInterrupt

    def show(*error: Any) -> None:
        if signals:
            raise SystemExit(128 + signals[0])
        sys.__excepthook__(*error)

    _handle(interrupt)
    sys.excepthook = show


@contextmanager
def interruptible() -> Iterator[list[int]]:
    """Make SIGTERM and SIGUSR1 end this block as Ctrl-C does; yield the list of the signals that came."""
    signals: list[int] = []

    def interrupt(number: int, _: FrameType | None) -> None:
        signals.append(number)
        raise KeyboardInterrupt

    before = _handle(interrupt)
    try:
        yield signals
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run_job(cfg: "DictConfig") -> "JobResult":
    """Check a configuration and train its run, print what was measured, return exit status and reason.

    0 when the record is written or a search gave the trial up, 1 on a failed run, 2 on a bad configuration. A run
    that can go on: 75 at its time limit, 130 on Ctrl-C, 143 on SIGTERM, 138 on SIGUSR1. An error of
    another kind is raised.
    """
    from wise_lra.config import ConfigurationError, check
    from wise_lra.results.reading import one_line
    from wise_lra.runs.job import OUT_OF_TIME, JobResult

    try:
        check(cfg)
    except ConfigurationError as error:
        return JobResult(2, one_line(error))
    from hydra.errors import InstantiationException  # here, for torch and Lightning take seconds to import
    from pytorch_lightning.utilities.memory import is_oom_error

    from wise_lra import train
    from wise_lra.runs.lock import AlreadyRunning
    from wise_lra.training import Diverged

    signals: list[int] = []
    try:
        with interruptible() as signals:
            if cfg.test and not cfg.get("trial"):
                record = train.train(cfg)
                accuracy, floor = record.metrics["test_accuracy"], record.data["majority"]
                print(
                    f"{record.label} {record.backbone} {record.attention} seed {record.seed}: test accuracy "
                    f"{100 * accuracy:.2f} % of {record.metrics['test_examples']:,} (majority class "
                    f"{100 * floor:.2f} %), {record.parameters:,} parameters, {record.seconds['total']:.0f} s"
                )
            else:
                accuracy = _validated(cfg)
                print(
                    f"validation accuracy {100 * accuracy:.2f} %; the test set was not read, no record is written"
                )
            return JobResult(0)
    except GivenUp as error:
        return JobResult(0, str(error))
    except KeyboardInterrupt:
        status = 128 + signals[0] if signals else 130
        return JobResult(status, "stopped; the same command goes on from the last validation")
    except OutOfTime as error:
        return JobResult(OUT_OF_TIME, str(error))
    except (train.Refused, AlreadyRunning, Diverged, ValueError, InstantiationException) as error:
        return JobResult(1, one_line(error))
    except OSError as error:  # a full disk names no file
        unnamed = error.errno is not None and error.filename is None
        return JobResult(1, one_line(error) + f", below runs={cfg.runs} or records={cfg.records}" * unnamed)
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and not is_oom_error(error):
            raise
        less = "recipe.batch_size, trainer.micro_batch, trainer.mlp_chunk, model.d_model or task.length"
        return JobResult(1, f"memory does not suffice ({one_line(error)}): lower {less}")


def _validated(cfg: "DictConfig") -> float:
    """Return the best validation accuracy of a run, and report it to the search if the run is a trial."""
    from wise_lra.train import validate

    if not (trial := cfg.get("trial")):
        return validate(cfg)
    from wise_lra.runs.study import Reported

    reported = Reported(trial)
    accuracy = validate(cfg, [reported])
    reported.finish(accuracy)
    return accuracy


def _handle(handler: Callable[[int, FrameType | None], None]) -> dict[signal.Signals, Any]:
    """Set the handler of the signals that are not ignored; return those from before."""
    heard = [number for number in _SIGNALS if signal.getsignal(number) != signal.SIG_IGN]
    return {number: signal.signal(number, handler) for number in heard}
