"""The project's dashboards in Weights & Biases, as code: a workspace, a section a task, and a report.

A workspace has one set of runs for all of its sections. So that a section shows its own task alone, runs log its
values a second time under the task's name (`loggers.IN_SECTION`); stand-ins have a name of their own.
"""

from collections.abc import Sequence
from typing import Any

import wandb
import wandb_workspaces.reports.v2 as reports
import wandb_workspaces.workspaces as workspaces

from wise_lra.loggers import TABLE
from wise_lra.registry import PRESETS
from wise_lra.results import markdown
from wise_lra.results.published import Numbers
from wise_lra.results.record import Record
from wise_lra.results.tables import build

BACKBONE = reports.Config("backbone.name")
STEP = "trainer/global_step"


def views(
    records: Sequence[Record], numbers: Numbers, preset: str | None, entity: str | None, project: str
) -> dict[str, Any]:
    """Return the workspace and the report of a preset, by default of the largest that has records.

    With `entity` None the report's runs are those of wherever it is opened, and no server is asked; "" is that of
    the key. Raises ValueError where no record is of a run that W&B has, and what W&B raises without a key.
    """
    preset = preset or next((name for name in PRESETS if any(r.preset == name for r in records)), "quick")
    own = [record for record in records if record.preset == preset]
    tasks = sorted({record.folder for record in own if record.wandb_id})
    by_task = {task: [r for r in own if r.folder == task and r.wandb_id] for task in tasks}
    if not by_task:
        raise ValueError(
            f"preset={preset}: no record of a run that was logged to W&B; `make reproduce-lra` makes them, "
            "--preset names another, --records another folder"
        )
    if entity == "":
        entity = str(wandb.Api(timeout=20).default_entity)
    table = build(records, numbers, preset)
    text = markdown.block([table], "results/TABLE.md") if table.changed else markdown.page([table])
    blocks: list[Any] = [reports.MarkdownBlock(text=text), reports.TableOfContents()]
    for task, of_task in by_task.items():
        runs = reports.Runset(
            entity=entity or "",
            project=project if entity else "",
            name=task,
            filters=f"Metric('Group') = '{preset}' and Metric('JobType') = '{task}'",
            groupby=["config.backbone.name"],
        )
        blocks += [reports.H2(text=task), reports.PanelGrid(runsets=[runs], panels=panels(of_task))]
    return {
        "workspace": workspaces.Workspace(
            entity=entity or "",
            project=project,
            name=f"WISE on LRA: {preset}",
            sections=[
                workspaces.Section(name=task, panels=panels(of_task), is_open=True)
                for task, of_task in by_task.items()
            ],
            settings=workspaces.WorkspaceSettings(x_axis=STEP, max_runs=100),
            runset_settings=workspaces.RunsetSettings(
                filters=[workspaces.Metric("Group") == preset],
                groupby=[workspaces.Config("backbone.name")],
            ),
        ),
        "report": reports.Report(
            entity=entity or "",
            project=project,
            title=f"WISE on the Long Range Arena: {preset}",
            description="Built by make dashboard from the records and what the runs log.",
            blocks=blocks,
            width="fluid",
        ),
    }


def panels(records: Sequence[Record]) -> list[Any]:
    """Return the panels of one task, without those that its runs log nothing for."""
    task = records[0].folder
    curve: dict[str, Any] = {
        "x": STEP,
        "groupby": BACKBONE,
        "groupby_aggfunc": "mean",
        "groupby_rangefunc": "minmax",
    }
    accuracy, gradients = f"{task}/validation/accuracy", f"{task}/gradients/total"
    test, speed = f"{task}/test_accuracy", f"{task}/tokens_per_second"
    found: list[Any] = [
        reports.LinePlot(title="Validation accuracy, by backbone", y=[accuracy], range_y=(0, 1), **curve),
        reports.BarPlot(title="Test accuracy", metrics=[test], groupby=BACKBONE, orientation="v"),
        reports.ScatterPlot(
            title="Test accuracy and seconds",
            x=reports.SummaryMetric(f"{task}/seconds_total"),
            y=reports.SummaryMetric(test),
        ),
        reports.BarPlot(title="Training tokens a second", metrics=[speed], groupby=BACKBONE),
        reports.LinePlot(title="Norm of the gradient", y=[gradients], log_y=True, **curve),
        reports.WeavePanelSummaryTable(table_name=TABLE),
    ]
    layers = max((_depth(record) for record in records if record.backbone.startswith("wise_")), default=0)
    pictures = [
        f"{task}/wavelets/{what}_layer{layer + 1}"
        for layer in range(layers)
        for what in ("functions", "responses")
    ]
    return found + [reports.MediaBrowser(title="Learned wavelets", media_keys=pictures)] * bool(pictures)


def _depth(record: Record) -> int:
    """Return the blocks of a record's model, 0 where its configuration does not tell."""
    model = record.config.get("model")
    depth = model.get("depth") if isinstance(model, dict) else None
    return depth if isinstance(depth, int) and depth <= 1024 else 0
