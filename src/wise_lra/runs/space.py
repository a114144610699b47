"""A search space: Hydra's sweep syntax, read as Optuna's distributions, each value tried on a configuration."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, RangeSweep
from omegaconf import OmegaConf
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from wise_lra.config import ConfigurationError, compose
from wise_lra.runs.selection import parsed

Values = Mapping[str, Any]

MACHINE = (
    *("records", "runs", "overwrite", "logger", "trainer", "cluster", "sweep"),
    *("data.root", "data.archives", "data.folder", "data.release"),
)
"""Settings that say where and how, not what: no part of a study, nor of its result."""


@dataclass(frozen=True)
class Space:
    """What a search varies, what it leaves as given, and the trials that it begins with."""

    distributions: dict[str, BaseDistribution]
    fixed: tuple[str, ...] = ()
    first: tuple[dict[str, Any], ...] = ()

    @classmethod
    def of(cls, params: Values, first: Sequence[Values], arguments: Sequence[str]) -> Self:
        """Read a space of a config's params and first trials, and of the command line, which wins.

        A setting that the command line fixes is not searched, and leaves the first trials. A first trial whose
        value the command line's narrower choice leaves out is left out.
        Raises ConfigurationError on a value that is no choice, range or interval.
        """
        own = parsed([f"{key}={value}" for key, value in params.items()])
        given = {one.key_or_group: one for one in parsed(arguments)}
        swept = {key: one for key, one in given.items() if one.is_sweep_override()}
        searched = {one.key_or_group: one for one in own if one.key_or_group not in given} | swept
        distributions = {key: distribution(one) for key, one in searched.items()}
        fixed = tuple(str(one.input_line) for key, one in given.items() if key not in swept)
        trials = [{k: v for k, v in one.items() if k in swept or k not in given} for one in first]
        within = [one for one in trials if all(holds(distributions[k], one[k]) for k in swept if k in one)]
        return cls(distributions, fixed, tuple(within))

    def overrides(self, values: Values) -> tuple[str, ...]:
        """Return the overrides of a trial with these values."""
        return (*self.fixed, *(f"{key}={value}" for key, value in values.items()))

    def check(self) -> None:
        """Compose every choice and end, then the first trials.

        Raises ConfigurationError naming a setting that does not exist, a value that it cannot have, a first trial
        that cannot be run or lies outside.
        """
        if not self.distributions:
            raise ConfigurationError(
                "hydra.sweeper.params: nothing to search; say sweep=<name>, or recipe.lr=interval(0.001,0.1)"
            )
        tried: list[tuple[Values, str]] = [({}, "of the command line")]
        tried += [
            ({key: value}, "of the search space")
            for key, within in self.distributions.items()
            for value in corners(within)
        ]
        for number, values in enumerate(self.first):
            tried.append((values, f"of hydra.sweeper.first[{number}]"))
            for key, value in values.items():
                within = self.distributions.get(key)
                if within is None or not holds(within, value):
                    expected = within or f"one of {', '.join(self.distributions)}"
                    raise ConfigurationError(
                        f"hydra.sweeper.first[{number}].{key}={value}: expected {expected}"
                    )
        for setting, where in tried:
            try:
                compose(self.overrides(setting))
            except ConfigurationError as error:
                raise ConfigurationError(f"{error} ({where})") from None

    def facts(self) -> dict[str, str]:
        """Return what two searches of one study have in common: the space, and what is fixed of science."""
        space = {key: str(within) for key, within in self.distributions.items()}
        fixed = (text.partition("=") for text in self.fixed if is_science(text))
        return space | {key: value for key, _, value in fixed}


def distribution(override: Override) -> BaseDistribution:
    """Read choice(...), a,b, range(...), interval(a, b) or tag(log, int(interval(a, b))).

    Raises ConfigurationError where the override is none of these, or an interval is empty.
    """
    value, text = override.value(), override.input_line
    if isinstance(value, IntervalSweep) and value.start is not None and value.end is not None:
        low, high, log = value.start, value.end, "log" in value.tags
        if not (0 if log else -math.inf) < low < high:
            least = "above 0 and " * log
            raise ConfigurationError(f"{text}: expected a lower end {least}below the higher one")
        if isinstance(low, int) and isinstance(high, int):
            return IntDistribution(low, high, log=log)
        return FloatDistribution(low, high, log=log)
    if isinstance(value, (ChoiceSweep, RangeSweep)):
        return CategoricalDistribution(
            [OmegaConf.create(f"[{one}]")[0] for one in override.sweep_string_iterator()]
        )
    raise ConfigurationError(f"{text}: expected choice(...), range(...) or interval(...)")


def corners(within: Any) -> tuple[Any, ...]:
    """Return every choice of a distribution, or both ends."""
    return tuple(within.choices) if isinstance(within, CategoricalDistribution) else (within.low, within.high)


def holds(within: Any, value: Any) -> bool:
    """Tell whether a distribution has a value."""
    if isinstance(within, CategoricalDistribution):
        return value in within.choices
    whole = isinstance(within, IntDistribution)
    fits = isinstance(value, (int, float)) and not (whole and value != int(value))
    return fits and within.low <= value <= within.high


def is_science(override: str) -> bool:
    """Tell whether an override can change a result."""
    key = override.lstrip("+~").partition("=")[0]
    return not any(key == name or key.startswith(f"{name}.") for name in MACHINE)
