"""Oracles: cases whose figures follow by hand, numpy's quantiles, memory of a known size, the page that is kept."""

import json
import runpy
import shutil
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pytorch_lightning import Trainer
from torch import nn
from torch.utils.data import DataLoader

from wise_lra.benchmark import measure as module
from wise_lra.benchmark import models, page, transforms
from wise_lra.benchmark.measure import Case, Measured, ResultsFile, Setting, Works, measure, peak_memory
from wise_lra.benchmark.targets import FLOAT32, TRANSFORM, Target, bandwidth, growth, ratio, targets
from wise_lra.data.task import Batch
from wise_lra.training import Recipe

ROOT = Path(__file__).parents[1]
KEPT = ROOT / "results" / "benchmarks" / "amd-epyc-1-thread.json"
CPU = torch.device("cpu")


def test_a_round_runs_every_work_once_in_turn_and_the_first_round_does_not_count() -> None:
    order: list[str] = []
    works: Works = {name: lambda name=name: partial(order.append, name) for name in "abc"}  # type: ignore[misc]
    found = measure(works, CPU, 0.0)
    assert order == list("abc") * 4
    assert [len(one["samples"]) for one in found.values()] == [3, 3, 3]
    assert len(measure(works, CPU, 60.0, rounds=(3, 5))["a"]["samples"]) == 5


def test_a_sample_is_the_seconds_of_one_call() -> None:
    found = measure({"sleep": lambda: partial(time.sleep, 0.02), "nothing": lambda: int}, CPU, 0.0)
    assert 0.02 <= min(found["sleep"]["samples"]) < 0.04
    assert min(found["nothing"]["samples"]) < 0.01


@pytest.mark.parametrize("error", [ImportError("no peer"), RuntimeError("no compiler\nand more")])
def test_what_cannot_run_is_absent_with_its_reason_and_the_rest_is_measured(error: Exception) -> None:
    def broken() -> None:
        raise error

    found = measure({"a": broken, "b": lambda: broken, "c": lambda: int}, CPU, 0.0, memory="abc")  # type: ignore[dict-item]
    reason = f"{type(error).__name__}: {str(error).splitlines()[0]}"
    assert found["a"] == found["b"] == {"absent": reason}
    assert found["c"]["memory"] == 0


def test_a_fault_of_a_contender_is_an_error() -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        measure({"a": lambda: partial(int, "x")}, CPU, 0.0)


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
    names = ("wise_fixed softmax", models.CHUNKED)
    whole, chunked = (peak_memory(models.build_step(name, models.text(1024)), CPU) for name in names)
    assert chunked < 0.8 * whole


def test_quartiles_are_numpys() -> None:
    samples = list(np.random.default_rng(0).random(11))
    np.testing.assert_allclose(page.quartiles(samples), np.quantile(samples, (0.25, 0.5, 0.75)))
    assert page.quartiles([3.0]) == (3.0, 3.0, 3.0)


def test_a_slow_round_cancels_in_a_paired_ratio() -> None:
    assert ratio([1.0, 9.0, 1.1], [2.0, 18.0, 2.2]) == pytest.approx(0.5)
    with pytest.raises(ValueError, match="zip"):
        ratio([1.0], [1.0, 2.0])


def made(section: str, setting: Setting, contenders: dict[str, Measured]) -> dict[str, Any]:
    """Return a case as it stands in the file."""
    rest = {"commit": "0123456789", "dirty": False, "made_by": {"torch": "2", "threads": 1}}
    return {"section": section, "setting": setting, "contenders": contenders, **rest}


@pytest.mark.parametrize("power", [0, 1, 2])
def test_growth_per_doubling_is_between_the_ends_of_equal_settings(power: int) -> None:
    cases = {
        f"{n} {level}": made(
            "transforms", TRANSFORM | {"length": n, "level": level}, {"copy": {"samples": [cost]}}
        )
        for level, costs in (("1", (100.0, 3.0, 3.0 * 4**power)), ("full", (1.0, 1.0, 16.0)))
        for n, cost in zip((1024, 4096, 16384), costs, strict=True)
    }
    others = TRANSFORM | {"length": 65536, "threads": 2}
    cases["other"] = made("transforms", others, {"copy": {"samples": [1e9]}})
    assert growth(cases, "transforms", TRANSFORM, "copy", 4096) == pytest.approx(2**power)
    assert growth(cases, "transforms", TRANSFORM | {"level": "full"}, "copy") == pytest.approx(2.0)
    assert growth(cases, "transforms", TRANSFORM | {"level": "2"}, "copy") is None
    assert growth(cases, "layers", TRANSFORM, "copy") is None


def test_a_copy_reaches_its_own_bandwidth() -> None:
    assert bandwidth([2.0], [1.0], "forward") == 1.0, "there and back moves twice what a copy does"
    assert bandwidth([4.0], [1.0], "forward + backward") == 1.0


def test_targets_hold_miss_or_were_not_measured() -> None:
    assert Target("", "at most", 0.6, 0.6).verdict == "holds"
    assert Target("", "at most", 0.6, 0.61).verdict == "misses"
    assert Target("", "at least", 5, 4.9).verdict == "misses"
    assert {target.verdict for target in targets({})} == {"not measured"}


def test_each_target_is_read_off_its_case() -> None:
    transform: dict[str, Measured] = {
        "ptwt, forward + backward": {"samples": [6.0]},
        "fixed filters, forward + backward": {"samples": [1.0]},
        "filters per channel, forward + backward": {"samples": [4.0]},
        "filters per channel, forward": {"samples": [3.0]},
        "rfft + irfft, forward + backward": {"samples": [4.0]},
        "rfft + irfft, forward": {"samples": [1.0]},
    }
    step: dict[str, Measured] = {
        models.VANILLA: {"samples": [2.0], "memory": 6},
        models.WIDE: {"samples": [1.0]},
        "wise_fixed softmax": {"samples": [1.5], "memory": 3},
    }
    threads = {name: Measured(samples=[9.0]) for name in transform}
    run: dict[str, Measured] = {"step": {"samples": [1.0, 2.0, 1.0]}, "model": {"samples": [0.9, 1.8, 0.95]}}
    cases = {
        "threads": made("transforms", TRANSFORM | transforms.TWO_THREADS, threads),
        "transform": made("transforms", TRANSFORM, transform),
        "step": made("steps", FLOAT32, step),
        "run": made("pipeline", {"task": "t", "backbone": "b", "preset": "p"}, run),
        "generator": made("pipeline", {"generator": "g"}, {"generate": {"samples": [1.0]}}),
    }
    found = [target for target in targets(cases) if target.value is not None]
    values = [1, 0.25, 6, 1, 0.75, 0.5, 0.5, 0.1]
    assert [round(target.value or 0, 3) for target in found] == values
    assert [target.verdict for target in found] == [
        *("misses", "holds", "misses", "misses", "misses", "holds", "holds", "misses")
    ]
    text = page.markdown("Device", cases, ["a.png"])
    assert text.count("| misses |") == 5
    assert text.count("| not measured |") == len([*targets(cases)]) - len(found)
    assert "![a.png](a.png)" in text


def test_the_kept_page_and_pictures_are_those_of_the_kept_measurements(tmp_path: Path) -> None:
    copied = tmp_path / KEPT.name
    shutil.copy(KEPT, copied)
    written = page.write(copied)
    pictures = [f"{KEPT.stem}-{name}.{end}" for name in ("transforms", "steps") for end in ("png", "svg")]
    assert [path.name for path in written] == [f"{KEPT.stem}.md", *pictures]
    for path in written:
        if path.suffix != ".png":
            assert path.read_text("utf-8") == KEPT.with_name(path.name).read_text("utf-8"), path.name


Script = Callable[..., tuple[int, str]]


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Script:
    """Return a call of the script with a work of no time in each section: its status and what it says of errors."""
    main = runpy.run_path(str(ROOT / "scripts" / "benchmark.py"))["main"]
    monkeypatch.setitem(main.__globals__, "keep_freed_memory", bool)
    monkeypatch.setattr(torch, "set_num_threads", lambda _: None)
    for name in main.__globals__["CASES"]:
        case = Case(name, {"length": 1}, partial(measure, {"nothing": lambda: int}, CPU))
        monkeypatch.setitem(main.__globals__["CASES"], name, lambda device, quick, case=case: [case])

    def called(*arguments: str) -> tuple[int, str]:
        options = ["--seconds", "0", "--results", str(tmp_path), *arguments]
        monkeypatch.setattr(sys, "argv", ["benchmark.py", *options])
        return main(), capsys.readouterr().err

    return called


def test_a_benchmark_goes_on_where_it_was_stopped(script: Script, tmp_path: Path) -> None:
    def cases(*arguments: str) -> dict[str, Any]:
        assert script(*arguments) == (0, "")
        (path,) = tmp_path.glob("*.json")
        assert path.with_suffix(".md").read_text("utf-8").count("| nothing |") >= 1
        content = json.loads(path.read_text("utf-8"))
        assert set(content) == set(kept)
        return content["cases"]

    kept = json.loads(KEPT.read_text("utf-8"))
    one, both = cases("--sections", "steps"), cases("--sections", "layers,steps")
    assert list(one) == ["steps length=1"]
    assert set(one["steps length=1"]) == set(kept["cases"]["steps length=1024 precision=float32"])
    assert list(both) == ["layers length=1", "steps length=1"]
    assert both["steps length=1"] == one["steps length=1"]
    again = cases("--sections", "steps", "--fresh")
    assert [again[key] == both[key] for key in both] == [True, False]
    assert list(cases()) == [f"{name} length=1" for name in ("layers", "pipeline", "steps", "transforms")]


def test_an_unknown_section_is_refused(script: Script) -> None:
    status, error = script("--sections", "transform")
    assert status == 2
    assert "transforms,layers,steps,pipeline" in error


def test_another_code_or_option_measures_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case("steps", {"length": 1}, lambda seconds: {"x": {"samples": [1.0]}})
    lines = list(ResultsFile(tmp_path, CPU).measure([case], 0.0))
    assert lines[0].startswith("1/1")
    assert ResultsFile(tmp_path, CPU).done(case)
    assert not ResultsFile(tmp_path, CPU, quick=True).done(case)
    assert all(list(module._PACKAGE.glob(pattern)) for pattern in module._SOURCES)
    monkeypatch.setattr(module, "_SOURCES", module._SOURCES[1:])
    assert not ResultsFile(tmp_path, CPU).done(case)


def test_a_file_has_the_name_of_its_device(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module, "device_name", lambda device: "AMD EPYC, 1 thread")
    assert ResultsFile(tmp_path, CPU).path.name == KEPT.name


@pytest.mark.filterwarnings("ignore:pkg_resources")
@pytest.mark.parametrize("name", transforms.CONTENDERS)
def test_every_contender_gives_the_signal_back(name: str) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 65, 3)
    try:
        back: Any = transforms.build(name, transforms.FORWARD, "cpu", (2, 65, 3), 4, 2)()
    except ImportError:
        pytest.skip(f"{name} is not installed")
    np.testing.assert_allclose(back, x, atol=1e-5)


@pytest.mark.filterwarnings("ignore:pkg_resources")
def test_transforms_are_measured_with_their_gradients_and_memory() -> None:
    setting = TRANSFORM | {"batch": 1, "length": 64, "width": 3, "taps": 4, "level": "full"}
    found = transforms.measured(CPU, setting, 0.0)
    kept = json.loads(KEPT.read_text("utf-8"))["cases"][
        "transforms batch=4 length=4096 width=128 taps=4 level=full"
    ]
    assert {n for n in found if not n.startswith("pytorch_wavelets")} == set(kept["contenders"])
    with_memory = {name for name, one in found.items() if "memory" in one}
    assert with_memory == {name for name, one in kept["contenders"].items() if "memory" in one}
    for name, inputs in (("fixed filters", [(1, 64, 3)]), ("filters per channel", [(1, 64, 3), (4, 3)])):
        gradients: Any = transforms.build(name, transforms.BOTH, "cpu", (1, 64, 3), 4, 2)()
        assert [tuple(gradient.shape) for gradient in gradients] == inputs


def test_the_kept_cases_are_measured_still_and_no_two_cases_have_one_key() -> None:
    sections = (transforms.cases, models.layers, models.steps, models.pipeline)
    keys = [case.key for cases in sections for case in cases(CPU, False)]
    assert len(set(keys)) == len(keys)
    assert set(json.loads(KEPT.read_text("utf-8"))["cases"]) <= set(keys)
    transform = "transforms batch=4 length={} width={} taps={} level={}"
    added = {transform.format(1024, 128, taps, level) for taps in (2, 4, 8) for level in ("1", "6", "full")}
    added |= {
        transform.format(1024, 128, 16, 6),
        transform.format(1024, 96, 40, 1),
        transform.format(4096, 128, 8, 1),
    }
    added |= {f"{transform.format(4096, 128, 16, 1)} threads=2 allocator=default"}
    assert added | {"steps task=image preset=quick batch=32"} <= set(keys)


def test_generators_of_data_are_timed() -> None:
    cases = [case for case in models.pipeline(CPU, True) if "generator" in case.setting]
    assert {case.setting["generator"] for case in cases} == {"listops", "pathfinder"}
    for case in cases[:2]:
        assert min(case.run(0.0)["generate"]["samples"]) > 0


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:pkg_resources")
def test_threads_are_those_of_the_setting_and_a_new_process_measures_the_same_contenders(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chosen: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", chosen.append)
    setting = TRANSFORM | {"batch": 1, "length": 64, "width": 3, "threads": 2}
    here, there = transforms.measured(CPU, setting, 0.0), transforms._in_new_process(setting, 0.0)
    assert chosen == [2]
    assert there.keys() == here.keys()
    assert len(there["filters per channel, forward"]["samples"]) >= 3


SOME = [models.WIDE, "fnet none", "fourier_attention longformer", "wise_lifting performer"]


@pytest.mark.parametrize(
    "name",
    [
        *SOME,
        *(pytest.param(n, marks=pytest.mark.slow) for n in models.contenders(quick=False) if n not in SOME),
    ],
)
def test_a_contender_can_be_configured(name: str) -> None:
    assert name in models.contenders(quick=False)
    assert models.configured(name, models.text(128)).task.length == 128


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
def test_a_timed_training_notes_steps_the_models_part_and_batches(tmp_path: Path) -> None:
    samples: dict[str, list[float]] = {"step": [], "model": [], "batch": []}
    module = models.Timed(Slow(), Recipe(20, 2, 0.1, 1, "cosine", 0.0, 10), 0, samples=samples)
    batch = Batch(torch.zeros(2, 3, dtype=torch.long), None, torch.tensor([0, 1]))
    loader = DataLoader([batch] * 10, batch_size=None)
    trainer = Trainer(max_epochs=2, logger=False, enable_checkpointing=False, enable_progress_bar=False,
                      enable_model_summary=False, default_root_dir=tmp_path, accelerator="cpu")  # fmt: skip
    trainer.fit(module, loader)
    assert [len(found) for found in samples.values()] == [2 * (10 - 5), 2 * (10 - 5), 10 - 5]
    assert all(0.005 <= part < step for part, step in zip(samples["model"], samples["step"], strict=True))
    assert max(samples["batch"]) < 0.005
