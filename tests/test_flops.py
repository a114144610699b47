"""Oracle: the FLOPs of a Transformer and of FNet by formula."""

import math
from pathlib import Path

import pytest

from wise_lra.flops import SUSTAINED, training_flops
from wise_lra.registry import TASKS, main_rows

ROOT = Path(__file__).parents[1]


def test_a_transformer_costs_six_flops_a_weight_and_token_and_its_attention() -> None:
    """lra's ListOps: 4 layers of width 512, MLP 1,024, 2,000 tokens; backward costs twice what forward does."""
    tokens, width, mlp = 2001, 512, 1024  # a CLS token is first
    weights, attention = 4 * width**2 + 2 * width * mlp, 4 * tokens * width
    by_hand = 3 * 4 * tokens * (2 * weights + attention) * 32 * 5000
    assert training_flops("lra", "listops", "vanilla") == pytest.approx(by_hand, rel=0.01)


def test_a_fourier_transform_counts() -> None:
    tokens, width, mlp = 1025, 128, 128  # lra's Image: one layer
    transform = 5 * tokens * width * math.log2(tokens * width)
    by_hand = (3 * 4 * tokens * width * mlp + 2 * transform) * 256 * 35_000
    assert training_flops("lra", "image", "fnet") == pytest.approx(by_hand, rel=0.05)


def test_the_page_has_what_is_counted() -> None:
    """One row of eight is counted again: the others take a minute."""
    hours = [training_flops("lra", task, "fnet") / SUSTAINED / 3600 for task in TASKS]
    texts = [f"{amount:.2f}" for amount in (*hours, sum(hours))]
    page = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    assert f"| lra, fnet | {' | '.join(texts)} |" in page
    rows = [f"| {preset}, {name} |" for preset in ("lra", "paper") for name, _ in main_rows()]
    assert [page.count(row) for row in rows] == [1] * len(rows)
