"""The sweepers and the launcher that Hydra finds: it takes plug-ins from this namespace alone."""

from wise_lra.runs.launcher import Local as _Local
from wise_lra.runs.search import Search as _Search
from wise_lra.runs.sweeper import Grid as _Grid


class Grid(_Grid):
    """The sweeper of a multirun: the product of the values given."""


class Search(_Search):
    """The sweeper of a search by Optuna."""


class Local(_Local):
    """The launcher of this machine: a process for each job."""
