"""The deployment of deploy/compose, brought up by `make up` with a folder, a port and images of its own."""

import json
import os
import shutil
import ssl
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.ports import free_port
from trajgen_assets.core.paths import PROJECT
from trajgen_assets.launches import run_config
from trajgen_assets.names import ROLLOUT_JOB, ROLLOUT_OP

TASKS = PROJECT / "examples" / "swe_tasks" / "py-cc"
KEY_ENV, KEY = "SCRIPTED_KEY", "planted-upstream-secret-7d20aa"
PATIENCE_S = 420.0
UP_S, DOWN_S = 1500.0, 300.0

CONFIG = """\
runtime_info:
  input:
    llm_api: {{model: openai/scripted, api_base_url: "{base_url}", api_key: "${{{key_env}}}"}}
    task_source: {{dataset_name: "{tasks}"}}
    harbor_job: {{environment: docker, network: proxy_only, n_concurrent: 2, timeout_multiplier: 1}}
    automation: {{enabled: {enabled}, batch_max: 2, max_jobs: 2, max_trials: 4}}
    sft_conversion: {{enabled: true, instance_status: all}}
"""

RUNS = """
query { runsOrError { ... on Runs { results { runId status jobName tags { key value } } } } }
"""
LAUNCH = """
mutation ($params: ExecutionParams!) {
  launchPipelineExecution(executionParams: $params) { __typename ... on LaunchRunSuccess { run { runId } } }
}
"""
CANCEL = """
mutation ($run: String!) { terminateRun(runId: $run) { __typename ... on TerminateRunFailure { message } } }
"""


@dataclass(frozen=True)
class Stack:
    """One deployment, asked as its user would: by make, by the browser's requests, by `docker exec`."""

    name: str
    home: Path
    port: int

    @property
    def environ(self) -> dict[str, str]:
        names = {name: value for name, value in os.environ.items() if not name.startswith(("TRAJGEN_", "DAGSTER_"))}
        return names | {
            "TRAJGEN_DEPLOYMENT": self.name,
            "TRAJGEN_HOME": str(self.home),
            "TRAJGEN_PORT": str(self.port),
            "TRAJGEN_TAG": "test",
            "TRAJGEN_RUN_MEMORY": "2g",
            "TRAJGEN_RUN_CPUS": "1",
        }

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"

    def make(self, target: str, *arguments: str, timeout_s: float) -> str:
        """`make TARGET`, which has to end well. Returns what it printed."""
        done = subprocess.run(
            ["make", target, *arguments],
            cwd=PROJECT,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-6000:]
        return done.stdout

    def configure(self, base_url: str, *, automation: bool) -> None:
        """Write configuration, key and tasks as the owner of the folder does."""
        folder = self.home / "config"
        owner = folder.stat()
        text = CONFIG.format(
            base_url=base_url, key_env=KEY_ENV, tasks=self.home / "tasks" / "py-cc", enabled=str(automation).lower()
        )
        for name, content in (("secrets.env", f"{KEY_ENV}={KEY}\n"), ("config.yaml", text)):
            (folder / name).write_text(content)
            (folder / name).chmod(0o600)
            os.chown(folder / name, owner.st_uid, owner.st_gid)
        if not (tasks := self.home / "tasks" / "py-cc").exists():
            shutil.copytree(TASKS, tasks)

    def trajgen(self, *words: str) -> str:
        """The command line, in the code server's container."""
        return docker("exec", f"{self.name}-code-1", "trajgen", *words)

    def tasks(self) -> dict[str, dict[str, Any]]:
        """What the ledger says of each task that can be rolled out."""
        rows = [json.loads(line) for line in self.trajgen("ledger", "show", "--json").splitlines()]
        return {row["task_id"]: row for row in rows if row["eligible"]}

    @property
    def login(self) -> tuple[str, str]:
        name, _, word = (self.home / "web" / "first-login").read_text().strip().partition(" ")
        return name, word

    def ask(
        self, path: str = "/", *, login: tuple[str, str] | None, origin: str | None = None, post: object = None
    ) -> httpx.Response:
        context = ssl.create_default_context(cafile=str(self.home / "web" / "trajgen.crt"))
        headers = {"Content-Type": "application/json"} | ({"Origin": origin} if origin else {})
        with httpx.Client(verify=context, trust_env=False, timeout=60) as client:
            content = None if post is None else json.dumps(post)
            method = "GET" if post is None else "POST"
            return client.request(method, f"{self.url}{path}", auth=login, headers=headers, content=content)

    def graphql(self, query: str, **variables: object) -> dict[str, Any]:
        """What the web UI answers to a page of its own."""
        post = {"query": query, "variables": variables}
        answer = self.ask("/graphql", login=self.login, origin=self.url, post=post).json()
        assert "errors" not in answer, answer
        return answer["data"]

    def click(self, partition: str) -> str:
        """Roll a task out once more, as from its page, though it is done. Returns the run's id."""
        selector = {
            "repositoryLocationName": "trajgen",
            "repositoryName": "__repository__",
            "pipelineName": ROLLOUT_JOB,
        }
        params = {
            "selector": selector,
            "runConfigData": run_config(ROLLOUT_OP, force=True),
            "executionMetadata": {"tags": [{"key": "dagster/partition", "value": partition}]},
        }
        launched = self.graphql(LAUNCH, params=params)["launchPipelineExecution"]
        assert launched["__typename"] == "LaunchRunSuccess", launched
        return launched["run"]["runId"]

    def status(self, run_id: str) -> str:
        return next(run["status"] for run in self.runs() if run["runId"] == run_id)

    def runs(self) -> list[dict[str, Any]]:
        """Dagster's runs, newest first, with their tags as a mapping."""
        found = self.graphql(RUNS)["runsOrError"]["results"]
        return [run | {"tags": {tag["key"]: tag["value"] for tag in run["tags"]}} for run in found]

    def jobs_in_engine(self) -> set[str]:
        """The jobs of this deployment that have a container at this moment."""
        named = docker("ps", "--filter", "label=trajgen.job", "--format", '{{.Label "trajgen.job"}}').split()
        return {job for job in named if (self.home / "artifacts" / "litellm" / job).is_dir()}

    def run_containers(self, *options: str) -> dict[str, str]:
        """Containers of runs: the id of each, by its run's id."""
        ours = ("--filter", f"label=trajgen.deployment={self.name}", "--filter", "label=dagster/run_id")
        shown = docker("ps", *options, *ours, "--no-trunc", "--format", '{{.Label "dagster/run_id"}} {{.ID}}')
        return dict(line.split() for line in shown.splitlines())


def docker(*words: str) -> str:
    done = subprocess.run(["docker", *words], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, f"{words}: {done.stderr}"
    return done.stdout


def inspected(container: str) -> dict[str, Any]:
    return json.loads(docker("inspect", container))[0]


def containers_of(job: str) -> list[str]:
    """What a job's trials have in the engine."""
    return docker("ps", "--all", "--quiet", "--filter", f"label=trajgen.job={job}").split()


def in_engine(labels: Mapping[str, str]) -> list[str]:
    """Containers, networks and volumes that carry one of `labels`."""
    listings = (("ps", "--all"), ("network", "ls"), ("volume", "ls"))
    filters = [f"label={name}={value}" for name, value in labels.items()]
    return [
        line
        for listing in listings
        for each in filters
        for line in docker(*listing, "--quiet", "--filter", each).splitlines()
    ]


@contextmanager
def deployed(folder: Path) -> Iterator[Stack]:
    """A stack that is up while the block runs; afterwards nothing of it is left but the folder."""
    stack = Stack(f"trajgen-test-{os.getpid()}", folder / "home", free_port())
    try:
        stack.make("up", timeout_s=UP_S)
        yield stack
    finally:
        stack.make("down", "ARGS=--images", timeout_s=DOWN_S)
