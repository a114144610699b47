"""Oracle: lines written here; a pair's ids are its bytes plus one, and each kind of bad line is made once."""

from collections import Counter

import numpy as np
import pytest
from upstream import PAIRS, SAMPLE, pack, read, retrieval_files, unpack

from wise_lra.data import retrieval

READ = [
    ("train", [b'one "quoted', b"second 'text"], 1),
    ("train", [b"\xff\xfe not UTF-8", b"naive"], 0),
    ("validation", [b"three", b"four"], 1),
    ("test", [b"five", b"six"], 0),
]


def decoded(example) -> tuple[str, list[bytes], int]:
    return example.split, [(ids - 1).astype(np.uint8).tobytes() for ids in example.documents], example.label


def by_split(examples) -> list:
    order = ["train", "validation", "test"]
    return sorted(map(decoded, examples), key=lambda example: order.index(example[0]))


@pytest.mark.parametrize("place", ["", "tsv_data/", "lra_release/lra_release/tsv_data/"])
def test_reads_the_unpacked_release(tmp_path, place):
    path = retrieval.find(unpack(tmp_path, retrieval_files(place)))
    assert path == tmp_path / place
    assert not retrieval.sampled(path)
    assert by_split(read(retrieval, path)) == READ


def test_reads_the_release_archive_no_further_than_needed(tmp_path):
    noise = np.random.default_rng(0).bytes(100_000)
    files = {"lra_release/listops-1000/basic_val.tsv": b"Source\tTarget\r\n"}
    files |= retrieval_files("lra_release/lra_release/tsv_data/") | {
        "lra_release/lra_release/pathfinder32/x.png": noise
    }
    path = pack(tmp_path / "lra_release.gz", files)
    path.write_bytes(path.read_bytes()[:50_000])
    assert retrieval.find(tmp_path) == path
    assert by_split(read(retrieval, path)) == READ


def test_cuts_ten_thousand_bytes_and_then_the_limit(tmp_path):
    long = b"1.0\ta\tb\t" + b"x" * 20_000 + b"\t" + b"y" * 4001
    path = unpack(tmp_path, retrieval_files(eval=long))
    assert [len(ids) for ids in read(retrieval, path)[0].documents] == [4000, 4000]
    assert [len(ids) for ids in read(retrieval, path, limit=15_000)[0].documents] == [10_000, 4001]


def test_a_byte_string_repr_becomes_its_bytes(tmp_path):
    texts = [b"tab\tnewline\n'quote' \xc3\xa9", b"plain"]
    line = "\t".join(["1.0", "a", "b", *map(repr, texts)]).encode()
    path = unpack(tmp_path, retrieval_files(eval=line))
    assert by_split(read(retrieval, path))[2] == ("validation", texts, 1)


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
    path = unpack(tmp_path, retrieval_files(eval=b"\n".join([*bad, PAIRS["eval"]])))
    assert by_split(read(retrieval, path, rejected)) == READ
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
    path = unpack(tmp_path, retrieval_files(eval=line))
    found = [label for split, _, label in by_split(read(retrieval, path, rejected)) if split == "validation"]
    assert (found, rejected) == ([1, 0], {})


@pytest.mark.parametrize("archived", [True, False])
def test_joins_the_sample_and_names_it(tmp_path, archived):
    path = (
        pack(tmp_path / "aan_sample.tar.xz", SAMPLE) if archived else unpack(tmp_path, SAMPLE) / "aan_sample"
    )
    assert retrieval.find(tmp_path) == path
    assert retrieval.sampled(path)
    rejected: Counter[str] = Counter()
    assert [*map(decoded, read(retrieval, path, rejected))] == [
        ("train", [b"six", b"nine"], 1),
        ("train", [b"six", b"five"], 0),
        ("validation", [b"five", b"six"], 1),
        ("test", [b"five", b"nine"], 0),
    ]
    assert rejected == {"a text is empty or missing": 1}


def test_lras_own_pairs_come_before_the_sample(tmp_path):
    assert retrieval.find(tmp_path) is None
    unpack(tmp_path, SAMPLE)
    assert (
        retrieval.find(pack(tmp_path / "lra_release.gz", retrieval_files()).parent)
        == tmp_path / "lra_release.gz"
    )


def test_a_missing_file_is_named(tmp_path):
    files = retrieval_files("lra_release/lra_release/tsv_data/")
    files.pop("lra_release/lra_release/tsv_data/new_aan_pairs.test.tsv")
    with pytest.raises(FileNotFoundError, match=r"lra_release\.gz: .*new_aan_pairs\.test\.tsv"):
        read(retrieval, pack(tmp_path / "lra_release.gz", files))
    without = {name: content for name, content in SAMPLE.items() if ".eval." not in name}
    with pytest.raises(FileNotFoundError, match=r"aan_sample_pairs\.eval\.only_ids\.tsv"):
        read(retrieval, pack(tmp_path / "aan_sample.tar.xz", without))
