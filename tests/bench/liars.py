"""Builds the allocators of liars/, each of which is wrong in a way of its own.

crash writes to address zero, hang does not return, overlap hands out blocks that overlap.
"""

from __future__ import annotations

import os
import pathlib
import subprocess

HERE = pathlib.Path(__file__).resolve().parent
TOP = HERE.parent.parent
BUILD = pathlib.Path(os.environ.get("ASHLAR_BUILD", TOP / "build")).resolve()
NAMES = ["crash", "hang", "overlap"]


def build(name: str, folder: pathlib.Path) -> pathlib.Path:
    """Compiles liars/NAME.c into a library in `folder`."""
    library = folder / f"lib{name}.so"
    compiler = ["cc", "-shared", "-fPIC", "-O1", "-fno-builtin", "-Wall", "-Wextra", "-Werror"]
    source = HERE / "liars" / f"{name}.c"
    subprocess.run([*compiler, "-o", library, source, "-ldl"], check=True)
    return library
