"""Retrieval's stand-in: pairs of made-up articles, byte by byte, that share a subject or do not. Not LRA's data.

A subject is a vocabulary whose words are spelt unlike those of the others. Every article is written anew for its
pair, in the manner of an author of its own: none recurs in another split, and no manner tells the subject. It
also speaks of one other subject in passing. Half of the pairs share their subject.
Floors, on 2,000 test pairs after 8,000 (at 512 bytes, and whole): always one class 51 and 51 %, logistic
regression on the counts of bytes of both 51 and 51 %, on the products and differences of the counts 95 and 97 %.
"""

from collections.abc import Mapping

import numpy as np

from wise_lra.data import synthetic_text
from wise_lra.data.synthetic_text import one
from wise_lra.data.task import Documents, Task
from wise_lra.data.text import encode

VERSION = 1
"""Raise it when the articles change, so that they are prepared anew."""

SUBJECTS = (
    ("judge", "jury", "jail", "justice", "objection", "jurist", "injunction", "prejudice"),  # the law
    ("quartz", "quake", "quarry", "aquifer", "equator", "squall", "aqueduct", "sequence"),  # the earth
    ("zebra", "gazelle", "lizard", "buzzard", "grizzly", "zoo", "muzzle", "chimpanzee"),  # animals
    ("oxide", "wax", "flux", "mixture", "hexane", "vortex", "explosive", "toxin"),  # chemistry
    ("vineyard", "vat", "vintage", "valve", "velvet", "vinegar", "clove", "savour"),  # wine
    ("brick", "kiln", "block", "rock", "chalk", "cork", "deck", "plank"),  # building
    ("hymn", "rhythm", "symphony", "lyric", "psalmody", "melody", "rhyme", "myth"),  # song
    ("wheat", "weed", "meadow", "willow", "row", "wool", "harrow", "furrow"),  # farming
)

DEFAULTS = {
    "train": 20_000, "validation": 2_000, "test": 2_000, "min_length": 600, "max_length": 2_000, "subjects": 6,
}  # fmt: skip
"""Pairs of a split; bytes of one article, cut at the greatest; how many of the subjects above are used."""

_OPENINGS = (
    "In this article", "Recent studies suggest that", "As the table shows,", "It is often held that",
    "Unlike our predecessors, we find that", "To begin with,", "On the other hand,", "Here", "In general,",
    "For the sake of completeness,", "By contrast,", "In a later section",
)  # fmt: skip
_CLAUSES = (
    "the {0} is set beside the {1}",
    "each {0} depends on some {1}",
    "a {0} of this sort leads to the {1} and the {2}",
    "the account of the {0} is due to the {1}",
    "there are {number} cases of {0} and {1}",
    "neither {0} nor {1} is the cause of the {2}",
    "the {0}, the {1} and the {2} are treated at length",
)
_ENDS = (".", ".", ";", ", as has been noted.", " (see figure {number}).", ", but this is disputed.")


def fitted(chosen: dict[str, int], task: Task, asked: Mapping[str, int], node: str) -> dict[str, int]:
    """Return the settings. Raises ValueError on impossible lengths, and where there are not so many subjects."""
    if not 2 <= chosen["subjects"] <= len(SUBJECTS):
        raise ValueError(f"{node}.subjects={chosen['subjects']}: expected 2 to {len(SUBJECTS)}")
    return synthetic_text.fitted(chosen, task, asked, node)


def example(index: int, seed: int, min_length: int, max_length: int, subjects: int) -> tuple[Documents, int]:
    """Return the pair of that number and its label, drawn by a fair coin; class 1 shares a subject."""
    *articles, label = write(seed, index, min_length, max_length, subjects)
    return tuple(encode(article.encode("ascii"), max_length) for article in articles), label


def write(seed: int, index: int, min_length: int, max_length: int, subjects: int) -> tuple[str, str, int]:
    """Return the two articles of that number and their label: they depend on these arguments alone."""
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(index,)))
    label, first = int(rng.integers(2)), int(rng.integers(subjects))
    second = first if label else (first + int(rng.integers(1, subjects))) % subjects
    return (
        _article(rng, first, subjects, min_length, max_length),
        _article(rng, second, subjects, min_length, max_length),
        label,
    )


def _article(rng: np.random.Generator, subject: int, subjects: int, min_length: int, max_length: int) -> str:
    """Return an article on a subject by a new author, who is given to some of the openings and clauses only."""
    other = (subject + int(rng.integers(1, subjects))) % subjects
    openings, clauses = ([all_[k] for k in rng.permutation(len(all_))[:4]] for all_ in (_OPENINGS, _CLAUSES))
    sentences: list[str] = []
    left = min_length * (max_length / min_length) ** rng.random()
    while left > 0:
        words = SUBJECTS[subject if rng.random() < 0.85 else other]
        clause = f"{one(rng, openings)} {one(rng, clauses)}{one(rng, _ENDS)}"
        sentences.append(
            clause.format(*(one(rng, words) for _ in range(3)), number=int(rng.integers(2, 100)))
        )
        left -= len(sentences[-1]) + 1
    return " ".join(sentences)
