"""Build results/report/index.html: one page that opens without network, of records and what their runs left.

make report                          of results/records, with the folders in results/runs
make report RECORDS=results/reference    of the records that the project has in git
python scripts/report.py --screenshot docs/report.png    a picture of it, by Chromium
"""

from wise_lra.stopping import end_quietly

if __name__ == "__main__":
    end_quietly()

import argparse
import io
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from wise_lra.results.atomic import write_bytes, write_text
from wise_lra.results.published import read_published
from wise_lra.results.reading import one_line, skipped
from wise_lra.results.record import read_all

COLOURS = 128  # of a picture: a third of the bytes, and no eye tells
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
QUIET = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


def main() -> int:
    """Return 0; 2 if a file cannot be read or written, or no browser is there to take the picture.

    A record or run folder that cannot be used is named and left out; the page shows the others.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    option = parser.add_argument
    option("--records", type=Path, default=Path("results/records"), help="folder of records")
    option("--runs", type=Path, default=Path("results/runs"), help="folder of the runs' folders")
    option("--data", type=Path, default=Path("data"), help="folder of prepared data, for examples")
    option("--published", type=Path, default=Path("results/published"), help="folder of published numbers")
    option("--out", type=Path, default=Path("results/report/index.html"), help="the page")
    option("--preset", help="show this one, changed settings or not; by default all true presets")
    option("--wandb", default="", metavar="ENTITY/PROJECT", help="where the runs are in W&B, for links")
    option("--screenshot", type=Path, metavar="PNG", help="take a picture of the page's top as well")
    options = parser.parse_args()
    faults: list[str] = []
    try:
        from wise_lra.report import page  # here: --help needs no plotting library

        records, numbers = read_all(options.records, faults), read_published(options.published)
        text, unread = page.build(records, numbers, options.preset, options.runs, options.data, options.wandb)
        write_text(options.out, text)
        print(f"{options.out}: {len(text.encode()) / 1e6:.2f} MB")
        if options.screenshot:
            photograph(options.out, options.screenshot)
            print(options.screenshot)
    except (ValueError, OSError) as error:
        print(f"report: {one_line(error)}", file=sys.stderr)
        return 2
    for line in skipped(faults + unread):
        print(line, file=sys.stderr)
    return 2 if faults + unread else 0


def photograph(page: Path, picture: Path) -> None:
    """Take a picture of the top of the page. Raises OSError where no browser is there or it fails."""
    from PIL import Image

    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        raise OSError(f"{picture}: no browser to take it; expected one of {', '.join(BROWSERS)}")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        part = Path(folder, "page.png")
        command = [browser, *QUIET, f"--user-data-dir={folder}", "--window-size=1280,1900"]
        command += ["--virtual-time-budget=8000", f"--screenshot={part}", page.resolve().as_uri()]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
        if not part.exists():
            raise OSError(f"{browser} took no picture of {page}: {done.stderr.strip().splitlines()[-1:]}")
        content = io.BytesIO()
        image = Image.open(part).convert("RGB").quantize(COLOURS, method=Image.Quantize.MAXCOVERAGE)
        image.save(content, "PNG", optimize=True)
        write_bytes(picture, content.getvalue())


if __name__ == "__main__":
    sys.exit(main())
