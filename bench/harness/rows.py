"""From the samples of all runs to the rows of the tables, one table for each quantity."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Callable

import figures
import means
import quantities
from catalog import SUBJECT, Allocator, Task
from measure import Failure, Sample

# One entry for each round, None where the run failed or was not made.
Samples = dict[tuple[str, str], list[Sample | None]]
Failures = dict[tuple[str, str], Failure]


@dataclasses.dataclass(frozen=True)
class Quantity:
    """Something that is measured in each run: for each row of a task, by its key, a value."""

    key: str
    title: str
    unit: str
    values: Callable[[Task, Sample], dict[str, float]]
    target: Callable[[Task], float | None] = lambda task: None
    is_headline: bool = False  # Its table is shown; of the others only the means are.
    allowance: Callable[[Task], float] = lambda task: 0  # In the unit, where it is more.
    limit: Callable[[Task], float | None] = lambda task: None  # In the unit, whatever others need.
    least: float = 0  # A row of which the best is less is left out: it could not be told apart.


def _cost(values: Callable[[Sample], dict[str, float]]) -> Callable:
    """Of the tasks whose cost is of interest."""
    return lambda task, sample: {} if task.time == "none" else values(sample)


def _memory(title: str, key: str, is_of: Callable[[Task], bool]) -> Quantity:
    return Quantity(
        key,
        title,
        "KiB",
        lambda task, run: {"": run.memory_kib} if is_of(task) else {},
        lambda task: task.memory_target if is_of(task) else None,
        True,
        lambda task: task.memory_allowance_kib,
        lambda task: task.memory_limit and task.memory_limit * 1024,
    )


def _resident(task: Task, sample: Sample) -> dict[str, float]:
    if task.memory == "none" or sample.live_bytes == 0:
        return {}
    return {"": sample.memory_kib * 1024 / sample.live_bytes}


def _tail(task: Task, sample: Sample) -> dict[str, float]:
    return {
        key: figures.percentiles(histogram)["99.9"] for key, histogram in sample.histograms.items()
    }


QUANTITIES = (
    Quantity(
        "time", "Time", "ns", _cost(lambda run: run.times), lambda task: task.time_target, True
    ),
    _memory(quantities.PEAK, "memory", lambda task: task.memory in ("peak", "own")),
    _memory(quantities.STAYS, "stays", lambda task: task.memory == "stays"),
    Quantity("resident", quantities.RESIDENT, "ratio", _resident),
    Quantity("cpu", "CPU time", "ns", _cost(lambda run: {"": run.cpu_ns})),
    Quantity(
        "system",
        "System time",
        "ns",
        _cost(lambda run: {"": run.system_ns}),
        least=quantities.LEAST_SYSTEM_NS,
    ),
    Quantity("faults", "Page faults", "count", _cost(lambda run: {"": run.faults})),
    Quantity("tail", "Latency, 99.9 %", "ns", _tail),
)


def counter(event: str, title: str) -> Quantity:
    """What the processor counted in a run of its own."""
    return Quantity(
        event,
        title,
        "count",
        _cost(lambda run: {"": run.counts[event]} if event in run.counts else {}),
    )


@dataclasses.dataclass
class Row:
    """One line of a table: typical values by allocator, and the subject against the others."""

    name: str
    task: str
    group: str
    values: dict[str, float]
    spread: dict[str, tuple[float, float]]
    failed: dict[str, str]
    # The subject to each other allocator: the logarithms of all rounds, and what they come to.
    logs: dict[str, list[float]] = dataclasses.field(default_factory=dict)
    ratios: dict[str, figures.Interval] = dataclasses.field(default_factory=dict)
    peer: str = ""
    target: str = ""
    verdict: str = ""
    excess: str = ""  # Over the peer, where that is what the target allows.

    @property
    def best(self) -> float:
        return min(self.values.values())

    @property
    def interval(self) -> figures.Interval | None:
        """The subject against its best peer."""
        return self.ratios.get(self.peer)

    def to_best(self) -> dict[str, float]:
        return means.to_best(self.values)


@dataclasses.dataclass
class Rows:
    """One table."""

    quantity: Quantity
    rows: list[Row]

    def means(self, names: list[str]) -> dict[str, dict[str, float]]:
        """Geometric means of the ratios to the best, the last over all rows."""
        return means.by_group([(row.group, row.values) for row in self.rows], names)

    @property
    def counted(self) -> int:
        """The rows that the means are of."""
        return sum(bool(row.to_best()) for row in self.rows)

    def mean_ratio(self, other: str) -> figures.Interval | None:
        """The subject against one other allocator, over all rows."""
        tasks: dict[str, list[list[float]]] = {}
        for row in self.rows:
            if other in row.logs:
                tasks.setdefault(row.task, []).append(row.logs[other])
        return figures.mean_ratio(tasks.values())


def all_rows(
    quantities: tuple[Quantity, ...],
    tasks: list[Task],
    allocators: list[Allocator],
    samples: Samples,
    failures: Failures,
) -> list[Rows]:
    """A table for each quantity that the runs tell something of."""
    tables = []
    for quantity in quantities:
        rows = []
        for task in tasks:
            runs = {a.name: samples[task.name, a.name] for a in allocators}
            rows += _rows_of(quantity, task, runs, failures)
        if any(row.values for row in rows):
            tables.append(Rows(quantity, rows))
    return tables


def _rows_of(
    quantity: Quantity, task: Task, runs: dict[str, list[Sample | None]], failures: Failures
) -> list[Row]:
    """One row for each key; one of failures alone, where nothing else is left of a task."""
    values = {
        name: [quantity.values(task, run) if run else {} for run in series]
        for name, series in runs.items()
    }
    keys = {key: None for series in values.values() for value in series for key in value}
    failed = {
        name: failures[task.name, name].verdict for name in runs if (task.name, name) in failures
    }
    if not keys and len(failed) == len(runs) and quantity.is_headline:
        keys = {"": None}
    rows = []
    for key in keys:
        series = {name: [value.get(key) for value in values[name]] for name in runs}
        name = f"{task.name}/{key}" if key else task.name
        row = row_of(name, task.name, task.group, series, failed)
        if row.values and row.best < quantity.least:
            continue
        if task.target_of in row.values:
            row.peer = task.target_of
        _judge(row, task, quantity)
        rows.append(row)
    return rows


def row_of(
    name: str, task: str, group: str, series: dict[str, list[float | None]], failed: dict[str, str]
) -> Row:
    """One row from the values of all runs, by allocator; None where a run failed."""
    right = {
        who: [value for value in values if value is not None]
        for who, values in series.items()
        if who not in failed
    }
    right = {who: values for who, values in right.items() if values}
    row = Row(
        name,
        task,
        group,
        {who: _typical(values) for who, values in right.items()},
        {who: figures.middle(values) for who, values in right.items()},
        failed,
    )
    others = [who for who in row.values if who != SUBJECT]
    if SUBJECT not in row.values or not others:
        return row
    row.peer = min(others, key=row.values.get)
    for who in others:
        pairs = [pair for pair in zip(series[SUBJECT], series[who]) if all(pair)]
        row.logs[who] = [math.log(ours / theirs) for ours, theirs in pairs]
        if interval := figures.interval_of(row.logs[who]):
            row.ratios[who] = interval
    return row


def _typical(values: list[float]) -> float:
    """Nothing at all may be left of something, and zero has no logarithm."""
    return figures.typical(values) if min(values) > 0 else statistics.median(values)


def _judge(row: Row, task: Task, quantity: Quantity) -> None:
    target, allowance = quantity.target(task), quantity.allowance(task)
    if (limit := quantity.limit(task)) is not None:
        row.target = quantities.show(limit, quantity.unit)
        if SUBJECT in row.values:
            row.verdict = "met" if row.values[SUBJECT] <= limit else "missed"
    elif target is not None or allowance:
        ratio = "" if target is None else f"{target:.2f}"
        more = f"+{allowance:g} {quantity.unit}" if allowance else ""
        row.target = " or ".join(filter(None, (ratio, more)))
        if row.peer:
            peer = row.values[row.peer]
            row.verdict = figures.verdict(row.interval, max(target or 0, 1 + allowance / peer))
            if allowance and SUBJECT in row.values:
                row.excess = f"{row.values[SUBJECT] - peer:+.0f} {quantity.unit}"
