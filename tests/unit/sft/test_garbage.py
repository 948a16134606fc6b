"""Whatever a trajectory holds costs its own trial only, with a reason that says what is wrong with it."""

import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.sft.agent_twin import fixed
from tests.unit.sft.twin import JobOnDisk, Record, TerminusTwin, lines_of, solved
from trajgen_assets.core.sft.convert import convert_job
from trajgen_assets.core.sft.reasons import Reason
from trajgen_assets.core.sft.settings import ConversionSettings

TWINS = {"terminus2": solved, "claude_code": fixed, "openhands_sdk": fixed}
SOME = settings(max_examples=40, deadline=None)  # each converts a job of three trials
every_twin = pytest.mark.parametrize("scaffold", TWINS)

ODD_BYTES = (
    b"",
    b"\x00",
    b"\xff",
    b'"',
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"\\",
    b"\n",
    b"\r",
    b"NaN",
    b"-1",
    b"1e999",
)
ODD_BYTES += (b"null", b"\\ud800", b"\xef\xbb\xbf", b"[" * 2000, b'{"a":' * 300, b"9" * 400, b'{"success":true}\n')
ODD_VALUES: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    1.5,
    2**70,
    float("nan"),
    "",
    "x",
    "\ud800",
    "\x00",
    [],
    [7],
    ["x"],
    [[]],
    {},
)
ODD_VALUES += ([None], {"a": 1}, {"role": 7}, [{"type": "text"}], [{"type": "text", "text": 7}], [{"function": None}])
ODD_VALUES += (
    {"role": "tool", "content": "x"},
    {"role": "assistant", "tool_calls": [{}]},
    json.loads("[" * 300 + "]" * 300),
)


@st.composite
def damaged(draw: Any, data: bytes) -> bytes:
    """The bytes of a trajectory, some of them cut out, doubled or replaced."""
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(data)))
        to = draw(st.integers(at, min(len(data), at + 200)))
        data = data[:at] + draw(st.sampled_from(ODD_BYTES) | st.binary(max_size=4)) + data[to:]
    return data


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every part of a JSON value, as what holds it and its key there."""
    for key, part in list(value.items() if isinstance(value, dict) else enumerate(value)):
        yield value, key
        if isinstance(part, dict | list):
            yield from places(part)


@st.composite
def distorted(draw: Any, twin: TerminusTwin) -> bytes:
    """A trajectory of whole lines, in which some values are others, missing or under another name."""
    records: list[Record] = json.loads(json.dumps(twin.records))
    for _ in range(draw(st.integers(1, 3))):
        holder, key = draw(st.sampled_from(list(places(records))))
        if isinstance(holder, dict) and draw(st.booleans()):
            holder[draw(st.sampled_from(["content", "role", "tool_calls", "function", "choices"]))] = holder.pop(key)
        else:
            holder[key] = deepcopy(draw(st.sampled_from(ODD_VALUES)))  # a later round may change it
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


def assert_it_costs_its_own_trial_only(scaffold: str, lines: bytes) -> None:
    with TemporaryDirectory() as folder:
        before, after = (with_last_words(TWINS[scaffold](), words) for words in ("Before.", "After."))
        job = JobOnDisk(Path(folder)).add("before__x", before).add("bad__x", lines).add("after__x", after)
        receipt = convert_job(job.write(scaffold=scaffold), ConversionSettings())
        trials = {each.trial: each for each in receipt.sft_im.per_trial}
        assert (trials["before__x"].reason, trials["after__x"].reason) == (None, None)
        assert trials["bad__x"].reason != Reason.UNEXPECTED_ERROR, trials["bad__x"].detail
        rows = lines_of(receipt.im)
        assert len(rows) == receipt.n_rows == len(json.loads(receipt.lf.read_bytes()))
        left_out = [each["level"] for each in lines_of(job.paths.sft / "rejected.jsonl")]
        assert left_out.count("row") == sum(receipt.rejected["rows"].values())
        assert left_out.count("trial") == sum(receipt.rejected["trials"].values())


def with_last_words(twin: TerminusTwin, words: str) -> TerminusTwin:
    """A trial that ends otherwise, so that it is no duplicate."""
    twin.records[-1]["response_body"]["choices"][0]["message"]["content"] = words
    return twin


def ended_because_of(reason: Any) -> bytes:
    twin = fixed()
    twin.records[0]["response_body"]["choices"][0]["finish_reason"] = reason
    return twin.lines()


def with_functions_named(name: Any) -> bytes:
    twin = fixed()
    for record in twin.records:
        for message in [*record["request_body"]["messages"], record["response_body"]["choices"][0]["message"]]:
            for call in message.get("tool_calls", ()):
                call["function"]["name"] = name
        record["request_body"]["tools"][0]["function"]["name"] = name
    return twin.lines()


@pytest.mark.parametrize("value", [["stop"], {"a": 1}, 7])
@pytest.mark.parametrize(
    ("spoil", "reason"), [(ended_because_of, Reason.UNKNOWN), (with_functions_named, Reason.NOT_LOADABLE)]
)
def test_what_is_no_text_where_text_is_due_is_told_by_its_reason(
    tmp_path: Path, spoil: Callable[[Any], bytes], reason: str, value: Any
) -> None:
    job = JobOnDisk(tmp_path).add("bad__x", spoil(value)).write(scaffold="openhands_sdk")
    assert convert_job(job, ConversionSettings()).rejected["rows"] == {reason: 1}


@every_twin
@SOME
@given(data=st.data())
def test_damaged_bytes_cost_their_own_trial_only(scaffold: str, data: Any) -> None:
    assert_it_costs_its_own_trial_only(scaffold, data.draw(damaged(TWINS[scaffold]().lines())))


@every_twin
@SOME
@given(data=st.data())
def test_values_of_another_kind_cost_their_own_trial_only(scaffold: str, data: Any) -> None:
    assert_it_costs_its_own_trial_only(scaffold, data.draw(distorted(TWINS[scaffold]())))
