"""The record of one run: what was run, on what, and the result. One JSON file, written once."""

import dataclasses
import json
import math
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple, Self

from wise_lra.results.atomic import write_text
from wise_lra.results.reading import one_line, printable, read_json

SCHEMA = 1
SLUG = re.compile(r"[A-Za-z0-9_-]+")
SPLITS = ("train", "validation", "test")


class _Kind(NamedTuple):
    """What a value must be: its types, limits of a number, pattern of a text, and whether it may be null."""

    types: tuple[type, ...]
    words: str
    least: float = -sys.float_info.max
    most: float = sys.float_info.max
    pattern: str = ".+"
    null: bool = False

    def fits(self, value: Any) -> bool:
        """Tell whether a value is one; true and false are no numbers."""
        if value is None or type(value) not in self.types:
            return value is None and self.null
        if isinstance(value, str):
            return re.fullmatch(self.pattern, value, re.DOTALL) is not None
        return not isinstance(value, (int, float)) or self.least <= value <= self.most


_LARGEST = 2**63 - 1
_SLUG = _Kind((str,), "letters, digits, '-' and '_' only: it is part of a path", pattern=SLUG.pattern)
_TEXT = _Kind((str,), "a text that is not empty")
_COUNT = _Kind((int,), "a whole number, 0 or more and below 2**63", 0, _LARGEST)
_POSITIVE = _Kind((int,), "a whole number, 1 or more and below 2**63", 1, _LARGEST)
_NUMBER = _Kind((int, float), "a number, or null", null=True)
_AMOUNT = _Kind((int, float), "a number, 0 or more", 0)
_SHARE = _Kind((int, float), "a share in [0, 1], not per cent", 0, 1)
_MAPPING = _Kind((dict,), "a mapping")
_FIELDS = {
    "schema": _Kind((int,), f"{SCHEMA}, the schema of this version", SCHEMA, SCHEMA),
    **dict.fromkeys(("preset", "backbone", "attention"), _SLUG),
    "task": _Kind(
        (str,), "letters, digits and '_': '-' begins the variant in a path", pattern="[A-Za-z0-9_]+"
    ),
    "variant": _SLUG._replace(pattern=f"({SLUG.pattern})?"),
    **dict.fromkeys(("comparable", "dirty"), _Kind((bool,), "true or false")),
    **dict.fromkeys(("protocol", "device", "precision", "commit", "data.source", "data.sha256"), _TEXT),
    **dict.fromkeys(("seed", "steps", "parameters", "metrics.best_step", "budget.examples"), _COUNT),
    **dict.fromkeys(("budget.steps", "budget.batch_size", "data.length", "metrics.test_examples"), _POSITIVE),
    **dict.fromkeys([f"data.counts.{split}" for split in SPLITS], _POSITIVE),
    **dict.fromkeys(("metrics.test_accuracy", "metrics.validation_accuracy", "data.majority"), _SHARE),
    **dict.fromkeys(("metrics.test_loss", "metrics.validation_loss"), _NUMBER),
    **dict.fromkeys([f"seconds.{phase}" for phase in (*SPLITS, "total")], _AMOUNT),
    "tokens_per_second": _AMOUNT,
    "peak_memory_bytes": _COUNT._replace(null=True),
    "wandb_id": _TEXT._replace(null=True),
    **dict.fromkeys(("versions", "config"), _MAPPING),
    "history": _Kind((list,), "a list of validations"),
}
"""What a record must hold, by dotted name."""


@dataclass(frozen=True, kw_only=True)
class Record:
    """One run: a cell of the grid (task x backbone x attention) at one preset and seed.

    Accuracies and `data["majority"]` (share of the commonest class in test) are in [0, 1]; times are in
    seconds, memory in bytes, `started` and `finished` ISO 8601 in UTC. `variant` is "" for the data of the
    Long Range Arena itself, else what replaced it ("stand-in", "sample", "easy"). `comparable` says that data
    and length are the Arena's, so that a published number may stand beside this one. A loss that is not
    finite is stored as None, because JSON has no NaN. Raises ValueError or TypeError naming field and value.
    """

    preset: str
    task: str
    variant: str = ""
    backbone: str
    attention: str
    seed: int
    protocol: str
    comparable: bool
    data: dict[str, Any]
    metrics: dict[str, Any]
    history: list[dict[str, Any]]
    steps: int
    budget: dict[str, Any]
    parameters: int
    seconds: dict[str, Any]
    tokens_per_second: float
    peak_memory_bytes: int | None
    device: str
    precision: str
    versions: dict[str, Any]
    commit: str
    dirty: bool
    config: dict[str, Any]
    started: str
    finished: str
    wandb_id: str | None = None
    schema: int = SCHEMA

    def __post_init__(self) -> None:
        """Turn every field into what JSON gives back, and refuse what a table could not use."""
        for field in dataclasses.fields(self):
            object.__setattr__(self, field.name, _plain(field.name, getattr(self, field.name)))
        for name, kind in _FIELDS.items():
            value: Any = self.__dict__
            for key in name.split("."):
                if not isinstance(value, dict) or key not in value:
                    raise ValueError(f"{name} is missing: expected {kind.words}")
                value = value[key]
            _expect(name, value, kind)
        for point in self.history:
            _expect("history", point, _MAPPING)
            _expect("history.step", point.get("step"), _COUNT)
            for name, value in point.items():
                _expect(f"history.{name}", value, _NUMBER)
        for name in ("started", "finished"):
            _expect_utc(name, getattr(self, name))

    @property
    def label(self) -> str:
        """The task as a reader must see it: "text", or "text (stand-in)"."""
        return f"{self.task} ({self.variant})" if self.variant else self.task

    @property
    def folder(self) -> str:
        """The task as a path has it: "text", or "text-stand-in"."""
        return f"{self.task}-{self.variant}" if self.variant else self.task

    @property
    def method(self) -> tuple[str, str]:
        """Backbone and attention: the row of a table."""
        return self.backbone, self.attention

    def path(self, root: Path | str) -> Path:
        """Return <root>/<preset>/<task>/<backbone>/<attention>/seed<k>.json, the one place of this record."""
        return Path(root, self.preset, self.folder, self.backbone, self.attention, f"seed{self.seed}.json")

    def write(self, root: Path | str, overwrite: bool = False) -> Path:
        """Write the record to `path(root)`, whole or not at all, and return that path.

        Raises FileExistsError if a record is there and `overwrite` is false, even when two runs end at once.
        """
        path = self.path(root)
        write_text(path, self.to_json(), overwrite)
        return path

    def to_json(self) -> str:
        """Return the record as JSON, schema first, then the fields in order; a history point is one line."""
        names = ["schema"] + [field.name for field in dataclasses.fields(self) if field.name != "schema"]
        lines = [f"  {json.dumps(name)}: {_indented(name, getattr(self, name))}" for name in names]
        return "{\n" + ",\n".join(lines) + "\n}\n"

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> Self:
        """Build a record of a parsed JSON object; ValueError names a missing or bad field.

        Fields that this version does not know are left out; a missing one that has a default takes it.
        """
        if mapping.get("schema") != SCHEMA:
            raise ValueError(
                f"schema={mapping.get('schema')!r}: expected {SCHEMA}, the schema of this version"
            )
        fields = dataclasses.fields(cls)
        required = {field.name for field in fields if field.default is dataclasses.MISSING}
        if missing := sorted(required - set(mapping)):
            raise ValueError(f"a record has more fields; missing here: {missing}")
        return cls(**{field.name: mapping[field.name] for field in fields if field.name in mapping})


def read(path: Path | str) -> Record:
    """Read one record. Raises OSError, and ValueError naming the file if it is not a record of this schema."""
    parsed = read_json(Path(path), "a record")
    try:
        return Record.from_mapping(parsed)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path}: not a record: {error}") from error


def read_all(root: Path | str, faults: list[str] | None = None) -> list[Record]:
    """Read every record under `root`, in the order of their paths; a folder that is not there holds none.

    Raises OSError or ValueError naming a file that is corrupt, of another schema, or not where its contents belong
    (a copy under another name would count one run twice). With `faults` such a file is left out, and the error goes
    there as a line.
    """
    records: list[Record] = []
    unread: list[OSError] = []
    walk = os.walk(root, onerror=unread.append)
    paths = [Path(at, name) for at, folders, files in walk for name in (*folders, *files)]
    errors: list[Exception] = [error for error in unread if not isinstance(error, FileNotFoundError)]
    for path in sorted(path for path in paths if path.suffix == ".json"):
        try:
            record = read(path)
            if path != record.path(root):
                raise ValueError(
                    f"{path}: holds the record of {record.path(root)}; move it there or remove it"
                )
            records.append(record)
        except (ValueError, OSError) as error:
            errors.append(error)
    if errors and faults is None:
        raise errors[0]
    if faults is not None:
        faults += map(one_line, errors)
    return records


def _plain(field: str, value: Any) -> Any:
    """Return `value` as JSON would give it back: lists for tuples, None for NaN; TypeError if it cannot.

    Of texts, which tables and terminals show, control characters become escapes.
    """
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, str):
        return printable(value)
    if value is None or isinstance(value, int):
        return value
    if isinstance(value, Mapping):
        return {printable(str(key)): _plain(f"{field}.{key}", item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(field, item) for item in value]
    raise TypeError(
        f"{field}={value!r}: expected what JSON can hold, got {type(value).__name__}; convert it first"
    )


def _indented(name: str, value: Any) -> str:
    if name == "history" and value:
        return "[\n" + ",\n".join(f"    {json.dumps(point)}" for point in value) + "\n  ]"
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False).replace("\n", "\n  ")


def _expect(name: str, value: Any, kind: _Kind) -> None:
    if not kind.fits(value):
        raise ValueError(f"{name}={value!r}: expected {kind.words}")


def _expect_utc(name: str, value: Any) -> None:
    try:
        if datetime.fromisoformat(value).utcoffset() == timedelta(0):
            return
    except (TypeError, ValueError):
        pass
    raise ValueError(f"{name}={value!r}: expected ISO 8601 in UTC, as 2026-01-31T12:00:00+00:00")
