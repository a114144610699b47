"""Oracle: what the docstrings of the stand-ins promise, counted in the texts and drawings themselves."""

import re

import numpy as np
import pytest
from scipy import stats
from upstream import TASKS, plain

from wise_lra.data import synthetic, synthetic_image, synthetic_retrieval, synthetic_text
from wise_lra.data.download import silent
from wise_lra.data.task import SPLITS, Example

COUNT = 600
COUNTS = {"train": 40, "validation": 6, "test": 8}
LENGTHS = {"min_length": 300, "max_length": 1500}


@pytest.fixture(scope="module")
def reviews() -> list[tuple[str, int]]:
    return [synthetic_text.write(0, index, **LENGTHS) for index in range(COUNT)]


@pytest.fixture(scope="module")
def pairs() -> list[tuple[str, str, int]]:
    return [synthetic_retrieval.write(0, index, **LENGTHS, subjects=6) for index in range(COUNT)]


@pytest.mark.parametrize("task", ["text", "retrieval", "image"])
def test_examples_depend_on_seed_and_number_alone(task, tmp_path):
    def made(seed: int = 3, **changed: int) -> list[Example]:
        settings = synthetic.settings(TASKS[task], COUNTS | changed, seed)
        return list(synthetic.examples(task, settings, tmp_path, silent))

    examples, again, other = made(), made(test=2), made(seed=4)
    assert [sum(example.split == split for example in examples) for split in SPLITS] == [40, 6, 8]
    assert plain(again) == plain(examples)[:48]
    for one, two in zip(examples, other, strict=True):
        assert not np.array_equal(one.documents[0], two.documents[0])
    documents = [document.tobytes() for example in examples for document in example.documents]
    assert len(set(documents)) == len(documents)


def test_reviews_are_even_and_of_many_lengths(reviews):
    assert stats.binomtest(sum(label for _, label in reviews), COUNT).pvalue > 1e-3
    lengths = sorted(len(text) for text, _ in reviews)
    assert lengths[0] >= 300
    assert lengths[COUNT // 10] < 400
    assert lengths[-COUNT // 10] > 1200
    assert lengths[-1] < 1600  # the last sentence may go over; `examples` cuts it


def test_the_opening_decides_what_the_critic_counts_for(reviews):
    """Signed by the opening, the critic's words always give the label; as they stand, they give nothing."""
    right_as_they_stand = seen = 0
    for text, label in reviews:
        opening = text.split(". ")[0]
        agree = any(
            re.fullmatch(re.escape(form).replace(r"\{\}", r"\w+"), f"{opening}.")
            for form in synthetic_text._AGREE
        )
        praise = sum(text.count(f" {word} ") for word in synthetic_text._PRAISE)
        blame = sum(text.count(f" {word} ") for word in synthetic_text._BLAME)
        assert min(praise, blame) == 0
        if praise + blame:
            seen += 1
            assert (praise > blame) == (bool(label) == agree)
            right_as_they_stand += (praise > blame) == bool(label)
    assert seen > 0.9 * COUNT
    assert stats.binomtest(right_as_they_stand, seen).pvalue > 1e-3


def test_the_writers_own_words_point_the_right_way_more_often_than_not(reviews):
    good = [sum(text.count(word) for word in synthetic_text._GOOD) for text, _ in reviews]
    bad = [sum(text.count(word) for word in synthetic_text._BAD) for text, _ in reviews]
    right = np.mean([(g > b) == label for g, b, (_, label) in zip(good, bad, reviews, strict=True) if g != b])
    assert 0.75 < right < 0.95


def subject(article: str) -> int:
    """The subject most of whose words occur."""
    words = re.findall("[a-z]+", article)
    return int(np.argmax([sum(word in own for word in words) for own in synthetic_retrieval.SUBJECTS]))


def test_articles_share_a_subject_if_the_label_says_so(pairs):
    assert stats.binomtest(sum(label for *_, label in pairs), COUNT).pvalue > 1e-3
    right = [(subject(first) == subject(second)) == bool(label) for first, second, label in pairs]
    assert np.mean(right) > 0.97  # a short article may speak more of its aside


def test_no_word_belongs_to_two_subjects():
    words = [word for own in synthetic_retrieval.SUBJECTS for word in own]
    assert len(words) == len(set(words))
    spelt = [
        [sum(word.count(letter) for word in own) for letter in "jqzxvkyw"]
        for own in synthetic_retrieval.SUBJECTS
    ]
    assert [int(np.argmax(row)) for row in spelt] == list(range(8))


def test_drawings_are_even_and_not_told_by_their_mean():
    drawn = [synthetic_image.draw(0, index) for index in range(1500)]
    labels = np.array([label for _, label in drawn])
    assert stats.chisquare(np.bincount(labels, minlength=10)).pvalue > 1e-3
    means = np.array([image.mean() for image, _ in drawn])
    centres = np.array([means[:1000][labels[:1000] == label].mean() for label in range(10)])
    nearest = np.abs(means[1000:, None] - centres).argmin(1)
    assert (nearest == labels[1000:]).mean() < 0.25
    for image, _ in drawn[:20]:
        assert (image.shape, image.dtype) == ((32, 32), np.uint8)


def test_the_kinds_of_drawings_differ():
    """Upright and at one size, no two kinds cover the same pixels, and holes are cut out."""
    figures = [
        synthetic_image._figure(kind, radius=12, angle=0, centre=np.array([16.0, 16.0]))
        for kind in synthetic_image.CLASSES.values()
    ]
    for index, one in enumerate(figures):
        assert one.max() == 1
        assert all(np.abs(one - two).sum() > 30 for two in figures[:index])
    ring = figures[list(synthetic_image.CLASSES).index("ring")]
    assert ring[16, 16] == 0
    assert figures[list(synthetic_image.CLASSES).index("disc")].sum() == pytest.approx(
        np.pi * 12**2, rel=0.03
    )
