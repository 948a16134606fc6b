"""A job of ours made of rows of OpenHands: a trial each, with its calls, its patch, and what was found out about it.

Its folder is built beside its place, synced and renamed, and only then does the ledger learn of it. A job folder that a
kill left without the ledger is taken in by the next call.
"""

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from trajgen_assets.core.atomic import fsync_dir, write_bytes, write_json, write_text
from trajgen_assets.core.capture.verdict import Capture
from trajgen_assets.core.counting import count_of
from trajgen_assets.core.faults import reached
from trajgen_assets.core.intake.rows import TEST_COLUMNS, row_digest
from trajgen_assets.core.keys import TaskKey
from trajgen_assets.core.ledger.models import CaptureVerdict
from trajgen_assets.core.openhands.history import HistoryError, openhands_version
from trajgen_assets.core.openhands.ingesting import PREFIX, SCAFFOLD, FoundRow
from trajgen_assets.core.openhands.metrics import metrics_of
from trajgen_assets.core.openhands.records import Told, told_by, write_records
from trajgen_assets.core.openhands.rows import OutputRow, judge_row
from trajgen_assets.core.openhands.trial import RECORD_NAME, HarnessRecord, patch_record
from trajgen_assets.core.paths import JobPaths, Root
from trajgen_assets.core.rollout.causes import Cause
from trajgen_assets.core.rollout.trials import AgentRecord, TaskRecord, TrialEntry, TrialsFile, write_trials

_COLUMNS = ("repo", "base_commit", "version", "language")


def write_job(root: Root, rows: Sequence[FoundRow], ordinal_of: Callable[[TaskKey], int]) -> str:
    """Write a job of these rows, all of one run and data set, and return its name.

    A job of the same rows is left as it stands. `ordinal_of` says which attempt at a task the next one is.
    """
    digest = hashlib.sha256("\n".join(sorted(each.trial_name for each in rows)).encode()).hexdigest()
    name = f"{PREFIX}{digest[:16]}"
    target = root.job(name)
    if target.dir.exists():
        return name
    root.jobs.mkdir(parents=True, exist_ok=True)
    temp = Path(tempfile.mkdtemp(prefix=f".{name}.", dir=root.jobs))
    try:
        _fill(JobPaths(temp, target.proxy, target.sft), name, rows, ordinal_of)
        reached("job_built")
        temp.chmod(0o755)
        temp.rename(target.dir)
    finally:
        shutil.rmtree(temp, ignore_errors=True)
    fsync_dir(root.jobs)
    reached("job_placed")
    return name


def remove_leftovers(root: Root) -> None:
    """Remove folders that a killed ingest was building."""
    for path in root.jobs.glob(f".{PREFIX}*"):
        shutil.rmtree(path, ignore_errors=True)


def _fill(files: JobPaths, name: str, rows: Sequence[FoundRow], ordinal_of: Callable[[TaskKey], int]) -> None:
    entries = tuple(_entry(files, each, ordinal_of(each.key)) for each in rows)
    first, key = rows[0].row, rows[0].key
    config = (first.metadata or {}).get("llm_config") or {}
    agent = AgentRecord(name=str((first.metadata or {}).get("agent_class") or ""), version=openhands_version(first))
    header = TrialsFile(
        job=name,
        dataset=key.dataset,
        campaign=key.campaign,
        scaffold=SCAFFOLD,
        agent=agent,
        model=str(config.get("model") or "unknown"),
        trials=entries,
    )
    write_trials(files.trials, header)
    write_json(files.dir / "ingested.json", {"schema_version": 1, "run": rows[0].run.path.name, "n_rows": len(rows)})


def _entry(files: JobPaths, found: FoundRow, ordinal: int) -> TrialEntry:
    """Write the files of a trial, and return its line of `trials.json`."""
    (files.trial(found.trial_name) / "artifacts").mkdir(parents=True)
    _write_patch(files, found)
    _write_record(files, found)
    told, why_none = _told(found)
    capture = _write_calls(files, found, told) if told else None
    reward, cause, note = _judged(found, capture, why_none)
    metrics = metrics_of(found.row.metrics)
    began_at, ended_at = _times(found.row)
    return TrialEntry(
        task_id=found.key.task_id,
        task_key=found.key.partition,
        trial_name=found.trial_name,
        attempt=ordinal,
        accepted=reward is not None,
        status="done" if reward is not None else "pending",
        cause=cause,
        note=note,
        reward=reward,
        capture=capture.verdict.value if capture else None,
        trajectory=str(files.trajectory(found.trial_name).relative_to(files.dir)) if capture else None,
        trajectory_sha256=capture.trajectory_sha256 if capture else None,
        task=task_record(found.row),
        n_input_tokens=metrics.n_input_tokens,
        n_output_tokens=metrics.n_output_tokens,
        n_cache_tokens=metrics.n_cache_tokens,
        cost_usd=metrics.cost_usd,
        started_at=began_at,
        finished_at=ended_at,
        duration_s=(ended_at - began_at).total_seconds() if began_at and ended_at else None,
    )


def task_record(row: OutputRow) -> TaskRecord:
    """The task of a row as the row tells of it. Its digest is that of the same row in a `multi_swe_jsonl` source."""
    told = row.instance or {}
    issue = told.get("problem_statement")
    asked = issue if isinstance(issue, str) and issue.strip() else row.instruction or ""
    metadata = {key: told[key] for key in _COLUMNS if isinstance(told.get(key), str | int | float)}
    tests = {key: row.tests(key) for key in TEST_COLUMNS if key in told}
    return TaskRecord(digest=row_digest(told | tests) if told else "", instruction=asked, metadata=metadata)


def _write_record(files: JobPaths, found: FoundRow) -> None:
    """Write what the harness recorded, as of a trial that was rolled out here; the run lies elsewhere."""
    record = HarnessRecord.of(found.run.path.name, found.row, found.evaluation, judge_row(found.row).row_class.value)
    write_text(files.trial(found.trial_name) / RECORD_NAME, record.model_dump_json(indent=2) + "\n")


def _write_calls(files: JobPaths, found: FoundRow, told: Told) -> Capture:
    """Write the trajectory, and the verdict on it beside it."""
    trajectory = files.trajectory(found.trial_name)
    digest = write_records(trajectory, told.records)
    facts = {"trajectory_sha256": digest, "size_bytes": trajectory.stat().st_size}
    capture = _capture(found, told).model_copy(update=facts)
    write_bytes(files.capture(found.trial_name), capture.model_dump_json(indent=2).encode() + b"\n")
    return capture


def _told(found: FoundRow) -> tuple[Told | None, str]:
    """The calls of a row, or why there are none."""
    folder = found.run.completions(found.key.task_id)
    try:
        return told_by(found.row, folder if folder.is_dir() else None, found.trial_name), ""
    except HistoryError as error:
        return None, str(error)


def _judged(found: FoundRow, capture: Capture | None, why_none: str) -> tuple[float | None, str | None, str]:
    """Reward, cause and note. Without a verdict that counts, or the calls that it is of, a row is not done."""
    verdict, evaluation = judge_row(found.row), found.evaluation
    told = f"{verdict.row_class}; {evaluation.found}: {evaluation.why}"
    if verdict.cause is not None:
        return None, verdict.cause.value, f"{verdict.row_class}: {verdict.note}"
    if evaluation.reward is None:
        return None, Cause.VERIFIER.value, told
    if capture is None or capture.verdict is CaptureVerdict.GAP:
        return None, Cause.CAPTURE.value, capture.explanation if capture else why_none
    return evaluation.reward, None, told


def _capture(found: FoundRow, told: Told) -> Capture:
    """Judge whether the calls are all there, by the harness's own count, since no proxy saw them.

    An answer that the agent could not read is in no history; the error that it was told explains the hole.
    """
    n_counted = len(told.records) + len(told.missing)
    explained = told.source == "history" and len(told.missing) <= told.n_lost_answers
    verdict = CaptureVerdict.COMPLETE
    if told.missing:
        verdict = CaptureVerdict.CUT if explained else CaptureVerdict.GAP
    if told.n_condensed:
        verdict = CaptureVerdict.GAP
    metrics = metrics_of(found.row.metrics)
    return Capture(
        trial=found.trial_name,
        verdict=verdict,
        explanation=_explanation(told, n_counted),
        admitted=n_counted,
        begun=n_counted,
        ended=len(told.records),
        ok=len(told.records),
        failed=0,
        aborted=len(told.missing),
        disconnected=0,
        n_records=len(told.records),
        n_torn_lines=len(told.unreadable),
        size_bytes=0,
        trajectory_sha256=None,
        n_input_tokens=metrics.n_input_tokens or 0,
        n_output_tokens=metrics.n_output_tokens or 0,
        n_cache_tokens=metrics.n_cache_tokens or 0,
        cost_usd=metrics.cost_usd,
    )


def _explanation(told: Told, n_counted: int) -> str:
    said = [f"ingested from {told.source}, seen by no proxy; {count_of(n_counted, 'call')} counted by OpenHands"]
    if told.missing:
        said.append(f"{count_of(len(told.missing), 'answer')} not kept")
    if told.n_lost_answers:
        said.append(f"{count_of(told.n_lost_answers, 'answer')} that the agent could not read")
    if told.n_condensed:
        said.append(f"what the model saw was condensed {count_of(told.n_condensed, 'time')}")
    return "; ".join(said)


def _write_patch(files: JobPaths, found: FoundRow) -> None:
    record, why = patch_record(found.row.patch), "the row holds no patch"
    if found.row.has_patch:
        write_bytes(files.patch(found.trial_name), found.row.patch.encode())
    else:
        none = dict.fromkeys(("n_files", "size_bytes", "sha256"))
        record = record.model_copy(update={"status": "failed", "reason": why} | none)
    write_text(files.patch_record(found.trial_name), record.model_dump_json(indent=2) + "\n")


def _times(row: OutputRow) -> tuple[datetime | None, datetime | None]:
    """When the first event and the last were, in UTC: OpenHands writes them without a zone, of a host that runs UTC."""
    stamps = [event.get("timestamp") for event in row.history or () if isinstance(event, dict)]
    moments = [moment for stamp in stamps if (moment := _moment(stamp)) is not None]
    return (min(moments), max(moments)) if moments else (None, None)


def _moment(stamp: object) -> datetime | None:
    try:
        moment = datetime.fromisoformat(str(stamp))
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
