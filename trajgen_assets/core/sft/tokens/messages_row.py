"""Rows of the style `llamafactory_lf_v0.1`: `messages` of role and content, as a chat template of ChatML's kind writes
them. Calls and thoughts stand in the model's text, results in what its template makes of them, tools in the system's.
"""

from collections.abc import Collection
from functools import lru_cache
from typing import Any

from trajgen_assets.core.sft.encoding import encode
from trajgen_assets.core.sft.lf import COPIED_FACTS, OBSERVATION_JOINT, TURN_NUMBER
from trajgen_assets.core.sft.messages import Json
from trajgen_assets.core.sft.tokens.rendering import chatml_turns, check_chatml
from trajgen_assets.core.sft.tokens.source import TokenizerFiles
from trajgen_assets.core.sft.tokens.template import ChatTemplate

_ROLES = {"tool": "observation"}

# A result that stands in a user's turn may hold the mark by chance, and LLaMA-Factory would put a number there.
_HARMLESS_NUMBER = "{{ idx}}"


def messages_row(im: Json, tokenizer: TokenizerFiles | None = None, as_text: Collection[str] = ()) -> Json:
    """Return the row of an IM row; without a tokenizer as our own template writes it.

    Facts keep their shape, except those of `as_text`, which become JSON text.

    Raises:
        ConversionError: the tokenizer's template is not ChatML, or cannot be read.
        RefusedByTemplateError: it does not write this row.
    """
    messages: list[Json] = []
    for turn in chatml_turns(im, template_of(tokenizer)):
        role = _ROLES.get(turn["role"], turn["role"])
        content = turn["content"].replace(TURN_NUMBER, _HARMLESS_NUMBER) if role == "user" else turn["content"]
        if messages and role == "observation" == messages[-1]["role"]:  # LLaMA-Factory takes no two in a row
            messages[-1]["content"] += OBSERVATION_JOINT + content
        else:
            messages.append({"role": role, "content": content})
    facts = im["meta_info"]["unique_info"]
    return {"messages": messages} | {
        key: _text(facts.get(key)) if key in as_text else facts.get(key) for key in COPIED_FACTS
    }


@lru_cache(maxsize=1)
def template_of(tokenizer: TokenizerFiles | None, *, must_be_chatml: bool = True) -> ChatTemplate:
    """Return the chat template of a tokenizer, ours without one.

    Raises:
        ConversionError: it cannot be read, or is not ChatML where it has to be.
    """
    template = ChatTemplate.of(tokenizer)
    if must_be_chatml:
        check_chatml(template, tokenizer.name if tokenizer else "our own")
    return template


def _text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else encode(value).decode()
