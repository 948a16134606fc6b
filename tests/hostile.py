"""A root in which every text that somebody else chose tries to be more than text: for the dashboard's tests.

Nothing of it would pass registration; it comes to a root as a job folder from elsewhere does.
"""

import json
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

from trajgen_assets.core.ledger import create_ledger
from trajgen_assets.core.paths import JobPaths, Root
from trajgen_assets.core.rollout.trials import AgentRecord, TaskRecord, TrialEntry, TrialsFile, write_trials
from trajgen_assets.core.sft.convert import convert_job
from trajgen_assets.core.sft.settings import ConversionSettings

Record = dict[str, Any]

# `hostile()` tells whoever watches that it ran; `trap.example` that something was asked for.
PAYLOADS = (
    "<script>hostile()</script>",
    "</script><script>hostile()</script>",
    "<img src=x onerror=hostile()>",
    "<svg onload=hostile()><animate onbegin=hostile() attributeName=x></svg>",
    '"><iframe srcdoc="<script>parent.hostile()</script>"></iframe>',
    "' onmouseover=hostile() x='",
    "javascript:hostile()//https://trap.example/",
    "[look](javascript:hostile()) ![](https://trap.example/a.png)",
    "<base href=https://trap.example/><link rel=stylesheet href=https://trap.example/x.css>",
    "<meta http-equiv=refresh content='0;url=https://trap.example/'>",
    "<style>@import 'https://trap.example/x.css'; * { display: none }</style>",
    "<form action=https://trap.example/><button autofocus onfocus=hostile()></form>",
    "{{7*7}} {% raw %} ${hostile()} <%= hostile() %> #{hostile()}",
    "<!-- ]]> --> <![CDATA[ &lt;script&gt; &#x3c;script&#x3e;",
    "\u202egpj.exe\u2066\u2069\u200f",
    "\x00\x08\x7f\x85\u2028hostile()\u2029\ufeff",
    "\x1b]8;;https://trap.example/\x07link\x1b]8;;\x07\x1b[31mred\x1b[2J",
    "\U000e0068\U000e0069",
    "__proto__",
    "=HYPERLINK(0)",
)
ALL = "\n".join(PAYLOADS)
HALF = "\ud800 half \udfff"
LONG_LINE_CHARS = 10_000_000
DEPTH = 100_000
WITH_SCRIPT_TAGS = ("<svg onload=hostile()>__1", "each-in-turn", "broken")  # trials whose turns hold the whole of them
JOB = "<img src=x onerror=hostile()>\u202ejob {{7*7}}"


def make_hostile_root(folder: Path) -> Root:
    """Make a root in `folder` with one job, whose name and whose every text is hostile, and its training data."""
    root = Root(folder)
    create_ledger(root)
    files = root.job(JOB)
    trials = {
        "<svg onload=hostile()>__1": lines(*turns(ALL)),
        "each-in-turn": lines(*(record for payload in PAYLOADS for record in turns(payload))),
        "__proto__": lines(*turns("__proto__")),
        "long-line": lines(*long_turns()),
        "deep": lines(*turns('{"a":' * DEPTH + "1" + "}" * DEPTH)) + b'{"a":' * DEPTH + b"\n",
        "half-characters": b"".join(map(escaped, turns(HALF))),
        "odd-shapes": lines(*odd_shapes()),
        "broken": lines(*turns(ALL))[:-40]
        + b"\n"
        + ALL.encode()
        + b"\n[1]\nnull\n\xff\xfe\n"
        + lines(*turns("end"))[:-9],
    }
    entries = [write_trial(files, name, content) for name, content in trials.items()]
    write_trials(files.trials, trials_file(entries))
    convert_job(files, ConversionSettings(instance_status="all", first_turn="keep", leaks="keep", unknown="keep"))
    return root


def turns(text: str) -> Iterator[Record]:
    """A short dialogue in which every text is `text`: a call that failed, one with calls, and a last answer."""
    asked = [{"role": "system", "content": text}, {"role": "user", "content": [{"type": "text", "text": text}]}]
    calls = [
        {"id": f"{text[:50]}{n}", "type": "function", "function": {"name": text[:300], "arguments": arguments}}
        for n, arguments in enumerate((text, json.dumps({text[:100]: text, "command": text})))
    ]
    answer = {"role": "assistant", "content": text, "reasoning_content": text, "tool_calls": calls}
    results = [{"role": "tool", "tool_call_id": call["id"], "name": text[:50], "content": text} for call in calls]
    yield failed(text, asked)
    yield answered(text, asked, answer)
    yield answered(text, [*asked, answer, *results], {"role": "assistant", "content": text, "reasoning_content": text})


def long_turns() -> Iterator[Record]:
    """A dialogue with one line of ten million characters in an observation."""
    for record in turns("long"):
        for message in record["request_body"]["messages"]:
            if message["role"] == "tool":
                message["content"] = "<b>" + "x" * LONG_LINE_CHARS
        yield record


def record_of(text: str, messages: list[Record]) -> Record:
    tool = {"type": "function", "function": {"name": text[:300], "description": text, "parameters": {text[:50]: text}}}
    return {
        "schema_version": 1,
        "call_id": text,
        "attempt": 1,
        "dialect": text,
        "upstream": text,
        "trajectory_route": text,
        "session_id": text,
        "client_session_id": text[:100],
        "client_disconnected": False,
        "request_time": 1772438400000,
        "timestamp": text,
        "duration_ms": 6000,
        "ttft_ms": None,
        "request_sha256": text,
        "request_body": {"model": text, "messages": messages, "tools": [tool], "temperature": 0.6},
        "usage": {"prompt_tokens": 400, "completion_tokens": 60, "total_tokens": 460, "cost": 0.002},
    }


def failed(text: str, messages: list[Record]) -> Record:
    failure = {"error_type": text, "status_code": 500, "message": text}
    return record_of(text, messages) | {"success": False, "response_body": {}, "failure": failure}


def answered(text: str, messages: list[Record], answer: Record) -> Record:
    choice = {"index": 0, "finish_reason": text[:300], "message": answer}
    response = {"id": text, "object": text, "model": text[:300], "choices": [choice]}
    return record_of(text, messages) | {"success": True, "response_body": response}


def odd_shapes() -> Iterator[Record]:
    """Records that claim success and are of shapes that nobody foresaw."""
    (_, first, last) = turns("odd")
    message = first["response_body"]["choices"][0]["message"]
    odd: tuple[Any, ...] = (None, 7, -1, 2.5, True, [], {}, [[]], {"a": [{}]}, ALL, 10**400)
    for value in odd:
        for name in ("content", "reasoning_content", "tool_calls", "thinking_blocks"):
            yield answered("odd", first["request_body"]["messages"], message | {name: value})
        for name in (
            "usage",
            "request_time",
            "duration_ms",
            "client_session_id",
            "upstream",
            "failure",
            "request_body",
        ):
            yield last | {name: value}


def lines(*records: Record) -> bytes:
    """Records as a trajectory has them."""
    return b"".join(json.dumps(each, ensure_ascii=False).encode() + b"\n" for each in records)


def escaped(record: Record) -> bytes:
    """A record whose text may hold half a character, which only an escape can write."""
    return json.dumps(record).encode() + b"\n"


def write_trial(files: JobPaths, name: str, content: bytes) -> TrialEntry:
    """The files of a trial, and its entry."""
    folder = files.trial(name)
    for part in ("agent", "artifacts", "verifier"):
        (folder / part).mkdir(parents=True)
    files.trajectory(name).write_bytes(content)
    diff = "".join(
        f"diff --git a/x b/x\n--- a/{each}\n+++ b/x\n@@ -1 +1 @@ {each}\n-{each}\n+{each}\n" for each in PAYLOADS
    )
    files.patch(name).write_bytes(diff.encode())
    files.patch_record(name).write_text(json.dumps(patch_record(len(diff))))
    (folder / "verifier" / "<img src=x onerror=hostile()>.txt").write_text(ALL)
    (folder / "verifier" / "test-stdout.txt").write_bytes(ALL.encode() + b"\xff\xfe\n" + b"y" * 5_000_000)
    error = {"exception_type": ALL, "exception_message": ALL}
    result = {"trial_name": name, "exception_info": error, "finished_at": "2026-01-01T00:00:00Z"}
    (folder / "result.json").write_text(json.dumps(result))
    return TrialEntry(
        task_id=f"</title>{ALL}",
        task_key=f"</title>{ALL}",
        trial_name=name,
        attempt=1,
        accepted=True,
        status="done",
        cause=None,
        note=ALL,
        reward=0.5,
        capture="complete",
        trajectory=f"{name}/agent/litellm-trajectory.jsonl",
        trajectory_sha256=sha256(content).hexdigest(),
        task=TaskRecord(
            digest=ALL, instruction=ALL, metadata=dict.fromkeys(("language", "difficulty", "category"), ALL)
        ),
    )


def patch_record(size_bytes: int) -> Record:
    unknown = ("workdir", "read_by", "baseline_tree", "final_tree", "sha256")
    told = {"schema_version": 1, "status": "redacted", "reason": ALL, "n_files": 1, "size_bytes": size_bytes}
    return told | {"left_out": {}, "largest": [], "taking_s": 0.1} | dict.fromkeys(unknown)


def trials_file(entries: list[TrialEntry]) -> TrialsFile:
    return TrialsFile(
        job=JOB,
        dataset=ALL,
        campaign=ALL,
        scaffold="claude_code",
        agent=AgentRecord(name=ALL, version=ALL),
        model=ALL,
        trials=tuple(entries),
    )
