"""What comes from disk is data: JSON within limits, and text that a terminal shows but does not obey."""

import json
import logging
import stat
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

MOST_BYTES = 1 << 24
MOST_LEVELS = 32
_MOST_SHOWN = 1000  # characters of an error


def read_json(path: Path, what: str) -> dict[str, Any]:
    """Return the JSON object in a file, which should be `what` ("a record").

    Raises OSError, and ValueError naming the file where it is no JSON object, has a key twice, is nested deeper
    than MOST_LEVELS or larger than MOST_BYTES, or is no regular file.
    """
    expect_file(path, what, MOST_BYTES)
    try:
        value = json.loads(
            path.read_text(encoding="utf-8"), object_pairs_hook=_unique, parse_constant=_not_finite
        )
        _check_depth(value)
        if not isinstance(value, dict):
            raise ValueError(f"{type(value).__name__}: expected a JSON object")
    except RecursionError:
        raise ValueError(f"{path}: not {what}: nested deeper than {MOST_LEVELS} levels") from None
    except ValueError as error:
        raise ValueError(f"{path}: not {what}: {error}") from None
    return value


def expect_file(path: Path, what: str, most_bytes: int) -> None:
    """Raise ValueError where a path is no regular file or a larger one, OSError where it cannot be looked at."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode) or status.st_size > most_bytes:
        raise ValueError(f"{path}: not {what}: expected a file of at most {most_bytes:,} bytes")


def printable(text: str) -> str:
    """Return text with an escape (\\x1b) for each character that controls a terminal or shows nothing."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class Printable(logging.Formatter):
    """Formats a log record as its message, of which each line is printable."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the message, and the traceback if there is one."""
        return "\n".join(map(printable, super().format(record).splitlines()))


def one_line(error: Exception | str) -> str:
    """Return an error as one line that is safe to print; of a very long one the middle is left out."""
    text = printable(" ".join(str(error).split()))
    half = _MOST_SHOWN // 2
    return text if len(text) <= _MOST_SHOWN else f"{text[:half]} ... {text[-half:]}"


def skipped(faults: Sequence[str]) -> list[str]:
    """Return a line for each fault, and last how many files were left out; [] without faults."""
    return [*faults, f"skipped {len(faults)}, named above; the others are shown"] if faults else []


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    mapping = dict(pairs)
    if len(mapping) < len(pairs):
        twice, _ = Counter(key for key, _ in pairs).most_common(1)[0]
        raise ValueError(f"the key {twice!r} is there twice")
    return mapping


def _not_finite(constant: str) -> NoReturn:
    raise ValueError(f"{constant}: expected a finite number")


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(MOST_LEVELS):
        level = [
            child
            for node in level
            if isinstance(node, (dict, list))
            for child in (node.values() if isinstance(node, dict) else node)
        ]
    if level:
        raise RecursionError
