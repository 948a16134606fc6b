"""Set-up from nothing: look, install what is missing, build the environments. A second call does nothing."""

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from trajgen_assets.core.clock import stamp
from trajgen_assets.core.counting import count_of
from trajgen_assets.core.errors import RequirementError
from trajgen_assets.core.provision.builder import Builder
from trajgen_assets.core.provision.command import HARBOR_PYTHON_VARIABLE, Say
from trajgen_assets.core.provision.environments import Environment, EnvironmentSpec, ensure_environment, locked
from trajgen_assets.core.provision.packages import Authority, install_packages
from trajgen_assets.core.provision.python import (
    Interpreter,
    download_harbor_python,
    find_harbor_python,
    running_python,
)
from trajgen_assets.core.provision.record import RECORD, Record, inputs_digest, is_current
from trajgen_assets.core.provision.source import Source
from trajgen_assets.core.provision.system import Check, Survey, check_system, check_tools
from trajgen_assets.core.provision.uv import find_uv, install_uv

HARBOR = "harbor-uv"
LITELLM = "litellm-venv"
LLAMA_FACTORY = "llamafactory-uv"
SWE_DATA_PROCESS = "swe-data-process-uv"
PLATFORM = ".venv"
LOCKS = {
    PLATFORM: "main.txt",
    LITELLM: "litellm.txt",
    HARBOR: "harbor.txt",
    LLAMA_FACTORY: "llamafactory.txt",
    SWE_DATA_PROCESS: "swe-data-process.txt",
}

RESERVE_MB = 500  # what is left free for the first jobs
LITELLM_VERSION = "from importlib.metadata import version; print(version('litellm'))"  # importing it takes 6 s
LLAMA_FACTORY_VERSION = "import datasets; from llamafactory.extras.env import VERSION; print(VERSION)"
SMOKES = {
    HARBOR: ("harbor", ("harbor", "--version")),
    LITELLM: ("litellm", ("python", "-c", LITELLM_VERSION)),
    LLAMA_FACTORY: ("llamafactory", ("python", "-c", LLAMA_FACTORY_VERSION)),
    SWE_DATA_PROCESS: ("swe_data_process", ("python", "-P", str(Path(__file__).with_name("converter_check.py")))),
}


@dataclass(frozen=True)
class Step:
    """One environment to build: what it is called to a person, and what it costs.

    Megabytes were measured with an empty cache in this order; what two environments share is counted once."""

    name: str
    title: str
    download_mb: int
    disk_mb: int


STEPS = (
    Step(PLATFORM, "trajgen and Dagster", 200, 880),
    Step(LITELLM, "LiteLLM proxy", 90, 480),
    Step(HARBOR, "Harbor", 60, 400),
)
TEST_STEPS = (*STEPS, Step(LLAMA_FACTORY, "LLaMA-Factory's data code, for the tests", 70, 310))


@dataclass(frozen=True)
class Setup:
    """One set-up: where, by whose leave, and to whom it reports."""

    project: Path
    env_dir: Path
    environ: Mapping[str, str]
    say: Say
    harbor_python: Path | None = None
    sandbox: bool = False
    authority: Authority = field(default_factory=Authority)
    sources: Mapping[str, Source] = field(default_factory=dict)

    @property
    def store(self) -> Path:
        return self.env_dir / "store"

    def lock_file(self, step: str) -> Path:
        return self.project / "locks" / LOCKS[step]

    def inputs(self, step: str) -> str:
        """Digest of what `step` is to be made from: its lock, and the commit of its sources where it has some."""
        source = self.sources.get(step)
        return inputs_digest(self.lock_file(step), place=source.commit if source else "")


def setup(
    project: Path,
    env_dir: Path,
    *,
    harbor_python: Path | None = None,
    say: Say,
    sandbox: bool = False,
    tests: bool = False,
    authority: Authority | None = None,
    environ: Mapping[str, str] | None = None,
) -> tuple[str, ...]:
    """Bring the checkout `project` to where every command of trajgen runs; environments go to `env_dir`.

    Args:
        harbor_python: the Python for Harbor's environment; None has one looked for.
        say: gets one line of progress at a time.
        sandbox: fail where the `local` sandbox cannot work, instead of a warning.
        tests: build what only the tests need, too.
        authority: what may be done to the system; by default that of this process.

    Returns:
        What was built.

    Raises:
        RequirementError: the machine lacks something. Nothing was downloaded or changed.
        EnvironmentBuildError: an environment could not be built. None is left half-built.
    """
    environ = os.environ if environ is None else environ
    authority = authority or Authority.of_this_process()
    job = Setup(project, env_dir, environ, say, harbor_python, sandbox, authority)
    steps = [step for step in (TEST_STEPS if tests else STEPS) if not is_done(job, step.name)]
    tools = check_tools(Survey(project, env_dir, environ, sandbox=sandbox, is_root=authority.is_root))
    if not steps and not _failed(tools):
        say("set-up is complete")
        return ()
    _prepare_system(job, steps)
    _build_all(job, steps)
    say("set-up is complete")
    return tuple(step.name for step in steps)


def is_done(job: Setup, step: str) -> bool:
    """Whether the environment `step` stands as its lock and its interpreter are now. Runs nothing."""
    if step == PLATFORM:
        return is_current(job.project / PLATFORM, _platform_inputs(job))
    home = job.env_dir / step
    return is_current(home, job.inputs(step)) and not (step == HARBOR and _wants_other_python(job, home))


def _wants_other_python(job: Setup, home: Path) -> bool:
    """Whether a Python is named for Harbor that is not the one beneath `home`."""
    named = job.harbor_python or job.environ.get(HARBOR_PYTHON_VARIABLE)
    record = Record.read(home)
    return bool(named) and record is not None and os.path.realpath(Path(named or "").expanduser()) != record.interpreter


def _platform_inputs(job: Setup) -> str:
    """The project's own place counts: its editable install holds the absolute path."""
    return inputs_digest(job.lock_file(PLATFORM), job.project / "pyproject.toml", place=str(job.project))


def _prepare_system(job: Setup, steps: Sequence[Step]) -> None:
    """Look at the machine, install the system packages that it lacks, and look at those again."""
    job.say("checking this machine")
    checks = _check(job, steps)
    for check in checks:
        job.say(check.line)
    failed = _failed(checks)
    if beyond_us := [check for check in failed if check.package is None]:
        raise _lacking(beyond_us)
    if failed:
        install_packages([str(check.package) for check in failed], job.authority, job.environ, job.say)
        if still := _failed(_check(job, steps)):
            raise _lacking(still)


def _check(job: Setup, steps: Iterable[Step]) -> list[Check]:
    return check_system(
        job.project,
        job.env_dir,
        environ=job.environ,
        harbor_python=job.harbor_python,
        disk_mb=sum(step.disk_mb for step in steps) + RESERVE_MB,
        sandbox=job.sandbox,
        authority=job.authority,
    )


def _failed(checks: Iterable[Check]) -> list[Check]:
    return [check for check in checks if check.required and not check.ok]


def _lacking(checks: Sequence[Check]) -> RequirementError:
    """One error for all that is missing: with a single check its own mend, else the mends above are named."""
    if len(checks) == 1:
        (check,) = checks
        return RequirementError(f"this machine is not ready: {check.name}: {check.detail}", mend=check.mend)
    names = ", ".join(check.name for check in checks)
    return RequirementError(f"this machine is not ready: {names}", mend="; ".join(check.mend for check in checks))


def _build_all(job: Setup, steps: Sequence[Step]) -> None:
    if not steps:
        return
    download_mb, disk_mb = sum(step.download_mb for step in steps), sum(step.disk_mb for step in steps)
    names = count_of(len(steps), "environment")
    job.say(f"to build: {names}; about {download_mb} MB to download, {disk_mb} MB on disk, up to 3 minutes")
    uv = find_uv(job.project, job.environ) or _install_uv(job)
    pythons = {step.name: python_for(job, step.name, uv) for step in steps}  # before anything large is downloaded
    for number, step in enumerate(steps, start=1):
        job.say(f"[{number}/{len(steps)}] {step.title}")
        started_at = time.monotonic()
        _build(job, step.name, uv, pythons[step.name])
        job.say(f"      done in {time.monotonic() - started_at:.0f} s")


def _install_uv(job: Setup) -> Path:
    job.say("installing uv into .uv/")
    return install_uv(job.project, job.environ, _indented(job.say))


def python_for(job: Setup, step: str, uv: Path) -> Interpreter:
    """The interpreter that `step` is to be made for.

    Raises:
        RequirementError: there is none.
    """
    if step != HARBOR:
        return running_python(job.environ)
    found = find_harbor_python(job.project, job.harbor_python, job.environ)
    return found or download_harbor_python(job.project, uv, job.environ, _indented(job.say))


def _build(job: Setup, step: str, uv: Path, python: Interpreter) -> None:
    if step == PLATFORM:
        _build_platform(job, uv, python)
        return
    build_environment(job, step, uv, python)


def build_environment(job: Setup, step: str, uv: Path, python: Interpreter, *, rebuild: bool = False) -> Environment:
    """Make an environment that lies in the store; see `ensure_environment`."""
    distribution, smoke = SMOKES[step]
    spec = EnvironmentSpec(step, python.path, job.lock_file(step), distribution, smoke, job.sources.get(step))
    return ensure_environment(
        spec, job.store, job.env_dir / step, _indented(job.say), uv=uv, environ=job.environ, rebuild=rebuild
    )


def _build_platform(job: Setup, uv: Path, python: Interpreter) -> None:
    """Build or renew `.venv` in its place; its record is taken away first and written last."""
    home = job.project / PLATFORM
    with locked(job.env_dir / ".platform.lock", job.say) as lock_fd:
        if is_current(home, _platform_inputs(job)):
            return
        builder = Builder(uv, job.environ, _indented(job.say), lock_fd)
        record = Record.read(home)
        (home / RECORD).unlink(missing_ok=True)
        if record is None or record.interpreter != str(python.path):
            builder.create(home, python.path)
        builder.sync(home, job.lock_file(PLATFORM))
        builder.install_editable(home, job.project)
        os.sync()
        Record(PLATFORM, str(python.path), python.version_text, _platform_inputs(job), stamp()).write(home)


def _indented(say: Say) -> Say:
    return lambda line: say(f"      {line}")
