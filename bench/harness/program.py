"""The user's own command under every allocator."""

from __future__ import annotations

import argparse
import pathlib
import re
import shutil
import subprocess
import sys

from rich.console import Console

import counted
from catalog import Folders, Task
from measure import Sample
from rows import Quantity, Rows, Samples, all_rows
from session import Session

START_UP = "start-up"


def task(options: argparse.Namespace, folders: Folders) -> Task:
    """The command as a task. What the user gives as its input, every run gets anew."""
    program = options.command[0]
    name = pathlib.Path(program).name
    return Task(
        name=name,
        run=options.command,
        is_program=True,
        is_users=True,
        linked_malloc=_is_linked_with_allocator(program),
        may_fail=True,
        input=_kept_input(folders),
        ready=options.ready or "",
        load=["/bin/sh", "-c", options.load] if options.load else [],
        is_stopped=options.load is not None,
    )


def is_static(program: str) -> bool:
    """Whether it has no dynamic linker, which is what preloads a library."""
    path = shutil.which(program) or program
    try:
        with open(path, "rb") as file:
            is_elf = file.read(4) == b"\x7fELF"
    except OSError:
        return False  # It cannot be told.
    return is_elf and "=>" not in _linked(path)


def start_up() -> Task:
    """A program that does nothing."""
    return Task(name=START_UP, run=["/bin/true"], is_program=True, times=20)


def rows(session: Session, console: Console) -> list[Rows]:
    """A table of one row for each quantity."""
    own, nothing = session.tasks
    found = _tables(QUANTITIES, own, session, session.samples)
    if not own.load:
        found += _tables((STARTING,), nothing, session, session.samples)
    if not shutil.which("strace"):
        console.print("System calls are not counted: there is no strace (apt-get install strace).")
        return found
    with console.status("counting system calls"):
        calls: Samples = {
            (own.name, a.name): [counted.with_system_calls(own, a, session.folders)]
            for a in session.allocators
        }
    return found + _tables((SYSTEM_CALLS,), own, session, calls)


def _tables(
    quantities: tuple[Quantity, ...], task: Task, session: Session, samples: Samples
) -> list[Rows]:
    return all_rows(quantities, [task], session.allocators, samples, session.failures)


def _mean_resident(_: Task, sample: Sample) -> dict[str, float]:
    """The mean over time; only the runs tell it in which the memory was looked at."""
    if len(sample.looks) < 2:
        return {}
    areas = [(after - now) * kib for (now, kib), (after, _) in zip(sample.looks, sample.looks[1:])]
    passed = sample.looks[-1][0] - sample.looks[0][0]
    return {"": sum(areas) / passed} if passed else {}


QUANTITIES = (
    Quantity("wall", "Time by the clock", "ns", lambda task, run: {"": run.wall_ns}),
    Quantity("cpu", "CPU time", "ns", lambda task, run: {"": run.cpu_ns}),
    Quantity("system", "System time", "ns", lambda task, run: {"": run.system_ns}),
    Quantity("memory", "Peak memory", "KiB", lambda task, run: {"": run.memory_kib}),
    Quantity("mean-memory", "Mean memory", "KiB", _mean_resident),
    Quantity("faults", "Page faults", "count", lambda task, run: {"": run.faults}),
    Quantity(
        "ready", "Until ready", "ns", lambda task, run: {"": run.ready_ns} if run.ready_ns else {}
    ),
)
STARTING = Quantity("start", "Starting a process", "ns", lambda task, run: {"": run.cpu_ns})
SYSTEM_CALLS = Quantity(
    "calls", "System calls", "count", lambda task, run: {"": run.counts.get("system calls", 0)}
)


def _is_linked_with_allocator(program: str) -> bool:
    """Whether libc's malloc must be preloaded, too, to be seen at all."""
    libraries = _linked(shutil.which(program) or program)
    return re.search("jemalloc|mimalloc|tcmalloc", libraries) is not None


def _linked(path: str) -> str:
    return subprocess.run(["ldd", path], capture_output=True, text=True).stdout


def _kept_input(folders: Folders) -> str:
    if sys.stdin is None or sys.stdin.isatty():
        return "/dev/null"
    kept = folders.made / "input"
    kept.write_bytes(sys.stdin.buffer.read())
    return str(kept)
