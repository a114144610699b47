"""Pictures of wavelet banks: what is measured of a bank, and how it is drawn."""

from .costs import draw_costs
from .draw import draw_energies, draw_errors, draw_functions, draw_responses, pixels, save
from .learning import learning_curves
from .measure import BANKS, Bank, banks, energies, errors, functions, responses

__all__ = [
    "BANKS",
    "Bank",
    "banks",
    "draw_costs",
    "draw_energies",
    "draw_errors",
    "draw_functions",
    "draw_responses",
    "energies",
    "errors",
    "functions",
    "learning_curves",
    "pixels",
    "responses",
    "save",
]
