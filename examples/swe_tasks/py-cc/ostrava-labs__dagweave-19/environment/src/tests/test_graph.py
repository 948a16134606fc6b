import unittest

from dagweave import CycleError, Graph, GraphError


class GraphTest(unittest.TestCase):
    def setUp(self):
        self.graph = Graph()
        self.graph.source("text", "a b b")
        self.graph.step("words", ["text"], str.split)
        self.graph.step("count", ["words"], len)

    def test_values_are_computed_once(self):
        self.assertEqual((self.graph.value("count"), self.graph.value("count")), (3, 3))
        self.assertEqual(self.graph.n_runs("words"), 1)

    def test_a_change_is_seen(self):
        self.graph.value("count")
        self.graph.set("text", "x")
        self.assertEqual(self.graph.value("count"), 1)

    def test_cycle(self):
        self.graph.step("p", ["q"], lambda q: q)
        self.graph.step("q", ["p"], lambda p: p)
        with self.assertRaises(CycleError) as caught:
            self.graph.value("p")
        self.assertEqual(caught.exception.path, ["p", "q", "p"])

    def test_steps_cannot_be_set(self):
        with self.assertRaises(GraphError):
            self.graph.set("count", 1)


if __name__ == "__main__":
    unittest.main()
