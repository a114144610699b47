"""Oracle: the files in configs/, each with an entry; and methods, tasks and measures that only a table knows."""

import importlib
from pathlib import Path

import pytest
from test_results_record import changed, make

from wise_lra.config import compose, options
from wise_lra.plots.draw import learning_curves
from wise_lra.registry import ATTENTIONS, BACKBONES, NONE, TASKS, Attention, Backbone, Task
from wise_lra.report import charts, series
from wise_lra.results import markdown, spreadsheet
from wise_lra.results.published import read_published
from wise_lra.results.tables import MEASURES, Measure, build

NEW = Backbone("#123456", "#abcdef", space="novel", main=True, wavelets="novel", fourier="novel_fourier")


def test_every_option_of_configs_has_an_entry() -> None:
    assert sorted(BACKBONES) == options("backbone")
    assert sorted([*ATTENTIONS, NONE]) == options("attention")
    assert sorted(TASKS) == options("task")
    colours = [(known.light, known.dark) for known in BACKBONES.values()]
    assert len(set(colours)) == len(colours)
    assert len({(known.dashes, known.shape) for known in ATTENTIONS.values()}) == len(ATTENTIONS)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_a_backbone_holds_what_its_configuration_says(backbone: str) -> None:
    assert (compose([f"backbone={backbone}"]).attention.name != NONE) == BACKBONES[backbone].holds_attention


@pytest.mark.parametrize("task", TASKS)
def test_the_length_is_that_of_the_lra_preset(task: str) -> None:
    assert compose([f"task={task}", "preset=lra"]).task.length == TASKS[task].length


def test_a_new_method_needs_an_entry_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It has its row, its claims, its published number, its line in the curves and its look in the report."""
    monkeypatch.setitem(BACKBONES, "new", NEW)
    monkeypatch.setitem(ATTENTIONS, "newer", Attention((9, 9), "wedge", ("Newer",)))
    header = "source,model,space,listops,text,retrieval,image,pathfinder"
    (tmp_path / "new.csv").write_text(f"{header}\nwavspa-readme,Newer,novel,,50,,,\n")
    numbers = read_published(tmp_path)
    assert {key: value.accuracy for key, value in numbers.items()} == {("new", "newer", "text"): 0.5}
    history = [{"step": 1, "validation_accuracy": 0.5}]
    records = [make(backbone=name, history=history) for name in ("vanilla", "new")]
    table = build([*records, make(backbone="new", attention="newer")], numbers, "quick")
    labels = ["vanilla", "fnet", "wise_fixed", "wise_adaptive", "new", "new + newer"]
    assert [row.label for row in table.rows] == labels
    assert [cell.printed for cell in table.rows[-1].cells] == [None, 0.5, None, None, None, None]
    claims = {(claim.name, claim.of): claim.estimate for claim in table.claims}
    gain = claims["novel wavelet space beats token space", "text"]
    assert gain is not None
    assert gain.mean == 0
    assert {of for name, of in claims if name.startswith("fixed wavelet space beats the F")} >= {
        "average, new"
    }
    assert {of for name, of in claims if "each attention" in name} >= {"average, newer"}
    (line,) = [line for line in learning_curves(table.columns).axes[0].lines if line.get_label() == "new"]
    assert (line.get_color(), line.get_xydata().tolist()) == (NEW.light, [[1, 50]])
    assert (charts.colour("new"), charts.dashes("newer")) == ("var(--new)", (9, 9))


def test_a_new_task_needs_an_entry_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TASKS, "sums", Task(64, "digits", ((90, 5, 5),)))
    table = build([make(task="sums", **changed("data", length=32))], {}, "quick")
    assert table.header[-2:] == ("sums (32 digits)", "average")
    assert {claim.of for claim in table.claims} >= {"sums (32 digits)"}


def test_a_new_measure_is_a_column_of_every_table_and_a_chart(monkeypatch: pytest.MonkeyPatch) -> None:
    waiting = Measure("waiting, s", lambda runs: runs[0].seconds["validation"], "waiting, s", digits=1)
    monkeypatch.setitem(MEASURES, "waiting", waiting)
    try:
        importlib.reload(spreadsheet)
        importlib.reload(series)
        table = build([make()], {}, "quick")
        text = markdown.page([table]).splitlines()
        assert any(line.endswith("| tokens/s | waiting, s |") for line in text)
        header, row = (line.split(",") for line in spreadsheet.to_csv([table]).splitlines())
        assert dict(zip(header, row, strict=True))["waiting"] == "4.0"
        drawn = series.figures(table, "quick")["costs"][0].rows
        assert [point["cost"] for point in drawn if point["measure"] == "waiting"] == [4]
    finally:
        monkeypatch.undo()
        importlib.reload(spreadsheet)
        importlib.reload(series)


def test_learning_curves_have_a_panel_a_task_with_mean_and_range_of_the_seeds() -> None:
    """By hand, of two seeds."""

    def points(*accuracies: float) -> list[dict[str, float]]:
        return [{"step": 10 * k, "validation_accuracy": a} for k, a in enumerate(accuracies, start=1)]

    records = [make(seed=seed, history=points(*a)) for seed, a in enumerate([(0.5, 0.6), (0.7, 0.8)])]
    records += [make(backbone="fnet", attention="none", history=points(0.4, 0.3))]
    records += [make(attention="linear", history=points(0.1, 0.1))]
    (panel,) = learning_curves(build(records, {}, "quick").columns).axes
    assert panel.get_title() == "text"
    lines = {line.get_label(): line.get_xydata().round(6).tolist() for line in panel.lines}
    assert (lines["vanilla"], lines["fnet"]) == ([[10, 60], [20, 70]], [[10, 40], [20, 30]])
    assert lines["wise_fixed"] == []
    corners = panel.collections[0].get_paths()[0].vertices.round(6).tolist()
    assert [corner in corners for corner in ([10, 50], [20, 80])] == [True, True]
