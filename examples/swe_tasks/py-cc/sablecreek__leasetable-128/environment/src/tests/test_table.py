import unittest

from leasetable import LeaseTable, ManualClock, TooHeavyError


class LeaseTableTest(unittest.TestCase):
    def setUp(self):
        self.clock = ManualClock()
        self.gone = []
        self.table = LeaseTable(10, self.clock, on_evict=lambda *what: self.gone.append(what))

    def test_get_returns_what_was_put(self):
        self.table.put("a", 1)
        self.assertEqual(self.table.get("a"), 1)
        self.assertEqual(self.table.stats.hit_ratio, 1.0)

    def test_entries_expire(self):
        self.table.put("a", 1, ttl_s=5)
        self.clock.advance(5)
        self.assertNotIn("a", self.table)
        self.assertEqual(self.gone, [("a", 1, "expired")])

    def test_least_recently_used_leaves_first(self):
        for key in "abc":
            self.table.put(key, key, weight=3)
        self.table.get("a")
        self.table.put("d", "d", weight=3)
        self.assertEqual(self.table.keys(), ["c", "a", "d"])

    def test_too_heavy_is_refused(self):
        with self.assertRaises(TooHeavyError):
            self.table.put("a", 1, weight=11)

    def test_pop_frees_the_weight(self):
        self.table.put("a", 1, weight=4)
        self.assertEqual(self.table.pop("a"), 1)
        self.assertEqual(self.table.weight, 0)


if __name__ == "__main__":
    unittest.main()
