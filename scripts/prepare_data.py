"""Prepare the data of tasks and say what they are, or `show` some of them.

python scripts/prepare_data.py --tasks image,text --archives /folder/of/archives --preset lra
python scripts/prepare_data.py show task=pathfinder        saves a picture; of text it prints some
"""

from wise_lra.stopping import end_quietly

if __name__ == "__main__":
    end_quietly()

import argparse
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from wise_lra.bars import bars
from wise_lra.registry import TASKS
from wise_lra.results.reading import one_line, printable
from wise_lra.runs.selection import preset_for


def main() -> int:
    """Return 0; 1 where a task could not be prepared; 2 on a bad option; 130 on Ctrl-C."""
    chosen = parse_options()
    console = Console(width=None if sys.stdout.isatty() else 170)
    try:
        wanted = settings(chosen, console)
    except ValueError as error:
        print(f"error: {one_line(error)}", file=sys.stderr)
        return 2
    done = {task: found for task in wanted if (found := prepared(wanted[task], console))}
    if chosen.verb == "show":
        for task, found in done.items():
            show(wanted[task], found.folder, chosen.split, chosen.count, console)
    elif done:
        console.print(summary({task: found.manifest for task, found in done.items()}))
    return int(len(done) < len(wanted))


def parse_options() -> argparse.Namespace:
    """Parse the command line; an option given as "" counts as not given."""
    parser = argparse.ArgumentParser(
        description=__doc__, allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    option = parser.add_argument
    option("--tasks", default="", help="with commas between; by default all five")
    option(
        "--preset",
        default="",
        help="whose sizes: quick, small, lra or paper; by default as reproduce.py chooses",
    )
    option("--source", default="", help="auto (by default), release, generated or standin")
    option("--archives", default="", help="a folder of archives of the real data, or of what they unpack to")
    option("--release", default="", help="LRA's release: the archive, or the folder that it unpacks to")
    option("--root", default="", help="folder of prepared data; by default data")
    option("--split", default="train", choices=("train", "validation", "test"), help="of which to show some")
    option("--count", type=int, default=0, help="how many to show; by default 60 images or 3 texts")
    option("words", nargs="*", help="`show`, and settings as scripts/train.py takes them")
    chosen = parser.parse_intermixed_args()
    chosen.verb = "show" if "show" in chosen.words else "prepare"
    chosen.overrides = [word for word in chosen.words if word != "show" and not word.startswith("task=")]
    chosen.tasks = chosen.tasks or ",".join(word[5:] for word in chosen.words if word.startswith("task="))
    return chosen


def settings(chosen: argparse.Namespace, console: Console) -> dict[str, dict[str, Any]]:
    """Return the arguments of `prepare` for every task, and say whose sizes they are.

    Raises ValueError on an unknown task or setting, and on a source that a task does not have.
    """
    tasks = [task for task in (chosen.tasks or ",".join(TASKS)).split(",") if task]
    if unknown := [task for task in tasks if task not in TASKS]:
        raise ValueError(f"task {', '.join(unknown)}: unknown, expected some of {', '.join(TASKS)}")
    from wise_lra.devices import visible_gpus
    from wise_lra.preparation import preparations

    preset, why = preset_for(chosen.preset, [] if chosen.preset else visible_gpus())
    source = [f"data.source={chosen.source}"] if chosen.source else []
    found = preparations(tasks, preset, [*chosen.overrides, *source])
    console.print(f"preset={preset}: {why}", soft_wrap=True)
    given = {key: Path(value) for key in ("archives", "release", "root") if (value := getattr(chosen, key))}
    return {task: arguments | given for task, arguments in found.items()}


def prepared(arguments: dict[str, Any], console: Console) -> Any:
    """Return what `prepare` makes of these arguments, or None after printing what went wrong."""
    from wise_lra.data.prepare import prepare

    with bars(console) as progress:
        try:
            return prepare(**arguments, progress=progress)
        except (ValueError, OSError) as error:
            print(f"error: {one_line(error)}", file=sys.stderr)
            return None


def summary(manifests: dict[str, dict[str, Any]]) -> Table:
    """Return a row a split: examples, classes, lengths, what was rejected, checksum and seconds."""
    from wise_lra.data.packed import left_out

    table = Table(title="Prepared data", caption="lengths in tokens; sha256 is of all files of a task")
    for head in (
        "task",
        "source",
        "split",
        "examples",
        "classes",
        "length 10/50/90/100 %",
        "rejected",
        "sha256",
        "seconds",
    ):
        table.add_column(head, justify="right" if head in ("examples", "seconds") else "left")
    for task, manifest in manifests.items():
        name = f"{task} ({manifest['variant']})" if manifest["variant"] else task
        rejected = left_out(manifest["rejected"]) or "none"
        texts = [name, manifest["source"], rejected, manifest["sha256"][:16], f"{manifest['seconds']:,.1f}"]
        cells = [Text(printable(text)) for text in texts]
        for split, facts in manifest["splits"].items():
            labels, lengths = facts["labels"], facts["lengths"]
            shares = f"{min(labels) / sum(labels):.1%} to {max(labels) / sum(labels):.1%}"
            quantiles = "/".join(str(lengths[share]) for share in ("10%", "50%", "90%", "100%"))
            table.add_row(*cells[:2], split, f"{facts['examples']:,}", shares, quantiles, *cells[2:])
            cells = [Text("")] * len(cells)
        table.add_section()
    return table


def show(arguments: dict[str, Any], folder: Path, split: str, count: int, console: Console) -> None:
    """Save a picture of examples beside the packed folder, or print their texts."""
    from wise_lra.data import look
    from wise_lra.data.task import PICTURES

    task = arguments["task"]
    if task.name not in PICTURES:
        for name, documents in look.texts(task, folder, split, count or 3):
            console.rule(Text(f"{task.name}, {split}: {name}"))
            for document in documents:
                console.print(Text("\n".join(map(printable, document.splitlines()))), soft_wrap=True)
    else:
        path = folder.with_name(f"{folder.name}-{split}.png")
        look.picture(task, folder, split, count or 60).save(path)
        console.print(f"{task.name}: {path}", soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
