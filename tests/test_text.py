"""Oracle: reviews written here, whose ids, order and split follow from the rule by hand."""

from collections import Counter

import numpy as np
import pytest
from upstream import pack, read, text_files, unpack

from wise_lra.data import text


def decoded(example) -> tuple[str, str, int]:
    return example.split, (example.documents[0] - 1).astype(np.uint8).tobytes().decode(), example.label


def test_reads_the_archive_in_order_and_holds_every_tenth_out(tmp_path):
    examples = [
        decoded(example) for example in read(text, pack(tmp_path / "aclImdb_v1.tar.gz", text_files()))
    ]
    expected = [
        (
            "validation" if split == "train" and number in (9, 19) else split,
            f"{split} {label} {number}<br />é",
            c,
        )
        for split in ("train", "test")
        for number in range(20)
        for c, label in enumerate(("neg", "pos"))
    ]
    assert examples == expected


def test_ids_are_byte_plus_one_and_cut_at_the_limit(tmp_path):
    path = unpack(tmp_path, text_files(1) | {"aclImdb/train/neg/0_2.txt": bytes(range(1, 256)) + b"~" * 5000})
    first = read(text, path, limit=300)[0]
    assert first.documents[0].dtype == np.uint16
    assert first.documents[0].tolist() == [*range(2, 257), *[127] * 45]
    assert len(read(text, path)[0].documents[0]) == 4096


def test_lra_validates_on_test(tmp_path):
    examples = [*map(decoded, read(text, unpack(tmp_path, text_files()), protocol="lra"))]
    assert Counter(split for split, _, _ in examples) == {"train": 40, "validation": 40, "test": 40}
    validation, test = ([e[1:] for e in examples if e[0] == split] for split in ("validation", "test"))
    assert validation == test


def test_find_prefers_the_folder_and_upstreams_archive(tmp_path):
    assert text.find(tmp_path) is None
    for name in ("aclImdb_labelled.tar.xz", "aclImdb_v1.tar.gz"):
        assert text.find(pack(tmp_path / name, {}).parent) == tmp_path / name
    (tmp_path / "aclImdb").mkdir()
    assert text.find(tmp_path) == tmp_path / "aclImdb"


def test_an_empty_review_is_counted_and_left_out(tmp_path):
    rejected: Counter[str] = Counter()
    path = unpack(tmp_path, text_files() | {"aclImdb/test/pos/3_9.txt": b" \n"})
    assert len(read(text, path, rejected)) == 79
    assert rejected == {"empty review": 1}


def test_a_missing_class_is_an_error(tmp_path):
    files = {name: content for name, content in text_files().items() if "test/neg" not in name}
    with pytest.raises(ValueError, match=r"aclImdb_v1\.tar\.gz: .*test/neg/"):
        read(text, pack(tmp_path / "aclImdb_v1.tar.gz", files))
