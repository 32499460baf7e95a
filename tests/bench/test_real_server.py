"""How the harness deals with servers: where they listen, how they fail, what they leave behind.

Run: /usr/bin/python3 -m unittest tests/bench/test_real_server.py, after a build with
ASHLAR_BUILD_BENCH. ASHLAR_BUILD names the build folder, if it is not build/.
"""

from __future__ import annotations

import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import unittest

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.dont_write_bytecode = True
sys.path.insert(0, str(TOP / "bench" / "harness"))

import catalog  # noqa: E402
import measure  # noqa: E402
import server  # noqa: E402

PYTHON = "/usr/bin/python3"

# ADDRESS is a path or a port. It answers each client with a line, until one says "end".
SERVER = """
import os, signal, socket, sys
where = sys.argv[1]
family = socket.AF_INET if where.isdigit() else socket.AF_UNIX
line = socket.socket(family)
line.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
line.bind(("127.0.0.1", int(where)) if where.isdigit() else where)
line.listen()
while True:
    client, _ = line.accept()
    said = client.recv(9)
    if said == b"crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if said:  # Else somebody only wanted to know whether we listen.
        client.sendall(b"hello\\n")
    if said == b"end":
        break
"""

LOAD = """
import socket, sys
where, word = sys.argv[1:]
family = socket.AF_INET if where.isdigit() else socket.AF_UNIX
line = socket.socket(family)
line.connect(("127.0.0.1", int(where)) if where.isdigit() else where)
line.sendall(word.encode())
print(line.recv(9).decode() or sys.exit("the server is gone"))
sys.exit("no luck" if word == "fail" else 0)
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Servers(unittest.TestCase):
    def setUp(self):
        build = pathlib.Path(os.environ.get("ASHLAR_BUILD", TOP / "build")).resolve()
        self.folders = catalog.Folders(build)
        if not self.folders.launch.exists():
            self.skipTest(f"there is no {self.folders.launch}")
        self.folders.made.mkdir(parents=True, exist_ok=True)
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.path = f"{scratch.name}/socket"

    def measure(self, where: str, ready: str, word: str, seconds: float = 20, program=SERVER):
        task = catalog.Task(
            name="server",
            run=[PYTHON, "-c", program, where],
            is_program=True,
            ready=ready,
            load=[PYTHON, "-c", LOAD, where, word],
        )
        return measure.measure(task, catalog.Allocator("glibc"), self.folders, seconds)

    def verdict(self, *arguments, **options) -> str:
        with self.assertRaises(measure.Failure) as raised:
            self.measure(*arguments, **options)
        return raised.exception.verdict

    def test_a_unix_socket_and_a_port(self):
        by_path = self.measure(self.path, self.path, "end")
        port = free_port()
        by_port = self.measure(str(port), f"tcp:{port}", "end")
        self.assertEqual(by_path.answer, by_port.answer)
        self.assertFalse(server.is_listening(f"tcp:{port}"))

    def test_that_a_stale_socket_is_removed(self):
        with socket.socket(socket.AF_UNIX) as stale:
            stale.bind(self.path)
        self.measure(self.path, self.path, "end")

    def test_that_no_other_server_is_measured(self):
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(self.path)
            other.listen()
            self.assertEqual(self.verdict(self.path, self.path, "end"), "TAKEN")
            self.assertTrue(pathlib.Path(self.path).exists())

    def test_that_a_crash_is_told_by_its_signal(self):
        self.assertEqual(self.verdict(self.path, self.path, "crash"), "SIGSEGV")
        early = "import os; os.abort()"
        self.assertEqual(self.verdict(self.path, self.path, "end", program=early), "SIGABRT")

    def test_that_a_server_that_never_listens_is_told(self):
        self.assertEqual(self.verdict(self.path, self.path, "end", program="pass"), "NO START")

    def test_that_a_load_that_fails_is_told_and_nothing_is_left(self):
        self.assertEqual(self.verdict(self.path, self.path, "fail"), "LOAD")
        self.assertFalse(server.is_listening(self.path))

    def test_that_a_server_without_end_is_ended(self):
        self.assertEqual(self.verdict(self.path, self.path, "go on", seconds=2), "HUNG")
        self.assertFalse(server.is_listening(self.path))

    def test_that_a_polite_end_lets_a_server_clean_up(self):
        note = f"{self.path}.note"
        self.start_and_end(f"lambda *_: open({note!r}, 'w').close() or exit()")
        self.assertTrue(pathlib.Path(note).exists())
        pathlib.Path(self.path).unlink()
        self.start_and_end("signal.SIG_IGN")

    def start_and_end(self, when_interrupted: str):
        program = f"import signal; signal.signal(signal.SIGINT, {when_interrupted})\n{SERVER}"
        process = subprocess.Popen([PYTHON, "-c", program, self.path], start_new_session=True)
        self.assertTrue(server.await_start(self.path, process))
        server.end_session(process)
        self.assertFalse(server.is_listening(self.path))

    def test_that_an_allocator_that_cannot_be_loaded_is_told(self):
        task = catalog.Task(name="true", run=["/bin/true"], is_program=True)
        absent = catalog.Allocator("absent", "/nowhere/liballoc.so")
        with self.assertRaises(measure.Failure) as raised:
            measure.measure(task, absent, self.folders, 5)
        self.assertEqual(raised.exception.verdict, "NOT LOADED")


if __name__ == "__main__":
    unittest.main()
