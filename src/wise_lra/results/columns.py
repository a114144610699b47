"""The columns of a table: which records stand together, which are left out, and why."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from wise_lra.registry import TASKS
from wise_lra.results.record import Record

BLACK_IS_PADDING = "black pixels are padding"
"""What the protocol of a run says where token 0 of images is masked, as in LRA's code."""


@dataclass(frozen=True)
class Column:
    """A task on one kind of data. All its records share data, length, protocol and budget.

    Either all were run from committed code, or none was.
    """

    task: str
    variant: str
    records: tuple[Record, ...]

    @property
    def label(self) -> str:
        """The header, with what differs from LRA: "text", or "text (stand-in, 512 bytes)"."""
        differs = ", ".join(filter(None, (self.variant, self._other_length)))
        return f"{self.task} ({differs})" if differs else self.task

    @property
    def comparable(self) -> bool:
        """Whether a published number may stand in this column: data and length are LRA's."""
        return bool(self.records) and self.label == self.task and self.records[0].comparable

    @property
    def _other_length(self) -> str:
        """The length of a document where it is not LRA's, else ""."""
        if not self.records or self.task not in TASKS:
            return ""
        length, lra = self.records[0].data["length"], TASKS[self.task]
        return "" if length == lra.length else f"{length:,} {lra.unit}"

    @property
    def masks_black(self) -> bool:
        """Whether black pixels are masked as padding is."""
        return bool(self.records) and BLACK_IS_PADDING in self.records[0].protocol

    @property
    def majority(self) -> float | None:
        """The share of the commonest class in test: what guessing gets."""
        return self.records[0].data["majority"] if self.records else None


def columns_of(records: Sequence[Record]) -> tuple[tuple[Column, ...], list[str]]:
    """Return the columns of one preset, the five tasks always among them, and a sentence on all left out.

    A task has a column for each of its variants; other tasks than the five come last.
    """
    groups: dict[tuple[str, str], list[Record]] = {(task, ""): [] for task in TASKS}
    for record in records:
        groups.setdefault((record.task, record.variant), []).append(record)
    with_records = {task for (task, _), group in groups.items() if group}
    columns, left_out = [], []
    for task, variant in sorted(groups, key=lambda key: (rank(key[0], TASKS), key)):
        group = groups[task, variant]
        if group or task not in with_records:
            kept, sentences = _of_one_setting(group)
            columns.append(Column(task, variant, tuple(kept)))
            left_out += sentences
    return tuple(columns), left_out


def averaged(columns: Sequence[Column]) -> tuple[int, ...]:
    """Return a column's index for each of the five tasks: of variants the fullest, LRA's own if equal.

    Fuller has more models, or as many and more seeds of the one that has the fewest.
    """

    def fullness(index: int) -> tuple[int, int, bool]:
        column = columns[index]
        seeds = Counter((record.backbone, record.attention) for record in column.records)
        return len(seeds), min(seeds.values(), default=0), not column.variant

    of_task = {task: [i for i, column in enumerate(columns) if column.task == task] for task in TASKS}
    return tuple(max(indices, key=fullness) for indices in of_task.values())


def rank(name: str, order: Iterable[str]) -> tuple[int, str]:
    """Return a sort key: the names of `order` in its order, then all others by name."""
    names = list(order)
    return (names.index(name) if name in names else len(names), name)


def _setting(record: Record) -> tuple[tuple[str, object], ...]:
    """What all records of a column must share."""
    return (
        ("data", record.data["sha256"][:12]),
        ("length", record.data["length"]),
        ("protocol", record.protocol),
        ("steps", record.budget["steps"]),
        ("batch size", record.budget["batch_size"]),
        ("comparable", record.comparable),
        ("uncommitted changes", record.dirty),
    )


def _of_one_setting(records: Sequence[Record]) -> tuple[list[Record], list[str]]:
    """Keep the finished records of the commonest setting, the newest of equally common ones.

    Settings run with uncommitted changes are looked at only where there is no other.
    """
    finished = [record for record in records if record.steps >= record.budget["steps"]]
    finished = [record for record in finished if not record.dirty] or finished
    counts = Counter(map(_setting, finished))
    newest = {_setting(record): record.finished for record in sorted(finished, key=lambda r: r.finished)}
    kept = max(counts, key=lambda setting: (counts[setting], newest[setting]), default=())
    reasons: dict[str, list[str]] = defaultdict(list)
    for record in records:
        if reason := _why_apart(record, kept):
            reasons[reason].append(f"{record.backbone} {record.attention} seed {record.seed}")
    sentences = [f"Left out of {records[0].label}: {_some(who)} ({why})." for why, who in reasons.items()]
    return [record for record in records if not _why_apart(record, kept)], sentences


def _why_apart(record: Record, kept: tuple[tuple[str, object], ...]) -> str:
    """Say why a record may not stand in a column of the setting `kept`; empty if it may."""
    if record.steps < record.budget["steps"]:
        return f"stopped at step {record.steps:,} of {record.budget['steps']:,}"
    pairs = zip(_setting(record), kept, strict=True)
    return ", ".join(
        f"{name} {has}, the column has {want}" for (name, has), (_, want) in pairs if has != want
    )


def _some(names: Sequence[str], limit: int = 6) -> str:
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
