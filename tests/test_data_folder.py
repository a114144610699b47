"""Oracle: data packed here; data.folder= must be what the run's configuration says, to the last bit."""

from pathlib import Path

import numpy as np
import pytest
from preparing import flipped

from wise_lra.config import compose
from wise_lra.data.packed import PackedSplit, pack
from wise_lra.data.task import SPLITS, Example, Task
from wise_lra.identity import open_run

PIXELS = [Example(split, (np.arange(1024).astype(np.uint8),), label) for split in SPLITS for label in (0, 1)]
TEXTS = [Example(split, (np.array([1, 256], np.uint16),), label) for split in SPLITS for label in (0, 1)]


def packed(folder: Path, task: str, protocol: str = "held-out") -> Path:
    tasks = {
        "image": Task("image", 256, 1024, 10),
        "pathfinder": Task("pathfinder", 256, 1024, 2),
        "text": Task("text", 257, 4096, 2),
    }
    facts = {"source": "here", "variant": "", "protocol": protocol}
    pack(TEXTS if task == "text" else PIXELS, folder, tasks[task], facts)
    return folder


def opened(folder: Path, *settings: str):
    return open_run(compose([f"data.folder={folder}", *settings]))


def test_a_sample_is_named_in_the_column_and_stands_beside_no_published_number(tmp_path):
    run = opened(packed(tmp_path / "data", "image"), "task=image", "preset=lra")
    assert (run.variant, run.key.variant) == ("sample", "sample")
    assert run.record.parts[-4] == "image-sample"


@pytest.mark.parametrize(
    ("task", "settings", "key"),
    [
        ("pathfinder", ["task=image"], "task=pathfinder"),
        ("image", ["task=pathfinder"], "task=image"),
        ("text", ["task=retrieval"], "task=text"),
        ("image", ["task=image", "task.classes=1"], "label 1"),
        ("image", ["task=image", "task.vocabulary=255"], "token 255"),
        ("image", ["task=image", "task.length=1000"], r"task\.length=1000"),
        ("text", ["task=text", "data.protocol=lra"], r"data\.protocol=lra"),
    ],
)
def test_data_that_are_not_what_the_run_says_are_refused(tmp_path, task, settings, key):
    folder = packed(tmp_path / "data", task)
    with pytest.raises(ValueError, match=key) as error:
        opened(folder, *settings)
    assert str(folder) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["train.tokens", "validation.offsets", "test.labels"])
def test_one_flipped_bit_is_found_though_the_times_are_the_same(tmp_path, name):
    folder = packed(tmp_path / "data", "image")
    path = folder / f"{name}.npy"
    flipped(path)
    with pytest.raises(ValueError, match=str(path)):
        opened(folder, "task=image")


def test_a_copy_is_as_good(tmp_path):
    folder = packed(tmp_path / "data", "text")
    copy = folder.rename(tmp_path / "elsewhere")
    for path in copy.iterdir():
        path.touch()
    assert PackedSplit(
        opened(copy, "task=text").data, "test", Task("text", 257, 4096, 2)
    ).labels.tolist() == [0, 1]
