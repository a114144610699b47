"""Oracles: cases whose figures follow by hand, numpy's quantiles, and memory of a known size."""

import importlib.util
import json
import time
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from pytorch_lightning import Trainer
from torch import nn
from torch.utils.data import DataLoader

from wise_lra.benchmark import models, pipeline, transforms
from wise_lra.benchmark.case import Case
from wise_lra.benchmark.figures import bandwidth, grows, growth, overhead, ratio, spread
from wise_lra.benchmark.measure import Measured, Work, interleaved, peak_memory
from wise_lra.benchmark.page import markdown
from wise_lra.benchmark.store import Store, slug
from wise_lra.benchmark.targets import Target, targets
from wise_lra.data.batch import Batch
from wise_lra.training import Recipe

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def script() -> ModuleType:
    place = Path(__file__).parents[1] / "scripts" / "benchmark.py"
    spec = importlib.util.spec_from_file_location("benchmark", place)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def made(section: str, setting: dict[str, Any], **seconds: list[float]) -> dict[str, Any]:
    """Return a case as it stands in the file; names are written with _ for a blank."""
    contenders = {name.replace("_", " "): {"samples": samples} for name, samples in seconds.items()}
    rest = {"commit": "0123456789", "dirty": False, "made_by": {"torch": "2", "threads": 1}}
    return {"section": section, "setting": setting, "contenders": contenders, **rest}


def test_rounds_go_through_all_works_in_turn() -> None:
    order: list[str] = []
    works: dict[str, Work] = {name: partial(order.append, name) for name in "abc"}
    samples = interleaved(works, CPU, seconds=0.0, least=3)
    assert order == list("abc") * 4, "one round goes uncounted"
    assert [len(s) for s in samples.values()] == [3, 3, 3]
    assert len(interleaved(works, CPU, seconds=60.0, most=5)["a"]) == 5


def test_a_sample_is_the_seconds_of_the_work() -> None:
    samples = interleaved({"sleep": partial(time.sleep, 0.02), "nothing": int}, CPU, seconds=0.0)
    assert min(samples["sleep"]) >= 0.02
    assert min(samples["nothing"]) < 0.01


def test_peak_memory_is_that_of_the_tensors_alive_at_once() -> None:
    before = torch.empty(10 << 20, dtype=torch.uint8)

    def work() -> None:
        one = torch.empty(8 << 20, dtype=torch.uint8)
        two = torch.empty_like(before)
        del one
        torch.empty(4 << 20, dtype=torch.uint8)
        two[0] = 1

    assert peak_memory(work, CPU) == 18 << 20


def test_an_mlp_in_chunks_needs_less_memory() -> None:
    whole, chunked = (
        peak_memory(models.build_step(name, 1024, "cpu"), CPU)
        for name in ("wise_fixed softmax", models.CHUNKED)
    )
    assert chunked < 0.8 * whole


def test_spread_is_numpys() -> None:
    samples = list(np.random.default_rng(0).random(11))
    found = spread(samples)
    assert found.n == 11
    np.testing.assert_allclose((found.low, found.median, found.high), np.quantile(samples, (0.25, 0.5, 0.75)))
    assert spread([3.0]).low == spread([3.0]).high == 3.0


def test_a_slow_round_cancels_in_a_paired_ratio() -> None:
    assert ratio([1.0, 9.0, 1.1], [2.0, 18.0, 2.2]) == pytest.approx(0.5)
    with pytest.raises(ValueError, match="longer"):
        ratio([1.0], [1.0, 2.0])


@pytest.mark.parametrize(("power", "expected"), [(0, 1.0), (1, 2.0), (2, 4.0)])
def test_growth_per_doubling(power: int, expected: float) -> None:
    assert growth((1024, 3.0), (16384, 3.0 * 16**power)) == pytest.approx(expected)


def test_growth_of_a_series_starts_where_it_is_told_and_keeps_settings_apart() -> None:
    cases = {
        f"{n} {level}": made("transforms", {"length": n, "level": level}, copy=[cost * factor])
        for n, cost in ((1024, 100.0), (4096, 1.0), (16384, 4.0))
        for level, factor in (("1", 1.0), ("full", float(n)))
    }
    assert grows(cases, "transforms", "copy", {"level": "1"}, 4096) == pytest.approx(2.0)
    assert grows(cases, "transforms", "copy", {"level": "full"}, 4096) == pytest.approx(4.0)
    assert grows(cases, "transforms", "copy", {"level": "2"}) is None


def test_a_copy_reaches_its_own_bandwidth() -> None:
    assert bandwidth([2.0], [1.0], "forward") == 1.0, "there and back moves twice what a copy does"
    assert bandwidth([4.0], [1.0], "forward + backward") == 1.0


def test_overhead_is_what_the_model_leaves() -> None:
    assert overhead([1.0, 2.0, 1.0], [0.75, 1.5, 0.75]) == 0.25


def test_targets_hold_miss_or_were_not_measured() -> None:
    assert Target("", "at most", 0.6, 0.6).verdict == "holds"
    assert Target("", "at most", 0.6, 0.61).verdict == "misses"
    assert Target("", "at least", 5, 4.9).verdict == "misses"
    assert {target.verdict for target in targets({})} == {"not measured"}


def test_each_target_is_read_off_its_case() -> None:
    at = {"batch": 4, "length": 4096, "width": 128, "taps": 16, "level": "1"}
    both = "forward + backward"
    transform = made("transforms", at)
    transform["contenders"] = {
        f"ptwt, {both}": {"samples": [6.0]},
        f"fixed filters, {both}": {"samples": [1.0]},
        "fixed filters, forward": {"samples": [2.0]},
        "rfft + irfft, forward": {"samples": [1.0]},
    }
    step = made("steps", {"length": 4096, "precision": "float32"}, vanilla_softmax=[2.0])
    step["contenders"][models.WIDE] = {"samples": [1.0]}
    step["contenders"]["wise_fixed softmax"] = {"samples": [1.5], "memory": 3}
    step["contenders"][models.VANILLA]["memory"] = 6
    loop = made("pipeline", {"task": "t", "backbone": "b", "preset": "p"}, step=[1.0], model=[0.9])
    cases = {"transform": transform, "step": step, "loop": loop}
    found = {t.what: t for t in targets(cases) if t.value is not None}
    assert [(round(t.value or 0, 3), t.verdict) for t in found.values()] == [
        (6, "holds"),
        (2, "misses"),
        (0.75, "misses"),
        (0.5, "holds"),
        (0.5, "holds"),
        (0.1, "misses"),
    ]
    page = markdown("Device", cases, ["a.png"])
    assert page.count("| misses |") == 3
    assert page.count("| not measured |") == len(targets(cases)) - len(found)
    assert "![a.png](a.png)" in page


def test_names_of_files() -> None:
    assert slug("AMD EPYC, 1 thread") == "amd-epyc-1-thread"


def tiny() -> list[Case]:
    """Return a case of each kind that the script draws, at lengths of a second's work."""
    found = []
    for length in (64, 128):
        setting: dict[str, str | int] = {"batch": 4, "length": length, "width": 128, "taps": 16, "level": "1"}
        run = partial(transforms.measured, CPU, length, 4, 16, "1", batch=1)
        found.append(Case("transforms", setting, lambda seconds, run=run: run(seconds=seconds)))
        names = [models.VANILLA, "wise_fixed linear"]
        step = partial(models.measured, CPU, "step", names, length, "float32", False)
        found.append(Case("steps", {"length": length, "precision": "float32"}, step))
    return found


def test_a_tiny_benchmark_goes_on_where_it_was_stopped(script: ModuleType, tmp_path: Path) -> None:
    cases = tiny()
    assert len(list(script.measure(Store(tmp_path, CPU), cases[:3], 0.01))) == 3
    store = Store(tmp_path, CPU)
    lines = list(script.measure(store, cases, 0.01))
    assert len(lines) == 2
    assert lines[0].startswith("3 of 4")
    assert "1/1" in lines[1]
    assert "0 min left" in lines[1]
    written = script.write(store, tmp_path)
    assert {path.suffix for path in written} == {".json", ".md", ".png", ".svg"}
    assert all(path.stat().st_size > 0 for path in written)
    kept = json.loads(store.path.read_text(encoding="utf-8"))["cases"]
    assert set(kept) == {case.key for case in cases}
    ours = kept[cases[0].key]["contenders"]["fixed filters, forward + backward"]
    assert len(ours["samples"]) >= 3
    assert ours["memory"] > 0
    page = written[1].read_text(encoding="utf-8")
    assert "cost per doubling" in page
    assert "share of copy bandwidth" in page


def test_another_code_measures_anew(tmp_path: Path) -> None:
    case = Case("steps", {"length": 1}, lambda seconds: {"x": Measured([1.0])})
    store = Store(tmp_path, CPU)
    store.add(case, case.run(0.0), 0.0)
    assert Store(tmp_path, CPU).done(case)
    other = Store(tmp_path, CPU)
    other.made_by = other.made_by | {"sources": "0"}
    assert not other.done(case)
    assert not Store(tmp_path, CPU, quick=True).done(case)


def test_an_absent_peer_is_said_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(transforms, "peak_memory", lambda *_: 0)
    found = transforms.measured(CPU, 64, 4, 2, "full", 0.0, batch=1)
    assert "make benchmark" in (found["ptwt"].absent or "")
    assert "absent" in found["ptwt"].plain()


def test_an_unknown_section_is_refused(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["benchmark.py", "--sections", "transform"])
    assert script.main() == 2
    assert "transforms,layers,steps,pipeline" in capsys.readouterr().err


SOME = [models.WIDE, "fnet none", "fourier_attention longformer", "wise_lifting performer"]


@pytest.mark.parametrize("name", SOME)
def test_a_contender_can_be_configured(name: str) -> None:
    assert name in models.contenders(quick=False)
    assert models.configured(name, 128).task.length == 128


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(models.contenders(quick=False)) - set(SOME)))
def test_every_contender_can_be_configured(name: str) -> None:
    assert models.configured(name, 128).task.length == 128


class Slow(nn.Module):
    """Two classes from one weight, in no less than 5 ms."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(2))

    def forward(self, tokens: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        time.sleep(0.005)
        return self.weight.expand(len(tokens), 2)


@pytest.mark.filterwarnings(
    "ignore:.*does not have many workers",
    "ignore:You defined a `validation_step`",
    "ignore:The `srun` command",
    "ignore:.*LeafSpec",
)
def test_a_timed_training_notes_steps_and_the_models_part(tmp_path: Path) -> None:
    whole: list[float] = []
    inside: list[float] = []
    recipe = Recipe(20, 2, 0.1, 1, "cosine", 0.0, 10)
    module = pipeline.Timed(Slow(), recipe, 0, pipeline.Clock(whole, inside))
    batch = Batch(torch.zeros(2, 3, dtype=torch.long), None, torch.tensor([0, 1]))
    loader = DataLoader([batch] * 10, batch_size=None)
    trainer = Trainer(max_epochs=2, logger=False, enable_checkpointing=False, enable_progress_bar=False,
                      enable_model_summary=False, default_root_dir=tmp_path, accelerator="cpu")  # fmt: skip
    trainer.fit(module, loader)
    assert len(whole) == len(inside) == 2 * (10 - 5)
    assert all(0.005 <= part < step for part, step in zip(inside, whole, strict=True))
