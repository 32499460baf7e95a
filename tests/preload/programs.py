#!/usr/bin/env python3
"""Real programs under the library say exactly what they say under glibc.

A user would notice: a compiler that writes another object file, a database that answers something
else, a server that does not start or does not stop. Each program runs twice in the same folder,
first on glibc and then under LD_PRELOAD; what it printed, wrote and returned must be equal.

usage: programs.py --library libashlar.so [--fallback] [--size N] name ... | quick | all
       programs.py --list

Ends with 1 if anything differed, with 77 ('not run') if nothing named is installed. The workloads
themselves are in scenarios.py; --size multiplies their length.
"""
import argparse
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

import scenarios


class Machine:
    """Runs programs for one scenario: a folder, an environment, and what was observed."""

    def __init__(self, folder, environment, size):
        self.folder = pathlib.Path(folder)
        self.environment = environment
        self.size = size
        self.servers = []

    def run(self, *words, stdin=None, extra=None, seconds=300, check=True):
        """Standard output and exit code as text; fails loudly on a code that `check` forbids."""
        done = subprocess.run([str(w) for w in words], cwd=self.folder, input=stdin,
                              env={**self.environment, **(extra or {})}, timeout=seconds,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if check and done.returncode != 0:
            raise AssertionError(f"{words[0]} ended with {done.returncode}: "
                                 f"{done.stderr.decode(errors='replace')[-600:]}")
        return f"[{done.returncode}]\n" + done.stdout.decode(errors="replace")

    def start(self, *words, extra=None):
        """Starts a server that stop_servers() ends and whose exit code is then observed."""
        log = open(self.folder / "server.log", "ab")
        server = subprocess.Popen([str(w) for w in words], cwd=self.folder, stdout=log, stderr=log,
                                  stdin=subprocess.DEVNULL,
                                  env={**self.environment, **(extra or {})})
        self.servers.append(server)
        return server

    def stop_servers(self):
        codes = []
        for server in self.servers:
            server.terminate()
            try:
                codes.append(server.wait(60))
            except subprocess.TimeoutExpired:
                server.kill()
                codes.append("did not stop")
        self.servers = []
        return f"servers ended with {codes}\n"

    def write(self, name, text):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def digest(self, name):
        """Tells two files apart without printing them."""
        content = (self.folder / name).read_bytes()
        return f"{name}: {len(content)} bytes, {hashlib.sha256(content).hexdigest()}\n"

    def await_true(self, condition, what, seconds=60):
        deadline = time.monotonic() + seconds
        while not condition():
            if any(server.poll() is not None for server in self.servers):
                break
            if time.monotonic() > deadline:
                break
            time.sleep(0.05)
        else:
            return
        log = (self.folder / "server.log").read_text(errors="replace")
        raise AssertionError(f"{what} did not become true; its log ends: {log[-600:]}")


def observe(scenario, library, options):
    """What one run printed. The folder has the same name in both runs, since programs print it."""
    folder = os.path.join(tempfile.gettempdir(), f"ashlar-programs-{os.getpid()}")
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    os.chmod(folder, 0o755)
    environment = {k: v for k, v in os.environ.items()
                   if k not in ("LD_PRELOAD", "GLIBC_TUNABLES", "ASHLAR_CONF")}
    environment |= {"LC_ALL": "C.UTF-8", "TZ": "UTC", "HOME": folder}
    for home in ("CARGO_HOME", "RUSTUP_HOME"):  # rustc may live in the real home
        default = os.path.expanduser("~/." + home.split("_")[0].lower())
        if os.path.isdir(default):
            environment.setdefault(home, default)
    if library:
        environment["LD_PRELOAD"] = library
    if library and options.fallback:
        environment["GLIBC_TUNABLES"] = "glibc.pthread.rseq=0"
    machine = Machine(folder, environment, options.size)
    try:
        said = scenario.body(machine)
        return said + (machine.stop_servers() if machine.servers else "")
    finally:
        machine.stop_servers()
        shutil.rmtree(folder, ignore_errors=True)


def first_difference(before, after):
    for number, (one, two) in enumerate(zip(before.splitlines(), after.splitlines()), 1):
        if one != two:
            return f"line {number}: glibc '{one[:200]}', here '{two[:200]}'"
    return f"{len(before)} characters under glibc, {len(after)} here"


def compare(scenario, options):
    """True if both runs agree; None if the program is not installed."""
    missing = [p for p in scenario.needs if not shutil.which(p)]
    if missing:
        print(f"{scenario.name}: not run: {', '.join(missing)} not installed", flush=True)
        return None
    try:
        expected = observe(scenario, None, options)
    except (AssertionError, subprocess.TimeoutExpired) as error:
        print(f"{scenario.name}: not run: fails under glibc: {error}", flush=True)
        return None
    start = time.monotonic()
    try:
        found = observe(scenario, options.library, options)
    except (AssertionError, subprocess.TimeoutExpired) as error:
        print(f"{scenario.name}: FAILED: {error}", flush=True)
        return False
    verdict = "same" if found == expected else "DIFFERS: " + first_difference(expected, found)
    print(f"{scenario.name}: {verdict} ({len(expected)} characters, "
          f"{time.monotonic() - start:.1f} s)", flush=True)
    return found == expected


def require_preloadable(library):
    done = subprocess.run(["/bin/true"], env={"LD_PRELOAD": library}, capture_output=True)
    if done.returncode != 0 or done.stderr:
        sys.exit(f"{library} cannot be preloaded: {done.stderr.decode()}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--library")
    parser.add_argument("--fallback", action="store_true")
    parser.add_argument("--size", type=int, default=1)
    parser.add_argument("--list", action="store_true")
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    if options.list:
        for scenario in scenarios.ALL.values():
            print(f"{scenario.name:20} {'quick' if scenario.quick else 'all'}")
        return 0
    require_preloadable(options.library)
    chosen = [s for s in scenarios.ALL.values()
              if s.name in options.names or "all" in options.names
              or ("quick" in options.names and s.quick)]
    if not chosen:
        parser.error("no such scenario; see --list")
    verdicts = [compare(scenario, options) for scenario in chosen]
    if False in verdicts:
        return 1
    return 0 if True in verdicts else 77


if __name__ == "__main__":
    sys.exit(main())
