"""Twenty claimers in four processes over a hundred thousand tasks on a server: each task is claimed once."""

import multiprocessing
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.unit.ledger.test_processes import run_all
from tests.unit.ledger.twins import batch, register, take
from trajgen_assets.core.ledger import Ledger, open_ledger
from trajgen_assets.core.paths import Root

N_TASKS, N_PROCESSES, N_THREADS, PER_JOB = 100_000, 4, 5, 50

spawn = multiprocessing.get_context("spawn")


def claim_in_child(root: Root, name: str, claimed: "multiprocessing.Queue[list[str]]") -> None:
    def claim_all(n: int) -> list[str]:
        mine, n_jobs = list[str](), 0
        while lease := take(ledger, f"{name}-{n}-{n_jobs}", batch(limit=PER_JOB), f"{name}-{n}"):
            mine += [row.task_id for row in ledger.tasks_of_job(lease.job)]
            n_jobs += 1
        return mine

    with open_ledger(root) as ledger, ThreadPoolExecutor(N_THREADS) as threads:
        for mine in threads.map(claim_all, range(N_THREADS)):
            claimed.put(mine)


@pytest.mark.faults
@pytest.mark.timeout(900)
@pytest.mark.parametrize("place", ["server"], indirect=True)
def test_no_task_is_claimed_twice(ledger: Ledger, root: Root) -> None:
    register(ledger, *(f"task-{n}" for n in range(N_TASKS)))
    with spawn.Manager() as manager:
        claimed = manager.Queue()
        run_all(
            [spawn.Process(target=claim_in_child, args=(root, f"host-{n}", claimed)) for n in range(N_PROCESSES)],
            limit_s=800,
        )
        lists = [claimed.get(timeout=10) for _ in range(N_PROCESSES * N_THREADS)]
    assert all(lists)
    every = [task_id for each in lists for task_id in each]
    assert len(every) == len(set(every)) == N_TASKS
    assert ledger.check_balance().running == N_TASKS
