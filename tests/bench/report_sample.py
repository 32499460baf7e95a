#!/usr/bin/python3
"""Makes up a document like one of bench/compare --json, to test the report and to look at it.

    tests/bench/report_sample.py [compare|program|replay] > result.json

All figures are random, from a fixed seed. They say nothing about any allocator.
"""

from __future__ import annotations

import json
import math
import pathlib
import random
import sys

HARNESS = pathlib.Path(__file__).resolve().parents[2] / "bench" / "harness"
sys.path.insert(0, str(HARNESS))

import figures  # noqa: E402
import means  # noqa: E402

NAMES = ["glibc", "jemalloc", "mimalloc", "tcmalloc", "ashlar"]
SUBJECT = "ashlar"
SLOWNESS = {"glibc": 1.5, "jemalloc": 1.2, "mimalloc": 1.05, "tcmalloc": 1.1, "ashlar": 1.03}
FATNESS = {"glibc": 1.1, "jemalloc": 1.25, "mimalloc": 1.5, "tcmalloc": 1.45, "ashlar": 1.04}
RUNS = 15
CALLS = 5000
FAILS = {
    ("vector-steps", "mimalloc"): "SIGSEGV",
    ("redis", "tcmalloc"): "HUNG",
    ("git", "jemalloc"): "WRONG",
    ("git", "tcmalloc"): "EXIT 127",
}
WORKLOADS = {
    **{f"pairs/{size}": 12 for size in (16, 64, 256, 1024, 8192, 65536, 1048576)},
    **{
        f"batches/{count}x{size}": 30
        for count in (10, 100, 1000, 100000)
        for size in (16, 64, 1024, 16384)
    },
    "objects-10k": 26,
    "objects-1m": 95,
    "producer-1:1": 40,
    "producer-2:2": 70,
    "producer-3:1": 80,
    "generations": 60,
    "sharing/active": 300,
    "sharing/passive": 300,
    "large-blocks": 9e6,
    "vector-double": 2e5,
    "vector-steps": 1e5,
    "aligned": 50,
    "zeroed/small": 45,
    "zeroed/sparse": 4000,
}
PROGRAMS = {
    name: 1e8 + 7e7 * number
    for number, name in enumerate(
        ("python3", "python3-malloc", "lua", "perl", "node", "sqlite3", "g++", "git", "redis")
    )
} | {"true": 6e5}


def document(kind: str = "compare", seed: int = 1) -> dict:
    """The noise of the runs depends on the seed, the true values do not."""
    truth, noise = random.Random(7), random.Random(seed)
    groups = {"workloads": WORKLOADS, "programs": PROGRAMS}
    if kind != "compare":
        groups = {"programs": {"python3 build.py --all": 3e9}}
    if kind == "replay":
        groups = {"traces": {"python/first": 30, "python/again": 20, "git/first": 40}}
    tables = [
        _table("time", "Time", "ns", groups, SLOWNESS, truth, noise),
        _table("memory", "Peak memory", "KiB", groups, FATNESS, truth, noise),
    ]
    tasks = [row["task"] for row in tables[1]["rows"]]
    return {
        "format": 2,
        "kind": kind,
        "date": "2026-11-21T14:50:00+00:00",
        "commit": "6549c57",
        "machine": {
            "processor": "Intel(R) Xeon(R) CPU @ 2.50GHz",
            "cpus": 2,
            "memory": "7.8 GiB",
            "kernel": "6.1.0-18-amd64",
            "libc": "2.36",
            "huge pages": "madvise",
            "governor": "not told",
            "busy": 0.012,
        },
        "allocators": [
            {
                "name": name,
                "version": f"{number}.{number + 3}-1",
                "library": "",
                "is_packaged": name != SUBJECT,
            }
            for number, name in enumerate(NAMES)
        ],
        "subject": SUBJECT,
        "tables": tables,
        "timelines": [
            _timeline(task, name, noise, kind == "replay")
            for task in tasks
            for name in NAMES
            if (task, name) not in FAILS
        ],
        "latency": [
            _latency(row, name, noise)
            for row in ("latency/mixed", "latency/threads")
            for name in NAMES
        ]
        if kind == "compare"
        else [],
        "scaling": [
            _scaling(row, name, noise) for row in ("threads", "threads-shared") for name in NAMES
        ]
        if kind == "compare"
        else [],
        "samples": [
            {"task": task, "allocator": name, "runs": [None] * RUNS}
            for task in tasks
            for name in NAMES
        ],
    }


def _table(key, title, unit, groups, bias, truth, noise) -> dict:
    rows = []
    for group, scales in groups.items():
        for name, scale in scales.items():
            task = name if group == "programs" else name.split("/")[0]
            if key == "memory" and "/" in name:
                name = task
            if any(row["name"] == name for row in rows):
                continue
            base = scale if key == "time" else 3000 * math.exp(truth.uniform(0, 5))
            rows.append(_row(name, task, group, base, bias, truth, noise))
    found = means.by_group([(row["group"], row["values"]) for row in rows], NAMES)
    return {"key": key, "title": title, "unit": unit, "rows": rows, "means": found}


def _row(name, task, group, base, bias, truth, noise) -> dict:
    is_wild = truth.random() < 0.12
    wobble = noise_of_row = truth.choice([0.005, 0.01, 0.04])
    series = {}
    for who in NAMES:
        spread = 0.9 if is_wild and who != SUBJECT else 0.12
        middle = base * math.exp(math.log(bias[who]) + abs(truth.gauss(0, spread)))
        series[who] = [middle * math.exp(noise.gauss(0, noise_of_row)) for _ in range(RUNS)]
    failed = {who: FAILS[task, who] for who in NAMES if (task, who) in FAILS}
    ordered = {who: sorted(runs) for who, runs in series.items() if who not in failed}
    values = {who: figures.typical(runs) for who, runs in ordered.items()}
    peer = min((who for who in values if who != SUBJECT), key=values.get)
    found = figures.interval_of([math.log(a / b) for a, b in zip(series[SUBJECT], series[peer])])
    return {
        "name": name,
        "task": task,
        "group": group,
        "values": values,
        "low": {who: runs[RUNS // 5] for who, runs in ordered.items()},
        "high": {who: runs[-1 - RUNS // 5] for who, runs in ordered.items()},
        "failed": failed,
        "peer": peer,
        "ratio": found.ratio,
        "ratio_low": found.low,
        "ratio_high": found.high,
        "runs": RUNS,
        "target": "1.02" if wobble < 0.02 else "",
        "verdict": figures.verdict(found, 1.02) if wobble < 0.02 else "",
    }


def _timeline(task, name, noise, is_trace) -> dict:
    peak = 40000 * FATNESS[name] * noise.uniform(0.9, 1.1)
    length = 1000 if is_trace else 900 * SLOWNESS[name]
    keeps = noise.uniform(0.2, 0.7)
    points, live = [], []
    for step in range(80):
        share = step / 79
        falls = max(0, 1 - max(0, share - 0.6) * 8)
        level = min(1, share * 3, keeps + (1 - keeps) * falls)
        resident = peak * level * noise.uniform(0.98, 1) + 1500
        points.append([round(share * length, 1), round(resident)])
        live.append([round(share * length, 1), round(33000 * min(1, share * 3, 0.15 + falls))])
    found = {"task": task, "allocator": name, "points": points}
    return found | {"unit": "thousandths of the operations", "live": live} if is_trace else found


def _latency(row, name, noise) -> dict:
    bounds = [10 * 1.05**step for step in range(250)]
    counts = [0] * len(bounds)
    for _ in range(CALLS):
        slow = noise.random()
        ns = noise.lognormvariate(math.log(18 * SLOWNESS[name]), 0.15)
        if slow < 0.01:
            ns *= noise.paretovariate(0.8) * 3
        step = math.ceil(math.log(max(ns, 10) / 10) / math.log(1.05))
        counts[min(step, len(bounds) - 1)] += 1
    histogram = [[round(b, 1), count] for b, count in zip(bounds, counts) if count]
    percentiles = {}
    for percent in (50, 90, 99, 99.9, 99.99):
        seen = 0
        for upper, count in histogram:
            seen += count
            if seen >= percent / 100 * CALLS:
                percentiles[f"{percent:g}"] = upper
                break
    percentiles["max"] = histogram[-1][0]
    return {"row": row, "allocator": name, "percentiles": percentiles, "histogram": histogram}


def _scaling(row, name, noise) -> dict:
    cost = 25 * SLOWNESS[name]
    if row.endswith("shared"):
        cost *= 1.3
    points = [
        [
            n,
            cost
            * (1 + (0.9 if name == "glibc" else 0.15) * math.log2(n))
            * noise.uniform(0.97, 1.03),
        ]
        for n in (1, 2, 4, 8)
    ]
    return {"row": row, "allocator": name, "points": points}


if __name__ == "__main__":
    json.dump(document(*sys.argv[1:2]), sys.stdout)
