"""What a cluster is asked for by a run, for its own processes: the run worker, the proxy, Harbor; not the sandboxes."""

from dataclasses import dataclass

# Resident sets: a run worker 330 MB, an idle proxy 350 MB, Harbor 200 MB; each trial adds what its agent keeps in
# Harbor and a conversation in the proxy (benchmarks/scale.py --check measures all of it).
FIXED_MB, PER_TRIAL_MB = 900, 40

# A streamed call costs the proxy 85 ms of CPU, a turn of a host-side agent about as much again, every few seconds.
FIXED_MILLICPU, PER_TRIAL_MILLICPU = 250, 50

# One conversation of a long trial is parsed whole more than once.
MEMORY_LIMIT_RATIO = 2


@dataclass(frozen=True)
class WorkerDemand:
    """Memory and CPU of one run."""

    memory_mb: int
    millicpu: int

    @classmethod
    def of_trials(cls, n_at_once: int) -> "WorkerDemand":
        """What a run takes that has so many trials at a time."""
        return cls(FIXED_MB + n_at_once * PER_TRIAL_MB, FIXED_MILLICPU + n_at_once * PER_TRIAL_MILLICPU)

    def as_kubernetes(self) -> dict[str, dict[str, str]]:
        """Requests and limits of a container. CPU has no limit: a proxy that is throttled holds up every trial."""
        return {
            "requests": {"cpu": f"{self.millicpu}m", "memory": f"{self.memory_mb}Mi"},
            "limits": {"memory": f"{self.memory_mb * MEMORY_LIMIT_RATIO}Mi"},
        }
