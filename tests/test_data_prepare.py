"""Oracle: small archives in upstream's layout; what must be taken follows from what was put where."""

import errno
import io
import json
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
from PIL import Image
from upstream import pack, unpack

from wise_lra.data import packed, pathfinder, prepare, source
from wise_lra.data.lock import locked
from wise_lra.data.packed import PackedSplit, read_manifest, verify
from wise_lra.data.task import Task

TASKS = {
    "listops": Task("listops", 16, 100, 10),
    "text": Task("text", 257, 512, 2),
    "retrieval": Task("retrieval", 257, 512, 2, documents=2),
    "image": Task("image", 256, 1024, 10, padded=False),
    "pathfinder": Task("pathfinder", 256, 1024, 2, padded=False),
}
FEW = {"train": 30, "validation": 10, "test": 10}
SHORT = FEW | {"min_length": 10, "max_length": 100}
REVIEWS = {
    f"aclImdb/{split}/{label}/{number}_7.txt": f"{split} {label} {number}".encode()
    for split in ("train", "test")
    for label in ("neg", "pos")
    for number in range(20)
}
PAIRS = {f"new_aan_pairs.{split}.tsv": b"1.0\ta\tb\tone\ttwo\n" for split in ("train", "eval", "test")}
SAMPLE = {
    "aan_sample/texts/P01.txt": b"one",
    **{
        f"aan_sample/aan_sample_pairs.{split}.only_ids.tsv": b"1.0\tP01\tP01\n"
        for split in ("train", "eval", "test")
    },
}
PICTURES = {
    f"cifar-10-batches-bin/{name}.bin": bytes([number]) + bytes(3072)
    for number, name in enumerate([*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"])
}
LINE = b"Source\tTarget\r\n( ( ( [MIN 3 ) 4 ) ] )\t3\r\n"
EXPRESSIONS = {
    f"lra_release/lra_release/listops-1000/basic_{split}.tsv": LINE for split in ("train", "val", "test")
}


@pytest.fixture(autouse=True)
def asked(monkeypatch) -> list[str]:
    """No network: every address that is asked for is kept, and does not answer."""
    addresses: list[str] = []
    monkeypatch.setattr(
        source, "unreachable", lambda upstream: addresses.append(upstream.address) or "no network"
    )
    return addresses


def prepared(task: str, root: Path, **options) -> prepare.Prepared:
    if task == "listops":
        options = {"generated": SHORT} | options
    if task == "pathfinder":
        options = {"generated": FEW | {"contour_length": 6}} | options
    return prepare.prepare(TASKS[task], root=root, **({"standin": FEW} | options))


@pytest.mark.parametrize(
    ("task", "name", "variant", "asks"),
    [
        ("listops", "generated", "short", 0),
        ("text", "stand-in", "stand-in", 1),
        ("retrieval", "stand-in", "stand-in", 0),
        ("image", "stand-in", "stand-in", 1),
        ("pathfinder", "generated", "easy", 0),
    ],
)
def test_where_nothing_is_there_the_project_makes_the_data(tmp_path, asked, task, name, variant, asks):
    made = prepared(task, tmp_path)
    assert (made.manifest["source"], made.manifest["variant"]) == (name, variant)
    assert made.manifest["protocol"] == "held-out"
    assert [facts["examples"] for facts in made.manifest["splits"].values()] == list(FEW.values())
    assert made.folder.parent == tmp_path / task
    assert verify(made.folder) == made.manifest
    assert len(asked) == asks
    times = {path: path.stat().st_mtime_ns for path in made.folder.iterdir()}
    assert prepared(task, tmp_path) == made
    assert times == {path: path.stat().st_mtime_ns for path in made.folder.iterdir()}
    assert len(asked) == asks  # an address is not asked again
    other = prepared(task, tmp_path, seed=1)
    assert other.folder != made.folder
    assert other.manifest["sha256"] != made.manifest["sha256"]


@pytest.mark.parametrize("task", ["listops", "pathfinder"])
def test_what_is_generated_needs_no_stand_in_and_says_so(tmp_path, caplog, task):
    caplog.set_level("INFO")
    made = prepared(task, tmp_path, source="standin")
    assert made.manifest["source"] == "generated"
    assert f"{task}: data: generated, because it needs no stand-in" in caplog.text
    assert prepared(task, tmp_path, source="generated").folder == made.folder


@pytest.mark.parametrize("task", [*TASKS])
def test_the_same_settings_give_the_same_bytes_elsewhere(tmp_path, task):
    first, second = (prepared(task, tmp_path / name) for name in "ab")
    assert first.folder.name == second.folder.name
    assert first.manifest["sha256"] == second.manifest["sha256"]


@pytest.mark.parametrize("task", [*TASKS])
def test_presets_of_other_sizes_lie_apart(tmp_path, task):
    first = prepared(task, tmp_path)
    other = {"generated": SHORT | {"test": 9}} if task == "listops" else {"standin": FEW | {"test": 9}}
    other = {"generated": FEW | {"test": 9}} if task == "pathfinder" else other
    second = prepared(task, tmp_path, **other)
    assert second.manifest["splits"]["test"]["examples"] == 9
    assert prepared(task, tmp_path) == first


def test_archives_are_found_and_come_first(tmp_path, asked, caplog):
    archives = tmp_path / "archives"
    archives.mkdir()
    pack(archives / "aclImdb_v1.tar.gz", REVIEWS)
    pack(archives / "cifar-10-binary.tar.gz", PICTURES)
    pack(archives / "aan_sample.tar.xz", SAMPLE)
    prepared("text", tmp_path / "data")  # a stand-in that is there already does not hinder
    asked.clear()
    caplog.set_level("INFO")
    text = prepared("text", tmp_path / "data", archives=archives)
    assert "text: data: aclImdb_v1.tar.gz, because data.archives holds it: 36 train" in caplog.text
    assert (text.folder.name, text.manifest["variant"]) == ("release", "sample")
    image = prepared("image", tmp_path / "data", archives=archives)
    assert (image.manifest["source"], image.manifest["splits"]["test"]["examples"]) == (
        "cifar-10-binary.tar.gz",
        1,
    )
    retrieval = prepared("retrieval", tmp_path / "data", archives=archives)
    assert (retrieval.folder.name, retrieval.manifest["variant"]) == ("sample", "sample")
    assert not asked
    for task, first in (("text", text), ("image", image), ("retrieval", retrieval)):
        assert prepared(task, tmp_path / "data") == first  # what was packed is found without the archives


@pytest.mark.parametrize("key", ["root", "archives", "release"])
def test_any_place_will_do(tmp_path, key):
    unpack(tmp_path / "place", PAIRS)
    places = {"root": tmp_path / "data"} | {key: tmp_path / "place"}
    found = prepared("retrieval", places.pop("root"), **places)
    assert (found.folder.name, found.manifest["source"]) == ("release", "place")


def test_the_release_says_nothing_of_tasks_that_it_does_not_hold(tmp_path):
    release = pack(tmp_path / "lra_release.gz", EXPRESSIONS)
    assert prepared("text", tmp_path / "data", release=release).manifest["variant"] == "stand-in"


def test_the_true_pairs_come_before_the_sample(tmp_path):
    unpack(tmp_path / "archives", SAMPLE)
    assert prepared("retrieval", tmp_path, archives=tmp_path / "archives").folder.name == "sample"
    release = pack(
        tmp_path / "lra_release.gz", {f"lra_release/lra_release/tsv_data/{k}": v for k, v in PAIRS.items()}
    )
    found = prepared("retrieval", tmp_path, archives=tmp_path / "archives", release=release)
    assert (found.manifest["source"], found.folder.name) == ("lra_release.gz", "release")


def test_the_release_of_listops_is_for_those_who_want_lras_lengths(tmp_path):
    path = pack(tmp_path / "lra_release.gz", EXPRESSIONS)
    assert prepared("listops", tmp_path).manifest["source"] == "generated"
    with pytest.raises(ValueError, match=r"task\.length=100: LRA's ListOps has up to 2,000 tokens"):
        prepared("listops", tmp_path, source="release")
    found = prepare.prepare(Task("listops", 16, 2000, 10), root=tmp_path / "data", release=path)
    assert (found.manifest["source"], found.folder.name) == ("lra_release.gz", "release")


def test_the_length_of_pathfinder_says_the_size_of_its_images(tmp_path):
    few = FEW | {"contour_length": 6}
    made = prepare.prepare(Task("pathfinder", 256, 4096, 2, padded=False), root=tmp_path, generated=few)
    assert (made.manifest["settings"]["size"], made.manifest["variant"]) == (64, "64-easy")
    with pytest.raises(ValueError, match=r"task\.length=1000: expected one of 1024, 4096, 16384, 65536"):
        prepare.prepare(Task("pathfinder", 256, 1000, 2, padded=False), root=tmp_path)


def test_protocols_lie_apart_and_lras_warns(tmp_path, caplog):
    unpack(tmp_path, REVIEWS)
    held_out, lra = prepared("text", tmp_path), prepared("text", tmp_path, protocol="lra")
    assert "validates on the test set" in caplog.text
    assert (held_out.manifest["protocol"], lra.manifest["protocol"]) == ("held-out", "lra")
    counts = [facts["examples"] for facts in lra.manifest["splits"].values()]
    assert counts == [40, 40, 40]
    assert [facts["examples"] for facts in held_out.manifest["splits"].values()] == [36, 4, 40]


@pytest.mark.parametrize(
    ("task", "options", "message"),
    [
        (
            "text",
            {"source": "generated"},
            r"data\.source='generated': expected one of auto, release, standin",
        ),
        ("text", {"source": "relese"}, r"data\.source='relese'"),
        ("text", {"protocol": "LRA"}, r"data\.protocol='LRA': expected one of held-out, lra"),
        (
            "text",
            {"standin": {"trian": 3}},
            r"data\.standin\.trian=3: unknown for text, expected train, valid",
        ),
        ("image", {"standin": {"train": 0}}, r"data\.standin\.train=0: expected an integer of at least 1"),
        ("image", {"standin": {"train": 1.5}}, r"data\.standin\.train=1\.5"),
        ("text", {"standin": {"min_length": 10}}, "min_length=10, max_length=1500: expected 200 <= min"),
        ("retrieval", {"standin": {"subjects": 9}}, "subjects=9: expected 2 to 8"),
        ("listops", {"generated": {"max_length": 200}}, r"data\.generated\.max_length=200: expected at most"),
        ("pathfinder", {"generated": {"size": 64}}, r"data\.generated\.size=64: expected the root of"),
        ("pathfinder", {"generated": {"size": 33}}, r"data\.generated\.size=33: expected the root of"),
        ("pathfinder", {"generated": {"contour_length": 2}}, "contour_length=2: expected 3 or more"),
        ("text", {"seed": -1}, r"data\.seed=-1"),
        (
            "retrieval",
            {"release": Path(__file__)},
            r"data\.release=.*: nothing there, expected new_aan",
        ),
        ("text", {"release": Path("nowhere")}, r"data\.release=nowhere: no such file or folder"),
        ("image", {"archives": Path("nowhere")}, r"data\.archives=nowhere: no such file or folder"),
    ],
)
def test_impossible_wishes_name_the_key(tmp_path, task, options, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        prepared(task, tmp_path, **options)
    assert not [path for path in tmp_path.rglob("*") if path.is_dir() and path.name != task]


def test_offline_the_release_is_one_clear_error(tmp_path):
    begin = time.monotonic()
    with pytest.raises(FileNotFoundError) as error:
        prepared("image", tmp_path, source="release")
    assert time.monotonic() - begin < 1
    for part in (
        "cifar-10-binary.tar.gz",
        "https://www.cs.toronto.edu",
        str(tmp_path),
        "data.archives",
        "data.source=standin",
    ):
        assert part in str(error.value)
    with pytest.raises(
        FileNotFoundError, match=r"lra_release\.gz.*storage\.googleapis.*data\.source=generated"
    ):
        prepared("pathfinder", tmp_path, source="release")


def test_a_small_download_is_fetched_and_used(tmp_path, monkeypatch):
    def fetch(upstream, folder, progress):
        progress(f"downloading {upstream.name}", 1, 1)
        return pack(folder / upstream.name, REVIEWS)

    seen = []
    monkeypatch.setattr(source, "unreachable", lambda _: "")
    monkeypatch.setattr(prepare, "fetch", fetch)
    found = prepared("text", tmp_path, progress=lambda *report: seen.append(report))
    assert (found.manifest["source"], found.folder.name) == ("aclImdb_v1.tar.gz", "release")
    assert seen[0] == ("downloading aclImdb_v1.tar.gz", 1, 1)
    assert seen[-1] == ("packing text", 80, 80)


def test_a_download_that_breaks_gives_way_to_the_stand_in_but_a_wrong_one_does_not(
    tmp_path, monkeypatch, caplog
):
    def broken(*_):
        raise error

    monkeypatch.setattr(source, "unreachable", lambda _: "")
    monkeypatch.setattr(prepare, "fetch", broken)
    error: Exception = ValueError("sha256 1, expected 2")
    with pytest.raises(ValueError, match="sha256 1, expected 2"):
        prepared("text", tmp_path)
    error = OSError("the connection closed early")
    caplog.set_level("INFO")
    assert prepared("text", tmp_path).manifest["variant"] == "stand-in"
    assert "could not be fetched (the connection closed early)" in caplog.text


GOOD = b"1.0\ta\tb\tone\ttwo\n"
FAULTS = [
    ("text", "aclImdb_v1.tar.gz", REVIEWS, ("../out.txt",), r"refused, the member .*out.* points outside"),
    (
        "image",
        "cifar-10-binary.tar.gz",
        PICTURES,
        ("/etc/cron.d/out",),
        r"refused, the member .*out.* points outside",
    ),
    (
        "image",
        "cifar-10-binary.tar.gz",
        PICTURES | {"cifar-10-batches-bin/test_batch.bin": bytes([10]) + bytes(3072)},
        (),
        r"test_batch\.bin is not CIFAR-10's: label 10, expected 0 to 9",
    ),
    (
        "image",
        "cifar-10-binary.tar.gz",
        PICTURES | {"cifar-10-batches-bin/test_batch.bin": b""},
        (),
        r"test_batch\.bin is not CIFAR-10's: 0 bytes",
    ),
    (
        "listops",
        "lra_release.gz",
        EXPRESSIONS
        | {"lra_release/lra_release/listops-1000/basic_val.tsv": LINE + b"( [MIN \xff ) ]\t3\r\n"},
        (),
        r"basic_val\.tsv:3: .*byte 0xff",
    ),
]


@pytest.mark.parametrize(("task", "name", "files", "outside", "message"), FAULTS)
def test_a_fault_of_the_source_is_named_and_leaves_nothing(tmp_path, task, name, files, outside, message):
    pack(tmp_path / name, files, *map(tarfile.TarInfo, outside))
    with pytest.raises(ValueError, match=rf"(?s){name}.*{message}"):
        prepare.prepare(Task(task, TASKS[task].vocabulary, 2000, 10, padded=False), root=tmp_path)
    assert not [path for path in (tmp_path / task).iterdir() if path.is_dir()]


def test_bytes_that_are_not_utf_8_are_tokens_as_all_others(tmp_path):
    """LRA reads bytes and never decodes them, so there is nothing to reject: byte + 1 for each."""
    unpack(tmp_path, REVIEWS | {"aclImdb/train/neg/0_7.txt": b"caf\xe9 \xff\xfe"})
    unpack(tmp_path, PAIRS | {"new_aan_pairs.test.tsv": b"1.0\ta\tb\t\xff\xc3\ttwo\n"})
    for task, split, expected in (("text", "train", b"caf\xe9 \xff\xfe"), ("retrieval", "test", b"\xff\xc3")):
        made = prepared(task, tmp_path)
        document = PackedSplit(made.folder, split, TASKS[task]).documents(0)[0]
        assert (document - 1).astype(np.uint8).tobytes() == expected
        assert not made.manifest["rejected"]


def test_lines_without_columns_or_label_are_counted_by_reason(tmp_path, caplog):
    bad = GOOD + b"1.0\ta\tb\tone\n" + b"2.0\ta\tb\tone\ttwo\n" + b"\n"
    unpack(tmp_path, PAIRS | {"new_aan_pairs.train.tsv": bad})
    made = prepared("retrieval", tmp_path)
    assert made.manifest["rejected"] == {"not five columns": 1, "label is not 0.0 or 1.0": 1}
    assert made.manifest["splits"]["train"]["examples"] == 1
    assert "retrieval: 2 left out: 1 not five columns, 1 label is not 0.0 or 1.0" in caplog.text
    unpack(tmp_path, PAIRS | {"new_aan_pairs.train.tsv": bad.replace(GOOD, b"")})
    with pytest.raises(
        ValueError, match=r"no examples for train.* 2 left out: 1 not five columns, 1 label is"
    ):
        prepared("retrieval", tmp_path / "other", archives=tmp_path)


def images(count: int) -> dict[str, bytes]:
    """Return the hard Pathfinder of a release with so many images."""
    above, files = "lra_release/lra_release/pathfinder32/curv_contour_length_14", {}
    for number in range(count):
        png = io.BytesIO()
        Image.new("L", (32, 32), number).save(png, "png")
        files[f"{above}/imgs/0/sample_{number}.png"] = png.getvalue()
    lines = [f"imgs/0 sample_{n}.png {n} {n % 2} 1.0 14 4 2 0.5 1 1\n" for n in range(count)]
    return files | {f"{above}/metadata/0.npy": "".join(lines).encode()}


def test_images_without_a_byte_are_counted_and_left_out(tmp_path, caplog):
    files = images(21)
    above = "lra_release/lra_release/pathfinder32/curv_contour_length_14/imgs"
    files[f"{above}/0/sample_5.png"] = b""
    files[f"{above}/1/sample_5.png"] = files[f"{above}/0/sample_6.png"]
    pack(tmp_path / "lra_release.gz", files)
    made = prepare.prepare(TASKS["pathfinder"], root=tmp_path)
    assert made.manifest["source"] == "lra_release.gz"
    rejected = {"empty file imgs/0/sample_5.png": 1, "image that no line names": 1}
    assert made.manifest["rejected"] == rejected
    assert "pathfinder: 2 left out: 1 empty file" in caplog.text
    assert [facts["examples"] for facts in made.manifest["splits"].values()] == [16, 2, 2]


def test_a_disk_without_room_is_found_before_anything_is_read_or_fetched(tmp_path, monkeypatch):
    unpack(tmp_path, PAIRS)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(9, 9, 1_000_000_000))
    with pytest.raises(OSError, match=r"retrieval \(.*\) needs 2\.92 GB .*1\.00 GB are free; make room"):
        prepare.prepare(Task("retrieval", 257, 4000, 2, documents=2), root=tmp_path)
    with pytest.raises(OSError, match=r"pathfinder \(generated\) needs 6\.55 GB"):
        prepare.prepare(Task("pathfinder", 256, 16384, 2, padded=False), root=tmp_path)
    assert not [path for path in (tmp_path / "retrieval").iterdir() if path.is_dir()]


def test_a_broken_archive_leaves_nothing(tmp_path):
    path = pack(tmp_path / "aclImdb_v1.tar.gz", REVIEWS)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(ValueError, match=r"aclImdb_v1\.tar\.gz: cannot be read to its end"):
        prepared("text", tmp_path)
    assert not [path for path in (tmp_path / "text").iterdir() if path.is_dir()]


def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch):
    def full(self):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(packed._Appended, "_flush", full)
    with pytest.raises(OSError, match=r"stand-in-\w+: cannot be written \(.*No space left.*data\.root"):
        prepared("image", tmp_path)
    assert not [path for path in (tmp_path / "image").iterdir() if path.is_dir()]


def test_a_folder_that_is_read_only_is_named_and_serves_what_it_has(tmp_path, monkeypatch):
    first = prepared("image", tmp_path)

    def refuse(*_, **__):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "mkdir", refuse)
    assert prepared("image", tmp_path) == first
    with pytest.raises(
        OSError, match=r"cannot be written \(.*Read-only file system.*name another data\.root"
    ):
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
    with pytest.raises(
        OSError,
        match=rf"{read_only}/{task}/\S+: cannot be written \(.*Permission denied.*name another data\.root",
    ):
        prepared(task, read_only)
    assert not list(read_only.iterdir())


def flipped(path: Path) -> None:
    """Turn one bit over and leave the times as they were."""
    times, whole = path.stat(), bytearray(path.read_bytes())
    whole[-1] ^= 1
    path.write_bytes(whole)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


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
    assert "is not whole" in caplog.text
    assert str(first.folder / name) in caplog.text
    assert again.manifest["sha256"] == first.manifest["sha256"]
    verify(again.folder)


@pytest.mark.parametrize("damage", [flipped, Path.unlink])
@pytest.mark.parametrize("name", ["test.labels.npy", "manifest.json"])
def test_damaged_real_data_are_made_again_from_their_archive_or_refused(tmp_path, caplog, name, damage):
    unpack(tmp_path / "archives", PAIRS)
    first = prepared("retrieval", tmp_path / "data", archives=tmp_path / "archives")
    damage(first.folder / name)
    again = prepared("retrieval", tmp_path / "data", archives=tmp_path / "archives")
    assert str(first.folder / name) in caplog.text
    assert again.manifest["sha256"] == first.manifest["sha256"]
    damage(first.folder / name)
    with pytest.raises(ValueError, match=rf"{first.folder / name}.*archive .* not found"):
        prepared("retrieval", tmp_path / "data")
    assert [path for path in (tmp_path / "data" / "retrieval").iterdir() if path.is_dir()] == [first.folder]


@pytest.mark.parametrize(
    ("task", "name", "other", "key"),
    [
        ("image", "release", "pathfinder", "data of task=pathfinder, expected task=image"),
        ("image", "release", "image", "expected release"),
        ("retrieval", "sample", "text", "data of task=text, expected task=retrieval"),
        ("text", "tfds", "text", "expected tfds"),
        ("text", "", "image", "data of task=image, expected task=text"),
        ("listops", "", "listops", "settings"),
    ],
)
def test_a_folder_of_other_data_under_a_name_is_refused_and_left_alone(tmp_path, task, name, other, key):
    name = name or prepared(task, tmp_path / "own").folder.name
    put = tmp_path / "data" / task / name
    options = {"generated": SHORT | {"test": 7}} if other == "listops" else {}
    shutil.copytree(prepared(other, tmp_path / "other", **options).folder, put)
    before = read_manifest(put)
    with pytest.raises(ValueError, match=rf"{put}: .*{key}"):
        prepared(task, tmp_path / "data")
    assert read_manifest(put) == before


@pytest.mark.parametrize("task", [*TASKS])
def test_data_with_other_counts_than_lras_are_a_sample_in_manifest_and_log(tmp_path, caplog, task):
    if task == "listops":
        pack(tmp_path / "lra_release.gz", EXPRESSIONS)
    elif task == "pathfinder":
        pack(tmp_path / "lra_release.gz", images(20))
    else:
        unpack(tmp_path, {"text": REVIEWS, "retrieval": PAIRS, "image": PICTURES}[task])
    facts = Task("listops", 16, 2000, 10) if task == "listops" else TASKS[task]
    found = prepare.prepare(facts, root=tmp_path)
    assert (found.folder.name, found.manifest["variant"]) == ("release", "sample")
    assert f"{task} (sample)" in caplog.text
    generated = {"listops": {}, "pathfinder": {}}.get(task)
    if generated is not None:  # by LRA's definition, but not as many
        made = prepare.prepare(facts, root=tmp_path, source="generated", generated=FEW)
        assert made.manifest["variant"] == "sample"


def test_a_label_outside_the_range_is_named_with_its_place(tmp_path):
    path = unpack(tmp_path, REVIEWS) / "aclImdb"
    with pytest.raises(ValueError, match=rf"{path}: text: example \d+ of train has label 1, expected 0 to 0"):
        prepare.prepare(Task("text", 257, 512, 1), root=tmp_path)
    with pytest.raises(
        ValueError, match=rf"{path}: text: example 1 of train has token \d+, expected below 100"
    ):
        prepare.prepare(Task("text", 100, 512, 2), root=tmp_path)
    assert not [path for path in (tmp_path / "text").iterdir() if path.is_dir()]


KILLED = """
import sys
from pathlib import Path
from wise_lra.data.prepare import prepare
from wise_lra.data.task import Task
task = Task("image", 256, 1024, 10, padded=False)
tell = lambda what, done, total: print(done, flush=True)
counts = {"train": 3000, "validation": 9, "test": 9}
prepare(task, root=Path(sys.argv[1]), source="standin", standin=counts, progress=tell)
"""


def test_killed_half_way_nothing_is_taken_for_whole(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "100\n"
        process.send_signal(signal.SIGKILL)
    assert [path.name[:10] for path in (tmp_path / "image").iterdir() if path.is_dir()] == [".stand-in-"]
    counts = {"train": 3000, "validation": 9, "test": 9}
    whole = prepared("image", tmp_path, source="standin", standin=counts)
    verify(whole.folder)
    assert sum(facts["examples"] for facts in whole.manifest["splits"].values()) == 3018
    assert [path for path in (tmp_path / "image").iterdir() if path.is_dir()] == [whole.folder]


def test_two_processes_at_once_make_the_data_once(tmp_path):
    command = [sys.executable, "-c", KILLED, str(tmp_path)]
    both = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in "12"
    ]
    outputs = [process.communicate(timeout=60) for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert sorted(len(out.splitlines()) for out, _ in outputs) == [0, 31]  # of one alone is there progress
    assert sum("waiting for it" in err for _, err in outputs) <= 1
    (folder,) = (path for path in (tmp_path / "image").iterdir() if path.is_dir())
    verify(folder)


def test_of_two_at_once_the_second_waits_and_says_so(tmp_path, caplog):
    first = prepared("image", tmp_path / "elsewhere")
    folder = tmp_path / "data" / "image" / first.folder.name
    found: list[prepare.Prepared] = []
    with locked(folder):
        second = threading.Thread(target=lambda: found.append(prepared("image", tmp_path / "data")))
        second.start()
        begin = time.monotonic()
        while "waiting for it" not in caplog.text and time.monotonic() < begin + 10:
            time.sleep(0.01)
        assert not found
        folder.parent.mkdir(exist_ok=True)
        first.folder.rename(folder)
    second.join(10)
    assert found[0].folder == folder
    assert found[0].manifest == first.manifest  # taken over, not made a second time


def test_data_that_should_come_out_otherwise_are_told(tmp_path, monkeypatch, caplog):
    caplog.set_level("INFO")
    monkeypatch.setattr(prepare, "MANIFESTS", tmp_path)
    name = f"image-{prepared('image', tmp_path / 'a').folder.name}.json"
    assert "as in" not in caplog.text
    manifest = prepared("image", tmp_path / "a").manifest
    (tmp_path / name).write_text(json.dumps(manifest))
    prepared("image", tmp_path / "b")
    assert f"image: sha256 {manifest['sha256'][:16]}, as in data/manifests/{name}" in caplog.text
    manifest["splits"]["train"]["examples"] = 31
    (tmp_path / name).write_text(json.dumps(manifest | {"sha256": "0" * 64}))
    prepared("image", tmp_path / "c")
    assert "image: 30 examples of train, expected 31" in caplog.text
    assert f"expected {'0' * 16} as in data/manifests/{name}" in caplog.text


def test_the_manifests_of_the_repository_have_the_names_that_are_looked_for():
    """A manifest whose name a changed setting or version has outrun would never be compared again."""
    root = Path("nowhere")
    own = {
        "listops": {"task": Task("listops", 16, 2000, 10), "source": "generated"},
        "pathfinder": {"task": TASKS["pathfinder"], "source": "generated"},
    }
    names = {f"{task}-{source.choose(source.Wish(root=root, **own[task])).source.slug}.json" for task in own}
    names |= {"text-release.json", "image-release.json", "retrieval-sample.json"}
    assert {path.name for path in prepare.MANIFESTS.glob("*.json")} == names


def test_pathfinder_goes_on_where_it_was_stopped(tmp_path, monkeypatch):
    """Stopped in its second part, it draws that part and the third alone when it is called again."""
    monkeypatch.setattr(pathfinder, "_PIXELS", 1)  # a part is then a shard
    monkeypatch.setattr(pathfinder, "_SHARD", 20)
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
    assert [path for path in (tmp_path / "parts" / "pathfinder").iterdir() if path.is_dir()] == [again.folder]


def test_a_part_that_is_broken_or_of_other_images_is_drawn_again(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(pathfinder, "_PIXELS", 1)
    monkeypatch.setattr(pathfinder, "_SHARD", 20)
    options = {"seed": 0, "contour_length": 6}
    first = list(pathfinder.generated(FEW, parts=tmp_path, **options))
    paths = sorted(tmp_path.iterdir())  # of images 0 to 19, 20 to 39 and 40 to 49
    whole = [path.read_bytes() for path in paths]
    half = len(whole[0]) // 2
    broken = (
        b"",
        b"PK broken",
        whole[0][:half] + bytes([whole[0][half] ^ 1]) + whole[0][half + 1 :],
        whole[1],
    )
    for content in (*broken, whole[2]):
        paths[0].write_bytes(content)
        again = list(pathfinder.generated(FEW, parts=tmp_path, **options))
        assert all(np.array_equal(a.documents[0], b.documents[0]) for a, b in zip(first, again, strict=True))
    assert caplog.text.count(f"{paths[0]} is damaged") == 5


def test_what_is_loaded_is_what_was_written(tmp_path):
    made = prepared("text", tmp_path)
    batch = PackedSplit(made.folder, "train", TASKS["text"]).batch(np.arange(3), 512)
    assert batch.tokens.shape == (3, 512)
    assert batch.mask.sum() > 3 * 250
    assert (
        json.loads((made.folder / "manifest.json").read_text()) == read_manifest(made.folder) == made.manifest
    )
