import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from trajgen_assets.core.dashboard.render import SiteFile
from trajgen_assets.core.dashboard.trajectory.model import Figures, Kind, Message, Opening, ToolCall, Turn, Unreadable
from trajgen_assets.core.dashboard.trajectory.shards import ERROR, LEAK, Limits, Shards

FIGURES = Figures(1_000, 20, None, 100, 10, None, None, None)
TURN = Turn(
    conversation=1, number=1, line=1, model="m", upstream=None, finish_reason="stop", figures=FIGURES, reasoning="",
    text="Look.", said="", calls=(), commands=(), following=(), tool_ms=5, is_taken=True, is_cut=False, raw={"a": 1},
)  # fmt: skip
OPENING = Opening(1, Kind.MAIN, "", None, (Message("user", "Fix it."),), ("Bash",))


def turn(number: int, **changes: Any) -> Turn:
    return replace(TURN, number=number, line=number, **changes)


def value_of(file: SiteFile) -> Any:
    handed_over = file.data.decode().removeprefix("trajgen.take(").removesuffix(");\n")
    name, value = json.loads(f"[{handed_over}]")
    assert file.path == f"data/{name}.js"
    return value


def made(entries: Iterable[Any], limits: Limits, leaks: frozenset[tuple[int, int]] = frozenset()) -> dict[str, Any]:
    shards = Shards("t", limits)
    files = [*shards.turns(entries), *shards.head([OPENING], leaks)]
    found = {file.path.removeprefix("data/t~").removesuffix(".js"): value_of(file) for file in files}
    return found | {"turns-0": found["head"]["turns"]}


def test_a_file_holds_so_many_entries_and_head_knows_where_each_lies() -> None:
    files = made([turn(number) for number in (1, 2, 3)], Limits(turns=2))
    assert {name for name in files if name.startswith("turns")} == {"turns-0", "turns-1"}
    assert [each[2:4] for each in files["head"]["entries"]] == [[0, 0], [0, 1], [1, 0]]


def test_a_long_text_is_cut_to_its_beginning_and_lies_elsewhere_as_a_whole() -> None:
    files = made([turn(1, text="x" * 50)], Limits(preview=10))
    assert files["turns-0"][0]["text"] == {"start": "x" * 10, "length": 50, "shown": 50, "at": [0, 0]}
    assert files["texts-0"] == ["x" * 50]


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        ('{"path":"a.py","range":[1,2]}', "path: a.py\nrange: [1,2]"),
        (r'{"command":"echo \u001b[2J\u202e"}', "command: echo ␛[2J⟨U+202E⟩"),  # what an escape stands for, too
        ("[1]", "[1]"),
        ("ls -la", "ls -la"),
    ],
)
def test_arguments_stand_in_lines_with_nothing_hidden_in_them(arguments: str, shown: str) -> None:
    files = made([turn(1, calls=(ToolCall("Bash", arguments),))], Limits())
    assert files["turns-0"][0]["calls"][0]["arguments"] == shown


def test_where_no_more_than_its_beginning_may_be_shown_the_rest_lies_nowhere() -> None:
    files = made([turn(1, text="x" * 50)], Limits(preview=10, text=10))
    assert files["turns-0"][0]["text"] == {"start": "x" * 10, "length": 50, "shown": 10, "at": None}
    assert "texts-0" not in files


def test_what_is_beyond_all_measure_is_left_out_and_said_to_be() -> None:
    files = made([turn(1, text="x" * 10_000_000)], Limits())
    shown = files["turns-0"][0]["text"]
    assert (shown["length"], shown["shown"], len(files["texts-0"][0])) == (10_000_000, 1_000_000, 1_000_000)


def test_no_file_is_much_larger_than_it_may_be() -> None:
    shards = Shards("t", Limits(shard=10_000))
    results = (ToolCall("Bash", "{}", Message("tool", "y" * 9_000)),)
    sizes = [len(each.data) for each in shards.turns(turn(n, calls=results) for n in range(1, 200))]
    assert max(sizes) < 25_000


def test_files_come_while_turns_are_read_and_are_not_kept() -> None:
    n_read = 0

    def reading() -> Iterable[Turn]:
        nonlocal n_read
        for n_read in range(1, 1001):
            yield turn(n_read)

    first = next(iter(Shards("t", Limits(turns=10)).turns(reading())))
    assert (first.path, n_read) == ("data/t~turns-1.js", 21)


def test_marks_are_those_of_the_turn_and_of_its_row() -> None:
    entries = [turn(1, following=(Message("tool", "no", is_error=True),)), turn(2)]
    files = made(entries, Limits(), frozenset({(1, 2)}))
    assert [each[-1] for each in files["head"]["entries"]] == [ERROR, LEAK]


def test_entries_stand_in_the_order_of_the_record() -> None:
    files = made([replace(TURN, line=7), Unreadable(3, "no JSON")], Limits())
    assert [each[1] for each in files["head"]["entries"]] == [3, 7]


@pytest.mark.parametrize("raw", [{"x": "y" * 1000}, {"x": 2**70}])
def test_a_record_that_cannot_be_shown_whole_says_so(raw: dict[str, Any]) -> None:
    text = made([turn(1, raw=raw)], Limits(raw=100))["raw-0"][0]
    assert "characters more" in text or "cannot be shown" in text


def test_without_records_there_are_none() -> None:
    files = made([turn(1)], Limits(raw=0))
    assert files["turns-0"][0]["raw"] is None
    assert "raw-0" not in files
