"""Oracle: Python's tarfile, which writes the archives; faults are made by hand."""

import gzip
import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
from upstream import pack, read, unpack

from wise_lra.data import archive, image, listops, pathfinder_release, retrieval, text
from wise_lra.data.archive import files, lines

FILES = {"top/one.txt": b"first", "top/skip.bin": b"not wanted", "top/two.txt": b"second"}


def texts(path: Path) -> dict[str, bytes]:
    return dict(files(path, lambda name: name.endswith(".txt")))


def odd(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, link
    return member


@pytest.mark.parametrize("name", ["all.tar.gz", "all.tar.xz", "all.gz"])
def test_yields_the_wanted_files_of_an_archive_in_its_order_and_of_a_folder(tmp_path, name):
    found = texts(pack(tmp_path / name, FILES))
    assert list(found.items()) == [("top/one.txt", b"first"), ("top/two.txt", b"second")]
    assert texts(unpack(tmp_path / "all", FILES)) == found


def test_reads_an_archive_no_further_than_asked(tmp_path):
    noise = np.random.default_rng(0).bytes(500_000)
    path = pack(tmp_path / "all.tar.gz", FILES | {"top/late": noise})
    path.write_bytes(path.read_bytes()[:200_000])
    reading = files(path, lambda name: name == "top/two.txt")
    assert next(reading)[1] == b"second"
    with pytest.raises(ValueError, match=rf"{path}: "):
        texts(path)


@pytest.mark.parametrize(
    "member",
    [
        *(odd(name) for name in ("../out.txt", "top/../../out.txt", "/out.txt")),
        odd("top/out.txt", tarfile.SYMTYPE, "one.txt"),
        odd("top/out.txt", tarfile.SYMTYPE, "/etc/passwd"),
        odd("top/out.txt", tarfile.FIFOTYPE),
    ],
)
def test_refuses_a_member_outside_and_what_is_not_a_plain_file(tmp_path, member):
    with pytest.raises(ValueError, match=r"all\.tar\.gz: .*out\.txt"):
        texts(pack(tmp_path / "all.tar.gz", FILES, member))


@pytest.mark.parametrize("end", ["gz", "xz"])
@pytest.mark.parametrize("share", [0.3, 0.9, 0.999, None])
def test_a_truncated_or_corrupt_archive_is_named(tmp_path, end, share):
    path = pack(tmp_path / f"all.tar.{end}", FILES | {"top/late.txt": bytes(range(256)) * 300})
    whole = bytearray(path.read_bytes())
    if share is None:
        whole[len(whole) // 2] ^= 0xFF
    path.write_bytes(whole[: int(len(whole) * (share or 1))])
    with pytest.raises(ValueError, match=rf"{path}: "):
        texts(path)


HUGE = 3 << 30
HARD = "pathfinder32/curv_contour_length_14"


@pytest.mark.parametrize(
    ("reader", "name", "folder"),
    [
        (text, "aclImdb/train/neg/0_1.txt", "aclImdb"),
        (retrieval, "aan_sample/texts/P01.txt", "aan_sample"),
        (retrieval, "aan_sample/aan_sample_pairs.train.only_ids.tsv", "aan_sample"),
        (image, "cifar-10-batches-py/data_batch_1", "cifar-10-batches-py"),
        (pathfinder_release, f"{HARD}/imgs/0/sample_0.png", HARD),
        (pathfinder_release, f"{HARD}/metadata/0.npy", HARD),
    ],
)
def test_a_file_larger_than_its_format_needs_is_refused_before_it_is_read(tmp_path, reader, name, folder):
    member = odd(name)
    member.size = HUGE
    path = tmp_path / ("aan_sample.tar.gz" if reader is retrieval else "all.tar.gz")
    path.write_bytes(gzip.compress(member.tobuf() + bytes(1024)))
    (tmp_path / name).parent.mkdir(parents=True)
    with (tmp_path / name).open("wb") as file:
        file.truncate(HUGE)  # takes no room on the disk
    for place in (path, tmp_path / folder):
        with pytest.raises(ValueError, match=rf"{place}: .*3,221,225,472 bytes"):
            read(reader, place)


def test_all_that_is_held_in_memory_has_a_bound(tmp_path, monkeypatch):
    path = pack(
        tmp_path / "aclImdb_v1.tar.gz", {f"aclImdb/train/neg/{k}_1.txt": b"x" * 100 for k in range(9)}
    )
    monkeypatch.setattr(text, "_TOTAL", 850)
    with pytest.raises(ValueError, match=r"900 .*8_1\.txt.* 850"):
        read(text, path)


@pytest.mark.parametrize(
    "kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK]
)
def test_a_header_that_tarfile_would_read_at_once_has_a_bound(tmp_path, kind):
    member = odd("name", kind)
    member.size = HUGE
    path = tmp_path / "all.tar.gz"
    path.write_bytes(gzip.compress(member.tobuf() + bytes(1024)))
    with pytest.raises(ValueError, match="3,221,225,472 bytes"):
        texts(path)


def test_a_line_has_a_bound(tmp_path, monkeypatch):
    assert [*lines(io.BytesIO(b"\xef\xbb\xbfone\r\n\n \t\ntwo"), Path("x"))] == [(1, b"one"), (4, b"two")]
    monkeypatch.setattr(archive, "LINE", 10)
    assert [*lines(io.BytesIO(b"x" * 9 + b"\ny"), Path("x"))] == [(1, b"x" * 9), (2, b"y")]
    for name, reader in (("basic_val.tsv", listops), ("new_aan_pairs.eval.tsv", retrieval)):
        path = pack(tmp_path / "lra_release.gz", {name: b"x" * 11})
        with pytest.raises(ValueError, match=rf"{name}:1: .*10 bytes"):
            read(reader, path)


def test_what_is_no_archive_is_named(tmp_path):
    path = tmp_path / "all.tar.gz"
    path.write_bytes(b"<html>404</html>" * 100)
    with pytest.raises(ValueError, match=rf"{path}: "):
        texts(path)
