"""A search space: Hydra's own sweep syntax, read as Optuna's distributions, every value tried on a config."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, RangeSweep
from omegaconf import OmegaConf
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from wise_lra.config import CONFIGS, ConfigurationError, compose

Values = Mapping[str, Any]

MACHINE = (
    *("records", "runs", "overwrite", "logger", "trainer", "cluster", "sweep"),
    *("data.root", "data.archives", "data.folder", "data.release"),
)
"""Settings that say where and how, not what: no part of a study, nor of what it finds."""


def distribution(override: Override) -> BaseDistribution:
    """Read choice(...), a,b, range(...), interval(a, b) or tag(log, int(interval(a, b))).

    Raises ConfigurationError where the override is none of these, or an interval is empty.
    """
    value, text = override.value(), override.input_line
    if isinstance(value, IntervalSweep) and value.start is not None and value.end is not None:
        low, high, log = value.start, value.end, "log" in value.tags
        if low >= high:
            raise ConfigurationError(f"{text}: expected a lower end below the higher one")
        if log and low <= 0:
            raise ConfigurationError(f"{text}: expected a lower end above 0, for the scale is logarithmic")
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


@dataclass(frozen=True)
class Space:
    """What a search varies, what it leaves as said, and the trials that it begins with."""

    distributions: dict[str, BaseDistribution]
    fixed: tuple[str, ...] = ()
    first: tuple[dict[str, Any], ...] = ()

    @classmethod
    def of(cls, params: Values, first: Sequence[Values], arguments: Sequence[str]) -> Self:
        """Read a space of a config's params and first trials, and of the command line, which wins.

        A setting that the command line fixes is not searched, and leaves the first trials. A first trial whose
        value the command line's narrower choice leaves out is none.
        """
        GlobalHydra.instance().clear()
        with initialize_config_dir(str(CONFIGS), version_base="1.3"):
            parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())
            own = parser.parse_overrides([f"{key}={value}" for key, value in params.items()])
            said = parser.parse_overrides(list(arguments))
            given = {override.key_or_group: override.is_sweep_override() for override in said}
            searched = {o.key_or_group: o for o in own if o.key_or_group not in given}
            searched |= {o.key_or_group: o for o in said if o.is_sweep_override()}
            distributions = {key: distribution(override) for key, override in searched.items()}
        fixed = tuple(str(override.input_line) for override in said if not override.is_sweep_override())
        kept = [{k: v for k, v in one.items() if given.get(k, True)} for one in map(dict, first)]
        narrowed = [key for key in distributions if key in given]
        within = [one for one in kept if all(holds(distributions[k], one[k]) for k in narrowed if k in one)]
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
        compose(self.fixed)
        for key, within in self.distributions.items():
            for value in corners(within):
                self._expect({key: value}, "of the search space")
        for number, values in enumerate(self.first):
            for key, value in values.items():
                what = f"hydra.sweeper.first[{number}].{key}={value}"
                if key not in self.distributions:
                    known = ", ".join(self.distributions)
                    raise ConfigurationError(
                        f"{what}: no such parameter in the search space; expected some of {known}"
                    )
                if not holds(within := self.distributions[key], value):
                    ends = " to ".join(map(str, corners(within)))
                    some = ", ".join(map(str, corners(within)))
                    choices = isinstance(within, CategoricalDistribution)
                    raise ConfigurationError(f"{what}: expected {f'one of {some}' if choices else ends}")
            self._expect(values, f"of the first trial {number}")

    def fingerprint(self) -> str:
        """Return what makes two searches the same study, as JSON: the space and what is fixed of science."""
        plain = {
            key: {"choices": list(corners(within))}
            if isinstance(within, CategoricalDistribution)
            else {"low": within.low, "high": within.high, "log": within.log}  # type: ignore[attr-defined]
            for key, within in self.distributions.items()
        }
        return json.dumps({"space": plain, "fixed": sorted(filter(is_science, self.fixed))}, sort_keys=True)

    def _expect(self, values: Values, what: str) -> None:
        try:
            compose(self.overrides(values))
        except ConfigurationError as error:
            raise ConfigurationError(f"{error} ({what})") from None


def is_science(override: str) -> bool:
    """Tell whether an override can change a result."""
    key = override.lstrip("+~").partition("=")[0]
    return not any(key == name or key.startswith(f"{name}.") for name in MACHINE)
