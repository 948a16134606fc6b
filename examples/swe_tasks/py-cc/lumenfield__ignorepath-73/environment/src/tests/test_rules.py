import unittest

from ignorepath import RuleSet


class RulesTest(unittest.TestCase):
    def test_star_stays_within_a_component(self):
        rules = RuleSet.from_text("/src/*.c\n")
        self.assertTrue(rules.is_ignored("src/a.c"))
        self.assertFalse(rules.is_ignored("src/deep/a.c"))

    def test_later_rules_win(self):
        rules = RuleSet.from_text("*.log\n!keep.log\n")
        self.assertFalse(rules.is_ignored("a/keep.log"))
        self.assertTrue(rules.is_ignored("a/other.log"))

    def test_comments_and_blank_lines(self):
        self.assertEqual(RuleSet.from_text("# x\n\n").rules, [])


if __name__ == "__main__":
    unittest.main()
