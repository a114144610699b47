"""Make a sweep of Weights & Biases of the same space that `train.py -m sweep=<name>` searches.

  python scripts/wandb_sweep.py image preset=lra backbone=wise_fixed

Every value of the space is tried on a configuration first. With a key and a network the sweep is created, and the
line that runs an agent is printed; else the YAML is written, for `wandb sweep` where there are some. What an agent
runs has test=false: as in any search, test data are not read. W&B has no first trials: it draws from the start.
"""

from wise_lra.stopping import end_quietly

if __name__ == "__main__":
    end_quietly()

import argparse
import shlex
import sys
from pathlib import Path
from typing import Any

import yaml
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution

from wise_lra.config import CONFIGS, ConfigurationError, options, wandb_mode, wandb_project
from wise_lra.loggers import offline_reason
from wise_lra.results.atomic import write_text
from wise_lra.results.reading import one_line
from wise_lra.runs.space import Space, corners

SEARCHES = [option for option in options("sweep") if option != "product"]


def main() -> int:
    """Return 0 when the sweep is created or written, 1 where W&B refuses it, 2 on a bad space or setting."""
    parser = argparse.ArgumentParser(
        description=__doc__, allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    option = parser.add_argument
    option("sweep", help=f"a search of configs/sweep: {', '.join(SEARCHES)}")
    option("overrides", nargs="*", help="settings of every run, or a narrower space, as for scripts/train.py")
    option("--trials", type=int, default=30, help="runs in all; by default 30")
    option("--out", type=Path, help="where the YAML goes; by default results/searches/<sweep>.wandb.yaml")
    option("--project", help="W&B project; by default WANDB_PROJECT, or wise-lra")
    chosen = parser.parse_args()
    try:
        space = searched(chosen.sweep, chosen.overrides)
        project, mode = wandb_project(chosen.project), wandb_mode()
    except ConfigurationError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    sweep = definition(chosen.sweep, space, chosen.trials)
    path = chosen.out or Path(f"results/searches/{chosen.sweep}.wandb.yaml")
    write_text(path, yaml.safe_dump(sweep, sort_keys=False))
    print(f"written: {path} ({len(space.distributions)} parameters, each value of them checked)")
    if reason := offline_reason(mode):
        create = shlex.join(["wandb", "sweep", "--project", project, str(path)])
        print(f"not created, for W&B is offline: {reason}; create it with: {create}")
        return 0
    import wandb

    try:
        identity = wandb.sweep(sweep, project=project)
    except Exception as error:  # W&B raises many types for a missing key, network or right
        print(f"error: {one_line(f'{type(error).__name__}: {error}')}", file=sys.stderr)
        return 1
    agent = shlex.join(["wandb", "agent", f"{project}/{identity}"])
    print(f"created; run as many agents as there are machines: {agent}")
    return 0


def searched(name: str, overrides: list[str]) -> Space:
    """Return the checked space of configs/sweep/<name>.yaml. Raises ConfigurationError."""
    if name not in SEARCHES:
        raise ConfigurationError(f"sweep={name}: no such search; expected one of {', '.join(SEARCHES)}")
    content = yaml.safe_load((CONFIGS / "sweep" / f"{name}.yaml").read_text(encoding="utf-8"))
    sweeper = content["hydra"]["sweeper"]
    space = Space.of(sweeper["params"], sweeper["first"], [f"sweep={name}", *overrides])
    space.check()
    return space


def definition(name: str, space: Space, trials: int) -> dict[str, Any]:
    """Return the sweep as W&B reads it: Bayesian, its poor trials ended by Hyperband."""
    words = ("${env}", "${interpreter}", "${program}", *space.fixed, "test=false", "${args_no_hyphens}")
    return {
        "name": name,
        "program": "scripts/train.py",
        "method": "bayes",
        "metric": {"name": "validation/accuracy", "goal": "maximize"},
        "run_cap": trials,
        "early_terminate": {"type": "hyperband", "min_iter": 3},
        "parameters": {key: parameter(within) for key, within in space.distributions.items()},
        "command": list(words),
    }


def parameter(within: BaseDistribution) -> dict[str, Any]:
    """Return a distribution in W&B's words."""
    if isinstance(within, CategoricalDistribution):
        return {"values": list(within.choices)}
    low, high = corners(within)
    whole, log = isinstance(within, IntDistribution), within.log  # type: ignore[attr-defined]
    if whole:
        more = {"distribution": "q_log_uniform_values", "q": 1} if log else {}
    else:
        more = {"distribution": "log_uniform_values" if log else "uniform"}
    return {"min": low, "max": high, **more}


if __name__ == "__main__":
    sys.exit(main())
