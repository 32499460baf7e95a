"""From samples to figures: typical values, paired ratios with their intervals, verdicts, means.

Everything is computed on logarithms, since a ratio of 2 and one of 1/2 are equally far from 1.
Every mean is trimmed: the largest and the smallest fifth of the values are left out, because a run
that was disturbed by something else on the machine says nothing about an allocator. Intervals are
those of the trimmed mean (Tukey and McLaughlin 1963: Student's t with winsorized variance).
"""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Iterable, Sequence

from scipy import stats

from effort import RUNS_FOR_VERDICT

TRIMMED = 0.2
CONFIDENCE = 0.95

WIDEST_FOR_VERDICT = 0.03  # A target is judged by an interval that is narrow enough.

PERCENTILES = ("50", "90", "99", "99.9", "99.99")

# Three pairs, of which none is left out, give an interval that is worth little but not nothing.
FEWEST_FOR_INTERVAL = 3


@dataclasses.dataclass(frozen=True)
class Interval:
    ratio: float
    low: float
    high: float
    runs: int

    @property
    def is_noise(self) -> bool:
        """Could it be that there is no difference?"""
        return self.low <= 1 <= self.high


def typical(values: Sequence[float]) -> float:
    """The trimmed geometric mean."""
    return math.exp(stats.trim_mean([math.log(value) for value in values], TRIMMED))


def middle(values: Sequence[float]) -> tuple[float, float]:
    """Between which two values the runs lie that are not left out."""
    ordered = sorted(values)
    left_out = int(TRIMMED * len(ordered))
    return ordered[left_out], ordered[-1 - left_out]


def interval_of(logs: Sequence[float]) -> Interval | None:
    """How two compare, from the logarithms of the ratios of all rounds; None if those are too few.

    The two runs of a round followed each other closely, so whatever slowed the machine slowed both.
    """
    if len(logs) < FEWEST_FOR_INTERVAL:
        return None
    share = int(TRIMMED * len(logs)) / len(logs)  # What is really left out at either end.
    middle = stats.trim_mean(logs, TRIMMED)
    if share > 0:
        limits = (share, share)
        low, high = stats.mstats.trimmed_mean_ci(logs, limits=limits, alpha=1 - CONFIDENCE)
    else:
        error = max(stats.sem(logs), 1e-12)
        low, high = stats.t.interval(CONFIDENCE, len(logs) - 1, middle, error)
    return Interval(math.exp(middle), math.exp(low), math.exp(high), len(logs))


def percentiles(histogram: Sequence[tuple[float, int]]) -> dict[str, float]:
    """Of a histogram of ascending upper bounds: the bound below which so many per cent lie."""
    total = sum(count for _, count in histogram)
    found = {}
    for percent in PERCENTILES:
        seen = 0
        for bound, count in histogram:
            seen += count
            if seen >= total * float(percent) / 100:
                found[percent] = bound
                break
    found["max"] = histogram[-1][0]
    return found


def mean_ratio(tasks: Iterable[Sequence[Sequence[float]]]) -> Interval | None:
    """The geometric mean of the ratios of all rows, with its interval.

    A task is given as the logarithms of each of its rows, one for each round. Rows of one task were
    measured by the same processes, so they are averaged round by round first: what disturbed one
    disturbed the others. Tasks are independent of one another.
    """
    found = []
    for rows in tasks:
        rounds = [statistics.fmean(logs) for logs in zip(*rows)]
        if interval := interval_of(rounds):
            found.append((len(rows), interval))
    if not found:
        return None
    count = sum(rows for rows, _ in found)
    middle = sum(rows * math.log(each.ratio) for rows, each in found) / count
    # Half the width of an interval on a logarithmic scale stands for its error.
    halves = [rows * math.log(each.high / each.low) / 2 for rows, each in found]
    half = math.hypot(*halves) / count
    fewest = min(each.runs for _, each in found)
    return Interval(math.exp(middle), math.exp(middle - half), math.exp(middle + half), fewest)


def verdict(interval: Interval | None, target: float) -> str:
    """Whether the ratio is at most `target`, as far as these runs can tell."""
    if interval is None or interval.runs < RUNS_FOR_VERDICT:
        return "cannot tell"
    if interval.low > target:
        return "missed"
    return "met" if interval.high - interval.low < WIDEST_FOR_VERDICT else "cannot tell"
