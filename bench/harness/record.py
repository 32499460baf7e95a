"""Records: results kept in the tree, as bench/record/MACHINE/DATE.json, and what is made of them.

A record is a result without the values of single runs and with thinner curves. The chart and the
table of README.md are made from the newest record; nothing in them is typed.
"""

from __future__ import annotations

import json
import math
import pathlib
import re
import textwrap

import charts
import document as doc
import quantities
import report
from catalog import EVERYTHING, TOP, Folders, load_allocators, load_tasks
from effort import USUAL
from result import NOT_BUILT

FOLDER = TOP / "bench" / "record"
README = TOP / "README.md"
BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"

DIGITS = 5
MOST_POINTS = 40  # Of a timeline.

# What makers write around the name of a processor.
_CHAFF = re.compile(r"\((r|tm|c)\)|\b(intel|amd|cpu|processor|\d+-core|with .*)\b|@", re.IGNORECASE)


def machine_name(document: doc.Document) -> str:
    """A short name for the machine, fit for a folder: xeon-2.50ghz-2cpu."""
    words = re.findall(r"[a-z0-9][a-z0-9.]*", _CHAFF.sub(" ", _processor(document)).lower())
    return "-".join([*words, f"{document['machine']['cpus']}cpu"])


def _processor(document: doc.Document) -> str:
    """Without the number of CPUs, which some results repeat here."""
    return re.sub(r", \d+ CPUs$", "", document["machine"]["processor"])


def store(
    document: doc.Document, folder: pathlib.Path = FOLDER, anyway: bool = False
) -> pathlib.Path:
    """Writes the record of a result and its chart. One of the same machine and day is replaced.

    A result of a part of the comparison is only stored `anyway`.
    """
    if document["kind"] != "compare":
        raise doc.Unusable("only a result of bench/compare over its own tasks makes a record")
    if tuned := document["machine"].get("tuned by"):
        raise doc.Unusable(f"the result was measured with {tuned} set; measure without")
    if not anyway and (lack := _lack(document)):
        raise doc.Unusable(
            f"the result {lack}; run bench/compare --json FILE, without --only, --allocators, "
            "--runs, --quick and --no-build, or keep this one by --anyway"
        )
    path = folder / machine_name(document) / f"{document['date'][:10]}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(to_text(compact(document)))
    _draw(document, path)
    return path


def _draw(document: doc.Document, path: pathlib.Path) -> None:
    if chart := charts.summary(document):
        path.with_suffix(".svg").write_bytes(report.picture(chart, ".svg"))


def _lack(document: doc.Document) -> str:
    """What the result of a whole comparison has and this one has not, in a few words."""
    folders = Folders(TOP / "build")
    tasks = {task.name for task in load_tasks(folders, EVERYTHING)}
    tasks -= {row["task"] for table in document["tables"] for row in table["rows"]}
    if tasks:
        return f"lacks {_some(tasks)}"
    if document["commit"].endswith(NOT_BUILT):
        return f"is not known to be of commit {document['commit']}"
    usual = {a.name for a in load_allocators(folders, []) if not a.on_request}
    if others := usual - set(doc.names(document)):
        return f"lacks {_some(others)}"
    # Where a quantity was 0 in some of a task's runs, as system time may be, fewer make its ratio.
    runs: dict[str, int] = {}
    for row in (row for table in document["tables"] for row in table["rows"] if row.get("runs")):
        runs[row["task"]] = max(runs.get(row["task"], 0), row["runs"])
    return f"has rows of fewer than {USUAL.fewest} runs" * (
        min(runs.values(), default=0) < USUAL.fewest
    )


def _some(names: set[str]) -> str:
    shown = sorted(names)[:3]
    more = [f"{len(names) - len(shown)} more"] * (len(names) > len(shown))
    return ", ".join(shown + more)


def compact(document: doc.Document) -> doc.Document:
    """Without single runs, histograms and paths, with few points in a timeline and few digits."""
    kept = {key: value for key, value in document.items() if key != "samples"}
    kept["allocators"] = [
        {key: value for key, value in allocator.items() if key != "library"}
        for allocator in document["allocators"]
    ]
    kept["latency"] = [
        {key: value for key, value in latency.items() if key != "histogram"}
        for latency in document.get("latency", [])
    ]
    kept["timelines"] = [
        line | {key: thin(line[key]) for key in ("points", "live") if key in line}
        for line in document.get("timelines", [])
    ]
    return _rounded(kept)


def thin(points: list[list[float]]) -> list[list[float]]:
    """At most MOST_POINTS, with both ends, each the highest of the points it stands for."""
    if len(points) <= MOST_POINTS:
        return points
    inner = points[1:-1]
    step = math.ceil(len(inner) / (MOST_POINTS - 2))
    chunks = [inner[start : start + step] for start in range(0, len(inner), step)]
    return [points[0], *(max(chunk, key=lambda point: point[1]) for chunk in chunks), points[-1]]


def _rounded(value):
    if isinstance(value, dict):
        return {key: _rounded(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_rounded(inner) for inner in value]
    if isinstance(value, float):
        short = float(f"{value:.{DIGITS}g}")
        return int(short) if short.is_integer() else short
    return value


def to_text(document: doc.Document) -> str:
    """JSON with a line for each row and each curve, so that a diff is readable."""
    parts = []
    for key, value in document.items():
        if key == "tables":
            value = "[\n" + ",\n".join(_table_text(table) for table in value) + "\n]"
        elif isinstance(value, list) and value:
            value = "[\n" + ",\n".join(f" {_line(item)}" for item in value) + "\n]"
        else:
            value = _line(value)
        parts.append(f"{_line(key)}: {value}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _table_text(table: doc.Table) -> str:
    rows = ",\n".join(f"  {_line(row)}" for row in table["rows"])
    others = {key: value for key, value in table.items() if key != "rows"}
    return f' {_line(others)[:-1]}, "rows": [\n{rows}\n ]}}'


def _line(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def newest(folder: pathlib.Path = FOLDER) -> pathlib.Path | None:
    """The record of the latest date, of whichever machine."""
    return max(folder.glob("*/*.json"), key=lambda path: (path.stem, path), default=None)


def update_readme(folder: pathlib.Path = FOLDER, readme: pathlib.Path = README) -> pathlib.Path:
    """Puts the chart and the means of the newest record between the markers. Returns the record."""
    path = newest(folder)
    if path is None:
        raise doc.Unusable(f"there is no record in {folder}; store one: bench/records store FILE")
    text = readme.read_text()
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise doc.Unusable(f"{readme} needs the line {BEGIN} and after it {END}, each once")
    head, tail = text[: text.index(BEGIN) + len(BEGIN)], text[text.index(END) :]
    document = doc.load(path)
    _draw(document, path)
    block = readme_block(document, path.relative_to(readme.parent))
    readme.write_text(f"{head}\n{block}\n{tail}")
    return path


def readme_block(document: doc.Document, path: pathlib.Path) -> str:
    """Markdown: the chart, the geometric means, and what they were measured on."""
    tables = [table for table in document["tables"] if doc.means(table)]
    names = doc.names(document)
    lines = [
        f"![Time against memory, by allocator]({path.with_suffix('.svg')})",
        "",
        "| | " + " | ".join(_bold(document, name, name) for name in names) + " | rows |",
        "|---|" + "---:|" * (len(names) + 1),
    ]
    for table in tables:
        cells = [
            _bold(document, name, quantities.show_ratio(doc.means(table)[name]))
            if name in doc.means(table)
            else ""
            for name in names
        ]
        lines.append(
            f"| {table['title'].lower()} | " + " | ".join(cells) + f" | {doc.counted(table)} |"
        )
    text = " ".join(
        [
            "Geometric means of the ratio to the best of each row; 1.00 would be the best "
            "everywhere.",
            *_failures(document),
            *_notes(names),
            _setting(document),
            f"[All rows]({path}).",
        ]
    )
    return "\n".join([*lines, "", textwrap.fill(text, 100, break_on_hyphens=False)])


def _notes(names: list[str]) -> list[str]:
    known = load_allocators(Folders(TOP / "build"), [])
    return [allocator.note for allocator in known if allocator.note and allocator.name in names]


def _failures(document: doc.Document) -> list[str]:
    """A sentence for each failure, since the means of who failed are over fewer rows."""
    return [
        f"{name} fails {task} ({what}): its means are without {' and '.join(rows)}."
        for task, name, what, rows in doc.failures(document)
    ]


def _bold(document: doc.Document, name: str, text: str) -> str:
    return f"**{text}**" if name == doc.subject(document) else text


def _setting(document: doc.Document) -> str:
    machine = document["machine"]
    parts = [_processor(document), f"{machine['cpus']} CPUs"]
    parts += [
        f"{key} {machine[key]}" for key in ("kernel", "libc", "huge pages") if machine.get(key)
    ]
    versions = [
        f"{each['name']} {each['version']}"
        for each in document["allocators"]
        if each.get("version") and each["name"] != doc.subject(document)
    ]
    return (
        f"Measured on {document['date'][:10]} at commit {document['commit']} on {', '.join(parts)}"
        + (f", with {', '.join(versions)}" if versions else "")
        + "."
    )
