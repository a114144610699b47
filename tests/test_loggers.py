"""Oracle: what W&B's own viewer reads back from disk, what a local server was sent, a record made without W&B.

The client is the real one; only the server is made here, and it dies or refuses where a test wants that.
"""

import gc
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from test_training import ROOT, command, folder, lasting, train

from wise_lra import loggers
from wise_lra.config import compose
from wise_lra.identity import recorded_config
from wise_lra.results.record import read_all

__all__ = ["folder"]

KEY = "a" * 40
RUN = {"id": "listops-1", "name": "a run", "group": "quick", "job_type": "listops", "tags": ["vanilla"]}
SETTINGS = {"name": "wandb", "project": "wise-lra", "entity": None, "mode": "auto", "patience": 2}
pytestmark = pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")
SPACE = ["unshare", "-rm", "sh", "-c"]  # a mount that nobody else sees, and that ends with the process


class Server(ThreadingHTTPServer):
    """As much of W&B's server as a run needs to begin and to send its steps; remembers what it is sent."""

    daemon_threads = True

    def __init__(self, status: int = 200) -> None:
        self.status, self.bodies = status, b""
        super().__init__(("127.0.0.1", 0), Answer)
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def die(self) -> None:
        self.shutdown()
        self.server_close()


class Answer(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.bodies += body
        project = {"id": "p", "name": "wise-lra", "entity": {"id": "e", "name": "lab"}}
        bucket = {"id": "b", "name": RUN["id"], "displayName": "a run", "config": "{}", "project": project}
        upsert = {"upsertBucket": {"bucket": bucket | {"historyLineCount": 0}, "inserted": True}}
        files = {"createRunFiles": {"runID": "b", "uploadHeaders": [], "files": []}}
        known = {b"upsertBucket": upsert, b"createRunFiles": files}
        data = next((known[name] for name in known if name in body), {"serverInfo": {"features": []}})
        text = json.dumps({"data": data}).encode()
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_PUT = do_POST

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A client without key, settings or service of an earlier test."""
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    for name in ("WANDB_SILENT", "WANDB_ERROR_REPORTING", "WANDB_DATA_DIR"):  # so that they are unset again
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setattr("netrc.netrc", lambda: (_ for _ in ()).throw(FileNotFoundError))
    yield
    loggers.forget_wandb()
    gc.collect()  # W&B does not wait for its service: here it is forgotten where no one is warned of that


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    with Server() as server:
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        yield server
        server.shutdown()


def begun(place: Path, **settings: Any) -> Any:
    return loggers.wandb_logger(place, RUN, {"recipe": {"steps": 3}}, **(SETTINGS | settings))


def kept(place: Path) -> dict[str, Any]:
    """Return what W&B's viewer reads of the only run below a folder."""
    (file,) = place.rglob("run-*.wandb")
    viewer = Path(sys.executable).with_name("wandb")
    seen = subprocess.run(
        [viewer, "leet", "inspect", "--summary", "--json", file.parent], capture_output=True, check=True
    )
    return json.loads(seen.stdout)


def test_a_run_is_online_where_key_and_server_are(tmp_path: Path, server: Server) -> None:
    logger = begun(tmp_path)
    logger.log_metrics({"train/loss": 1.5}, step=3)
    assert loggers.finish(logger, {"test_accuracy": 0.5}).startswith(
        f"W&B: http://127.0.0.1:{server.server_port}/lab"
    )
    for sent in (b"wise-lra", b"train/loss", b"test_accuracy"):
        assert sent in server.bodies


@pytest.mark.parametrize(("key", "reason"), [(KEY, "returned error 401"), ("short", "API key must have 40")])
def test_a_key_that_is_none_leaves_the_run_offline_and_is_said_once(
    tmp_path: Path,
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    key: str,
    reason: str,
) -> None:
    server.status = 401
    monkeypatch.setenv("WANDB_API_KEY", key)
    logger = begun(tmp_path)
    logger.log_metrics({"train/loss": 1.5}, step=3)
    assert loggers.finish(logger, {}).startswith("W&B: offline; look at it with")
    (line,) = said(caplog)
    assert reason in line
    assert key not in line
    assert kept(tmp_path)["summary"]["train/loss"] == 1.5


@pytest.mark.parametrize(("said", "environment"), [("auto", "disabled"), ("disabled", "online")])
def test_a_run_that_is_disabled_leaves_nothing_to_upload(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch, said: str, environment: str
) -> None:
    monkeypatch.setenv("WANDB_MODE", environment)
    assert begun(tmp_path, mode=said) is None
    assert list(tmp_path.iterdir()) == []
    assert server.bodies == b""


@pytest.mark.parametrize(
    ("said", "expected"),
    [({"project": None}, ("lab-project", "lab")), ({"project": "own", "entity": "me"}, ("own", "me"))],
    ids=["from the environment", "from the configuration"],
)
def test_the_environment_names_project_and_entity_where_nothing_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: dict[str, Any], expected: tuple[str, str]
) -> None:
    for name, value in {"MODE": "disabled", "PROJECT": "lab-project", "ENTITY": "lab"}.items():
        monkeypatch.setenv(f"WANDB_{name}", value)
    logger = begun(tmp_path, mode="offline", **said)
    assert (logger.experiment.project, logger.experiment.entity) == expected
    loggers.finish(logger, {})


def test_a_server_that_is_not_there_is_not_waited_for(
    tmp_path: Path, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    server.die()
    began = time.monotonic()
    logger = begun(tmp_path)
    assert time.monotonic() - began < 10
    assert "127.0.0.1 does not answer" in said(caplog)[0]
    assert loggers.finish(logger, {}).startswith("W&B: offline")


def test_a_network_lost_in_mid_run_neither_stops_nor_slows_it(tmp_path: Path, server: Server) -> None:
    logger = begun(tmp_path)
    logger.log_metrics({"train/loss": 1.5}, step=0)
    server.die()
    began = time.monotonic()
    for step in range(1, 500):
        logger.log_metrics({"train/loss": 1 / step}, step=step)
    assert time.monotonic() - began < 5
    line = loggers.finish(logger, {"test_accuracy": 0.5})
    assert time.monotonic() - began < SETTINGS["patience"] + 10
    assert line.startswith("W&B: the server stopped answering; look at it with")
    summary = kept(tmp_path)["summary"]
    assert (summary["train/loss"], summary["test_accuracy"]) == (1 / 499, 0.5)
    assert list(tmp_path.glob(f"wandb/run-*/{loggers.UNSENT}")), "for make wandb-sync"


def test_a_client_that_dies_is_said_once_and_the_run_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    logger = begun(tmp_path, mode="offline")
    logger.log_metrics({"train/loss": 1.5}, step=0)
    for service in services():
        os.kill(service, signal.SIGKILL)
    deadline = time.monotonic() + 20
    step = 0
    while not said(caplog):
        assert time.monotonic() < deadline
        step += 1
        logger.log_metrics({"train/loss": 1.0}, step=step)
        time.sleep(0.01)
    logger.log_rows("comparison", ["a"], [[1]])
    assert loggers.finish(logger, {"test_accuracy": 0.5}) == ""
    (line,) = said(caplog)
    assert line.startswith("W&B takes no more of this run, which goes on without it")


def services() -> list[int]:
    """Return the children of this process that are W&B's service."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = path.read_text().partition("(")[2].rpartition(")")
        except OSError:
            continue
        if name == "wandb-core" and int(rest.split()[1]) == os.getpid():
            found.append(int(path.parent.name))
    return found


def test_the_command_that_is_printed_can_be_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run: Any = SimpleNamespace(dir=str(tmp_path / "my; runs" / "it's" / "files"), finish=lambda **_: None)
    logger: Any = SimpleNamespace(experiment=run, lost="", offline=True, _attempt=lambda _: None)
    said = loggers.TolerantWandbLogger.close(logger, {}, 0)
    assert shlex.split(said.split("`")[1]) == ["wandb", "leet", "my; runs/it's"]


def test_an_artifact_that_finds_the_disk_full_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    logger = begun(tmp_path, mode="offline")
    monkeypatch.setattr("shutil.copyfile", full)  # what W&B stages files with
    for name in ("record", "model"):
        logger.log_file(name, "x.json", Path(__file__), {})
    (line,) = said(caplog)
    assert "No space left on device" in line
    monkeypatch.undo()
    assert loggers.finish(logger, {}) == ""


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what the project itself said."""
    return [record.getMessage() for record in caplog.records if record.name.startswith("wise_lra")]


def full(*_: Any, **__: Any) -> None:
    raise OSError(28, os.strerror(28))


def mountable() -> bool:
    try:
        done = subprocess.run([*SPACE, "mount -t tmpfs tmpfs /mnt"], capture_output=True, check=False)
    except OSError:
        return False
    return done.returncode == 0


@pytest.mark.slow
@pytest.mark.skipif(not mountable(), reason="no namespace of its own to mount a small disk in")
def test_a_full_disk_under_wandb_changes_nothing_but_a_line(folder: Path, tmp_path: Path) -> None:
    whole = train(folder, tmp_path / "whole")
    (record,) = read_all(tmp_path / "whole" / "records")
    disk = Path("runs", record.preset, "listops-short/wise_adaptive/softmax/seed0/wandb")
    (tmp_path / "full" / disk).mkdir(parents=True)
    train_it = shlex.join(command(folder, tmp_path / "full", "logger=wandb", "logger.mode=offline"))
    place = shlex.quote(str(tmp_path / "full" / disk))
    done = subprocess.run(
        [*SPACE, f"mount -t tmpfs -o size=64k tmpfs {place} && exec {train_it}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == whole.returncode == 0, done.stderr
    assert done.stderr.count("No space left on device") == 1, done.stderr
    assert "Logging error" not in done.stderr
    (other,) = read_all(tmp_path / "full" / "records")
    ours, theirs = lasting(other), lasting(record)
    ours.pop("wandb_id"), theirs.pop("wandb_id")
    assert ours == theirs


def test_nothing_sent_tells_of_machine_or_person(tmp_path: Path, server: Server) -> None:
    cfg = compose([f"data.root={tmp_path / 'data'}", f"runs={tmp_path}", f"records={tmp_path}"])
    logger = loggers.wandb_logger(tmp_path, RUN, recorded_config(cfg), **SETTINGS)
    logger.log_metrics({"train/loss": 1.5}, step=3)
    loggers.finish(logger, {"test_accuracy": 0.5})
    text = server.bodies.decode("utf-8", "replace")
    assert "validate_every" in text, "the configuration was sent"
    assert not [word for word in (KEY, str(tmp_path), str(ROOT), str(Path.home())) if word in text]
    assert '"host":null' in text
    assert not re.search(r'"/(?:[\w.-]+/)+', text), "a path of this machine"


def sync(runs: Path, *options: str) -> subprocess.CompletedProcess[str]:
    script = [sys.executable, str(ROOT / "scripts/wandb_sync.py"), "--runs", str(runs), *options]
    return subprocess.run(script, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_what_waits_is_listed_and_uploaded_once(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "quick/listops-short/vanilla/softmax/seed0"
    for mode in ("offline", "online"):
        logger = begun(place, mode=mode)
        logger.log_metrics({"train/loss": 1.5}, step=3)
        loggers.finish(logger, {})
    (run,) = place.glob("wandb/offline-run-*")
    listed = sync(tmp_path, "--list")
    assert (listed.returncode, listed.stdout) == (0, f"{run}\n1 waiting under {tmp_path}\n")
    monkeypatch.setenv("WANDB_API_KEY", "")
    with monkeypatch.context() as patch:
        patch.setenv("WANDB_MODE", "disabled")
        assert "WANDB_MODE=disabled: nothing is uploaded" in sync(tmp_path).stderr
    keyless = sync(tmp_path)
    assert keyless.returncode == 1
    assert (
        keyless.stderr
        == "error: there is no API key here; expected WANDB_API_KEY or `wandb login`, and a network\n"
    )
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    server.status = 401
    refused = sync(tmp_path)
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
    assert "`wandb login --verify` tries the key" in refused.stderr, (
        "the client is silent about a refused key"
    )
    server.status, server.bodies = 200, b""
    done = sync(tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("1 of 1 uploaded\n")
    assert b"train/loss" in server.bodies
    assert sync(tmp_path).stdout == f"nothing waiting under {tmp_path}\n"
