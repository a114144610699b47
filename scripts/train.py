"""Train, test and record one run; with -m several, as Hydra's launchers and sweepers do it.

  python scripts/train.py task=image backbone=wise_fixed preset=quick seed=1
  python scripts/train.py -m task=listops,image 'backbone=glob(wise_*)' 'seed=range(0,3)'
  python scripts/train.py -m hydra/launcher=submitit_slurm task=listops,image 'seed=range(0,3)'
  python scripts/train.py -m sweep=image hydra.sweeper.trials=30

Choices (GROUP=OPTION):
{groups}

Often changed (KEY=VALUE):
  seed=0                     a run is the same for the same seed, on the same machine
  recipe.steps=400           also batch_size, lr, warmup_steps, schedule, weight_decay, validate_every, clip
  model.d_model=64           also depth, mlp_dim, positions, pool, dropout, block
  heads.number=2             also qkv_dim, dropout: of the attention
  wavelet.level=1            also name (wise_fixed), taps (wise_adaptive), mode
  data.archives=PATH         a folder with archives of the real data; data.source=auto|release|generated|standin
  trainer.threads=2          also precision, workers, progress
  test=false                 only validate: the test set is not read, and no record written
  experiment=NAME            a file of configs/experiment, as a search leaves one
  overwrite=true             train again although the record is there

  --cfg job                  print the composed configuration and stop; see also hydra --hydra-help
"""

from wise_lra.stopping import GivenUp, OutOfTime, end_quietly, interruptible

if __name__ == "__main__":
    end_quietly()

import logging
import os
import sys

from omegaconf import DictConfig

from wise_lra.config import CONFIGS, ConfigurationError, compose, opened, options
from wise_lra.results.reading import Printable, one_line
from wise_lra.runs.job import OUT_OF_TIME, Outcome

SHOWN = ("task", "backbone", "attention", "preset", "trainer", "logger")


def main() -> int:
    """Return 0 when the record is written, 1 on a failed run, 2 on a bad configuration.

    A run that can go on: 75 at its time limit, 130 on Ctrl-C, 143 on SIGTERM, 138 on SIGUSR1.
    """
    arguments = sys.argv[1:]
    if {"-h", "--help"} & set(arguments):
        print(help_text())
        return 0
    if any(argument.startswith("-") for argument in arguments):
        return hydra_main()
    try:
        cfg = compose(arguments)
    except ConfigurationError as error:
        return failed(error, 2)
    return run(cfg)


def help_text() -> str:
    """Return this module's text with the options of every group filled in."""
    groups = [f"  {group + '=':<12}{' | '.join(options(group))}" for group in SHOWN]
    return (__doc__ or "").format(groups="\n".join(groups))


def run(cfg: DictConfig) -> int:
    """Run one checked configuration, and say how it ended."""
    outcome = attempt(cfg)
    if outcome.status:
        reason = one_line(outcome.reason)
        print(reason if outcome.status > 128 else f"error: {reason}", file=sys.stderr)
    return outcome.status


def attempt(cfg: DictConfig) -> Outcome:
    """Return the outcome of one checked configuration, having printed what was measured."""
    # Here, for torch and Lightning take seconds to import.
    from hydra.errors import InstantiationException
    from pytorch_lightning.utilities.memory import is_oom_error

    from wise_lra.experiment import Refused, train, validate
    from wise_lra.runs.lock import AlreadyRunning
    from wise_lra.training import Diverged

    log_lines()
    came: list[int] = []
    reported = None
    if trial := cfg.get("trial"):
        from wise_lra.runs.study import Reported

        reported = Reported(trial)
    try:
        with interruptible() as came:
            if reported or not cfg.test:
                accuracy = validate(cfg, [reported] if reported else [])
                if reported:
                    reported.finish(accuracy)
                print(
                    f"validation accuracy {100 * accuracy:.2f} %; the test set was not read, no record is written"
                )
                return Outcome(0)
            record = train(cfg)
    except GivenUp as error:
        return Outcome(0, str(error))
    except KeyboardInterrupt:
        return Outcome(
            128 + came[0] if came else 130, "stopped; the same command goes on from the last validation"
        )
    except OutOfTime as error:
        return Outcome(OUT_OF_TIME, str(error))
    except (Refused, AlreadyRunning, Diverged, ValueError, InstantiationException) as error:
        return Outcome(1, one_line(error))
    except OSError as error:  # a full disk names no file
        unnamed = error.errno is not None and error.filename is None
        return Outcome(1, one_line(error) + f", below runs={cfg.runs} or records={cfg.records}" * unnamed)
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and not is_oom_error(error):
            raise
        less = "recipe.batch_size, trainer.micro_batch, trainer.mlp_chunk, model.d_model or task.length"
        return Outcome(1, f"memory does not suffice ({one_line(error)}): lower {less}")
    accuracy, floor = record.metrics["test_accuracy"], record.data["majority"]
    print(
        f"{record.label} {record.backbone} {record.attention} seed {record.seed}: test accuracy "
        f"{100 * accuracy:.2f} % of {record.metrics['test_examples']:,} (majority class {100 * floor:.2f} %), "
        f"{record.parameters:,} parameters, {record.seconds['total']:.0f} s"
    )
    return Outcome(0)


def failed(error: Exception, status: int) -> int:
    """Print an error for the user; return the status."""
    print(f"error: {one_line(error)}", file=sys.stderr)
    return status


def log_lines() -> None:
    """Send what is logged to standard error, a line at a time."""
    handler = logging.StreamHandler()
    handler.setFormatter(Printable())
    logging.basicConfig(level=logging.INFO, handlers=[handler])


def hydra_main() -> int:
    """Let Hydra read its own flags: --multirun, --cfg, --info and the rest."""
    import hydra
    from hydra.core.hydra_config import HydraConfig
    from hydra.errors import HydraException
    from hydra.types import RunMode
    from omegaconf.errors import OmegaConfBaseException

    try:
        sys.argv[1:] = opened(sys.argv[1:])
    except ConfigurationError as error:
        return failed(error, 2)

    @hydra.main(config_path=str(CONFIGS), config_name="train", version_base="1.3")
    def job(cfg: DictConfig) -> Outcome:
        from wise_lra.config import check

        alone = HydraConfig.get().mode != RunMode.MULTIRUN
        check(cfg)
        if alone:
            raise SystemExit(run(cfg))
        outcome = attempt(cfg)
        if outcome.status > 128:  # ends the sweep here, and on a cluster leaves the job to be requeued
            print(outcome.reason, file=sys.stderr)
            raise SystemExit(outcome.status)
        if outcome.status:
            print(f"error: {one_line(outcome.reason)}", file=sys.stderr)
        return outcome

    from hydra.core.plugins import Plugins

    from wise_lra.runs.sweeper import own_files

    Plugins.instance()
    own_files()
    log_lines()
    for name in ("hydra", "hydra_plugins"):
        logging.getLogger(name).setLevel(logging.WARNING)
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # its errors come here, to be one line
    try:
        job()
    except (HydraException, OmegaConfBaseException, ValueError, RecursionError, OSError) as error:
        return failed(error, 2)
    return 0


if __name__ == "__main__":
    sys.exit(main())
