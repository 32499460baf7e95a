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
import socket
import subprocess
import sys
import tempfile
import time

from catalog import BENCH, Allocator, Folders, Task

# The programs of the distribution, whatever else the user's PATH puts before them.
PATH = "/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"
SECONDS_TO_START = 10

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
    faults: float = 0
    live_bytes: float = 0
    ready_ns: float = 0  # A server's time until it listens.
    counts: dict[str, float] = dataclasses.field(default_factory=dict)  # See counted.py.
    slow: dict[str, float] = dataclasses.field(default_factory=dict)
    held: dict[str, float] = dataclasses.field(default_factory=dict)
    histograms: dict[str, list[tuple[float, int]]] = dataclasses.field(default_factory=dict)
    looks: list[tuple[int, int]] = dataclasses.field(default_factory=list)


def loads(allocator: Allocator) -> bool:
    """Can the dynamic linker preload this library? It goes on without one that it cannot find."""
    environment = _environment({}) | {"LD_PRELOAD": allocator.library}
    run = subprocess.run(["/bin/true"], env=environment, stderr=subprocess.PIPE)
    return run.returncode == 0 and b"cannot be preloaded" not in run.stderr


def missing(task: Task) -> str:
    """The program that this task needs and the machine lacks, or nothing."""
    needed = [task.run[0]] + task.load[:1]
    return next((program for program in needed if not shutil.which(program, path=PATH)), "")


def prepare(task: Task, folders: Folders) -> None:
    """Writes the generated input of a task, unless it is there already."""
    folders.made.mkdir(parents=True, exist_ok=True)
    target = folders.made / task.name
    if not task.make or target.exists():
        return
    with tempfile.TemporaryDirectory(dir=folders.made) as scratch:
        script = BENCH / "real" / task.make
        unfinished = pathlib.Path(scratch) / task.name
        subprocess.run([sys.executable, script, unfinished], env=_environment({}), check=True)
        unfinished.rename(target)


def measure(
    task: Task, allocator: Allocator, folders: Folders, seconds: float, look_every_ms: int = 0
) -> Sample:
    """One run, of at most that many seconds. Raises Failure if it crashes or hangs."""
    with tempfile.TemporaryFile(dir=folders.made) as output, tempfile.TemporaryFile() as errors:
        command = [folders.launch, allocator.preload_for(task), task.times, look_every_ms]
        report = _run(task, command + task.run, seconds, output, errors)
        output.seek(0)
        errors.seek(0)
        answer = output.read()
        complaint = errors.read().decode(errors="replace").strip()
    if not report:
        raise Failure("HUNG", f"no end after {seconds:.0f} s")
    sums, *looks = [tuple(map(int, line.split())) for line in report.splitlines()]
    wall_ns, cpu_ns, peak_kib, faults, status = sums
    if task.is_stopped and os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGTERM:
        status = 0
    if os.WIFSIGNALED(status):
        raise Failure(signal.Signals(os.WTERMSIG(status)).name, complaint)
    code = os.waitstatus_to_exitcode(status)
    if code != 0 and not task.may_fail:
        found_damage = not task.is_program and code == DAMAGE
        raise Failure("WRONG" if found_damage else f"EXIT {code}", complaint)
    own = OwnFigures(answer) if not task.is_program else OwnFigures(b"")
    return Sample(
        times=own.by_kind["ns"] or {"": cpu_ns / task.times},
        memory_kib=own.by_kind["kib"].get("", peak_kib),
        cpu_ns=cpu_ns / task.times,
        wall_ns=wall_ns / task.times,
        answer=hashlib.sha256(answer if task.is_program else own.answer).hexdigest(),
        status=code,
        faults=faults / task.times,
        live_bytes=own.by_kind["live"].get("", 0),
        slow=own.by_kind["slow"],
        held=own.by_kind["held"],
        histograms=own.histograms,
        looks=looks,
    )


def _run(task, command, seconds, output, errors) -> bytes:
    """Runs the task's command, and its load if it is a server. Returns what launch reports."""
    reader, writer = os.pipe()
    launch, *others = map(str, command)
    with open(reader, "rb") as report, open(task.input, "rb") as given:
        process = subprocess.Popen(
            [launch, str(writer), *others],
            stdin=given,
            stdout=subprocess.DEVNULL if task.load else output,
            stderr=errors,
            env=task_environment(task),
            pass_fds=[writer],
            start_new_session=True,
        )
        os.close(writer)
        try:
            deadline = time.monotonic() + seconds
            if task.load and _is_ready(task.ready):
                left = deadline - time.monotonic()
                subprocess.run(
                    task.load,
                    stdout=output,
                    stderr=errors,
                    env=_kept() if task.is_users else _environment({}),
                    timeout=left,
                )
                if task.is_stopped:
                    os.killpg(process.pid, signal.SIGTERM)
            process.wait(deadline - time.monotonic())
            return report.read()
        except subprocess.TimeoutExpired:
            return b""
        finally:
            _end_session(process)


def _end_session(process: subprocess.Popen) -> None:
    """Nothing that was started for a run may go on while the next one is measured."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


def _is_ready(path: str) -> bool:
    """Waits until a server listens at the socket `path`."""
    deadline = time.monotonic() + SECONDS_TO_START
    while time.monotonic() < deadline:
        with socket.socket(socket.AF_UNIX) as client:
            try:
                client.connect(path)
                return True
            except OSError:
                time.sleep(0.01)
    return False


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
