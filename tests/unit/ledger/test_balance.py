"""Whatever is done in whatever order: the ledger balances, and no task has two accepted attempts."""

import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.unit.ledger.twins import POLICY, SetClock, batch, graded, key, listed, lost, register
from trajgen_assets.core.errors import BusyError, LedgerError
from trajgen_assets.core.ledger import AttemptKind, JobState, Lease, TaskStatus, create_ledger, open_ledger
from trajgen_assets.core.paths import Root

IDS = ["a", "b", "c", "d", "e"]
DATASETS = ["py-cc", "py-dd"]
ids = st.sampled_from(IDS)
datasets = st.sampled_from(DATASETS)
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

    @rule(
        dataset=datasets, some=st.lists(ids, unique=True), version=st.integers(1, 2), missing=ids, whole=st.booleans()
    )
    def register(self, dataset: str, some: list[str], version: int, missing: str, whole: bool) -> None:
        lines = [listed(i, f"{i}{version}", reason="no folder" if i == missing else None) for i in some]
        register(self.ledger, *lines, dataset=dataset, whole=whole)

    @initialize()
    def begin(self) -> None:
        register(self.ledger, *IDS)

    @rule(dataset=datasets, limit=st.integers(1, 3))
    def assign(self, dataset: str, limit: int) -> None:
        self.n_jobs += 1
        name = f"job-{self.n_jobs}"
        before = {row.key: row for row in self.ledger.rows()}
        if self.ledger.assign(name, batch(limit, dataset=dataset)):
            chosen = [before[row.key] for row in self.ledger.tasks_of_job(name)]
            assert all(row.status is TaskStatus.PENDING and row.job is None for row in chosen)
            assert all(row.eligible and row.listed for row in chosen)

    @rule(data=st.data(), owner=st.sampled_from(["run-1", "run-2"]))
    def claim(self, data: Any, owner: str) -> None:
        found = self.ledger.jobs(*LIVING)
        if found:
            job = data.draw(st.sampled_from(found))
            try:
                self.leases.append(self.ledger.claim(job.name, owner, ttl_s=60))
            except BusyError:
                assert job.owner != owner
                assert job.lease_expires_at is not None
                assert job.lease_expires_at > self.clock()

    @rule(data=st.data())
    def seize(self, data: Any) -> None:
        found = self.ledger.jobs(JobState.RUNNING)
        if found:
            self.leases.append(self.ledger.seize(data.draw(st.sampled_from(found)), "settler", ttl_s=60))

    @precondition(lambda self: self.leases)
    @rule(data=st.data(), kind=st.sampled_from(AttemptKind), repeat=st.booleans())
    def record(self, data: Any, kind: AttemptKind, repeat: bool) -> None:
        lease = data.draw(st.sampled_from(self.leases))
        before = data.draw(st.sampled_from(self.ledger.tasks_of_job(lease.job)))
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

    @rule(data=st.data(), owner=st.sampled_from(["run-1", "run-2"]))
    def return_job(self, data: Any, owner: str) -> None:
        found = [job for job in self.ledger.jobs(*LIVING) if job.owner in (None, owner)]
        if found:
            self.ledger.return_job(data.draw(st.sampled_from(found)).name, owner)

    @rule(name=ids, dataset=datasets, action=st.sampled_from(["skip", "retry", "reset", "force"]))
    def person(self, name: str, dataset: str, action: str) -> None:
        chosen = key(name, dataset)
        try:
            if action == "skip":
                self.ledger.skip([chosen], "a person said so")
            elif action == "retry":
                self.ledger.retry([chosen])
            else:
                self.ledger.reset(chosen, force=action == "force")
        except LedgerError:
            pass

    @rule(dataset=datasets, data=st.data())
    def trip(self, dataset: str, data: Any) -> None:
        names = [job.name for job in self.ledger.jobs()]
        self.ledger.trip(dataset, "sandbox", job=data.draw(st.sampled_from(names)) if names else None)

    @rule(seconds=st.sampled_from([1, 61]))
    def pass_time(self, seconds: int) -> None:
        self.clock.pass_s(seconds)

    @invariant()
    def it_balances(self) -> None:
        assert self.ledger.check_balance().balanced

    @invariant()
    def no_task_has_two_accepted_attempts(self) -> None:
        for row in self.ledger.rows():
            n_accepted = sum(each.accepted for each in self.ledger.attempts(row.key))
            assert n_accepted == (row.status is TaskStatus.DONE)

    @invariant()
    def nothing_revoked_waits_to_be_taken(self) -> None:
        for row in self.ledger.rows():
            assert row.listed or row.job is not None or row.status is not TaskStatus.PENDING

    @invariant()
    def no_task_is_in_two_places(self) -> None:
        for row in self.ledger.rows():
            assert (row.job is None) or row.status in (TaskStatus.PENDING, TaskStatus.RUNNING)
            assert row.updated_at <= self.clock()


TestBalance = LedgerMachine.TestCase
TestBalance.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
