"""Files of model calls: which of them are the agent's last try."""

from pathlib import Path

from tests.unit.openhands import twin
from trajgen_assets.core.openhands.completions import read_calls
from trajgen_assets.core.sft.messages import Json


def after_look(text: str = "src tests") -> list[Json]:
    return twin.asked(twin.said(twin.LOOK), twin.result(twin.LOOK, text))


def ids(calls: object) -> list[str | None]:
    return [each.response_id for each in calls]  # type: ignore[attr-defined]


def test_calls_are_in_the_order_of_their_times_whatever_their_names(tmp_path: Path) -> None:
    twin.write_call(tmp_path, 1000.5, after_look(), twin.EDIT)
    twin.write_call(tmp_path, 999.75, twin.asked(), twin.LOOK)
    calls = read_calls(tmp_path)
    assert ids(calls.last_try) == ["gen-1", "gen-2"]
    assert calls.last_try[0].tools == twin.TOOLS


def test_files_of_all_tries_lie_in_one_folder_and_the_last_try_counts(tmp_path: Path) -> None:
    twin.write_call(tmp_path, 1.0, twin.asked(), twin.response("old-1", twin.said(twin.LOOK)))
    twin.write_call(tmp_path, 2.0, after_look("old"), twin.response("old-2", twin.said(twin.EDIT)))
    twin.write_call(tmp_path, 3.0, twin.asked(), twin.LOOK)
    twin.write_call(tmp_path, 4.0, after_look(), twin.EDIT)
    calls = read_calls(tmp_path)
    assert ids(calls.last_try) == ["gen-1", "gen-2"]
    assert calls.n_earlier == 2


def test_a_first_answer_that_could_not_be_read_does_not_begin_another_try(tmp_path: Path) -> None:
    malformed = twin.response("bad-1", twin.answer("", {"id": "x", "type": "function", "function": {"name": "no"}}))
    told = {"role": "user", "content": "Function no is not a function."}
    twin.write_call(tmp_path, 1.0, twin.asked(), malformed)
    twin.write_call(tmp_path, 2.0, twin.asked(told), twin.LOOK)
    calls = read_calls(tmp_path)
    assert ids(calls.last_try) == ["bad-1", "gen-1"]
    assert calls.n_earlier == 0


def test_a_second_model_is_told_apart_by_the_name_of_its_files(tmp_path: Path) -> None:
    twin.write_call(tmp_path, 1.0, twin.asked(), twin.LOOK)
    twin.write_call(tmp_path, 2.0, [{"role": "user", "content": "Sum up."}], twin.FINISH, model="other/small", tools=[])
    twin.write_call(tmp_path, 3.0, after_look(), twin.EDIT)
    calls = read_calls(tmp_path, model=twin.MODEL)
    assert ids(calls.last_try) == ["gen-1", "gen-2"]
    assert ids(calls.beside) == ["gen-3"]
    assert ids(read_calls(tmp_path).last_try) == ["gen-1", "gen-2"]


def test_calls_of_a_condenser_by_the_same_model_offer_no_tools(tmp_path: Path) -> None:
    twin.write_call(tmp_path, 1.0, twin.asked(), twin.LOOK)
    twin.write_call(tmp_path, 2.0, [{"role": "user", "content": "Sum up."}], twin.FINISH, tools=[])
    twin.write_call(tmp_path, 3.0, after_look(), twin.EDIT)
    calls = read_calls(tmp_path, model=twin.MODEL)
    assert ids(calls.last_try) == ["gen-1", "gen-2"]
    assert ids(calls.beside) == ["gen-3"]


def test_mocked_calls_are_read_in_their_tool_call_form(tmp_path: Path) -> None:
    twin.write_mocked_call(tmp_path, 1.0, twin.asked(), twin.LOOK)
    twin.write_mocked_call(tmp_path, 2.0, after_look(), twin.EDIT)
    calls = read_calls(tmp_path, tools=twin.TOOLS)
    assert [call.is_mocked for call in calls.last_try] == [True, True]
    assert calls.last_try[0].answer == twin.said(twin.LOOK)
    assert calls.last_try[1].messages == after_look()
    assert calls.last_try[1].tools == twin.TOOLS


def test_content_may_be_text_or_parts_with_marks_for_a_cache(tmp_path: Path) -> None:
    marked = [{"type": "text", "text": twin.TASK, "cache_control": {"type": "ephemeral"}}]
    twin.write_call(tmp_path, 1.0, [twin.asked()[0], {"role": "user", "content": marked}], twin.LOOK)
    told = {"role": "user", "content": "That was no call."}
    twin.write_call(tmp_path, 2.0, twin.asked(told), twin.EDIT)
    assert ids(read_calls(tmp_path).last_try) == ["gen-1", "gen-2"]


def test_a_file_that_is_no_whole_call_is_named_with_its_reason(tmp_path: Path) -> None:
    path = twin.write_call(tmp_path, 1.0, twin.asked(), twin.LOOK)
    torn = tmp_path / path.name.replace("1.0", "2.0")
    torn.write_bytes(path.read_bytes()[:100])
    (tmp_path / "notes.json").write_text("{}")
    (tmp_path / f"m-{3.0}.json").write_text('{"messages": [], "response": {}}')
    calls = read_calls(tmp_path)
    assert ids(calls.last_try) == ["gen-1"]
    assert set(calls.unreadable) == {torn.name, "notes.json", "m-3.0.json"}
    assert calls.unreadable["m-3.0.json"] == "it holds no messages"


def test_a_folder_that_is_not_there_holds_no_calls(tmp_path: Path) -> None:
    assert read_calls(tmp_path / "none").last_try == ()
