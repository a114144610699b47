"""Upload the W&B runs that wait on this machine: those made offline, and those whose server stopped answering.

make wandb-sync
python scripts/wandb_sync.py --list
"""

from wise_lra.stopping import end_quietly

if __name__ == "__main__":
    end_quietly()

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from wise_lra.config import ConfigurationError, wandb_mode
from wise_lra.loggers import UNSENT, offline_reason
from wise_lra.results.reading import one_line
from wise_lra.runs.lock import holder

KEPT = "*/*/*/*/*/wandb/*run-*/run-*.wandb"  # below the folder of runs


def main() -> int:
    """Return 0 when nothing waits any more, 1 where there is no key or network, or an upload failed."""
    options = parse_options()
    runs = sorted(file.parent for file in options.runs.glob(KEPT) if waits(file))
    for run in runs:
        print(run)
    print(f"{len(runs) or 'nothing'} waiting under {options.runs}")
    if options.list or not runs:
        return 0
    try:
        mode = wandb_mode()
    except ConfigurationError as error:
        return failed(str(error))
    if mode in ("offline", "disabled"):
        return failed(f"WANDB_MODE={mode}: nothing is uploaded; expected online, or no WANDB_MODE")
    if reason := offline_reason(mode):
        return failed(f"{reason}; expected WANDB_API_KEY or `wandb login`, and a network")
    wandb = str(Path(sys.executable).with_name("wandb"))
    with tempfile.TemporaryDirectory() as logs:  # else it leaves them in ./wandb
        done = subprocess.run(
            [
                wandb,
                "sync",
                "--yes",
                "--include-online",
                *map(str, runs),
            ],  # parts of one run go in their order
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | {"WANDB_DIR": logs},
        )
    left = [run for run in runs if not any(run.glob("*.wandb.synced"))]
    for run in set(runs) - set(left):
        (run / UNSENT).unlink(missing_ok=True)
    print(f"{len(runs) - len(left)} of {len(runs)} uploaded")
    if not left and not done.returncode:
        return 0
    said = [
        line for line in (done.stdout + done.stderr).splitlines() if line.strip() and "Syncing" not in line
    ]
    reasons = [line for line in said if not any(str(run) in line for run in runs)]
    silent = (
        f"it ended with status {done.returncode} and gave no reason; `wandb login --verify` tries the key"
    )
    return failed(f"wandb sync: {reasons[-1] if reasons else silent}")


def parse_options() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    option = parser.add_argument
    option("--runs", type=Path, default=Path("results/runs"), help="folder of run folders")
    option("--list", action="store_true", help="only say what is waiting")
    return parser.parse_args()


def waits(file: Path) -> bool:
    """Tell whether a log of W&B has not been sent as a whole, and no process is still writing it."""
    unsent = file.parent.name.startswith("offline-") or (file.parent / UNSENT).exists()
    return unsent and not file.with_suffix(".wandb.synced").exists() and holder(file.parents[2]) is None


def failed(reason: str) -> int:
    """Print an error for the user; return 1."""
    print(f"error: {one_line(reason)}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
