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

from wise_lra.config import wandb_project
from wise_lra.results.atomic import write_text
from wise_lra.results.published import read_published
from wise_lra.results.reading import one_line, skipped
from wise_lra.results.record import read_all


def main() -> int:
    """Return 0; 1 where W&B cannot be asked or refuses, 2 where there is nothing to show."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    option = parser.add_argument
    option("--preset", help="whose runs; by default the largest that has records")
    option("--records", type=Path, default=Path("results/records"), help="folder of records")
    option("--published", type=Path, default=Path("results/published"), help="folder of published numbers")
    option("--entity", help="user or team in W&B; by default WANDB_ENTITY, or the one of the key")
    option("--project", help="project in W&B, as logger.project; by default WANDB_PROJECT, or wise-lra")
    option("--dry-run", type=Path, metavar="FILE", help="write the specification there, as JSON; ask nobody")
    options = parser.parse_args()
    try:
        show(options)
    except (ValueError, OSError) as error:
        print(f"error: {one_line(error)}", file=sys.stderr)
        return 2
    except Exception as error:  # what W&B raises for want of key, network or right is without limit
        print(f"error: {one_line(error)}", file=sys.stderr)
        return 1
    return 0


def show(options: argparse.Namespace) -> None:
    """Save or write the views. Raises ValueError where no record is of a run that W&B has, and what W&B raises."""
    from wise_lra.dashboards import views  # here: W&B takes seconds to import

    project, faults = wandb_project(options.project), []  # type: ignore[var-annotated]
    records, numbers = read_all(options.records, faults), read_published(options.published)
    for line in skipped(faults):
        print(line, file=sys.stderr)
    entity = options.entity or os.environ.get("WANDB_ENTITY") or ""
    built = views(records, numbers, options.preset, None if options.dry_run else entity, project)
    if options.dry_run:
        plain = {
            name: view._to_model().model_dump(by_alias=True, mode="json") for name, view in built.items()
        }
        write_text(options.dry_run, json.dumps(plain, indent=1) + "\n")
        print(options.dry_run)
        return
    for name, view in built.items():
        try:
            print(f"{name}: {view.save().url}")
        except (ValueError, OSError) as error:  # of W&B, not of the user
            raise RuntimeError(error) from None


if __name__ == "__main__":
    sys.exit(main())
