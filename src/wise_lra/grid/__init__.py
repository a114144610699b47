"""The grid of runs: which cells there are, one process a cell, how each of them stands. Needs no torch."""

from wise_lra.grid.lock import AlreadyRunning, claim

__all__ = ["AlreadyRunning", "claim"]
