"""Do the intervals of bench/compare hold what they promise?

    python3 -m unittest discover tests/bench
"""

from __future__ import annotations

import math
import random
import sys
import unittest

import liars

sys.path.insert(0, str(liars.TOP / "bench" / "harness"))
import figures  # noqa: E402

TRIALS = 1000


def noise(rng: random.Random, rounds: int, common: list[float] | None = None) -> list[float]:
    """Logarithms of ratios that are 1 but for noise, part of which a whole task has in common."""
    return [rng.gauss(0, 0.05) + (common[i] if common else 0) for i in range(rounds)]


class Figures(unittest.TestCase):
    def test_nineteen_of_twenty_intervals_contain_the_truth(self) -> None:
        for rounds in (3, 5, 9, 20):
            rng = random.Random(rounds)
            found = [figures.interval_of(noise(rng, rounds)) for _ in range(TRIALS)]
            share = sum(interval.is_noise for interval in found) / TRIALS
            with self.subTest(rounds=rounds):
                self.assertGreater(share, 0.90)
                self.assertLess(share, 0.985)

    def test_two_runs_tell_nothing(self) -> None:
        self.assertIsNone(figures.interval_of([0.1, 0.1]))

    def test_rows_of_one_task_are_not_taken_for_independent(self) -> None:
        rng = random.Random(1)
        contained = 0
        for _ in range(TRIALS):
            tasks = []
            for rows in (12, 8, 1, 1):
                common = noise(rng, 10)
                tasks.append([noise(rng, 10, common) for _ in range(rows)])
            contained += figures.mean_ratio(tasks).is_noise
        self.assertGreater(contained / TRIALS, 0.93)

    def test_the_mean_weighs_rows_alike(self) -> None:
        tasks = [[[math.log(2)] * 5] * 3, [[0.0] * 5]]
        self.assertAlmostEqual(figures.mean_ratio(tasks).ratio, 2 ** (3 / 4))

    def test_percentiles_are_bounds_that_so_many_calls_kept(self) -> None:
        found = figures.percentiles([(10, 9000), (100, 900), (1000, 99), (5000, 1)])
        self.assertEqual([found[key] for key in ("50", "90", "99", "99.9")], [10, 10, 100, 1000])
        self.assertEqual((found["99.99"], found["max"]), (1000, 5000))


if __name__ == "__main__":
    unittest.main()
