"""How a signal (batch, length, channels) goes on beyond its ends: PyWavelets' modes, as weighted samples."""

from functools import lru_cache, reduce
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

MODES = (
    *("reflect", "symmetric", "zero", "periodization", "periodic"),
    *("constant", "smooth", "antisymmetric", "antireflect"),
)


class Extension(NamedTuple):
    """A signal of ``length`` samples that goes on for ``before`` and ``after`` samples, as ``mode`` says."""

    length: int
    before: int
    after: int
    mode: str

    def count(self, taps: int) -> int:
        """Return the number of coefficients of each band."""
        return (self.before + self.length + self.after - taps) // 2 + 1

    def taps(self, count: int) -> int:
        """Return the number of taps with which there are so many coefficients."""
        return self.before + self.length + self.after - 2 * count + 2

    def of(self, x: Tensor) -> Tensor:
        """Return the longer signal."""
        return extend(x, self.before, self.after, self.mode)

    def adjoint(self, y: Tensor) -> Tensor:
        """Return the gradient of `of`, where ``y`` is that of the longer signal."""
        x = y.new_zeros(y.shape[0], self.length, y.shape[2])
        return torch.func.vjp(self.of, x)[1](y)[0]

    def table(self) -> tuple[np.ndarray, np.ndarray]:
        """Return places and weights, each (before + after, terms), of the samples that each new one sums."""
        return _table(self)


@lru_cache(maxsize=1024)
def _table(extension: Extension) -> tuple[np.ndarray, np.ndarray]:
    n, before, after, mode = extension
    if mode == "zero":
        return np.zeros((0, 1), np.int64), np.zeros((0, 1))
    place = torch.cat([torch.arange(-before, 0), torch.arange(n, n + after)])
    terms = [
        (found, torch.ones(()) if weight is None else weight) for found, weight in _terms(n, place, mode)
    ]
    places, weights = ([t.expand(place.shape) for t in some] for some in zip(*terms, strict=True))
    return torch.stack(places, 1).numpy(), torch.stack(weights, 1).double().numpy()


# Where a graph leaves the length open it is no int. Samples are then gathered at places: of a slice a compiler asks
# where it ends, and makes one graph for even lengths and another for odd ones.
@torch.compiler.allow_in_graph
def extend(x: Tensor, before: int, after: int, mode: str) -> Tensor:
    """Return a copy of ``x`` that goes on for ``before`` and ``after`` samples, as ``mode`` says."""
    n = x.shape[1]
    if not isinstance(n, int):
        return at(x, torch.arange(before + n + after, device=x.device) - before, mode)
    if mode == "zero":
        return pad(x, (0, 0, before, after))
    left = at(x, torch.arange(-before, 0, device=x.device), mode)
    right = at(x, torch.arange(n, n + after, device=x.device), mode)
    return torch.cat([left, x, right], dim=1)


def at(x: Tensor, place: Tensor, mode: str) -> Tensor:
    """Return the samples at places, also beyond the ends, by PyWavelets' definition of ``mode``."""
    n = x.shape[1]
    if mode == "zero":
        nearest = place.clamp(0, n - 1)
        return x[:, nearest].masked_fill((nearest != place)[:, None], 0)
    terms = _terms(n, place, mode)
    samples = (x[:, inside] if weight is None else x[:, inside] * weight[:, None] for inside, weight in terms)
    return reduce(torch.add, samples)


_Terms = list[tuple[Tensor, Tensor | None]]


def _terms(n: int, place: Tensor, mode: str) -> _Terms:
    """Return places inside, and weights or None for 1: the sample at a place is the sum of weight * x[inside]."""
    if mode == "periodic":
        return [(place % n, None)]
    if mode == "periodization":  # periodic, an odd length made even by its last sample once more
        return [((place % (n + n % 2)).clamp(max=n - 1), None)]
    if (
        mode == "padded"
    ):  # periodic, an odd length made even by a zero: what the synthesis of periodization undoes
        inside = place % (n + n % 2)
        return [(inside.clamp(max=n - 1), inside < n)]
    if mode in ("constant", "smooth"):
        nearest = place.clamp(0, n - 1)
        if mode == "constant":
            return [(nearest, None)]
        beyond = place - nearest
        inner = (nearest - beyond.sign()).clamp(0, n - 1)
        return [(nearest, 1 + beyond.abs()), (inner, -beyond.abs())]
    twice = int(mode in ("symmetric", "antisymmetric"))  # 1: the last sample is also the first beyond it
    whole = 2 * (n - 1 + twice) + (1 - twice) * (n == 1)
    folded = place % whole
    mirrored = torch.minimum(folded, whole - twice - folded)
    if mode in ("reflect", "symmetric"):
        return [(mirrored, None)]
    turn = 2 * place // whole
    odd = turn % 2
    if twice:
        return [(mirrored, 1 - 2 * odd)]
    return [
        (mirrored, 1 - 2 * odd),
        (mirrored.new_full((), n - 1).expand(mirrored.shape), turn + odd),
        (torch.zeros_like(mirrored), odd - turn),
    ]
