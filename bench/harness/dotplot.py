"""The chart of one table: on the line of each row a point with its spread for each allocator.

Everything is laid out in inches: a table of fifty rows is as easy to read as one of five.
"""

from __future__ import annotations

import document as doc
import quantities
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from themes import BAND, INK, MUTED, PAPER, Look, legend

WIDTH = 9.0
LINE = 0.27  # The height of a row.
TOP, BOTTOM = 0.5, 0.5
NOTE = 7.5  # The size of the text beside it, in points: two lines of it fit into a row.
GAP = 0.12  # Between the plot and the text beside it.
APART = 0.11  # The points of one row stand one below the other, this part of a line apart.
LOG_FROM = 3.0
STEPS = (1, 1.2, 1.5, 2, 3, 4, 5, 7, 10)
COARSE_STEPS = tuple(step * 10**power for power in range(3) for step in (1, 2, 5))
COARSEST_STEPS = tuple(10**power for power in range(10))
LONGEST_NAME = 40

Line = tuple[str, doc.Row | None]  # A heading has no row.


def draw(table: doc.Table, found: dict[str, Look]) -> Figure:
    lines = _lines(table)
    height = TOP + LINE * len(lines) + BOTTOM
    figure = Figure(figsize=(WIDTH, height))
    FigureCanvasAgg(figure)
    left = _widest(figure, [name for name, _ in lines]) + GAP
    notes = {place: _note(row) for place, (_, row) in enumerate(lines) if row}
    right = max(_widest(figure, list(notes.values()), NOTE) + GAP, 0.2)
    axes = figure.add_axes(
        (left / WIDTH, BOTTOM / height, 1 - (left + right) / WIDTH, LINE * len(lines) / height)
    )
    axes.set_ylim(len(lines) - 0.5, -0.5)
    axes.grid(False, axis="y")
    _scale(axes, [row for _, row in lines if row], found)
    for place, (name, row) in enumerate(lines):
        _name(axes, place, name, row is None)
        if row:
            if place % 2:
                axes.axhspan(place - 0.5, place + 0.5, color=BAND, zorder=0, linewidth=0)
            _row(axes, place, row, found)
            _beside(axes, place, notes[place])
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.set_xlabel(f"{table['title'].lower()}, ratio to the best of the row", color=MUTED)
    legend(figure, found, left / WIDTH)
    return figure


def _lines(table: doc.Table) -> list[Line]:
    lines: list[Line] = []
    grouped = doc.groups(table)
    for group, rows in grouped.items():
        if len(grouped) > 1:
            lines.append((group, None))
        lines += [(quantities.shorten(row["name"], LONGEST_NAME), row) for row in rows]
    return lines


def _note(row: doc.Row) -> str:
    """What failed, in at most two lines."""
    if not row["values"] and len(happened := set(row.get("failed", {}).values())) == 1:
        return f"all {happened.pop()}"
    failed = [f"{name} {what}" for name, what in row.get("failed", {}).items()]
    half = len(failed) if len(failed) < 3 else (len(failed) + 1) // 2
    return "\n".join(", ".join(part) for part in (failed[:half], failed[half:]) if part)


def _widest(figure: Figure, texts: list[str], size: float | None = None) -> float:
    """In inches."""
    renderer = figure.canvas.get_renderer()
    widths = [0.0]
    for content in filter(None, texts):
        text = figure.text(0, 0, content, fontsize=size)
        widths.append(text.get_window_extent(renderer).width / figure.dpi)
        text.remove()
    return max(widths)


def _scale(axes: Axes, rows: list[doc.Row], found: dict[str, Look]) -> None:
    values = [
        value
        for row in rows
        for name in found
        for key in ("values", "low", "high")
        if (value := doc.ratio(row, name, key))
    ] or [1.0]
    least, most = min(values + [1.0]), max(values + [1.05])
    if most > LOG_FROM:
        axes.set_xscale("log")
        # A point at an end needs room for its marker: a part of the axis, not of the value.
        room = (most / least) ** 0.02
        axes.set_xlim(least / room, most * room)
        axes.xaxis.set_major_locator(FixedLocator(_steps(most)))
        axes.xaxis.set_minor_locator(NullLocator())
    else:
        room = (most - least) * 0.02
        axes.set_xlim(least - room, most + room)
        axes.xaxis.set_major_locator(MaxNLocator(8, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.tick_params(axis="x", top=True, labeltop=True, length=0)


def _steps(most: float) -> tuple[float, ...]:
    if most < 12:
        return STEPS
    return COARSE_STEPS if most < 500 else COARSEST_STEPS


def _name(axes: Axes, place: int, name: str, is_heading: bool) -> None:
    axes.annotate(
        name,
        (0, place),
        xycoords=axes.get_yaxis_transform(),
        xytext=(-GAP * 72 / 2, 0),
        textcoords="offset points",
        ha="right",
        va="center",
        annotation_clip=False,
        color=MUTED if is_heading else INK,
        weight="bold" if is_heading else "normal",
    )


def _beside(axes: Axes, place: int, note: str) -> None:
    if note:
        axes.annotate(
            note,
            (1, place),
            xycoords=axes.get_yaxis_transform(),
            xytext=(GAP * 72 / 2, 0),
            textcoords="offset points",
            ha="left",
            va="center",
            annotation_clip=False,
            color=INK,
            fontsize=NOTE,
            linespacing=0.95,
        )


def _row(axes: Axes, place: int, row: doc.Row, found: dict[str, Look]) -> None:
    middle = (len(found) - 1) / 2
    for number, (name, look) in enumerate(found.items()):
        value = doc.ratio(row, name)
        if value is None:
            continue
        y = place + (number - middle) * min(APART, 0.66 / max(1, len(found)))
        low, high = doc.ratio(row, name, "low"), doc.ratio(row, name, "high")
        if low is not None and high is not None:
            axes.plot(
                (low, high),
                (y, y),
                color=look.colour,
                linewidth=look.width,
                solid_capstyle="butt",
                zorder=look.layer - 2,
            )
        axes.plot(
            value,
            y,
            look.marker,
            color=look.colour,
            markersize=look.size,
            zorder=look.layer,
            markeredgecolor=PAPER,
            markeredgewidth=0.6,
            clip_on=False,
        )
