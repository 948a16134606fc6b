"""The uv environments of Harbor and LiteLLM: there, made from the locks of this checkout, and able to run."""

import os
from collections.abc import Iterator

from trajgen_assets.core.errors import RefusedError
from trajgen_assets.core.paths import PROJECT
from trajgen_assets.core.preflight.findings import Finding, Subject, ok
from trajgen_assets.core.provision.command import run, tool_environ
from trajgen_assets.core.provision.record import inputs_digest, is_current
from trajgen_assets.core.provision.setup import HARBOR, LITELLM, LOCKS, SMOKES

NAMES = (HARBOR, LITELLM)
PROGRAM_TIMEOUT_S = 20.0
QUIET = {"HARBOR_TELEMETRY": "off", "LITELLM_LOCAL_MODEL_COST_MAP": "True", "PYTHONDONTWRITEBYTECODE": "1"}
MEND = "run `trajgen setup`"


def equal_to_locks(subject: Subject) -> Iterator[Finding]:
    """Each is complete and was made from the lock file that this checkout has."""
    for name in NAMES:
        home = subject.root.env / name
        lock = PROJECT / "locks" / LOCKS[name]
        if not home.exists():
            raise RefusedError("an environment is not set up", where=home, mend=MEND)
        if not is_current(home, inputs_digest(lock)):
            raise RefusedError("an environment is not what its lock says", where=home, why=lock, mend=MEND)
        yield ok(os.path.realpath(home).rpartition("/")[2], subject=name)


def programs_run(subject: Subject) -> Iterator[Finding]:
    """Each program starts and tells its version."""
    for name in NAMES:
        home = subject.root.env / name
        if not home.exists():
            continue
        _, (program, *arguments) = SMOKES[name]
        outcome = run(
            [home / "bin" / program, *arguments], env=tool_environ(os.environ) | QUIET, timeout_s=PROGRAM_TIMEOUT_S
        )
        if not outcome.ok:
            raise RefusedError("an environment does not run", where=home, why=outcome.reason, mend=MEND)
        yield ok(outcome.tail[-1].strip() if outcome.tail else "runs", subject=name)
