"""Take a picture of a run in W&B's own viewer for the terminal: an SVG, without account or network.

  make wandb-picture RUN=results/runs/quick/image/wise_adaptive/softmax/seed0

Needs tmux, in whose terminal the viewer is started, looked at and ended.
"""

from wise_lra.stopping import end_quietly

if __name__ == "__main__":
    end_quietly()

import argparse
import io
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from wise_lra.results.atomic import write_text

SETTLED = 3  # equal looks in a row, after which the viewer has drawn all


def main() -> int:
    """Return 0; 1 without tmux or where the viewer shows nothing, 2 where there is no such run."""
    options = parse_options()
    found = sorted(options.run.glob("wandb/*run-*/run-*.wandb"), key=lambda file: file.stat().st_mtime)
    if not found:
        return failed(f"{options.run}: no run of W&B in its wandb/; expected results/runs/.../seed<k>", 2)
    if not shutil.which("tmux"):
        return failed("no tmux here; on Debian: apt-get install tmux", 1)
    with tempfile.TemporaryDirectory() as copy:  # for the viewer keeps beside a run what it showed last
        shutil.copy(found[-1], copy)
        viewer = [str(Path(sys.executable).with_name("wandb")), "leet", copy]
        screen = seen(viewer, options.columns, options.rows, options.seconds, options.show)
    if not Text.from_ansi(screen).plain.strip():
        return failed(f"the viewer showed nothing within {options.seconds:g} s", 1)
    write_text(options.out, svg(screen, options.columns, str(options.run)), overwrite=True)
    print(options.out)
    return 0


def parse_options() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    option = parser.add_argument
    option("run", type=Path, help="folder of a run that was logged to W&B, online or offline")
    option("--out", type=Path, default=Path("docs/wandb.svg"), help="the picture")
    option("--show", default="accuracy|loss|total", help="the curves, a regular expression over their names")
    option("--columns", type=int, default=132, help="width of the terminal")
    option("--rows", type=int, default=36, help="height of the terminal")
    option("--seconds", type=float, default=60.0, help="to wait for the viewer to have drawn")
    return parser.parse_args()


def seen(command: Sequence[str], columns: int, rows: int, seconds: float, curves: str) -> str:
    """Return what the viewer shows once it stands still, with the terminal's colours."""
    tmux = ["tmux", "-L", f"picture-{time.time_ns()}"]  # a server of its own
    size = ["-x", str(columns), "-y", str(rows)]
    program = f"COLORTERM=truecolor {shlex.join(command)}"
    subprocess.run([*tmux, "-f", "/dev/null", "new-session", "-d", *size, program], check=True)
    looks, deadline = [""], time.monotonic() + seconds
    try:
        while time.monotonic() < deadline:
            time.sleep(1)
            look = subprocess.run(
                [*tmux, "capture-pane", "-e", "-p"], capture_output=True, text=True, check=False
            )
            if look.returncode:  # the program ended
                break
            looks.append(look.stdout)
            if look.stdout.strip() and len(looks) > SETTLED and len(set(looks[-SETTLED:])) == 1:
                if not curves:
                    break
                for keys in ("/", curves, "Enter"):
                    subprocess.run([*tmux, "send-keys", keys], check=True)
                looks, curves = [""], ""
    finally:
        subprocess.run([*tmux, "kill-server"], capture_output=True, check=False)
    return looks[-1]


def svg(screen: str, columns: int, title: str) -> str:
    """Return a terminal's screen as a picture."""
    console = Console(
        width=columns, record=True, file=io.StringIO(), force_terminal=True, color_system="truecolor"
    )
    console.print(Text.from_ansi(screen), no_wrap=True, crop=True)
    return console.export_svg(title=title, unique_id="wandb")


def failed(reason: str, status: int) -> int:
    """Print an error for the user; return the status."""
    print(f"error: {reason}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
