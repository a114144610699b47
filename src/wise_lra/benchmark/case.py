"""A case: what is measured together, in one go, at one setting."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from .measure import Measured

Setting = Mapping[str, str | int]


@dataclass(frozen=True)
class Case:
    """One setting of a section, and how to measure it.

    Args:
        section: transforms, layers, steps or pipeline.
        setting: what identifies it, such as length, width and taps.
        run: measures for about so many seconds and returns name -> `Measured`.
    """

    section: str
    setting: Setting
    run: Callable[[float], dict[str, Measured]]

    @property
    def key(self) -> str:
        """The name of the case in the file of results."""
        return " ".join([self.section, *(f"{name}={value}" for name, value in self.setting.items())])
