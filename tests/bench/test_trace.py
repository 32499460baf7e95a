#!/usr/bin/python3 -B
"""Tests of bench/capture and bench/replay, against the build in build/.

Run: python3 -m unittest tests/bench/test_trace.py
after a build with -DASHLAR_BUILD_BENCH=ON. ASHLAR_BUILD names the build folder, if not build/.
"""

import contextlib
import errno
import gzip
import importlib.machinery
import importlib.util
import io
import json
import os
import pathlib
import random
import signal
import subprocess
import tempfile
import unittest
from unittest import mock

TOP = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("ASHLAR_BUILD", TOP / "build")).resolve()
REPLAY = BUILD / "bench" / "replay"
RECORD = TOP / "bench" / "trace" / "record"

BLOCKS, SIZE, ROUNDS = 1000, 5000, 300  # As in trace_program.c.

KINDS = {"end": 0, "malloc": 1, "calloc": 2, "aligned": 3, "realloc": 4, "free": 5, "thread": 6}
KINDS["thread_end"] = 7


def varint(number: int) -> bytes:
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(out) + bytes([number])


def trace(*records: tuple) -> bytes:
    """A trace of records like ("malloc", 16), as the format describes it."""
    out = b"ashtrc1\n" + varint(4) + b"test"
    for kind, *numbers in records:
        out += bytes([KINDS[kind]]) + b"".join(map(varint, numbers))
    return out


def load_capture():
    """bench/capture as a module."""
    loader = importlib.machinery.SourceFileLoader("capture", str(TOP / "bench" / "capture"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("capture", loader))
    with mock.patch("sys.dont_write_bytecode", True):
        loader.exec_module(module)
    return module


class TraceTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory()
        cls.folder = pathlib.Path(cls.scratch.name)
        cls.program = cls.folder / "trace_program"
        source = TOP / "tests" / "bench" / "trace_program.c"
        flags = ["-O0", "-Wno-unused-result", "-pthread"]
        subprocess.run(["cc", *flags, source, "-o", cls.program], check=True)

    @classmethod
    def tearDownClass(cls):
        cls.scratch.cleanup()

    def capture(self, *words, output="test.trace", environment={}):
        options = ["--no-build", "--no-install", "--build", BUILD, "-o", self.folder / output]
        return subprocess.run(
            [TOP / "bench" / "capture", *options, *words],
            capture_output=True,
            text=True,
            env=os.environ | environment,
        )

    def captured(self, *words) -> dict:
        run = self.capture(*words)
        self.assertEqual(run.returncode, 0, run.stderr)
        return self.summary(self.folder / "test.trace")

    def replay(self, *words, library=""):
        environment = os.environ | {"LD_PRELOAD": str(library)}
        return subprocess.run(
            [REPLAY, *words], capture_output=True, text=True, env=environment, timeout=60
        )

    def command(self, *words):
        command = [TOP / "bench" / "replay", "--no-build", "--no-install", "--build", BUILD]
        return subprocess.run([*command, *words], capture_output=True, text=True)

    def summary(self, path) -> dict:
        run = self.replay("--summary", path)
        self.assertEqual(run.returncode, 0, run.stderr)
        return json.loads(run.stdout)

    def written(self, content: bytes) -> pathlib.Path:
        path = self.folder / "written.trace"
        path.write_bytes(content)
        return path

    def assert_refused(self, content: bytes, reason: str):
        for mode in ([], ["--summary"]):
            run = self.replay(*mode, self.written(content))
            self.assertEqual(run.returncode, 2, run.stderr)
            self.assertEqual(run.stderr.count("\n"), 1, run.stderr)
            self.assertIn(reason, run.stderr)
            self.assertIn("bench/capture", run.stderr)  # What to do.


class Capture(TraceTest):
    def assert_program_is_recorded(self, found: dict, rounds=1):
        self.assertEqual(found["program"], "trace_program")
        self.assertEqual(found["sizes"]["8192"], BLOCKS * rounds)
        self.assertIn(found["calloc"], range(2, rounds + 2))  # The runtime makes some for threads.
        self.assertEqual(found["aligned"], 4)
        self.assertEqual(found["realloc"], 2)
        self.assertEqual(found["threads"], 1 + rounds)
        self.assertGreaterEqual(found["peak_live_bytes"], BLOCKS * SIZE)
        self.assertLess(found["peak_live_bytes"], BLOCKS * SIZE + 2000)
        freed = found["objects"] - found["live_objects_at_end"]
        self.assertEqual(found["operations"], found["objects"] + freed + found["realloc"])

    def test_counts(self):
        self.assert_program_is_recorded(self.captured(self.program))

    def test_child_of_fork_is_not_recorded(self):
        self.assert_program_is_recorded(self.captured(self.program, "fork"))

    def test_child_of_vfork_ends_nothing(self):
        self.assert_program_is_recorded(self.captured(self.program, "vfork"))

    def test_ends_by_exit(self):
        self.assert_program_is_recorded(self.captured(self.program, "exit"))

    def test_killed(self):
        self.assert_program_is_recorded(self.captured(self.program, "kill"))

    def test_killed_inside_a_record(self):
        """All calls before that one are in the trace."""
        source, program = TOP / "tests" / "bench" / "trace_killed.cpp", self.folder / "killed"
        flags = ["-std=c++20", "-O1", "-pthread", "-I", TOP / "bench" / "trace"]
        subprocess.run(["c++", *flags, source, "-o", program], check=True)
        numbers = [2, 4, 6, 7]  # How many are written when each call is complete.
        with tempfile.TemporaryDirectory() as folder:
            for killed_at in range(1, 8):
                environment = {"ASHLAR_CAPTURE": f"{folder}/{killed_at}"}
                run = subprocess.run([program, str(killed_at)], env=environment)
                self.assertEqual(run.returncode, 0 if killed_at == 7 else -signal.SIGKILL)
                [written] = pathlib.Path(folder).glob(f"{killed_at}.*")
                calls = sum(complete <= killed_at for complete in numbers)
                self.assertEqual(self.summary(written)["operations"], calls)
        program.unlink()

    def test_files_closed(self):
        self.assert_program_is_recorded(self.captured(self.program, "closed"), ROUNDS + 1)

    def test_only_first_operations(self):
        self.assertEqual(self.captured("--operations", "500", self.program)["operations"], 500)

    def test_after_exec(self):
        found = self.captured("sh", "-c", 'echo "$0" | cat; exec "$0"', self.program)
        self.assert_program_is_recorded(found)

    def test_other_process(self):
        found = self.captured("--process", "trace_program", "sh", "-c", '"$0"; true', self.program)
        self.assert_program_is_recorded(found)

    def test_unreadable_trace_of_another_process(self):
        script = 'echo none > "$ASHLAR_CAPTURE".99999999; "$0"; true'
        for options in (["--process", "trace_program"], []):
            run = self.capture(*options, "sh", "-c", script, self.program)
            self.assertEqual(run.returncode, 0, run.stderr)
            self.assertIn("left out: the trace of process 99999999 cannot be read", run.stderr)
            self.assertRegex(run.stderr, f"operations of {'trace_program' if options else 'sh'}")

    def test_unreadable_trace_of_the_program(self):
        """As if it had become a program whose trace is damaged."""
        script = 'echo none > "$ASHLAR_CAPTURE".$$.2; "$0"; true'
        run = self.capture("sh", "-c", script, self.program)
        self.assertEqual((run.returncode, run.stderr.count("\n")), (2, 1), run.stderr)
        self.assertRegex(run.stderr, r"^bench/capture: the trace of process \d+ cannot be read")

    def test_refusals(self):
        for words, reason in (
            (["no-such-program"], "there is no program no-such-program"),
            (["--process", "other", self.program], "no process 'other' ran here"),
            (["-o", "/no/such/folder/x", self.program], "cannot write /no/such/folder/x"),
        ):
            run = self.capture(*words)
            self.assertEqual(run.returncode, 2, run.stderr)
            self.assertIn(reason, run.stderr)
            self.assertEqual(run.stderr.count("\n"), 1, run.stderr)

    def test_replaces_only_regular_files(self):
        """Neither a device or the like nor a folder, nor a link: but what a link leads to."""
        with tempfile.TemporaryDirectory() as folder:
            pipe, link, loop = (pathlib.Path(folder) / name for name in ("pipe", "link", "loop"))
            os.mkfifo(pipe)
            loop.symlink_to(loop)
            link.symlink_to(pipe)
            for bad in (pipe, link, loop, pathlib.Path(folder)):
                run = self.capture(self.program, output=bad)
                self.assertEqual(run.returncode, 2, run.stderr)
                self.assertRegex(run.stderr, f"{bad} is no regular file.*; choose another file")
                self.assertEqual(run.stderr.count("\n"), 1, run.stderr)
            self.assertTrue(pipe.is_fifo() and loop.is_symlink())
            link.unlink()
            link.symlink_to("real")
            for _ in range(2):  # It makes the file, then replaces it.
                run = self.capture(self.program, output=link)
                self.assertEqual(run.returncode, 0, run.stderr)
                self.assertTrue(link.is_symlink())
                self.assertTrue((pathlib.Path(folder) / "real").is_file())

    def test_full_disk(self):
        """What was recorded is kept uncompressed, or it is said what to do."""
        content = trace(("malloc", 10), ("end",))
        raw, output = self.written(content), self.folder / "test.trace"
        full = mock.patch("shutil.copyfileobj", side_effect=OSError(errno.ENOSPC, "disk full"))
        with full, contextlib.redirect_stderr(io.StringIO()) as told:
            load_capture().store(raw, output)
        self.assertEqual(output.read_bytes(), content)
        self.assertEqual(self.summary(output)["objects"], 1)
        self.assertIn(f"{output} is not compressed: disk full", told.getvalue())

        raw = self.written(content)
        quota = mock.patch("pathlib.Path.replace", side_effect=OSError(errno.EDQUOT, "over quota"))
        with full, quota, contextlib.redirect_stderr(io.StringIO()) as told:
            with self.assertRaises(SystemExit) as ended:
                load_capture().store(raw, output)
        self.assertEqual(ended.exception.code, 2)
        self.assertRegex(told.getvalue(), "over quota; free room on its disk, .* -o, .*operations")

    def test_leaves_no_files(self):
        self.captured(self.program)
        names = {path.name for path in self.folder.iterdir()}
        self.assertLessEqual(names, {"trace_program", "test.trace", "written.trace", "live"})

    def test_operator_new(self):
        source = self.folder / "news.cpp"
        source.write_text(
            "#include <new>\nstruct alignas(64) Wide { char c[640]; };\n"
            "int main() { for (int i = 0; i < 100; ++i) {"
            " delete new Wide; delete[] new char[300000]; }"
            " try { new char[1ul << 46]; } catch (std::bad_alloc&) { return 0; } return 1; }\n"
        )
        flags = ["-O0", "-std=c++20"]
        subprocess.run(["c++", *flags, source, "-o", self.folder / "news"], check=True)
        source.unlink()
        run = self.capture(self.folder / "news")
        (self.folder / "news").unlink()
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertNotIn("ended with", run.stderr)
        found = self.summary(self.folder / "test.trace")
        self.assertEqual(found["aligned"], 100)
        self.assertEqual(found["sizes"]["524288"], 100)

    def test_address_table(self):
        source, program = TOP / "tests" / "bench" / "trace_table.cpp", self.folder / "table"
        flags = ["-std=c++20", "-O1", "-I", TOP / "bench" / "trace"]
        subprocess.run(["c++", *flags, source, "-o", program], check=True)
        self.assertEqual(subprocess.run([program]).returncode, 0)
        program.unlink()

    def test_live_only(self):
        for how in ("", "fork", "exit"):
            line = self.folder / "live"
            environment = os.environ | {
                "LD_PRELOAD": f"{BUILD}/bench/libcapture.so {BUILD}/libashlar.so",
                "ASHLAR_CAPTURE": str(line),
                "ASHLAR_CAPTURE_ONLY": "live",
            }
            subprocess.run([self.program, how], env=environment, check=True)
            found = json.loads(line.read_text())
            line.unlink()
            whole = self.captured(self.program, how)
            self.assertEqual(found["peak_live_bytes"], whole["peak_live_bytes"])
            self.assertEqual(found["peak_live_objects"], whole["peak_live_objects"])
            self.assertEqual(found["allocations"], whole["objects"])


class Replay(TraceTest):
    def figures(self, path, *words, library="") -> dict[str, list[str]]:
        run = self.replay(*words, path, library=library)
        self.assertEqual(run.returncode, 0, run.stderr)
        found = {}
        for line in run.stdout.splitlines():
            name, _, value = line.partition("=")
            found.setdefault(name, []).append(value)
        return found

    def test_same_answer_under_all(self):
        for path in RECORD.glob("*.trace"):
            libraries = ["", BUILD / "libashlar.so"]
            found = [self.figures(path, "--passes", "2", library=name) for name in libraries]
            self.assertEqual(found[0]["answer"], found[1]["answer"], path.name)
            self.assertGreaterEqual(len(found[0]["point"]), 201)
            self.assertEqual(found[0]["live"], [str(self.summary(path)["peak_live_bytes"])])

    def test_memory_follows_the_program(self):
        self.captured(self.program)
        found = self.figures(self.folder / "test.trace", library=BUILD / "libashlar.so")
        live_kib = BLOCKS * SIZE // 1024
        self.assertGreaterEqual(int(found["live"][0]), BLOCKS * SIZE)
        self.assertGreaterEqual(int(found["kib"][0]), live_kib)
        self.assertLess(int(found["kib"][0]), 1.3 * live_kib + 200)
        points = [tuple(map(int, point.split(":"))) for point in found["point"]]
        self.assertGreaterEqual(len(points), 20)
        self.assertEqual(points[0], (0, 0, 0))
        self.assertEqual(points[-1][0], 1000)
        self.assertEqual(points, sorted(points, key=lambda point: point[0]))
        self.assertAlmostEqual(max(live for _, _, live in points), live_kib, delta=3)

    def test_threads_pass_objects_on(self):
        """Each object goes through all threads by realloc, and yet another one frees it."""
        chosen, threads, alive, count = random.Random(1), 7, [], 0
        records = [("malloc", 1)]
        count = 1
        for number in range(1, threads):
            records += [("thread", number), ("malloc", 8)]
            count += 1
        for _ in range(10000):
            records.append(("thread", chosen.randrange(threads)))
            if alive and chosen.random() < 0.5:
                place = chosen.randrange(len(alive))
                if chosen.random() < 0.5:
                    records.append(("free", count - alive.pop(place)))
                else:
                    size = chosen.choice((0, 7, 8, 15, 16, 4100, 9000, 70000))
                    records.append(("realloc", count - alive[place], size))
            else:
                kind = chosen.choice(("malloc", "calloc"))
                records.append((kind, int(2 ** chosen.uniform(0, 15))))
                alive.append(count)
                count += 1
        records += [("thread_end",), ("end",)]
        path = self.written(trace(*records))
        answers = {
            self.figures(path, library=library)["answer"][0]
            for library in ("", BUILD / "libashlar.so")
            for _ in range(2)
        }
        self.assertEqual(len(answers), 1)

    def test_damage_is_found(self):
        """An allocator that gives out the same block twice."""
        source, library = self.folder / "bad.c", self.folder / "bad.so"
        source.write_text(
            "#include <stddef.h>\nstatic char m[1 << 20]; static size_t used, calls;\n"
            "void* malloc(size_t n) { if (++calls % 50 != 0) used += (n + 15) / 16 * 16;"
            " return m + used; }\nvoid free(void* p) { (void)p; }\n"
        )
        subprocess.run(["cc", "-shared", "-fPIC", source, "-o", library], check=True)
        allocations = [("malloc", 100)] * 200
        path = self.written(trace(*allocations, *[("free", 200 - i) for i in range(200)], ("end",)))
        run = self.replay(path, library=library)
        source.unlink(), library.unlink()
        self.assertEqual(run.returncode, 1)
        self.assertIn("lost its content", run.stderr)

    def test_many_short_threads_share_a_seat(self):
        records = [("malloc", 10)]
        for number in range(1, 3000):
            records += [("thread", number), ("malloc", 100), ("free", 1), ("thread_end",)]
            records += [("thread", 0), ("malloc", 20), ("free", 1)]
        found = self.figures(self.written(trace(*records, ("end",))), "--passes", "1")
        self.assertEqual(found["live"], ["110"])

    def test_command_writes_all_figures(self):
        path = self.written(trace(*[("malloc", 100)] * 200, ("end",)))
        json_file = self.folder / "test.json"
        words = ["--runs", "1", "--allocators", "glibc,ashlar", "--json", json_file, path]
        run = self.command(*words)
        self.assertEqual(run.returncode, 0, run.stderr)
        document = json.loads(json_file.read_text())
        json_file.unlink()
        self.assertEqual([a["name"] for a in document["allocators"]], ["glibc", "ashlar"])

    def test_command_tells_beforehand_what_it_cannot_write(self):
        path = self.written(trace(("malloc", 100), ("end",)))
        for bad in (self.folder, self.folder / "none" / "test.json"):
            run = self.command("--json", bad, path)
            self.assertEqual((run.returncode, run.stdout), (2, ""), run.stderr)
            self.assertIn(f"--json: cannot write {bad}", run.stderr)
            self.assertNotIn("Traceback", run.stderr)


class Damage(TraceTest):
    def test_refusals(self):
        self.assert_refused(b"", "not a trace")
        self.assert_refused(b"something else entirely", "not a trace")
        self.assert_refused(trace(("malloc", 10)), "cut short")
        self.assert_refused(trace(("malloc", 10), ("free", 1))[:-1], "cut short")
        self.assert_refused(trace(("free", 1), ("end",)), "never allocated")
        self.assert_refused(trace(("malloc", 1), ("free", 0), ("end",)), "never allocated")
        twice = trace(("malloc", 1), ("free", 1), ("free", 1), ("end",))
        self.assert_refused(twice, "freed before")
        self.assert_refused(trace(("malloc", 1 << 50), ("end",)), "size is larger")
        self.assert_refused(trace(("aligned", 60, 1), ("end",)), "impossible alignment")
        self.assert_refused(trace(("malloc", 1), ("thread", 2), ("end",)), "threads out of order")
        self.assert_refused(trace() + b"\x3c", "unknown kind")
        self.assert_refused(trace() + b"\x01" + b"\xff" * 12, "number is too long")

    def test_compressed(self):
        packed = gzip.compress(trace(("malloc", 10), ("end",)), mtime=0)
        self.assertEqual(self.summary(self.written(packed))["objects"], 1)
        self.assert_refused(packed[:-12], "cut short")
        self.assert_refused(packed[:15] + b"\xff\xff\xff" + packed[18:], "unpacked")

    def test_without_operations(self):
        path = self.written(trace(("end",)))
        self.assertEqual(self.summary(path)["operations"], 0)
        run = self.replay(path)
        self.assertEqual((run.returncode, run.stderr.count("\n")), (2, 1))

    def test_command_tells_in_one_line(self):
        for path in (self.written(b"nonsense"), self.folder / "missing.trace"):
            run = self.command(path)
            self.assertEqual((run.returncode, run.stderr.count("\n")), (2, 1), run.stderr)

    def test_no_damage_crashes_the_reader(self):
        chosen = random.Random(2)
        whole = bytearray(gzip.decompress((RECORD / "sqlite.trace").read_bytes())[:20000])
        for _ in range(150):
            damaged = bytearray(whole)
            for _ in range(chosen.randrange(1, 6)):
                damaged[chosen.randrange(len(damaged))] = chosen.randrange(256)
            run = self.replay("--summary", self.written(bytes(damaged)))
            self.assertIn(run.returncode, (0, 2), run.stderr)


if __name__ == "__main__":
    unittest.main()
