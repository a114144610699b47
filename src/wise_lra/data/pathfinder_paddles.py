"""What a Pathfinder image is drawn with, prepared once: parameters, and paddles in every orientation.

A paddle is a short antialiased line; its mask is the line widened by the margin. Both are drawn `antialias`
times too large and reduced with Lanczos in 8 bit, as the generator of 2019 did.
Source: drewlinsley/pathfinder (Linsley et al., arXiv 1805.08315), commit ab9c130, with the parameters of
long-range-arena, lra_benchmarks/data/pathfinder.py. Places are (row, column) in pixels, angles are radians.
"""

import math
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage


@dataclass(frozen=True)
class Parameters:
    """What differs between the image sizes; lengths are in pixels, contrasts factors."""

    size: int
    padding: int
    margins: tuple[int, ...]  # one of them is drawn for every image
    length: int
    thickness: float
    marker_radius: float
    seed_distance: int
    continuity: float
    distractor_paddles: int  # of all distractors together
    snake_contrast: float
    paddle_contrast: float
    antialias: int = 2


PARAMETERS = {
    32: Parameters(32, 1, (1,), 2, 0.5, 1.5, 7, 1.0, 20, 2.0, 0.75),
    64: Parameters(64, 1, (1,), 5, 1.0, 2.5, 12, 1.8, 22, 0.8, 1.0),
    128: Parameters(128, 1, (2, 3), 5, 1.5, 3.0, 20, 1.8, 35, 0.9, 1.0),
    256: Parameters(256, 22, (3,), 5, 2.0, 5.0, 27, 1.8, 30, 1.0, 1.0),
}
"""LRA's four sizes; what LRA's builders do not name is the default of the generator's wrapper."""


class Paddles(NamedTuple):
    """Tables for one size and margin: angles are -180 to 179 degrees, then the direction of each candidate.

    A stamp is centred on the place that its paddle is drawn from: the tail of a snake's first paddle, which
    points along a whole degree, and the head of every other, which points back from a candidate.
    """

    lines: np.ndarray  # (angles, stamp, stamp) uint8
    masks: np.ndarray  # (angles, stamp, stamp) uint8
    ahead: np.ndarray  # (angles, 2) float: from a pivot to the next one
    to_head: np.ndarray  # (360, 2) float: from the tail of a first paddle to its head
    to_pivot: np.ndarray  # (360, 2) float: from that head to the pivot
    to_other: np.ndarray  # (360, 2) float: from the first snake's tail to the second's
    candidates: np.ndarray  # (candidates, 2) int: from a pivot to the heads that may be next
    weights: np.ndarray  # (angles, candidates) float: preference for each after a paddle of this angle
    disc: np.ndarray  # (pixels, 2) int: all within the margin of a place
    footprints: np.ndarray  # (pixels, 2) int: what a first paddle needs free around its tail; all angles,
    footprint_starts: np.ndarray  # (361,) int: and where each begins
    tails: np.ndarray  # (places, 2) int: tails that a target's first paddle may have; all angles,
    tail_starts: np.ndarray  # (361,) int: and where each begins


@cache
def paddles(parameters: Parameters, margin: int) -> Paddles:
    """Return the tables for a size and margin."""
    length, reach = parameters.length, parameters.length + margin
    candidates, directions = _candidates(reach)
    degrees = np.arange(-180, 180) * np.pi / 180
    angles = np.concatenate([degrees, directions])
    stamps = [_stamp(parameters, margin, angle) for angle in [*degrees, *map(_flip, directions)]]
    turns = np.abs(directions[None] - angles[:, None])
    turns = np.minimum(np.minimum(turns, 2 * np.pi - turns) * parameters.continuity, np.pi / 2)
    footprints = [_footprint(mask, reach) for _, mask in stamps[:360]]
    tails = [_tails(parameters, footprint) for footprint in footprints]
    tables = Paddles(
        lines=np.stack([line for line, _ in stamps]),
        masks=np.stack([mask for _, mask in stamps]),
        ahead=(length + 2 * margin) * _unit(angles),
        to_head=length * _unit(degrees),
        to_pivot=reach * _unit(np.array([_flip(angle) for angle in degrees])),
        to_other=parameters.seed_distance * _unit(np.arange(360) * np.pi / 180),
        candidates=candidates,
        weights=np.maximum(np.cos(turns), 0) ** 2,
        disc=np.argwhere(_disc(margin)) - margin,
        footprints=np.concatenate(footprints),
        footprint_starts=np.cumsum([0, *map(len, footprints)]),
        tails=np.concatenate(tails),
        tail_starts=np.cumsum([0, *map(len, tails)]),
    )
    return Paddles(*map(np.ascontiguousarray, tables))  # one layout, so that one compiled version does


@lru_cache(maxsize=4096)
def marker(parameters: Parameters, row: int, column: int) -> tuple[tuple[slice, slice], np.ndarray]:
    """Return the disc that marks an end of a snake, antialiased: its window in the image, uint8 pixels."""
    scale = parameters.antialias
    reach = math.ceil(parameters.marker_radius) + 4  # Lanczos reaches 3 pixels further than the disc
    rows, columns = (
        slice(max(place - reach, 0), min(place + reach + 1, parameters.size)) for place in (row, column)
    )
    down, right = np.ogrid[
        (rows.start - row) * scale : (rows.stop - row) * scale,
        (columns.start - column) * scale : (columns.stop - column) * scale,
    ]
    inside = down**2 + right**2 <= (parameters.marker_radius * scale) ** 2
    shape = rows.stop - rows.start, columns.stop - columns.start
    return (rows, columns), _reduce(inside.astype(np.uint8) * 255, shape)


def _stamp(parameters: Parameters, margin: int, angle: float) -> tuple[np.ndarray, np.ndarray]:
    """Return line and mask of a paddle that points along `angle` from the middle, uint8."""
    scale = parameters.antialias
    centre = (parameters.length + math.ceil(parameters.thickness) + margin) * scale
    row, column = (math.ceil(centre + step) for step in parameters.length * scale * _unit(angle))
    large = Image.new("L", (2 * centre + 1, 2 * centre + 1))
    width = round(parameters.thickness * scale)
    ImageDraw.Draw(large).line([(centre, centre), (column, row)], fill=255, width=width)
    line = np.asarray(large)
    mask = ndimage.grey_dilation(line, footprint=_disc(margin * scale), mode="constant")
    small = 2 * (centre // scale) + 1
    return _reduce(line, (small, small)), _reduce(mask, (small, small))


def _footprint(mask: np.ndarray, reach: int) -> np.ndarray:
    """Return the places, relative to its tail, that a first paddle needs free: (pixels, 2) int.

    As in the original they are moved by (1, 1), cut to the reach, and only pixels that the mask fills count.
    Where none would lie in the image for a tail in some corner, the original finds no tail at all (OpenCV's
    dilation gives minus infinity there, and the search gives up): such an angle gets no places and no use.
    In 32 x 32 pixels that leaves 30 angles of 360, and decides how dense the images are.
    """
    places = np.argwhere(mask == 255) - mask.shape[0] // 2 + 1
    places = places[(np.abs(places) <= reach).all(axis=1)]
    corners = [(down, right) for down in (1, -1) for right in (1, -1)]
    usable = all((places * corner >= 0).all(axis=1).any() for corner in corners)
    return places if usable else places[:0]


def _tails(parameters: Parameters, footprint: np.ndarray) -> np.ndarray:
    """Return the tails whose footprint keeps twice the seed distance from the border: (places, 2) int."""
    if len(footprint) == 0:
        return footprint
    size, border = parameters.size, 2 * parameters.seed_distance
    reach = int(np.abs(footprint).max())
    taken = np.pad(np.pad(np.zeros((size - 2 * border,) * 2, bool), border, constant_values=True), reach)
    blocked = np.zeros((size, size), bool)
    for row, column in footprint + reach:
        blocked |= taken[row : row + size, column : column + size]
    return np.argwhere(~blocked)


def _candidates(radius: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the pixels on a circle around a pivot, one per pixel of arc, and their angles."""
    around = np.arange(0, 360, 360 / (2 * radius * np.pi)) * np.pi / 180
    pixels = np.unique(np.floor(radius * _unit(around)).astype(np.int64), axis=0)
    return pixels, np.arctan2(pixels[:, 0], pixels[:, 1])


def _disc(radius: int) -> np.ndarray:
    rows, columns = np.ogrid[-radius : radius + 1, -radius : radius + 1]
    return rows**2 + columns**2 <= radius**2


def _unit(angle: np.ndarray | float) -> np.ndarray:
    """Return (row, column) of the unit vector along an angle."""
    return np.stack([np.sin(angle), np.cos(angle)], axis=-1)


def _flip(angle: float) -> float:
    return angle + np.pi if angle < 0 else angle - np.pi


def _reduce(image: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    return np.asarray(Image.fromarray(image).resize(shape[::-1], Image.Resampling.LANCZOS))
