"""What a preset with changed settings has that the preset has not, told from the configurations in records."""

from collections.abc import Iterator, Sequence
from typing import Any

from wise_lra.results.columns import Column
from wise_lra.results.record import Record

APART = ("seed", "preset", "trainer")  # what differs between runs of one setting, or is its name


def differing(changed: Sequence[Column], own: Sequence[Column]) -> list[str]:
    """Return "recipe.steps=50 (240)" for each setting of a run that the preset's own run has otherwise.

    Compared with the first run of the preset that shares task, backbone and attention; [] where none does. A
    value that the configuration repeats, as the model does the attention's, is told once, at its shortest key.
    """
    runs = {_place(record): record for column in own for record in column.records}
    for record in (record for column in changed for record in column.records):
        if other := runs.get(_place(record)):
            return _differences(dict(_leaves(record.config)), dict(_leaves(other.config)))
    return []


def _differences(ours: dict[str, Any], other: dict[str, Any]) -> list[str]:
    told: dict[tuple[str, str], str] = {}
    for key in sorted(ours.keys() | other.keys(), key=lambda key: (key.count("."), key)):
        has, had = (str(config.get(key, "none")) for config in (ours, other))
        if has != had:
            told.setdefault((key.rpartition(".")[2], has), f"{key}={has} ({had})")
    return list(told.values())


def _place(record: Record) -> tuple[str, str, str]:
    return record.task, record.backbone, record.attention


def _leaves(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in node.items():
        if not path and key in APART:
            continue
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", value
