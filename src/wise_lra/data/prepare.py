"""From a task to its packed folder: a source is chosen, read once, and found again ever after."""

import errno
import json
import logging
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wise_lra.data import real
from wise_lra.data.download import Progress, fetch, require_space
from wise_lra.data.lock import locked
from wise_lra.data.packed import Damaged, Unfit, left_out, pack, verify
from wise_lra.data.source import Choice, Reading, Source, Wish, choose
from wise_lra.data.task import Example, Task

log = logging.getLogger(__name__)

_REFUSALS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR)
MANIFESTS = Path(__file__).parents[3] / "data" / "manifests"
"""Manifests of data as they should come out; in the repository alone, not in an installed package."""

_EVERY = 100  # examples between two reports of progress


@dataclass(frozen=True)
class Prepared:
    """A packed folder that is whole, and its manifest."""

    folder: Path
    manifest: dict[str, Any]


def prepare(
    task: Task,
    *,
    root: Path,
    source: str = "auto",
    archives: Path | None = None,
    release: Path | None = None,
    protocol: str = "held-out",
    generated: Mapping[str, Any] | None = None,
    standin: Mapping[str, Any] | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Prepared:
    """Return the packed folder of a task, `root`/<task>/<slug>, made if it is not there.

    The slug tells source and settings, so presets never share a folder by mistake. What is there is hashed and
    compared with the task (`packed.verify`); if it is damaged, it is made again with a warning. One log line tells
    which source was taken, and why. The manifest adds to what `packed.pack` states: source, variant ("" for the
    benchmark's own data, "sample" where these are not whole, else what stands in for them), reason, protocol,
    settings, and what was left out, by reason.

    Args:
        task: facts of the task; texts are packed uncut, up to LRA's length or the task's if that is longer.
        root: folder of prepared data and of downloads.
        source: one of `source.KINDS`; "auto" takes the first of the task's sources that can be had.
        archives: a folder of upstream's archives, or of what they unpack to.
        release: LRA's release or another archive of upstream's, or what it unpacks to.
        protocol: which examples of Text validate, see `text.read`.
        generated: settings of the generator of ListOps or Pathfinder that are not to be LRA's.
        standin: settings of the stand-in that are not to be its own defaults.
        seed: of the generators and the stand-ins.
        progress: told what is being done.

    Raises ValueError on an impossible source, setting or content, on data of another task, and on damaged data
    whose archive is not there; FileNotFoundError where nothing is there to read; and OSError where a download fails
    or the disk does not take it. Nothing half-written is left in place.
    """
    wish = Wish(
        task,
        Path(root),
        source,
        archives,
        release,
        protocol,
        dict(generated or {}),
        dict(standin or {}),
        seed,
    )
    choice = choose(wish)
    if task.name == "text" and protocol == "lra":
        log.warning("text: data.protocol=lra validates on the test set, as LRA did; for comparison only")
    if choice.otherwise is not None:
        try:
            return _prepared(wish, choice, progress)
        except OSError as error:
            choice = Choice(choice.otherwise, f"{choice.source.name} could not be fetched ({error})")
    return _prepared(wish, choice, progress)


def _prepared(wish: Wish, choice: Choice, progress: Progress | None) -> Prepared:
    """Return the packed folder of a chosen source, made under its lock if it is not there."""
    name = wish.task.name
    folder = wish.root / name / choice.source.slug
    try:
        if (manifest := _whole(folder, wish.task, choice.source)) is None:
            with locked(folder):
                with suppress(FileNotFoundError, Damaged):  # another process may have made it meanwhile
                    manifest = verify(folder, wish.task)
                if manifest is None:
                    log.info("%s: preparing data: %s", name, choice.source.name)
                    manifest = _packed(wish, folder, choice, progress)
    except OSError as error:
        if error.errno not in _REFUSALS:
            raise
        raise OSError(
            f"{folder}: cannot be written ({error}); make room, or name another data.root"
        ) from error
    counts = ", ".join(f"{facts['examples']:,} {split}" for split, facts in manifest["splits"].items())
    log.info("%s: data: %s, because %s: %s, in %s", name, manifest["source"], choice.reason, counts, folder)
    if manifest["variant"] == "sample":
        log.warning(
            "%s: LRA's data have other counts, so results are named %s (sample); %s must go before others are read",
            *(name, name, folder),
        )
    if manifest["rejected"]:
        log.warning("%s: %s", name, left_out(manifest["rejected"]))
    return Prepared(folder, manifest)


def _whole(folder: Path, task: Task, source: Source) -> dict[str, Any] | None:
    """Return the manifest of a packed folder, None where it is not there, or is damaged and can be made again.

    Raises ValueError where it is damaged for good, or is not of this task and source.
    """
    try:
        manifest = verify(folder, task)
    except (FileNotFoundError, Damaged) as error:
        if folder.exists():
            if source.kind in real.FORMS and not source.path:
                raise ValueError(f"{error}; the archive that it was made of was not found") from None
            log.warning("%s is not whole, and is made again: %s", folder, error)
        return None
    held, asked = manifest["settings"], dict(source.settings)
    if held != asked or manifest["variant"] not in (source.variant, "sample"):
        raise ValueError(
            f"{folder}: {manifest['variant'] or manifest['source']} with settings {held}, "
            f"expected {source.variant or source.kind} with {asked}; remove it"
        )
    return manifest


def _packed(wish: Wish, folder: Path, choice: Choice, progress: Progress | None) -> dict[str, Any]:
    """Read a source to its end and pack it; fetch it first if it must be."""
    source, task, path = choice.source, wish.task, choice.source.path
    if source.room is not None:
        require_space(wish.root, source.room, f"{task.name} ({source.name})")
    if source.upstream is not None:
        with locked(wish.root / source.upstream.name):
            path = fetch(source.upstream, wish.root, progress)
    rejected: Counter[str] = Counter()
    facts = {
        "source": source.name,
        "variant": source.variant,
        "reason": choice.reason,
        "protocol": wish.protocol if task.name == "text" else "held-out",
        "settings": dict(source.settings),
        "rejected": rejected,
    }
    parts = folder.with_name(f".{folder.name}.parts")
    examples = source.read(Reading(path, parts, rejected, progress))
    try:
        manifest = pack(_reporting(examples, task.name, source.count, progress), folder, task, facts)
    except Unfit as error:
        raise ValueError(f"{path or source.name}: {error}") from None
    shutil.rmtree(parts, ignore_errors=True)
    _compare(f"{task.name}-{folder.name}.json", manifest)
    return manifest


def _compare(name: str, manifest: Mapping[str, Any]) -> None:
    """Say whether packed data are those of a manifest in data/manifests, if that has one of the name."""
    known = MANIFESTS / name
    if not known.is_file():
        return
    expected = json.loads(known.read_text())
    task = manifest["task"]
    if manifest["sha256"] == expected["sha256"]:
        log.info("%s: sha256 %s, as in data/manifests/%s", task, manifest["sha256"][:16], name)
        return
    for split, facts in expected["splits"].items():
        if (found := manifest["splits"][split]["examples"]) != facts["examples"]:
            log.warning("%s: %s examples of %s, expected %s", task, found, split, facts["examples"])
    log.warning(
        "%s: sha256 %s, expected %s as in data/manifests/%s: another version of the data, or of what makes them",
        task,
        manifest["sha256"][:16],
        expected["sha256"][:16],
        name,
    )


def _reporting(
    examples: Iterable[Example], task: str, count: int | None, progress: Progress | None
) -> Iterator[Example]:
    """Yield the examples, telling how many have come."""
    done = 0
    for example in examples:
        done += 1
        if progress is not None and done % _EVERY == 0:
            progress(f"packing {task}", done, count)
        yield example
    if progress is not None:
        progress(f"packing {task}", done, done)
