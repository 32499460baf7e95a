#!/usr/bin/env python3
"""The small library is as small as README says, and that is at most 32 KiB.

A user would notice: a system of a few MiB of flash and memory for which it was chosen. Counted is
what is stored and loaded, text and data (size). Linked statically: what it adds to a C program,
which must link without options of the linker's, too.

usage: slob_only_size.py libashlar.so libashlar.a cc README.md
"""
import pathlib
import re
import subprocess
import sys
import tempfile

MOST_KIB = 32
PROGRAM = """
#include <stdlib.h>
int main(int argc, char** argv) {
  void* p = realloc(malloc(100), 5000 * argc);
  free(p);
  free(calloc(argc, 300));
  return argv == NULL;
}
"""


def bytes_of(path):
    table = subprocess.run(["size", path], check=True, capture_output=True, text=True).stdout
    text, data = table.splitlines()[1].split()[:2]
    return int(text) + int(data)


def main(shared, static, compiler, readme):
    words = " ".join(pathlib.Path(readme).read_text().split())
    told = re.search(r"(\d+) KiB of code and data as a shared library;.*? adds (\d+) KiB", words)
    if not told:
        sys.exit("README tells no sizes of the small library")
    with tempfile.TemporaryDirectory() as folder:
        source = pathlib.Path(folder, "program.c")
        source.write_text(PROGRAM)

        def built(name, *more):
            command = [compiler, "-O1", "-fno-builtin", source, "-o", f"{folder}/{name}", *more]
            subprocess.run(command, check=True)
            subprocess.run([f"{folder}/{name}"], check=True)
            return bytes_of(f"{folder}/{name}")

        built("whole", static)
        added = built("with", static, "-Wl,--gc-sections") - built("without", "-Wl,--gc-sections")
    faults = []
    for what, size, kib in zip(("shared", "static"), (bytes_of(shared), added), told.groups()):
        print(f"{what}: {size} bytes, told are {kib} KiB")
        if size > 1024 * min(int(kib), MOST_KIB):
            faults.append(f"{what}: too large")
    sys.exit("\n".join(faults) or 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
