"""Numbers that others printed, with where they printed them: what our own may be compared with."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from wise_lra.registry import ATTENTIONS, BACKBONES, TASKS

CITATIONS = {
    "lra-readme": "Tay et al., LRA, arXiv 2011.04006 (README of google-research/long-range-arena)",
    "wavspa-readme": "Zhuang et al., WavSpA, arXiv 2210.01989 (README of EvanZhuang/wavspa)",
    "s4-experiments-md": "Gu et al., S4, arXiv 2206.12037 (models/s4/experiments.md of state-spaces/s4)",
}


@dataclass(frozen=True)
class Published:
    """A printed test accuracy, in [0, 1], and the key in CITATIONS of who printed it."""

    accuracy: float
    source: str


Numbers = Mapping[tuple[str, str, str], Published]
"""Backbone, attention and task -> what was printed; no entry where nobody printed one that can be cited."""


def read_published(folder: Path | str) -> dict[tuple[str, str, str], Published]:
    """Return {(backbone, attention, task): Published} of every <folder>/*.csv; see README.md there.

    Printed averages are never read: several do not follow from their rows. Raises ValueError naming file and
    line of a source without citation or of an accuracy that is not per cent.
    """
    numbers: dict[tuple[str, str, str], Published] = {}
    arena = [task for task, known in TASKS.items() if known.reader]  # not one that is ours alone
    for path in sorted(Path(folder).glob("*.csv")):
        with path.open(encoding="utf-8", newline="") as file:
            rows = csv.DictReader(file)
            try:
                if missing := {"source", "model", "space", *arena} - set(rows.fieldnames or ()):
                    raise ValueError(f"the columns {sorted(missing)} are missing")
                for row in rows:
                    numbers |= _cells(row)
            except (ValueError, csv.Error) as error:
                raise ValueError(f"{path}, line {rows.line_num}: {error}") from error
    return numbers


def _cells(row: Mapping[str, str]) -> dict[tuple[str, str, str], Published]:
    source, space = row["source"], row["space"]
    if source not in CITATIONS:
        raise ValueError(f"source={source!r}: expected one of {', '.join(CITATIONS)}; add its citation first")
    if source != ("lra-readme" if space == "token" else "wavspa-readme"):  # the other READMEs reprint LRA's
        return {}
    backbones = [name for name, known in BACKBONES.items() if space and known.space == space]
    attentions = [name for name, known in ATTENTIONS.items() if row["model"] in known.published]
    numbers = {}
    for backbone, attention, task in product(backbones, attentions, TASKS):
        if row.get(task):
            share = round(float(row[task]) / 100, 6)
            if not 0 <= share <= 1:
                raise ValueError(f"{task}={row[task]}: expected an accuracy in per cent, 0 to 100")
            numbers[backbone, attention, task] = Published(share, source)
    return numbers
