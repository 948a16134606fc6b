"""What a killed job leaves in Docker is found by its label and removed: all of it, and nothing else."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.docker import needs_docker
from trajgen_assets.core.config.inputs import HarborJob
from trajgen_assets.core.errors import BusyError
from trajgen_assets.core.paths import Root
from trajgen_assets.core.process import ProcessId, record_processes
from trajgen_assets.core.rollout.docker import compose_overlay, gateway_address, leftovers_of
from trajgen_assets.core.rollout.harbor_harness import HarborHarness
from trajgen_assets.core.rollout.harnesses import environment_of
from trajgen_assets.core.rollout.reap import reap
from trajgen_assets.core.rollout.slots import job_slot

BASE_IMAGE = "trajgen/sample-base:1"

IN_DOCKER = HarborHarness(HarborJob(environment="docker"))


def compose(folder: Path, project: str, *arguments: str) -> None:
    command = ["docker", "compose", "-p", project, "-f", "task.yaml", "-f", "overlay.yaml", *arguments]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=120)


def start_trial(folder: Path, job: str, project: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "Dockerfile").write_text(f"FROM {BASE_IMAGE}\nRUN true\n")
    service = {"build": ".", "command": ["sleep", "300"], "volumes": ["kept:/kept"]}
    (folder / "task.yaml").write_text(yaml.safe_dump({"services": {"main": service}, "volumes": {"kept": {}}}))
    (folder / "overlay.yaml").write_text(yaml.safe_dump(compose_overlay(job)))
    compose(folder, project, "up", "--detach", "--build")


@pytest.fixture
def two_jobs(tmp_path: Path) -> Iterator[tuple[str, str]]:
    names = ("reap-test-dead", "reap-test-alive")
    for name in names:
        start_trial(tmp_path / name, name, f"{name}__env")
    yield names
    for name in names:
        compose(tmp_path / name, f"{name}__env", "down", "--volumes", "--rmi", "local", "--timeout", "1")


@needs_docker
def test_a_dead_job_s_containers_networks_volumes_and_images_go_and_another_job_s_stay(
    two_jobs: tuple[str, str], tmp_path: Path
) -> None:
    dead, alive = two_jobs
    before = leftovers_of(alive)
    assert all((before.containers, before.networks, before.volumes, before.images))
    reaped = reap(Root(tmp_path), dead, harness=IN_DOCKER)
    assert [len(each) for each in (reaped.docker.containers, reaped.docker.networks)] == [1, 1]
    assert not leftovers_of(dead)
    assert leftovers_of(alive) == before
    assert str(reap(Root(tmp_path), dead, harness=IN_DOCKER)) == "nothing was left"


@needs_docker
def test_the_host_gateway_of_the_overlay_is_the_address_that_a_proxy_can_bind(
    two_jobs: tuple[str, str], tmp_path: Path
) -> None:
    command = ["exec", "-T", "main", "getent", "hosts", "host.docker.internal"]
    done = subprocess.run(
        ["docker", "compose", "-p", f"{two_jobs[0]}__env", "-f", "task.yaml", "-f", "overlay.yaml", *command],
        cwd=tmp_path / two_jobs[0], check=True, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.stdout.split()[0] == gateway_address()


def test_recorded_processes_are_ended_by_id_and_a_reused_id_is_left_alone(tmp_path: Path) -> None:
    root = Root(tmp_path)
    mine, other = (
        subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, start_new_session=True)
        for _ in range(2)
    )
    ids = {"harbor": ProcessId.of(mine.pid), "proxy": ProcessId(other.pid, 1.0)}
    record_processes(root.job("j").processes, ids)
    try:
        assert reap(root, "j").pids == (mine.pid,)
        assert ids["harbor"].find() is None
        assert other.poll() is None
    finally:
        for child in (mine, other):
            child.kill()
            child.communicate()


def test_sandboxes_go_also_where_an_agent_took_the_permission_away(tmp_path: Path) -> None:
    root = Root(tmp_path)
    locked = root.sandboxes / "j" / "sbx-t" / "app"
    locked.mkdir(parents=True)
    (locked / "file").write_text("x")
    locked.chmod(0o000)
    assert reap(root, "j").sandboxes
    assert not (root.sandboxes / "j").exists()


def test_a_running_job_is_not_reaped(tmp_path: Path) -> None:
    root = Root(tmp_path)
    with job_slot(root.locks, 1, holder="j"), pytest.raises(BusyError, match="running"):
        reap(root, "j")


def test_the_environment_of_a_job_is_the_one_kept_with_it(tmp_path: Path) -> None:
    root = Root(tmp_path)
    assert environment_of(root, "j") == "local"
    root.job("j").dir.mkdir(parents=True)
    kept = {"runtime_info": {"input": {"harbor_job": {"environment": "docker"}}}}
    root.job("j").config.write_text(yaml.safe_dump(kept))
    assert environment_of(root, "j") == "docker"
