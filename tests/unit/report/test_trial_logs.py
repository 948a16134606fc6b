"""What was written about one trial is joined in time, follows as it grows, and steers no terminal."""

import json
import os
from pathlib import Path

import pytest

from trajgen_assets.core.paths import Root
from trajgen_assets.core.report.places import TrialPlace
from trajgen_assets.core.report.trial_logs import MAX_LINE, TrialLogs, harmless

TRIAL = "t__abc"
AT = "2026-01-02T03:04:{:06.3f}+00:00"


@pytest.fixture
def place(root: Root) -> TrialPlace:
    made = TrialPlace("j", TRIAL, root.job("j"), is_over=False)
    for folder in (made.folder / "agent", made.folder / "verifier", made.files.proxy / "journal"):
        folder.mkdir(parents=True)
    return made


def append(path: Path, *values: object) -> None:
    with path.open("a") as file:
        file.write("".join(f"{value if isinstance(value, str) else json.dumps(value)}\n" for value in values))


def texts(logs: TrialLogs, *, final: bool = False) -> list[str]:
    return [f"{line.origin}: {line.text}" for line in logs.read(final=final)]


def test_harness_proxy_and_trial_are_joined_in_time_and_other_trials_left_out(place: TrialPlace) -> None:
    append(
        place.files.events,
        {"event": "trial_started", "ts": AT.format(1), "trial": TRIAL, "task_path": "/x"},
        {"event": "trial_started", "ts": AT.format(2), "trial": "other__1"},
        {"event": "trial_ended", "ts": AT.format(9), "trial": TRIAL, "rewards": {"reward": 1.0}},
    )
    append(
        place.files.proxy / "journal" / f"{TRIAL}.jsonl",
        {"event": "begin", "call_id": "c" * 32, "at": AT.format(3)},
        {"event": "end", "call_id": "c" * 32, "ok": False, "status": 500, "disconnected": True, "at": AT.format(5)},
    )
    append(place.folder / "trial.log", f"{AT.format(4)} building", "  a line without a time")
    assert texts(TrialLogs(place)) == [
        "harness: trial_started",
        "proxy: call cccccccc begin",
        f"trial: {AT.format(4)} building",
        "trial:   a line without a time",
        "proxy: call cccccccc end: failed, status 500, the client had gone",
        'harness: trial_ended rewards={"reward": 1.0}',
    ]


def test_following_shows_each_line_once_and_a_half_line_when_it_is_whole(place: TrialPlace) -> None:
    logs, log = TrialLogs(place), place.folder / "trial.log"
    append(log, "one")
    assert texts(logs) == ["trial: one"]
    with log.open("a") as file:
        file.write("tw")
    assert texts(logs) == []
    with log.open("a") as file:
        file.write("o\nthree")
    append(place.folder / "verifier" / "test-stdout.txt", "ok")
    assert sorted(texts(logs)) == ["trial: two", "verifier test-stdout.txt: ok"]
    assert texts(logs, final=True) == ["trial: three"]


def test_the_job_s_own_logs_are_shown_only_when_asked_for(place: TrialPlace) -> None:
    append(place.files.proxy / "proxy.log", "23:59:59 - LiteLLM Proxy:ERROR: out of reach", "99:99:99 - nonsense")
    assert texts(TrialLogs(place)) == []
    assert texts(TrialLogs(place, with_job=True))[0].startswith("proxy.log: 23:59:59")


@pytest.mark.parametrize("kind", ["link", "link of the folder", "pipe", "folder"])
def test_what_an_agent_puts_in_the_place_of_a_log_is_neither_followed_nor_waited_for(
    place: TrialPlace, tmp_path: Path, kind: str
) -> None:
    secret = tmp_path / "secrets"
    secret.mkdir()
    (secret / "a.log").write_text("the host's own\n")
    target = place.folder / "agent" / "a.log"
    if kind == "link":
        target.symlink_to(secret / "a.log")
    elif kind == "pipe":
        os.mkfifo(target)
    elif kind == "folder":
        target.mkdir()
    else:
        target.parent.rmdir()
        target.parent.symlink_to(secret)
    assert texts(TrialLogs(place)) == []


def test_nothing_reaches_a_terminal_that_it_would_obey() -> None:
    hostile = "\x1b[2J\x1b]0;owned\x07a\x1b[31mred\x1b[0m\r\u202eevil\x9b31m\tend"
    shown = harmless(hostile)
    assert shown == "\\x1b]0;owned\\x07ared\\x0d\\u202eevil\\x9b31m\tend"
    assert all(char.isprintable() or char == "\t" for char in shown)


def test_a_secret_is_taken_out_before_the_line_is_cut(place: TrialPlace) -> None:
    append(place.folder / "trial.log", "x" * (MAX_LINE - 3) + "secret-4711")
    (line,) = TrialLogs(place).read()
    shown = line.shown(lambda text: text.replace("secret-4711", "<redacted>"))
    assert "sec" not in shown
    assert shown.endswith("more)")


def test_garbage_in_the_feed_hides_no_other_line(place: TrialPlace) -> None:
    place.files.events.write_bytes(b"\xff\xfe{\n[1]\n" + b"[" * 100_000 + b"\n")
    append(place.files.events, {"event": "agent_started", "ts": "no time", "trial": TRIAL})
    assert texts(TrialLogs(place)) == ["harness: agent_started"]


def test_of_a_huge_log_the_end_is_shown(place: TrialPlace) -> None:
    append(place.folder / "trial.log", "a" * 100, "the end")
    assert texts(TrialLogs(place, max_bytes=16)) == ["trial: " + "a" * 7, "trial: the end"]


def test_what_claude_code_wrote_as_json_is_shown_in_words_and_anything_else_as_it_is(place: TrialPlace) -> None:
    said = {"type": "text", "text": "I look\nat it."}
    call = {"type": "tool_use", "name": "Bash", "input": {"command": "ls"}}
    gave = {"type": "tool_result", "content": [{"type": "text", "text": "calc.py"}]}
    failed = {"type": "tool_result", "is_error": True, "content": "no such file"}
    append(
        place.folder / "agent" / "claude-code.txt",
        {"type": "system", "subtype": "init", "model": "m-1", "tools": ["Bash"]},
        {"type": "assistant", "message": {"content": [{"type": "thinking", "thinking": "Hm."}, said, call]}},
        {"type": "user", "message": {"content": [gave, failed]}},
        {"type": "result", "subtype": "success", "num_turns": 2, "result": "Done."},
        {"type": "stream_event", "event": {}},
        '{"type": "assistant", "message": 7}',
        '{"type": "assistant"',
    )
    origin = "agent claude-code.txt: "
    assert [text.removeprefix(origin) for text in texts(TrialLogs(place))] == [
        "system: init m-1",
        'assistant: (thinks) Hm. | I look at it. | calls Bash {"command": "ls"}',
        "user: gave calc.py | gave failed: no such file",
        "result: success after 2 turns: Done.",
        '{"type": "stream_event", "event": {}}',
        '{"type": "assistant", "message": 7}',
        '{"type": "assistant"',
    ]
