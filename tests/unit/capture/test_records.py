from io import BytesIO
from pathlib import Path

import pytest

from trajgen_assets.core.capture.records import iter_lines, iter_records


def test_whole_and_torn_lines_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "trajectory.jsonl"
    path.write_bytes(b'{"a":1}\n{"b":\n\n[3]\n{"c":3}\n{"d":4}')
    lines = list(iter_records(path))
    assert [line.value for line in lines] == [{"a": 1}, None, None, {"c": 3}, None]
    assert [line.number for line in lines] == [1, 2, 4, 5, 6]
    assert [line.is_cut_off for line in lines] == [False, False, False, False, True]


def test_bytes_that_are_no_text_are_a_torn_line(tmp_path: Path) -> None:
    path = tmp_path / "trajectory.jsonl"
    path.write_bytes(b'{"a":"\xff"}\n')
    assert [line.value for line in iter_records(path)] == [None]


def test_no_file_has_no_lines(tmp_path: Path) -> None:
    assert list(iter_records(tmp_path / "none.jsonl")) == []


@pytest.mark.parametrize("n_more", [1, 3, 40])
def test_a_line_beyond_all_measure_has_no_value_and_the_next_one_is_read(n_more: int) -> None:
    file = BytesIO(b'{"a":"' + b"x" * n_more + b'"}\n{"b":1}\n')
    long, following = iter_lines(file, longest_bytes=8)
    assert (long.value, len(long.data) <= 9) == (None, True)
    assert (following.number, following.value) == (2, {"b": 1})


def test_a_line_of_just_the_measure_is_read() -> None:
    assert [line.value for line in iter_lines(BytesIO(b'{"a":1}\n'), longest_bytes=8)] == [{"a": 1}]
