"""Oracles: pywt's wavefun; |H|^2 + |G|^2 = 2 of orthogonal filters; Parseval; float32; a run on disk."""

import json
import re
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import pywt
import torch
from omegaconf import OmegaConf
from PIL import Image

from wise_lra.build import build_model
from wise_lra.callbacks import WaveletPictures
from wise_lra.config import ConfigurationError, compose
from wise_lra.identity import recorded_config
from wise_lra.plots.measure import Bank, banks, energies, errors, functions, responses
from wise_lra.wavelets import BiorthogonalBank, DirectBank, FixedBank, LiftingBank, OrthogonalBank

ROOT = Path(__file__).parents[1]
SMALL = [
    *(
        "task=listops",
        "logger=csv",
        "task.length=64",
        "model.d_model=16",
        "model.depth=2",
        "model.mlp_dim=16",
    ),
    *(
        "heads.number=2",
        "heads.qkv_dim=16",
        "wavelet.taps=4",
        "wavelet.level=2",
        "preset.fit_parameters=false",
    ),
]


def every_bank() -> list[Bank]:
    torch.manual_seed(0)
    found: list[Bank] = [FixedBank("bior2.2"), DirectBank(8, 3), OrthogonalBank(8, 3), LiftingBank(3)]
    found += [LiftingBank(3, taps=3), BiorthogonalBank(8, 3)]
    with torch.no_grad():
        for bank in found[4:]:
            for parameter in bank.parameters():
                parameter.normal_(std=0.1)
    return found


@pytest.mark.parametrize("mode", ["reflect", "periodization"])
@pytest.mark.parametrize("name", ["db2", "db8", "sym5"])
def test_the_cascade_is_that_of_pywavelets(name: str, mode: str) -> None:
    time, low, high = functions(FixedBank(name, mode=mode).double(), level=6)
    scaling, wavelet, _ = pywt.Wavelet(name).wavefun(level=6)
    for mine, theirs in ((low[:, 0], scaling), (high[:, 0], wavelet)):
        inside = theirs[np.argmax(abs(theirs) > 0) :][: len(mine)]
        assert len(mine) == len(time) >= 63 * (pywt.Wavelet(name).dec_len - 1)
        np.testing.assert_allclose(mine[: len(inside)], inside, atol=1e-6)


def test_powers_of_orthogonal_filters_add_up_to_two() -> None:
    torch.manual_seed(0)
    for bank in (FixedBank("db8"), FixedBank("sym5"), OrthogonalBank(16, 4), DirectBank(256, 2)):
        frequency, low, high = responses(bank)
        assert frequency[[0, -1]].tolist() == [0.0, 0.5]
        np.testing.assert_allclose(low**2 + high**2, 2, atol=1e-5)


def test_responses_are_those_of_the_synthesis_filters() -> None:
    _, low, high = responses(FixedBank("bior4.4"), points=65)
    for mine, taps in ((low, pywt.Wavelet("bior4.4").rec_lo), (high, pywt.Wavelet("bior4.4").rec_hi)):
        np.testing.assert_allclose(mine[:, 0], abs(np.fft.rfft(taps, 128)), atol=1e-6)


def test_lifting_draws_the_hat_of_the_five_three_wavelet() -> None:
    """Its scaling function is the linear B-spline, 2 units of time wide, here of unit energy: height sqrt(3/2)."""
    _, low, _ = functions(LiftingBank(1), level=6)
    hat = low[low[:, 0] > 1e-12, 0]
    assert len(hat) == 127
    np.testing.assert_allclose(hat, np.sqrt(1.5) * (1 - abs(np.arange(-63, 64)) / 64), rtol=1e-3)


def test_functions_stand_where_they_stood_before_training() -> None:
    """A lifting step that is hardly there lengthens the support, and moves nothing."""
    bank = BiorthogonalBank(8, 1)
    time, low, _ = functions(bank)
    peak = time[abs(low[:, 0]).argmax()]
    with torch.no_grad():
        bank.predict += 1e-6
        bank.update += 1e-6
    longer, wider, _ = functions(bank)
    assert len(longer) > len(time)
    assert longer[abs(wider[:, 0]).argmax()] == peak


@pytest.mark.parametrize("bank", every_bank(), ids=lambda bank: type(bank).__name__)
def test_every_bank_is_measured_and_left_as_it_was(bank: Bank) -> None:
    before, level = {k: v.clone() for k, v in bank.state_dict().items()}, bank.level
    for found in (functions(bank), responses(bank)):
        assert all(np.isfinite(values).all() for values in found)
        assert all(values.std() > 0.01 for values in found)
    found_errors = errors(bank, 129, 3)
    assert max(found_errors.values()) < 1e-5
    assert len(found_errors) >= 4
    assert bank.level == level
    assert all(torch.equal(value, before[key]) for key, value in bank.state_dict().items())


def test_error_of_a_fixed_bank_is_that_of_float32_and_a_bent_filter_shows() -> None:
    found = errors(FixedBank("db8"), 1024, 1)
    assert list(found) == [1, 2, 3, 4, 5, 6]
    assert all(1e-9 < error < 1e-6 for error in found.values())
    bent = DirectBank(8, 3)
    with torch.no_grad():
        bent.dec_lo[0] += 0.1
    assert errors(bent, 128, 3)[1] > 0.01


def test_energies_of_a_constant_are_in_the_low_band() -> None:
    """And padding counts nothing: what stands there may be anything."""
    mixer = torch.nn.Module()
    mixer.bank = FixedBank("db2", level=2, mode="periodization")
    mixer.forward = lambda x, mask=None: x  # type: ignore[method-assign, assignment]
    x = torch.ones(2, 64, 3)
    assert energies(mixer, lambda: mixer(x)) == pytest.approx(np.array([[1.0, 0.0, 0.0]]), abs=1e-6)
    mask = torch.arange(64).expand(2, 64) < 40
    x[:, 40:] = torch.randn(2, 24, 3)
    clean = x * mask[..., None]
    assert energies(mixer, lambda: mixer(x, mask)) == pytest.approx(energies(mixer, lambda: mixer(clean)))


def trained(folder: Path, backbone: str) -> Path:
    """Write a run's folder as `experiment` leaves it, its weights moved from where they began."""
    run = folder / "quick" / "listops" / backbone / "softmax" / "seed0"
    cfg = compose([*SMALL, f"backbone={backbone}"])
    model = build_model(cfg)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    (run / "checkpoints").mkdir(parents=True)
    (run / "config.json").write_text(json.dumps(recorded_config(cfg)))
    state = {f"model.{key}": value for key, value in model.state_dict().items()}
    torch.save({"state_dict": state}, run / "checkpoints" / "best.ckpt")
    return run


@pytest.fixture
def script(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    """Return a call of the script in this process: its status, and what it says of errors."""
    main = runpy.run_path(str(ROOT / "scripts" / "plot_wavelets.py"))["main"]

    def called(*arguments: Any) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["plot_wavelets.py", *map(str, arguments)])
        return main(), capsys.readouterr().err

    return called


def test_a_run_is_drawn_as_png_and_svg(tmp_path: Path, script: Callable[..., tuple[int, str]]) -> None:
    run = trained(tmp_path, "wise_adaptive")
    assert script(run, "--data", tmp_path / "none") == (0, "")
    names = {
        "errors",
        "energies",
        *(f"{what}-layer{k}" for what in ("functions", "responses") for k in (1, 2)),
    }
    files = {f"{name}.{ending}" for name in names for ending in ("png", "svg")}
    assert {path.name for path in (run / "wavelets").iterdir()} == files
    for name in names:
        picture = np.asarray(Image.open(run / "wavelets" / f"{name}.png").convert("L"))
        assert picture.shape[0] > 400
        assert 0.005 < (picture < 200).mean() < 0.6
        drawing = (run / "wavelets" / f"{name}.svg").read_text(encoding="utf-8")
        assert drawing.rstrip().endswith("</svg>")
        assert len(re.findall("<path", drawing)) > 20


def test_what_cannot_be_drawn_is_named(tmp_path: Path, script: Callable[..., tuple[int, str]]) -> None:
    for arguments, said in (
        ((tmp_path / "nothing",), "config.json is missing"),
        ((trained(tmp_path, "vanilla"),), "backbone=vanilla has no wavelets"),
        (("--wavelet", "nosuch", "--out", tmp_path), "wavelet='nosuch'"),
    ):
        status, error = script(*arguments)
        assert status == 1
        assert said in error
    with pytest.raises(SystemExit):
        script()


class WandbLogger:
    """Takes pictures as Lightning's does."""

    def __init__(self, broken: bool = False) -> None:
        self.broken, self.images = broken, []  # type: ignore[var-annotated]

    def log_image(self, key: str, images: list[np.ndarray], step: int) -> None:
        if self.broken:
            raise OSError("disk full")
        self.images.append((key, step, images[0]))


def test_pictures_come_at_every_nth_validation_and_never_fail_a_run(caplog: pytest.LogCaptureFixture) -> None:
    model: Any = build_model(compose([*SMALL, "backbone=wise_orthogonal", "model.depth=1"]))
    assert len(banks(model)) == 1
    logger, broken = WandbLogger(), WandbLogger(broken=True)
    callback = WaveletPictures(2)
    for step in (10, 20, 30, 40):
        trainer: Any = SimpleNamespace(loggers=[logger], global_step=step, sanity_checking=False)
        callback.on_validation_end(trainer, model)
    assert [(key, step) for key, step, _ in logger.images] == [
        (f"wavelets/{what}_layer1", step) for step in (20, 40) for what in ("functions", "responses")
    ]
    assert all(image.dtype == np.uint8 and image.std() > 5 for _, _, image in logger.images)
    trainer = SimpleNamespace(loggers=[broken], global_step=1, sanity_checking=False)
    failing = WaveletPictures(1)
    failing.on_validation_end(trainer, model)
    failing.on_validation_end(trainer, model)
    assert caplog.text.count("disk full") == 1
    WaveletPictures(0).on_validation_end(SimpleNamespace(loggers=[logger]), model)  # type: ignore[arg-type]
    assert len(logger.images) == 4


def test_the_key_is_checked() -> None:
    assert OmegaConf.select(compose([]), "logger.pictures_every") == 0
    with pytest.raises(ConfigurationError, match=r"logger\.pictures_every=-1"):
        compose(["logger.pictures_every=-1"])
