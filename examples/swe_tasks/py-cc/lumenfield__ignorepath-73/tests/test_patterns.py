import unittest

from ignorepath import RuleSet


class Patterns(unittest.TestCase):
    def ignored(self, text, path, is_folder=False):
        return RuleSet.from_text(text).is_ignored(path, is_folder)

    def test_folder_pattern_matches_at_every_depth(self):
        self.assertTrue(self.ignored("build/\n", "src/build", is_folder=True))
        self.assertTrue(self.ignored("build/\n", "src/build/a.o"))
        self.assertFalse(self.ignored("build/\n", "src/build"))

    def test_anchored_folder_patterns_stay_anchored(self):
        self.assertFalse(self.ignored("/build/\n", "src/build", is_folder=True))
        self.assertFalse(self.ignored("src/build/\n", "x/src/build", is_folder=True))

    def test_double_star_matches_no_folder_too(self):
        for path in ("docs/draft.md", "docs/a/draft.md", "docs/a/b/draft.md"):
            self.assertTrue(self.ignored("docs/**/draft.md\n", path))
        self.assertFalse(self.ignored("docs/**/draft.md\n", "docsx/draft.md"))


if __name__ == "__main__":
    unittest.main()
