"""Placing the snakes of a Pathfinder image: the compiled rejection loop of the generator.

Two target snakes grow paddle by paddle in turn, and both start again when one cannot go on: 300 to 400 times
an image of 32 x 32. Then distractors are put where room is left. Occupancy is a mask of 8 bits: a place is
free up to 76 (0.3 of 255), and the sum of it and a new paddle's mask must stay below 459 (1.8 times 255).
Source, tables and their names: `pathfinder_paddles`. A snake's state is (pivot row, pivot column, angle).
"""

import math

import numpy as np
from numba import njit

from wise_lra.data.pathfinder_paddles import Paddles

FREE = 76
COLLISION = 459
_PADDLE_TRIALS = 3
_SNAKE_TRIALS = 5
_AVAILABLE = 0.01  # share of the image that must be free where a distractor is begun


@njit(cache=True, nogil=True)
def place(
    rng: np.random.Generator,
    tables: Paddles,
    size: int,
    padding: int,
    contour: int,
    distractors: int,
    distractor_length: int,
    attempts: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Return (paddles, tips): (n, 3) int as angle, row, column, the targets' first; tips (2, 2, 2) int.

    tips is (snake, origin or terminal, row or column). No paddles: `attempts` pairs of targets have failed.
    """
    placed = np.empty((2 * contour + distractors * distractor_length, 3), np.int64)
    tips = np.empty((2, 2, 2), np.int64)
    empty = np.full((size, size), 255, np.uint8)
    empty[padding : size - padding, padding : size - padding] = 0
    mask = empty.copy()
    while not _targets(rng, tables, mask, contour, placed, tips):
        attempts -= 1
        if attempts == 0:
            return placed[:0], tips
        mask[:] = empty
    count = 2 * contour
    for _ in range(distractors):
        for _ in range(_SNAKE_TRIALS):
            tried = mask.copy()
            if _distractor(rng, tables, tried, distractor_length, placed[count:]):
                count += distractor_length
                mask = tried
                break
    return placed[:count], tips


@njit(cache=True, nogil=True)
def _targets(
    rng: np.random.Generator,
    tables: Paddles,
    mask: np.ndarray,
    contour: int,
    placed: np.ndarray,
    tips: np.ndarray,
) -> bool:
    """Grow the two targets; return whether both reached their length."""
    snakes = np.empty((2, 3), np.int64)
    for snake in range(2):
        if not _seed_target(rng, tables, mask.shape[0], snake, placed, snakes[snake]):
            return False
        tips[snake, 0] = placed[snake, 1:]
    for paddle in range(2, 2 * contour):
        snake = paddle % 2
        if not _extend(rng, tables, mask, snakes[snake], placed[paddle - 2], placed[paddle]):
            return False
        tips[snake, 1] = placed[paddle, 1:]
    # The original never covers the last paddle of the first snake.
    _cover(mask, tables.masks, placed[2 * contour - 1])
    return True


@njit(cache=True, nogil=True)
def _seed_target(
    rng: np.random.Generator, tables: Paddles, size: int, snake: int, placed: np.ndarray, state: np.ndarray
) -> bool:
    """Begin a target: the first near the middle, the second at the seed distance from it."""
    for _ in range(_PADDLE_TRIALS):
        angle = int(360 * rng.random())
        if snake == 0:
            first, last = tables.tail_starts[angle], tables.tail_starts[angle + 1]
            if first == last:
                return False
            tail = first + int((last - first) * rng.random())
            row, column = tables.tails[tail]
        else:
            direction = int(360 * rng.random())
            row = int(np.rint(placed[0, 1] + tables.to_other[direction, 0]))
            column = int(np.rint(placed[0, 2] + tables.to_other[direction, 1]))
        if _begin(tables, size, angle, row, column, placed[snake], state):
            return True
    return False


@njit(cache=True, nogil=True)
def _distractor(
    rng: np.random.Generator, tables: Paddles, mask: np.ndarray, length: int, placed: np.ndarray
) -> bool:
    """Grow one distractor; return whether it reached its length."""
    state = np.empty(3, np.int64)
    if not _seed_distractor(rng, tables, mask, placed[0], state):
        return False
    for paddle in range(1, length):
        if not _extend(rng, tables, mask, state, placed[paddle - 1], placed[paddle]):
            return False
    _cover(mask, tables.masks, placed[length - 1])
    return True


@njit(cache=True, nogil=True)
def _seed_distractor(
    rng: np.random.Generator, tables: Paddles, mask: np.ndarray, paddle: np.ndarray, state: np.ndarray
) -> bool:
    """Draw a distractor's first paddle where its footprint is free and does not touch the image's border."""
    size = mask.shape[0]
    if (mask <= FREE).sum() < _AVAILABLE * mask.size:
        return False
    taken = mask > FREE
    taken[0], taken[-1], taken[:, 0], taken[:, -1] = True, True, True, True
    free = np.empty((mask.size, 2), np.int64)
    for _ in range(_PADDLE_TRIALS):
        angle = int(360 * rng.random())
        footprint = tables.footprints[tables.footprint_starts[angle] : tables.footprint_starts[angle + 1]]
        if len(footprint) == 0:
            return False
        count = 0
        for row in range(size):
            for column in range(size):
                for down, right in footprint:
                    i, j = row + down, column + right
                    if 0 <= i < size and 0 <= j < size and taken[i, j]:
                        break
                else:
                    free[count] = row, column
                    count += 1
        if count == 0:
            return False
        row, column = free[int(count * rng.random())]
        if _begin(tables, size, angle, row, column, paddle, state):
            return True
    return False


@njit(cache=True, nogil=True)
def _begin(
    tables: Paddles, size: int, angle: int, row: int, column: int, paddle: np.ndarray, state: np.ndarray
) -> bool:
    """Put a first paddle at a tail; return whether its head and its pivot lie in the image."""
    head_row = math.ceil(row + tables.to_head[angle, 0])
    head_column = math.ceil(column + tables.to_head[angle, 1])
    pivot_row = math.ceil(head_row + tables.to_pivot[angle, 0])
    pivot_column = math.ceil(head_column + tables.to_pivot[angle, 1])
    paddle[0], paddle[1], paddle[2] = angle, row, column
    state[0], state[1], state[2] = pivot_row, pivot_column, angle
    inside = 0 <= head_row < size and 0 <= head_column < size
    return inside and 0 <= pivot_row < size and 0 <= pivot_column < size


@njit(cache=True, nogil=True)
def _extend(
    rng: np.random.Generator,
    tables: Paddles,
    mask: np.ndarray,
    state: np.ndarray,
    last: np.ndarray,
    paddle: np.ndarray,
) -> bool:
    """Add a paddle to a snake, then cover the one before it; return whether there was room."""
    size = mask.shape[0]
    angle = state[2]
    row = math.ceil(state[0] + tables.ahead[angle, 0])
    column = math.ceil(state[1] + tables.ahead[angle, 1])
    candidates = tables.candidates
    cumulative = np.empty(len(candidates))
    total = 0.0
    for index in range(len(candidates)):
        i, j = row + candidates[index, 0], column + candidates[index, 1]
        weight = tables.weights[angle, index]
        if weight > 0 and 0 <= i < size and 0 <= j < size:
            total += weight * (1 - _covered(mask, tables.disc, i, j) / 255)
        cumulative[index] = total
    if total < 1e-4:
        return False
    for _ in range(_PADDLE_TRIALS):
        index = int(np.searchsorted(cumulative, total * rng.random(), side="right"))
        paddle[0] = 360 + index
        paddle[1] = row + candidates[index, 0]
        paddle[2] = column + candidates[index, 1]
        if _fits(mask, tables.masks, paddle):
            _cover(mask, tables.masks, last)
            state[0], state[1], state[2] = row, column, 360 + index
            return True
    return False


@njit(cache=True, nogil=True)
def _covered(mask: np.ndarray, disc: np.ndarray, row: int, column: int) -> int:
    """Return the largest value of the mask within the margin of a place."""
    size = mask.shape[0]
    largest = 0
    for index in range(len(disc)):
        i, j = row + disc[index, 0], column + disc[index, 1]
        if 0 <= i < size and 0 <= j < size:
            largest = max(largest, mask[i, j])
    return largest


@njit(cache=True, nogil=True)
def _fits(mask: np.ndarray, stamps: np.ndarray, paddle: np.ndarray) -> bool:
    """Tell whether a paddle's mask collides with nothing."""
    angle, row, column = paddle
    size, reach = mask.shape[0], stamps.shape[1] // 2
    for i in range(max(row - reach, 0), min(row + reach + 1, size)):
        for j in range(max(column - reach, 0), min(column + reach + 1, size)):
            if int(mask[i, j]) + stamps[angle, i - row + reach, j - column + reach] >= COLLISION:
                return False
    return True


@njit(cache=True, nogil=True)
def _cover(target: np.ndarray, stamps: np.ndarray, paddle: np.ndarray) -> None:
    """Take the maximum of a mask or an image and a paddle's stamp, in place."""
    angle, row, column = paddle
    size, reach = target.shape[0], stamps.shape[1] // 2
    for i in range(max(row - reach, 0), min(row + reach + 1, size)):
        for j in range(max(column - reach, 0), min(column + reach + 1, size)):
            target[i, j] = max(target[i, j], stamps[angle, i - row + reach, j - column + reach])


@njit(cache=True, nogil=True)
def draw(
    size: int,
    lines: np.ndarray,
    paddles: np.ndarray,
    targets: int,
    target_contrast: float,
    distractor_contrast: float,
) -> np.ndarray:
    """Return the maximum of all paddles times contrast, first come the targets': float (size, size)."""
    images = np.zeros((2, size, size), np.uint8)
    for index in range(len(paddles)):
        _cover(images[int(index >= targets)], lines, paddles[index])
    return np.maximum(images[0] * target_contrast, images[1] * distractor_contrast)
