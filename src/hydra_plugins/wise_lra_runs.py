"""The sweepers and the launcher that Hydra finds: it takes plug-ins from this namespace alone."""

from typing import Any

from hydra.plugins.sweeper import Sweeper

from wise_lra.config import ConfigurationError
from wise_lra.runs.launcher import Local as _Local
from wise_lra.runs.sweeper import EXTRA
from wise_lra.runs.sweeper import Grid as _Grid


class Grid(_Grid):
    """The sweeper of a multirun: the product of the values given."""


class Local(_Local):
    """The launcher of this machine: a process for each job."""


class Search(Sweeper):
    """The sweeper of a search: `wise_lra.runs.search.Search`, imported where it is used, with Optuna."""

    def __init__(self, **settings: Any) -> None:
        self.settings = settings

    def setup(self, **given: Any) -> None:
        """Take what Hydra gives. Raises ConfigurationError on a bad setting, and without Optuna."""
        try:
            from wise_lra.runs import search
        except ImportError:
            raise ConfigurationError(f"hydra/sweeper=optuna: Optuna is not installed; {EXTRA}") from None
        self.search = search.Search(**self.settings)
        self.search.setup(**given)

    def sweep(self, arguments: list[str]) -> None:
        """Search."""
        self.search.sweep(arguments)
