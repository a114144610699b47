"""Oracle: the permutations laid end to end and cut by hand, and examples padded one at a time."""

import numpy as np
import pytest
import torch

from wise_lra.data.datamodule import DataModule
from wise_lra.data.packed import PackedSplit, pack
from wise_lra.data.samplers import Buckets, InOrder, TrainingOrder
from wise_lra.data.task import SPLITS, Example, Task

BATCH, SEED = 4, 7
TEXT = Task("text", 257, 10, 2)


def batches(buckets: np.ndarray, interval: int, intervals: int) -> list[list[int]]:
    order, found = TrainingOrder(buckets, BATCH, SEED, interval), []
    for number in range(intervals):
        order.set_epoch(number)
        found += [batch.tolist() for batch in order]
    return found


@pytest.mark.parametrize("examples", [3, 4, 13])
def test_one_bucket_is_the_line_of_all_epochs(examples):
    line = np.concatenate([np.random.default_rng((SEED, e)).permutation(examples) for e in range(40)])
    expected = line[: 24 * BATCH].reshape(24, BATCH).tolist()
    assert batches(np.zeros(examples, np.int64), 8, 3) == expected


def test_batches_are_full_hold_one_bucket_and_drop_nobody():
    buckets = np.array([0] * 9 + [1] * 2 + [3] * 26)
    found = batches(buckets, 37, 5)  # 185 batches: 20 epochs of 37 examples
    assert all(len(batch) == BATCH and len(set(buckets[batch])) == 1 for batch in found)
    seen = np.bincount(np.concatenate(found), minlength=len(buckets))
    assert (seen == 20).all()
    assert len({tuple(buckets[batch][0] for batch in found[k : k + 37]) for k in range(0, 185, 37)}) == 5


@pytest.mark.parametrize("interval", [1, 3, 10])
def test_a_batch_does_not_depend_on_the_interval(interval):
    buckets = np.arange(23) % 3
    assert batches(buckets, interval, 30 // interval) == batches(buckets, 30, 1)


def test_in_order_cuts_where_buckets_end():
    indices, buckets = np.array([1, 4, 0, 2, 3, 6]), np.array([1, 0, 1, 1, 0, 2, 2])
    found = [batch.tolist() for batch in InOrder(np.array([1, 4, 0, 2, 3, 6]), buckets, 2)]
    assert found == [[1, 4], [0, 2], [3], [6]]
    assert len(InOrder(indices, buckets, 2)) == 4


def test_lengths_are_even_parts_and_hold_what_they_should():
    assert Buckets(10, 4).lengths.tolist() == [3, 5, 8, 10]
    assert [Buckets(10, 4).holding(tokens) for tokens in (1, 3, 4, 8, 9, 10, 99)] == [3, 3, 5, 8, 10, 10, 10]
    assert Buckets(10, 1).lengths.tolist() == [10]
    for number in (0, 11):
        with pytest.raises(ValueError, match=f"data.buckets={number}: .* 10"):
            Buckets(10, number)


@pytest.mark.parametrize("documents", [1, 2])
def test_an_example_is_padded_alike_in_any_batch(tmp_path, documents):
    task = Task("retrieval", 257, 10, 2, documents=documents)
    rng = np.random.default_rng(0)

    def document() -> np.ndarray:
        return rng.integers(1, 257, rng.integers(1, 16)).astype(np.uint16)

    examples = [
        Example(SPLITS[k % 3], tuple(document() for _ in range(documents)), k % 2) for k in range(150)
    ]
    pack(examples, tmp_path / "data", task, {})
    expected = []
    for example in examples[2::3]:
        longest = max(map(len, example.documents))
        length = next(part for part in (3, 5, 8, 10) if part >= min(longest, 10))
        expected.append(
            [[*part[:length].tolist(), *[0] * (length - len(part))] for part in example.documents]
        )
    for batch_size in (1, 7, 64):
        module = DataModule(task, tmp_path / "data", batch_size, 5, 0, buckets=4)
        assert sorted(module.chosen["test"].tolist()) == list(range(50))
        found = [
            row.tolist() if documents > 1 else [row.tolist()]
            for batch in module.test_dataloader()
            for row in batch.tokens
        ]
        assert found == [expected[index] for index in module.chosen["test"]]
    read = sum(
        batch.tokens.numel()
        for batch in DataModule(task, tmp_path / "data", 1, 50, 0, buckets=4).train_dataloader()
    )
    assert read == pytest.approx(50 * module.tokens_per_example)


def test_a_split_tells_the_longest_of_some_examples(tmp_path):
    widths = [3, 9, 4]
    examples = [Example(split, (np.ones(w, np.uint16),), 0) for split in SPLITS for w in widths]
    pack(examples, tmp_path / "data", TEXT, {})
    split = PackedSplit(tmp_path / "data", "train", TEXT)
    assert split.longest(np.array([0, 2])) == 4
    assert torch.equal(split.batch(np.array([0]), 4).mask, torch.tensor([[True, True, True, False]]))
