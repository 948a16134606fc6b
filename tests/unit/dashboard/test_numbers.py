"""Numbers add up: those of the funnel, of jobs and of slices, each to the ledger's own."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from tests.sites import RootSize, make_root
from trajgen_assets.core.dashboard.facts.funnel import Stage, funnel_of
from trajgen_assets.core.dashboard.facts.models import Figures, Outcome
from trajgen_assets.core.dashboard.facts.overview import COLUMNS, overview_of
from trajgen_assets.core.dashboard.facts.scene import Scene, looking_at
from trajgen_assets.core.dashboard.forms import amount
from trajgen_assets.core.ledger import TaskFilter, open_ledger
from trajgen_assets.core.paths import Root
from trajgen_assets.core.sft.data_sets.build import Order, build_data_set
from trajgen_assets.core.sft.data_sets.selection import Selection
from trajgen_assets.core.sft.settings import ConversionSettings


@pytest.fixture
def scene(worked_root: Root) -> Iterator[Scene]:
    with looking_at(worked_root) as found:
        yield found


def test_the_funnel_begins_with_what_is_registered_and_loses_nothing(scene: Scene) -> None:
    steps = funnel_of(Counter(task.reached for task in scene.tasks()))
    assert scene.counts is not None
    assert steps[0].n_reached == scene.counts.registered
    for step, following in pairwise(steps):
        assert step.n_reached == following.n_reached + sum(step.stopped.values())
    assert all(step.n_reached for step in steps)


def test_what_is_graded_is_what_the_ledger_calls_done(scene: Scene) -> None:
    steps = funnel_of(Counter(task.reached for task in scene.tasks()))
    assert scene.counts is not None
    assert steps[Stage.GRADED].n_reached == scene.counts.done == scene.figures.n_graded


def test_the_counts_are_those_of_the_ledger_s_own_balance(scene: Scene, worked_root: Root) -> None:
    with open_ledger(worked_root) as ledger:
        assert scene.counts == ledger.check_balance()


def test_every_attempt_of_the_ledger_is_a_trial_of_one_job(scene: Scene, worked_root: Root) -> None:
    with open_ledger(worked_root) as ledger:
        attempts = [each for row in ledger.rows(TaskFilter()) for each in ledger.attempts(row.key)]
    shown = [trial for job in scene.jobs for trial in scene.job(job.name).trials]
    assert Counter((each.job, each.trial_name) for each in attempts) == Counter((t.job, t.name) for t in shown)
    assert scene.figures.n_trials == len(attempts)
    assert sum(scene.figures.n_by_outcome.values()) == len(attempts)


def test_the_mean_is_over_graded_trials_and_infrastructure_is_apart(scene: Scene) -> None:
    trials = [trial for job in scene.jobs for trial in scene.job(job.name).trials]
    rewards = [trial.reward for trial in trials if trial.accepted and trial.reward is not None]
    assert scene.figures.mean_reward == pytest.approx(sum(rewards) / len(rewards))
    without = sum(trial.outcome in (Outcome.AGENT, Outcome.CAPTURE, Outcome.OUTSIDE) for trial in trials)
    assert without == sum(scene.figures.causes.values()) > 0
    assert scene.figures.n(Outcome.UNSOLVED) == sum(reward == 0 for reward in rewards)


@pytest.mark.parametrize("name", ["language", "difficulty", "category"])
def test_slices_add_up_to_their_job(scene: Scene, name: str) -> None:
    for job in scene.jobs:
        total = sum(job.slices[name].values(), Figures())
        assert total.cost_usd == pytest.approx(job.figures.cost_usd)
        assert replace(total, cost_usd=None) == replace(job.figures, cost_usd=None)


def test_tokens_and_cost_say_of_how_many_trials_they_are(scene: Scene) -> None:
    trials = [trial for job in scene.jobs for trial in scene.job(job.name).trials]
    priced = [trial.cost_usd for trial in trials if trial.cost_usd is not None]
    assert 0 < len(priced) < len(trials)
    assert (scene.figures.n_priced, scene.figures.cost_usd) == (len(priced), pytest.approx(sum(priced)))


def test_without_trials_nothing_is_known_and_nothing_is_0() -> None:
    nothing = Figures()
    assert (nothing.mean_reward, nothing.n_tokens, nothing.cost_usd, nothing.quantile_s(0.5)) == (None,) * 4


def test_a_quantile_is_a_value_that_was_measured() -> None:
    figures = Figures(durations_s=(1.0, 2.0, 3.0, 4.0))
    assert [figures.quantile_s(share) for share in (0, 0.25, 0.5, 0.9, 1)] == [1.0, 1.0, 2.0, 4.0, 4.0]


def test_a_row_counts_as_chosen_once_it_is_in_a_data_set_of_several_jobs(tmp_path: Path) -> None:
    root = make_root(tmp_path / "root", RootSize(n_trials=24, n_per_job=8, n_turns=2))
    before = at_end_of_funnel(root)
    with looking_at(root) as scene:
        job = next(job.name for job in scene.jobs if job.data and job.data.n_rows_kept)
    settings = ConversionSettings()
    order = Order.of("chosen", [root.job(job)], Selection(jobs=(job,)), settings)
    assert build_data_set(order, root.job("chosen").sft).rows.n_kept
    after = at_end_of_funnel(root)
    assert 0 < after[0] < before[0]
    assert after == (after[0], {"in no data set": before[0] - after[0]})


def at_end_of_funnel(root: Root) -> tuple[int, Mapping[str, int]]:
    """How many tasks are in a data set, and why converted ones are not."""
    with looking_at(root) as scene:
        *_, converted, chosen = overview_of(scene).funnel
        return chosen.n_reached, converted.stopped


def test_rows_of_the_task_page_are_all_tasks_and_lead_to_all_trials(scene: Scene) -> None:
    overview = overview_of(scene)
    rows = [dict(zip(COLUMNS, row, strict=True)) for shard in overview.shards for row in shard["rows"]]
    assert scene.counts is not None
    assert len(rows) == scene.counts.registered
    for step in overview.funnel:
        assert sum(row["stage"] >= step.stage for row in rows) == step.n_reached
    assert sum(len(row["attempts"]) for row in rows) == scene.figures.n_trials
    assert sum(sum(stages) for stages in overview.n_by_shard) == len(rows)


def test_tasks_to_retire_were_tried_twice_and_solved_never(scene: Scene) -> None:
    troubled = overview_of(scene).troubled
    assert troubled
    solved = {t.task_id for job in scene.jobs for t in scene.job(job.name).trials if t.outcome is Outcome.RESOLVED}
    for task in troubled:
        assert task.task_id not in solved
        assert task.n_tries == task.n_unsolved + sum(task.causes.values()) >= 2
        assert task.task_id in task.retire_line


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0, "0"),
        (950, "950"),
        (12_345, "12.3 k"),
        (24e6, "24.0 M"),
        (143.2e6, "143 M"),
        (999_600, "1.00 M"),
        (1.2e9, "1.20 B"),
    ],
)
def test_large_amounts_have_three_digits(value: float, said: str) -> None:
    assert amount(value) == said
