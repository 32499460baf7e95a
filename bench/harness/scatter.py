"""The chart of time against memory: a labelled point for each allocator, lower left is best."""

from __future__ import annotations

import math
from collections.abc import Iterator

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from matplotlib.transforms import Bbox

from themes import GRID, INK, MUTED, PAPER, Look

Points = dict[str, tuple[float, float]]

SIZE = (6.4, 4.4)
_DIRECTIONS = [0, 180, 90, 270, 35, 325, 145, 215]  # Degrees; those that read best come first.
_DISTANCES = [7, 13, 20, 30, 44]  # Points, from the middle of a point to its label.
_LINE_FROM = 13  # A label that is further away is tied to its point by a line.


def common_points(xs: dict[str, float], ys: dict[str, float]) -> Points:
    return {name: (x, ys[name]) for name, x in xs.items() if name in ys}


def draw(points: Points, groups: list[Points], found: dict[str, Look]) -> Figure:
    figure = Figure(figsize=SIZE, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for name, (x, y) in points.items():
        look = found[name]
        for group in groups:
            if name in group:
                _group_point(axes, (x, y), group[name], look)
        axes.plot(
            x,
            y,
            look.marker,
            color=look.colour,
            markersize=look.size + 4,
            zorder=look.layer,
            markeredgecolor=PAPER,
            markeredgewidth=0.8,
        )
    _scales(axes, [at for group in (points, *groups) for at in group.values()])
    figure.canvas.draw()  # Only then it is known where things are.
    _label(axes, points, found, list(_along_the_ties(points, groups)))
    figure.set_layout_engine("none")  # Labels were placed for this layout.
    return figure


def _group_point(axes: Axes, middle: tuple, at: tuple, look: Look) -> None:
    axes.plot(*zip(middle, at), color=look.colour, linewidth=0.7, alpha=0.45, zorder=3)
    axes.plot(
        *at,
        look.marker,
        color=look.colour,
        markersize=look.size - 1.5,
        alpha=0.55,
        zorder=3,
        markeredgewidth=0,
    )


def _along_the_ties(points: Points, groups: list[Points]) -> Iterator[tuple[float, float]]:
    """Where no label should be: the points of the groups, and the lines that lead to them."""
    for group in groups:
        for name, (x, y) in group.items():
            if name in points:
                across, up = x - points[name][0], y - points[name][1]
                yield from ((x - across * part, y - up * part) for part in (0, 0.2, 0.4, 0.6, 0.8))


def _scales(axes: Axes, everything: list[tuple[float, float]]) -> None:
    for set_scale, set_limits, axis, values in (
        (axes.set_xscale, axes.set_xlim, axes.xaxis, [x for x, _ in everything]),
        (axes.set_yscale, axes.set_ylim, axes.yaxis, [y for _, y in everything]),
    ):
        least, most = min(values), max(values)
        if most > 3:
            set_scale("log")
            set_limits(min(least, 1) / 1.08, most * 1.15)
            axis.set_minor_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        else:
            margin = max(0.1 * (most - min(least, 1)), 0.02)
            set_limits(min(least, 1) - margin, most + 1.5 * margin)
            axis.set_major_locator(MaxNLocator(7, steps=[1, 2, 5, 10]))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.axvline(1, color=GRID, linewidth=1.2, zorder=1)
    axes.axhline(1, color=GRID, linewidth=1.2, zorder=1)
    axes.set_xlabel("time, ratio to the best of each row")
    axes.set_ylabel("peak memory, ratio to the best of each row")
    axes.text(
        0.012,
        0.018,
        "\u2199 better",
        transform=axes.transAxes,
        color=MUTED,
        fontsize=8.5,
        ha="left",
        va="bottom",
        zorder=7,
        bbox={"color": PAPER, "pad": 1.5},
    )


def _label(
    axes: Axes, points: Points, found: dict[str, Look], obstacles: list[tuple[float, float]]
) -> None:
    """Writes each name at the first place around its point where nothing else is."""
    pixels = axes.figure.dpi / 72
    taken = [
        Bbox.from_bounds(x - size, y - size, 2 * size, 2 * size)
        for at, size in [(at, 6 * pixels) for at in points.values()]
        + [(at, 3 * pixels) for at in obstacles]
        for x, y in [axes.transData.transform(at)]
    ]
    taken += [text.get_window_extent() for text in axes.texts]
    inside = axes.get_window_extent()
    # The subject first: it gets the best place.
    for name in sorted(points, key=lambda name: not found[name].is_subject):
        taken.append(_place(axes, name, points[name], found[name], taken, inside))


def _place(axes: Axes, name: str, at: tuple, look: Look, taken: list[Bbox], inside: Bbox) -> Bbox:
    text = axes.annotate(
        name,
        at,
        xytext=(0, 0),
        textcoords="offset points",
        color=INK,
        weight=look.weight,
        fontsize=9.5,
        zorder=8,
    )
    for distance in _DISTANCES:
        for degrees in _DIRECTIONS:
            across, up = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
            text.set_position((distance * across, distance * up))
            text.set_ha("center" if abs(across) < 0.1 else "left" if across > 0 else "right")
            text.set_va("center" if abs(up) < 0.1 else "bottom" if up > 0 else "top")
            box = text.get_window_extent()
            fits = inside.x0 <= box.x0 and box.x1 <= inside.x1 and inside.y0 <= box.y0
            if fits and box.y1 <= inside.y1 and not box.count_overlaps(taken):
                if distance > _LINE_FROM:
                    _tie(axes, name, at, text.get_position())
                return box
    return box


def _tie(axes: Axes, name: str, at: tuple, offset: tuple[float, float]) -> None:
    axes.annotate(
        "",
        at,
        xytext=offset,
        textcoords="offset points",
        zorder=2,
        arrowprops={"arrowstyle": "-", "color": MUTED, "linewidth": 0.7},
    )
