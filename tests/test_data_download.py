"""Oracle: the bytes that a server in this process serves, in whatever broken way the test asks for."""

import hashlib
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from wise_lra.data import download
from wise_lra.data.download import Upstream, asked, fetch, require_space
from wise_lra.data.prepare import prepare
from wise_lra.data.task import Task

CONTENT = np.random.default_rng(0).bytes(3_000_000)
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@dataclass
class Server:
    """Serves CONTENT; breaks off after each of `breaks` bytes in turn; ignores ranges if `resumes` is False."""

    address: str = ""
    breaks: list[int] = field(default_factory=list)
    resumes: bool = True
    status: int = 200
    ranges: list[str | None] = field(default_factory=list)


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(state.status)
            self.end_headers()

        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            state.ranges.append(wanted)
            start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and state.resumes else 0
            if state.status != 200 or start >= len(CONTENT):
                self.send_error(416 if start >= len(CONTENT) else state.status)
                return
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(CONTENT) - start))
            self.end_headers()
            end = start + state.breaks.pop(0) if state.breaks else len(CONTENT)
            self.wfile.write(CONTENT[start:end])

        def log_message(self, *_: object) -> None:
            pass

    class Quiet(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            """Say nothing of clients that hang up."""

    with Quiet(("127.0.0.1", 0), Handler) as http:
        state.address = f"http://127.0.0.1:{http.server_port}/all.tar.gz"
        thread = threading.Thread(target=http.serve_forever, args=(0.02,))
        thread.start()
        yield state
        http.shutdown()
        thread.join()


def upstream(server: Server, sha256: str | None = DIGEST) -> Upstream:
    return Upstream("all.tar.gz", server.address, len(CONTENT), sha256)


def test_fetches_checks_and_tells(tmp_path, server):
    seen = []
    path = fetch(upstream(server), tmp_path / "new", lambda *report: seen.append(report))
    assert path.read_bytes() == CONTENT
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["all.tar.gz"]
    assert seen[-1] == ("downloading all.tar.gz", len(CONTENT), len(CONTENT))
    assert fetch(upstream(server), tmp_path / "new") == path
    assert server.ranges == [None]


def test_goes_on_where_it_broke(tmp_path, server):
    server.breaks = [1_000_000, 500_000]
    assert fetch(upstream(server), tmp_path).read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=1000000-", "bytes=1500000-"]


def test_goes_on_in_the_next_call(tmp_path, server):
    server.breaks = [1_000_000, 0, 0, 0, 0, 0]
    with pytest.raises(OSError, match=rf"{server.address}.*all\.tar\.gz\.part"):
        fetch(upstream(server), tmp_path)
    assert not (tmp_path / "all.tar.gz").exists()
    server.breaks = []
    assert fetch(upstream(server), tmp_path).read_bytes() == CONTENT
    assert server.ranges[-1] == "bytes=1000000-"


def test_begins_anew_where_the_server_does_not_resume(tmp_path, server):
    server.breaks, server.resumes = [1_000_000], False
    assert fetch(upstream(server), tmp_path).read_bytes() == CONTENT


def test_a_whole_part_is_taken(tmp_path, server):
    (tmp_path / "all.tar.gz.part").write_bytes(CONTENT)
    assert fetch(upstream(server), tmp_path).read_bytes() == CONTENT


def test_a_wrong_checksum_removes_the_file(tmp_path, server):
    with pytest.raises(ValueError, match=rf"{DIGEST}.* 123\b"):
        fetch(upstream(server, "123"), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_unpublished_checksum_is_recorded_and_compared_ever_after(tmp_path, server):
    path = fetch(upstream(server, None), tmp_path)
    assert (tmp_path / "all.tar.gz.sha256").read_text() == f"{DIGEST}  all.tar.gz\n"
    path.unlink()
    (tmp_path / "all.tar.gz.sha256").write_text("456  all.tar.gz\n")
    with pytest.raises(ValueError, match=r"\b456\b"):
        fetch(upstream(server, None), tmp_path)
    assert not path.exists()


def test_a_refusal_says_what_to_do(tmp_path, server):
    server.status = 403
    with pytest.raises(OSError, match=r"403.* http://127.* .*all\.tar\.gz"):
        fetch(upstream(server), tmp_path)
    assert len(server.ranges) == 1


def test_a_full_disk_is_found_before_the_download(tmp_path, server, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(9, 9, 1_000_000))
    with pytest.raises(OSError, match=r"all\.tar\.gz .*0\.00 GB"):
        fetch(upstream(server), tmp_path)
    assert not (tmp_path / "all.tar.gz.part").exists()
    monkeypatch.undo()
    require_space(tmp_path / "not" / "there", 1, "this")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
def test_a_disk_that_fills_up_meanwhile_is_named_and_not_tried_again(tmp_path, server):
    part = tmp_path / "all.tar.gz.part"
    part.symlink_to("/dev/full")
    with pytest.raises(OSError, match=r"No space left on device: .*all\.tar\.gz\.part"):
        fetch(upstream(server), tmp_path)
    assert len(server.ranges) == 1
    assert not (tmp_path / "all.tar.gz").exists()


def test_what_is_downloaded_is_told_before_it_is_asked_for(tmp_path, server, caplog):
    caplog.set_level("INFO")
    server.breaks = [1_000_000, 0, 0, 0, 0, 0]
    with pytest.raises(OSError, match=server.address):
        fetch(upstream(server), tmp_path)
    told = f"downloading all.tar.gz from {server.address} to {tmp_path}: 0.00 GB"
    assert caplog.messages[0] == told
    caplog.clear()
    fetch(Upstream("all.tar.gz", server.address, 3_000_000_000, DIGEST), tmp_path)
    assert caplog.messages[0] == told.replace("0.00 GB", "3.00 GB, 0.00 GB of which are there")


def test_whoever_does_not_answer_says_why_and_soon(server, monkeypatch):
    assert asked(server.address) == ""
    server.status = 403
    assert "403" in asked(server.address)
    assert "refused" in asked("http://127.0.0.1:9/")
    over = threading.Event()

    def silent(*_: object, **__: object) -> None:
        over.wait(10)
        raise OSError

    monkeypatch.setattr(download.urllib.request, "urlopen", silent)
    begin = time.monotonic()
    assert asked(server.address, 0.1) == "no answer within 0.1 s"
    assert time.monotonic() - begin < 5
    over.set()


@pytest.fixture
def firewall() -> Iterator[str]:
    """An address whose packets are dropped: its queue of connections is full, and nobody accepts any."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(silent.getsockname())
        yield f"http://127.0.0.1:{silent.getsockname()[1]}/all.tar.gz"
        for one in waiting:
            one.close()


def test_behind_a_silent_firewall_all_tasks_together_take_less_than_five_seconds(
    tmp_path, firewall, monkeypatch
):
    tasks = [
        Task("text", 257, 512, 2),
        Task("image", 256, 1024, 10, padded=False),
        Task("retrieval", 257, 512, 2, documents=2),
        Task("listops", 16, 2000, 10),
        Task("pathfinder", 256, 1024, 2, padded=False),
    ]
    for upstream in download.PUBLISHED:
        monkeypatch.setitem(vars(upstream), "address", firewall)
    download._answers.cache_clear()
    begin = time.monotonic()
    for task in tasks:
        with pytest.raises(FileNotFoundError, match=r"no answer within 2 s.* http://"):
            prepare(task, root=tmp_path, source="release")
    assert 1.5 < time.monotonic() - begin < 5
    few = {"train": 9, "validation": 9, "test": 9}
    for task in tasks[:2]:
        assert prepare(task, root=tmp_path, standin=few).manifest["variant"] == "stand-in"
    download._answers.cache_clear()
