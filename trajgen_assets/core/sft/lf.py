"""Rows as LLaMA-Factory loads them, from IM rows.

Two styles. `sharegpt`: `conversations` of from and value, with `system` and `tools` as strings; tool calls as
its formatter parses them. `llamafactory_lf_v0.1`: `messages` of role and content, as a chat template writes them.
LLaMA-Factory passes over a row of the wrong shape with no more than a line in its log, so every row is checked here.
"""

import re
from collections.abc import Collection
from typing import Any

import orjson

from trajgen_assets.core.counting import count_of
from trajgen_assets.core.sft.encoding import encode
from trajgen_assets.core.sft.messages import THINK_CLOSE, THINK_OPEN, Json
from trajgen_assets.core.sft.settings import LfFormat
from trajgen_assets.core.sft.tokens.source import TokenizerFiles

COPIED_FACTS = ("_instance_id", "_score", "_agent_type", "_gen_params", "_usage", "_instance_metadata")

# What LLaMA-Factory 0.9.5 itself puts between parallel tool results when it converts OpenAI messages.
OBSERVATION_JOINT = "\n</tool_response>\n<tool_response>\n"
TOOL_CALL_OPEN, TOOL_CALL_CLOSE = "<tool_call>", "</tool_call>"

# Where LLaMA-Factory 0.9.5 finds calls in a turn that makes some: in the first pair of tags; without one, in what is
# left when the first thoughts are taken out. It looks for both in all of the turn, the arguments of calls included.
_TAGGED_CALLS = re.compile(f"{TOOL_CALL_OPEN}(.*?){TOOL_CALL_CLOSE}", re.DOTALL)
_THOUGHTS = re.compile(f"{THINK_OPEN}(.*?){THINK_CLOSE}", re.DOTALL)
_MARK = re.compile("<(?=/?(?:tool_call|think)>)")

# LLaMA-Factory 0.9.5 fills its templates with the text and then with the number of the turn, in the text as well.
TURN_NUMBER = "{{idx}}"

_PEOPLE = {"human", "user"}
_ASKING = {*_PEOPLE, "observation"}
_ANSWERING = {"gpt", "assistant", "function_call"}


def lf_row(
    im: Json, lf_format: LfFormat, as_text: Collection[str] = (), tokenizer: TokenizerFiles | None = None
) -> Json:
    """Return the LF row of an IM row.

    Args:
        im: the row.
        lf_format: the style.
        as_text: facts that have no one shape over the whole data set; of no matter for `sharegpt`.
        tokenizer: whose chat template writes `llamafactory_lf_v0.1`; ours does without one.

    Raises:
        ConversionError: the tokenizer's template is not ChatML, or cannot be read.
        RefusedByTemplateError: it does not write this row.
    """
    if lf_format == "sharegpt":
        return sharegpt_row(im)
    from trajgen_assets.core.sft.tokens.messages_row import messages_row  # takes 50 ms, and few want this style

    return messages_row(im, tokenizer, as_text)


def sharegpt_row(im: Json) -> Json:
    """Return a row of `conversations`; facts of mixed shape become JSON text, so that all rows share one schema."""
    system, dialogue = _split_system(im["messages"])
    row: Json = {
        "conversations": _turns(dialogue),
        "system": system,
        "tools": encode([_with_properties(tool) for tool in im["tools"]]).decode() if im["tools"] else "",
    }
    facts = im["meta_info"]["unique_info"]
    return row | {key: _flat(facts.get(key)) for key in COPIED_FACTS}


def check_lf_row(row: Json) -> str | None:
    """Return why LLaMA-Factory would lose or damage `row`, or None when it loads it whole."""
    turns = [(turn.get("from", turn.get("role")), turn.get("value", turn.get("content"))) for turn in _listed(row)]
    if turns and turns[0][0] == "system":
        turns = turns[1:]
    if not turns or len(turns) % 2:
        return f"{count_of(len(turns), 'turn')}, not an even number above zero"
    for index, (tag, value) in enumerate(turns):
        if tag not in (_ANSWERING if index % 2 else _ASKING):
            return f"turn {index} is {tag!r}, which cannot stand there"
        if not isinstance(value, str):
            return f"turn {index} has no text"
        if tag in _PEOPLE and TURN_NUMBER in value:
            return f"turn {index} has {TURN_NUMBER}, for which a number would be put"
        if tag == "function_call" and (fault := _call_fault(value)):
            return f"turn {index}: {fault}"
    return _column_fault(row)


def dataset_entry(name: str, lf_format: LfFormat, file_name: str) -> Json:
    """Return `dataset_info.json` for one data set. Every column and tag is named: LLaMA-Factory forgets the rest."""
    if lf_format == "sharegpt":
        columns = {"messages": "conversations", "system": "system", "tools": "tools"}
        role, content, user, assistant = "from", "value", "human", "gpt"
    else:
        columns = {"messages": "messages"}
        role, content, user, assistant = "role", "content", "user", "assistant"
    tags = {
        "role_tag": role,
        "content_tag": content,
        "user_tag": user,
        "assistant_tag": assistant,
        "observation_tag": "observation",
        "function_tag": "function_call",
        "system_tag": "system",
    }
    return {name: {"file_name": file_name, "formatting": "sharegpt", "columns": columns, "tags": tags}}


def _split_system(messages: list[Json]) -> tuple[str, list[Json]]:
    if messages and messages[0]["role"] == "system":
        return messages[0]["content"], messages[1:]
    return "", messages


def _turns(dialogue: list[Json]) -> list[Json]:
    turns: list[Json] = []
    for message in dialogue:
        turn = _turn(message)
        if turn["from"] == "observation" and turns and turns[-1]["from"] == "observation":
            turns[-1]["value"] += OBSERVATION_JOINT + turn["value"]
        else:
            turns.append(turn)
    return turns


def _turn(message: Json) -> Json:
    role, content = message["role"], message["content"]
    if role == "assistant" and message.get("tool_calls"):
        return {"from": "function_call", "value": _calling_text(message)}
    if role == "assistant":
        return {"from": "gpt", "value": _thoughts(message) + content}
    return {"from": {"user": "human", "tool": "observation"}.get(role, role), "value": content}


def _thoughts(message: Json) -> str:
    reasoning = message["reasoning_content"]
    return f"{THINK_OPEN}\n{reasoning}\n{THINK_CLOSE}\n\n" if reasoning else ""


def _calling_text(message: Json) -> str:
    """Return thoughts, text and calls of a turn. Beside text, calls need their tags.

    LLaMA-Factory puts tagged calls behind all else, wherever they stand: in front they are the first pair of tags even
    where the text has one of its own.
    """
    content, calls = message["content"], _calls_text(message["tool_calls"])
    said = _thoughts(message) + (f"{content}\n" if content.strip() else "")
    tagged = f"{TOOL_CALL_OPEN}{calls}{TOOL_CALL_CLOSE}"
    if TOOL_CALL_OPEN in said:
        return tagged + said
    return said + (tagged if content.strip() or THINK_CLOSE in message["reasoning_content"] else calls)


def _calls_text(calls: list[Json]) -> str:
    """Return calls as one JSON list: a second pair of tags is never parsed. Marks within it are spelled as escapes."""
    listed = [
        {"name": call["function"]["name"], "arguments": orjson.loads(call["function"]["arguments"])} for call in calls
    ]
    return _MARK.sub(r"\\u003c", encode(listed).decode())


def _with_properties(tool: Json) -> Json:
    """Return `tool` with parameters that say they are none: LLaMA-Factory's default tool format ends in a KeyError
    when `properties` is missing."""
    parameters = tool["parameters"]
    if not isinstance(parameters, dict) or "properties" in parameters:
        return tool
    return tool | {"parameters": {"type": "object", "properties": {}} | parameters}


def _flat(value: Any) -> Any:
    return encode(value).decode() if isinstance(value, dict | list) else value


def _listed(row: Json) -> list[Json]:
    turns = row.get("conversations", row.get("messages"))
    return turns if isinstance(turns, list) and all(isinstance(turn, dict) for turn in turns) else []


def _call_fault(value: str) -> str | None:
    """Look for calls where LLaMA-Factory does."""
    tagged = _TAGGED_CALLS.search(value)
    if tagged and tagged.start() > 0 and tagged.end() < len(value):
        return "it has a literal tool-call tag before its own"
    if tagged and value.count(tagged[0]) > 1:
        return "its text has the very calls that it makes"  # which LLaMA-Factory takes out of it
    thoughts = _THOUGHTS.search(value)
    text = tagged[1] if tagged else value.replace(thoughts[0], "") if thoughts else value
    try:
        calls = orjson.loads(text)
    except orjson.JSONDecodeError:
        return "its calls are not JSON"
    is_whole = isinstance(calls, list) and all(map(_is_whole_call, calls))
    return None if is_whole else "a call lacks a name, or its arguments are not an object"


def _is_whole_call(call: Any) -> bool:
    return isinstance(call, dict) and bool(call.get("name")) and isinstance(call.get("arguments"), dict)


def _column_fault(row: Json) -> str | None:
    if "conversations" in row and not (isinstance(row.get("system"), str) and isinstance(row.get("tools"), str)):
        return "system and tools are not both text"
    return None
