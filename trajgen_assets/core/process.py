"""Child processes that end with their parent, and are ended by group, by id, and by no one else's luck."""

import ctypes
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

import psutil

from trajgen_assets.core.atomic import write_json
from trajgen_assets.core.faults import FAULTS_ENV
from trajgen_assets.guest.keeper_container import OUR_IMAGE_VARIABLE

PR_SET_PDEATHSIG = 1

# What a child may inherit: where programs, certificates and temporary files are, and nothing that could be a secret.
INHERITED_ENV = (
    "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "TERM",
    "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "PIP_CERT", "NODE_EXTRA_CA_CERTS",
    "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
    "DOCKER_HOST", "DOCKER_CONFIG", "DOCKER_CONTEXT", "XDG_RUNTIME_DIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME",
    OUR_IMAGE_VARIABLE, FAULTS_ENV,
)  # fmt: skip


def process_space() -> str:
    """Where a process id means the same: this host, and in it the namespace of ids, which each container has anew."""
    return f"{socket.gethostname()}/{Path('/proc/self/ns/pid').stat().st_ino}"


@dataclass(frozen=True)
class ProcessId:
    """A process named so that a reused pid is never taken for it. `started_at` is epoch seconds."""

    pid: int
    started_at: float

    @classmethod
    def of(cls, pid: int) -> "ProcessId":
        """Name the live process `pid`. Raises psutil.NoSuchProcess if there is none."""
        return cls(pid, psutil.Process(pid).create_time())

    def find(self) -> psutil.Process | None:
        """The process if it still lives (a zombie does not), else None."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.started_at) < 0.05
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.NoSuchProcess:
            return None


def child_env(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The allow-listed part of our environment, with `extra` on top."""
    return {name: os.environ[name] for name in INHERITED_ENV if name in os.environ} | dict(extra or {})


def spawn(
    argv: Sequence[str | Path],
    *,
    env: Mapping[str, str],
    cwd: Path,
    log: IO[bytes],
    pass_fds: Iterable[int] = (),
) -> subprocess.Popen[bytes]:
    """Start `argv` in a process group of its own that gets TERM when we die.

    Call it from the main thread: the kernel sends the signal when the starting *thread* ends. The signal is
    TERM and not KILL because Harbor removes its containers on TERM and leaks them on KILL.
    """
    die_with_parent = _parent_death_signal(os.getpid())
    return subprocess.Popen(
        [str(part) for part in argv],
        env=dict(env),
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        pass_fds=tuple(pass_fds),
        preexec_fn=die_with_parent,  # noqa: PLW1509  one system call, and nothing is allocated or imported
    )


def _parent_death_signal(parent: int) -> Callable[[], None]:
    libc = ctypes.CDLL(None, use_errno=True)  # loaded before the fork: nothing may be loaded after it

    def arm() -> None:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it died between fork and prctl
            os._exit(1)

    return arm


def stop_group(process: subprocess.Popen[bytes], *, grace_s: float) -> int:
    """End the whole group of `process`: TERM, wait `grace_s` seconds, then KILL. Returns its exit code."""
    _ask_group_to_end(process.pid)
    with suppress(subprocess.TimeoutExpired):
        process.wait(grace_s)
    _signal_group(process.pid, signal.SIGKILL)  # also what the leader left behind in its group
    return process.wait()


def _ask_group_to_end(group: int) -> None:
    _signal_group(group, signal.SIGTERM)
    _signal_group(group, signal.SIGCONT)  # one that was stopped gets the first signal only when it goes on


def _signal_group(group: int, signum: signal.Signals) -> None:
    try:
        os.killpg(group, signum)
    except (ProcessLookupError, PermissionError):  # PermissionError: only zombies are left in it
        return


def stop_recorded(ids: Iterable[ProcessId], *, grace_s: float) -> list[int]:
    """End processes, each with its group, that an earlier driver recorded. Returns the pids that still lived."""
    living = [process for process in (each.find() for each in ids) if process is not None]
    for process in living:
        _ask_group_to_end(process.pid)
    deadline = time.monotonic() + grace_s
    psutil.wait_procs(living, timeout=max(0.0, deadline - time.monotonic()))
    for process in living:
        _signal_group(process.pid, signal.SIGKILL)
    psutil.wait_procs(living, timeout=5)
    return [process.pid for process in living]


def record_processes(path: Path, ids: Mapping[str, ProcessId]) -> None:
    """Write down which processes serve a job, so that whoever finds it dead can end them."""
    write_json(path, {name: asdict(each) for name, each in ids.items()})


def recorded_processes(path: Path) -> dict[str, ProcessId]:
    """Read what `record_processes` wrote; empty when there is no such file."""
    try:
        raw = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    return {name: ProcessId(**value) for name, value in raw.items()}
