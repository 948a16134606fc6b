"""A batch is launched as a range only where it is one: asked of its own partitions as of all of them."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from resources.instance import open_instance, prepare_instance
from trajgen_assets.core.paths import Root
from trajgen_assets.launches import RANGE_END_TAG, RANGE_START_TAG, Launch, launch_of
from trajgen_assets.names import JOBS, TASKS
from trajgen_assets.partitions import add_partitions

KEYS = ["d/t-3", "d/t-1", "d/t-4", "d/t-2", "e/t-1"]


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    prepare_instance(Root(tmp_path), max_jobs=1)
    with open_instance(Root(tmp_path)) as made:
        for number, key in enumerate(KEYS):  # jobs are partitions of the same table
            add_partitions(made, TASKS, [key])
            add_partitions(made, JOBS, [f"job-{number}", key])
        yield made


def test_every_batch_is_a_range_exactly_where_no_other_task_lies_between(instance: dg.DagsterInstance) -> None:
    for n in range(1, len(KEYS) + 1):
        for batch in itertools.permutations(KEYS, n):
            places = sorted(map(KEYS.index, batch))
            is_range = n > 1 and places == list(range(places[0], places[0] + n))
            tags = {RANGE_START_TAG: KEYS[places[0]], RANGE_END_TAG: KEYS[places[-1]]}
            assert launch_of(instance, batch) == (Launch(None, tags) if is_range else Launch(batch[0], {}))


def test_neighbours_are_a_range_and_others_are_not(instance: dg.DagsterInstance) -> None:
    assert launch_of(instance, ["d/t-4", "d/t-1"]).tags == {
        RANGE_START_TAG: "d/t-1",
        RANGE_END_TAG: "d/t-4",
    }
    assert launch_of(instance, ["d/t-4", "d/t-3"]).partition_key == "d/t-4"


def test_a_task_that_an_instance_made_anew_does_not_know_becomes_a_partition(instance: dg.DagsterInstance) -> None:
    launch = launch_of(instance, ["e/t-1", "f/t-1"])
    assert launch.tags == {RANGE_START_TAG: "e/t-1", RANGE_END_TAG: "f/t-1"}
    assert instance.get_dynamic_partitions(TASKS)[-1] == "f/t-1"
