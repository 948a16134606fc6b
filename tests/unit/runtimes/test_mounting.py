"""What is mounted into containers, from where, and what is refused."""

from pathlib import Path
from typing import Any

import pytest

from tests.configuration import config_text
from tests.unit.runtimes.twins import plant
from trajgen_assets.core.config.config import Config
from trajgen_assets.core.config.load import parse_config
from trajgen_assets.core.errors import ConfigError, RequirementError
from trajgen_assets.core.ledger.looking import looking_at_ledger
from trajgen_assets.core.ledger.store import create_ledger
from trajgen_assets.core.paths import Root
from trajgen_assets.core.preflight.findings import Finding, Level, Subject
from trajgen_assets.core.preflight.runtimes import mounted
from trajgen_assets.core.rollout.docker import compose_overlay
from trajgen_assets.core.runtimes.mounting import Mount, choice_of, ready_mount

OURS, EARLIER = "/opt/trajgen-runtime/claude-code", "/opt/custom-agent-runtime/claude-code"


class Place:
    """A root with its environments folder, and a configuration for an agent in containers."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = Root(folder / "root", folder / "env")

    def config(self, environment: str = "docker", mount: dict[str, Any] | None = None, **agent: Any) -> Config:
        sections = {"agent": {"name": "claude-code", **agent}, "harbor_job": {"environment": environment}}
        if mount:
            sections["runtime_mount"] = mount
        return parse_config(config_text(self.folder / "d", **sections), self.folder / "config.yaml")

    def mount(self, config: Config) -> Mount | None:
        choice = choice_of(config, "main", self.root.env)
        return ready_mount(choice, self.root.env, print) if choice else None

    def built(self, version: str) -> Path:
        return plant(self.root.env / "store" / f"runtime-claude-code-{version.replace('.', '')}", version=version)

    def found(self, config: Config) -> list[Finding]:
        create_ledger(self.root)
        with looking_at_ledger(self.root) as ledger:
            return list(mounted(Subject(self.root, self.folder / "config.yaml", config, ledger)))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_a_folder_that_is_not_there_or_holds_no_agent_is_refused(place: Place) -> None:
    config = place.config(runtime_host_path="missing")
    with pytest.raises(ConfigError, match=r"no such folder.*runtime_host_path.*Mend: correct .* or leave it out and"):
        place.mount(config)
    (place.folder / "missing").mkdir()
    with pytest.raises(ConfigError, match="no runtime of claude-code: it has no bin/claude"):
        place.mount(config)
    assert [each.level for each in place.found(config)] == [Level.FAIL]


def test_a_runtime_of_another_scaffold_or_version_is_refused(place: Place) -> None:
    plant(place.folder / "other", "opencode")
    with pytest.raises(ConfigError, match=r"claude-code is asked for, and the runtime holds opencode 1\.2\.3"):
        place.mount(place.config(runtime_host_path="other"))
    plant(place.folder / "old", version="1.0.0")
    with pytest.raises(ConfigError, match=r"2\.0\.0 is asked for.*holds claude-code 1\.0\.0.*--version 2\.0\.0"):
        place.mount(place.config(runtime_host_path="old", version="2.0.0"))


def test_a_runtime_that_lost_a_file_is_refused_before_any_trial(place: Place) -> None:
    home = place.built("1.2.3")
    assert [each.level for each in place.found(place.config())] == [Level.OK]
    (home / "bin" / "claude").write_text("#!/bin/sh\n")
    with pytest.raises(RequirementError, match=r"missing or changed.*`trajgen build-runtime claude-code --rebuild"):
        place.mount(place.config())
    assert [each.level for each in place.found(place.config())] == [Level.FAIL]


@pytest.mark.parametrize(
    ("mount", "said"),
    [
        ({"container_runtime_root": "/opt"}, "should be a path of its own in the container"),
        ({"container_runtime_root": "opt/agent/x"}, "should be a path of its own in the container"),
        ({"image_subpath": "../etc"}, "should not lead up"),
    ],
)
def test_a_mount_that_would_hide_the_image_is_refused(place: Place, mount: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        place.config(mount=mount)


def test_without_a_runtime_nothing_is_mounted_and_preflight_says_what_follows(place: Place) -> None:
    assert place.mount(place.config()) is None
    (line,) = place.found(place.config(version="9.9.9"))
    assert (line.level, line.mend) == (Level.WARN, "run `trajgen build-runtime claude-code --version 9.9.9`")
    assert place.found(place.config(name="terminus-2")) == []


def test_the_version_that_is_asked_for_is_taken_else_the_newest(place: Place) -> None:
    place.built("1.0.0")
    newest = place.built("2.0.0")
    mount = place.mount(place.config())
    assert mount is not None
    assert (mount.folder, mount.made.version, mount.made.origin) == (newest, "2.0.0", "built")
    older = place.mount(place.config(version="1.0.0"))
    assert older is not None
    assert older.made.version == "1.0.0"
    assert place.mount(place.config(version="3.0.0")) is None


def test_containers_get_it_read_only_and_a_task_keeps_its_own_volumes(place: Place) -> None:
    home = place.built("1.2.3")
    mount = place.mount(place.config())
    assert mount is not None
    (volume,) = compose_overlay("job", mount.volumes)["services"]["main"]["volumes"]
    assert volume == {
        "type": "bind", "source": str(home), "target": OURS, "read_only": True, "bind": {"create_host_path": False}
    }  # fmt: skip
    assert "volumes" not in compose_overlay("job")["services"]["main"]


def test_a_folder_of_the_earlier_system_lies_where_it_expects_to_and_a_dollar_is_no_variable(place: Place) -> None:
    home = place.folder / "a$b"
    (home / "bin").mkdir(parents=True)
    (home / "bin" / "claude").symlink_to(f"{EARLIER}/lib/claude")  # leads nowhere but in the container
    mount = place.mount(place.config(runtime_host_path="a$b"))
    assert mount is not None
    assert [str(target) for target in mount.targets] == [OURS, EARLIER]
    assert {volume["source"] for volume in mount.volumes} == {str(place.folder / "a$$b")}
    assert (mount.made.version, mount.made.store) == (None, str(home))
    (line,) = place.found(place.config(runtime_host_path="a$b"))
    assert line.level is Level.WARN
    elsewhere = place.mount(place.config(runtime_host_path="a$b", mount={"container_runtime_root": "/opt/x/y"}))
    assert elsewhere is not None
    assert [str(target) for target in elsewhere.targets] == [OURS, "/opt/x/y"]


def test_a_named_folder_goes_before_what_was_built(place: Place) -> None:
    place.built("1.2.3")
    plant(place.folder / "mine", version="0.9.0")
    mount = place.mount(place.config(runtime_host_path="mine"))
    assert mount is not None
    assert (mount.made.origin, mount.made.version) == ("host_path", "0.9.0")


def test_a_campaign_with_another_scaffold_takes_no_runtime_of_the_first(place: Place) -> None:
    sections = {
        "agent": {"name": "claude-code", "runtime_host_path": "mine", "version": "1.2.3"},
        "campaigns": {"other": {"agent": {"name": "terminus-2"}}, "same": {"agent": {"max_turns": 3}}},
    }
    config = parse_config(config_text(place.folder / "d", **sections), place.folder / "config.yaml")
    assert config.campaign("other").agent.runtime_host_path is None
    assert config.campaign("same").agent.runtime_host_path == "mine"


def test_a_runtime_is_of_no_use_to_an_agent_on_the_host(place: Place) -> None:
    config = place.config(name="terminus-2", runtime_image="x:1", mount={"image_subpath": "opt/x"})
    assert config.notices() == [
        "runtime_info.input.agent.runtime_image is not used: terminus-2 does not take it",
        "runtime_info.input.runtime_mount.image_subpath is not used: no agent names a runtime",
    ]
    said = place.config(runtime_image="x:1", orchestration_runtime="y").notices()
    assert said == ["runtime_info.input.agent.orchestration_runtime is not used: the scaffold decides it"]
