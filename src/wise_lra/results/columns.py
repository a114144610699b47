"""The columns of a table: which records share one, and which are left out and why."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from wise_lra.registry import TASKS, Method, rank
from wise_lra.results.record import Record

BLACK_IS_PADDING = "black pixels are padding"
"""What the protocol of a run says where token 0 of images is masked, as in LRA's code."""

Setting = dict[str, object]
"""What all records of a column must share."""


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
        differs = [self.variant] if self.variant else []
        if self.records and self.task in TASKS:
            length, lra = self.records[0].data["length"], TASKS[self.task]
            differs += [f"{length:,} {lra.unit}"] if length != lra.length else []
        return f"{self.task} ({', '.join(differs)})" if differs else self.task

    @property
    def comparable(self) -> bool:
        """Whether a published number may stand in this column: data and length are LRA's."""
        return bool(self.records) and self.label == self.task and self.records[0].comparable

    @property
    def masks_black(self) -> bool:
        """Whether black pixels are masked as padding is."""
        return bool(self.records) and BLACK_IS_PADDING in self.records[0].protocol

    @property
    def majority(self) -> float | None:
        """The share of the commonest class in test: what guessing gets."""
        return self.records[0].data["majority"] if self.records else None

    def by_seed(self, method: Method) -> dict[int, Record]:
        """Return the records of a row in this column, a seed each."""
        return {record.seed: record for record in self.records if record.method == method}


def columns_of(records: Sequence[Record]) -> tuple[tuple[Column, ...], list[str]]:
    """Return the columns of one preset, the five tasks always among them, and a sentence on all left out.

    A task has a column for each of its variants; other tasks than the five come last.
    """
    groups: dict[tuple[str, str], list[Record]] = defaultdict(list)
    for record in records:
        groups[record.task, record.variant].append(record)
    groups |= {(task, ""): [] for task in TASKS.keys() - {task for task, _ in groups}}
    columns, left_out = [], []
    for task, variant in sorted(groups, key=lambda key: (rank(key[0], TASKS), key)):
        own, sentences = _of_one_setting(groups[task, variant])
        columns.append(Column(task, variant, tuple(own)))
        left_out += sentences
    return tuple(columns), left_out


def averaged(columns: Sequence[Column]) -> list[Column]:
    """Return a column for each of the five tasks: of variants the fullest, LRA's own if equal.

    Fuller has more models, or as many and more seeds of the one that has the fewest.
    """

    def fullness(column: Column) -> tuple[int, int, bool]:
        seeds = Counter(record.method for record in column.records)
        return len(seeds), min(seeds.values(), default=0), not column.variant

    return [max((column for column in columns if column.task == task), key=fullness) for task in TASKS]


def _setting(record: Record) -> Setting:
    return {
        "data": record.data["sha256"][:12],
        "length": record.data["length"],
        "protocol": record.protocol,
        "steps": record.budget["steps"],
        "batch size": record.budget["batch_size"],
        "comparable": record.comparable,
        "uncommitted changes": record.dirty,
    }


def _of_one_setting(records: Sequence[Record]) -> tuple[list[Record], list[str]]:
    """Return the finished records of the commonest setting, the newest of equally common ones; and who is left out.

    Settings run with uncommitted changes are looked at only where there is no other.
    """
    finished = [record for record in records if record.steps >= record.budget["steps"]]
    finished = [record for record in finished if not record.dirty] or finished
    settings = [_setting(record) for record in sorted(finished, key=lambda record: record.finished)]
    newest = enumerate(settings)
    _, chosen = max(newest, key=lambda item: (settings.count(item[1]), item[0]), default=(0, {}))
    stays, reasons = [], defaultdict(list)
    for record in records:
        if reason := _why_not(record, chosen):
            reasons[reason].append(f"{record.backbone} {record.attention} seed {record.seed}")
        else:
            stays.append(record)
    return stays, [f"Left out of {records[0].label}: {_some(who)} ({why})." for why, who in reasons.items()]


def _why_not(record: Record, setting: Setting) -> str:
    """Say why a record may not stand in a column of a setting; empty if it may."""
    if record.steps < record.budget["steps"]:
        return f"stopped at step {record.steps:,} of {record.budget['steps']:,}"
    own = _setting(record)
    differs = [name for name, value in setting.items() if own[name] != value]
    return ", ".join(f"{name} {own[name]}, the column has {setting[name]}" for name in differs)


def _some(names: Sequence[str], limit: int = 6) -> str:
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
