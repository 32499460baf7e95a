"""bench/compare: runs every task under every allocator in turn and compares them.

Rounds are interleaved: within a round a task runs under all allocators, one directly after the
other, and the next round begins with the next of them. What disturbs the machine for a while so
disturbs all alike.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import sys
from typing import NoReturn

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

import counted
import result
import stepping
import program
import tables
from catalog import (
    REFERENCE,
    SUBJECT,
    Allocator,
    Folders,
    NoTask,
    Task,
    load_allocators,
    load_tasks,
)
from effort import runs_that_fit
from machine import OtherLoad
from measure import Failure, choose_allocators, missing
from rows import QUANTITIES, Rows, Samples, all_rows, counter
from session import Session, spread

WIDTH_IN_FILES = 120


def give_up(reason: str) -> NoReturn:
    print(f"bench/compare: {reason}", file=sys.stderr)
    sys.exit(2)


def choose_tasks(options: argparse.Namespace, folders: Folders, console: Console) -> list[Task]:
    if options.command:
        found = [program.task(options, folders), program.start_up()]
        if lacking := missing(found[0]):
            give_up(f"there is no program {lacking}")
        if program.is_static(options.command[0]):
            give_up(
                f"{options.command[0]} is linked statically: no library can be preloaded, and all "
                "columns would be of its own malloc"
            )
        return found
    chosen = []
    found = load_tasks(folders, options.only, options.real)
    if not found:
        give_up(str(NoTask(options.only)))
    for task in found:
        if lacking := missing(task):
            console.print(f"{task.name} is left out: there is no {lacking}", style="yellow")
        else:
            chosen.append(task)
    return chosen


def _as_it_was(allocator: Allocator) -> Allocator:
    """A library that was there already may be of another commit than the tree that it lies in."""
    if allocator.name != SUBJECT:
        return allocator
    return dataclasses.replace(allocator, version=f"{allocator.version} {result.NOT_BUILT}")


def ask_reference(session: Session, console: Console) -> None:
    reference = next(a for a in load_allocators(session.folders, []) if a.name == REFERENCE)
    with console.status("preparing") as status:
        for task in list(session.tasks):
            status.update(f"preparing {task.name}")
            try:
                session.ask_reference(task, reference)
            except Failure as failure:
                last_line = failure.detail.strip().rpartition("\n")[2]
                reason = f"{task.name} fails under {REFERENCE}: {failure}. {last_line}"
                if task.is_users:
                    give_up(reason)
                # What ails one of many tasks is no reason not to measure the others.
                console.print(f"Left out: {reason}", style="yellow", markup=False)
                session.tasks.remove(task)
    if not session.tasks:
        give_up("nothing to compare")


def run(session: Session, options: argparse.Namespace, console: Console) -> None:
    """Makes all runs. The first round of each task tells what the others will cost."""
    effort = options.effort
    text, bar, left = TextColumn("{task.description:16}"), BarColumn(), TimeRemainingColumn()
    with Progress(text, bar, left, TextColumn("left"), console=console, transient=True) as progress:
        shown = progress.add_task("", total=sum(session.seconds.values()) + effort.minutes * 60)

        def step(task: Task, index: int) -> None:
            progress.update(shown, description=task.name)
            session.run_round(task, index)
            progress.advance(shown, session.seconds[task.name])

        for task in session.tasks:
            step(task, 0)
        costs = [session.seconds[task.name] for task in session.tasks]
        runs = runs_that_fit(costs, effort)
        total = sum(count * cost for count, cost in zip(runs, costs))
        progress.update(shown, total=total)
        fewest_to_most = " to ".join(str(count) for count in sorted({min(runs), max(runs)}))
        console.print(f"Runs of each task: {fewest_to_most}; {total / 60:.1f} minutes in all.")
        for task, index in spread(session.tasks, runs):
            step(task, index)


def count(session: Session, console: Console) -> list[Rows]:
    """Instructions, cycles and misses by one more run of each task, where the machine tells."""
    if lack := counted.counters_lack():
        console.print(f"Instructions and misses are not counted: {lack}.", style="dim")
        return []
    samples: Samples = {}
    with console.status("counting instructions and misses"):
        for task in session.tasks:
            for allocator in session.allocators:
                sample = counted.with_counters(task, allocator, session.folders)
                samples[task.name, allocator.name] = [sample]
    quantities = tuple(counter(event, title) for event, title in counted.EVENTS.items())
    return all_rows(quantities, session.tasks, session.allocators, samples, session.failures)


def write_files(options: argparse.Namespace, document: dict, console: Console) -> None:
    if options.json:
        result.write(document, options.json)
        console.print(f"wrote {options.json}", markup=False)
    if options.csv or options.html:
        import report  # Wants libraries that the rest does not.

        if options.csv:
            report.write_csv(document, options.csv)
            console.print(f"wrote {options.csv}", markup=False)
        if options.html:
            report.write_html(document, options.html)
            console.print(f"wrote {options.html}", markup=False)


def main(options: argparse.Namespace, folders: Folders) -> int:
    if not folders.launch.exists():
        give_up(f"{folders.launch} is missing; run without --no-build")
    folders.made.mkdir(parents=True, exist_ok=True)
    console = Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH_IN_FILES)
    if options.instructions:
        if lack := stepping.lack(folders):
            give_up(lack)
        allocators = choose_allocators(options, folders, console, give_up)
        stepping.print_table(console, allocators, folders)
        return 0
    tasks = choose_tasks(options, folders, console)
    if not tasks:
        give_up("nothing to compare")
    allocators = choose_allocators(options, folders, console, give_up, tasks)
    if options.no_build:
        allocators = [_as_it_was(allocator) for allocator in allocators]

    tables.print_setting(console, allocators)
    session = Session(tasks, allocators, folders)
    ask_reference(session, console)
    others = OtherLoad()
    with contextlib.suppress(KeyboardInterrupt):  # Then the tables show what there is so far.
        run(session, options, console)
    busy = others.share()

    kind = "program" if options.command else "compare"
    if options.command:
        found = program.rows(session, console)
        tables.print_program(console, allocators, found)
    else:
        found = all_rows(QUANTITIES, tasks, allocators, session.samples, session.failures)
        found += count(session, console)
        tables.print_results(console, allocators, found, options.target_check)
        tables.print_slow_path(console, session.samples)
    tables.print_notes(console, session, busy)
    write_files(options, result.build(kind, allocators, found, session.samples, busy), console)
    packaged = {a.name for a in allocators if a.is_packaged}
    # Faults of the packaged allocators are known facts, not findings about what is tested here.
    return int(any(allocator not in packaged for _, allocator in session.failures))
