"""IM rows as a chat template writes them: one text to count, or ChatML cut into its turns.

A text may hold the very marks that templates write: a chat program's source does, and so may a test's output. Cutting
at them would lose what stands behind, and a template may take them for its own. So marks in a row's texts are swapped
for words that the row has nowhere, before the template sees them, and put back afterwards. A trainer's tokenizer takes
a mark in a text for the special token, as the model's own did when the text was new.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

import orjson

from trajgen_assets.core.errors import ConversionError
from trajgen_assets.core.sft.encoding import encode
from trajgen_assets.core.sft.messages import THINK_CLOSE, THINK_OPEN, Json
from trajgen_assets.core.sft.tokens import RefusedByTemplateError
from trajgen_assets.core.sft.tokens.template import ChatTemplate

TURN_OPEN, TURN_CLOSE = "<|im_start|>", "<|im_end|>"

_MARKS = (
    TURN_OPEN,
    TURN_CLOSE,
    THINK_OPEN,
    THINK_CLOSE,
    *(f"<{each}>" for each in ("tool_call", "/tool_call", "tool_response", "/tool_response", "tools", "/tools")),
)
_EMPTY_THOUGHTS = re.compile(rf"\A{THINK_OPEN}\s*{THINK_CLOSE}\n*")
_KEPT_KEYS = ("role", "content", "reasoning_content", "name", "tool_call_id")
_PROBE: list[Json] = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b", "reasoning_content": ""}]

Change = Callable[[str], str]


def rendered(im: Json, template: ChatTemplate) -> str:
    """Return the text of a row.

    Raises:
        RefusedByTemplateError: the template does not write it.
    """
    text, back = _rendered(im, template)
    return back(text)


def chatml_turns(im: Json, template: ChatTemplate) -> list[Json]:
    """Return the turns of a row as a template of ChatML's kind writes them, each with `role` and `content`.

    Rows without thoughts have no empty ones either, which templates put before the model's words.

    Raises:
        RefusedByTemplateError: the template does not write it, or not in ChatML.
    """
    text, back = _rendered(im, template)
    is_fast = not any(message.get("reasoning_content") for message in im["messages"])
    turns = [(role, _without_empty_thoughts(role, content) if is_fast else content) for role, content in _cut(text)]
    return [{"role": role, "content": back(content)} for role, content in turns]


def check_chatml(template: ChatTemplate, name: str) -> None:
    """See that a template writes ChatML.

    Raises:
        ConversionError: it does not.
    """
    try:
        turns = list(_cut(template.render(_PROBE, [])))
        problem = None if [role for role, _ in turns][-2:] == ["user", "assistant"] else "its roles are other ones"
    except RefusedByTemplateError as error:
        problem = str(error)
    if problem:
        mend = "choose the format sharegpt, or a tokenizer whose chat template is ChatML"
        what = "llamafactory_lf_v0.1 needs a chat template of the form ChatML"
        raise ConversionError(what, where=name, why=problem, mend=mend)


def _messages(messages: list[Json]) -> list[Json]:
    """Return messages as templates expect them: no empty system message, arguments as objects."""
    listed = [_message(message) for message in messages]
    return listed[1:] if listed and listed[0] == {"role": "system", "content": ""} else listed


def _message(message: Json) -> Json:
    kept: Json = {key: message[key] for key in _KEPT_KEYS if key in message}
    if calls := message.get("tool_calls"):
        kept["tool_calls"] = [call | {"function": _function(call["function"])} for call in calls]
    return kept


def _function(function: Json) -> Json:
    return {"name": function["name"], "arguments": orjson.loads(function["arguments"])}


def _tools(tools: list[Json]) -> list[Json]:
    return [{"type": "function", "function": tool} for tool in tools]


def _rendered(im: Json, template: ChatTemplate) -> tuple[str, Change]:
    """Return the text of a row with words in place of the marks in its texts, and what puts the marks back."""
    messages, tools = _messages(im["messages"]), _tools(im["tools"])
    text = encode([messages, tools]).decode()
    words = {mark: _word(number, text) for number, mark in enumerate(_MARKS) if mark in text}
    if words:
        swap = _replacer(words)
        messages, tools = _mapped(messages, swap), _mapped(tools, swap)
    return template.render(messages, tools), _replacer({word: mark for mark, word in words.items()})


def _word(number: int, text: str) -> str:
    """Return a word of letters and digits that `text` does not have."""
    attempt = 0
    while (word := f"mark{number}x{attempt}end") in text:
        attempt += 1
    return word


def _replacer(words: dict[str, str]) -> Change:
    def replace(text: str) -> str:
        for old, new in words.items():
            text = text.replace(old, new)
        return text

    return replace


def _mapped(value: Any, change: Change) -> Any:
    """Return a JSON value with every text and name in it changed."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [_mapped(each, change) for each in value]
    if isinstance(value, dict):
        return {change(name): _mapped(each, change) for name, each in value.items()}
    return value


def _cut(text: str) -> Iterator[tuple[str, str]]:
    """Yield role and content of each turn. Between turns there is nothing but space."""
    *pieces, rest = text.split(TURN_CLOSE)
    if rest.strip():
        raise RefusedByTemplateError(f"the chat template writes no {TURN_CLOSE} at the end of the last turn")
    for piece in pieces:
        before, mark, turn = piece.partition(TURN_OPEN)
        role, line_end, content = turn.partition("\n")
        if before.strip() or not mark or not line_end:
            raise RefusedByTemplateError(f"the chat template begins a turn with other than {TURN_OPEN} and a role")
        yield role.strip(), content


def _without_empty_thoughts(role: str, content: str) -> str:
    return _EMPTY_THOUGHTS.sub("", content, count=1) if role == "assistant" else content
