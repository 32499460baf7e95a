#!/usr/bin/env python3
"""The n-th system call fails, for every n: the program must live, and go on once memory is back.

Of a kind of call that is made more than 200 times, each of the first 200 and every seventh of the
others.

A user would notice: a server that dies, hangs or corrupts its heap in the one second in which the
machine is out of memory or mappings, although it checks every malloc for NULL.

usage: sweep.py [--library libashlar.so] [--fallback] [--threads N] program

strace makes the n-th call of one kind fail in each thread. A call of the dynamic loader may fail
too; it then says so and ends with 127, or crashes as it does without our library: no fault of ours.
Ends with 77 ('not run') where strace or ptrace is not to be had.
"""
import argparse
import collections
import re
import shutil
import subprocess
import sys
import tempfile

# What an allocator may call, with the error that the kernel would give.
ONE_FAULT = {"mmap": "ENOMEM", "munmap": "ENOMEM", "mremap": "ENOMEM", "madvise": "ENOMEM",
             "process_madvise": "EPERM", "mprotect": "ENOMEM", "membarrier": "EPERM",
             "prctl": "EINVAL",
             "openat": "EMFILE", "sched_getaffinity": "EINVAL"}
# Whole kinds of calls that a sandbox or an old kernel refuses for ever: nothing may be refused to
# the program then, since there is another way for each.
NEVER_THERE = {"membarrier": "ENOSYS", "madvise": "EINVAL", "process_madvise": "EPERM",
               "mremap": "ENOMEM", "munmap": "ENOMEM",
               "prctl": "EINVAL", "sched_getaffinity": "EPERM", "getrandom": "ENOSYS"}
# From the n-th call on, for good: NULL is the answer then, again and again.
FOR_GOOD = {"mmap": "ENOMEM", "mprotect": "ENOMEM"}
LIMIT_SECONDS = 60
EACH_UP_TO, THEN_EVERY = 200, 7


def numbers(count):
    yield from range(1, min(count, EACH_UP_TO) + 1)
    yield from range(EACH_UP_TO + THEN_EVERY, count + 1, THEN_EVERY)


class Sweep:
    def __init__(self, options):
        self.options = options
        self.faults = []
        self.runs = self.loader_gave_up = self.refusals = 0

    def strace(self, arguments, *, persistent=False, with_library=True):
        words = ["strace", "-f", "-qq", "--seccomp-bpf", *arguments]
        if self.options.library and with_library:
            words += ["-E", f"LD_PRELOAD={self.options.library}"]
        if self.options.fallback:
            words += ["-E", "GLIBC_TUNABLES=glibc.pthread.rseq=0"]
        words += [self.options.program, str(self.options.threads)]
        words += ["persistent"] if persistent else []
        return subprocess.run(words, capture_output=True, text=True, timeout=LIMIT_SECONDS)

    def count(self):
        """Calls per kind: the most that any one thread makes."""
        with tempfile.NamedTemporaryFile("r") as log:
            done = self.strace(["-e", "trace=" + ",".join(ONE_FAULT), "-o", log.name])
            if done.returncode != 0:
                raise SystemExit(f"without any fault the program ends with {done.returncode}: "
                                 f"{done.stderr}")
            per_thread = collections.Counter(re.findall(r"^(\d+) +(\w+)\(", log.read(), re.M))
        most = collections.Counter()
        for (_, call), number in per_thread.items():
            most[call] = max(most[call], number)
        return most

    @staticmethod
    def failing(inject):
        call = inject.split(":")[0]
        return ["-o", "/dev/null", "-e", "trace=" + call, "-e", "inject=" + inject]

    def judge(self, what, inject, *, persistent=False, may_refuse=True):
        self.runs += 1
        try:
            done = self.strace(self.failing(inject), persistent=persistent)
        except subprocess.TimeoutExpired:
            self.faults.append(f"{what}: hangs")
            return
        loader = "error while loading shared libraries" in done.stderr or "ld.so" in done.stderr
        if done.returncode == 127 and (loader or "annot" in done.stderr or not done.stderr):
            self.loader_gave_up += 1
            return
        if done.returncode < 0 and self.options.library and done.returncode == self.strace(
                self.failing(inject), persistent=persistent, with_library=False).returncode:
            self.loader_gave_up += 1
            return
        said = re.fullmatch(r"refused (\d+)\n", done.stdout)
        if done.returncode != 0 or not said:
            code = done.returncode
            how = f"signal {-code}" if code < 0 else f"code {code}"
            self.faults.append(f"{what}: {how}: {done.stderr.strip()[:300]}")
        elif not may_refuse and int(said[1]) > 0:
            self.faults.append(f"{what}: {said[1]} requests were refused without need")
        else:
            self.refusals += int(said[1])

    def run(self):
        counts = self.count()
        for call, error in ONE_FAULT.items():
            for n in numbers(counts[call]):
                self.judge(f"{call} number {n}", f"{call}:error={error}:when={n}")
        for call, error in NEVER_THERE.items():
            self.judge(f"{call} never", f"{call}:error={error}", may_refuse=False)
        for call, error in FOR_GOOD.items():
            for n in numbers(counts[call]):
                self.judge(f"{call} from number {n} on", f"{call}:error={error}:when={n}+",
                           persistent=True)
        print(f"{self.runs} runs ({', '.join(f'{k} {v}' for k, v in counts.items())}); the loader "
              f"gave up in {self.loader_gave_up}; {self.refusals} requests were refused")
        print("\n".join(self.faults))
        return bool(self.faults)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--library")
    parser.add_argument("--fallback", action="store_true")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("program")
    options = parser.parse_args()
    probe = ["strace", "-qq", "-o", "/dev/null", "-e", "inject=madvise:error=ENOMEM", "/bin/true"]
    if not shutil.which("strace") or subprocess.run(probe, capture_output=True).returncode != 0:
        print("not run: strace cannot trace here")
        return 77
    return Sweep(options).run()


sys.exit(main())
