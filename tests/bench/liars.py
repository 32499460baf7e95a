"""Builds the small allocators of this folder.

Those of liars/ are wrong, each in a way of its own: crash writes to address zero, hang does not
return, overlap hands out blocks that overlap. ledger is right, and counts.
"""

from __future__ import annotations

import os
import pathlib
import subprocess

HERE = pathlib.Path(__file__).resolve().parent
TOP = HERE.parent.parent
BUILD = pathlib.Path(os.environ.get("ASHLAR_BUILD", TOP / "build")).resolve()
NAMES = ["crash", "hang", "overlap"]
LEDGER = HERE / "ledger.c"


def source_of(name: str) -> pathlib.Path:
    return HERE / "liars" / f"{name}.c"


def build(source: pathlib.Path, folder: pathlib.Path) -> pathlib.Path:
    """Compiles the source into a library in `folder`."""
    library = folder / f"lib{source.stem}.so"
    compiler = ["cc", "-shared", "-fPIC", "-O1", "-fno-builtin", "-Wall", "-Wextra", "-Werror"]
    subprocess.run([*compiler, "-o", library, source, "-ldl"], check=True)
    return library
