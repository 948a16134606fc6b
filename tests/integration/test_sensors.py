"""The sensors against a real instance and ledger: what a tick registers, shows, requests, and never requests twice."""

import json
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from resources.instance import open_instance, prepare_instance
from resources.platform import PlatformResource
from sensors.finished_jobs import finished_jobs
from sensors.verified_tasks import verified_tasks
from tests.configuration import config_text
from tests.openhands_checkout.configured import openhands_config_text
from tests.openhands_checkout.making import StandIn, row, write_rows
from tests.waiting import wait_until
from trajgen_assets.core import clock
from trajgen_assets.core.intake.manifest import AT_REST_AFTER_S
from trajgen_assets.core.intake.rows import row_digest
from trajgen_assets.core.keys import MAIN_CAMPAIGN, TaskKey
from trajgen_assets.core.ledger.breaker import FIRST_DELAY_S
from trajgen_assets.core.ledger.models import JobState
from trajgen_assets.core.ledger.store import create_ledger, open_ledger
from trajgen_assets.core.paths import Root
from trajgen_assets.core.report.heartbeat import last_beat
from trajgen_assets.core.report.standing import configured, standing_of
from trajgen_assets.launches import RANGE_END_TAG, RANGE_START_TAG
from trajgen_assets.names import TASKS


@dataclass
class Installation:
    root: Root
    source: Path
    instance: dg.DagsterInstance
    cursor: str | None = None

    def configure(self, *, enabled: bool) -> None:
        automation = {"enabled": enabled, "batch_max": 2, "max_jobs": 2}
        (self.root.path / "config.yaml").write_text(config_text(self.source, automation=automation))

    def add_task(self, task_id: str) -> None:
        folder = self.source / task_id
        for name, text in (
            ("task.toml", 'version = "1.0"\n'),
            ("instruction.md", f"Mend {task_id}.\n"),
            ("environment/Dockerfile", "FROM scratch\n"),
            ("tests/test.sh", "true\n"),
        ):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)

    def list_ids(self, *ids: str) -> None:
        (self.source / "verifiable_tasks.txt").write_text("".join(f"{task_id}\n" for task_id in ids))

    def tick(self) -> dg.SensorResult:
        platform = PlatformResource(root=str(self.root.path), config=str(self.root.path / "config.yaml"))
        context = dg.build_sensor_context(instance=self.instance, cursor=self.cursor, resources={"platform": platform})
        result = verified_tasks(context)
        assert isinstance(result, dg.SensorResult)
        self.cursor = result.cursor
        return result

    def data_tick(self) -> dg.SensorResult | dg.SkipReason:
        platform = PlatformResource(root=str(self.root.path), config=str(self.root.path / "config.yaml"))
        context = dg.build_sensor_context(instance=self.instance, resources={"platform": platform})
        result = finished_jobs(context)
        assert isinstance(result, dg.SensorResult | dg.SkipReason)
        return result


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    root = Root(tmp_path / "root")
    create_ledger(root)
    prepare_instance(root, max_jobs=2)
    source = tmp_path / "py-cc"
    source.mkdir()
    with open_instance(root) as instance:
        made = Installation(root, source, instance)
        made.configure(enabled=True)
        yield made


def rest(manifest: Path) -> None:
    """As if nobody had written to the manifest for long enough."""
    written_s = time.time() - AT_REST_AFTER_S
    os.utime(manifest, (written_s, written_s))


def skip_text(result: dg.SensorResult) -> str:
    return str(result.skip_reason.skip_message if result.skip_reason else "")


def test_an_unfilled_configuration_is_skipped_with_a_word(installation: Installation) -> None:
    (installation.root.path / "config.yaml").write_text("runtime_info: {input: {llm_api: {model: human}}}\n")
    platform = PlatformResource(root=str(installation.root.path), config=str(installation.root.path / "config.yaml"))
    for sensor in (verified_tasks, finished_jobs):
        result = sensor(dg.build_sensor_context(instance=installation.instance, resources={"platform": platform}))
        assert isinstance(result, dg.SkipReason)
        assert "not filled in yet" in str(result.skip_message)


def test_a_missing_manifest_is_reported_and_means_nothing(installation: Installation) -> None:
    result = installation.tick()
    assert result.run_requests == []
    assert "verifiable_tasks.txt" in skip_text(result)
    with open_ledger(installation.root) as ledger:
        assert ledger.counts().registered == 0


def test_with_automation_off_a_tick_registers_and_shows_but_requests_nothing(installation: Installation) -> None:
    installation.configure(enabled=False)
    installation.add_task("a-1")
    installation.list_ids("a-1", "gone-2")
    result = installation.tick()
    assert result.run_requests == []
    assert "automation.enabled is false" in skip_text(result)
    assert "gone-2: lacks the folder" in skip_text(result)
    assert installation.instance.get_dynamic_partitions(TASKS) == ["py-cc/a-1"]
    with open_ledger(installation.root) as ledger:
        assert ledger.jobs() == []


def test_the_manifest_is_an_event_only_when_it_changed(installation: Installation) -> None:
    installation.list_ids()
    assert len(installation.tick().asset_events) == 1
    assert installation.tick().asset_events == []
    installation.add_task("a-1")
    installation.list_ids("a-1")
    assert len(installation.tick().asset_events) == 1


def test_free_tasks_are_requested_in_batches_and_no_more_than_there_are_slots(installation: Installation) -> None:
    ids = [f"a-{number}" for number in range(6)]
    for task_id in ids:
        installation.add_task(task_id)
    installation.list_ids(*ids)
    requests = installation.tick().run_requests or []
    assert [(each.tags[RANGE_START_TAG], each.tags[RANGE_END_TAG]) for each in requests] == [
        ("py-cc/a-0", "py-cc/a-1"),
        ("py-cc/a-2", "py-cc/a-3"),
    ]
    assert len({each.run_key for each in requests}) == 2
    again = installation.tick()
    assert again.run_requests == []
    assert "earlier batches hold every job slot" in skip_text(again)


def test_a_tick_whose_requests_were_lost_asks_again_under_a_new_key(installation: Installation) -> None:
    installation.add_task("a-1")
    installation.list_ids("a-1")
    first = installation.tick().run_requests or []
    with open_ledger(installation.root) as ledger:
        job = ledger.jobs()[0]
        ledger.return_job(job.name, "whoever")  # the run found no slot
    second = installation.tick().run_requests or []
    assert [each.tags["trajgen/job"] for each in second] == [job.name]
    assert {first[0].run_key, second[0].run_key} == {f"{job.name}:1", f"{job.name}:2"}


def test_a_paused_data_set_is_not_launched_and_the_reason_says_so(installation: Installation) -> None:
    installation.add_task("a-1")
    installation.list_ids("a-1")
    with open_ledger(installation.root) as ledger:
        ledger.trip("py-cc", "model_provider")
    result = installation.tick()
    assert result.run_requests == []
    assert "paused until" in skip_text(result)


def test_a_shrunk_manifest_revokes_what_is_still_pending(installation: Installation) -> None:
    installation.configure(enabled=False)
    for task_id in ("a-1", "a-2"):
        installation.add_task(task_id)
    installation.list_ids("a-1", "a-2")
    installation.tick()
    installation.list_ids("a-1")
    installation.tick()
    with open_ledger(installation.root) as ledger:
        assert ledger.task(TaskKey(MAIN_CAMPAIGN, "py-cc", "a-2")).status == "skipped"
        assert ledger.check_balance().pending == 1


def test_what_is_appended_is_registered_and_shown(installation: Installation) -> None:
    installation.configure(enabled=False)
    for task_id in ("a-1", "a-2"):
        installation.add_task(task_id)
    installation.list_ids("a-1")
    installation.tick()
    with (installation.source / "verifiable_tasks.txt").open("a") as file:
        file.write("a-2\nA-1\na-2\na-")
    result = installation.tick()
    assert "py-cc: 2 listed, 1 new" in skip_text(result)
    assert "line 3: 'A-1': differs from a-1 only in case" in skip_text(result)
    assert "line 4: 'a-2': listed twice" in skip_text(result)
    assert installation.instance.get_dynamic_partitions(TASKS) == ["py-cc/a-1", "py-cc/a-2"]
    assert skip_text(installation.tick()) == skip_text(result).replace("1 new", "0 new")


def test_a_line_without_newline_is_said_and_taken_once_its_writer_is_done(installation: Installation) -> None:
    for task_id in ("a-1", "a-2", "a-23"):
        installation.add_task(task_id)
    manifest = installation.source / "verifiable_tasks.txt"
    installation.configure(enabled=False)
    manifest.write_text("a-1\na-2")
    for _ in range(2):
        assert "line 2 has no newline yet" in skip_text(installation.tick())
    assert installation.instance.get_dynamic_partitions(TASKS) == ["py-cc/a-1"]

    rest(manifest)
    result = installation.tick()
    assert ("py-cc: 2 listed, 1 new" in skip_text(result), len(result.asset_events)) == (True, 1)
    assert "no newline" not in skip_text(result)
    assert installation.instance.get_dynamic_partitions(TASKS) == ["py-cc/a-1", "py-cc/a-2"]
    assert "py-cc: 2 listed, 0 new" in skip_text(installation.tick())

    with manifest.open("a") as file:
        file.write("3")
    assert "py-cc: 1 listed, 0 new, line 2 has no newline yet" in skip_text(installation.tick())
    rest(manifest)
    assert "py-cc: 2 listed, 1 new" in skip_text(installation.tick())
    with open_ledger(installation.root) as ledger:
        assert {row.task_id: str(row.status) for row in ledger.rows()} == {
            "a-1": "pending",
            "a-2": "skipped",
            "a-23": "pending",
        }
        ledger.check_balance()


def test_a_manifest_that_was_replaced_is_read_in_full(installation: Installation) -> None:
    installation.configure(enabled=False)
    installation.list_ids("a-1", "a-2")
    installation.tick()
    (installation.source / "new").write_text("a-1\na-3\n")
    (installation.source / "new").rename(installation.source / "verifiable_tasks.txt")
    installation.tick()
    with open_ledger(installation.root) as ledger:
        assert {row.task_id: str(row.status) for row in ledger.rows()} == {
            "a-1": "pending",
            "a-2": "skipped",
            "a-3": "pending",
        }
        ledger.check_balance()


@pytest.mark.parametrize("cursor", [None, "", "garbage", '{"py-cc": "0a1b"}', '{"manifests": {"py-cc": 1}}'])
def test_a_lost_or_foreign_cursor_repeats_the_event_and_nothing_else(
    installation: Installation, cursor: str | None
) -> None:
    installation.add_task("a-1")
    installation.list_ids("a-1")
    assert len(installation.tick().run_requests or []) == 1
    with open_ledger(installation.root) as ledger:
        before = ledger.rows()
    installation.cursor = cursor
    result = installation.tick()
    assert (result.run_requests, len(result.asset_events)) == ([], 1)
    assert "1 listed, 0 new" in skip_text(result)
    with open_ledger(installation.root) as ledger:
        assert ledger.rows() == before


@pytest.mark.parametrize("harm", ["missing", "not text", "a folder", "a name that is too long"])
def test_a_bad_manifest_is_reported_and_the_others_are_served(installation: Installation, harm: str) -> None:
    other = installation.source.parent / "py-dd"
    other.mkdir()
    manifest = other / ("m" * 300 if harm == "a name that is too long" else "verifiable_tasks.txt")
    if harm == "not text":
        manifest.write_bytes(b"a-1\n\xff\n")
    elif harm == "a folder":
        manifest.mkdir()
    first = {"dataset_name": str(other), "manifest": str(manifest)}
    sources = [first, {"dataset_name": str(installation.source)}]
    text = config_text(installation.source, task_source=None, task_sources=sources)
    (installation.root.path / "config.yaml").write_text(text)
    installation.add_task("a-1")
    installation.list_ids("a-1")
    for n_new in (1, 0):
        result = installation.tick()
        assert "py-dd: " in skip_text(result)
        assert f"py-cc: 1 listed, {n_new} new" in skip_text(result)
    assert installation.instance.get_dynamic_partitions(TASKS) == ["py-cc/a-1"]


def test_a_folder_that_is_completed_later_is_found_at_an_unchanged_manifest(installation: Installation) -> None:
    installation.configure(enabled=False)
    installation.list_ids("a-1")
    assert "a-1: lacks the folder" in skip_text(installation.tick())
    installation.add_task("a-1")
    assert "not usable" not in skip_text(installation.tick())
    assert installation.instance.get_dynamic_partitions(TASKS) == ["py-cc/a-1"]


def test_an_idle_tick_leaves_ledger_view_and_cursor_as_they_are(installation: Installation) -> None:
    installation.configure(enabled=False)
    installation.add_task("a-1")
    installation.list_ids("a-1", "gone-2")
    installation.tick()
    root = installation.root
    before = [
        installation.cursor,
        *((path.stat().st_ino, path.stat().st_mtime_ns) for path in (root.ledger, root.ledger_view)),
    ]
    installation.tick()
    assert before == [
        installation.cursor,
        *((path.stat().st_ino, path.stat().st_mtime_ns) for path in (root.ledger, root.ledger_view)),
    ]


def test_a_corrupt_ledger_stops_the_tick(installation: Installation) -> None:
    installation.root.ledger.write_bytes(b"not a database at all")
    with pytest.raises(Exception, match="file is not a database"):
        installation.tick()


def test_a_job_that_is_over_is_requested_under_the_digest_of_what_was_accepted(installation: Installation) -> None:
    assert isinstance(installation.data_tick(), dg.SkipReason)
    installation.add_task("a-1")
    installation.list_ids("a-1")
    installation.tick()
    with open_ledger(installation.root) as ledger:
        name = ledger.jobs()[0].name
        ledger.release(ledger.claim(name, "run", ttl_s=60), JobState.FINISHED)
        digest = ledger.job(name).accepted_digest
    trials = installation.root.job(name).trials
    trials.parent.mkdir(parents=True)
    trials.write_text(json.dumps({}))
    result = installation.data_tick()
    assert isinstance(result, dg.SensorResult)
    request = (result.run_requests or [])[0]
    assert (request.run_key, request.partition_key) == (f"{name}:{digest}:0", name)
    assert [key.to_user_string() for key in request.asset_selection or []] == ["job_result"]
    with open_ledger(installation.root) as ledger:
        ledger.record_downstream(name, digest or "")
    assert isinstance(installation.data_tick(), dg.SkipReason)


def test_a_bad_edit_of_the_configuration_stops_new_jobs_with_one_alert_and_its_mending_lets_them_go_on(
    installation: Installation,
) -> None:
    installation.add_task("a")
    installation.list_ids("a")
    installation.configure(enabled=True)
    file = installation.root.path / "config.yaml"
    good = file.read_text()
    alerts = installation.root.logs / "alerts.jsonl"
    platform = PlatformResource(root=str(installation.root.path), config=str(file))

    def words(sensor: dg.SensorDefinition) -> str:
        result = sensor(dg.build_sensor_context(instance=installation.instance, resources={"platform": platform}))
        assert isinstance(result, dg.SkipReason)
        return result.skip_message or ""

    for bad in ("batch_max: none", "batch_max: none", "batch_mix: 3"):
        file.write_text(good.replace("batch_max: 2", bad))
        assert "no new job begins until the configuration is mended" in words(verified_tasks)
        assert "no data is made until" in words(finished_jobs)
    said = [json.loads(line) for line in alerts.read_text().splitlines()]
    assert [each["kind"] for each in said] == ["configuration", "configuration"]
    assert "batch_max" in said[0]["text"]
    assert "batch_mix" in said[1]["text"]
    file.write_text(good)
    assert len(installation.tick().run_requests or []) == 1


def test_what_is_said_of_a_bad_configuration_holds_no_secret_of_its_own(installation: Installation) -> None:
    config, secrets = installation.root.path / "config.yaml", installation.root.path / "secrets.env"
    secrets.write_text("UPSTREAM_KEY=canary-at-the-wrong-place-01\n")
    secrets.chmod(0o600)
    config.write_text(f"canary-at-the-wrong-place-01: true\n{config.read_text()}")
    platform = PlatformResource(root=str(installation.root.path), config=str(config))
    said = verified_tasks(dg.build_sensor_context(instance=installation.instance, resources={"platform": platform}))
    assert isinstance(said, dg.SkipReason)
    for text in (said.skip_message or "", (installation.root.logs / "alerts.jsonl").read_text()):
        assert "<redacted:UPSTREAM_KEY>: unknown key" in text
        assert "canary" not in text


def test_each_tick_leaves_a_beat_whatever_is_wrong_with_the_configuration(installation: Installation) -> None:
    (installation.root.path / "config.yaml").write_text("runtime_info: [")
    platform = PlatformResource(root=str(installation.root.path), config=str(installation.root.path / "config.yaml"))
    assert last_beat(installation.root) is None
    verified_tasks(dg.build_sensor_context(instance=installation.instance, resources={"platform": platform}))
    assert last_beat(installation.root) is not None


# What a tick writes to status.yaml


def bare_tick(installation: Installation) -> None:
    """A tick that may be skipped as a whole."""
    file = installation.root.path / "config.yaml"
    platform = PlatformResource(root=str(installation.root.path), config=str(file))
    context = dg.build_sensor_context(
        instance=installation.instance, cursor=installation.cursor, resources={"platform": platform}
    )
    result = verified_tasks(context)
    if isinstance(result, dg.SensorResult):
        installation.cursor = result.cursor


def published(installation: Installation) -> dict[str, Any]:
    """What the file says, which is what `trajgen status` would say."""
    said: dict[str, Any] = yaml.safe_load(installation.root.status.read_text())
    del said["last_updated"]
    with open_ledger(installation.root) as ledger:
        now = standing_of(installation.root, ledger, configured(installation.root.path / "config.yaml"))
    room = re.compile(r"[\d.]+ GB are free")  # others write on the same disk
    assert room.sub("", json.dumps(said)) == room.sub("", json.dumps(now.as_dict()))
    return said


def is_ready(installation: Installation) -> None:
    bare_tick(installation)
    assert (published(installation)["phase"], published(installation)["blockers"]) == ("ready", [])


@pytest.fixture
def ready(installation: Installation) -> Installation:
    """One usable task, automation off, and a first tick."""
    installation.configure(enabled=False)
    installation.add_task("a-1")
    installation.list_ids("a-1")
    is_ready(installation)
    return installation


@pytest.mark.parametrize(
    ("now", "said"),
    [
        ("max_jobs: none", "no new job begins: the configuration"),
        ("max_job: 2", "no new job begins: the configuration"),
        ("max_jobs: 2\n    harbor_job: {min_free_gb: 1.0e+9}", "no trial begins: "),
    ],
)
def test_a_tick_publishes_what_is_wrong_with_configuration_or_disk_and_that_it_is_mended(
    ready: Installation, now: str, said: str
) -> None:
    file = ready.root.path / "config.yaml"
    good = file.read_text()
    file.write_text(good.replace("max_jobs: 2", now))
    bare_tick(ready)
    assert (published(ready)["phase"], published(ready)["blockers"][0]["severity"]) == ("blocked", "error")
    assert said in published(ready)["blockers"][0]["what"]
    file.write_text(good)
    is_ready(ready)


def test_a_tick_publishes_that_the_configuration_is_a_template_again(ready: Installation) -> None:
    (ready.root.path / "config.yaml").write_text("runtime_info: {input: {llm_api: {model: human}}}\n")
    bare_tick(ready)
    assert published(ready)["phase"] == "blocked"


def test_a_tick_publishes_that_a_manifest_is_gone_and_that_it_is_back(ready: Installation) -> None:
    manifest = ready.source / "verifiable_tasks.txt"
    manifest.rename(ready.source / "aside")
    bare_tick(ready)
    assert published(ready)["blockers"][0]["what"].startswith("there is no manifest of py-cc")
    (ready.source / "aside").rename(manifest)
    is_ready(ready)


def test_a_tick_publishes_that_an_outage_pauses_launches_and_that_the_pause_is_over(ready: Installation) -> None:
    nearly_over = timedelta(seconds=FIRST_DELAY_S - 3)
    with open_ledger(ready.root, now=lambda: clock.now() - nearly_over) as ledger:
        ledger.trip("py-cc", "model_provider")
    with open_ledger(ready.root) as ledger:
        bare_tick(ready)
        assert published(ready)["phase"] == "paused"
        wait_until(lambda: not ledger.breaker_state("py-cc").holds(ledger.now()), limit_s=30)
    is_ready(ready)


def test_a_tick_publishes_what_is_excluded_now_and_how_many_tasks_are_free(ready: Installation) -> None:
    (ready.root.path / "excluded_tasks.txt").write_text("a-1\n")
    bare_tick(ready)
    tasks = published(ready)["progress"]["tasks"]
    assert (tasks["free"], tasks["excluded"]) == (0, 1)


def test_a_tick_writes_a_status_anew_that_somebody_removed_or_overwrote_and_leaves_a_true_one(
    ready: Installation,
) -> None:
    before = ready.root.status.stat()
    is_ready(ready)
    assert ready.root.status.stat().st_ino == before.st_ino
    ready.root.status.unlink()
    is_ready(ready)
    ready.root.status.write_text("phase: mine\n")
    is_ready(ready)


def test_a_status_that_could_not_be_written_is_written_by_the_next_tick(ready: Installation) -> None:
    ready.root.status.unlink()
    (ready.root.status / "in the way").mkdir(parents=True)
    bare_tick(ready)
    (ready.root.status / "in the way").rmdir()
    ready.root.status.rmdir()
    is_ready(ready)


def test_rows_of_a_file_are_registered_as_they_are_appended_and_requested(
    installation: Installation, tmp_path: Path
) -> None:
    rows = write_rows(tmp_path / "tasks.jsonl", [row("acme__greeter-1")])
    nobody = StandIn("https://host.test/openhands", "7" * 40, Path("/none/bin/python"))
    text = openhands_config_text(rows, nobody, automation={"enabled": True, "batch_max": 2, "max_jobs": 2})
    (installation.root.path / "config.yaml").write_text(text)
    assert len(installation.tick().run_requests or []) == 1
    with rows.open("a") as file:
        file.write(json.dumps(row("acme__greeter-2")) + "\n" + json.dumps(row("acme__greeter-1")) + "\n")
    result = installation.tick()
    assert len(result.run_requests or []) == 1
    with open_ledger(installation.root) as ledger:
        assert ledger.counts(MAIN_CAMPAIGN, "tasks").registered == 2
        appended = ledger.task(TaskKey(MAIN_CAMPAIGN, "tasks", "acme__greeter-2"))
        assert appended.digest == row_digest(row("acme__greeter-2"))
