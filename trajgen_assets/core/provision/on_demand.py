"""An environment at the moment when it is needed: as it stands where its inputs are what they were, else built."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from trajgen_assets.core.paths import PROJECT
from trajgen_assets.core.provision.command import HARBOR_PYTHON_VARIABLE, Say
from trajgen_assets.core.provision.environments import Environment, standing_environment
from trajgen_assets.core.provision.python import HARBOR_PYTHONS, probe
from trajgen_assets.core.provision.record import Record, inputs_digest
from trajgen_assets.core.provision.setup import (
    HARBOR,
    LITELLM,
    LOCKS,
    SWE_DATA_PROCESS,
    Setup,
    build_environment,
    is_done,
    python_for,
)
from trajgen_assets.core.provision.source import Source
from trajgen_assets.core.provision.uv import find_uv, install_uv

# What every job runs in, by the short name that people use for it.
JOB_ENVIRONMENTS = {"harbor": HARBOR, "litellm": LITELLM}

# Those, and what only some configurations need.
ENVIRONMENTS = JOB_ENVIRONMENTS | {"swe_data_process": SWE_DATA_PROCESS}


def short_name(name: str) -> str:
    """What people call the environment `name`; of one that a person names or locks, its name up to the first dash."""
    return next((short for short, known in ENVIRONMENTS.items() if known == name), name.partition("-")[0])


def inputs_of(name: str, project: Path = PROJECT) -> str:
    """Digest of what `name` is to be made from now, whatever it was made from."""
    return inputs_digest(project / "locks" / LOCKS[name])


def needed_environment(
    name: str,
    env_dir: Path,
    say: Say,
    *,
    project: Path = PROJECT,
    environ: Mapping[str, str] | None = None,
    rebuild: bool = False,
    sources: Mapping[str, Source] | None = None,
) -> Environment:
    """Return the environment `name`, after building it if its lock or its interpreter changed, or if it is not there.

    Where nothing changed nothing is written and nobody is waited for, so it serves in a tree that is read-only.

    Args:
        rebuild: build it anyway.
        sources: what the main package of an environment is built from, by its name; else that comes from the lock.

    Raises:
        EnvironmentBuildError: it could not be built; what stood before stands.
        RequirementError: there is no interpreter for it, or no place to build in.
    """
    job = Setup(project, env_dir, os.environ if environ is None else environ, say, sources=sources or {})
    standing = standing_environment(env_dir, name)
    if standing is not None and not rebuild and is_done(job, name) and not _is_renewed(standing.record, job.environ):
        return standing
    uv = find_uv(project, job.environ) or install_uv(project, job.environ, say)
    python = python_for(_as_before(job, name, standing), name, uv)
    say(f"building the environment {name} on Python {python.version_text}")
    return build_environment(job, name, uv, python, rebuild=rebuild)


def ready_environments(env_dir: Path, say: Say, sources: Mapping[str, Source] | None = None) -> Sequence[Environment]:
    """Both environments that a job runs in; see `needed_environment`."""
    return [needed_environment(name, env_dir, say, sources=sources) for name in JOB_ENVIRONMENTS.values()]


def _is_renewed(record: Record, environ: Mapping[str, str]) -> bool:
    """Whether another version lies where the interpreter was. One that is too busy to answer is taken for the same."""
    found = probe(Path(record.interpreter), environ)
    return found is not None and found.version_text != record.version


def _as_before(job: Setup, name: str, standing: Environment | None) -> Setup:
    """Harbor stays on its Python: which one PATH names first may differ between a terminal and the daemon."""
    if name != HARBOR or standing is None or job.environ.get(HARBOR_PYTHON_VARIABLE):
        return job
    found = probe(Path(standing.record.interpreter), job.environ)
    return replace(job, harbor_python=found.path) if found is not None and found in HARBOR_PYTHONS else job
