"""Oracle: the model that is not compiled."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from wise_lra.compilation import compile_in_place
from wise_lra.config import compose
from wise_lra.experiment import build_model
from wise_lra.results.record import read_all

SCRIPT = Path(__file__).parents[1] / "scripts" / "train.py"
SMALL = [
    *("task=listops", "logger=csv", "trainer=cpu", "trainer.threads=1", "task.length=32", "data.buckets=1"),
    *("model.d_model=16", "model.depth=1", "model.mlp_dim=16", "heads.number=2", "heads.qkv_dim=16"),
    *(
        "wavelet.taps=4",
        "wavelet.name=db2",
        "recipe.steps=6",
        "recipe.validate_every=3",
        "recipe.batch_size=8",
    ),
    *("data.generated.train=64", "data.generated.validation=16", "data.generated.test=16"),
    *("data.generated.min_length=4", "data.generated.max_length=32", "data.validation_examples=16"),
    *("data.test_examples=16", "trainer.compile=true"),
]


class Doubling(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x) * 2


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if record.name == "wise_lra.compilation"]


@pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated")  # PyTorch's own, at the import
def test_a_compiler_that_fails_costs_one_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asked = []

    def missing(graph: Any, inputs: Any, **_: Any) -> Any:
        asked.append(len(inputs))
        raise RuntimeError("no compiler here\nand a page of where it was looked for")

    torch._dynamo.reset()
    monkeypatch.setattr("torch._inductor.compile_fx.compile_fx", missing)
    model = Doubling()
    x = torch.randn(4, 3)
    plain = model(x)
    compile_in_place(model)
    torch.testing.assert_close(model(x), plain)
    with torch.no_grad():
        torch.testing.assert_close(model.eval()(x[:2]), plain[:2])
    assert len(asked) == 1, "the second graph is left alone"
    assert said(caplog) == ["trainer.compile=true: not compiled, the run goes on without (no compiler here)"]


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["vanilla", "fnet", "wise_fixed", "wise_adaptive"])
def test_a_compiled_model_gives_the_same_logits_and_gradients(
    backbone: str, caplog: pytest.LogCaptureFixture
) -> None:
    torch._dynamo.reset()
    model = build_model(compose([*SMALL, f"backbone={backbone}"])).train()
    tokens = torch.randint(1, 16, (4, 32))
    mask = torch.arange(32) < torch.tensor([[32], [20], [9], [31]])

    def computed() -> tuple[Tensor, ...]:
        logits = model(tokens, mask)
        return logits, *torch.autograd.grad(logits.logsumexp(dim=1).sum(), list(model.parameters()))

    plain, names = computed(), list(model.state_dict())
    compile_in_place(model)
    torch.testing.assert_close(computed(), plain, atol=1e-5, rtol=1e-4)
    assert list(model.state_dict()) == names
    assert not said(caplog)


@pytest.mark.slow
def test_a_run_without_a_compiler_says_so_once_and_is_trained(tmp_path: Path) -> None:
    places = [f"{name}={tmp_path}/{name}" for name in ("data.root", "runs", "records")]
    nowhere = {"CXX": "/nowhere", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache")}
    command = [sys.executable, str(SCRIPT), *SMALL, "backbone=wise_fixed", *places]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | nowhere)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("trainer.compile=true: not compiled") == 1
    assert len(read_all(tmp_path / "records")) == 1
