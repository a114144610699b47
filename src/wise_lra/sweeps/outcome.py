"""What a job of a sweep says to the sweep when it ends: plain values, for they travel between processes."""

from dataclasses import dataclass
from typing import Any


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


def outcome_of(returned: Any) -> Outcome:
    """Return the outcome that a launcher's `JobReturn` holds; an exception that nobody expected is one too."""
    try:
        value = returned.return_value
    except Exception as error:  # whatever the job raised
        return Outcome(1, f"{type(error).__name__}: {' '.join(str(error).split())}")
    return value if isinstance(value, Outcome) else Outcome(1, f"ended without an outcome but with {value!r}")
