"""Whether a day has anything left, by the files of its proxies and by the ledger."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from tests.unit.config.test_load import config_of
from tests.unit.ledger.twins import SetClock, graded, register, settle, start
from trajgen_assets.core.ledger.ledger import Ledger
from trajgen_assets.core.ledger.models import JobState
from trajgen_assets.core.ledger.store import create_ledger, open_ledger
from trajgen_assets.core.paths import Root
from trajgen_assets.core.platform import Platform
from trajgen_assets.core.report.alarms import standing_alarms
from trajgen_assets.core.report.alerts import raise_alerts, read_alerts
from trajgen_assets.core.rollout.budget import day_used_up, proxy_budget


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def platform(tmp_path: Path, clock: SetClock) -> Iterator[Platform]:
    root = Root(tmp_path)
    create_ledger(root)
    with open_ledger(root) as made:
        yield Platform(root, config_of(input={"budget": {"day": {"tokens": 1000}}}), Ledger(made.store, clock))


def spend(platform: Platform, tokens: object) -> None:
    platform.root.spend.mkdir(exist_ok=True)
    day = f"{platform.ledger.now():%Y-%m-%d}"
    with (platform.root.spend / f"{day}.jsonl").open("a") as file:
        file.write(json.dumps({"trial": "t", "tokens": tokens, "cost_usd": 0.0}) + "\n")


def used_up(platform: Platform) -> str | None:
    found = day_used_up(platform.root, platform.config, platform.ledger)
    return found.words if found else None


def attempt_of(platform: Platform, clock: SetClock, n_tokens: int) -> None:
    register(platform.ledger, "a")
    lease = start(platform.ledger)
    outcome = graded("a__1", n_input_tokens=n_tokens - 1, n_output_tokens=1, started_at=clock.at)
    settle(platform.ledger, lease, "a", outcome)
    platform.ledger.release(lease, JobState.FINISHED)


def test_a_day_without_a_call_has_all_of_its_budget(platform: Platform) -> None:
    assert used_up(platform) is None


def test_a_day_is_used_up_until_midnight(platform: Platform, clock: SetClock) -> None:
    spend(platform, 999)
    assert used_up(platform) is None
    spend(platform, 1)
    assert "the day's budget of 1,000 tokens is used up" in str(used_up(platform))
    clock.at += timedelta(days=1)
    assert used_up(platform) is None


def test_a_file_that_somebody_deleted_is_made_up_for_by_the_ledger(platform: Platform, clock: SetClock) -> None:
    attempt_of(platform, clock, 1000)
    assert used_up(platform)
    told = proxy_budget(platform.root, platform.config, platform.ledger)
    assert told["lost"] == {"day": "2026-01-01", "tokens": 1000, "cost_usd": 0.0}
    spend(platform, 600)  # the same calls, or others: what the file holds is not counted twice
    told = proxy_budget(platform.root, platform.config, platform.ledger)
    assert told["lost"]["tokens"] == 400


def test_a_broken_file_lets_no_job_begin_and_says_which_line(platform: Platform) -> None:
    spend(platform, 5)
    spend(platform, "many")
    assert "2026-01-01.jsonl, line 2 cannot be read" in str(used_up(platform))
    proxy_budget(platform.root, platform.config, platform.ledger)  # the proxy says it where it matters


def test_one_alert_is_given_for_each_time_that_it_is_used_up(platform: Platform, clock: SetClock) -> None:
    spend(platform, 1000)
    for _ in range(3):
        raise_alerts(platform.root, standing_alarms(platform))
    clock.at += timedelta(days=1)
    raise_alerts(platform.root, standing_alarms(platform))
    spend(platform, 1000)
    raise_alerts(platform.root, standing_alarms(platform))
    assert [each.kind for each in read_alerts(platform.root)] == ["budget", "budget"]
