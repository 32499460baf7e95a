"""What the user sees: the tables on the terminal, and the same as JSON."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import statistics

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

import figures
import machine
from catalog import SUBJECT, Allocator
from rows import Failures, Row, Samples

TIME = "Time"
MEMORY = "Peak memory"

NEAR = 1.02  # Shown as good as the best.
FAR = 1.10  # Shown as behind.
BUSY = 0.05  # From this share of the CPUs on, others disturb the measurement.


def print_setting(console: Console, allocators: list[Allocator]) -> None:
    grid = Table.grid(padding=(0, 2))
    for name, value in machine.describe().items():
        grid.add_row(Text(name, style="dim"), value)
    for allocator in allocators:
        grid.add_row(Text(allocator.name, style="bold"), allocator.version)
    console.print(grid)
    if (busy := machine.busy_share()) > BUSY:
        console.print(
            f"Other programs use {busy:.0%} of this machine's CPUs: expect wide intervals.",
            style="yellow",
        )


def print_results(
    console: Console,
    allocators: list[Allocator],
    tables: dict[str, list[Row]],
    with_targets: bool,
) -> None:
    names = [allocator.name for allocator in allocators]
    for title, rows in tables.items():
        if rows:
            table = _table(title, rows, names, with_targets, with_intervals=True)
            if _width(console, table) > console.width:
                table = _table(title, rows, names, with_targets, with_intervals=False)
            # A terminal that is still too narrow may wrap the lines; to cut figures would be worse.
            console.width = max(console.width, _width(console, table))
            console.print(table)
    if len(names) > 1:
        console.print(
            "Figures are ratios to the best of the row; its own value stands in the column 'best'.",
            style="dim",
        )
    if SUBJECT in names:
        console.print(
            f"'to other' compares {SUBJECT} with the best of the others, round by round: 95 % "
            "interval.\n~ marks one that contains 1: these runs cannot tell the two apart.",
            style="dim",
        )


def print_slow_path(console: Console, samples: Samples) -> None:
    """What an allocator that counts them says of its slow path, for the workloads that ask."""
    table = Table("Slow path", "entries per 1,000 calls", "ready objects", box=box.SIMPLE_HEAD)
    for column in table.columns[1:]:
        column.justify = "right"
    for (task, _), series in samples.items():
        runs = [run for run in series if run and run.slow]
        for key in runs[0].slow if runs else ():
            entries = statistics.median([run.slow[key] for run in runs])
            held = statistics.median([run.held[key] for run in runs])
            table.add_row(f"{task}/{key}", f"{entries:.1f}", f"{held:.0f} KiB")
    if table.row_count:
        console.print(table)


def print_failures(console: Console, failures: Failures) -> None:
    for (task, allocator), failure in failures.items():
        detail = f": {failure.detail.splitlines()[-1]}" if failure.detail else ""
        console.print(
            f"{allocator} fails {task}: {failure.verdict}{detail}", style="red", markup=False
        )


def write_json(
    path: pathlib.Path, allocators: list[Allocator], tables: dict[str, list[Row]], samples: Samples
) -> None:
    runs = [
        {
            "task": task,
            "allocator": allocator,
            "runs": [run and dataclasses.asdict(run) for run in series],
        }
        for (task, allocator), series in samples.items()
    ]
    document = {
        "machine": machine.describe(),
        "allocators": [dataclasses.asdict(allocator) for allocator in allocators],
        "tables": {
            title: [dataclasses.asdict(row) for row in rows] for title, rows in tables.items()
        },
        "samples": runs,
    }
    path.write_text(json.dumps(document, indent=1) + "\n")


def _width(console: Console, table: Table) -> int:
    """The columns that the table would like to have."""
    return console.measure(table, options=console.options.update(max_width=1000)).maximum


def _table(
    title: str, rows: list[Row], names: list[str], with_targets: bool, with_intervals: bool
) -> Table:
    compares = SUBJECT in names and len(names) > 1
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column(title, no_wrap=True)
    table.add_column("best", justify="right", no_wrap=True)
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    if compares:
        table.add_column("to other", no_wrap=True)
    if with_targets:
        table.add_column("target", justify="right", no_wrap=True)
        table.add_column("", no_wrap=True)
    show = _memory if title == MEMORY else _duration
    for number, row in enumerate(rows):
        cells = [row.name, show(row.best) if row.values else ""]
        cells += [_ratio(row, name) for name in names]
        cells += [_comparison(row, with_intervals)] * compares
        cells += [row.target, _verdict(row)] * with_targets
        last_of_kind = number + 1 == len(rows) or rows[number + 1].is_program != row.is_program
        table.add_row(*cells, end_section=last_of_kind)
    for label, ratios in _means(rows, names).items():
        table.add_row(
            f"mean, {label}",
            "",
            *[f"{ratios[name]:.2f}" if name in ratios else "" for name in names],
        )
    return table


def _means(rows: list[Row], names: list[str]) -> dict[str, dict[str, float]]:
    """Geometric means of the ratios to the best, over the rows that an allocator did not fail."""
    groups = {
        "workloads": [row for row in rows if not row.is_program],
        "programs": [row for row in rows if row.is_program],
        "all rows": rows,
    }
    means = {}
    for label, group in groups.items():
        if not group or (label != "all rows" and len(group) == len(rows)):
            continue
        ratios = {
            name: [row.ratios()[name] for row in group if name in row.values] for name in names
        }
        means[label] = {
            name: figures.geometric_mean(values) for name, values in ratios.items() if values
        }
    return means


def _ratio(row: Row, name: str) -> Text:
    if name in row.failed:
        return Text(row.failed[name], style="bold red")
    if name not in row.values:
        return Text("")
    ratio = row.ratios()[name]
    style = "green" if ratio < NEAR else "red" if ratio >= FAR and name == SUBJECT else ""
    return Text(f"{ratio:.2f}" if ratio < 99.5 else f"{ratio:.0f}", style=style)


def _comparison(row: Row, with_interval: bool) -> Text:
    found = row.interval
    if found is None:
        return Text(
            f"{row.values[SUBJECT] / row.values[row.peer]:.2f}" if row.peer else "", style="dim"
        )
    if found.is_noise:
        style = "dim"
    else:
        style = "green" if found.ratio < 1 else "red" if found.ratio >= FAR else ""
    interval = f" ({found.low:.2f}-{found.high:.2f})" if with_interval else ""
    return Text(f"{found.ratio:.2f}{interval}{' ~' * found.is_noise}", style=style)


def _verdict(row: Row) -> Text:
    return Text(row.verdict, style={"met": "green", "missed": "bold red"}.get(row.verdict, "dim"))


def _duration(ns: float) -> str:
    for unit, size in (("s", 1e9), ("ms", 1e6), ("us", 1e3)):
        if ns >= size:
            return f"{ns / size:.3g} {unit}"
    return f"{ns:.3g} ns"


def _memory(kib: float) -> str:
    return f"{kib / 1024:.1f} MiB"
