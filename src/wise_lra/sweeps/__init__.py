"""Sweeps: many runs from one command, on Hydra's sweepers and launchers. Nothing here imports torch at once."""

from wise_lra.sweeps.outcome import Outcome

__all__ = ["Outcome"]
