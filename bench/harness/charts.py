"""Draws what a document says: every chart of the report, as a matplotlib figure.

An allocator has the same colour and shape in all of them, and the subject is drawn larger and last.
Less is better everywhere.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator

import dotplot
import document as doc
import quantities
import scatter
from themes import BAND, GRID, INK, MUTED, SETTINGS, Look, legend, looks

WIDTH = 9.0  # Inches, of every chart but the first.
PANELS = {1: 3.2, 2: 2.7, 3: 2.0}  # Charts side by side, and how high they are.
MOST_PANELS = 12  # In one figure, so that it fits on a printed page.
LEFT, RIGHT, ABOVE, BELOW = 0.65, 0.2, 0.3, 0.28  # Around a small chart, for its ticks and title.
LABEL = 0.2  # More below, where the axis has a label.
LEGEND = 0.3
LONGEST_TITLE = 110  # Characters that fit into the width of a figure.

ROW_BY_ROW = (
    "Each row's values as ratios to its best, further left is better; the line through a point "
    "spans the middle 60 % of its runs, and where two such lines overlap, the order of the points "
    "means little."
)
LIMITS = {
    "cpu": "of several threads it is the sum, and waiting is not in it",
    "system": "the part of CPU time in which the kernel works; it is counted in small steps",
    "memory": "a peak is one moment, and says nothing of the rest of the run",
    "stays": "what memory an allocator keeps for a short while, it may give back later",
    "resident": "the program itself is in it, and blocks that it never touched are not",
    "faults": "what they cost is part of the time, too",
}


@dataclasses.dataclass(frozen=True)
class Chart:
    """Its section is "summary", "timelines", "latency", "scaling", or the key of a table."""

    section: str
    name: str
    title: str
    caption: str
    figure: Figure


def draw(document: doc.Document) -> list[Chart]:
    """All charts for which the document has data."""
    with matplotlib.rc_context(SETTINGS):
        return [
            chart
            for kind in (_summary, _comparisons, _timelines, _latency, _scaling)
            for chart in kind(document)
        ]


def summary(document: doc.Document) -> Chart | None:
    """Time against memory alone."""
    with matplotlib.rc_context(SETTINGS):
        return next(_summary(document), None)


def _looks(document: doc.Document) -> dict[str, Look]:
    return looks(doc.names(document), doc.subject(document))


def _summary(document: doc.Document) -> Iterator[Chart]:
    time, memory = doc.table(document, "time"), doc.table(document, "memory")
    points = scatter.common_points(doc.means(time), doc.means(memory))
    if not points:
        return
    groups = [
        scatter.common_points(doc.means(time, group), doc.means(memory, group))
        for group in doc.groups(time)
        if len(doc.groups(time)) > 1
    ]
    are_means = max(len(time["rows"]), len(memory["rows"])) > 1
    yield Chart(
        "summary",
        "time-against-memory",
        "Time against memory",
        "Geometric means over all rows of the ratio to the best of the row"
        + (", and as small points those of each group" if any(groups) else "")
        + "; lower left is better, but a mean counts rows that do not resemble your program, too."
        if are_means
        else "The ratios to the best; lower left is better, for this one task.",
        scatter.draw(points, groups, _looks(document)),
    )


def _comparisons(document: doc.Document) -> Iterator[Chart]:
    drawn = [table for table in document["tables"] if table["rows"]]
    for table in drawn:
        caption = ROW_BY_ROW
        if table is not drawn[0]:
            caption = f"To be read like the chart of {drawn[0]['title'].lower()}"
            caption += f"; {LIMITS[table['key']]}." if table["key"] in LIMITS else "."
        yield Chart(
            table["key"],
            f"rows-{table['key']}",
            f"{table['title']}, row by row",
            caption,
            dotplot.draw(table, _looks(document)),
        )


def _timelines(document: doc.Document) -> Iterator[Chart]:
    curves = _by(document.get("timelines", []), "task")
    yield from _panels(
        document,
        curves,
        "timelines",
        "Memory over time",
        "Resident memory in the course of each trace, in per cent of its operations; the area is "
        "what the program held, so the distance to it is what the allocator adds."
        if any(curve.get("live") for each in curves.values() for curve in each)
        else "Resident memory during one run of each task; it was looked at from time to time, so "
        "a short peak may be missing.",
        _memory_panel,
    )


def _latency(document: doc.Document) -> Iterator[Chart]:
    curves = _by(document.get("latency", []), "row")
    yield from _panels(
        document,
        curves,
        "latency",
        "Latency",
        "At 99.9 %, one call in a thousand took longer than the curve says; the far right rests on "
        "a handful of calls, and on what else the machine did.",
        _latency_panel,
        most_columns=2,
        below=BELOW + LABEL,
    )


def _scaling(document: doc.Document) -> Iterator[Chart]:
    curves = _by(document.get("scaling", []), "row")
    cpus = document["machine"]["cpus"]
    yield from _panels(
        document,
        curves,
        "scaling",
        "Scaling",
        "Time per operation against the number of threads; "
        f"with more than this machine's {cpus} CPUs, threads take turns.",
        lambda axes, curves, found: _scaling_panel(axes, curves, found, cpus),
        most_columns=2,
        below=BELOW + LABEL,
    )


def _by(curves: list[dict], key: str) -> dict[str, list[dict]]:
    found: dict[str, list[dict]] = {}
    for curve in curves:
        if curve.get("points", True):
            found.setdefault(curve[key], []).append(curve)
    return found


def _panels(
    document: doc.Document,
    curves: dict[str, list[dict]],
    section: str,
    title: str,
    caption: str,
    draw_panel: Callable[[Axes, list[dict], dict[str, Look]], None],
    most_columns: int = 3,
    below: float = BELOW,
) -> Iterator[Chart]:
    """Small charts side by side, one for each key of `curves`; as many figures as they need."""
    found = _looks(document)
    keys = list(curves)
    for start in range(0, len(keys), MOST_PANELS):
        chosen = keys[start : start + MOST_PANELS]
        columns = min(most_columns, len(chosen))
        figure, grid = _grid(len(chosen), columns, below)
        for axes, key in zip(grid, chosen):
            axes.set_title(quantities.shorten(key, LONGEST_TITLE // columns))
            draw_panel(axes, curves[key], found)
        taking_part = {curve["allocator"] for key in chosen for curve in curves[key]}
        legend(figure, {who: look for who, look in found.items() if who in taking_part}, lines=True)
        number = start // MOST_PANELS + 1
        many = len(keys) > MOST_PANELS
        suffix, part = (f"-{number}", f", part {number}") if many else ("", "")
        yield Chart(section, section + suffix, title + part, caption if number == 1 else "", figure)


def _grid(count: int, columns: int, below: float) -> tuple[Figure, list[Axes]]:
    """Places for that many charts. Sizes are in inches, whatever the number of charts."""
    lines = math.ceil(count / columns)
    wide, high = WIDTH / columns, PANELS[columns]
    height = LEGEND + lines * high
    figure = Figure(figsize=(WIDTH, height))
    panels = []
    for place in range(count):
        line, column = divmod(place, columns)
        left, bottom = column * wide + LEFT, (lines - 1 - line) * high + below
        across, up = wide - LEFT - RIGHT, high - ABOVE - below
        panels.append(figure.add_axes((left / WIDTH, bottom / height, across / WIDTH, up / height)))
    return figure, panels


def _line(axes: Axes, xs: list[float], ys: list[float], look: Look, **more: object) -> None:
    style = (0, look.dashes) if look.dashes else "-"
    axes.plot(
        xs, ys, color=look.colour, linewidth=look.width, linestyle=style, zorder=look.layer, **more
    )


def _memory_panel(axes: Axes, curves: list[dict], found: dict[str, Look]) -> None:
    unit, size = _unit_of_time(curves)
    highest = max(kib for curve in curves for _, kib in curve["points"])
    what, kib_each = ("MiB", 1024) if highest >= 2048 else ("KiB", 1)
    for curve in curves:
        xs = [ms / size for ms, _ in curve["points"]]
        ys = [kib / kib_each for _, kib in curve["points"]]
        _line(axes, xs, ys, found[curve["allocator"]])
    if live := curves[0].get("live"):
        xs, ys = [at / size for at, _ in live], [kib / kib_each for _, kib in live]
        axes.fill_between(xs, ys, color=GRID, zorder=2, linewidth=0)
    axes.set_xlim(0)
    axes.set_ylim(0)
    for axis, name in ((axes.xaxis, unit), (axes.yaxis, what)):
        axis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        axis.set_major_formatter(_with_unit(name))


def _unit_of_time(curves: list[dict]) -> tuple[str, float]:
    """The unit to show, and how many of the curve's make one. A trace knows no time."""
    if "unit" in curves[0]:
        return "%", 10  # The curve's are thousandths of the trace.
    longest = max(ms for curve in curves for ms, _ in curve["points"])
    return ("s", 1000) if longest >= 2000 else ("ms", 1)


def _with_unit(unit: str) -> FuncFormatter:
    return FuncFormatter(lambda value, _: f"{value:g} {unit}" if value else "0")


def _nines(share: float) -> float:
    """Where a percentile stands on the axis: each further nine is one step to the right."""
    return -math.log10(max(1 - share, 1e-12))


def latency_curve(latency: dict) -> list[tuple[float, float]]:
    """(share of calls, ns that they took at most), from the histogram if there is one."""
    buckets = latency.get("histogram") or []
    total = sum(count for _, count in buckets)
    if not total:
        given = latency["percentiles"].items()
        return sorted((float(key) / 100, ns) for key, ns in given if key != "max")
    points, seen = [], 0
    for upper, count in buckets:
        # The last call of all stands half a call before the end, which no axis of nines reaches.
        seen += count
        points.append((min(seen, total - 0.5) / total, upper))
    return points


def _latency_panel(axes: Axes, curves: list[dict], found: dict[str, Look]) -> None:
    end = 1.0
    for curve in curves:
        points = latency_curve(curve)
        xs = [_nines(share) for share, _ in points]
        end = max(end, *xs)
        _line(axes, xs, [ns for _, ns in points], found[curve["allocator"]], drawstyle="steps-pre")
    nines = ["0", "90", "99", "99.9", "99.99", "99.999"]
    end = min(end, len(nines) - 1)  # Further to the right a curve rests on single calls.
    axes.xaxis.set_major_locator(FixedLocator([_nines(0.5), *range(1, math.floor(end) + 1)]))
    axes.xaxis.set_major_formatter(
        FuncFormatter(lambda x, _: "50 %" if x < 1 else f"{nines[min(round(x), 5)]} %")
    )
    axes.set_xlim(0, end * 1.02)
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda ns, _: quantities.show(ns, "ns")))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("share of calls that took no longer", color=MUTED)


def _scaling_panel(axes: Axes, curves: list[dict], found: dict[str, Look], cpus: int) -> None:
    counts = sorted({threads for curve in curves for threads, _ in curve["points"]})
    values = [ns for curve in curves for _, ns in curve["points"]]
    for curve in curves:
        look = found[curve["allocator"]]
        xs, ys = zip(*sorted(curve["points"]))
        _line(axes, xs, ys, look, marker=look.marker, markersize=look.size - 1)
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_locator(FixedLocator(counts))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    if max(values) > 3 * min(values):
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_minor_locator(NullLocator())
    else:
        axes.set_ylim(0, max(values) * 1.08)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda ns, _: quantities.show(ns, "ns")))
    axes.set_xlabel("threads; upwards: time per operation", color=MUTED)
    if counts[-1] > cpus >= counts[0]:
        axes.axvspan(cpus, counts[-1] * 1.1, color=BAND, zorder=0, linewidth=0)
        axes.set_xlim(counts[0] / 1.1, counts[-1] * 1.1)
        axes.text(
            cpus,
            0.03,
            f"  more threads than CPUs ({cpus})",
            color=INK,
            fontsize=7.5,
            transform=axes.get_xaxis_transform(),
            va="bottom",
            alpha=0.75,
        )
