"""For whom, where and on which engine a deployment is made, by the variables of the shell."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.deployment import SYSTEM_UID, Deployment
from trajgen_assets.core.errors import ConfigError, RequirementError


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[str]:
    path = tmp_path / "engine.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        yield str(path)


def made(engine: str, *, euid: int = 1000, **environ: str) -> Deployment:
    return Deployment.from_environ(
        {"HOME": "/home/ann", "TRAJGEN_DOCKER_SOCKET": engine, **environ}, euid=euid, egid=euid
    )


def test_a_user_deploys_as_themselves_into_their_own_folder(engine: str) -> None:
    deployment = made(engine)
    assert (deployment.uid, deployment.gid) == (1000, 1000)
    assert deployment.home == Path("/home/ann/.local/share/trajgen")
    assert deployment.tasks == deployment.home / "tasks"


def test_root_deploys_as_a_user_of_its_own(engine: str) -> None:
    deployment = made(engine, euid=0)
    assert (deployment.uid, deployment.home) == (SYSTEM_UID, Path("/var/lib/trajgen"))


def test_what_is_named_is_taken(engine: str) -> None:
    deployment = made(engine, TRAJGEN_HOME="/data", TRAJGEN_PORT="9443", TRAJGEN_RUN_CPUS="0.5", TRAJGEN_UID="7")
    assert deployment.variables["TRAJGEN_RUN_NANO_CPUS"] == "500000000"
    assert (deployment.url, deployment.uid, deployment.home) == ("https://localhost:9443", 7, Path("/data"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TRAJGEN_PORT", "https"),
        ("TRAJGEN_PORT", "70000"),
        ("TRAJGEN_UID", "-1"),
        ("TRAJGEN_RUN_CPUS", "all"),
        ("TRAJGEN_RUN_CPUS", "0"),
        ("TRAJGEN_RUN_MEMORY", "much"),
        ("TRAJGEN_DEPLOYMENT", "Not A Name"),
        ("TRAJGEN_NAME", "a name;"),
        ("TRAJGEN_HOME", "/with:colon"),
        ("TRAJGEN_TASKS", "/with space/$x"),
    ],
)
def test_a_value_that_cannot_be_one_is_refused_by_its_name(engine: str, name: str, value: str) -> None:
    with pytest.raises(ConfigError, match=rf"(?s){name}.*of the form"):
        made(engine, **{name: value})


@pytest.mark.parametrize("address", ["ssh://elsewhere", "tcp://10.0.0.1:2376", "unix:///nowhere/docker.sock"])
def test_an_engine_that_is_elsewhere_or_not_there_is_refused(address: str) -> None:
    with pytest.raises(RequirementError, match="engine has no socket here"):
        Deployment.from_environ({"DOCKER_HOST": address}, euid=1000, egid=1000)
