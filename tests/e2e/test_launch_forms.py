"""Each form of launch leaves exactly one event per asset and task, also when some tasks have no valid result."""

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dagster as dg
import pytest

from resources.instance import open_instance, prepare_instance
from resources.platform import PlatformResource
from tests.e2e.conftest import KEY_ENV, SECRET, SOLVED, UNSOLVED, Installation, files_with
from trajgen_assets.core.intake.registration import register_source
from trajgen_assets.core.keys import MAIN_CAMPAIGN, TaskKey
from trajgen_assets.core.ledger.models import AskedBy, TaskStatus
from trajgen_assets.core.ledger.store import create_ledger
from trajgen_assets.core.platform import Platform
from trajgen_assets.core.rollout.batch import assign_batch
from trajgen_assets.core.scripted import Fault, ScriptedModel
from trajgen_assets.definitions import defs
from trajgen_assets.launches import RANGE_START_TAG, launch_of, run_config
from trajgen_assets.names import ROLLOUT_JOB, ROLLOUT_OP
from trajgen_assets.partitions import show_new_partitions

pytestmark = pytest.mark.e2e

STANZACONF, LEASETABLE, TABLEFOLD = SOLVED
PHRASES = {LEASETABLE: "leasetable", TABLEFOLD: "tablefold"}


@contextmanager
def environment(**values: str) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@pytest.fixture
def opened(installation: Installation) -> Iterator[tuple[Platform, dg.DagsterInstance]]:
    names = {"TRAJGEN_ROOT": str(installation.root.path), "TRAJGEN_CONFIG": str(installation.config), KEY_ENV: SECRET}
    with environment(**names, TRAJGEN_ENV_DIR=str(installation.root.env)):
        create_ledger(installation.root)
        prepare_instance(installation.root, max_jobs=1)
        platform = PlatformResource().open()
        with platform.ledger, open_instance(installation.root) as instance:
            register_source(platform.ledger, platform.config.source("py-cc"), MAIN_CAMPAIGN)
            show_new_partitions(instance, platform.ledger)
            yield platform, instance


def events(instance: dg.DagsterInstance, run_id: str) -> Counter[tuple[str, str | None]]:
    found: Counter[tuple[str, str | None]] = Counter()
    for entry in instance.all_logs(run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION):
        assert entry.dagster_event is not None
        assert entry.dagster_event.asset_key is not None
        found[entry.dagster_event.asset_key.to_user_string(), entry.dagster_event.partition] += 1
    return found


def partition(task_id: str) -> str:
    return f"py-cc/{task_id}"


def expected(*, prepared: list[str], trajectories: list[str]) -> Counter[tuple[str, str | None]]:
    rows = [("prepared_tasks", partition(t)) for t in prepared] + [("trajectories", partition(t)) for t in trajectories]
    return Counter(dict.fromkeys(rows, 1))


def execute(instance: dg.DagsterInstance, **arguments: Any) -> dg.ExecuteInProcessResult:
    job = defs().resolve_job_def(ROLLOUT_JOB)
    return job.execute_in_process(instance=instance, raise_on_error=False, **arguments)


def launch_batch(opened: tuple[Platform, dg.DagsterInstance], task_ids: list[str]) -> dg.ExecuteInProcessResult:
    platform, instance = opened
    job = assign_batch(platform, MAIN_CAMPAIGN, "py-cc", asked_by=AskedBy.SENSOR, task_ids=task_ids).job
    assert job is not None
    launch = launch_of(instance, [partition(task_id) for task_id in task_ids])
    config = run_config(ROLLOUT_OP, job=job.name)
    return execute(instance, partition_key=launch.partition_key, tags=launch.tags, run_config=config)


def status(platform: Platform, task_id: str) -> TaskStatus:
    return platform.ledger.task(TaskKey(MAIN_CAMPAIGN, "py-cc", task_id)).status


def test_a_contiguous_batch_is_a_range_and_shows_each_task(
    opened: tuple[Platform, dg.DagsterInstance], model: ScriptedModel
) -> None:
    platform, instance = opened
    model.set_fault(Fault.UNAUTHORIZED, match=PHRASES[LEASETABLE])
    result = launch_batch(opened, [STANZACONF, LEASETABLE])
    model.set_fault(Fault.NONE)

    assert not result.success
    assert RANGE_START_TAG in result.dagster_run.tags
    assert events(instance, result.run_id) == expected(prepared=[STANZACONF, LEASETABLE], trajectories=[STANZACONF])
    assert (status(platform, STANZACONF), status(platform, LEASETABLE)) == (TaskStatus.DONE, TaskStatus.PENDING)

    again = launch_batch(opened, [LEASETABLE])
    assert again.success
    attempts = platform.ledger.attempts(TaskKey(MAIN_CAMPAIGN, "py-cc", LEASETABLE))
    assert [(attempt.ordinal, attempt.cause, attempt.accepted) for attempt in attempts] == [
        (1, "model_provider", False),
        (2, None, True),
    ]


def test_a_scattered_batch_is_launched_under_its_first_key(
    opened: tuple[Platform, dg.DagsterInstance], model: ScriptedModel
) -> None:
    platform, instance = opened
    model.set_fault(Fault.UNAUTHORIZED, match=PHRASES[TABLEFOLD])
    batch = [STANZACONF, TABLEFOLD]  # leasetable lies between
    result = launch_batch(opened, batch)
    model.set_fault(Fault.NONE)

    assert not result.success
    assert result.dagster_run.tags["dagster/partition"] == partition(STANZACONF)
    assert events(instance, result.run_id) == expected(prepared=batch, trajectories=[STANZACONF])
    assert status(platform, LEASETABLE) is TaskStatus.PENDING
    assert platform.ledger.attempts(TaskKey(MAIN_CAMPAIGN, "py-cc", LEASETABLE)) == []


def test_a_click_makes_its_own_job_and_leaves_done_tasks_alone(
    opened: tuple[Platform, dg.DagsterInstance], installation: Installation
) -> None:
    platform, instance = opened
    first = execute(instance, partition_key=partition(UNSOLVED))
    assert first.success  # a reward of 0 is a result
    assert events(instance, first.run_id) == expected(prepared=[UNSOLVED], trajectories=[UNSOLVED])
    assert platform.ledger.task(TaskKey(MAIN_CAMPAIGN, "py-cc", UNSOLVED)).reward == 0.0

    second = execute(instance, partition_key=partition(UNSOLVED))
    assert second.success
    assert events(instance, second.run_id) == Counter()
    assert len(platform.ledger.jobs()) == 1

    assert files_with(SECRET, installation.root.path) == []
