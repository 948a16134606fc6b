"""A root as after some weeks of work, for tests and benchmarks of the dashboard: a real ledger, trials, training data.

Equal sizes give equal roots. A third of the trials belongs to a second campaign, over tasks of the first one; about one
in eight has no result, by changing causes, and its task is tried again. Some tasks wait, some are skipped.
"""

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

from trajgen_assets.core.keys import TaskKey
from trajgen_assets.core.ledger import (
    AttemptKind,
    AttemptOutcome,
    AttemptRow,
    Batch,
    CaptureVerdict,
    JobState,
    Lease,
    Ledger,
    ListedTask,
    ManifestSeen,
    RetryPolicy,
    TaskRow,
    create_ledger,
    open_ledger,
)
from trajgen_assets.core.paths import JobPaths, Root
from trajgen_assets.core.report.archive.index import Runs, write_index
from trajgen_assets.core.report.archive.models import RunRow
from trajgen_assets.core.rollout.causes import Cause, kind_of
from trajgen_assets.core.rollout.patch import PatchRecord
from trajgen_assets.core.rollout.trials import AgentRecord, TaskRecord, TrialEntry, TrialsFile, write_trials
from trajgen_assets.core.sft.convert import convert_job
from trajgen_assets.core.sft.settings import ConversionSettings

POLICY = RetryPolicy(max_retries=1, max_infra_retries=2, capture_retries=1)
LANGUAGES = {"py-cc": "python", "go-cc": "go", "ts-cc": "typescript"}
MODELS = {"main": "openai/model-a", "second": "openai/model-b"}
CAUSES = [Cause.SANDBOX, Cause.MODEL_PROVIDER, Cause.VERIFIER, Cause.AGENT_BUDGET, Cause.CAPTURE, Cause.HARNESS]
WORDS = ("parser", "buffer", "index", "cache", "token", "node", "graph", "schema", "request", "session", "handler",
         "router", "config", "loader", "stream", "decode", "header", "payload", "worker", "queue", "retry", "timeout",
         "backoff", "merge", "split")  # fmt: skip
BEGAN_AT = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
PATCH = b"diff --git a/src/calc.py b/src/calc.py\n--- a/src/calc.py\n+++ b/src/calc.py\n@@ -1 +1 @@\n-a - b\n+a + b\n"

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": name,
            "description": f"The tool {name}.",
            "parameters": {"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]},
        },
    }
    for name in ("terminal", "finish")
]


@dataclass(frozen=True)
class RootSize:
    """How much is made: trials in all, tasks that a job is given at most, turns of a trial, words that a tool says."""

    n_trials: int = 300
    n_per_job: int = 50
    n_turns: int = 5
    n_words: int = 40
    converted: bool = True


@dataclass
class Ticking:
    """Time that passes by a second whenever somebody looks."""

    at: datetime = BEGAN_AT

    def __call__(self) -> datetime:
        self.at += timedelta(seconds=1)
        return self.at


@dataclass
class _Making:
    root: Root
    ledger: Ledger
    clock: Ticking
    size: RootSize
    dice: random.Random = field(default_factory=lambda: random.Random(7))
    n_left: int = 0
    runs: list[RunRow] = field(default_factory=list)


def make_root(folder: Path, size: RootSize | None = None) -> Root:
    """Make a root in `folder`, which must not be one yet."""
    size, root, clock = size or RootSize(), Root(folder), Ticking()
    create_ledger(root)
    with open_ledger(root, now=clock) as ledger:
        making = _Making(root, ledger, clock, size, n_left=size.n_trials)
        n_first = max(len(LANGUAGES), -(-size.n_trials * 2 // 3))
        for dataset in LANGUAGES:
            _register(ledger, "main", dataset, n_first // len(LANGUAGES) + 8)
        _roll_out(making, "main", n_at_most=n_first)
        for dataset in LANGUAGES:
            _register(ledger, "second", dataset, n_first // len(LANGUAGES) + 8)
        _roll_out(making, "second", n_at_most=making.n_left)
        _leave_a_job_running(making)
    write_index(root, Runs(()), making.runs)
    return root


def _register(ledger: Ledger, campaign: str, dataset: str, n_tasks: int) -> None:
    listed = [ListedTask(task_id(dataset, n), f"{n:064x}", eligible=True) for n in range(n_tasks)]
    listed += [ListedTask(task_id(dataset, n_tasks + n), None, False, "lacks tests/test.sh") for n in range(3)]
    seen = ManifestSeen(f"/data/{dataset}/verifiable_tasks.txt", sha256(dataset.encode()).hexdigest(), len(listed))
    ledger.register(campaign, dataset, listed, seen)
    ledger.skip([TaskKey(campaign, dataset, task_id(dataset, n_tasks - 1))], "its tests need the network")


def task_id(dataset: str, n: int) -> str:
    """Of different lengths, some longer than Harbor's names of trials."""
    repository = f"{WORDS[n % len(WORDS)]}{WORDS[n * 7 % len(WORDS)]}"
    return f"{dataset[:2]}-owner{n % 9}__{repository}-{1000 + n}"


def _roll_out(making: _Making, campaign: str, n_at_most: int) -> None:
    """Jobs over the data sets in turn, until nothing is free or `n_at_most` trials have ended."""
    n_left, number, idle = min(n_at_most, making.n_left), 0, 0
    while n_left > 0 and idle < len(LANGUAGES):
        dataset = list(LANGUAGES)[number % len(LANGUAGES)]
        batch = Batch(campaign, dataset, limit=min(making.size.n_per_job, n_left))
        name = f"{dataset}-openhands-sdk-1.58.2-{MODELS[campaign][-7:]}-{making.clock.at:%Y%m%d%H%M%S}-{number:04x}"
        number += 1
        assigned = making.ledger.assign(name, batch)
        idle = idle + 1 if assigned is None else 0
        if assigned is not None:
            n_left -= assigned.n_tasks
            making.n_left -= assigned.n_tasks
            _run_job(making, name)


def _run_job(making: _Making, name: str) -> None:
    ledger = making.ledger
    lease = ledger.claim(name, f"run-{name[-4:]}", ttl_s=1e6)
    began_at = making.clock.at
    tasks = ledger.tasks_of_job(name)
    entries = [_run_trial(making, lease, task) for task in tasks]
    write_trials(making.root.job(name).trials, _trials_file(name, tasks[0], entries))
    ledger.release(lease, JobState.FINISHED)
    if making.size.converted:
        settings = ConversionSettings(instance_status="all", first_turn="keep", leaks="keep")
        convert_job(making.root.job(name), settings)
        ledger.record_downstream(name, ledger.job(name).accepted_digest or "")
    making.runs.append(_run_row(making, name, began_at, entries))


def _run_trial(making: _Making, lease: Lease, task: TaskRow) -> TrialEntry:
    dice, files = making.dice, making.root.job(lease.job)
    trial = f"{task.task_id[:32].rstrip('_-')}__{dice.randrange(36**6):07x}"
    cause = dice.choice(CAUSES) if dice.random() < 0.12 else None
    lines = b"".join(_calls(making, lease.job, trial, task))
    digest = sha256(lines).hexdigest()
    outcome = _outcome(making, trial, cause, digest, str(files.trajectory(trial).relative_to(making.root.path)))
    _write_files(files, trial, lines, outcome)
    row = making.ledger.record_attempt(lease, task.key, outcome, POLICY)
    attempt = making.ledger.attempts(task.key)[-1]
    return _entry(making, row, attempt)


def _outcome(making: _Making, trial: str, cause: Cause | None, digest: str, path: str) -> AttemptOutcome:
    dice, clock = making.dice, making.clock
    duration_s = 60 + dice.random() * 900
    began_at = clock()
    clock.at += timedelta(seconds=duration_s / 8)
    return AttemptOutcome(
        trial_name=trial,
        kind=AttemptKind.GRADED if cause is None else kind_of(cause),
        cause=cause,
        reward=None if cause is not None else dice.choices((1.0, 0.0, 0.5), (60, 35, 5))[0],
        capture=CaptureVerdict.GAP if cause is Cause.CAPTURE else dice.choices(("complete", "cut"), (95, 5))[0],
        n_input_tokens=dice.randrange(20_000, 900_000),
        n_output_tokens=dice.randrange(1_000, 30_000),
        n_cache_tokens=dice.randrange(0, 10_000),
        cost_usd=round(dice.random(), 4) if dice.random() < 0.9 else None,
        started_at=began_at,
        finished_at=began_at + timedelta(seconds=duration_s),
        duration_s=duration_s,
        trajectory_path=path,
        trajectory_sha256=digest,
        note=f"{cause}: the {cause} ended it" if cause else None,
    )


def _entry(making: _Making, row: TaskRow, attempt: AttemptRow) -> TrialEntry:
    same = ("trial_name", "accepted", "cause", "note", "reward", "trajectory_sha256", "n_input_tokens",
            "n_output_tokens", "n_cache_tokens", "cost_usd", "started_at", "finished_at", "duration_s")  # fmt: skip
    metadata = {
        "language": LANGUAGES[row.dataset],
        "difficulty": ("easy", "medium", "hard")[row.position % 3],
        "category": ("bugfix", "feature", "refactoring", "performance")[row.position % 4],
        "tags": ["made"],
    }
    return TrialEntry(
        task_id=row.task_id,
        task_key=row.key.partition,
        attempt=attempt.ordinal,
        status=row.status.value,
        capture=attempt.capture.value if attempt.capture else None,
        trajectory=f"{attempt.trial_name}/agent/litellm-trajectory.jsonl",
        task=TaskRecord(digest=row.digest or "", instruction=_instruction(row), metadata=metadata),
        **{name: getattr(attempt, name) for name in same},
    )


def _trials_file(name: str, first: TaskRow, entries: Sequence[TrialEntry]) -> TrialsFile:
    return TrialsFile(
        job=name,
        dataset=first.dataset,
        campaign=first.campaign,
        scaffold="openhands_sdk",
        agent=AgentRecord(name="openhands-sdk", version="1.58.2"),
        model=MODELS[first.campaign],
        trials=tuple(entries),
    )


def _run_row(making: _Making, name: str, began_at: datetime, entries: Sequence[TrialEntry]) -> RunRow:
    rewards = [each.reward for each in entries if each.accepted and each.reward is not None]
    run_id = f"run_{len(making.runs) + 1:03d}"
    return RunRow(
        id=run_id,
        job=name,
        status="completed",
        started_at=began_at.isoformat(),
        completed_at=making.clock.at.isoformat(),
        archive=f"archives/{run_id}",
        n_tasks=len(entries),
        n_trials=len(entries),
        n_accepted=len(rewards),
        mean_reward=sum(rewards) / len(rewards) if rewards else None,
        cost_usd=sum(each.cost_usd or 0 for each in entries),
    )


def _leave_a_job_running(making: _Making) -> None:
    dataset = next(iter(LANGUAGES))
    if making.ledger.assign(f"{dataset}-running", Batch("main", dataset, limit=4)) is not None:
        making.ledger.claim(f"{dataset}-running", "run-now", ttl_s=1e6)


def _write_files(files: JobPaths, trial: str, lines: bytes, outcome: AttemptOutcome) -> None:
    folder = files.trial(trial)
    for name in ("agent", "artifacts", "verifier"):
        (folder / name).mkdir(parents=True)
    files.trajectory(trial).write_bytes(lines)
    files.patch(trial).write_bytes(PATCH)
    files.patch_record(trial).write_text(_patch_record().model_dump_json())
    passed = outcome.reward == 1
    (folder / "verifier" / "test-stdout.txt").write_text("1 passed\n" if passed else "1 failed\n")
    rewards = None if outcome.reward is None else {"rewards": {"reward": outcome.reward}}
    (folder / "result.json").write_text(json.dumps({"trial_name": trial, "verifier_result": rewards}))


def _patch_record() -> PatchRecord:
    return PatchRecord(
        schema_version=1,
        status="ok",
        reason=None,
        workdir="/app",
        read_by="engine",
        baseline_tree=None,
        final_tree=None,
        n_files=1,
        size_bytes=len(PATCH),
        sha256=sha256(PATCH).hexdigest(),
        left_out={},
        largest=[],
        taking_s=0.1,
    )


def _instruction(task: TaskRow) -> str:
    return f"Mend `{task.task_id}`: add() subtracts.\n\nRun its tests from /app."


def _calls(making: _Making, job: str, trial: str, task: TaskRow) -> Iterator[bytes]:
    """The record of a trial: each call with all that was said before it; one call in twenty fails first."""
    dice = making.dice
    said: list[dict[str, Any]] = [
        {"role": "system", "content": "You are a software engineer in a sandbox with a terminal."},
        {"role": "user", "content": _instruction(task)},
    ]
    for turn in range(making.size.n_turns):
        is_last = turn == making.size.n_turns - 1
        answer = _answer(dice, turn, is_last=is_last)
        if dice.random() < 0.05:
            yield _record(job, trial, turn, said, None)
        yield _record(job, trial, turn, said, answer)
        output = " ".join(dice.choices(WORDS, k=making.size.n_words))
        result = {"role": "tool", "tool_call_id": f"call_{turn}", "name": "terminal", "content": f"$ {output}\n"}
        said += [answer] if is_last else [answer, result]


def _answer(dice: random.Random, turn: int, *, is_last: bool) -> dict[str, Any]:
    command = f"grep -rn {dice.choice(WORDS)} src" if turn % 2 else f"python -m pytest tests/test_{turn}.py"
    name, arguments = ("finish", {"command": "done"}) if is_last else ("terminal", {"command": command})
    call = {"id": f"call_{turn}", "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}
    thought = " ".join(dice.choices(WORDS, k=20))
    return {"role": "assistant", "content": "", "reasoning_content": thought, "tool_calls": [call]}


def _record(job: str, trial: str, turn: int, said: list[dict[str, Any]], answer: dict[str, Any] | None) -> bytes:
    usage = {"prompt_tokens": 400 * (turn + 1), "completion_tokens": 60, "total_tokens": 400 * (turn + 1) + 60}
    choice = {"index": 0, "finish_reason": "tool_calls", "message": answer}
    record: dict[str, Any] = {
        "schema_version": 1,
        "call_id": f"{turn:032x}",
        "attempt": 1 if answer is None else 2,
        "dialect": "openai_chat",
        "upstream": "endpoint-1",
        "trajectory_route": f"{job}/{trial}",
        "session_id": trial,
        "client_session_id": None,
        "success": answer is not None,
        "client_disconnected": False,
        "request_time": 1772438400000 + 9000 * turn,
        "timestamp": (BEGAN_AT + timedelta(seconds=9 * turn)).isoformat(timespec="milliseconds"),
        "duration_ms": 6000,
        "ttft_ms": None,
        "request_sha256": f"{turn:064x}",
        "usage": usage | {"cost": 0.002},
        "request_body": {"model": "served", "messages": said, "tools": TOOLS, "temperature": 0.6},
        "response_body": {"id": f"r{turn}", "object": "chat.completion", "model": "served", "choices": [choice]},
    }
    if answer is None:
        record |= {
            "response_body": {},
            "failure": {"error_type": "Timeout", "status_code": 504, "message": "no answer"},
        }
    return json.dumps(record, ensure_ascii=False).encode() + b"\n"
