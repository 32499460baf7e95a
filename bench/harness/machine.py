"""What a reader must know of the machine to make sense of the figures."""

from __future__ import annotations

import os
import pathlib
import platform
import re
import time


# What tunes an allocator: in the environment of whoever measures it changes all figures.
TUNING = re.compile(r"(ASHLAR_CONF|GLIBC_TUNABLES|PYTHONMALLOC|(MALLOC|MIMALLOC|TCMALLOC)_\w+)$")


def describe() -> dict[str, str | int]:
    tuned = " ".join(f"{key}={value}" for key, value in os.environ.items() if TUNING.match(key))
    return {
        "processor": _processor(),
        "cpus": os.cpu_count() or 1,
        "memory": f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.1f} GiB",
        "kernel": platform.release(),
        "libc": " ".join(platform.libc_ver()),
        "huge pages": _chosen("/sys/kernel/mm/transparent_hugepage/enabled"),
        "governor": _read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor") or "not told",
    } | ({"tuned by": tuned} if tuned else {})


def busy_share(seconds: float = 0.5) -> float:
    """The share of all CPU time that others take from us, measured while we sleep."""
    before = _ticks()
    time.sleep(seconds)
    passed = [after - start for after, start in zip(_ticks(), before)]
    return 1 - sum(passed[3:5]) / max(1, sum(passed))  # Idle, and idle while waiting for a disk.


class OtherLoad:
    """What other programs take of the CPUs while this one and those that it starts are at work."""

    def __init__(self) -> None:
        self._start = self._now()

    def share(self) -> float:
        all_used, ours, passed = (now - then for now, then in zip(self._now(), self._start))
        return max(0.0, (all_used - ours) / max(1e-9, passed * (os.cpu_count() or 1)))

    @staticmethod
    def _now() -> tuple[float, float, float]:
        ticks = _ticks()
        all_used = (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")
        return all_used, sum(os.times()[:4]), time.monotonic()


def _ticks() -> list[int]:
    return [int(word) for word in _read("/proc/stat").splitlines()[0].split()[1:9]]


def _processor() -> str:
    found = re.search(r"^model name\s*: (.*)$", _read("/proc/cpuinfo"), re.MULTILINE)
    return found[1] if found else platform.machine()


def _chosen(path: str) -> str:
    """The kernel lists all settings and puts the chosen one in brackets."""
    found = re.search(r"\[(\w+)\]", _read(path))
    return found[1] if found else "not told"


def _read(path: str) -> str:
    try:
        return pathlib.Path(path).read_text().strip()
    except OSError:
        return ""
