"""What the tests of guest code share: Harbor's environment, the guest folder, a tiny task, and one job run for real."""

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.installed import HARBOR_ENV
from trajgen_assets.core.paths import PROJECT
from trajgen_assets.core.process import child_env
from trajgen_assets.guest.trial_keys import derive_subkey

MASTER_KEY = "sk-master-of-the-tests"
GUEST = PROJECT / "trajgen_assets" / "guest"

TASK_TOML = """\
version = "1.0"
[metadata]
author_name = "tests"
[verifier]
timeout_sec = 60.0
[agent]
timeout_sec = 60.0
[environment]
build_timeout_sec = 60.0
"""
DOCKERFILE = "FROM debian:stable\nWORKDIR /app\nCOPY greet.py .\n"
BROKEN = "def greet(name):\n    return name\n"
SOLUTION = "#!/bin/bash\nprintf 'def greet(name):\\n    return f\"Hello, {name}!\"\\n' > /app/greet.py\n"
TEST = """\
#!/bin/bash
cd /app
if python3 -c 'from greet import greet; assert greet("Ann") == "Hello, Ann!"'
then echo 1 > /logs/verifier/reward.txt; else echo 0 > /logs/verifier/reward.txt; fi
"""


def harbor_env() -> Path:
    """Harbor's own Python environment."""
    if not (HARBOR_ENV / "bin" / "harbor").exists():
        pytest.fail(f"there is no Harbor in {HARBOR_ENV}: run `make setup`")
    return HARBOR_ENV


def copy_guest(folder: Path) -> Path:
    """The guest code as a job has it: flat, beside the digest function that it shares with the platform."""
    folder.mkdir(parents=True)
    files = [
        *GUEST.glob("*.py"),
        *(GUEST / "harbor").glob("*.py"),
        PROJECT / "trajgen_assets/core/intake/digest.py",
    ]
    for file in files:
        if file.name != "__init__.py":
            shutil.copy(file, folder)
    return folder


def write_task(folder: Path, *, dockerfile: str = DOCKERFILE, solution: str = SOLUTION, test: str = TEST) -> Path:
    files = {
        "task.toml": TASK_TOML,
        "instruction.md": "Fix greet() in /app/greet.py.\n",
        "environment/Dockerfile": dockerfile,
        "environment/greet.py": BROKEN,
        "solution/solve.sh": solution,
        "tests/test.sh": test,
    }
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


@dataclass(frozen=True)
class HarborJob:
    """A job under `root`: its configuration, its guest code, and what running it leaves."""

    root: Path
    name: str = "job"

    @property
    def folder(self) -> Path:
        return self.root / "jobs" / self.name

    @property
    def sandboxes(self) -> Path:
        return self.root / "sandboxes"

    @property
    def proxy(self) -> Path:
        return self.root / "proxy"

    def prepare(self, tasks: list[Path], agent: dict[str, Any], **more: Any) -> None:
        copy_guest(self.root / "guest")
        self.proxy.mkdir()
        config = {
            "job_name": self.name,
            "jobs_dir": str(self.root / "jobs"),
            "n_concurrent_trials": 2,
            "quiet": True,
            "retry": {"max_retries": 0},
            "tasks": [{"path": str(task)} for task in tasks],
            "agents": [agent],
            "environment": {
                "import_path": "local_sandbox:LocalSandbox",
                "kwargs": {"root_base": str(self.sandboxes), "network": "none"},
                "delete": True,
            },
        }
        (self.root / "job.yaml").write_text(yaml.safe_dump(config | more))

    def argv(self, *, digests: Path | None = None) -> list[str]:
        options = {"path": self.proxy / "events.jsonl", "ended_dir": self.proxy / "ended"}
        if digests is not None:
            options["digests"] = digests
        return [
            str(harbor_env() / "bin" / "harbor"), "run", "-c", str(self.root / "job.yaml"),
            "--plugin", "event_feed:EventFeed",
            *(word for name, value in options.items() for word in ("--plugin-kwarg", f"{name}={value}")),
        ]  # fmt: skip

    def env(self, *, proxy_url: str = "http://127.0.0.1:9") -> dict[str, str]:
        return child_env(
            {
                "HARBOR_TELEMETRY": "off",
                "LITELLM_LOCAL_MODEL_COST_MAP": "True",
                "PYTHONPATH": str(self.root / "guest"),
                "PYTHONDONTWRITEBYTECODE": "1",
                "TRAJGEN_JOB": self.name,
                "TRAJGEN_PROXY_DIR": str(self.proxy),
                "TRAJGEN_PROXY_URL": proxy_url,
                "TRAJGEN_TRIAL_SUBKEY": derive_subkey(MASTER_KEY),
                "TRAJGEN_NETWORK": "open",
                "TRAJGEN_PATCH_TREE_MB": "64",
                "TRAJGEN_PATCH_FILE_MB": "1",
            }
        )

    def run(self, *, digests: Path | None = None, proxy_url: str = "http://127.0.0.1:9") -> str:
        """Run it to its end. Returns all it said."""
        done = subprocess.run(
            self.argv(digests=digests),
            env=self.env(proxy_url=proxy_url),
            cwd=self.root,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    def results(self) -> dict[str, dict[str, Any]]:
        """The result of each trial by its task's name."""
        found = (json.loads(path.read_bytes()) for path in self.folder.glob("*/result.json"))
        return {result["task_name"]: result for result in found}

    def events(self) -> list[dict[str, Any]]:
        path = self.proxy / "events.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def exception_type(result: dict[str, Any]) -> str | None:
    exception = result["exception_info"]
    return None if exception is None else exception["exception_type"]


def reward(result: dict[str, Any]) -> float | None:
    verifier = result["verifier_result"]
    return None if verifier is None else verifier["rewards"]["reward"]
