import unicodedata
import unittest

from tablefold import Table, display_width
from tablefold.fold import fold
from tablefold.width import pad

ACCENTED = "Cafe\u0301"


def cells(text):
    """Counted here on its own, so that the tests do not rest on what they test."""
    total = 0
    for char in text:
        if unicodedata.category(char) in ("Mn", "Me", "Cf"):
            continue
        total += 2 if unicodedata.east_asian_width(char) in ("W", "F") else 1
    return total


class Cells(unittest.TestCase):
    def assert_straight(self, text):
        widths = {cells(line) for line in text.splitlines()}
        self.assertEqual(len(widths), 1, f"ragged:\n{text}")

    def table(self, align):
        table = Table(["city", "note"], align=[align, align])
        table.add("東京", "capital")
        table.add(ACCENTED, "개점 open")
        table.add("a\u200db", "ｆｕｌｌ")
        return table

    def test_every_alignment_is_straight(self):
        for align in ("left", "right", "center"):
            with self.subTest(align=align):
                self.assert_straight(self.table(align).render())

    def test_straight_when_folded(self):
        table = Table(["name", "remark"])
        table.add("東京都庁舎", "第一本庁舎 と 第二本庁舎")
        table.add("re\u0301sume\u0301", "e\u0301" * 20)
        for max_width in (16, 17, 20, 23, 30):
            with self.subTest(max_width=max_width):
                text = table.render(max_width=max_width)
                self.assert_straight(text)
                self.assertLessEqual(cells(text.splitlines()[0]), max_width)

    def test_column_is_no_wider_than_needed(self):
        table = Table(["n"])
        table.add("e\u0301" * 6)
        self.assertEqual(table.render().splitlines()[0], "+--------+")

    def test_marks_and_joiners_take_no_cell(self):
        self.assertEqual(display_width(ACCENTED), 4)
        self.assertEqual(display_width("a\u200db"), 2)
        self.assertEqual(display_width("x\u20dd"), 1)

    def test_wide_and_fullwidth_take_two(self):
        self.assertEqual(display_width("東Ａ"), 4)

    def test_padding_counts_cells(self):
        self.assertEqual(pad("東京", 6), "東京  ")
        self.assertEqual(pad("東京", 6, "right"), "  東京")
        self.assertEqual(pad(ACCENTED, 6, "right"), "  " + ACCENTED)

    def test_odd_blank_of_center_goes_right(self):
        self.assertEqual(pad("ab", 5, "center"), " ab  ")
        self.assertEqual(pad("東", 5, "center"), " 東  ")
        self.assertEqual(pad("abc", 4, "center"), "abc ")

    def test_padding_never_cuts(self):
        self.assertEqual(pad("東京", 2), "東京")

    def test_no_line_starts_with_a_lone_mark(self):
        for width in range(1, 6):
            lines = fold("e\u0301" * 9, width)
            self.assertFalse(any(unicodedata.combining(line[0]) for line in lines))
            self.assertEqual("".join(lines), "e\u0301" * 9)

    def test_ascii_is_as_before(self):
        table = Table(["id", "name"], align=["right", "left"])
        table.add(7, "oak")
        self.assertEqual(table.render().splitlines()[3], "|  7 | oak  |")


if __name__ == "__main__":
    unittest.main()
