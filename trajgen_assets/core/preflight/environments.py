"""The uv environments of Harbor, LiteLLM and a chosen converter: there, made from their locks, and able to run."""

import os
from collections.abc import Iterator

from trajgen_assets.core.checkouts.converter import converter_source, is_converter_chosen
from trajgen_assets.core.checkouts.harbor import sources_of
from trajgen_assets.core.config.config import Config
from trajgen_assets.core.errors import RefusedError
from trajgen_assets.core.paths import PROJECT
from trajgen_assets.core.preflight.findings import Finding, Subject, fail, ok, warn
from trajgen_assets.core.provision.command import TIMED_OUT, run, tool_environ
from trajgen_assets.core.provision.record import inputs_digest, is_current
from trajgen_assets.core.provision.setup import HARBOR, LITELLM, LOCKS, SMOKES, SWE_DATA_PROCESS
from trajgen_assets.core.provision.source import Source
from trajgen_assets.core.rollout.harbor import QUIET_ENV

NAMES = (HARBOR, LITELLM)
PROGRAM_TIMEOUT_S = 20.0
QUIET = QUIET_ENV | {"PYTHONDONTWRITEBYTECODE": "1"}
BUILD = "run `trajgen setup-envs`"
REBUILD = "run `trajgen setup-envs --rebuild`"


def equal_to_locks(subject: Subject) -> Iterator[Finding]:
    """Each is complete and was made from the lock file that this checkout has; else the next job builds it."""
    for name in _names(subject):
        home = subject.root.env / name
        if _stands(subject, name):
            yield ok(os.path.realpath(home).rpartition("/")[2], subject=name)
        else:
            fault = "is not what its lock says" if home.exists() else "is not set up"
            user = "conversion" if name == SWE_DATA_PROCESS else "job"
            yield warn(f"{home} {fault}; the next {user} builds it first", BUILD, subject=name)


def programs_run(subject: Subject, *, timeout_s: float = PROGRAM_TIMEOUT_S) -> Iterator[Finding]:
    """Each program starts and tells its version. One that takes long for it does so on a busy machine, and works."""
    for name in _names(subject):
        home = subject.root.env / name
        if not _stands(subject, name):  # the next job builds it; that has a line of its own
            continue
        _, (program, *arguments) = SMOKES[name]
        outcome = run([home / "bin" / program, *arguments], env=tool_environ(os.environ) | QUIET, timeout_s=timeout_s)
        if outcome.code == TIMED_OUT:
            mend = "see what keeps this machine busy"
            yield warn(f"{program} did not tell its version within {timeout_s:.0f} s", mend, subject=name)
        elif not outcome.ok:
            error = RefusedError("an environment does not run", where=home, why=outcome.reason, mend=REBUILD)
            yield fail(error, subject=name)
        else:
            yield ok(outcome.tail[-1].strip() if outcome.tail else "runs", subject=name)


def _names(subject: Subject) -> tuple[str, ...]:
    config = subject.config_or_error
    is_chosen = isinstance(config, Config) and is_converter_chosen(config)
    return (*NAMES, SWE_DATA_PROCESS) if is_chosen else NAMES


def _stands(subject: Subject, name: str) -> bool:
    if name == SWE_DATA_PROCESS:
        source: Source | None = converter_source(subject.config)
    else:
        sources = sources_of(subject.config) if isinstance(subject.config_or_error, Config) else {}
        source = sources.get(name)
    inputs = inputs_digest(PROJECT / "locks" / LOCKS[name], place=source.commit if source else "")
    return is_current(subject.root.env / name, inputs)
