"""Oracle: scipy.stats, textbook numbers worked by hand, and the printed tables of the papers."""

import math
from pathlib import Path

import pytest
from test_results_record import changed, make

from wise_lra.registry import BACKBONES
from wise_lra.results import statistics
from wise_lra.results.published import Published, read_published

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(("hits", "n"), [(0, 10), (10, 10), (5, 10), (81, 263), (1, 1), (17, 10000)])
def test_wilson_as_scipy_has_it(hits: int, n: int) -> None:
    from scipy.stats import binomtest

    ends = binomtest(hits, n).proportion_ci(0.95, method="wilson")
    assert statistics.wilson(hits / n, n) == pytest.approx((ends.low, ends.high), abs=1e-12)


def test_wilson_by_hand() -> None:
    # 0 of 10: the upper end is z^2 / (n + z^2) = 3.8415 / 13.8415
    assert statistics.wilson(0.0, 10) == pytest.approx((0.0, 0.27753), abs=1e-5)


def test_student_t_by_hand() -> None:
    # 0.60 0.62 0.64: mean 0.62, s = 0.02, t(2) = 4.30265, half-width 4.30265 * 0.02 / sqrt(3) = 0.049683
    three, one = statistics.student_t([0.60, 0.62, 0.64]), statistics.student_t([0.60])
    assert (three.low, three.high) == pytest.approx((0.570317, 0.669683), abs=1e-6)
    assert (one.low, one.high, one.n) == (-math.inf, math.inf, 1)


def cell(*accuracies: float, examples: int = 100) -> list:
    """Return records of one cell, a seed each."""
    metrics = [changed("metrics", test_accuracy=a, test_examples=examples) for a in accuracies]
    return [make(seed=seed, **metric) for seed, metric in enumerate(metrics)]


def test_accuracy_of_one_and_of_several_seeds() -> None:
    one, three = statistics.accuracy(cell(0.6)), statistics.accuracy(cell(0.60, 0.62, 0.64))
    assert (one.method, one.n, one.std, one.mean) == ("wilson", 1, None, 0.6)
    # 60 of 100: [0.50200, 0.69060] (R, prop.test without correction); the larger side is the lower one
    assert (one.low, one.high) == pytest.approx((0.50200, 0.69060), abs=1e-5)
    assert one.half_width == pytest.approx(0.09800, abs=1e-5)
    assert (three.method, three.n) == ("t", 3)
    assert (three.mean, three.std, three.half_width) == pytest.approx((0.62, 0.02, 0.049683), abs=1e-6)


def test_accuracy_refuses_a_seed_twice_and_nothing() -> None:
    with pytest.raises(ValueError, match=r"seeds=\[0, 0\]"):
        statistics.accuracy([*cell(0.5), *cell(0.6)])
    with pytest.raises(ValueError, match=r"seeds=\[\]"):
        statistics.accuracy([])


def test_half_widths_add_in_quadrature() -> None:
    intervals = [statistics.Interval(m, m - h, m + h, 3, "t") for m, h in ((0.2, 0.03), (0.6, 0.04))]
    mean = statistics.average(intervals)
    assert (mean.mean, mean.half_width, mean.n) == pytest.approx((0.4, 0.025, 3))


def test_chance_is_what_the_lower_bound_does_not_leave() -> None:
    assert statistics.at_chance(cell(0.59))  # Wilson's lower bound of 59 of 100 is 0.4921
    assert not statistics.at_chance(cell(0.60))  # and that of 60 is 0.5020
    assert statistics.at_chance([make(**changed("data", majority=0.51))])
    assert not statistics.at_chance(cell(0.59, examples=1000))
    assert statistics.at_chance(cell(*[0.59] * 10)), "ten seeds on one test set are not ten test sets"


def test_published_numbers_are_the_printed_ones() -> None:
    numbers = read_published(ROOT / "results" / "published")
    assert numbers["vanilla", "softmax", "listops"] == Published(0.3637, "lra-readme")
    assert numbers["vanilla", "linear", "image"] == Published(0.4234, "lra-readme"), (
        "not WavSpA's reprint, 42.32"
    )
    assert numbers["vanilla", "linformer", "pathfinder"].accuracy == pytest.approx(0.7634)
    assert numbers["wise_adaptive", "softmax", "image"] == Published(0.5558, "wavspa-readme")
    assert numbers["wise_orthogonal", "linear", "text"].accuracy == pytest.approx(0.7945)
    assert numbers["wise_lifting", "longformer", "retrieval"].accuracy == pytest.approx(0.5327)
    assert len(numbers) == 4 * 5 * 5, "four backbones with five attentions on five tasks, and nothing else"
    assert {backbone for backbone, _, _ in numbers} == {
        name for name, known in BACKBONES.items() if known.space
    }


HEADER = "source,model,space,listops,text,retrieval,image,pathfinder\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEADER + "a-blog,Transformer,token,1,2,3,4,5\n", "line 2: source='a-blog'"),
        (HEADER + "lra-readme,Transformer,token,1,2,3,4,500\n", "line 2: pathfinder=500"),
        (HEADER + "lra-readme,Transformer,token,1,2,3,4,FAIL\n", "line 2: .*FAIL"),
        ("source,model\n", "'listops'"),
    ],
)
def test_a_bad_published_line_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "some.csv").write_text(text)
    with pytest.raises(ValueError, match=rf"some\.csv.*{message}"):
        read_published(tmp_path)


def test_a_number_not_printed_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "some.csv").write_text(HEADER + "lra-readme,Transformer,token,1,,3,4,5\n")
    assert [task for _, _, task in read_published(tmp_path)] == [
        "listops",
        "retrieval",
        "image",
        "pathfinder",
    ]
