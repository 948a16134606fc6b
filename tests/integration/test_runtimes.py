"""Runtimes in containers of a real engine, out of an image or built by the command, where the image lacks all."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
import yaml

from tests.docker import needs_docker
from tests.unit.runtimes.test_mounting import EARLIER, OURS, Place
from tests.unit.runtimes.twins import plant
from trajgen_assets.core.errors import ConfigError, RequirementError
from trajgen_assets.core.exit_codes import EXIT_REFUSED
from trajgen_assets.core.paths import PROJECT
from trajgen_assets.core.preflight.findings import Level
from trajgen_assets.core.rollout.docker import ask_docker, compose_overlay
from trajgen_assets.core.runtimes.build import build_runtime
from trajgen_assets.core.runtimes.catalogue import BLUEPRINTS, OPENCODE, NpmBlueprint, PypiBlueprint
from trajgen_assets.core.runtimes.images import EXPORT_LABEL, export_folder, image_id
from trajgen_assets.core.runtimes.manifest import RuntimeManifest
from trajgen_assets.core.runtimes.mounting import Choice, Mount, Origin, checked
from trajgen_assets.core.runtimes.tools import tools_here

needs_npm = pytest.mark.skipif(shutil.which("npm") is None, reason="no npm")

BASE = "trajgen/sample-base:1"
IMAGE = "trajgen-test/runtime:1"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture
def image(tmp_path: Path) -> Iterator[str]:
    """An image with nothing but a runtime, where the earlier system's images have it."""
    inside = tmp_path / "image"
    plant(inside / EARLIER.removeprefix("/"), version="2.1.118")
    packed = subprocess.run(["tar", "-C", inside, "-c", "."], capture_output=True, check=True).stdout
    subprocess.run(["docker", "import", "-", IMAGE], input=packed, capture_output=True, check=True)
    yield IMAGE
    ask_docker("image", "rm", "--force", IMAGE)


def in_container(mounts: list[Mount], command: str, *, image: str = BASE, folder: Path) -> str:
    """What `command` prints in a container that is made as Harbor makes one: by compose, with our overlay on top."""
    volumes = [volume for mount in mounts for volume in mount.volumes]
    service: dict[str, Any] = {
        "image": image,
        "network_mode": "none",
        "volumes": ["/tmp:/own"],
        "environment": {"HOME": "/tmp"},
    }
    files = {"task.yaml": {"services": {"main": service}}, "overlay.yaml": compose_overlay("test", volumes)}
    for name, content in files.items():
        (folder / name).write_text(yaml.safe_dump(content))
    argv = [
        "docker",
        "compose",
        "-p",
        folder.name.replace("_", "")[:40].lower(),
        "-f",
        "task.yaml",
        "-f",
        "overlay.yaml",
    ]
    run = [*argv, "run", "--rm", "--no-TTY", "--user", "4321", "main", "sh", "-c", command]
    try:
        return subprocess.run(run, cwd=folder, capture_output=True, text=True, check=True, timeout=180).stdout
    finally:
        subprocess.run([*argv, "down"], cwd=folder, capture_output=True, check=True, timeout=60)


@needs_docker
def test_an_image_that_is_not_here_or_has_no_such_folder_is_refused(place: Place, image: str) -> None:
    missing = place.config(runtime_image="trajgen-test/none:9")
    assert [each.level for each in place.found(missing)] == [Level.FAIL]  # no registry gives it either
    with pytest.raises(RequirementError, match="the image trajgen-test/none:9 is not here"):
        place.mount(missing)
    with pytest.raises(
        RequirementError, match=r"has no folder /opt/nothing.*Mend: correct runtime_mount\.image_subpath"
    ):
        place.mount(place.config(runtime_image=image, mount={"image_subpath": "opt/nothing"}))
    with pytest.raises(ConfigError, match=r"9\.9\.9 is asked for, and the runtime holds claude-code 2\.1\.118"):
        place.mount(place.config(runtime_image=image, version="9.9.9"))
    assert ask_docker("ps", "--all", "--quiet", "--filter", f"label={EXPORT_LABEL}") == ""


@needs_docker
def test_a_runtime_is_taken_out_of_its_image_once_and_is_whole_or_not_there(
    place: Place, image: str, tmp_path: Path
) -> None:
    config = place.config(runtime_image=image)
    (before,) = place.found(config)
    assert (before.level, "takes" in before.text) == (Level.OK, True)
    digest = image_id(image)
    assert digest is not None
    home = export_folder(place.root.env, digest, PurePosixPath(EARLIER)).path
    (home / "tree").mkdir(parents=True)  # as an earlier copy that was cut off would be
    mount = place.mount(config)
    assert mount is not None
    assert (mount.made.origin, mount.made.version, mount.made.digest) == ("image", "2.1.118", digest)
    assert mount.made.store == home.name
    assert json.loads((home / "export.json").read_text())["image"] == image
    inode = home.stat().st_ino
    assert place.mount(config) is not None
    assert home.stat().st_ino == inode
    (after,) = place.found(config)
    assert f"at {OURS} and {EARLIER}" in after.text
    command = f"{OURS}/bin/claude; {EARLIER}/bin/claude; touch {OURS}/x || echo refused; ls -d /own"
    told = in_container([mount], command, folder=tmp_path).splitlines()
    assert told == ["2.1.118 (claude-code)", "2.1.118 (claude-code)", "refused", "/own"]


def built_mount(blueprint: NpmBlueprint | PypiBlueprint, env_dir: Path, place: Place) -> Mount:
    runtime = build_runtime(blueprint, tools_here(PROJECT, env_dir, print))
    agent = place.config().campaign("main").agent
    choice = Choice(blueprint, Origin.BUILT, agent, (blueprint.mount_point,), folder=runtime.path)
    return checked(choice, runtime.path)


def tells_its_version(blueprint: NpmBlueprint | PypiBlueprint, mount: Mount, folder: Path, image: str = BASE) -> bool:
    program, *arguments = blueprint.version_argv
    quoted = " ".join(f"'{each.replace(chr(39), chr(34))}'" for each in arguments)
    told = in_container([mount], f"{blueprint.mount_point}/bin/{program} {quoted}", image=image, folder=folder)
    return str(mount.made.version) in told


def command(env_dir: Path, *arguments: str) -> tuple[int, str]:
    """What `trajgen build-runtime ARGUMENTS` ends with, and prints."""
    argv = [Path(sys.executable).parent / "trajgen", "--root", env_dir.with_name("root"), "build-runtime", *arguments]
    env = os.environ | {"TRAJGEN_ENV_DIR": str(env_dir)}
    done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False, timeout=200)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def opencode(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """An environments folder in which the command has built OpenCode from npm, and what it printed."""
    env_dir = tmp_path_factory.mktemp("opencode") / "env"
    code, output = command(env_dir, "opencode")
    assert code == 0, output
    return env_dir, output


def test_a_runtime_of_nothing_is_refused_with_what_there_is(tmp_path: Path) -> None:
    code, output = command(tmp_path / "env", "terminus-2")
    assert code == EXIT_REFUSED
    assert "there is no runtime of 'terminus-2': it runs on the host. Mend: name one of claude-code" in output
    assert not (tmp_path / "env").exists()


@needs_npm
def test_the_command_tells_versions_and_digests_and_builds_once(opencode: tuple[Path, str]) -> None:
    env_dir, output = opencode
    manifest = RuntimeManifest.read(env_dir / "runtimes" / "opencode")
    assert manifest is not None
    assert f"opencode {manifest.version}: built in" in output
    (package,) = manifest.packages.values()
    for digest in (package.digest, f"sha256:{manifest.tree_sha256}", manifest.needs):
        assert digest in output
    code, again = command(env_dir, "opencode")
    assert code == 0
    assert f"opencode {manifest.version}: unchanged: runtime-opencode-{manifest.digest}" in again


@needs_npm
@needs_docker
def test_opencode_from_npm_runs_in_an_image_without_node(
    place: Place, tmp_path: Path, opencode: tuple[Path, str]
) -> None:
    mount = built_mount(OPENCODE, opencode[0], place)
    assert tells_its_version(OPENCODE, mount, tmp_path)


@needs_npm
@needs_docker
@pytest.mark.faults
@pytest.mark.timeout(900)
@pytest.mark.parametrize("scaffold", [name for name in BLUEPRINTS if name != OPENCODE.scaffold])
def test_every_scaffold_is_built_and_runs_in_an_image_that_lacks_it(
    scaffold: str, place: Place, tmp_path: Path, bare_image: str
) -> None:
    blueprint = BLUEPRINTS[scaffold]
    mount = built_mount(blueprint, place.root.env, place)
    assert tells_its_version(blueprint, mount, tmp_path)
    if isinstance(blueprint, PypiBlueprint):
        assert tells_its_version(blueprint, mount, tmp_path, bare_image)


@pytest.fixture(scope="session")
def bare_image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An image with a shell that is linked to nothing, and without any C library."""
    folder, name = tmp_path_factory.mktemp("bare"), "trajgen-test/bare:1"
    get = "apt-get update -qq && apt-get install -qq -y busybox-static >&2 && cat /bin/busybox"
    busybox = subprocess.run(["docker", "run", "--rm", BASE, "sh", "-c", get], capture_output=True, check=True).stdout
    (folder / "bin").mkdir(mode=0o755)
    (folder / "bin" / "sh").write_bytes(busybox)
    (folder / "bin" / "sh").chmod(0o755)
    folder.chmod(0o755)
    packed = subprocess.run(["tar", "-C", folder, "-c", "."], capture_output=True, check=True).stdout
    subprocess.run(["docker", "import", "-", name], input=packed, capture_output=True, check=True)
    yield name
    ask_docker("image", "rm", "--force", name)
