"""The real store under several real processes, and under kill -9."""

import multiprocessing
import os
import signal
import time
from multiprocessing.process import BaseProcess

from tests.unit.ledger.twins import ON_FILE, POLICY, batch, graded, key, register, take
from trajgen_assets.core.errors import BusyError
from trajgen_assets.core.ledger import JobState, Ledger, PublishedView, TaskStatus, ViewState, open_ledger
from trajgen_assets.core.ledger.view import is_edited
from trajgen_assets.core.paths import Root

ON_BOTH_PLACES = True

spawn = multiprocessing.get_context("spawn")


def run_all(children: list[BaseProcess], *, limit_s: float = 120) -> None:
    for each in children:
        each.start()
    for each in children:
        each.join(limit_s)
    assert [each.exitcode for each in children] == [0] * len(children)


def claim_in_child(root: Root, owner: str, won: "multiprocessing.Queue[str]") -> None:
    with open_ledger(root) as ledger:
        try:
            won.put(ledger.claim("job-1", owner, ttl_s=600).owner)
        except BusyError:
            won.put("refused")


def test_of_three_processes_that_claim_one_job_one_gets_it(ledger: Ledger, root: Root) -> None:
    register(ledger, "a")
    ledger.assign("job-1", batch())
    won: multiprocessing.Queue[str] = spawn.Queue()
    run_all([spawn.Process(target=claim_in_child, args=(root, f"run-{n}", won)) for n in range(3)])
    answers = sorted(won.get(timeout=10) for _ in range(3))
    assert answers[:2] == ["refused", "refused"]
    assert ledger.job("job-1").owner == answers[2]
    assert ledger.job("job-1").fence == 1


def drive_in_child(root: Root, name: str) -> None:
    """Take small batches and settle every task until none is left."""
    with open_ledger(root) as ledger:
        n = 0
        while lease := take(ledger, f"{name}-{n}", batch(limit=7), name):
            for row in ledger.tasks_of_job(lease.job):
                ledger.record_attempt(lease, row.key, graded(f"{row.task_id}__{name}"), POLICY)
            ledger.release(lease, JobState.FINISHED)
            n += 1


def test_two_drivers_take_every_task_once(ledger: Ledger, root: Root) -> None:
    register(ledger, *(f"task-{n}" for n in range(200)))
    run_all([spawn.Process(target=drive_in_child, args=(root, name)) for name in ("one", "two")])
    assert ledger.check_balance().done == 200
    assert [row.n_attempts for row in ledger.rows()] == [1] * 200


def die_within_a_transaction(root: Root, inside: "multiprocessing.Queue[bool]") -> None:
    ledger = open_ledger(root)
    with ledger.store.write() as conn:
        conn.exec_driver_sql("UPDATE tasks SET status = 'failed', note = 'half-written'")
        conn.exec_driver_sql("DELETE FROM manifests")
        inside.put(True)
        time.sleep(60)


def test_a_transaction_that_is_killed_leaves_nothing_of_itself(ledger: Ledger, root: Root) -> None:
    register(ledger, "a", "b")
    before = ledger.rows()
    inside: multiprocessing.Queue[bool] = spawn.Queue()
    child = spawn.Process(target=die_within_a_transaction, args=(root, inside))
    child.start()
    assert inside.get(timeout=60)
    child.kill()
    child.join(10)
    assert child.exitcode == -signal.SIGKILL
    assert ledger.rows() == before
    register(ledger, "a", "b", "c")
    with open_ledger(root) as again:
        assert again.check_balance().pending == 3


def write_without_end(root: Root, begun: "multiprocessing.Queue[bool]") -> None:
    with open_ledger(root) as ledger:
        view = PublishedView(ledger, root)
        begun.put(True)
        for n in range(1_000_000):
            lease = take(ledger, f"job-{os.getpid()}-{n}", batch(limit=3), "child")
            assert lease is not None
            ledger.record_attempt(lease, ledger.tasks_of_job(lease.job)[0].key, graded(f"trial-{n}"), POLICY)
            view.refresh(force=True)
            ledger.release(lease, JobState.FINISHED)


def test_a_writer_killed_at_any_moment_leaves_ledger_and_view_whole(ledger: Ledger, root: Root) -> None:
    register(ledger, *(f"task-{n}" for n in range(3000)))
    for delay_s in (0.05, 0.11, 0.17, 0.23):
        begun: multiprocessing.Queue[bool] = spawn.Queue()
        child = spawn.Process(target=write_without_end, args=(root, begun))
        child.start()
        assert begun.get(timeout=60)
        time.sleep(delay_s)
        child.kill()
        child.join(10)
        with open_ledger(root) as after:
            after.check_balance()
            assert not is_edited(root.ledger_view)
            for job in after.jobs(JobState.RUNNING):
                after.release(after.seize(job, "settler", ttl_s=60), JobState.FAILED, "its process is gone")
            assert after.check_balance().running == 0
            assert PublishedView(after, root).refresh() in (ViewState.WRITTEN, ViewState.UNCHANGED)
    assert ledger.counts().done > 0


def test_a_reader_is_not_kept_waiting_by_a_writer(ledger: Ledger, root: Root) -> None:
    register(ledger, "a")
    with open_ledger(root) as writer, writer.store.write() as conn:
        conn.exec_driver_sql("UPDATE tasks SET note = 'not yet'")
        assert ledger.task(key("a")).note is None
        assert ledger.task(key("a")).status is TaskStatus.PENDING
    assert ledger.task(key("a")).note == "not yet"


def open_and_close_in_child(root: Root) -> None:
    with open_ledger(root) as ledger:
        ledger.counts()


@ON_FILE
def test_opening_the_ledger_twice_in_a_process_lets_no_other_process_take_its_log_away(
    root: Root, ledger: Ledger
) -> None:
    register(ledger, "a")
    with open_ledger(root):
        pass  # a second look from this process, which must leave the first connection's locks alone
    run_all([spawn.Process(target=open_and_close_in_child, args=(root,))])
    register(ledger, "a", "b")
    with open_ledger(root) as other:
        assert other.counts().registered == 2
    run_all([spawn.Process(target=open_and_close_in_child, args=(root,))])
    assert ledger.check_balance().registered == 2
