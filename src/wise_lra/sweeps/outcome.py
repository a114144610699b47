"""What a job of a sweep says to the sweep when it ends: plain values, for they travel between processes."""

from dataclasses import dataclass
from typing import Any

from wise_lra.grid.child import OUT_OF_TIME


@dataclass(frozen=True)
class Outcome:
    """How a job ended: exit status (0 is well), the reason if it is not, and the accuracy that a search wants."""

    status: int
    reason: str = ""
    value: float | None = None

    @property
    def stopped(self) -> bool:
        """Whether a signal ended the job, which can then go on."""
        return self.status > 128

    @property
    def failed(self) -> bool:
        """Whether it is over without having come to its end; one that is out of its own time can go on."""
        return self.status not in (0, OUT_OF_TIME)


def outcome_of(returned: Any) -> Outcome:
    """Return the outcome that a launcher's `JobReturn` holds; an exception that nobody expected is one too."""
    try:
        value = returned.return_value
    except Exception as error:  # whatever the job raised
        return Outcome(1, f"{type(error).__name__}: {' '.join(str(error).split())}")
    return value if isinstance(value, Outcome) else Outcome(1, f"ended without an outcome but with {value!r}")
