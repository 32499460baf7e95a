"""Load of the postgres row: sessions that ask the same questions; prints what they were told.

Usage: postgres_load.py FOLDER

The memory of a server of many processes is the sum of their shares (Pss), in which a page that
several of them use counts once. It is taken when all sessions have their answers and are still
open, and printed as kib=, for memory = "own".
"""

import os
import pathlib
import re
import signal
import subprocess
import sys
import time

SESSIONS = 4
REPORTS = pathlib.Path(__file__).resolve().parent / "reports.sql"
END = "-- end of the answers --\n"
SECONDS_TO_START = 20


def client(folder):
    return ["psql", "-XAtq", "-h", folder, "-U", "bench", "-d", "postgres", "-v", "ON_ERROR_STOP=1"]


def await_start(folder):
    """The socket is there before the database is."""
    deadline = time.monotonic() + SECONDS_TO_START
    question = [*client(folder), "-c", "SELECT 1"]
    while subprocess.run(question, capture_output=True).returncode != 0:
        if time.monotonic() > deadline:
            sys.exit("postgres_load.py: the server does not answer")
        time.sleep(0.05)


def answers(session):
    """What the session says to all reports. It stays open."""
    session.stdin.write(REPORTS.read_text() + f"SELECT '{END.strip()}';\n")
    session.stdin.flush()
    lines = []
    for line in session.stdout:
        if line == END:
            return lines
        lines.append(line)
    sys.exit("postgres_load.py: a session has ended early")


def shares_kib(server):
    """The sum of Pss over the server and its children."""
    total = 0
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            parent = (folder / "stat").read_text().rpartition(")")[2].split()[1]
            if server in (int(folder.name), int(parent)):
                rollup = (folder / "smaps_rollup").read_text()
                total += int(re.search(r"^Pss:\s+(\d+)", rollup, re.MULTILINE)[1])
        except (FileNotFoundError, ProcessLookupError):
            continue  # It has ended meanwhile.
    return total


def main(folder):
    server = int((folder / "postmaster.pid").read_text().split()[0])
    await_start(folder)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    sessions = [subprocess.Popen(client(folder), **pipes) for _ in range(SESSIONS)]
    found = [answers(session) for session in sessions]
    print(f"kib={shares_kib(server)}")
    if any(lines != found[0] for lines in found):
        sys.exit("postgres_load.py: two sessions were told different things")
    print("".join(found[0]), end="")
    for session in sessions:
        session.stdin.close()
        session.wait()
    os.kill(server, signal.SIGINT)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
