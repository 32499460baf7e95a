"""Instructions of one malloc and one free in the steady state, counted by stepping through them."""

from __future__ import annotations

import functools
import platform
import re
import statistics
import subprocess

from rich import box
from rich.console import Console
from rich.table import Table

from catalog import Allocator, Folders

SIZES = (16, 64, 256, 1024, 4096, 32768)
SECONDS = 60


def print_table(console: Console, allocators: list[Allocator], folders: Folders) -> None:
    table = Table("Instructions", *[a.name for a in allocators], box=box.SIMPLE_HEAD)
    for column in table.columns[1:]:
        column.justify = "right"
    with console.status("stepping") as status:
        for size in SIZES:
            status.update(f"stepping through malloc({size})")
            cells = [_cell(allocator, folders, size) for allocator in allocators]
            table.add_row(f"{size} B", *cells)
    console.print(table)
    console.print(
        "malloc + free of one block, the medians of 50 pairs, with the call, the way through the "
        "linkage table,\nand the return. Instructions are not time: a cache miss costs a hundred.",
        style="dim",
    )


def lack(folders: Folders) -> str:
    """Why nothing can be stepped through, or nothing."""
    if platform.machine() != "x86_64":
        return "stepping is written for x86-64"
    steps = folders.build / "bench" / "steps"
    return "" if steps.exists() else f"{steps} is missing; run without --no-build"


def _cell(allocator: Allocator, folders: Folders, size: int) -> str:
    steps = folders.build / "bench" / "steps"
    command = [steps, allocator.library, folders.build / "bench" / "stepped", str(size)]
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return "no end"
    if run.returncode != 0:
        return "not traced"
    counts: dict[str, list[int]] = {"malloc": [], "free": []}
    for line in run.stdout.splitlines():
        name, own, *ranges = line.split()
        counts[name].append(int(own) + sum(_instructions(text) for text in ranges))
    middle = {name: statistics.median_low(values) for name, values in counts.items()}
    return f"{middle['malloc']} + {middle['free']}"


@functools.cache
def _instructions(text: str) -> int:
    """How many there are from one offset in a library to another, in its disassembly."""
    library, first, last = re.fullmatch(r"(.*):(\w+)-(\w+)", text).groups()
    command = ["objdump", "-d", "--no-show-raw-insn", library]
    command += [f"--start-address=0x{first}", f"--stop-address=0x{last}"]
    listing = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return len(re.findall(r"^\s+[0-9a-f]+:\t(?!nop|cs nop|data16|xchg +%ax,%ax)", listing, re.M))
