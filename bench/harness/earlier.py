"""Results as they were written before: brought into the form in which they are written now.

In format 1 whatever memory stayed after the last free was in one table with the peaks, the time of
rows that measure none was that of their process, and each row of system time counted, down to a
single tick of the clock. Their rows are sorted here by what rows.toml says today.
"""

from __future__ import annotations

from typing import Any

import means
import quantities
from catalog import TOP, Folders, load_tasks

COSTS = ("time", "cpu", "system", "faults")
EVERY = "?*"  # Those, too, that stand apart.


def brought_up(document: dict[str, Any]) -> dict[str, Any]:
    if document["format"] != 1:
        return document
    if document["kind"] == "compare":
        names = [allocator["name"] for allocator in document["allocators"]]
        tables = [sorted_ for table in document["tables"] for sorted_ in _sorted(table, names)]
        document = document | {"tables": tables}
    return document | {"format": 2}


def _sorted(table: dict[str, Any], names: list[str]) -> list[dict[str, Any]]:
    """The tables that one has become."""
    tasks = {task.name: task for task in load_tasks(Folders(TOP / "build"), EVERY, True)}

    def marked(row: dict[str, Any], what: str, mark: str) -> bool:
        return row["task"] in tasks and getattr(tasks[row["task"]], what) == mark

    rows = table["rows"]
    if table["key"] in COSTS:
        rows = [row for row in rows if not marked(row, "time", "none")]
    if table["key"] == "system":
        rows = [
            row
            for row in rows
            if min(row["values"].values(), default=0) >= quantities.LEAST_SYSTEM_NS
        ]
    if table["key"] == "memory":
        stays = [row for row in rows if marked(row, "memory", "stays")]
        rows = [row for row in rows if row not in stays]
        stayed = _with(table | {"key": "stays", "title": quantities.STAYS}, stays, names)
        return [each for each in (_with(table, rows, names), stayed) if each["rows"]]
    if table["key"] == "resident":
        table = table | {"title": quantities.RESIDENT}
    return [_with(table, rows, names)]


def _with(
    table: dict[str, Any], rows: list[dict[str, Any]], names: list[str]
) -> dict[str, Any]:
    """A table of fewer rows. What compares all of them needs single runs, which are not kept."""
    if rows == table["rows"]:
        return table
    kept = {key: value for key, value in table.items() if key != "mean_ratios"}
    found = means.by_group([(row["group"], row["values"]) for row in rows], names)
    return kept | {"rows": rows, "means": found}
