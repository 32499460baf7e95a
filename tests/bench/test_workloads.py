"""Do the workloads agree under every allocator, find damage, and count their live bytes right?

    python3 -m unittest discover tests/bench

after a build with -DASHLAR_BUILD_BENCH=ON. ASHLAR_BUILD names the build folder, if not build/.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

import liars

sys.path.insert(0, str(liars.TOP / "bench" / "harness"))
from catalog import Folders, Task, load_allocators, load_tasks  # noqa: E402
from measure import loads  # noqa: E402

FIGURE = re.compile(r"(ns|kib|live|slow|held|lat)(\.[\w:x-]+)?=(.+)")
# What these hold is nothing, or memory that they never write to.
COUNT_NOTHING = {"pairs", "sharing", "zeroed", "idle-200", "idle-2000"}
COUNT_NOTHING |= {"small-live-0", "small-live-200", "small-live-2000", "small-prefork"}
# Debian's mimalloc 2.0.9 does not keep what aligned_alloc promises.
KNOWN_FAULTS = {("aligned", "mimalloc")}
# libc rounds requests up, the C++ runtime has needs of its own, and threads book late.
LEAST_SHARE, MOST_SHARE = 0.85, 1.1
RUNTIME_BYTES = 100_000
# These hold one block at a time, make too few calls, or none that this liar answers.
SEES_NO_OVERLAP = {"pairs", "vector-double", "vector-steps", "large-blocks", "medium-blocks"}
SEES_NO_OVERLAP |= {"aligned", "small-live-0", "small-live-200", "small-held-git"}

# The others are checked whenever they are compared.
CHECKED = os.environ.get("ALLOCATORS", "glibc,ashlar").split(",")


@dataclasses.dataclass(frozen=True)
class Output:
    status: int
    answer: str
    complaint: str
    figures: dict[str, str]


def run(task: Task, library: str) -> Output:
    command = ["timeout", "60", *task.run]
    environment = {"LD_PRELOAD": library} if library else {}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True)
    figures, answer = {}, ""
    for line in ended.stdout.splitlines():
        if found := FIGURE.fullmatch(line):
            figures[found[1] + (found[2] or "")] = found[3]
        else:
            answer += line
    return Output(ended.returncode, answer, ended.stderr, figures)


@unittest.skipUnless((liars.BUILD / "bench" / "launch").exists(), "the benchmarks are not built")
class Workloads(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        folders = Folders(liars.BUILD)
        cls.tasks = [task for task in load_tasks(folders, "*,small-*") if not task.is_program]
        known = [a for a in load_allocators(folders, []) if a.name in CHECKED]
        cls.allocators = [a for a in known if loads(a)]
        lacking = set(CHECKED) - {a.name for a in cls.allocators}
        if lacking:
            raise AssertionError(f"nothing is compared with what does not load: {lacking}")

    def test_answers_are_the_same_under_every_allocator(self) -> None:
        for task in self.tasks:
            answers = set()
            for allocator in self.allocators:
                if (task.name, allocator.name) in KNOWN_FAULTS:
                    continue
                with self.subTest(task=task.name, allocator=allocator.name):
                    output = run(task, allocator.library)
                    self.assertEqual(output.status, 0)
                    self.assertRegex(output.answer, r"^answer=[0-9a-f]{16}$")
                    answers.add(output.answer)
            with self.subTest(task=task.name):
                self.assertEqual(len(answers), 1)

    def test_live_bytes_are_what_was_requested(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            ledger = str(liars.build(liars.LEDGER, pathlib.Path(folder)))
            for task in self.tasks:
                with self.subTest(task=task.name):
                    output = run(task, ledger)
                    self.assertEqual("live" in output.figures, task.name not in COUNT_NOTHING)
                    if "live" in output.figures and task.memory == "peak":
                        # A child of the workload has a ledger of its own.
                        peak = max(map(int, re.findall(r"peak=(\d+)", output.complaint)))
                        live = int(output.figures["live"])
                        self.assertGreater(live, LEAST_SHARE * peak - RUNTIME_BYTES)
                        self.assertLess(live, MOST_SHARE * peak)

    def test_histograms_ascend_and_hold_every_call(self) -> None:
        task = next(task for task in self.tasks if task.name == "latency")
        figures = run(task, "").figures
        for row in ("malloc", "free"):
            buckets = [bucket.split(":") for bucket in figures[f"lat.{row}"].split(",")]
            bounds = [float(bound) for bound, _ in buckets]
            self.assertEqual(bounds, sorted(set(bounds)))
            self.assertGreater(sum(int(count) for _, count in buckets), 900_000)

    def test_overlapping_blocks_are_found(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            library = str(liars.build(liars.source_of("overlap"), pathlib.Path(folder)))
            for task in self.tasks:
                if task.name in SEES_NO_OVERLAP:
                    continue
                with self.subTest(task=task.name):
                    output = run(task, library)
                    right = run(task, "")
                    self.assertNotEqual((output.status, output.answer), (0, right.answer))


if __name__ == "__main__":
    unittest.main()
