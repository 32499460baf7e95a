"""The result of a comparison as one JSON document: what reports and records are made of."""

from __future__ import annotations

import dataclasses
import datetime
import json
import pathlib
from collections import defaultdict

import figures
import machine
from catalog import SUBJECT, Allocator, commit
from rows import Row, Rows, Samples

FORMAT = 2  # Those of 1 are read, too: see earlier.py.
NOT_BUILT = "(the tree; the library was there already)"  # Behind the commit.
SCALING = "threads"  # The workload whose rows are numbers of threads.


def build(
    kind: str,
    allocators: list[Allocator],
    tables: list[Rows],
    samples: Samples,
    busy: float,
) -> dict:
    names = [allocator.name for allocator in allocators]
    # As it was when the runs began: who edits a text meanwhile changes nothing of what is measured.
    versions = {allocator.name: allocator.version for allocator in allocators}
    return {
        "format": FORMAT,
        "kind": kind,
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "commit": versions.get(SUBJECT) or commit(),
        "machine": machine.describe() | {"busy": round(busy, 3)},
        "allocators": [
            {
                "name": a.name,
                "version": a.version,
                "library": a.library,
                "is_packaged": a.is_packaged,
            }
            for a in allocators
        ],
        "subject": SUBJECT,
        "tables": [_table(table, names) for table in tables],
        "timelines": _timelines(samples),
        "latency": _latency(samples),
        "scaling": _scaling(tables),
        "samples": _samples(samples),
    }


def write(document: dict, path: pathlib.Path) -> None:
    path.write_text(json.dumps(document, indent=1) + "\n")


def _table(table: Rows, names: list[str]) -> dict:
    quantity = table.quantity
    return {
        "key": quantity.key,
        "title": quantity.title,
        "unit": quantity.unit,
        "rows": [_row(row) for row in table.rows],
        "means": table.means(names),
        "mean_ratios": {
            name: dataclasses.asdict(ratio) for name in names if (ratio := table.mean_ratio(name))
        },
    }


def _row(row: Row) -> dict:
    ratio = row.interval
    return {
        "name": row.name,
        "task": row.task,
        "group": row.group,
        "values": row.values,
        "low": {name: low for name, (low, _) in row.spread.items()},
        "high": {name: high for name, (_, high) in row.spread.items()},
        "failed": row.failed,
        "peer": row.peer,
        "ratio": ratio and ratio.ratio,
        "ratio_low": ratio and ratio.low,
        "ratio_high": ratio and ratio.high,
        "runs": ratio.runs if ratio else 0,
        "target": row.target,
        "verdict": row.verdict,
    }


def _timelines(samples: Samples) -> list[dict]:
    return [
        {
            "task": task,
            "allocator": name,
            # The last look finds a process that is ending.
            "points": next(run.looks for run in series if run and run.looks)[:-1],
        }
        for (task, name), series in samples.items()
        if any(run and len(run.looks) > 1 for run in series)
    ]


def _latency(samples: Samples) -> list[dict]:
    """The histograms of all runs of a row, as one."""
    found = []
    for (task, name), series in samples.items():
        sums: dict[str, dict[float, int]] = defaultdict(lambda: defaultdict(int))
        for run in series:
            for key, histogram in run.histograms.items() if run else ():
                for bound, count in histogram:
                    sums[key][bound] += count
        for key, counts in sums.items():
            histogram = sorted(counts.items())
            found.append(
                {
                    "row": f"{task}/{key}" if key else task,
                    "allocator": name,
                    "percentiles": figures.percentiles(histogram),
                    "histogram": histogram,
                }
            )
    return found


def _scaling(tables: list[Rows]) -> list[dict]:
    points: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for table in tables:
        for row in table.rows if table.quantity.key == "time" else ():
            if row.task == SCALING and row.name != SCALING:
                for name, value in row.values.items():
                    points[name].append((int(row.name.partition("/")[2]), value))
    return [{"row": SCALING, "allocator": name, "points": sorted(p)} for name, p in points.items()]


def _samples(samples: Samples) -> list[dict]:
    def plain(run):
        fields = dataclasses.asdict(run)
        del fields["histograms"], fields["looks"]  # They stand above, summed up.
        return fields

    return [
        {"task": task, "allocator": name, "runs": [run and plain(run) for run in series]}
        for (task, name), series in samples.items()
    ]
