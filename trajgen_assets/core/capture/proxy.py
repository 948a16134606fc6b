"""One job's LiteLLM proxy: started, proven to record, and ended again whatever happens."""

import hashlib
import json
import logging
import secrets
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from trajgen_assets.core import process
from trajgen_assets.core.atomic import write_text, write_yaml
from trajgen_assets.core.capture.litellm_config import Upstream, litellm_config
from trajgen_assets.core.capture.ports import CONFIG_NAME, choose_port
from trajgen_assets.core.capture.redacted_log import RedactedLog
from trajgen_assets.core.capture.verdict import Capture, judge
from trajgen_assets.core.errors import ProxyError
from trajgen_assets.core.faults import reached
from trajgen_assets.core.guest import guest_bundle
from trajgen_assets.core.ledger.models import CaptureVerdict
from trajgen_assets.core.redact import Redactor, looks_secret
from trajgen_assets.core.shell import script_of
from trajgen_assets.guest import trial_keys

__all__ = ["SELF_TEST_TRIAL", "RunningProxy", "Upstream", "running_proxy"]

log = logging.getLogger(__name__)

LOG_NAME = "proxy.log"
SCRIPT_NAME = "proxy.sh"
FOLDERS = ("trajectories", "journal", "admitted", "served", "ended")
SELF_TEST_TRIAL = "self-test"
SELF_TEST_TIMEOUT_S = 20.0
CLOSED_ROUTE = "/login"  # one of those that LiteLLM itself opens to everybody
POLL_S = 0.25
N_PORT_ATTEMPTS = 3
DRAIN_S = 5
# LiteLLM waits for its last connection first, however long, and drains and flushes its callbacks after that. So calls
# that take less than this end with their records, and one that the upstream never ends is killed and counts as aborted.
STOP_GRACE_S = DRAIN_S + 15.0
LOG_TAIL_CHARS = 2000
LOG_JOIN_S = 5.0  # only something that left the proxy's process group can hold its output open for so long

# No telemetry, no downloads of price maps at start, no stop of a stream that repeats a chunk a hundred times.
LITELLM_ENV = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS": "True",
    "LITELLM_LOCAL_BLOG_POSTS": "True",
    "LITELLM_LOCAL_POLICY_TEMPLATES": "True",
    "LITELLM_LOCAL_AUTOROUTER_PRESETS": "True",
    "LITELLM_TELEMETRY": "False",
    "LITELLM_LOG": "ERROR",
    "LITELLM_MODE": "PRODUCTION",
    "DISABLE_ADMIN_UI": "True",
    "NO_DOCS": "True",
    "NO_REDOC": "True",
    "REPEATED_STREAMING_CHUNK_LIMIT": "100000000",
    "GRACEFUL_SHUTDOWN_TIMEOUT": str(DRAIN_S),
    "PYTHONUNBUFFERED": "1",
}


@dataclass(frozen=True)
class RunningProxy:
    """A proxy that answers and records."""

    job: str
    host: str
    port: int
    served_model: str
    folder: Path
    process: process.ProcessId
    master_key: str = field(repr=False)

    @property
    def base_url(self) -> str:
        """Scheme, host and port, without a path."""
        return f"http://{self.host}:{self.port}"

    @property
    def subkey(self) -> str:
        """What trial keys are signed with: enough to mint them, not to act as the platform."""
        return trial_keys.derive_subkey(self.master_key)

    def trial_key(self, trial: str) -> str:
        """The key of `trial`."""
        return trial_keys.mint(self.subkey, self.job, trial)

    @property
    def log_path(self) -> Path:
        """What LiteLLM printed, less the secrets."""
        return self.folder / LOG_NAME

    def alive(self) -> bool:
        """Whether its process lives."""
        return self.process.find() is not None

    def refuse_unless_recorded(self, *, n_ok: int) -> None:
        """Wait until the record of every call of the self-test is there, and those of `n_ok` that were answered.

        Raises:
            ProxyError: they did not come.
        """
        deadline = time.monotonic() + SELF_TEST_TIMEOUT_S
        while not _is_proven(seen := judge(self.folder, SELF_TEST_TRIAL, explained=None), n_ok):
            if time.monotonic() > deadline:
                raise ProxyError("the LiteLLM proxy does not record calls", where=self.log_path, why=seen.explanation)
            time.sleep(0.05)

    def has_lost_lines(self) -> bool:
        """Whether it reported that a record or an event could not be written (a full disk, as a rule)."""
        return (self.folder / "broken").exists()


@contextmanager
def running_proxy(
    *,
    env: Path,
    folder: Path,
    job: str,
    upstream: Upstream,
    host: str = "127.0.0.1",
    port: int | None = None,
    ready_timeout_s: float = 120,
    lock_fds: Iterable[int] = (),
) -> Iterator[RunningProxy]:
    """Run the proxy of `job`; on leaving the block it is drained and ended with its process group.

    Call it from the main thread. When the block is entered, one call has gone the whole way from its key to its
    record, and a forged key was refused.

    Args:
        env: LiteLLM's uv environment.
        folder: the working folder, `artifacts/litellm/<job>`; configuration, guest code, log and captures go there.
        job: the job's name, part of every trial key.
        upstream: the endpoint behind the proxy.
        host: address to listen on.
        port: where to listen, see `choose_port`; None takes any free port.
        ready_timeout_s: how long the start may take (seven seconds on a quiet machine, half a minute on a busy one).
        lock_fds: descriptors that the proxy holds open as long as it lives.

    Raises:
        ProxyError: its port is taken, it did not get ready, or it does not record. No process is left.
    """
    program = env / "bin" / "litellm"
    if not program.exists():
        raise ProxyError("LiteLLM is not installed", where=program, mend="run `trajgen setup`")
    folder = folder.absolute()  # the proxy works in it
    _prepare(folder, upstream)
    master_key = trial_keys.MASTER_PREFIX + secrets.token_urlsafe(32)
    start = _Start(program, folder, job, upstream, host, master_key, tuple(lock_fds), port)
    child, taken = _started(start, time.monotonic() + ready_timeout_s)
    try:
        proxy = RunningProxy(
            job, host, taken, upstream.served_model, folder, process.ProcessId.of(child.pid), start.master_key
        )
        _prove_recording(proxy, start)
        log.info("proxy of %s ready at %s: pid %d", job, proxy.base_url, child.pid)
        yield proxy
    finally:
        code = child.stop(grace_s=STOP_GRACE_S)
        log.info("proxy of %s ended with exit code %d", job, code)


@dataclass(frozen=True)
class _Start:
    program: Path
    folder: Path
    job: str
    upstream: Upstream
    host: str
    master_key: str = field(repr=False)
    lock_fds: tuple[int, ...] = ()
    port: int | None = None

    @property
    def log(self) -> Path:
        return self.folder / LOG_NAME

    def environ(self) -> dict[str, str]:
        return process.child_env(
            LITELLM_ENV
            | {
                "PYTHONPATH": str(self.folder / "guest"),
                "TRAJGEN_JOB": self.job,
                "TRAJGEN_PROXY_DIR": str(self.folder),
                "TRAJGEN_SAMPLING": json.dumps(dict(self.upstream.sampling)),
                "TRAJGEN_MASTER_KEY": self.master_key,
                "TRAJGEN_UPSTREAM_NAMES": json.dumps([endpoint.name for endpoint in self.upstream.pool]),
                **self.upstream.key_environ,
                "TRAJGEN_BUDGET": json.dumps(dict(self.upstream.budget)),
                "TRAJGEN_OTHER_SECRET_VALUES": json.dumps(sorted(set(self.upstream.other_secrets.values()))),
            }
        )

    def redactor(self) -> Callable[[str], str]:
        """What takes every secret of this proxy out of a text, the keys of all trials among them."""
        subkey = trial_keys.derive_subkey(self.master_key).removeprefix(trial_keys.SUBKEY_PREFIX)
        names = {"master key": self.master_key, "trial subkey": subkey}
        return Redactor({**names, **self.upstream.key_environ, **self.upstream.other_secrets}).text

    def error(self, what: str, why: object = None) -> ProxyError:
        """A ProxyError with the end of the log in it, less the secrets."""
        tail = self.log.read_bytes()[-LOG_TAIL_CHARS:].decode("utf-8", "replace").strip()
        reason = f"{why}; the log ends with:\n{tail}" if why else f"the log ends with:\n{tail}"
        mend = "read the log; `trajgen setup` builds the environment anew"
        return ProxyError(what, where=self.log, why=self.redactor()(reason), mend=mend)


@dataclass(frozen=True)
class _Child:
    """A started program and the log that its output is copied into."""

    popen: subprocess.Popen[bytes]
    output: RedactedLog

    @property
    def pid(self) -> int:
        return self.popen.pid

    def has_ended(self) -> bool:
        return self.popen.poll() is not None

    def stop(self, *, grace_s: float) -> int:
        """End its group, see the last of its output copied, and return its exit code."""
        code = process.stop_group(self.popen, grace_s=grace_s)
        self.output.join(LOG_JOIN_S)
        return code


def _prepare(folder: Path, upstream: Upstream) -> None:
    for name in FOLDERS:
        (folder / name).mkdir(parents=True, exist_ok=True, mode=0o700)
    shutil.rmtree(folder / "guest", ignore_errors=True)  # no module of an earlier version may shadow another
    guest_bundle(folder)
    for name in (
        "trajectories",
        "journal",
        "admitted",
        "served",
    ):  # a failed self-test of an earlier start proves nothing now
        (folder / name / f"{SELF_TEST_TRIAL}.jsonl").unlink(missing_ok=True)
    write_yaml(folder / CONFIG_NAME, litellm_config(upstream))


def _started(start: _Start, deadline: float) -> tuple[_Child, int]:
    """Start it until it has a port of its own: between choosing a port and binding it, another may take it."""
    for _ in range(N_PORT_ATTEMPTS):
        port = choose_port(start.host, start.port)
        offset = start.log.stat().st_size if start.log.exists() else 0
        child = _spawn(start, port)
        try:
            reached("during_proxy_start")
            if _gets_ready(child, _url(start.host, port), deadline):
                return child, port
            ended = child.has_ended()
        except BaseException:
            child.stop(grace_s=0)
            raise
        code = child.stop(grace_s=0)
        if not ended:
            raise start.error("the LiteLLM proxy did not get ready in time")
        if b"address already in use" not in start.log.read_bytes()[offset:].lower():
            raise start.error("the LiteLLM proxy ended before it was ready", f"exit code {code}")
    raise start.error(f"the LiteLLM proxy lost its port {N_PORT_ATTEMPTS} times")


def _spawn(start: _Start, port: int) -> _Child:
    argv: list[str | Path] = [
        start.program,
        "--config",
        start.folder / CONFIG_NAME,
        "--host",
        start.host,
        "--port",
        str(port),
    ]
    env, redact = start.environ(), start.redactor()
    _keep_command(start, argv, env, redact)
    output = RedactedLog(start.log, redact)
    with output.writer:  # our end of it: from here on the log ends when the child's does
        popen = process.spawn(argv, env=env, cwd=start.folder, log=output.writer, pass_fds=start.lock_fds)
    return _Child(popen, output)


def _keep_command(
    start: _Start, argv: Sequence[str | Path], env: Mapping[str, str], redact: Callable[[str], str]
) -> None:
    """Write down what is about to be executed, for the archive; what is secret of its environment only by name."""
    given = {name: value for name, value in env.items() if name not in process.INHERITED_ENV}
    secret = {name for name, value in given.items() if looks_secret(name) or redact(value) != value}
    plain = {name: value for name, value in given.items() if name not in secret}
    title = f"The LiteLLM proxy of {start.job}"
    write_text(start.folder / SCRIPT_NAME, script_of(argv, title=title, cwd=start.folder, plain=plain, secret=secret))


def _url(host: str, port: int) -> str:
    return f"http://{host}:{port}"


def _gets_ready(child: _Child, url: str, deadline: float) -> bool:
    with httpx.Client(trust_env=False, timeout=5) as client:
        while time.monotonic() < deadline and not child.has_ended():
            try:
                if client.get(f"{url}/health/readiness").status_code == httpx.codes.OK and not child.has_ended():
                    return True
            except httpx.HTTPError:
                pass  # nobody listens yet
            time.sleep(POLL_S)
    return False


def _prove_recording(proxy: RunningProxy, start: _Start) -> None:
    """Send one call that LiteLLM refuses by its model name, and see it admitted, journalled and recorded.

    Before that, a forged key and a route that is no model route must have been refused. The call takes every step
    of a real one but the upstream, costs nothing, and fails where a newer LiteLLM calls the logger in another way,
    which LiteLLM itself would swallow.
    """
    forged = trial_keys.mint(hashlib.sha256(b"forged").hexdigest(), proxy.job, SELF_TEST_TRIAL)
    statuses = [_status(proxy, key) for key in (forged, proxy.trial_key(SELF_TEST_TRIAL))]
    if statuses != [httpx.codes.UNAUTHORIZED, httpx.codes.BAD_REQUEST]:
        raise start.error("the LiteLLM proxy does not check keys", f"a forged and a good key gave {statuses}")
    closed = _status(proxy, proxy.trial_key(SELF_TEST_TRIAL), CLOSED_ROUTE)
    if closed != httpx.codes.FORBIDDEN:
        raise start.error("the LiteLLM proxy has open routes", f"{CLOSED_ROUTE} answered {closed}")
    try:
        proxy.refuse_unless_recorded(n_ok=0)
    except ProxyError as error:
        raise start.error(error.what, error.why) from None


def _is_proven(capture: Capture, n_ok: int) -> bool:
    # One of several endpoints may hang, and the call to it be given up.
    return capture.verdict is not CaptureVerdict.GAP and capture.ok >= n_ok


def _status(proxy: RunningProxy, key: str, path: str = "/v1/chat/completions") -> int:
    body = {"model": "trajgen-self-test", "messages": [{"role": "user", "content": "is this recorded?"}]}
    with httpx.Client(trust_env=False, timeout=SELF_TEST_TIMEOUT_S) as client:
        try:
            reply = client.post(f"{proxy.base_url}{path}", json=body, headers={"Authorization": f"Bearer {key}"})
        except httpx.HTTPError as error:
            raise ProxyError("the LiteLLM proxy stopped answering", where=proxy.base_url, why=error) from error
    return reply.status_code
