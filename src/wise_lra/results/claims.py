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
TOKEN, ADAPTIVE = method("vanilla"), method("wise_adaptive")


@dataclass(frozen=True)
class Claim:
    """A line of the checklist: `name` is shared by lines of one claim, `of` is what this one is about.

    `estimate` is a difference in accuracy, or of training time where `unit` is "time", as shares. `printed` is the
    published gain that it is compared with.
    """

    name: str
    of: str
    estimate: Interval | None
    unit: Literal["accuracy", "time"] = "accuracy"
    printed: float | None = None

    @property
    def verdict(self) -> Verdict:
        """What RULE says."""
        if self.estimate is None or self.estimate.n < 2:
            return "not enough runs"
        shown = self.estimate.high < LITTLE if self.unit == "time" else self.estimate.low > 0
        if shown and not self.estimate.std:
            return "not enough runs"
        return "holds" if shown else "does not hold"

    @property
    def remains(self) -> Interval | None:
        """How much of a published gain is found, as a share of it; None without one to share."""
        if self.estimate is None or not self.printed or self.printed < 0:
            return None
        mean, low, high = (
            end / self.printed for end in (self.estimate.mean, self.estimate.low, self.estimate.high)
        )
        return replace(self.estimate, mean=mean, low=low, high=high, std=None)


def claims(tasks: Sequence[Column], numbers: Numbers) -> tuple[Claim, ...]:
    """Return the checklist of one preset; `tasks` are its five columns, one a task."""
    wavelets = {known.wavelets: method(name) for name, known in BACKBONES.items() if known.wavelets}
    fourier = dict.fromkeys(known.fourier for known in BACKBONES.values() if known.fourier)
    everywhere = [(AVERAGE, tasks), *((task.label, [task]) for task in tasks)]
    result = []
    for kind, ours in wavelets.items():
        name = f"{kind} wavelet space beats token space"
        result += [Claim(name, of, pairs.gain(columns, ours, TOKEN)) for of, columns in everywhere]
    for kind, ours in wavelets.items():
        name = f"{kind} wavelet space beats the Fourier methods"
        others = [better_form(tasks, form) for form in fourier]
        result += [Claim(name, f"{AVERAGE}, {other[0]}", pairs.gain(tasks, ours, other)) for other in others]
    name = "adaptive wavelet space helps each attention"
    for attention in (attention for attention, known in ATTENTIONS.items() if known.published):
        gain = pairs.gain(tasks, method(ADAPTIVE[0], attention), method(TOKEN[0], attention))
        result.append(Claim(name, f"{AVERAGE}, {attention}", gain))
    name = "wavelet space adds little training time"
    for ours in wavelets.values():
        gain = pairs.gain(tasks, ours, TOKEN, pairs.in_time)
        result.append(Claim(name, f"{AVERAGE}, {ours[0]}", gain, "time"))
    name = "some of adaptive wavelet space's published gain remains at an equal recipe"
    printed = _published_gains(tasks, numbers)
    for of, columns in everywhere:
        if of in printed:
            result.append(Claim(name, of, pairs.gain(columns, ADAPTIVE, TOKEN), printed=printed[of]))
        elif of == AVERAGE:
            result.append(Claim(name, of, None))
    return tuple(result)


def _published_gains(tasks: Sequence[Column], numbers: Numbers) -> dict[str, float]:
    """Return the printed gain of adaptive wavelet space by column, and on average where all tasks have one."""
    gains: dict[str, float] = {}
    for task in tasks:
        ours, other = (numbers.get((*row, task.task)) for row in (ADAPTIVE, TOKEN))
        if ours and other and task.comparable:
            gains[task.label] = ours.accuracy - other.accuracy
    return gains | ({AVERAGE: fmean(gains.values())} if len(gains) == len(tasks) else {})


def better_form(tasks: Sequence[Column], fourier: str) -> Method:
    """Return a Fourier method's first form, or a later one whose mean validation accuracy is higher.

    The mean is over the tasks, at the seeds that both have in all of them.
    """
    best, *others = [method(name) for name, known in BACKBONES.items() if known.fourier == fourier]
    for other in others:
        gains = pairs.differences(tasks, other, best, pairs.in_validation)
        best = other if gains and fmean(gains) > 0 else best
    return best


def grouped(claims: Iterable[Claim]) -> list[tuple[str, list[Claim]]]:
    """Return each claim's name with its lines."""
    return [(name, list(lines)) for name, lines in groupby(claims, key=lambda claim: claim.name)]


def tally(claims: Sequence[Claim]) -> dict[Verdict, int]:
    """Return how many lines came to each verdict, those that no line came to left out."""
    counts = Counter(claim.verdict for claim in claims)
    verdicts: tuple[Verdict, ...] = get_args(Verdict)
    return {verdict: counts[verdict] for verdict in verdicts if counts[verdict]}
