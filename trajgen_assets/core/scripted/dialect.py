"""Say a turn of a script in the words of the scaffold that asks."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from trajgen_assets.core.scripted.conversation import Conversation, Tool
from trajgen_assets.core.scripted.script import Script, ScriptedTurn

JUDGED_FORM = "Answer with one JSON object of exactly this form"
SHELL_TOOLS = ("bash", "terminal", "execute_bash", "shell", "exec_command", "local_shell")
COMMAND_PARAMETERS = ("command", "cmd")
FINISH_TOOLS = ("finish",)
TEXT_CALL = "<function="
SUBMIT_COMMAND = "echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT"
FILLERS: Mapping[str, Any] = {"integer": 0, "number": 0, "boolean": False, "array": (), "object": {}}


@dataclass(frozen=True)
class ToolCall:
    """A call of one tool; `arguments` is JSON text."""

    name: str
    arguments: str


@dataclass(frozen=True)
class Answer:
    """What the model says: text, a tool call or both, and its reasoning."""

    content: str | None
    reasoning: str
    call: ToolCall | None = None


@dataclass(frozen=True)
class Step:
    """One command of a script, or its end, for scaffolds that run one command a turn."""

    reasoning: str
    text: str
    command: str | None


def answer(script: Script, conversation: Conversation) -> Answer:
    """The next answer in the dialect that the request shows.

    A judge that is told the form of its answer gives that form. A shell-like tool asks for tool calls, the word
    keystrokes for Terminus-2's JSON, a system prompt with OpenHands' calls in text for one of these, a mini-swe-agent
    code block for one; any other request (a title, a probe of the endpoint) gets one plain line.
    """
    if JUDGED_FORM in conversation.user_text:
        return Answer(conversation.user_text.rpartition("\n")[2], "The form is an answer.")
    shell = find_tool(conversation, SHELL_TOOLS)
    if shell is not None:
        return _tool_answer(_step(script, conversation.n_calls), shell, conversation)
    if '"keystrokes"' in conversation.user_text:
        return _terminus_answer(script.turn(conversation.n_answers))
    if TEXT_CALL in conversation.system_text:
        return _text_call_answer(_step(script, conversation.n_answers))
    if "mswea_bash_command" in conversation.user_text:
        return _fenced_answer(_step(script, conversation.n_answers))
    return Answer(f"Ready ({script.task_id}).", "A short question needs a short answer.")


def find_tool(conversation: Conversation, names: tuple[str, ...]) -> Tool | None:
    """The first tool of the request that has one of `names`, letter case aside."""
    return next((tool for tool in conversation.tools if tool.name.lower() in names), None)


def _terminus_answer(turn: ScriptedTurn) -> Answer:
    reply = {
        "analysis": turn.analysis,
        "plan": turn.plan,
        "commands": [{"keystrokes": f"{each.run}\n", "duration": each.wait_s} for each in turn.commands],
        "task_complete": turn.complete,
    }
    return Answer(json.dumps(reply, indent=2, ensure_ascii=False), turn.reasoning)


def _fenced_answer(step: Step) -> Answer:
    command = SUBMIT_COMMAND if step.command is None else step.command
    return Answer(f"THOUGHT: {step.text}\n\n```mswea_bash_command\n{command}\n```", step.reasoning)


def _text_call_answer(step: Step) -> Answer:
    """A call as OpenHands has it written where the model has no form of its own for calls."""
    name, key = ("finish", "message") if step.command is None else ("execute_bash", "command")
    call = f"{TEXT_CALL}{name}>\n<parameter={key}>{step.command or step.text}</parameter>\n</function>"
    return Answer(call if step.command is None else f"{step.text}\n\n{call}", step.reasoning)


def _tool_answer(step: Step, shell: Tool, conversation: Conversation) -> Answer:
    if step.command is not None:
        return Answer(step.text, step.reasoning, _shell_call(shell, step.command))
    finish = find_tool(conversation, FINISH_TOOLS)
    if finish is not None:
        return Answer(None, step.reasoning, _call(finish, {"message": step.text}))
    if SUBMIT_COMMAND in conversation.user_text:
        return Answer(step.text, step.reasoning, _shell_call(shell, SUBMIT_COMMAND))
    return Answer(step.text, step.reasoning)


def _step(script: Script, index: int) -> Step:
    steps = list(_steps(script))
    return steps[min(index, len(steps) - 1)]


def _steps(script: Script) -> Iterator[Step]:
    """One step a command: not every shell tool takes several at once. Ends with the first complete turn."""
    for turn in script.turns:
        if turn.complete:
            yield Step(turn.reasoning, turn.analysis, None)
            return
        first, *others = turn.commands
        yield Step(turn.reasoning, f"{turn.analysis} {turn.plan}", first.run)
        yield from (Step(f"Next part of the plan: {turn.plan}", turn.plan, each.run) for each in others)


def _shell_call(shell: Tool, command: str) -> ToolCall:
    parameter = next((name for name in COMMAND_PARAMETERS if name in shell.properties), COMMAND_PARAMETERS[0])
    takes_list = shell.properties.get(parameter, {}).get("type") == "array"
    return _call(shell, {parameter: ["bash", "-lc", command] if takes_list else command})


def _call(tool: Tool, arguments: dict[str, Any]) -> ToolCall:
    """A call with a plain value for each parameter that the tool requires besides `arguments`."""
    filled = {name: _filler(tool.properties.get(name, {})) for name in tool.required} | arguments
    if "security_risk" in tool.properties:  # OpenHands refuses calls that do not say it
        filled["security_risk"] = "LOW"
    return ToolCall(tool.name, json.dumps(filled, ensure_ascii=False))


def _filler(schema: Mapping[str, Any]) -> Any:
    choices = schema.get("enum")
    return choices[0] if choices else FILLERS.get(str(schema.get("type")), "one step of the plan")
