"""Oracle: the task's own reader, on the same archive; and TFDS, whose builder writes and shuffles."""

import hashlib
import io
import json
import shutil
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
import test_image
import test_retrieval
import test_text
from PIL import Image
from upstream import pack, unpack

from wise_lra.data import image, listops, pathfinder_release, prepare, retrieval, text, tfds_directory
from wise_lra.data.task import SPLITS, Example, Task
from wise_lra.data.tfds_order import tfds_order

TASKS = {
    "listops": Task("listops", 16, 2000, 10),
    "text": Task("text", 257, 4096, 2),
    "retrieval": Task("retrieval", 257, 4000, 2, documents=2),
    "image": Task("image", 256, 1024, 10, padded=False),
    "pathfinder": Task("pathfinder", 256, 1024, 2, padded=False),
}


def listops_files() -> dict[str, bytes]:
    rows = listops.generate(30, 0, 10, 64, 4)
    parts = {"train": rows[:20], "val": rows[20:25], "test": rows[25:]}
    return {
        f"basic_{name}.tsv": "".join(f"{a}\t{b}\r\n" for a, b in [("Source", "Target"), *part]).encode()
        for name, part in parts.items()
    }


def pathfinder_files() -> dict[str, bytes]:
    files, lines = {}, {0: "", 1: ""}
    for number in range(20):
        folder, png = number // 10, io.BytesIO()
        Image.fromarray(np.full((32, 32), number, np.uint8)).save(png, "PNG")
        name = f"sample_{number % 10}.png"
        files[f"pathfinder32/curv_contour_length_14/imgs/{folder}/{name}"] = png.getvalue()
        lines[folder] += f"imgs/{folder} {name} {number} {number % 2} 1.0 14 4 2 0.5 1 1\n"
    files["pathfinder32/curv_contour_length_14/imgs/1/sample_3.png"] = b""
    return files | {
        f"pathfinder32/curv_contour_length_14/metadata/{folder}.npy": text.encode()
        for folder, text in lines.items()
    }


READERS = {
    "listops": listops,
    "text": text,
    "retrieval": retrieval,
    "image": image,
    "pathfinder": pathfinder_release,
}
FILES = {
    "listops": listops_files,
    "text": test_text.layout,
    "retrieval": test_retrieval.layout,
    "image": lambda: test_image.layout("py"),
    "pathfinder": pathfinder_files,
}


def plain(examples: list[Example]) -> list[tuple[str, list[list[int]], int]]:
    return [(split, [ids.tolist() for ids in documents], label) for split, documents, label in examples]


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> dict[str, tuple[Path, Path]]:
    """Of every task: where upstream's files lie, and the directory that the builder made of them."""
    import tensorflow_datasets as tfds

    from wise_lra.data import tfds_builders

    tfds.disable_progress_bar()
    places = {}
    for name, task in TASKS.items():
        folder = tmp_path_factory.mktemp(name)
        path = READERS[name].find(unpack(folder, FILES[name]()))
        places[name] = path, tfds_builders.build(task, path, folder / "tfds")
    assert "tensorflow" not in sys.modules
    return places


@pytest.mark.parametrize("name", [*TASKS])
def test_a_directory_reads_as_the_archive_does(built, name):
    path, directory = built[name]
    assert tfds_directory.find(directory.parents[2 if name == "text" else 1], TASKS[name]) == directory
    assert tfds_directory.find(directory, TASKS[name]) == directory
    found = plain(list(tfds_directory.read(directory, TASKS[name], 4096)))
    expected = plain(list(READERS[name].read(path)))
    if name in ("image", "pathfinder"):  # these are read in the order of TFDS anyway
        assert found == expected
    if name in ("listops", "retrieval"):
        assert sorted(found) == sorted(expected)
    if name == "text":  # TFDS forgets the numbers, so other reviews of train validate
        assert len(found) == len(expected) > 0
        for names in (("train", "validation"), ("test",)):
            here, there = (sorted(row[1:] for row in rows if row[0] in names) for rows in (found, expected))
            assert here == there
        held_out = [row[2] for row in found if row[0] == "validation"]
        assert sorted(held_out) == [0, 0, 1, 1]


def test_the_order_is_the_one_that_tfds_shuffles_into(built):
    import tensorflow_datasets as tfds

    builder = tfds.builder_from_directory(str(built["image"][1]))
    ids = [row["id"].decode() for row in builder.as_data_source(split="train")]
    assert ids == [f"train_{index:05d}" for index in tfds_order("train", map(str, range(20)))]


def test_pathfinder_has_lras_keys(built):
    """In LRA's builder a key is folder, file and line, joined by "_", and the split is called "hard"."""
    numbers = [number for number in range(20) if number != 13]
    keys = {n: f"imgs/{n // 10}_sample_{n % 10}.png_{n % 10 + 1}" for n in numbers}
    expected = sorted(numbers, key=lambda n: hashlib.md5(f"hard{keys[n]}".encode()).digest())
    read = list(pathfinder_release.read(built["pathfinder"][0]))
    assert [int(example.documents[0][0]) for example in read] == expected
    assert [example.split for example in read] == ["train"] * 15 + ["validation"] * 2 + ["test"] * 2


def as_tfrecord(directory: Path, folder: Path) -> Path:
    """Write a directory's records as TFRecord files, as TFDS does by default."""
    from array_record.python.array_record_data_source import ArrayRecordDataSource

    folder.mkdir(parents=True)
    for path in directory.iterdir():
        if ".array_record" in path.name:
            source = ArrayRecordDataSource([str(path)])
            records = [source[index] for index in range(len(source))]
            framed = (struct.pack("<QI", len(record), 0) + record + bytes(4) for record in records)
            (folder / path.name.replace("array_record", "tfrecord")).write_bytes(b"".join(framed))
        else:
            text = path.read_text().replace("ARRAY_RECORD", "TFRECORD").replace("array_record", "tfrecord")
            (folder / path.name).write_text(text)
    return folder


@pytest.mark.parametrize("name", ["text", "image", "pathfinder"])
def test_tfrecord_files_read_alike(built, tmp_path, name):
    directory = as_tfrecord(built[name][1], tmp_path / "records" / built[name][1].name)
    info = json.loads((directory / "dataset_info.json").read_text())
    assert info["fileFormat"] == "tfrecord"
    assert plain(list(tfds_directory.read(directory, TASKS[name], 4096))) == plain(
        list(tfds_directory.read(built[name][1], TASKS[name], 4096))
    )
    path = next(path for path in directory.iterdir() if "tfrecord" in path.name)
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(ValueError, match=r"tfrecord.*: broken off; fetch or prepare it again"):
        list(tfds_directory.read(directory, TASKS[name], 4096))
    path.unlink()
    with pytest.raises(ValueError, match=r"tfrecord.*: not found; the directory is not whole"):
        list(tfds_directory.read(directory, TASKS[name], 4096))


def test_the_newest_version_is_taken(built, tmp_path):
    text = (built["image"][1] / "dataset_info.json").read_text()
    for version in ("3.0.2", "3.0.10", "2.9.9"):
        unpack(tmp_path, {f"cifar10/{version}/dataset_info.json": text.encode()})
    assert tfds_directory.find(tmp_path, TASKS["image"]).name == "3.0.10"
    assert tfds_directory.find(tmp_path, TASKS["text"]) is None


def test_a_directory_is_found_and_prepared(built, tmp_path):
    directory = built["image"][1]
    made = prepare.prepare(TASKS["image"], root=tmp_path, archives=directory.parents[1])
    assert (made.manifest["source"], made.manifest["variant"]) == ("TFDS cifar10 3.0.2", "sample")
    assert made.folder.name == "tfds"
    again = prepare.prepare(TASKS["image"], root=tmp_path / "other", archives=built["image"][0].parent)
    assert again.folder.name == "release"
    assert again.manifest["sha256"] == made.manifest["sha256"]  # same images in the same order
    assert [facts["examples"] for facts in made.manifest["splits"].values()] == [18, 2, 4]
    assert [*made.manifest["splits"]] == [*SPLITS]


def hidden(directory: Path) -> None:
    for path in [*directory.iterdir()]:
        path.with_name(f"._{path.name}").write_bytes(b"\0\5\x16\7")
    (directory / ".DS_Store").write_bytes(b"\0")
    shutil.copytree(directory, directory.parent / ".Trash")
    (directory.parent / ".Trash" / "dataset_info.json").write_bytes(b"{")


def linked(directory: Path) -> None:
    for path in (*directory.iterdir(), directory):
        path.symlink_to(path.rename(directory.parents[3] / f"{path.name} moved"))


def unreadable(directory: Path) -> None:
    for number, content in enumerate((b"", b"[]", b"{", b"[" * 100_000)):
        unpack(directory.parent, {f"9.9.{number}/dataset_info.json": content})


@pytest.mark.parametrize("stray", [hidden, linked, unreadable])
@pytest.mark.parametrize("name", [*TASKS])
def test_strays_beside_and_in_a_directory_change_nothing(built, tmp_path, name, stray):
    parts = built[name][1].parts[-3 if name == "text" else -2 :]
    directory = shutil.copytree(built[name][1], tmp_path.joinpath("a", "data", *parts))
    stray(directory)
    found = tfds_directory.find(tmp_path / "a" / "data", TASKS[name])
    assert found == directory
    read = plain(list(tfds_directory.read(found, TASKS[name], 4096)))
    assert read == plain(list(tfds_directory.read(built[name][1], TASKS[name], 4096)))


@pytest.mark.parametrize("file", ["dataset_info.json", "features.json", "array_record"])
@pytest.mark.parametrize("name", [*TASKS])
def test_a_broken_file_is_one_line_that_names_the_directory(built, tmp_path, name, file):
    directory = shutil.copytree(built[name][1], tmp_path / "1.0.0")
    path = next(path for path in directory.iterdir() if file in path.name)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match=str(directory)) as error:
        list(tfds_directory.read(directory, TASKS[name], 4096))
    assert str(error.value).isprintable()


def test_images_of_another_size_are_refused_before_they_are_decoded(tmp_path):
    from wise_lra.data import tfds_builders

    files = {name.replace("32/", "64/"): content for name, content in pathfinder_files().items()}
    for number in range(20):
        png = io.BytesIO()
        Image.new("L", (64, 64)).save(png, "PNG")
        files[f"pathfinder64/{pathfinder_release.HARD}/imgs/{number // 10}/sample_{number % 10}.png"] = (
            png.getvalue()
        )
    path = pathfinder_release.find(unpack(tmp_path, files), 64)
    directory = tfds_builders.build(Task("pathfinder", 256, 4096, 2), path, tmp_path / "tfds")
    with pytest.raises(ValueError, match=rf"{directory}: \(64, 64\) pixels, expected \(32, 32\)"):
        list(tfds_directory.read(directory, TASKS["pathfinder"], 4096))


def test_a_builder_says_what_it_leaves_out(tmp_path, caplog):
    from wise_lra.data import tfds_builders

    line = b"3.0\ta\tb\tone\ttwo\n"
    files = {"retrieval": test_retrieval.layout(eval=line * 2 + test_retrieval.LINES["eval"])}
    for name, told in (
        ("retrieval", "2 left out: 2 label is not"),
        ("pathfinder", "1 left out: 1 empty file"),
    ):
        path = READERS[name].find(unpack(tmp_path / name, files.get(name) or FILES[name]()))
        tfds_builders.build(TASKS[name], path, tmp_path / "tfds")
        assert told in caplog.text


def test_an_unknown_size_of_pathfinder_is_refused(built, tmp_path):
    from wise_lra.data import tfds_builders

    task = Task("pathfinder", 256, 48 * 48, 2, padded=False)
    with pytest.raises(ValueError, match=r"task\.length=2304: pathfinder48 is unknown, expected one of"):
        tfds_builders.build(task, built["pathfinder"][0], tmp_path)


def test_archives_of_the_release_hold_both_a_right_and_a_wrong_folder(tmp_path):
    files = pathfinder_files()
    inner = {f"lra_release/lra_release/{name}": content for name, content in files.items()}
    outer = {f"lra_release/{name}": b"wrong" for name in files}
    path = pack(tmp_path / "lra_release.gz", outer | inner)
    assert pathfinder_release.find(tmp_path) == path
    unpacked = pathfinder_release.find(unpack(tmp_path / "unpacked", files))
    assert plain(list(pathfinder_release.read(path))) == plain(list(pathfinder_release.read(unpacked)))
    with pytest.raises(FileNotFoundError, match="expected LRA's Pathfinder metadata"):
        list(pathfinder_release.read(path, 64))
