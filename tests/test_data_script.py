"""Oracle: what was asked of scripts/prepare_data.py, read back from its summary, its picture and its texts."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from preparing import flipped, folders
from upstream import FILES, TASKS, text_files, unpack

from wise_lra import devices
from wise_lra.data import look, sources
from wise_lra.data.packed import PackedSplit, read_manifest, verify
from wise_lra.runs.selection import preset_for

SCRIPT = Path(__file__).parents[1] / "scripts" / "prepare_data.py"
FEW = ["data.standin={train: 12, validation: 3}", "data.standin.test=4"]


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    """Call the script with options; return its exit code, output and errors."""
    spec = importlib.util.spec_from_file_location("prepare_data", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    monkeypatch.setattr(sources, "unreachable", lambda _: "no network")

    def call(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["prepare_data.py", "--root", str(tmp_path), *words])
        return script.main(), *capsys.readouterr()

    return call


def test_the_summary_tells_what_was_prepared(run, tmp_path):
    pairs = FILES["retrieval"]["new_aan_pairs.train.tsv"] + b"\n2.0\ta\tb\tone\ttwo\n"
    place = unpack(tmp_path / "place", FILES["retrieval"] | {"new_aan_pairs.train.tsv": pairs})
    code, out, err = run("--tasks", "text,image,retrieval", "--archives", str(place), "--source", "", *FEW)
    assert (code, err) == (0, "")
    rows = {
        line.split("│")[1].strip(): [cell.strip() for cell in line.split("│")]
        for line in out.splitlines()
        if "│" in line
    }
    for name, source, count, rejected in (
        ("text (stand-in)", "stand-in", "12", "none"),
        ("image (stand-in)", "stand-in", "12", "none"),
        ("retrieval (sample)", "place", "2", "1 left out: 1 label is"),
    ):
        (folder,) = folders(tmp_path, name.split()[0])
        row = rows[name]
        assert row[2:5] == [source, "train", count]
        assert row[7].startswith(rejected)
        assert row[8] == read_manifest(folder)["sha256"][:16]
    assert rows["image (stand-in)"][6] == "1024/1024/1024/1024"
    (folder,) = folders(tmp_path, "image")
    flipped(folder / "test.tokens.npy")
    code, out, _ = run("--tasks", "image", *FEW)
    assert code == 0
    assert str(folder / "test.tokens.npy") in out
    verify(folder)


@pytest.mark.parametrize(("gpus", "preset"), [([], "quick"), (["0"], "paper")])
def test_without_a_preset_it_chooses_as_reproduce_does_and_says_so(run, monkeypatch, tmp_path, gpus, preset):
    monkeypatch.setattr(devices, "visible_gpus", lambda: gpus)
    few = ["data.generated={train: 9, validation: 9, test: 9}"]
    code, out, _ = run("--tasks", "listops", "--source", "generated", *few)
    assert code == 0
    assert out.startswith(f"preset={preset}: {preset_for('', gpus)[1]}\n")
    (folder,) = folders(tmp_path, "listops")
    assert read_manifest(folder)["settings"]["max_length"] == {"quick": 256, "paper": 2000}[preset]


@pytest.mark.parametrize(
    ("words", "code", "values"),
    [
        (["--tasks", "txt"], 2, ["txt", "listops, text"]),
        (["--tasks", "text", "--preset", "quik"], 2, ["quik"]),
        (["--tasks", "text", "data.sed=1"], 2, ["data.sed"]),
        (["--source", "generated"], 2, ["data.source=generated", "text, retrieval, image", "TASKS=listops,"]),
        (["--tasks", "text", "--source", "generated"], 2, ["data.source=generated", "auto, release"]),
        (["--tasks", "image", "--source", "release"], 1, ["no network", "https://www.cs.toronto.edu"]),
    ],
)
def test_a_wrong_request_is_one_line(run, words, code, values):
    found, _, err = run(*words)
    assert found == code
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert all(value in err for value in values)


def test_show_prints_texts_and_saves_pictures(run, tmp_path):
    code, out, _ = run("show", "task=text", "--count", "2", "--split", "test", *FEW)
    assert code == 0
    split = PackedSplit(*folders(tmp_path, "text"), "test", TASKS["text"])
    for index in range(2):
        assert (split.documents(index)[0] - 1).astype(np.uint8).tobytes().decode() in out
    assert out.count("text, test: ") == 2
    for preset in ("quick", "lra"):  # one masks zeros, the other does not
        code, out, _ = run(
            "show", "task=image", "--preset", preset, "--count", "11", "--source", "standin", *FEW
        )
        assert code == 0
        (folder,) = folders(tmp_path, "image")
        path = next(tmp_path.glob("image/*.png"))
        assert str(path) in out
        images = PackedSplit(folder, "train", TASKS["image"])
        with Image.open(path) as sheet:
            pixels = np.asarray(sheet)
        assert (pixels[:96:3, :96:3].ravel() == images.documents(0)[0]).all()
        assert (pixels[114 : 114 + 96 : 3, :96:3].ravel() == images.documents(10)[0]).all()
        path.unlink()


def test_a_text_does_not_reach_the_terminal_as_commands(run, tmp_path):
    harmful = "red \x1b[31m \x07 \x9b1m café\u00a0\t\n".encode() + b"\xff"
    unpack(tmp_path, {name: harmful if name.endswith(".txt") else b"" for name in text_files(10)})
    code, out, _ = run("show", "task=text", "--count", "1")
    assert code == 0
    assert "red \\x1b[31m \\x07 \\x9b1m café" in out
    assert not {"\x1b", "\x07", "\x9b"} & set(out)


def test_classes_have_names():
    assert look.class_names(TASKS["image"], "stand-in")[0] == "disc"
    assert (
        look.class_names(TASKS["image"], "")[0] == look.class_names(TASKS["image"], "sample")[0] == "airplane"
    )
    assert look.class_names(TASKS["pathfinder"], "") == ("two contours", "one contour")
    assert look.class_names(TASKS["listops"], "") == tuple("0123456789")
