"""Oracle: small archives in upstream's layout; what must be taken follows from what was put where."""

import json
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from preparing import FEW, MADE, counts, folders, prepared
from upstream import FILES, SAMPLE, TASKS, pack, packed, read, text_files, unpack

from wise_lra.data import prepare, sources
from wise_lra.data.packed import PackedSplit, read_manifest, verify
from wise_lra.data.task import Task, reader

RELEASED = {"listops": [20, 5, 5], "text": [36, 4, 40], "retrieval": [2, 1, 1], "image": [18, 2, 4],
            "pathfinder": [15, 2, 2]}  # fmt: skip
"""Of each task, the examples in `upstream.FILES`."""


@pytest.fixture(autouse=True)
def asked(monkeypatch) -> list[str]:
    """No network: every address that is asked for is noted, and does not answer."""
    addresses: list[str] = []
    monkeypatch.setattr(
        sources, "unreachable", lambda upstream: addresses.append(upstream.address) or "no network"
    )
    return addresses


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
    assert [made.manifest[key] for key in ("source", "variant", "protocol")] == [name, variant, "held-out"]
    assert counts(made) == [*FEW.values()]
    assert made.folder.parent == tmp_path / task
    assert verify(made.folder) == made.manifest == json.loads((made.folder / "manifest.json").read_text())
    assert len(asked) == asks
    times = {path: path.stat().st_mtime_ns for path in made.folder.iterdir()}
    assert prepared(task, tmp_path) == made
    assert times == {path: path.stat().st_mtime_ns for path in made.folder.iterdir()}
    assert len(asked) == asks  # an address is not asked again
    other = prepared(task, tmp_path, seed=1)
    assert other.folder != made.folder
    assert other.manifest["sha256"] != made.manifest["sha256"]
    again = prepared(task, tmp_path / "elsewhere")
    assert (again.folder.name, again.manifest["sha256"]) == (made.folder.name, made.manifest["sha256"])
    key = next(iter(MADE[task]))
    fewer = prepared(task, tmp_path, **{key: MADE[task][key] | {"test": 9}})
    assert counts(fewer) == [30, 10, 9]
    assert fewer.folder != made.folder
    assert prepared(task, tmp_path) == made


@pytest.mark.parametrize("task", ["listops", "pathfinder"])
def test_what_is_generated_needs_no_stand_in(tmp_path, task):
    made = prepared(task, tmp_path, source="standin")
    assert made.manifest["source"] == "generated"
    assert prepared(task, tmp_path, source="generated").folder == made.folder


@pytest.mark.parametrize("task", [*TASKS])
def test_an_archive_comes_first_and_other_counts_than_lras_are_a_sample(tmp_path, asked, caplog, task):
    if task in ("text", "retrieval", "image"):
        prepared(task, tmp_path / "data")  # a stand-in that is there already does not hinder
    asked.clear()
    (tmp_path / "archives").mkdir()
    path = packed(tmp_path / "archives", task)
    caplog.set_level("INFO")
    found = prepare.prepare(TASKS[task], root=tmp_path / "data", archives=tmp_path / "archives")
    assert (found.folder.name, found.manifest["variant"]) == ("release", "sample")
    assert found.manifest["source"] == path.name
    assert f"{task} (sample)" in caplog.text
    assert counts(found) == RELEASED[task]
    assert not asked
    path.unlink()  # what was packed is found without the archive
    assert prepare.prepare(TASKS[task], root=tmp_path / "data") == found
    examples = read(reader(task), reader(task).find(unpack(tmp_path / "unpacked", FILES[task])))
    split = PackedSplit(found.folder, "train", TASKS[task])
    expected = [example for example in examples if example.split == "train"]
    assert split.labels.tolist() == [example.label for example in expected]
    for index, example in enumerate(expected):
        pairs = zip(split.documents(index), example.documents, strict=True)
        assert all(np.array_equal(here, there) for here, there in pairs)
    if task in ("listops", "pathfinder"):  # by LRA's definition, but not as many
        made = prepare.prepare(TASKS[task], root=tmp_path, source="generated", generated=FEW)
        assert made.manifest["variant"] == "sample"


@pytest.mark.parametrize("key", ["root", "archives", "release"])
def test_any_place_will_do(tmp_path, key):
    unpack(tmp_path / "place", FILES["retrieval"])
    places = {"root": tmp_path / "data"} | {key: tmp_path / "place"}
    found = prepared("retrieval", places.pop("root"), **places)
    assert (found.folder.name, found.manifest["source"]) == ("release", "place")


def test_the_true_pairs_come_before_the_sample(tmp_path):
    release = packed(tmp_path, "retrieval")
    unpack(tmp_path / "archives", SAMPLE)
    sample = prepared("retrieval", tmp_path / "one", archives=tmp_path / "archives")
    assert (sample.folder.name, sample.manifest["variant"]) == ("sample", "sample")
    found = prepared("retrieval", tmp_path / "two", archives=tmp_path / "archives", release=release)
    assert (found.manifest["source"], found.folder.name) == ("lra_release.gz", "release")
    text = prepared(
        "text", tmp_path / "two", release=release
    )  # of tasks that it does not hold it says nothing
    assert text.manifest["variant"] == "stand-in"


def test_the_release_of_listops_is_for_those_who_want_lras_lengths(tmp_path):
    path = packed(tmp_path, "listops")
    assert prepared("listops", tmp_path).manifest["source"] == "generated"
    with pytest.raises(ValueError, match=r"task\.length=100"):
        prepare.prepare(Task("listops", 16, 100, 10), root=tmp_path, source="release",
                        generated={"max_length": 100, "min_length": 9})  # fmt: skip
    found = prepare.prepare(TASKS["listops"], root=tmp_path / "data", release=path)
    assert (found.manifest["source"], found.folder.name) == ("lra_release.gz", "release")


def test_the_length_of_pathfinder_says_the_size_of_its_images(tmp_path):
    few = FEW | {"contour_length": 6}
    made = prepare.prepare(Task("pathfinder", 256, 4096, 2, padded=False), root=tmp_path, generated=few)
    assert (made.manifest["settings"]["size"], made.manifest["variant"]) == (64, "64-easy")
    with pytest.raises(ValueError, match=r"task\.length=1000: .*1024, 4096, 16384, 65536"):
        prepare.prepare(Task("pathfinder", 256, 1000, 2, padded=False), root=tmp_path)


def test_protocols_lie_apart(tmp_path):
    unpack(tmp_path, FILES["text"])
    held_out, lra = prepared("text", tmp_path), prepared("text", tmp_path, protocol="lra")
    assert (held_out.manifest["protocol"], lra.manifest["protocol"]) == ("held-out", "lra")
    assert (counts(held_out), counts(lra)) == ([36, 4, 40], [40, 40, 40])
    validation, test = (PackedSplit(lra.folder, split, TASKS["text"]) for split in ("validation", "test"))
    assert np.array_equal(validation.tokens, test.tokens)


@pytest.mark.parametrize(
    ("task", "options", "key"),
    [
        ("text", {"source": "generated"}, r"data\.source='generated': .*auto, release, standin"),
        ("text", {"source": "relese"}, r"data\.source='relese'"),
        ("text", {"protocol": "LRA"}, r"data\.protocol='LRA': .*held-out, lra"),
        ("text", {"standin": {"trian": 3}}, r"data\.standin\.trian=3: .*text.* train, valid"),
        ("image", {"standin": {"train": 0}}, r"data\.standin\.train=0"),
        ("image", {"standin": {"train": 1.5}}, r"data\.standin\.train=1\.5"),
        ("text", {"standin": {"min_length": 10}}, "min_length=10, max_length=1500"),
        ("retrieval", {"standin": {"subjects": 9}}, "subjects=9"),
        ("listops", {"generated": {"max_length": 2001}}, r"data\.generated\.max_length=2001: .*2000"),
        ("pathfinder", {"generated": {"size": 64}}, r"data\.generated\.size=64"),
        ("pathfinder", {"generated": {"size": 33}}, r"data\.generated\.size=33"),
        ("pathfinder", {"generated": {"contour_length": 2}}, "contour_length=2"),
        ("text", {"seed": -1}, r"data\.seed=-1"),
        ("retrieval", {"release": Path(__file__)}, r"data\.release=.*new_aan"),
        ("text", {"release": Path("nowhere")}, r"data\.release=nowhere"),
        ("image", {"archives": Path("nowhere")}, r"data\.archives=nowhere"),
    ],
)
def test_an_impossible_request_names_the_key(tmp_path, task, options, key):
    with pytest.raises((ValueError, FileNotFoundError), match=key):
        prepared(task, tmp_path, **options)
    assert not folders(tmp_path, task)


def test_offline_the_release_is_one_clear_error(tmp_path):
    begin = time.monotonic()
    with pytest.raises(FileNotFoundError) as error:
        prepared("image", tmp_path, source="release")
    assert time.monotonic() - begin < 1
    for part in ("cifar-10-binary.tar.gz", "https://www.cs.toronto.edu", str(tmp_path), "data.archives",
                 "data.source=standin"):  # fmt: skip
        assert part in str(error.value)
    with pytest.raises(FileNotFoundError, match=r"lra_release\.gz.*storage\.google.*data\.source=generated"):
        prepare.prepare(TASKS["pathfinder"], root=tmp_path, source="release")


def test_a_small_download_is_fetched_and_used(tmp_path, monkeypatch):
    def fetch(upstream, folder, progress):
        progress(f"downloading {upstream.name}", 1, 1)
        return pack(folder / upstream.name, FILES["text"])

    seen = []
    monkeypatch.setattr(sources, "unreachable", lambda _: "")
    monkeypatch.setattr(prepare, "fetch", fetch)
    found = prepared("text", tmp_path, progress=lambda *report: seen.append(report))
    assert (found.manifest["source"], found.folder.name) == ("aclImdb_v1.tar.gz", "release")
    assert seen[0] == ("downloading aclImdb_v1.tar.gz", 1, 1)
    assert ("storing text", 80, 80) in seen
    assert seen[-1] == ("packing text", 80, 80)


@pytest.mark.parametrize(
    "error", [ValueError("sha256 1, expected 2"), OSError("the connection closed early")]
)
def test_a_download_that_breaks_gives_way_to_the_stand_in_but_a_wrong_one_does_not(
    tmp_path, monkeypatch, caplog, error
):
    def broken(*_):
        raise error

    monkeypatch.setattr(sources, "unreachable", lambda _: "")
    monkeypatch.setattr(prepare, "fetch", broken)
    if isinstance(error, ValueError):
        with pytest.raises(ValueError, match=str(error)):
            prepared("text", tmp_path)
        return
    caplog.set_level("INFO")
    assert prepared("text", tmp_path).manifest["variant"] == "stand-in"
    assert str(error) in caplog.text


def test_bytes_that_are_not_utf_8_are_tokens_as_all_others(tmp_path):
    """LRA reads bytes and never decodes them, so there is nothing to reject: byte + 1 for each."""
    unpack(tmp_path, text_files() | {"aclImdb/train/neg/0_2.txt": b"caf\xe9 \xff\xfe"})
    made = prepared("text", tmp_path)
    document = PackedSplit(made.folder, "train", TASKS["text"]).documents(0)[0]
    assert (document - 1).astype(np.uint8).tobytes() == b"caf\xe9 \xff\xfe"
    assert not made.manifest["rejected"]


def test_what_is_left_out_is_counted_by_reason_in_manifest_and_log(tmp_path, caplog):
    good, bad = b"1.0\ta\tb\tone\ttwo\n", b"1.0\ta\tb\tone\n" + b"2.0\ta\tb\tone\ttwo\n" + b"\n"
    rejected = {"not five columns": 1, "label is not 0.0 or 1.0": 1}
    unpack(tmp_path, FILES["retrieval"] | {"new_aan_pairs.train.tsv": good + bad})
    made = prepared("retrieval", tmp_path)
    assert made.manifest["rejected"] == rejected
    assert counts(made) == [1, 1, 1]
    assert "1 not five columns, 1 label is not 0.0 or 1.0" in caplog.text
    unpack(tmp_path, FILES["retrieval"] | {"new_aan_pairs.train.tsv": bad})
    with pytest.raises(ValueError, match=r"train.* 1 not five columns, 1 label is"):
        prepared("retrieval", tmp_path / "other", archives=tmp_path)
    made = prepare.prepare(TASKS["pathfinder"], root=packed(tmp_path, "pathfinder").parent)
    assert made.manifest["rejected"] == {"empty file imgs/1/sample_3.png": 1}


def test_data_that_should_come_out_otherwise_are_told(tmp_path, monkeypatch, caplog):
    caplog.set_level("INFO")
    monkeypatch.setattr(prepare, "MANIFESTS", tmp_path)
    made = prepared("image", tmp_path / "a")
    name = f"image-{made.folder.name}.json"
    assert name not in caplog.text
    (tmp_path / name).write_text(json.dumps(made.manifest))
    prepared("image", tmp_path / "b")
    assert f"sha256 {made.manifest['sha256'][:16]}, as in data/manifests/{name}" in caplog.text
    made.manifest["splits"]["train"]["examples"] = 31
    (tmp_path / name).write_text(json.dumps(made.manifest | {"sha256": "0" * 64}))
    prepared("image", tmp_path / "c")
    assert f"[30, 10, 10] examples, expected {'0' * 16} and [31, 10, 10] " in caplog.text


def test_the_manifests_of_the_repository_have_the_names_that_are_looked_for():
    """A manifest whose name a changed setting or version has outrun would never be compared again."""
    names = {"text-release.json", "image-release.json", "retrieval-sample.json"}
    for task in ("listops", "pathfinder"):
        source = sources.choose(sources.Request(TASKS[task], Path("nowhere"), "generated"))
        names.add(f"{task}-{source.slug}.json")
    assert {path.name for path in prepare.MANIFESTS.glob("*.json")} == names


@pytest.mark.parametrize(
    ("task", "name", "other", "key"),
    [
        ("image", "release", "pathfinder", "task=pathfinder, expected task=image"),
        ("image", "release", "image", "expected release"),
        ("retrieval", "sample", "text", "task=text, expected task=retrieval"),
        ("text", "tfds", "text", "expected tfds"),
        ("text", "", "image", "task=image, expected task=text"),
        ("listops", "", "listops", "settings"),
    ],
)
def test_a_folder_of_other_data_under_a_name_is_refused_and_left_alone(tmp_path, task, name, other, key):
    name = name or prepared(task, tmp_path / "own").folder.name
    put = tmp_path / "data" / task / name
    options = {"generated": MADE["listops"]["generated"] | {"test": 7}} if other == "listops" else {}
    shutil.copytree(prepared(other, tmp_path / "other", **options).folder, put)
    before = read_manifest(put)
    with pytest.raises(ValueError, match=rf"{put}: .*{key}"):
        prepared(task, tmp_path / "data")
    assert read_manifest(put) == before
