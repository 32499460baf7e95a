"""From the samples of all runs to the rows of the two tables, time and memory."""

from __future__ import annotations

import dataclasses

import figures
from catalog import SUBJECT, Allocator, Task
from measure import Failure, Sample

# One entry for each round, None where the run failed or was not made.
Samples = dict[tuple[str, str], list[Sample | None]]
Failures = dict[tuple[str, str], Failure]


@dataclasses.dataclass
class Row:
    """One line of a table: typical values by allocator, and the subject against its best peer."""

    name: str
    is_program: bool
    values: dict[str, float]
    failed: dict[str, str]
    peer: str = ""
    interval: figures.Interval | None = None
    target: str = ""
    verdict: str = ""

    @property
    def best(self) -> float:
        return min(self.values.values())

    def ratios(self) -> dict[str, float]:
        return {name: value / self.best for name, value in self.values.items()}


def time_rows(tasks: list[Task], allocators: list[Allocator], samples: Samples, failures: Failures):
    """Nanoseconds. A workload that prints several times has a row for each of them."""
    rows = []
    for task in tasks:
        runs = {a.name: samples[task.name, a.name] for a in allocators}
        keys = {key: None for series in runs.values() for run in series if run for key in run.times}
        for key in keys:
            series = {
                name: [run.times[key] if run else None for run in runs[name]] for name in runs
            }
            name = f"{task.name}/{key}" if key else task.name
            rows.append(_row(name, task, series, failures, task.time_target))
    return rows


def memory_rows(
    tasks: list[Task], allocators: list[Allocator], samples: Samples, failures: Failures
):
    """KiB of resident memory, for the tasks where it says something."""
    rows = []
    for task in tasks:
        if task.memory == "none":
            continue
        series = {
            a.name: [run.memory_kib if run else None for run in samples[task.name, a.name]]
            for a in allocators
        }
        row = _row(task.name, task, series, failures, task.memory_target)
        if task.memory_limit is not None:
            row.target = f"{task.memory_limit:g} MiB"
            if SUBJECT in row.values:
                within = row.values[SUBJECT] <= task.memory_limit * 1024
                row.verdict = "met" if within else "missed"
        if row.values:
            rows.append(row)
    return rows


def _row(
    name: str,
    task: Task,
    series: dict[str, list[float | None]],
    failures: Failures,
    target: float | None,
) -> Row:
    failed = {
        who: failures[task.name, who].verdict for who in series if (task.name, who) in failures
    }
    right = {
        who: [value for value in values if value]
        for who, values in series.items()
        if who not in failed
    }
    values = {who: figures.typical(values) for who, values in right.items() if values}
    row = Row(name, task.is_program, values, failed)
    peers = {who: value for who, value in row.values.items() if who != SUBJECT}
    if SUBJECT in row.values and peers:
        row.peer = task.target_of if task.target_of in peers else min(peers, key=peers.get)
        pairs = [pair for pair in zip(series[SUBJECT], series[row.peer]) if all(pair)]
        row.interval = figures.paired_ratio(*zip(*pairs)) if pairs else None
        if target is not None:
            row.verdict = figures.verdict(row.interval, target)
    if target is not None:
        row.target = f"{target:.2f}"
    return row
