"""Which records of a trajectory are whole calls."""

from pathlib import Path
from typing import Any

import pytest

from tests.unit.sft.agent_twin import fixed
from tests.unit.sft.twin import JobOnDisk, TerminusTwin, lines_of, solved
from trajgen_assets.core.sft.convert import convert_job
from trajgen_assets.core.sft.messages import Json
from trajgen_assets.core.sft.settings import ConversionSettings

ABSENT = object()


def rows_of(folder: Path, twin: TerminusTwin, scaffold: str = "terminus2") -> list[Json]:
    job = JobOnDisk(folder).add("fix__x", twin).write(scaffold=scaffold)
    return lines_of(convert_job(job, ConversionSettings()).im)


def with_second_marked(name: str, value: Any) -> TerminusTwin:
    """Three calls, the second asked again by a fourth, of which only the mark of the first try differs."""
    twin = solved()
    again = twin.records[1]
    twin.records[1:1] = [marked(again, name, value)]
    return twin


def marked(record: Json, name: str, value: Any) -> Json:
    others = {key: part for key, part in record.items() if key != name}
    return others if value is ABSENT else others | {name: value}


@pytest.mark.parametrize("value", [False, None, 0, 1, "true", "false", [], ABSENT])
def test_a_call_is_whole_only_if_its_success_is_exactly_true(tmp_path: Path, value: Any) -> None:
    twin = solved()
    twin.records = [marked(record, "success", value) for record in twin.records]
    assert rows_of(tmp_path, twin) == []


@pytest.mark.parametrize("value", [False, None, 0, "false", ABSENT])
def test_a_failed_call_amid_others_takes_nothing_away(tmp_path: Path, value: Any) -> None:
    (row,) = rows_of(tmp_path / "a", with_second_marked("success", value))
    (whole,) = rows_of(tmp_path / "b", solved())
    assert row["messages"] == whole["messages"]


@pytest.mark.parametrize(("value", "n_rows"), [(True, 0), (False, 1), (None, 1), (ABSENT, 1)])
def test_an_answer_that_its_client_did_not_wait_for_is_none(tmp_path: Path, value: Any, n_rows: int) -> None:
    twin = solved()
    for record in twin.records:
        record["client_disconnected"] = value
        if value is ABSENT:
            del record["client_disconnected"]
    assert len(rows_of(tmp_path, twin)) == n_rows


def test_the_last_whole_call_ends_the_conversation_though_later_ones_failed(tmp_path: Path) -> None:
    twin = solved()
    twin.call([*twin.chat, {"role": "user", "content": "more"}], "never", success=False, response_body=None)
    twin.records.append({"success": False})
    (row,) = rows_of(tmp_path, twin)
    assert row["meta_info"]["rounds"] == 3


def test_blank_lines_are_no_records(tmp_path: Path) -> None:
    lines = b"\n \n" + solved().lines().replace(b"\n", b"\n\n")
    job = JobOnDisk(tmp_path).add("fix__x", lines).write()
    assert convert_job(job, ConversionSettings()).n_rows == 1


def test_lines_may_end_as_on_windows(tmp_path: Path) -> None:
    job = JobOnDisk(tmp_path).add("fix__x", solved().lines().replace(b"\n", b"\r\n")).write()
    assert convert_job(job, ConversionSettings()).n_rows == 1


@pytest.mark.parametrize("scaffold", ["claude_code", "open_code", "openhands_sdk", "mini_swe_agent"])
def test_a_system_message_of_text_or_of_blocks_is_one_text(tmp_path: Path, scaffold: str) -> None:
    blocks = [{"type": "text", "text": "One."}, {"type": "text", "text": ""}, {"type": "text", "text": "Two."}]
    for number, content in enumerate(("One.\n\nTwo.", blocks)):
        twin = fixed()
        for record in twin.records:
            record["request_body"]["messages"][0]["content"] = content
        (row,) = rows_of(tmp_path / str(number), twin, scaffold)
        assert row["messages"][0] == {"role": "system", "content": "One.\n\nTwo."}


def test_what_an_image_was_is_kept_as_its_json(tmp_path: Path) -> None:
    """The earlier converter loses it, and with OpenHands also all text behind it."""
    twin = fixed()
    shown = [{"type": "image_url", "image_url": {"url": "data:x"}}, {"type": "text", "text": "ok"}]
    for record in twin.records:
        for message in record["request_body"]["messages"]:
            if message.get("tool_call_id") == "c3":
                message["content"] = shown
    (row,) = rows_of(tmp_path, twin, "openhands_sdk")
    (result,) = [message for message in row["messages"] if message.get("tool_call_id") == "c3"]
    assert "data:x" in result["content"]
    assert '"text":"ok"' in result["content"]
