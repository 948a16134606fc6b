"""Agents that call tools: what all of them have in common, and what each does in its own way."""

import json
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.openhands import twin as openhands
from tests.unit.sft.agent_twin import SYSTEM, TASK, AgentTwin, fixed, tool_call, tool_result, user
from tests.unit.sft.twin import JobOnDisk, Record, TerminusTwin, conversations_in, entry, lines_of
from trajgen_assets.core.openhands.records import told_by, write_tool_calls
from trajgen_assets.core.openhands.rows import OutputRow
from trajgen_assets.core.sft.convert import convert_job
from trajgen_assets.core.sft.encoding import encode
from trajgen_assets.core.sft.messages import content_text
from trajgen_assets.core.sft.reasons import Reason
from trajgen_assets.core.sft.receipt import Receipt
from trajgen_assets.core.sft.settings import ConversionSettings

WITH_TOOLS = ("claude_code", "mini_swe_agent", "open_code", "openhands_sdk")

every_scaffold = pytest.mark.parametrize("scaffold", WITH_TOOLS)


def converted(folder: Path, twin: AgentTwin, scaffold: str = "claude_code", **settings: Any) -> Receipt:
    job = JobOnDisk(folder).add("fix__x", twin).write(scaffold=scaffold)
    return convert_job(job, ConversionSettings(**settings))


def kept(receipt: Receipt) -> list[Record]:
    return lines_of(receipt.im)


def rejected(receipt: Receipt) -> list[tuple[str, str | None]]:
    listed = lines_of(receipt.im.parent / "rejected.jsonl")
    return [(each["reason"], each["detail"]) for each in listed if each["level"] == "row"]


def facts(row: Record) -> Record:
    return row["meta_info"]["unique_info"]


def contents(row: Record) -> list[str]:
    return [message["content"] for message in row["messages"]]


def calls_in(row: Record) -> list[tuple[str, str, str]]:
    calls = [call for message in row["messages"] for call in message.get("tool_calls", ())]
    return [(call["id"], call["function"]["name"], call["function"]["arguments"]) for call in calls]


@every_scaffold
def test_calls_results_thoughts_and_tools_are_all_there_with_their_ids(tmp_path: Path, scaffold: str) -> None:
    (row,) = kept(converted(tmp_path, fixed(), scaffold))
    assert [message["role"] for message in row["messages"]] == [
        *("system", "user", "assistant", "tool", "assistant", "tool", "tool", "assistant")
    ]
    assert calls_in(row) == [
        ("c1", "Bash", '{"command":"ls"}'),
        ("c2", "Bash", '{"command":"cat calc.py"}'),
        ("c3", "Edit", '{"n":1}'),
    ]
    results = [(each["tool_call_id"], each["content"]) for each in row["messages"] if each["role"] == "tool"]
    assert results == [("c1", "calc.py"), ("c2", "return a - b"), ("c3", "ok")]
    turns = [each for each in row["messages"] if each["role"] == "assistant"]
    assert [(turn["reasoning_content"], turn["weight"]) for turn in turns] == [("Think.", 1)] * 3
    assert [tool["name"] for tool in row["tools"]] == ["Bash", "Edit", "Write"]
    assert (facts(row)["_agent_type"], facts(row)["scaffold"], row["meta_info"]["teacher"]) == (
        "main",
        scaffold,
        "served-v2",
    )


@every_scaffold
def test_llama_factory_gets_calls_with_their_text_and_parallel_results_as_one_observation(
    tmp_path: Path, scaffold: str
) -> None:
    (row,) = json.loads(converted(tmp_path, fixed(), scaffold).lf.read_bytes())
    assert [turn["from"] for turn in row["conversations"]] == [
        *("human", "function_call", "observation", "function_call", "observation", "gpt")
    ]
    _, first, _, _, results, _ = (turn["value"] for turn in row["conversations"])
    assert first.endswith('Look first.\n<tool_call>[{"name":"Bash","arguments":{"command":"ls"}}]</tool_call>')
    assert results == "return a - b\n</tool_response>\n<tool_response>\nok"
    assert [tool["name"] for tool in json.loads(row["tools"])] == ["Bash", "Edit", "Write"]


@every_scaffold
def test_a_call_that_its_agent_tidied_up_stands_as_the_model_made_it(tmp_path: Path, scaffold: str) -> None:
    twin = AgentTwin().answer("Look.", tool_call("c1", '{"command": "cd /app && ls"}')).tell(tool_result("c1"))
    twin.chat[-2]["tool_calls"] = [tool_call("c1", '{"command": "ls"}')]
    receipt = converted(tmp_path, twin.answer("Done."), scaffold)
    (row,) = kept(receipt)
    assert calls_in(row) == [("c1", "Bash", '{"command":"cd /app && ls"}')]
    assert (facts(row)["n_rewritten_turns"], rejected(receipt)) == (1, [])


def test_calls_that_are_only_spelled_otherwise_are_not_counted_as_rewritten(tmp_path: Path) -> None:
    twin = AgentTwin().answer("Look.", tool_call("c1", '{"command":"ls"}')).tell(tool_result("c1"))
    twin.chat[-2]["tool_calls"] = [tool_call("c1", '{"command" : "ls"}')]
    (row,) = kept(converted(tmp_path, twin.answer("Done.")))
    assert facts(row)["n_rewritten_turns"] == 0


@pytest.mark.parametrize(("made", "sent"), [("functions.Bash:0", "functions_Bash_0"), ("c1__thought__x+y=", "c1")])
def test_calls_whose_ids_are_changed_on_their_way_belong_to_their_answer(tmp_path: Path, made: str, sent: str) -> None:
    twin = AgentTwin().answer("Look.", tool_call(made, '{"command": "cd /app && ls"}'))
    twin.chat[-1]["tool_calls"] = [tool_call(sent)]
    receipt = converted(tmp_path, twin.tell(tool_result(sent)).answer("Done."))
    (row,) = kept(receipt)
    assert calls_in(row) == [(sent, "Bash", '{"command":"cd /app && ls"}')]
    assert (facts(row)["n_unmatched_reasoning"], rejected(receipt)) == (0, [])


def test_an_answer_that_mini_swe_agent_could_not_read_is_superseded_as_the_model_never_sees_it(tmp_path: Path) -> None:
    twin = AgentTwin().answer("Look.", tool_call("c1")).tell(tool_result("c1"))
    twin.request(twin.chat, "No call.")
    receipt = converted(tmp_path, twin.tell(user("No tool calls found.")).answer("Done."), "mini_swe_agent")
    (row,) = kept(receipt)
    assert contents(row)[-2:] == ["calc.py\n\nNo tool calls found.", "Done."]
    assert rejected(receipt) == [("superseded", None)]


def test_of_two_answers_that_cannot_be_told_apart_the_one_that_was_sent_back_stands(tmp_path: Path) -> None:
    twin = AgentTwin()
    twin.request(twin.chat, "Look.", tool_call("call_0", '{"command": "lost"}'), reasoning="Lost.")
    twin.answer("Look.", tool_call("call_0", '{"command": "ls"}'), reasoning="Kept.").tell(tool_result("call_0"))
    (row,) = kept(converted(tmp_path, twin.answer("Done.")))
    assert calls_in(row) == [("call_0", "Bash", '{"command":"ls"}')]
    assert facts(row)["n_unmatched_reasoning"] == 1


def test_thoughts_in_signed_blocks_are_read_and_redacted_ones_are_not(tmp_path: Path) -> None:
    twin = fixed()
    message = twin.records[-1]["response_body"]["choices"][0]["message"]
    del message["reasoning_content"]
    message["thinking_blocks"] = [
        {"type": "thinking", "thinking": "One.", "signature": "x"},
        {"type": "redacted_thinking", "data": "zz"},
        {"type": "thinking", "thinking": "Two.\n", "signature": "y"},
    ]
    (row,) = kept(converted(tmp_path, twin))
    assert row["messages"][-1]["reasoning_content"] == "One.\n\nTwo."


def test_all_blocks_of_a_text_are_kept(tmp_path: Path) -> None:
    blocks = [{"type": "text", "text": text, "cache_control": {"type": "ephemeral"}} for text in ("a", "", "b")]
    twin = AgentTwin().tell(user(blocks)).answer("Look.", tool_call("c1")).tell(tool_result("c1", blocks))
    (row,) = kept(converted(tmp_path, twin.answer("Done.")))
    assert contents(row)[1] == f"{TASK['content']}\n\na\n\nb"
    assert contents(row)[3] == "a\n\nb"


def test_words_beside_a_result_are_joined_to_it_and_counted(tmp_path: Path) -> None:
    twin = AgentTwin().answer("Look.", tool_call("c1")).tell(tool_result("c1"), user("<system-reminder>Be brief."))
    (row,) = kept(converted(tmp_path, twin.answer("Done.")))
    assert contents(row)[3] == "calc.py\n\n<system-reminder>Be brief."
    assert facts(row)["n_joined_user_messages"] == 1


def test_a_system_prompt_that_changes_with_each_request_does_not_part_a_conversation(tmp_path: Path) -> None:
    twin = fixed()
    for number, record in enumerate(twin.records):
        record["request_body"]["messages"][0]["content"] = f"x-anthropic-billing-header: cch={number:05x};"
    (row,) = kept(converted(tmp_path, twin))
    assert contents(row)[0] == "x-anthropic-billing-header: cch=00002;"


@pytest.mark.parametrize(("scaffold", "session"), [("claude_code", "s1/explore"), ("open_code", "ses_2")])
def test_a_subagent_between_the_calls_of_its_agent_is_a_row_of_its_own(
    tmp_path: Path, scaffold: str, session: str
) -> None:
    twin = AgentTwin().answer("Ask one.", tool_call("c1", '{"prompt": "look"}', "Agent"))
    other = (
        AgentTwin(session).answer("I look.", tool_call("d1")).tell(tool_result("d1", "main.py")).answer("It is main.")
    )
    twin.records += other.records
    receipt = converted(tmp_path, twin.tell(tool_result("c1", "It is main.")).answer("Done."), scaffold)
    assert [(facts(row)["_agent_type"], contents(row)[-1]) for row in kept(receipt)] == [
        ("subagent", "It is main."),
        ("main", "Done."),
    ]
    assert rejected(receipt) == []


def test_two_subagents_that_are_asked_the_same_are_not_taken_for_one(tmp_path: Path) -> None:
    twin = fixed()
    for name in ("s1/a", "s1/b"):
        twin.records += AgentTwin(name).answer("Look.", tool_call("c1")).tell(tool_result("c1")).answer(name).records
    assert [contents(row)[-1] for row in kept(converted(tmp_path, twin))] == ["Done.", "s1/a", "s1/b"]


@pytest.mark.parametrize("scaffold", ["claude_code", "open_code"])
def test_an_agent_that_is_offered_nothing_to_edit_with_is_a_subagent(tmp_path: Path, scaffold: str) -> None:
    twin = fixed()
    for record in twin.records:
        del record["request_body"]["tools"][1:]
    (row,) = kept(converted(tmp_path, twin, scaffold))
    assert facts(row)["_agent_type"] == "subagent"


def system(text: str) -> Record:
    return {"role": "system", "content": [{"type": "text", "text": "header"}, {"type": "text", "text": text}]}


SIDE_CALLS: list[tuple[str, str, list[Record]]] = [
    ("claude_code", "quota probe", [user("quota")]),
    ("claude_code", "title", [system("Generate a short kebab-case name (2-4 words)"), TASK]),
    ("claude_code", "topic detection", [system("Analyze if this message indicates a new conversation topic."), TASK]),
    ("claude_code", "recap", [SYSTEM, TASK, user("The user stepped away and is coming back. Recap")]),
    ("claude_code", "web search", [SYSTEM, user("Perform a web search for the query: add")]),
    (
        "claude_code",
        "summary",
        [
            SYSTEM,
            TASK,
            user([{"type": "text", "text": "Your task is to create a detailed summary of the talk"}]),
        ],
    ),
    ("open_code", "title", [system("You are a title generator. You output"), user("Generate a title:"), TASK]),
    ("open_code", "summary", [system("You are a context summarization agent."), TASK]),
    ("openhands_sdk", "summary", [user("You are maintaining a context-aware state summary for an agent.")]),
    (
        "openhands_sdk",
        "title",
        [system("You are a helpful assistant that generates concise, descriptive titles for"), TASK],
    ),
]


@pytest.mark.parametrize(("scaffold", "what", "history"), SIDE_CALLS)
def test_a_call_beside_the_work_is_left_out_and_told_what_it_is(
    tmp_path: Path, scaffold: str, what: str, history: list[Record]
) -> None:
    twin = AgentTwin()
    twin.request(history, "A side answer.")
    twin.records += fixed().records
    receipt = converted(tmp_path, twin, scaffold)
    assert rejected(receipt) == [("side_call", what)]
    assert [(facts(row)["_agent_type"], contents(row)[-1]) for row in kept(receipt)] == [("main", "Done.")]


@pytest.mark.parametrize("scaffold", ["claude_code", "open_code"])
def test_a_call_that_offers_no_tools_is_beside_the_work(tmp_path: Path, scaffold: str) -> None:
    twin = fixed()
    twin.request([SYSTEM, TASK], "Fix add", tools=[])
    receipt = converted(tmp_path, twin, scaffold)
    assert (rejected(receipt), len(kept(receipt))) == ([("side_call", "offers no tools")], 1)


def test_a_dialogue_that_goes_on_from_a_summary_is_a_row_of_its_own(tmp_path: Path) -> None:
    twin = AgentTwin().answer("Look.", tool_call("c1")).tell(tool_result("c1")).answer("More.", tool_call("c2"))
    asking = user("Your task is to create a detailed summary of the conversation so far")
    twin.request([*twin.chat, tool_result("c2"), asking], "<summary>Looked.</summary>")
    twin.chat = [SYSTEM, user("This session is being continued from a previous conversation."), user("Looked.")]
    twin.answer("Go on.", tool_call("c3")).tell(tool_result("c3")).answer("Done.")
    receipt = converted(tmp_path / "a", twin)
    assert (len(kept(receipt)), rejected(receipt)[1]) == (1, ("first_turn", None))
    receipt = converted(tmp_path / "b", twin, first_turn="keep")
    assert [contents(row)[-1] for row in kept(receipt)] == ["More.", "Done."]
    assert [facts(row)["_agent_type"] for row in kept(receipt)] == ["main", "main"]
    assert rejected(receipt) == [("side_call", "summary")]


def without(twin: AgentTwin, id_: str) -> AgentTwin:
    for record in twin.records:
        messages = record["request_body"]["messages"]
        record["request_body"]["messages"] = [each for each in messages if each.get("tool_call_id") != id_]
    return twin


def with_orphan() -> AgentTwin:
    return AgentTwin().answer("Look.", tool_call("c1")).tell(tool_result("c1"), tool_result("c9")).answer("Done.")


def answered_twice() -> AgentTwin:
    return AgentTwin().answer("Look.", tool_call("c1")).tell(tool_result("c1"), tool_result("c1")).answer("Done.")


@every_scaffold
@pytest.mark.parametrize(
    ("twin", "why"),
    [
        (without(fixed(), "c3"), "a call before message 6 has no result"),
        (with_orphan(), "message 4 is a result of no call of the turn before it"),
        (answered_twice(), "message 4 is a result of no call of the turn before it"),
    ],
)
def test_calls_and_results_that_do_not_belong_together_cost_their_own_trial_only(
    tmp_path: Path, scaffold: str, twin: AgentTwin, why: str
) -> None:
    job = JobOnDisk(tmp_path).add("good__x", fixed()).add("bad__x", twin).write(scaffold=scaffold)
    receipt = convert_job(job, ConversionSettings())
    assert rejected(receipt) == [("tool_calls", why)]
    assert [facts(row)["trial"] for row in kept(receipt)] == ["good__x"]


@pytest.mark.parametrize("arguments", ['{"a": NaN}', '{"a": "\\ud800"}', "[1]", "{", '{"a":' * 400 + "1" + "}" * 400])
def test_arguments_that_are_no_object_cost_their_own_trial_only(tmp_path: Path, arguments: str) -> None:
    twin = AgentTwin().answer("Look.", tool_call("c1", arguments)).tell(tool_result("c1")).answer("Done.")
    job = JobOnDisk(tmp_path).add("good__x", fixed()).add("bad__x", twin).write(scaffold="claude_code")
    assert [facts(row)["trial"] for row in kept(convert_job(job, ConversionSettings()))] == ["good__x"]


@pytest.mark.parametrize("arguments", ["", None])
def test_a_call_without_arguments_has_none(tmp_path: Path, arguments: Any) -> None:
    twin = AgentTwin().answer("Look.", tool_call("c1", arguments)).tell(tool_result("c1")).answer("Done.")
    (row,) = kept(converted(tmp_path, twin))
    assert calls_in(row) == [("c1", "Bash", "{}")]


def test_a_last_turn_that_calls_is_kept_though_its_agent_ended_there(tmp_path: Path) -> None:
    twin = AgentTwin().answer("Look.", tool_call("c1")).tell(tool_result("c1"))
    (row,) = kept(converted(tmp_path, twin.answer("", tool_call("c2", name="finish")), "openhands_sdk"))
    assert calls_in(row)[-1][:2] == ("c2", "finish")


def test_the_settings_of_the_model_lie_in_the_row(tmp_path: Path) -> None:
    twin = fixed()
    asked: dict[str, Any] = {"max_completion_tokens": 9, "seed": 1, "top_k": 5, "reasoning_effort": "high"}
    twin.records[-1]["request_body"] |= asked | {"stream": True}
    (row,) = kept(converted(tmp_path, twin))
    assert facts(row)["_gen_params"] == {"model": "served", "temperature": 0.7} | asked


Turn = list[str]


@settings(max_examples=60, deadline=None)
@given(
    dialogues=st.lists(
        st.lists(st.lists(st.text(max_size=5), max_size=3), min_size=2, max_size=5), min_size=1, max_size=4
    ),
    chance=st.randoms(use_true_random=False),
)
def test_dialogues_that_run_at_once_come_apart_again_whatever_their_order(
    dialogues: list[list[Turn]], chance: Random
) -> None:
    """Each dialogue is a list of turns, each turn the arguments of its calls; a last turn has none."""
    waiting = [spoken(f"s{number}", turns) for number, turns in enumerate(dialogues)]
    expected = {twin.session: [each["content"] for each in twin.chat] for twin in waiting}
    merged = AgentTwin()
    while waiting := [twin for twin in waiting if twin.records]:
        merged.records.append(chance.choice(waiting).records.pop(0))
    with TemporaryDirectory() as folder:
        path = Path(folder) / "trajectory.jsonl"
        path.write_bytes(merged.lines())
        found = conversations_in(path, "mini_swe_agent", entry("fix__x"))
    assert [each.reason for each in found] == [None] * len(dialogues)
    texts = sorted([content_text(each["content"]) for each in conversation.messages] for conversation in found)
    assert texts == sorted([content_text(each) for each in contents] for contents in expected.values())


def spoken(session: str, turns: list[Turn]) -> AgentTwin:
    twin = AgentTwin(session)
    for number, arguments in enumerate(turns):
        ids = [f"c{number}-{place}" for place in range(len(arguments))]
        twin.answer(f"turn {number}", *map(tool_call, ids, map(json.dumps, arguments)))
        twin.tell(*map(tool_result, ids, arguments) if ids else [user("Go on.")])
    return twin.answer(f"end of {session}")


def test_the_tool_call_form_beside_a_record_in_text_is_what_is_converted(tmp_path: Path) -> None:
    calls = tmp_path / "completions"
    openhands.write_mocked_call(calls, 1.0, openhands.asked(), openhands.LOOK)
    row = OutputRow.model_validate(openhands.row())
    spoken = [{"role": "user", "content": "Use <function=execute_bash>."}]
    job = JobOnDisk(tmp_path).add("fix__x", TerminusTwin().ask(spoken[0]["content"], "<function=execute_bash>"))
    path = job.paths.trajectory("fix__x")
    [text] = conversations_in(path, "openhands_codeact", job.entries[0])
    assert write_tool_calls(path.with_name("tool-calls.jsonl"), row, calls, "fix__x")
    [meant] = conversations_in(path, "openhands_codeact", job.entries[0])
    assert text.messages[-1]["content"] == "<function=execute_bash>"
    assert meant.messages[-1]["tool_calls"] == openhands.said(openhands.LOOK)["tool_calls"]
    assert meant.tools == openhands.TOOLS


def test_calls_in_their_own_form_need_nothing_beside_them(tmp_path: Path) -> None:
    openhands.write_call(tmp_path / "completions", 1.0, openhands.asked(), openhands.LOOK)
    row = OutputRow.model_validate(openhands.row())
    assert not write_tool_calls(tmp_path / "tool-calls.jsonl", row, tmp_path / "completions", "fix__x")
    assert not (tmp_path / "tool-calls.jsonl").exists()


def test_an_answer_that_openhands_could_not_read_is_superseded_and_its_error_told(tmp_path: Path) -> None:
    calls = tmp_path / "completions"
    begun = openhands.asked(openhands.said(openhands.LOOK), openhands.result(openhands.LOOK, "src"))
    told = {"role": "user", "content": "Unknown command."}
    for at, asked, reply in (
        (1.0, openhands.asked(), openhands.LOOK),
        (2.0, begun, openhands.response("bad", openhands.answer("", openhands.call(9, "no_such_tool")))),
        (3.0, [*begun, told], openhands.FINISH),
    ):
        openhands.write_call(calls, at, asked, reply)
    records = told_by(OutputRow.model_validate(openhands.row()), calls, "fix__x").records
    job = JobOnDisk(tmp_path).add("fix__x", b"".join(encode(record) + b"\n" for record in records))
    found = conversations_in(job.paths.trajectory("fix__x"), "openhands_codeact", job.entries[0])
    assert [each.reason for each in found] == [Reason.SUPERSEDED, None]
    assert [message["role"] for message in found[1].messages] == ["system", "user", "assistant", "tool", "assistant"]
    assert found[1].messages[3]["content"] == "src\n\nUnknown command."
    assert found[1].n_joined_user_messages == 1
