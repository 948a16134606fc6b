"""A root of its own for each test, real Harbor and LiteLLM environments, the scripted model behind a planted key."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from tests.canaries import needles_of
from tests.faults import Points
from tests.installed import ENV_DIR
from tests.postgres import Cluster
from trajgen_assets.core.paths import DAGSTER_URL_ENV, LEDGER_URL_ENV, PROJECT, Root
from trajgen_assets.core.scripted import ScriptedModel, running_scripted_model

KEY_ENV = "TRAJGEN_E2E_KEY"
SECRET = "planted-upstream-secret-9f3c1b"
TASKS = PROJECT / "examples" / "swe_tasks" / "py-cc"
SOLVED = ("fernhollow__stanzaconf-87", "sablecreek__leasetable-128", "quillmark__tablefold-341")
UNSOLVED = "brackwater-systems__retryline-1056"

CONFIG = """\
runtime_info:
  input:
    llm_api: {{model: openai/scripted, api_base_url: "{base_url}", api_key: "${{{key_env}}}"}}
    task_source: {{dataset_name: "{tasks}"}}
    harbor_job: {{environment: {environment}, n_concurrent: 2, timeout_multiplier: 1}}
    automation: {{enabled: true}}
    sft_conversion: {{enabled: true, instance_status: all}}
"""


@dataclass(frozen=True)
class Installation:
    """One root with a configuration, driven through the command line as a user would."""

    root: Root
    extra_environ: Mapping[str, str] = field(default_factory=dict)

    @property
    def config(self) -> Path:
        return self.root.path / "config.yaml"

    def environ(self) -> dict[str, str]:
        names = {name: value for name, value in os.environ.items() if not name.startswith(("TRAJGEN_", "DAGSTER_"))}
        return (
            names
            | dict(self.extra_environ)
            | {"TRAJGEN_ENV_DIR": str(self.root.env), KEY_ENV: SECRET, "PYTHONUNBUFFERED": "1"}
        )

    def configure(self, base_url: str, environment: str = "local") -> None:
        self.root.path.mkdir(parents=True, exist_ok=True)
        text = CONFIG.format(base_url=base_url, key_env=KEY_ENV, tasks=TASKS, environment=environment)
        self.config.write_text(text)

    def command(self, *arguments: str) -> list[str]:
        """The words of `trajgen ARGUMENTS`."""
        return [str(Path(sys.executable).parent / "trajgen"), "--root", str(self.root.path), *arguments]

    def begin(self, *arguments: str) -> subprocess.Popen[str]:
        """Start `trajgen ARGUMENTS` in a process group of its own, with SIGINT as a terminal gives it."""
        return subprocess.Popen(
            self.command(*arguments),
            env=self.environ(),
            cwd=PROJECT,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509  a shell's `&` ignores it
        )

    def run(self, *arguments: str, timeout_s: float = 200) -> tuple[int, str]:
        """Run `trajgen ARGUMENTS` to its end. Returns exit code and all that it printed."""
        child = self.begin(*arguments)
        output, _ = child.communicate(timeout=timeout_s)
        return child.returncode, output

    def processes(self) -> list[str]:
        """Command lines of living processes that work in this root or name it."""
        found = []
        for process in psutil.process_iter(["pid", "status", "cmdline"]):
            words = " ".join(process.info["cmdline"] or [])
            living = process.pid != os.getpid() and process.info["status"] != psutil.STATUS_ZOMBIE
            if living and str(self.root.path) in f"{words} {_cwd(process)}":
                found.append(words)
        return found


def _cwd(process: psutil.Process) -> str:
    try:
        return process.cwd()
    except psutil.Error:
        return ""


@pytest.fixture(scope="session")
def env_dir() -> Path:
    """The folder with Harbor's and LiteLLM's environments, which `make test` has built."""
    for program in ("harbor-uv/bin/harbor", "litellm-venv/bin/litellm"):
        if not (ENV_DIR / program).exists():
            pytest.fail(f"{ENV_DIR / program} is missing: run `make setup`")
    return ENV_DIR


@pytest.fixture(scope="session")
def finished_demo(tmp_path_factory: pytest.TempPathFactory, env_dir: Path) -> Root:
    """The root of a demo that ran to its end, once for all tests: read it, change nothing in it."""
    demo = Installation(Root(tmp_path_factory.mktemp("finished-demo"), env_dir))
    code, output = demo.run("demo")
    assert code == 0, output
    assert demo.processes() == []
    return demo.root


@pytest.fixture(scope="module")
def model() -> Iterator[ScriptedModel]:
    with running_scripted_model(api_key=SECRET) as scripted:
        yield scripted


# For tests that hold wherever ledger and Dagster's storage lie: on a server they are among the long ones.
IN_BOTH_STORES = pytest.mark.parametrize(
    "store", ["files", pytest.param("server", marks=pytest.mark.faults)], indirect=True
)


@pytest.fixture
def store(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The variables that name two databases on a real Postgres, also set here; none unless a test asks for `server`."""
    if getattr(request, "param", "files") == "files":
        return {}
    postgres: Cluster = request.getfixturevalue("postgres")
    named = {name: postgres.new_database() for name in (LEDGER_URL_ENV, DAGSTER_URL_ENV)}
    for name, address in named.items():
        monkeypatch.setenv(name, address)
    return named


@pytest.fixture
def installation(tmp_path: Path, env_dir: Path, model: ScriptedModel, store: dict[str, str]) -> Iterator[Installation]:
    made = Installation(Root(tmp_path / "root", env_dir, store.get(LEDGER_URL_ENV)), extra_environ=store)
    made.configure(model.base_url)
    yield made
    assert made.processes() == []
    assert files_with(SECRET, made.root.path) == []


@pytest.fixture
def points(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> Iterator[Points]:
    """Points at which processes that this process starts, or starts in turn, can be stopped."""
    made = Points(installation.root.path.parent / "points")
    for name, value in ({KEY_ENV: SECRET} | made.environ).items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    yield made
    for left in made.folder.glob("*"):
        left.unlink()


def files_with(text: str, folder: Path) -> list[Path]:
    """Files below `folder` whose bytes hold `text`, in clear or as URLs, JSON or base64 spell it."""
    return [path for path in folder.rglob("*") if path.is_file() and _holds(path.read_bytes(), text)]


def _holds(data: bytes, text: str) -> bool:
    return any(needle.encode() in data for needle in needles_of(text))
