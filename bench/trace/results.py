"""What bench/replay shows: its tables on the terminal, and the same as JSON.

Each thing that a replay tells, a time, or memory at some moment, has a row for each trace, and a
table of its own in the JSON document.
"""

from __future__ import annotations

import statistics
import typing
from collections.abc import Callable

from rich import box
from rich.console import Console
from rich.table import Table

import result
import tables
from catalog import Allocator
from rows import Quantity, Row, Rows, row_of

if typing.TYPE_CHECKING:
    from comparison import Comparison, Run, Trace


def quantities(comparison: Comparison) -> list[Rows]:
    def table(key: str, title: str, unit: str, value: Callable[[Trace, Run], float]) -> Rows:
        rows = [_row(comparison, trace, trace.name, value) for trace in comparison.traces]
        return _table(key, title, unit, rows)

    def resident_at_peak(trace: Trace, run: Run) -> float:
        return run.sample.memory_kib / _peak_live_kib(trace)

    return [
        _times(comparison),
        table("memory", "Peak memory", "KiB", lambda _, run: run.sample.memory_kib),
        table("resident", "Resident over live", "ratio", resident_at_peak),
        table(
            "resident_mean",
            "Resident over live, mean",
            "ratio",
            lambda _, run: _mean_resident_over_live(run),
        ),
        table("end", "Resident at the end", "KiB", lambda _, run: run.points[-1].resident_kib),
        table("left", "Resident when all is freed", "KiB", lambda _, run: run.left_kib),
    ]


def _table(key: str, title: str, unit: str, rows: list[Row]) -> Rows:
    is_headline = key in ("time", "memory")
    quantity = Quantity(key, title, unit, lambda task, sample: {}, is_headline=is_headline)
    return Rows(quantity, [row for row in rows if row.values or row.failed])


def _peak_live_kib(trace: Trace) -> float:
    return max(trace.summary["peak_live_bytes"], 1) / 1024


def _times(comparison: Comparison) -> Rows:
    rows = [
        _row(
            comparison,
            trace,
            f"{trace.name}/{key}",
            lambda _, run, key=key: run.sample.times[key],
        )
        for trace in comparison.traces
        for key in ("first", "again")
    ]
    return _table("time", "Time", "ns", rows)


def _row(
    comparison: Comparison, trace: Trace, name: str, value: Callable[[Trace, Run], float]
) -> Row:
    names = [allocator.name for allocator in comparison.allocators]
    series = {
        who: [value(trace, run) if run else None for run in comparison.runs[trace.name, who]]
        for who in names
    }
    failed = {
        who: comparison.failures[trace.name, who].verdict
        for who in names
        if (trace.name, who) in comparison.failures
    }
    return row_of(name, trace.name, "traces", series, failed)


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


def print_all(console: Console, comparison: Comparison, found: list[Rows]) -> None:
    by_key = {table.quantity.key: table for table in found}
    compared = [by_key["time"], by_key["memory"]]
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
    kinds: dict[str, Rows],
    show: Callable[[float], str],
) -> None:
    """A table of the values themselves, which are easier to read here than ratios to the best."""
    names = [allocator.name for allocator in comparison.allocators]
    table = Table(title, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    for number, trace in enumerate(comparison.traces):
        for kind, values in kinds.items():
            row = next((row for row in values.rows if row.name == trace.name), None)
            if row:
                cells = [
                    show(row.values[who]) if who in row.values else row.failed.get(who, "")
                    for who in names
                ]
                table.add_row(f"{trace.name}, {kind}", *cells)
    console.print(table)


def _mib(kib: float) -> str:
    return f"{kib / 1024:.1f} MiB" if kib >= 1024 else f"{kib:.0f} KiB"


def document(comparison: Comparison, found: list[Rows], busy: float) -> dict:
    """Everything, in the form that bench/compare --json has."""
    samples = {
        place: [run and run.sample for run in runs] for place, runs in comparison.runs.items()
    }
    whole = result.build("replay", comparison.allocators, found, samples, busy)
    whole["traces"] = [{"name": trace.name, **trace.summary} for trace in comparison.traces]
    whole["timelines"] = _timelines(comparison)
    return whole


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
