"""Draw what the wavelets of a run learned, or any wavelet of PyWavelets: PNG and SVG files.

  make wavelets RUN=results/runs/quick/image/wise_adaptive/softmax/seed0
  python scripts/plot_wavelets.py --wavelet db8

For a run, which needs its config.json and checkpoints/best.ckpt, <run>/wavelets gets scaling and wavelet functions,
frequency responses, reconstruction error by level, and energy of the bands by layer: before training, as the run's
seed made the model, and after it, at the best checkpoint.
"""

from wise_lra.stopping import end_quietly

if __name__ == "__main__":
    end_quietly()

import argparse
import sys
from pathlib import Path

from wise_lra.plots.draw import save
from wise_lra.plots.figures import of_run, of_wavelet
from wise_lra.results.reading import one_line


def main() -> int:
    """Return 0; 1 where there is nothing to draw, 2 on a bad command line."""
    options = parse_options()
    try:
        if options.wavelet:
            folder, figures = Path("results/wavelets") / options.wavelet, of_wavelet(options.wavelet)
        else:
            folder, figures = options.run / "wavelets", of_run(options.run, options.data)
        for name, figure in figures.items():
            for path in save(figure, options.out or folder, name):
                print(path)
    except (ValueError, OSError) as error:
        print(f"error: {one_line(error)}", file=sys.stderr)
        return 1
    return 0


def parse_options() -> argparse.Namespace:
    """Parse the command line: a run's folder, or --wavelet NAME."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    option = parser.add_argument
    option("run", nargs="?", type=Path, help="folder of a trained run")
    option("--wavelet", help="name of a discrete wavelet of PyWavelets, or db1 to db128, in place of a run")
    option("--data", type=Path, default=Path("data"), help="folder of prepared data (the run's data.root)")
    option("--out", type=Path, help="folder for the figures")
    options = parser.parse_args()
    if (options.run is None) == (options.wavelet is None):
        parser.error("expected a run's folder (make wavelets RUN=results/runs/...) or --wavelet NAME")
    return options


if __name__ == "__main__":
    sys.exit(main())
