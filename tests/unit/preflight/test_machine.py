import subprocess
import sys
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from tests.docker import needs_docker
from tests.unit.intake.conftest import TASK_TOML, write_task
from tests.unit.preflight.twins import root_at, write_config, write_tasks
from tests.unit.provision.twins import script
from trajgen_assets.core.config.load import load_config
from trajgen_assets.core.errors import RequirementError
from trajgen_assets.core.preflight import containers, demand
from trajgen_assets.core.preflight.demand import demand_of, megabytes
from trajgen_assets.core.preflight.findings import Finding, Level, looked_at
from trajgen_assets.core.preflight.run import CHECKS, Line, look
from trajgen_assets.core.rollout.isolation import check_isolation


def test_the_most_that_any_task_asks_for_is_what_each_trial_may_take(tmp_path: Path) -> None:
    source = write_tasks(tmp_path / "d", "t-1")
    sizes = "memory_mb = 4096\nstorage = '2G'\ndocker_image = 'registry.example/base:2'\n"
    write_task(source / "t-2", toml=TASK_TOML.replace("build_timeout_sec = 300.0\n", sizes))
    (source / "verifiable_tasks.txt").write_text("t-1\nt-2\n")
    (source / "t-1" / "environment" / "Dockerfile").write_text("FROM python:3.12 AS base\nFROM base\n")
    found = demand_of(load_config(write_config(tmp_path / "config.yaml", source=source)))
    assert (found.n_tasks, found.memory_mb, found.storage_mb) == (2, 4096, 2048)
    assert found.images == ("python:3.12", "registry.example/base:2")


def test_sizes_are_read_as_tasks_write_them() -> None:
    assert [megabytes(value) for value in (512, "2G", "512 MB", "1048576", "soon", None, True)] == [
        512, 2048, 512, 1, 0, 0, 0,
    ]  # fmt: skip


def test_the_engines_default_pools_hold_thirty_networks_beside_its_bridge() -> None:
    pool = containers.pool_subnets("null")
    assert len(pool) == 31
    assert len(containers.free_subnets(pool, [IPv4Network("172.17.0.0/16")])) == 30
    assert len(containers.pool_subnets('[{"Base": "10.201.0.0/16", "Size": 24}]')) == 256


def test_more_memory_than_there_is_names_how_many_trials_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "d"
    write_task(source / "t-1", toml=TASK_TOML + "memory_mb = 9000000\nstorage_mb = 900000000\n")
    (source / "verifiable_tasks.txt").write_text("t-1\n")
    config = write_config(tmp_path / "config.yaml", source=source)
    with looked_at(root_at(tmp_path / "root"), config) as subject:
        found = {line.check: line for line in look(subject, (each for each in CHECKS if each.group == "machine"))}
    assert (found["memory"].level, "n_concurrent to 1" in found["memory"].mend) == (Level.WARN, True)
    assert found["disk sandboxes"].level is Level.WARN
    assert found["disk root"].level is Level.OK
    assert demand.SAMPLE_S < 3


def test_without_an_engine_its_checks_are_skipped_behind_one_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    config = write_config(tmp_path / "config.yaml", source=write_tasks(tmp_path / "d", "t"), environment="docker")
    with looked_at(root_at(tmp_path / "root"), config) as subject:
        found = {
            line.check: line.level for line in look(subject, (each for each in CHECKS if each.group == "sandboxes"))
        }
    assert found == {"environment": Level.FAIL, "networks": Level.SKIP, "images": Level.SKIP}


def write_engine(folder: Path, images: str) -> Path:
    """A docker client that answers as an engine; it notes each question in the file that is given back."""
    asked = folder / "asked"
    body = f"""echo "$*" >> {asked}\ncase "$1 $2" in "image ls") {images};; *) echo 27.0;; esac"""
    script(folder / "docker", body)
    return asked


def base_image_lines(tmp_path: Path, n_tasks: int) -> list[Finding]:
    source = write_tasks(tmp_path / f"d-{n_tasks}", *(f"t-{n}" for n in range(n_tasks)))
    for n in range(n_tasks):
        (source / f"t-{n}" / "environment" / "Dockerfile").write_text(f"FROM docker.io/a/b:{n}\n")
    config = write_config(tmp_path / "config.yaml", source=source, environment="docker")
    with looked_at(root_at(tmp_path / "root"), config) as subject:
        return list(containers.images(subject, timeout_s=1))


def test_the_engine_is_asked_once_for_the_images_of_all_tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = "".join(f'{{"Repository":"a/b","Tag":"{n}","Digest":"<none>","ID":"sha256:{n}"}}\n' for n in range(20))
    (tmp_path / "listed").write_text(listed)
    asked = write_engine(tmp_path / "bin", f"cat {tmp_path / 'listed'}")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    (line,) = base_image_lines(tmp_path, 20)
    assert (line.level, line.text) == (Level.OK, "20 base images of 20 tasks here")
    (line,) = base_image_lines(tmp_path, 21)
    assert (line.level, line.text) == (Level.WARN, "1 of 21 base images are not here: docker.io/a/b:20")
    assert [each for each in asked.read_text().splitlines() if each.startswith("image")] == [
        "image ls --digests --no-trunc --format {{json .}}"
    ] * 2


@pytest.mark.parametrize("trouble", ["exec sleep 60", "exit 1"])
def test_an_engine_that_does_not_list_its_images_is_not_one_that_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    write_engine(tmp_path / "bin", trouble)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    (line,) = base_image_lines(tmp_path, 1)
    assert (line.level, "is not known: Docker does not answer" in line.text) == (Level.WARN, True)


@needs_docker
def test_the_engines_networks_are_counted_as_it_takes_them(tmp_path: Path) -> None:
    config = write_config(tmp_path / "config.yaml", source=write_tasks(tmp_path / "d", "t"), environment="docker")

    def n_free() -> int:
        with looked_at(root_at(tmp_path / "root"), config) as subject:
            (found,) = containers.networks(subject)
        return int(found.text.split()[0])

    before = n_free()
    made = ["docker", "network", "create", "trajgen-preflight-test"]
    subprocess.run(made, check=True, capture_output=True)
    try:
        assert n_free() == before - 1
    finally:
        subprocess.run([*made[:2], "rm", made[-1]], check=True, capture_output=True)


def sandbox_lines(tmp_path: Path, environment: str) -> dict[str, Line]:
    config = write_config(tmp_path / "config.yaml", source=tmp_path / "d", environment=environment)
    with looked_at(root_at(tmp_path / "root"), config) as subject:
        return {each.check: each for each in look(subject, (each for each in CHECKS if each.group == "sandboxes"))}


@needs_docker
def test_a_task_of_several_containers_takes_a_network_more_while_its_agent_is_isolated(tmp_path: Path) -> None:
    source = write_tasks(tmp_path / "d", "t")
    (source / "t" / "environment" / "docker-compose.yaml").write_text("services: {db: {image: a}}\n")
    for network, n in (("open", 8), ("proxy_only", 16)):
        assert f"take {n}" in sandbox_lines(tmp_path, f"docker, network: {network}")["networks"].text


def test_a_sandbox_without_any_network_needs_no_isolation(tmp_path: Path) -> None:
    write_tasks(tmp_path / "d", "t")
    assert sandbox_lines(tmp_path, "local, network: proxy_only")["isolation"].text == "local has no network at all"
    assert "isolation" not in sandbox_lines(tmp_path, "local")


@pytest.mark.parametrize("answer", ["echo no such mount >&2; exit 125", """echo '{"interfaces": ["eth0"]}'"""])
def test_an_engine_that_isolates_nobody_refuses_a_job_that_asks_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    case = f'case "$1 $2" in "run --rm") {answer};; "image ls") echo an-id;; *) echo 27.0;; esac'
    script(tmp_path / "bin" / "docker", case)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    with pytest.raises(RequirementError, match="agents cannot be kept from all but the proxy"):
        check_isolation(Path(sys.executable))
