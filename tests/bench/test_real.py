"""The real programs of bench/rows.toml: their packages, their files, who runs when, right answers.

Run: /usr/bin/python3 -m unittest tests/bench/test_real.py, after a build with ASHLAR_BUILD_BENCH.
ASHLAR_BUILD names the build folder, if it is not build/. Rows whose program is not installed are
skipped, and said so.
"""

from __future__ import annotations

import collections
import dataclasses
import os
import pathlib
import re
import shutil
import subprocess
import sys
import threading
import tomllib
import unittest

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.dont_write_bytecode = True
sys.path.insert(0, str(TOP / "bench" / "harness"))

import catalog  # noqa: E402
import measure  # noqa: E402

FOLDERS = catalog.Folders(pathlib.Path(os.environ.get("ASHLAR_BUILD", TOP / "build")).resolve())
ROWS = tomllib.loads((TOP / "bench" / "rows.toml").read_text())["program"]
PACKAGES = {package for row in ROWS for package in row["package"].split()}
ON_REQUEST = {row["name"] for row in ROWS if row.get("on_request")}
SECONDS = 300
TIMES = 50  # of a program that its row starts more often
LOOKS = 50  # at a program, a fiftieth of a second apart: it has started, though it only waits
TICKS = os.sysconf("SC_CLK_TCK") // 20  # of its own that a program has at least when it has started

# The process that allocates, where it is not the one that the row starts, and how many there are.
WORKERS = {
    "g++": ("cc1plus", 1),
    "nginx": ("nginx", 2),
    "postgres": ("postgres", 5),
    # Too short to be seen.
    "true": ("true", 0),
    "small-true": ("true", 0),
    "small-sh": ("dash", 0),
    "small-ls": ("ls", 0),
    "small-git": ("git", 0),
    "small-python3": ("python3", 0),
    "small-perl": ("perl", 0),
    "small-2000-true": ("true", 0),
    "small-100-python3": ("python3", 0),
}
ALL = "*,small-*"


class Watch:
    """Looks at the processes that launch starts, while it is entered: have they the library?"""

    def __init__(self, library: str):
        self.library = library
        self.seen = collections.Counter()
        self.started = set()
        self.loaded = set()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._ended.set()
        self._thread.join()

    def _watch(self):
        while not self._ended.wait(0.02):
            for launch in (pid for pid in below(os.getpid()) if program_of(pid) == "launch"):
                for pid in below(launch):
                    self._look_at(pid, program_of(pid))

    def _look_at(self, pid: int, program: str):
        try:
            # Behind the name: the state is the first of the fields, user and system time follow.
            fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            maps = pathlib.Path(f"/proc/{pid}/maps").read_text()
        except OSError:
            return  # It has ended meanwhile.
        self.seen[pid, program] += 1
        if int(fields[11]) + int(fields[12]) >= TICKS or self.seen[pid, program] > LOOKS:
            self.started.add((pid, program))
        if self.library in maps:
            self.loaded.add((pid, program))

    def without(self) -> set[str]:
        """Programs that worked or stayed longer than they take to start, without the library."""
        return {program for _, program in self.started - self.loaded if program}


def below(root: int) -> set[int]:
    """The processes that this one started, and those that they started."""
    children = collections.defaultdict(list)
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            parent = (folder / "stat").read_text().rpartition(")")[2].split()[1]
            children[int(parent)].append(int(folder.name))
        except OSError:
            continue
    found, left = set(), [root]
    while left:
        for child in children[left.pop()]:
            found.add(child)
            left.append(child)
    return found


def program_of(pid: int) -> str:
    try:
        return pathlib.Path(os.readlink(f"/proc/{pid}/exe")).name
    except OSError:
        return ""


def list_of_tasks(*options: str) -> list[str]:
    command = ["bench/compare", "--list", *options]
    run = subprocess.run(command, cwd=TOP, capture_output=True, text=True, check=True)
    return re.search(r"^tasks: +(.*)$", run.stdout, re.MULTILINE)[1].split()


def packages(*options: str) -> set[str]:
    return set(catalog.packages_for(list(options)))


class Rows(unittest.TestCase):
    def test_that_all_named_programs_are_there(self):
        names = {row["name"] for row in ROWS}
        asked = "redis memcached sqlite3 postgres nginx python3 perl ruby lua node g++ clang git"
        self.assertLessEqual(set(asked.split()) | {"ghostscript", "ffmpeg"}, names)

    def test_that_debian_has_the_packages(self):
        if not shutil.which("apt-cache"):
            self.skipTest("there is no apt-cache")
        command = ["apt-cache", "show", *sorted(PACKAGES)]
        run = subprocess.run(command, capture_output=True, text=True)
        self.assertEqual(run.returncode, 0, run.stderr)
        there = set(re.findall(r"^Package: (\S+)$", run.stdout, re.MULTILINE))
        self.assertLessEqual(PACKAGES, there)

    def test_that_every_named_file_is_there(self):
        for row in ROWS:
            words = row["run"] + row.get("load", []) + [row.get("input", "")]
            files = [word.removeprefix("{real}/") for word in words if word.startswith("{real}/")]
            for name in files + ([row["make"]] if "make" in row else []):
                with self.subTest(row=row["name"], file=name):
                    self.assertTrue((TOP / "bench" / "real" / name).is_file())

    def test_that_rows_on_request_appear_when_asked_for(self):
        usual, real = list_of_tasks(), list_of_tasks("--real")
        self.assertEqual(set(real) - set(usual), ON_REQUEST)
        self.assertEqual([name for name in real if name in usual], usual)
        self.assertEqual(list_of_tasks("--only", "nginx"), ["nginx"])
        self.assertEqual(list_of_tasks("--only", "ng*"), [])
        self.assertEqual(list_of_tasks("--only", "ng*", "--real"), ["nginx"])

    def test_that_rows_apart_appear_only_when_meant(self):
        small = list_of_tasks("--only", "small-*")
        self.assertEqual(len(small), 16)
        self.assertFalse(set(small) & set(list_of_tasks("--real")))
        self.assertEqual(list_of_tasks("--only", "*,small-s*,lu*"), list_of_tasks() + ["small-sh"])

    def test_that_a_rows_name_means_its_task(self):
        self.assertEqual(list_of_tasks("--only", "nodes/cache,pairs/*"), ["pairs", "nodes"])
        self.assertEqual(list_of_tasks("--only", "nginx/x"), ["nginx"])
        self.assertEqual(list_of_tasks("--only", "*/malloc"), list_of_tasks())

    def test_that_a_choice_of_nothing_is_told_before_anything_is_built(self):
        # Where nothing can be built, who tries to says something else.
        command = ["bench/compare", "--no-install", "--build", "/dev/null/none", "--only", "none"]
        run = subprocess.run(command, cwd=TOP, capture_output=True, text=True)
        self.assertEqual(run.returncode, 2)
        self.assertEqual(run.stdout, "")
        told = "bench/compare: no task matches 'none'; bench/compare --list names all\n"
        self.assertEqual(run.stderr, told)

    def test_that_only_the_packages_of_wanted_rows_are_installed(self):
        self.assertFalse(packages() & {"postgresql", "nginx", "ffmpeg", "nodejs", "clang"})
        self.assertLessEqual(PACKAGES, packages("--real", "--only", ALL))
        self.assertEqual(packages("--only=lua") & PACKAGES, {"lua5.4"})
        self.assertIn("postgresql", packages("--quick", "--only", "postgres", "--json", "x.json"))
        self.assertIn("libmimalloc2.0", packages("--only", "lua"))


class Answers(unittest.TestCase):
    """One run under glibc and one under ashlar, while their processes are looked at."""

    def setUp(self):
        if not FOLDERS.launch.exists():
            self.skipTest(f"there is no {FOLDERS.launch}")
        known = {allocator.name: allocator for allocator in catalog.load_allocators(FOLDERS, [])}
        self.reference, self.subject = known[catalog.REFERENCE], known[catalog.SUBJECT]

    def check(self, task: catalog.Task):
        if lacking := measure.missing(task):
            self.skipTest(f"{task.name}: there is no {lacking}")
        task = dataclasses.replace(task, times=min(task.times, TIMES))
        measure.prepare(task, FOLDERS)
        expected = measure.measure(task, self.reference, FOLDERS, SECONDS)
        with Watch(self.subject.library) as watch:
            sample = measure.measure(task, self.subject, FOLDERS, SECONDS)
        self.assertEqual(sample.answer, expected.answer)
        self.assertGreater(sample.memory_kib, 0)
        self.assertGreater(sample.times[""], 0)
        self.assertFalse(watch.without(), "these ran without the allocator")
        first = os.path.realpath(shutil.which(task.run[0], path=measure.PATH))
        worker, count = WORKERS.get(task.name, (os.path.basename(first), 1))
        found = [program for _, program in watch.loaded if program == worker]
        self.assertGreaterEqual(len(found), count, f"{worker} did not run with the allocator")
        self.assertFalse(below(os.getpid()), "something is left running")


def add_checks():
    for task in catalog.load_tasks(FOLDERS, ALL, with_all=True):
        if task.is_program:

            def check(self, task=task):
                self.check(task)

            setattr(Answers, f"test_{task.name}", check)


add_checks()

if __name__ == "__main__":
    unittest.main()
