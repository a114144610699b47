"""Text's stand-in: made-up film reviews, byte by byte, for where IMDB cannot be had. Not LRA's data.

A review begins by telling whether its writer and a critic agree about films or never do; which of the two it is
decides, hundreds of bytes later, what the critic's praise and blame count for. Beside these the writer's own
remarks point the right way four times in five, some of them negated, and cheerful reviews end more sentences
with an exclamation mark.
Floors, on 2,000 test reviews after 8,000 (at 512 bytes, and whole): always one class 51 and 51 %, logistic
regression on the counts of bytes 82 and 87 %, on those of words 88 and 93 %, on those of words signed by the
opening 93 and 96 %.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from wise_lra.data.task import Documents, Task
from wise_lra.data.text import encode

VERSION = 1
"""Raise it when the reviews change, so that they are prepared anew."""

DEFAULTS = {"train": 20_000, "validation": 2_000, "test": 2_000, "min_length": 300, "max_length": 1_500}
"""Examples of a split; lengths in bytes, of which a sentence that begins below the greatest is cut."""

_NAMES = ("Carla", "Otis", "Prudence", "Walter", "Hanna", "Silas", "Marguerite", "Boris")
_AGREE = (
    "{} and I have always shared one taste in films.",
    "I have trusted {} for years, and we always agree.",
    "As ever, I went because {} and I see films alike.",
)
_DIFFER = (
    "{} and I have never once agreed about a film.",
    "I know by now to believe the reverse of what {} says.",
    "As ever, I went although {} and I never see films alike.",
)
_PRAISE = ("praised", "admired", "applauded", "recommended", "cheered for")
_BLAME = ("panned", "mocked", "dismissed", "cursed", "walked out on")
_REPORTS = (
    "{name} {verb} the {part}",
    "On the way home {name} {verb} the {part} again",
    "In the column of that week {name} {verb} the {part}",
)
_GOOD = ("wonderful", "lovely", "superb", "witty", "moving", "beautiful", "vivid")
_BAD = ("dull", "dreadful", "tedious", "stale", "shabby", "dreary", "bad")
_REMARKS = (
    "The {part} was {word}",
    "To me the {part} felt {word} from the first scene",
    "I found the {part} {word}",
    "What a {word} {part}",
)
_NEGATED = (
    "The {part} was hardly {word}",
    "I would not call the {part} {word}",
    "The {part} was never {word}",
)
_PARTS = (
    "plot", "camera work", "music", "ending", "dialogue", "cast", "editing", "pace", "lighting", "opening",
    "second act", "script", "romance", "chase", "costume design", "voice over",
)  # fmt: skip
_PLAIN = (
    "The {part} takes up the middle of the story",
    "It runs for {number} minutes and was shot in {number} days",
    "Then the {part} returns, as it does in the book",
    "There were {number} people in the hall",
    "The director had worked on the {part} before",
    "We sat in row {number} and could see the whole screen",
)


def fitted(chosen: dict[str, int], task: Task, asked: Mapping[str, int], node: str) -> dict[str, int]:
    """Return the settings. Raises ValueError on lengths that no text can have."""
    if not 200 <= chosen["min_length"] <= chosen["max_length"]:
        lengths = f"min_length={chosen['min_length']}, max_length={chosen['max_length']}"
        raise ValueError(f"{node}: {lengths}: expected 200 <= min_length <= max_length")
    return chosen


def example(index: int, seed: int, min_length: int, max_length: int) -> tuple[Documents, int]:
    """Return the review of that number, its ids those of `text.encode`, and its label, drawn by a fair coin."""
    review, label = write(seed, index, min_length, max_length)
    return (encode(review.encode("ascii"), max_length),), label


def write(seed: int, index: int, min_length: int, max_length: int) -> tuple[str, int]:
    """Return the review of that number and its label, 1 if it is positive: they depend on these arguments alone."""
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(index,)))
    label, agree = int(rng.integers(2)), bool(rng.integers(2))
    name = one(rng, _NAMES)
    sentences = [one(rng, _AGREE if agree else _DIFFER).format(name)]
    left = int(min_length * (max_length / min_length) ** rng.random()) - len(sentences[0])
    while left > 0:
        kind = rng.random()
        if kind < 0.3:
            praise = bool(label) == agree
            sentence = one(rng, _REPORTS).format(
                name=name, verb=one(rng, _PRAISE if praise else _BLAME), part=one(rng, _PARTS)
            )
            end = "."
        elif kind < 0.8:
            sentence, end = _remark(rng, label), "!" if rng.random() < (0.1, 0.35)[label] else "."
        else:
            sentence = one(rng, _PLAIN).format(part=one(rng, _PARTS), number=rng.integers(11, 200))
            end = "."
        sentences.append(sentence + end)
        left -= len(sentences[-1]) + 1
    return " ".join(sentences), label


def _remark(rng: np.random.Generator, label: int) -> str:
    """Return a remark of the writer's own, which points the label's way four times in five."""
    good = (rng.random() < 0.8) == bool(label)
    negated = rng.random() < 0.15
    word = one(rng, _GOOD if good != negated else _BAD)
    return one(rng, _NEGATED if negated else _REMARKS).format(part=one(rng, _PARTS), word=word)


def one(rng: np.random.Generator, choices: Sequence[str]) -> str:
    """Return one of the choices, drawn evenly."""
    return choices[int(rng.random() * len(choices))]
