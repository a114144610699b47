"""Train, test and record one run, or with -m several; --help lists the settings.

python scripts/train.py task=image backbone=wise_fixed preset=quick seed=1
python scripts/train.py -m task=listops,image 'backbone=glob(wise_*)' 'seed=range(0,3)'
"""

from wise_lra.stopping import end_quietly, run_job

if __name__ == "__main__":
    end_quietly()

import logging
import os
import sys

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from wise_lra.config import CONFIGS, ConfigurationError, explained, opened
from wise_lra.results.reading import Printable, one_line
from wise_lra.runs.job import JobResult
from wise_lra.runs.sweeper import own_files


@hydra.main(config_path=str(CONFIGS), config_name="train", version_base="1.3")
def run(cfg: DictConfig) -> JobResult:
    """Train one run; a launcher gets exit status and reason, a shell the exit status."""
    logs()
    ended = run_job(cfg)
    if ended.status:
        reason = one_line(ended.reason)
        print(reason if ended.status > 128 else f"error: {reason}", file=sys.stderr)
    # A sweep ends here on a signal; on a cluster the job is left to be requeued.
    if HydraConfig.get().mode != RunMode.MULTIRUN or ended.status > 128:
        raise SystemExit(ended.status)
    return ended


def logs() -> None:
    """Send what is logged to standard error, a line at a time."""
    handler = logging.StreamHandler()
    handler.setFormatter(Printable())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    for name in ("hydra", "hydra_plugins"):
        logging.getLogger(name).setLevel(logging.WARNING)


def main() -> int:
    """Return the exit status: 0, 2 on a bad configuration, else that of `stopping.run_job`."""
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # Hydra raises its errors; one line is printed of each
    overrides = sys.argv[1:]
    try:
        sys.argv[1:] = opened(overrides)
        Plugins.instance()
        own_files()
        logs()
        run()
    except ConfigurationError as error:
        print(f"error: {one_line(error)}", file=sys.stderr)
    except (HydraException, OmegaConfBaseException, ValueError, RecursionError, OSError) as error:
        print(f"error: {one_line(explained(error, overrides))}", file=sys.stderr)
    else:
        return 0
    return 2


if __name__ == "__main__":
    sys.exit(main())
