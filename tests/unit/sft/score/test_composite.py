import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.unit.sft.twin import answer_text
from trajgen_assets.core.sft.messages import Json, normalise_all
from trajgen_assets.core.sft.score.composite import composite, score, scored
from trajgen_assets.core.sft.score.parts import steps
from trajgen_assets.core.sft.score.rules import EXPONENTS, WEIGHTS
from trajgen_assets.core.sft.score.story import Turn, canonical_names, is_test_path, relative, story_of


class Talk:
    """A conversation in IM form, built call by call."""

    def __init__(self, scaffold: str = "claude_code") -> None:
        self.scaffold = scaffold
        self.messages: list[Json] = [{"role": "user", "content": "Fix it."}]
        self.n_calls = 0

    def call(self, name: str, observed: str | None = "ok", **arguments: Any) -> "Talk":
        self.n_calls += 1
        function = {"name": name, "arguments": json.dumps(arguments)}
        call = {"id": f"c{self.n_calls}", "type": "function", "function": function}
        self.messages.append({"role": "assistant", "content": "Let me look.", "tool_calls": [call]})
        if observed is not None:
            self.messages.append({"role": "tool", "content": observed, "tool_call_id": f"c{self.n_calls}"})
        return self

    def say(self, text: str) -> "Talk":
        self.messages.append({"role": "assistant", "content": text})
        return self

    def score(self, tools: list[Json] | None = None) -> Json:
        result = score(story_of(normalise_all(self.messages), tools or [], self.scaffold), self.scaffold)
        return result.shown | {"evidence": result.evidence}


def good() -> Talk:
    return (
        Talk()
        .call("Read", file_path="/testbed/a.py")
        .call("Edit", file_path="/testbed/a.py", old_string="a", new_string="b")
        .call("Write", file_path="/testbed/tests/test_a.py", content="x")
        .call("Bash", "3 passed in 0.1s", command="pytest -q")
        .say("Done.")
    )


def test_weights_are_the_whole_and_every_exponent_is_of_a_weighted_part() -> None:
    assert sum(WEIGHTS.values()) == pytest.approx(1.0)
    assert all(WEIGHTS[name] for name in EXPONENTS)


def test_a_good_story_has_the_best_score_and_says_what_it_rests_on() -> None:
    shown = good().score()
    assert shown["composite_score"] == 1.0
    assert (shown["assistant_turns"], shown["total_tool_calls"]) == (5, 4)
    assert shown["evidence"]["tvr"] == {
        "test_file": "tests/test_a.py",
        "test_file_turn": 3,
        "test_runs": 1,
        "last_run_turn": 4,
        "last_run": "pytest -q",
        "outcome": "pass",
    }
    assert shown["evidence"]["sub"]["late_test_turn"] == 4


def test_the_keys_are_those_of_the_reference() -> None:
    parts = ["sub", "stp", "tvr", "fec", "dpi", "oec", "iac", "ped", "psn", "tte", "scp"]
    assert list(good().score())[:-1] == [
        "scaffold",
        "assistant_turns",
        "total_tool_calls",
        *[f"{part}_score" for part in parts],
        "composite_score",
        "reproduce_first",
    ]


def test_an_open_call_at_the_end_is_no_submission() -> None:
    shown = Talk().call("Read", file_path="a").call("Edit", None, file_path="a").score()
    assert (shown["sub_score"], shown["evidence"]["dpi"]["truncated"]) == (0.0, True)


def test_a_late_test_is_worth_nothing_where_the_work_is_not_concluded() -> None:
    shown = Talk().call("Edit", file_path="a.py").call("Bash", "3 passed", command="pytest").score()
    assert (shown["sub_score"], shown["evidence"]["sub"]["late_test_turn"]) == (0.0, 2)


@pytest.mark.parametrize(("n_before", "n_after", "late_turn"), [(0, 0, 1), (7, 1, 8), (7, 5, None), (8, 0, 9)])
def test_a_test_is_late_from_four_fifths_of_the_turns_on(n_before: int, n_after: int, late_turn: int | None) -> None:
    talk = Talk()
    for command in [*["ls"] * n_before, "pytest", *["ls"] * n_after]:
        talk.call("Bash", command=command)
    assert talk.say("Done.").score()["evidence"]["sub"]["late_test_turn"] == late_turn


@pytest.mark.parametrize(
    ("text", "base"),
    [
        ("All tests pass.", 1.0),
        ("The task is complete.", 1.0),
        ("The bug has been fixed.", 1.0),
        ("Successfully implemented it.", 1.0),
        ("It is fixed.", 0.8),
        ("Done.", 0.8),
        ("Work completed", 0.8),
        ("I verified it.", 0.8),
        ("Resolved?", 0.8),
        ("I looked around.", 0.5),
        ("It is undone, incompletely.", 0.5),
        ("", 0.5),
    ],
)
def test_openhands_is_judged_by_its_last_words(text: str, base: float) -> None:
    assert Talk("openhands_sdk").call("terminal", command="ls").say(text).score()["sub_score"] == base


def test_openhands_finish_and_the_submit_command_of_mini_swe_agent_conclude() -> None:
    assert Talk("openhands_sdk").call("finish", message="x").score()["sub_score"] == 1.0
    submit = "echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT && git diff"
    assert Talk("mini_swe_agent").call("bash", None, command=submit).score()["sub_score"] == 1.0


def test_errors_towards_the_end_lower_the_submission() -> None:
    talk = good()
    talk.messages[-2]["content"] = "<tool_use_error>x"
    assert talk.score()["sub_score"] == pytest.approx(0.7 + 0.3 * 0.5 + 0.15)


@pytest.mark.parametrize(("n", "value"), [(0, 0), (3, 0.6), (5, 1), (10, 1), (80, 1), (140, 0.5**1.5), (200, 0)])
def test_steps_are_best_between_five_and_eighty(n: int, value: float) -> None:
    assert steps([Turn("", [])] * n).value == pytest.approx(value)


def test_tests_count_by_what_was_written_run_and_seen() -> None:
    talk = good()
    talk.messages[-2]["content"] = "1 failed"
    assert talk.score()["tvr_score"] == pytest.approx(0.3 + 0.3 + 0.4 * 0.3)
    assert Talk().call("Read", file_path="a").say("Done").score()["tvr_score"] == 0.0
    unseen = Talk().call("Bash", "3 passed", command="pytest").call("Bash", None, command="pytest").score()
    assert unseen["evidence"]["tvr"]["outcome"] == "unknown"


@pytest.mark.parametrize(
    ("is_written", "observed", "value"),
    [
        (False, None, 0.0),
        (True, None, 0.3),
        (False, "3 passed", 0.7),
        (False, "hello", 0.3 + 0.4 * 0.6),
        (False, "1 failed", 0.3 + 0.4 * 0.3),
        (True, "3 passed", 1.0),
        (True, "hello", 0.6 + 0.4 * 0.6),
        (True, "1 failed", 0.6 + 0.4 * 0.3),
    ],
)
def test_tvr_is_the_sum_of_its_three_parts(is_written: bool, observed: str | None, value: float) -> None:
    talk = Talk().call("Read", file_path="a.py")
    if is_written:
        talk.call("Write", file_path="tests/test_a.py")
    if observed is not None:
        talk.call("Bash", observed, command="pytest")
    assert talk.say("Done.").score()["tvr_score"] == pytest.approx(value, abs=1e-4)


@pytest.mark.parametrize(
    ("files", "value"), [("a", 1.0), ("aa", 0.75), ("aaab", 0.75), ("ab", 1.0), ("aaaaa", 0.0), ("aaaaaaaaa", 0.0)]
)
def test_fec_falls_by_a_quarter_for_each_further_edit_of_a_file(files: str, value: float) -> None:
    talk = Talk()
    for file in files:
        talk.call("Edit", file_path=f"{file}.py")
    assert talk.say("Done.").score()["fec_score"] == value


@pytest.mark.parametrize(
    ("build", "value"),
    [
        (lambda: Talk().call("Edit", file_path="a.py").say("Done."), 1.0),
        (lambda: Talk().call("Read", file_path="a.py").say("Done."), 0.6),
        (lambda: Talk().call("Edit", file_path="a.py").call("Read", file_path="a.py"), 0.6),
        (lambda: Talk().call("Read", file_path="a.py"), 0.2),
    ],
)
def test_dpi_counts_a_missing_write_and_an_open_end(build: Callable[[], Talk], value: float) -> None:
    assert build().score()["dpi_score"] == pytest.approx(value)


def test_many_edits_of_one_file_cost_and_none_leaves_the_mean() -> None:
    talk = Talk()
    for _ in range(6):
        talk.call("Edit", file_path="a.py")
    assert talk.say("Done").score()["fec_score"] == 0.0
    assert good().score()["fec_score"] == 1.0
    assert Talk().call("Read", file_path="a").say("Done").score()["fec_score"] is None


def test_loops_repeats_and_a_lack_of_writes_cost() -> None:
    talk = Talk()
    for _ in range(5):
        talk.call("Read", "<tool_use_error>gone", file_path="a.py")
    shown = talk.say("Done").score()
    assert shown["evidence"]["dpi"] | {"observations": 0} == {
        "successful_write": False,
        "truncated": False,
        "loop_share": 1.0,
        "repeated_error_share": 0.8,
        "errors": 5,
        "observations": 0,
    }
    assert shown["dpi_score"] == pytest.approx(0.0, abs=1e-9)


def test_four_equal_actions_are_no_loop() -> None:
    talk = Talk()
    for _ in range(4):
        talk.call("Read", file_path="a.py")
    assert talk.say("Done").score()["evidence"]["dpi"]["loop_share"] == 0.0


def test_a_failed_write_is_no_write() -> None:
    shown = Talk().call("Edit", "<tool_use_error>x", file_path="a.py").say("Done").score()
    assert shown["evidence"]["dpi"]["successful_write"] is False


def test_reproducing_first_is_told_from_writing_first() -> None:
    assert good().score()["reproduce_first"] is False
    first = Talk().call("Bash", command="python repro.py").call("Edit", file_path="a.py").say("Done")
    assert first.score()["reproduce_first"] is True
    assert Talk().call("Write", file_path="tests/test_a.py").say("Done").score()["reproduce_first"] is None


def terminus(*answers: tuple[str, str]) -> Json:
    messages: list[Json] = [{"role": "user", "content": "Fix it."}]
    for answer, observed in answers:
        messages += [{"role": "assistant", "content": answer}, {"role": "user", "content": observed}]
    result = score(story_of(normalise_all(messages[:-1]), [], "terminus2"), "terminus2")
    return result.shown | {"evidence": result.evidence}


def test_commands_of_terminus_share_the_observation_of_their_turn() -> None:
    shown = terminus(
        (answer_text("Look.", "ls\n", "cat a.py\n"), "a.py"),
        (answer_text("Mend.", "sed -i s/a/b/ a.py\n", "pytest\n"), "Traceback (most recent call last):\n1 failed"),
        ("Some words first. " + answer_text("Done.", done=True), ""),
    )
    assert (shown["total_tool_calls"], shown["evidence"]["sub"]["base"]) == (4, 1.0)
    assert (shown["evidence"]["tvr"]["outcome"], shown["evidence"]["dpi"]["errors"]) == ("fail", 0)
    assert (shown["evidence"]["fec"], shown["reproduce_first"]) == ({"edits": 1, "files": 1}, False)


@pytest.mark.parametrize("content", ["not json", "{", '{"commands": 7}', '{"commands": [1, {"keystrokes": 2}]}', "[]"])
def test_an_answer_of_another_shape_has_no_commands(content: str) -> None:
    assert terminus((content, ""))["total_tool_calls"] == 0


@pytest.mark.parametrize(
    "arguments", ["7", "null", "[]", '"text"', '{"command": 7}', '{"command": ["ls"]}', '{"path": {"a": 1}}']
)
def test_arguments_of_any_shape_are_scored(arguments: str) -> None:
    talk = Talk().call("bash")
    talk.messages[1]["tool_calls"][0]["function"]["arguments"] = arguments
    assert talk.say("Done").score()["total_tool_calls"] == 1


def test_a_renamed_tool_is_known_by_its_properties() -> None:
    tools = [
        {"name": name, "parameters": {"properties": {key: {} for key in properties}}}
        for name, properties in {
            "run": ["command", "timeout"],
            "change": ["command", "path", "old_str"],
            "end": ["task_completed"],
            "muse": ["thought"],
            "todo": ["task_list"],
            "bash": ["command", "path"],
            "other": ["x"],
        }.items()
    ]
    assert list(canonical_names(tools).values()) == [
        "execute_bash",
        "str_replace_editor",
        "finish",
        "think",
        "task_tracker",
        "bash",
        "other",
    ]
    change = {"command": "str_replace", "path": "/workspace/a.py", "old_str": "a", "new_str": "b"}
    plain = Talk("openhands_sdk").call("file_editor", **change).call("finish").score()
    renamed = Talk("openhands_sdk").call("change", **change).call("end").score(tools)
    assert renamed == plain


@pytest.mark.parametrize(
    "path",
    [
        "conftest.py",
        "a/test_x.py",
        "x_test.go",
        "x_spec.rb",
        "src/a.test.ts",
        "src/a.spec.jsx",
        "FooTest.java",
        "FooIT.java",
        "tests/data/a.txt",
        "a/__tests__/b.js",
        "t/basic.t",
        "src/test/java/A.java",
        "repro.py",
        "verify_fix.py",
    ],
)
def test_a_test_file_is_told_by_its_path(path: str) -> None:
    assert is_test_path(path)


@pytest.mark.parametrize("path", ["latest.py", "a/contest.py", "testimony.md", "fastest.java", "a.t"])
def test_other_files_are_no_tests(path: str) -> None:
    assert not is_test_path(path)


def test_paths_are_those_within_the_checkout() -> None:
    assert [relative(each) for each in ("/testbed/a/../b.py", "/workspace/x", "c.py", "/etc/hosts")] == [
        "b.py",
        "x",
        "c.py",
        "/etc/hosts",
    ]


def test_a_part_without_a_value_leaves_the_mean() -> None:
    values = {"sub": 1.0, "stp": 0.0, "fec": None, "oec": 0.1}
    assert composite(values) == round(0.33 / 0.60, 4)
    assert composite({"fec": 0.5}) == 0.0312
    assert composite({}) == 0.0


def test_a_subagent_has_no_score() -> None:
    facts = {"_agent_type": "subagent", "scaffold": "claude_code", "_score": 1}
    row = {"meta_info": {"unique_info": facts}, "messages": [], "tools": []}
    assert scored(row, [])["meta_info"]["unique_info"] | {"_agent_type": ""} == {
        "_agent_type": "",
        "scaffold": "claude_code",
        "_score": None,
        "score_evidence": None,
    }
