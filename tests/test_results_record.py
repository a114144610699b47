"""Oracle: the file system itself (names, hard links, two processes) and hand-made bad input."""

import errno
import json
import logging
import multiprocessing
import os
import re
from collections.abc import Callable
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import pytest

from wise_lra.registry import TASKS
from wise_lra.results import record as records
from wise_lra.results.atomic import write_text
from wise_lra.results.reading import Printable, one_line
from wise_lra.results.record import Record


def make(**changes: Any) -> Record:
    """Return a sound record, with changes; also used by the tests of statistics and tables."""
    fields: dict[str, Any] = {
        "preset": "quick",
        "task": "text",
        "backbone": "vanilla",
        "attention": "softmax",
        "seed": 0,
        "protocol": "lra",
        "comparable": True,
        "data": {
            "source": "IMDB",
            "sha256": "a" * 64,
            "counts": {"train": 4000, "validation": 500, "test": 500},
            "length": getattr(TASKS.get(changes.get("task", "text")), "length", 1000),
            "majority": 0.5,
        },
        "metrics": {
            "test_accuracy": 0.6,
            "test_loss": 0.65,
            "test_examples": 100,
            "validation_accuracy": 0.61,
            "validation_loss": 0.64,
            "best_step": 90,
        },
        "history": [{"step": 50, "train_loss": 0.7}, {"step": 100, "train_loss": 0.6}],
        "steps": 100,
        "budget": {"steps": 100, "batch_size": 32, "examples": 3200},
        "parameters": 123456,
        "seconds": {"train": 60.0, "validation": 4.0, "test": 2.0, "total": 66.0},
        "tokens_per_second": 12345.0,
        "peak_memory_bytes": None,
        "device": "cpu",
        "precision": "32-true",
        "versions": {"torch": "2.13.0"},
        "commit": "c" * 40,
        "dirty": False,
        "config": {"task": {"length": 1000}},
        "started": "2026-01-31T12:00:00+00:00",
        "finished": "2026-01-31T12:01:06+00:00",
    }
    return Record(**(fields | changes))


def changed(name: str, **changes: Any) -> dict[str, Any]:
    """Return {name: the mapping of a sound record, with changes}."""
    return {name: getattr(make(), name) | changes}


def test_what_is_written_is_read(tmp_path: Path) -> None:
    record = make(variant="stand-in", wandb_id="1a2b")
    path = record.write(tmp_path)
    assert path == tmp_path / "quick" / "text-stand-in" / "vanilla" / "softmax" / "seed0.json"
    assert record.label == "text (stand-in)"
    assert records.read(path) == record
    assert records.read_all(tmp_path) == [record]
    assert [file.name for file in path.parent.iterdir()] == ["seed0.json"], "a temporary file was left"


def test_json_is_plain_ordered_and_short() -> None:
    text = make(history=[{"step": 1, "train_loss": float("nan")}], data=make().data).to_json()
    assert text.startswith('{\n  "schema": 1,\n  "preset": "quick",\n  "task": "text",\n')
    assert '\n    {"step": 1, "train_loss": null}\n' in text, (
        "a history point is one line, and NaN is not JSON"
    )
    json.loads(text, parse_constant=pytest.fail)
    assert make().to_json() == make().to_json()


def test_a_record_is_never_replaced_unasked(tmp_path: Path) -> None:
    path = make().write(tmp_path)
    before = path.read_bytes()
    with pytest.raises(FileExistsError, match=r"seed0\.json"):
        make(parameters=1).write(tmp_path)
    assert path.read_bytes() == before
    assert records.read(make(parameters=1).write(tmp_path, overwrite=True)).parameters == 1
    assert len(list(path.parent.iterdir())) == 1


def _race(root: Path, parameters: int, start: Barrier) -> None:
    start.wait()
    for seed in range(50):
        try:
            make(parameters=parameters, seed=seed).write(root)
        except FileExistsError:
            (root / f"lost-{seed}-{parameters}").touch()


def test_of_two_processes_one_wins(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(2)
    writers = [context.Process(target=_race, args=(tmp_path, number, start)) for number in (1, 2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
        assert writer.exitcode == 0
    winners = {record.seed: record.parameters for record in records.read_all(tmp_path)}
    losers = {seed: 3 - winner for seed, winner in winners.items()}
    assert {path.name for path in tmp_path.glob("lost-*")} == {f"lost-{s}-{p}" for s, p in losers.items()}
    assert len(winners) == 50


@pytest.mark.parametrize("overwrite", [True, False])
def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overwrite: bool
) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.write_text("kept")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "no space left on device")

    monkeypatch.setattr(os, "fsync", full)
    for path in (old, new) if overwrite else (new,):
        with pytest.raises(OSError, match=str(path)) as full_disk:
            write_text(path, "lost", overwrite)
        assert full_disk.value.errno == errno.ENOSPC
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("old", "kept")]


def test_a_file_system_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "operation not permitted")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    path = make().write(tmp_path)
    assert records.read(path) == make()
    with pytest.raises(FileExistsError):
        make(parameters=1).write(tmp_path)
    assert records.read(path) == make()


BAD = {
    "preset='../quick'": {"preset": "../quick"},
    "task='text/imdb'": {"task": "text/imdb"},
    "task='text-easy'": {"task": "text-easy"},  # a hyphen begins the variant in a path
    "variant='stand in'": {"variant": "stand in"},
    "backbone=''": {"backbone": ""},
    "attention=None": {"attention": None},
    "seed=-1": {"seed": -1},
    "seed=True": {"seed": True},
    "parameters=1.5": {"parameters": 1.5},
    "schema=2": {"schema": 2},
    "comparable='yes'": {"comparable": "yes"},
    "metrics.test_accuracy=64.27": changed("metrics", test_accuracy=64.27),
    "metrics.validation_accuracy=None": changed("metrics", validation_accuracy=float("nan")),
    "metrics.test_examples=0": changed("metrics", test_examples=0),
    "metrics.best_step": {"metrics": {"test_accuracy": 0.5}},
    "data.majority=-0.1": changed("data", majority=-0.1),
    "data.counts.validation": changed("data", counts={"train": 1, "test": 1}),
    "data.sha256=''": changed("data", sha256=""),
    "budget.batch_size=0": changed("budget", batch_size=0),
    "tokens_per_second=None": {"tokens_per_second": float("inf")},
    "started='31/01/2026'": {"started": "31/01/2026"},
    "finished='2026-01-31T12:00:00'": {"finished": "2026-01-31T12:00:00"},
    "finished='2026-01-31T12:00:00+01:00'": {"finished": "2026-01-31T12:00:00+01:00"},
    "config.root=": {"config": {"root": Path("x")}},
}


@pytest.mark.parametrize(("named", "changes"), BAD.items(), ids=BAD)
def test_bad_input_is_named(named: str, changes: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError), match=rf"^{re.escape(named)}"):
        make(**changes)


def _without(text: str, key: str) -> str:
    return json.dumps({name: value for name, value in json.loads(text).items() if name != key})


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (lambda text: text[:200], "record"),
        (lambda text: "[]", "JSON object"),
        (lambda text: text.replace('"schema": 1', '"schema": 9'), "schema=9"),
        (lambda text: _without(text, "schema"), "schema=None"),
        (lambda text: _without(text, "device"), "'device'"),
        (lambda text: text.replace('"device"', '"gadget"'), "'device'"),
        (lambda text: text.replace('"seed": 0', '"seed": 7'), "seed7.json"),
    ],
)
def test_a_bad_file_is_named(tmp_path: Path, spoil: Any, named: str) -> None:
    path = make().write(tmp_path)
    path.write_text(spoil(path.read_text()))
    with pytest.raises(ValueError, match=rf"^{path}: .*{named}"):
        records.read_all(tmp_path)


def spoiled(name: str, value: Any) -> str:
    """Return a sound record with another value at a name as "metrics.test_loss"."""
    content = node = json.loads(make().to_json())
    *parents, last = name.split(".")
    for parent in parents:
        node = node[parent]
    node[last] = value
    return json.dumps(content)


SOUND = make().to_json()
SPOILED: list[tuple[str, Any]] = [
    *(
        ("history", value)
        for value in (5, [1], [{"step": "x"}], [{"loss": 1.0}], [{"step": 1, "train_loss": "x"}])
    ),
    *(("commit", value) for value in (5, "")),
    *(("config", value) for value in ([], None)),
    *(("peak_memory_bytes", value) for value in (-1, "1")),
    *(("versions", []), ("wandb_id", 7), ("seconds.train", "1"), ("metrics.test_loss", "x")),
    *(("metrics.best_step", None), ("budget.examples", "x"), ("data.counts", [1]), ("data.sha256", 1)),
    *(("seed", 2**63), ("metrics.test_accuracy", True), ("preset", ["quick"]), ("device", {"a": 1})),
]
BAD_FILES: dict[str, str | bytes] = {
    "empty": "",
    "a list": "[]",
    "an object of nothing": "{}",
    "null": "null",
    "cut": SOUND[:-40],
    "deep lists": "[" * 100_000,
    "deep objects": '{"a":' * 100_000,
    "deep, and closed": '{"a":' * 900 + "1" + "}" * 900,
    "NaN": SOUND.replace("0.65", "NaN"),
    "Infinity": SOUND.replace("0.65", "-Infinity"),
    "a key twice": SOUND.replace('"schema": 1,', '"schema": 1, "schema": 1,'),
    "a byte order mark": b"\xef\xbb\xbf" + SOUND.encode(),
    "another encoding": SOUND.encode("utf-16"),
    "5,000 digits": SOUND.replace("123456", "1" * 5000),
    "400 digits": SOUND.replace("123456", "1" * 400),
    "a float of 400 digits": spoiled("tokens_per_second", 10**400),
    **{f"{name}={value!r}": spoiled(name, value) for name, value in SPOILED},
}


@pytest.mark.parametrize("content", BAD_FILES.values(), ids=BAD_FILES)
def test_one_bad_file_is_one_line_and_the_others_are_read(tmp_path: Path, content: str | bytes) -> None:
    good, bad = make(seed=1).write(tmp_path), make().path(tmp_path)
    bad.write_bytes(content.encode() if isinstance(content, str) else content)
    faults: list[str] = []
    assert [record.path(tmp_path) for record in records.read_all(tmp_path, faults)] == [good]
    (fault,) = faults
    assert fault.startswith(f"{bad}: ")
    assert fault.isprintable()
    assert len(fault) < 1100
    with pytest.raises(ValueError, match=str(bad)):
        records.read_all(tmp_path)


def test_what_is_no_file_is_one_line(tmp_path: Path) -> None:
    good, bad = make(seed=1).write(tmp_path), make().path(tmp_path)
    kinds: list[Callable[[], Any]] = [bad.mkdir, lambda: os.mkfifo(bad), lambda: bad.symlink_to(bad)]
    for make_it in kinds:
        make_it()
        faults: list[str] = []
        assert len(records.read_all(tmp_path, faults)) == 1
        assert (len(faults), str(bad) in faults[0]) == (1, True)
        bad.rmdir() if bad.is_dir() else bad.unlink()
    faults = []
    assert records.read_all(good, faults) == []
    assert str(good) in faults[0], "a file in place of the folder"


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_what_may_not_be_read_is_one_line(tmp_path: Path) -> None:
    make(seed=1).write(tmp_path)
    bad = make(task="image").write(tmp_path)
    for path in (bad, bad.parent):
        path.chmod(0)
        faults: list[str] = []
        assert len(records.read_all(tmp_path, faults)) == 1
        assert str(path) in faults[0]
        path.chmod(0o700)


def test_fields_of_another_version_are_left_out_and_missing_ones_take_their_default(tmp_path: Path) -> None:
    content = json.loads(make().to_json()) | {"gadget": {"new": 1}}
    for name in ("variant", "wandb_id"):
        del content[name]
    path = make().path(tmp_path)
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(content))
    assert records.read_all(tmp_path) == [make()]


def test_control_characters_of_texts_are_shown_not_obeyed(tmp_path: Path) -> None:
    evil = "\x1b[31mred\x07\x9b2J\r\n\u202eabc"
    record = make(device=evil, config={evil: evil}, **changed("data", source=evil))
    shown = r"\x1b[31mred\x07\x9b2J\r\n\u202eabc"
    assert (record.device, record.data["source"], record.config) == (shown, shown, {shown: shown})
    assert records.read(record.write(tmp_path)) == record


def test_lines_of_a_log_are_printable() -> None:
    said = logging.LogRecord("", logging.INFO, "", 0, "data: %s\nmore", ("\x1b[31mred\x07",), None)
    assert Printable().format(said) == "data: \\x1b[31mred\\x07\nmore"
    assert one_line("a\n b\x9b" + "c" * 5000).startswith(r"a b\x9bccc")
    assert len(one_line("c" * 5000)) < 1100


def test_no_folder_holds_no_records(tmp_path: Path) -> None:
    assert records.read_all(tmp_path / "none") == []
