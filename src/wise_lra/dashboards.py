"""The project's dashboards in Weights & Biases, as code: a workspace, a section a task, and a report.

A workspace has one set of runs for all of its sections. So that a section shows its own task alone, runs log what
stands there a second time under the task's name (`loggers.IN_SECTION`); stand-ins have a name of their own.
"""

from collections.abc import Sequence
from typing import Any

import wandb_workspaces.reports.v2 as reports
import wandb_workspaces.workspaces as workspaces

from wise_lra.loggers import TABLE
from wise_lra.results import markdown
from wise_lra.results.record import Record
from wise_lra.results.tables import Table

BACKBONE = reports.Config("backbone.name")
STEP = "trainer/global_step"


def workspace(records: Sequence[Record], preset: str, entity: str, project: str) -> workspaces.Workspace:
    """Return the workspace of the runs of a preset; there is a section for every task that has some."""
    return workspaces.Workspace(
        entity=entity,
        project=project,
        name=f"WISE on LRA: {preset}",
        sections=[
            workspaces.Section(name=task, panels=panels(own), is_open=True)
            for task, own in by_task(records).items()
        ],
        settings=workspaces.WorkspaceSettings(x_axis=STEP, max_runs=100),
        runset_settings=workspaces.RunsetSettings(
            filters=[workspaces.Metric("Group") == preset], groupby=[workspaces.Config("backbone.name")]
        ),
    )


def report(table: Table, records: Sequence[Record], entity: str, project: str) -> reports.Report:
    """Return the report of a preset: its table, and the panels of every task with that task's runs.

    With an empty `entity` the runs are those of wherever it is opened, and no server is asked.
    """
    text = markdown.block([table], "results/TABLE.md") if table.changed else markdown.page([table])
    blocks: list[Any] = [reports.MarkdownBlock(text=text), reports.TableOfContents()]
    for task, own in by_task(records).items():
        runs = reports.Runset(
            entity=entity,
            project=project if entity else "",
            name=task,
            filters=f"Metric('Group') = '{table.preset}' and Metric('JobType') = '{task}'",
            groupby=["config.backbone.name"],
        )
        blocks += [reports.H2(text=task), reports.PanelGrid(runsets=[runs], panels=panels(own))]
    return reports.Report(
        entity=entity,
        project=project,
        title=f"WISE on the Long Range Arena: {table.preset}",
        description="Built by make dashboard from the records and what the runs log.",
        blocks=blocks,
        width="fluid",
    )


def by_task(records: Sequence[Record]) -> dict[str, list[Record]]:
    """Return task, as a path has it, to its runs that W&B knows of, in the order of their names."""
    tasks = sorted({record.folder for record in records if record.wandb_id})
    return {task: [r for r in records if r.folder == task and r.wandb_id] for task in tasks}


def panels(records: Sequence[Record]) -> list[Any]:
    """Return the panels of one task, none that its runs log nothing for."""
    task = records[0].folder
    layers = max((_depth(record) for record in records if record.backbone.startswith("wise_")), default=0)
    pictures = [
        f"{task}/wavelets/{what}_layer{layer + 1}"
        for layer in range(layers)
        for what in ("functions", "responses")
    ]
    accuracy, test = f"{task}/validation/accuracy", f"{task}/test_accuracy"
    found: list[Any] = [
        _curve("Validation accuracy, by backbone", accuracy, range_y=(0, 1)),
        reports.BarPlot(title="Test accuracy", metrics=[test], groupby=BACKBONE, orientation="v"),
        reports.ScatterPlot(
            title="Test accuracy and seconds",
            x=reports.SummaryMetric(f"{task}/seconds_total"),
            y=reports.SummaryMetric(test),
        ),
        reports.BarPlot(
            title="Training tokens a second", metrics=[f"{task}/tokens_per_second"], groupby=BACKBONE
        ),
        _curve("Norm of the gradient", f"{task}/gradients/total", log_y=True),
        reports.WeavePanelSummaryTable(table_name=TABLE),
    ]
    if pictures:
        found.append(reports.MediaBrowser(title="Learned wavelets", media_keys=pictures))
    return found


def _depth(record: Record) -> int:
    """Return the blocks of a record's model, 0 where its configuration does not tell."""
    model = record.config.get("model")
    depth = model.get("depth") if isinstance(model, dict) else None
    return depth if isinstance(depth, int) and depth <= 1024 else 0


def _curve(title: str, metric: str, **more: Any) -> reports.LinePlot:
    """Return a plot over steps, a line and a band of extremes a backbone."""
    return reports.LinePlot(
        title=title,
        x=STEP,
        y=[metric],
        groupby=BACKBONE,
        groupby_aggfunc="mean",
        groupby_rangefunc="minmax",
        **more,
    )
