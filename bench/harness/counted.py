"""One more run of a task under a tool that counts something, whose times therefore say nothing.

System calls are counted by strace; instructions, cycles and misses by the processor, if it lets
perf read its counters. Many virtual machines do not.
"""

from __future__ import annotations

import csv
import dataclasses
import re
import shutil
import subprocess
import tempfile

from catalog import Allocator, Folders, Task
from measure import Failure, Sample, measure

SECONDS = 600
# The last line of strace: share, seconds, microseconds a call, calls, errors if there are any.
TOTAL = r"^100\.00\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?total$"
EVENTS = {
    "instructions": "Instructions",
    "cycles": "Cycles",
    "cache-misses": "Cache misses",
    "dTLB-load-misses": "TLB misses",
}


def counters_lack() -> str:
    """Why there are no hardware counters here, or nothing."""
    if not shutil.which("perf"):
        return "there is no perf (apt-get install linux-perf)"
    with tempfile.NamedTemporaryFile("r") as summary:
        command = ["perf", "stat", "-x", ",", "-o", summary.name, "-e", "instructions", "/bin/true"]
        if subprocess.run(command, capture_output=True).returncode != 0:
            return "perf may not read them (see /proc/sys/kernel/perf_event_paranoid)"
        return "" if _events(summary.name) else "this machine does not show them"


def with_counters(task: Task, allocator: Allocator, folders: Folders) -> Sample | None:
    def tool(summary: str, library: str) -> list[str]:
        # What env itself costs is the same for all, and in all.
        preload = ["env", f"LD_PRELOAD={library}"]
        return ["perf", "stat", "-x", ",", "-o", summary, "-e", ",".join(EVENTS), *preload]

    return _run(dataclasses.replace(task, times=1), allocator, folders, tool, _events)


def with_system_calls(task: Task, allocator: Allocator, folders: Folders) -> Sample | None:
    def tool(summary: str, library: str) -> list[str]:
        preload = ["-E", f"LD_PRELOAD={library}"] if library else []
        return ["strace", "-f", "-c", "-q", "-o", summary, *preload]

    def read(summary: str) -> dict[str, float]:
        with open(summary) as lines:
            total = re.search(TOTAL, lines.read(), re.MULTILINE)
        return {"system calls": float(total[1])} if total else {}

    return _run(task, allocator, folders, tool, read)


def _run(task, allocator, folders, tool, read) -> Sample | None:
    with tempfile.NamedTemporaryFile(dir=folders.made) as summary:
        prefix = tool(summary.name, allocator.preload_for(task))
        # The library is for the program, not for the tool.
        bare = dataclasses.replace(allocator, library="", library_if_linked="")
        try:
            sample = measure(
                dataclasses.replace(task, run=prefix + task.run), bare, folders, SECONDS
            )
        except Failure:
            return None
        return dataclasses.replace(sample, counts=read(summary.name))


def _events(summary: str) -> dict[str, float]:
    """What perf counted; it writes <not supported> for what it could not."""
    with open(summary) as lines:
        rows = [row for row in csv.reader(lines) if len(row) > 2]
    return {row[2].partition(":")[0]: float(row[0]) for row in rows if row[0].isdigit()}
