"""From a task to its packed folder: a source is chosen, stored, packed once, and found again ever after."""

import errno
import json
import logging
import shutil
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from wise_lra.data import synthetic
from wise_lra.data.download import Progress, fetch, require_space, silent
from wise_lra.data.packed import Damaged, pack, verify
from wise_lra.data.sources import FORMS, Request, Source, choose, store
from wise_lra.data.task import Example, Task, Unfit, checked, left_out, reader
from wise_lra.registry import TASKS

log = logging.getLogger(__name__)

MANIFESTS = Path(__file__).parents[3] / "data" / "manifests"
"""Manifests of data as they should come out; in the repository alone, not in an installed package."""

_REFUSALS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR)
_EVERY = 100  # examples between two reports of progress


@dataclass(frozen=True)
class Prepared:
    """A packed folder that is whole, and its manifest."""

    folder: Path
    manifest: dict[str, Any]


def prepare(task: Task, *, root: Path, progress: Progress | None = None, **asked: Any) -> Prepared:
    """Return the packed folder of a task, `root`/<task>/<slug>, made if it is not there.

    `asked` are the other fields of `sources.Request`, `progress` is told what is being done. The slug tells source
    and settings, so presets never share a folder by mistake. What is there is hashed and compared with the task
    (`packed.verify`); if it is damaged, it is made again with a warning: from its source, else from the data store,
    `root`/tfds (`builders`). One log line tells which source was taken, and why. The manifest adds to what
    `packed.pack` states: source, variant ("" for the benchmark's own data, "sample" where these are not whole, else
    what stands in for them), reason, protocol, settings, and what was left out, by reason.

    Raises ValueError on an impossible source, setting or content, on data of another task, and on damaged data
    that cannot be made again; FileNotFoundError where nothing is there to read; and OSError where a download fails
    or the disk does not take it. Nothing half-written is left in place.
    """
    request = Request(task, Path(root), **asked)
    source = choose(request)
    if task.name == "text" and request.protocol == "lra":
        log.warning("text: data.protocol=lra validates on the test set, as LRA did; for comparison only")
    try:
        return _prepared(request, source, progress or silent)
    except OSError as error:
        if source.otherwise is None:
            raise
        why = f"{source.name} could not be fetched ({error})"
        return _prepared(request, replace(source.otherwise, reason=why), progress or silent)


def _prepared(request: Request, source: Source, progress: Progress) -> Prepared:
    """Return the packed folder of a source, made under its lock if it is not there."""
    name = request.task.name
    folder = request.root / name / source.slug
    try:
        if (manifest := _whole(folder, request, source)) is None:
            with _locked(folder):
                with suppress(FileNotFoundError, Damaged):  # another process may have made it meanwhile
                    manifest = verify(folder, request.task)
                if manifest is None:
                    log.info("%s: preparing data: %s", name, source.name)
                    manifest = _packed(folder, request, source, progress)
    except OSError as error:
        if error.errno not in _REFUSALS:
            raise
        raise OSError(
            f"{folder}: cannot be written ({error}); make room, or name another data.root"
        ) from error
    counts = ", ".join(f"{facts['examples']:,} {split}" for split, facts in manifest["splits"].items())
    log.info("%s: data: %s, because %s: %s, in %s", name, manifest["source"], source.reason, counts, folder)
    if manifest["variant"] == "sample":
        log.warning(
            "%s: LRA's data have other counts, so results are named %s (sample); remove %s and %s to have others",
            *(name, name, folder, store(request.root, request.task, source)),
        )
    if manifest["rejected"]:
        log.warning("%s: %s", name, left_out(manifest["rejected"]))
    return Prepared(folder, manifest)


def _whole(folder: Path, request: Request, source: Source) -> dict[str, Any] | None:
    """Return the manifest of a packed folder, None where it is not there, or is damaged and can be made again.

    Raises ValueError where it is damaged for good, or is not of this task and source.
    """
    try:
        manifest = verify(folder, request.task)
    except (FileNotFoundError, Damaged) as error:
        if folder.exists():
            if source.kind in FORMS and not (
                source.path or store(request.root, request.task, source).is_dir()
            ):
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


def _packed(folder: Path, request: Request, source: Source, progress: Progress) -> dict[str, Any]:
    """Store the examples of a source, fetched first if it must be, and pack them; return the manifest."""
    from wise_lra.data import builders  # here, because TFDS takes half a second to import

    task, path = request.task, source.path
    began = time.perf_counter()
    if source.count is not None:
        tokens = source.settings.get("max_length", max(TASKS[task.name].length, task.length))
        room = source.count * task.documents * tokens * (1 if task.vocabulary <= 256 else 2)
        require_space(request.root, 2 * room, f"{task.name} ({source.name})")  # stored, and packed
    if source.upstream is not None:
        with _locked(request.root / source.upstream.name):
            path = fetch(source.upstream, request.root, progress)
    parts = folder.with_name(f".{folder.name}.parts")
    rejected: Counter[str] = Counter()
    facts = {
        "source": source.name,
        "variant": source.variant,
        "reason": source.reason,
        "protocol": request.protocol if task.name == "text" else "held-out",
        "settings": dict(source.settings),
        "rejected": rejected,
    }
    stored = store(request.root, task, source)
    try:
        if source.kind == "tfds" and path is not None:
            directory = path
        elif source.kind in FORMS and path is None:
            directory = stored
            facts["source"] = json.loads((stored / "metadata.json").read_bytes())["source"]
        else:
            left: Counter[str] = Counter()
            if source.kind in FORMS:
                examples = reader(task.name).read(path, left, progress, **source.settings)
            else:
                examples = synthetic.examples(task.name, source.settings, parts, progress)
            told = _reporting(checked(examples, task, left), f"storing {task.name}", source.count, progress)
            shutil.rmtree(stored.parent, ignore_errors=True)  # what was killed lies beside it
            builder = builders.Builder(task, request.root / "tfds", source.slug, source.name)
            directory = builder.build(told, {"source": source.name, "rejected": left})
        options = source.settings if source.kind in FORMS else {}
        examples = builders.read(directory, task, rejected, **options)
        told = _reporting(examples, f"packing {task.name}", source.count, progress)
        manifest = pack(told, folder, task, facts, began)
    except Unfit as error:
        shutil.rmtree(stored, ignore_errors=True)
        raise ValueError(f"{path or source.name}: {error}") from None
    shutil.rmtree(parts, ignore_errors=True)
    _compare(f"{task.name}-{folder.name}.json", manifest)
    return manifest


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock `.<name>.lock` beside `path` inside this block; wait for it, and say so, if it is held."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path.with_name(f".{path.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        log.warning("%s is being prepared by another process; waiting for it", path)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _compare(name: str, manifest: Mapping[str, Any]) -> None:
    """Say whether packed data are those of a manifest in data/manifests, if that has one of the name."""
    known = MANIFESTS / name
    if not known.is_file():
        return
    expected, task, found = json.loads(known.read_text()), manifest["task"], manifest["sha256"]
    if found == expected["sha256"]:
        log.info("%s: sha256 %s, as in data/manifests/%s", task, found[:16], name)
        return
    here, there = ([facts["examples"] for facts in m["splits"].values()] for m in (manifest, expected))
    log.warning(
        "%s: sha256 %s and %s examples, expected %s and %s as in data/manifests/%s: another version of the data, "
        "or of what makes them",
        *(task, found[:16], here, expected["sha256"][:16], there, name),
    )


def _reporting(
    examples: Iterable[Example], what: str, count: int | None, progress: Progress
) -> Iterator[Example]:
    """Yield the examples, telling how many have come."""
    done = 0
    for example in examples:
        done += 1
        if done % _EVERY == 0:
            progress(what, done, count)
        yield example
    progress(what, done, done)
