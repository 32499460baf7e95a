"""How much time a comparison may take, and how many runs of each task come of it."""

from __future__ import annotations

import dataclasses

RUNS_FOR_VERDICT = 15  # A target is judged by an interval that many runs stand behind.


@dataclasses.dataclass(frozen=True)
class Effort:
    """How much time to spend, and within which number of runs of each task."""

    minutes: float
    fewest: int
    most: int


QUICK = Effort(minutes=2, fewest=1, most=3)
USUAL = Effort(minutes=8, fewest=5, most=20)  # Of five runs one disturbed one can be left out.
FULL = Effort(minutes=45, fewest=15, most=40)


def runs_that_fit(costs: list[float], effort: Effort) -> list[int]:
    """How often to run tasks that cost so many seconds a round, to share the time evenly."""

    def runs(share: float) -> list[int]:
        return [min(effort.most, max(effort.fewest, int(share / cost))) for cost in costs]

    budget = effort.minutes * 60

    # Tasks that reach a limit leave more or less to the others; hence the search for the share.
    share = 0.0
    while share < budget and sum(n * cost for n, cost in zip(runs(share), costs)) < budget:
        share += 0.1
    return runs(share)
