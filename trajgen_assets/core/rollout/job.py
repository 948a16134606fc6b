"""A job, step by step: preflight, claim, stage, proxy, harness, settlement, archive.

Every step stands inside the one before it, so that success, refusal, failure and interrupt unwind through
the same lines: the harness is stopped before the proxy, what ended is settled from disk, what did not end goes
back to `pending`, and the archive entry tells the truth about it.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from trajgen_assets.core.atomic import write_yaml
from trajgen_assets.core.capture.proxy import SELF_TEST_TRIAL, RunningProxy, running_proxy
from trajgen_assets.core.config.config import redacted
from trajgen_assets.core.counting import count_of
from trajgen_assets.core.errors import (
    HarnessError,
    RequirementError,
    StoppedError,
    TaskError,
)
from trajgen_assets.core.faults import reached
from trajgen_assets.core.intake.exclusions import excluded_ids
from trajgen_assets.core.ledger.models import JobRow, Lease, RetryPolicy, TaskRow, TaskStatus
from trajgen_assets.core.paths import JobPaths
from trajgen_assets.core.placing import place_job
from trajgen_assets.core.platform import Platform
from trajgen_assets.core.process import record_processes
from trajgen_assets.core.provision.setup import LITELLM
from trajgen_assets.core.redact import Redactor
from trajgen_assets.core.report.archive import ArchiveEntry, archived
from trajgen_assets.core.report.archive.facts import trial_facts
from trajgen_assets.core.report.standing import publish_standing_of, standing_published
from trajgen_assets.core.rollout.addresses import ProxyPlace
from trajgen_assets.core.rollout.batch import stage_for
from trajgen_assets.core.rollout.causes import Cause
from trajgen_assets.core.rollout.compressing import compress_or_say_why_not
from trajgen_assets.core.rollout.endpoint import check_one_answers
from trajgen_assets.core.rollout.follow import follow
from trajgen_assets.core.rollout.harness import Batch, Harness, Workplace
from trajgen_assets.core.rollout.harnesses import harness_of
from trajgen_assets.core.rollout.holding import claim, refuse_unless_assigned, refuse_unless_ready, released
from trajgen_assets.core.rollout.host_facts import HostFacts, write_host_facts
from trajgen_assets.core.rollout.interrupts import Interrupts
from trajgen_assets.core.rollout.memory import given_more_memory
from trajgen_assets.core.rollout.pausing import refuse_while_paused, while_wanted
from trajgen_assets.core.rollout.record import JobRecord, Listener, StagedTask
from trajgen_assets.core.rollout.slots import job_slot
from trajgen_assets.core.rollout.stopping import (
    end_if_asked,
    end_if_drained,
    end_if_over_budget,
    n_left_over_budget,
    refuse_if_used_up,
)
from trajgen_assets.core.rollout.trial_slots import TrialSlots, trial_slots
from trajgen_assets.core.rollout.trials import AgentRecord, TrialEntry, TrialsFile, write_trials
from trajgen_assets.core.rollout.upstream import upstream_of

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class JobOutcome:
    """How a job ended.

    Attributes:
        entries: one for each trial that ended.
        without_result: partition keys of the tasks that have no valid result from it, and why not.
    """

    job: str
    entries: tuple[TrialEntry, ...]
    without_result: Mapping[str, str]


def run_job(
    platform: Platform,
    job_name: str,
    *,
    owner: str,
    listener: Listener,
    wait_for_slot: Callable[[str], None] | None = None,
) -> JobOutcome:
    """Roll out the batch that the ledger assigned to `job_name`.

    Args:
        owner: id of the Dagster run that drives the job; the lease is in its name.
        listener: told of each step and each trial.
        wait_for_slot: see `job_slot`; None fails at once when the host is full, and the job stays assigned.

    Raises:
        BusyError: no job slot is free, or too few trial slots, or another owner holds the job. Nothing has changed.
        RefusedError: a person has paused launches; the job is withdrawn.
        EndpointError, ProxyError, RequirementError: the job was refused before any trial; its tasks are pending.
        StoppedError: a person asked for its end, or a budget was used up; what ended is settled, the rest is pending.
        TrajgenError: the job broke while it ran; what ended is settled, the rest is pending.
    """
    inputs, harness = platform.config.runtime_info.input, harness_of(platform.config)
    job = refuse_unless_assigned(platform, job_name)
    refuse_while_paused(platform, job)
    want = min(inputs.harbor_job.n_concurrent, job.n_tasks)
    wait_for_slot = wait_for_slot and while_wanted(platform, job, wait_for_slot)
    max_trials = inputs.automation.max_trials
    interrupts = Interrupts(job_name)
    with (
        interrupts.watched(),
        job_slot(platform.root.locks, inputs.automation.max_jobs, holder=job_name, wait=wait_for_slot) as lock_fd,
        trial_slots(platform.ledger, job_name, want=want, max_trials=max_trials, wait=wait_for_slot) as slots,
        standing_published(platform),
        archived(platform, job=job_name, owner=owner, listener=listener) as entry,
    ):
        workplace = refuse_unless_ready(platform, job_name, harness, entry, entry.listener)
        lease = claim(platform, job_name, owner, entry)
        with released(platform, lease, entry), interrupts.closing():
            job = platform.ledger.job(job_name)
            rollout = _Rollout(
                platform, harness, job, lease, entry.listener, entry, lock_fd, slots, interrupts, workplace
            )
            return rollout.run()


@dataclass
class _Rollout:
    """The part of a job that happens under its lease."""

    platform: Platform
    harness: Harness
    job: JobRow
    lease: Lease
    listener: Listener
    entry: ArchiveEntry
    lock_fd: int
    slots: TrialSlots
    interrupts: Interrupts
    workplace: Workplace

    def __post_init__(self) -> None:
        self.env = {each.name: each.path for each in self.workplace.environments}
        self.files: JobPaths = self.platform.root.job(self.job.name)
        self.harbor_job = self.platform.config.runtime_info.input.harbor_job
        self.campaign = self.platform.config.campaign(self.job.campaign)

    def run(self) -> JobOutcome:
        publish_standing_of(self.platform)
        listed = self.platform.ledger.tasks_of_job(self.job.name)
        rows = [
            row for row in listed if row.status is TaskStatus.RUNNING and row.job == self.job.name
        ]  # others left it
        self.files.proxy.mkdir(parents=True, exist_ok=True)
        place_job(self.platform.root, self.platform.config, self.files)
        write_yaml(self.files.config, redacted(self.platform.config))
        tasks = self._stage(rows)
        end_if_asked(self.platform.ledger, self.job.name)
        record = self._record(tasks)
        if tasks:
            self.listener.phase("starting the LiteLLM proxy")
            with self._compressed_afterwards(), self._proxy() as proxy, self.interrupts.closing():
                record_processes(self.files.processes, {"proxy": proxy.process})
                self._note_host(proxy)
                self._check_model(proxy)
                end_if_asked(self.platform.ledger, self.job.name)
                self._check_way(record, proxy)
                self._roll_out(record, proxy)
        return self._outcome(rows, record)

    def _stage(self, rows: Sequence[TaskRow]) -> dict[str, StagedTask]:
        """Stage what can be staged; a task that cannot be is pending again, and waits with the reason."""
        self.listener.phase(f"staging {count_of(len(rows), 'task')}")
        staged, excluded = {}, excluded_ids(self.platform.config, self.platform.root)
        for row in rows:
            try:
                if row.task_id in excluded:
                    raise TaskError("it was excluded after the job was assigned", where=row.key.partition)
                task = stage_for(self.platform, row)
                if row.memory_multiplier is not None:
                    task = given_more_memory(task, row.memory_multiplier, self.files.task_copies)
            except TaskError as error:
                reason = Redactor.of(self.platform.config).error(error)
                self.platform.ledger.give_back(self.lease, row.key, reason)
                log.warning("%s: not staged: %s", row.key.partition, reason)
                continue
            staged[row.task_id] = task
            self.listener.staged(task)
        return staged

    def _record(self, tasks: Mapping[str, StagedTask]) -> JobRecord:
        agent = self.campaign.agent
        header = TrialsFile(
            job=self.job.name,
            dataset=self.job.dataset,
            campaign=self.job.campaign,
            scaffold=agent.scaffold.sft or agent.scaffold.agent,
            agent=AgentRecord(name=agent.scaffold.agent, version=agent.version or ""),
            model=self.campaign.llm_api.model,
            trials=(),
        )
        write_trials(self.files.trials, header)
        policy = RetryPolicy(self.harbor_job.max_retries, self.harbor_job.max_infra_retries)
        config = self.platform.config
        return JobRecord(
            header,
            self.files,
            self.platform.ledger,
            self.lease,
            policy,
            tasks,
            self.listener,
            redactor=Redactor.of(config),
            given=Redactor(config.secret_values()),
            own_files=self.harness.own_files(self.files),
        )

    def _proxy(self) -> AbstractContextManager[RunningProxy]:
        return running_proxy(
            env=self.env[LITELLM],
            folder=self.files.proxy,
            job=self.job.name,
            upstream=upstream_of(self.platform, self.campaign),
            host=self.harness.proxy_host(self.campaign.agent.scaffold),
            port=self.platform.config.runtime_info.input.litellm_proxy.port,
            lock_fds=(self.lock_fd,),
        )

    @contextmanager
    def _compressed_afterwards(self) -> Iterator[None]:
        """Compress what the job recorded, where it is to be, once the proxy writes no more of it."""
        try:
            yield
        finally:
            if self.platform.config.runtime_info.input.capture.compress == "zstd":
                compress_or_say_why_not(self.platform.root, self.job.name)

    def _note_host(self, proxy: RunningProxy) -> None:
        """Write down what trials can see of this host, before any does: their data is to show none of it."""
        folders = [self.platform.config.source(self.job.dataset).folder]
        place = ProxyPlace(self.platform.config)
        public = urlsplit(place.agent_url(self.campaign.agent.scaffold, proxy)).netloc
        facts = HostFacts.of(
            self.platform.root, proxy_host=proxy.host, proxy_port=proxy.port, tasks=folders, proxy_names=[public]
        )
        write_host_facts(self.files.host, facts)

    def _check_model(self, proxy: RunningProxy) -> None:
        self.listener.phase("asking the model for one reply")
        reached("before_first_reply")
        pool = self.campaign.llm_api.pool
        places = {each.name if len(pool) > 1 else proxy.served_model: each.api_base_url for each in pool}
        key = proxy.trial_key(SELF_TEST_TRIAL)
        silent = check_one_answers(f"{proxy.base_url}/v1", key=key, places=places)
        proxy.refuse_unless_recorded(n_ok=len(places) - len(silent))
        refuse_if_used_up(self.files, where=", ".join(places.values()))
        for error in silent.values():
            self.listener.phase(f"one of {len(places)} endpoints gets no calls as long as it fails: {error}")

    def _check_way(self, record: JobRecord, proxy: RunningProxy) -> None:
        """Before the first trial; what a sandbox that was made for it may have left is removed."""
        try:
            self.harness.check_way(self._batch(record, proxy))
        except BaseException:
            self._clear_away()
            raise

    def _roll_out(self, record: JobRecord, proxy: RunningProxy) -> None:
        self.slots.keep(len(record.tasks))
        self.listener.phase(f"rolling out {count_of(len(record.tasks), 'task')}, {self.slots.n} at a time")
        self.entry.facts["n_trials"] = 0  # that the key is there says: from here on the job was not refused
        try:
            with self.harness.running(self._batch(record, proxy)) as run, self.interrupts.closing():
                silence_s = self.harness.silence_s([task.folder for task in record.tasks.values()])
                margin_s = self.harbor_job.stall_margin_s
                follow(run, proxy, record, self.slots, stall_s=silence_s, margin_s=margin_s)
                log_path, log_tail = run.log_path, run.log_tail()
        except BaseException as error:
            record.is_interrupted = isinstance(error, StoppedError) or not isinstance(error, Exception)
            raise
        finally:
            self._clear_away()
            record.settle_rest()
            self.entry.facts |= archive_facts(record)
        if missing := sorted(record.tasks.keys() - {entry.task_id for entry in record.entries.values()}):
            of_all = f"{len(missing)} of {count_of(len(record.tasks), 'task')}"
            what = f"{self.harness.title} ended before {of_all} had a trial"
            raise HarnessError(what, where=log_path, why=log_tail)
        end_if_drained(record)
        end_if_over_budget(record)

    def _batch(self, record: JobRecord, proxy: RunningProxy) -> Batch:
        return Batch(
            platform=self.platform,
            job=self.job,
            campaign=self.campaign,
            tasks=list(record.tasks.values()),
            workplace=self.workplace,
            proxy=proxy,
            n_concurrent=self.slots.n,
            lock_fd=self.lock_fd,
            started=lambda ids: record_processes(self.files.processes, {**ids, "proxy": proxy.process}),
        )

    def _clear_away(self) -> None:
        """Remove what the harness did not: it leaves containers and folders behind when it is killed outright."""
        try:
            self.harness.clear_away(self.platform.root, self.job.name)
        except RequirementError as error:  # the engine died; `trajgen reap` does it when it is back
            log.warning("%s: containers may be left: %s", self.job.name, error)

    def _outcome(self, rows: Sequence[TaskRow], record: JobRecord) -> JobOutcome:
        entries = {entry.task_id: entry for entry in record.entries.values()}
        reasons = {row.key.partition: self._why_none(row, entries.get(row.task_id)) for row in rows}
        missing = {partition: reason for partition, reason in reasons.items() if reason is not None}
        return JobOutcome(self.job.name, tuple(entries.values()), missing)

    def _why_none(self, row: TaskRow, entry: TrialEntry | None) -> str | None:
        """Why this job has no valid result for a task; None if it has one."""
        if entry is None:
            return self.platform.ledger.task(row.key).ineligible_reason or "its trial did not end"
        return None if entry.accepted else ": ".join(filter(None, (entry.cause, entry.note)))


def archive_facts(record: JobRecord) -> dict[str, Any]:
    """Counts, cost and digests of a job for its archive entry; what the ledger says is added to it."""
    return trial_facts(record.entries.values()) | {
        "stopped_for": record.stopped_for or (Cause.BUDGET if n_left_over_budget(record) else None),
        "task_digests": {task_id: task.digest for task_id, task in record.tasks.items()},
    }
