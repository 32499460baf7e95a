"""Do intervals hold what they promise, which runs give figures, and which rows count where?

    python3 -m unittest discover tests/bench

after a build with -DASHLAR_BUILD_BENCH=ON. ASHLAR_BUILD names the build folder, if not build/.
"""

from __future__ import annotations

import io
import math
import os
import random
import sys
import unittest
from unittest import mock

import liars
from rich.console import Console

sys.path.insert(0, str(liars.TOP / "bench" / "harness"))
import catalog  # noqa: E402
import compare  # noqa: E402
import figures  # noqa: E402
import machine  # noqa: E402
import measure  # noqa: E402
import rows  # noqa: E402
import session  # noqa: E402

TRIALS = 1000
MS = 1e6
FOLDERS = catalog.Folders(liars.BUILD)
GLIBC = catalog.Allocator("glibc")


def noise(rng: random.Random, rounds: int, common: list[float] | None = None) -> list[float]:
    """Logarithms of ratios that are 1 but for noise, part of which a whole task has in common."""
    return [rng.gauss(0, 0.05) + (common[i] if common else 0) for i in range(rounds)]


class Figures(unittest.TestCase):
    def test_nineteen_of_twenty_intervals_contain_the_truth(self) -> None:
        for rounds in (3, 5, 9, 20):
            rng = random.Random(rounds)
            found = [figures.interval_of(noise(rng, rounds)) for _ in range(TRIALS)]
            share = sum(interval.is_noise for interval in found) / TRIALS
            with self.subTest(rounds=rounds):
                self.assertGreater(share, 0.90)
                self.assertLess(share, 0.985)

    def test_two_runs_tell_nothing(self) -> None:
        self.assertIsNone(figures.interval_of([0.1, 0.1]))

    def test_rows_of_one_task_are_not_taken_for_independent(self) -> None:
        rng = random.Random(1)
        contained = 0
        for _ in range(TRIALS):
            tasks = []
            for rows in (12, 8, 1, 1):
                common = noise(rng, 10)
                tasks.append([noise(rng, 10, common) for _ in range(rows)])
            contained += figures.mean_ratio(tasks).is_noise
        self.assertGreater(contained / TRIALS, 0.93)

    def test_the_mean_weighs_rows_alike(self) -> None:
        tasks = [[[math.log(2)] * 5] * 3, [[0.0] * 5]]
        self.assertAlmostEqual(figures.mean_ratio(tasks).ratio, 2 ** (3 / 4))

    def test_percentiles_are_bounds_that_so_many_calls_kept(self) -> None:
        found = figures.percentiles([(10, 9000), (100, 900), (1000, 99), (5000, 1)])
        self.assertEqual([found[key] for key in ("50", "90", "99", "99.9")], [10, 10, 100, 1000])
        self.assertEqual((found["99.99"], found["max"]), (1000, 5000))


def tables(*tasks: catalog.Task, **figures: float) -> dict[str, list[str]]:
    """The rows of each table when all runs of all tasks have these figures."""
    sample = measure.Sample({"": 1.0}, 1000, 1, 1, "", **figures)
    samples = {(task.name, "glibc"): [sample] for task in tasks}
    found = rows.all_rows(rows.QUANTITIES, list(tasks), [GLIBC], samples, {})
    return {table.quantity.key: [row.name for row in table.rows] for table in found}


class Tables(unittest.TestCase):
    def test_what_stays_is_in_no_table_of_peaks(self) -> None:
        found = tables(
            catalog.Task("peak", ["true"], False),
            catalog.Task("rest", ["true"], False, memory="stays"),
            live_bytes=1000,
        )
        self.assertEqual((found["memory"], found["stays"]), (["peak"], ["rest"]))
        self.assertEqual(found["resident"], ["peak", "rest"])

    def test_a_limit_is_one_of_what_stays_too(self) -> None:
        task = catalog.Task("rest", ["true"], False, memory="stays", memory_limit=1)
        for kib, verdict in ((1024, "met"), (1025, "missed")):
            samples = {("rest", "ashlar"): [measure.Sample({"": 1.0}, kib, 1, 1, "")]}
            found = rows.all_rows(
                rows.QUANTITIES, [task], [catalog.Allocator("ashlar")], samples, {}
            )
            row = next(table for table in found if table.quantity.key == "stays").rows[0]
            self.assertEqual((row.target, row.verdict), ("1.0 MiB", verdict))

    def test_few_ticks_of_system_time_make_no_row(self) -> None:
        task = catalog.Task("some", ["true"], False)
        self.assertNotIn("system", tables(task, system_ns=49 * MS))
        self.assertEqual(tables(task, system_ns=51 * MS)["system"], ["some"])

    def test_rows_of_memory_alone_are_marked_so(self) -> None:
        for task in catalog.load_tasks(FOLDERS, "fragmentation-rest,idle-*"):
            found = tables(task, system_ns=99 * MS, faults=9)
            self.assertEqual(found, {"stays": [task.name]})


@unittest.skipUnless(FOLDERS.launch.exists(), "the benchmarks are not built")
class Verdicts(unittest.TestCase):
    def verdict(self, script: str, **more: object) -> str:
        task = catalog.Task("some", ["sh", "-c", script], is_program=False, **more)
        FOLDERS.made.mkdir(parents=True, exist_ok=True)
        try:
            measure.measure(task, GLIBC, FOLDERS, seconds=60)
        except measure.Failure as failure:
            return failure.verdict
        return ""

    def test_only_a_damaged_block_is_a_wrong_answer(self) -> None:
        self.assertEqual(self.verdict("exit 1"), "WRONG")
        self.assertEqual(self.verdict("exit 3"), "EXIT 3")
        short = f"ulimit -v 20000; exec {liars.BUILD}/bench/workloads/large_blocks"
        self.assertEqual(self.verdict(short), "EXIT 3")

    def test_a_workload_without_its_time_fails(self) -> None:
        self.assertEqual(self.verdict("echo answer=1"), "NO TIME")
        self.assertEqual(self.verdict("echo kib=1", time="none"), "")
        self.assertEqual(self.verdict("echo ns=1"), "")

    def test_a_workload_that_fails_under_glibc_is_left_out(self) -> None:
        good, bad = (
            catalog.Task(name, ["sh", "-c", script], is_program=False)
            for name, script in (("good", "echo ns=1"), ("bad", "exit 3"))
        )
        here = session.Session([bad, good], [GLIBC], FOLDERS)
        said = io.StringIO()
        compare.ask_reference(here, Console(file=said, width=200))
        self.assertEqual(here.tasks, [good])
        self.assertIn("Left out: bad fails under glibc: EXIT 3", said.getvalue())

    def test_a_launcher_that_was_ended_is_no_hang(self) -> None:
        self.assertEqual(self.verdict("kill -9 $PPID"), "NO REPORT")


class WarmUp(unittest.TestCase):
    def test_as_much_is_fetched_as_any_allocator_has_taken(self) -> None:
        peaks = {"glibc": 100, "lean": 50, "fat": 900}
        asked = []

        def run(task, allocator, folders, seconds, look_every_ms=0, warm_kib=0):
            asked.append(warm_kib)
            return measure.Sample({"": 1.0}, 1, 1, 1, "", peak_kib=peaks[allocator.name])

        task = catalog.Task("some", ["true"], False)
        with mock.patch.object(session, "measure", run):
            here = session.Session([task], [catalog.Allocator(name) for name in peaks], FOLDERS)
            here.ask_reference(task, GLIBC)
            here.run_round(task, 0)
            here.run_round(task, 1)
        self.assertEqual(asked, [0, 200, 200, 200, 900, 900, 900])


class Tuning(unittest.TestCase):
    def test_variables_that_tune_an_allocator_are_told(self) -> None:
        with mock.patch.dict(os.environ, {"HOME": "/", "PATH": "/bin"}, clear=True):
            self.assertNotIn("tuned by", machine.describe())
            for name in ("ASHLAR_CONF", "GLIBC_TUNABLES", "MALLOC_CONF", "MIMALLOC_VERBOSE"):
                with mock.patch.dict(os.environ, {name: "x:1"}):
                    self.assertEqual(machine.describe()["tuned by"], f"{name}=x:1")


if __name__ == "__main__":
    unittest.main()
