"""Oracle: the run on one device, step by step; batches counted by hand; a memory that ends where a test wants."""

import itertools
import signal
import subprocess
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_training import command, folder, recipe, train, wait_for
from torch import nn

from wise_lra import devices, find_batch
from wise_lra.config import compose
from wise_lra.data.samplers import InOrder, Pieces, TrainingOrder
from wise_lra.results.record import read_all
from wise_lra.training import Training

__all__ = ["folder"]

STEPWISE = ("model.dropout=0", "recipe.steps=12", "recipe.validate_every=1", "trainer.progress=none")
TWO = ("trainer.accelerator=cpu", "trainer.devices=2")
STOP = 'trainer.max_time="0:00:00:00"'


@pytest.mark.parametrize(("ranks", "pieces"), [*itertools.product((1, 2, 3), repeat=2)])
def test_the_pieces_of_all_devices_are_the_batch(ranks: int, pieces: int) -> None:
    whole = TrainingOrder(np.zeros(23, np.int64), 11, 0, 5)
    whole.set_epoch(2)
    each = [
        Pieces(TrainingOrder(np.zeros(23, np.int64), 11, 0, 5), rank, ranks, pieces) for rank in range(ranks)
    ]
    for own in each:
        own.set_epoch(2)
    parts = [list(own) for own in each]
    assert {len(part) for part in parts} == {len(own) for own in each} == {5 * pieces}
    for step, batch in enumerate(whole):
        dealt = [piece for part in parts for piece in part[step * pieces : (step + 1) * pieces]]
        assert sorted(np.concatenate(dealt)) == sorted(batch)
        sizes = {len(piece) for piece in dealt}
        assert max(sizes) - min(sizes) <= 1


def test_every_example_is_evaluated_on_one_device_once() -> None:
    chosen = np.arange(37)
    seen = np.concatenate(
        [np.concatenate(list(InOrder(chosen[rank::3], np.zeros(37, np.int64), 4))) for rank in range(3)]
    )
    assert sorted(seen) == list(chosen)


@pytest.mark.parametrize(
    ("batch", "count", "micro", "expected"),
    [(32, 1, None, 1), (32, 1, 8, 4), (32, 2, 8, 2), (400, 3, None, 1), (400, 1, 256, 2), (5, 1, 2, 3)],
)
def test_a_batch_is_parted(batch: int, count: int, micro: int | None, expected: int) -> None:
    assert devices.pieces(batch, count, micro) == expected


def test_a_piece_without_examples_is_refused() -> None:
    with pytest.raises(ValueError, match=r"trainer.devices=2, trainer.micro_batch=1: recipe.batch_size=5 "):
        devices.pieces(5, 2, 1)


def test_noise_differs_between_devices_at_the_largest_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    seeds = set()
    for rank in range(64):
        monkeypatch.setattr(Training, "global_rank", rank)
        Training(nn.Linear(1, 1), recipe(), 2**32 - 1).on_train_epoch_start()
        seeds.add(torch.initial_seed())
    assert len(seeds) == 64


def test_devices_that_are_not_there_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert devices.device_count("gpu", "all") == devices.device_count("auto", 2) == 2
    assert devices.device_count("cpu", 3) == 3
    with pytest.raises(ValueError, match=r"trainer.devices=3: torch sees 2 CUDA"):
        devices.device_count("auto", 3)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match=r"trainer.accelerator=gpu: .* expected 2, or trainer=cpu"):
        devices.device_count("gpu", 2)
    with pytest.raises(ValueError, match=r"trainer.devices=all: .* expected a number"):
        devices.device_count("cpu", "all")


def only_record(place: Path) -> Any:
    (record,) = read_all(place / "records")
    return record


def expect_same(record: Any, other: Any) -> None:
    """Losses equal to rounding at every step, all accuracies equal, one cell; only the devices differ."""
    assert [point["step"] for point in record.history] == [point["step"] for point in other.history]
    for point, twin in zip(record.history, other.history, strict=True):
        for name in ("train_loss", "validation_loss"):
            assert point[name] == pytest.approx(twin[name], abs=2e-6), (name, point["step"])
        for name, size in (("train_accuracy", 8), ("validation_accuracy", 37)):
            assert round(point[name] * size) == round(twin[name] * size), (name, point["step"])
            assert point[name] * size == pytest.approx(round(point[name] * size), abs=1e-4)
    assert record.metrics["test_accuracy"] == other.metrics["test_accuracy"]
    assert record.metrics["test_examples"] == other.metrics["test_examples"] == 41
    assert (record.preset, record.steps) == (other.preset, other.steps)


@pytest.fixture(scope="module")
def single(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    place = tmp_path_factory.mktemp("single")
    done = train(folder, place, *STEPWISE)
    assert done.returncode == 0, done.stderr
    return only_record(place)


@pytest.mark.slow
def test_a_run_begun_in_pieces_on_one_device_is_finished_on_two(
    folder: Path, tmp_path: Path, single: Any
) -> None:
    begun = train(folder, tmp_path, *STEPWISE, "trainer.micro_batch=3", STOP)
    assert begun.returncode == 75, begun.stderr
    done = train(folder, tmp_path, *STEPWISE, *TWO)
    assert done.returncode == 0, done.stderr
    assert "goes on from its last validation" in done.stderr
    assert done.stdout.count("test accuracy") == 1
    record = only_record(tmp_path)
    expect_same(record, single)
    assert record.device == f"2 x {single.device}"
    assert record.config["trainer"]["devices"] == 2


@pytest.mark.slow
def test_a_run_begun_on_two_devices_is_finished_on_one_and_is_one_run_of_wandb(
    folder: Path, tmp_path: Path, single: Any
) -> None:
    begun = train(folder, tmp_path, *STEPWISE, *TWO, STOP, "logger=wandb", "logger.mode=offline")
    assert begun.returncode == 75, begun.stderr
    done = train(folder, tmp_path, *STEPWISE, "trainer=cpu", "trainer.micro_batch=4", "logger=wandb")
    assert done.returncode == 0, done.stderr
    record = only_record(tmp_path)
    expect_same(record, single)
    left = [path.name for path in tmp_path.rglob("offline-run-*")]
    assert len(left) == 2, "one a start"
    assert {name.split("-", 3)[3] for name in left} == {record.wandb_id}


@pytest.mark.slow
@pytest.mark.parametrize("more", [("trainer.micro_batch=3",), ()], ids=["uneven pieces", "whole shares"])
def test_two_devices_without_a_break(
    folder: Path, tmp_path: Path, single: Any, more: tuple[str, ...]
) -> None:
    done = train(folder, tmp_path, *STEPWISE, *TWO, *more)
    assert done.returncode == 0, done.stderr
    expect_same(only_record(tmp_path), single)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)]
)
def test_a_signal_ends_all_processes(
    folder: Path, tmp_path: Path, number: signal.Signals, status: int
) -> None:
    with subprocess.Popen(
        command(folder, tmp_path, "recipe.steps=100000", *TWO), stderr=subprocess.PIPE, text=True
    ) as running:
        wait_for(lambda: list(tmp_path.rglob("last.ckpt")))
        children = Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split()
        assert len(children) >= 2
        running.send_signal(number)
        running.communicate(timeout=60)
    assert running.returncode == status
    wait_for(lambda: not [child for child in children if Path(f"/proc/{child}").exists()])
    assert read_all(tmp_path / "records") == []


@pytest.mark.slow
def test_a_loss_that_is_not_finite_ends_both(folder: Path, tmp_path: Path) -> None:
    done = train(folder, tmp_path, *TWO, "recipe.lr=1e30", "recipe.warmup_steps=1", "recipe.steps=12")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: the loss is")
    assert "Traceback" not in done.stderr


class Small(nn.Module):
    """A model for which memory ends above three examples; it counts what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(4, 10)

    def forward(self, tokens: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        if len(tokens) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate more than there is")
        return self.head(tokens[:, :4].float())


@pytest.fixture
def cfg(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A configuration of the small model; its sizes are tried in this process, where this file is known."""
    cfg = compose(["task=listops", "trainer=cpu"])
    cfg.model = {"_target_": f"{__name__}.Small"}
    monkeypatch.setattr(find_batch, "_tried", lambda function, *arguments: function(*arguments))
    return cfg


def test_the_largest_micro_batch_is_found(cfg: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_batch.largest(cfg, 32, mixed=False) == 2
    assert find_batch.largest(cfg, 3, mixed=False) == 3
    monkeypatch.setattr(find_batch, "_tried", lambda *_: False)
    with pytest.raises(ValueError, match=r"^trainer.find_batch=true: "):
        find_batch.largest(cfg, 8, mixed=False)


def test_only_a_process_killed_for_its_memory_is_an_answer() -> None:
    assert find_batch._tried(bool, 1)
    assert not find_batch._tried(signal.raise_signal, signal.SIGKILL)
    with pytest.raises(ValueError, match="invalid literal"):
        find_batch._tried(int, "x")
    with pytest.raises(BrokenProcessPool):
        find_batch._tried(signal.raise_signal, signal.SIGTERM)


def test_another_fault_of_a_step_is_not_taken_for_it(cfg: Any) -> None:
    cfg.task.length = 2
    with pytest.raises(RuntimeError, match="shapes"):
        find_batch.largest(cfg, 2, mixed=False)


@pytest.mark.slow
def test_a_run_that_finds_its_micro_batch_is_the_same_run(folder: Path, tmp_path: Path, single: Any) -> None:
    done = train(folder, tmp_path, *STEPWISE, "trainer.find_batch=true")
    assert done.returncode == 0, done.stderr
    assert "8 of a device's 8 examples at a time fit" in done.stderr
    record = only_record(tmp_path)
    assert record.config["trainer"]["micro_batch"] == 8
    assert record.history == single.history
