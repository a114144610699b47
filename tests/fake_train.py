"""A stand-in for scripts/train.py: same arguments, files, exit statuses and lock, but it only counts steps.

The runs folder holds `template.json`, the record of whatever it trains, and `behaviour.json`: what to do in
"<task>/<backbone>/seed<k>", where all does not go well. Every start is written down there in `starts`; the steps of
a run are remembered in its folder in `step`, as a checkpoint would.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

from wise_lra.results.record import Record
from wise_lra.runs.lock import AlreadyRunning, claim

STEPS = 10


def main() -> int:
    given = dict(argument.split("=", 1) for argument in sys.argv[1:])
    axes = {"preset": given["preset"], **{axis: given[axis] for axis in ("task", "backbone", "attention")}}
    runs = Path(given["runs"])
    own = json.loads((runs / "template.json").read_text())
    record = Record.from_mapping(own | axes | {"seed": int(given["seed"]), "variant": "stand-in"})
    folder = record.path(runs).with_suffix("")
    behaviour = json.loads((runs / "behaviour.json").read_text())
    what = behaviour.get(f"{record.task}/{record.backbone}/seed{record.seed}", "")
    with (runs / "starts").open("a") as file:
        file.write(f"{record.folder}/{record.backbone}/{record.attention}/seed{record.seed}\n")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with claim(folder):
            return train(record, folder, Path(given["records"]), what)
    except AlreadyRunning as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130


def train(record: Record, folder: Path, records: Path, what: str) -> int:
    if what == "fail":
        print("a word\nerror: the loss is nan at step 3\na warning at exit")
        return 1
    if what == "crash":
        raise RuntimeError("no such thing")
    if what == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if what.isdigit():
        print("error: what a run says that was stopped")
        return int(what)
    if what == "nothing":
        return 0
    if what == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    step = int((folder / "step").read_text()) if (folder / "step").exists() else 0
    while step < STEPS:
        step += 1
        (folder / "step").write_text(str(step))
        state = {
            "phase": "train",
            "step": step,
            "steps": STEPS,
            "loss": 0.5,
            "accuracy": 0.25,
            "seconds": step / 100,
        }
        (folder / ".progress").write_text(json.dumps(state | {"seconds_left": (STEPS - step) / 100}))
        (folder / ".progress").replace(folder / "progress.json")
        slow = what in ("slow", "stubborn") and step == 5
        deadline = time.monotonic() + 60 * slow
        while time.monotonic() < deadline and not (folder / "go").exists():
            time.sleep(0.01)
        time.sleep(0.005)
    record.write(records)
    return 0


if __name__ == "__main__":
    sys.exit(main())
