"""Oracle: a folder, or archive, in LRA's layout written here, whose images tell which they are."""

import struct
import zlib
from collections import Counter

import numpy as np
import pytest
from PIL import Image
from upstream import pathfinder_files, plain, read, unpack

from wise_lra.data import pathfinder_release

LINE = "imgs/{folder} sample_{number}.png {number} {label} 1.0 14 4 2 0.5 1 1\n"


@pytest.fixture
def release(tmp_path):
    """Two batches of ten images in LRA's layout: image k of batch n is all 10 n + k; number 13 is empty."""
    return pathfinder_release.find(unpack(tmp_path, pathfinder_files()))


def test_read_gives_every_image_once_with_its_label_and_counts_the_empty_one(release):
    rejected = Counter()
    examples = read(pathfinder_release, release, rejected)
    assert rejected == {"empty file imgs/1/sample_3.png": 1}
    assert [example.split for example in examples] == ["train"] * 15 + ["validation"] * 2 + ["test"] * 2
    assert sorted(int(example.documents[0][0]) for example in examples) == [n for n in range(20) if n != 13]
    for example in examples:
        (document,) = example.documents
        assert (document.shape, document.dtype) == ((1024,), np.uint8)
        assert (document % 2 == example.label).all()
    assert plain(read(pathfinder_release, release)) == plain(examples)


@pytest.mark.parametrize(
    ("line", "error", "message"),
    [
        ("imgs/0 sample_0.png 0 1\n", ValueError, r"1\.npy:11: 4 .* 11"),
        (LINE.format(folder=0, number=1, label=2), ValueError, r"1\.npy:11: .*'2'"),
        (LINE.format(folder=0, number=77, label=1), FileNotFoundError, r"sample_77\.png: .*1\.npy:11"),
        (LINE.format(folder="../..", number=1, label=1), ValueError, r"1\.npy:11: .*\.\./\.\./"),
        (
            LINE.format(folder=0, number=1, label=1).replace("imgs", "/imgs"),
            ValueError,
            r"1\.npy:11: .*/imgs/0",
        ),
    ],
)
def test_read_names_file_and_line_of_faulty_metadata(release, line, error, message):
    with (release / "metadata/1.npy").open("a") as file:
        file.write(line)
    with pytest.raises(error, match=message):
        read(pathfinder_release, release)


def test_read_refuses_other_images_and_files(release):
    path = release / "imgs/0/sample_4.png"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"sample_4\.png: "):
        read(pathfinder_release, release)
    path.write_bytes(b"no image at all")
    with pytest.raises(ValueError, match=r"sample_4\.png: "):
        read(pathfinder_release, release)
    Image.new("RGB", (32, 32)).save(path)
    with pytest.raises(ValueError, match=r"sample_4\.png: .*RGB"):
        read(pathfinder_release, release)
    Image.new("L", (16, 32)).save(path)
    with pytest.raises(ValueError, match=r"sample_4\.png: \(32, 16\) .*\(32, 32\)"):
        read(pathfinder_release, release)


def png(width: int, height: int, *, again: tuple[int, int] | None = None, text: bytes = b"") -> bytes:
    """Return a grey PNG of that size in its header, whose pixels are missing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    heads = [
        chunk(b"IHDR", struct.pack(">IIBBBBB", *size, 8, 0, 0, 0, 0))
        for size in ((width, height), again)
        if size
    ]
    body = chunk(b"zTXt", b"k\0\0" + text) if text else b""
    return b"\x89PNG\r\n\x1a\n" + b"".join(heads) + body + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    "content",
    [
        png(30_000, 30_000),
        png(10_000, 10_000),  # PIL only warns of it
        png(2**31 - 1, 2**31 - 1),
        png(0, 0),
        png(32, 32, again=(30_000, 30_000)),
        png(32, 32, again=(10_000, 10_000)),
        png(32, 32, text=zlib.compress(bytes(1 << 26))),
        png(32, 32),
        b"BM" + bytes(60),
    ],
)
def test_an_image_of_any_size_is_refused_before_it_is_decoded(release, content):
    path = release / "imgs/0/sample_4.png"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=str(path)) as error:
        read(pathfinder_release, release)
    assert str(error.value).isprintable()


@pytest.mark.parametrize(
    "line",
    [
        LINE.format(folder="\x1b[31m", number=1, label=1),
        LINE.format(folder="\x1b[31m/..", number=1, label=1),
        LINE.format(folder=0, number=1, label="\x1b[31m"),
        LINE.format(folder="9" * 100_000, number=1, label=1),
    ],
)
def test_what_metadata_hold_reaches_an_error_short_and_without_control_characters(release, line):
    with (release / "metadata/1.npy").open("a") as file:
        file.write(line)
    with pytest.raises((ValueError, FileNotFoundError), match=r"1\.npy:11") as error:
        read(pathfinder_release, release)
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 1000


def test_read_refuses_other_metadata(release, tmp_path_factory):
    with pytest.raises(FileNotFoundError, match=r"metadata/\*\.npy"):
        read(pathfinder_release, tmp_path_factory.mktemp("empty"))
    np.save(release / "metadata/2.npy", np.array([["imgs/0", "sample_0.png"]]))
    with pytest.raises(ValueError, match=r"2\.npy"):
        read(pathfinder_release, release)
    (release / "metadata/2.npy").rename(release / "metadata/all.npy")
    with pytest.raises(ValueError, match=r"all\.npy: .*<n>\.npy"):
        read(pathfinder_release, release)
