"""The regression check: which rows of two results differ by more than their noise.

A row is judged by the ratio of the subject to the best other allocator, since what makes a machine
slower from one day to the next slows both. The two intervals become one test (Welch's, on the
logarithms of the ratios). There are many rows, and one in twenty would differ at 95 % by luck
alone; Holm's correction (1979) bounds the chance that even one of those named is luck. A row
without an interval is judged by whether the spreads of the subject's values lie apart.
"""

from __future__ import annotations

import dataclasses
import math

from scipy import stats

import document as doc
import figures
from effort import RUNS_FOR_VERDICT

LUCK = 1 - figures.CONFIDENCE  # The chance that any row at all is named by luck.
LEAST = 1.02  # A change by a smaller factor is not named.

WORSE, BETTER = "worse", "better"


@dataclasses.dataclass(frozen=True)
class Change:
    """A row that moved. `factor` is new over old; what is compared is a ratio or a value."""

    table: str
    row: str
    old: float
    new: float
    unit: str
    factor: float
    chance: float | None  # That noise alone does this, with Holm's correction; None: not known.
    note: str = ""

    @property
    def size(self) -> float:
        """How far it moved, either way. What has come down to nothing moved without end."""
        return max(self.factor, 1 / self.factor) if self.factor else math.inf

    @property
    def way(self) -> str:
        return WORSE if self.factor > 1 else BETTER


@dataclasses.dataclass
class Comparison:
    changes: list[Change]  # The worst first.
    tested: int  # Rows with intervals in both.
    by_spread: int  # Rows compared by their spreads.
    by_luck: float  # How many of the rows tested 95 % intervals alone would have named by luck.
    fails: list[str]  # "row: what happens", where the subject failed only in the new result.
    mended: list[str]
    only_old: list[str]
    only_new: list[str]

    @property
    def is_worse(self) -> bool:
        return bool(self.fails) or any(change.way == WORSE for change in self.changes)


def compare(old: doc.Document, new: doc.Document, least: float = LEAST) -> Comparison:
    """Both documents must have the same subject."""
    who = new["subject"]
    olds, news = _rows(old), _rows(new)
    common = [key for key in news if key in olds]
    tested: list[tuple[Change, float]] = []
    apart: list[Change] = []
    fails, mended, spreads = [], [], 0
    for key in common:
        before, after = olds[key][1], news[key][1]
        what, was = after.get("failed", {}).get(who), before.get("failed", {}).get(who)
        if what and not was:
            fails.append(f"{_name(news[key])}: {what}")
        elif was and not what:
            mended.append(f"{_name(news[key])}: was {was}")
        elif (chance := _chance(before, after)) is not None:
            tested.append((_by_ratio(news[key], before, after), chance))
        elif who in before["values"] and who in after["values"]:
            spreads += 1
            if _are_apart(before, after, who):
                apart.append(_by_value(news[key], before, after, who))
    adjusted = holm([chance for _, chance in tested])
    changes = apart + [
        dataclasses.replace(change, chance=chance)
        for (change, _), chance in zip(tested, adjusted)
        if chance < LUCK
    ]
    named = [change for change in changes if change.size >= least]
    return Comparison(
        sorted(named, key=lambda change: -change.factor),
        len(tested),
        spreads,
        LUCK * len(tested),
        fails,
        mended,
        [_name(olds[key]) for key in olds if key not in news],
        [_name(news[key]) for key in news if key not in olds],
    )


def holm(chances: list[float]) -> list[float]:
    """Adjusted such that the chance of even one wrong finding below a level is that level."""
    order = sorted(range(len(chances)), key=chances.__getitem__)
    adjusted, highest = [0.0] * len(chances), 0.0
    for place, index in enumerate(order):
        highest = max(highest, min(1.0, chances[index] * (len(chances) - place)))
        adjusted[index] = highest
    return adjusted


def _rows(document: doc.Document) -> dict[tuple[str, str], tuple[doc.Table, doc.Row]]:
    return {
        (table["key"], row["name"]): (table, row)
        for table in document["tables"]
        for row in table["rows"]
    }


def _name(entry: tuple[doc.Table, doc.Row]) -> str:
    return f"{entry[0]['title'].lower()} of {entry[1]['name']}"


def _chance(before: doc.Row, after: doc.Row) -> float | None:
    """That the two ratios differ so much by noise alone; None if an interval is missing."""
    if any(row.get(key) is None for row in (before, after) for key in ("ratio_low", "ratio_high")):
        return None
    if min(before["ratio_low"], after["ratio_low"]) <= 0:
        return None
    (old, old_error, old_count), (new, new_error, new_count) = _moments(before), _moments(after)
    if old_error == new_error == 0:
        return 0.0 if old != new else 1.0
    deviations = old_error * math.sqrt(old_count), new_error * math.sqrt(new_count)
    return stats.ttest_ind_from_stats(
        old, deviations[0], old_count, new, deviations[1], new_count, equal_var=False
    ).pvalue


def _moments(row: doc.Row) -> tuple[float, float, int]:
    """The logarithm of the ratio, its standard error, and how many runs trimming left."""
    runs = row.get("runs") or RUNS_FOR_VERDICT
    count = max(2, runs - 2 * int(figures.TRIMMED * runs))
    width = math.log(row["ratio_high"] / row["ratio_low"])
    reach = stats.t.ppf((1 + figures.CONFIDENCE) / 2, count - 1)
    return math.log(row["ratio"]), width / (2 * reach), count


def _by_ratio(entry: tuple[doc.Table, doc.Row], before: doc.Row, after: doc.Row) -> Change:
    table, row = entry
    old, new = before["ratio"], after["ratio"]
    note = ""
    if before.get("peer") != after.get("peer"):
        note = f"best other was {before.get('peer')}, is {after.get('peer')}"
    return Change(table["title"], row["name"], old, new, "", new / old, None, note)


def _are_apart(before: doc.Row, after: doc.Row, who: str) -> bool:
    ends = [
        row.get(key, {}).get(who, row["values"][who])
        for row in (before, after)
        for key in ("low", "high")
    ]
    return ends[1] < ends[2] or ends[3] < ends[0]


def _by_value(
    entry: tuple[doc.Table, doc.Row], before: doc.Row, after: doc.Row, who: str
) -> Change:
    table, row = entry
    old, new = before["values"][who], after["values"][who]
    factor = new / old if old else math.inf
    return Change(table["title"], row["name"], old, new, table["unit"], factor, None, "by value")
