import random
import unittest

from dagweave import Graph


class Freshness(unittest.TestCase):
    def setUp(self):
        self.graph = Graph()
        self.graph.source("a", 1)
        self.graph.source("b", 1)
        self.graph.step("double", ["a"], lambda a: 2 * a)
        self.graph.step("sign", ["a"], lambda a: a > 0)
        self.graph.step("label", ["sign", "b"], lambda sign, b: f"{sign}{b}")

    def test_change_followed_by_another_source(self):
        self.graph.value("double")
        self.graph.set("a", 5)
        self.graph.set("b", 7)
        self.assertEqual(self.graph.value("double"), 10)

    def test_change_read_by_another_step_first(self):
        self.graph.value("double"), self.graph.value("sign")
        self.graph.set("a", -5)
        self.graph.value("sign")
        self.graph.set("b", 7)
        self.assertEqual(self.graph.value("double"), -10)
        self.assertEqual(self.graph.value("label"), "False7")

    def test_unrelated_source_does_not_run_a_step(self):
        self.graph.value("double")
        for number in range(5):
            self.graph.set("b", 10 + number)
            self.graph.value("double")
        self.assertEqual(self.graph.n_runs("double"), 1)

    def test_equal_value_stops_the_wave(self):
        self.graph.value("label")
        self.graph.set("a", 9)
        self.assertEqual(self.graph.value("label"), "True1")
        self.assertEqual((self.graph.n_runs("sign"), self.graph.n_runs("label")), (2, 1))

    def test_random_edits_agree_with_a_fresh_graph(self):
        rng = random.Random(3)
        a = b = 1
        for _ in range(300):
            if rng.random() < 0.5:
                a = rng.randint(-3, 3)
                self.graph.set("a", a)
            else:
                b = rng.randint(0, 3)
                self.graph.set("b", b)
            if rng.random() < 0.4:
                self.assertEqual(self.graph.value("label"), f"{a > 0}{b}")
            if rng.random() < 0.3:
                self.assertEqual(self.graph.value("double"), 2 * a)


if __name__ == "__main__":
    unittest.main()
