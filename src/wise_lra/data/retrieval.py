"""Retrieval: two scientific articles, byte by byte, and whether one cites the other.

Source: Radev et al., The ACL Anthology Network (2013); Tay et al. (arXiv 2011.04006, section 2.2.3);
long-range-arena, lra_benchmarks/matching/input_pipeline.py. Token ids are those of Text, byte + 1.
"""

import ast
import io
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from wise_lra.data.archive import files, in_release, lines, tables
from wise_lra.data.download import Progress, silent
from wise_lra.data.task import Example, Task
from wise_lra.data.text import encode
from wise_lra.registry import TASKS

FILES = {
    "train": "new_aan_pairs.train.tsv",
    "validation": "new_aan_pairs.eval.tsv",
    "test": "new_aan_pairs.test.tsv",
}
SAMPLE_FILES = {
    "train": "aan_sample_pairs.train.only_ids.tsv",
    "validation": "aan_sample_pairs.eval.only_ids.tsv",
    "test": "aan_sample_pairs.test.only_ids.tsv",
}
CLASSES = ("unrelated", "related")
KEPT = 10_000  # bytes of an article that LRA keeps before it cuts to the length

LENGTH = TASKS["retrieval"].length
EXPECTED = f"{', '.join(FILES.values())} or an archive of them"

_SAMPLES = ("aan_sample", "aan_sample.tar.xz")
_LARGEST, _TOTAL = 1 << 24, 1 << 28  # bytes of a text of the sample and of all, which are in memory
_REPR = re.compile(rb"""b(['"]).*\1""", re.DOTALL)
_ESCAPE = rb"""\\(?:[\\'"nrt]|x[0-9a-fA-F]{2})"""
_ONE = re.compile(rb"""b(?:'(?:[^'\\]|%b)*+'|"(?:[^"\\]|%b)*+")""" % (_ESCAPE, _ESCAPE))


def find(place: Path) -> Path | None:
    """Return the pairs in a folder or at it: LRA's, unpacked or in the release, else the sample of ACL papers."""
    samples = (place if place.name in _SAMPLES else place / name for name in _SAMPLES)
    found = in_release(
        place, ["tsv_data"], lambda folder: all((folder / name).is_file() for name in FILES.values())
    )
    return found or next((path for path in samples if path.exists()), None)


def sampled(path: Path) -> bool:
    """Tell the sample of ACL papers from LRA's pairs: results on it are not LRA's."""
    return path.name.startswith("aan_sample") or any((path / name).exists() for name in SAMPLE_FILES.values())


def settings(task: Task, protocol: str) -> dict[str, Any]:
    """Return the arguments of `read` that are not LRA's own."""
    return {"limit": task.length} if task.length > LENGTH else {}


def read(
    path: Path, rejected: Counter[str], progress: Progress = silent, limit: int = LENGTH
) -> Iterator[Example]:
    """Yield the pairs of LRA's new_aan_pairs.{train,eval,test}.tsv or of the sample; class 1 is a citation.

    Order: within a split that of its lines; the splits as they lie in the archive, or by file name. LRA's
    archive is read no further than its third file, and only the first file of each name counts.
    A label is read as a number, as LRA reads it, and is 0 or 1.
    Both documents are uint16 (length,), the first `limit` bytes of the first 10,000. Bytes are not decoded:
    text that is not UTF-8 is kept, as LRA keeps it. One written as Python's b'...' is turned back into bytes.
    `rejected` counts the lines left out, by reason.
    Raises ValueError on a broken archive, and FileNotFoundError if one of the three files is not there.
    """
    for split, fields in _sample(path, progress) if sampled(path) else _release(path, progress):
        try:
            example = _example(split, fields, limit)
        except ValueError as error:
            rejected[str(error)] += 1
        else:
            yield example


def _release(path: Path, progress: Progress) -> Iterator[tuple[str, list[bytes]]]:
    """Yield (split, fields) for every line of LRA's three files."""
    splits = {name: split for split, name in FILES.items()}
    for file, found in tables(path, splits, progress):
        for _, line in found:
            yield splits[file.name], line.split(b"\t", 5)


def _sample(path: Path, progress: Progress) -> Iterator[tuple[str, list[bytes]]]:
    """Yield (split, fields) for every pair of the sample, its ids joined with texts/<id>.txt."""
    texts: dict[bytes, bytes] = {}
    pairs: dict[str, bytes] = {}

    def wanted(name: str) -> bool:
        return name.endswith(".txt") or PurePosixPath(name).name in SAMPLE_FILES.values()

    for name, content in files(path, wanted, progress, _LARGEST, _TOTAL):
        place = PurePosixPath(name)
        if place.name in SAMPLE_FILES.values():
            pairs[place.name] = content
        elif place.parent.name == "texts":
            texts[place.stem.encode()] = content.rstrip(b"\n")
    if missing := [name for name in SAMPLE_FILES.values() if name not in pairs]:
        raise FileNotFoundError(
            f"{path}: {', '.join(missing)} not found; expected texts/*.txt and {', '.join(SAMPLE_FILES.values())}"
        )
    for split, name in SAMPLE_FILES.items():
        for _, line in lines(io.BytesIO(pairs[name]), path / name):
            fields = line.split(b"\t", 3)
            yield split, fields + [texts.get(identity, b"") for identity in fields[1:]]


def _example(split: str, fields: list[bytes], limit: int) -> Example:
    """Return the example in the five fields of a line. Raises ValueError with the reason to reject it."""
    if len(fields) != 5:
        raise ValueError("not five columns")
    label, _, _, *texts = fields
    if (number := _number(label)) not in (0, 1):
        raise ValueError("label is not 0.0 or 1.0")
    return Example(split, tuple(encode(_bytes(text)[:KEPT], limit) for text in texts), int(number))


def _number(label: bytes) -> float:
    try:
        return float(label) if len(label) < 100 else -1
    except ValueError:
        return -1


def _bytes(text: bytes) -> bytes:
    """Return a text, read back from Python's b'...' if it is written so. Raises ValueError with a reason."""
    if _REPR.fullmatch(text):
        try:
            if not _ONE.fullmatch(text):  # of several in a row Python's parser nests as many levels
                raise ValueError
            text = ast.literal_eval(text.decode("ascii"))
        except (ValueError, SyntaxError):
            raise ValueError("broken b'...'") from None
    if not text:
        raise ValueError("a text is empty or missing")
    return text
