"""The command line of bench/compare. It is read before modules that may be missing."""

from __future__ import annotations

import argparse
import os
import pathlib
import sys

import server
from catalog import SUBJECT, add_choice_of_rows
from effort import FULL, QUICK, RUNS_FOR_VERDICT, USUAL, Effort


def parse() -> argparse.Namespace:
    ours, command = _split(sys.argv[1:])
    parser = argparse.ArgumentParser(
        prog="bench/compare",
        allow_abbrev=False,
        usage="%(prog)s [options] [-- PROGRAM ARGUMENT...]",
        description="Compares memory allocators in time and memory, by workloads and programs of "
        "its own or by a PROGRAM of yours. See bench/README.md.",
        epilog="Exit status: 0 all answers right; 1 ashlar, or an allocator given by --allocator, "
        "crashed, hung or caused a wrong answer; 2 could not run.",
    )
    _add_choice(parser)
    _add_effort(parser)
    _add_output(parser)
    _add_program(parser)
    options = parser.parse_args(ours)
    options.command = command
    if "--" in sys.argv and not command:
        parser.error("no PROGRAM behind --")
    if (options.load is None) != (options.ready is None):
        parser.error("--ready and --load belong together: when the server is ready, load is run")
    if options.load and not command:
        parser.error(
            "--load wants a server of yours: bench/compare --ready ... --load ... -- SERVER"
        )
    _check_places(parser, options)
    options.effort = _effort(options)
    return options


def _positive(text: str) -> float:
    if (number := float(text)) <= 0:
        raise argparse.ArgumentTypeError("must be more than 0")
    return number


def _count(text: str) -> int:
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _check_places(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """Says before the first run what would only be found after the last one."""
    for text in options.allocator:
        if not all(text.partition("=")):
            parser.error(f"--allocator {text}: expected NAME=PATH")
    check_files(parser, options, "json", "csv", "html")
    if options.ready and not server.is_address(options.ready):
        parser.error(f"--ready: {options.ready} is neither tcp:PORT nor the path of a socket")


def check_files(parser: argparse.ArgumentParser, options: argparse.Namespace, *kinds: str) -> None:
    """That each file which is written in the end can be written; for bench/replay, too."""
    for kind in kinds:
        path = getattr(options, kind)
        if path and not _can_write(path):
            parser.error(f"--{kind}: cannot write {path}")


def _can_write(path: pathlib.Path) -> bool:
    if path.is_dir():
        return False
    return os.access(path if path.exists() else path.absolute().parent, os.W_OK)


def _split(words: list[str]) -> tuple[list[str], list[str]]:
    """Ours and, behind --, the user's."""
    if "--" not in words:
        return words, []
    at = words.index("--")
    return words[:at], words[at + 1 :]


def _add_choice(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what to compare")
    add = group.add_argument
    add_choice_of_rows(group)
    add("--allocators", metavar="A,B", help="only these, by name")
    add(
        "--allocator",
        metavar="NAME=PATH",
        action="append",
        default=[],
        help="one more library to compare",
    )
    add(
        "--instructions",
        action="store_true",
        help="count the instructions of malloc and free instead, step by step",
    )
    add("--list", action="store_true", help="list the tasks and the allocators, run nothing")
    add(
        "--build",
        metavar="FOLDER",
        type=pathlib.Path,
        default="build",
        help="build here (default: build)",
    )
    add("--no-build", action="store_true", help="take what is already built")
    add("--no-install", action="store_true", help="install no packages")


def _add_effort(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("how long")
    add = group.add_argument
    add("--quick", action="store_true", help=f"about {QUICK.minutes} minutes: a first impression")
    add(
        "--full",
        action="store_true",
        help=f"about {FULL.minutes} minutes: {FULL.fewest} runs or more",
    )
    add("--minutes", metavar="M", type=_positive, help=f"time to spend (default: {USUAL.minutes})")
    add("--runs", metavar="N", type=_count, help="runs of each task, however long they take")
    add(
        "--target-check",
        action="store_true",
        help=f"tell whether {SUBJECT} meets each target; {RUNS_FOR_VERDICT} runs unless told",
    )


def _add_output(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what to write besides the tables")
    for kind, what in (
        ("json", "everything that was measured"),
        ("csv", "the tables"),
        ("html", "a report with pictures, in one file"),
    ):
        group.add_argument(f"--{kind}", metavar="FILE", type=pathlib.Path, help=what)


def _add_program(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("where PROGRAM is a server")
    group.add_argument(
        "--ready",
        metavar="WHERE",
        help="it is ready when it listens at tcp:PORT or a socket's path",
    )
    group.add_argument("--load", metavar="COMMAND", help="then this is run, and the server ended")


def _effort(options: argparse.Namespace) -> Effort:
    effort = QUICK if options.quick else FULL if options.full else USUAL
    runs = options.runs
    if runs is None and options.target_check:
        runs = RUNS_FOR_VERDICT
    if runs is not None:
        return Effort(options.minutes or effort.minutes, runs, runs)
    if options.minutes is not None:
        return Effort(options.minutes, effort.fewest, most=sys.maxsize)  # As many as fit.
    return effort
