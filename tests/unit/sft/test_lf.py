import io
import json
from typing import Any

import pytest

from trajgen_assets.core.sft.encoding import ArrayWriter, UnencodableError, encode
from trajgen_assets.core.sft.lf import check_lf_row, dataset_entry, sharegpt_row


def turns(*tags: str) -> dict[str, Any]:
    return {"conversations": [{"from": tag, "value": "x"} for tag in tags], "system": "", "tools": ""}


def calling(value: str) -> dict[str, Any]:
    row = turns("human", "gpt", "human", "gpt")
    row["conversations"][1] = {"from": "function_call", "value": value}
    return row


WHOLE_CALL = '[{"name":"run","arguments":{"cmd":"ls"}}]'


@pytest.mark.parametrize(
    "row",
    [
        turns("human", "gpt"),
        turns("system", "human", "gpt", "observation", "gpt"),
        calling(WHOLE_CALL),
        calling(f"<think>\nt\n</think>\n\n{WHOLE_CALL}"),
        calling(f"text\n<tool_call>{WHOLE_CALL}</tool_call>"),
        calling(f"<think>\nI write <tool_call>.\n</think>\n\n{WHOLE_CALL}"),
        calling(f"<tool_call>{WHOLE_CALL}</tool_call>I write <tool_call>[]</tool_call>.\n"),
        {"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]},
    ],
)
def test_what_llama_factory_loads_whole_passes(row: dict[str, Any]) -> None:
    assert check_lf_row(row) is None


@pytest.mark.parametrize(
    "row",
    [
        {},
        turns(),
        turns("human"),
        turns("gpt", "human"),
        turns("human", "human"),
        turns("human", "gpt", "human"),
        turns("human", "gpt", "gpt", "human"),
        turns("human", "gpt", "system", "gpt"),
        turns("developer", "gpt"),
        turns("human", "gpt") | {"tools": []},
        turns("human", "gpt") | {"system": None},
        {"conversations": [{"from": "human", "value": None}, {"from": "gpt", "value": "x"}], "system": "", "tools": ""},
        {"conversations": ["human", "gpt"], "system": "", "tools": ""},
        {
            "conversations": [{"from": "human", "value": "{{idx}}"}, {"from": "gpt", "value": "x"}],
            "system": "",
            "tools": "",
        },
        calling("not json"),
        calling("words " + WHOLE_CALL),
        calling('[{"name":"run","arguments":"{}"}]'),
        calling('[{"arguments":{}}]'),
        calling("[7]"),
        calling(f"<think>\nI write </think>.\n</think>\n\n{WHOLE_CALL}"),
        calling(f"<tool_call>{WHOLE_CALL}</tool_call>I write <tool_call>{WHOLE_CALL}</tool_call>.\n"),
        calling(f"<think>\n<tool_call>[]</tool_call>\n</think>\n\na\n<tool_call>{WHOLE_CALL}</tool_call>"),
        calling(f"a\n<tool_call>{WHOLE_CALL}</tool_call>\n<tool_call>{WHOLE_CALL}</tool_call>"),
    ],
)
def test_what_llama_factory_loses_or_damages_is_named(row: dict[str, Any]) -> None:
    assert check_lf_row(row)


def im(*messages: dict[str, Any], tools: Any = ()) -> dict[str, Any]:
    facts = {"_instance_id": "a", "_usage": {"prompt_tokens": 1}, "_score": None}
    return {"meta_info": {"unique_info": facts}, "tools": list(tools), "messages": list(messages)}


def call(name: str, arguments: str) -> dict[str, Any]:
    return {"id": name, "type": "function", "function": {"name": name, "arguments": arguments}}


def test_calls_become_one_list_and_parallel_results_one_observation() -> None:
    row = sharegpt_row(
        im(
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "go"},
            {
                "role": "assistant",
                "content": "Both.",
                "reasoning_content": "t",
                "tool_calls": [call("a", '{"x":1}'), call("b", "{}")],
            },
            {"role": "tool", "content": "one", "tool_call_id": "a"},
            {"role": "tool", "content": "two", "tool_call_id": "b"},
            {"role": "assistant", "content": "Done.", "reasoning_content": ""},
            tools=[{"name": "a", "description": "", "parameters": {}}],
        )
    )
    assert check_lf_row(row) is None
    assert row["system"] == "Be brief."
    assert json.loads(row["tools"])[0]["name"] == "a"
    assert [turn["from"] for turn in row["conversations"]] == ["human", "function_call", "observation", "gpt"]
    assert row["conversations"][1]["value"] == (
        "<think>\nt\n</think>\n\nBoth.\n"
        '<tool_call>[{"name":"a","arguments":{"x":1}},{"name":"b","arguments":{}}]</tool_call>'
    )
    assert row["conversations"][2]["value"] == "one\n</tool_response>\n<tool_response>\ntwo"


CALLS = '[{"name":"a","arguments":{"x":1}}]'


@pytest.mark.parametrize(
    ("reasoning", "content", "value"),
    [
        ("", "", CALLS),
        ("", " \n", CALLS),
        ("t", "", f"<think>\nt\n</think>\n\n{CALLS}"),
        ("", "Go </tool_call>", f"Go </tool_call>\n<tool_call>{CALLS}</tool_call>"),
        ("", "Go <tool_call>", f"<tool_call>{CALLS}</tool_call>Go <tool_call>\n"),
        ("<tool_call>", "", f"<tool_call>{CALLS}</tool_call><think>\n<tool_call>\n</think>\n\n"),
        ("a</think>b", "", f"<think>\na</think>b\n</think>\n\n<tool_call>{CALLS}</tool_call>"),
        ("a<think>b", "<|im_end|>", f"<think>\na<think>b\n</think>\n\n<|im_end|>\n<tool_call>{CALLS}</tool_call>"),
    ],
)
def test_calls_stand_where_marks_in_the_text_do_not_hide_them(reasoning: str, content: str, value: str) -> None:
    turn = {
        "role": "assistant",
        "content": content,
        "reasoning_content": reasoning,
        "tool_calls": [call("a", '{"x":1}')],
    }
    row = sharegpt_row(im({"role": "user", "content": "go"}, turn))
    assert row["conversations"][1] == {"from": "function_call", "value": value}
    assert check_lf_row(row) is None


@pytest.mark.parametrize("mark", ["<tool_call>", "</tool_call>", "<think>", "</think>", "\\\\<tool_call>"])
def test_marks_in_arguments_are_escaped_and_mean_the_same(mark: str) -> None:
    turn = {"role": "assistant", "content": "", "reasoning_content": "", "tool_calls": [call("a", f'{{"x":"{mark}"}}')]}
    row = sharegpt_row(im({"role": "user", "content": "go"}, turn))
    value = row["conversations"][1]["value"]
    assert "<" not in value
    assert json.loads(value) == [{"name": "a", "arguments": {"x": mark.replace("\\\\", "\\")}}]
    assert check_lf_row(row) is None


@pytest.mark.parametrize(
    ("parameters", "written"),
    [
        ({}, {"type": "object", "properties": {}}),
        ({"type": "object", "title": "T"}, {"type": "object", "properties": {}, "title": "T"}),
        ({"properties": {"x": {}}}, {"properties": {"x": {}}}),
    ],
)
def test_a_tool_without_parameters_says_that_it_has_none(parameters: Any, written: Any) -> None:
    tool = {"name": "a", "description": "", "parameters": parameters}
    row = sharegpt_row(im({"role": "user", "content": "go"}, tools=[tool]))
    assert json.loads(row["tools"]) == [tool | {"parameters": written}]


@pytest.mark.parametrize("lf_format", ["sharegpt", "llamafactory_lf_v0.1"])
def test_the_data_set_entry_names_every_tag(lf_format: Any) -> None:
    entry = dataset_entry("demo", lf_format, "lf.json")["demo"]
    assert (entry["file_name"], entry["formatting"]) == ("lf.json", "sharegpt")
    assert len(entry["tags"]) == 7
    assert entry["columns"]["messages"]


@pytest.mark.parametrize("n_rows", [0, 1, 2, 50])
def test_an_array_written_in_pieces_is_valid_json(n_rows: int) -> None:
    file = io.BytesIO()
    array = ArrayWriter(file)
    for number in range(n_rows):
        array.add(encode({"n": number, "text": "ü\n]"}))
    array.close()
    assert json.loads(file.getvalue()) == [{"n": number, "text": "ü\n]"} for number in range(n_rows)]


@pytest.mark.parametrize("value", ["\ud800", 2**70, {1: 2}])
def test_what_json_cannot_hold_is_refused(value: Any) -> None:
    with pytest.raises(UnencodableError):
        encode(value)
