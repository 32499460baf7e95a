"""Runs one task under one allocator, once, and says what it cost and whether its answer was right.

The figures come from build/bench/launch, a small program between this one and the task, so that the
memory of the Python interpreter is in none of them.
"""

from __future__ import annotations

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

import server
from catalog import BENCH, Allocator, Folders, Task

# The programs of the distribution, whatever else the user's PATH puts before them. Debian keeps
# those of PostgreSQL in a folder of their own for each version.
PATH = ":".join(
    [str(folder) for folder in sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"))[-1:]]
    + ["/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"]
)
NOT_LOADED = "cannot be preloaded"  # The dynamic linker says so, and goes on without the library.

DAMAGE = 1  # The exit status of a workload that finds one of its blocks damaged.


class Failure(Exception):
    """A run that gives no figures. The text is short enough for a cell of the table."""

    def __init__(self, verdict: str, detail: str = ""):
        super().__init__(verdict)
        self.verdict = verdict
        self.detail = detail


@dataclasses.dataclass(frozen=True)
class Sample:
    """One run. `times` maps a row's key to nanoseconds; the key is empty if there is only one.

    `slow` and `held` are what the allocator says of its slow path, by the same keys.
    """

    times: dict[str, float]
    memory_kib: float
    cpu_ns: float
    wall_ns: float
    answer: str
    slow: dict[str, float] = dataclasses.field(default_factory=dict)
    held: dict[str, float] = dataclasses.field(default_factory=dict)


def loads(allocator: Allocator) -> bool:
    """Can the dynamic linker preload this library?"""
    environment = _environment({}) | {"LD_PRELOAD": allocator.library}
    run = subprocess.run(["/bin/true"], env=environment, stderr=subprocess.PIPE)
    return run.returncode == 0 and NOT_LOADED.encode() not in run.stderr


def missing(task: Task) -> str:
    """The program that this task needs and the machine lacks, or nothing."""
    needed = [task.run[0], *task.load[:1], *task.needs]
    return next((program for program in needed if not shutil.which(program, path=PATH)), "")


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


def measure(task: Task, allocator: Allocator, folders: Folders, seconds: float) -> Sample:
    """One run, of at most that many seconds. Raises Failure if it crashes or hangs."""
    with tempfile.TemporaryFile(dir=folders.made) as output, tempfile.TemporaryFile() as errors:
        report = _run(task, allocator, folders, seconds, output, errors)
        output.seek(0)
        errors.seek(0)
        answer = output.read()
        complaint = errors.read().decode(errors="replace").strip()
    if NOT_LOADED in complaint:
        raise Failure("NOT LOADED", complaint)
    if not report:
        raise Failure("HUNG", f"no end after {seconds:.0f} s")
    wall_ns, cpu_ns, peak_kib, status = map(int, report.split())
    if os.WIFSIGNALED(status):
        raise Failure(signal.Signals(os.WTERMSIG(status)).name, complaint)
    if status != 0:
        code = os.waitstatus_to_exitcode(status)
        found_damage = not task.is_program and code == DAMAGE
        raise Failure("WRONG" if found_damage else f"EXIT {code}", complaint)
    figures = {"ns": {"": cpu_ns / task.times}, "kib": {}, "slow": {}, "held": {}}
    if not task.is_program:
        figures, answer = _own_figures(answer)
    elif task.memory == "own":
        own, answer = _own_figures(answer)
        figures["kib"] = own["kib"]
    return Sample(
        figures["ns"],
        figures["kib"].get("", peak_kib),
        cpu_ns,
        wall_ns,
        hashlib.sha256(answer).hexdigest(),
        figures["slow"],
        figures["held"],
    )


def _run(task, allocator, folders, seconds, output, errors) -> bytes:
    """Runs the task's command, and its load if it is a server. Returns what launch reports."""
    if task.ready and server.is_listening(task.ready):
        raise Failure("TAKEN", f"another program listens at {task.ready}; end it first")
    server.clear(task.ready)
    reader, writer = os.pipe()
    command = [folders.launch, str(writer), allocator.preload_for(task), str(task.times), *task.run]
    with open(reader, "rb") as report, open(task.input, "rb") as given:
        process = subprocess.Popen(
            command,
            stdin=given,
            stdout=subprocess.DEVNULL if task.load else output,
            stderr=errors,
            env=_environment(task.environment),
            pass_fds=[writer],
            start_new_session=True,
        )
        os.close(writer)
        try:
            deadline = time.monotonic() + seconds
            failure = _put_load(task, deadline, process, output, errors) if task.load else None
            if failure and _is_alive(process):
                raise failure
            process.wait(deadline - time.monotonic())
            said = report.read()
            if failure and said.split()[-1] == b"0":
                raise failure
            return said
        except subprocess.TimeoutExpired:
            return b""
        finally:
            # Nothing that was started for a run may go on while the next one is measured.
            server.end_session(process)


def _put_load(task, deadline, process, output, errors) -> Failure | None:
    """Runs the load of a server as soon as it listens. Returns what went wrong with that."""
    if not server.await_start(task.ready, process):
        return Failure("NO START", f"nothing listened at {task.ready}")
    load = subprocess.Popen(
        task.load,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=errors,
        env=_environment({}),
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


def _own_figures(output: bytes) -> tuple[dict[str, dict[str, float]], bytes]:
    """Splits what a workload prints into its figures, by kind and row, and its answer."""
    figures: dict[str, dict[str, float]] = {"ns": {}, "kib": {}, "slow": {}, "held": {}}
    answer = b""
    for line in output.splitlines():
        name, _, value = line.decode().partition("=")
        kind, _, key = name.partition(".")
        if kind in figures:
            figures[kind][key] = float(value)
        else:
            answer += line
    return figures, answer


def _environment(extra: dict[str, str]) -> dict[str, str]:
    """The user's environment, without what would make answers differ from machine to machine."""
    fixed = {
        "PATH": PATH,
        "LC_ALL": "C.UTF-8",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
    }
    kept = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    return kept | fixed | extra
