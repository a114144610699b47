"""Oracle: a mean and a range worked by hand from two seeds."""

from test_results_record import make

from wise_lra.plots.draw import learning_curves, svg
from wise_lra.results.tables import build


def test_a_panel_a_task_with_mean_and_range_of_the_seeds() -> None:
    def points(*accuracies: float) -> list[dict[str, float]]:
        return [{"step": 10 * k, "validation_accuracy": a} for k, a in enumerate(accuracies, start=1)]

    records = [make(seed=seed, history=points(*a)) for seed, a in enumerate([(0.5, 0.6), (0.7, 0.8)])]
    records += [make(backbone="fnet", attention="none", history=points(0.4, 0.3))]
    records += [make(attention="linear", history=points(0.1, 0.1))]
    columns = build(records, {}, "quick").columns
    figure = learning_curves(columns)
    (panel,) = figure.axes
    assert panel.get_title() == "text"
    lines = {line.get_label(): line.get_xydata().round(6).tolist() for line in panel.lines}
    assert lines["vanilla"] == [[10, 60], [20, 70]]
    assert lines["fnet"] == [[10, 40], [20, 30]]
    assert lines["wise_fixed"] == []
    corners = panel.collections[0].get_paths()[0].vertices.round(6).tolist()
    assert [10, 50] in corners
    assert [20, 80] in corners
    assert svg(learning_curves(columns)) == svg(learning_curves(columns)), "README's check compares texts"
