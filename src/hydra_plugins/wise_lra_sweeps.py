"""What Hydra finds of this project: it takes plug-ins from this namespace alone."""

from importlib.util import find_spec

from wise_lra.sweeps.product import Product as _Product
from wise_lra.sweeps.search import Search as _Search


class Product(_Product):
    """The sweeper of a plain multirun."""


class Search(_Search):
    """The sweeper of a search by Optuna."""


if find_spec("submitit") and find_spec("hydra_plugins.hydra_submitit_launcher"):
    from hydra_plugins.hydra_submitit_launcher.submitit_launcher import BaseSubmititLauncher

    from wise_lra.sweeps.cluster import Submitted

    class Local(Submitted, BaseSubmititLauncher):
        """The launcher that gives every job a process of its own on this machine."""

        _EXECUTOR = "local"

    class Slurm(Submitted, BaseSubmititLauncher):
        """The launcher that sends every job to Slurm."""

        _EXECUTOR = "slurm"
