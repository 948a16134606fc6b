"""Network isolation in containers of a real engine, in Harbor's own Python; and a whole job that asks for it."""

import re
import socket
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.docker import needs_docker
from tests.integration.harbor_runs import copy_guest, harbor_env
from trajgen_assets.core.process import child_env
from trajgen_assets.core.rollout.docker import gateway_address, remove_leftovers
from trajgen_assets.core.rollout.isolation import check_isolation

pytestmark = needs_docker

CHECKS = Path(__file__).with_name("network_checks.py")
NAMES = re.findall(r"^@check\nasync def (\w+)", CHECKS.read_text(), re.MULTILINE)
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


@pytest.mark.parametrize("name", NAMES)
def test_network(name: str, job_name: str, tmp_path: Path) -> None:
    guest = copy_guest(tmp_path / "guest")
    gateway = gateway_address()
    given = {"GATEWAY": gateway, "OTHER_ADDRESS": other_address(gateway), "IMAGE": IMAGE, "TRAJGEN_JOB": job_name}
    env = child_env({"PYTHONPATH": str(guest), "PYTHONDONTWRITEBYTECODE": "1", **given})
    work = tmp_path / "work"
    work.mkdir()
    argv = [harbor_env() / "bin" / "python", CHECKS, name, work]
    done = subprocess.run(argv, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
