"""What an environment that is not on this host needs, asked of the real Harbor; Docker stands in for one elsewhere.

The sandbox is a real one of Harbor's, and asks from within. The proxy is a small twin on loopback, as behind a tunnel,
and the tunnel one of a few lines that listens where containers come to.
"""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingTCPServer
from urllib.parse import urlsplit

import pytest
import yaml

from tests.docker import needs_docker
from tests.installed import ENV_DIR
from tests.integration.harbor_runs import harbor_env, write_task
from tests.serving import QuietHandler, serving
from tests.unit.preflight.twins import write_config, write_tasks
from trajgen_assets.core.capture.proxy import RunningProxy
from trajgen_assets.core.errors import RequirementError
from trajgen_assets.core.guest import guest_bundle
from trajgen_assets.core.paths import JobPaths, Root
from trajgen_assets.core.preflight.findings import Level, looked_at
from trajgen_assets.core.preflight.run import CHECKS, Line, look
from trajgen_assets.core.process import ProcessId
from trajgen_assets.core.rollout.docker import compose_overlay, gateway_address, leftovers_of
from trajgen_assets.core.rollout.reaching import REACH_TRIAL, WayToProxy, refuse_unless_reached
from trajgen_assets.guest.trial_keys import MASTER_PREFIX, derive_subkey, verify

JOB, MODEL = "reach-of-the-tests", "scripted-model"
IMAGE = "trajgen/sample-base:1"
MASTER_KEY = f"{MASTER_PREFIX}of-the-tests"
TOKEN = "token-planted-in-the-tests"


def answering(proxy: RunningProxy, asked: list[tuple[str, str] | None]) -> type[BaseHTTPRequestHandler]:
    """A proxy as far as it says what it serves: to the keys of its own job alone."""

    class Handler(QuietHandler):
        def do_GET(self) -> None:  # noqa: N802  the name by which it is called
            whose = verify(proxy.subkey, self.headers.get("Authorization", "").removeprefix("Bearer "))
            asked.append(whose)
            body = json.dumps({"data": [{"id": MODEL}]} if whose else {"error": "key"}).encode()
            self.send_response(200 if whose else 401)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return Handler


@contextmanager
def tunnel(to_port: int) -> Iterator[int]:
    """A port of the address that containers come to; what connects there comes out at loopback."""

    class Carry(BaseRequestHandler):
        def handle(self) -> None:
            with socket.create_connection(("127.0.0.1", to_port)) as there:
                back = threading.Thread(target=_copy, args=(there, self.request), daemon=True)
                back.start()
                _copy(self.request, there)
                back.join()

    with ThreadingTCPServer((gateway_address(), 0), Carry) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()


def _copy(source: socket.socket, target: socket.socket) -> None:
    while data := source.recv(65536):
        target.sendall(data)
    target.shutdown(socket.SHUT_WR)


@dataclass(frozen=True)
class Asking:
    """A job whose sandboxes come by a tunnel."""

    way: WayToProxy
    proxy: RunningProxy
    asked: list[tuple[str, str] | None]

    def by(self, url: str, **environ: str) -> None:
        told = {**self.way.environ, "TRAJGEN_PROXY_URL": url, **environ}
        refuse_unless_reached(replace(self.way, url=url, environ=told), self.proxy)


@pytest.fixture
def asking(tmp_path: Path) -> Iterator[Asking]:
    files = JobPaths(tmp_path / "jobs" / JOB, tmp_path / "litellm" / JOB, tmp_path / "sft" / JOB)
    (files.proxy / "ended").mkdir(parents=True)
    guest_bundle(files.proxy)
    task = write_task(tmp_path / "task", dockerfile=f"FROM {IMAGE}\nWORKDIR /app\n")
    files.compose_overlay.write_text(yaml.safe_dump(compose_overlay(JOB)))
    asked: list[tuple[str, str] | None] = []
    me = ProcessId(1, 0.0)
    proxy = RunningProxy(JOB, "127.0.0.1", 0, MODEL, files.proxy, me, MASTER_KEY)
    with serving(answering(proxy, asked)) as url:
        proxy = replace(proxy, port=urlsplit(url).port or 0)
        environment = {"type": "docker", "delete": True, "extra_docker_compose": [str(files.compose_overlay)]}
        environ = {"TRAJGEN_JOB": JOB, "TRAJGEN_TRIAL_SUBKEY": proxy.subkey}
        python = harbor_env() / "bin" / "python"
        yield Asking(WayToProxy(files, python, environment, task, "", environ, 60.0), proxy, asked)
    assert not leftovers_of(JOB)


@needs_docker
def test_a_sandbox_asks_the_proxy_by_its_public_address_with_a_key_of_its_own(asking: Asking) -> None:
    with tunnel(asking.proxy.port) as port:
        asking.by(f"http://{gateway_address()}:{port}")
    assert asking.asked == [(JOB, REACH_TRIAL)]
    files = asking.way.files
    assert (files.proxy / "ended" / REACH_TRIAL).exists()  # from here on its key is refused
    key = asking.proxy.trial_key(REACH_TRIAL)
    written = [path for path in files.proxy.parents[1].rglob("*") if path.is_file()]
    assert not [path for path in written if key.encode() in path.read_bytes()]


@needs_docker
def test_an_address_that_leads_nowhere_or_to_another_job_is_refused_with_its_mend(asking: Asking) -> None:
    with tunnel(asking.proxy.port) as port:
        gone = f"http://{gateway_address()}:{port}"
        with pytest.raises(RequirementError, match="another job answers there \\(401\\)") as other:
            asking.by(gone, TRAJGEN_TRIAL_SUBKEY=derive_subkey(f"{MASTER_PREFIX}of-another-job"))
    assert "{port}" in str(other.value.mend)
    with pytest.raises(RequirementError, match="cannot connect to the proxy") as nowhere:
        asking.by(gone)
    assert f"127.0.0.1:{asking.proxy.port}" in str(nowhere.value.mend)


@needs_docker
def test_a_sandbox_that_cannot_be_made_is_told_as_one(asking: Asking) -> None:
    (asking.way.task / "environment" / "Dockerfile").write_text(f"FROM {IMAGE}\nRUN exit 3\n")
    with pytest.raises(RequirementError, match="a sandbox could not be made"):
        asking.by("http://192.0.2.1:1")


def looked(tmp_path: Path, environment: str, *, inputs: str = "", check: str = "environment") -> Line:
    """What the preflight says of sandboxes in an environment of Harbor, or of the way from them."""
    source = write_tasks(tmp_path / "d", "t-1")
    config = write_config(tmp_path / "config.yaml", source=source, environment=environment, more=inputs)
    with looked_at(Root(tmp_path / "root", ENV_DIR), config) as subject:
        (line,) = look(subject, (each for each in CHECKS if each.name == check))
    return line


def test_a_package_that_harbor_lacks_is_named_with_the_way_to_get_it(tmp_path: Path) -> None:
    line = looked(tmp_path, "modal")
    assert (line.level, "modal>=" in line.text) == (Level.FAIL, True)
    assert "harbor[modal]" in line.mend
    assert "locks/harbor.in" in line.mend


def test_a_program_that_harbor_asks_for_is_named_as_harbor_does(tmp_path: Path) -> None:
    line = looked(tmp_path, "openshift")
    assert (line.level, "oc CLI is not installed" in line.text) == (Level.FAIL, True)


def test_a_variable_counts_where_it_is_named_for_children_and_is_shown_to_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))  # where nobody has logged in
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    without = looked(tmp_path / "without", "hf-sandbox")
    assert (without.level, "set HF_TOKEN" in without.text, "env_extra" in without.mend) == (Level.FAIL, True, True)
    line = looked(tmp_path / "with", "hf-sandbox", inputs='    env_extra: {HF_TOKEN: "${HF_TOKEN}"}')
    assert line.level is Level.OK
    assert TOKEN not in without.text + without.mend + line.text


def test_a_setting_without_which_an_environment_cannot_be_made_is_named(tmp_path: Path) -> None:
    line = looked(tmp_path / "without", "ec2")
    assert (line.level, "environment_options: {region: …}" in line.mend) == (Level.FAIL, True)
    (tmp_path / "with").mkdir()
    options = "    campaigns: {}\n"
    assert "region" not in looked(tmp_path / "with", "ec2, environment_options: {region: eu}", inputs=options).mend


@pytest.mark.parametrize(
    ("proxy", "level", "words"),
    [
        ('{public_url: "https://proxy.example.org", port: 4000}', Level.OK, "asked from within a sandbox"),
        ('{public_url: "http://proxy.example.org", port: 4000}', Level.WARN, "go there in clear"),
        ('{public_url: "http://{host}:{port}", host: 0.0.0.0}', Level.WARN, "listens on every address"),
    ],
)
def test_the_way_from_sandboxes_is_told_and_what_is_open_about_it(
    tmp_path: Path, proxy: str, level: Level, words: str
) -> None:
    inputs = f"    agent: {{name: claude-code}}\n    litellm_proxy: {proxy}"
    line = looked(tmp_path, "modal", inputs=inputs, check="way to")
    assert (line.level, words in line.text) == (level, True)
