"""What the ledger's own work takes, in a file and on a Postgres server of this machine.

    python benchmarks/ledger.py [--tasks 100000] [--settled 2000] [--claimers 4]

Registration; batches of 50, assigned and claimed by several processes at once; attempts, each settled by itself.
"""

import argparse
import multiprocessing
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.postgres import running_cluster
from tests.unit.ledger.test_claimers import claim_in_child
from tests.unit.ledger.twins import POLICY, batch, graded, register, take
from trajgen_assets.core.ledger import JobState, create_ledger, open_ledger
from trajgen_assets.core.paths import Root

spawn = multiprocessing.get_context("spawn")


def main() -> None:
    """Print one line for each measurement in each place."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=100_000)
    parser.add_argument("--settled", type=int, default=2_000)
    parser.add_argument("--claimers", type=int, default=4, help="processes, of five claimers each")
    options = parser.parse_args()
    for place, rooted in (("file", in_file), ("server", on_server)):
        with rooted() as root:
            create_ledger(root)
            measure(place, root, options.tasks, options.settled, options.claimers)


@contextmanager
def in_file() -> Iterator[Root]:
    """A root in a temporary folder."""
    with tempfile.TemporaryDirectory() as folder:
        yield Root(Path(folder) / "root")


@contextmanager
def on_server() -> Iterator[Root]:
    """The same, with a durable server of its own."""
    with running_cluster() as cluster, tempfile.TemporaryDirectory() as folder:
        yield Root(Path(folder) / "root", ledger_url=cluster.new_database())


def measure(place: str, root: Root, n_tasks: int, n_settled: int, n_claimers: int) -> None:
    """Register, settle one after another, and claim the rest by all claimers at once."""
    with open_ledger(root) as ledger:
        took_s = timed(lambda: register(ledger, *(f"task-{n:06}" for n in range(n_tasks))))
        say(place, f"{n_tasks} tasks registered", took_s, n_tasks)
        lease = take(ledger, "settled", batch(limit=n_settled), "benchmark")
        assert lease is not None
        rows = ledger.tasks_of_job(lease.job)
        took_s = timed(
            lambda: [ledger.record_attempt(lease, row.key, graded(f"{row.task_id}__1"), POLICY) for row in rows]
        )
        say(place, f"{len(rows)} attempts settled", took_s, len(rows))
        ledger.release(lease, JobState.FINISHED)
    took_s = timed(lambda: claim_all(root, n_claimers))
    with open_ledger(root) as ledger:
        n_jobs = len(ledger.jobs(JobState.RUNNING))
    say(place, f"{n_jobs} batches of 50 claimed by {5 * n_claimers} claimers in {n_claimers} processes", took_s, n_jobs)


def claim_all(root: Root, n_claimers: int) -> None:
    """Have every free task claimed."""
    with spawn.Manager() as manager:
        claimed = manager.Queue()
        children = [spawn.Process(target=claim_in_child, args=(root, f"host-{n}", claimed)) for n in range(n_claimers)]
        for each in children:
            each.start()
        for each in children:
            each.join()


def timed(work: Callable[[], object]) -> float:
    """How long `work` takes, in seconds."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def say(place: str, what: str, took_s: float, n: int) -> None:
    """One line."""
    print(f"{place:7} {what}: {took_s:.1f} s, {n / took_s:,.0f}/s", flush=True)


if __name__ == "__main__":
    main()
