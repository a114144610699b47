"""Oracle: Python's tarfile, which writes the archives; faults are made by hand."""

import tarfile
from pathlib import Path

import numpy as np
import pytest
from upstream import pack, unpack

from wise_lra.data.archive import members, naming

FILES = {"top/one.txt": b"first", "top/skip.bin": b"not wanted", "top/two.txt": b"second"}


def texts(path: Path) -> dict[str, bytes]:
    with naming(path):
        return {name: content.read() for name, content in members(path, lambda name: name.endswith(".txt"))}


def odd(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, link
    return member


@pytest.mark.parametrize("name", ["all.tar.gz", "all.tar.xz", "all.gz"])
def test_yields_the_wanted_files_of_an_archive_in_its_order(tmp_path, name):
    assert list(texts(pack(tmp_path / name, FILES)).items()) == [
        ("top/one.txt", b"first"),
        ("top/two.txt", b"second"),
    ]


def test_a_folder_reads_like_the_archive_of_it(tmp_path):
    assert texts(unpack(tmp_path / "all", FILES)) == texts(pack(tmp_path / "all.tar.gz", FILES))


def test_reads_an_archive_no_further_than_asked(tmp_path):
    noise = np.random.default_rng(0).bytes(500_000)
    path = pack(tmp_path / "all.tar.gz", FILES | {"top/late": noise})
    path.write_bytes(path.read_bytes()[:200_000])
    reading = members(path, lambda name: name == "top/two.txt")
    assert next(reading)[1].read() == b"second"
    with pytest.raises(ValueError, match=r"all\.tar\.gz: cannot be read to its end"):
        texts(path)


@pytest.mark.parametrize("name", ["../out.txt", "top/../../out.txt", "/out.txt"])
def test_refuses_a_member_outside(tmp_path, name):
    with pytest.raises(ValueError, match=r"all\.tar\.gz: refused.*out\.txt"):
        texts(pack(tmp_path / "all.tar.gz", FILES, odd(name)))


@pytest.mark.parametrize(
    ("kind", "link"), [(tarfile.SYMTYPE, "one.txt"), (tarfile.SYMTYPE, "/etc/passwd"), (tarfile.FIFOTYPE, "")]
)
def test_refuses_what_is_not_a_plain_file(tmp_path, kind, link):
    with pytest.raises(ValueError, match=r"all\.tar\.gz: refused.*top/odd\.txt"):
        texts(pack(tmp_path / "all.tar.gz", FILES, odd("top/odd.txt", kind, link)))


@pytest.mark.parametrize("end", ["gz", "xz"])
@pytest.mark.parametrize("share", [0.3, 0.9, 0.999])
def test_a_truncated_archive_is_named(tmp_path, end, share):
    path = pack(tmp_path / f"all.tar.{end}", FILES | {"top/late.txt": bytes(range(256)) * 300})
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(ValueError, match=rf"all\.tar\.{end}: cannot be read to its end"):
        texts(path)


@pytest.mark.parametrize("end", ["gz", "xz"])
def test_a_corrupt_archive_is_named(tmp_path, end):
    path = pack(tmp_path / f"all.tar.{end}", FILES | {"top/late.txt": bytes(range(256)) * 300})
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 2] ^= 0xFF
    path.write_bytes(whole)
    with pytest.raises(ValueError, match=rf"all\.tar\.{end}: cannot be read to its end"):
        texts(path)


def test_what_is_no_archive_is_named(tmp_path):
    path = tmp_path / "all.tar.gz"
    path.write_bytes(b"<html>404</html>" * 100)
    with pytest.raises(ValueError, match=r"all\.tar\.gz: cannot be read"):
        texts(path)
