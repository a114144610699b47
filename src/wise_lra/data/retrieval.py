"""Retrieval: two scientific articles, byte by byte, and whether one cites the other.

Source: Radev et al., The ACL Anthology Network (2013); Tay et al. (arXiv 2011.04006, section 2.2.3);
long-range-arena, lra_benchmarks/matching/input_pipeline.py. Token ids are those of Text, byte + 1.
"""

import ast
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from wise_lra.data.archive import lines, members, naming
from wise_lra.data.download import Progress
from wise_lra.data.release import archive, folders
from wise_lra.data.task import Example
from wise_lra.data.text import encode

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
KEPT = 10_000  # bytes of an article that LRA keeps before it cuts to the length

EXPECTED = f"{', '.join(FILES.values())} or an archive of them"

_SAMPLES = ("aan_sample", "aan_sample.tar.xz")
_LARGEST, _TOTAL = 1 << 24, 1 << 28  # bytes of a text of the sample and of all, which are in memory
_REPR = re.compile(rb"""b(['"]).*\1""", re.DOTALL)
_ESCAPE = rb"""\\(?:[\\'"nrt]|x[0-9a-fA-F]{2})"""
_ONE = re.compile(rb"""b(?:'(?:[^'\\]|%b)*+'|"(?:[^"\\]|%b)*+")""" % (_ESCAPE, _ESCAPE))


def find(place: Path) -> Path | None:
    """Return the pairs in a folder or at it: LRA's, unpacked or in the release, else the sample of ACL papers."""
    for folder in folders(place, "tsv_data"):
        if all((folder / name).is_file() for name in FILES.values()):
            return folder
    samples = (place if place.name in _SAMPLES else place / name for name in _SAMPLES)
    return archive(place) or next((path for path in samples if path.exists()), None)


def sampled(path: Path) -> bool:
    """Tell the sample of ACL papers from LRA's pairs: results on it are not LRA's."""
    return path.name.startswith("aan_sample") or any((path / name).exists() for name in SAMPLE_FILES.values())


def read(
    path: Path,
    limit: int = 4000,
    rejected: Counter[str] | None = None,
    progress: Progress | None = None,
) -> Iterator[Example]:
    """Yield the pairs of LRA's new_aan_pairs.{train,eval,test}.tsv or of the sample; class 1 is a citation.

    Order: within a split that of its lines; the splits as they lie in the archive, or by file name. LRA's
    archive is read no further than its third file, and only the first file of each name counts.
    A label is read as a number, as LRA reads it, and is 0 or 1.
    Both documents are uint16 (length,), the first `limit` bytes of the first 10,000. Bytes are not decoded:
    text that is not UTF-8 is kept, as LRA keeps it. One written as Python's b'...' is turned back into bytes.
    `rejected` counts the lines left out, by reason.
    Raises ValueError on a broken archive, and if one of the three files is not there.
    """
    yield from examples(pairs(path, progress), limit, Counter() if rejected is None else rejected)


def examples(
    found: Iterable[tuple[str, list[bytes]]], limit: int, rejected: Counter[str]
) -> Iterator[Example]:
    """Yield the examples in (split, fields of a line); the lines that are none are counted by reason."""
    for split, fields in found:
        try:
            made = example(split, fields, limit)
        except ValueError as error:
            rejected[str(error)] += 1
        else:
            yield made


def pairs(path: Path, progress: Progress | None = None) -> Iterator[tuple[str, list[bytes]]]:
    """Yield (split, the five fields) for every line, good or bad. Raises ValueError as `read` does."""
    return _sample(path, progress) if sampled(path) else _release(path, progress)


def _release(path: Path, progress: Progress | None) -> Iterator[tuple[str, list[bytes]]]:
    """Yield (split, fields) for every line of LRA's three files."""
    missing = {name: split for split, name in FILES.items()}
    with naming(path):
        for name, content in members(path, lambda name: PurePosixPath(name).name in missing, progress):
            split = missing.pop(PurePosixPath(name).name)
            for _, line in lines(content, path / name):
                yield split, line.split(b"\t", 5)
            if not missing:
                return
    raise ValueError(f"{path}: {', '.join(missing)} not found; expected {', '.join(FILES.values())}")


def _sample(path: Path, progress: Progress | None) -> Iterator[tuple[str, list[bytes]]]:
    """Yield (split, fields) for every pair of the sample, its ids joined with texts/<id>.txt."""
    names = {name: split for split, name in SAMPLE_FILES.items()}
    texts: dict[bytes, bytes] = {}
    pairs: dict[str, list[bytes]] = {}

    def wanted(name: str) -> bool:
        return name.endswith(".txt") or PurePosixPath(name).name in names

    with naming(path):
        for name, content in members(path, wanted, progress, _LARGEST, _TOTAL):
            place = PurePosixPath(name)
            if place.name in names:
                pairs[names[place.name]] = [line for _, line in lines(content, path / name)]
            elif place.parent.name == "texts":
                texts[place.stem.encode()] = content.read().rstrip(b"\n")
    if missing := [name for name, split in names.items() if split not in pairs]:
        raise ValueError(
            f"{path}: {', '.join(missing)} not found; expected texts/*.txt and {', '.join(names)}"
        )
    for split in FILES:
        for line in pairs[split]:
            fields = line.split(b"\t", 3)
            yield split, fields + [texts.get(identity, b"") for identity in fields[1:]]


def example(split: str, fields: list[bytes], limit: int) -> Example:
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
