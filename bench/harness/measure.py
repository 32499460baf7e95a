"""Runs one task under one allocator, once, and says what it cost and whether its answer was right.

The figures come from build/bench/launch, a small program between this one and the task, so that the
memory of the Python interpreter is in none of them.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NoReturn

import server
from catalog import BENCH, TOP, Allocator, Folders, Task, load_allocators

if TYPE_CHECKING:
    from rich.console import Console

# The programs of the distribution, whatever else the user's PATH puts before them. Debian keeps
# those of PostgreSQL in a folder of their own for each version.
PATH = ":".join(
    [str(folder) for folder in sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"))[-1:]]
    + ["/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"]
)
NOT_LOADED = "cannot be preloaded"  # The dynamic linker says so, and goes on without the library.

DAMAGE = 1  # The exit status of a workload that finds one of its blocks damaged: see workload.h.


class Failure(Exception):
    """A run that gives no figures. The text is short enough for a cell of the table."""

    def __init__(self, verdict: str, detail: str = ""):
        super().__init__(verdict)
        self.verdict = verdict
        self.detail = detail


@dataclasses.dataclass(frozen=True)
class Sample:
    """One run. `times` maps a row's key to nanoseconds; the key is empty if there is only one.

    `memory_kib` is what the row is about, `peak_kib` the peak of the process in any case.
    `slow` and `held` are what the allocator says of its slow path, by the same keys, and
    `histograms` how often the latency was at most so many nanoseconds. `live_bytes` is what the
    program held at its peak, as far as it tells. `looks` are moments, in milliseconds, with the KiB
    that were resident then.
    """

    times: dict[str, float]
    memory_kib: float
    cpu_ns: float
    wall_ns: float
    answer: str
    status: int = 0
    peak_kib: float = 0
    faults: float = 0
    system_ns: float = 0  # Of cpu_ns, what the kernel worked.
    live_bytes: float = 0
    ready_ns: float = 0  # A server's time until it listens.
    counts: dict[str, float] = dataclasses.field(default_factory=dict)  # See counted.py.
    slow: dict[str, float] = dataclasses.field(default_factory=dict)
    held: dict[str, float] = dataclasses.field(default_factory=dict)
    histograms: dict[str, list[tuple[float, int]]] = dataclasses.field(default_factory=dict)
    looks: list[tuple[int, int]] = dataclasses.field(default_factory=list)


def end_politely_by_signals() -> None:
    """Has SIGTERM and SIGHUP end what was started for a run, as Control-C does."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    for sign in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(sign, interrupt)


def loads(allocator: Allocator) -> bool:
    """Can the dynamic linker preload this library?"""
    environment = _environment({}) | {"LD_PRELOAD": allocator.library}
    run = subprocess.run(["/bin/true"], env=environment, stderr=subprocess.PIPE)
    return run.returncode == 0 and NOT_LOADED.encode() not in run.stderr


def choose_allocators(
    options: argparse.Namespace,
    folders: Folders,
    console: Console,
    give_up: Callable[[str], NoReturn],
    tasks: Iterable[Task] = (),
) -> list[Allocator]:
    """Those that --allocators, --allocator and the tasks ask for and that can be loaded here."""
    known = load_allocators(folders, options.allocator)
    asked = {task.target_of for task in tasks}
    usual = [a.name for a in known if not a.on_request or a.name in asked]
    wanted = options.allocators.split(",") if options.allocators else usual
    for name in set(wanted) - {a.name for a in known}:
        give_up(f"unknown allocator {name!r}; known are {', '.join(a.name for a in known)}")
    chosen = []
    for allocator in (a for a in known if a.name in wanted):
        if loads(allocator):
            chosen.append(allocator)
        elif not allocator.is_packaged:
            give_up(
                f"cannot load {allocator.library} for {allocator.name}: is it a shared library?"
            )
        else:
            console.print(
                f"{allocator.name} is left out: cannot load {allocator.library}", style="yellow"
            )
    if not chosen:
        give_up("nothing to compare")
    return chosen


def missing(task: Task) -> str:
    """The program that this task needs and the machine lacks, or nothing."""
    needed = [task.run[0], *task.load[:1], *task.needs]
    path = None if task.is_users else PATH
    return next((program for program in needed if not shutil.which(program, path=path)), "")


def prepare(task: Task, folders: Folders) -> None:
    """Writes the generated input of a task, unless it is there already. Raises Failure."""
    folders.made.mkdir(parents=True, exist_ok=True)
    target = folders.made / task.name
    if not task.make or target.exists():
        return
    with tempfile.TemporaryDirectory(dir=folders.made) as scratch:
        script = BENCH / "real" / task.make
        unfinished = pathlib.Path(scratch) / task.name
        command = [sys.executable, "-B", script, unfinished]
        made = subprocess.run(command, env=_environment({}), capture_output=True, text=True)
        if made.returncode != 0:
            raise Failure("NO INPUT", made.stderr.strip())
        unfinished.rename(target)


def measure(
    task: Task,
    allocator: Allocator,
    folders: Folders,
    seconds: float,
    look_every_ms: int = 0,
    warm_kib: int = 0,
) -> Sample:
    """One run, of at most that many seconds, on so much memory that the machine's host has fetched.

    Raises Failure if it crashes or hangs.
    """
    with tempfile.TemporaryFile(dir=folders.made) as output, tempfile.TemporaryFile() as errors:
        command = [folders.launch, allocator.preload_for(task), task.times]
        command += [look_every_ms, warm_kib]
        report, ready_ns = _run(task, command + task.run, seconds, output, errors)
        output.seek(0)
        errors.seek(0)
        answer = output.read()
        complaint = errors.read().decode(errors="replace").strip()
    if NOT_LOADED in complaint:
        raise Failure("NOT LOADED", complaint)
    if report is None:
        raise Failure("HUNG", f"no end after {seconds:.0f} s")
    if not report:
        raise Failure("NO REPORT", "the launcher was ended before the program was")
    sums, *looks = [tuple(map(int, line.split())) for line in report.splitlines()]
    wall_ns, cpu_ns, system_ns, peak_kib, faults, status = sums
    if task.is_stopped and os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGTERM:
        status = 0
    if os.WIFSIGNALED(status):
        raise Failure(signal.Signals(os.WTERMSIG(status)).name, complaint)
    code = os.waitstatus_to_exitcode(status)
    if code != 0 and not task.may_fail:
        found_damage = not task.is_program and code == DAMAGE
        raise Failure("WRONG" if found_damage else f"EXIT {code}", complaint)
    tells_of_itself = not task.is_program or task.memory == "own"
    own = OwnFigures(answer if tells_of_itself else b"")
    if not (task.is_program or task.time == "none" or own.by_kind["ns"]):
        raise Failure("NO TIME", "it has printed no ns=")
    return Sample(
        times=own.by_kind["ns"] or {"": cpu_ns / task.times},
        memory_kib=own.by_kind["kib"].get("", peak_kib),
        cpu_ns=cpu_ns / task.times,
        wall_ns=wall_ns / task.times,
        answer=hashlib.sha256(own.answer if tells_of_itself else answer).hexdigest(),
        status=code,
        peak_kib=peak_kib,
        faults=faults / task.times,
        system_ns=system_ns / task.times,
        live_bytes=own.by_kind["live"].get("", 0),
        ready_ns=ready_ns,
        slow=own.by_kind["slow"],
        held=own.by_kind["held"],
        histograms=own.histograms,
        looks=looks,
    )


def _run(task, command, seconds, output, errors) -> tuple[bytes | None, float]:
    """Runs the task's command, and its load if it is a server.

    Returns what launch reports, None if time was up, and how long a server took until it listened.
    """
    if task.ready and server.is_listening(task.ready):
        raise Failure("TAKEN", f"another program listens at {task.ready}; end it first")
    server.clear(task.ready)
    reader, writer = os.pipe()
    launch, *others = map(str, command)
    with open(reader, "rb") as report, open(task.input, "rb") as given:
        process = subprocess.Popen(
            [launch, str(writer), *others],
            stdin=given,
            stdout=subprocess.DEVNULL if task.load else output,
            stderr=errors,
            env=task_environment(task),
            cwd=None if task.is_users else TOP,
            pass_fds=[writer],
            start_new_session=True,
        )
        os.close(writer)
        try:
            start = time.monotonic()
            deadline = start + seconds
            failure, ready_ns = None, 0.0
            if task.load and server.await_start(task.ready, process):
                ready_ns = (time.monotonic() - start) * 1e9
                failure = _put_load(task, deadline, output, errors)
            elif task.load:
                failure = Failure("NO START", f"nothing listened at {task.ready}")
            if failure and _is_alive(process):
                raise failure
            if task.is_stopped and process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
            process.wait(deadline - time.monotonic())
            said = report.read()
            ended_well = not said or said.splitlines()[0].endswith(b" 0")
            if failure and (ended_well or task.may_fail):
                raise failure
            return said, ready_ns
        except subprocess.TimeoutExpired:
            return None, 0.0
        finally:
            # Nothing that was started for a run may go on while the next one is measured.
            server.end_session(process)


def _put_load(task, deadline, output, errors) -> Failure | None:
    """Runs the load of a server that listens. Returns what went wrong with that."""
    load = subprocess.Popen(
        task.load,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=errors,
        env=_kept() if task.is_users else _environment({}),
        start_new_session=True,
    )
    try:
        if load.wait(deadline - time.monotonic()) == 0:
            return None
        errors.seek(0)
        return Failure("LOAD", errors.read().decode(errors="replace").strip())
    finally:
        server.end_session(load)


def _is_alive(process: subprocess.Popen) -> bool:
    """Whether it goes on for another second: why a server has crashed, its own end tells better."""
    try:
        process.wait(1)
        return False
    except subprocess.TimeoutExpired:
        return True


class OwnFigures:
    """What a workload prints of itself: figures by kind and row, and its answer."""

    def __init__(self, output: bytes):
        self.by_kind: dict[str, dict[str, float]] = {
            kind: {} for kind in ("ns", "kib", "live", "slow", "held")
        }
        self.histograms: dict[str, list[tuple[float, int]]] = {}
        self.answer = b""
        for line in output.splitlines():
            name, _, value = line.decode(errors="replace").partition("=")
            kind, _, key = name.partition(".")
            if kind in self.by_kind:
                self.by_kind[kind][key] = float(value)
            elif kind == "lat":
                buckets = (bucket.split(":") for bucket in value.split(","))
                self.histograms[key] = [(float(bound), int(count)) for bound, count in buckets]
            else:
                self.answer += line


def task_environment(task: Task) -> dict[str, str]:
    """What the user's own command sees is left as it is, but for the library to be preloaded."""
    return _kept() if task.is_users else _environment(task.environment)


def _kept() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}


def _environment(extra: dict[str, str]) -> dict[str, str]:
    """The user's environment, without what would make answers differ from machine to machine."""
    fixed = {
        "PATH": PATH,
        "LC_ALL": "C.UTF-8",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
    }
    return _kept() | fixed | extra
