"""Agents that run inside the sandbox, in a real Harbor: their key, their way to the model, their program.

The agents' own programs are twins of a few lines here; `tests/e2e/test_scaffolds.py` has the real ones.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.integration.harbor_runs import DOCKERFILE, MASTER_KEY, HarborJob, exception_type, reward, write_task
from tests.serving import QuietHandler, serving
from trajgen_assets.guest.trial_keys import PREFIX, derive_subkey, verify

VERSION = "1.58.2"
OPENHANDS = {"import_path": "trial_key_openhands:TrialKeyOpenHands", "model_name": "openai/scripted-model"}
CLAUDE_CODE = {"import_path": "trial_key_claude_code:TrialKeyClaudeCode", "model_name": "anthropic/scripted-model"}

# Tells its version, or calls the model as the SDK would and solves the task.
PYTHON_TWIN = """\
#!/usr/bin/python3
import json, os, sys, urllib.request
if sys.argv[1] == "-c":
    print("{version}")
    sys.exit()
seen = {{name: os.environ.get(name) for name in ("LLM_MODEL", "MAX_ITERATIONS", "LITELLM_LOCAL_MODEL_COST_MAP")}}
ours = [name for name, value in os.environ.items() if "sk-" in value or name.startswith("TRAJGEN")]
seen["secrets"] = " ".join(sorted(ours))
request = urllib.request.Request(os.environ["LLM_BASE_URL"] + "/chat/completions", json.dumps(seen).encode())
request.add_header("Authorization", "Bearer " + os.environ["LLM_API_KEY"])
urllib.request.urlopen(request).read()
open("/app/greet.py", "w").write("def greet(name):\\n    return f'Hello, {{name}}!'\\n")
"""
CLAUDE_TWIN = """\
#!/bin/sh
case "$*" in --version) echo "2.1.329 (Claude Code)"; exit ;; esac
echo '{{"type":"result","subtype":"{ending}","is_error":true}}'
exit 1
"""


@dataclass
class Upstream:
    """Takes every call, and remembers who made it."""

    calls: list[tuple[tuple[str, str] | None, dict[str, Any]]] = field(default_factory=list)
    url: str = ""


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    twin = Upstream()

    class Handler(QuietHandler):
        def do_POST(self) -> None:  # noqa: N802  the name by which it is called
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            key = self.headers["authorization"].removeprefix("Bearer ")
            twin.calls.append((verify(derive_subkey(MASTER_KEY), key), body))
            self.send_response(200)
            self.end_headers()

    with serving(Handler) as twin.url:
        yield twin


@pytest.fixture
def job(tmp_path: Path) -> HarborJob:
    (tmp_path / "run").mkdir()
    return HarborJob(tmp_path / "run")


def prepare(job: HarborJob, tasks: list[Path], agent: dict[str, Any]) -> None:
    sandbox = {"root_base": str(job.sandboxes), "network": "host"}
    job.prepare(tasks, agent, environment={"import_path": "local_sandbox:LocalSandbox", "kwargs": sandbox})


def task_with(folder: Path, program: str, text: str) -> Path:
    """A task whose image has the program `text` at the path `program`."""
    task = write_task(folder, dockerfile=f"{DOCKERFILE}COPY --chmod=755 program {program}\nENV PATH=/opt/bin:$PATH\n")
    (task / "environment" / "program").write_text(text)
    return task


def with_python(folder: Path, root: str, version: str = VERSION) -> Path:
    return task_with(folder, f"{root}/bin/python", PYTHON_TWIN.format(version=version))


def files_with(text: str, folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and text.encode() in path.read_bytes()]


def test_an_agent_comes_from_the_image_or_the_mounted_runtime_and_calls_with_the_key_of_its_trial(
    job: HarborJob, upstream: Upstream, tmp_path: Path
) -> None:
    tasks = [
        with_python(tmp_path / "image", "/opt/openhands-sdk-venv"),
        with_python(tmp_path / "runtime", "/opt/trajgen-runtime/openhands-sdk"),
        with_python(tmp_path / "other", "/opt/openhands-sdk-venv", version="1.0.0"),
    ]
    prepare(job, tasks, {**OPENHANDS, "kwargs": {"max_turns": 7, "version": VERSION}})
    job.run(proxy_url=upstream.url)
    results = job.results()
    assert {name: reward(result) for name, result in results.items()} == {"image": 1.0, "runtime": 1.0, "other": None}
    assert exception_type(results["other"]) == "AgentVersionError"
    told = results["other"]["exception_info"]["exception_message"]
    assert told == "openhands-sdk 1.58.2 was asked for, and the container has 1.0.0"
    solved = {results[name]["trial_name"] for name in ("image", "runtime")}
    assert {caller for caller, _ in upstream.calls} == {(job.name, trial) for trial in solved}
    seen = {"LLM_MODEL": "openai/scripted-model", "MAX_ITERATIONS": "7", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    seen["secrets"] = "LLM_API_KEY"  # the trial's own: none that keys are made from, and none of the platform
    assert [body for _, body in upstream.calls] == [seen, seen]
    assert {results[name]["agent_info"]["version"] for name in ("image", "runtime")} == {VERSION}
    assert files_with(PREFIX, job.folder) + files_with(derive_subkey(MASTER_KEY), job.folder) == []


def test_a_container_that_cannot_reach_the_proxy_ends_its_trial_before_anything_is_installed(
    job: HarborJob, tmp_path: Path
) -> None:
    prepare(job, [write_task(tmp_path / "one")], OPENHANDS)
    job.run(proxy_url="http://127.0.0.1:9")
    (result,) = job.results().values()
    assert (exception_type(result), reward(result)) == ("ProxyUnreachableError", None)
    told = result["exception_info"]["exception_message"]
    assert "cannot connect to the model proxy at http://127.0.0.1:9" in told
    assert "Connection refused" in told


def test_claude_code_whose_turns_are_used_up_is_graded_and_any_other_failure_is_told(
    job: HarborJob, upstream: Upstream, tmp_path: Path
) -> None:
    endings = {"out-of-turns": "error_max_turns", "broken": "error_during_execution"}
    tasks = [
        task_with(tmp_path / name, "/opt/bin/claude", CLAUDE_TWIN.format(ending=ending))
        for name, ending in endings.items()
    ]
    prepare(job, tasks, CLAUDE_CODE)
    job.run(proxy_url=upstream.url)
    results = job.results()
    assert (exception_type(results["out-of-turns"]), reward(results["out-of-turns"])) == (None, 0.0)
    assert exception_type(results["broken"]) == "NonZeroAgentExitCodeError"
