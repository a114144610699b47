"""The three sums of `trilinear` on a processor: Numba compiles them at their first use and keeps them in its cache.

Each reads and writes every tensor once, and continues a signal by its `Extension`'s table, not by a copy. By the
parity of their places samples are two sequences, as the two bands are: analysis and synthesis both are sums of two
sequences, twice. The inner loop is written in LLVM's vectors of neighbouring channels, since LLVM does not find out
that the sums of several rows fit into registers while the taps go by.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import product
from typing import Any

import numpy as np
import torch
from llvmlite import ir
from llvmlite.binding import get_host_cpu_features
from numba import njit, types
from numba.core.cgutils import alloca_once_value, for_range, for_range_slice, unpack_tuple
from numba.extending import intrinsic
from torch import Tensor

from .extension import Extension

_WIDE = get_host_cpu_features().get("avx512f", False)
_BYTES = 64 if _WIDE else 32  # of a vector
_ROWS = 8 if _WIDE else 4  # of each output summed at once: 16 of 32 registers, or 8 of 16
_STRETCH = 32  # coefficients whose products are summed in the tensors' dtype; such sums are added in float64
_SMALL = 2**18  # products that one more thread is worth


def _summing(rows: int, apart: bool) -> Callable[..., None]:
    """Return the inner loop, over channels begin to end; k is below ``count``, row below ``rows``.

    ``target[p][row] = sum over k, s of source[s][row + k] * factors[2 * p + s][k]``, or with the two sequences kept
    ``apart`` ``target[p][2 * row + s] = sum over k of source[s][row + k] * factors[p][k]``.
    source, factors and target are tuples of addresses, and last the step from one row to the next, in bytes.
    """

    @intrinsic
    def loop(_: Any, like: Any, channels: Any, count: Any, source: Any, factors: Any, target: Any) -> Any:
        def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            (begin, end), count = unpack_tuple(builder, args[1]), args[2]
            (*sources, step), (*others, other_step), (*targets, target_step) = (
                unpack_tuple(builder, arg) for arg in args[3:]
            )
            bits = like.dtype.bitwidth
            element, number = ir.FloatType() if bits == 32 else ir.DoubleType(), count.type

            def sum_channels(channel: Any, lanes: int) -> None:
                vector, offset = ir.VectorType(element, lanes), builder.mul(channel, number(bits // 8))

                def at(start: Any, step: Any, index: Any) -> Any:
                    address = builder.add(builder.add(start, offset), builder.mul(index, step))
                    return builder.inttoptr(address, vector.as_pointer())

                zero = ir.Constant(vector, None)
                sums = {
                    key: alloca_once_value(builder, zero)  # LLVM keeps it in a register
                    for key in product(range(2 * rows if apart else rows), (0, 1))
                }
                if not apart:
                    for row, s in product(range(rows), (0, 1)):
                        fetch(at(sources[s], step, builder.add(count, number(row + rows - 1))), 0)
                    for row, p in product(range(rows), (0, 1)):
                        fetch(at(targets[p], target_step, number(row + rows)), 1)
                with for_range(builder, count) as each:
                    taps = [builder.load(at(start, other_step, each.index), align=4) for start in others]
                    for row, s in product(range(rows), (0, 1)):
                        place = builder.add(each.index, number(row))
                        value = builder.load(at(sources[s], step, place), align=4)
                        for p in (0, 1):
                            total = sums[(2 * row + s, p) if apart else (row, p)]
                            one = builder.fmul(value, taps[p if apart else 2 * p + s], flags=("contract",))
                            builder.store(builder.fadd(builder.load(total), one, flags=("contract",)), total)
                for (row, p), total in sums.items():
                    builder.store(builder.load(total), at(targets[p], target_step, number(row)), align=4)

            def fetch(pointer: Any, write: int) -> None:
                byte, small = ir.IntType(8).as_pointer(), ir.IntType(32)
                kind = ir.FunctionType(ir.VoidType(), [byte, small, small, small])
                name = builder.module.declare_intrinsic("llvm.prefetch", [byte], kind)
                builder.call(name, [builder.bitcast(pointer, byte), small(write), small(3), small(1)])

            lanes = 8 * _BYTES // bits
            whole = builder.sub(end, builder.srem(builder.sub(end, begin), number(lanes)))
            with for_range_slice(builder, begin, whole, number(lanes)) as (channel, _):
                sum_channels(channel, lanes)
            with for_range_slice(builder, whole, end, number(1)) as (channel, _):
                sum_channels(channel, 1)
            return context.get_dummy_value()

        return types.void(like, channels, count, source, factors, target), emit

    return loop


_filter, _correlate = _summing(_ROWS, apart=False), _summing(4, apart=True)


@njit(nogil=True)
def _address(array):  # type: ignore[no-untyped-def]
    return np.int64(array.ctypes.data)


@njit(nogil=True)
def _put(rows, b, place, to, at, r, channels):  # type: ignore[no-untyped-def]
    for c in range(channels[0], channels[1]):
        to[at, r, np.uint64(c)] = rows[b, place, np.uint64(c)]


@njit(nogil=True)
def _add(rows, b, place, weight, to, at, r, channels):  # type: ignore[no-untyped-def]
    for c in range(channels[0], channels[1]):
        to[at, r, np.uint64(c)] += weight * rows[b, place, np.uint64(c)]


@njit(nogil=True)
def _copy(rows, b, first, to, at, channels, table):  # type: ignore[no-untyped-def]
    """Copy rows from ``first`` on; beyond the ends those that the table sums, and zeros where it has none."""
    before, places, weights = table
    for r in range(to.shape[1]):
        inside = first + r
        if 0 <= inside < rows.shape[1]:
            _put(rows, b, inside, to, at, r, channels)
            continue
        to[at, r] = 0
        edge = before + (inside if inside < 0 else inside - rows.shape[1])
        if 0 <= edge < len(places):
            for term in range(places.shape[1]):
                _add(rows, b, places[edge, term], to.dtype.type(weights[edge, term]), to, at, r, channels)


@njit(cache=True, nogil=True)
def _analyse(x, low, high, a, d, table, channels):  # type: ignore[no-untyped-def]
    (batch, length, width), count, taps, row = x.shape, a.shape[1], len(low), x.shape[2] * x.itemsize
    samples = np.zeros((1, 2 * _ROWS + taps - 2, width), x.dtype)
    found = np.empty((2, _ROWS, width), x.dtype)
    here, there = _address(samples), _address(found)
    filters = _address(low), _address(low) + row, _address(high), _address(high) + row, 2 * row
    for b in range(batch):
        for k in range(0, count, _ROWS):
            first = 2 * k - table[0]
            if first >= 0 and first + samples.shape[1] <= length and k + _ROWS <= count:
                start, to = _address(x) + (b * length + first) * row, (b * count + k) * row
                target = _address(a) + to, _address(d) + to, row
                _filter(x, channels, taps // 2, (start, start + row, 2 * row), filters, target)
                continue
            _copy(x, b, first, samples, 0, channels, table)
            target = there, there + _ROWS * row, row
            _filter(x, channels, taps // 2, (here, here + row, 2 * row), filters, target)
            for r in range(min(_ROWS, count - k)):
                _put(found, 0, r, a, b, k + r, channels)
                _put(found, 1, r, d, b, k + r, channels)


@njit(cache=True, nogil=True)
def _synthesise(a, d, low, high, x, table, channels):  # type: ignore[no-untyped-def]
    (batch, length, width), count, pairs, row = x.shape, a.shape[1], len(low) // 2, x.shape[2] * x.itemsize
    before, places, weights = table
    coefficients = np.zeros((2, _ROWS + pairs - 1, width), x.dtype)
    found = np.empty((1, 2 * _ROWS, width), x.dtype)
    beyond = np.zeros((1, len(places), width), x.dtype)
    here, there = _address(coefficients), _address(found)
    last = 2 * (pairs - 1) * row  # the filters run backwards
    first_low, first_high = _address(low) + last, _address(high) + last
    filters = first_low, first_high, first_low + row, first_high + row, -2 * row
    for b in range(batch):
        for j in range(0, count + pairs - 1, _ROWS):
            k, first = j - pairs + 1, 2 * j - before
            if k >= 0 and j + _ROWS <= count and first >= 0 and first + 2 * _ROWS <= length:
                start, to = (b * count + k) * row, _address(x) + (b * length + first) * row
                source = _address(a) + start, _address(d) + start, row
                _filter(x, channels, pairs, source, filters, (to, to + row, 2 * row))
                continue
            _copy(a, b, k, coefficients, 0, channels, (0, places[:0], weights[:0]))
            _copy(d, b, k, coefficients, 1, channels, (0, places[:0], weights[:0]))
            source = here, here + coefficients.shape[1] * row, row
            _filter(x, channels, pairs, source, filters, (there, there + row, 2 * row))
            for r in range(2 * _ROWS):
                edge = before + (first + r if first + r < 0 else first + r - length)
                if 0 <= first + r < length:
                    _put(found, 0, r, x, b, first + r, channels)
                elif edge < len(places):
                    _put(found, 0, r, beyond, 0, edge, channels)
        for edge in range(len(places)):
            for term in range(places.shape[1]):
                weight = x.dtype.type(weights[edge, term])
                _add(beyond, 0, edge, weight, x, b, places[edge, term], channels)


@njit(cache=True, nogil=True)
def _filter_gradients(x, a, d, low, high, table, channels):  # type: ignore[no-untyped-def]
    (batch, length, width), count, taps, row = x.shape, a.shape[1], len(low), x.shape[2] * x.itemsize
    samples, found = np.zeros((1, 2 * _STRETCH + taps + 4, width), x.dtype), np.empty((2, 8, width), x.dtype)
    sums, target = np.zeros((2, taps + 6, width)), (_address(found), _address(found) + 8 * row, row)
    for b in range(batch):
        for k in range(0, count, _STRETCH):
            first, size = 2 * k - table[0], min(_STRETCH, count - k)
            start, to = _address(x) + (b * length + first) * row, (b * count + k) * row
            if first < 0 or first + 2 * size + taps + 4 > length:
                _copy(x, b, first, samples, 0, channels, table)
                start = _address(samples)
            bands = _address(a) + to, _address(d) + to, row
            for tap in range(0, taps, 8):  # up to six taps too many, of samples that are there
                here = start + tap * row, start + (tap + 1) * row, 2 * row
                _correlate(x, channels, size, here, bands, target)
                for p in range(2):
                    for t in range(8):
                        _add(found, p, t, 1.0, sums, p, tap + t, channels)
    for t in range(taps):
        for c in range(channels[0], channels[1]):
            low[t, c], high[t, c] = sums[0, t, c], sums[1, t, c]


def derivative(by: int, extension: Extension, *others: Tensor) -> tuple[Tensor, ...]:
    """Return the derivative of `trilinear`'s sum by signal, bands or filters (0 to 2), a function of the other two.

    Threads are PyTorch's, each for some of the channels; one where there is little to do.
    """
    first, last = others[0], others[-1]
    taps = extension.taps(last.shape[1]) if by == 2 else len(last)
    batch, count, width = first.shape[0], extension.count(taps), first.shape[2]
    shape = ((batch, extension.length, width), (batch, count, width), (taps, width))[by]
    found = [first.new_empty(shape) for _ in range(1 if by == 0 else 2)]
    arrays = [t.contiguous().numpy(force=True) for t in (*others, *found)]
    kernel: Any = (_synthesise, _analyse, _filter_gradients)[by]
    table = (extension.before, *extension.table())
    lanes = _BYTES // first.element_size()
    threads = min(torch.get_num_threads(), -(-width // lanes), 1 + batch * count * taps * width // _SMALL)
    share = -(-width // (lanes * threads)) * lanes
    parts = [(begin, min(begin + share, width)) for begin in range(0, width, share)]
    running = [_pool(torch.get_num_threads()).submit(kernel, *arrays, table, part) for part in parts[1:]]
    kernel(*arrays, table, parts[0])
    for part in running:
        part.result()
    return tuple(found)


@lru_cache(maxsize=1)
def _pool(threads: int) -> Any:
    return ThreadPoolExecutor(threads)


os.register_at_fork(after_in_child=_pool.cache_clear)  # a fork has none of its parent's threads
