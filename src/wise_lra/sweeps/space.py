"""A search space: Hydra's own sweep syntax, read as Optuna's distributions, every value tried on a config."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, RangeSweep
from omegaconf import OmegaConf

from wise_lra.configuration import CONFIGS, ConfigurationError, compose

Values = Mapping[str, Any]


@dataclass(frozen=True)
class Dimension:
    """What one setting may be: one of `choices`, or from `low` to `high`, both in it, on a log scale or not."""

    choices: tuple[Any, ...] = ()
    low: float = 0.0
    high: float = 0.0
    log: bool = False

    @classmethod
    def of(cls, override: Override) -> Self:
        """Read choice(...), a,b, range(...), interval(a, b) or tag(log, int(interval(a, b)))."""
        value, text = override.value(), override.input_line
        if isinstance(value, IntervalSweep) and value.start is not None and value.end is not None:
            if value.start >= value.end:
                raise ConfigurationError(f"{text}: expected a lower end below the higher one")
            if "log" in value.tags and value.start <= 0:
                raise ConfigurationError(
                    f"{text}: expected a lower end above 0, for the scale is logarithmic"
                )
            return cls(low=value.start, high=value.end, log="log" in value.tags)
        if isinstance(value, (ChoiceSweep, RangeSweep)):
            choices = tuple(OmegaConf.create(f"[{one}]")[0] for one in override.sweep_string_iterator())
            return cls(choices=choices)
        raise ConfigurationError(f"{text}: expected choice(...), range(...) or interval(...)")

    @property
    def whole(self) -> bool:
        """Whether only whole numbers lie between the ends."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    @property
    def corners(self) -> tuple[Any, ...]:
        """Every choice, or both ends."""
        return self.choices or (self.low, self.high)

    def holds(self, value: Any) -> bool:
        """Tell whether `value` is in it."""
        if self.choices:
            return value in self.choices
        fits = isinstance(value, (int, float)) and not (self.whole and value != int(value))
        return fits and self.low <= value <= self.high

    def distribution(self) -> Any:
        """Return Optuna's distribution."""
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        if self.choices:
            return CategoricalDistribution(self.choices)
        if self.whole:
            return IntDistribution(int(self.low), int(self.high), log=self.log)
        return FloatDistribution(self.low, self.high, log=self.log)

    def shown(self) -> str:
        """Return it in a few words."""
        if self.choices:
            return f"one of {', '.join(map(str, self.choices))}"
        return f"{self.low} to {self.high}" + ", logarithmic" * self.log


@dataclass(frozen=True)
class Space:
    """What a search varies, what it leaves as said, and the trials that it begins with."""

    dimensions: dict[str, Dimension]
    fixed: tuple[str, ...] = ()
    first: tuple[dict[str, Any], ...] = field(default=())

    @classmethod
    def of(cls, params: Values, first: Sequence[Values], arguments: Sequence[str]) -> Self:
        """Read a space of a config's params and first trials, and of the command line, which wins.

        A setting that the command line fixes is no dimension any more, nor part of the first trials; a first trial
        that its narrower choice leaves out is none.
        """
        GlobalHydra.instance().clear()
        with initialize_config_dir(str(CONFIGS), version_base="1.3"):
            parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())
            own = parser.parse_overrides([f"{key}={value}" for key, value in params.items()])
            said = parser.parse_overrides(list(arguments))
            given = {override.key_or_group: override for override in said}
            varied = {o.key_or_group: o for o in [*own, *said] if o.is_sweep_override()}
            fixed = tuple(str(o.input_line) for o in said if not o.is_sweep_override())
            alone = [str(o.input_line) for o in own if not o.is_sweep_override()]
            if alone:
                raise ConfigurationError(f"{alone[0]}: expected choice(...), range(...) or interval(...)")
            dimensions = {
                key: Dimension.of(override)
                for key, override in varied.items()
                if key not in given or given[key].is_sweep_override()
            }
        kept = [
            {k: v for k, v in one.items() if k in dimensions or k not in given} for one in map(dict, first)
        ]
        narrowed = [key for key in dimensions if key in given]
        within = [one for one in kept if all(dimensions[k].holds(one[k]) for k in narrowed if k in one)]
        return cls(dimensions, fixed, tuple(within))

    def overrides(self, values: Values) -> tuple[str, ...]:
        """Return what is to be said for a trial with these values."""
        return (*self.fixed, *(f"{key}={value}" for key, value in values.items()))

    def check(self) -> None:
        """Try every choice and end on a configuration, then the first trials.

        Raises ConfigurationError naming a setting that does not exist, a value that it cannot have, a first trial
        that cannot be run or lies outside.
        """
        if not self.dimensions:
            raise ConfigurationError(
                "hydra.sweeper.params: nothing to search; say sweep=<name>, or recipe.lr=interval(0.001,0.1)"
            )
        compose(self.fixed)
        for key, dimension in self.dimensions.items():
            for value in dimension.corners:
                self._expect({key: value}, "of the search space")
        for number, values in enumerate(self.first):
            for key, value in values.items():
                if key not in self.dimensions:
                    raise ConfigurationError(
                        f"hydra.sweeper.first[{number}].{key}={value}: no such parameter in the search space; "
                        f"expected some of {', '.join(self.dimensions)}"
                    )
                if not self.dimensions[key].holds(value):
                    raise ConfigurationError(
                        f"hydra.sweeper.first[{number}].{key}={value}: expected {self.dimensions[key].shown()}"
                    )
            self._expect(values, f"of the first trial {number}")

    def fingerprint(self) -> str:
        """Return what makes two searches the same study: the space and what is fixed of science, as JSON."""
        plain = {
            key: {"choices": list(d.choices)} if d.choices else {"low": d.low, "high": d.high, "log": d.log}
            for key, d in self.dimensions.items()
        }
        return json.dumps({"space": plain, "fixed": sorted(filter(is_science, self.fixed))}, sort_keys=True)

    def _expect(self, values: Values, what: str) -> None:
        try:
            compose(self.overrides(values))
        except ConfigurationError as error:
            raise ConfigurationError(f"{error} ({what})") from None


MACHINE = (
    "records",
    "runs",
    "overwrite",
    "logger",
    "trainer",
    "cluster",
    "sweep",
    "data.root",
    "data.archives",
)
"""Settings that say where and how, not what: no part of a study, nor of what it finds."""


def is_science(override: str) -> bool:
    """Tell whether an override can change a result."""
    key = override.lstrip("+~").partition("=")[0]
    return not any(
        key == name or key.startswith(f"{name}.") for name in (*MACHINE, "data.folder", "data.release")
    )


def is_group(key: str) -> bool:
    """Tell whether a key chooses a file of a config group."""
    return "." not in key and Path(CONFIGS, key).is_dir()
