"""Write the real data of a task as a data set of TensorFlow Datasets (array_record files; no TensorFlow).

python scripts/build_tfds.py image /folder/of/archives --out ~/tensorflow_datasets
"""

from wise_lra.stopping import end_quietly

if __name__ == "__main__":
    end_quietly()

import argparse
import sys
from pathlib import Path

from wise_lra.config import compose
from wise_lra.registry import TASKS
from wise_lra.results.reading import one_line


def main() -> int:
    """Print the directory written and return 0; 1 where the data are not there or faulty."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("task", choices=TASKS)
    parser.add_argument(
        "place", type=Path, help="a folder of archives or of what they unpack to, or one of them"
    )
    parser.add_argument("--out", type=Path, default=Path("data/tfds"), help="folder of TFDS data sets")
    parser.add_argument(
        "--size", type=int, default=32, choices=(32, 64, 128, 256), help="of Pathfinder's images"
    )
    options = parser.parse_args()
    from hydra.utils import instantiate

    from wise_lra.data import real, tfds_builders

    length = [f"task.length={options.size**2}"] if options.task == "pathfinder" else []
    task = instantiate(compose([f"task={options.task}", "preset=lra", *length]).task)
    try:
        found = [data for data in real.find(options.place, task) if data.form == "release"]
        if not found:
            raise FileNotFoundError(f"{options.place}: nothing there, expected {real.expected(task)}")
        print(tfds_builders.build(task, found[0].path, options.out))
    except (ValueError, OSError) as error:
        print(f"error: {one_line(error)}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
