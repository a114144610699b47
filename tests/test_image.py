"""Oracle: values of tf.image.rgb_to_grayscale (TensorFlow 2.21), and files written opcode by opcode."""

import os
import pickle

import numpy as np
import pytest
from upstream import BATCHES, COUNT, binary, image_files, pack, pickled, read, unpack

from wise_lra.data import image
from wise_lra.data.archive import tfds_order


def listed(path) -> list[tuple[str, list[int], int]]:
    return [(split, documents[0].tolist(), label) for split, documents, label in read(image, path)]


def test_both_versions_read_alike_and_in_the_order_of_tfds(tmp_path):
    examples = listed(pack(tmp_path / "cifar-10-python.tar.gz", image_files("py")))
    assert examples == listed(pack(tmp_path / "cifar-10-binary.tar.gz", image_files("bin")))
    assert examples == listed(unpack(tmp_path, image_files("py")) / "cifar-10-batches-py")
    assert [split for split, _, _ in examples] == ["train"] * 18 + ["validation"] * 2 + ["test"] * 4
    rng = np.random.default_rng(0)
    labels = np.concatenate([rng.integers(0, 10, COUNT, np.uint8) for _ in BATCHES])
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
    files = image_files("bin")
    files["cifar-10-batches-bin/data_batch_1.bin"] = binary(
        np.zeros(COUNT, np.uint8), pixels.reshape(COUNT, -1)
    )
    first = tfds_order("train", map(str, range(20))).index(0)
    image_one = read(image, unpack(tmp_path, files))[first]
    assert np.flatnonzero(image_one.documents[0]).tolist() == [2 * 32 + 5]


def test_nothing_in_a_pickle_is_executed(tmp_path):
    class Harm:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "harm"),)

    files = image_files("py") | {"cifar-10-batches-py/data_batch_2": pickle.dumps(Harm(), 2)}
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
    files = image_files(kind) | {f"cifar-10-batches-{kind}/{name}": content}
    with pytest.raises(ValueError, match=rf"{name}.*{message}"):
        listed(unpack(tmp_path, files))


def test_a_missing_file_is_named(tmp_path):
    files = image_files("py")
    files.pop("cifar-10-batches-py/data_batch_3")
    with pytest.raises(ValueError, match="data_batch_3"):
        listed(pack(tmp_path / "cifar-10-python.tar.gz", files))
