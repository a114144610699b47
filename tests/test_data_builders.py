"""Oracle: the task's own reader, on the same archive; and TFDS, which reads and lists what the builders write."""

import hashlib
import io
import json
import shutil
import struct
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from upstream import ARCHIVES, FILES, TASKS, pack, packed, pathfinder_files, plain, png, read, unpack

from wise_lra.data import builders, image, pathfinder_release, sources
from wise_lra.data.archive import tfds_order
from wise_lra.data.prepare import prepare
from wise_lra.data.task import SPLITS, Example, reader


def loaded(directory: Path, task: str, rejected: Counter[str] | None = None, **settings) -> list[Example]:
    return list(
        builders.read(directory, TASKS[task], Counter() if rejected is None else rejected, **settings)
    )


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> dict[str, Path]:
    """Of every task the directory in the data store that preparing it from its archive leaves."""
    places = {}
    for name, task in TASKS.items():
        root = tmp_path_factory.mktemp(name)
        packed(root, name)
        prepare(task, root=root)
        places[name] = root / "tfds" / f"lra_{name}" / "release" / "1.0.0"
    assert "tensorflow" not in sys.modules
    return places


@pytest.mark.parametrize("name", [*TASKS])
def test_a_directory_holds_what_the_archive_does_in_its_order(built, name):
    rejected: Counter[str] = Counter()
    expected = plain(read(reader(name), reader(name).find(built[name].parents[3]), rejected))
    left: Counter[str] = Counter()
    found = plain(loaded(built[name], name, left))
    assert left == rejected
    for split in SPLITS:
        assert [row for row in found if row[0] == split] == [row for row in expected if row[0] == split]


@pytest.mark.parametrize("name", [*TASKS])
def test_tfds_reads_it_and_knows_its_origin(built, name):
    builder = tfds.builder(f"lra_{name}/release", data_dir=str(built[name].parents[2]))
    info = builder.info
    assert (builder.name, info.config_name, str(info.version)) == (f"lra_{name}", "release", "1.0.0")
    assert info.citation.startswith("@")
    assert info.metadata["source"] == ARCHIVES[name]
    expected = [row for row in plain(loaded(built[name], name)) if row[0] == "train"]
    rows = builder.as_data_source("train")
    assert info.splits["train"].num_examples == len(rows) == len(expected)
    names = ["tokens1", "tokens2"] if name == "retrieval" else ["tokens"]
    assert [([row[n].tolist() for n in names], row["label"]) for row in rows] == [row[1:] for row in expected]


class Rows(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """A data set as TFDS' users have it, in TFDS' own order: rows by split and key."""

    VERSION = tfds.core.Version("3.0.2")

    def __init__(self, name: str, folder: Path, features: dict, rows: dict[str, dict], **options) -> None:
        self.name, self.features, self.rows = name, features, rows
        super().__init__(data_dir=str(folder), file_format="array_record", **options)

    def _info(self):
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(self.features))

    def _split_generators(self, dl_manager):
        return {split: self._generate_examples(split) for split in self.rows}

    def _generate_examples(self, split):
        yield from self.rows[split].items()


def reviews() -> dict[str, dict]:
    """Return the rows of imdb_reviews."""
    rows: dict[str, dict] = {"train": {}, "test": {}}
    for name, content in FILES["text"].items():
        if name.count("/") == 3 and "unsup" not in name:
            _, split, kind, _ = name.split("/")
            rows[split][name] = {"text": content, "label": int(kind == "pos")}
    return rows


def colours() -> dict[str, dict]:
    """Return the rows of cifar10."""
    rows: dict[str, dict] = {"train": {}, "test": {}}
    for batch in (*image.BATCHES, image.TEST):
        split = rows["test" if batch == image.TEST else "train"]
        for pixels, label in zip(
            *image._pickled(FILES["image"][f"cifar-10-batches-py/{batch}"]), strict=True
        ):
            picture = np.ascontiguousarray(pixels.reshape(3, 32, 32).transpose(1, 2, 0))
            split[len(split)] = {"image": io.BytesIO(png(picture)), "label": int(label)}
    return rows


def contours(size: int = 32) -> dict[str, dict]:
    """Return the rows of LRA's pathfinder<size>, with LRA's keys."""
    keys = {n: f"imgs/{n // 10}_sample_{n % 10}.png_{n % 10 + 1}" for n in range(20) if n != 13}
    grey = {n: io.BytesIO(png(np.full((size, size), n, np.uint8))) for n in keys}
    return {"hard": {key: {"image": grey[n], "label": n % 2} for n, key in keys.items()}}


def theirs(task: str, folder: Path, size: int = 32) -> Path:
    """Write a data set of TFDS' users with the examples of `FILES`; return its directory."""
    label = tfds.features.ClassLabel(num_classes=TASKS[task].classes)
    if task == "text":
        config = tfds.core.BuilderConfig(name="plain_text", description="Plain text")
        features = {"text": tfds.features.Text(), "label": label}
        builder = Rows("imdb_reviews", folder, features, reviews(), config=config)
    else:
        shape = (32, 32, 3) if task == "image" else (size, size, 1)
        features = {"image": tfds.features.Image(shape=shape, encoding_format="png"), "label": label}
        name = "cifar10" if task == "image" else f"pathfinder{size}"
        builder = Rows(name, folder, features, colours() if task == "image" else contours(size))
    builder.download_and_prepare()
    return Path(builder.data_dir)


THEIRS = ("text", "image", "pathfinder")


@pytest.fixture(scope="module")
def others(tmp_path_factory) -> dict[str, Path]:
    """Of each task that TFDS' users have, the directory of their data set."""
    tfds.disable_progress_bar()
    return {task: theirs(task, tmp_path_factory.mktemp(f"{task}_tfds")) for task in THEIRS}


@pytest.mark.parametrize("task", THEIRS)
def test_a_data_set_of_tfds_users_reads_as_the_archive_does(others, task):
    directory = others[task]
    folder = directory.parents[2 if task == "text" else 1]
    assert sources.directory(folder, TASKS[task]) == sources.directory(directory, TASKS[task]) == directory
    found = plain(loaded(directory, task))
    expected = plain(read(reader(task), reader(task).find(unpack(folder / "unpacked", FILES[task]))))
    if task != "text":
        assert found == expected  # these are read in the order of TFDS anyway
        return
    assert len(found) == len(expected) > 0  # TFDS forgets the numbers, so other reviews of train validate
    for splits in (("train", "validation"), ("test",)):
        here, there = (sorted(row[1:] for row in rows if row[0] in splits) for rows in (found, expected))
        assert here == there
    assert sorted(row[2] for row in found if row[0] == "validation") == [0, 0, 1, 1]


def test_pathfinder_has_lras_keys(tmp_path):
    """In LRA's builder a key is folder, file and line, joined by "_", and the split is called "hard"."""
    keys = [*contours()["hard"]]
    numbers = [number for number in range(20) if number != 13]
    digests = {n: hashlib.md5(f"hard{key}".encode()).digest() for n, key in zip(numbers, keys, strict=True)}
    examples = read(pathfinder_release, packed(tmp_path, "pathfinder"))
    assert [int(example.documents[0][0]) for example in examples] == sorted(numbers, key=digests.__getitem__)
    assert [example.split for example in examples] == ["train"] * 15 + ["validation"] * 2 + ["test"] * 2
    assert tfds_order("hard", keys) == sorted(range(19), key=lambda k: digests[numbers[k]])


def as_tfrecord(directory: Path, folder: Path) -> Path:
    """Write a directory's records as TFRecord files, as TFDS does by default."""
    folder.mkdir(parents=True)
    for path in directory.iterdir():
        if ".array_record" in path.name:
            records = builders._array_records(path)
            framed = (struct.pack("<QI", len(record), 0) + record + bytes(4) for record in records)
            (folder / path.name.replace("array_record", "tfrecord")).write_bytes(b"".join(framed))
        else:
            text = path.read_text().replace("ARRAY_RECORD", "TFRECORD").replace("array_record", "tfrecord")
            (folder / path.name).write_text(text)
    return folder


@pytest.mark.parametrize("task", THEIRS)
def test_tfrecord_files_read_alike(others, tmp_path, task):
    directory = as_tfrecord(others[task], tmp_path / "records" / "3.0.2")
    assert json.loads((directory / "dataset_info.json").read_text())["fileFormat"] == "tfrecord"
    assert plain(loaded(directory, task)) == plain(loaded(others[task], task))
    path = next(path for path in directory.iterdir() if "tfrecord" in path.name)
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(ValueError, match=r"tfrecord"):
        loaded(directory, task)
    path.unlink()
    with pytest.raises(ValueError, match=r"tfrecord"):
        loaded(directory, task)


def test_the_newest_version_is_taken(others, tmp_path):
    text = (others["image"] / "dataset_info.json").read_bytes()
    for version in ("3.0.2", "3.0.10", "2.9.9"):
        unpack(tmp_path, {f"cifar10/{version}/dataset_info.json": text})
    assert sources.directory(tmp_path, TASKS["image"]).name == "3.0.10"
    assert sources.directory(tmp_path, TASKS["text"]) is None


@pytest.mark.parametrize("task", ["retrieval", "text"])
def test_a_stand_in_or_another_protocol_in_the_store_is_not_taken_for_the_release(built, tmp_path, task):
    few = {"train": 3, "validation": 3, "test": 3}
    prepare(TASKS[task], root=tmp_path, source="standin", standin=few)
    assert sources.directory(tmp_path / "tfds", TASKS[task]) is None
    (made,) = (tmp_path / "tfds" / f"lra_{task}").glob("*/*")
    assert sources.directory(made, TASKS[task]) is None
    assert sources.directory(built[task].parents[2], TASKS[task]) == built[task]
    assert sources.directory(built[task].parents[2], TASKS[task], "release-1234abcd") is None


def test_a_directory_is_found_and_prepared(built, others, tmp_path):
    release = prepare(TASKS["image"], root=built["image"].parents[3])
    for archives, source in (
        (others["image"].parents[1], "TFDS cifar10 3.0.2"),
        (built["image"].parents[2], "TFDS lra_image 1.0.0"),
    ):
        made = prepare(TASKS["image"], root=tmp_path / source, archives=archives)
        assert (made.manifest["source"], made.manifest["variant"]) == (source, "sample")
        assert made.folder.name == "tfds"
        assert made.manifest["sha256"] == release.manifest["sha256"]  # same images in the same order
        assert [facts["examples"] for facts in made.manifest["splits"].values()] == [18, 2, 4]


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
@pytest.mark.parametrize("task", [*TASKS])
def test_strays_beside_and_in_a_directory_change_nothing(built, others, tmp_path, task, stray):
    original = others.get(task, built[task])
    parts = original.parts[-2 if task in ("image", "pathfinder") else -3 :]
    directory = shutil.copytree(original, tmp_path.joinpath("a", "data", *parts))
    stray(directory)
    assert sources.directory(tmp_path / "a" / "data", TASKS[task]) == directory
    assert plain(loaded(directory, task)) == plain(loaded(original, task))


@pytest.mark.parametrize("file", ["dataset_info.json", "features.json", "array_record"])
@pytest.mark.parametrize("task", [*TASKS])
def test_a_broken_file_is_one_line_that_names_the_directory(built, others, tmp_path, task, file):
    directory = shutil.copytree(others.get(task, built[task]), tmp_path / "1.0.0")
    path = next(path for path in directory.iterdir() if file in path.name)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match=str(directory)) as error:
        loaded(directory, task)
    assert str(error.value).isprintable()


def test_images_of_another_size_are_refused_before_they_are_decoded(tmp_path):
    directory = theirs("pathfinder", tmp_path, size=64)
    assert len(loaded(directory, "pathfinder", size=64)) == 19
    with pytest.raises(ValueError, match=rf"{directory}: \(64, 64\) pixels, expected \(32, 32\)"):
        loaded(directory, "pathfinder")


def test_examples_are_written_one_by_one_whatever_their_order(tmp_path, monkeypatch):
    """TFDS' own writer holds a split in memory, up to a gigabyte, and then needs TensorFlow."""
    monkeypatch.setattr(builders, "_ROWS", 4)
    monkeypatch.setattr(builders, "_SHARD", 6)
    examples = [Example(SPLITS[k % 3], (np.full(1 + k % 5, k, np.uint16),), k % 2) for k in range(50)]
    taken: list[int] = []

    def stream():
        for number, example in enumerate(examples):
            taken.append(number)
            yield example

    builder = builders.Builder(TASKS["text"], tmp_path, "made", "by hand")
    directory = builder.build(stream(), {"source": "", "rejected": {"why": 3}})
    rejected: Counter[str] = Counter()
    expected = sorted(plain(examples), key=lambda row: SPLITS.index(row[0]))
    assert plain(loaded(directory, "text", rejected)) == expected
    assert rejected == {"why": 3}
    assert len([*directory.glob("*train*")]) == 3

    def broken():
        yield examples[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        builders.Builder(TASKS["text"], tmp_path, "broken", "").build(broken(), {})
    assert [path.name for path in (tmp_path / "lra_text" / "broken").iterdir()] == []


def test_archives_of_the_release_hold_both_a_right_and_a_wrong_folder(tmp_path):
    files = pathfinder_files()
    outer = {f"lra_release/{name}": b"wrong" for name in files}
    inner = {f"lra_release/lra_release/{name}": content for name, content in files.items()}
    path = pack(tmp_path / "lra_release.gz", outer | inner)
    assert pathfinder_release.find(tmp_path) == path
    unpacked = pathfinder_release.find(unpack(tmp_path / "unpacked", files))
    assert plain(read(pathfinder_release, path)) == plain(read(pathfinder_release, unpacked))
    with pytest.raises(FileNotFoundError, match="metadata"):
        read(pathfinder_release, path, size=64)
