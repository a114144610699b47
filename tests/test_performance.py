"""Oracle: the model that is not compiled; page faults, which Linux counts for a process, so nothing is timed."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from test_training import SMALL, folder, train
from torch import Tensor, nn

from wise_lra.build import build_model
from wise_lra.config import compose
from wise_lra.performance import compile_in_place, keep_freed_memory
from wise_lra.results.record import read_all

__all__ = ["folder"]


class Doubling(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x) * 2


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if record.name == "wise_lra.performance"]


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
    model = build_model(compose([*SMALL, "trainer=cpu", "wavelet.name=db2", f"backbone={backbone}"])).train()
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
def test_a_run_without_a_compiler_says_so_once_and_is_trained(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", "/nowhere")
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "cache"))
    done = train(
        folder, tmp_path, "trainer.compile=true", "backbone=wise_fixed", "wavelet.name=db2", "recipe.steps=6"
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("trainer.compile=true: not compiled") == 1
    assert len(read_all(tmp_path / "records")) == 1


FAULTS = """
import resource, sys
import torch
from wise_lra.performance import keep_freed_memory

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

if sys.argv[1] == "keep":
    keep_freed_memory()
for _ in range(60):  # glibc fills holes that are left between small blocks once there are enough of them
    torch.ones(16 << 20)  # 64 MB
before = faults()
for _ in range(5):
    torch.ones(16 << 20)
print(faults() - before)
"""


def faults(how: str) -> int:
    done = subprocess.run([sys.executable, "-c", FAULTS, how], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator takes the order, and Linux counts")
def test_a_large_tensor_takes_the_pages_of_the_one_before() -> None:
    """16,384 pages a tensor, or a 512th of it where the kernel gives large ones."""
    assert faults("keep") <= 5
    assert faults("leave") >= 5 * 32


def test_an_allocator_that_takes_no_order_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wise_lra.performance._libc", lambda: None)
    assert not keep_freed_memory()
