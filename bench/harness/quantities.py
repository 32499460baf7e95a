"""What quantities are called, and how they are written for people."""

from __future__ import annotations


PEAK = "Peak memory"
STAYS = "Memory that stays"
RESIDENT = "Memory by live bytes"

# The kernel may tell system time apart in steps of 4 ms. Less than a dozen of them tell nothing.
LEAST_SYSTEM_NS = 50e6


def show(value: float, unit: str) -> str:
    """A value with its unit, in the unit that suits its size."""
    if unit == "ns":
        return _duration(value)
    if unit == "KiB":
        return _memory(value)
    if unit == "count":
        return f"{value:,.0f}"
    return f"{value:.2f}" if unit == "ratio" else f"{value:.4g} {unit}"


def show_ratio(value: float) -> str:
    return f"{value:.2f}" if value < 99.5 else f"{value:,.0f}"


def shorten(text: str, most: int) -> str:
    """For a place that cannot grow with the names that users give."""
    return text if len(text) <= most else text[: most - 1] + "…"


def _duration(ns: float) -> str:
    for unit, size in (("s", 1e9), ("ms", 1e6), ("us", 1e3)):
        if ns >= size:
            return f"{ns / size:.3g} {unit}"
    return f"{ns:.3g} ns"


def _memory(kib: float) -> str:
    return f"{kib / 1024:.1f} MiB" if kib >= 1024 else f"{kib:.0f} KiB"
