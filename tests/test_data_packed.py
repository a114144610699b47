"""Oracle: the lists that were packed; padding, cutting and quantiles are done over again the plain way."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from preparing import flipped

from wise_lra.data import look, packed
from wise_lra.data.packed import Damaged, PackedSplit, pack, read_manifest, verify
from wise_lra.data.task import SPLITS, Example, Task, Unfit, complete

TEXT = Task("text", 257, 8, 2)
PAIRS = Task("retrieval", 257, 8, 2, documents=2)
PIXELS = Task("image", 256, 6, 3, padded=False)


def drawn(task: Task, count: int = 40, width: int | None = None) -> list[Example]:
    rng = np.random.default_rng(0)
    kind = np.uint16 if task.vocabulary > 256 else np.uint8
    return [
        Example(
            SPLITS[index % 3],
            tuple(
                rng.integers(1, task.vocabulary, width or rng.integers(1, 20)).astype(kind)
                for _ in range(task.documents)
            ),
            int(rng.integers(task.classes)),
        )
        for index in range(count)
    ]


@pytest.mark.parametrize(("task", "width"), [(TEXT, None), (PAIRS, None), (PIXELS, 6), (TEXT, 20), (TEXT, 5)])
@pytest.mark.parametrize("length", [1, 6])
def test_batches_hold_what_was_packed(tmp_path, task, width, length):
    examples = drawn(task, width=width)
    pack(examples, tmp_path / "data", task, {})
    for name in SPLITS:
        split = PackedSplit(tmp_path / "data", name, task)
        expected = [example for example in examples if example.split == name]
        assert len(split) == len(expected)
        for index, example in enumerate(expected):
            assert all(
                np.array_equal(a, b) for a, b in zip(split.documents(index), example.documents, strict=True)
            )
        order = np.random.default_rng(1).permutation(len(split))[:7]
        batch = split.batch(order, length)
        shape = (7, task.documents, length) if task.documents > 1 else (7, length)
        assert batch.tokens.shape == shape
        assert batch.labels.tolist() == [expected[index].label for index in order]
        cut = [list(document[:length]) for index in order for document in expected[index].documents]
        padded = [row + [0] * (length - len(row)) for row in cut]
        assert batch.tokens.reshape(-1, length).tolist() == padded
        if task.padded:
            assert batch.mask.reshape(-1, length).tolist() == [
                [k < len(row) for k in range(length)] for row in cut
            ]
        else:
            assert batch.mask is None


def test_the_manifest_counts(tmp_path):
    examples = drawn(PAIRS)
    manifest = pack(examples, tmp_path / "data", PAIRS, {"source": "here"})
    assert (
        manifest
        == json.loads((tmp_path / "data" / "manifest.json").read_text())
        == read_manifest(tmp_path / "data")
    )
    assert manifest["source"] == "here"
    for name in SPLITS:
        chosen = [example for example in examples if example.split == name]
        facts = manifest["splits"][name]
        assert facts["examples"] == len(chosen)
        assert facts["labels"] == [sum(example.label == label for example in chosen) for label in range(2)]
        lengths = sorted(len(document) for example in chosen for document in example.documents)
        assert facts["lengths"]["0%"] == lengths[0]
        assert facts["lengths"]["100%"] == lengths[-1]
        assert facts["lengths"]["50%"] == np.quantile(lengths, 0.5, method="inverted_cdf")
    sha256 = manifest["sha256"]  # depends on the examples alone
    assert pack(examples, tmp_path / "b", PAIRS, {"source": "there"})["sha256"] == sha256
    assert pack(examples[:-1], tmp_path / "c", PAIRS, {})["sha256"] != sha256


def test_a_split_pickles_as_its_path(tmp_path):
    pack(drawn(TEXT, 3000), tmp_path / "data", TEXT, {})
    split = PackedSplit(tmp_path / "data", "train", TEXT)
    text = pickle.dumps(split)
    assert len(text) < 1000
    assert np.array_equal(
        pickle.loads(text).batch(np.arange(9), 8).tokens, split.batch(np.arange(9), 8).tokens
    )


@pytest.mark.parametrize(
    ("examples", "message"),
    [
        ([Example("train", (np.array([1]),) * 2, 0)], "2 documents"),
        ([Example("train", (np.array([1]),), 2)], "label 2"),
        ([Example("train", (np.array([1]),), -1)], "label -1"),
        ([Example("train", (np.array([257]),), 0)], "token 257"),
        ([Example("train", (np.array([3, -1]),), 0)], "token -1"),
        ([Example("train", (np.array([], np.uint8),), 0)], "example 1 of train"),
        ([example for example in drawn(TEXT) if example.split != "validation"], "validation"),
    ],
)
def test_impossible_examples_and_an_empty_split_leave_nothing(tmp_path, examples, message):
    with pytest.raises(Unfit, match=message):
        pack(examples, tmp_path / "data", TEXT, {})
    assert list(tmp_path.iterdir()) == []


def test_a_failure_keeps_what_was_there(tmp_path):
    before = pack(drawn(TEXT), tmp_path / "data", TEXT, {})

    def broken():
        yield drawn(TEXT)[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pack(broken(), tmp_path / "data", TEXT, {})
    assert verify(tmp_path / "data") == before
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_a_size_or_format_that_is_not_the_manifests_is_found_without_hashing(tmp_path):
    folder = tmp_path / "data"
    pack(drawn(TEXT), folder, TEXT, {})
    path = folder / "test.tokens.npy"
    flipped(path)
    manifest = read_manifest(folder)
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    with pytest.raises(Damaged, match=rf"{path}: {len(whole) - 1} .* {len(whole)}"):
        read_manifest(folder)
    (folder / "manifest.json").write_text(json.dumps(manifest | {"format": 0}))
    with pytest.raises(Damaged, match=f"format 0, expected {packed.FORMAT}"):
        read_manifest(folder)


def swapped(path: Path) -> None:
    """Put another file of the same size in its place."""
    other = path.with_name("other")
    other.write_bytes(bytes(reversed(path.read_bytes())))
    other.replace(path)


DAMAGE: dict[str, Callable[[Path], object]] = {
    "flipped": flipped,
    "swapped": swapped,
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "grown": lambda path: path.write_bytes(path.read_bytes() + b"x"),
    "missing": lambda path: path.unlink(),
}


@pytest.mark.parametrize("damage", [*DAMAGE])
@pytest.mark.parametrize("name", [f"{split}.{part}.npy" for split in SPLITS for part in packed._PARTS])
def test_every_damage_of_every_file_is_named(tmp_path, name, damage):
    sha256 = pack(drawn(TEXT), tmp_path / "data", TEXT, {})["sha256"]
    assert look.find(tmp_path, sha256) == tmp_path / "data"
    DAMAGE[damage](tmp_path / "data" / name)
    for opened in (lambda: verify(tmp_path / "data", TEXT), lambda: look.find(tmp_path, sha256)):
        with pytest.raises(Damaged) as error:
            opened()
        assert str(tmp_path / "data" / name) in str(error.value)
        assert f"remove {tmp_path / 'data'}" in str(error.value)
        assert str(error.value).isprintable()


def without(key: str) -> Callable[[bytes], bytes]:
    return lambda text: json.dumps({k: v for k, v in json.loads(text).items() if k != key}).encode()


def given(**changes: object) -> Callable[[bytes], bytes]:
    return lambda text: json.dumps(json.loads(text) | changes).encode()


@pytest.mark.parametrize(
    "change",
    [
        *(
            lambda text, whole=whole: whole
            for whole in (b"", b"{}", b"[]", b"null", b"\xff\xfe", b"[" * 100_000)
        ),
        *map(without, ("format", "task", "variant", "settings", "rejected", "splits", "files", "sha256")),
        *(given(variant=variant) for variant in ("../../x", "A b", None, "\x1b[2J", "")),
        *(given(source=source) for source in ("\x1b[2J", 3)),
        given(files={}),
        given(format="\x1b[2J"),
        lambda text: text.replace(b'"examples": 14', b'"examples": 15'),
        lambda text: text[:-20],
    ],
)
def test_a_manifest_that_is_none_is_named(tmp_path, change):
    folder = tmp_path / "data"
    pack(drawn(TEXT), folder, TEXT, {})
    path = folder / "manifest.json"
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(Damaged, match=r"manifest\.json: ") as error:
        verify(folder, TEXT)
    assert str(error.value).isprintable()


@pytest.mark.parametrize(
    ("task", "other", "key"),
    [
        (PIXELS, Task("pathfinder", 256, 6, 3, padded=False), "task=pathfinder"),
        (TEXT, Task("retrieval", 257, 8, 2, documents=2), "task=retrieval"),
        (TEXT, Task("text", 257, 8, 2, documents=2), r"task\.documents=2"),
        (TEXT, Task("text", 200, 8, 2), "token 256, expected 0 to 199"),
        (TEXT, Task("text", 257, 8, 1), "label 1, expected 0 to 0"),
        (PIXELS, Task("image", 256, 5, 3, padded=False), r"task\.length=5"),
        (PIXELS, Task("image", 256, 7, 3), r"task\.length=7"),
        (Task("listops", 16, 20, 10), Task("listops", 16, 18, 10), r"task\.length=18"),
        (TEXT, Task("text", 257, 9000, 2), None),  # shorter ones are padded
        (TEXT, Task("text", 257, 3, 2), None),  # longer ones are cut
    ],
)
def test_data_are_compared_with_the_task(tmp_path, task, other, key):
    pack(drawn(task, width=6 if task is PIXELS else None), tmp_path / "data", task, {})
    verify(tmp_path / "data", task)
    if key is None:
        verify(tmp_path / "data", other)
        return
    with pytest.raises(ValueError, match=key) as error:
        verify(tmp_path / "data", other)
    assert not isinstance(error.value, Damaged)
    assert str(tmp_path / "data") in str(error.value)


def test_real_texts_that_were_cut_shorter_than_the_task_are_refused(tmp_path):
    examples = [Example(split, (np.ones(4096, np.uint16),), 0) for split in SPLITS]
    longer = Task("text", 257, 8192, 2)
    pack(examples, tmp_path / "a", longer, {"source": "aclImdb"})
    with pytest.raises(ValueError, match=r"4096 .*task\.length=8192"):
        verify(tmp_path / "a", longer)
    pack(examples, tmp_path / "b", longer, {"source": "aclImdb", "settings": {"limit": 8192}})
    pack(examples, tmp_path / "c", longer, {"source": "stand-in", "variant": "stand-in"})
    verify(tmp_path / "b", longer)
    verify(tmp_path / "c", longer)


@pytest.mark.parametrize(
    ("task", "counts", "whole"),
    [
        ("text", (22_500, 2_500, 25_000), True),
        ("text", (25_000, 25_000, 25_000), True),
        ("text", (22_500, 2_500, 24_999), False),
        ("text", (86, 10, 96), False),
        ("image", (45_000, 5_000, 10_000), True),
        ("image", (45_000, 5_000, 9_999), False),
        ("listops", (96_000, 2_000, 2_000), True),
        ("listops", (96_000, 2_000, 1_999), False),
        ("retrieval", (147_086, 18_090, 17_437), True),
        ("retrieval", (147_000, 18_000, 17_400), True),
        ("retrieval", (4_409, 551, 552), False),
        ("retrieval", (147_086, 18_090, 17_000), False),
        ("pathfinder", (159_999, 20_000, 20_000), True),
        ("pathfinder", (80_000, 10_000, 10_000), False),
        ("another", (1, 1, 1), False),
    ],
)
def test_lras_own_data_are_known_by_their_counts(task, counts, whole):
    assert complete(task, counts) is whole


def test_a_sample_that_calls_itself_whole_is_packed_as_one_and_not_opened_as_the_other(tmp_path):
    manifest = pack(drawn(TEXT), tmp_path / "data", TEXT, {"variant": ""})
    assert manifest["variant"] == read_manifest(tmp_path / "data")["variant"] == "sample"
    assert pack(drawn(TEXT), tmp_path / "data", TEXT, {"variant": "stand-in"})["variant"] == "stand-in"


def test_reading_one_batch_does_not_read_the_file(tmp_path):
    """The arrays of a split are views of a memory map, so a large file costs no memory."""
    pack(drawn(PIXELS, width=6), tmp_path / "data", PIXELS, {})
    split = PackedSplit(tmp_path / "data", "train", PIXELS)
    base = SimpleNamespace(base=split.tokens)
    while isinstance(base.base, np.ndarray) and not isinstance(base.base, np.memmap):
        base = base.base
    assert isinstance(base.base, np.memmap)
