"""What bench/replay shows: its tables on the terminal, and the same as JSON.

A *quantity* is one thing that each replay tells: a time, or memory at some moment. It has a row for
each trace, and a table of its own in the JSON document.
"""

from __future__ import annotations

import dataclasses
import datetime
import os
import statistics
import typing
from collections.abc import Callable

from rich import box
from rich.console import Console
from rich.table import Table

import figures
import machine
import tables
from catalog import SUBJECT, Allocator
from rows import Row

if typing.TYPE_CHECKING:
    from comparison import Comparison, Run, Trace

MIDDLE = 0.6  # The share of the runs, around the median, that "low" and "high" embrace.


@dataclasses.dataclass
class Quantity:
    key: str
    title: str
    unit: str
    rows: list[Row]
    series: dict[tuple[str, str], list[float | None]]  # By row and allocator, run by run.


def quantities(comparison: Comparison) -> list[Quantity]:
    def resident_at_peak(trace: Trace, run: Run) -> float:
        return run.sample.memory_kib / _peak_live_kib(trace)

    return [
        _times(comparison),
        _quantity(comparison, "memory", "Peak memory", "KiB", lambda _, r: r.sample.memory_kib),
        _quantity(comparison, "resident", "Resident over live", "ratio", resident_at_peak),
        _quantity(
            comparison,
            "resident_mean",
            "Resident over live, mean",
            "ratio",
            lambda _, run: _mean_resident_over_live(run),
        ),
        _quantity(
            comparison,
            "end",
            "Resident at the end",
            "KiB",
            lambda _, run: run.points[-1].resident_kib,
        ),
        _quantity(
            comparison, "left", "Resident when all is freed", "KiB", lambda _, run: run.left_kib
        ),
    ]


def _peak_live_kib(trace: Trace) -> float:
    return max(trace.summary["peak_live_bytes"], 1) / 1024


def _times(comparison: Comparison) -> Quantity:
    quantity = Quantity("time", tables.TIME, "ns", [], {})
    for trace in comparison.traces:
        for key in ("first", "again"):
            _add_row(
                comparison,
                quantity,
                trace,
                f"{trace.name}/{key}",
                lambda _, run, key=key: run.sample.times[key],
            )
    return quantity


def _quantity(
    comparison: Comparison, key: str, title: str, unit: str, value: Callable[[Trace, Run], float]
) -> Quantity:
    quantity = Quantity(key, title, unit, [], {})
    for trace in comparison.traces:
        _add_row(comparison, quantity, trace, trace.name, value)
    return quantity


def _add_row(
    comparison: Comparison,
    quantity: Quantity,
    trace: Trace,
    name: str,
    value: Callable[[Trace, Run], float],
) -> None:
    row = Row(name, False, {}, {})
    for allocator in comparison.allocators:
        who = allocator.name
        runs = comparison.runs[trace.name, who]
        series = [value(trace, run) if run else None for run in runs]
        quantity.series[name, who] = series
        made = [number for number in series if number is not None]
        if (trace.name, who) in comparison.failures:
            row.failed[who] = comparison.failures[trace.name, who].verdict
        elif made:
            # Nothing may be left at all, and zero has no logarithm.
            row.values[who] = figures.typical(made) if min(made) > 0 else statistics.median(made)
    _compare_subject(row, quantity)
    if row.values or row.failed:
        quantity.rows.append(row)


def _compare_subject(row: Row, quantity: Quantity) -> None:
    peers = {who: value for who, value in row.values.items() if who != SUBJECT}
    if SUBJECT not in row.values or not peers:
        return
    row.peer = min(peers, key=peers.get)
    both = zip(quantity.series[row.name, SUBJECT], quantity.series[row.name, row.peer])
    pairs = [pair for pair in both if all(pair)]
    row.interval = figures.paired_ratio(*zip(*pairs)) if pairs else None


def _median_run(runs: list[Run | None]) -> Run | None:
    """The run whose peak of memory is in the middle."""
    made = sorted((run for run in runs if run), key=lambda run: run.sample.memory_kib)
    return made[len(made) // 2] if made else None


def _mean_resident_over_live(run: Run) -> float:
    """Of the whole trace: long stretches of much memory weigh more than the first moments."""
    live = statistics.fmean(point.live_kib for point in run.points)
    return statistics.fmean(point.resident_kib for point in run.points) / max(live, 1)


def print_setting(console: Console, allocators: list[Allocator], traces: list[Trace]) -> None:
    tables.print_setting(console, allocators)
    table = Table("Trace", "program", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for title in ("operations", "threads", "objects", "most live"):
        table.add_column(title, justify="right")
    for trace in traces:
        found = trace.summary
        table.add_row(
            trace.name,
            found["program"],
            f"{found['operations']:,}",
            f"{found['threads']}",
            f"{found['objects']:,}",
            _mib(_peak_live_kib(trace)),
        )
    console.print(table)


def print_all(console: Console, comparison: Comparison, found: list[Quantity]) -> None:
    by_key = {quantity.key: quantity for quantity in found}
    compared = {q.title: q.rows for q in (by_key["time"], by_key["memory"])}
    tables.print_results(console, comparison.allocators, compared, with_targets=False)
    _print_values(
        console,
        comparison,
        "Resident over live",
        {"peak": by_key["resident"], "mean": by_key["resident_mean"]},
        "{:.2f}".format,
    )
    _print_values(
        console,
        comparison,
        "Resident afterwards",
        {"end": by_key["end"], "all freed": by_key["left"]},
        _mib,
    )
    tables.print_failures(console, comparison.failures)


def _print_values(
    console: Console,
    comparison: Comparison,
    title: str,
    kinds: dict[str, Quantity],
    show: Callable[[float], str],
) -> None:
    """A table of the values themselves, which are easier to read here than ratios to the best."""
    names = [allocator.name for allocator in comparison.allocators]
    table = Table(title, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    for number, trace in enumerate(comparison.traces):
        for kind, quantity in kinds.items():
            row = next((row for row in quantity.rows if row.name == trace.name), None)
            if row:
                cells = [
                    show(row.values[who]) if who in row.values else row.failed.get(who, "")
                    for who in names
                ]
                table.add_row(f"{trace.name}, {kind}", *cells)
    console.print(table)


def _mib(kib: float) -> str:
    return f"{kib / 1024:.1f} MiB" if kib >= 1024 else f"{kib:.0f} KiB"


def document(comparison: Comparison, found: list[Quantity]) -> dict:
    """Everything, in the form that bench/compare --json has."""
    return {
        "format": 1,
        "kind": "replay",
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "commit": next((a.version for a in comparison.allocators if a.name == SUBJECT), ""),
        "machine": machine.describe() | {"cpus": os.cpu_count(), "busy": machine.busy_share()},
        "allocators": [
            {key: getattr(a, key) for key in ("name", "version", "library", "is_packaged")}
            for a in comparison.allocators
        ],
        "subject": SUBJECT,
        "traces": [{"name": t.name, **t.summary} for t in comparison.traces],
        "tables": [_table(comparison, quantity) for quantity in found],
        "timelines": _timelines(comparison),
        "latency": [],
        "scaling": [],
        "samples": [
            {
                "task": task,
                "allocator": allocator,
                "runs": [run and dataclasses.asdict(run.sample) for run in runs],
            }
            for (task, allocator), runs in comparison.runs.items()
        ],
    }


def _table(comparison: Comparison, quantity: Quantity) -> dict:
    means = {}
    for who in (allocator.name for allocator in comparison.allocators):
        ratios = [
            row.values[who] / row.best
            for row in quantity.rows
            if row.values.get(who) and row.best > 0
        ]
        if ratios:
            means[who] = figures.geometric_mean(ratios)
    return {
        "key": quantity.key,
        "title": quantity.title,
        "unit": quantity.unit,
        "rows": [_row(quantity, row) for row in quantity.rows],
        "means": {"all rows": means},
    }


def _row(quantity: Quantity, row: Row) -> dict:
    bounds = {who: _middle(quantity.series[row.name, who]) for who in row.values}
    interval = row.interval
    return {
        "name": row.name,
        "task": row.name.partition("/")[0],
        "group": "traces",
        "values": row.values,
        "low": {who: low for who, (low, _) in bounds.items()},
        "high": {who: high for who, (_, high) in bounds.items()},
        "failed": row.failed,
        "peer": row.peer,
        "ratio": interval and interval.ratio,
        "ratio_low": interval and interval.low,
        "ratio_high": interval and interval.high,
        "runs": interval.runs if interval else 0,
        "target": "",
        "verdict": "",
    }


def _middle(series: list[float | None]) -> tuple[float, float]:
    values = sorted(value for value in series if value is not None)
    cut = int(len(values) * (1 - MIDDLE) / 2)
    return values[cut], values[-1 - cut]


def _timelines(comparison: Comparison) -> list[dict]:
    """One for each trace and allocator. Time is counted in operations, since a trace has no other:
    `points` and `live` are lists of [thousandths of the trace, KiB]."""
    found = []
    for (task, allocator), runs in comparison.runs.items():
        if run := _median_run(runs):
            found.append(
                {
                    "task": task,
                    "allocator": allocator,
                    "unit": "thousandths of the operations",
                    "points": [[point.share, point.resident_kib] for point in run.points],
                    "live": [[point.share, point.live_kib] for point in run.points],
                }
            )
    return found
