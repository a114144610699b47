"""Text: IMDB film reviews, byte by byte, positive or negative.

Source: Maas et al., ACL 2011; Tay et al. (arXiv 2011.04006, section 2.2.2). Token ids are those of TFDS'
ByteTextEncoder, byte + 1, so that 0 is left for padding.
"""

import codecs
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from wise_lra.data.archive import files
from wise_lra.data.download import Progress, silent
from wise_lra.data.task import Directory, Example, Task
from wise_lra.registry import TASKS

CLASSES = ("negative", "positive")
PROTOCOLS = ("held-out", "lra")
LENGTH = TASKS["text"].length
EXPECTED = "aclImdb/ or aclImdb_v1.tar.gz"

TFDS = "imdb_reviews"
HOMEPAGE = "http://ai.stanford.edu/~amaas/data/sentiment/"
CITATION = """@inproceedings{maas2011learning,
  title={Learning Word Vectors for Sentiment Analysis},
  author={Maas, Andrew L. and Daly, Raymond E. and Pham, Peter T. and Huang, Dan and
          Ng, Andrew Y. and Potts, Christopher},
  booktitle={Proceedings of ACL-HLT},
  pages={142--150},
  year={2011}
}"""

_FOLDERS = ("neg", "pos")
_NAME = re.compile(r"(?:^|/)(train|test)/(neg|pos)/(\d+)_\d+\.txt$")
_HELD_OUT = 10  # one review in so many, of every class, validates
_LARGEST, _TOTAL = 1 << 20, 1 << 28  # bytes of a review and of all, which are in memory; IMDB has 66 MB


def find(place: Path) -> Path | None:
    """Return the reviews in a folder or at it: `aclImdb/` unpacked, else aclImdb*.tar.gz or .tar.xz."""
    if place.name.startswith("aclImdb"):
        return place if place.exists() else None
    archives = [path for end in ("gz", "xz") for path in sorted(place.glob(f"aclImdb*.tar.{end}"))]
    return next((path for path in (place / "aclImdb", *archives) if path.exists()), None)


def settings(task: Task, protocol: str) -> dict[str, Any]:
    """Return the arguments of `read` that are not LRA's own, but for the protocol."""
    longer = {"limit": task.length} if task.length > LENGTH else {}
    return longer if protocol == "held-out" else {"protocol": protocol} | longer


def read(
    path: Path,
    rejected: Counter[str],
    progress: Progress = silent,
    limit: int = LENGTH,
    protocol: str = "held-out",
) -> Iterator[Example]:
    """Yield the reviews of aclImdb/{train,test}/{neg,pos}/<number>_<rating>.txt, class 1 being positive.

    Order: train, then test; in each by number, and of the same number the negative one first. Token ids are uint16
    (length,), the first `limit` of a review, stripped of white space as TFDS does; see `divided` for the splits.
    `rejected` counts the reviews left out, by reason: of several with the same number the first is taken.
    Raises ValueError on a broken archive, and if one of the four folders has no reviews.
    """
    found: dict[str, dict[tuple[int, str], bytes]] = {"train": {}, "test": {}}
    for name, content in files(path, lambda name: bool(_NAME.search(name)), progress, _LARGEST, _TOTAL):
        split, label, number = _NAME.search(name).groups()  # type: ignore[union-attr]
        if (int(number), label) in found[split]:
            rejected["review with the number of another"] += 1
        else:
            found[split][int(number), label] = content.removeprefix(codecs.BOM_UTF8).strip()
    for split, texts in found.items():
        for label in _FOLDERS:
            if not any(key[1] == label for key in texts):
                raise ValueError(
                    f"{path}: no {split}/{label}/*.txt, expected aclImdb/{{train,test}}/{{neg,pos}}"
                )
        reviews = ((texts[key], _FOLDERS.index(key[1])) for key in sorted(texts))
        yield from divided(split, reviews, rejected, limit, protocol)


def from_tfds(
    data: Directory, rejected: Counter[str], limit: int = LENGTH, protocol: str = "held-out"
) -> Iterator[Example]:
    """Yield the reviews of TFDS' imdb_reviews as `read` does those of the archive.

    TFDS does not tell their numbers, so other ones validate: every tenth of a class in the order of TFDS.
    """
    for split in ("train", "test"):
        reviews = ((row["text"].strip(), int(row["label"])) for row in data.rows(split))
        yield from divided(split, reviews, rejected, limit, protocol)


def divided(
    split: str, reviews: Iterable[tuple[bytes, int]], rejected: Counter[str], limit: int, protocol: str
) -> Iterator[Example]:
    """Yield the reviews of train or of test as examples, some of them for validation.

    Of train, every tenth review of each class validates: 22,500 / 2,500 / 25,000 in all. protocol="lra" trains on
    all of train and yields test twice, as validation too, because LRA did so; for comparison only.
    """
    seen: Counter[int] = Counter()
    for review, label in reviews:
        if not review:
            rejected["empty review"] += 1
            continue
        seen[label] += 1
        held_out = protocol == "held-out" and split == "train" and seen[label] % _HELD_OUT == 0
        tokens = encode(review, limit)
        yield Example("validation" if held_out else split, (tokens,), label)
        if protocol == "lra" and split == "test":
            yield Example("validation", (tokens,), label)


def encode(text: bytes, limit: int) -> np.ndarray:
    """Return the token ids of the first `limit` bytes, uint16 (length,): byte + 1, so 1 to 256."""
    return np.frombuffer(text[:limit], np.uint8).astype(np.uint16) + np.uint16(1)
