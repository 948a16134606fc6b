"""Sources elsewhere, as a person meets them: `trajgen prepare-tasks`, `trajgen start`, a click, and a tick."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from click.testing import Result
from typer.testing import CliRunner

from resources.instance import open_instance, prepare_instance
from resources.platform import PlatformResource
from sensors.verified_tasks import verified_tasks
from tests.configuration import config_text
from tests.hub import REPO, REVISION, Hub, serving_hub
from tests.integration.test_remote_sources import task_files
from tests.staleness import n_events
from trajgen_assets.cli.main import app
from trajgen_assets.core.errors import ManifestMissingError
from trajgen_assets.core.ledger.store import create_ledger, open_ledger
from trajgen_assets.core.paths import Root
from trajgen_assets.definitions import defs
from trajgen_assets.names import DOWNLOADED_TASKS, VERIFIED_TASKS

SOURCE = {"provider": "huggingface", "dataset_name": REPO, "download": {"revision": REVISION}}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with serving_hub(Hub(task_files("a", "b") | {"verifiable_tasks.txt": b"a\n"})) as served:
        monkeypatch.setenv("HF_ENDPOINT", served.url)
        yield served


class Block:
    """A root whose tasks are on the hub."""

    def __init__(self, folder: Path) -> None:
        self.root, self.config = Root(folder / "root"), folder / "config.yaml"
        self.configure()
        create_ledger(self.root)
        prepare_instance(self.root, max_jobs=1)

    def configure(self, **more: Any) -> None:
        local = {"environment": "local"}
        self.config.write_text(config_text(Path("x"), harbor_job=local, task_source=SOURCE | more))

    def run(self, *words: str) -> Result:
        argv = ["--root", str(self.root.path), "--config", str(self.config), *words]
        return CliRunner().invoke(app, argv)

    def registered(self) -> int:
        with open_ledger(self.root) as ledger:
            return ledger.counts().registered


@pytest.fixture
def block(tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> Block:
    monkeypatch.setenv("TRAJGEN_ROOT", str(tmp_path / "root"))
    monkeypatch.setenv("TRAJGEN_CONFIG", str(tmp_path / "config.yaml"))
    return Block(tmp_path)


def test_prepare_tasks_downloads_registers_and_stages_and_the_next_asks_nobody(hub: Hub, block: Block) -> None:
    done = block.run("prepare-tasks")
    assert done.exit_code == 0, done.output
    assert "py-cc: 1 listed, 1 new" in done.output
    assert (block.root.tasks / "py-cc" / "a" / "task.toml").is_file()
    hub.asked.clear()
    hub.agents.clear()
    assert block.run("prepare-tasks").exit_code == 0
    assert not hub.agents


def test_without_a_manifest_nothing_is_registered_until_a_person_says_that_all_are_verified(
    hub: Hub, block: Block
) -> None:
    del hub.files["verifiable_tasks.txt"]
    assert isinstance(block.run("prepare-tasks").exception, ManifestMissingError)
    assert block.registered() == 0
    block.configure(manifest="none")
    done = block.run("prepare-tasks")
    assert (done.exit_code, block.registered()) == (0, 2), done.output


def test_a_source_that_cannot_be_had_is_said_and_keeps_no_other_back(hub: Hub, block: Block, tmp_path: Path) -> None:
    assert block.run("prepare-tasks").exit_code == 0
    other = SOURCE | {"dataset_name": "acme/other"}
    local = {"environment": "local"}
    block.config.write_text(config_text(Path("x"), harbor_job=local, task_source=SOURCE, task_sources=[other]))
    done = block.run("prepare-tasks")
    assert done.exit_code == 1
    assert "was not downloaded whole (acme/other@0123456789ab)" in done.stderr
    assert "py-cc: 1 listed" in done.output


def click(instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    job = defs().get_repository_def().get_job("__ASSET_JOB").get_subset(asset_selection={DOWNLOADED_TASKS})
    return job.execute_in_process(instance=instance, raise_on_error=False)


def metadata_of(event: Any) -> dict[str, Any]:
    return {name: each.value for name, each in event.metadata.items()}


def test_a_click_downloads_and_the_same_content_is_one_event(hub: Hub, block: Block) -> None:
    with open_instance(block.root) as instance:
        for _ in range(2):
            assert click(instance).success
        assert n_events(instance, DOWNLOADED_TASKS) == 1
        event = instance.get_latest_materialization_event(DOWNLOADED_TASKS)
        assert event is not None
        shown = metadata_of(event.asset_materialization)
        assert (shown["n_sources"], shown["n_complete_tasks"]) == (1, 2)
        hub.revision = "f" * 40
        block.configure(download={"revision": REVISION, "subfolder": "."})
        (failed,) = [each for each in click(instance).all_events if each.is_step_failure]
        assert failed.step_failure_data.user_failure_data is not None
        assert "answers with commit ffff" in (failed.step_failure_data.user_failure_data.description or "")


def test_a_click_brings_the_others_where_one_source_cannot_be_had(hub: Hub, block: Block) -> None:
    other = SOURCE | {"dataset_name": "acme/other"}
    block.config.write_text(config_text(Path("x"), task_sources=[other, SOURCE], task_source=None))
    with open_instance(block.root) as instance:
        assert not click(instance).success
    assert [path.parent.parent.name for path in block.config.parent.glob("artifacts/sources/*/*/source.json")] == [
        "py-cc"
    ]


def tick(block: Block, instance: dg.DagsterInstance) -> dg.SensorResult:
    platform = PlatformResource(root=str(block.root.path), config=str(block.config))
    result = verified_tasks(dg.build_sensor_context(instance=instance, resources={"platform": platform}))
    assert isinstance(result, dg.SensorResult)
    return result


def test_a_tick_downloads_nothing_and_says_what_does(hub: Hub, block: Block) -> None:
    with open_instance(block.root) as instance:
        found = tick(block, instance)
    assert not hub.agents
    assert found.skip_reason is not None
    assert "what is downloaded comes by `trajgen prepare-tasks`" in str(found.skip_reason.skip_message)


def test_swegens_state_and_log_are_shown_with_the_manifest_and_a_broken_one_is_said(tmp_path: Path) -> None:
    source = tmp_path / "artifacts" / "swe_tasks" / "py-cc"
    state = source / ".swegen-create-batch" / "1f.json"
    state.parent.mkdir(parents=True)
    cases = {f"o/r#{n}": {"status": status} for n, status in enumerate(["success", "failed", "failed", "pending"])}
    state.write_text(json.dumps({"cases": cases, "total_elapsed_seconds": 61.5}))
    log = tmp_path / "artifacts" / "logs" / "swegen-create" / "1f.log"
    log.parent.mkdir(parents=True)
    log.touch()
    (source / "verifiable_tasks.txt").write_text("a\n")
    block = Block(tmp_path)
    block.config.write_text(config_text(source))
    with open_instance(block.root) as instance:
        (event,) = tick(block, instance).asset_events
        shown = metadata_of(event)
        assert event.asset_key == VERIFIED_TASKS
        assert [shown[f"swegen_{name}"] for name in ("verified", "failed", "running")] == [1, 2, 1]
        assert (shown["swegen_last_batch"], shown["swegen_last_elapsed_s"]) == ("1f.json", 61.5)
        assert shown["swegen_log"] == str(log)
        state.write_text("{")
        (source / "verifiable_tasks.txt").write_text("a\nb\n")
        (event,) = tick(block, instance).asset_events
        assert "1f.json cannot be read" in metadata_of(event)["swegen_state"]
        assert metadata_of(event)["n_listed"] == 2
