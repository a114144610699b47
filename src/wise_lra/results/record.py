"""The record of one run: what was run, on what, and what came out. One JSON file, written once."""

import dataclasses
import json
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from wise_lra.results.atomic import write_text
from wise_lra.results.reading import one_line, printable, read_json

SCHEMA = 1
SLUG = re.compile(r"[A-Za-z0-9_-]+")
SPLITS = ("train", "validation", "test")
KEYS = {
    "data": ("source", "sha256", "counts", "length", "majority"),
    "metrics": (
        *("test_accuracy", "test_loss", "test_examples"),
        *("validation_accuracy", "validation_loss", "best_step"),
    ),
    "budget": ("steps", "batch_size", "examples"),
    "seconds": ("train", "validation", "test", "total"),
}


@dataclass(frozen=True, kw_only=True)
class Record:
    """One run: a cell of the grid (task x backbone x attention) at one preset and seed.

    Accuracies and `data["majority"]` (share of the commonest class in test) are in [0, 1]; times are in
    seconds, memory in bytes, `started` and `finished` ISO 8601 in UTC. `variant` is "" for the data of the
    Long Range Arena itself, else what replaced it ("stand-in", "sample", "easy"). `comparable` says that data
    and length are the Arena's, so that a published number may stand beside this one. A loss that is not
    finite is kept as None, for JSON has no NaN. Raises ValueError or TypeError naming field and value.
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
        _expect(self.schema == SCHEMA, "schema", self.schema, f"{SCHEMA}")
        for name in ("preset", "task", "backbone", "attention"):
            _expect_slug(name, getattr(self, name))
        _expect("-" not in self.task, "task", self.task, "no hyphen: in paths it parts task and variant")
        if self.variant:
            _expect_slug("variant", self.variant)
        for name in ("comparable", "dirty"):
            _expect(isinstance(getattr(self, name), bool), name, getattr(self, name), "true or false")
        for name, keys in KEYS.items():
            value = getattr(self, name)
            _expect(isinstance(value, dict), name, value, "a mapping")
            for key in keys:
                _expect(key in value, name, value, f"the key {key!r}, with {', '.join(keys)}")
        for name in ("protocol", "device", "precision", "commit", "data.source", "data.sha256"):
            _expect_text(name, self._at(name))
        for name in ("seed", "steps", "parameters", "metrics.best_step", "budget.examples"):
            _expect_count(name, self._at(name), 0)
        for name in ("budget.steps", "budget.batch_size", "data.length", "metrics.test_examples"):
            _expect_count(name, self._at(name), 1)
        for name in ("versions", "config", "data.counts"):
            _expect(isinstance(self._at(name), dict), name, self._at(name), "a mapping")
        for split in SPLITS:
            _expect_count(f"data.counts.{split}", self.data["counts"].get(split), 1)
        for name in ("metrics.test_accuracy", "metrics.validation_accuracy", "data.majority"):
            _expect_share(name, self._at(name))
        for name in (*(f"seconds.{phase}" for phase in KEYS["seconds"]), "tokens_per_second"):
            _expect_amount(name, self._at(name))
        for name in ("metrics.test_loss", "metrics.validation_loss"):
            _expect_number(name, self._at(name))
        if self.peak_memory_bytes is not None:
            _expect_count("peak_memory_bytes", self.peak_memory_bytes, 0)
        if self.wandb_id is not None:
            _expect_text("wandb_id", self.wandb_id)
        _expect(isinstance(self.history, list), "history", self.history, "a list")
        for point in self.history:
            _expect(isinstance(point, dict), "history", point, "a mapping for each validation")
            _expect_count("history.step", point.get("step"), 0)
            for name, value in point.items():
                _expect_number(f"history.{name}", value)
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

    def path(self, root: Path | str) -> Path:
        """Return <root>/<preset>/<task>/<backbone>/<attention>/seed<k>.json, the one place of this record."""
        return Path(root, self.preset, self.folder, self.backbone, self.attention, f"seed{self.seed}.json")

    def write(self, root: Path | str, overwrite: bool = False) -> Path:
        """Write the record to `path(root)`, whole or not at all, and return that path.

        Raises FileExistsError if a record is there and `overwrite` is false, even when two runs end at once.
        """
        path = self.path(root)
        try:
            write_text(path, self.to_json(), overwrite)
        except FileExistsError:
            message = f"{path}: a record of this run exists; remove it, or pass overwrite=True to replace it"
            raise FileExistsError(message) from None
        return path

    def to_json(self) -> str:
        """Return the record as JSON, schema first, then the fields in order; a history point is one line."""
        names = ["schema"] + [field.name for field in dataclasses.fields(self) if field.name != "schema"]
        lines = [f"  {json.dumps(name)}: {_indented(name, getattr(self, name))}" for name in names]
        return "{\n" + ",\n".join(lines) + "\n}\n"

    def _at(self, name: str) -> Any:
        field, _, key = name.partition(".")
        return getattr(self, field)[key] if key else getattr(self, field)

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> Self:
        """Build a record of a parsed JSON object; ValueError names a missing or bad field.

        Fields that this version does not know are left out; a missing one that has a default takes it.
        """
        _expect(
            mapping.get("schema") == SCHEMA, "schema", mapping.get("schema"), f"{SCHEMA}, of this version"
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

    def refuse(error: Exception) -> None:
        if faults is None:
            raise error
        faults.append(one_line(error))

    def unread(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            refuse(error)

    for path in sorted(
        Path(folder, name)
        for folder, folders, files in os.walk(root, onerror=unread)
        for name in (*folders, *files)
        if name.endswith(".json")
    ):
        try:
            record = read(path)
            if path != record.path(root):
                raise ValueError(
                    f"{path}: holds the record of {record.path(root)}; move it there or remove it"
                )
            records.append(record)
        except (ValueError, OSError) as error:
            refuse(error)
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


def _expect(true: bool, name: str, value: Any, expected: str) -> None:
    if not true:
        raise ValueError(f"{name}={value!r}: expected {expected}")


def _expect_slug(name: str, value: Any) -> None:
    ok = isinstance(value, str) and SLUG.fullmatch(value) is not None
    _expect(ok, name, value, "letters, digits, '-' and '_' only, for it becomes part of a path")


def _expect_text(name: str, value: Any) -> None:
    _expect(isinstance(value, str) and value != "", name, value, "a text that is not empty")


def _expect_count(name: str, value: Any, least: int) -> None:
    ok = isinstance(value, int) and not isinstance(value, bool) and least <= value < 2**63
    _expect(ok, name, value, f"an integer, {least} or more and below 2**63")


def _expect_amount(name: str, value: Any) -> None:
    _expect(_is_number(value) and value >= 0, name, value, "a number, 0 or more")


def _expect_number(name: str, value: Any) -> None:
    _expect(value is None or _is_number(value), name, value, "a number, or null")


def _expect_share(name: str, value: Any) -> None:
    _expect(_is_number(value) and 0 <= value <= 1, name, value, "a share in [0, 1], not per cent")


def _expect_utc(name: str, value: Any) -> None:
    try:
        offset = datetime.fromisoformat(value).utcoffset()
    except (TypeError, ValueError):
        offset = None
    _expect(offset is not None and not offset, name, value, "ISO 8601 in UTC, as 2026-01-31T12:00:00+00:00")


def _is_number(value: Any) -> bool:
    return isinstance(value, float) or (
        isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63
    )
