from trajgen_assets.core.report.charts import bar, bar_table, sparkline


def test_a_bar_is_as_long_as_its_number_against_the_largest() -> None:
    assert [bar(number, 8, width=2) for number in (0, 1, 4, 7, 8)] == ["", "▎", "█", "█▊", "██"]


def test_the_smallest_number_above_zero_is_seen_and_none_is_longer_than_the_largest() -> None:
    assert bar(1, 10**9, width=2) == "▏"
    assert bar(9, 3, width=2) == "██"


def test_a_table_has_a_row_for_each_number_in_their_order() -> None:
    assert bar_table("trials", {"solved": 2, "unsolved": 1000}).splitlines() == [
        "| trials | | |",
        "|:--|--:|:--|",
        "| solved | 2 | ▏ |",
        "| unsolved | 1,000 | ████████████████████ |",
    ]


def test_a_line_has_one_mark_for_each_number() -> None:
    assert sparkline([0, 1, 2, 4]) == "▁▃▅█"
    assert sparkline([0, 0]) == "▁▁"
    assert sparkline([]) == ""
