"""Text: IMDB film reviews, byte by byte, positive or negative.

Source: Maas et al., ACL 2011; Tay et al. (arXiv 2011.04006, section 2.2.2). Token ids are those of TFDS'
ByteTextEncoder, byte + 1, so that 0 is left for padding.
"""

import codecs
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

from wise_lra.data.archive import members, naming
from wise_lra.data.download import Progress
from wise_lra.data.task import Example

CLASSES = ("neg", "pos")
PROTOCOLS = ("held-out", "lra")
EXPECTED = "aclImdb/ or aclImdb_v1.tar.gz"

_NAME = re.compile(r"(?:^|/)(train|test)/(neg|pos)/(\d+)_\d+\.txt$")
_HELD_OUT = 10  # one review in so many, of every class, validates
_LARGEST, _TOTAL = 1 << 20, 1 << 28  # bytes of a review and of all, which are in memory; IMDB has 66 MB


def find(place: Path) -> Path | None:
    """Return the reviews in a folder or at it: `aclImdb/` unpacked, else aclImdb*.tar.gz or .tar.xz."""
    if place.name.startswith("aclImdb"):
        return place if place.exists() else None
    archives = [path for end in ("gz", "xz") for path in sorted(place.glob(f"aclImdb*.tar.{end}"))]
    return next((path for path in (place / "aclImdb", *archives) if path.exists()), None)


def read(
    path: Path,
    limit: int = 4096,
    protocol: str = "held-out",
    rejected: Counter[str] | None = None,
    progress: Progress | None = None,
) -> Iterator[Example]:
    """Yield the reviews of aclImdb/{train,test}/{neg,pos}/<number>_<rating>.txt, class 1 being positive.

    Order: train, then test; in each by number, and of the same number the negative one first. Of train, every
    tenth review of each class validates: 22,500 / 2,500 / 25,000 in all. protocol="lra" trains
    on all of train and yields test twice, as validation too, because LRA did so; for comparison only.
    Token ids are uint16 (length,), the first `limit` of a review, stripped of white space as TFDS does.
    `rejected` counts the reviews left out, by reason.
    Raises ValueError as `reviews` does, and on an unknown protocol.
    """
    _check(protocol)
    rejected = Counter() if rejected is None else rejected
    yield from divided(reviews(path, rejected, progress), limit, protocol, rejected)


def reviews(
    path: Path, rejected: Counter[str], progress: Progress | None = None
) -> dict[str, list[tuple[bytes, int]]]:
    """Return (review, class) of train and of test, in the order that `read` tells.

    Of several reviews with the same number the first is taken, the others are counted in `rejected`.
    Raises ValueError on a broken archive, and if one of the four folders has no reviews.
    """
    found: dict[str, dict[tuple[int, str], bytes]] = {"train": {}, "test": {}}
    with naming(path):
        reviewed = members(path, lambda name: bool(_NAME.search(name)), progress, _LARGEST, _TOTAL)
        for name, content in reviewed:
            if match := _NAME.search(name):
                split, label, number = match.groups()
                if (int(number), label) in found[split]:
                    rejected["review with the number of another"] += 1
                else:
                    review = content.read().removeprefix(codecs.BOM_UTF8)
                    found[split][int(number), label] = review.strip()
    for split, texts in found.items():
        for label in CLASSES:
            if not any(key[1] == label for key in texts):
                raise ValueError(
                    f"{path}: no {split}/{label}/*.txt, expected aclImdb/{{train,test}}/{{neg,pos}}"
                )
    return {
        split: [(texts[key], CLASSES.index(key[1])) for key in sorted(texts)]
        for split, texts in found.items()
    }


def divided(
    found: Mapping[str, Iterable[tuple[bytes, int]]],
    limit: int,
    protocol: str,
    rejected: Counter[str],
) -> Iterator[Example]:
    """Yield the reviews of train and of test as examples, some of train for validation, as `read` tells."""
    _check(protocol)
    for split, texts in found.items():
        seen: Counter[int] = Counter()
        for review, label in texts:
            if not review:
                rejected["empty review"] += 1
                continue
            seen[label] += 1
            held_out = protocol == "held-out" and split == "train" and seen[label] % _HELD_OUT == 0
            tokens = encode(review, limit)
            yield Example("validation" if held_out else split, (tokens,), label)
            if protocol == "lra" and split == "test":
                yield Example("validation", (tokens,), label)


def _check(protocol: str) -> None:
    if protocol not in PROTOCOLS:
        raise ValueError(f"protocol={protocol!r}: expected one of {', '.join(PROTOCOLS)}")


def encode(text: bytes, limit: int) -> np.ndarray:
    """Return the token ids of the first `limit` bytes, uint16 (length,): byte + 1, so 1 to 256."""
    return np.frombuffer(text[:limit], np.uint8).astype(np.uint16) + np.uint16(1)
