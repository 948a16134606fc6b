"""How long, how dear and how large a campaign gets, from what its parts were measured to cost. Arithmetic, no more.

Each resource alone would need so many hours; the one that needs most binds, and the campaign takes at least as long.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from trajgen_assets.core.rollout.worker import FIXED_MB, PER_TRIAL_MB

HOUR_S = 3600.0
MB, GB = 1e6, 1e9


@dataclass(frozen=True)
class UnitCosts:
    """What one of each was measured to cost; docs/scale.md says where and when.

    Attributes:
        call_cpu_s: of the proxy, for a call with nothing in it.
        chunk_cpu_s: of the proxy, for each chunk of a streamed reply.
        request_mb_cpu_s: of the proxy, for each MB of a request, its record included.
        harness_cpu_s: of Harbor, for a trial: sandbox, agent between its calls, verifier.
        settle_cpu_s: of the run worker, for a trial: claim, settlement, its events.
        proxy_job_cpu_s, harness_job_cpu_s, worker_job_cpu_s: of each, for a job, mostly its start.
        job_wall_s: from the request of a job to its first trial, and from its last trial to its end.
        ledger_write_s: how long a task's claim and settlement keep other writers of the ledger waiting.
        event_write_s: the same for one event in Dagster's storage.
        convert_trial_cpu_s: of conversion, for a trial.
        convert_mb_cpu_s: of conversion, for each MB of record.
        trial_files_mb: what a trial leaves beside the record of its calls.
        compressed: how many times smaller a compressed record is.
        ledger_task_mb: of the ledger, for a task that is done.
        event_mb: of Dagster's storage, for an event, which it stores twice, and its share of the rest.
        worker_mb: memory of a run worker, its proxy and its Harbor, in MiB.
        trial_mb: memory that each trial at once adds to them, its sandbox not counted, in MiB.
    """

    call_cpu_s: float = 0.0090
    chunk_cpu_s: float = 0.00038
    request_mb_cpu_s: float = 0.056
    harness_cpu_s: float = 0.4
    settle_cpu_s: float = 0.08
    proxy_job_cpu_s: float = 5.6
    harness_job_cpu_s: float = 5.0
    worker_job_cpu_s: float = 4.0
    job_wall_s: float = 12.0
    ledger_write_s: float = 1 / 1444
    event_write_s: float = 0.008
    convert_trial_cpu_s: float = 0.0024
    convert_mb_cpu_s: float = 0.0031
    trial_files_mb: float = 0.15
    compressed: float = 95.0
    ledger_task_mb: float = 0.0014
    event_mb: float = 0.0055
    worker_mb: float = float(FIXED_MB)
    trial_mb: float = float(PER_TRIAL_MB)


@dataclass(frozen=True)
class Workload:
    """What is to be rolled out.

    Attributes:
        n_tasks: tasks, each of which ends with one valid trial.
        trials_per_task: more than 1 by the attempts that failed.
        n_calls: model calls of a trial.
        request_mb: mean size of a request; the last is about twice that, since each repeats the conversation before it.
        n_chunks: chunks of a streamed reply, 0 for replies in one piece.
        input_tokens, output_tokens: of a call, in the mean.
        first_token_s, tokens_per_s: how quick the endpoint is.
        tools_s: commands of the agent for each call.
        around_s: a trial's sandbox start, agent set-up, verifier and teardown.
        batch: tasks of a job.
    """

    n_tasks: int
    trials_per_task: float = 1.1
    n_calls: float = 50
    request_mb: float = 0.21
    n_chunks: float = 200
    input_tokens: float = 50_000
    output_tokens: float = 300
    first_token_s: float = 1.0
    tokens_per_s: float = 60.0
    tools_s: float = 3.0
    around_s: float = 60.0
    batch: int = 32

    @property
    def n_trials(self) -> float:
        return self.n_tasks * self.trials_per_task

    @property
    def n_jobs(self) -> float:
        return self.n_trials / self.batch

    @property
    def trial_s(self) -> float:
        """How long a trial takes where nothing is scarce."""
        call_s = self.first_token_s + self.output_tokens / self.tokens_per_s + self.tools_s
        return self.around_s + self.n_calls * call_s

    @property
    def record_mb(self) -> float:
        """Of one trial: the record of each call holds all of its request."""
        return self.n_calls * self.request_mb


@dataclass(frozen=True)
class Fleet:
    """What it is rolled out on.

    Attributes:
        trials_at_once: on each host, over all of its jobs (`automation.max_trials`).
        n_concurrent: of one job (`harbor_job.n_concurrent`): each has a proxy of its own, which is one process.
        sandbox_mb: memory of a sandbox on the host, 0 where a remote environment carries it.
        requests_per_min, tokens_per_min: of all endpoints together; None for no limit.
        input_price, output_price: US dollars for a million tokens.
    """

    n_hosts: int = 1
    cores: int = 8
    memory_gb: float = 64.0
    trials_at_once: int = 32
    n_concurrent: int = 8
    sandbox_mb: float = 2048.0
    requests_per_min: float | None = None
    tokens_per_min: float | None = None
    input_price: float = 0.0
    output_price: float = 0.0

    @property
    def n_at_once(self) -> int:
        return self.n_hosts * self.trials_at_once

    @property
    def jobs_per_host(self) -> float:
        return max(1.0, self.trials_at_once / self.n_concurrent)


@dataclass(frozen=True)
class Cpu:
    """Seconds of CPU, by who spends them."""

    proxy: float
    harness: float
    worker: float
    conversion: float

    @property
    def total(self) -> float:
        return self.proxy + self.harness + self.worker + self.conversion


@dataclass(frozen=True)
class Forecast:
    """What a workload takes on a fleet.

    Attributes:
        alone_h: hours that each resource alone would need, the scarcest first.
        memory_share: of a host's memory, at its full number of trials; over 1 it does not fit.
    """

    alone_h: Mapping[str, float]
    cpu: Cpu
    cost_usd: float
    disk_gb: float
    compressed_gb: float
    ledger_gb: float
    events_gb: float
    memory_share: float
    notes: tuple[str, ...] = field(default=())

    @property
    def binds(self) -> str:
        """The resource that needs the most hours."""
        return next(iter(self.alone_h))

    @property
    def hours(self) -> float:
        """At least so long."""
        return self.alone_h[self.binds]

    def as_json(self) -> dict[str, Any]:
        """The forecast as programs read it."""
        sizes = ("cost_usd", "disk_gb", "compressed_gb", "ledger_gb", "events_gb", "memory_share")
        return {
            "schema_version": 1,
            "hours": self.hours,
            "binds": self.binds,
            "alone_h": dict(self.alone_h),
            "cpu_s": {name: getattr(self.cpu, name) for name in ("proxy", "harness", "worker", "conversion")},
            **{name: getattr(self, name) for name in sizes},
            "notes": list(self.notes),
        }


# Of each trial: two assets are planned and materialized, and a handful of events of its run falls to it.
EVENTS_PER_TRIAL = 4.5


def cpu_of(work: Workload, costs: UnitCosts) -> Cpu:
    """What all processes of the platform spend; those of agents in remote sandboxes are not among them."""
    return Cpu(
        proxy=work.n_trials * work.n_calls * call_cpu_s(work, costs) + work.n_jobs * costs.proxy_job_cpu_s,
        harness=work.n_trials * costs.harness_cpu_s + work.n_jobs * costs.harness_job_cpu_s,
        worker=work.n_trials * costs.settle_cpu_s + work.n_jobs * costs.worker_job_cpu_s,
        conversion=work.n_trials * (costs.convert_trial_cpu_s + work.record_mb * costs.convert_mb_cpu_s),
    )


def call_cpu_s(work: Workload, costs: UnitCosts) -> float:
    """What one call costs the proxy."""
    return costs.call_cpu_s + work.n_chunks * costs.chunk_cpu_s + work.request_mb * costs.request_mb_cpu_s


def forecast(work: Workload, fleet: Fleet, costs: UnitCosts) -> Forecast:
    """Hours, cost and sizes of `work` on `fleet`."""
    cpu = cpu_of(work, costs)
    alone_h = _alone_h(work, fleet, costs, cpu)
    record_gb, files_gb = (work.n_trials * mb * MB / GB for mb in (work.record_mb, costs.trial_files_mb))
    memory_share = _memory_mb(fleet, costs) / (fleet.memory_gb * 1024)
    return Forecast(
        alone_h=dict(sorted(alone_h.items(), key=lambda each: -each[1])),
        cpu=cpu,
        cost_usd=_cost_usd(work, fleet),
        disk_gb=record_gb + files_gb,
        compressed_gb=record_gb / costs.compressed + files_gb,
        ledger_gb=work.n_tasks * costs.ledger_task_mb * MB / GB,
        events_gb=work.n_trials * EVENTS_PER_TRIAL * costs.event_mb * MB / GB,
        memory_share=memory_share,
        notes=tuple(_notes(memory_share)),
    )


def _alone_h(work: Workload, fleet: Fleet, costs: UnitCosts, cpu: Cpu) -> dict[str, float]:
    n_calls = work.n_trials * work.n_calls
    jobs_at_once = fleet.n_hosts * fleet.jobs_per_host
    seconds = {
        "trials at once": work.n_trials * work.trial_s / fleet.n_at_once
        + work.n_jobs * costs.job_wall_s / jobs_at_once,
        "CPU of the hosts": cpu.total / (fleet.n_hosts * fleet.cores),
        "proxies, one core each": cpu.proxy / jobs_at_once,
        "writes of the ledger": work.n_trials * costs.ledger_write_s,
        "writes of events": work.n_trials * EVENTS_PER_TRIAL * costs.event_write_s,
    }
    if fleet.requests_per_min is not None:
        seconds["requests a minute"] = n_calls / fleet.requests_per_min * 60
    if fleet.tokens_per_min is not None:
        seconds["tokens a minute"] = n_calls * (work.input_tokens + work.output_tokens) / fleet.tokens_per_min * 60
    return {name: each / HOUR_S for name, each in seconds.items()}


def _cost_usd(work: Workload, fleet: Fleet) -> float:
    a_call = work.input_tokens * fleet.input_price + work.output_tokens * fleet.output_price
    return work.n_trials * work.n_calls * a_call / 1e6


def _memory_mb(fleet: Fleet, costs: UnitCosts) -> float:
    return fleet.jobs_per_host * costs.worker_mb + fleet.trials_at_once * (costs.trial_mb + fleet.sandbox_mb)


def _notes(memory_share: float) -> list[str]:
    if memory_share <= 1:
        return []
    return [f"a host's memory holds {1 / memory_share:.0%} of what its trials at once may take: lower them"]
