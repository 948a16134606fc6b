"""Events put together to a dialogue."""

import pytest

from tests.unit.openhands import twin
from trajgen_assets.core.openhands.history import Dialogue, HistoryError, cut, dialogue_of, openhands_version, tools_of
from trajgen_assets.core.openhands.metrics import metrics_of, usage_by_response
from trajgen_assets.core.openhands.rows import OutputRow
from trajgen_assets.core.sft.messages import Json

CALLS = ("execute_bash", "think")
BOTH = twin.response(
    "gen-4", twin.answer("Two at once.", twin.call(4, CALLS[0], command="ls"), twin.call(5, CALLS[1], thought="hm"))
)


def dialogue(*events: Json, **changes: object) -> Dialogue:
    return dialogue_of(OutputRow.model_validate(twin.row(history=[*twin.opening(), *events], **changes)))


def roles(found: Dialogue) -> list[str]:
    return [message["role"] for message in found.messages]


def test_a_history_becomes_the_dialogue_that_ends_with_the_last_answer() -> None:
    row = OutputRow.model_validate(twin.row())
    found = dialogue_of(row)
    assert roles(found) == ["system", "user", "assistant", "tool", "assistant", "tool", "assistant"]
    assert found.messages[2] == twin.said(twin.LOOK)
    assert found.messages[-1]["tool_calls"][0]["function"]["name"] == "finish"
    assert found.response_ids == ["gen-1", "gen-2", "gen-3"]
    assert [turn.n_before for turn in found.turns] == [2, 4, 6]
    assert found.tools == tools_of(row) == twin.TOOLS
    assert openhands_version(row) == "0.62.0"


def test_whole_files_and_diffs_never_reach_the_dialogue() -> None:
    found = dialogue_of(OutputRow.model_validate(twin.row()))
    assert found.messages[5]["content"] == "The file was edited."
    assert "whole file" not in str(found.messages)


def test_calls_of_one_reply_are_one_answer_with_their_results_behind_it() -> None:
    found = dialogue(
        twin.action(5, "run", BOTH, 0),
        twin.ran(6, BOTH, "src", 0),
        twin.action(7, "think", BOTH, 1),
        twin.observed(8, "think", BOTH, "Your thought has been logged.", 1),
        twin.action(9, "finish", twin.FINISH),
    )
    assert roles(found) == ["system", "user", "assistant", "tool", "tool", "assistant"]
    assert [message["tool_call_id"] for message in found.messages[3:5]] == ["toolu_04", "toolu_05"]


def test_a_command_is_shown_as_the_model_saw_it() -> None:
    found = dialogue(
        twin.action(5, "run", twin.LOOK),
        twin.ran(6, twin.LOOK, "src", prefix="[before]\n", exit_code=2, py_interpreter_path="/usr/bin/python"),
    )
    assert found.messages[3]["content"] == (
        "[before]\nsrc\n[done]\n[Current working directory: /workspace]\n[Python interpreter: /usr/bin/python]\n"
        "[Command finished with exit code 2]"
    )


def test_a_command_that_has_not_ended_has_no_exit_code() -> None:
    found = dialogue(twin.action(5, "run", twin.LOOK), twin.ran(6, twin.LOOK, "src", exit_code=-1))
    assert "exit code" not in found.messages[3]["content"]


def test_a_long_output_is_cut_to_what_the_row_says_and_a_file_is_not() -> None:
    config = {"llm_config": {"max_message_chars": 100}}
    long = "a" * 90 + "b" * 90
    found = dialogue(twin.action(5, "run", twin.LOOK), twin.ran(6, twin.LOOK, long), metadata=config)
    content = found.messages[3]["content"]
    assert content.startswith("a" * 50 + "\n[... Observation truncated")
    assert content.endswith("exit code 0]")
    found = dialogue(
        twin.action(5, "read", twin.LOOK), twin.observed(6, "read", twin.LOOK, long, path="/w"), metadata=config
    )
    assert found.messages[3]["content"] == long


def test_no_limit_cuts_nothing() -> None:
    assert cut("a" * 50, -1) == "a" * 50
    assert cut("a" * 50, 50) == "a" * 50


def test_an_orphan_error_is_what_a_user_said_after_an_answer_that_is_lost() -> None:
    orphan = {"id": 7, "source": "agent", "observation": "error", "content": "Unknown command.", "extras": {}}
    found = dialogue(
        twin.action(5, "run", twin.LOOK),
        twin.ran(6, twin.LOOK, "src"),
        orphan,
        twin.action(8, "finish", twin.FINISH),
    )
    assert roles(found) == ["system", "user", "assistant", "tool", "user", "assistant"]
    assert found.messages[4]["content"] == "Unknown command.\n[Error occurred in processing last action]"
    assert found.n_lost_answers == 1


def test_an_error_of_a_call_is_its_result() -> None:
    found = dialogue(twin.action(5, "run", twin.LOOK), twin.observed(6, "error", twin.LOOK, "No such path."))
    assert found.messages[3]["role"] == "tool"
    assert found.n_lost_answers == 0


def test_an_old_history_of_pairs_is_read_in_its_order() -> None:
    events = twin.finished_history()
    pairs = [[event, {"observation": "null", "content": ""}] for event in events[:2]]
    pairs += [events[4:6], events[6:8], [events[8], {"observation": "null", "content": "", "cause": 9}]]
    found = dialogue_of(OutputRow.model_validate(twin.row(history=pairs)))
    assert roles(found) == ["system", "user", "assistant", "tool", "assistant", "tool", "assistant"]


def test_text_without_calls_is_an_answer_and_what_the_user_says_then_a_question() -> None:
    ask = {"id": 7, "source": "agent", "action": "message", "args": {"content": "What now?"}}
    go_on = {"id": 8, "source": "user", "action": "message", "args": {"content": "Go on."}}
    found = dialogue(
        twin.action(5, "run", twin.LOOK),
        twin.ran(6, twin.LOOK, "src"),
        ask,
        go_on,
        twin.action(9, "finish", twin.FINISH),
    )
    assert roles(found) == ["system", "user", "assistant", "tool", "assistant", "user", "assistant"]


def test_a_condensed_history_says_so() -> None:
    condensed = {"id": 7, "source": "agent", "action": "condensation", "args": {"forgotten_event_ids": [5, 6]}}
    assert dialogue(twin.action(5, "run", twin.LOOK), twin.ran(6, twin.LOOK, "src"), condensed).n_condensed == 1


@pytest.mark.parametrize(
    ("history", "why"),
    [
        (None, "holds no history"),
        (["event"], "neither an event nor a pair"),
        (twin.opening(), "the model never answered"),
        ([{"id": 1}], "event 1 is neither action nor observation"),
        ([{"id": 1, "source": "agent", "action": "run", "args": {}}], "event 1, run, does not say"),
        ([{"id": 1, "action": "run", "tool_call_metadata": {}}], "event 1 does not hold the answer"),
    ],
)
def test_a_history_that_gives_no_dialogue_says_why(history: object, why: str) -> None:
    with pytest.raises(HistoryError, match=why):
        dialogue_of(OutputRow.model_validate(twin.row(history=history)))


def test_metrics_count_calls_tokens_and_cost() -> None:
    metrics = metrics_of(twin.metrics("gen-1", "gen-2"))
    assert metrics.response_ids == metrics.all_ids == ("gen-1", "gen-2")
    assert (metrics.n_input_tokens, metrics.n_output_tokens, metrics.n_cache_tokens) == (2700, 90, 300)
    assert metrics.cost_usd is None
    assert metrics_of(twin.metrics() | {"accumulated_cost": 0.5}).cost_usd == 0.5
    assert metrics_of(None).n_input_tokens is None


def test_a_call_whose_answer_was_lost_is_timed_and_not_counted() -> None:
    raw = twin.metrics("gen-1") | {"response_latencies": [{"response_id": each} for each in ("gen-1", "lost")]}
    assert metrics_of(raw).all_ids == ("gen-1", "lost")


def test_each_call_has_its_own_usage() -> None:
    assert usage_by_response(twin.metrics("gen-1"))["gen-1"] == {
        "prompt_tokens": 900,
        "completion_tokens": 30,
        "total_tokens": 930,
        "prompt_tokens_details": {"cached_tokens": 100},
    }
    assert usage_by_response(None) == {}
