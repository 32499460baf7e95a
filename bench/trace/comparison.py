"""bench/replay, once everything is there: replays each trace under each allocator in turn.

As in bench/compare, rounds are interleaved: a trace is replayed under one allocator directly after
the other, and each round begins with another of them.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import functools
import json
import pathlib
import subprocess
import sys
import tempfile
import time

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

import preparation
import result
import results
from catalog import REFERENCE, Allocator, Folders, Task, load_allocators
from machine import OtherLoad
from measure import Failure, Sample, choose_allocators, end_politely_by_signals, measure

COMMAND = "bench/replay"
WIDTH_IN_FILES = 120
SECONDS_FOR_FIRST = 600
PATIENCE = 30  # A run is given up after this many times the reference's duration, and ten seconds.


@dataclasses.dataclass(frozen=True)
class Point:
    """Memory after that share of a trace's operations, of 1000."""

    share: int
    resident_kib: int
    live_kib: int


@dataclasses.dataclass(frozen=True)
class Run:
    """One replay: what bench/compare knows of a run too, and what only a replay tells."""

    sample: Sample
    points: list[Point]
    left_kib: float


@dataclasses.dataclass
class Trace:
    name: str
    path: pathlib.Path
    summary: dict
    task: Task
    points: pathlib.Path  # Where each replay writes what it has sampled.
    answer: str = ""
    seconds: float = 0.0


class Comparison:
    def __init__(self, traces: list[Trace], allocators: list[Allocator], folders: Folders):
        self.traces = traces
        self.allocators = allocators
        self.folders = folders
        # By trace and allocator; None where a run failed or was not made.
        self.runs: dict[tuple[str, str], list[Run | None]] = {
            (trace.name, a.name): [] for trace in traces for a in allocators
        }
        self.failures: dict[tuple[str, str], Failure] = {}

    def ask_reference(self, trace: Trace, reference: Allocator) -> None:
        """Learns the right answer and how long a run takes. Also warms up the file cache."""
        start = time.monotonic()
        trace.answer = self._replay(trace, reference, SECONDS_FOR_FIRST).sample.answer
        trace.seconds = time.monotonic() - start

    def run_round(self, trace: Trace, index: int) -> None:
        turn = index % len(self.allocators)
        for allocator in self.allocators[turn:] + self.allocators[:turn]:
            self.runs[trace.name, allocator.name].append(self._run(trace, allocator))

    def _run(self, trace: Trace, allocator: Allocator) -> Run | None:
        """One run; None if it fails. What has failed once is not tried again."""
        here = trace.name, allocator.name
        if here in self.failures:
            return None
        try:
            run = self._replay(trace, allocator, 10 + PATIENCE * trace.seconds)
            if run.sample.answer != trace.answer:
                raise Failure("WRONG", f"another answer than under {REFERENCE}")
            return run
        except Failure as failure:
            self.failures[here] = failure
            return None

    def _replay(self, trace: Trace, allocator: Allocator, seconds: float) -> Run:
        sample = measure(trace.task, allocator, self.folders, seconds)
        points, left = [], 0.0
        for line in trace.points.read_text().splitlines():
            name, _, value = line.partition("=")
            if name == "point":
                points.append(Point(*map(int, value.split(":"))))
            elif name == "left":
                left = float(value)
        return Run(sample, points, left)


def run(options: argparse.Namespace) -> int:
    """Compares, prints the tables, and returns the exit status."""
    end_politely_by_signals()
    console = Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH_IN_FILES)
    folders = Folders(options.build.resolve())
    folders.made.mkdir(parents=True, exist_ok=True)
    give_up = functools.partial(preparation.give_up, COMMAND)
    allocators = choose_allocators(options, folders, console, give_up)
    with tempfile.TemporaryDirectory() as scratch:
        traces = [
            _open_trace(path, folders, pathlib.Path(scratch) / str(number))
            for number, path in enumerate(options.traces)
        ]
        names = [trace.name for trace in traces]
        if repeated := {name for name in names if names.count(name) > 1}:
            preparation.give_up(COMMAND, f"two traces have the name {repeated.pop()}")
        results.print_setting(console, allocators, traces)
        comparison = Comparison(traces, allocators, folders)
        others = OtherLoad()
        with contextlib.suppress(KeyboardInterrupt):  # Then the tables show what there is so far.
            _make_runs(comparison, options.runs, console)
        busy = others.share()
    if not any(made for runs in comparison.runs.values() for made in runs):
        preparation.give_up(COMMAND, "there is nothing to show: no run was made")
    quantities = results.quantities(comparison)
    results.print_all(console, comparison, quantities)
    if options.json:
        result.write(results.document(comparison, quantities, busy), options.json)
        console.print(f"wrote {options.json}", markup=False)
    packaged = {a.name for a in allocators if a.is_packaged}
    return int(any(allocator not in packaged for _, allocator in comparison.failures))


def _open_trace(path: pathlib.Path, folders: Folders, points: pathlib.Path) -> Trace:
    replay = folders.build / "bench" / "replay"
    found = subprocess.run([replay, "--summary", path], capture_output=True, text=True)
    if found.returncode != 0:
        reason = found.stderr.strip().removeprefix("replay: ")
        preparation.give_up(COMMAND, reason or f"{path} cannot be read")
    command = [str(replay), "--points", str(points), str(path.resolve())]
    name = path.name.removesuffix(".trace")
    return Trace(name, path, json.loads(found.stdout), Task(name, command, False), points)


def _make_runs(comparison: Comparison, runs: int, console: Console) -> None:
    reference = next(a for a in load_allocators(comparison.folders, []) if a.name == REFERENCE)
    text, bar, left = TextColumn("{task.description:16}"), BarColumn(), TimeRemainingColumn()
    with Progress(text, bar, left, TextColumn("left"), console=console, transient=True) as progress:
        shown = progress.add_task("", total=None)
        for trace in comparison.traces:
            progress.update(shown, description=trace.name)
            try:
                comparison.ask_reference(trace, reference)
            except Failure as failure:
                reason = f"{trace.path} fails under {REFERENCE}: {failure}. {failure.detail}"
                preparation.give_up(COMMAND, reason)
        costs = {trace.name: trace.seconds for trace in comparison.traces}
        progress.update(shown, total=sum(costs.values()) * runs)
        for index in range(runs):
            for trace in comparison.traces:
                progress.update(shown, description=trace.name)
                comparison.run_round(trace, index)
                progress.advance(shown, costs[trace.name])
