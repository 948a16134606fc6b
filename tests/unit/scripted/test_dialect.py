import json
from typing import Any

import pytest

from tests.unit.scripted.asking import BASH, KNOWN, message, terminus_body, tool_body
from trajgen_assets.core.scripted import ScriptedModel, load_scripts
from trajgen_assets.core.scripted.dialect import SUBMIT_COMMAND

GENERIC = load_scripts()[-1]
COMMANDS = [command.run for turn in KNOWN.turns for command in turn.commands]


def tool(name: str, properties: dict[str, Any], required: list[str] | None = None) -> dict[str, Any]:
    return {
        "type": "function",
        "function": {"name": name, "parameters": {"properties": properties, "required": required}},
    }


FINISH = tool("finish", {"message": {"type": "string"}}, ["message"])


def arguments(reply: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(reply["tool_calls"][0]["function"]["arguments"])
    return found


def played(model: ScriptedModel, body: dict[str, Any]) -> list[dict[str, Any]]:
    """Every answer of the model until it calls nothing, or something else than the first tool."""
    replies = []
    while True:
        reply = message(model.base_url, body)
        replies.append(reply)
        calls = reply.get("tool_calls")
        if not calls or calls[0]["function"]["name"] != body["tools"][0]["function"]["name"]:
            return replies
        body["messages"] += [reply, {"role": "tool", "tool_call_id": calls[0]["id"], "content": "ok"}]


def test_terminus_gets_its_json_with_a_newline_behind_each_command(shared_model: ScriptedModel) -> None:
    reply = json.loads(message(shared_model.base_url, terminus_body())["content"])
    assert list(reply) == ["analysis", "plan", "commands", "task_complete"]
    first = KNOWN.turns[0]
    assert reply["commands"] == [{"keystrokes": f"{c.run}\n", "duration": c.wait_s} for c in first.commands]
    assert reply["task_complete"] is False


def test_terminus_is_told_twice_that_the_task_is_complete(shared_model: ScriptedModel) -> None:
    answers: list[str] = []
    while sum(json.loads(answer)["task_complete"] for answer in answers) < 2:
        answers.append(message(shared_model.base_url, terminus_body(*answers))["content"])
    assert len(answers) == len(KNOWN.turns)
    assert answers[-1] != answers[-2]


def test_tools_get_one_command_at_a_time_and_then_a_closing_text(shared_model: ScriptedModel) -> None:
    *calls, last = played(shared_model, tool_body())
    assert [arguments(call)["command"] for call in calls] == COMMANDS
    assert last["content"] == KNOWN.turns[-2].analysis


def test_a_finish_tool_is_called_at_the_end(shared_model: ScriptedModel) -> None:
    last = played(shared_model, tool_body(BASH, FINISH))[-1]
    assert last["tool_calls"][0]["function"]["name"] == "finish"
    assert arguments(last) == {"message": KNOWN.turns[-2].analysis}


@pytest.mark.parametrize("name", ["bash", "Bash", "terminal", "execute_bash", "shell"])
def test_every_usual_name_of_a_shell_tool_is_known(shared_model: ScriptedModel, name: str) -> None:
    reply = message(shared_model.base_url, tool_body(tool(name, {"command": {"type": "string"}})))
    assert reply["tool_calls"][0]["function"]["name"] == name


def test_required_parameters_are_filled_by_type(shared_model: ScriptedModel) -> None:
    properties = {
        "cmd": {"type": "string"},
        "is_input": {"type": "boolean"},
        "timeout": {"type": "number"},
        "mode": {"enum": ["fast", "slow"]},
        "why": {"type": "string"},
        "security_risk": {"type": "string", "enum": ["UNKNOWN", "LOW"]},
        "optional": {"type": "string"},
    }
    required = ["cmd", "is_input", "timeout", "mode", "why"]
    given = arguments(message(shared_model.base_url, tool_body(tool("terminal", properties, required))))
    assert isinstance(given.pop("why"), str)
    assert given == {"cmd": COMMANDS[0], "is_input": False, "timeout": 0, "mode": "fast", "security_risk": "LOW"}


def test_a_shell_that_takes_a_list_gets_one(shared_model: ScriptedModel) -> None:
    reply = message(shared_model.base_url, tool_body(tool("shell", {"command": {"type": "array"}}, ["command"])))
    assert arguments(reply)["command"] == ["bash", "-lc", COMMANDS[0]]


def test_mini_swe_agent_gets_code_blocks_and_the_submit_command(shared_model: ScriptedModel) -> None:
    messages = [{"role": "user", "content": f"{KNOWN.match}\nUse ```mswea_bash_command blocks."}]
    for command in [*COMMANDS, SUBMIT_COMMAND]:
        content = message(shared_model.base_url, {"model": "m", "messages": messages})["content"]
        assert content.endswith(f"```mswea_bash_command\n{command}\n```")
        messages += [{"role": "assistant", "content": content}, {"role": "user", "content": "output"}]


def test_the_submit_command_is_run_where_the_prompt_asks_for_it(shared_model: ScriptedModel) -> None:
    body = tool_body(BASH, match=f"{KNOWN.match}\nWhen done, run `{SUBMIT_COMMAND}`.")
    for _ in COMMANDS:
        reply = message(shared_model.base_url, body)
        body["messages"] += [reply, {"role": "tool", "tool_call_id": reply["tool_calls"][0]["id"], "content": "ok"}]
    assert arguments(message(shared_model.base_url, body)) == {"command": SUBMIT_COMMAND}


def test_a_request_without_a_dialect_gets_one_plain_line(shared_model: ScriptedModel) -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "Write a title for this."}]}
    assert "\n" not in message(shared_model.base_url, body)["content"]


def test_an_unknown_task_is_given_up_without_a_change(shared_model: ScriptedModel) -> None:
    *calls, last = played(shared_model, tool_body(match="Make it faster."))
    assert len(calls) == sum(len(turn.commands) for turn in GENERIC.turns)
    assert "no change" in last["content"]
