"""Oracle: the data as they come out undisturbed, whatever was broken, full, killed or at work at the same time."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from preparing import FEW, counts, flipped, folders, prepared
from upstream import FILES, TASKS, binary, image_files, pack, packed, unpack

from wise_lra.data import packed as packing
from wise_lra.data import pathfinder, prepare, sources
from wise_lra.data.packed import verify
from wise_lra.data.task import Task


@pytest.fixture(autouse=True)
def offline(monkeypatch) -> None:
    monkeypatch.setattr(sources, "unreachable", lambda _: "no network")


BINARY = "cifar-10-batches-bin/test_batch.bin"
LINE = b"( [MIN \xff ) ]\t3\r\n"
FAULTS = [
    ("text", {}, ("../out.txt",), r"out\.txt"),
    ("image", {}, ("/etc/cron.d/out",), r"/etc/cron\.d/out"),
    ("image", {BINARY: binary(np.array([10], np.uint8), np.zeros((1, 3072), np.uint8))}, (), "label 10"),
    ("image", {BINARY: b""}, (), r"test_batch\.bin .* 0 bytes"),
    ("listops", {"basic_val.tsv": FILES["listops"]["basic_val.tsv"] + LINE}, (), r"basic_val\.tsv:7: .*0xff"),
]


@pytest.mark.parametrize(("task", "files", "outside", "message"), FAULTS)
def test_a_fault_of_the_source_is_named_and_leaves_nothing(tmp_path, task, files, outside, message):
    upstream = image_files("bin") if BINARY in files else FILES[task]
    path = packed(tmp_path, task, upstream | files)
    pack(path, dict(contents(path)), *map(tarfile.TarInfo, outside))
    with pytest.raises(ValueError, match=rf"(?s){path.name}.*{message}"):
        prepare.prepare(TASKS[task], root=tmp_path)
    assert not folders(tmp_path, task)
    assert not list(tmp_path.rglob("*.array_record*"))


def contents(path: Path) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(path) as archive:
        for member in archive:
            yield member.name, archive.extractfile(member).read()


def test_a_label_or_token_outside_the_range_is_named_with_its_place(tmp_path):
    path = unpack(tmp_path, FILES["text"]) / "aclImdb"
    for facts, found in ((Task("text", 257, 512, 1), "label 1"), (Task("text", 100, 512, 2), r"token \d+")):
        with pytest.raises(ValueError, match=rf"{path}: text: example \d+ of train has {found}"):
            prepare.prepare(facts, root=tmp_path)
    assert not folders(tmp_path, "text")


def test_a_broken_archive_leaves_nothing(tmp_path):
    path = packed(tmp_path, "text")
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(ValueError, match=str(path)):
        prepared("text", tmp_path)
    assert not folders(tmp_path, "text")


def test_a_disk_without_room_is_found_before_anything_is_read_or_fetched(tmp_path, monkeypatch):
    """Twice the tokens: in the data store, and packed."""
    unpack(tmp_path, FILES["retrieval"])
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(9, 9, 1_000_000_000))
    with pytest.raises(OSError, match=r"retrieval .* 5\.84 GB .*1\.00 GB are free"):
        prepare.prepare(TASKS["retrieval"], root=tmp_path)
    with pytest.raises(OSError, match=r"pathfinder \(generated\) .* 6\.55 GB"):
        prepare.prepare(Task("pathfinder", 256, 16384, 2, padded=False), root=tmp_path)
    assert not folders(tmp_path, "retrieval")


def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(packing, "_header", full)
    with pytest.raises(OSError, match=r"stand-in-\w+: .*No space left.*data\.root"):
        prepared("image", tmp_path)
    assert not folders(tmp_path, "image")


def test_a_folder_that_is_read_only_is_named_and_serves_what_it_has(tmp_path, monkeypatch):
    first = prepared("image", tmp_path)

    def refuse(*_, **__):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "mkdir", refuse)
    assert prepared("image", tmp_path) == first
    with pytest.raises(OSError, match=r"Read-only file system.*data\.root"):
        prepared("text", tmp_path)


@pytest.fixture
def read_only() -> Iterator[Path]:
    """A folder that may be read and not written, by root neither: root becomes nobody meanwhile."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o555)
        user = os.geteuid()
        try:
            if user == 0:
                os.seteuid(65534)
            yield Path(name)
        finally:
            os.seteuid(user)
            Path(name).chmod(0o755)


@pytest.mark.parametrize("task", ["text", "pathfinder"])
def test_a_folder_that_may_not_be_written_is_named(read_only, task):
    with pytest.raises(OSError, match=rf"{read_only}/{task}/\S+: .*Permission denied.*data\.root"):
        prepared(task, read_only)
    assert not list(read_only.iterdir())


@pytest.mark.parametrize("damage", [flipped, Path.unlink])
@pytest.mark.parametrize(
    ("task", "name"),
    [
        *(("image", name) for name in ("train.tokens.npy", "validation.offsets.npy", "manifest.json")),
        ("listops", "test.labels.npy"),
    ],
)
def test_what_the_project_makes_is_made_again_where_it_is_damaged(tmp_path, caplog, task, name, damage):
    first = prepared(task, tmp_path)
    damage(first.folder / name)
    again = prepared(task, tmp_path)
    assert str(first.folder / name) in caplog.text
    assert again.manifest["sha256"] == first.manifest["sha256"]
    verify(again.folder)


@pytest.mark.parametrize("damage", [flipped, Path.unlink])
@pytest.mark.parametrize("name", ["test.labels.npy", "manifest.json"])
def test_damaged_real_data_are_made_again_from_their_archive_or_the_store_or_refused(
    tmp_path, caplog, name, damage
):
    archives, root = unpack(tmp_path / "archives", FILES["retrieval"]), tmp_path / "data"
    first = prepared("retrieval", root, archives=archives)
    damage(first.folder / name)
    assert prepared("retrieval", root, archives=archives).manifest["sha256"] == first.manifest["sha256"]
    assert str(first.folder / name) in caplog.text
    damage(first.folder / name)
    again = prepared("retrieval", root)
    assert [again.manifest[key] for key in ("sha256", "source")] == [first.manifest["sha256"], "archives"]
    shutil.rmtree(first.folder)
    assert prepared("retrieval", root).manifest["sha256"] == first.manifest["sha256"]
    damage(first.folder / name)
    (stored,) = (root / "tfds" / "lra_retrieval" / "release").glob("*/*test*")
    whole = stored.read_bytes()
    stored.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=str(stored.parent)):
        prepared("retrieval", root)
    shutil.rmtree(root / "tfds")
    with pytest.raises(ValueError, match=str(first.folder / name)):
        prepared("retrieval", root)
    assert folders(root, "retrieval") == [first.folder]


def test_an_archive_is_read_again_where_the_packed_folder_was_removed(tmp_path):
    unpack(tmp_path, FILES["retrieval"])
    first = prepared("retrieval", tmp_path)
    unpack(tmp_path, {"new_aan_pairs.test.tsv": b"1.0\ta\tb\tanother\tpair\n" * 3})
    assert prepared("retrieval", tmp_path) == first
    shutil.rmtree(first.folder)
    assert counts(prepared("retrieval", tmp_path)) == [2, 1, 3]


def test_what_a_killed_process_left_in_the_store_is_not_taken_for_data(tmp_path):
    unpack(tmp_path, {"tfds/lra_text/release/1.0.0.incompleteABC/metadata.json": b"{}"})
    assert prepared("text", tmp_path).manifest["variant"] == "stand-in"
    archives = unpack(tmp_path / "archives", FILES["text"])
    assert prepared("text", tmp_path, archives=archives).manifest["source"] == "aclImdb"
    assert [path.name for path in (tmp_path / "tfds" / "lra_text" / "release").iterdir()] == ["1.0.0"]


KILLED = """
import sys
from pathlib import Path
from wise_lra.data.prepare import prepare
from wise_lra.data.task import Task
task = Task("image", 256, 1024, 10, padded=False)
tell = lambda what, done, total: print(what, done, flush=True)
counts = {"train": 3000, "validation": 9, "test": 9}
prepare(task, root=Path(sys.argv[1]), source="standin", standin=counts, progress=tell)
"""


@pytest.mark.parametrize("stage", ["storing", "packing"])
def test_killed_half_way_nothing_is_taken_for_whole(tmp_path, stage):
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert any(line == f"{stage} image 100\n" for line in process.stdout)
        process.send_signal(signal.SIGKILL)
    assert not [path for path in folders(tmp_path, "image") if not path.name.startswith(".")]
    few = {"train": 3000, "validation": 9, "test": 9}
    whole = prepared("image", tmp_path, source="standin", standin=few)
    verify(whole.folder)
    assert counts(whole) == [*few.values()]
    assert folders(tmp_path, "image") == [whole.folder]
    store = tmp_path / "tfds" / "lra_image" / whole.folder.name
    assert [path.name for path in store.iterdir()] == ["1.0.0"]


def test_two_processes_at_once_make_the_data_once(tmp_path):
    command = [sys.executable, "-c", KILLED, str(tmp_path)]
    both = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in "12"
    ]
    outputs = [process.communicate(timeout=60) for process in both]
    assert [process.returncode for process in both] == [0, 0]
    lines = sorted(out.count("packing image") for out, _ in outputs)
    assert lines == [0, 31]  # one alone has progress to tell
    (folder,) = folders(tmp_path, "image")
    verify(folder)


def test_of_two_at_once_the_second_waits_and_says_so(tmp_path, caplog):
    first = prepared("image", tmp_path / "elsewhere")
    folder = tmp_path / "data" / "image" / first.folder.name
    folder.parent.mkdir(parents=True)
    found: list[prepare.Prepared] = []
    with FileLock(folder.with_name(f".{folder.name}.lock")):
        second = threading.Thread(target=lambda: found.append(prepared("image", tmp_path / "data")))
        second.start()
        begin = time.monotonic()
        while str(folder) not in caplog.text and time.monotonic() < begin + 10:
            time.sleep(0.01)
        assert not found
        first.folder.rename(folder)
    second.join(10)
    assert found[0].folder == folder
    assert found[0].manifest == first.manifest  # taken over, not made a second time


@pytest.fixture
def short_parts(monkeypatch) -> None:
    monkeypatch.setattr(pathfinder, "_PIXELS", 1)  # a part is then a shard
    monkeypatch.setattr(pathfinder, "_SHARD", 20)


@pytest.mark.usefixtures("short_parts")
def test_pathfinder_goes_on_where_it_was_stopped(tmp_path, monkeypatch):
    """Stopped in its second part, it draws that part and the third alone when it is called again."""
    whole = prepared("pathfinder", tmp_path / "whole")
    drawn, generate = [], pathfinder.generate

    def counted(*arguments, **options):
        drawn.append(options["first"])
        if drawn == [0, 20]:
            raise KeyboardInterrupt
        return generate(*arguments, **options)

    monkeypatch.setattr(pathfinder, "generate", counted)
    with pytest.raises(KeyboardInterrupt):
        prepared("pathfinder", tmp_path / "parts")
    again = prepared("pathfinder", tmp_path / "parts")
    assert drawn == [0, 20, 20, 40]
    assert again.manifest["sha256"] == whole.manifest["sha256"]
    assert folders(tmp_path / "parts", "pathfinder") == [again.folder]


@pytest.mark.usefixtures("short_parts")
def test_a_part_that_is_broken_or_of_other_images_is_drawn_again(tmp_path, caplog):
    options = FEW | {"seed": 0, "contour_length": 6, "parts": tmp_path}
    first = [example.documents[0] for example in pathfinder.examples(**options)]
    paths = sorted(tmp_path.iterdir())  # of images 0 to 19, 20 to 39 and 40 to 49
    whole = [path.read_bytes() for path in paths]
    half = len(whole[0]) // 2
    bit = whole[0][:half] + bytes([whole[0][half] ^ 1]) + whole[0][half + 1 :]
    for number, content in enumerate((b"", b"PK broken", bit, whole[1], whole[2]), 1):
        paths[0].write_bytes(content)
        assert np.array_equal(first, [example.documents[0] for example in pathfinder.examples(**options)])
        assert caplog.text.count(str(paths[0])) == number
