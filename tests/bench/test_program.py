"""Does bench/compare -- PROGRAM tell of any program, and say in a line what it cannot do?

    python3 -m unittest discover tests/bench
"""

from __future__ import annotations

import json
import pathlib
import subprocess
import tempfile
import unittest

import liars

COMPARE = liars.TOP / "bench" / "compare"
FIXED = ["--no-install", "--no-build", "--build", str(liars.BUILD), "--runs", "1"]


def compare(*words: str, folder: pathlib.Path | str = "/") -> subprocess.CompletedProcess:
    command = [COMPARE, *FIXED, "--allocators", "glibc,ashlar", *words]
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert "Traceback" not in run.stderr, run.stderr
    return run


@unittest.skipUnless((liars.BUILD / "bench" / "launch").exists(), "the benchmarks are not built")
class Program(unittest.TestCase):
    def test_every_quantity_has_a_line(self) -> None:
        run = compare("--", "sort", "/etc/passwd")
        self.assertEqual(run.returncode, 0, run.stderr)
        for title in ("Time by the clock", "CPU time", "System time", "Peak memory", "Page faults"):
            self.assertIn(title, run.stdout)
        self.assertNotIn("Until ready", run.stdout)

    def test_it_runs_in_the_users_folder_with_the_users_input(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            script = pathlib.Path(folder) / "mine"
            script.write_text("#!/bin/sh\n[ -e mine ] && [ $(cat) = given ]\n")
            script.chmod(0o755)
            command = [COMPARE, *FIXED, "--allocators", "glibc,ashlar", "--json", "r.json"]
            run = subprocess.run(
                [*command, "--", "./mine"],
                cwd=folder,
                input="given",
                text=True,
                capture_output=True,
            )
            self.assertEqual(run.returncode, 0, run.stderr)
            result = json.loads((pathlib.Path(folder) / "r.json").read_text())
            self.assertEqual(result["kind"], "program")
            runs = [run for sample in result["samples"] for run in sample["runs"]]
            self.assertEqual({run["status"] for run in runs}, {0})
            report = [liars.TOP / "bench" / "report", "r.json", "--csv", "r.csv"]
            made = subprocess.run(report, cwd=folder, capture_output=True, text=True)
            self.assertEqual(made.returncode, 0, made.stderr)

    def test_another_exit_status_than_under_glibc_is_a_failure(self) -> None:
        run = compare("--", "sh", "-c", 'test -z "$LD_PRELOAD"')
        self.assertEqual(run.returncode, 1)
        self.assertRegex(run.stdout, r"ashlar fails sh: EXIT 1: exit 0 under glibc")

    def test_what_fails_under_glibc_is_told_in_a_line(self) -> None:
        for words in (
            ["--", "sh", "-c", "kill -SEGV $$"],
            ["--", "no-such-program"],
            ["--"],
            ["--ready", "tcp:http", "--load", "true", "--", "true"],
            ["--ready", "tcp:38081", "--load", "true", "--", "false"],
            ["--load", "true", "--", "true"],
            ["--json", "/no/such/folder/r.json", "--", "true"],
        ):
            with self.subTest(words=words):
                run = compare(*words)
                self.assertEqual(run.returncode, 2, run.stdout + run.stderr)
                self.assertRegex(run.stderr, r"bench/compare: .+")


if __name__ == "__main__":
    unittest.main()
