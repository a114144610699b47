"""Random ListOps trees by LRA's definition, as token ids: the part of the generator that must be fast.

A tree is grown from depth 1. Above `max_depth` a node is, with probability 1/4, an operator of 2 to
`max_args` arguments (both uniform) and otherwise a uniform digit; at `max_depth` it is a digit. Nine draws in
ten fail the length filter, so growing is compiled, and a tree is given up as soon as it is too long.
"""

import numpy as np
from numba import njit

MIN, MAX, MED, SM, CLOSE, ZERO = 1, 2, 3, 4, 5, 6
"""Ids of the operators, the closing bracket and the digit 0; the other digits follow."""

_OPERATOR_SHARE = 0.25
_DRAWS = 100_000  # trees begun in one call of the compiled loop, ended early when its buffer is full
_BARREN = 20  # calls in a row without a new tree after which there are taken to be no more
_BUFFER = 1 << 20  # tokens; holds at least one tree of every length that is allowed


def distinct(
    count: int, seed: int, min_length: int, max_length: int, max_depth: int, max_args: int
) -> list[tuple[bytes, int]]:
    """Return `count` different trees of min_length < tokens < max_length, as (one byte a token, value).

    Their order is random: common trees are drawn first, and a split by position must not tell them apart.
    Raises ValueError on impossible arguments, and where there are not so many such trees.
    """
    _check(count, min_length, max_length, max_depth, max_args)
    rng = np.random.default_rng(seed)
    trees: dict[bytes, int] = {}
    tokens = np.empty(_BUFFER, np.uint8)
    barren = 0
    while len(trees) < count:
        ends, values = _grow(rng, tokens, _DRAWS, min_length, max_length, max_depth, max_args)
        before, start = len(trees), 0
        for end, value in zip(ends.tolist(), values.tolist(), strict=True):
            trees.setdefault(tokens[start:end].tobytes(), value)
            start = end
            if len(trees) == count:
                break
        barren = 0 if len(trees) > before else barren + 1
        if barren == _BARREN:
            raise ValueError(
                f"only {len(trees)} of {count} different trees found with {min_length} < length < "
                f"{max_length}, max_depth={max_depth}, max_args={max_args}: widen the lengths, ask for fewer"
            )
    found = list(trees.items())
    return [found[index] for index in rng.permutation(count)]


def _check(count: int, min_length: int, max_length: int, max_depth: int, max_args: int) -> None:
    """Refuse arguments that describe no tree."""
    if count < 0:
        raise ValueError(f"count={count}: expected 0 or more trees")
    if max_args < 2 or max_depth < 1:
        raise ValueError(f"max_args={max_args}, max_depth={max_depth}: expected at least 2 and 1")
    if min_length < 0 or not min_length + 1 < max_length <= _BUFFER:
        raise ValueError(
            f"min_length={min_length}, max_length={max_length}: expected 0 <= min_length, a length "
            f"strictly between them, and max_length <= {_BUFFER}"
        )


@njit(cache=True)
def _grow(
    rng: np.random.Generator,
    tokens: np.ndarray,
    draws: int,
    min_length: int,
    max_length: int,
    max_depth: int,
    max_args: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Write trees one after the other into `tokens`; return where each ends, and its value.

    Stops after `draws` trees begun, or when another tree might not fit.
    """
    ends, values = [0 for _ in range(0)], [0 for _ in range(0)]
    operators = np.empty(max_depth, np.int64)  # of the open operator at every depth:
    wanted = np.empty(max_depth, np.int64)  # its arguments in all,
    have = np.empty(max_depth, np.int64)  # those that it has,
    arguments = np.empty((max_depth, max_args), np.int64)  # and their values
    start = 0
    for _ in range(draws):
        if start + max_length > tokens.size:
            break
        at, depth = start, 0  # depth counts the operators that are open
        while at - start < max_length:
            if depth + 1 < max_depth and rng.random() < _OPERATOR_SHARE:
                operators[depth] = MIN + int(4 * rng.random())
                wanted[depth] = 2 + int((max_args - 1) * rng.random())
                have[depth] = 0
                tokens[at] = operators[depth]
                at += 1
                depth += 1
                continue
            value = int(10 * rng.random())
            tokens[at] = ZERO + value
            at += 1
            while depth > 0:
                parent = depth - 1
                arguments[parent, have[parent]] = value
                have[parent] += 1
                if have[parent] < wanted[parent] or at - start >= max_length:
                    break
                value = _apply(operators[parent], arguments[parent, : have[parent]])
                tokens[at] = CLOSE
                at += 1
                depth -= 1
            if depth == 0:
                break
        if depth == 0 and min_length < at - start < max_length:
            ends.append(at)
            values.append(value)
            start = at
    return np.array(ends), np.array(values)


@njit(cache=True)
def _apply(operator: int, arguments: np.ndarray) -> int:
    """Return the value of an operator; sorts the arguments in place."""
    if operator == SM:
        return arguments.sum() % 10
    arguments.sort()
    last = arguments.size - 1
    if operator == MIN:
        return arguments[0]
    if operator == MAX:
        return arguments[last]
    return (arguments[last // 2] + arguments[(last + 1) // 2]) // 2
