"""Upload the W&B runs that wait on this machine: offline ones, and those whose server stopped answering.

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

from wise_lra.config import wandb_mode
from wise_lra.loggers import UNSENT, offline_reason
from wise_lra.results.reading import one_line
from wise_lra.runs.lock import holder

LOGS = "*/*/*/*/*/wandb/*run-*/run-*.wandb"  # below the folder of runs


def main() -> int:
    """Return 0 when nothing waits any more, 1 where there is no key or network, or an upload failed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--runs", type=Path, default=Path("results/runs"), help="folder of run folders")
    parser.add_argument("--list", action="store_true", help="only print what is waiting")
    options = parser.parse_args()
    runs = sorted(file.parent for file in options.runs.glob(LOGS) if waits(file))
    for run in runs:
        print(run)
    print(f"{len(runs) or 'nothing'} waiting under {options.runs}")
    if options.list or not runs:
        return 0
    try:
        upload(runs)
    except ValueError as error:
        print(f"error: {one_line(error)}", file=sys.stderr)
        return 1
    return 0


def waits(file: Path) -> bool:
    """Tell whether a log of W&B has not been sent as a whole, and no process is still writing it."""
    unsent = file.parent.name.startswith("offline-") or (file.parent / UNSENT).exists()
    return unsent and not file.with_suffix(".wandb.synced").exists() and holder(file.parents[2]) is None


def upload(runs: list[Path]) -> None:
    """Upload runs with W&B's own command. Raises ValueError with the reason where some are left."""
    mode = wandb_mode()
    if mode in ("offline", "disabled"):
        raise ValueError(f"WANDB_MODE={mode}: nothing is uploaded; expected online, or no WANDB_MODE")
    if reason := offline_reason(mode):
        raise ValueError(f"{reason}; expected WANDB_API_KEY or `wandb login`, and a network")
    command = [str(Path(sys.executable).with_name("wandb")), "sync", "--yes", "--include-online"]
    with tempfile.TemporaryDirectory() as logs:  # else it leaves them in ./wandb
        done = subprocess.run(
            [*command, *map(str, runs)],  # in this order: parts of one run follow each other
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | {"WANDB_DIR": logs},
        )
    left = [run for run in runs if not any(run.glob("*.wandb.synced"))]
    for run in set(runs) - set(left):
        (run / UNSENT).unlink(missing_ok=True)
    print(f"{len(runs) - len(left)} of {len(runs)} uploaded")
    if left or done.returncode:
        names = ("Syncing", *map(str, runs))
        lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        reasons = [line for line in lines if not any(name in line for name in names)]
        silent = f"ended with status {done.returncode} and no reason; `wandb login --verify` tries the key"
        raise ValueError(f"wandb sync: {reasons[-1] if reasons else silent}")


if __name__ == "__main__":
    sys.exit(main())
