"""What deploy/compose promises, read from its files: who may do what, and where every image comes from."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from resources.instance import OVERLAY_VARIABLE, instance_settings, read_overlay
from scripts.deployment import COMPOSE_FILE, DEPLOYMENT_LABEL, Deployment
from scripts.docker_engine import DEPLOY_BASE
from tests.docker import needs_docker
from trajgen_assets.core.errors import ConfigError
from trajgen_assets.core.paths import PROJECT
from trajgen_assets.core.rollout.trial_slots import HOST_ENV

FOLDER = COMPOSE_FILE.parent
SOCKET = "/var/run/docker.sock"
PLATFORM = Deployment(
    name="here",
    home=Path("/data"),
    tasks=Path("/data/tasks"),
    tag="7",
    uid=1234,
    gid=1235,
    host_name="localhost",
    port=8443,
    socket=Path("/run/engine.sock"),
    group=105,
    run_memory="8g",
    run_cpus=1.5,
)


def filled(text: str) -> str:
    """The text with each variable in place, as compose puts it in."""
    return re.sub(r"\$\{(\w+)(:\?[^}]*)?\}", lambda match: PLATFORM.variables[match[1]], text)


@pytest.fixture(scope="module")
def stack() -> dict[str, Any]:
    return yaml.safe_load(filled(COMPOSE_FILE.read_text()))


@pytest.fixture(scope="module")
def services(stack: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return stack["services"]


@pytest.fixture(scope="module")
def launcher(services: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """How runs are launched, by the variables that the daemon has."""
    return read_overlay(FOLDER / "dagster.yaml", services["daemon"]["environment"])["run_launcher"]["config"]


@needs_docker
def test_compose_takes_the_file_without_a_warning() -> None:
    argv = ["docker", "compose", "--file", COMPOSE_FILE, "--profile", "setup", "config", "--quiet"]
    environ = {"PATH": "/usr/bin:/bin", **PLATFORM.variables}
    done = subprocess.run(argv, env=environ, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_only_the_proxy_has_a_port_on_the_host_and_that_on_loopback(services: dict[str, dict[str, Any]]) -> None:
    published = {name: each["ports"] for name, each in services.items() if "ports" in each}
    assert published == {"proxy": ["127.0.0.1:8443:8443"]}


def test_the_web_uis_are_on_the_loopback_of_the_proxy_and_nothing_else_listens(
    services: dict[str, dict[str, Any]],
) -> None:
    networks = {name: each.get("network_mode", "web") for name, each in services.items()}
    assert networks == {
        "postgres": "none",
        "setup": "none",
        "code": "host",
        "daemon": "none",
        "proxy": "web",
        "webserver": "service:proxy",
        "viewer": "service:proxy",
    }
    for name in ("webserver", "viewer"):
        assert " --host 127.0.0.1 " in " ".join(services[name]["command"])
    assert "--socket" in services["code"]["command"]
    assert "listen_addresses= " in (FOLDER / "postgres.sh").read_text()
    assert "--read-only" in services["viewer"]["command"]


def test_the_engine_is_in_the_hands_of_launcher_code_server_and_runs_alone(
    services: dict[str, dict[str, Any]], launcher: dict[str, Any]
) -> None:
    assert {name for name, each in services.items() if SOCKET in str(each)} == {"code", "daemon"}
    assert f"/run/engine.sock:{SOCKET}" in launcher["container_kwargs"]["volumes"]


def test_nobody_is_root_or_can_become_it(services: dict[str, dict[str, Any]], launcher: dict[str, Any]) -> None:
    for name, each in services.items():
        assert (each["cap_drop"], each["security_opt"]) == (["ALL"], ["no-new-privileges:true"]), name
        assert not {"user", "privileged", "cap_add", "pid", "ipc"} & each.keys(), name
    runs = launcher["container_kwargs"]
    assert (runs["user"], runs["cap_drop"], runs["security_opt"]) == ("1234:1235", ["ALL"], ["no-new-privileges"])
    for name, stage in stages().items():
        if name in ("app", "postgres", "proxy"):
            assert re.findall(r"^USER (\S+)", stage, re.MULTILINE) == ["trajgen"], name


def test_a_run_has_limits_and_the_label_by_which_it_is_found(launcher: dict[str, Any]) -> None:
    runs = launcher["container_kwargs"]
    assert (runs["mem_limit"], runs["memswap_limit"], runs["nano_cpus"]) == ("8g", "8g", 1_500_000_000)
    assert runs["labels"] == {DEPLOYMENT_LABEL: "here"}


def test_every_path_is_the_same_inside_and_on_the_host(stack: dict[str, Any], launcher: dict[str, Any]) -> None:
    device = {name: each["driver_opts"]["device"] for name, each in stack["volumes"].items()}
    mounts = [mount.split(":") for each in stack["services"].values() for mount in each.get("volumes", [])]
    for source, target, *_ in mounts:
        assert target in (device.get(source), SOCKET)
    for source, target, *_ in (mount.split(":") for mount in launcher["container_kwargs"]["volumes"]):
        assert target in (device.get(source.removeprefix("here_")), SOCKET)


def test_configuration_and_tasks_are_read_and_never_written(stack: dict[str, Any], launcher: dict[str, Any]) -> None:
    mounts = [mount for each in stack["services"].values() for mount in each.get("volumes", [])]
    for mount in [*mounts, *launcher["container_kwargs"]["volumes"]]:
        if re.search(r"(^|_)(config|tasks|web):", mount):
            assert mount.endswith(":ro"), mount


def test_the_environment_of_a_run_is_that_of_the_daemon_and_holds_no_key(
    services: dict[str, dict[str, Any]], launcher: dict[str, Any]
) -> None:
    daemon = services["daemon"]["environment"]
    names = set(launcher["env_vars"])
    assert names <= daemon.keys()
    assert daemon.keys() - names == {"TRAJGEN_CODE_SOCKET"}  # a run loads the code itself


def test_whoever_drives_a_job_counts_the_trial_slots_of_one_host(
    services: dict[str, dict[str, Any]], launcher: dict[str, Any]
) -> None:
    for name in ("code", "daemon"):  # commands and sensors; runs have the daemon's
        assert services[name]["environment"][HOST_ENV] == "here", name
    assert HOST_ENV in launcher["env_vars"]


def test_no_file_of_the_deployment_holds_a_secret_or_asks_for_one() -> None:
    named = re.compile(r"(?i)\b\w*(passw|secret|token|credential|api_?key)\w*\s*[:=]")
    for path in FOLDER.iterdir():
        assert named.findall(path.read_text()) == [], path.name


def test_every_image_is_built_here_from_a_base_that_is_made_here(services: dict[str, dict[str, Any]]) -> None:
    used = {each["image"] for each in services.values()}
    built = {each["image"]: each["build"]["target"] for each in services.values() if "build" in each}
    assert used == built.keys() == {f"trajgen/{name}:7" for name in ("app", "postgres", "proxy")}
    assert {each["pull_policy"] for each in services.values()} == {"never"}
    text = (FOLDER / "Dockerfile").read_text()
    origins = set(re.findall(r"^FROM (\S+)|COPY --from=(\S+)", text, re.MULTILINE))
    assert {one or other for one, other in origins} <= stages().keys() | {"${BASE}"}
    assert re.findall(r"^ARG BASE=(\S+)", text, re.MULTILINE) == [DEPLOY_BASE.name]
    assert set(built.values()) <= stages().keys()
    assert "# syntax" not in text  # it would be fetched


def stages() -> dict[str, str]:
    parts = re.split(r"^FROM \S+ AS (\S+)\n", (FOLDER / "Dockerfile").read_text(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_the_instance_is_that_of_one_machine_but_for_what_the_deployment_says(
    services: dict[str, dict[str, Any]],
) -> None:
    environ = services["setup"]["environment"] | {OVERLAY_VARIABLE: str(FOLDER / "dagster.yaml")}
    here, deployed = instance_settings({}), instance_settings(environ)
    changed = {name for name in here if here[name] != deployed[name]}
    assert changed == {"run_launcher", "run_monitoring", "storage"}
    assert deployed["storage"]["custom"]["config"] == {"postgres_url": {"env": "DAGSTER_POSTGRES_URL"}}
    assert deployed["run_monitoring"]["max_resume_run_attempts"] == 1
    assert {**deployed["run_monitoring"], "max_resume_run_attempts": 1} == here["run_monitoring"] | {
        "max_resume_run_attempts": 1
    }


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("run_launcher: ${NOT_SET}", "NOT_SET"),
        ("- a list", "no mapping"),
        ("{", "cannot be read"),
        ("price: $ 5", "cannot be read"),
        (None, "No such file"),
    ],
)
def test_settings_that_cannot_be_filled_in_are_refused_by_their_path(
    tmp_path: Path, text: str | None, why: str
) -> None:
    path = tmp_path / "dagster.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match=why) as caught:
        instance_settings({OVERLAY_VARIABLE: str(path)})
    assert str(path) in str(caught.value)


def test_the_proxy_is_the_example_of_the_repository() -> None:
    proxy = stages()["proxy"]
    (copied,) = re.findall(r"^COPY (.*trajgen\.conf.*)$", proxy, re.MULTILINE)
    for name in copied.split()[:-1]:
        assert (PROJECT / name).is_file()
