import unittest

from tablefold import BOX, Table, display_width
from tablefold.fold import fold


class TableTest(unittest.TestCase):
    def test_plain_table(self):
        table = Table(["id", "name"], align=["right", "left"])
        table.add(7, "oak")
        self.assertEqual(table.render().splitlines(), [
            "+----+------+",
            "| id | name |",
            "+----+------+",
            "|  7 | oak  |",
            "+----+------+",
        ])

    def test_cells_fold_when_the_table_is_too_wide(self):
        table = Table(["k", "remark"])
        table.add("a", "holds the ship")
        lines = table.render(max_width=18).splitlines()
        self.assertTrue(all(len(line) <= 18 for line in lines))
        self.assertIn("holds the", lines[3])

    def test_wide_characters_count_twice(self):
        self.assertEqual(display_width("日本"), 4)

    def test_fold_breaks_long_words(self):
        self.assertEqual(fold("abcdef", 4), ["abcd", "ef"])

    def test_box_style(self):
        self.assertTrue(Table(["a"], style=BOX).render().startswith("┼───┼"))

    def test_row_of_wrong_length_is_refused(self):
        with self.assertRaises(ValueError):
            Table(["a", "b"]).add("x")


if __name__ == "__main__":
    unittest.main()
