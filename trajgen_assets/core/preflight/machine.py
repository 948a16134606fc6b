"""The machine: a port for the proxy, room on its disk, memory for the trials."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import psutil

from trajgen_assets.core.capture.ports import choose_port
from trajgen_assets.core.counting import count_of
from trajgen_assets.core.errors import ShortageError
from trajgen_assets.core.preflight.findings import Finding, Subject, ok, warn
from trajgen_assets.core.rollout.disk import refuse_below_mark
from trajgen_assets.core.rollout.harnesses import harness_of
from trajgen_assets.core.rollout.plan import LOCAL_ENVIRONMENT, uses_docker

# Below this much a job's trajectories get tight; what no job begins without is in `rollout/disk.py`.
LOW_DISK_MB = 1024

# The proxy takes about 350 MB, Harbor about 200.
JOB_MB = 550


def proxy_port(subject: Subject) -> Finding:
    """The proxy can listen where the agents of each campaign look for it: on loopback, Docker's bridge, or as told."""
    wanted = subject.config.runtime_info.input.litellm_proxy.port
    harness = harness_of(subject.config)
    hosts = dict.fromkeys(
        harness.proxy_host(subject.config.campaign(name).agent.scaffold) for name in subject.campaigns
    )
    ports = {host: choose_port(host, wanted) for host in hosts}
    return ok(
        ", ".join(f"{host}:{port} is free" if wanted else f"{host} has free ports" for host, port in ports.items())
    )


def disk(subject: Subject) -> Iterator[Finding]:
    """Room for what a job writes, and for what its sandboxes may fill."""
    yield root_disk(subject)
    if subject.n_tasks is None:
        yield from _sandbox_disk(subject, _place_of(subject))


def root_disk(subject: Subject) -> Finding:
    """Room for what a job writes."""
    place = _place_of(subject)
    free_mb = shutil.disk_usage(place).free >> 20
    refuse_below_mark(subject.root, subject.config.runtime_info.input.harbor_job.min_free_gb)
    if free_mb < LOW_DISK_MB:
        return warn(f"{free_mb} MB free at {place}", "make room: a job writes its trajectories there", subject="root")
    return ok(f"{_gb(free_mb)} free at {place}", subject="root")


def low_memory() -> str | None:
    """What is wrong with the memory of this host, in words; None while a job's own processes fit in."""
    available_mb = _available_mb()
    return f"{available_mb} MB of memory are available, fewer than {JOB_MB}" if available_mb < JOB_MB else None


def memory(subject: Subject) -> Finding:
    """Memory for the job's own processes, and for its trials as far as they run here."""
    if (why := low_memory()) is not None:
        mend = f"end other programs: a proxy and a Harbor take about {JOB_MB} MB"
        raise ShortageError("there is too little memory", why=why, mend=mend)
    available_mb = _available_mb()
    if subject.n_tasks is not None or not _runs_here(subject):
        return ok(f"{_gb(available_mb)} available")
    demand, n = subject.demand, subject.n_at_once
    need_mb = demand.memory_mb * n + JOB_MB
    asked = f"{count_of(n, 'trial')} at once may take {_gb(need_mb)}"
    if need_mb > available_mb:
        mend = f"set harbor_job.n_concurrent to {max(1, int((available_mb - JOB_MB) // (demand.memory_mb or 1)))}"
        return warn(f"{_gb(available_mb)} available, {asked}", mend)
    return ok(f"{_gb(available_mb)} available, {asked}")


def _place_of(subject: Subject) -> Path:
    """The root, or as much of its path as is there."""
    return next(path for path in (subject.root.path, *subject.root.path.parents) if path.exists())


def _sandbox_disk(subject: Subject, place: Path) -> Iterator[Finding]:
    if not _runs_here(subject):
        return
    folder = Path(subject.engine_folder or place)
    free_mb, need_mb = shutil.disk_usage(folder).free >> 20, subject.demand.storage_mb * subject.n_at_once
    text = f"{_gb(free_mb)} free at {folder}, {count_of(subject.n_at_once, 'trial')} at once may fill {_gb(need_mb)}"
    if need_mb > free_mb:
        yield warn(text, "make room, or lower harbor_job.n_concurrent", subject="sandboxes")
    else:
        yield ok(text, subject="sandboxes")


def _available_mb() -> int:
    return psutil.virtual_memory().available >> 20


def _runs_here(subject: Subject) -> bool:
    environment = subject.config.runtime_info.input.harbor_job.environment
    return environment == LOCAL_ENVIRONMENT or uses_docker(environment)


def _gb(size_mb: float) -> str:
    return f"{size_mb / 1024:.1f} GB"
