"""Oracle: the text's own bytes, pixels drawn here, a true value worked by hand; answers follow from them alone.

Runs are untrained models with the records of their tasks: what is asked and refused does not depend on learning.
"""

import runpy
import shutil
import struct
import sys
import zlib
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from test_results_record import changed, make

from wise_lra.build import build_model
from wise_lra.config import compose
from wise_lra.data.packed import pack
from wise_lra.data.task import Example, Task
from wise_lra.identity import recorded_config
from wise_lra.model import parameter_count

ROOT = Path(__file__).parents[1]
SMALL = ["model.d_model=8", "model.depth=1", "model.mlp_dim=8", "heads.qkv_dim=8"]
Asked = Callable[..., tuple[int, list[str], str]]


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Asked:
    """Return a call of the script in this process: status, lines, and what it says of errors."""
    main = runpy.run_path(str(ROOT / "scripts/evaluate.py"))["main"]

    def asked(*arguments: Any) -> tuple[int, list[str], str]:
        monkeypatch.setattr(sys, "argv", ["evaluate.py", *map(str, arguments)])
        status = main()
        said = capsys.readouterr()
        return status, said.out.splitlines(), said.err

    return asked


def run_of(
    task: str,
    place: Path,
    variant: str = "",
    backbone: str = "vanilla",
    sizes: Sequence[str] = (),
    data: str = "a" * 64,
) -> Path:
    """Write the record and the folder of an untrained run; return the folder."""
    cfg = compose([f"task={task}", f"backbone={backbone}", *SMALL, *sizes])
    config = recorded_config(cfg)
    model = build_model(cfg)
    cell = {"task": task, "variant": variant, "backbone": backbone, "attention": "softmax"}
    found = {"config": config, "parameters": parameter_count(model), **changed("data", sha256=data)}
    record = make(**cell, **found)
    record.write(place / "records")
    folder = record.path(place / "runs").with_suffix("")
    (folder / "checkpoints").mkdir(parents=True)
    state = {f"model.{name}": value for name, value in model.state_dict().items()}
    torch.save({"state_dict": state}, folder / "checkpoints" / "best.ckpt")
    return folder


def chances(lines: list[str]) -> dict[str, float]:
    """Return class -> per cent; expects the likeliest first and a sum of 100."""
    found = {line.split("%")[1].strip(): float(line.split("%")[0]) for line in lines}
    assert sorted(found.values(), reverse=True) == list(found.values())
    assert sum(found.values()) == pytest.approx(100, abs=0.1)
    return found


def test_a_review_is_answered_from_a_file_and_from_standard_input(
    tmp_path: Path, ask: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, review = run_of("text", tmp_path), tmp_path / "review.txt"
    review.write_bytes(b"A fine film, from its first frame to its last. \xff\n")
    status, lines, error = ask(run, "--text", review)
    assert (status, error) == (0, "")
    assert set(chances(lines)) == {"negative", "positive"}

    class Piped:
        buffer = BytesIO(review.read_bytes())

    monkeypatch.setattr(sys, "stdin", Piped)
    assert ask(run, "--text", "-")[1] == lines
    review.write_bytes(b"A dull film.")
    assert ask(run, "--text", review)[1] != lines


def test_two_articles_are_answered(tmp_path: Path, ask: Asked) -> None:
    run, names = run_of("retrieval", tmp_path), [tmp_path / "a", tmp_path / "b"]
    for name in names:
        name.write_text(f"On {name.name}.")
    status, lines, _ = ask(run, "--pair", *names)
    assert status == 0
    assert set(chances(lines)) == {"unrelated", "related"}


@pytest.mark.parametrize(("task", "classes"), [("image", 10), ("pathfinder", 2)])
def test_a_picture_is_answered_and_resized_where_it_must_be(
    tmp_path: Path, ask: Asked, task: str, classes: int
) -> None:
    run, small, large = run_of(task, tmp_path), tmp_path / "a.png", tmp_path / "b.png"
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32), np.uint8)
    Image.fromarray(pixels).save(small)
    Image.fromarray(pixels).resize((96, 64)).save(large)
    status, lines, error = ask(run, "--image", small)
    assert (status, error) == (0, "")
    assert len(chances(lines)) == classes
    status, lines, error = ask(run, "--image", large)
    assert (status, error) == (0, f"{large}: resized from 96 x 64 to 32 x 32\n")
    assert len(chances(lines)) == classes


def test_classes_have_the_names_of_the_data(tmp_path: Path, ask: Asked) -> None:
    picture = tmp_path / "a.png"
    Image.new("RGB", (32, 32), "red").save(picture)
    assert "airplane" in chances(ask(run_of("image", tmp_path / "own"), "--image", picture)[1])
    assert "frame" in chances(ask(run_of("image", tmp_path / "else", "stand-in"), "--image", picture)[1])


def test_an_expression_has_its_true_value(tmp_path: Path, ask: Asked) -> None:
    status, lines, _ = ask(run_of("listops", tmp_path), "--listops", "( ( ( [MIN 3 ) 4 ) ] )")
    assert (status, lines[0]) == (0, "true value 3")
    assert set(chances(lines[1:])) == set("0123456789")


def test_what_a_task_cannot_take_is_said_in_a_line(tmp_path: Path, ask: Asked) -> None:
    text, listops = run_of("text", tmp_path), run_of("listops", tmp_path)
    image, empty, missing = run_of("image", tmp_path), tmp_path / "empty", tmp_path / "missing"
    empty.write_bytes(b" \n")
    for run, options, message in (
        (text, ("--image", empty), "--image: this run's task is text; expected one of image, pathfinder"),
        (text, ("--pair", empty, empty), "--pair: this run's task is text; expected one of retrieval"),
        (text, ("--listops", "[MAX 3 ]"), "--listops: this run's task is text; expected one of listops"),
        (image, ("--text", empty), "--text: this run's task is image; expected one of text"),
        (text, ("--text", empty), f"{empty}: empty; expected some text"),
        (text, ("--text", missing), str(missing)),
        (image, ("--image", empty), f"{empty}: not a picture"),
        (image, ("--image", missing), str(missing)),
        (listops, ("--listops", "( [MAX x )"), "unknown token"),
        (listops, ("--listops", ""), "--listops: "),
    ):
        status, lines, error = ask(run, *options)
        assert (status, lines, error.count("\n")) == (2, [], 1), options
        assert error.startswith("error: ")
        assert message in error


def test_a_picture_of_too_many_pixels_is_refused(tmp_path: Path, ask: Asked) -> None:
    run, picture = run_of("image", tmp_path), tmp_path / "a.png"
    for side in (10_000, 30_000):  # Pillow warns of the first, and refuses the second
        head = b"IHDR" + struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
        picture.write_bytes(
            b"\x89PNG\r\n\x1a\n\0\0\0\x0d" + head + struct.pack(">I", zlib.crc32(head)) + b"\0\0\0\x09IDAT"
        )
        status, lines, error = ask(run, "--image", picture)
        assert (status, lines, error.count("\n")) == (2, [], 1)
        assert error.startswith(f"error: {picture}: not a picture")
        assert str(side * side) in error
    picture.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    assert ask(run, "--image", picture)[0] == 2, "PostScript is a program"


def test_an_expression_longer_than_the_models_length_is_refused(tmp_path: Path, ask: Asked) -> None:
    run = run_of("listops", tmp_path, sizes=["task.length=5", "data.buckets=1"])
    assert ask(run, "--listops", "( ( ( [MAX 3 ) 4 ) ] )")[0] == 0
    status, lines, error = ask(run, "--listops", "( ( ( ( ( [MAX 3 ) 4 ) 5 ) 6 ) ] )")
    assert (status, lines, error.count("\n")) == (2, [], 1)
    assert "6 tokens" in error
    assert "task.length=5" in error


def test_a_token_that_the_model_does_not_have_is_named(tmp_path: Path, ask: Asked) -> None:
    run, review = run_of("text", tmp_path, sizes=["task.vocabulary=100"]), tmp_path / "review.txt"
    review.write_text("zebra")
    status, lines, error = ask(run, "--text", review)
    assert (status, lines, error.count("\n")) == (2, [], 1)
    assert "token 123" in error, "z is byte 122"
    assert "task.vocabulary=100" in error


@pytest.mark.parametrize(("key", "named"), [("classes", "label 2"), ("vocabulary", "token 257")])
def test_data_beyond_the_task_are_named(tmp_path: Path, ask: Asked, key: str, named: str) -> None:
    """The packed data are of a task with one class or token more."""
    facts = {"vocabulary": 257, "length": 1000, "classes": 2}
    task = Task("text", **facts | {key: facts[key] + 1})
    high = {"classes": 1, "vocabulary": 1} | {key: facts[key]}
    examples = [
        Example(split, (np.array([1, high["vocabulary"]], np.uint16),), high["classes"])
        for split in ("train", "validation", "test")
    ]
    manifest = pack(examples, tmp_path / "data", task, {"source": "x", "variant": "", "protocol": "held-out"})
    run = run_of("text", tmp_path, sizes=["task.length=1000"], data=manifest["sha256"])
    status, lines, error = ask(run, "--data", tmp_path / "data")
    assert (status, lines, error.count("\n")) == (2, [], 1), error
    assert f"{named}: " in error or key in error


def test_a_folder_that_was_moved_takes_its_record_by_name(tmp_path: Path, ask: Asked) -> None:
    run, alone, review = run_of("text", tmp_path / "a"), tmp_path / "alone", tmp_path / "review"
    (record,) = (tmp_path / "a" / "records").rglob("seed0.json")
    review.write_text("A fine film.")
    answer = ask(run, "--text", review)
    for place in (alone, tmp_path / "p/q/r/s/t/alone"):
        shutil.copytree(run, place)
        status, lines, error = ask(place, "--text", review)
        assert (status, lines, error.count("\n")) == (2, [], 1)
        assert {"--record", "record"} <= set(error.split())
        assert ask(place, "--record", record, "--text", review) == answer
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert ask(tmp_path / "loop", "--text", review)[0] == 2


def test_a_checkpoint_that_is_missing_or_broken_is_named(tmp_path: Path, ask: Asked) -> None:
    run = run_of("text", tmp_path)
    best = run / "checkpoints" / "best.ckpt"
    best.write_bytes(best.read_bytes()[:200])
    status, _, error = ask(run, "--text", "-")
    assert (status, error.count("\n")) == (2, 1)
    assert error.startswith(f"error: {best}: ")
    best.unlink()
    status, _, error = ask(run, "--text", "-")
    assert (status, error) == (2, f"error: {best}: missing\n")


def test_help_is_like_the_other_scripts(ask: Asked, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        ask("--help")
    said = capsys.readouterr().out
    assert "python scripts/evaluate.py results/runs" in said
    assert {"--text", "--pair", "--image", "--listops", "--split", "--data"} <= set(said.split())
