"""The operational snapshot: phase, progress, blockers and next steps, the same on screen and in status.yaml."""

import os
import time
from datetime import datetime
from pathlib import Path

import pytest
import yaml

from tests.configuration import config_text
from tests.unit.report.conftest import DATASET
from trajgen_assets.core.config.load import load_config
from trajgen_assets.core.errors import ConfigError
from trajgen_assets.core.intake.registration import register_source
from trajgen_assets.core.keys import MAIN_CAMPAIGN, SMOKE_CAMPAIGN, TaskKey
from trajgen_assets.core.ledger import Batch, JobState, PublishedView, create_ledger, open_ledger
from trajgen_assets.core.paths import Root
from trajgen_assets.core.platform import Platform
from trajgen_assets.core.report.archive import archived
from trajgen_assets.core.report.archive import opened as open_entries
from trajgen_assets.core.report.heartbeat import SILENT_AFTER_S, beat, end_beats
from trajgen_assets.core.report.standing import (
    Phase,
    Severity,
    Standing,
    configured,
    publish_standing,
    publish_standing_of,
    standing_of,
)
from trajgen_assets.core.rollout.slots import job_slot


def stands(platform: Platform) -> Standing:
    return standing_of(platform.root, platform.ledger, platform.config)


def assign(platform: Platform, job: str, *task_ids: str) -> None:
    assert platform.ledger.assign(job, Batch(MAIN_CAMPAIGN, DATASET, task_ids=task_ids))


def test_free_tasks_make_it_ready_and_excluded_ones_do_not_count(platform: Platform) -> None:
    (platform.config.path.parent / "excluded_tasks.txt").write_text("c\n")
    now = stands(platform)
    assert (now.phase, now.n_free, now.n_excluded) == (Phase.READY, 2, 1)
    assert now.next_steps == ("2 tasks are free: `trajgen start`",)
    assert not now.is_blocked


def test_it_follows_a_job_from_its_assignment_over_its_death_to_its_end(platform: Platform) -> None:
    assign(platform, "j", "a", "b", "c")
    assert stands(platform).phase is Phase.STARTING
    lease = platform.ledger.claim("j", "r", ttl_s=60)
    with job_slot(platform.root.locks, 1, holder="j"):
        now = stands(platform)
        assert (now.phase, [(job.n_tasks, job.n_ended, job.is_lost) for job in now.jobs]) == (
            Phase.ROLLING_OUT,
            [(3, 0, False)],
        )
    now = stands(platform)
    assert [(each.severity, each.what) for each in now.blockers] == [(Severity.WARNING, "job j: its driver has died")]
    assert now.next_steps[0] == "`trajgen start` settles what the dead driver left, and goes on"
    assert not now.is_blocked
    unusable = standing_of(platform.root, platform.ledger, ConfigError("it is broken"))
    assert unusable.blockers[-1].what.endswith("and it is not settled while the configuration cannot be used")
    platform.ledger.release(lease, JobState.FINISHED)
    assert stands(platform).jobs == ()


def test_a_job_that_a_person_asked_to_end_says_who_asked_and_how(platform: Platform) -> None:
    assign(platform, "j", "a")
    platform.ledger.claim("j", "r", ttl_s=60)
    with job_slot(platform.root.locks, 1, holder="j"):
        assert stands(platform).jobs[0].words == "running, 0 of 1 trial ended"
        for drain, doing in ((True, "draining"), (False, "stopping")):
            asked = platform.ledger.ask_to_stop("j", "ada", drain=drain)
            ending = f"{doing} as ada asked at {asked.asked_at:%H:%M:%S} UTC"
            assert stands(platform).jobs[0].words == f"{ending}, 0 of 1 trial ended"
            publish_standing_of(platform)
            said = yaml.safe_load(platform.root.status.read_text())
            assert said["progress"]["jobs"][0]["ending"] == ending


def test_an_outage_is_a_pause_with_its_cause_and_its_end(platform: Platform) -> None:
    platform.ledger.trip(DATASET, "model_provider")
    now = stands(platform)
    assert now.phase is Phase.PAUSED
    (blocker,) = now.blockers
    assert blocker.line.startswith(f"warning: launches of {DATASET} are paused until ")
    assert "UTC: the last job found the model_provider not working. Mend: " in blocker.line


def test_after_an_outage_it_says_what_goes_on_by_itself_and_what_does_not(platform: Platform) -> None:
    platform.ledger.trip(DATASET, "model_provider")
    by_hand = "3 tasks are free, and nothing begins by itself: `trajgen start` does not wait for the end of the pause"
    assert stands(platform).next_steps == (by_hand,)
    assert "nothing goes by itself, since no daemon runs" in stands(platform).blockers[0].mend
    beat(platform.root)
    assert "nothing goes by itself, since automation is off" in stands(platform).blockers[0].mend
    with platform.config.path.open("a") as file:
        file.write("    automation: {enabled: true}\n")
    now = standing_of(platform.root, platform.ledger, load_config(platform.config.path))
    assert now.next_steps == ("3 tasks are free and wait for the end of the pause; `trajgen start` does not",)
    assert "a probe goes by itself after the pause" in now.blockers[0].mend


def test_a_used_up_day_is_a_pause_that_start_does_not_end(platform: Platform) -> None:
    with platform.config.path.open("a") as file:
        file.write("    budget: {day: {tokens: 10}}\n")
    platform.root.spend.mkdir()
    today = platform.root.spend / f"{platform.ledger.now():%Y-%m-%d}.jsonl"
    today.write_text('{"trial": "t", "tokens": 10, "cost_usd": 0.0}\n')
    now = standing_of(platform.root, platform.ledger, load_config(platform.config.path))
    assert now.phase is Phase.PAUSED
    assert now.next_steps == (f"3 tasks are free: {now.blockers[0].mend}",)
    assert "wait for the next day in UTC" in now.blockers[0].mend


def test_what_only_a_person_can_mend_is_an_error_with_the_mend_first(platform: Platform) -> None:
    platform.config.source(DATASET).manifest.unlink()
    now = stands(platform)
    assert (now.phase, now.is_blocked) == (Phase.BLOCKED, True)
    assert now.blockers[0].what.startswith(f"there is no manifest of {DATASET}")
    assert now.next_steps[0] == f"mend first: {now.blockers[0].mend}"


def test_a_configuration_that_cannot_be_read_is_an_error_and_the_tasks_are_still_counted(platform: Platform) -> None:
    platform.config.path.write_text("runtime_info: {}\n")
    problem = configured(platform.config.path)
    assert isinstance(problem, ConfigError)
    now = standing_of(platform.root, platform.ledger, problem)
    assert (now.phase, now.counts.registered) == (Phase.BLOCKED, 3)
    assert now.blockers[0].what.startswith("no new job begins: the configuration")
    assert "`trajgen config validate` shows all problems" in now.blockers[0].mend


def test_a_view_changed_by_hand_and_a_job_that_is_not_archived_are_said(platform: Platform) -> None:
    PublishedView(platform.ledger, platform.root).refresh()
    with platform.root.ledger_view.open("a") as view:
        view.write("# mine\n")
    open_entries.begin(platform.root, job="gone", owner="r").let_go()
    assert [each.what for each in stands(platform).blockers] == [
        "consumption_ledger.yaml was changed by hand and is left as it is",
        "not archived yet: gone",
    ]


def test_it_is_written_when_it_says_something_else_and_not_otherwise(platform: Platform) -> None:
    publish_standing_of(platform)
    said = yaml.safe_load(platform.root.status.read_text())
    assert list(said) == ["schema_version", "phase", "progress", "blockers", "next_steps", "last_updated"]
    assert (said["phase"], said["progress"]["tasks"]["free"]) == ("ready", 3)
    assert datetime.fromisoformat(said["last_updated"]).tzinfo is not None
    inode = platform.root.status.stat().st_ino
    publish_standing_of(platform)
    assert platform.root.status.stat().st_ino == inode
    platform.ledger.skip([TaskKey(MAIN_CAMPAIGN, DATASET, "a")], "too hard")
    publish_standing_of(platform)
    assert yaml.safe_load(platform.root.status.read_text())["progress"]["tasks"]["skipped"] == 1


@pytest.mark.parametrize("text", ["", "{", "- 1\n", "\x00"])
def test_garbage_in_its_place_is_written_over(platform: Platform, text: str) -> None:
    platform.root.status.write_text(text)
    publish_standing_of(platform)
    assert yaml.safe_load(platform.root.status.read_text())["phase"] == "ready"


def test_where_it_cannot_be_written_nothing_else_is_hindered(
    platform: Platform, caplog: pytest.LogCaptureFixture
) -> None:
    platform.root.status.mkdir()
    (platform.root.status / "in the way").touch()
    publish_standing(platform.root, platform.ledger, platform.config)
    assert "status.yaml is not up to date" in caplog.text


def test_a_secret_in_what_is_said_is_not_published(platform: Platform) -> None:
    platform.ledger.pause(DATASET, "ann", "literal-key-4711 is used up")
    publish_standing_of(platform)
    text = platform.root.status.read_text()
    assert "literal-key-4711" not in text
    assert "is used up" in text
    inode = platform.root.status.stat().st_ino
    publish_standing_of(platform)
    assert platform.root.status.stat().st_ino == inode


def test_the_configuration_is_never_written(platform: Platform) -> None:
    before = platform.config.path.read_bytes()
    assign(platform, "j", "a")
    with archived(platform, job="j", owner="r"):
        platform.ledger.withdraw("j", note="enough")
    publish_standing_of(platform)
    assert platform.config.path.read_bytes() == before


def test_what_a_person_has_paused_is_a_pause_with_who_and_why_and_no_error(platform: Platform) -> None:
    platform.ledger.pause(DATASET, "ann", "the endpoint is for others today")
    now = stands(platform)
    (blocker,) = now.blockers
    assert (now.phase, now.is_blocked) == (Phase.PAUSED, False)
    assert blocker.line.startswith(f"warning: launches of {DATASET} are paused by ann since ")
    assert f"the endpoint is for others today. Mend: `trajgen resume` --dataset {DATASET} lifts it" in blocker.line
    lifts = f"`trajgen resume` --dataset {DATASET} lifts it"
    assert now.next_steps == (f"3 tasks are free and held back by a person: {lifts}",)
    platform.ledger.trip(DATASET, "model_provider")
    assert stands(platform).next_steps == now.next_steps  # `trajgen start` is refused, outage or not


def test_smoke_is_not_counted_with_the_rest_nor_hides_that_nothing_is_registered(tmp_path: Path) -> None:
    source, root = tmp_path / DATASET, Root(tmp_path / "root", tmp_path / "env")
    source.mkdir()
    (source / "verifiable_tasks.txt").write_text("a\nb\n")
    create_ledger(root)
    path = root.path / "config.yaml"
    path.write_text(config_text(source, harbor_job={"environment": "local"}))
    config = load_config(path)
    with open_ledger(root) as ledger:
        register_source(ledger, config.source(DATASET), SMOKE_CAMPAIGN)
        now = standing_of(root, ledger, config)
        assert (now.counts.registered, now.smoke.registered) == (0, 2)
        unread = f"the tasks of {DATASET} are not registered yet: `trajgen start` registers and rolls out"
        assert now.next_steps == (unread,)
        register_source(ledger, config.source(DATASET), MAIN_CAMPAIGN)
        now = standing_of(root, ledger, config)
        assert (now.counts.registered, now.smoke.registered) == (2, 2)
        assert unread not in now.next_steps


def test_a_disk_below_the_mark_is_an_error(platform: Platform) -> None:
    text = platform.config.path.read_text()
    platform.config.path.write_text(text.replace("environment: local", "min_free_gb: 1.0e+9"))
    now = standing_of(platform.root, platform.ledger, configured(platform.config.path))
    assert (now.phase, now.is_blocked) == (Phase.BLOCKED, True)
    assert "fewer than harbor_job.min_free_gb = 1e+09" in now.blockers[0].what


def test_a_day_whose_budget_is_used_up_is_a_warning_that_says_what_to_do(platform: Platform) -> None:
    text = platform.config.path.read_text()
    platform.config.path.write_text(
        text.replace("    task_source", "    budget: {day: {tokens: 10}}\n    task_source", 1)
    )
    platform.root.spend.mkdir()
    file = platform.root.spend / f"{platform.ledger.now():%Y-%m-%d}.jsonl"
    file.write_text('{"trial": "t", "tokens": 10, "cost_usd": 0}\n')
    now = standing_of(platform.root, platform.ledger, configured(platform.config.path))
    assert "no job begins: the day's budget of 10 tokens is used up" in now.blockers[0].what
    assert "runtime_info.input.budget.day" in now.blockers[0].mend


def test_a_daemon_that_beats_is_none_of_a_person_s_business_and_a_silent_one_is(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(platform.root.path / "no-units"))
    beat(platform.root)
    assert stands(platform).blockers == ()
    long_ago = time.time() - SILENT_AFTER_S - 60
    os.utime(platform.root.heartbeat, (long_ago, long_ago))
    now = stands(platform)
    assert (now.phase, now.is_blocked) == (Phase.BLOCKED, True)
    assert now.blockers[0].what.startswith("the daemon has not been heard of since ")
    end_beats(platform.root)
    assert stands(platform).blockers == ()


def test_where_nobody_runs_a_daemon_it_is_missed_by_automation_a_little_and_by_a_service_much(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    units = platform.root.path / "units"
    monkeypatch.setenv("XDG_CONFIG_HOME", str(units))
    text = platform.config.path.read_text()
    platform.config.path.write_text(text + "    automation: {enabled: true}\n")
    config = configured(platform.config.path)
    now = standing_of(platform.root, platform.ledger, config)
    assert [each.severity for each in now.blockers] == [Severity.WARNING]
    assert "nothing begins by itself" in now.blockers[0].what
    unit = units / "systemd" / "user" / "trajgen.service"
    unit.parent.mkdir(parents=True)
    unit.write_text(f"[Unit]\nX-Trajgen-Root={platform.root.path}\n")
    now = standing_of(platform.root, platform.ledger, config)
    assert [each.severity for each in now.blockers] == [Severity.ERROR]
    assert "though trajgen.service is installed for this root" in now.blockers[0].what
