"""The namespaces of one sandbox: held by one bubblewrap process, entered by nsenter for every command.

Daemons that a command leaves behind live on until the sandbox is stopped, as in a container. Nothing outlives the
process that started the sandbox: the kernel kills the holder with it, and the holder, process 1 of the sandbox, ends
by itself once its standard input closes.
"""

import asyncio
import contextlib
import functools
import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from sandbox_root import HOSTNAME, mounts

MAX_OUTPUT_BYTES = 10 * 1024**2
START_TIMEOUT_S = 20.0
STOP_TIMEOUT_S = 10.0
DRAIN_TIMEOUT_S = 1.0  # how long output is awaited after its command ended, when a daemon holds the pipe open
_CHUNK_BYTES = 65536

# Process 1 ignores every signal from inside, and bash reaps orphans while it waits.
_HOLD = "echo ready; exec >/dev/null 2>&1; while read -r _; do :; done"
_CAPABILITIES = ("chown", "dac_override", "fowner", "fsetid", "kill", "net_bind_service", "setgid", "setpcap", "setuid")
_SWITCH_USER = (
    'u=$1; shift; h=$(getent passwd "$u" | cut -d: -f6); export HOME="${h:-/}"; '
    'exec setpriv --reuid "$u" --regid "$(id -g "$u")" --init-groups -- "$@"'
)
# The programs that run on the host side get nothing of the host's environment but where programs are.
_HOST_ENV = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}


class SandboxError(RuntimeError):
    """The sandbox could not be started, or is gone."""


class CommandTimeoutError(SandboxError):
    """A command ran out of time. It and all of its session have been killed."""


@dataclass(frozen=True)
class Mode:
    """How namespaces are made and entered, which depends on what this user may do."""

    name: str
    create: tuple[str, ...]
    enter: tuple[str, ...]
    has_users: bool


def _root_create() -> tuple[str, ...]:
    kept = (word for name in _CAPABILITIES for word in ("--cap-add", f"CAP_{name.upper()}"))
    return ("--cap-drop", "ALL", *kept)


AS_ROOT = Mode("root", _root_create(), (), has_users=True)
AS_USER = Mode(
    "user namespace",
    ("--unshare-user", "--uid", "0", "--gid", "0"),
    ("--user", "--preserve-credentials"),
    has_users=False,
)


@functools.cache
def find_mode() -> Mode:
    """The first way of making a sandbox that works here.

    Raises:
        SandboxError: a program is missing, or the kernel allows this user no namespaces.
    """
    missing = [
        name for name in ("bwrap", "nsenter", "setpriv", "tar") if not shutil.which(name, path=_HOST_ENV["PATH"])
    ]
    if missing:
        raise SandboxError(f"the local sandbox needs {', '.join(missing)}: install bubblewrap, util-linux and tar")
    failures = []
    for mode in (AS_ROOT, AS_USER) if os.geteuid() == 0 else (AS_USER,):
        argv = ["bwrap", *mode.create, "--unshare-pid", "--unshare-net", *mounts(), "--proc", "/proc", "--dev", "/dev"]
        done = subprocess.run([*argv, "true"], env=_HOST_ENV, capture_output=True, timeout=30, check=False)
        if done.returncode == 0:
            return mode
        failures.append(f"as {mode.name}: {done.stderr.decode(errors='replace').strip()[-300:]}")
    raise SandboxError(f"bubblewrap cannot make a sandbox here ({'; '.join(failures)})")


@dataclass(frozen=True)
class Finished:
    """A command that ended by itself. Output beyond the limit is dropped and said so in its last line."""

    stdout: str
    stderr: str
    return_code: int


@dataclass
class _Capture:
    """The first bytes of a stream; what follows is read and dropped, so that the writer never blocks."""

    kept: bytearray = field(default_factory=bytearray)
    n_dropped: int = 0

    async def read(self, stream: asyncio.StreamReader) -> None:
        while chunk := await stream.read(_CHUNK_BYTES):
            room = MAX_OUTPUT_BYTES - len(self.kept)
            self.kept += chunk[:room]
            self.n_dropped += max(0, len(chunk) - room)

    def text(self) -> str:
        text = self.kept.decode(errors="replace")
        return f"{text}\n[{self.n_dropped} more bytes of output dropped]\n" if self.n_dropped else text


class Namespace:
    """One sandbox whose `/` is the host folder `root`. `network` shares the host's network with it."""

    def __init__(self, root: Path, *, network: bool) -> None:
        self._root = root
        self._network = network
        self._mode = find_mode()
        self._holder: asyncio.subprocess.Process | None = None
        self._init_pid: int | None = None
        self._readers: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Make the namespaces and wait until they can be entered.

        Raises:
            SandboxError: bubblewrap failed, with what it said.
        """
        read_fd, write_fd = os.pipe()
        try:
            self._holder = await asyncio.create_subprocess_exec(
                *self._holder_argv(write_fd),
                env=_HOST_ENV,
                pass_fds=(write_fd,),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,  # a signal to Harbor's group is for Harbor, which still needs the sandbox
            )
            os.close(write_fd)
            write_fd = -1
            await self._await_ready()
            self._init_pid = int(json.loads(os.read(read_fd, 4096))["child-pid"])  # written before process 1 ran
        finally:
            os.close(read_fd)
            if write_fd >= 0:
                os.close(write_fd)

    def _holder_argv(self, report_fd: int) -> list[str]:
        share = [] if self._network else ["--unshare-net"]
        return [
            "bwrap", *self._mode.create, "--unshare-pid", "--unshare-ipc", "--unshare-uts", *share,
            "--hostname", HOSTNAME, "--die-with-parent", "--new-session", "--as-pid-1",
            "--bind", str(self._root), "/", *mounts(), "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/run",
            "--chdir", "/", "--info-fd", str(report_fd), "--", "/bin/bash", "-c", _HOLD,
        ]  # fmt: skip

    async def _await_ready(self) -> None:
        holder = self._holder
        assert holder is not None
        assert holder.stdout is not None
        assert holder.stderr is not None
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                if await holder.stdout.readline() == b"ready\n":
                    return
                said = (await holder.stderr.read(2000)).decode(errors="replace").strip()
        except TimeoutError:
            said = f"no sign of life within {START_TIMEOUT_S:g} seconds"
        raise SandboxError(f"bubblewrap did not start the sandbox: {said or 'it did not say why'}")

    def argv(self, command: Sequence[str], *, env: Mapping[str, str], cwd: str, user: str | None = None) -> list[str]:
        """The host command line that runs `command` inside.

        Raises:
            SandboxError: the sandbox does not run, or has no other users than root.
        """
        if self._init_pid is None:
            raise SandboxError("the sandbox is not running")
        if user is not None and not self._mode.has_users:
            raise SandboxError(f"this sandbox has no user {user!r}: without root on the host it has only its own root")
        net = [] if self._network else ["--net"]
        limits = "-all," + ",".join(f"+{name}" for name in _CAPABILITIES)
        switch = ["/bin/sh", "-c", _SWITCH_USER, "sh", user] if user is not None else []
        return [
            "nsenter", "--target", str(self._init_pid), *self._mode.enter,
            "--mount", "--pid", "--ipc", "--uts", *net, "--root", "--wd", "--",
            "/usr/bin/setpriv", "--bounding-set", limits, "--inh-caps=-all", "--no-new-privs", "--",
            "/usr/bin/env", "--ignore-environment", f"--chdir={cwd}", *(f"{name}={env[name]}" for name in env),
            *switch, *command,
        ]  # fmt: skip

    async def run(self, argv: Sequence[str], *, timeout_s: float | None = None) -> Finished:
        """Run a command line that `argv` made, to its end.

        Raises:
            CommandTimeoutError: it took longer than `timeout_s` seconds.
        """
        process = await asyncio.create_subprocess_exec(
            *argv,
            env=_HOST_ENV,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        assert process.stdout is not None
        assert process.stderr is not None
        out, err = _Capture(), _Capture()
        readers = [asyncio.create_task(out.read(process.stdout)), asyncio.create_task(err.read(process.stderr))]
        self._keep(readers)
        try:
            async with asyncio.timeout(timeout_s):
                return_code = await _exit_of(process)
        except BaseException as error:
            kill_session(process.pid)
            if isinstance(error, TimeoutError):
                raise CommandTimeoutError(f"Command timed out after {timeout_s:g} seconds") from error
            raise
        await asyncio.wait(readers, timeout=DRAIN_TIMEOUT_S)
        return Finished(out.text(), err.text(), return_code)

    def _keep(self, readers: Sequence[asyncio.Task[None]]) -> None:
        """Readers go on as long as a daemon writes, and are forgotten when they end."""
        for reader in readers:
            self._readers.add(reader)
            reader.add_done_callback(self._readers.discard)

    async def send(self, argv: Sequence[str], feed: Callable[[IO[bytes]], None], *, timeout_s: float) -> None:
        """Run a command line with what `feed` writes as its standard input."""
        await self._stream(argv, feed, incoming=False, timeout_s=timeout_s)

    async def receive(self, argv: Sequence[str], consume: Callable[[IO[bytes]], None], *, timeout_s: float) -> None:
        """Run a command line and let `consume` read its standard output."""
        await self._stream(argv, consume, incoming=True, timeout_s=timeout_s)

    async def _stream(
        self, argv: Sequence[str], work: Callable[[IO[bytes]], None], *, incoming: bool, timeout_s: float
    ) -> None:
        with tempfile.TemporaryFile() as errors:
            process = subprocess.Popen(
                argv,
                env=_HOST_ENV,
                stdin=subprocess.DEVNULL if incoming else subprocess.PIPE,
                stdout=subprocess.PIPE if incoming else subprocess.DEVNULL,
                stderr=errors,
                start_new_session=True,
            )
            try:
                async with asyncio.timeout(timeout_s):
                    failure = await asyncio.to_thread(_converse, process, work)
            except BaseException:
                kill_session(process.pid)
                process.wait()
                raise
            _check_stream(process.returncode, failure, errors, tolerated=(0, 1) if incoming else (0,))

    async def stop(self) -> None:
        """End every process of the sandbox. Returns when none is left."""
        holder, self._holder, self._init_pid = self._holder, None, None
        if holder is None:
            return
        assert holder.stdin is not None
        holder.stdin.close()
        for patience_s in (STOP_TIMEOUT_S, STOP_TIMEOUT_S):
            try:
                async with asyncio.timeout(patience_s):
                    await _exit_of(holder)
                break
            except TimeoutError:
                with contextlib.suppress(ProcessLookupError):
                    holder.kill()
        if self._readers:
            await asyncio.wait(self._readers, timeout=DRAIN_TIMEOUT_S)


def _converse(process: subprocess.Popen[bytes], work: Callable[[IO[bytes]], None]) -> Exception | None:
    """Let `work` use the one pipe of `process`, then wait for its end. The failure of `work`, if any."""
    pipe = process.stdout or process.stdin
    assert pipe is not None
    failure: Exception | None = None
    try:
        work(pipe)
    except Exception as error:
        failure = error
        if process.stdout is not None:
            kill_session(process.pid)  # it would write for ever to a reader that has gone
    with contextlib.suppress(BrokenPipeError):
        pipe.close()
    process.wait()
    return failure


def _check_stream(return_code: int, failure: Exception | None, errors: IO[bytes], tolerated: Sequence[int]) -> None:
    if failure is not None and not isinstance(failure, BrokenPipeError):
        raise failure
    if return_code not in tolerated or failure is not None:
        errors.seek(0)
        said = errors.read(2000).decode(errors="replace").strip()
        raise SandboxError(f"a transfer with the sandbox failed with exit code {return_code}: {said or failure}")


async def _exit_of(process: asyncio.subprocess.Process) -> int:
    """The exit code of `process` once it has ended.

    `Process.wait` before Python 3.12.5 waits for the pipes too, which a daemon may hold open for ever.
    """
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    try:
        pid_fd = os.pidfd_open(process.pid)
    except ProcessLookupError:
        pid_fd = -1  # ended and reaped already
    if pid_fd >= 0:
        loop.add_reader(pid_fd, ended.set)
        try:
            await ended.wait()
        finally:
            loop.remove_reader(pid_fd)
            os.close(pid_fd)
    while process.returncode is None:  # the loop's own watcher reaps it within its next rounds
        await asyncio.sleep(0.001)
    return process.returncode


def kill_session(leader_pid: int) -> None:
    """Kill every process of the session that `leader_pid` leads, inside the sandbox and outside.

    A session spans process groups and process-id namespaces, so this also reaches what a shell put into the
    background; a daemon with a session of its own is left alone.
    """
    for _ in range(5):  # a process may fork between the look and the kill
        members = [pid for pid in _pids() if _session_of(pid) == leader_pid]
        if not members:
            return
        for pid in members:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)


def _pids() -> list[int]:
    return [int(entry.name) for entry in os.scandir("/proc") if entry.name.isdecimal()]


def _session_of(pid: int) -> int | None:
    """The session of a living process; None for a zombie, which no signal reaches, and for none at all."""
    try:
        stat = Path("/proc", str(pid), "stat").read_text(errors="replace")
    except OSError:
        return None
    state, _parent, _group, session = stat.rpartition(")")[2].split()[:4]
    return None if state in "ZX" else int(session)
