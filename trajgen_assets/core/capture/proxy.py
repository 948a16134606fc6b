"""One job's LiteLLM proxy: started, proven to record, and ended again whatever happens."""

import hashlib
import logging
import secrets
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from trajgen_assets.core import process
from trajgen_assets.core.capture.litellm_config import Upstream
from trajgen_assets.core.capture.starting import DRAIN_S, LOG_NAME, SELF_TEST_TRIAL, Start, prepare, started
from trajgen_assets.core.capture.verdict import Capture, judge
from trajgen_assets.core.errors import ProxyError
from trajgen_assets.core.ledger.models import CaptureVerdict
from trajgen_assets.guest import trial_keys

__all__ = ["SELF_TEST_TRIAL", "RunningProxy", "Upstream", "running_proxy"]

log = logging.getLogger(__name__)

SELF_TEST_TIMEOUT_S = 20.0
CLOSED_ROUTE = "/login"  # one of those that LiteLLM itself opens to everybody
# LiteLLM waits for its last connection first, however long, and drains and flushes its callbacks after that. So calls
# that take less than this end with their records, and one that the upstream never ends is killed and counts as aborted.
STOP_GRACE_S = DRAIN_S + 15.0


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
    prepare(folder, upstream)
    master_key = trial_keys.MASTER_PREFIX + secrets.token_urlsafe(32)
    start = Start(program, folder, job, upstream, host, master_key, tuple(lock_fds), port)
    child, taken = started(start, time.monotonic() + ready_timeout_s)
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


def _prove_recording(proxy: RunningProxy, start: Start) -> None:
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
