"""Records keep what matters, the README follows the newest, and the check finds what got worse.

    /usr/bin/python3 -m unittest discover tests/bench
"""

from __future__ import annotations

import copy
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

HERE = pathlib.Path(__file__).resolve().parent
TOP = HERE.parents[1]
sys.path[:0] = [str(HERE), str(TOP / "bench" / "harness")]

import report_sample  # noqa: E402

import catalog  # noqa: E402
import document as doc  # noqa: E402
import record  # noqa: E402
import regression  # noqa: E402
import result  # noqa: E402


def scaled(document: doc.Document, name: str, factor: float) -> doc.Document:
    """A copy in which the subject's time in one row is that many times as long."""
    changed = copy.deepcopy(document)
    row = next(row for row in changed["tables"][0]["rows"] if row["name"] == name)
    for key in ("values", "low", "high"):
        row[key]["ashlar"] *= factor
    for key in ("ratio", "ratio_low", "ratio_high"):
        row[key] = row[key] and row[key] * factor
    return changed


def whole() -> doc.Document:
    """A result in which no task of the comparison is missing."""
    document = report_sample.document()
    rows = document["tables"][0]["rows"]
    for task in catalog.load_tasks(catalog.Folders(TOP / "build"), catalog.EVERYTHING):
        rows.append(rows[0] | {"name": f"{task.name}/more", "task": task.name})
    return document


NAMES = re.compile(r"`([^`]+)`")  # Of rows, in a table of bench/README.md.


class InFolder(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.top = pathlib.Path(scratch.name)
        self.folder = self.top / "bench" / "record"


class RecordTest(InFolder):
    def test_machine_names_are_short(self):
        for processor, cpus, name in (
            ("Intel(R) Xeon(R) CPU @ 2.50GHz", 2, "xeon-2.50ghz-2cpu"),
            ("Intel(R) Xeon(R) CPU @ 2.50GHz, 2 CPUs", 2, "xeon-2.50ghz-2cpu"),
            ("Intel(R) Core(TM) i7-8650U CPU @ 1.90GHz", 8, "core-i7-8650u-1.90ghz-8cpu"),
            ("AMD Ryzen 9 5950X 16-Core Processor", 32, "ryzen-9-5950x-32cpu"),
            ("AMD EPYC 7B13", 4, "epyc-7b13-4cpu"),
            ("../../evil", 1, "evil-1cpu"),
        ):
            document = {"machine": {"processor": processor, "cpus": cpus}}
            self.assertEqual(record.machine_name(document), name)

    def test_a_record_keeps_every_row_and_stays_small(self):
        document = report_sample.document()
        path = record.store(document, self.folder, anyway=True)
        self.assertEqual(path, self.folder / "xeon-2.50ghz-2cpu" / "2026-11-21.json")
        self.assertLess(path.stat().st_size, 300_000)
        kept = doc.load(path)
        self.assertNotIn("samples", kept)
        self.assertNotIn("library", kept["allocators"][0])
        for table, before in zip(kept["tables"], document["tables"]):
            self.assertEqual(len(table["rows"]), len(before["rows"]))
            for row, old in zip(table["rows"], before["rows"]):
                self.assertEqual((row["name"], row["failed"]), (old["name"], old["failed"]))
                for name, value in old["values"].items():
                    self.assertAlmostEqual(row["values"][name] / value, 1, places=4)
        self.assertEqual(kept["machine"], document["machine"])
        self.assertTrue(path.with_suffix(".svg").read_text().startswith("<?xml"))

    def test_only_whole_comparisons_make_a_record(self):
        short, alone, quick = whole(), whole(), whole()
        rows = short["tables"][0]["rows"]
        rows[:] = [row for row in rows if row["task"] != "lua"]
        for table in short["tables"][1:]:
            table["rows"] = []
        del alone["allocators"][1]
        for table in quick["tables"]:
            for row in table["rows"]:
                row["runs"] = 1 if row["task"] == "lua" else row["runs"]
        for document, reason in (
            (short, "lacks lua; run"),
            (alone, "lacks jemalloc; run"),
            (quick, "fewer than 5 runs; run"),
        ):
            with self.assertRaisesRegex(doc.Unusable, f"{reason} bench/compare .*--anyway"):
                record.store(document, self.folder)
        self.assertFalse(self.folder.exists())
        for document in (short, whole()):
            self.assertTrue(record.store(document, self.folder, document is short).exists())

    def test_what_is_of_no_known_commit_or_tuned_makes_no_record(self):
        old, tuned = whole(), whole()
        old["commit"] += f" {result.NOT_BUILT}"
        tuned["machine"]["tuned by"] = "ASHLAR_CONF=slob_max:0"
        with self.assertRaisesRegex(doc.Unusable, "not known to be of commit .*--anyway"):
            record.store(old, self.folder)
        with self.assertRaisesRegex(doc.Unusable, "with ASHLAR_CONF=slob_max:0 set"):
            record.store(tuned, self.folder, anyway=True)

    def test_a_quantity_that_was_zero_in_most_runs_makes_no_comparison_short(self):
        document = whole()
        document["tables"][-1]["rows"][0]["runs"] = 1
        self.assertTrue(record.store(document, self.folder).exists())

    def test_a_program_of_a_user_makes_no_record(self):
        with self.assertRaisesRegex(doc.Unusable, "its own tasks"):
            record.store(report_sample.document("program"), self.folder, anyway=True)

    def test_thinning_keeps_ends_and_peak(self):
        points = [[ms, 1000 + (500 if ms == 777 else 0)] for ms in range(1000)]
        thin = record.thin(points)
        self.assertLessEqual(len(thin), record.MOST_POINTS)
        self.assertEqual((thin[0], thin[-1]), (points[0], points[-1]))
        self.assertIn([777, 1500], thin)

    def test_readme_shows_the_newest_and_keeps_the_rest(self):
        document = report_sample.document()
        record.store(document, self.folder, anyway=True)
        newer = copy.deepcopy(document) | {"date": "2026-12-01T00:00:00+00:00"}
        newer["machine"]["cpus"] = 64
        newer["tables"][0]["means"]["all rows"]["glibc"] = 7.77
        record.store(newer, self.folder, anyway=True)
        readme = self.top / "README.md"
        readme.write_text(f"before\n{record.BEGIN}\nold\n{record.END}\nafter\n")
        for _ in range(2):
            path = record.update_readme(self.folder, readme)
            text = readme.read_text()
            self.assertTrue(text.startswith(f"before\n{record.BEGIN}\n!["))
            self.assertTrue(text.endswith(f"\n{record.END}\nafter\n"))
            self.assertNotIn("old", text)
            self.assertIn("](bench/record/xeon-2.50ghz-64cpu/2026-12-01.svg)", text)
            self.assertRegex(text, r"\| time \| 7.77 \|.*\| 47 \|\n")
            self.assertIn("64 CPUs", text)
        self.assertEqual(path.stem, "2026-12-01")

    def test_the_readme_shows_tables_of_one_group_and_says_who_fails(self):
        document = report_sample.document()
        table = document["tables"][1]
        table["rows"] = [row for row in table["rows"] if row["group"] == "programs"]
        table["means"] = {"programs": table["means"]["programs"]}
        block = " ".join(record.readme_block(document, pathlib.Path("r.json")).split())
        mean = table["means"]["programs"]["glibc"]
        self.assertRegex(block, rf"\| peak memory \| {mean:.2f} \|.*\| {len(table['rows'])} \|")
        self.assertIn("jemalloc fails git (WRONG): its means are without git.", block)
        self.assertIn("tcmalloc is the one of gperftools", block)

    def test_rows_that_count_in_no_mean_are_not_counted(self):
        document = report_sample.document()
        document["tables"][1]["rows"][0]["values"]["ashlar"] = 0
        block = record.readme_block(document, pathlib.Path("r.json"))
        count = len(document["tables"][1]["rows"]) - 1
        self.assertRegex(block, rf"\| peak memory \|.*\| {count} \|\n")

    def test_a_result_in_the_first_format_is_sorted_as_today(self):
        document = report_sample.document() | {"format": 1}
        time, memory = document["tables"]
        for table in (time, memory):
            table["rows"].append(table["rows"][0] | {"name": "idle-200", "task": "idle-200"})
        few = time["rows"][0] | {"values": {"glibc": 49e6, "ashlar": 60e6}}
        much = time["rows"][1] | {"values": {"glibc": 51e6, "ashlar": 102e6}}
        system = time | {"key": "system", "title": "System time", "rows": [few, much]}
        document["tables"].append(system)
        path = self.top / "result.json"
        path.write_text(json.dumps(document))
        found = {table["key"]: table for table in doc.load(path)["tables"]}
        self.assertEqual(found["time"]["rows"], time["rows"][:-1])
        self.assertEqual(found["memory"]["rows"], memory["rows"][:-1])
        self.assertEqual(found["stays"]["rows"], memory["rows"][-1:])
        self.assertEqual(found["system"]["rows"], [much])
        self.assertEqual(doc.means(found["system"]), {"glibc": 1.0, "ashlar": 2.0})

    def test_bench_readme_names_what_is_behind_in_the_newest_record(self):
        text = (TOP / "bench" / "README.md").read_text()
        table = text.partition("## Where Ashlar is behind")[2].partition("\n## ")[0]
        firsts = re.findall(r"^\|([^|]+)\|", table, re.MULTILINE)
        told = {name for first in firsts for name in NAMES.findall(first)}
        document = doc.load(record.newest())
        self.assertEqual(told, {row["name"] for _, row, _ in doc.behind(document)})

    def test_a_readme_without_its_place_is_told(self):
        record.store(report_sample.document(), self.folder, anyway=True)
        readme = self.top / "README.md"
        readme.write_text("no place\n")
        with self.assertRaisesRegex(doc.Unusable, "results: begin"):
            record.update_readme(self.folder, readme)
        self.assertEqual(readme.read_text(), "no place\n")

    def test_the_readme_of_the_tree_has_a_place(self):
        text = record.README.read_text()
        self.assertEqual((text.count(record.BEGIN), text.count(record.END)), (1, 1))


class RegressionTest(unittest.TestCase):
    def test_holm(self):
        self.assertEqual(regression.holm([0.01, 0.04, 0.03]), [0.03, 0.06, 0.06])
        self.assertEqual(regression.holm([0.9, 0.5]), [1.0, 1.0])
        self.assertEqual(regression.holm([]), [])

    def test_is_quiet_when_only_noise_differs(self):
        """In one of twenty comparisons a row may be named: that is what a chance of 5 % means."""
        old = report_sample.document(seed=1)
        named = [
            bool(regression.compare(old, report_sample.document(seed=seed), least=1).changes)
            for seed in range(2, 14)
        ]
        self.assertLessEqual(sum(named), 2)

    def test_names_exactly_the_row_that_got_worse(self):
        old, new = report_sample.document(seed=1), report_sample.document(seed=2)
        found = regression.compare(old, scaled(new, "batches/100x64", 1.10))
        self.assertEqual([(c.row, c.way) for c in found.changes], [("batches/100x64", "worse")])
        self.assertTrue(found.is_worse)
        self.assertAlmostEqual(found.changes[0].factor, 1.10, delta=0.03)

    def test_better_is_named_and_is_no_fault(self):
        old, new = report_sample.document(seed=1), report_sample.document(seed=2)
        found = regression.compare(old, scaled(new, "batches/100x64", 0.9))
        self.assertEqual([c.way for c in found.changes], ["better"])
        self.assertFalse(found.is_worse)

    def test_small_moves_are_not_named(self):
        old = report_sample.document()
        new = scaled(old, "batches/100x64", 1.015)
        self.assertFalse(regression.compare(old, new).changes)

    def test_rows_without_noise(self):
        """Peak memory may be the same in every run: then an interval is a point."""
        old = report_sample.document()
        for row in old["tables"][0]["rows"]:
            row["ratio_low"] = row["ratio_high"] = row["ratio"]
        self.assertFalse(regression.compare(old, copy.deepcopy(old)).changes)
        found = regression.compare(old, scaled(old, "lua", 1.05))
        self.assertEqual([change.row for change in found.changes], ["lua"])

    def test_rows_without_intervals_are_judged_by_their_spread(self):
        old = report_sample.document()
        for row in old["tables"][0]["rows"]:
            row["ratio_low"] = row["ratio_high"] = None
        self.assertFalse(regression.compare(old, copy.deepcopy(old)).changes)
        found = regression.compare(old, scaled(old, "lua", 1.5))
        self.assertEqual([(c.row, c.note) for c in found.changes], [("lua", "by value")])
        self.assertEqual(found.by_spread, len(old["tables"][0]["rows"]))

    def test_a_row_that_came_down_to_nothing_is_better(self):
        old = report_sample.document()
        for row in old["tables"][0]["rows"]:
            row["ratio_low"] = row["ratio_high"] = None
        found = regression.compare(old, scaled(old, "lua", 0))
        self.assertEqual([(c.row, c.way) for c in found.changes], [("lua", "better")])

    def test_new_failures_are_worse_and_lost_rows_are_told(self):
        old = report_sample.document()
        new = copy.deepcopy(old)
        row = new["tables"][0]["rows"][3]
        for key in ("values", "low", "high"):
            del row[key]["ashlar"]
        row |= {
            "failed": {"ashlar": "SIGSEGV"},
            "ratio": None,
            "ratio_low": None,
            "ratio_high": None,
        }
        lost = new["tables"][1]["rows"].pop()
        found = regression.compare(old, new)
        self.assertEqual(found.fails, [f"time of {row['name']}: SIGSEGV"])
        self.assertTrue(found.is_worse)
        self.assertEqual(found.only_old, [f"peak memory of {lost['name']}"])
        self.assertEqual(len(regression.compare(new, old).mended), 1)


class CommandTest(InFolder):
    def compare(self, old: doc.Document, new: doc.Document) -> subprocess.CompletedProcess:
        for name, document in (("old", old), ("new", new)):
            (self.top / name).write_text(json.dumps(document))
        command = [TOP / "bench" / "records", "compare", self.top / "old", self.top / "new"]
        return subprocess.run(command, capture_output=True, text=True)

    def test_the_exit_status_tells_whether_anything_got_worse(self):
        old, new = report_sample.document(seed=1), report_sample.document(seed=2)
        run = self.compare(old, new)
        self.assertEqual((run.returncode, run.stderr), (0, ""), run.stdout)
        run = self.compare(old, scaled(new, "batches/100x64", 1.2))
        self.assertEqual((run.returncode, run.stderr), (1, ""), run.stdout)
        self.assertRegex(run.stdout, r"worse +batches/100x64 +time")
        self.assertIn("by luck", run.stdout)

    def test_what_cannot_be_compared_is_told_in_one_line(self):
        good = report_sample.document("program")
        for old, word in (
            ({"format": 1}, "required"),
            (good | {"subject": "glibc"}, "different allocators"),
            (good | {"tables": []}, "no row in common"),
        ):
            run = self.compare(old, good)
            self.assertEqual(run.returncode, 2, word)
            self.assertEqual(len(run.stderr.splitlines()), 1, run.stderr)
            self.assertIn(word, run.stderr)


if __name__ == "__main__":
    unittest.main()
