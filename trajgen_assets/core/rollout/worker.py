"""What a cluster is asked for by a run, for its own processes: the run worker, the proxy, Harbor; not the sandboxes."""

from dataclasses import dataclass

# In MiB, as Kubernetes counts. A run worker, its proxy and its Harbor had 1,161 at most in a job of 500 trials, two at
# a time (benchmarks/scale.py --check 500). A trial adds a conversation in the proxy and what its agent keeps in Harbor:
# what it is given here is an allowance, which no run has measured by itself.
FIXED_MB, PER_TRIAL_MB = 1_100, 40

# A streamed call costs the proxy 85 ms of CPU, a turn of a host-side agent about as much again, every few seconds.
FIXED_MILLICPU, PER_TRIAL_MILLICPU = 250, 50

# One conversation of a long trial is parsed whole more than once.
MEMORY_LIMIT_RATIO = 2


@dataclass(frozen=True)
class WorkerDemand:
    """Memory, in MiB, and CPU of one run."""

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
