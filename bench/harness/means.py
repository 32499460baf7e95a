"""Geometric means of the ratios to the best of each row: of new results and of stored ones."""

from __future__ import annotations

import statistics
from collections.abc import Iterable

ALL = "all rows"


def to_best(values: dict[str, float]) -> dict[str, float]:
    """By allocator, as far as there is something to divide by."""
    best = min(values.values(), default=0)
    return {name: value / best for name, value in values.items()} if best > 0 else {}


def by_group(
    rows: Iterable[tuple[str, dict[str, float]]], names: list[str]
) -> dict[str, dict[str, float]]:
    """Of rows with their groups: for each group, and at last for all rows if there are several.

    Each allocator's mean is over the rows that it passed.
    """
    groups: dict[str, list[dict[str, float]]] = {}
    for group, values in rows:
        groups.setdefault(group, []).append(to_best(values))
    if len(groups) > 1:
        groups[ALL] = [ratios for group in groups.values() for ratios in group]
    return {label: _means(ratios, names) for label, ratios in groups.items()}


def _means(ratios: list[dict[str, float]], names: list[str]) -> dict[str, float]:
    found = {name: [row[name] for row in ratios if name in row] for name in names}
    return {name: statistics.geometric_mean(each) for name, each in found.items() if each}
