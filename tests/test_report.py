"""Oracle: sums worked by hand, the lines of the tables, and what a world full of markup must not do to a page."""

import contextlib
import html
import io
import json
import re
import runpy
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from report_world import EVIL, furnish
from test_results_record import changed, make

from wise_lra.registry import BACKBONES, Backbone
from wise_lra.report import series
from wise_lra.report.charts import specifications
from wise_lra.report.page import render
from wise_lra.report.runs import Run, compared, confusion, disagreements, read_runs
from wise_lra.results.predictions import Predictions
from wise_lra.results.published import read_published
from wise_lra.results.record import read_all
from wise_lra.results.tables import build_all
from wise_lra.results.text import Line, Section, lines, notes

ROOT = Path(__file__).parents[1]
RIGHT = {"a": [1, 1, 1, 0, 0], "b": [0, 1, 1, 1, 0], "c": [0, 0, 1, 1, 0]}  # model -> right on each example


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("world")
    furnish(root)
    return root


TEXT = {"_target_": "wise_lra.data.task.Task", "name": "text", "vocabulary": 257, "length": 9, "classes": 2}


@pytest.fixture(scope="session")
def page(world: Path) -> Path:
    assert report(world) == (0, "")
    return world / "page.html"


def report(root: Path, *options: str) -> tuple[int, str]:
    """Call the script in this process; return its status and what it says of errors."""
    places = {"records": "records", "runs": "runs", "data": "data", "out": "page.html"}
    named = [f"--{name}={root / place}" for name, place in places.items()]
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stderr(io.StringIO()) as errors:
        patch.chdir(ROOT)
        patch.setattr(sys, "argv", ["report.py", *named, *options])
        status = runpy.run_path(str(ROOT / "scripts" / "report.py"))["main"]()
    return status, errors.getvalue()


def test_the_page_holds_every_line_of_the_tables(world: Path, page: Path) -> None:
    text = html.unescape(page.read_text(encoding="utf-8"))
    tables = build_all(read_all(world / "records"), read_published(ROOT / "results" / "published"))
    assert [table.preset for table in tables] == ["lra", "quick"]
    for table in tables:
        for line in lines(table):
            for cell in line.texts:
                assert f">{cell}<" in text
        for claim in table.claims:
            assert f">{claim.verdict}<" in text
        for note in notes(table):
            assert note in text


def test_the_page_is_small_and_names_no_machine(world: Path, page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert len(text) < 3_000_000
    own = re.sub(r"data:image/png;base64,[^\"]*", "", text.partition('<script type="module">')[0])
    for secret in (str(world), str(ROOT), str(Path.home())):
        assert secret not in own
    assert not re.search(rf"\b{re.escape(socket.gethostname())}\b", own)
    assert not re.search(r'(?:src|href)="(?!#|data:)[^"]', own), "something is fetched"


def test_markup_in_values_stays_text(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert "<img src=x" not in text
    assert "<script>window.hacked" not in text
    assert text.count(html.escape(EVIL).replace("&quot;", "&#34;")) > 10


def test_all_parts_are_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for preset in ("lra", "quick"):
        for part in ("checklist", "accuracy", "curves", "costs", "wavelets", "confusion", "disagreements"):
            assert f'id="{preset}-{part}"' in text
    assert text.count('<table class="confusion') == 4
    assert "data:image/png;base64," in text
    assert re.search(r"review \d+", text), "a document is shown as text"
    drawn = json.loads(re.findall(r'id="drawn">(.*?)</script>', text, re.DOTALL)[0])
    kinds = [chart["kind"] for chart in drawn["charts"].values()]
    assert {kind: kinds.count(kind) for kind in kinds} == {
        **{"accuracies": 5 + 2, "curves": 5 + 2, "costs": 5 + 2},
        **{"function": 2 * 2, "response": 2 * 2},  # two runs of one layer, φ and ψ, H and G
    }
    states = {
        row[0] for chart in drawn["charts"].values() if chart["kind"] == "response" for row in chart["rows"]
    }
    assert states == {"before training", "after training"}


def test_without_folders_it_says_what_is_missing_and_needs_no_torch(tmp_path: Path) -> None:
    make().write(tmp_path / "records")
    code = (
        "import runpy, sys; sys.argv = sys.argv[1:]\n"
        "try: runpy.run_path(sys.argv[0], run_name='__main__')\n"
        "except SystemExit as end: assert not end.code\n"
        "assert 'torch' not in sys.modules"
    )
    places = [f"--{name}={tmp_path / name}" for name in ("records", "runs", "data", "out")]
    command = [sys.executable, "-c", code, str(ROOT / "scripts" / "report.py"), *places]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "out").read_text(encoding="utf-8")
    assert '<table class="confusion' not in text
    assert "60.00 ± " in text


def test_without_records_it_says_how_to_make_some(tmp_path: Path) -> None:
    assert report(tmp_path) == (0, "")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "make reproduce-lra" in text
    assert "36.37" in text, "published numbers are there all the same"


def test_what_cannot_be_read_ends_in_a_line(tmp_path: Path) -> None:
    make().write(tmp_path / "records")
    (tmp_path / "records" / "seed0.json").write_text("{")
    status, said = report(tmp_path)
    first, last = said.splitlines()
    assert (status, last.split(",")[0]) == (2, "skipped 1")
    assert first.startswith(f"{tmp_path / 'records' / 'seed0.json'}: ")
    assert "60.00 ± " in (tmp_path / "page.html").read_text(encoding="utf-8"), "the others are shown"
    (tmp_path / "records" / "seed0.json").unlink()
    assert {"huge:", "quick"} <= set(report(tmp_path, "--preset", "huge")[1].split())


def test_predictions_of_another_run_are_not_taken(tmp_path: Path) -> None:
    record = make(**changed("metrics", test_accuracy=0.5, test_examples=4), config={"task": TEXT})
    folder = record.path(tmp_path).with_suffix("")
    assert read_runs([record], tmp_path) == [Run(record)]
    for right, taken in ((2, True), (3, False)):
        predicted = np.arange(4) >= right
        Predictions(np.arange(4), np.zeros(4), predicted, np.ones((4, 2))).write(folder / "predictions.npz")
        (kept,) = read_runs([record], tmp_path)
        assert (kept.predictions is not None, bool(kept.problem)) == (taken, not taken)
    Predictions(np.arange(4), np.zeros(4), np.arange(4) // 2, np.ones((4, 8))).write(
        folder / "predictions.npz"
    )
    assert "8 classes" in read_runs([record], tmp_path)[0].problem
    (folder / "predictions.npz").write_bytes(b"half")
    assert "cannot be read" in read_runs([record], tmp_path)[0].problem


@pytest.mark.parametrize("classes", [3, None])
def test_predictions_of_other_classes_than_the_tasks_are_not_taken(
    tmp_path: Path, classes: int | None
) -> None:
    """The record has as many classes as the predictions, or no task; a text has two names of classes."""
    config = {"task": TEXT | {"classes": classes}} if classes else {}
    record = make(**changed("metrics", test_accuracy=1.0, test_examples=4), config=config)
    label = np.zeros(4, int)
    folder = record.path(tmp_path).with_suffix("")
    Predictions(np.arange(4), label, label, np.full((4, 3), 1 / 3)).write(folder / "predictions.npz")
    (run,) = read_runs([record], tmp_path)
    assert run.predictions is None
    assert run.problem


def test_a_run_with_other_classes_than_its_neighbours_is_named_and_the_others_are_shown(
    tmp_path: Path,
) -> None:
    for seed, (name, classes) in enumerate([("listops", 10), ("listops", 12), ("sums", 10)]):
        facts = TEXT | {"name": name, "classes": classes}
        scores = changed("metrics", test_accuracy=0.5, test_examples=2)
        record = make(task="listops", seed=seed, config={"task": facts}, **scores)
        record.write(tmp_path / "records")
        labels = np.array([0, classes - 1])
        answered = Predictions(np.arange(2), np.zeros(2, int), labels, np.ones((2, classes)))
        answered.write(record.path(tmp_path / "runs").with_suffix("") / "predictions.npz")
    status, problems = report(tmp_path)
    assert (status, [f"/seed{seed}: " in problems for seed in range(3)]) == (2, [False, True, True])
    assert (tmp_path / "page.html").read_text(encoding="utf-8").count('<table class="confusion') == 1


def test_a_run_links_to_its_curves() -> None:
    address, _ = Run(make(wandb_id='a"b')).curves("team/wise-lra")
    assert address == "https://wandb.ai/team/wise-lra/runs/a%22b"
    assert Run(make(wandb_id="ab")).curves("")[0] == ""
    assert "logger=csv" in Run(make()).curves("team/wise-lra")[1]


def kept_of(right: list[int], seed: int = 0) -> Run:
    """Return a run on five examples of class 0, sure of itself by 0.9, 0.8 ... in their order."""
    predicted = 1 - np.array(right)
    chances = np.stack([np.where(predicted == c, 0.9 - 0.1 * np.arange(5), 0.1) for c in (0, 1)], axis=1)
    return Run(
        make(seed=seed), predictions=Predictions(np.arange(5) + 10, np.zeros(5, int), predicted, chances)
    )


def test_disagreements_by_hand() -> None:
    runs = [(label, kept_of(right)) for label, right in RIGHT.items()]
    found = disagreements(runs, 8)
    assert sorted(disagreement.example for disagreement in found) == [10, 11, 13], "12 and 14 split nobody"
    first = next(disagreement for disagreement in found if disagreement.example == 10)
    assert [(label, predicted) for label, predicted, _ in first.answers] == [("a", 0), ("b", 1), ("c", 1)]
    assert first.answers[0][2] == pytest.approx(0.9)
    assert len(disagreements(runs, 2)) == 2
    assert disagreements([runs[0], ("same", kept_of(RIGHT["a"]))], 8) == []


def test_confusion_by_hand(page: Path) -> None:
    counts = confusion([kept_of(RIGHT["a"]), kept_of(RIGHT["b"], seed=1)])
    assert counts.tolist() == [[6, 4], [0, 0]]
    rows = re.findall(r"<tr>(?:(?!</tr>).)*--share.*?</tr>", page.read_text(encoding="utf-8"))
    assert len(rows) == 2 * 2 + 2 * 10
    for row in rows:
        cells = re.findall(r'--share:([\d.]+)" title="[^"]*">(\d+)<', row)
        total = sum(int(count) for _, count in cells)
        assert [float(share) for share, _ in cells] == pytest.approx(
            [int(n) / total for _, n in cells], abs=0.006
        )


def test_the_seed_with_most_rows_on_the_same_examples_is_compared() -> None:
    rows = {
        "a": [kept_of(RIGHT["a"], seed) for seed in (0, 1)],
        "b": [kept_of(RIGHT["b"], 1)],
        "c": [Run(make())],
    }
    assert [(label, kept.record.seed) for label, kept in compared(rows)] == [("a", 1), ("b", 1)]
    assert compared({"c": [Run(make())]}) == []


def test_bands_and_fronts_by_hand() -> None:
    def record(backbone: str, accuracy: float, seconds: float, seed: int = 0, **more: Any) -> Any:
        scores = changed("metrics", test_accuracy=accuracy) | changed("seconds", total=seconds)
        points = [
            {"step": 50, "validation_accuracy": accuracy},
            {"step": 100 + seed, "validation_accuracy": 1},
        ]
        return make(backbone=backbone, seed=seed, history=points, **scores, **more)

    runs = [record("vanilla", 0.7, 30.0), record("vanilla", 0.9, 30.0, seed=1)]
    runs += [record("wise_fixed", 0.75, 40.0), record("wise_adaptive", 0.85, 50.0)]
    (table,) = build_all(runs, {})
    drawn = series.figures(table, "quick")
    (curves,) = drawn["curves"]
    band = [(r["step"], r["mean"], r["low"], r["high"], r["n"]) for r in curves.rows if r["row"] == "vanilla"]
    assert band == [(50, pytest.approx(80), 70, 90, 2)], "the last steps differ: no mean can be taken there"
    (costs,) = drawn["costs"]
    front = {row["row"]: row["front"] for row in costs.rows if row["measure"] == "seconds"}
    assert front == {"vanilla": True, "wise_fixed": False, "wise_adaptive": True}, (
        "80 in 30 s, 75 in 40, 85 in 50"
    )


def test_a_table_is_readable_by_all() -> None:
    rows = [Line("one", ["holds", "1"], [False, True]), Line("published", ["FAIL [1]", "<b>"])]
    text = render([], [], [Section("A <b>", "see `make data`", ["", "x", "y"], rows, ["an item"])], "")
    text = text[text.index('<section aria-labelledby="a-b"') : text.index('<section aria-labelledby="runs"')]
    assert '<h2 id="a-b">A &lt;b&gt;</h2>' in text
    assert "<p>see <code>make data</code></p>" in text
    assert '<th scope="col">x</th>' in text
    assert (
        '<tr><th scope="row">one</th><td class="verdict yes">holds</td><td class="best">1</td></tr>' in text
    )
    assert '<tr class="plain"><th scope="row">published</th><td class="fail">FAIL [1]</td>' in text
    assert "<li>an item</li>" in text
    assert text.count("<caption") == text.count("<table") == 1


def test_charts_are_of_the_schema_and_take_the_pages_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BACKBONES, "new_one", Backbone("#123456", "#abcdef"))
    found = specifications()
    assert all(
        chart["$schema"].endswith("v6.4.1.json") or "vega-lite" in chart["$schema"]
        for chart in found.values()
    )
    assert {"var(--wise-adaptive)", "var(--new-one)"} <= set(
        re.findall(r"var\(.*?\)", json.dumps(found["curves"]))
    )
    style = render([], [], [], "").partition("</style>")[0]
    assert "--new-one: light-dark(#123456, #abcdef);" in style
    for name in set(re.findall(r"var\((--[a-z0-9-]+)\)", json.dumps(found))):
        assert f"{name}:" in style, name
