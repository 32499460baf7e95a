"""Does bench/instructions count the way that malloc and free go where a program calls them often?

    python3 -m unittest discover tests/bench

after a build with -DASHLAR_BUILD_BENCH=ON. ASHLAR_BUILD names the build folder, if not build/.
"""

from __future__ import annotations

import re
import sys
import unittest

import liars

sys.path.insert(0, str(liars.TOP / "bench" / "harness"))
import catalog  # noqa: E402
import stepping  # noqa: E402

FOLDERS = catalog.Folders(liars.BUILD)

# Where a thread has magazines of its own; by restartable sequences it is a third of that, by SLOB
# twice as much for the two together.
MOST = 200


@unittest.skipIf(stepping.lack(FOLDERS), "nothing to step through")
class Stepping(unittest.TestCase):
    def test_what_is_counted_is_served_by_object_caches(self) -> None:
        allocators = catalog.load_allocators(FOLDERS, [])
        ours = next(found for found in allocators if found.name == catalog.SUBJECT)
        for size in stepping.SIZES:
            with self.subTest(size=size):
                cell = stepping._cell(ours, FOLDERS, size)
                if cell == "not traced":
                    self.skipTest("this process may trace no other")
                counts = re.fullmatch(r"(\d+) \+ (\d+)", cell)
                self.assertIsNotNone(counts, cell)
                self.assertLess(int(counts[1]) + int(counts[2]), MOST)


if __name__ == "__main__":
    unittest.main()
