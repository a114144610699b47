"""The paper's claims as a checklist computed from records of one preset, and what its baselines leave open."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from statistics import fmean
from typing import Literal, get_args

from wise_lra.registry import ATTENTIONS, BACKBONES, Method, method
from wise_lra.results import pairs
from wise_lra.results.columns import Column
from wise_lra.results.published import Numbers
from wise_lra.results.statistics import Interval

LITTLE = 0.1  # the share of training time that still is "little": the paper gives no number
AVERAGE = "average"
RULE = (
    "Differences are taken at equal seeds within one column; their interval is Student's t, 95 % for each line"
    " by itself. A claim holds where the interval's lower end is above 0 (for the time of a training step, of the"
    f" whole model on one machine: its upper end below {100 * LITTLE:.0f} %); it does not hold where that is not"
    " shown. FNet is its published block, or fnet_prenorm where the mean validation accuracy of that one is"
    " higher at the same seeds. One seed is not enough runs, nor do seeds that differ by one and the same amount"
    " show a gain. A published gain stands only beside runs on LRA's own data and length."
)

Verdict = Literal["holds", "does not hold", "not enough runs"]
TOKEN = method("vanilla")
WAVELETS = {known.wavelets: method(name) for name, known in BACKBONES.items() if known.wavelets}
"""What the claims are about: "fixed" and "adaptive" wavelet space."""


@dataclass(frozen=True)
class Claim:
    """A line of the checklist: `name` is shared by lines of one claim, `of` is what this one is about.

    `found` is a difference in accuracy, or of training time where `unit` is "time", as shares. `given` is the
    published gain that it is compared with.
    """

    name: str
    of: str
    found: Interval | None
    unit: Literal["accuracy", "time"] = "accuracy"
    given: float | None = None

    @property
    def verdict(self) -> Verdict:
        """What RULE says."""
        if self.found is None or self.found.n < 2:
            return "not enough runs"
        shown = self.found.high < LITTLE if self.unit == "time" else self.found.low > 0
        if shown and not self.found.std:
            return "not enough runs"
        return "holds" if shown else "does not hold"

    @property
    def remains(self) -> Interval | None:
        """How much of a published gain is found, as a share of it; None without one to share."""
        if self.found is None or not self.given or self.given < 0:
            return None
        mean, low, high = (end / self.given for end in (self.found.mean, self.found.low, self.found.high))
        return replace(self.found, mean=mean, low=low, high=high, std=None)


def claims(tasks: Sequence[Column], numbers: Numbers) -> tuple[Claim, ...]:
    """Return the checklist of one preset; `tasks` are its five columns, one a task."""
    found = [claim for kind in WAVELETS for claim in _beats_token_space(tasks, kind)]
    found += [claim for kind in WAVELETS for claim in _beats_fourier(tasks, kind)]
    for attention in (name for name, known in ATTENTIONS.items() if known.published):
        gain = pairs.gain(tasks, method("wise_adaptive", attention), method("vanilla", attention))
        found.append(Claim("adaptive wavelet space helps each attention", f"{AVERAGE}, {attention}", gain))
    for ours in WAVELETS.values():
        extra = pairs.gain(tasks, ours, TOKEN, pairs.in_time)
        found.append(Claim("wavelet space adds little training time", f"{AVERAGE}, {ours[0]}", extra, "time"))
    return (*found, *_remains(tasks, numbers))


def _beats_token_space(tasks: Sequence[Column], kind: str) -> Iterable[Claim]:
    name = f"{kind} wavelet space beats token space"
    yield Claim(name, AVERAGE, pairs.gain(tasks, WAVELETS[kind], TOKEN))
    yield from (Claim(name, task.label, pairs.gain([task], WAVELETS[kind], TOKEN)) for task in tasks)


def _beats_fourier(tasks: Sequence[Column], kind: str) -> Iterable[Claim]:
    name = f"{kind} wavelet space beats the Fourier methods"
    for fourier in dict.fromkeys(known.fourier for known in BACKBONES.values() if known.fourier):
        other = better_form(tasks, fourier)
        yield Claim(name, f"{AVERAGE}, {other[0]}", pairs.gain(tasks, WAVELETS[kind], other))


def better_form(tasks: Sequence[Column], fourier: str) -> Method:
    """Return a Fourier method's first form, or a later one whose mean validation accuracy is higher.

    The mean is over the tasks, at the seeds that both have in all of them.
    """
    best, *others = [method(name) for name, known in BACKBONES.items() if known.fourier == fourier]
    for other in others:
        gains = pairs.differences(tasks, other, best, pairs.in_validation)
        best = other if gains and fmean(gains) > 0 else best
    return best


def _remains(tasks: Sequence[Column], numbers: Numbers) -> Iterable[Claim]:
    name, ours = (
        "some of adaptive wavelet space's published gain remains at an equal recipe",
        WAVELETS["adaptive"],
    )
    given: dict[str, float] = {}
    for task in tasks:
        printed, other = (numbers.get((*row, task.task)) for row in (ours, TOKEN))
        if printed and other and task.comparable:
            given[task.task] = printed.accuracy - other.accuracy
    whole = fmean(given.values()) if len(given) == len(tasks) else None
    yield Claim(name, AVERAGE, None if whole is None else pairs.gain(tasks, ours, TOKEN), given=whole)
    for task in tasks:
        if task.task in given:
            yield Claim(name, task.label, pairs.gain([task], ours, TOKEN), given=given[task.task])


def grouped(found: Iterable[Claim]) -> list[tuple[str, list[Claim]]]:
    """Return each claim's name with its lines."""
    return [(name, list(lines)) for name, lines in groupby(found, key=lambda claim: claim.name)]


def tally(found: Sequence[Claim]) -> dict[Verdict, int]:
    """Return how many lines came to each verdict, those that no line came to left out."""
    counts = Counter(claim.verdict for claim in found)
    verdicts: tuple[Verdict, ...] = get_args(Verdict)
    return {verdict: counts[verdict] for verdict in verdicts if counts[verdict]}
