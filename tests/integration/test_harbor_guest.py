"""The agent with a key for each trial and the event feed, in a real Harbor run against a scripted model."""

import json
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.integration.harbor_runs import (
    BROKEN,
    DOCKERFILE,
    MASTER_KEY,
    TEST,
    HarborJob,
    exception_type,
    reward,
    write_task,
)
from tests.serving import QuietHandler, serving
from tests.trees import found_in
from tests.waiting import wait_until
from trajgen_assets.core.intake.digest import task_digest
from trajgen_assets.guest.trial_keys import derive_subkey, verify

AGENT = {
    "import_path": "trial_key_agent:TrialKeyTerminus2",
    "model_name": "openai/scripted-model",
    "kwargs": {
        "max_turns": 5,
        "temperature": 0.5,
        "record_terminal_session": False,
        "suppress_max_turns_warning": True,
        "model_info": {
            "max_input_tokens": 32000, "max_output_tokens": 4096, "litellm_provider": "openai", "mode": "chat",
            "input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6,
        },
    },
}  # fmt: skip
FIX = "printf 'def greet(name):\\n    return f\"Hello, {name}!\"\\n' > /app/greet.py\n"
# What an agent may do to its folder: in `two` its own history stood in the way of whoever trusts that.
TURMOIL = (
    "cd /app && head -c 3000 /dev/urandom > data.bin && ln -s greet.py link && chmod +x greet.py && rm -f old.txt && "
    "mkdir -p sub && printf x > \"sub/$(printf 'na\\377me')\" && printf '* filter=no -diff\\n' > .gitattributes && "
    "mkfifo pipe && rm -rf .git && git init -q && git add -A && git config core.fsmonitor 'touch /app/ran'\n"
)
SOLVE = [
    {
        "analysis": "",
        "plan": "",
        "commands": [{"keystrokes": FIX, "duration": 0.3}, {"keystrokes": TURMOIL, "duration": 1}],
        "task_complete": False,
    },
    {"analysis": "", "plan": "", "commands": [], "task_complete": True},
]
WAIT = [{"analysis": "", "plan": "", "commands": [{"keystrokes": "\n", "duration": 1}], "task_complete": False}]


@dataclass
class ScriptedProxy:
    """Answers each trial's n-th call with the n-th line of `script`, and knows callers by their trial keys."""

    script: list[dict[str, Any]] = field(default_factory=lambda: SOLVE)
    callers: list[tuple[str, str] | None] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    url: str = ""

    def answer(self, key: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        caller = verify(derive_subkey(MASTER_KEY), key)
        self.callers.append(caller)
        self.bodies.append(body)
        self.keys.append(key)
        if caller is None:
            return 401, {"error": {"message": "no trial", "type": "invalid_request_error", "code": "invalid_api_key"}}
        turn = min(sum(each["role"] == "assistant" for each in body["messages"]), len(self.script) - 1)
        message = {"role": "assistant", "content": json.dumps(self.script[turn])}
        return 200, {
            "id": "x", "object": "chat.completion", "created": 1, "model": body["model"],
            "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
            "usage": {"prompt_tokens": 1000, "completion_tokens": 50, "total_tokens": 1050},
        }  # fmt: skip


@contextmanager
def running_proxy() -> Iterator[ScriptedProxy]:
    twin = ScriptedProxy()

    class Handler(QuietHandler):
        def do_POST(self) -> None:  # noqa: N802  the name by which it is called
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            status, answer = twin.answer(self.headers["authorization"].removeprefix("Bearer "), body)
            data = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    with serving(Handler) as twin.url:
        yield twin


@pytest.fixture
def proxy() -> Iterator[ScriptedProxy]:
    with running_proxy() as twin:
        yield twin


@dataclass(frozen=True)
class SolvedJob:
    """Two solved tasks. The verifier of each keeps the folder as it found it."""

    job: HarborJob
    proxy: ScriptedProxy
    tasks: tuple[Path, Path]
    said: str


@pytest.fixture(scope="module")
def solved(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SolvedJob]:
    folder = tmp_path_factory.mktemp("solved")
    (folder / "run").mkdir()
    job = HarborJob(folder / "run")
    dockerfile = DOCKERFILE + "RUN printf old > old.txt && git init -q && git add -A\n"
    test = TEST.replace("cd /app\n", "cd /app\ntar --create --file=/logs/verifier/graded.tar .\n")
    one, two = (write_task(folder / name, dockerfile=dockerfile, test=test) for name in ("one", "two"))
    with running_proxy() as proxy:
        job.prepare([one, two], AGENT)
        said = job.run(digests=record_digests(job, one, two), proxy_url=proxy.url)
        yield SolvedJob(job, proxy, (one, two), said)


@pytest.fixture
def job(tmp_path: Path) -> HarborJob:
    (tmp_path / "run").mkdir()
    return HarborJob(tmp_path / "run")


def record_digests(job: HarborJob, *tasks: Path) -> Path:
    path = job.root / "digests.json"
    path.write_text(json.dumps({str(task): task_digest(task) for task in tasks}))
    return path


def files_with(folder: Path, *texts: str) -> list[Path]:
    found = []
    for path in folder.rglob("*"):
        if path.is_file() and any(text.encode() in path.read_bytes() for text in texts):
            found.append(path)
    return found


def names_of(job: HarborJob, task: str) -> list[str]:
    return [event["event"] for event in job.events() if event.get("task_name") == task]


def test_each_trial_calls_with_its_own_key_and_no_file_holds_it(solved: SolvedJob) -> None:
    job, proxy, (one, _two), said = solved.job, solved.proxy, solved.tasks, solved.said
    results = job.results()
    assert {name: reward(result) for name, result in results.items()} == {"one": 1.0, "two": 1.0}
    trials = {result["trial_name"] for result in results.values()}
    assert set(proxy.callers) == {(job.name, trial) for trial in trials}
    assert {(body["model"], body["temperature"]) for body in proxy.bodies} == {("scripted-model", 0.5)}
    secrets = [*set(proxy.keys), derive_subkey(MASTER_KEY)]
    assert files_with(job.folder, *secrets) + files_with(job.proxy, *secrets) == []
    assert not any(secret in said for secret in secrets)
    assert results["one"]["agent_result"]["cost_usd"] > 0
    assert results["one"]["agent_info"]["name"] == "terminus-2"
    whole = [
        "trial_started", "environment_started", "agent_started", "agent_ended", "verification_started", "trial_ended",
    ]  # fmt: skip
    assert names_of(job, "one") == names_of(job, "two") == whole
    assert [event["event"] for event in job.events() if "trial" not in event] == ["job_started", "job_ended"]
    (ended,) = [each for each in job.events() if each["event"] == "trial_ended" and each["task_name"] == "one"]
    assert (ended["rewards"], ended["exception_type"], ended["task_path"]) == ({"reward": 1.0}, None, str(one))
    assert {path.name: path.read_text().split()[0] for path in (job.proxy / "ended").iterdir()} == dict.fromkeys(
        trials, "agent_ended"
    )


def test_the_final_patch_leads_a_fresh_copy_to_the_folder_that_was_graded(solved: SolvedJob, tmp_path: Path) -> None:
    for result in solved.job.results().values():
        taken = solved.job.proxy / "patches" / result["trial_name"]
        report = json.loads((taken / "patch.json").read_bytes())
        assert (report["status"], report["workdir"], report["read_by"]) == ("ok", "/app", "sandbox"), report
        assert report["left_out"]["special"] == 1
        fresh, graded = tmp_path / result["task_name"], tmp_path / f"{result['task_name']}-graded"
        for folder in (fresh, graded):
            folder.mkdir()
        (fresh / "greet.py").write_text(BROKEN)
        (fresh / "old.txt").write_text("old")
        env = {"PATH": os.environ["PATH"], "GIT_DIR": "/nonexistent"}
        subprocess.run(["git", "apply", taken / "patch.diff"], cwd=fresh, env=env, check=True)
        kept = solved.job.folder / result["trial_name"] / "verifier" / "graded.tar"
        subprocess.run(["tar", "--extract", f"--file={kept}", "--exclude=./.git", f"--directory={graded}"], check=True)
        (graded / "pipe").unlink()
        assert found_in(fresh) == found_in(graded)
        assert len(found_in(fresh)) == 5


def test_a_refused_key_ends_the_trial_without_a_result(job: HarborJob, proxy: ScriptedProxy, tmp_path: Path) -> None:
    job.prepare([write_task(tmp_path / "one")], AGENT)
    env = job.env(proxy_url=proxy.url) | {"TRAJGEN_TRIAL_SUBKEY": "0" * 64}
    subprocess.run(job.argv(), env=env, cwd=job.root, capture_output=True, timeout=120, check=True)
    (result,) = job.results().values()
    assert (exception_type(result), reward(result)) == ("AuthenticationError", None)
    assert len(proxy.callers) <= 3
    assert files_with(job.folder, *proxy.keys) == []


def test_harbor_refuses_to_start_without_what_keys_are_made_from(job: HarborJob, tmp_path: Path) -> None:
    job.prepare([write_task(tmp_path / "one")], AGENT)
    env = {name: value for name, value in job.env().items() if name != "TRAJGEN_TRIAL_SUBKEY"}
    done = subprocess.run(job.argv(), env=env, cwd=job.root, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode != 0
    assert "TRAJGEN_TRIAL_SUBKEY" in done.stdout + done.stderr
    assert not list(job.root.glob("jobs/*/*/"))


def test_a_changed_or_unknown_task_is_not_run_and_the_others_are(job: HarborJob, tmp_path: Path) -> None:
    tasks = [write_task(tmp_path / name) for name in ("changed", "unknown", "good")]
    job.prepare(tasks, {"name": "oracle"})
    digests = record_digests(job, tasks[0], tasks[2])
    (tasks[0] / "tests" / "test.sh").write_text("#!/bin/bash\necho 1 > /logs/verifier/reward.txt\n")
    job.run(digests=digests)
    results = job.results()
    assert exception_type(results["changed"]) == exception_type(results["unknown"]) == "TaskChangedError"
    assert reward(results["changed"]) is reward(results["unknown"]) is None
    assert reward(results["good"]) == 1.0
    assert names_of(job, "changed") == ["trial_started", "trial_ended"]
    assert (job.proxy / "ended" / results["changed"]["trial_name"]).read_text().startswith("trial_ended ")
    assert list(job.sandboxes.glob("sbx-changed*")) == []


def test_no_trial_runs_once_a_stop_is_asked_for(job: HarborJob, tmp_path: Path) -> None:
    job.prepare([write_task(tmp_path / name) for name in ("one", "two")], {"name": "oracle"})
    (job.proxy / "stop").touch()
    job.run()
    assert {exception_type(result) for result in job.results().values()} == {"JobStoppedError"}
    assert not job.sandboxes.exists()


def test_result_is_on_disk_and_the_sandbox_gone_when_the_feed_says_that_a_trial_ended(
    job: HarborJob, tmp_path: Path
) -> None:
    tasks = [write_task(tmp_path / "quick"), write_task(tmp_path / "slow", solution="#!/bin/bash\nsleep 5\n")]
    job.prepare(tasks, {"name": "oracle"})
    harbor = subprocess.Popen(
        job.argv(), env=job.env(), cwd=job.root, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_until(lambda: "trial_ended" in names_of(job, "quick"))
        assert reward(job.results()["quick"]) == 1.0
        assert list(job.sandboxes.glob("sbx-quick*")) == []
        assert list(job.sandboxes.glob("sbx-slow*"))
    finally:
        harbor.terminate()
        harbor.wait(30)


def test_an_interrupted_trial_is_said_to_be_cancelled_and_its_key_refused(
    job: HarborJob, proxy: ScriptedProxy, tmp_path: Path
) -> None:
    proxy.script = WAIT
    job.prepare([write_task(tmp_path / "one")], AGENT)
    harbor = subprocess.Popen(
        job.argv(), env=job.env(proxy_url=proxy.url), cwd=job.root, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_until(lambda: bool(proxy.callers))
    finally:
        harbor.send_signal(signal.SIGTERM)
    assert harbor.wait(30) == 130
    assert names_of(job, "one")[-3:] == ["agent_ended", "trial_cancelled", "trial_ended"]
    assert "job_ended" not in [event["event"] for event in job.events()]
    (result,) = job.results().values()
    assert exception_type(result) == "CancelledError"
    assert (job.proxy / "ended" / result["trial_name"]).exists()
    assert list(job.sandboxes.iterdir()) == []


def test_a_feed_that_cannot_be_opened_stops_harbor_before_any_trial(job: HarborJob, tmp_path: Path) -> None:
    job.prepare([write_task(tmp_path / "one")], {"name": "oracle"})
    (job.proxy / "events.jsonl").symlink_to("/dev/full")
    done = subprocess.run(job.argv(), env=job.env(), cwd=job.root, capture_output=True, timeout=120, check=False)
    assert done.returncode != 0
    assert not list(job.root.glob("jobs/*/*/"))


def test_a_feed_that_breaks_midway_breaks_no_trial_and_is_not_silent(job: HarborJob, tmp_path: Path) -> None:
    job.prepare([write_task(tmp_path / "one")], {"name": "oracle"})
    feed = job.proxy / "events.jsonl"
    os.mkfifo(feed)
    first: list[str] = []

    def read_one_line() -> None:
        with feed.open() as file:
            first.append(file.readline())

    reader = threading.Thread(target=read_one_line, daemon=True)  # it waits for ever if Harbor does not begin
    reader.start()
    said = job.run()
    reader.join(30)
    assert "job_started" in first[0]
    assert "is incomplete: trial_started" in said
    (result,) = job.results().values()
    assert reward(result) == 1.0
    assert (job.proxy / "ended" / result["trial_name"]).exists()
