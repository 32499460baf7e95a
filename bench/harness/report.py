"""The report: one HTML file with everything in it, pictures as files, and the figures as CSV.

What the page says stands in templates/report.html; here is what it is said of.
"""

from __future__ import annotations

import csv
import dataclasses
import pathlib

import jinja2
from markupsafe import Markup

import charts
import document as doc
import quantities
import themes

TEMPLATES = pathlib.Path(__file__).with_name("templates")
CSV_COLUMNS = (
    "table",
    "row",
    "group",
    "allocator",
    "value",
    "unit",
    "low",
    "high",
    "ratio_to_best",
    "failed",
)
NEAR = 1.02  # Shown as good as the best.

MACHINE_NAMES = {"cpus": "CPUs"}

TITLES = {
    "compare": "Memory allocators compared",
    "program": "One program under several allocators",
    "replay": "Traces replayed under several allocators",
}


@dataclasses.dataclass(frozen=True)
class Cell:
    text: str
    style: str = ""  # A class of the template: "near", "far", "failed" or "mean".
    hint: str = ""


@dataclasses.dataclass(frozen=True)
class Line:
    """A line of a table of the page. A heading has no cells."""

    name: str
    best: str = ""
    cells: tuple[Cell, ...] = ()
    other: str = ""  # The subject against the best of the others.
    is_noise: bool = False
    target: str = ""
    verdict: str = ""
    is_mean: bool = False


def write_html(document: doc.Document, path: pathlib.Path) -> None:
    loader = jinja2.FileSystemLoader(TEMPLATES)
    options = {"trim_blocks": True, "lstrip_blocks": True, "undefined": jinja2.StrictUndefined}
    template = jinja2.Environment(loader=loader, autoescape=True, **options).get_template(
        "report.html"
    )
    page = template.render(_view(document))
    pathlib.Path(path).write_text(page, encoding="utf-8")


def write_csv(document: doc.Document, path: pathlib.Path) -> None:
    """One line for each table, row and allocator."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(CSV_COLUMNS)
        for table in document["tables"]:
            for row in table["rows"]:
                for name in doc.names(document):
                    numbers = [row.get(key, {}).get(name) for key in ("values", "low", "high")]
                    value, low, high = ["" if each is None else each for each in numbers]
                    ratio = doc.ratio(row, name)
                    writer.writerow(
                        (
                            table["key"],
                            row["name"],
                            row["group"],
                            name,
                            value,
                            table["unit"],
                            low,
                            high,
                            "" if ratio is None else f"{ratio:.6g}",
                            row.get("failed", {}).get(name, ""),
                        )
                    )


def write_pictures(
    document: doc.Document, svg: pathlib.Path | None = None, png: pathlib.Path | None = None
) -> list[pathlib.Path]:
    """Every chart as a file in the folders given."""
    written = []
    for chart in charts.draw(document):
        for folder, suffix in ((svg, ".svg"), (png, ".png")):
            if folder:
                folder.mkdir(parents=True, exist_ok=True)
                path = folder / (chart.name + suffix)
                path.write_bytes(picture(chart, suffix))
                written.append(path)
    return written


def picture(chart: charts.Chart, suffix: str) -> bytes:
    if suffix == ".png":
        return themes.png_file(chart.figure, chart.title)
    return themes.svg_file(chart.figure, chart.name, chart.title).encode()


def _view(document: doc.Document) -> dict[str, object]:
    drawn = charts.draw(document)
    who = doc.subject(document)
    return {
        "title": TITLES[document["kind"]],
        "kind": document["kind"],
        "document": document,
        "names": doc.names(document),
        "subject": who,
        "machine": [
            (MACHINE_NAMES.get(key, key), _machine(key, value))
            for key, value in document["machine"].items()
        ],
        "is_busy": document["machine"].get("busy", 0) > 0.05,
        "charts": {
            section: [
                {
                    "title": chart.title,
                    "caption": chart.caption,
                    "svg": Markup(themes.svg_element(chart.figure, chart.name, chart.title)),
                }
                for chart in drawn
                if chart.section == section
            ]
            for section in {chart.section for chart in drawn}
        },
        "tables": [_table(document, table) for table in document["tables"] if table["rows"]],
        "failures": doc.failures(document),
        "far": doc.FAR,
        "behind": [
            {
                "table": table["title"],
                "row": row["name"],
                "ratio": quantities.show_ratio(ratio),
                "best": min(row["values"], key=row["values"].get),
                "is_noise": doc.is_noise(row),
            }
            for table, row, ratio in doc.behind(document)
        ],
        "percentiles": _percentiles(document),
        "looks": themes.looks(doc.names(document), who),
        "dark_rules": Markup(themes.DARK_RULES),
        "font_rule": Markup(themes.FONT_RULE),
    }


def _machine(key: str, value: object) -> str:
    return f"{100 * value:.0f} % of the CPUs, by other programs" if key == "busy" else str(value)


def _table(document: doc.Document, table: doc.Table) -> dict[str, object]:
    lines = []
    grouped = doc.groups(table)
    for group, rows in grouped.items():
        if len(grouped) > 1:
            lines.append(Line(group))
        lines += [_line(document, table, row) for row in rows]
    for label, means in table.get("means", {}).items():
        if len(table["rows"]) == 1 or (len(grouped) == 1 and label in grouped):
            continue  # It would repeat another line.
        cells = [_mean(means.get(name)) for name in doc.names(document)]
        lines.append(Line(f"mean, {label}", cells=tuple(cells), is_mean=True))
    return {
        "key": table["key"],
        "title": table["title"],
        "lines": lines,
        "compares": any(row.get("ratio") is not None for row in table["rows"]),
        "has_targets": any(row.get("target") for row in table["rows"]),
    }


def _line(document: doc.Document, table: doc.Table, row: doc.Row) -> Line:
    best = doc.best(row)
    return Line(
        row["name"],
        best="" if best is None else quantities.show(best, table["unit"]),
        cells=tuple(_cell(document, table, row, name) for name in doc.names(document)),
        other=_other(row),
        is_noise=doc.is_noise(row),
        target=row.get("target", ""),
        verdict=row.get("verdict", ""),
    )


def _cell(document: doc.Document, table: doc.Table, row: doc.Row, name: str) -> Cell:
    if what := row.get("failed", {}).get(name):
        return Cell(what, "failed")
    value, ratio = row["values"].get(name), doc.ratio(row, name)
    if value is None:
        return Cell("")
    low, high = row.get("low", {}).get(name), row.get("high", {}).get(name)
    hint = quantities.show(value, table["unit"])
    if low is not None and high is not None:
        ends = (quantities.show(end, table["unit"]) for end in (low, high))
        hint += " ({} to {})".format(*ends)
    if ratio is None:  # The best is 0.
        return Cell(quantities.show(value, table["unit"]))
    is_far = ratio > doc.FAR and name == doc.subject(document)
    return Cell(
        quantities.show_ratio(ratio), "near" if ratio < NEAR else "far" if is_far else "", hint
    )


def _mean(value: float | None) -> Cell:
    return Cell("" if value is None else quantities.show_ratio(value))


def _other(row: doc.Row) -> str:
    if row.get("ratio") is None:
        return ""
    text = quantities.show_ratio(row["ratio"])
    if row.get("ratio_low") is None or row.get("ratio_high") is None:
        return text
    ends = (quantities.show_ratio(row[key]) for key in ("ratio_low", "ratio_high"))
    return "{} ({}–{})".format(text, *ends)


def _percentiles(document: doc.Document) -> dict[str, object]:
    """The latencies as a table: a line for each row and allocator."""
    latency = document.get("latency", [])
    keys = list({key: None for each in latency for key in each["percentiles"]})
    lines = [
        (
            each["row"],
            each["allocator"],
            [
                quantities.show(each["percentiles"][key], "ns")
                if key in each["percentiles"]
                else ""
                for key in keys
            ],
        )
        for each in latency
    ]
    return {"keys": [key if key == "max" else f"{key} %" for key in keys], "lines": lines}
