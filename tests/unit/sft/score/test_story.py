"""What a call is taken for: a command, a write, an act upon a file."""

import json
from typing import Any

import pytest

from tests.unit.sft.twin import answer_text
from trajgen_assets.core.sft.messages import Json, normalise_all
from trajgen_assets.core.sft.score.story import Action, story_of

ROUND = {"role": "user", "content": "Fix it."}


def acted(name: str, arguments: Json) -> Action:
    call = {"id": "c", "function": {"name": name, "arguments": json.dumps(arguments)}}
    messages: list[Json] = [ROUND, {"role": "assistant", "content": "", "tool_calls": [call]}]
    (turn,) = story_of(normalise_all(messages), [], "claude_code")
    return turn.actions[0]


@pytest.mark.parametrize(
    ("name", "arguments", "command"),
    [
        ("Bash", {"command": "ls"}, "ls"),
        ("terminal", {"command": "ls"}, "ls"),
        ("execute_ipython_cell", {"code": "1 + 1"}, "1 + 1"),
        ("run_python", {"code": "1"}, "1"),
        ("anything", {"command": "ls"}, "ls"),
        ("anything", {"cmd": "ls"}, "ls"),
        ("anything", {"keystrokes": "ls\n"}, "ls\n"),
        ("anything", {"code": "1"}, None),
        ("bash", {"command": "a", "code": "b", "cmd": "c", "keystrokes": "d"}, "a"),
        ("bash", {"command": " ", "code": "b"}, "b"),
        ("bash", {}, ""),
        ("Read", {"file_path": "a"}, None),
        ("anything", {"command": "  "}, None),
        *[("bash", {"command": verb}, None) for verb in ("view", "create", "str_replace", "insert", "undo_edit")],
        *[
            ("bash", {"command": "ls", field: ""}, None)
            for field in ("old_str", "new_str", "file_text", "view_range", "insert_line")
        ],
        *[("bash", {"command": "ls", field: ""}, None) for field in ("task_list", "thought", "task_completed")],
        ("bash", {"command": ["ls"]}, ""),
    ],
)
def test_a_command_is_known_by_its_field_and_else_by_its_tool(name: str, arguments: Json, command: str | None) -> None:
    assert acted(name, arguments).command == command


@pytest.mark.parametrize(
    ("name", "arguments", "edits"),
    [
        *[(name, {"file_path": "a.py"}, ("a.py",)) for name in ("Edit", "Write", "MultiEdit", "NotebookEdit", "patch")],
        *[
            (name, {"command": verb, "path": "a.py"}, ("a.py",))
            for name in ("file_editor", "str_replace_editor")
            for verb in ("str_replace", "create", "insert")
        ],
        ("file_editor", {"command": "view", "path": "a.py"}, ()),
        ("file_editor", {"command": "undo_edit", "path": "a.py"}, ()),
        ("Read", {"file_path": "a.py"}, ()),
        ("Write", {}, ()),
        ("Bash", {"command": "echo 1 > a.py"}, ("a.py",)),
    ],
)
def test_a_write_is_known_by_tool_and_verb(name: str, arguments: Json, edits: tuple[str, ...]) -> None:
    assert acted(name, arguments).edits == edits


@pytest.mark.parametrize("key", ["file_path", "filePath", "path", "notebook_path", "notebookPath"])
@pytest.mark.parametrize("prefix", ["", "/workspace/", "/testbed/", "/repo/", "/home/swe-bench/"])
def test_a_path_is_that_within_the_checkout_whatever_its_key(key: str, prefix: str) -> None:
    assert acted("Edit", {key: f"{prefix}src/../a.py"}).path == "a.py"


def test_only_one_prefix_is_taken_off() -> None:
    assert acted("Edit", {"path": "/testbed/testbed/repo/a.py"}).path == "testbed/repo/a.py"


@pytest.mark.parametrize("value", [None, 7, [], {}, ""])
def test_a_path_that_is_no_text_is_none(value: Any) -> None:
    assert acted("Edit", {"path": value}).path is None


def test_results_belong_to_the_calls_at_their_places() -> None:
    calls = [{"id": each, "function": {"name": "bash", "arguments": '{"command": "ls"}'}} for each in "abc"]
    results = [{"role": "tool", "tool_call_id": each, "content": text} for each, text in (("b", "one"), ("a", "two"))]
    (turn,) = story_of(
        normalise_all([ROUND, {"role": "assistant", "content": "", "tool_calls": calls}, *results]), [], "x"
    )
    seen = [action.observation.text if action.observation else None for action in turn.actions]
    assert seen == ["one", "two", None]


@pytest.mark.parametrize(
    ("content", "commands", "says_done"),
    [
        (answer_text("a", "ls\n", "pwd\n"), ["ls\n", "pwd\n"], False),
        (answer_text("a", done=True), [], True),
        ("<think>t</think>" + answer_text("a", "ls\n"), ["ls\n"], False),
        ("Words before " + answer_text("a", "ls\n") + " and behind", ["ls\n"], False),
        ('{"commands": [{"keystrokes": "ls\\n", "duration": 1}, 7, {"keystrokes": 7}, {}]}', ["ls\n"], False),
        ('{"task_complete": "true"}', [], False),
        ("no JSON", [], False),
        ("", [], False),
    ],
)
def test_an_answer_of_terminus_has_its_commands(content: str, commands: list[str], says_done: bool) -> None:
    (turn,) = story_of(normalise_all([ROUND, {"role": "assistant", "content": content}]), [], "terminus2")
    assert ([action.command for action in turn.actions], turn.says_done) == (commands, says_done)
