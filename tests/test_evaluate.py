"""Oracle: the record of the run itself, and the value of an expression worked by hand."""

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from test_evaluate_questions import Asked, ask
from test_training import folder, trained

from wise_lra.callbacks import TestPredictions
from wise_lra.data.packed import PackedSplit
from wise_lra.data.task import Batch
from wise_lra.evaluate import Unanswerable, load
from wise_lra.results import predictions
from wise_lra.results.predictions import Predictions
from wise_lra.results.record import read

__all__ = ["ask", "folder"]


@pytest.fixture(scope="module")
def place(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("evaluated")
    trained(folder, place)
    return place


@pytest.mark.parametrize("split", ["test", "validation"])
def test_a_run_is_measured_again_exactly(folder: Path, place: Path, ask: Asked, split: str) -> None:
    (record,) = (place / "records").rglob("seed0.json")
    accuracy = read(record).metrics[f"{split}_accuracy"]
    status, (line,), _ = ask(record, "--data", folder.parent, "--split", split)
    assert (status, line.split()[:4]) == (0, [split, "accuracy", f"{100 * accuracy:.4f}", "%,"])


def test_what_was_answered_at_the_test_is_kept(folder: Path, place: Path) -> None:
    (file,) = (place / "runs").rglob("predictions.npz")
    run, kept = load(file.parent), Predictions.read(file)
    assert kept.accuracy == run.record.metrics["test_accuracy"]
    split = PackedSplit(folder, "test", run.task)
    assert sorted(kept.example.tolist()) == list(range(len(split)))
    assert kept.label.tolist() == split.labels[kept.example].tolist()
    for place_in_file, example in [(0, kept.example[0]), (-1, kept.example[-1])]:
        again = run.probabilities(split.documents(int(example)))
        assert kept.probability[place_in_file].tolist() == pytest.approx(again, abs=1e-3)


def test_predictions_that_are_none_are_named(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no")
    np.savez(tmp_path / "other.npz", label=np.zeros(3))
    Predictions(*(np.zeros(n) for n in (3, 3, 2)), np.zeros((3, 2))).write(tmp_path / "uneven")
    for name in ("text", "other.npz", "uneven"):
        with pytest.raises(ValueError, match=name):
            Predictions.read(tmp_path / name)


SOUND: dict[str, np.ndarray] = {
    "example": np.arange(3),
    "label": np.array([0, 1, 0]),
    "predicted": np.array([0, 1, 1]),
    "probability": np.full((3, 2), 0.5, np.float16),
}


@pytest.mark.parametrize(
    ("name", "array"),
    [
        *(
            ("predicted", np.array([0, 1, 7])),
            ("label", np.array([0, 2, 1])),
            ("label", np.array([0, -1, 1])),
        ),
        *(("predicted", np.array([0.0, 1.0, 0.5])), ("example", np.array([-1, 0, 1]))),
        *(("example", np.array(["a", "b", "c"])), ("probability", np.ones((3, 2), int))),
        *(("label", np.ones((3, 1), int)), ("label", np.array(1)), ("probability", np.ones(3))),
        ("label", np.array([0, {}, 1], object)),
    ],
    ids=lambda value: value if isinstance(value, str) else f"{value.dtype}-{value.shape}",
)
def test_predictions_beyond_the_classes_are_named(tmp_path: Path, name: str, array: np.ndarray) -> None:
    file = tmp_path / "predictions.npz"
    np.savez(file, **SOUND)
    assert Predictions.read(file).accuracy == 2 / 3
    np.savez(file, **SOUND | {name: array}, allow_pickle=True)
    with pytest.raises(ValueError, match=r"predictions\.npz: not the predictions of a run"):
        Predictions.read(file)


def test_predictions_that_would_fill_the_memory_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predictions, "_MOST_BYTES", 1 << 16)
    file, single = tmp_path / "predictions.npz", tmp_path / "single.npy"
    np.savez_compressed(file, **SOUND | {"probability": np.zeros((1 << 16, 2), np.float16)})
    assert file.stat().st_size < 1 << 16
    np.save(single, np.zeros(3))
    os.mkfifo(tmp_path / "queue")
    for path in (file, single, tmp_path / "queue"):
        with pytest.raises(ValueError, match=path.name):
            Predictions.read(path)


def test_a_disk_that_takes_no_predictions_costs_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    keeper: Any = TestPredictions()
    keeper.on_test_start(None, None)
    batch = Batch(torch.zeros(2, 4), None, torch.tensor([0, 1]))
    keeper.on_test_batch_end(None, None, torch.eye(2), batch, 0)
    data = SimpleNamespace(chosen={"test": np.arange(2)})
    place = {"default_root_dir": tmp_path / "file", "datamodule": data}
    keeper.on_test_end(SimpleNamespace(world_size=1, is_global_zero=True, **place), None)
    (line,) = caplog.records
    assert str(tmp_path / "file") in line.getMessage()


def test_what_cannot_be_answered_is_said_in_a_line(place: Path, tmp_path: Path, ask: Asked) -> None:
    (run,) = (place / "runs").rglob("seed0")
    status, lines, error = ask(run, "--data", tmp_path)
    assert (status, lines, error.count("\n")) == (2, [], 1)
    assert error.startswith(f"error: {tmp_path}: ")
    for missing in (tmp_path / "a/b/c/d/seed0", Path("/seed0")):
        with pytest.raises(Unanswerable, match=f"^{missing}: "):
            load(missing)
