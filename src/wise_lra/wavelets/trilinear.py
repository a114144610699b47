"""The sum behind the transform, and its three derivatives: the filters against a signal, at every second place.

    S(x, band, filter) = sum over b, k, m, c of  filter[m, c] * x[b, 2k + m, c] * band[b, k, c]

It is linear in each. Its derivative by the band is the analysis of x, by x the synthesis of the band, by the filter
a correlation of the two; so the derivatives of each of the three are the other two, at any order, forward and
backward, and this is how they are written here. Analysis and synthesis are a depthwise convolution and its adjoint,
for which processors have kernels that read channels-last data in place. Their kernel for the third is slow: here it
is a matrix product, whose order of summation is fixed.

All take both bands at once: signals are (batch, 2 * count + taps - 2, channels), bands (batch, count, channels),
filters (taps, channels). Sums are in the dtype of the tensors, whatever autocast or TF32 would choose. Dynamo keeps
each call whole in its graph (`allow_in_graph`): looking into a Function whose gradient calls others, it warns.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import reduce
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn.functional import conv2d, pad

_BLOCK = 8  # coefficients, at least, that share one product in `_correlation`; 4 and 16 measured no faster
# Coefficients of a band that `_correlation` takes at a time on a CPU, with the signal's 2 MB of float32; and how
# many at least of each channel and example: below that the calls cost more than the products.
_CACHED, _FEWEST = 2**17, 64

_Gradients = tuple[Tensor | None, ...]


def traced() -> bool:
    """Whether a graph is being made, for which a look at a length would fix it."""
    return torch.compiler.is_compiling() or torch.jit.is_tracing()


@torch.compiler.allow_in_graph
def analyse(x: Tensor, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """Return the bands ``sum_m filter[m] * x[2k + m]`` of the filters ``low`` and ``high``."""
    function = _Analyse.forward if torch.jit.is_tracing() else _Analyse.apply  # a file holds no Function
    return function(x, low, high)


@torch.compiler.allow_in_graph
def synthesise(a: Tensor, d: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Return the signal of the bands ``a`` and ``d``, ``sum_k low[i - 2k] * a[k] + high[i - 2k] * d[k]``."""
    function = _Synthesise.forward if torch.jit.is_tracing() else _Synthesise.apply
    return function(a, d, low, high)


class _Derivative(Function):
    """One derivative of S: a function of two of signal, bands and filters, linear in each of the two."""

    generate_vmap_rule = True

    @staticmethod
    def keep(ctx: Any, one: tuple[Tensor, ...], other: tuple[Tensor, ...]) -> None:
        """Save each of the two where the gradient by the other is wanted: fixed filters keep no signal alive."""
        by_one, by_other = any(ctx.needs_input_grad[: len(one)]), any(ctx.needs_input_grad[len(one) :])
        ctx.save_for_backward(
            *(t if by_other else None for t in one), *(t if by_one else None for t in other)
        )
        ctx.save_for_forward(*one, *other)


class _Analyse(_Derivative):
    @staticmethod
    def forward(x: Tensor, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        with _exact(x):
            a, d = (
                _sequence(conv2d(_image(x), _kernel(f), stride=(1, 2), groups=x.shape[2]))
                for f in (low, high)
            )
        return a, d

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Any) -> None:
        _Derivative.keep(ctx, inputs[:1], inputs[1:])

    @staticmethod
    def backward(ctx: Any, a: Tensor, d: Tensor) -> _Gradients:
        x, low, high = ctx.saved_tensors
        signal = _Synthesise.apply(a, d, low, high) if ctx.needs_input_grad[0] else None
        filters = _Correlate.apply(x, a, d) if any(ctx.needs_input_grad[1:]) else (None, None)
        return signal, *filters

    @staticmethod
    def jvp(ctx: Any, dx: Tensor, dlow: Tensor, dhigh: Tensor) -> tuple[Tensor, ...]:
        x, low, high = ctx.saved_tensors
        return _sums(_Analyse.apply(dx, low, high), _Analyse.apply(x, dlow, dhigh))


class _Synthesise(_Derivative):
    @staticmethod
    def forward(a: Tensor, d: Tensor, low: Tensor, high: Tensor) -> Tensor:
        with _exact(a):
            from_low = _adjoint(_image(a), _kernel(low))
            from_high = _adjoint(_image(d), _kernel(high), like=from_low)
            try:
                return _sequence(from_low.add_(from_high))
            except RuntimeError:  # under vmap over the high band alone the low one has no room for it
                return _sequence(from_low + from_high)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Any) -> None:
        _Derivative.keep(ctx, inputs[:2], inputs[2:])

    @staticmethod
    def backward(ctx: Any, x: Tensor) -> _Gradients:
        a, d, low, high = ctx.saved_tensors
        bands = _Analyse.apply(x, low, high) if any(ctx.needs_input_grad[:2]) else (None, None)
        filters = _Correlate.apply(x, a, d) if any(ctx.needs_input_grad[2:]) else (None, None)
        return *bands, *filters

    @staticmethod
    def jvp(ctx: Any, da: Tensor, dd: Tensor, dlow: Tensor, dhigh: Tensor) -> Tensor:
        a, d, low, high = ctx.saved_tensors
        return _Synthesise.apply(da, dd, low, high) + _Synthesise.apply(a, d, dlow, dhigh)


class _Correlate(_Derivative):
    @staticmethod
    def forward(x: Tensor, a: Tensor, d: Tensor) -> tuple[Tensor, Tensor]:
        with _exact(x):
            return _correlation(x, a, d)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Any) -> None:
        _Derivative.keep(ctx, inputs[:1], inputs[1:])

    @staticmethod
    def backward(ctx: Any, low: Tensor, high: Tensor) -> _Gradients:
        x, a, d = ctx.saved_tensors
        signal = _Synthesise.apply(a, d, low, high) if ctx.needs_input_grad[0] else None
        bands = _Analyse.apply(x, low, high) if any(ctx.needs_input_grad[1:]) else (None, None)
        return signal, *bands

    @staticmethod
    def jvp(ctx: Any, dx: Tensor, da: Tensor, dd: Tensor) -> tuple[Tensor, ...]:
        x, a, d = ctx.saved_tensors
        return _sums(_Correlate.apply(dx, a, d), _Correlate.apply(x, da, dd))


def _sums(some: tuple[Tensor, ...], others: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(one + other for one, other in zip(some, others, strict=True))


@contextmanager
def _exact(x: Tensor) -> Iterator[None]:
    """Keep sums in the dtype of ``x``: autocast would narrow them, and cuDNN would round factors to TF32."""
    conv = torch.backends.cudnn.conv  # type: ignore[attr-defined]
    before = conv.fp32_precision
    with torch.autocast(x.device.type, enabled=False):
        conv.fp32_precision = "ieee"
        try:
            yield
        finally:
            conv.fp32_precision = before


def _image(x: Tensor) -> Tensor:
    """View (batch, length, channels) as a channels-last image one row high."""
    return x.transpose(1, 2).unsqueeze(2)


def _sequence(image: Tensor) -> Tensor:
    """Undo `_image`, by no view that autograd knows: it lets nobody write into a view that a Function returns."""
    sequence = image.squeeze(2).transpose(1, 2)
    return sequence if torch.jit.is_tracing() else torch.ops.aten._unsafe_view(sequence, sequence.shape)


def _kernel(filters: Tensor) -> Tensor:
    return filters.T[:, None, None, :]


def _adjoint(band: Tensor, kernel: Tensor, like: Tensor | None = None) -> Tensor:
    """Return the adjoint of the strided convolution; three times faster here than `conv_transpose2d`.

    ``like``, a tensor of the result's shape, is asked for that alone: it spares the memory of an empty one.
    """
    batch, channels, _, count = band.shape
    if torch.jit.is_tracing():
        return torch.conv_transpose2d(band, kernel, stride=(1, 2), groups=channels)
    if like is None:
        like = _image(band.new_empty(batch, 2 * count + kernel.shape[3] - 2, channels))
    rest = (1, 2), (0, 0), (1, 1), False, (0, 0), channels, (True, False, False)
    return torch.ops.aten.convolution_backward(band, like, kernel, None, *rest)[0]


def _correlation(x: Tensor, a: Tensor, d: Tensor) -> tuple[Tensor, Tensor]:
    """Return ``sum over b, k of x[b, 2k + m, c] * band[b, k, c]``, (taps, channels), of the bands a and d.

    A CPU takes a stretch of coefficients at a time, short enough that what is laid out anew stays in its cache;
    a whole long signal is a transposition in memory, whose cost grows faster than the length.
    """
    batch, count, channels = a.shape
    taps = x.shape[1] - 2 * count + 2
    if x.device.type != "cpu" or not isinstance(count, int):
        return _stretch_correlation(x, a, d)
    stretch = max(_FEWEST, _CACHED // max(1, batch * channels))
    ends = ((begin, begin + stretch) for begin in range(0, count, stretch))
    parts: Iterator[tuple[Tensor, ...]] = (
        _stretch_correlation(x[:, 2 * begin : 2 * end + taps - 2], a[:, begin:end], d[:, begin:end])
        for begin, end in ends
    )
    low, high = reduce(_sums, parts)
    return low, high


def _stretch_correlation(x: Tensor, a: Tensor, d: Tensor) -> tuple[Tensor, Tensor]:
    """Return `_correlation` in one go.

    A block of ``size`` coefficients meets 2 * size samples at its own place and the next 2 * size: two products a
    band, of which the diagonals that run down by two samples a coefficient are summed.
    """
    batch, count, channels = a.shape
    taps = x.shape[1] - 2 * count + 2
    size = max(taps // 2, _BLOCK)
    blocks = -(-count // size)
    x = _by_channel(x, 2 * size, blocks + 1)
    here, beyond = (s.reshape(channels, batch * blocks, 2 * size) for s in (x[:, :, :-1], x[:, :, 1:]))
    sums = []
    for band in (a, d):
        band = _by_channel(band, size, blocks).reshape(channels, batch * blocks, size).mT
        products = torch.cat([band @ here, band @ beyond], dim=2)  # (channels, size, 4 * size)
        diagonals = pad(products.flatten(1), (0, 2 * size)).unflatten(1, (size, 4 * size + 2))
        sums.append(diagonals[:, :, :taps].sum(dim=1).T)
    return sums[0], sums[1]


def _by_channel(x: Tensor, size: int, blocks: int) -> Tensor:
    """Return ``x`` (batch, length, channels), zeros added or the end cut, as (channels, batch, blocks, size)."""
    x = pad(x, (0, 0, 0, size * blocks - x.shape[1]))
    return x.unflatten(1, (blocks, size)).permute(3, 0, 1, 2).contiguous()
