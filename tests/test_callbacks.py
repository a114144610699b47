"""Oracle: norms worked by hand; a run without the callback, to the last bit; the training's own log."""

import csv
from pathlib import Path

import pytest
import torch
from pytorch_lightning import Trainer
from test_training import folder, lasting, recipe, trained
from torch import nn
from torch.utils.data import DataLoader

from wise_lra.callbacks import GradientNorms, gradient_norms
from wise_lra.data.task import Batch
from wise_lra.training import Training

__all__ = ["folder"]


class Tiny(nn.Module):
    """A classifier with the parts of the real one."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Module()
        self.encoder.embedding = nn.Embedding(8, 4)
        self.encoder.blocks = nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 4)])
        self.head = nn.Sequential(nn.Dropout(0.5), nn.Linear(4, 3))

    def forward(self, tokens: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        x = self.encoder.embedding(tokens).mean(1)
        for block in self.encoder.blocks:
            x = x + block(x).tanh()
        return self.head(x)


def test_norms_by_hand() -> None:
    model = Tiny()
    assert gradient_norms(model) == {}
    model.head[1].weight.grad = torch.tensor([[3.0, 0, 0, 0], [0, 4.0, 0, 0], [0, 0, 0, 0]])
    model.encoder.blocks[1].bias.grad = torch.tensor([0.0, 12.0, 0, 0])
    assert gradient_norms(model) == {"layer2": 12.0, "head": 5.0, "total": 13.0}


def weights(callbacks: list[GradientNorms], place: Path) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    module = Training(Tiny(), recipe(steps=20, clip=0.1), seed=0)
    tokens, labels = torch.randint(8, (20, 4, 6)), torch.randint(3, (20, 4))
    batches = [Batch(t, None, label) for t, label in zip(tokens, labels, strict=True)]
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=1,
        limit_val_batches=0,
        gradient_clip_val=0.1,
        log_every_n_steps=1,
        logger=False,
        callbacks=list(callbacks),
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=place,
    )
    trainer.fit(module, DataLoader(batches, batch_size=None))
    return module.state_dict()


@pytest.mark.filterwarnings("ignore:.*does not have many workers.*", "ignore:.*val_dataloader.*")
@pytest.mark.filterwarnings("ignore:.*LeafSpec.*", "ignore:.*srun.*")
def test_a_run_is_the_same_to_the_last_bit(tmp_path: Path) -> None:
    measured: list[dict[str, float]] = []

    class Watched(GradientNorms):
        def on_before_optimizer_step(self, trainer, module, optimizer) -> None:  # type: ignore[no-untyped-def]
            super().on_before_optimizer_step(trainer, module, optimizer)
            measured.append(gradient_norms(module))

    without, with_norms = weights([], tmp_path), weights([Watched()], tmp_path)
    assert all(torch.equal(without[name], with_norms[name]) for name in without)
    assert len(measured) == 20
    assert max(norms["total"] for norms in measured) > 0.1, "before clipping"


def test_a_run_logs_them_with_its_loss_and_is_the_same_without_callbacks(
    folder: Path, tmp_path: Path
) -> None:
    whole, bare = tmp_path / "whole", tmp_path / "bare"
    more = "+callbacks.lr._target_=pytorch_lightning.callbacks.LearningRateMonitor"
    records = [trained(folder, place, change) for place, change in ((whole, more), (bare, "~callbacks"))]
    assert lasting(records[0]) == lasting(records[1])
    assert {path.name for path in bare.rglob("*.*")}.isdisjoint({"progress.json", "predictions.npz"})
    (log,) = whole.rglob("metrics.csv")
    rows = list(csv.DictReader(log.read_text(encoding="utf-8").splitlines()))
    assert "lr-AdamW" in rows[0]
    parts = ["embedding", "layer1", "norm", "head"]
    norms = [row for row in rows if row["gradients/total"]]
    assert [row["step"] for row in norms] == [str(2 * step + 1) for step in range(25)]
    assert {row["step"] for row in norms} == {row["step"] for row in rows if row["train/loss"]}
    for row in norms:
        squares = sum(float(row[f"gradients/{part}"]) ** 2 for part in parts)
        assert float(row["gradients/total"]) == pytest.approx(squares**0.5, rel=1e-5)
