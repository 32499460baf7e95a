"""Does bench/compare find an allocator that crashes, hangs, or hands out blocks that overlap?

    python3 -m unittest discover tests/bench

after a build with -DASHLAR_BUILD_BENCH=ON. ASHLAR_BUILD names the build folder, if not build/.
Takes half a minute: a hang is given up after ten seconds and more.
"""

from __future__ import annotations

import pathlib
import re
import subprocess
import tempfile
import unittest

import liars

ROW = "objects-10k"
HONEST = ["glibc", "ashlar"]
KINDS = {"crash": "SIGSEGV", "hang": "HUNG", "overlap": "WRONG"}


@unittest.skipUnless((liars.BUILD / "bench" / "launch").exists(), "the benchmarks are not built")
class Liars(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        with tempfile.TemporaryDirectory() as folder:
            command = [liars.TOP / "bench" / "compare", "--no-install", "--no-build"]
            command += ["--build", liars.BUILD, "--only", ROW, "--runs", "1"]
            command += ["--allocators", ",".join(HONEST + liars.NAMES)]
            for name in liars.NAMES:
                library = liars.build(liars.source_of(name), pathlib.Path(folder))
                command += ["--allocator", f"{name}={library}"]
            cls.run_ = subprocess.run(command, capture_output=True, text=True)
        cls.report = cls.run_.stdout

    def test_exit_status_is_one(self) -> None:
        self.assertEqual(self.run_.returncode, 1, self.report + self.run_.stderr)

    def test_report_names_allocator_row_and_kind(self) -> None:
        for name, kind in KINDS.items():
            self.assertRegex(self.report, rf"{name} fails {ROW}: {kind}\b")

    def test_damage_is_described(self) -> None:
        self.assertRegex(self.report, "overlap fails .*: a block has lost its content")

    def test_kinds_stand_in_the_table_and_the_honest_have_figures(self) -> None:
        lines = [line.strip() for line in self.report.splitlines()]
        header = next(line for line in lines if re.match(r"Time\s+best", line))
        row = next(line for line in lines if line.startswith(ROW)).split()
        # The name, the best value and its unit, then a cell for each column.
        names = [name for name in header.split() if name in HONEST + liars.NAMES]
        cells = dict(zip(names, row[3:]))
        for name in HONEST:
            self.assertRegex(cells[name], r"^\d+\.\d+$")
        for name, kind in KINDS.items():
            self.assertEqual(cells[name], kind)


if __name__ == "__main__":
    unittest.main()
