import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from trajgen_assets.core.capture.agent_count import AgentCount
from trajgen_assets.core.capture.stored import compress
from trajgen_assets.core.capture.verdict import Capture, judge, publish
from trajgen_assets.core.ledger.models import CaptureVerdict

TRIAL = "task__abc"
WHY = "the agent ran out of time"


class Files:
    """A proxy's working folder, written as custom auth and the logger write it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("admitted", "journal", "trajectories", "ended"):
            (folder / name).mkdir()

    def _append(self, kind: str, value: dict[str, Any]) -> None:
        with (self.folder / kind / f"{TRIAL}.jsonl").open("a") as file:
            file.write(json.dumps(value) + "\n")

    def admit(self, call_id: str) -> None:
        self._append("admitted", {"call_id": call_id})

    def begin(self, call_id: str) -> None:
        self._append("journal", {"event": "begin", "call_id": call_id})

    def record(self, call_id: str, **more: Any) -> None:
        usage = {
            "prompt_tokens": 10,
            "completion_tokens": 4,
            "prompt_tokens_details": {"cached_tokens": 3},
            "cost": 0.5,
        }
        record = {"call_id": call_id, "success": True, "client_disconnected": False, "usage": usage}
        self._append("trajectories", record | more)

    def end(self, call_id: str, *, ok: bool = True) -> None:
        self._append("journal", {"event": "end", "call_id": call_id, "ok": ok})

    def call(self, call_id: str, **more: Any) -> None:
        self.admit(call_id)
        self.begin(call_id)
        self.record(call_id, **more)
        self.end(call_id, ok=more.get("success", True))

    def tear(self, data: bytes = b'{"call_id": "torn", "succ') -> None:
        with self.trajectory.open("ab") as file:
            file.write(data)

    @property
    def trajectory(self) -> Path:
        return self.folder / "trajectories" / f"{TRIAL}.jsonl"

    def judge(self, explained: str | None = None) -> Capture:
        return judge(self.folder, TRIAL, explained=explained)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    folder = tmp_path / "proxy"
    folder.mkdir()
    return Files(folder)


@pytest.fixture
def trial_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "jobs" / "job" / TRIAL
    folder.mkdir(parents=True)
    return folder


@pytest.mark.parametrize("explained", [None, WHY])
def test_a_trial_without_a_call_is_a_gap(files: Files, explained: str | None) -> None:
    capture = files.judge(explained)
    assert (capture.verdict, capture.explanation) == (CaptureVerdict.GAP, "no model call was admitted")
    assert (capture.size_bytes, capture.trajectory_sha256, capture.cost_usd) == (0, None, None)


def test_every_call_ended_and_recorded_is_complete(files: Files) -> None:
    files.call("a")
    files.call("b")
    capture = files.judge()
    assert (capture.verdict, capture.admitted, capture.ended, capture.ok) == (CaptureVerdict.COMPLETE, 2, 2, 2)
    assert (capture.n_input_tokens, capture.n_output_tokens, capture.n_cache_tokens) == (20, 8, 6)
    assert capture.cost_usd == 1.0


def test_an_explanation_that_nothing_needs_leaves_it_complete(files: Files) -> None:
    files.call("a")
    assert files.judge(WHY).verdict is CaptureVerdict.COMPLETE


def test_a_failed_call_is_complete_and_costs_nothing(files: Files) -> None:
    files.call("a")
    files.call("b", success=False)
    capture = files.judge()
    assert (capture.verdict, capture.ok, capture.failed, capture.n_input_tokens) == (CaptureVerdict.COMPLETE, 1, 1, 10)


def test_a_retried_call_counts_once_by_its_last_record(files: Files) -> None:
    files.admit("a")
    files.begin("a")
    files.record("a", success=False)
    files.end("a", ok=False)
    files.record("a")
    files.end("a")
    capture = files.judge()
    assert (capture.verdict, capture.ok, capture.failed, capture.n_records) == (CaptureVerdict.COMPLETE, 1, 0, 2)
    assert capture.n_input_tokens == 10


def test_a_call_refused_before_its_begin_is_complete(files: Files) -> None:
    files.admit("a")
    files.record("a", success=False)
    files.end("a", ok=False)
    capture = files.judge()
    assert (capture.verdict, capture.begun, capture.failed) == (CaptureVerdict.COMPLETE, 0, 1)


@pytest.mark.parametrize("begun", [False, True])
def test_an_unfinished_call_is_a_gap_unless_explained(files: Files, begun: bool) -> None:
    files.call("a")
    files.admit("b")
    if begun:
        files.begin("b")
    assert (files.judge().verdict, files.judge().aborted) == (CaptureVerdict.GAP, 1)
    assert "1 call of 2 did not end" in files.judge().explanation
    explained = files.judge(WHY)
    assert (explained.verdict, explained.explanation) == (CaptureVerdict.CUT, f"1 call did not end: {WHY}")


def test_a_client_disconnect_explains_itself(files: Files) -> None:
    files.call("a")
    files.call("b", success=False, client_disconnected=True)
    capture = files.judge()
    assert (capture.verdict, capture.disconnected, capture.failed) == (CaptureVerdict.CUT, 1, 0)
    assert capture.explanation == "the agent left 1 call before the reply"


def test_an_end_without_a_record_is_a_gap_whatever_explains_it(files: Files) -> None:
    files.call("a")
    files.admit("b")
    files.end("b")
    assert files.judge(WHY).verdict is CaptureVerdict.GAP
    assert files.judge(WHY).explanation == "1 call ended without a whole record"


def test_a_record_without_its_end_event_is_an_end(files: Files) -> None:
    files.admit("a")
    files.begin("a")
    files.record("a")
    assert files.judge().verdict is CaptureVerdict.COMPLETE


def test_a_record_of_a_call_that_was_never_admitted_is_a_gap(files: Files) -> None:
    files.call("a")
    files.record("stray")
    assert files.judge(WHY).explanation == "1 recorded call never admitted"


def test_a_record_that_the_logger_could_not_write_is_a_gap_whatever_explains_it(files: Files) -> None:
    files.call("a")
    files.admit("b")
    lost = [
        {"trial": TRIAL, "lost": "record"},
        {"trial": TRIAL, "lost": "admission"},
        {"trial": "other", "lost": "record"},
    ]
    (files.folder / "broken").write_text("".join(json.dumps(line) + "\n" for line in lost))
    assert files.judge(WHY).verdict is CaptureVerdict.GAP
    assert files.judge(WHY).explanation == "1 record could not be written"


def test_a_line_cut_off_at_the_end_is_the_call_that_was_cut_off(files: Files) -> None:
    files.call("a")
    files.admit("b")
    files.begin("b")
    files.tear()
    capture = files.judge(WHY)
    assert (capture.verdict, capture.n_torn_lines, capture.n_records) == (CaptureVerdict.CUT, 1, 1)
    assert files.judge().verdict is CaptureVerdict.GAP


def test_a_torn_line_in_the_middle_is_a_gap_whatever_explains_it(files: Files) -> None:
    files.admit("b")
    files.tear(b'{"call_id": "b", "succ\n')
    files.call("a")
    capture = files.judge(WHY)
    assert (capture.verdict, capture.explanation) == (CaptureVerdict.GAP, "1 torn line")


def test_a_whole_record_without_its_newline_is_torn(files: Files) -> None:
    files.call("a")
    files.trajectory.write_bytes(files.trajectory.read_bytes().rstrip(b"\n"))
    capture = files.judge()
    assert (capture.verdict, capture.n_torn_lines, capture.n_records) == (CaptureVerdict.GAP, 1, 0)


def test_a_torn_journal_line_hides_nothing(files: Files) -> None:
    files.call("a")
    with (files.folder / "journal" / f"{TRIAL}.jsonl").open("a") as file:
        file.write('{"event": "e')
    assert files.judge().verdict is CaptureVerdict.COMPLETE


@pytest.mark.parametrize("usage", [None, "many", {"prompt_tokens": "x", "cost": "y", "prompt_tokens_details": 3}])
def test_unreadable_usage_counts_as_nothing(files: Files, usage: Any) -> None:
    files.call("a", usage=usage)
    capture = files.judge()
    assert (capture.verdict, capture.n_input_tokens, capture.n_cache_tokens, capture.cost_usd) == (
        "complete",
        0,
        0,
        None,
    )


def test_publishing_copies_the_bytes_and_writes_the_verdict(files: Files, trial_dir: Path) -> None:
    files.call("a")
    capture = publish(files.folder, TRIAL, trial_dir, explained=None)
    copied = (trial_dir / "agent" / "litellm-trajectory.jsonl").read_bytes()
    assert copied == files.trajectory.read_bytes()
    assert (capture.trajectory_sha256, capture.size_bytes) == (sha256(copied).hexdigest(), len(copied))
    written = (trial_dir / "agent" / "capture.json").read_bytes()
    assert Capture.model_validate_json(written) == capture
    assert sorted(path.name for path in (trial_dir / "agent").iterdir()) == ["capture.json", "litellm-trajectory.jsonl"]


def test_publishing_twice_is_publishing_once(files: Files, trial_dir: Path) -> None:
    files.call("a")
    first = publish(files.folder, TRIAL, trial_dir, explained=None)
    assert publish(files.folder, TRIAL, trial_dir, explained=None) == first


def _agent_tells_of(n_replies: int, trial_dir: Path) -> None:
    step = {"source": "agent", "metrics": {}}
    (trial_dir / "agent").mkdir(exist_ok=True)
    told = {"agent": {"name": "terminus-2"}, "steps": [step] * n_replies}
    (trial_dir / "agent" / "trajectory.json").write_text(json.dumps(told))


@pytest.mark.parametrize("n_replies", [0, 1, 2])
def test_an_agent_may_tell_of_as_many_replies_as_calls_were_admitted(
    files: Files, trial_dir: Path, n_replies: int
) -> None:
    files.call("a")
    files.call("b", success=False)
    _agent_tells_of(n_replies, trial_dir)
    capture = publish(files.folder, TRIAL, trial_dir, explained=None)
    assert capture.verdict is CaptureVerdict.COMPLETE
    assert capture.agent_count == AgentCount(source="trajectory.json", n_replies=n_replies)
    assert Capture.model_validate_json((trial_dir / "agent" / "capture.json").read_bytes()) == capture


def test_an_agent_that_tells_of_more_replies_asked_past_the_proxy(files: Files, trial_dir: Path) -> None:
    files.call("a")
    _agent_tells_of(2, trial_dir)
    capture = publish(files.folder, TRIAL, trial_dir, explained=WHY)
    assert capture.verdict is CaptureVerdict.GAP
    assert capture.explanation == "the agent tells of 2 replies in trajectory.json, and 1 call was admitted"


def test_a_trial_whose_records_were_compressed_is_published_as_before(files: Files, trial_dir: Path) -> None:
    files.call("a")
    plain = publish(files.folder, TRIAL, trial_dir, explained=None)
    compress(files.trajectory)
    compress(trial_dir / "agent" / "litellm-trajectory.jsonl")
    assert publish(files.folder, TRIAL, trial_dir, explained=None) == plain
    assert sorted(path.name for path in (trial_dir / "agent").iterdir()) == ["capture.json", "litellm-trajectory.jsonl"]


def test_a_forged_compressed_trajectory_is_removed(files: Files, trial_dir: Path) -> None:
    (trial_dir / "agent").mkdir()
    (trial_dir / "agent" / "litellm-trajectory.jsonl.zst").write_bytes(b"made by the agent")
    publish(files.folder, TRIAL, trial_dir, explained=None)
    assert [path.name for path in (trial_dir / "agent").iterdir()] == ["capture.json"]


def test_a_forged_trajectory_of_a_trial_without_records_is_removed(files: Files, trial_dir: Path) -> None:
    (trial_dir / "agent").mkdir()
    (trial_dir / "agent" / "litellm-trajectory.jsonl").write_text('{"success": true}\n')
    assert publish(files.folder, TRIAL, trial_dir, explained=None).verdict is CaptureVerdict.GAP
    assert not (trial_dir / "agent" / "litellm-trajectory.jsonl").exists()


def _link_folder(trial_dir: Path, outside: Path) -> None:
    (trial_dir / "agent").symlink_to(outside)


def _link_file(trial_dir: Path, outside: Path) -> None:
    (trial_dir / "agent").mkdir()
    (trial_dir / "agent" / "litellm-trajectory.jsonl").symlink_to(outside / "victim")
    (trial_dir / "agent" / "capture.json").symlink_to(outside / "victim")


def _folder_instead_of_file(trial_dir: Path, outside: Path) -> None:
    (trial_dir / "agent" / "litellm-trajectory.jsonl" / "full").mkdir(parents=True)


def _file_instead_of_folder(trial_dir: Path, outside: Path) -> None:
    (trial_dir / "agent").write_text("not a folder")


@pytest.mark.parametrize("prepare", [_link_folder, _link_file, _folder_instead_of_file, _file_instead_of_folder])
def test_no_trap_of_an_agent_is_stepped_into(
    files: Files, trial_dir: Path, tmp_path: Path, prepare: Callable[[Path, Path], None]
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "victim").write_text("untouched")
    prepare(trial_dir, outside)
    files.call("a")
    publish(files.folder, TRIAL, trial_dir, explained=None)
    assert [path.name for path in outside.iterdir()] == ["victim"]
    assert (outside / "victim").read_text() == "untouched"
    placed = trial_dir / "agent" / "litellm-trajectory.jsonl"
    assert not placed.is_symlink()
    assert placed.read_bytes() == files.trajectory.read_bytes()


def test_a_trial_folder_that_is_a_link_is_refused(files: Files, trial_dir: Path, tmp_path: Path) -> None:
    files.call("a")
    link = tmp_path / "link"
    link.symlink_to(trial_dir)
    with pytest.raises(OSError, match="link"):
        publish(files.folder, TRIAL, link, explained=None)


def test_an_unfinished_call_of_a_trial_that_just_ended_is_waited_for(files: Files, trial_dir: Path) -> None:
    files.call("a")
    files.admit("b")
    (files.folder / "ended" / TRIAL).touch()
    capture = publish(files.folder, TRIAL, trial_dir, explained=None, settle_s=0.2)
    assert capture.verdict is CaptureVerdict.GAP


def test_a_capture_with_an_unknown_field_is_refused(files: Files) -> None:
    with pytest.raises(ValidationError):
        Capture.model_validate(files.judge().model_dump() | {"more": 1})
