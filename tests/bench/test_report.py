"""The report says everything that is in the document, and needs nothing but itself.

    /usr/bin/python3 -m unittest discover tests/bench
"""

from __future__ import annotations

import copy
import csv
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest
from html.parser import HTMLParser
from xml.etree import ElementTree

HERE = pathlib.Path(__file__).resolve().parent
TOP = HERE.parents[1]
sys.path[:0] = [str(HERE), str(TOP / "bench" / "harness")]

import report_sample  # noqa: E402

import charts  # noqa: E402
import document as doc  # noqa: E402
import report  # noqa: E402
import themes  # noqa: E402


TEXT = "{http://www.w3.org/2000/svg}text"


class Page(HTMLParser):
    """What a page shows: the cells of its tables by line, and the attributes that fetch."""

    FETCHES = {"src", "href", "xlink:href", "data", "srcset", "action", "poster"}

    def __init__(self, text: str):
        super().__init__()
        self.lines: list[list[str]] = []
        self._in_cell = False
        self.fetched: list[str] = []
        self.tags: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.fetched += [value for key, value in attributes if key in self.FETCHES]
        if tag == "tr":
            self.lines.append([])
        elif tag in ("td", "th"):
            self.lines[-1].append("")
            self._in_cell = True

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self._in_cell = False

    def handle_data(self, data):
        if self._in_cell:
            self.lines[-1][-1] += data.strip()


class ReportTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory()
        cls.folder = pathlib.Path(cls.scratch.name)
        cls.document = report_sample.document()
        report.write_html(cls.document, cls.folder / "all.html")
        cls.text = (cls.folder / "all.html").read_text()
        cls.page = Page(cls.text)

    @classmethod
    def tearDownClass(cls):
        cls.scratch.cleanup()

    def html(self, document: doc.Document) -> str:
        report.write_html(document, self.folder / "one.html")
        return (self.folder / "one.html").read_text()

    def test_every_row_has_a_line_with_its_ratios(self):
        for table in self.document["tables"]:
            for row in table["rows"]:
                ratios = [f"{doc.ratio(row, name):.2f}" for name in row["values"]]
                found = [line for line in self.page.lines if line and line[0] == row["name"]]
                self.assertTrue(
                    any(set(ratios) <= set(line) for line in found), f"{table['key']} {row['name']}"
                )

    def test_every_failure_is_told(self):
        for row in self.document["tables"][0]["rows"]:
            for name, what in row["failed"].items():
                self.assertIn([row["task"], name, what], [line[:3] for line in self.page.lines])
                self.assertIn(f"{name} {what}", self.text, "not named in the chart")

    def test_names_what_is_behind_and_nothing_else(self):
        heads = [line[1:3] for line in self.page.lines]
        start = heads.index(["of", "ratio to best"])
        told = {(line[1], line[0]) for line in self.page.lines[start + 1 :]}
        expected = {
            (table["title"], row["name"])
            for table in self.document["tables"]
            for row in table["rows"]
            if row["values"]["ashlar"] > 1.10 * min(row["values"].values())
        }
        self.assertTrue(expected)
        self.assertEqual(told, expected)

    def test_marks_noise(self):
        row = next(r for r in self.document["tables"][0]["rows"] if doc.is_noise(r))
        clear = next(r for r in self.document["tables"][0]["rows"] if not doc.is_noise(r))
        lines = {line[0]: line for line in reversed(self.page.lines) if line}
        self.assertIn("~", lines[row["name"]])
        self.assertNotIn("~", lines[clear["name"]])

    def test_fetches_nothing(self):
        self.assertEqual([each for each in self.page.fetched if not each.startswith("#")], [])
        self.assertFalse(self.page.tags & {"script", "link", "iframe", "img", "object", "image"})
        self.assertNotRegex(self.text, r"https?://|@import|url\((?!#)")

    def test_ids_are_unique_and_found(self):
        ids = re.findall(r'\sid="([^"]+)"', self.text)
        self.assertEqual(len(ids), len(set(ids)))
        used = set(re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', self.text))
        self.assertEqual({a or b for a, b in used} - set(ids), set())

    def test_every_colour_has_a_dark_one(self):
        pictures = "".join(re.findall(r"<svg.*?</svg>", self.text, re.DOTALL))
        drawn = set(re.findall(r"#[0-9a-f]{6}\b", pictures))
        self.assertEqual(drawn - set(themes.PAIRS), set())

    def test_leaves_out_sections_without_data(self):
        for kind in ("program", "replay"):
            document = report_sample.document(kind)
            text = self.html(document)
            self.assertIn('id="timelines"', text)
            self.assertNotIn('id="latency"', text)
            self.assertNotIn('id="scaling"', text)
        document["timelines"], document["tables"] = [], document["tables"][:1]
        text = self.html(document)
        self.assertNotIn('id="timelines"', text)
        self.assertNotIn('id="summary"', text)

    def test_what_users_name_is_no_markup(self):
        document = report_sample.document("program")
        evil = '<b>sort & $x$ "uniq"</b>'
        for table in document["tables"]:
            table["rows"][0]["name"] = table["rows"][0]["task"] = evil
        for line in document["timelines"]:
            line["task"] = evil
        text = self.html(document)
        self.assertNotIn("<b>sort", text)
        self.assertIn("sort &amp; $x$", text)

    def test_bears_what_may_be_missing(self):
        document = report_sample.document("program")
        document["subject"] = "absent"
        for table in document["tables"]:
            row = table["rows"][0]
            for key in (
                "low",
                "high",
                "failed",
                "peer",
                "ratio",
                "ratio_low",
                "ratio_high",
                "runs",
            ):
                del row[key]
            del table["means"]
        for key in ("timelines", "latency", "scaling", "samples"):
            del document[key]
        document["tables"][0]["rows"][0] |= {"values": {}, "failed": {"glibc": "HUNG"}}
        document["tables"][1]["rows"][0]["values"] = {"glibc": 0, "ashlar": 3}
        text = self.html(document)
        self.assertIn("HUNG", text)
        self.assertNotIn("behind", text)

    def test_the_same_document_gives_the_same_page(self):
        document = report_sample.document("program")
        self.assertEqual(self.html(document), self.html(copy.deepcopy(document)))

    def test_csv_has_a_line_for_each_table_row_and_allocator(self):
        report.write_csv(self.document, self.folder / "all.csv")
        with open(self.folder / "all.csv", newline="") as file:
            lines = list(csv.DictReader(file))
        rows = sum(len(table["rows"]) for table in self.document["tables"])
        self.assertEqual(len(lines), rows * len(self.document["allocators"]))
        found = {(line["table"], line["row"], line["allocator"]): line for line in lines}
        for table in self.document["tables"]:
            for row in table["rows"]:
                for name, value in row["values"].items():
                    line = found[table["key"], row["name"], name]
                    self.assertEqual(float(line["value"]), value)
                    self.assertEqual(float(line["low"]), row["low"][name])
                    self.assertEqual((line["unit"], line["group"]), (table["unit"], row["group"]))
                    ratio = value / min(row["values"].values())
                    self.assertAlmostEqual(float(line["ratio_to_best"]), ratio, places=4)
                for name, what in row["failed"].items():
                    line = found[table["key"], row["name"], name]
                    self.assertEqual((line["value"], line["failed"]), ("", what))

    def test_pictures_stand_alone(self):
        document = report_sample.document("program")
        written = report.write_pictures(document, self.folder / "svg", self.folder / "png")
        titles = {chart.name: chart.title for chart in charts.draw(document)}
        self.assertEqual(len(written), 2 * len(titles))
        for path in written:
            if path.suffix == ".png":
                self.assertTrue(path.read_bytes().startswith(b"\x89PNG"))
            else:
                texts = [node.text for node in ElementTree.parse(path).iter(TEXT)]
                self.assertIn(titles[path.stem], texts)
                self.assertIn("prefers-color-scheme:dark", path.read_text())

    def test_labels_do_not_overlap(self):
        document = report_sample.document()
        for spread in (1, 0.1, 0.001):
            for table, key in ((document["tables"][0], 0), (document["tables"][1], 1)):
                table["means"] = {
                    "all rows": {
                        name: 1 + spread * (0.1 * number if key else 0.07 * (number * 3 % 5))
                        for number, name in enumerate(report_sample.NAMES)
                    }
                }
            figure = charts.summary(document).figure
            boxes = [text.get_window_extent() for text in figure.axes[0].texts if text.get_text()]
            self.assertEqual(len(boxes), 1 + len(report_sample.NAMES))
            for i, box in enumerate(boxes):
                self.assertEqual(box.count_overlaps(boxes[:i]), 0, f"spread {spread}")

    def test_latency_curve_ends_at_the_slowest_call(self):
        curve = charts.latency_curve(
            {"percentiles": {}, "histogram": [[10, 98], [20, 1], [500, 1]]}
        )
        self.assertEqual([ns for _, ns in curve], [10, 20, 500])
        self.assertEqual([share for share, _ in curve][:2], [0.98, 0.99])
        self.assertTrue(0.99 < curve[-1][0] < 1)


class CommandTest(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = pathlib.Path(scratch.name)

    def run_with(self, text: str, *options: str) -> subprocess.CompletedProcess:
        path = self.folder / "result.json"
        path.write_text(text)
        return subprocess.run(
            [TOP / "bench" / "report", path, *options], capture_output=True, text=True
        )

    def assert_one_clear_line(self, run: subprocess.CompletedProcess, *words: str):
        self.assertEqual((run.returncode, run.stdout), (2, ""))
        self.assertEqual(len(run.stderr.splitlines()), 1, run.stderr)
        for word in ("bench/report: ", *words):
            self.assertIn(word, run.stderr)

    def test_writes_beside_the_result(self):
        run = self.run_with(json.dumps(report_sample.document("program")))
        self.assertEqual((run.returncode, run.stderr), (0, ""))
        self.assertTrue((self.folder / "result.html").exists())

    def test_broken_input_is_told_in_one_line(self):
        self.assert_one_clear_line(self.run_with('{"format": 1,'), "not JSON")
        self.assert_one_clear_line(self.run_with("[]"), "no result")
        self.assert_one_clear_line(self.run_with("\x00\x01"), "not JSON")
        good = report_sample.document("program")
        older = good | {"format": 0}
        self.assert_one_clear_line(self.run_with(json.dumps(older)), "format")
        worse = copy.deepcopy(good)
        worse["tables"][0]["rows"][0]["values"]["glibc"] = "fast"
        self.assert_one_clear_line(self.run_with(json.dumps(worse)), "tables/0/rows/0/values/glibc")
        stranger = copy.deepcopy(good)
        stranger["timelines"][0]["allocator"] = "nobody"
        self.assert_one_clear_line(self.run_with(json.dumps(stranger)), "nobody")

    def test_what_cannot_be_written_is_told_in_one_line(self):
        text = json.dumps(report_sample.document("program"))
        self.assert_one_clear_line(self.run_with(text, "--csv", "/nowhere/x.csv"), "/nowhere/x.csv")


if __name__ == "__main__":
    unittest.main()
