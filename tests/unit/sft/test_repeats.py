import json
from collections.abc import Callable
from random import Random
from typing import Any

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from trajgen_assets.core.sft.repeats import LineParser

SPELLINGS: tuple[dict[str, Any], ...] = (
    {"separators": (",", ":"), "ensure_ascii": False},
    {"ensure_ascii": False},
    {"ensure_ascii": True},
    {"indent": 1},
)
WORDS = ('say "it"', '], "tools": [', "},{", "\\", "ü 漢 \U0001f600", "\x00\n", '"messages": [', "")


def message(dice: Random) -> dict[str, Any]:
    text = " ".join(dice.choices(WORDS, k=3))
    made = {"role": dice.choice(("user", "assistant", "tool")), "content": dice.choice((text, [{"text": text}], None))}
    return made | dice.choice(({}, {"tool_calls": [{"id": text}]}, {"n": 2**70}, {"messages": [1, [2]]}))


def line(dice: Random, messages: list[Any]) -> bytes:
    """A record with these messages, its other parts as they may be."""
    request: dict[str, Any] = {"messages": messages}
    if dice.random() < 0.8:
        request = {"model": "m"} | request | {"tools": [{"messages": []}], "n": dice.random()}
    record = {"success": True, "at": dice.randrange(10**9), "request_body": request, "response_body": message(dice)}
    if dice.random() < 0.1:
        record = {"messages": messages[:2], **record}
    return json.dumps(record, **SPELLINGS[dice.choice((0, 0, 1, 1, 2, 3))]).encode()


def damaged(dice: Random, raw: bytes) -> bytes:
    at, put = dice.randrange(len(raw)), dice.choice((b"", b"]", b",", b'"', b"\xff", b"NaN", b"{", b" "))
    return raw[:at] + put + raw[at + dice.choice((0, 1)) :]


def lines_of_a_trial(dice: Random) -> list[bytes]:
    """Lines that go on from each other, with all that may come between."""
    changes: tuple[Callable[[list[Any]], list[Any]], ...] = (
        lambda history: [*history, message(dice), message(dice)],
        lambda history: [*history, message(dice)],
        lambda history: history,
        lambda history: [message(dice), *history[1:], message(dice)],
        lambda history: [*history[:-1], message(dice)],
        lambda history: history[: dice.randrange(len(history) + 1)],
        lambda history: [*history, "no message"],
        lambda history: [message(dice), message(dice)],
    )
    history, made = [message(dice), message(dice)], []
    for _ in range(14):
        history = dice.choices(changes, weights=(8, 4, 2, 3, 1, 1, 1, 1))[0](history)
        raw = line(dice, history)
        made.append(damaged(dice, raw) if dice.random() < 0.15 else raw)
    return made


def error_of(parse: Callable[[bytes], Any], raw: bytes) -> str | None:
    try:
        parse(raw)
    except orjson.JSONDecodeError as error:
        return error.msg
    return None


def outcome(parse: Callable[[bytes], Any], raw: bytes) -> Any:
    try:
        return orjson.dumps(parse(raw))
    except orjson.JSONDecodeError as error:
        return str(error)


@settings(max_examples=150)
@given(st.integers(0, 2**32))
@example(0)
def test_a_line_is_what_it_is_whatever_lines_were_before_it(seed: int) -> None:
    parser = LineParser()
    for raw in lines_of_a_trial(Random(seed)):
        assert outcome(parser.parse, raw) == outcome(orjson.loads, raw)


FIRST = b'{"request_body": {"messages": [{}, {"a": 1}], "n": 1}}'
ELSEWHERE = b'{"x": {"messages": [{}, {"a": 1}], "n": 1}, "request_body": {"messages": [{}, {"a": 1}, 2], "n": 1}}'
TWICE = b'{"request_body": {"messages": [{}, {"a": 1}], "messages": [{}, {"a": 1}, 2], "n": 1}}'


@pytest.mark.parametrize("first", [FIRST, ELSEWHERE, TWICE])
@pytest.mark.parametrize(
    "messages", ["%b", "%b, 2", "%b,", "%b 2", "%b; 2", "%b,, 2", "%b, 2,", "%b, 2]", "%b}", "2, %b"]
)
def test_a_line_that_is_nearly_as_the_one_before_it_is_not_taken_for_it(first: bytes, messages: str) -> None:
    parser = LineParser()
    parser.parse(first)
    known = b'{}, {"a": 1}'
    for raw in (first.replace(known, messages.encode() % known), FIRST.replace(known, messages.encode() % known)):
        assert outcome(parser.parse, raw) == outcome(orjson.loads, raw)


@pytest.mark.parametrize("spelling", SPELLINGS[:3])
def test_what_a_line_repeats_is_not_parsed_again_though_its_system_message_changes(spelling: dict[str, Any]) -> None:
    parser, first_of_all = LineParser(), None
    history: list[Any] = [{}, {"role": "user", "content": "Fix it."}]
    for turn in range(5):
        history = [{"role": "system", "content": f"mark {turn}"}, *history[1:], {"role": "tool", "content": [turn]}]
        raw = json.dumps({"request_body": {"messages": history, "n": turn}, "response_body": {}}, **spelling).encode()
        parsed = parser.parse(raw)["request_body"]["messages"]
        first_of_all = first_of_all or parsed[1]
        assert parsed == history
        assert parsed[1] is first_of_all


def test_nesting_that_is_too_deep_for_a_line_is_so_where_a_line_repeats_another() -> None:
    found, record = set(), b'{"request_body": {"messages": [{}, {"a": 1}%b], "n": 1}}'
    for depth in range(1015, 1030):
        parser = LineParser()
        parser.parse(record % b"")
        raw = record % (b", " + b"[" * depth + b"]" * depth)
        found.add(error := error_of(parser.parse, raw))
        assert error == error_of(orjson.loads, raw)
    assert len(found) > 1
