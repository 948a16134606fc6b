"""From IM to LF and back: the reader here is written from LLaMA-Factory's rules, without help from the writer."""

import json
import re
from itertools import groupby
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from trajgen_assets.core.sft.lf import OBSERVATION_JOINT, check_lf_row, sharegpt_row
from trajgen_assets.core.sft.messages import Json, normalise_all, normalise_tools
from trajgen_assets.core.sft.weights import weigh

ROLES = {"human": "user", "gpt": "assistant", "function_call": "assistant", "observation": "tool"}
CALLS = re.compile("<tool_call>(.*?)</tool_call>", re.DOTALL)
THOUGHTS = re.compile("<think>(.*?)</think>", re.DOTALL)
LEADING_THOUGHTS = re.compile("<think>\n(.*?)\n</think>\n\n", re.DOTALL)


def parted(value: str) -> tuple[str, list[Json]]:
    """A turn with calls as LLaMA-Factory 0.9.5 takes it apart: the first pair of tags, else what is not thoughts."""
    found = CALLS.search(value)
    if found:
        return value.replace(found[0], ""), json.loads(found[1])
    thoughts = THOUGHTS.search(value)
    said = thoughts[0] if thoughts else ""
    return said and f"{said}\n\n", json.loads(value.replace(said, ""))


def read_turn(turn: Json) -> Json:
    tag, value = turn["from"], turn["value"]
    message: Json = {"role": ROLES[tag]}
    if message["role"] != "assistant":
        return message | {"content": value}
    calls: list[Json] = []
    if tag == "function_call":
        value, calls = parted(value)
        value = value.removesuffix("\n") if LEADING_THOUGHTS.sub("", value, count=1) else value
    thoughts = LEADING_THOUGHTS.match(value)
    message |= {"reasoning_content": thoughts[1] if thoughts else "", "calls": calls}
    return message | {"content": value[thoughts.end() :] if thoughts else value}


def read_back(row: Json) -> tuple[str, list[Json], list[Json]]:
    """System text, messages and tools of an LF row; all results of a turn are one message."""
    return row["system"], [read_turn(turn) for turn in row["conversations"]], json.loads(row["tools"] or "[]")


def held(im: Json) -> tuple[str, list[Json], list[Json]]:
    """What LF can hold of an IM row: no ids, no weights, one observation for all results of a turn."""
    system, *dialogue = im["messages"]
    messages: list[Json] = []
    for role, group in groupby(dialogue, key=lambda message: message["role"]):
        if role == "tool":
            messages.append({"role": "tool", "content": OBSERVATION_JOINT.join(each["content"] for each in group)})
        else:
            messages += [held_message(each) for each in group]
    return system["content"], messages, im["tools"]


def held_message(message: Json) -> Json:
    if message["role"] != "assistant":
        return {"role": message["role"], "content": message["content"]}
    functions = [call["function"] for call in message.get("tool_calls", ())]
    calls = [{"name": each["name"], "arguments": json.loads(each["arguments"])} for each in functions]
    content = "" if calls and not message["content"].strip() else message["content"]
    thoughts = {"reasoning_content": message["reasoning_content"]}
    return {"role": "assistant", "content": content, "calls": calls} | thoughts


MARKS = (
    "<tool_call>",
    "</tool_call>",
    "<think>",
    "</think>",
    "<|im_end|>",
    "<|im_start|>",
    "<tool_response>",
    "[{",
    "}]",
)
odd_texts = st.sampled_from([*MARKS, "\n", " ", "\\", '"', "ü", "中", "🙂", "\u2028", "\x00", "{{content}}"])
texts = st.lists(st.one_of(odd_texts, st.text(max_size=8)), max_size=5).map("".join)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda each: st.lists(each, max_size=3) | st.dictionaries(texts, each, max_size=3),
    max_leaves=6,
)
names = st.text("abcXYZ_", min_size=1, max_size=8)
functions = st.fixed_dictionaries({"name": names, "arguments": st.dictionaries(texts, json_values, max_size=3)})


@st.composite
def rounds(draw: Any) -> list[Json]:
    """A turn with calls, and its results in any order."""
    made = draw(st.lists(functions, min_size=1, max_size=3))
    calls = [{"id": str(n), "function": each} for n, each in enumerate(made)]
    turn = {"role": "assistant", "content": draw(texts), "reasoning_content": draw(texts), "tool_calls": calls}
    order = draw(st.permutations(range(len(calls))))
    return [turn, *({"role": "tool", "tool_call_id": str(n), "content": draw(texts)} for n in order)]


@st.composite
def rows(draw: Any) -> Json:
    """An IM row of a dialogue that agents can have, whatever stands in its texts."""
    dialogue: list[Json] = [{"role": "system", "content": draw(texts)}]
    for _ in range(draw(st.integers(1, 3))):
        dialogue.append({"role": "user", "content": draw(texts)})
        for made in draw(st.lists(rounds(), max_size=2)):
            dialogue += made
        dialogue.append({"role": "assistant", "content": draw(texts), "reasoning_content": draw(texts)})
    tool = st.fixed_dictionaries({"name": names, "description": texts, "parameters": st.just({"properties": {}})})
    return {
        "meta_info": {"unique_info": {"_instance_id": "a"}},
        "tools": normalise_tools(draw(st.lists(tool, max_size=2))),
        "messages": weigh(normalise_all(dialogue), mask_error_turns=draw(st.booleans())),
    }


def has_ambiguous_thoughts(im: Json) -> bool:
    """Thoughts are told from words by their marks alone, so that marks within them cannot be told from those."""
    turns = [message for message in im["messages"] if message["role"] == "assistant"]
    return any("</think>" in turn["reasoning_content"] or turn["content"].startswith("<think>") for turn in turns)


def joined(messages: list[Json]) -> list[Json]:
    """The same with thoughts and words of each turn in one text, as a template writes them."""
    said = [
        f"<think>\n{each['reasoning_content']}\n</think>\n\n" if each.get("reasoning_content") else ""
        for each in messages
    ]
    return [
        each | {"reasoning_content": "", "content": words + each["content"]}
        for words, each in zip(said, messages, strict=True)
    ]


@given(im=rows())
def test_what_lf_can_hold_of_a_conversation_is_there_again(im: Json) -> None:
    row = json.loads(json.dumps(sharegpt_row(im)))
    assert check_lf_row(row) is None
    system, messages, tools = read_back(row)
    held_system, held_messages, held_tools = held(im)
    assert system == held_system
    assert joined(messages) == joined(held_messages)
    if not has_ambiguous_thoughts(im):
        assert messages == held_messages
    assert tools == held_tools
