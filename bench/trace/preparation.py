"""What bench/capture and bench/replay do before their work: install what is missing, and build."""

from __future__ import annotations

import argparse
import os
import pathlib
import subprocess
import sys
from typing import NoReturn

TOP = pathlib.Path(__file__).resolve().parents[2]
RECORD = TOP / "bench" / "trace" / "record"

PACKAGES = ["cmake", "g++", "make", "zlib1g-dev"]
LOG = "bench-build.log"


def give_up(command: str, reason: str) -> NoReturn:
    print(f"{command}: {reason}", file=sys.stderr)
    sys.exit(2)


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--build",
        metavar="FOLDER",
        type=pathlib.Path,
        default=TOP / "build",
        help="build here (default: build/ of the repository)",
    )
    parser.add_argument("--no-build", action="store_true", help="take what is already built")
    parser.add_argument("--no-install", action="store_true", help="install no packages")


def prepare(
    command: str, options: argparse.Namespace, targets: list[str], install: str = ""
) -> None:
    """Leaves all targets built. `install` is what install_missing of prepare.sh is given beyond
    what the build needs."""
    if not options.no_install:
        _install(command, install)
    if not options.no_build:
        _make(command, options.build, targets)


def _install(command: str, install: str) -> None:
    script = f"command={command}; source bench/harness/prepare.sh; install_missing "
    run = subprocess.run(["bash", "-c", script + " ".join([*PACKAGES, install])], cwd=TOP)
    if run.returncode != 0:
        give_up(command, "packages are missing; --no-install goes on without them")


def _make(command: str, build: pathlib.Path, targets: list[str]) -> None:
    build.mkdir(parents=True, exist_ok=True)
    log = build / LOG
    if not all((build / "bench" / name).exists() for name in ("replay", "libcapture.so")):
        print(f"Building into {build}", file=sys.stderr)
    configure = ["cmake", "-S", TOP, "-B", build, "-DCMAKE_BUILD_TYPE=Release"]
    make = ["cmake", "--build", build, "--parallel", str(os.cpu_count()), "--target", *targets]
    with open(log, "w") as output:
        for step in (configure + ["-DASHLAR_BUILD_BENCH=ON"], make):
            if subprocess.run(step, stdout=output, stderr=output).returncode != 0:
                give_up(command, f"the build failed; see {log}")
