"""How a run stands while it runs: `progress.json` in its folder, rewritten by it about once a second."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from wise_lra.results.reading import read_json

PROGRESS = "progress.json"
PHASES = ("start", "train", "validation", "test")


@dataclass(frozen=True)
class Progress:
    """What a run last said. Accuracy is the last on validation, in [0, 1]; times in seconds, None if unknown."""

    phase: str = "start"
    step: int = 0
    steps: int = 0
    loss: float | None = None
    accuracy: float | None = None
    seconds: float | None = None
    seconds_left: float | None = None

    @property
    def share(self) -> float:
        """The part of the steps that is done, in [0, 1]."""
        return min(max(self.step / self.steps, 0.0), 1.0) if self.steps > 0 else 0.0

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Return what stands in `folder`; a file that is absent or unfit to read says nothing, raises nothing."""
        try:
            found = read_json(folder / PROGRESS, "progress")
        except (OSError, ValueError):
            return cls()
        phase = found.get("phase")
        return cls(
            phase if isinstance(phase, str) and phase in PHASES else "start",
            int(_number(found.get("step")) or 0),
            int(_number(found.get("steps")) or 0),
            *(_number(found.get(name)) for name in ("loss", "accuracy", "seconds", "seconds_left")),
        )


def _number(value: Any) -> float | None:
    sound = isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 2**63
    return float(value) if sound else None
