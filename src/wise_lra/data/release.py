"""Where things lie in LRA's release, which is one gzipped tar archive in spite of its name, or unpacked.

It holds folders twice: `lra_release/lra_release/` is the right one, and the `pathfinder128` outside it has wrong
labels (google-research/long-range-arena, issue 38).
"""

from collections.abc import Iterator
from pathlib import Path

ARCHIVES = ("lra_release.gz", "lra_release.tar.gz")

_ABOVE = ("lra_release/lra_release", "lra_release", "")


def folders(place: Path, name: str) -> Iterator[Path]:
    """Yield the folders where `name` of the release may lie, the right one first and `place` itself last."""
    if place.is_dir():
        yield from (place / above / name for above in _ABOVE)
        yield place


def archive(place: Path) -> Path | None:
    """Return the release's archive in a folder, or `place` if it is a file."""
    if place.is_file():
        return place if place.name.startswith("lra_release") else None
    return next((place / name for name in ARCHIVES if (place / name).is_file()), None)
