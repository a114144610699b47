"""Train, test and record one run; with -m several, as Hydra's launchers and sweepers do it.

  python scripts/train.py task=image backbone=wise_fixed preset=quick seed=1
  python scripts/train.py -m task=listops,image 'backbone=glob(wise_*)' 'seed=range(0,3)'

Choices (GROUP=OPTION):
{groups}

Often changed (KEY=VALUE):
  seed=0                     a run is the same for the same seed, on the same machine
  recipe.steps=400           also batch_size, lr, warmup_steps, schedule, weight_decay, validate_every, clip
  model.d_model=64           also depth, mlp_dim, positions, pool, dropout, mlp_norm
  heads.number=2             also qkv_dim, dropout: of the attention
  wavelet.level=1            also name (wise_fixed), taps (wise_adaptive), mode
  data.archives=PATH         a folder with archives of the real data; data.source=auto|release|generated|standin
  trainer.threads=2          also precision, workers, progress
  overwrite=true             train again although the record is there

  --cfg job                  print the composed configuration and stop; see also hydra --hydra-help
"""

import logging
import sys

from wise_lra.configuration import CONFIGS, ConfigurationError, compose, opened, options

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


def run(cfg) -> int:  # type: ignore[no-untyped-def]
    """Run one checked configuration."""
    from wise_lra.experiment import Refused, train  # here: torch and Lightning take seconds to import
    from wise_lra.grid import AlreadyRunning
    from wise_lra.stopping import OutOfTime, interruptible
    from wise_lra.training import Diverged

    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    came: list[int] = []
    try:
        with interruptible() as came:
            record = train(cfg)
    except KeyboardInterrupt:
        print("stopped; the same command goes on from the last validation", file=sys.stderr)
        return 128 + came[0] if came else 130
    except OutOfTime as error:
        return failed(error, 75)
    except (Refused, AlreadyRunning, Diverged, ValueError, OSError, MemoryError) as error:
        return failed(error, 1)
    accuracy, floor = record.metrics["test_accuracy"], record.data["majority"]
    print(
        f"{record.label} {record.backbone} {record.attention} seed {record.seed}: test accuracy "
        f"{100 * accuracy:.2f} % of {record.metrics['test_examples']:,} (majority class {100 * floor:.2f} %), "
        f"{record.parameters:,} parameters, {record.seconds['total']:.0f} s"
    )
    return 0


def failed(error: Exception, status: int) -> int:
    """Print an error for the user; return the status."""
    print(f"error: {error}", file=sys.stderr)
    return status


def hydra_main() -> int:
    """Let Hydra read its own flags: --multirun, --cfg, --info and the rest."""
    import hydra
    from omegaconf import DictConfig

    sys.argv[1:] = opened(sys.argv[1:])
    statuses: list[int] = []

    @hydra.main(config_path=str(CONFIGS), config_name="train", version_base="1.3")
    def job(cfg: DictConfig) -> None:
        from wise_lra.configuration import check

        try:
            check(cfg)
            statuses.append(run(cfg))
        except ConfigurationError as error:
            statuses.append(failed(error, 2))

    job()
    return max(statuses, default=0)


if __name__ == "__main__":
    sys.exit(main())
