"""What an allocator adds to a process between execve and main, and to one that does nothing.

Who makes a system call is told by the address that it comes from: the library's, or another's. The
library is mapped there because it was preloaded, so what the dynamic linker does for that is seen
in the column of the empty library.
"""

from __future__ import annotations

import argparse
import collections
import functools
import re
import statistics
import subprocess
import tempfile

from rich import box
from rich.console import Console
from rich.table import Table

import counted
import preparation
import program
from catalog import Allocator, Folders, Task, load_tasks
from measure import choose_allocators, measure

RUNS = 20
SECONDS = 60
NOTHING = "small-live-0"
IN_MAIN = "getpid"  # The first that small_live does; nothing asks for it before.
# [address] name(arguments) = result
CALL = re.compile(r"^\[([0-9a-f]+)\] ((\w+)\(.*\)) += (\S+)", re.MULTILINE)


def run(command: str, options: argparse.Namespace) -> int:
    console = Console(highlight=False)
    folders = Folders(options.build.resolve())
    folders.made.mkdir(parents=True, exist_ok=True)
    give_up = functools.partial(preparation.give_up, command)
    allocators = choose_allocators(options, folders, console, give_up)
    [nothing] = load_tasks(folders, NOTHING)
    traces = {a.name: _until_main(nothing, a, folders) for a in allocators}
    console.print(_calls_table(traces))
    for allocator in allocators:
        if own := _own_calls(traces[allocator.name], allocator.library):
            console.print(f"Made by {allocator.name} itself:", *own, sep="\n  ", markup=False)
    console.print(_costs_table(nothing, allocators, folders))
    return 0


Call = tuple[int, str, str, str]  # From where, as it is written, its name, its result.


def _until_main(task: Task, allocator: Allocator, folders: Folders) -> list[Call]:
    with tempfile.NamedTemporaryFile("r", dir=folders.made) as trace:
        preload = ["-E", f"LD_PRELOAD={allocator.library}"] if allocator.library else []
        command = ["strace", "-i", "-o", trace.name, *preload, *task.run]
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
        calls = [(int(at, 16), *rest) for at, *rest in CALL.findall(trace.read())]
    end = next(place for place, call in enumerate(calls) if call[2] == IN_MAIN)
    return calls[1:end]  # The first is execve.


def _own_calls(calls: list[Call], library: str) -> list[str]:
    """Those that come from where the library is mapped."""
    for place, (_, text, name, _) in enumerate(calls):
        if name == "openat" and library and library in text:
            # The dynamic linker maps all of it first, and then parts of it anew.
            base, text = next((int(c[3], 16), c[1]) for c in calls[place:] if c[2] == "mmap")
            size = int(text.split(", ")[1])
            return [text for at, text, *_ in calls if base <= at < base + size]
    return []


def _calls_table(traces: dict[str, list[Call]]) -> Table:
    counts = {who: collections.Counter(call[2] for call in calls) for who, calls in traces.items()}
    table = _table("System calls until main", list(traces))
    for call in sorted(set().union(*counts.values())):
        table.add_row(call, *(str(count[call] or "") for count in counts.values()))
    table.add_section()
    table.add_row("all", *(str(count.total()) for count in counts.values()))
    return table


def _costs_table(nothing: Task, allocators: list[Allocator], folders: Folders) -> Table:
    true = program.start_up()
    table = _table(f"Medians of {RUNS} runs", [a.name for a in allocators])
    faults, kib, in_true, calls = [], [], [], []
    for allocator in allocators:
        runs = [measure(nothing, allocator, folders, SECONDS) for _ in range(RUNS)]
        faults.append(statistics.median(run.faults for run in runs))
        kib.append(statistics.median(run.memory_kib for run in runs))
        runs = [measure(true, allocator, folders, SECONDS) for _ in range(RUNS)]
        in_true.append(statistics.median(run.faults for run in runs))
        calls.append(counted.with_system_calls(true, allocator, folders).counts["system calls"])
    table.add_row("page faults, no malloc at all", *(f"{each:.0f}" for each in faults))
    table.add_row("private memory then, KiB", *(f"{each:.0f}" for each in kib))
    table.add_row("page faults of /bin/true", *(f"{each:.0f}" for each in in_true))
    table.add_row("system calls of /bin/true", *(f"{each:.0f}" for each in calls))
    return table


def _table(first: str, names: list[str]) -> Table:
    table = Table(first, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    return table
