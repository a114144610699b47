"""Oracle: the files in configs/, of which each has an entry, and a backbone that only the registry knows."""

from pathlib import Path

import pytest
from test_results_record import make

from wise_lra.config import compose, options
from wise_lra.plots.draw import learning_curves
from wise_lra.registry import ATTENTIONS, BACKBONES, NONE, TASKS, Backbone
from wise_lra.results.published import read_published
from wise_lra.results.tables import build


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


def test_a_new_backbone_needs_an_entry_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    new = Backbone("#123456", "#abcdef", space="novel", main=True)
    monkeypatch.setitem(BACKBONES, "new", new)
    header = "source,model,space,listops,text,retrieval,image,pathfinder"
    (tmp_path / "new.csv").write_text(f"{header}\nwavspa-readme,Linformer,novel,,50,,,\n")
    numbers = read_published(tmp_path)
    assert {key: value.accuracy for key, value in numbers.items()} == {("new", "linformer", "text"): 0.5}
    history = [{"step": 1, "validation_accuracy": 0.5}]
    table = build([make(backbone=name, history=history) for name in ("vanilla", "new")], {}, "quick")
    assert [row.label for row in table.rows] == ["vanilla", "fnet", "wise_fixed", "wise_adaptive", "new"]
    (line,) = [line for line in learning_curves(table.columns).axes[0].lines if line.get_label() == "new"]
    assert (line.get_color(), line.get_xydata().tolist()) == (new.light, [[1, 50]])
