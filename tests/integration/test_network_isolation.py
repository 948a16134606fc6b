"""Network isolation in containers of a real engine, in Harbor's own Python; and a whole job that asks for it."""

import json
import os
import re
import socket
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.docker import needs_docker
from tests.integration.harbor_runs import HarborJob, copy_guest, exception_type, harbor_env, reward, write_task
from tests.unit.provision.twins import script
from tests.waiting import wait_until
from trajgen_assets.core.process import child_env
from trajgen_assets.core.rollout.causes import Cause, cause_of
from trajgen_assets.core.rollout.docker import (
    ask_docker,
    compose_overlay,
    gateway_address,
    leftovers_of,
    remove_leftovers,
)
from trajgen_assets.core.rollout.isolation import check_isolation
from trajgen_assets.core.scripted import running_scripted_model
from trajgen_assets.guest.keeper_container import IMAGE as KEEPER_IMAGE

pytestmark = needs_docker

CHECKS = Path(__file__).with_name("network_checks.py")
NAMES = re.findall(r"^@check\nasync def (\w+)", CHECKS.read_text(), re.MULTILINE)
# Each takes some seconds, and shows what seldom happens.
IN_FAULTS = (
    "an_engine_that_does_not_give_the_network_back_means_no_verifier",
    "a_container_that_the_agent_ends_is_not_started_again_into_an_open_network",
)
IMAGE = "trajgen/sample-base:1"


@pytest.fixture
def job_name() -> Iterator[str]:
    name = f"network-test-{uuid.uuid4().hex[:8]}"
    yield name
    assert not remove_leftovers(name)


def other_address(gateway: str) -> str:
    """An address of this host beside that of the engine's bridge, as the network that it is in gives it."""
    listed = (each for name, addresses in psutil.net_if_addrs().items() if name != "lo" for each in addresses)
    return next(each.address for each in listed if each.family == socket.AF_INET and each.address != gateway)


@pytest.fixture(scope="module", autouse=True)
def checked() -> None:
    check_isolation(harbor_env() / "bin" / "python")


@pytest.mark.parametrize("name", [name for name in NAMES if name not in IN_FAULTS])
def test_network(name: str, job_name: str, tmp_path: Path) -> None:
    check_network(name, job_name, tmp_path)


def check_network(name: str, job_name: str, tmp_path: Path) -> None:
    guest = copy_guest(tmp_path / "guest")
    gateway = gateway_address()
    given = {"GATEWAY": gateway, "OTHER_ADDRESS": other_address(gateway), "IMAGE": IMAGE, "TRAJGEN_JOB": job_name}
    env = child_env({"PYTHONPATH": str(guest), "PYTHONDONTWRITEBYTECODE": "1", **given})
    work = tmp_path / "work"
    work.mkdir()
    argv = [harbor_env() / "bin" / "python", CHECKS, name, work]
    done = subprocess.run(argv, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.faults
@pytest.mark.parametrize("name", IN_FAULTS)
def test_network_at_length(name: str, job_name: str, tmp_path: Path) -> None:
    check_network(name, job_name, tmp_path)


# Both write what they reach of a program that listens on this host; the proxy is only there to answer the oracle.
REACHES = "python3 -c 'import socket; socket.create_connection((\"{host}\", {port}), 3)'"
SOLUTION = "#!/bin/bash\n{reaches} && echo reached > /app/reached || echo none > /app/reached\n"
TEST = """\
#!/bin/bash
echo 0 > /logs/verifier/reward.txt
[ "$(cat /app/reached)" = none ] && {reaches} && echo 1 > /logs/verifier/reward.txt
"""
ORACLE = {"import_path": "trial_key_oracle:TrialKeyOracle", "model_name": "openai/scripted"}


@dataclass(frozen=True)
class Isolated:
    """A job of the oracle, whose task is solved if its agent does not reach this host and its verifier does."""

    job: HarborJob
    proxy_url: str

    def begin(self, **more: str) -> subprocess.Popen[bytes]:
        """Start it with `more` in the environment."""
        env = self.job.env(proxy_url=self.proxy_url) | {
            "TRAJGEN_NETWORK": "proxy_only", "TRAJGEN_PROXY_ADDRESS": self.proxy_url.removeprefix("http://"), **more,
        }  # fmt: skip
        quiet = subprocess.DEVNULL
        return subprocess.Popen(self.job.argv(), env=env, cwd=self.job.root, stdout=quiet, stderr=quiet)

    def run(self, **more: str) -> dict[str, Any]:
        """Run it to its end. Returns its trial's result."""
        assert self.begin(**more).wait(120) == 0
        (result,) = self.job.results().values()
        return result


@pytest.fixture
def isolated(job_name: str, tmp_path: Path) -> Iterator[Isolated]:
    job, gateway = HarborJob(tmp_path / "run", job_name), gateway_address()
    with socket.create_server(("0.0.0.0", 0)) as host, running_scripted_model() as model:
        reaches = REACHES.format(host=gateway, port=host.getsockname()[1])
        task = write_task(
            tmp_path / "task",
            dockerfile=f"FROM {IMAGE}\nWORKDIR /app\n",
            solution=SOLUTION.format(reaches=reaches),
            test=TEST.format(reaches=reaches),
        )
        job.root.mkdir()
        overlay = job.root / "overlay.json"
        overlay.write_text(json.dumps(compose_overlay(job_name)))
        environment = {"type": "docker", "delete": True, "extra_docker_compose": [str(overlay)]}
        job.prepare([task], ORACLE, environment=environment)
        yield Isolated(job, model.base_url.removesuffix("/v1"))


def test_the_agent_of_a_job_reaches_nothing_and_its_verifier_what_it_did_before(isolated: Isolated) -> None:
    result = isolated.run()
    assert (exception_type(result), reward(result)) == (None, 1.0)
    taken = isolated.job.proxy / "patches" / result["trial_name"]  # the engine reads what has no network, too
    assert json.loads((taken / "patch.json").read_bytes())["status"] == "ok"
    assert "+none" in (taken / "patch.diff").read_text()


def test_where_the_network_cannot_be_closed_no_agent_runs_and_nothing_is_graded(
    isolated: Isolated, tmp_path: Path
) -> None:
    client = 'case "$*" in "network disconnect"*) echo refused >&2; exit 1;; esac\n'
    script(tmp_path / "bin" / "docker", f'{client}PATH="{os.environ["PATH"]}" exec docker "$@"')
    result = isolated.run(PATH=f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    assert (exception_type(result), reward(result)) == ("NetworkIsolationError", None)
    assert cause_of("NetworkIsolationError") is Cause.SANDBOX
    assert result["exception_info"]["exception_message"] == "docker network disconnect: refused"
    assert not list(isolated.job.folder.glob("*/agent/oracle.txt"))


@pytest.mark.faults
def test_a_harbor_that_is_killed_leaves_a_keeper_that_ends_and_nothing_that_is_not_removed(isolated: Isolated) -> None:
    solution = next(isolated.job.root.parent.glob("task/solution/solve.sh"))
    solution.write_text("#!/bin/bash\nsleep 600\n")
    harbor = isolated.begin()

    def keepers(*states: str) -> list[str]:
        which = ("--filter", f"label=trajgen.job={isolated.job.name}", "--filter", f"ancestor={KEEPER_IMAGE}")
        return ask_docker("ps", "--quiet", *which, *(f"--filter=status={state}" for state in states)).split()

    try:
        wait_until(lambda: bool(keepers("running")), limit_s=60)
    finally:
        harbor.kill()
        harbor.wait()
    wait_until(lambda: bool(keepers("exited")), limit_s=60)
    assert len(remove_leftovers(isolated.job.name).containers) == 2
    assert not leftovers_of(isolated.job.name)
