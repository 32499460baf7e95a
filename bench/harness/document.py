"""The JSON document that bench/compare --json writes: reading it, and the questions asked of it.

document.schema.json says what a document holds. Times are in nanoseconds, memory in KiB.
"""

from __future__ import annotations

import json
import pathlib
from typing import Any

import jsonschema

import earlier

SCHEMA = pathlib.Path(__file__).with_name("document.schema.json")

Document = dict[str, Any]
Row = dict[str, Any]
Table = dict[str, Any]

FAR = 1.10  # From this ratio on, the subject counts as behind.


class Unusable(Exception):
    """A file that is no such document. The text is one line for the user."""


def load(path: pathlib.Path) -> Document:
    try:
        document = json.loads(path.read_text())
    except OSError as error:
        raise Unusable(f"cannot read {path}: {error.strerror}") from None
    except ValueError as error:
        raise Unusable(
            f"{path} is not JSON ({error}); write one with bench/compare --json"
        ) from None
    validator = jsonschema.Draft7Validator(json.loads(SCHEMA.read_text()))
    if fault := jsonschema.exceptions.best_match(validator.iter_errors(document)):
        place = "/".join(str(step) for step in fault.absolute_path) or "top"
        what = " ".join(fault.message.split())
        if len(what) > 120:
            what = f"does not fit {fault.validator!r}"
        raise Unusable(f"{path} is no result of bench/compare --json: at {place}: {what}")
    if unknown := _mentioned(document) - set(names(document)):
        raise Unusable(f"{path} has figures of {min(unknown)}, which is not among its allocators")
    return earlier.brought_up(document)


def _mentioned(document: Document) -> set[str]:
    """All allocators that have a figure or a curve."""
    curves = [each for key in ("timelines", "latency", "scaling") for each in document.get(key, [])]
    rows = [row for each in document["tables"] for row in each["rows"]]
    return {curve["allocator"] for curve in curves}.union(*(row["values"] for row in rows))


def names(document: Document) -> list[str]:
    """The allocators, in the order of the columns."""
    return [allocator["name"] for allocator in document["allocators"]]


def subject(document: Document) -> str:
    """The allocator that the document is about; empty if it took no part."""
    return document["subject"] if document["subject"] in names(document) else ""


def table(document: Document, key: str) -> Table | None:
    return next((t for t in document["tables"] if t["key"] == key and t["rows"]), None)


def means(found: Table | None, group: str = "") -> dict[str, float]:
    """The means of a group of rows, or of all: those are the last, and may be those of a group."""
    every = (found or {}).get("means", {})
    return every.get(group, {}) if group else next(reversed(every.values()), {})


def counted(found: Table) -> int:
    """The rows that the means are of."""
    return sum(bool(best(row)) for row in found["rows"])


def best(row: Row) -> float | None:
    return min(row["values"].values(), default=None)


def ratio(row: Row, name: str, key: str = "values") -> float | None:
    """The allocator's value, or an end of its spread, divided by the best value of the row."""
    value, least = row.get(key, {}).get(name), best(row)
    return None if value is None or not least else value / least


def is_noise(row: Row) -> bool:
    """Could it be that the subject and its best peer do not differ?"""
    low, high = row.get("ratio_low"), row.get("ratio_high")
    return low is not None and high is not None and low <= 1 <= high


def groups(found: Table) -> dict[str, list[Row]]:
    """The rows by group, both in the order of the document."""
    grouped: dict[str, list[Row]] = {}
    for row in found["rows"]:
        grouped.setdefault(row["group"], []).append(row)
    return grouped


def failures(document: Document) -> list[tuple[str, str, str, list[str]]]:
    """Each (task, allocator, what happened, rows that lack a figure for it) once."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for each in document["tables"]:
        for row in each["rows"]:
            for name, what in row.get("failed", {}).items():
                rows = found.setdefault((row["task"], name, what), [])
                if row["name"] not in rows:
                    rows.append(row["name"])
    return [(*key, rows) for key, rows in found.items()]


def behind(document: Document) -> list[tuple[Table, Row, float]]:
    """Where the subject is more than FAR times the best of the row, the farthest first."""
    who = subject(document)
    found = [
        (each, row, ratio(row, who) or 0) for each in document["tables"] for row in each["rows"]
    ]
    return sorted((entry for entry in found if entry[2] > FAR), key=lambda entry: -entry[2])
