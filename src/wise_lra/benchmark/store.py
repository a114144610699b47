"""The file of measurements: one JSON a device, written after every case, so that a run that is stopped goes on."""

import hashlib
import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from wise_lra.provenance import commit, device_name, dirty, versions
from wise_lra.results.atomic import write_text

from .case import Case
from .measure import Measured

_PACKAGE = Path(__file__).parents[1]
_DECIDES = ("wavelets", "mixers", "benchmark", "model.py", "training.py")


class Store:
    """The measurements of a device, and which of them are of the code as it is.

    Args:
        folder: where the file is, named after the device.
        device: what is measured on.
        how: what else decides what a case holds, such as how long it may take.

    A case counts as done if it was measured on the same sources (of transform, mixers, model and benchmark), the
    same torch, as many threads, and so.
    """

    def __init__(self, folder: Path, device: torch.device, **how: float) -> None:
        self.name = slug(device_name(device))
        self.path = folder / f"{self.name}.json"
        self.device = device_name(device)
        self.made_by = {
            "sources": sources(),
            "torch": str(torch.__version__),
            "threads": torch.get_num_threads(),
            **how,
        }
        before = json.loads(self.path.read_text(encoding="utf-8")) if self.path.exists() else {}
        self.cases: dict[str, dict[str, Any]] = before.get("cases", {})

    def done(self, case: Case) -> bool:
        """Tell whether the case was measured on the code as it is."""
        return case.key in self.cases and self.cases[case.key]["made_by"] == self.made_by

    def add(self, case: Case, measured: dict[str, Measured], seconds: float) -> None:
        """Keep a case, and write the file."""
        self.cases[case.key] = {
            "section": case.section,
            "setting": dict(case.setting),
            "contenders": {name: one.plain() for name, one in measured.items()},
            "seconds": round(seconds, 1),
            "measured": datetime.now(UTC).isoformat(timespec="seconds"),
            "commit": commit(),
            "dirty": dirty(),
            "made_by": self.made_by,
        }
        everything = {"device": self.device, "versions": versions(), "cases": self.cases}
        write_text(self.path, json.dumps(everything, indent=1, sort_keys=True) + "\n")


def slug(name: str) -> str:
    """Return a device's name as a file's: "AMD EPYC, 1 thread" is "amd-epyc-1-thread"."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def sources() -> str:
    """Return a digest of the sources that decide what is measured."""
    files = [file for part in _DECIDES for file in sorted((_PACKAGE / part).rglob("*.py"))]
    files += [_PACKAGE / part for part in _DECIDES if part.endswith(".py")]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:12]
