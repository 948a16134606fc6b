"""What a proxy counts, and when it refuses: without a proxy."""

import asyncio
import json
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from budgets import COUNT_PATIENCE_S, Budget

NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)
LIMITED = {"job": {"tokens": 1000}, "trial": {"tokens": 300}, "day": {"tokens": 5000}}


Begin = Callable[..., Budget]


class Clock:
    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture(autouse=True)
def _environ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "proxy").mkdir()
    (tmp_path / "spend").mkdir()
    monkeypatch.setenv("TRAJGEN_PROXY_DIR", str(tmp_path / "proxy"))
    monkeypatch.setenv("TRAJGEN_JOB", "job-1")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def begun(tmp_path: Path, clock: Clock) -> Begin:
    """A proxy's budget as it is when the proxy starts, again and again over the same files."""

    def begin(limits: dict[str, Any], folder: str = "proxy", **settings: Any) -> Budget:
        (tmp_path / folder).mkdir(exist_ok=True)
        return Budget({"limits": limits, "day_folder": str(tmp_path / "spend"), **settings}, tmp_path / folder, clock)

    return begin


def spend(budget: Budget, trial: str, tokens: int, cost: float | None = 0.0, *, answered: bool = True) -> None:
    budget.count(trial, os.urandom(4).hex(), {"total_tokens": tokens, "cost": cost}, answered=answered)


def refused(budget: Budget, trial: str) -> str | None:
    refusal = budget.refusal(trial)
    return refusal.scope if refusal else None


def test_a_trial_is_refused_when_its_tokens_are_used_up_and_no_other_is(begun: Begin, tmp_path: Path) -> None:
    budget = begun(LIMITED)
    spend(budget, "a__1", 299)
    assert refused(budget, "a__1") is None
    spend(budget, "a__1", 1)
    assert refused(budget, "a__1") == "trial"
    assert refused(budget, "b__1") is None
    note = json.loads((tmp_path / "proxy" / "over_budget" / "a__1").read_text())
    assert (note["scope"], note["text"]) == ("trial", "the trial's budget of 300 tokens is used up")
    assert not (tmp_path / "proxy" / "stop").exists()


def test_a_job_begins_no_more_trials_as_soon_as_its_budget_is_used_up(begun: Begin, tmp_path: Path) -> None:
    budget = begun({"job": {"cost_usd": 0.5}})
    spend(budget, "a__1", 10, 0.3)
    assert not (tmp_path / "proxy" / "stop").exists()
    spend(budget, "b__1", 10, 0.2)
    assert (tmp_path / "proxy" / "stop").exists()
    note = json.loads((tmp_path / "proxy" / "budget_stop").read_text())
    assert note["text"] == "the job's budget of 0.5 USD is used up"
    assert not (tmp_path / "proxy" / "over_budget").exists()  # no call of it was refused yet
    assert refused(budget, "c__1") == "job"


def test_a_proxy_that_is_started_again_goes_on_where_it_was(begun: Begin) -> None:
    spend(begun(LIMITED), "a__1", 200)
    again = begun(LIMITED)
    spend(again, "a__1", 100)
    assert refused(again, "a__1") == "trial"


def test_the_budget_of_a_day_is_over_all_jobs_and_ends_at_midnight(begun: Begin, clock: Clock) -> None:
    day = {"day": {"tokens": 1000}}
    one, two = begun(day, "one"), begun(day, "two")
    spend(one, "a__1", 600)
    assert refused(two, "b__1") is None
    spend(two, "b__1", 400)
    assert [refused(budget, "c__1") for budget in (one, two)] == ["day", "day"]
    clock.now = NOON + timedelta(days=1)
    assert [refused(budget, "c__1") for budget in (one, two)] == [None, None]


def test_a_limit_that_is_set_at_noon_knows_the_morning(begun: Begin) -> None:
    spend(begun({}), "a__1", 900)
    assert refused(begun({"day": {"tokens": 900}}), "b__1") == "day"


def test_what_only_the_ledger_knows_of_the_day_counts_and_not_on_the_next(begun: Begin, clock: Clock) -> None:
    lost = {"day": "2026-11-26", "tokens": 700, "cost_usd": 0.0}
    budget = begun({"day": {"tokens": 1000}}, lost=lost)
    spend(budget, "a__1", 300)
    assert refused(budget, "a__1") == "day"
    clock.now += timedelta(days=1)
    assert refused(budget, "a__1") is None


@pytest.mark.parametrize("line", [b'{"trial": "a__1", "tok', b"[]\n", b'{"trial": "a", "tokens": -5, "cost_usd": 0}\n'])
def test_a_line_that_cannot_be_read_is_not_nothing(begun: Begin, tmp_path: Path, line: bytes) -> None:
    (tmp_path / "spend" / "2026-11-26.jsonl").write_bytes(line)
    budget = begun(LIMITED)
    for _ in range(2):
        refusal = budget.refusal("a__1")
        assert refusal is not None
        assert refusal.scope == "day"
        assert "line 1 cannot be read" in refusal.text
    assert refused(begun({"job": {"tokens": 9}}), "a__1") is None  # who sets no limit on the day is not kept from work


def test_a_line_that_somebody_corrected_counts_for_what_it_says(begun: Begin, tmp_path: Path) -> None:
    file = tmp_path / "spend" / "2026-11-26.jsonl"
    line = '{"trial": "a__1", "tokens": 400, "cost_usd": 0}\n'
    file.write_text(line + "torn\n")
    budget = begun({"day": {"tokens": 801}})
    assert refused(budget, "a__1") == "day"
    file.write_text(line * 2)
    assert refused(budget, "a__1") is None
    spend(budget, "a__1", 1)
    assert refused(budget, "a__1") == "day"


def test_a_file_that_goes_while_the_proxy_runs_is_not_nothing(begun: Begin, tmp_path: Path) -> None:
    budget = begun(LIMITED)
    spend(budget, "a__1", 10)
    assert refused(budget, "a__1") is None
    (tmp_path / "spend" / "2026-11-26.jsonl").unlink()
    assert [refused(budget, "a__1") for _ in range(2)] == ["day", "day"]


def test_what_could_not_be_written_down_is_not_nothing(begun: Begin, tmp_path: Path) -> None:
    budget = begun(LIMITED)
    (tmp_path / "proxy" / "spend.jsonl").symlink_to(tmp_path / "elsewhere")  # O_NOFOLLOW refuses it
    spend(budget, "a__1", 10)
    refusal = budget.refusal("b__1")
    assert refusal is not None
    assert "spend.jsonl could not be written" in refusal.text
    assert (tmp_path / "proxy" / "broken").exists()


@pytest.mark.parametrize(
    ("limit", "tokens", "cost", "told"),
    [
        ({"tokens": 1000}, 0, None, "a reply came without its count of tokens"),
        ({"cost_usd": 1.0}, 0, 0.0, "a reply came without its count of tokens"),
        ({"cost_usd": 1.0}, 10, None, "a reply came whose price is not known"),
    ],
)
@pytest.mark.parametrize("scope", ["trial", "job", "day"])
def test_a_reply_that_does_not_tell_what_it_took_stops_the_job_and_is_no_end_of_its_trial(
    begun: Begin, tmp_path: Path, scope: str, limit: dict[str, float], tokens: int, cost: float | None, told: str
) -> None:
    budget = begun({scope: limit})
    spend(budget, "a__1", tokens, cost, answered=False)
    assert refused(budget, "a__1") is None
    spend(budget, "a__1", tokens, cost)
    refusal = budget.refusal("a__1")
    assert refusal is not None
    assert (refusal.scope, refusal.text) == ("job", f"what this job has spent is not known: {told}")
    assert (tmp_path / "proxy" / "stop").exists()


def test_a_price_that_no_limit_asks_for_need_not_be_known(begun: Begin) -> None:
    budget = begun(LIMITED)
    spend(budget, "a__1", 10, None)
    assert refused(budget, "a__1") is None


def test_a_file_that_cannot_be_read_is_no_end_of_a_trial(begun: Begin, tmp_path: Path) -> None:
    budget = begun({"trial": {"tokens": 300}})
    (tmp_path / "proxy" / "spend.jsonl").write_text("torn")
    assert refused(budget, "a__1") == "job"
    assert (tmp_path / "proxy" / "stop").exists()


def test_a_call_waits_for_what_was_served_to_be_counted_and_gives_up_on_what_never_is(begun: Begin) -> None:
    budget = begun(LIMITED)
    budget.served("late")
    budget.served("never")

    async def ask() -> float:
        began_at, loop = time.monotonic(), asyncio.get_running_loop()
        loop.call_later(0.1, lambda: budget.count("a__1", "late", {"total_tokens": 300}, answered=True))
        await budget.caught_up()
        return time.monotonic() - began_at

    assert COUNT_PATIENCE_S - 0.5 < asyncio.run(ask()) < COUNT_PATIENCE_S + 5
    assert refused(budget, "a__1") == "trial"
    assert asyncio.run(ask()) < COUNT_PATIENCE_S - 0.5


def test_what_was_counted_before_its_reply_was_served_is_not_waited_for(begun: Begin) -> None:
    budget = begun(LIMITED)
    budget.count("a__1", "quick", {"total_tokens": 1}, answered=True)
    budget.served("quick")
    began_at = time.monotonic()
    asyncio.run(budget.caught_up())
    assert time.monotonic() - began_at < COUNT_PATIENCE_S - 0.5


def test_without_a_limit_nothing_is_refused_and_all_is_written_down(begun: Begin, tmp_path: Path) -> None:
    budget = begun({})
    for _ in range(3):
        spend(budget, "a__1", 10**9, 10**6)
    assert refused(budget, "a__1") is None
    assert len((tmp_path / "spend" / "2026-11-26.jsonl").read_text().splitlines()) == 3


def test_a_trial_is_refused_when_its_calls_are_used_up_whatever_they_took(begun: Begin, tmp_path: Path) -> None:
    budget = begun({}, max_calls=2)
    (tmp_path / "proxy" / "admitted").mkdir()
    assert refused(budget, "t-1") is None
    (tmp_path / "proxy" / "admitted" / "t-1.jsonl").write_text("{}\n{}\n")
    assert (refused(budget, "t-1"), refused(budget, "t-2")) == ("trial", None)
    noted = json.loads((tmp_path / "proxy" / "over_budget" / "t-1").read_text())
    assert (noted["scope"], noted["text"]) == ("trial", "the trial's 2 model calls are used up")
    assert not (tmp_path / "proxy" / "stop").exists()
