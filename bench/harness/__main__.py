"""bench/compare: runs every task under every allocator in turn and compares them.

Rounds are interleaved: within a round a task runs under all allocators, one directly after the
other, and the next round begins with the next of them. What disturbs the machine for a while so
disturbs all alike.
"""

from __future__ import annotations

import argparse
import contextlib
import pathlib
import sys
from typing import NoReturn

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

import tables
from catalog import (
    REFERENCE,
    SUBJECT,
    Allocator,
    Folders,
    Task,
    add_choice_of_rows,
    load_allocators,
    load_tasks,
)
from figures import RUNS_FOR_VERDICT
from measure import Failure, loads, missing
from rows import memory_rows, time_rows
from session import Session, runs_that_fit, spread

MINUTES = 3.0
WIDTH_IN_FILES = 120


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="bench/compare",
        description="Compares memory allocators in time and memory. See bench/README.md.",
        epilog="Exit status: 0 all answers right; 1 ashlar, or an allocator given by --allocator, "
        "crashed, hung or caused a wrong answer; 2 could not run.",
    )
    add = parser.add_argument
    add_choice_of_rows(parser)
    add("--allocators", metavar="A,B", help="only these, by name")
    add(
        "--allocator",
        metavar="NAME=PATH",
        action="append",
        default=[],
        help="one more library to compare",
    )
    add(
        "--runs",
        metavar="N",
        type=int,
        help="runs of each task (default: as many as fit into the time)",
    )
    add(
        "--minutes",
        metavar="M",
        type=float,
        default=MINUTES,
        help=f"time to spend (default: {MINUTES:g})",
    )
    add("--quick", action="store_true", help="one run of each task: a first impression")
    add(
        "--target-check",
        action="store_true",
        help=f"tell whether {SUBJECT} meets each target; {RUNS_FOR_VERDICT} runs unless told",
    )
    add("--list", action="store_true", help="list the tasks and the allocators, run nothing")
    add("--json", metavar="FILE", type=pathlib.Path, help="write all samples and rows")
    add(
        "--build",
        metavar="FOLDER",
        type=pathlib.Path,
        default="build",
        help="build here (default: build)",
    )
    add("--no-build", action="store_true", help="take what is already built")
    add("--no-install", action="store_true", help="install no packages")
    options = parser.parse_args()
    if options.runs is None and options.quick:
        options.runs = 1
    if options.runs is None and options.target_check:
        options.runs = RUNS_FOR_VERDICT
    return options


def give_up(reason: str) -> NoReturn:
    print(f"bench/compare: {reason}", file=sys.stderr)
    sys.exit(2)


def choose_allocators(
    options: argparse.Namespace, folders: Folders, console: Console
) -> list[Allocator]:
    known = load_allocators(folders, options.allocator)
    wanted = options.allocators.split(",") if options.allocators else [a.name for a in known]
    for name in set(wanted) - {a.name for a in known}:
        give_up(f"unknown allocator {name!r}; known are {', '.join(a.name for a in known)}")
    chosen = []
    for allocator in (a for a in known if a.name in wanted):
        if loads(allocator):
            chosen.append(allocator)
        else:
            console.print(
                f"{allocator.name} is left out: cannot load {allocator.library}", style="yellow"
            )
    return chosen


def choose_tasks(options: argparse.Namespace, folders: Folders, console: Console) -> list[Task]:
    chosen = []
    for task in load_tasks(folders, options.only, options.real):
        if lacking := missing(task):
            console.print(f"{task.name} is left out: there is no {lacking}", style="yellow")
        else:
            chosen.append(task)
    return chosen


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
                if not task.is_program:
                    give_up(reason)
                # What ails one of many programs is no reason not to measure the others.
                console.print(f"Left out: {reason}", style="yellow", markup=False)
                session.tasks.remove(task)
    if not session.tasks:
        give_up("nothing to compare")


def run(session: Session, options: argparse.Namespace, console: Console) -> None:
    """Makes all runs. The first round of each task tells what the others will cost."""
    text, bar, left = TextColumn("{task.description:16}"), BarColumn(), TimeRemainingColumn()
    with Progress(text, bar, left, TextColumn("left"), console=console, transient=True) as progress:
        shown = progress.add_task("", total=sum(session.seconds.values()) + options.minutes * 60)

        def step(task: Task, index: int) -> None:
            progress.update(shown, description=task.name)
            session.run_round(task, index)
            progress.advance(shown, session.seconds[task.name])

        for task in session.tasks:
            step(task, 0)
        costs = [session.seconds[task.name] for task in session.tasks]
        if options.runs:
            runs = [options.runs] * len(costs)
        else:
            runs = runs_that_fit(costs, options.minutes * 60)
        total = sum(count * cost for count, cost in zip(runs, costs))
        progress.update(shown, total=total)
        fewest_to_most = " to ".join(str(count) for count in sorted({min(runs), max(runs)}))
        console.print(f"Runs of each task: {fewest_to_most}; {total / 60:.1f} minutes in all.")
        for task, index in spread(session.tasks, runs):
            step(task, index)


def main() -> int:
    options = parse_arguments()
    folders = Folders(options.build.resolve())
    if options.list:
        tasks = load_tasks(folders, options.only, options.real)
        print("tasks:     ", *(task.name for task in tasks))
        print("allocators:", *(a.name for a in load_allocators(folders, options.allocator)))
        return 0
    if not folders.launch.exists():
        give_up(f"{folders.launch} is missing; run without --no-build")
    console = Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH_IN_FILES)
    allocators = choose_allocators(options, folders, console)
    tasks = choose_tasks(options, folders, console)
    if not tasks or not allocators:
        give_up("nothing to compare")

    tables.print_setting(console, allocators)
    session = Session(tasks, allocators, folders)
    ask_reference(session, console)
    with contextlib.suppress(KeyboardInterrupt):  # Then the tables show what there is so far.
        run(session, options, console)

    found = {
        tables.TIME: time_rows(tasks, allocators, session.samples, session.failures),
        tables.MEMORY: memory_rows(tasks, allocators, session.samples, session.failures),
    }
    tables.print_results(console, allocators, found, options.target_check)
    tables.print_slow_path(console, session.samples)
    tables.print_failures(console, session.failures)
    if options.json:
        tables.write_json(options.json, allocators, found, session.samples)
    packaged = {a.name for a in allocators if a.is_packaged}
    # Faults of the packaged allocators are known facts, not findings about what is tested here.
    return int(any(allocator not in packaged for _, allocator in session.failures))


if __name__ == "__main__":
    sys.exit(main())
