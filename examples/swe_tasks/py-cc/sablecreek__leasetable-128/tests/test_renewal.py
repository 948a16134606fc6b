import random
import unittest

from leasetable import LeaseTable, ManualClock, TooHeavyError


class Renewal(unittest.TestCase):
    def setUp(self):
        self.clock = ManualClock()
        self.gone = []
        self.table = LeaseTable(10, self.clock, on_evict=lambda *what: self.gone.append(what))

    def test_weight_of_a_replaced_entry_is_given_back(self):
        for number in range(3):
            self.table.put("a", number, weight=4)
        self.assertEqual((self.table.weight, self.table.get("a")), (4, 2))

    def test_replacing_does_not_push_others_out(self):
        self.table.put("a", 1, weight=6)
        self.table.put("b", 2, weight=4)
        self.table.put("a", 3, weight=6)
        self.assertEqual(sorted(self.table.keys()), ["a", "b"])

    def test_a_heavier_replacement_makes_room(self):
        self.table.put("a", 1, weight=2)
        self.table.put("b", 2, weight=5)
        self.table.put("a", 3, weight=8)
        self.assertEqual((self.table.keys(), self.table.weight), (["a"], 8))

    def test_replaced_key_is_the_most_recent(self):
        for key in "abc":
            self.table.put(key, key, weight=3)
        self.table.put("a", "A", weight=3)
        self.table.put("d", "d", weight=3)
        self.assertEqual(self.table.keys(), ["c", "a", "d"])

    def test_renewed_lease_keeps_its_new_deadline(self):
        self.table.put("a", 1, ttl_s=5)
        self.clock.advance(4)
        self.table.put("a", 2, ttl_s=5)
        self.clock.advance(2)
        self.assertEqual(self.table.get("a"), 2)
        self.clock.advance(3)
        self.assertNotIn("a", self.table)
        self.assertEqual(self.table.stats.expired, 1)

    def test_renewal_without_ttl_never_expires(self):
        self.table.put("a", 1, ttl_s=5)
        self.table.put("a", 2)
        self.clock.advance(1000)
        self.assertEqual(self.table.get("a"), 2)

    def test_popped_and_put_back(self):
        self.table.put("a", 1, ttl_s=5)
        self.table.pop("a")
        self.table.put("a", 2, ttl_s=50)
        self.clock.advance(10)
        self.assertEqual(self.table.peek("a"), 2)

    def test_shorter_renewal_expires_earlier(self):
        self.table.put("a", 1, ttl_s=50)
        self.table.put("a", 2, ttl_s=5)
        self.clock.advance(5)
        self.assertNotIn("a", self.table)
        self.assertEqual(self.table.weight, 0)

    def test_callback_and_counter_once_for_each_replacement(self):
        self.table.put("a", 1)
        self.table.put("a", 2)
        self.table.put("a", 3)
        self.assertEqual(self.gone, [("a", 1, "replaced"), ("a", 2, "replaced")])
        self.assertEqual(self.table.stats.replaced, 2)

    def test_refused_put_leaves_the_entry(self):
        self.table.put("a", 1, weight=3)
        for weight, error in ((11, TooHeavyError), (0, ValueError)):
            with self.assertRaises(error):
                self.table.put("a", 2, weight=weight)
        self.assertEqual((self.table.get("a"), self.table.weight, self.gone), (1, 3, []))

    def test_weight_is_the_sum_of_what_is_left(self):
        rng = random.Random(7)
        weights = {}
        for _ in range(500):
            key, weight = rng.choice("abcdef"), rng.randint(1, 5)
            self.table.put(key, weight, weight=weight, ttl_s=rng.choice([None, 1, 3]))
            weights[key] = weight
            self.clock.advance(rng.random())
            self.assertEqual(self.table.weight, sum(weights[key] for key in self.table.keys()))
            self.assertLessEqual(self.table.weight, 10)


if __name__ == "__main__":
    unittest.main()
