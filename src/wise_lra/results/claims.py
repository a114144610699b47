"""The paper's claims as a checklist computed from records of one preset, and what its baselines leave open."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Literal, get_args

from wise_lra.registry import ATTENTIONS
from wise_lra.results import pairs
from wise_lra.results.columns import Column
from wise_lra.results.pairs import Method
from wise_lra.results.published import Numbers, published
from wise_lra.results.statistics import Interval, paired

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
TOKEN, FIXED, ADAPTIVE = (("vanilla", "softmax"), ("wise_fixed", "softmax"), ("wise_adaptive", "softmax"))
FNET, FNET_PRENORM, FOURIER = ("fnet", "none"), ("fnet_prenorm", "none"), ("fourier_attention", "softmax")


@dataclass(frozen=True)
class Claim:
    """A line of the checklist: `name` is shared by lines of one claim, `of` is what this one is about.

    `found` is a difference in accuracy, or of training time where `unit` is "time", as shares. `given` is the
    published gain that it is held against.
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
    return (
        *_everywhere(tasks, "fixed wavelet space beats token space", FIXED, TOKEN),
        *_everywhere(tasks, "adaptive wavelet space beats token space", ADAPTIVE, TOKEN),
        *_beats_fourier(tasks, "fixed", FIXED),
        *_beats_fourier(tasks, "adaptive", ADAPTIVE),
        *_helps_each_attention(tasks),
        *_little_time(tasks),
        *_remains(tasks, numbers),
    )


def _everywhere(tasks: Sequence[Column], name: str, ours: Method, other: Method) -> Iterable[Claim]:
    yield Claim(name, AVERAGE, _difference(tasks, ours, other))
    yield from (Claim(name, task.label, _difference([task], ours, other)) for task in tasks)


def _beats_fourier(tasks: Sequence[Column], kind: str, ours: Method) -> Iterable[Claim]:
    name = f"{kind} wavelet space beats the Fourier methods"
    for method in (better_fnet(tasks), FOURIER):
        yield Claim(name, f"{AVERAGE}, {method[0]}", _difference(tasks, ours, method))


def better_fnet(tasks: Sequence[Column]) -> Method:
    """Return FNet's published block, or the pre-norm one where its mean validation accuracy is higher.

    The mean is over the tasks, at the seeds that both have in all of them.
    """
    gains = pairs.differences(tasks, FNET_PRENORM, FNET, pairs.in_validation)
    return FNET_PRENORM if gains and fmean(gains) > 0 else FNET


def _helps_each_attention(tasks: Sequence[Column]) -> Iterable[Claim]:
    for attention in (name for name, known in ATTENTIONS.items() if known.published):
        gain = _difference(tasks, ("wise_adaptive", attention), ("vanilla", attention))
        yield Claim("adaptive wavelet space helps each attention", f"{AVERAGE}, {attention}", gain)


def _little_time(tasks: Sequence[Column]) -> Iterable[Claim]:
    for method in (FIXED, ADAPTIVE):
        extra = paired(pairs.differences(tasks, method, TOKEN, pairs.in_time))
        yield Claim("wavelet space adds little training time", f"{AVERAGE}, {method[0]}", extra, "time")


def _remains(tasks: Sequence[Column], numbers: Numbers) -> Iterable[Claim]:
    name = "some of adaptive wavelet space's published gain remains at an equal recipe"
    gains = [_published_gain(task, numbers) for task in tasks]
    there = [(task, gain) for task, gain in zip(tasks, gains, strict=True) if gain is not None]
    whole = fmean(gain for _, gain in there) if len(there) == len(tasks) else None
    yield Claim(name, AVERAGE, None if whole is None else _difference(tasks, ADAPTIVE, TOKEN), given=whole)
    for task, gain in there:
        yield Claim(name, task.label, _difference([task], ADAPTIVE, TOKEN), given=gain)


def _published_gain(task: Column, numbers: Numbers) -> float | None:
    ours, other = (published(numbers, *method, task.task) for method in (ADAPTIVE, TOKEN))
    return ours.accuracy - other.accuracy if ours and other and task.comparable else None


def _difference(tasks: Sequence[Column], ours: Method, other: Method) -> Interval | None:
    return paired(pairs.differences(tasks, ours, other))


def tally(found: Sequence[Claim]) -> str:
    """Return "holds 2/6, not enough runs 4/6"."""
    counts = Counter(claim.verdict for claim in found)
    verdicts: tuple[Verdict, ...] = get_args(Verdict)
    return ", ".join(f"{v} {counts[v]}/{len(found)}" for v in verdicts if counts[v])
