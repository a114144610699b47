"""Build the project's workspace and report in Weights & Biases from the records; --dry-run only writes them down.

  make dashboard
  make dashboard ARGS='--preset quick --dry-run results/dashboard.json'

The specification needs no account; saving it does: an API key in WANDB_API_KEY or from `wandb login`.
"""

from wise_lra.stopping import end_quietly

if __name__ == "__main__":
    end_quietly()

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from wise_lra.config import wandb_project
from wise_lra.registry import PRESETS
from wise_lra.results.atomic import write_text
from wise_lra.results.published import read_published
from wise_lra.results.reading import one_line, skipped
from wise_lra.results.record import read_all
from wise_lra.results.tables import build


def main() -> int:
    """Return 0; 1 where W&B cannot be asked or refuses, 2 where there is nothing to show."""
    options = parse_options()
    try:
        options.project = wandb_project(options.project)
        spec = built(
            options, "" if options.dry_run else options.entity or os.environ.get("WANDB_ENTITY") or entity()
        )
    except (ValueError, OSError) as error:
        return failed(error, 2)
    except Exception as error:  # what W&B raises for want of key, network or right is without limit
        return failed(error, 1)
    if options.dry_run:
        views = {name: view._to_model().model_dump(by_alias=True, mode="json") for name, view in spec.items()}
        write_text(options.dry_run, json.dumps(views, indent=1) + "\n", overwrite=True)
        print(options.dry_run)
        return 0
    try:
        for name, view in spec.items():
            print(f"{name}: {view.save().url}")
    except Exception as error:
        return failed(error, 1)
    return 0


def parse_options() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    option = parser.add_argument
    option("--preset", help="whose runs; by default the largest that has records")
    option("--records", type=Path, default=Path("results/records"), help="folder of records")
    option("--published", type=Path, default=Path("results/published"), help="folder of published numbers")
    option("--entity", help="user or team in W&B; by default WANDB_ENTITY, or the one of the key")
    option(
        "--project", help="project in W&B, as logger.project has it; by default WANDB_PROJECT, or wise-lra"
    )
    option("--dry-run", type=Path, metavar="FILE", help="write the specification there, as JSON; ask nobody")
    return parser.parse_args()


def built(options: argparse.Namespace, entity: str) -> dict[str, Any]:
    """Return the workspace and the report. Raises ValueError where no record tells of a run that W&B has."""
    from wise_lra.dashboards import by_task, report, workspace  # here: W&B takes seconds to import

    faults: list[str] = []
    records = read_all(options.records, faults)
    for line in skipped(faults):
        print(line, file=sys.stderr)
    here = [name for name in PRESETS if any(record.preset == name for record in records)]
    preset = options.preset or (here or ["quick"])[0]
    own = [record for record in records if record.preset == preset]
    if not by_task(own):
        raise ValueError(
            f"{options.records}: no record of preset={preset} whose run was logged to W&B; expected some: "
            "`make reproduce-lra` makes them, --preset names another"
        )
    table = build(records, read_published(options.published), preset)
    return {
        "workspace": workspace(own, preset, entity, options.project),
        "report": report(table, own, entity, options.project),
    }


def entity() -> str:
    """Return whose key it is. Raises what W&B raises without one."""
    import wandb

    return str(wandb.Api(timeout=20).default_entity)


def failed(error: Exception, status: int) -> int:
    """Print an error in a line; return the status."""
    print(f"error: {one_line(error)}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
