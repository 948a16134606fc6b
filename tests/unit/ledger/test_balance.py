"""Whatever is done in whatever order: the ledger balances, and no task has two accepted attempts."""

import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.unit.ledger.twins import POLICY, SetClock, batch, graded, listed, lost, register
from trajgen_assets.core.errors import BusyError, LedgerError
from trajgen_assets.core.ledger import AttemptKind, JobState, Lease, TaskStatus, create_ledger, open_ledger
from trajgen_assets.core.ledger.schema import attempts
from trajgen_assets.core.paths import Root

IDS = ["a", "b", "c", "d", "e"]
DATASETS = ["py-cc", "py-dd"]
ids = st.sampled_from(IDS)
datasets = st.sampled_from(DATASETS)
owners = st.sampled_from(["run-1", "run-2"])
LIVING = [JobState.ASSIGNED, JobState.RUNNING]


class LedgerMachine(RuleBasedStateMachine):
    """Random drivers, ticks, people and manifests on one ledger; `leases` are all that were ever given out."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        root = Root(Path(self.folder.name))
        create_ledger(root)
        self.clock = SetClock()
        self.ledger = open_ledger(root, now=self.clock)
        self.leases: list[Lease] = []
        self.n_jobs = 0
        self.n_trials = 0

    def teardown(self) -> None:
        self.ledger.close()
        self.folder.cleanup()

    @initialize()
    def begin(self) -> None:
        register(self.ledger, *IDS)

    @rule(
        dropped=st.sets(ids, max_size=2), version=st.integers(1, 2), missing=ids, dataset=datasets, whole=st.booleans()
    )
    def register(self, dropped: set[str], version: int, missing: str, dataset: str, whole: bool) -> None:
        some = [i for i in IDS if i not in dropped]
        lines = [listed(i, f"{i}{version}", reason="no folder" if i == missing else None) for i in some]
        register(self.ledger, *lines, dataset=dataset, whole=whole)

    @rule(dataset=datasets, limit=st.integers(1, 3), start=st.booleans())
    def assign(self, dataset: str, limit: int, start: bool) -> None:
        self.n_jobs += 1
        name = f"job-{self.n_jobs}"
        before = {row.key: row for row in self.ledger.rows()}
        if self.ledger.assign(name, batch(limit, dataset=dataset)):
            chosen = [before[row.key] for row in self.ledger.tasks_of_job(name)]
            assert all(row.status is TaskStatus.PENDING and row.job is None for row in chosen)
            assert all(row.eligible and row.listed for row in chosen)
            if start:
                self.leases.append(self.ledger.claim(name, "run-1", ttl_s=60))

    @precondition(lambda self: self.ledger.jobs(*LIVING))
    @rule(data=st.data(), owner=owners)
    def claim(self, data: Any, owner: str) -> None:
        job = data.draw(st.sampled_from(self.ledger.jobs(*LIVING)))
        try:
            self.leases.append(self.ledger.claim(job.name, owner, ttl_s=60))
        except BusyError:
            assert job.owner != owner
            assert job.lease_expires_at is not None
            assert job.lease_expires_at > self.clock()

    @precondition(lambda self: self.ledger.jobs(JobState.RUNNING))
    @rule(data=st.data())
    def seize(self, data: Any) -> None:
        job = data.draw(st.sampled_from(self.ledger.jobs(JobState.RUNNING)))
        self.leases.append(self.ledger.seize(job, "settler", ttl_s=60))

    @precondition(lambda self: self.leases)
    @rule(data=st.data(), repeat=st.booleans())
    def record_a_result(self, data: Any, repeat: bool) -> None:
        self.record(data, AttemptKind.GRADED, repeat)

    @precondition(lambda self: self.leases)
    @rule(data=st.data(), kind=st.sampled_from([each for each in AttemptKind if each is not AttemptKind.GRADED]))
    def record_a_loss(self, data: Any, kind: AttemptKind) -> None:
        self.record(data, kind, repeat=True)

    def record(self, data: Any, kind: AttemptKind, repeat: bool) -> None:
        lease = data.draw(st.sampled_from(self.leases[-3:]))
        given = self.ledger.tasks_of_job(lease.job)
        before = data.draw(st.sampled_from([row for row in given if row.job == lease.job] or given))
        self.n_trials += 1
        trial = f"{before.task_id}__{self.n_trials}"
        outcome = graded(trial) if kind is AttemptKind.GRADED else lost(trial, kind)
        holds = self.ledger.job(lease.job).fence == lease.fence
        try:
            after = self.ledger.record_attempt(lease, before.key, outcome, POLICY)
        except LedgerError:
            assert self.ledger.task(before.key) == before
            return
        assert holds
        assert (before.status, before.job) == (TaskStatus.RUNNING, lease.job)
        if repeat:
            assert self.ledger.record_attempt(lease, before.key, outcome, POLICY) == after

    @precondition(lambda self: self.leases)
    @rule(data=st.data(), state=st.sampled_from([JobState.FINISHED, JobState.FAILED, JobState.INTERRUPTED]))
    def release(self, data: Any, state: JobState) -> None:
        lease = data.draw(st.sampled_from(self.leases))
        newest = self.ledger.job(lease.job)
        try:
            self.ledger.release(lease, state)
        except LedgerError:
            assert newest.fence != lease.fence or newest.state is not JobState.RUNNING
        else:
            assert newest.fence == lease.fence

    @precondition(lambda self: self.ledger.jobs(*LIVING))
    @rule(data=st.data(), owner=owners)
    def return_job(self, data: Any, owner: str) -> None:
        job = data.draw(st.sampled_from(self.ledger.jobs(*LIVING)))
        try:
            assert self.ledger.return_job(job.name, owner).launch == job.launch + 1
        except LedgerError:
            assert job.state is JobState.RUNNING

    @rule(data=st.data(), action=st.sampled_from(["skip", "retry", "reset", "force"]))
    def person(self, data: Any, action: str) -> None:
        chosen = data.draw(st.sampled_from(self.ledger.rows())).key
        with suppress(LedgerError):
            if action == "skip":
                self.ledger.skip([chosen], "a person said so")
            elif action == "retry":
                self.ledger.retry([chosen])
            else:
                self.ledger.reset(chosen, force=action == "force")

    @precondition(lambda self: self.ledger.jobs())
    @rule(dataset=datasets, data=st.data())
    def trip(self, dataset: str, data: Any) -> None:
        self.ledger.trip(dataset, "sandbox", job=data.draw(st.sampled_from(self.ledger.jobs())).name)

    @rule(seconds=st.sampled_from([1, 61]))
    def pass_time(self, seconds: int) -> None:
        self.clock.pass_s(seconds)

    @invariant()
    def it_balances(self) -> None:
        assert self.ledger.check_balance().balanced

    @invariant()
    def each_task_is_where_it_says(self) -> None:
        with self.ledger.store.read() as conn:
            accepted = list(conn.scalars(sa.select(attempts.c.task).where(attempts.c.accepted)))
        rows = self.ledger.rows()
        assert sorted(accepted) == [row.position for row in rows if row.status is TaskStatus.DONE]
        for row in rows:
            assert row.job is None or row.status in (TaskStatus.PENDING, TaskStatus.RUNNING)
            is_free = row.status is TaskStatus.PENDING and row.job is None
            assert row.listed or not is_free, "what was revoked waits to be taken"


TestBalance = LedgerMachine.TestCase
TestBalance.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
