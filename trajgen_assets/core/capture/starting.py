"""The program of a job's proxy: its folder, its environment, its log, and a port of its own."""

import json
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from trajgen_assets.core import process
from trajgen_assets.core.atomic import write_text, write_yaml
from trajgen_assets.core.capture.litellm_config import Upstream, litellm_config
from trajgen_assets.core.capture.ports import CONFIG_NAME, choose_port
from trajgen_assets.core.capture.redacted_log import RedactedLog
from trajgen_assets.core.errors import ProxyError
from trajgen_assets.core.faults import reached
from trajgen_assets.core.guest import guest_bundle
from trajgen_assets.core.redact import Redactor, looks_secret
from trajgen_assets.core.shell import script_of
from trajgen_assets.guest import trial_keys

LOG_NAME = "proxy.log"
SCRIPT_NAME = "proxy.sh"
FOLDERS = ("trajectories", "journal", "admitted", "served", "ended")
SELF_TEST_TRIAL = "self-test"
POLL_S = 0.25
N_PORT_ATTEMPTS = 3
DRAIN_S = 5
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
class Start:
    """What a proxy is started with."""

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
class Child:
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


def prepare(folder: Path, upstream: Upstream) -> None:
    """Make the proxy's working folder: private folders for what it writes, its guest code, its configuration."""
    for name in FOLDERS:
        (folder / name).mkdir(parents=True, exist_ok=True, mode=0o700)
    shutil.rmtree(folder / "guest", ignore_errors=True)  # no module of an earlier version may shadow another
    guest_bundle(folder)
    for name in FOLDERS:  # a failed self-test of an earlier start proves nothing now
        (folder / name / f"{SELF_TEST_TRIAL}.jsonl").unlink(missing_ok=True)
    write_yaml(folder / CONFIG_NAME, litellm_config(upstream))


def started(start: Start, deadline: float) -> tuple[Child, int]:
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


def _spawn(start: Start, port: int) -> Child:
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
    return Child(popen, output)


def _keep_command(
    start: Start, argv: Sequence[str | Path], env: Mapping[str, str], redact: Callable[[str], str]
) -> None:
    """Write down what is about to be executed, for the archive; what is secret of its environment only by name."""
    given = {name: value for name, value in env.items() if name not in process.INHERITED_ENV}
    secret = {name for name, value in given.items() if looks_secret(name) or redact(value) != value}
    plain = {name: value for name, value in given.items() if name not in secret}
    title = f"The LiteLLM proxy of {start.job}"
    write_text(start.folder / SCRIPT_NAME, script_of(argv, title=title, cwd=start.folder, plain=plain, secret=secret))


def _url(host: str, port: int) -> str:
    return f"http://{host}:{port}"


def _gets_ready(child: Child, url: str, deadline: float) -> bool:
    with httpx.Client(trust_env=False, timeout=5) as client:
        while time.monotonic() < deadline and not child.has_ended():
            try:
                if client.get(f"{url}/health/readiness").status_code == httpx.codes.OK and not child.has_ended():
                    return True
            except httpx.HTTPError:
                pass  # nobody listens yet
            time.sleep(POLL_S)
    return False
