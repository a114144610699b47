"""Measure a finished run again from its checkpoint alone, or ask it about something new.

  python scripts/evaluate.py results/runs/quick/text/wise_adaptive/softmax/seed0
  python scripts/evaluate.py results/runs/quick/text/wise_adaptive/softmax/seed0 --text review.txt
  python scripts/evaluate.py results/runs/quick/listops-short/fnet/none/seed0 --listops '( ( ( [MAX 3 ) 4 ) ] )'

An answer is a line a class with its probability, the likeliest first.
"""

from wise_lra.stopping import end_quietly

if __name__ == "__main__":
    end_quietly()

import argparse
import sys
from pathlib import Path


def main() -> int:
    """Return 0, 1 where the accuracy is not the recorded one, 2 where the question cannot be answered."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="a run's folder, or its record")
    parser.add_argument("--record", type=Path, metavar="FILE", help="the record of a folder that was moved")
    parser.add_argument("--split", choices=("validation", "test"), default="test", help="what to measure on")
    parser.add_argument("--data", type=Path, default=Path("data"), help="where prepared data are looked for")
    asked = parser.add_mutually_exclusive_group()
    asked.add_argument("--text", metavar="FILE", help="a review; - reads standard input")
    asked.add_argument("--pair", nargs=2, metavar="FILE", help="two articles")
    asked.add_argument("--image", type=Path, metavar="PNG", help="a picture, for image and pathfinder")
    asked.add_argument("--listops", metavar="EXPRESSION", help='such as "( ( ( [MAX 3 ) 4 ) ] )"')
    options = parser.parse_args()
    try:
        return answer(options)
    except (ValueError, OSError) as error:
        from wise_lra.results.reading import one_line

        print(f"error: {one_line(error)}", file=sys.stderr)
        return 2


def answer(options: argparse.Namespace) -> int:
    """Measure or predict."""
    from wise_lra import evaluate  # here: torch takes seconds to import

    run = evaluate.load(options.run, options.record)
    if options.text is not None:
        run.expects("--text", "text")
        content = sys.stdin.buffer.read() if options.text == "-" else Path(options.text).read_bytes()
        documents = [evaluate.of_text(content, run.task, options.text)]
    elif options.pair:
        run.expects("--pair", "retrieval")
        documents = [evaluate.of_text(Path(f).read_bytes(), run.task, f) for f in options.pair]
    elif options.image:
        run.expects("--image", "image", "pathfinder")
        pixels, note = evaluate.of_image(options.image, run.task)
        documents = [pixels]
        if note:
            print(note, file=sys.stderr)
    elif options.listops is not None:
        run.expects("--listops", "listops")
        tokens, value = evaluate.of_listops(options.listops, run.task)
        documents = [tokens]
        print(f"true value {value}")
    else:
        now, then = run.measure(options.data, options.split)
        same = "equal to the record" if now == then else f"the record says {100 * then:.4f} %"
        print(f"{options.split} accuracy {100 * now:.4f} %, {same}")
        return int(now != then)
    chances = zip(run.probabilities(documents), run.classes, strict=True)
    for chance, name in sorted(chances, reverse=True):
        print(f"{100 * chance:6.2f} %  {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
