"""Oracle: values of tf.image.rgb_to_grayscale (TensorFlow 2.21), and files written opcode by opcode."""

import os
import pickle
import struct

import numpy as np
import pytest
from upstream import pack, unpack

from wise_lra.data import image
from wise_lra.data.tfds_order import tfds_order

NAMES = ("data_batch_4", "test_batch", "data_batch_3", "data_batch_2", "data_batch_5", "data_batch_1")
COUNT = 4  # images a file


def pickled(labels: np.ndarray, pixels: np.ndarray) -> bytes:
    """Return a file of the Python version as upstream's: a protocol 2 pickle of Python 2."""

    def string(text: bytes) -> bytes:
        return b"U" + bytes([len(text)]) + text

    data = b"T" + struct.pack("<i", pixels.size) + pixels.tobytes()
    shape = b"K\x01M" + struct.pack("<H", len(labels)) + b"M\x00\x0c\x86"
    array = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
    dtype = b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    numbers = b"".join(b"K" + bytes([label]) for label in labels)
    names = b"".join(string(b"cat_s_%06d.png" % k) for k in range(len(labels)))
    return (
        b"\x80\x02}(" + string(b"batch_label") + string(b"training batch 1 of 5")
        + string(b"labels") + b"](" + numbers + b"e"
        + string(b"data") + array + b"(" + shape + dtype + b"\x89" + data + b"tb"
        + string(b"filenames") + b"](" + names + b"eu."
    )  # fmt: skip


def binary(labels: np.ndarray, pixels: np.ndarray) -> bytes:
    return np.concatenate([labels[:, None], pixels], axis=1).tobytes()


def layout(kind: str) -> dict[str, bytes]:
    """Return the six files of a version, with random images, and a file that is none."""
    rng = np.random.default_rng(0)
    labels = {name: rng.integers(0, 10, COUNT, np.uint8) for name in sorted(NAMES)}
    pixels = {name: rng.integers(0, 256, (COUNT, 3072), np.uint8) for name in sorted(NAMES)}
    write, end = (binary, ".bin") if kind == "bin" else (pickled, "")
    files = {f"cifar-10-batches-{kind}/{name}{end}": write(labels[name], pixels[name]) for name in NAMES}
    return {f"cifar-10-batches-{kind}/readme.html": b"<html>"} | files


def listed(path) -> list[tuple[str, list[int], int]]:
    return [(split, documents[0].tolist(), label) for split, documents, label in image.read(path)]


def test_both_versions_read_alike_and_in_the_order_of_tfds(tmp_path):
    examples = listed(pack(tmp_path / "cifar-10-python.tar.gz", layout("py")))
    assert examples == listed(pack(tmp_path / "cifar-10-binary.tar.gz", layout("bin")))
    assert examples == listed(unpack(tmp_path, layout("py")) / "cifar-10-batches-py")
    assert [split for split, _, _ in examples] == ["train"] * 18 + ["validation"] * 2 + ["test"] * 4
    rng = np.random.default_rng(0)
    labels = np.concatenate([rng.integers(0, 10, COUNT, np.uint8) for _ in NAMES])
    order = tfds_order("train", map(str, range(20)))
    assert [label for _, _, label in examples[:20]] == labels[order].tolist()
    assert [label for _, _, label in examples[20:]] == labels[20:][tfds_order("test", "0123")].tolist()


def test_the_order_is_that_of_tfds():
    """The first ids of tfds.load("cifar10", split="train"), as TFDS' users have printed them."""
    assert tfds_order("train", map(str, range(50_000)))[:6] == [16399, 1680, 47917, 17307, 27051, 48736]


def test_the_written_pickle_is_what_python_would_load():
    labels, pixels = np.arange(10, dtype=np.uint8), np.arange(30720, dtype=np.uint8).reshape(10, 3072)
    loaded = pickle.loads(pickled(labels, pixels), encoding="bytes")
    assert loaded[b"labels"] == [*range(10)]
    assert (loaded[b"data"] == pixels).all()


def test_grey_is_tensorflows():
    colours = {
        (0, 0, 0): 0, (255, 255, 255): 255, (255, 0, 0): 76, (0, 255, 0): 149, (0, 0, 255): 29,
        (0, 122, 186): 93, (3, 121, 122): 86, (5, 171, 227): 128, (6, 120, 58): 79, (9, 241, 180): 165,
    }  # fmt: skip
    # The last five lie so close below an integer that exact arithmetic, unlike float32, stays under it.
    pixels = np.zeros((1, 3, 1024), np.uint8)
    pixels[0, :, : len(colours)] = np.array([*colours]).T
    grey = image.grey(pixels)
    assert grey.dtype == np.uint8
    assert grey.shape == (1, 1024)
    assert grey[0, : len(colours)].tolist() == [*colours.values()]


def test_pixels_stay_in_rows(tmp_path):
    pixels = np.zeros((COUNT, 3, 32, 32), np.uint8)
    pixels[0, :, 2, 5] = 255
    files = layout("bin")
    files["cifar-10-batches-bin/data_batch_1.bin"] = binary(
        np.zeros(COUNT, np.uint8), pixels.reshape(COUNT, -1)
    )
    first = tfds_order("train", map(str, range(20))).index(0)
    image_one = list(image.read(unpack(tmp_path, files)))[first]
    assert np.flatnonzero(image_one.documents[0]).tolist() == [2 * 32 + 5]


def test_nothing_in_a_pickle_is_executed(tmp_path):
    class Harm:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "harm"),)

    files = layout("py") | {"cifar-10-batches-py/data_batch_2": pickle.dumps(Harm(), 2)}
    with pytest.raises(ValueError, match=r"data_batch_2.*: 0 pixels and 0 labels"):
        listed(pack(tmp_path / "cifar-10-python.tar.gz", files))
    assert not (tmp_path / "harm").exists()


def test_find_takes_folders_before_archives(tmp_path):
    assert image.find(tmp_path) is None
    for name in ("cifar-10-binary.tar.gz", "cifar-10-python.tar.xz", "cifar-10-python.tar.gz"):
        assert image.find(pack(tmp_path / name, {}).parent) == tmp_path / name
    for name in ("cifar-10-batches-bin", "cifar-10-batches-py"):
        (tmp_path / name).mkdir()
        assert image.find(tmp_path) == tmp_path / name


@pytest.mark.parametrize(
    ("kind", "name", "content", "message"),
    [
        ("bin", "data_batch_2.bin", bytes(3073 * 2 - 1), "6145 bytes, expected a multiple of 3073"),
        ("bin", "test_batch.bin", b"", "0 bytes"),
        ("bin", "test_batch.bin", b"\x0a" + bytes(3072), "label 10, expected 0 to 9"),
        ("py", "test_batch", pickled(np.zeros(2, np.uint8), np.zeros((1, 3072), np.uint8)), "2 labels"),
        ("py", "data_batch_5", pickled(np.zeros(1, np.uint8), np.zeros((1, 3072), np.uint8))[:-1], "STOP"),
        ("py", "data_batch_5", b"\x89PNG", "newline"),
    ],
)
def test_a_broken_file_is_named(tmp_path, kind, name, content, message):
    files = layout(kind) | {f"cifar-10-batches-{kind}/{name}": content}
    with pytest.raises(ValueError, match=rf"{name}.*{message}"):
        listed(unpack(tmp_path, files))


def test_a_missing_file_is_named(tmp_path):
    files = layout("py")
    files.pop("cifar-10-batches-py/data_batch_3")
    with pytest.raises(ValueError, match="data_batch_3 not found"):
        listed(pack(tmp_path / "cifar-10-python.tar.gz", files))
