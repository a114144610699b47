"""What a user asks of a grid, in words on a command line; an option given as "" counts as not given."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from wise_lra.grid.cells import NONE

TASKS = ("listops", "text", "retrieval", "image", "pathfinder")
BACKBONES = ("vanilla", "fnet", "wise_fixed", "wise_adaptive")
ATTENTIONS = ("softmax",)


@dataclass(frozen=True)
class Wishes:
    """The preset ("" if it was not said) and the axes of a grid; an axis that was not said has its default."""

    preset: str
    tasks: tuple[str, ...]
    backbones: tuple[str, ...]
    attentions: tuple[str, ...]
    seeds: tuple[int, ...]

    @classmethod
    def parsed(cls, said: Mapping[str, str], known: Mapping[str, Sequence[str]]) -> Self:
        """Read preset, tasks, backbones, attentions and seeds; `known` are the names of each but seeds.

        Raises ValueError naming option, value and what was expected.
        """
        presets = chosen("preset", said["preset"], known["preset"], ("",))
        if len(presets) > 1:
            raise ValueError(f"preset={said['preset']!r}: expected one of {', '.join(known['preset'])}")
        held = [name for name in known["attentions"] if name != NONE]
        return cls(
            presets[0],
            chosen("tasks", said["tasks"], known["tasks"], TASKS),
            chosen("backbones", said["backbones"], known["backbones"], BACKBONES),
            chosen("attentions", said["attentions"], held, ATTENTIONS),
            tuple(seeds(said["seeds"])),
        )


def chosen(option: str, text: str, allowed: Sequence[str], default: Sequence[str]) -> tuple[str, ...]:
    """Return the names of "a,b", each once; `default` if there are none. ValueError names one not allowed."""
    names = list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    for name in names:
        if name not in allowed:
            raise ValueError(f"{option}={name!r}: expected some of {', '.join(allowed)}, with commas between")
    return tuple(names or default)


def seeds(text: str) -> list[int]:
    """Return the seeds of "0,1,2" or "0..4" (both ends in it), or of both mixed; [0] if there are none.

    Raises ValueError naming the part that is neither.
    """
    found: dict[int, None] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        match = re.fullmatch(r"(\d{1,9})(?:\.\.(\d{1,9}))?", part)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if first > last or last - first >= 10_000:
            raise ValueError(f"seeds={part!r}: expected numbers as 0,1,2 or a range as 0..4")
        found |= dict.fromkeys(range(first, last + 1))
    return list(found) or [0]
