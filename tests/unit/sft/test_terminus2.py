from pathlib import Path
from typing import Any

from tests.unit.sft.twin import FIRST_PROMPT, Record, TerminusTwin, answer_text, conversations_in, entry, solved
from trajgen_assets.core.sft.scaffolds import Conversation


def conversations(folder: Path, twin: TerminusTwin, **changes: Any) -> list[Conversation]:
    path = folder / "litellm-trajectory.jsonl"
    path.write_bytes(twin.lines())
    return conversations_in(path, "terminus2", entry("fix__x", **changes))


def kept(found: list[Conversation]) -> list[Conversation]:
    return [each for each in found if each.reason is None]


def thoughts(conversation: Conversation) -> list[str | None]:
    return [each.get("reasoning_content") for each in conversation.messages if each["role"] == "assistant"]


def user(content: str) -> Record:
    return {"role": "user", "content": content}


def test_a_linear_dialogue_is_one_conversation_ending_with_the_last_answer(tmp_path: Path) -> None:
    (only,) = conversations(tmp_path, solved())
    assert [each["content"] for each in only.messages][::2] == [
        FIRST_PROMPT,
        "New Terminal Output:\nreturn a - b\n",
        "Are you sure?",
    ]
    assert only.messages[-1]["content"] == answer_text("Yes.", done=True)
    assert only.model == "served-v2"


def test_thoughts_are_joined_from_the_call_that_gave_each_answer(tmp_path: Path) -> None:
    twin = TerminusTwin().ask("1", "same", "first").ask("2", "same", "second").ask("3", "same")
    (only,) = conversations(tmp_path, twin)
    assert thoughts(only) == ["first", "second", None]
    assert only.n_unmatched_reasoning == 0


def test_an_answer_whose_call_is_not_on_record_keeps_no_thoughts_and_is_counted(tmp_path: Path) -> None:
    twin = solved()
    twin.records[0]["success"] = False
    (only,) = conversations(tmp_path, twin)
    assert thoughts(only) == [None, None, "Look first."]
    assert only.n_unmatched_reasoning == 1


def test_an_answer_changed_by_the_agent_is_not_given_thoughts_of_another(tmp_path: Path) -> None:
    twin = TerminusTwin().ask("1", "as answered", "mine")
    twin.chat[-1]["content"] = "as repaired"
    found = conversations(tmp_path, twin.ask("2", "b", "next"))
    assert [each.reason for each in found] == ["superseded", None]
    assert thoughts(found[1]) == [None, "next"]
    assert found[1].n_unmatched_reasoning == 1


def test_equal_answers_with_different_thoughts_are_not_guessed_between(tmp_path: Path) -> None:
    twin = TerminusTwin()
    twin.call([user("1")], "a", "one way")
    found = conversations(tmp_path, twin.ask("1", "a", "another way").ask("2", "b", "next"))
    assert thoughts(kept(found)[0]) == [None, "next"]
    assert kept(found)[0].n_unmatched_reasoning == 1


def test_a_hand_off_makes_two_conversations_and_three_side_calls(tmp_path: Path) -> None:
    twin = solved().hand_off().ask("Here are the answers.\n\ncalc.py", "go on", "Continue.").ask("out", "end", "End.")
    found = conversations(tmp_path, twin)
    assert [each.reason for each in found] == [None, "side_call", "side_call", "side_call", None]
    before, after = kept(found)
    assert len(before.messages) == 6
    assert [each["role"] for each in after.messages] == ["user", "assistant"] * 3
    assert after.messages[0]["content"].startswith(FIRST_PROMPT + "\n\nYou are picking up work")
    assert (after.n_joined_user_messages, after.n_shared_messages, after.n_unmatched_reasoning) == (1, 1, 1)
    assert thoughts(after) == [None, "Continue.", "End."]


def test_an_unwound_dialogue_with_a_short_summary_shares_its_beginning(tmp_path: Path) -> None:
    twin = solved()
    twin.call([user("Briefly continue this task: fix\n\nCurrent state: $")], "Go on.", "Short.")
    twin.chat = twin.chat[:2]
    first, side, second = conversations(tmp_path, twin.ask("fix\n\nSummary: Go on.", "on it", "t"))
    assert [first.reason, side.reason, second.reason] == [None, "side_call", None]
    assert (len(second.messages), second.n_shared_messages) == (4, 2)


def test_the_answer_to_an_abandoned_retry_is_superseded(tmp_path: Path) -> None:
    twin = TerminusTwin().ask("1", "a", "t")
    twin.call([*twin.chat, user("2")], "lost", "lost")
    found = conversations(tmp_path, twin.ask("2", "kept", "t").ask("3", "end", "t"))
    assert [each.reason for each in found] == ["superseded", None]
    assert [each["content"] for each in found[1].messages][1::2] == ["a", "kept", "end"]


def test_of_two_last_answers_to_the_same_question_the_later_is_taken(tmp_path: Path) -> None:
    twin = solved()
    twin.call([*twin.chat, user("4")], "early", "t")
    twin.call([*twin.chat, user("4")], "late", "t")
    found = conversations(tmp_path, twin)
    assert [(each.reason, each.messages[-1]["content"]) for each in found] == [("superseded", "early"), (None, "late")]


def test_a_call_that_its_client_left_is_passed_over(tmp_path: Path) -> None:
    twin = solved()
    twin.call([*twin.chat, user("4")], "half an ans", "t", client_disconnected=True)
    (only,) = conversations(tmp_path, twin)
    assert only.messages[-1]["content"] == answer_text("Yes.", done=True)


def test_cache_marks_around_a_resent_message_do_not_part_a_conversation(tmp_path: Path) -> None:
    twin = solved()
    for message in twin.records[-1]["request_body"]["messages"]:
        block = {"type": "text", "text": message["content"], "cache_control": {"type": "ephemeral"}}
        message["content"] = [block]
    (only,) = conversations(tmp_path, twin)
    assert thoughts(only) == ["Look first.", None, "Look first."]


def test_thoughts_inside_an_answer_are_found_though_the_client_cut_them_off(tmp_path: Path) -> None:
    twin = TerminusTwin()
    twin.call([user("1")], "<think>\ninside\n</think>\n\nanswer")
    twin.chat = [user("1"), {"role": "assistant", "content": "answer"}]
    (only,) = conversations(tmp_path, twin.ask("2", "end", "t"))
    assert thoughts(only) == ["inside", "t"]


def test_a_system_message_and_an_empty_answer_are_taken_as_they_are(tmp_path: Path) -> None:
    twin = TerminusTwin()
    twin.chat = [{"role": "system", "content": "Be brief."}]
    twin.ask("1", "")
    twin.records[-1]["response_body"]["choices"][0]["message"]["content"] = None
    (only,) = conversations(tmp_path, twin.ask("2", "end"))
    assert [each["content"] for each in only.messages] == ["Be brief.", "1", "", "2", "end"]
