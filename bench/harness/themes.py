"""Colours for light and dark, and how a figure becomes SVG that is readable in both.

A chart is drawn in the light colours and keeps them: in print, and in a viewer that knows no style
sheets. DARK_RULES names each of these colours and puts the dark one in its place where the reader
prefers a dark screen. So every colour that may be drawn stands in this file.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import re
from collections.abc import Iterator

import matplotlib
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.transforms import Bbox

# light: dark
PAIRS = {
    (INK := "#1f2328"): "#e6edf3",
    (MUTED := "#59636e"): "#9aa4ae",
    (GRID := "#d5dbe1"): "#343b44",
    (BAND := "#f4f6f8"): "#161b22",
    (PAPER := "#ffffff"): "#0d1117",
    # The colours of five allocators stay apart for every kind of colour blindness (at least 27 in
    # CIELAB), and from their background by a contrast of 3.
    (SUBJECT := "#c4400a"): "#ff8b4d",
    (GREY := "#4b525d"): "#858b94",
    (BLUE := "#1f5fe0"): "#4d8ef7",
    (GREEN := "#1fa574"): "#5be8ad",
    (PINK := "#e066c2"): "#f6b5f2",
    (GOLD := "#a67c00"): "#e0b93c",
    (INDIGO := "#4b3fa8"): "#aaa4f2",
    (CYAN := "#1a8fa3"): "#62d3e6",
}


HEAD = 0.36  # Inches for the title of a picture that stands alone.


@dataclasses.dataclass(frozen=True)
class Look:
    """How one allocator is drawn, in every chart. Shapes and dashes tell them apart, too."""

    colour: str
    marker: str
    dashes: tuple[float, ...]  # Of a line; empty: solid.
    is_subject: bool = False

    @property
    def size(self) -> float:
        return 7.0 if self.is_subject else 5.0

    @property
    def width(self) -> float:
        return 2.2 if self.is_subject else 1.3

    @property
    def layer(self) -> int:
        return 6 if self.is_subject else 5

    @property
    def weight(self) -> str:
        return "bold" if self.is_subject else "normal"


_OTHERS = [
    Look(GREY, "s", ()),
    Look(BLUE, "^", (6, 2)),
    Look(GREEN, "D", (3, 1.5)),
    Look(PINK, "v", (1.2, 1.2)),
    Look(GOLD, "P", (6, 1.5, 1.2, 1.5)),
    Look(INDIGO, "X", (3, 1, 1, 1, 1, 1)),
    Look(CYAN, "h", (8, 3)),
]


def _other(place: int) -> Look:
    """When the colours are used up, they return with other shapes."""
    rounds, place = divmod(place, len(_OTHERS))
    shape = _OTHERS[(place + rounds) % len(_OTHERS)]
    return dataclasses.replace(_OTHERS[place], marker=shape.marker, dashes=shape.dashes)


SETTINGS = {
    "svg.fonttype": "none",
    "font.family": ["DejaVu Sans"],
    "font.size": 8.5,
    "text.color": INK,
    "axes.edgecolor": GRID,
    "axes.labelcolor": INK,
    "axes.titlesize": 9,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.facecolor": PAPER,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "xtick.color": GRID,
    "ytick.color": GRID,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "legend.frameon": False,
    "path.simplify_threshold": 0.3,
}


def looks(names: list[str], subject: str) -> dict[str, Look]:
    """One look for each allocator, the same everywhere: the order of the others decides."""
    others = [name for name in names if name != subject]
    found = {name: _other(place) for place, name in enumerate(others)}
    return {name: found.get(name, Look(SUBJECT, "o", (), True)) for name in names}


def legend(figure: Figure, found: dict[str, Look], left: float = 0, lines: bool = False) -> None:
    """At the top of a figure, from its share `left` of the width on."""
    handles = []
    for name, look in found.items():
        style = "none" if not lines else (0, look.dashes) if look.dashes else "-"
        marker = "none" if lines else look.marker
        handles.append(
            Line2D(
                [],
                [],
                color=look.colour,
                label=name,
                linestyle=style,
                linewidth=look.width,
                marker=marker,
                markersize=look.size,
            )
        )
    drawn = figure.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(left, 1),
        ncols=len(handles),
        handlelength=2.6 if lines else 1,
        borderaxespad=0.1,
        columnspacing=1.4,
    )
    for text, look in zip(drawn.get_texts(), found.values()):
        text.set_weight(look.weight)


def _dark_rules() -> str:
    lines = [
        f'[style*="{what}: {light}"]{{{what}:{dark}!important}}'
        for light, dark in PAIRS.items()
        for what in ("fill", "stroke", "background")
    ]
    return "@media screen and (prefers-color-scheme:dark){\n" + "\n".join(lines) + "\n}"


DARK_RULES = _dark_rules()

_FONT = "system-ui,'Segoe UI',Roboto,'Helvetica Neue',Arial,'DejaVu Sans',sans-serif"
FONT_RULE = f"svg text{{font-family:{_FONT}!important}}"

# The parts that matplotlib would fill in: a date, and addresses of other sites.
_NO_METADATA = {"Date": None, "Creator": None, "Format": None, "Type": None}


def png_file(figure: Figure, title: str) -> bytes:
    buffer = io.BytesIO()
    with _headed(figure, title) as area, matplotlib.rc_context(SETTINGS):
        figure.savefig(buffer, format="png", dpi=150, bbox_inches=area)
    return buffer.getvalue()


def svg_element(figure: Figure, name: str, title: str) -> str:
    """The <svg> of a figure for a page: no background, names of its own, a title for readers."""
    text = _svg(figure, name, transparent=True)
    text = re.sub(r'\s+xmlns(:\w+)?="[^"]*"', "", text)
    return _with_title(text, title)


def svg_file(figure: Figure, name: str, title: str) -> str:
    """A file that stands alone, on a background of its own: a page may be darker than it says."""
    with _headed(figure, title) as area:
        text = _with_title(_svg(figure, name, transparent=False, bbox_inches=area), title)
    style = f"<style>\n{FONT_RULE}\n{DARK_RULES}\n</style>\n"
    return '<?xml version="1.0" encoding="utf-8"?>\n' + text.replace(
        "</title>\n", f"</title>\n{style}"
    )


@contextlib.contextmanager
def _headed(figure: Figure, title: str) -> Iterator[Bbox]:
    """The figure with its title above it, for a picture without a page around it. Yields the area
    of both, in inches."""
    width, height = figure.get_size_inches()
    place = HEAD / 3 / width, 1 + HEAD / 3 / height
    above = figure.text(*place, title, fontsize=12, weight="bold", color=INK)
    try:
        yield Bbox.from_bounds(0, 0, width, height + HEAD)
    finally:
        above.remove()


def _svg(figure: Figure, name: str, transparent: bool, **more: object) -> str:
    buffer = io.StringIO()
    with matplotlib.rc_context(SETTINGS | {"svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", metadata=_NO_METADATA, transparent=transparent, **more)
    text = buffer.getvalue()
    text = text[text.index("<svg ") :]
    # Several charts share a page; what one defines must not be taken for another's.
    return re.sub(r'(id="|href="#|url\(#)', rf"\g<1>{name}-", text)


def _with_title(text: str, title: str) -> str:
    escaped = title.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
    head, rest = text.split(">", 1)
    return f'{head} role="img" aria-label="{escaped}">\n <title>{escaped}</title>\n{rest}'
