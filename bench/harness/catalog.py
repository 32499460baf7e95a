"""What there is to measure: the allocators and the tasks, read from the two TOML files.

A *task* is one command. A task of bench/workloads/ may yield several rows of time; every task
yields at most one row of memory.

Run as a program, it prints the Debian packages that a comparison with the given options needs, one
a line. For that it uses nothing but the standard library, since the others may not be there yet.
"""

from __future__ import annotations

import argparse
import dataclasses
import fnmatch
import os
import pathlib
import subprocess
import sys
import tomllib

BENCH = pathlib.Path(__file__).resolve().parent.parent
TOP = BENCH.parent

SUBJECT = "ashlar"
REFERENCE = "glibc"
EVERYTHING = "*"


@dataclasses.dataclass(frozen=True)
class Allocator:
    name: str
    library: str = ""
    library_if_linked: str = ""
    version: str = ""
    is_packaged: bool = False
    on_request: bool = False
    note: str = ""

    def preload_for(self, task: Task) -> str:
        return self.library or (self.library_if_linked if task.linked_malloc else "")


@dataclasses.dataclass(frozen=True)
class Task:
    name: str
    run: list[str]
    is_program: bool
    package: str = ""
    on_request: bool = False
    apart: bool = False
    needs: list[str] = dataclasses.field(default_factory=list)
    environment: dict[str, str] = dataclasses.field(default_factory=dict)
    input: str = os.devnull
    times: int = 1
    make: str = ""
    linked_malloc: bool = False
    ready: str = ""
    load: list[str] = dataclasses.field(default_factory=list)
    time: str = "measured"
    memory: str = "peak"
    time_target: float | None = None
    memory_target: float | None = None
    memory_allowance_kib: float = 0
    target_of: str = ""
    memory_limit: float | None = None
    is_users: bool = False  # A command of the user's own, with the environment it has there.
    may_fail: bool = False
    is_stopped: bool = False  # A server that SIGTERM ends when its load is over.

    @property
    def group(self) -> str:
        return "programs" if self.is_program else "workloads"


@dataclasses.dataclass(frozen=True)
class Folders:
    """Where things are. `build` is what CMake filled, `made` holds generated inputs."""

    build: pathlib.Path

    @property
    def made(self) -> pathlib.Path:
        return self.build / "bench" / "made"

    @property
    def launch(self) -> pathlib.Path:
        return self.build / "bench" / "launch"

    def expand(self, text: str) -> str:
        return text.format(
            build=self.build,
            workloads=self.build / "bench" / "workloads",
            real=BENCH / "real",
            traces=BENCH / "trace" / "record",
            made=self.made,
        )


def load_allocators(folders: Folders, extra: list[str]) -> list[Allocator]:
    """Those of allocators.toml, and those given as NAME=PATH, which replace their namesakes."""
    tables = tomllib.loads((BENCH / "allocators.toml").read_text())["allocator"]
    found = {}
    for table in tables:
        package = table.pop("package", "")
        table["library"] = folders.expand(table["library"])
        version = _package_version(package) if package else commit()
        found[table["name"]] = Allocator(**table, version=version, is_packaged=bool(package))
    for text in extra:
        name, _, path = text.partition("=")
        library = pathlib.Path(path).resolve()
        found[name] = Allocator(name, str(library), version=str(library))
    return list(found.values())


def load_tasks(folders: Folders, only: str, with_all: bool = False) -> list[Task]:
    """The tasks of rows.toml that match the patterns `only`, with all paths filled in.

    Those that run on request are left out, unless `with_all` is set or `only` is their name; those
    that stand apart, unless a pattern means them and not simply everything.
    """
    tables = tomllib.loads((BENCH / "rows.toml").read_text())
    tasks = []
    for kind in ("workload", "program"):
        for table in tables[kind]:
            for key in ("run", "load"):
                if key in table:
                    table[key] = [folders.expand(word) for word in table[key]]
            for key in ("input", "ready"):
                if key in table:
                    table[key] = folders.expand(table[key])
            tasks.append(Task(**table, is_program=kind == "program"))
    # A pattern may be a row's name, as tables have it: its task is what stands before the "/".
    patterns = [pattern.partition("/")[0] for pattern in only.split(",")]

    def is_chosen(task: Task) -> bool:
        meant = [pattern for pattern in patterns if fnmatch.fnmatchcase(task.name, pattern)]
        if task.apart:
            return any(pattern != EVERYTHING for pattern in meant)
        return bool(meant) and (with_all or not task.on_request or task.name in meant)

    return [task for task in tasks if is_chosen(task)]


class NoTask(Exception):
    """Nothing is chosen."""

    def __init__(self, only: str) -> None:
        super().__init__(f"no task matches {only!r}; bench/compare --list names all")


def add_choice_of_rows(parser: argparse.ArgumentParser) -> None:
    """The options that tell which rows are wanted."""
    parser.add_argument(
        "--only",
        metavar="GLOB,...",
        default=EVERYTHING,
        help="only the tasks whose name matches, as in 'python*,lua'; 'small-*' are those of "
        "start-up and of small heaps, which are left out otherwise",
    )
    parser.add_argument(
        "--real",
        action="store_true",
        help="all real programs: also those that take long to install, such as postgres",
    )


def packages_for(arguments: list[str]) -> list[str]:
    """The packages of the allocators and the rows that a command line of bench/compare asks for.

    NoTask where it asks for no row: that is told before anything is installed or built.
    """
    parser = argparse.ArgumentParser("bench/compare", add_help=False, allow_abbrev=False)
    add_choice_of_rows(parser)
    options, _ = parser.parse_known_args(arguments)
    allocators = tomllib.loads((BENCH / "allocators.toml").read_text())["allocator"]
    named = [table.get("package", "") for table in allocators]
    if not {"--", "--instructions"} & set(arguments):
        tasks = load_tasks(Folders(TOP / "build"), options.only, options.real)
        if not tasks:
            raise NoTask(options.only)
        named += [task.package for task in tasks]
    return sorted({package for text in named for package in text.split()})


def _package_version(package: str) -> str:
    query = ["dpkg-query", "--show", "--showformat=${Version}", package]
    return _output(query) or "not installed"


def commit() -> str:
    return _output(["git", "-C", str(TOP), "describe", "--always", "--dirty"]) or "this tree"


def _output(command: list[str]) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True).stdout.strip()
    except FileNotFoundError:
        return ""


if __name__ == "__main__":
    try:
        print("\n".join(packages_for(sys.argv[1:])))
    except NoTask as nothing:
        print(f"bench/compare: {nothing}", file=sys.stderr)
        sys.exit(2)
