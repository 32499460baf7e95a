"""Are small processes compared with an empty library, and judged by what is allowed to them?

    python3 -m unittest discover tests/bench

after a build with -DASHLAR_BUILD_BENCH=ON. ASHLAR_BUILD names the build folder, if not build/.
"""

from __future__ import annotations

import json
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import unittest

import liars

sys.path.insert(0, str(liars.TOP / "bench" / "harness"))
import catalog  # noqa: E402
import rows  # noqa: E402
from measure import Sample, measure  # noqa: E402

FIXED = ["--no-install", "--no-build", "--build", str(liars.BUILD)]
EMPTY = "glibc+empty"
RUNS = 15


def judged(ours: float, theirs: float, **target: object) -> rows.Row:
    """The row of memory of a task with this target."""
    task = catalog.Task("some", ["true"], False, target_of=EMPTY, **target)
    kib = {"ashlar": ours, EMPTY: theirs, "glibc": theirs / 2}
    samples = {
        ("some", name): [Sample({"": 1.0}, value, 1, 1, "")] * RUNS for name, value in kib.items()
    }
    allocators = [catalog.Allocator(name) for name in kib]
    tables = rows.all_rows(rows.QUANTITIES, [task], allocators, samples, {})
    return next(table for table in tables if table.quantity.key == "memory").rows[0]


class Targets(unittest.TestCase):
    def test_an_allowance_is_added_to_what_the_peer_needs(self) -> None:
        for ours, verdict in ((100, "met"), (116, "met"), (117, "missed")):
            row = judged(ours, 100, memory_allowance_kib=16)
            self.assertEqual((row.target, row.verdict, row.peer), ("+16 KiB", verdict, EMPTY))
            self.assertEqual(row.excess, f"+{ours - 100} KiB")

    def test_the_larger_of_ratio_and_allowance_counts(self) -> None:
        allowed = {"memory_target": 1.02, "memory_allowance_kib": 64}
        self.assertEqual(judged(1060, 1000, **allowed).target, "1.02 or +64 KiB")
        for ours, theirs, verdict in (
            (1060, 1000, "met"),
            (1070, 1000, "missed"),
            (10_190, 10_000, "met"),
            (10_210, 10_000, "missed"),
        ):
            self.assertEqual(judged(ours, theirs, **allowed).verdict, verdict)

    def test_a_ratio_alone_is_judged_as_before(self) -> None:
        row = judged(103, 100, memory_target=1.02)
        self.assertEqual((row.target, row.verdict, row.excess), ("1.02", "missed", ""))


@unittest.skipUnless((liars.BUILD / "bench" / "launch").exists(), "the benchmarks are not built")
class Small(unittest.TestCase):
    def setUp(self) -> None:
        self.folders = catalog.Folders(liars.BUILD)
        self.known = {a.name: a for a in catalog.load_allocators(self.folders, [])}

    def compare(self, *words: str) -> dict:
        with tempfile.TemporaryDirectory() as folder:
            result = pathlib.Path(folder) / "result.json"
            command = [liars.TOP / "bench" / "compare", *FIXED, "--runs", "1", *words]
            run = subprocess.run([*command, "--json", result], capture_output=True, text=True)
            self.assertEqual(run.returncode, 0, run.stdout + run.stderr)
            return json.loads(result.read_text())

    def test_the_empty_library_takes_part_where_a_row_asks_for_it(self) -> None:
        for only, takes_part in (("true", False), ("true,small-true", True)):
            result = self.compare("--only", only)
            names = [allocator["name"] for allocator in result["allocators"]]
            self.assertEqual(EMPTY in names, takes_part)
            for table in result["tables"]:
                for row in table["rows"]:
                    self.assertEqual(list(row["values"]), names)
        shown = {table["key"]: [row["name"] for row in table["rows"]] for table in result["tables"]}
        self.assertEqual((shown["time"], shown["memory"]), (["true"], ["true", "small-true"]))

    def test_the_empty_library_has_no_code(self) -> None:
        library = self.known[EMPTY].library
        listing = subprocess.run(
            ["readelf", "--wide", "--segments", "--dynamic", library],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        self.assertNotRegex(listing, r"LOAD .* R E ")
        self.assertNotIn("NEEDED", listing)

    def test_what_is_live_is_in_the_figure(self) -> None:
        figures = []
        for blocks in ("0", "200", "2000"):
            [task] = catalog.load_tasks(self.folders, f"small-live-{blocks}")
            figures.append(measure(task, self.known["glibc"], self.folders, 60).memory_kib)
        nothing, some, many = figures
        self.assertIn(some - nothing, range(24, 80))  # 200 blocks of 112 bytes are 22 KiB.
        self.assertIn(many - nothing, range(224, 400))

    def test_forked_workers_are_all_counted(self) -> None:
        [task] = catalog.load_tasks(self.folders, "small-prefork")
        kib = measure(task, self.known["glibc"], self.folders, 60).memory_kib
        self.assertGreater(kib, 65 * 40)

    def peak(self, *command: str) -> tuple[int, int]:
        """The exit status of the command, and its peak in KiB if it came to its end."""
        peak = liars.BUILD / "bench" / "peak"
        run = subprocess.run([peak, *command], capture_output=True, text=True)
        found = re.search(r"^kib=(\d+)$", run.stdout, re.MULTILINE)
        return run.returncode, int(found[1]) if found else 0

    def test_the_peak_is_seen_even_if_it_is_past(self) -> None:
        passing = "import mmap; m = mmap.mmap(-1, 1 << 25); m.write(bytes(1 << 25)); m.close()"
        status, kib = self.peak("/usr/bin/python3", "-c", passing)
        self.assertEqual(status, 0)
        self.assertGreater(kib, 32 << 10)
        self.assertLess(self.peak("/usr/bin/python3", "-c", "pass")[1], 16 << 10)

    def test_the_peak_of_what_fails(self) -> None:
        self.assertEqual(self.peak("sh", "-c", "exit 3")[0], 3)
        self.assertEqual(self.peak("sh", "-c", "kill -SEGV $$"), (-signal.SIGSEGV, 0))
        self.assertEqual(self.peak("/no/such/program")[0], 127)
        # A signal that the program handles is the program's.
        self.assertEqual(self.peak("sh", "-c", "trap 'exit 5' TERM; kill -TERM $$")[0], 5)

    def test_startup_lists_calls_and_costs(self) -> None:
        command = [liars.TOP / "bench" / "startup", *FIXED]
        run = subprocess.run(command, capture_output=True, text=True)
        self.assertEqual(run.returncode, 0, run.stderr)
        heading = r"System calls until {} +glibc +glibc\+empty +ashlar *\n"
        for moment in ("main", "200 blocks are live"):
            self.assertRegex(run.stdout, heading.format(moment))
            self.assertRegex(run.stdout, rf"private KiB, {moment}( +\d+){{3}} *\n")
        self.assertEqual(len(re.findall(r"\n mmap( +\d+){3} *\n", run.stdout)), 2)
        for title in ("page faults", "system calls"):
            self.assertRegex(run.stdout, rf"{title} of /bin/true( +\d+){{3}} *\n")
        # The loader's calls for the library are not its own.
        own = re.findall(r"\n  (\w+)\(.*\)(?=\n)", run.stdout)
        self.assertIn("mmap", own)
        self.assertNotIn("openat", own)
        self.assertEqual(run.stdout.count("None of them comes from glibc+empty itself."), 2)


if __name__ == "__main__":
    unittest.main()
