"""Partitions that several processes add at once: a tick, a `trajgen start`, a click."""

import multiprocessing
from multiprocessing.synchronize import Barrier
from pathlib import Path

from resources.instance import open_instance, prepare_instance
from trajgen_assets.core.paths import Root
from trajgen_assets.names import TASKS
from trajgen_assets.partitions import add_partitions

N_PROCESSES, N_ROUNDS, N_KEYS = 3, 40, 200


def add(path: Path, barrier: Barrier) -> None:
    with open_instance(Root(path)) as instance:
        for number in range(N_ROUNDS):
            keys = [f"d/t-{number}-{n}" for n in range(N_KEYS)]
            barrier.wait(60)
            add_partitions(instance, TASKS, keys)


def test_what_several_processes_add_at_once_is_there_once_and_fails_none_of_them(tmp_path: Path) -> None:
    prepare_instance(Root(tmp_path), max_jobs=1)
    spawn = multiprocessing.get_context("spawn")
    barrier = spawn.Barrier(N_PROCESSES)
    processes = [spawn.Process(target=add, args=(tmp_path, barrier)) for _ in range(N_PROCESSES)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0] * N_PROCESSES
    with open_instance(Root(tmp_path)) as instance:
        keys = instance.get_dynamic_partitions(TASKS)
    assert len(keys) == len(set(keys)) == N_ROUNDS * N_KEYS
