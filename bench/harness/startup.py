"""What an allocator adds to a process until it is in main, and until it holds 200 small blocks.

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
from measure import Sample, choose_allocators, measure

RUNS = 20
SECONDS = 60
# Where they stop is before small_live looks at itself, for which it first asks for its number.
MOMENTS = {"small-live-0": "main", "small-live-200": "200 blocks are live"}
LOOKS_AT_ITSELF = "getpid"
# [address] name(arguments) = result
CALL = re.compile(r"^\[([0-9a-f]+)\] ((\w+)\(.*\)) += (\S+)", re.MULTILINE)


def run(command: str, options: argparse.Namespace) -> int:
    console = Console(highlight=False)
    folders = Folders(options.build.resolve())
    folders.made.mkdir(parents=True, exist_ok=True)
    give_up = functools.partial(preparation.give_up, command)
    allocators = choose_allocators(options, folders, console, give_up)
    tasks = load_tasks(folders, ",".join(MOMENTS))
    for task in tasks:
        traces = {a.name: _trace(task, a, folders) for a in allocators}
        console.print(_calls_table(f"System calls until {MOMENTS[task.name]}", traces))
        for allocator in (a for a in allocators if a.library):
            own = _own_calls(traces[allocator.name], allocator.library)
            many = f"{len(own)} of them come" if own else "None of them comes"
            lines = [f"{many} from {allocator.name} itself.", *(f"  {call}" for call in own)]
            console.print(*lines, sep="\n", markup=False, soft_wrap=True)
    console.print(_costs_table(tasks, allocators, folders))
    return 0


Call = tuple[int, str, str, str]  # From where, as it is written, its name, its result.


def _trace(task: Task, allocator: Allocator, folders: Folders) -> list[Call]:
    with tempfile.NamedTemporaryFile("r", dir=folders.made) as trace:
        preload = ["-E", f"LD_PRELOAD={allocator.library}"] if allocator.library else []
        command = ["strace", "-i", "-o", trace.name, *preload, *task.run]
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
        calls = [(int(at, 16), *rest) for at, *rest in CALL.findall(trace.read())]
    end = next(place for place, call in enumerate(calls) if call[2] == LOOKS_AT_ITSELF)
    return calls[1:end]  # The first is execve.


def _own_calls(calls: list[Call], library: str) -> list[str]:
    """Those that come from where the library is mapped."""
    for place, (_, text, name, _) in enumerate(calls):
        if name == "openat" and library in text:
            # The dynamic linker maps all of it first, and then parts of it anew.
            base, text = next((int(c[3], 16), c[1]) for c in calls[place:] if c[2] == "mmap")
            size = int(text.split(", ")[1])
            return [text for at, text, *_ in calls if base <= at < base + size]
    return []


def _calls_table(title: str, traces: dict[str, list[Call]]) -> Table:
    counts = {who: collections.Counter(call[2] for call in calls) for who, calls in traces.items()}
    table = _table(title, list(traces))
    for call in sorted(set().union(*counts.values())):
        table.add_row(call, *(str(count[call] or "") for count in counts.values()))
    table.add_section()
    table.add_row("all", *(str(count.total()) for count in counts.values()))
    return table


def _costs_table(tasks: list[Task], allocators: list[Allocator], folders: Folders) -> Table:
    lines: dict[str, list[float]] = collections.defaultdict(list)
    true = program.start_up()
    for allocator in allocators:
        for task in tasks:
            runs = _runs(task, allocator, folders)
            kib = statistics.median(run.memory_kib for run in runs)
            lines[f"private KiB, {MOMENTS[task.name]}"].append(kib)
        runs = _runs(true, allocator, folders)
        lines["page faults of /bin/true"].append(statistics.median(run.faults for run in runs))
        calls = counted.with_system_calls(true, allocator, folders).counts["system calls"]
        lines["system calls of /bin/true"].append(calls)
    table = _table(f"Medians of {RUNS} runs", [a.name for a in allocators])
    for title, values in lines.items():
        table.add_row(title, *(f"{value:.0f}" for value in values))
    return table


def _runs(task: Task, allocator: Allocator, folders: Folders) -> list[Sample]:
    return [measure(task, allocator, folders, SECONDS) for _ in range(RUNS)]


def _table(first: str, names: list[str]) -> Table:
    table = Table(first, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    return table
