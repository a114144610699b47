"""RunKey: which run. Its name, and the paths of its record and its folder."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from wise_lra.results.record import SLUG


@dataclass(frozen=True, kw_only=True)
class RunKey:
    """Preset, task, backbone, attention and seed. `variant` is "" for LRA's own data, else what replaced it."""

    preset: str
    task: str
    variant: str = ""
    backbone: str
    attention: str
    seed: int

    def __str__(self) -> str:
        """Return the run as a terminal shows it: "quick/text-stand-in/fnet/none/seed0"."""
        return f"{self.preset}/{self.name}"

    @property
    def name(self) -> str:
        """The run below its preset: "text-stand-in/fnet/none/seed0"."""
        task = f"{self.task}-{self.variant}" if self.variant else self.task
        return f"{task}/{self.backbone}/{self.attention}/seed{self.seed}"

    @property
    def model(self) -> tuple[str, str, str]:
        """What the run shares with other seeds: task, backbone, attention."""
        return self.task, self.backbone, self.attention

    def record(self, records: Path) -> Path:
        """Return the path of its record, the same as `Record.path`."""
        return records / self.preset / f"{self.name}.json"

    def folder(self, runs: Path) -> Path:
        """Return the folder of its checkpoints, log and progress."""
        return runs / self.preset / self.name


def on_disk(preset: str, records: Path, runs: Path) -> list[RunKey]:
    """Return the runs of a preset that have a record or a folder, ordered by seed and name."""
    keys = set()
    for root, suffix in ((records / preset, ".json"), (runs / preset, "")):
        named = re.compile(rf"({SLUG.pattern}/){{3}}seed\d+{re.escape(suffix)}", re.ASCII)
        for path in root.glob(f"*/*/*/seed*{suffix}"):
            if named.fullmatch(path.relative_to(root).as_posix()):
                task, backbone, attention, seed = path.relative_to(root).with_suffix("").parts
                task, _, variant = task.partition("-")
                axes = {"task": task, "variant": variant, "backbone": backbone, "attention": attention}
                keys.add(RunKey(preset=preset, seed=int(seed.removeprefix("seed")), **axes))
    return sorted(keys, key=lambda key: (key.seed, key.name))


def variants_on_disk(preset: str, tasks: Iterable[str], records: Path, runs: Path) -> dict[str, str]:
    """Return the variant of the data that the runs on disk of each task have, "" where there are none."""
    there = on_disk(preset, records, runs)
    return {task: min((key.variant for key in there if key.task == task), default="") for task in tasks}
