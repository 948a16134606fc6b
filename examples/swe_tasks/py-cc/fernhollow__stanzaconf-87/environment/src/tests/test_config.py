import unittest

from stanzaconf import Config, CycleError, MissingKeyError, SyntaxProblem


class ConfigTest(unittest.TestCase):
    def test_later_layers_win(self):
        config = Config.from_texts("[a]\nx = 1\ny = 2\n", "[a]\ny = 3\n")
        self.assertEqual(config.section("a"), {"x": "1", "y": "3"})

    def test_references_see_overrides(self):
        config = Config.from_texts("[a]\nhost = one\nurl = http://${host}/\n", "[a]\nhost = two\n")
        self.assertEqual(config.get("a", "url"), "http://two/")

    def test_dollar_is_escaped_by_doubling(self):
        self.assertEqual(Config.from_texts("[a]\nprice = 5$$\n").get("a", "price"), "5$")

    def test_self_reference_is_a_cycle(self):
        with self.assertRaises(CycleError):
            Config.from_texts("[a]\nx = ${x}\n").get("a", "x")

    def test_missing_reference(self):
        with self.assertRaises(MissingKeyError):
            Config.from_texts("[a]\nx = ${b.y}\n").get("a", "x")

    def test_garbage_is_reported_with_its_line(self):
        with self.assertRaises(SyntaxProblem) as caught:
            Config.from_texts("[a]\nx 1\n")
        self.assertEqual(caught.exception.line_number, 2)


if __name__ == "__main__":
    unittest.main()
