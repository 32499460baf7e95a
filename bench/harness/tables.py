"""What the user sees on the terminal."""

from __future__ import annotations

import statistics
from collections.abc import Callable

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

import figures
import machine
import quantities
from catalog import REFERENCE, SUBJECT, Allocator
from rows import Failures, Row, Rows, Samples
from session import Session

NEAR = 1.02  # Shown as good as the best.
FAR = 1.10  # Shown as behind.
BUSY = 0.05  # From this share of the CPUs on, others disturb the measurement.


def print_setting(console: Console, allocators: list[Allocator]) -> None:
    grid = Table.grid(padding=(0, 2))
    for name, value in machine.describe().items():
        grid.add_row(Text(name, style="dim"), str(value))
    for allocator in allocators:
        grid.add_row(Text(allocator.name, style="bold"), allocator.version)
    console.print(grid)
    if (busy := machine.busy_share()) > BUSY:
        console.print(
            f"Other programs use {busy:.0%} of this machine's CPUs: expect wide intervals.",
            style="yellow",
        )


def print_results(
    console: Console, allocators: list[Allocator], tables: list[Rows], with_targets: bool
) -> None:
    names = [allocator.name for allocator in allocators]
    for found in tables:
        if found.quantity.is_headline:
            _print(console, lambda full: _table(found, names, with_targets, with_intervals=full))
    _print(console, lambda full: _means_table(tables, names))
    if any(found.mean_ratio(name) for found in tables for name in names):
        _print(console, lambda full: _ratios_table(tables, names))
    _explain(console, names)


def _print(console: Console, table_of: Callable[[bool], Table]) -> None:
    """The full table where there is room for it."""
    table = table_of(True)
    if _width(console, table) > console.width:
        table = table_of(False)
    # A terminal that is still too narrow may wrap the lines; to cut figures would be worse.
    console.width = max(console.width, _width(console, table))
    console.print(table)


def _explain(console: Console, names: list[str]) -> None:
    if len(names) > 1:
        console.print(
            "Figures are ratios to the best of the row; its own value stands in the column 'best'.",
            style="dim",
        )
    if SUBJECT in names and len(names) > 1:
        console.print(
            f"'to other' compares {SUBJECT} with the best of the others, round by round: 95 % "
            "interval.\n~ marks one that contains 1: these runs cannot tell the two apart.",
            style="dim",
        )


def print_program(console: Console, allocators: list[Allocator], tables: list[Rows]) -> None:
    """One program: a line for each quantity."""
    names = [allocator.name for allocator in allocators]
    lines = [(found.quantity, row) for found in tables for row in found.rows]
    if not lines:
        return

    def table_of(with_intervals: bool) -> Table:
        table = _grid(lines[0][1].name, ["best", *names])
        if SUBJECT in names and len(names) > 1:
            table.add_column("to other", no_wrap=True)
        for quantity, row in lines:
            cells = [quantity.title, quantities.show(row.best, quantity.unit) if row.values else ""]
            cells += [_ratio(row, name) for name in names]
            if SUBJECT in names and len(names) > 1:
                cells.append(_comparison(row, with_intervals))
            table.add_row(*cells)
        return table

    _print(console, table_of)
    _explain(console, names)


def print_slow_path(console: Console, samples: Samples) -> None:
    """What an allocator that counts them says of its slow path, for the workloads that ask."""
    table = Table("Slow path", "", "entries per 1,000 calls", "ready objects", box=box.SIMPLE_HEAD)
    for column in table.columns[2:]:
        column.justify = "right"
    for (task, allocator), series in samples.items():
        runs = [run for run in series if run and run.slow]
        for key in runs[0].slow if runs else ():
            entries = statistics.median([run.slow[key] for run in runs])
            held = statistics.median([run.held[key] for run in runs])
            table.add_row(f"{task}/{key}", allocator, f"{entries:.1f}", f"{held:.0f} KiB")
    if table.row_count:
        console.print(table)


def print_notes(console: Console, session: Session, busy: float) -> None:
    """What a reader must know besides the figures."""
    for task, allocator in session.different:
        if (task, REFERENCE) in session.different:
            if allocator == REFERENCE:
                console.print(f"{task} prints something else each time: it cannot be checked.")
        else:
            console.print(
                f"{task} prints something else under {allocator} than under {REFERENCE}.",
                style="yellow",
            )
    _print_busy(console, busy)
    print_failures(console, session.failures)


def _print_busy(console: Console, busy: float) -> None:
    if busy > BUSY:
        console.print(
            f"Other programs used {busy:.0%} of the CPUs during the runs: times are less certain, "
            "and differences within an interval are not to be told.",
            style="yellow",
        )


def print_failures(console: Console, failures: Failures) -> None:
    for (task, allocator), failure in failures.items():
        detail = f": {failure.detail.splitlines()[-1]}" if failure.detail else ""
        console.print(
            f"{allocator} fails {task}: {failure.verdict}{detail}", style="red", markup=False
        )


def _width(console: Console, table: Table) -> int:
    """The columns that the table would like to have."""
    return console.measure(table, options=console.options.update(max_width=1000)).maximum


def _grid(first: str, numbers: list[str]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column(first, no_wrap=True)
    for title in numbers:
        table.add_column(title, justify="right", no_wrap=True)
    return table


def _table(found: Rows, names: list[str], with_targets: bool, with_intervals: bool) -> Table:
    compares = SUBJECT in names and len(names) > 1
    rows = found.rows
    table = _grid(found.quantity.title, ["best", *names])
    if compares:
        table.add_column("to other", no_wrap=True)
    if with_targets:
        table.add_column("target", justify="right", no_wrap=True)
        table.add_column("", no_wrap=True)
    for number, row in enumerate(rows):
        cells = [row.name, quantities.show(row.best, found.quantity.unit) if row.values else ""]
        cells += [_ratio(row, name) for name in names]
        cells += [_comparison(row, with_intervals)] if compares else []
        cells += [row.target, _verdict(row)] * with_targets
        last_of_group = number + 1 == len(rows) or rows[number + 1].group != row.group
        table.add_row(*cells, end_section=last_of_group)
    for label, ratios in found.means(names).items():
        table.add_row(f"mean, {label}", "", *_mean_cells(ratios, names))
    return table


def _mean_cells(ratios: dict[str, float], names: list[str]) -> list[str]:
    return [f"{ratios[name]:.2f}" if name in ratios else "" for name in names]


def _means_table(tables: list[Rows], names: list[str]) -> Table:
    """What all rows come to, for every quantity."""
    table = _grid("Mean of all rows, to the best", ["rows", *names])
    for found in tables:
        if not (means := found.means(names)):
            continue
        _, ratios = means.popitem()
        table.add_row(found.quantity.title, str(found.counted), *_mean_cells(ratios, names))
    return table


def _ratios_table(tables: list[Rows], names: list[str]) -> Table:
    """The subject against each other allocator: the mean of the rows' ratios, with its interval."""
    others = [name for name in names if name != SUBJECT]
    table = _grid(f"{SUBJECT} to", others)
    for found in tables:
        cells = [found.mean_ratio(other) for other in others]
        table.add_row(found.quantity.title, *[_interval(cell, True) for cell in cells])
    return table


def _ratio(row: Row, name: str) -> Text:
    if name in row.failed:
        return Text(row.failed[name], style="bold red")
    if name not in row.to_best():
        return Text("")
    ratio = row.to_best()[name]
    style = "green" if ratio < NEAR else "red" if ratio >= FAR and name == SUBJECT else ""
    return Text(f"{ratio:.2f}" if ratio < 99.5 else f"{ratio:.0f}", style=style)


def _comparison(row: Row, with_interval: bool) -> Text:
    if row.interval is None:
        peer = row.values[row.peer] if row.peer else 0
        own = row.values.get(SUBJECT)
        return Text(f"{own / peer:.2f}" if own is not None and peer else "", style="dim")
    return _interval(row.interval, with_interval)


def _interval(found: figures.Interval | None, with_limits: bool) -> Text:
    if found is None:
        return Text("")
    if found.is_noise:
        style = "dim"
    else:
        style = "green" if found.ratio < 1 else "red" if found.ratio >= FAR else ""
    limits = f" ({found.low:.2f}-{found.high:.2f})" if with_limits else ""
    return Text(f"{found.ratio:.2f}{limits}{' ~' * found.is_noise}", style=style)


def _verdict(row: Row) -> Text:
    text = ", ".join(filter(None, (row.verdict, row.excess)))
    return Text(text, style={"met": "green", "missed": "bold red"}.get(row.verdict, "dim"))
