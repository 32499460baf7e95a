"""What the regression check says on the terminal."""

from __future__ import annotations

import sys

from rich import box
from rich.console import Console
from rich.table import Table

import document as doc
import quantities
import record
import regression
from regression import Change, Comparison

WIDTH_IN_FILES = 120


def report(old: doc.Document, new: doc.Document, least: float) -> int:
    """Prints what moved. Returns the exit status: 1 if anything got worse."""
    if old["subject"] != new["subject"]:
        raise doc.Unusable(
            f"the results are about different allocators, {old['subject']} and {new['subject']}"
        )
    console = Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH_IN_FILES)
    _print_setting(console, old, new)
    found = regression.compare(old, new, least)
    if found.tested + found.by_spread + len(found.fails) + len(found.mended) == 0:
        raise doc.Unusable(f"the results have no row in common that {new['subject']} took part in")
    for line in found.fails:
        console.print(f"fails: {line}", style="bold red", markup=False)
    for line in found.mended:
        console.print(f"fails no longer: {line}", style="green", markup=False)
    if found.changes:
        console.print(_table(found.changes))
    for where, rows in (("old", found.only_old), ("new", found.only_new)):
        if rows:
            console.print(f"Only in the {where} one: {', '.join(rows)}.", style="dim", markup=False)
    console.print(_verdict(found, least))
    return int(found.is_worse)


def _print_setting(console: Console, old: doc.Document, new: doc.Document) -> None:
    for label, each in (("old", old), ("new", new)):
        place = f"commit {each['commit']} on {record.machine_name(each)}"
        console.print(f"{label}  {each['date'][:10]}  {place}", markup=False)
    if record.machine_name(old) != record.machine_name(new):
        console.print(
            "These are different machines: what moved may be theirs, not the allocator's.",
            style="yellow",
        )
    versions = [
        {each["name"]: each.get("version", "") for each in which["allocators"]}
        for which in (old, new)
    ]
    for name, version in versions[1].items():
        before = versions[0].get(name, "absent")
        if name != new["subject"] and before != version:
            console.print(f"{name} was {before}, is {version}", style="yellow", markup=False)


def _table(changes: list[Change]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for column, justify in (
        ("moved", "left"),
        ("row", "left"),
        ("of", "left"),
        ("old", "right"),
        ("new", "right"),
        ("new / old", "right"),
        ("chance", "right"),
        ("", "left"),
    ):
        table.add_column(column, justify=justify, no_wrap=column != "")
    for change in changes:
        table.add_row(
            change.way,
            change.row,
            change.table.lower(),
            _value(change.old, change.unit),
            _value(change.new, change.unit),
            f"{change.factor:.2f}",
            _chance(change.chance),
            change.note,
            style="red" if change.way == regression.WORSE else "green",
        )
    return table


def _value(value: float, unit: str) -> str:
    return quantities.show(value, unit) if unit else f"{value:.3f}"


def _chance(chance: float | None) -> str:
    if chance is None:
        return ""
    return "< 0.001" if chance < 0.001 else f"{chance:.3f}"


def _verdict(found: Comparison, least: float) -> str:
    worse = sum(change.way == regression.WORSE for change in found.changes) + len(found.fails)
    better = len(found.changes) + len(found.fails) - worse + len(found.mended)
    text = (
        f"{worse} worse, {better} better, by {100 * (least - 1):g} % or more, of "
        f"{found.tested + found.by_spread + len(found.fails) + len(found.mended)} rows compared.\n"
    )
    if found.tested:
        text += (
            f"Of {found.tested} rows, 95 % intervals alone would name {found.by_luck:.1f} by luck. "
            "Here Holm's correction is applied:\nthe chance that even one of the rows named is the "
            "noise of the runs is at most 5 %. What else differs from one\nmeasurement to another, "
            "nobody can tell from two of them: measure again before you act on a row.\n"
        )
    if found.by_spread:
        text += (
            f"Rows without an interval in both results: {found.by_spread}. They are judged by "
            "whether the spreads of the values\nlie apart, which names rows by luck more often.\n"
        )
    return text.rstrip()
