"""A twin of Terminus-2 behind the proxy: its requests in its order, with short prompts and scripted answers."""

import json
from collections.abc import Iterable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

from trajgen_assets.core.paths import JobPaths, Root
from trajgen_assets.core.rollout.patch import PatchRecord
from trajgen_assets.core.rollout.trials import AgentRecord, TaskRecord, TrialEntry, TrialsFile, write_trials
from trajgen_assets.core.sft.messages import content_text
from trajgen_assets.core.sft.scaffolds import Conversation, scaffold_for
from trajgen_assets.core.sft.trajectory import read_trajectory

Record = dict[str, Any]

FIRST_PROMPT = "Solve the task with batches of shell commands.\n\nTask Description:\nFix add() in calc.py.\n"


def answer_text(analysis: str, *keystrokes: str, done: bool = False) -> str:
    """What Terminus-2's JSON parser accepts."""
    commands = [{"keystrokes": keys, "duration": 0.1} for keys in keystrokes]
    return json.dumps({"analysis": analysis, "plan": "Go on.", "commands": commands, "task_complete": done}, indent=2)


class TerminusTwin:
    """Keeps the dialogue as the agent's chat does, and the records as the proxy's logger does."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.chat: list[Record] = []

    def ask(self, prompt: str, content: str, reasoning: str | None = None) -> "TerminusTwin":
        """One turn of the main dialogue; reasoning is never sent again."""
        self.call([*self.chat, {"role": "user", "content": prompt}], content, reasoning)
        self.chat += [{"role": "user", "content": prompt}, {"role": "assistant", "content": content}]
        return self

    def call(self, history: list[Record], content: Any, reasoning: str | None = None, **changes: Any) -> Record:
        """One call outside the dialogue; `changes` replace fields of its record."""
        n = len(self.records) + 1
        message = {"role": "assistant", "content": content} | ({"reasoning_content": reasoning} if reasoning else {})
        usage = {"prompt_tokens": 100 * n, "completion_tokens": 10, "total_tokens": 100 * n + 10}
        record: Record = {
            "schema_version": 1,
            "call_id": f"call-{n:04d}",
            "attempt": 1,
            "dialect": "openai_chat",
            "trajectory_route": "demo-job/fix-calc__a1B2c3D",
            "session_id": "fix-calc__a1B2c3D",
            "client_session_id": None,
            "success": True,
            "client_disconnected": False,
            "request_time": 1763683200000 + 2500 * n,
            "timestamp": "2025-11-21T00:00:00.000+00:00",
            "duration_ms": 2000,
            "ttft_ms": None,
            "request_sha256": f"{n:064x}",
            "usage": usage | {"cost": 0.001},
            "request_body": {"messages": json.loads(json.dumps(history)), "model": "served", "temperature": 0.7},
            "response_body": {
                "id": f"chatcmpl-{n}",
                "object": "chat.completion",
                "created": 1763683200,
                "model": "served-v2",
                "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
                "usage": usage,
            },
        }
        self.records.append(record | changes)
        return self.records[-1]

    def hand_off(self) -> "TerminusTwin":
        """The three calls of a full context, then a new dialogue that opens with two user messages."""
        summarise = {"role": "user", "content": "You are about to hand off your work to another AI agent.\nSum it up."}
        self.call([*self.chat, summarise], "Listed files.", "Sum up.")
        asking = "You are picking up work from a previous AI agent on this task:\n\nListed files.\n\nAsk what is open."
        self.call([{"role": "user", "content": asking}], "Which file?", "What is open?")
        answering = (
            "The next agent has a few questions for you, please answer each of them one by one in detail:\n\nWhich?"
        )
        told = [summarise, {"role": "assistant", "content": "Listed files."}, {"role": "user", "content": answering}]
        self.call([*self.chat, *told], "calc.py", "Answer.")
        opening = [self.chat[0], {"role": "user", "content": asking}]
        self.chat = [*opening, {"role": "assistant", "content": "Which file?"}]
        return self

    def lines(self) -> bytes:
        """The trajectory file."""
        return b"".join(json.dumps(record, ensure_ascii=False).encode() + b"\n" for record in self.records)


def solved(reasoning: str | None = "Look first.") -> TerminusTwin:
    """A whole short trial: three turns, the last one confirming."""
    return (
        TerminusTwin()
        .ask(FIRST_PROMPT, answer_text("Fresh.", "cat calc.py\n"), reasoning)
        .ask("New Terminal Output:\nreturn a - b\n", answer_text("Wrong sign.", "sed -i s/-/+/ calc.py\n", done=True))
        .ask("Are you sure?", answer_text("Yes.", done=True), reasoning)
    )


def entry(name: str, **changes: Any) -> TrialEntry:
    """An accepted, resolved, completely captured trial, changed as asked."""
    fields: dict[str, Any] = {
        "task_id": "tox-dev__tox-3813",
        "task_key": "py-cc/tox-dev__tox-3813",
        "trial_name": name,
        "attempt": 1,
        "accepted": True,
        "status": "done",
        "reward": 1.0,
        "capture": "complete",
        "trajectory": f"{name}/agent/litellm-trajectory.jsonl",
        "task": TaskRecord(digest="d1", instruction="Fix add()", metadata={"language": "python", "tags": ["math"]}),
    }
    return TrialEntry(**(fields | changes))


def task_of(lines: bytes) -> TaskRecord:
    """The task of a trial: what its last request asks first, where that is not the usual one."""
    asked = "Fix add()"
    with suppress(ValueError, KeyError, TypeError, StopIteration, IndexError):
        if asked.encode() not in lines:
            messages = json.loads(lines.splitlines()[-1])["request_body"]["messages"]
            asked = content_text(next(each["content"] for each in messages if each["role"] == "user")) or asked
    return TaskRecord(digest="d1", instruction=asked, metadata={"language": "python", "tags": ["math"]})


def patch_record(status: str) -> PatchRecord:
    """What is kept about a final patch."""
    unknown = ("reason", "workdir", "read_by", "baseline_tree", "final_tree", "n_files", "size_bytes", "sha256")
    fields: dict[str, Any] = dict.fromkeys(unknown)
    return PatchRecord(schema_version=1, status=status, left_out={}, largest=[], taking_s=0.1, **fields)  # type: ignore[arg-type]


class JobOnDisk:
    """A job folder with trajectories and trials.json."""

    def __init__(self, folder: Path, name: str = "demo-job") -> None:
        self.name = name
        self.paths: JobPaths = Root(folder).job(name)
        self.entries: list[TrialEntry] = []

    def add(
        self, name: str, trajectory: bytes | TerminusTwin | None, *, patch_status: str | None = "ok", **changes: Any
    ) -> "JobOnDisk":
        """Add a trial whose recorded digest is that of its trajectory; without a trajectory, its file is missing.

        Its task is what its trajectory says first. `patch_status` None is a trial whose patch was not taken.
        """
        lines = trajectory.lines() if isinstance(trajectory, TerminusTwin) else trajectory
        if lines is not None:
            path = self.paths.trajectory(name)
            path.parent.mkdir(parents=True)
            path.write_bytes(lines)
            changes = {"trajectory_sha256": sha256(lines).hexdigest(), "task": task_of(lines)} | changes
        if patch_status is not None:
            path = self.paths.patch_record(name)
            path.parent.mkdir(parents=True)
            path.write_text(patch_record(patch_status).model_dump_json())
        self.entries.append(entry(name, **changes))
        return self

    def write(self, **changes: Any) -> JobPaths:
        """Write trials.json."""
        fields: dict[str, Any] = {
            "job": self.name,
            "dataset": "py-cc",
            "campaign": "main",
            "scaffold": "terminus2",
            "agent": AgentRecord(name="terminus-2", version="2.0.0"),
            "model": "openai/served",
        }
        write_trials(self.paths.trials, TrialsFile(**(fields | changes), trials=tuple(self.entries)))
        return self.paths


def conversations_in(path: Path, scaffold: str, trial: TrialEntry) -> list[Conversation]:
    """The conversations that a scaffold finds in a trajectory."""
    reader = scaffold_for("auto", scaffold)
    return list(reader.conversations(reader.as_meant(read_trajectory(path, trial, reader.side_call))))


def lines_of(path: Path) -> list[Record]:
    """Every object of a JSON lines file."""
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def job_with(folder: Path, trajectories: Iterable[bytes | TerminusTwin]) -> JobPaths:
    """A job of accepted trials with these trajectories."""
    job = JobOnDisk(folder)
    for number, trajectory in enumerate(trajectories):
        job.add(f"trial__{number}", trajectory)
    return job.write()
