"""Does bench/instructions count the way that malloc and free go where a program calls them often?

    python3 -m unittest discover tests/bench

after a build with -DASHLAR_BUILD_BENCH=ON. ASHLAR_BUILD names the build folder, if not build/.
"""

from __future__ import annotations

import re
import subprocess
import sys
import unittest

import liars

sys.path.insert(0, str(liars.TOP / "bench" / "harness"))
import catalog  # noqa: E402
import measure  # noqa: E402
import stepping  # noqa: E402

FOLDERS = catalog.Folders(liars.BUILD)

# Where a thread has magazines of its own; by restartable sequences it is a third of that, by SLOB
# twice as much for the two together.
MOST = 200


def may_trace() -> bool:
    """May a process trace another here? Asked on the system's malloc: ours may be at fault."""
    command = [FOLDERS.build / "bench" / "steps", "", FOLDERS.build / "bench" / "stepped", "16"]
    run = subprocess.run(command, capture_output=True, text=True)
    return run.stderr != "steps: cannot trace a program here\n"


@unittest.skipIf(stepping.lack(FOLDERS), "nothing to step through")
class Stepping(unittest.TestCase):
    def test_what_is_counted_is_served_by_object_caches(self) -> None:
        allocators = catalog.load_allocators(FOLDERS, [])
        ours = next(found for found in allocators if found.name == catalog.SUBJECT)
        self.assertTrue(measure.loads(ours), "it would be the system's malloc")
        self.assertTrue((FOLDERS.build / "bench" / "stepped").exists())
        if not may_trace():
            self.skipTest("this process may trace no other")
        for size in stepping.SIZES:
            with self.subTest(size=size):
                cell = stepping._cell(ours, FOLDERS, size)
                counts = re.fullmatch(r"(\d+) \+ (\d+)", cell)
                self.assertIsNotNone(counts, cell)
                self.assertLess(int(counts[1]) + int(counts[2]), MOST)


if __name__ == "__main__":
    unittest.main()
