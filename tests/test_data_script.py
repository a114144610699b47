"""Oracle: what was asked of scripts/prepare_data.py, read back from its summary, its picture and its texts."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image
from upstream import unpack

from wise_lra import devices
from wise_lra.data import look, prepare, sources
from wise_lra.data.packed import PackedSplit, read_manifest, verify
from wise_lra.data.task import Task
from wise_lra.runs.selection import preset_for

ROOT = Path(__file__).parents[1]
FEW = ["data.standin={train: 12, validation: 3}", "data.standin.test=4"]


def loaded(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return loaded("prepare_data")


@pytest.fixture
def run(script, monkeypatch, capsys, tmp_path):
    """Call the script with options; return its exit code, output and errors."""
    monkeypatch.setattr(sources, "unreachable", lambda _: "no network")

    def call(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["prepare_data.py", "--root", str(tmp_path), *words])
        code = script.main()
        return code, *capsys.readouterr()

    return call


def test_the_summary_tells_what_was_prepared(run, tmp_path):
    code, out, err = run("--tasks", "text,image", "--source", "", *FEW)
    assert (code, err) == (0, "")
    assert "text: data: stand-in, because aclImdb_v1.tar.gz was not found and" in out
    rows = {
        line.split("│")[1].strip(): [cell.strip() for cell in line.split("│")]
        for line in out.splitlines()
        if "│" in line
    }
    for task in ("text", "image"):
        row = rows[f"{task} (stand-in)"]
        manifest = read_manifest(next(path for path in (tmp_path / task).iterdir() if path.is_dir()))
        assert row[2:5] == ["stand-in", "train", "12"]
        assert row[7:9] == ["none", manifest["sha256"][:16]]
    assert "1024/1024/1024/1024" in out
    code, again, _ = run("--tasks", "text", *FEW)
    assert code == 0
    assert "because it was prepared before" in again


@pytest.mark.parametrize(("gpus", "preset"), [([], "quick"), (["0"], "paper")])
def test_without_a_preset_it_chooses_as_reproduce_does_and_says_so(run, monkeypatch, tmp_path, gpus, preset):
    monkeypatch.setattr(devices, "visible_gpus", lambda: gpus)
    few = ["data.generated={train: 9, validation: 9, test: 9}"]
    code, out, _ = run("--tasks", "listops", "--source", "generated", *few)
    assert code == 0
    assert out.startswith(f"preset={preset}: {preset_for('', gpus)[1]}\n")
    manifest = read_manifest(next(path for path in (tmp_path / "listops").iterdir() if path.is_dir()))
    assert manifest["settings"]["max_length"] == {"quick": 256, "paper": 2000}[preset]


def test_damage_is_told_and_mended(run, tmp_path):
    run("--tasks", "image", *FEW)
    path = next(tmp_path.glob("image/*/test.tokens.npy"))
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    code, out, _ = run("--tasks", "image", *FEW)
    assert code == 0
    assert "test.tokens.npy: sha256" in out
    verify(path.parent)


def test_rejected_lines_are_counted_by_reason(run, tmp_path):
    good = b"1.0\ta\tb\tone\ttwo\n"
    files = {f"new_aan_pairs.{split}.tsv": good for split in ("train", "eval", "test")}
    unpack(tmp_path, files | {"new_aan_pairs.train.tsv": good + b"2.0\ta\tb\tone\ttwo\n"})
    code, out, _ = run("--tasks", "retrieval")
    assert code == 0
    assert "1 label is not 0.0" in " ".join(out.split())


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--tasks", "txt"], 2, "task txt: unknown, expected some of listops, text"),
        (["--tasks", "text", "--preset", "quik"], 2, "quik"),
        (["--tasks", "text", "data.sed=1"], 2, "data.sed"),
        (
            ["--source", "generated"],
            2,
            "text, retrieval, image cannot be generated; leave them out (TASKS=list",
        ),
        (["--tasks", "text", "--source", "generated"], 2, "cannot be generated; take another of auto, rel"),
        (["--tasks", "image", "--source", "release"], 1, "cannot be reached (no network); fetch https://"),
    ],
)
def test_a_wrong_wish_is_one_line(run, words, code, message):
    found, _, err = run(*words)
    assert found == code
    assert message in err
    assert "Traceback" not in err


def test_show_prints_texts_and_saves_pictures(run, tmp_path):
    code, out, _ = run("show", "task=text", "--count", "2", "--split", "test", *FEW)
    assert code == 0
    folder = next(path for path in (tmp_path / "text").iterdir() if path.is_dir())
    split = PackedSplit(folder, "test", Task("text", 257, 512, 2))
    for index in range(2):
        assert (split.documents(index)[0] - 1).astype(np.uint8).tobytes().decode() in out
    assert out.count("text, test: ") == 2
    code, out, _ = run("show", "task=image", "--count", "11", *FEW)
    assert code == 0
    path = next(tmp_path.glob("image/*.png"))
    assert str(path) in out
    folder = next(path for path in (tmp_path / "image").iterdir() if path.is_dir())
    images = PackedSplit(folder, "train", Task("image", 256, 1024, 10, padded=False))
    with Image.open(path) as sheet:
        pixels = np.asarray(sheet)
    assert (pixels[:96:3, :96:3].ravel() == images.documents(0)[0]).all()
    assert (pixels[114 : 114 + 96 : 3, :96:3].ravel() == images.documents(10)[0]).all()


def test_a_text_does_not_reach_the_terminal_as_commands(run, tmp_path):
    files = {
        f"aclImdb/{split}/{label}/{number}_1.txt": "red \x1b[31m \x07 \x9b1m café\u00a0\t\n".encode()
        + b"\xff"
        for split in ("train", "test")
        for label in ("neg", "pos")
        for number in range(10)
    }
    unpack(tmp_path, files)
    code, out, _ = run("show", "task=text", "--count", "1")
    assert code == 0
    assert "red \\x1b[31m \\x07 \\x9b1m café" in out
    assert not {"\x1b", "\x07", "\x9b"} & set(out)


@pytest.mark.parametrize("preset", ["quick", "lra"])
def test_images_are_shown_as_pictures_whatever_is_padding(run, tmp_path, preset):
    code, out, _ = run("show", "task=image", "--preset", preset, "--source", "standin", *FEW)
    assert code == 0
    assert str(next(tmp_path.glob("image/*.png"))) in out


def test_classes_have_names(tmp_path):
    task = Task("image", 256, 1024, 10, padded=False)
    made = prepare.prepare(
        task, root=tmp_path, source="standin", standin={"train": 9, "validation": 9, "test": 9}
    )
    assert look.names(task, made.folder)[0] == "disc"
    assert look.class_names(task, "")[0] == look.class_names(task, "sample")[0] == "airplane"
    assert look.class_names(Task("pathfinder", 256, 1024, 2, padded=False), "") == (
        "two contours",
        "one contour",
    )
    assert look.class_names(Task("listops", 16, 200, 10), "") == tuple("0123456789")
