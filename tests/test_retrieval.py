"""Oracle: lines written here; a pair's ids are its bytes plus one, and each kind of bad line is made once."""

from collections import Counter

import numpy as np
import pytest
from upstream import pack, unpack

from wise_lra.data import retrieval

LINES = {
    "train": b"1.0\tP01\tP02\tone \"quoted\tsecond 'text\n0.0\tP03\tP04\t\xff\xfe not UTF-8\tnaive\r\n",
    "eval": b"1.0\tP05\tP06\tthree\tfour\n",
    "test": b"0.0\tP07\tP08\tfive\tsix",
}
READ = [
    ("train", [b'one "quoted', b"second 'text"], 1),
    ("train", [b"\xff\xfe not UTF-8", b"naive"], 0),
    ("validation", [b"three", b"four"], 1),
    ("test", [b"five", b"six"], 0),
]


def layout(folder: str = "", **lines: bytes) -> dict[str, bytes]:
    return {f"{folder}new_aan_pairs.{split}.tsv": line for split, line in (LINES | lines).items()}


def decoded(example) -> tuple[str, list[bytes], int]:
    return example.split, [(ids - 1).astype(np.uint8).tobytes() for ids in example.documents], example.label


def by_split(examples) -> list:
    order = ["train", "validation", "test"]
    return sorted(map(decoded, examples), key=lambda example: order.index(example[0]))


@pytest.mark.parametrize("place", ["", "tsv_data/", "lra_release/lra_release/tsv_data/"])
def test_reads_the_unpacked_release(tmp_path, place):
    path = retrieval.find(unpack(tmp_path, layout(place)))
    assert path == tmp_path / place
    assert not retrieval.sampled(path)
    assert by_split(retrieval.read(path)) == READ


def test_reads_the_release_archive_no_further_than_needed(tmp_path):
    noise = np.random.default_rng(0).bytes(100_000)
    files = {"lra_release/listops-1000/basic_val.tsv": b"Source\tTarget\r\n"}
    files |= layout("lra_release/lra_release/tsv_data/") | {
        "lra_release/lra_release/pathfinder32/x.png": noise
    }
    path = pack(tmp_path / "lra_release.gz", files)
    path.write_bytes(path.read_bytes()[:50_000])
    assert retrieval.find(tmp_path) == path
    assert by_split(retrieval.read(path)) == READ


def test_cuts_ten_thousand_bytes_and_then_the_limit(tmp_path):
    long = b"1.0\ta\tb\t" + b"x" * 20_000 + b"\t" + b"y" * 4001
    path = unpack(tmp_path, layout(eval=long))
    assert [len(ids) for ids in next(retrieval.read(path)).documents] == [4000, 4000]
    assert [len(ids) for ids in next(retrieval.read(path, limit=15_000)).documents] == [10_000, 4001]


def test_a_byte_string_repr_becomes_its_bytes(tmp_path):
    texts = [b"tab\tnewline\n'quote' \xc3\xa9", b"plain"]
    line = "\t".join(["1.0", "a", "b", *map(repr, texts)]).encode()
    path = unpack(tmp_path, layout(eval=line))
    assert by_split(retrieval.read(path))[2] == ("validation", texts, 1)


def test_bad_lines_are_counted_by_reason(tmp_path):
    bad = [
        b"1.0\ta\tb\tone column less",
        b"1.0\ta\tb\tone\tcolumn\tmore",
        b"",
        b"label\tid1\tid2\ttext1\ttext2",
        b"2.0\ta\tb\tone\ttwo",
        b"1.0\ta\tb\t\ttwo",
        b"1.0\ta\tb\tone\tb''",
        b"1.0\ta\tb\tone\tb'\\x4'",
        b"nan\ta\tb\tone\ttwo",
        b"1" * 200 + b"\ta\tb\tone\ttwo",
        b"1.0\ta\tb\tone\t" + b"b''" * 20_000,
        b"1.0\ta\tb\tone\t" + b"b'' " * 20_000 + b"b''",
        b"1.0\ta\tb\tone\tb" + b"'(" * 20_000 + b"'",
    ]
    rejected: Counter[str] = Counter()
    path = unpack(tmp_path, layout(eval=b"\n".join([*bad, LINES["eval"]])))
    assert by_split(retrieval.read(path, rejected=rejected)) == READ
    assert rejected == {
        "not five columns": 2,
        "label is not 0.0 or 1.0": 4,
        "a text is empty or missing": 2,
        "broken b'...'": 4,
    }


@pytest.mark.parametrize("label", [b"1", b"1.0", b" 1.0", b"1. ", b"1e0", b"+1", b"01.00"])
def test_a_label_is_read_as_a_number(tmp_path, label):
    """As tf.data's CSV reader with a float32 column does, which LRA uses."""
    rejected: Counter[str] = Counter()
    line = label + b"\ta\tb\tone\ttwo\n" + label.replace(b"1", b"0") + b"\ta\tb\tone\ttwo\n"
    path = unpack(tmp_path, layout(eval=line))
    found = [
        label
        for split, _, label in by_split(retrieval.read(path, rejected=rejected))
        if split == "validation"
    ]
    assert (found, rejected) == ([1, 0], {})


SAMPLE = {
    "aan_sample/aan_sample_pairs.eval.only_ids.tsv": b"1.0\tP05\tP06\n",
    "aan_sample/aan_sample_pairs.test.only_ids.tsv": b"0.0\tP05\tW09\n",
    "aan_sample/aan_sample_pairs.train.only_ids.tsv": b"1.0\tP06\tW09\n0.0\tP06\tP05\n0.0\tX99\tP05\n",
    "aan_sample/texts/P05.txt": b"five\n",
    "aan_sample/texts/P06.txt": b"six\n",
    "aan_sample/texts/W09.txt": b"nine",
}


@pytest.mark.parametrize("archived", [True, False])
def test_joins_the_sample_and_names_it(tmp_path, archived):
    path = (
        pack(tmp_path / "aan_sample.tar.xz", SAMPLE) if archived else unpack(tmp_path, SAMPLE) / "aan_sample"
    )
    assert retrieval.find(tmp_path) == path
    assert retrieval.sampled(path)
    rejected: Counter[str] = Counter()
    assert [*map(decoded, retrieval.read(path, rejected=rejected))] == [
        ("train", [b"six", b"nine"], 1),
        ("train", [b"six", b"five"], 0),
        ("validation", [b"five", b"six"], 1),
        ("test", [b"five", b"nine"], 0),
    ]
    assert rejected == {"a text is empty or missing": 1}


def test_lras_own_pairs_come_before_the_sample(tmp_path):
    assert retrieval.find(tmp_path) is None
    unpack(tmp_path, SAMPLE)
    assert retrieval.find(pack(tmp_path / "lra_release.gz", layout()).parent) == tmp_path / "lra_release.gz"


def test_a_missing_file_is_named(tmp_path):
    files = layout("lra_release/lra_release/tsv_data/")
    files.pop("lra_release/lra_release/tsv_data/new_aan_pairs.test.tsv")
    with pytest.raises(ValueError, match=r"lra_release\.gz: new_aan_pairs\.test\.tsv not found"):
        [*retrieval.read(pack(tmp_path / "lra_release.gz", files))]
    without = {name: content for name, content in SAMPLE.items() if ".eval." not in name}
    with pytest.raises(ValueError, match=r"aan_sample_pairs\.eval\.only_ids\.tsv not found"):
        [*retrieval.read(pack(tmp_path / "aan_sample.tar.xz", without))]
