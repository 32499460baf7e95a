#!/usr/bin/env python3
"""The library exports malloc's whole family, names of its own, and nothing else.

A user would notice a missing name as two heaps in one program, and a name too many as a clash with
the program's own functions. Thread-local storage is limited too: a library that wants much of it
cannot be loaded late.

In a program that is linked with libashlar.a, every function of it stands beside the program's own:
there, too, what is not of malloc's family bears our name.

usage: exports_test.py libashlar.so [libashlar.a]
"""
import re
import subprocess
import sys

FAMILY = """malloc calloc realloc reallocarray free free_sized free_aligned_sized posix_memalign
    aligned_alloc memalign valloc pvalloc cfree malloc_usable_size malloc_trim malloc_stats
    malloc_info mallinfo mallinfo2 mallopt""".split()
MANGLED = """_Znwm _Znam _ZnwmRKSt9nothrow_t _ZnamRKSt9nothrow_t _ZnwmSt11align_val_t
    _ZnamSt11align_val_t _ZnwmSt11align_val_tRKSt9nothrow_t _ZnamSt11align_val_tRKSt9nothrow_t
    _ZdlPv _ZdaPv _ZdlPvm _ZdaPvm _ZdlPvRKSt9nothrow_t _ZdaPvRKSt9nothrow_t _ZdlPvSt11align_val_t
    _ZdaPvSt11align_val_t _ZdlPvmSt11align_val_t _ZdaPvmSt11align_val_t
    _ZdlPvSt11align_val_tRKSt9nothrow_t _ZdaPvSt11align_val_tRKSt9nothrow_t""".split()
OWN = re.compile(r"ashlar_[a-z0-9_]+$")
# Within namespace ashlar; and what each C++ program has a copy of: parts of the standard library,
# and what exceptions are found by.
LINKED = re.compile(r"ashlar_[a-z0-9_]+$|_ZZ?NK?6ashlar|_ZNK?St|_ZSt|DW\.ref\.")
TLS_BYTES = 16


def output(*words):
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


def linked_faults(archive):
    lines = [line.split() for line in output("nm", "-g", "--defined-only", archive).splitlines()]
    names = {words[-1] for words in lines if len(words) == 3}
    strange = sorted(name for name in names - set(FAMILY) - set(MANGLED) if not LINKED.match(name))
    return [f"may clash with the program's own, from the archive: {name}" for name in strange]


def main(library, archive=None):
    faults = linked_faults(archive) if archive else []
    exported = set()
    for line in output("nm", "-D", "--defined-only", library).splitlines():
        kind, name = line.split()[-2:]
        exported.add(name.split("@")[0])
        if kind == "A":
            exported.discard(name.split("@")[0])  # a version node, not a symbol
    for name in FAMILY + MANGLED:
        if name not in exported:
            faults.append(f"missing: {name}")
    for name in sorted(exported - set(FAMILY) - set(MANGLED)):
        if not OWN.match(name):
            faults.append(f"exported, but not of the family: {name}")
    for line in output("readelf", "-lW", library).splitlines():
        words = line.split()
        if words and words[0] == "TLS" and int(words[5], 16) > TLS_BYTES:
            faults.append(f"thread-local storage: {int(words[5], 16)} bytes, allowed {TLS_BYTES}")
    dynamic = output("readelf", "-dW", library)
    if "(SONAME)" not in dynamic:
        faults.append("no SONAME")
    if "(TEXTREL)" in dynamic:
        faults.append("relocations in the text segment")
    print("\n".join(faults) or f"{len(exported)} names, all of them meant")
    return bool(faults)


sys.exit(main(*sys.argv[1:]))
