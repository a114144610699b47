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
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution

from wise_lra.config import CONFIGS, ConfigurationError, options, wandb_mode, wandb_project
from wise_lra.loggers import offline_reason
from wise_lra.results.atomic import write_text
from wise_lra.results.reading import one_line
from wise_lra.runs.space import Space, corners


def main() -> int:
    """Return 0 when the sweep is created or written, 1 where W&B refuses it, 2 on a bad space or setting."""
    options_ = parse_options()
    try:
        space, settings = searched(options_.sweep, options_.overrides)
        space.check()
        project, mode = wandb_project(options_.project), wandb_mode()
    except ConfigurationError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    sweep = definition(options_.sweep, space, options_.trials or settings["trials"])
    path = options_.out or Path(f"results/searches/{options_.sweep}.wandb.yaml")
    write_text(path, yaml.safe_dump(sweep, sort_keys=False))
    print(f"written: {path} ({len(space.distributions)} parameters, each value of them checked)")
    if reason := offline_reason(mode):
        print(
            f"not created, for W&B is offline: {reason}; create it with: "
            f"{shlex.join(['wandb', 'sweep', '--project', project, str(path)])}"
        )
        return 0
    import wandb

    try:
        identity = wandb.sweep(sweep, project=project)
    except Exception as error:  # what W&B raises for want of key, network or right is without limit
        print(f"error: {one_line(f'{type(error).__name__}: {error}')}", file=sys.stderr)
        return 1
    print(
        f"created; run as many agents as there are machines: "
        f"{shlex.join(['wandb', 'agent', f'{project}/{identity}'])}"
    )
    return 0


def searched(name: str, overrides: list[str]) -> tuple[Space, dict[str, Any]]:
    """Return the space of configs/sweep/<name>.yaml and the sweeper's settings. Raises ConfigurationError."""
    known = [option for option in options("sweep") if option != "product"]
    if name not in known:
        raise ConfigurationError(f"sweep={name}: no such search; expected one of {', '.join(known)}")
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        config = hydra_compose("train", [f"sweep={name}"], return_hydra_config=True)
    sweeper = config.hydra.sweeper
    return Space.of(sweeper.params, sweeper.first, [f"sweep={name}", *overrides]), {"trials": sweeper.trials}


def definition(name: str, space: Space, trials: int) -> dict[str, Any]:
    """Return the sweep as W&B reads it: Bayesian, its poor trials ended by Hyperband."""
    return {
        "name": name,
        "program": "scripts/train.py",
        "method": "bayes",
        "metric": {"name": "validation/accuracy", "goal": "maximize"},
        "run_cap": trials,
        "early_terminate": {"type": "hyperband", "min_iter": 3},
        "parameters": {key: parameter(within) for key, within in space.distributions.items()},
        "command": [
            *("${env}", "${interpreter}", "${program}"),
            *space.fixed,
            "test=false",
            "${args_no_hyphens}",
        ],
    }


def parameter(within: BaseDistribution) -> dict[str, Any]:
    """Return a distribution in W&B's words."""
    if isinstance(within, CategoricalDistribution):
        return {"values": list(within.choices)}
    low, high = corners(within)
    whole, log = isinstance(within, IntDistribution), within.log  # type: ignore[attr-defined]
    words = {
        (False, False): "uniform",
        (False, True): "log_uniform_values",
        (True, True): "q_log_uniform_values",
    }
    kind = {"distribution": words[whole, log]} if (whole, log) in words else {}
    return {"min": low, "max": high} | kind | ({"q": 1} if whole and log else {})


def parse_options() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    option = parser.add_argument
    option("sweep", help="a search of configs/sweep: listops, text, retrieval, image, pathfinder")
    option(
        "overrides",
        nargs="*",
        help="settings of every run, or a narrower space, as scripts/train.py takes them",
    )
    option("--trials", type=int, help="runs in all; by default as the search says")
    option("--out", type=Path, help="where the YAML goes; by default results/searches/<sweep>.wandb.yaml")
    option("--project", help="W&B project; by default WANDB_PROJECT, or wise-lra")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
