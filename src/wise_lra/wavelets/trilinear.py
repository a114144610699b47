"""The sum behind the transform, and its three derivatives: the filters against a signal, at every second place.

    S(x, band, filter) = sum over b, k, m, c of  filter[m, c] * x[b, 2k + m, c] * band[b, k, c]

It is linear in each. Its derivative by the band is the analysis of x, by x the synthesis of the band, by the filter
a correlation of the two; so the derivatives of each of the three are the other two, at any order, forward and
backward, and this is how they are written here. Analysis and synthesis are a depthwise convolution and its adjoint,
for which processors have kernels that read channels-last data in place. Their kernel for the third is slow: here it
is a matrix product, whose order of summation is fixed.

All take both bands at once: signals are (batch, 2 * count + taps - 2, channels), bands (batch, count, channels),
filters (taps, channels). With an `Extension` the signal is the shorter one that it continues, and on a processor
`kernels` takes each sum in one pass, where Numba is installed and can compile. Sums are in the dtype of the
tensors, whatever autocast or TF32 would choose. Dynamo keeps each call whole in its graph (`allow_in_graph`):
looking into a Function whose gradient calls others, it warns.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache, reduce
from inspect import signature
from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn import Parameter
from torch.nn.functional import conv2d, pad

from .extension import Extension

_BLOCK = 8  # coefficients, at least, that share one product in `_correlation`; 4 and 16 measured no faster
# Coefficients of a band that `_correlation` takes at a time on a CPU, with the signal's 2 MB of float32; and how
# many at least of each channel and example: below that the calls cost more than the products.
_CACHED, _FEWEST = 2**17, 64


def traced() -> bool:
    """Whether a graph is being made, for which a look at a length would fix it."""
    return torch.compiler.is_compiling() or torch.jit.is_tracing()


def kernels_for(*tensors: Tensor) -> ModuleType | None:
    """Return `kernels` where they can take these tensors; None on a GPU, without Numba, while a graph is made."""
    if traced() or torch._C._len_torch_dispatch_stack():  # what looks at operations shall see them
        return None
    dtype = tensors[0].dtype
    try:
        plain = dtype in (torch.float32, torch.float64) and all(
            type(t) in (Tensor, Parameter) and (t.dtype, t.device.type) == (dtype, "cpu")
            and (t.data_ptr() or not t.numel())
            for t in tensors
        )  # fmt: skip
    except RuntimeError:  # under vmap, for one, tensors have no memory of their own
        return None
    return _kernels() if plain else None


@lru_cache
def _kernels() -> ModuleType | None:
    """Return `kernels`, or None where Numba is not installed or cannot compile, for whatever reason it gives."""
    try:
        from . import kernels

        one = torch.ones(1, 2, 1)
        kernels.derivative(_BANDS, Extension(2, 0, 0, "zero"), one, one[0], one[0])
    except Exception:
        return None
    return kernels


@torch.compiler.allow_in_graph
def analyse(
    x: Tensor, low: Tensor, high: Tensor, extension: Extension | None = None
) -> tuple[Tensor, Tensor]:
    """Return the bands ``sum_m filter[m] * x[2k + m]`` of the filters ``low`` and ``high``."""
    a, d = _derivative(_BANDS, extension, x, low, high)
    return a, d


@torch.compiler.allow_in_graph
def synthesise(a: Tensor, d: Tensor, low: Tensor, high: Tensor, extension: Extension | None = None) -> Tensor:
    """Return the signal of the bands ``a`` and ``d``, ``sum_k low[i - 2k] * a[k] + high[i - 2k] * d[k]``."""
    return _derivative(_SIGNAL, extension, a, d, low, high)[0]


def _derivative(by: int, extension: Extension | None, *others: Tensor) -> tuple[Tensor, ...]:
    function = (
        _Derivative.forward if torch.jit.is_tracing() else _Derivative.apply
    )  # a file holds no Function
    return function(by, extension, *others)


_SIGNAL, _BANDS, _FILTERS = range(3)
_Parts = dict[int, tuple[Any, ...]]  # some of x, (a, d), (low, high)


class _Derivative(Function):
    """The derivative of S by signal, bands or filters: a function of the other two, linear in each."""

    generate_vmap_rule = True

    @staticmethod
    def forward(by: int, extension: Extension | None, *others: Tensor) -> tuple[Tensor, ...]:
        kernels = kernels_for(*others) if extension is not None else None
        if kernels is not None:
            return kernels.derivative(by, extension, *others)
        if extension is not None and by != _SIGNAL:
            others = extension.of(others[0]), *others[1:]
        with _exact(others[0]):
            found = (_synthesis, _analysis, _correlation)[by](*others)
        return found if extension is None or by != _SIGNAL else (extension.adjoint(found[0]),)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        ctx.by, ctx.extension, *others = inputs
        ctx.wanted = {of: any(some) for of, some in _parts(ctx.by, ctx.needs_input_grad[2:]).items()}
        one, other = _parts(ctx.by, others).items()
        # Each is saved where the gradient by the other is wanted: fixed filters keep no signal alive.
        kept = [
            t if ctx.wanted[of] else None
            for of, some in ((other[0], one[1]), (one[0], other[1]))
            for t in some
        ]
        ctx.save_for_backward(*kept)
        ctx.save_for_forward(*others)

    @staticmethod
    def backward(ctx: Any, *gradient: Tensor) -> tuple[Tensor | None, ...]:
        # Where nobody asks for a second derivative the function alone is faster.
        derivative = _Derivative.apply if torch.is_grad_enabled() else _Derivative.forward
        given = _parts(ctx.by, ctx.saved_tensors)
        found: list[Tensor | None] = []
        for of, tensors in given.items():
            others = {**given, ctx.by: gradient}
            del others[of]
            if ctx.wanted[of]:
                found += derivative(of, ctx.extension, *(t for slot in sorted(others) for t in others[slot]))
            else:
                found += [None] * len(tensors)
        return None, None, *found

    @staticmethod
    def jvp(ctx: Any, _: None, __: None, *tangents: Tensor) -> tuple[Tensor, ...]:
        given, moved = _parts(ctx.by, ctx.saved_tensors), _parts(ctx.by, tangents)
        one, two = given
        some, others = (
            _Derivative.apply(ctx.by, ctx.extension, *first, *second)
            for first, second in ((moved[one], given[two]), (given[one], moved[two]))
        )
        return _sums(some, others)


# `apply` asks for it at every call, which takes as long as a small transform.
_Derivative.forward.__signature__ = signature(_Derivative.forward)  # type: ignore[attr-defined]


def _parts(by: int, others: Sequence[Any]) -> _Parts:
    """Return two of signal, bands and filters: all but that by which the derivative is."""
    one, two = (slot for slot in (_SIGNAL, _BANDS, _FILTERS) if slot != by)
    split = 1 if one == _SIGNAL else 2
    return {one: tuple(others[:split]), two: tuple(others[split:])}


def _analysis(x: Tensor, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    a, d = (_sequence(conv2d(_image(x), _kernel(f), stride=(1, 2), groups=x.shape[2])) for f in (low, high))
    return a, d


def _synthesis(a: Tensor, d: Tensor, low: Tensor, high: Tensor) -> tuple[Tensor]:
    from_low = _adjoint(_image(a), _kernel(low))
    from_high = _adjoint(_image(d), _kernel(high), like=from_low)
    try:
        return (_sequence(from_low.add_(from_high)),)
    except RuntimeError:  # under vmap over the high band alone the low one has no room for it
        return (_sequence(from_low + from_high),)


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

    A CPU takes a chunk of coefficients at a time, short enough that what is laid out anew stays in its cache;
    a whole long signal is a transposition in memory, whose cost grows faster than the length.
    """
    batch, count, channels = a.shape
    taps = x.shape[1] - 2 * count + 2
    if x.device.type != "cpu" or not isinstance(count, int):
        return _chunk_correlation(x, a, d)
    chunk = max(_FEWEST, _CACHED // max(1, batch * channels))
    ends = ((begin, begin + chunk) for begin in range(0, count, chunk))
    parts: Iterator[tuple[Tensor, ...]] = (
        _chunk_correlation(x[:, 2 * begin : 2 * end + taps - 2], a[:, begin:end], d[:, begin:end])
        for begin, end in ends
    )
    low, high = reduce(_sums, parts)
    return low, high


def _chunk_correlation(x: Tensor, a: Tensor, d: Tensor) -> tuple[Tensor, Tensor]:
    """Return `_correlation` in one go.

    A block of ``size`` coefficients meets 2 * size samples at its own place and the next 2 * size: two products a
    band. The diagonals that run down by two samples a coefficient are summed.
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
