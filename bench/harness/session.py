"""One comparison: the rounds, in which order they are run, and what they have brought so far."""

from __future__ import annotations

import time
from collections.abc import Iterator

from catalog import REFERENCE, Allocator, Folders, Task
from measure import Failure, Sample, measure, prepare
from rows import Failures, Samples

LOOK_EVERY_MS = 5  # Between two looks at the memory of a program, in the first round.
REFERENCE_SECONDS = 60
# Times the reference's peak: so much memory is fetched in front of each run, or as much as any run
# has taken so far, where that is more.
WARM = 2
USERS_SECONDS = 600  # A program of the user's may take its time.
PATIENCE = 30  # A run is given up after this many times the reference's duration, and ten seconds.


class Session:
    def __init__(self, tasks: list[Task], allocators: list[Allocator], folders: Folders) -> None:
        self.tasks = tasks
        self.allocators = allocators
        self.folders = folders
        self.samples: Samples = {(task.name, a.name): [] for task in tasks for a in allocators}
        self.failures: Failures = {}
        self.seconds: dict[str, float] = {}  # What the latest round of each task took.
        self.different: list[tuple[str, str]] = []  # Output that is not the reference's: a user's.
        self._reference: dict[str, tuple[Sample, float]] = {}
        self._most_kib: dict[str, float] = {}  # That any run of a task has taken at its peak.

    def ask_reference(self, task: Task, reference: Allocator) -> None:
        """Learns the right answer and how long a run takes. Also warms up the file cache."""
        prepare(task, self.folders)
        start = time.monotonic()
        limit = USERS_SECONDS if task.is_users else REFERENCE_SECONDS
        sample = measure(task, reference, self.folders, seconds=limit)
        self._reference[task.name] = sample, time.monotonic() - start
        self._most_kib[task.name] = sample.peak_kib
        self.seconds[task.name] = (time.monotonic() - start) * len(self.allocators)

    def run_round(self, task: Task, index: int) -> None:
        """Runs the task once under each allocator; the n-th round begins with the n-th of them."""
        start = time.monotonic()
        turn = index % len(self.allocators)
        shows_course = task.is_program and task.times == 1 and task.time != "none"
        looks = LOOK_EVERY_MS if index == 0 and shows_course else 0
        for allocator in self.allocators[turn:] + self.allocators[:turn]:
            self.samples[task.name, allocator.name].append(self._sample(task, allocator, looks))
        self.seconds[task.name] = time.monotonic() - start

    def _sample(self, task: Task, allocator: Allocator, look_every_ms: int) -> Sample | None:
        """One run; None if it fails. What has failed once is not tried again."""
        here = task.name, allocator.name
        if here in self.failures:
            return None
        right, seconds = self._reference[task.name]
        try:
            limit = 10 + PATIENCE * seconds
            warm_kib = round(max(WARM * right.peak_kib, self._most_kib[task.name]))
            sample = measure(task, allocator, self.folders, limit, look_every_ms, warm_kib)
            self._most_kib[task.name] = max(self._most_kib[task.name], sample.peak_kib)
            if sample.status != right.status:
                raise Failure(f"EXIT {sample.status}", f"exit {right.status} under {REFERENCE}")
            if sample.answer != right.answer:
                if not task.is_users:
                    raise Failure("WRONG", f"another answer than under {REFERENCE}")
                if here not in self.different:
                    self.different.append(here)
            return sample
        except Failure as failure:
            self.failures[here] = failure
            return None


def spread(tasks: list[Task], runs: list[int]) -> Iterator[tuple[Task, int]]:
    """All rounds but the first of each task, those of slow tasks spread evenly among the others."""
    steps = [(i / n, place, i) for place, n in enumerate(runs) for i in range(1, n)]
    return ((tasks[place], index) for _, place, index in sorted(steps))
