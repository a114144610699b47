"""How a run is stopped from outside, by a signal or by its time limit, so that it can go on later."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from pytorch_lightning import Callback, LightningModule, Trainer

_SIGNALS = (signal.SIGTERM, signal.SIGUSR1)


class OutOfTime(RuntimeError):
    """The run's time limit came before its last step."""


class GivenUp(RuntimeError):
    """The search that began the run sees that it comes to nothing."""


@contextmanager
def interruptible() -> Iterator[list[int]]:
    """Make SIGTERM and SIGUSR1 end this block as Ctrl-C does; yield the list of those that came."""
    came: list[int] = []

    def interrupt(number: int, _: FrameType | None) -> None:
        came.append(number)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in _SIGNALS}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class TimeLimit(Callback):
    """Ends a run after a stretch, its checkpoint written, once `limit` ("DD:HH:MM:SS") has passed."""

    def __init__(self, limit: str, steps: int) -> None:
        days, hours, minutes, seconds = map(int, limit.split(":"))
        self.limit, self.steps = limit, steps
        self._end = time.monotonic() + ((days * 24 + hours) * 60 + minutes) * 60 + seconds
        self._over = False

    def on_train_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Look at the clock, for all devices at once."""
        over = trainer.strategy.reduce_boolean_decision(time.monotonic() >= self._end, all=False)
        self._over = over and trainer.global_step < self.steps

    def on_train_epoch_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Raise OutOfTime: Lightning writes a stretch's checkpoint after all other callbacks have seen its end."""
        if self._over:
            raise OutOfTime(
                f"trainer.max_time={self.limit} is over at step {trainer.global_step} of {self.steps}; "
                "the same command goes on from there"
            )
