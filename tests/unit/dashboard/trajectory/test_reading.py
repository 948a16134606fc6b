import json
from pathlib import Path

import pytest

from tests.unit.sft.agent_twin import TASK, AgentTwin, fixed, tool_call, tool_result, user
from tests.unit.sft.test_golden import GOLDEN
from tests.unit.sft.twin import TerminusTwin, answer_text, entry, solved
from trajgen_assets.core.dashboard.trajectory.model import Entry, FailedCall, Kind, Turn, Unreadable
from trajgen_assets.core.dashboard.trajectory.reading import Reader
from trajgen_assets.core.sft.scaffolds import SCAFFOLDS
from trajgen_assets.core.sft.trajectory import read_trajectory

LEFT = {"success": False, "response_body": {}}


def read(folder: Path, lines: bytes | TerminusTwin, scaffold: str = "claude_code") -> tuple[list[Entry], Reader]:
    path = folder / "litellm-trajectory.jsonl"
    path.write_bytes(lines.lines() if isinstance(lines, TerminusTwin) else lines)
    reader = Reader(scaffold)
    return list(reader.entries(path)), reader


def turns_of(entries: list[Entry]) -> list[Turn]:
    return [each for each in entries if isinstance(each, Turn)]


def test_results_stand_with_their_calls_and_what_a_tool_refused_is_an_error(tmp_path: Path) -> None:
    twin = (
        AgentTwin()
        .answer("Two at once.", tool_call("a"), tool_call("b", '{"file_path": "x"}', "Edit"))
        .tell(tool_result("b", "<tool_use_error>no such file</tool_use_error>"), tool_result("a", "calc.py"))
        .tell(user("A reminder."))
        .answer("Done.")
    )
    first, last = turns_of(read(tmp_path, twin)[0])
    assert [(call.name, call.result and call.result.text) for call in first.calls] == [
        ("Bash", "calc.py"),
        ("Edit", "<tool_use_error>no such file</tool_use_error>"),
    ]
    assert [call.result and call.result.is_error for call in first.calls] == [False, True]
    assert [(each.role, each.text) for each in first.following] == [("user", "A reminder.")]
    assert (first.has_error, last.has_error) == (True, False)
    assert (first.reasoning, first.text, last.number) == ("Think.", "Two at once.", 2)


def test_a_call_without_a_result_has_none(tmp_path: Path) -> None:
    (only,) = turns_of(read(tmp_path, AgentTwin().answer("", tool_call("a")))[0])
    assert only.calls[0].result is None


def test_commands_of_terminus_are_read_out_of_its_text(tmp_path: Path) -> None:
    first, *_ = turns_of(read(tmp_path, solved(), "terminus2")[0])
    assert (first.commands, first.said) == (("cat calc.py\n",), "Fresh.\nGo on.")
    assert first.following[0].text.startswith("New Terminal Output:")


def test_time_between_calls_is_that_of_tools(tmp_path: Path) -> None:
    first, *_, last = turns_of(read(tmp_path, fixed())[0])  # every 2.5 s a call of 2 s
    assert (first.tool_ms, last.tool_ms) == (500, None)
    assert first.figures.ended_at_ms == 1763683202500 + 2000


def test_a_subagent_is_a_conversation_of_its_own(tmp_path: Path) -> None:
    main, sub = fixed(), AgentTwin("s1/sub").answer("Looked around.")
    main.records[1:1] = sub.records
    entries, reader = read(tmp_path, main)
    assert [each.kind for each in reader.openings] == [Kind.MAIN, Kind.SUBAGENT]
    assert [(each.conversation, each.number) for each in turns_of(entries)] == [(1, 1), (1, 2), (1, 3), (2, 1)]


def test_a_call_beside_the_work_is_named(tmp_path: Path) -> None:
    twin = fixed()
    twin.request([TASK], "fix-add", tools=[])
    _, reader = read(tmp_path, twin)
    assert [(each.kind, each.label) for each in reader.openings] == [
        (Kind.MAIN, ""),
        (Kind.SIDE, "offers no tools"),
    ]


def test_an_answer_that_was_asked_for_again_is_not_taken(tmp_path: Path) -> None:
    twin = AgentTwin()
    twin.request(twin.chat, "Lost on its way.")
    twin.answer("Look.", tool_call("a")).tell(tool_result("a")).answer("Done.")
    turns = turns_of(read(tmp_path, twin)[0])
    assert [(each.conversation, each.number, each.is_taken) for each in turns] == [
        (1, 1, False),
        (1, 1, True),
        (1, 2, True),
    ]


def test_a_dialogue_that_goes_on_elsewhere_says_where_it_parted(tmp_path: Path) -> None:
    twin = fixed()
    twin.request([*twin.chat[:4], user("Another way.")], "Otherwise.", tool_call("z"))
    _, reader = read(tmp_path, twin)
    assert reader.openings[1].forked_from == (1, 1)
    assert [each.text for each in reader.openings[1].messages] == ["calc.py", "Another way."]


@pytest.mark.parametrize("scaffold", ["claude_code", "terminus2"])
def test_conversations_have_the_numbers_of_the_rows(tmp_path: Path, scaffold: str) -> None:
    twin = solved().hand_off().ask("calc.py", answer_text("Go on.", done=True), "Now.")
    twin.call(twin.chat, "never taken")
    twin.ask("Sure?", answer_text("Yes.", done=True))
    entries, reader = read(tmp_path, twin, scaffold)
    rules = SCAFFOLDS[scaffold]
    path = tmp_path / "litellm-trajectory.jsonl"
    conversations = list(rules.conversations(read_trajectory(path, entry("t__1"), rules.side_call)))
    lines = {number: line for line, number in reader.row_numbers().items()}
    texts = {each.line: each.text for each in turns_of(entries)}
    assert sorted(lines) == list(range(len(conversations)))
    for number, conversation in enumerate(conversations):
        assert texts[lines[number]] == conversation.messages[-1]["content"]


def test_a_turn_has_the_number_that_flags_of_its_row_count_by(tmp_path: Path) -> None:
    twin = solved().hand_off().ask("calc.py", answer_text("Go on.", done=True), "Now.")
    entries, _ = read(tmp_path, twin, "terminus2")
    after = [each for each in turns_of(entries) if each.conversation == 5]
    assert [each.number for each in after] == [2]  # its history opens with the questions, which were asked apart


def test_a_failed_call_and_a_client_that_left_are_no_turns(tmp_path: Path) -> None:
    twin = fixed()
    twin.records[1] |= LEFT | {"failure": {"error_type": "RateLimitError", "status_code": 429, "message": "slow down"}}
    twin.call([TASK], "", client_disconnected=True)
    entries, _ = read(tmp_path, twin)
    failed = [each for each in entries if isinstance(each, FailedCall)]
    assert [(each.error, each.status_code, each.message) for each in failed] == [
        ("RateLimitError", 429, "slow down"),
        ("client_disconnected", None, "the client left before the reply was whole"),
    ]
    assert "messages" not in json.dumps(failed[0].raw["request_body"])


def test_what_cannot_be_read_is_told_and_the_rest_is_shown(tmp_path: Path) -> None:
    whole = fixed().lines().splitlines(keepends=True)
    deep = b'{"success": true, "x": ' + b"[" * 200_000 + b"]" * 200_000 + b"}\n"
    odd = b'{"success": true, "request_body": {"messages": "?"}, "response_body": {}}\n'
    lines = [whole[0], b"no JSON\n", deep, whole[1], b"[1]\n", odd, whole[2][:-40]]
    entries, _ = read(tmp_path, b"".join(lines))
    told = {each.line: each.why for each in entries if isinstance(each, Unreadable)}
    assert told == {
        2: "it is no JSON object, or too deep",
        3: "it is no JSON object, or too deep",
        5: "it is no JSON object, or too deep",
        6: "the request holds no messages",
        7: "it ends in the middle: its writer was stopped",
    }
    assert [each.number for each in turns_of(entries)] == [1, 2]


def test_half_characters_and_numbers_that_are_none_are_read_all_the_same(tmp_path: Path) -> None:
    line = json.dumps(AgentTwin().answer("half \ud800").records[0]).encode() + b"\n"
    entries, _ = read(tmp_path, line.replace(b'"cost": 0.001', b'"cost": NaN'))
    (only,) = turns_of(entries)
    assert (only.text, only.figures.cost_usd) == ("half \\ud800", None)


def test_a_record_is_kept_without_what_the_call_before_it_had(tmp_path: Path) -> None:
    first, second, _ = turns_of(read(tmp_path, fixed())[0])
    assert len(first.raw["request_body"]["messages"]) == 2
    assert second.raw["request_body"]["messages"] == [tool_result("c1")]
    assert second.raw["request_body"]["messages_before"] == 3
    assert second.raw["request_body"]["tools"] == "the same 3 as in the call before"


def test_a_damaged_compressed_file_is_shown_up_to_where_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "litellm-trajectory.jsonl"
    (tmp_path / "litellm-trajectory.jsonl.zst").write_bytes(b"\x28\xb5\x2f\xfdnot a frame")
    (only,) = Reader("claude_code").entries(path)
    assert isinstance(only, Unreadable)
    assert only.why.startswith("the file cannot be read from here on: ")


@pytest.mark.parametrize("scaffold", SCAFFOLDS)
def test_a_recorded_trial_of_each_scaffold_is_read_as_its_rows_are(scaffold: str) -> None:
    reader = Reader(scaffold)
    turns = turns_of(list(reader.entries(GOLDEN / f"{scaffold}.jsonl")))
    rows = json.loads((GOLDEN / f"{scaffold}.json").read_bytes())
    (main,) = [each.conversation for each in reader.openings if each.kind is Kind.MAIN]
    shown = [each for each in turns if each.conversation == main]
    said = [each for each in rows["im"][0]["messages"] if each["role"] == "assistant"]
    assert [(each.text, each.reasoning) for each in shown] == [
        (each["content"], each["reasoning_content"]) for each in said
    ]
    assert [[call.arguments for call in each.calls] for each in shown] == [
        [call["function"]["arguments"] for call in each.get("tool_calls", [])] for each in said
    ]
    assert all(call.result for each in shown[:-1] for call in each.calls)
    assert len(reader.row_numbers()) == len(rows["im"]) + len(
        [each for each in rows["rejected"] if each[0] == "side_call"]
    )


def test_a_file_that_is_gone_is_a_line_that_names_no_path(tmp_path: Path) -> None:
    (only,) = Reader("claude_code").entries(tmp_path / "litellm-trajectory.jsonl")
    assert only == Unreadable(1, "the file cannot be read from here on: No such file or directory")
