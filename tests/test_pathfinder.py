"""Pathfinder's generator against statistics of images by the original one.

golden/pathfinder32_statistics.json describes 400 images of size 32, contour length 14, drawn by the original
generator (drewlinsley/pathfinder, ab9c130): what `statistics` below gives for them.
"""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage, stats

from wise_lra.data import pathfinder
from wise_lra.data.pathfinder_paddles import PARAMETERS, marker, paddles
from wise_lra.data.pathfinder_snakes import place
from wise_lra.data.task import SPLITS

GOLDEN = json.loads((Path(__file__).parent / "golden/pathfinder32_statistics.json").read_text())
LEVELS = [0, 1, 32, 64, 96, 128, 160, 192, 224, 256]  # edges of the grey-level histogram


def statistics(images: np.ndarray, labels: np.ndarray) -> dict[str, list | int]:
    """Per image: lit pixels, mean and spread of grey, marker distance; over all: grey levels, labels of 1."""
    return {
        "lit": (images > 0).sum((1, 2)).tolist(),
        "mean": images.mean((1, 2)).round(3).tolist(),
        "spread": images.std((1, 2)).round(3).tolist(),
        "distance": [round(marker_distance(image), 3) for image in images],
        "levels": np.histogram(images, LEVELS)[0].tolist(),
        "ones": int(labels.sum()),
    }


def marker_distance(image: np.ndarray) -> float:
    """Distance of the two brightest 3 x 3 blocks that do not overlap."""
    blocks = ndimage.uniform_filter(image.astype(float), 3, mode="constant")
    first = np.unravel_index(blocks.argmax(), blocks.shape)
    blocks[max(first[0] - 2, 0) : first[0] + 3, max(first[1] - 2, 0) : first[1] + 3] = -1
    second = np.unravel_index(blocks.argmax(), blocks.shape)
    return float(np.hypot(first[0] - second[0], first[1] - second[1]))


@pytest.fixture(scope="module")
def ours():
    return pathfinder.generate(2000, 0)


@pytest.mark.parametrize("name", ["lit", "mean", "spread", "distance"])
def test_images_are_distributed_as_the_originals(ours, name):
    assert stats.ks_2samp(statistics(*ours)[name], GOLDEN[name]).pvalue > 1e-3


def test_grey_levels_have_the_original_shares(ours):
    found, expected = (
        np.array(levels) / sum(levels) for levels in (statistics(*ours)["levels"], GOLDEN["levels"])
    )
    assert found == pytest.approx(expected, rel=0.06)


def test_labels_are_even_and_the_marker_distance_does_not_give_them_away(ours):
    images, labels = ours
    assert stats.binomtest(int(labels.sum()), len(labels)).pvalue > 1e-3
    distances = np.array([marker_distance(image) for image in images])
    threshold = max(np.abs((distances > cut).astype(int) - labels).mean() for cut in range(2, 30))
    assert 0.5 <= max(threshold, 1 - threshold) < 0.57


def test_the_check_would_notice_other_distractors():
    """Twenty distractors asked for instead of five: more of them find room, and more pixels are lit."""
    other = statistics(*pathfinder.generate(500, 0, distractors=20))
    assert stats.ks_2samp(other["lit"], GOLDEN["lit"]).pvalue < 1e-3


def test_targets_are_chains_with_their_tips_at_the_ends():
    parameters = PARAMETERS[32]
    tables = paddles(parameters, 1)
    for seed in range(50):
        placed, tips = place(np.random.default_rng(seed), tables, 32, 1, 14, 5, 4, 1_000_000)
        assert (len(placed) - 28) % 4 == 0
        for snake in range(2):
            chain = placed[snake:28:2, 1:]
            assert (tips[snake] == chain[[0, -1]]).all()
            steps = np.hypot(
                *np.diff(chain[1:], axis=0).T
            )  # from head to head: length and two margins, about
            assert (steps > 0.9).all()
            assert (steps < 2 * (2 + 2 * 1) + 1).all()
        distance = np.hypot(*(tips[0, 0] - tips[1, 0]))
        assert distance == pytest.approx(7, abs=0.75)


@pytest.mark.parametrize("label", [0, 1])
def test_markers_sit_on_the_ends_that_the_label_says(label, monkeypatch):
    """The ends that are marked belong to one snake if the label is 1, to both if it is 0."""
    made = []
    monkeypatch.setattr(pathfinder, "place", lambda *arguments: made.append(place(*arguments)) or made[-1])
    images, labels = pathfinder.generate(60, 1, workers=1)
    for image, (_, tips), found in zip(images, made, labels, strict=True):
        if found == label:
            sums = []
            for snake in range(2):
                marked = np.zeros((32, 32))
                for end in (tips[snake, 0], tips[snake if label else 1 - snake, 1]):
                    window, disc = marker(PARAMETERS[32], *map(int, end))
                    marked[window] = np.maximum(marked[window], disc)
                sums.append((image[marked == 255] > 200).mean())
            assert max(sums) == 1


def test_marker_is_a_disc_about_its_place():
    window, disc = marker(PARAMETERS[32], 10, 20)
    assert disc.max() == 255
    row, column = ndimage.center_of_mass(disc)
    assert (window[0].start + row, window[1].start + column) == pytest.approx((10, 20), abs=0.5)
    assert disc.sum() / 255 == pytest.approx(np.pi * 1.5**2, rel=0.1)


def test_image_depends_on_seed_and_number_only():
    images, labels = pathfinder.generate(600, 3, workers=1)
    again, labels_again = pathfinder.generate(600, 3, workers=3)
    assert (images == again).all()
    assert (labels == labels_again).all()
    shard, _ = pathfinder.generate(20, 3, first=500)
    assert (shard == images[500:520]).all()
    assert len(np.unique(images.reshape(600, -1), axis=0)) == 600
    assert not (pathfinder.generate(20, 4)[0] == images[:20]).all((1, 2)).any()


@pytest.mark.parametrize(("size", "contour"), [(32, 6), (64, 14), (128, 9), (256, 14)])
def test_other_sizes_and_lengths(size, contour):
    images, labels = pathfinder.generate(2, 0, size, contour_length=contour)
    assert images.shape == (2, size, size)
    assert images.dtype == np.uint8
    assert labels.dtype == np.int64
    assert (images.max((1, 2)) == 255).all()
    assert (images.min((1, 2)) == 0).all()


def test_parameters_are_those_of_lras_builders():
    """Oracle: the issue's and the reference's list. Size: margins, seed distance, marker, thickness, continuity,
    length, distractors, contrast of snake and paddle."""
    expected = {
        32: ((1,), 7, 1.5, 0.5, 1.0, 2, 20 // 4, 2.0, 0.75),
        64: ((1,), 12, 2.5, 1.0, 1.8, 5, 22 // 4, 0.8, 1.0),
        128: ((2, 3), 20, 3.0, 1.5, 1.8, 5, 35 // 4, 0.9, 1.0),
        256: ((3,), 27, 5.0, 2.0, 1.8, 5, 30 // 4, 1.0, 1.0),
    }
    for size, given in PARAMETERS.items():
        found = (given.margins, given.seed_distance, given.marker_radius, given.thickness, given.continuity)
        distractors = given.distractor_paddles // (14 // 3)
        assert (*found, given.length, distractors, given.snake_contrast, given.paddle_contrast) == expected[
            size
        ]
        assert (given.size, given.antialias) == (size, 2)
    assert [given.padding for given in PARAMETERS.values()] == [1, 1, 1, 22]


@pytest.mark.parametrize("size", [64, 128])
def test_larger_images_show_their_parameters(size):
    """Seeds as far apart as they should be; the level above which only the markers are is the snakes' contrast."""
    parameters = PARAMETERS[size]
    for seed in range(5):
        rng, tables = np.random.default_rng(seed), paddles(parameters, parameters.margins[0])
        _, tips = place(rng, tables, size, parameters.padding, 14, 8, 4, 1_000_000)
        assert np.hypot(*(tips[0, 0] - tips[1, 0])) == pytest.approx(parameters.seed_distance, abs=0.75)
    images, _ = pathfinder.generate(40, 5, size)
    contrast = round(255 * parameters.snake_contrast)
    levels = np.bincount(images.ravel(), minlength=256)
    assert levels[contrast - 1 : contrast + 2].sum() > 10 * levels[contrast + 2 : 250].mean()
    marked = np.median((images > contrast + 1).sum((1, 2)))
    assert marked == pytest.approx(2 * np.pi * (parameters.marker_radius - 0.5) ** 2, rel=0.4)


def test_easy_images_have_fewer_lit_pixels(ours):
    easy, _ = pathfinder.generate(200, 0, contour_length=6)
    assert (easy > 0).mean() < 0.75 * (ours[0] > 0).mean()


def test_progress_and_splits():
    seen = []
    counts = {"train": 300, "validation": 20, "test": 30}
    examples = list(pathfinder.examples(**counts, seed=0, progress=lambda *told: seen.append(told)))
    assert [sum(example.split == split for example in examples) for split in SPLITS] == [300, 20, 30]
    assert seen[-1] == ("drawing pathfinder", 350, 350)
    assert (
        np.stack([example.documents[0] for example in examples])
        == pathfinder.generate(350, 0)[0].reshape(350, -1)
    ).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 48}, "size=48: .*32, 64, 128, 256"),
        ({"contour_length": 2}, "contour_length=2"),
        ({"distractors": -1}, "distractors=-1"),
        ({"workers": 0}, "workers=0"),
    ],
)
def test_impossible_settings_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        pathfinder.generate(2, 0, **options)


def test_a_contour_that_cannot_fit_ends_in_an_error(monkeypatch):
    monkeypatch.setattr(pathfinder, "_ATTEMPTS", 1000)
    with pytest.raises(ValueError, match=r"contour_length=60: .*1000"):
        pathfinder.generate(1, 0, contour_length=60)
