"""Every test process computes on one core: the tests run two at a time, and their tensors are small."""

import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

os.environ["OMP_NUM_THREADS"] = "1"
# A shell's `&` starts pytest with SIGINT ignored, and the processes that the tests interrupt would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

Script = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Script:
    """Return what runs scripts/<name>.py in this process with words, as subprocess.run does in another."""

    def run(name: str, *words: object) -> subprocess.CompletedProcess[str]:
        main = runpy.run_path(str(Path(__file__).parents[1] / "scripts" / f"{name}.py"))["main"]
        monkeypatch.setattr(sys, "argv", [f"{name}.py", *map(str, words)])
        capsys.readouterr()
        try:
            status = main()
        except SystemExit as end:
            status = int(str(end.code))
        return subprocess.CompletedProcess(name, status, *capsys.readouterr())

    return run
