"""One `harbor run` process: started, followed through its event feed, and stopped so that it cleans up."""

import logging
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trajgen_assets.core import process
from trajgen_assets.core.atomic import write_text, write_yaml
from trajgen_assets.core.errors import HarnessError
from trajgen_assets.core.paths import JobPaths
from trajgen_assets.core.rollout.events import EventFeed
from trajgen_assets.core.shell import script_of

log = logging.getLogger(__name__)

TITLE = "Harbor"

# On TERM Harbor ends its trials, removes their sandboxes and writes their results: 1 to 2 s each was measured,
# 10 s more where a container ignores its stop signal.
STOP_GRACE_S = 60.0

# Harbor reports to a third party unless told not to, and hangs 9 to 15 s at exit where it cannot.
# LiteLLM, which its agents use, fetches a price list at import unless told to use the one it ships.
QUIET_ENV = {"HARBOR_TELEMETRY": "off", "LITELLM_LOCAL_MODEL_COST_MAP": "True", "DO_NOT_TRACK": "1"}

# What Harbor's guest is told that may stand in a file; whatever else it is told may be a secret.
PUBLIC_ENV = frozenset(
    {
        "TRAJGEN_JOB", "TRAJGEN_PROXY_DIR", "TRAJGEN_PROXY_URL", "TRAJGEN_PROXY_ADDRESS", "TRAJGEN_NETWORK",
        "TRAJGEN_PATCH_TREE_MB", "TRAJGEN_PATCH_FILE_MB",
    }
)  # fmt: skip


@dataclass(frozen=True)
class HarborRun:
    """A running Harbor process and its feed."""

    child: subprocess.Popen[bytes]
    feed: EventFeed
    log_path: Path
    title: str = TITLE

    def poll(self) -> int | None:
        """The exit code, or None while it runs. It tells nothing about the trials."""
        return self.child.poll()

    def log_tail(self, n_lines: int = 12) -> str:
        """The last lines that Harbor printed, for an error message."""
        return "\n".join(self.log_path.read_text(errors="replace").splitlines()[-n_lines:])


@contextmanager
def running_harbor(
    *,
    harbor_env: Path,
    files: JobPaths,
    guest: Path,
    config: Mapping[str, Any],
    secrets: Mapping[str, str],
    lock_fd: int,
    min_free_gb: float = 0.0,
) -> Iterator[HarborRun]:
    """Run Harbor on `config`; on leaving the block it is stopped, whatever happened.

    Args:
        harbor_env: Harbor's uv environment.
        files: where this job's files lie.
        guest: folder of the modules that Harbor imports from us.
        config: the job configuration, written to `files.harbor_config`.
        secrets: environment of the process beyond the allow-list; never written to a file.
        lock_fd: descriptor of the job slot, held by Harbor as long as it lives.
        min_free_gb: trials wait to begin while less than this is free where the job's files lie.

    Raises:
        HarnessError: the program is not there.
    """
    program = harbor_env / "bin" / "harbor"
    if not program.exists():
        raise HarnessError("Harbor is not installed", where=program, mend="run `trajgen setup`")
    write_yaml(files.harbor_config, dict(config))
    argv: list[str | Path] = [program, "run", "-c", files.harbor_config, "--plugin", "event_feed:EventFeed"]
    for name, value in _feed_settings(files, min_free_gb).items():
        argv += ["--plugin-kwarg", f"{name}={value}"]
    plain = {**QUIET_ENV, "PYTHONPATH": str(guest), "PYTHONDONTWRITEBYTECODE": "1"}
    _keep_command(files, argv, plain, secrets)
    env = process.child_env({**plain, **secrets})
    with files.harbor_log.open("ab") as output:
        child = process.spawn(argv, env=env, cwd=files.proxy, log=output, pass_fds=(lock_fd,))
        log.info("harbor started: pid %d", child.pid)
        try:
            yield HarborRun(child, EventFeed(files.events), files.harbor_log)
        finally:
            code = process.stop_group(child, grace_s=STOP_GRACE_S)
            log.info("harbor ended with exit code %d", code)


def _keep_command(
    files: JobPaths, argv: Sequence[str | Path], plain: Mapping[str, str], secrets: Mapping[str, str]
) -> None:
    """Write down what is about to be executed, for the archive; of `secrets` the values only of what is public."""
    public = {name: value for name, value in secrets.items() if name in PUBLIC_ENV}
    title = f"Harbor's part of {files.dir.name}"
    text = script_of(argv, title=title, cwd=files.proxy, plain={**plain, **public}, secret=secrets.keys() - PUBLIC_ENV)
    write_text(files.harbor_script, text)


def _feed_settings(files: JobPaths, min_free_gb: float) -> dict[str, Path | float]:
    return {
        "path": files.events,
        "ended_dir": files.proxy / "ended",
        "digests": files.task_digests,
        "min_free_gb": min_free_gb,
    }
