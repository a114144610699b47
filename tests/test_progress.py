"""Oracle: what was told, and a clock that the test moves."""

import io
import logging

import pytest
from rich.console import Console

from wise_lra import progress as module
from wise_lra.progress import amount, bars


def test_amounts_are_megabytes_of_archives_and_a_number_of_examples():
    assert amount("downloading lra_release.gz", 7_700_000_000) == "7,700.0 MB"
    assert amount("reading lra_release.gz", 1_500_000) == "1.5 MB"
    assert amount("drawing pathfinder", 200_000.4) == "200,000"


def test_what_is_logged_is_said_once_whatever_handlers_others_add(caplog):
    out = io.StringIO()
    log = logging.getLogger("wise_lra.data.prepare")
    with bars(Console(file=out)):
        log.info("inside")
    log.warning("after")
    assert out.getvalue() == "inside\n"
    assert caplog.messages == ["after"]


def test_without_a_terminal_a_line_now_and_then_tells_rate_and_time_left(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    out = io.StringIO()
    with bars(Console(file=out, width=200)) as tell:
        for done in range(0, 101, 10):
            tell("packing text", done, 100)
            now[0] += 8
        logging.getLogger("wise_lra.data.prepare").info("text: data: [red]")
    logging.getLogger("wise_lra.data.prepare").info("said when no bars are shown")
    assert out.getvalue().splitlines() == [
        "packing text: 30 of 100, 1/s, about 0:56 left",
        "packing text: 60 of 100, 1/s, about 0:32 left",
        "packing text: 90 of 100, 1/s, about 0:08 left",
        "text: data: [red]",
    ]


@pytest.mark.parametrize("total", [100, None])
def test_on_a_terminal_a_bar_tells_the_same(total):
    out = io.StringIO()
    with bars(Console(file=out, width=200, force_terminal=True, color_system=None)) as tell:
        for done in range(10, 60, 10):
            tell("downloading all.tar.gz", done * 1_000_000, total and total * 1_000_000)
    assert "downloading all.tar.gz" in out.getvalue()
    assert ("50.0 MB of 100.0 MB, " if total else "50.0 MB, ") in out.getvalue()
