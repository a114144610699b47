"""Functions, responses, errors and energies of a bank, of filters or of lifting, from impulses and noise."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from wise_lra.wavelets import BiorthogonalBank, DirectBank, FixedBank, LiftingBank, OrthogonalBank

Bank = FixedBank | DirectBank | OrthogonalBank | LiftingBank | BiorthogonalBank

_CASCADE = 6  # levels: 64 points a unit of time
_DEEPEST = 6  # level at which reconstruction is still measured


def banks(model: nn.Module) -> list[tuple[nn.Module, Bank]]:
    """Return the mixers of a model that hold a bank, with it, first layer first."""
    found = [(part, getattr(part, "bank", None)) for part in model.modules()]
    return [(part, bank) for part, bank in found if isinstance(bank, Bank)]


def functions(bank: Bank, level: int = _CASCADE) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return time (points,), scaling and wavelet function (points, channels), each of unit energy.

    The cascade algorithm: a unit impulse in a band of `level` levels, reconstructed, is the function, sampled
    2^level times a unit of time. Time 0 is the impulse's, so functions that become longer in training keep their
    place. A learned lifting is not linear: its functions are the answers to impulses of height one.
    """
    low, high, origin = _impulses(bank, level)
    inside = np.flatnonzero(np.maximum(abs(low), abs(high)).max(axis=1) > 0)
    first, last = (inside[0], inside[-1] + 1) if len(inside) else (0, len(low))
    low, high = (_unit(band[first:last]) * 2 ** (level / 2) for band in (low, high))
    return (np.arange(first, last) - origin) / 2**level, low, high


def responses(bank: Bank, points: int = 513) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return frequency (points,) in cycles a sample, 0 to 1/2, and |H| and |G| (points, channels) of synthesis."""
    low, high, _ = _impulses(bank, 1)
    size = max(2 * (points - 1), len(low))
    size += -size % (2 * (points - 1))
    every = size // (2 * (points - 1))
    h, g = (abs(np.fft.rfft(band, size, axis=0))[::every] for band in (low, high))
    return np.linspace(0, 0.5, points), h, g


def errors(bank: Bank, length: int, channels: int) -> dict[int, float]:
    """Return level -> ``|x - reconstructed| / |x|`` of float32 noise (4, length, channels), up to level 6.

    Levels that are too deep for the length are left out.
    """
    x = torch.randn(4, length, channels, generator=torch.Generator().manual_seed(0))
    found = {}
    for level in range(1, _DEEPEST + 1):
        own = _copy(bank, level).float()
        try:
            own.band_lengths(length)
        except ValueError:
            break
        with torch.no_grad():
            found[level] = float((own.reconstruct(own.decompose(x), length) - x).norm() / x.norm())
    return found


def energies(model: nn.Module, forward: Callable[[], Any]) -> np.ndarray:
    """Return (layers, bands): the share of each band, coarsest first, in the energy that enters a layer.

    `forward` runs the model on some examples; padded positions count nothing.
    """
    sums: list[Tensor] = []

    def look(mixer: nn.Module, inputs: tuple[Any, ...]) -> None:
        x, mask = inputs[0], inputs[1] if len(inputs) > 1 else None
        x = x if mask is None else x * mask.unsqueeze(-1)
        bands = mixer.bank.decompose(x)  # type: ignore[operator, union-attr]
        sums.append(torch.stack([band.double().square().sum() for band in bands]))

    hooks = [mixer.register_forward_pre_hook(look) for mixer, _ in banks(model)]
    training = model.training
    try:
        model.eval()
        with torch.no_grad():
            forward()
    finally:
        model.train(training)
        for hook in hooks:
            hook.remove()
    share = torch.stack(sums)
    return (share / share.sum(dim=1, keepdim=True)).cpu().numpy()


def _impulses(bank: Bank, level: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Return (length, channels) reconstructed from an impulse in the low band, and in the high, and its place."""
    own = _copy(bank, level).double()
    parameters = list(own.parameters())
    channels = parameters[0].shape[1] if parameters else 1
    lifted = (getattr(own, name, None) for name in ("predict", "update", "estimate"))
    reach = 4 if isinstance(own, LiftingBank) else own.filters().taps
    reach += sum(len(filters) for filters in lifted if isinstance(filters, Tensor))
    length = 4 * reach << level
    lengths = own.band_lengths(length)
    answers = []
    for place in (0, 1):
        bands = [torch.zeros(1, n, channels, dtype=torch.float64) for n in lengths]
        bands[place][:, lengths[place] // 2] = 1
        with torch.no_grad():
            answers.append(own.reconstruct(bands, length)[0].numpy())
    return answers[0], answers[1], lengths[0] // 2 << level


def _copy(bank: Bank, level: int) -> Bank:
    own = copy.deepcopy(bank).cpu()
    own.level = level
    return own


def _unit(function: np.ndarray) -> np.ndarray:
    """Scale each channel to unit norm."""
    return function / np.maximum(np.linalg.norm(function, axis=0), 1e-300)
