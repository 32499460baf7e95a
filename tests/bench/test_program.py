"""Does bench/compare -- PROGRAM tell of any program, and say in a line what cannot be done?

    python3 -m unittest discover tests/bench
"""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import tempfile
import unittest

import liars

COMPARE = liars.TOP / "bench" / "compare"
IS_BUILT = unittest.skipUnless(
    (liars.BUILD / "bench" / "launch").exists(), "the benchmarks are not built"
)
FIXED = ["--no-install", "--no-build", "--build", str(liars.BUILD), "--runs", "1"]


def compare(*words: str, folder: pathlib.Path | str = "/") -> subprocess.CompletedProcess:
    command = [COMPARE, *FIXED, "--allocators", "glibc,ashlar", *words]
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert "Traceback" not in run.stderr, run.stderr
    return run


@IS_BUILT
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
            self.assertRegex(result["commit"], "the library was there already")
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


class BeforeTheFirstRun(unittest.TestCase):
    def setUp(self) -> None:
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = pathlib.Path(scratch.name)

    def compare(self, *words: str, lacks: str = "") -> subprocess.CompletedProcess:
        """A run; where a module is lacking, as on a machine without its package."""
        if lacks:
            fault = f"raise ModuleNotFoundError('no', name={lacks!r})\n"
            (self.folder / f"{lacks}.py").write_text(fault)
        environment = os.environ | {"PYTHONPATH": str(self.folder)}
        command = [COMPARE, *FIXED, *words]
        run = subprocess.run(command, env=environment, capture_output=True, text=True)
        self.assertNotIn("Traceback", run.stderr)
        return run

    def test_help_and_list_need_no_package(self) -> None:
        for lacks in ("rich", "scipy"):
            for word in ("--help", "--list"):
                self.assertEqual(self.compare(word, lacks=lacks).returncode, 0)

    def test_a_missing_package_is_told(self) -> None:
        for lacks, words in (("rich", []), ("jinja2", ["--html", str(self.folder / "a.html")])):
            run = self.compare("--only", "true", *words, lacks=lacks)
            self.assertEqual((run.returncode, run.stdout), (2, ""))
            self.assertRegex(run.stderr, f"no module {lacks}; .*apt-get install .*python3-{lacks}")
            (self.folder / f"{lacks}.py").unlink()

    def test_a_folder_is_no_file_to_write(self) -> None:
        for kind in ("json", "csv", "html"):
            run = self.compare(f"--{kind}", str(self.folder), "--only", "true")
            self.assertEqual(run.returncode, 2)
            self.assertIn(f"--{kind}: cannot write {self.folder}", run.stderr)

    @IS_BUILT
    def test_a_static_program_is_refused(self) -> None:
        program = self.folder / "program"
        source = "#include <stdlib.h>\nint main(void) { return malloc(1) == 0; }\n"
        for how in ("-static", "-static-pie", "-pie"):
            command = ["cc", how, "-fPIE", "-x", "c", "-o", program, "-"]
            subprocess.run(command, input=source, text=True, check=True)
            run = self.compare("--allocators", "glibc", "--", str(program))
            self.assertEqual(run.returncode, 0 if how == "-pie" else 2, run.stderr)
            self.assertEqual("is linked statically" in run.stderr, how != "-pie")


if __name__ == "__main__":
    unittest.main()
