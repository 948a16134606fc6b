"""What the machine has to have, looked at in a few seconds and before anything is downloaded or changed."""

import platform
import shutil
import tempfile
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from trajgen_assets.core.errors import RequirementError
from trajgen_assets.core.provision.command import run, tool_environ, which
from trajgen_assets.core.provision.packages import Authority, install_line
from trajgen_assets.core.provision.python import (
    DOWNLOADED_VERSION,
    find_harbor_python,
    no_harbor_python,
    running_python,
)
from trajgen_assets.core.provision.uv import base_python, bundled_pip, can_install_uv, find_uv

UV_TIMEOUT_S = 4.5
# pip alone takes that long on a busy machine; it gives up after 3 s by itself where an index does not answer.
PIP_TIMEOUT_S = 30.0
LOW_MEMORY_MB = 2048
SANDBOX_PROOF = ("bwrap", "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "--unshare-pid", "true")


@dataclass(frozen=True)
class Check:
    """One line of the check: what was looked at, what was found, and the mend when it is not enough.

    `package` names the system package whose installation is the mend. What is not `required` only warns.
    """

    name: str
    ok: bool
    detail: str
    mend: str = ""
    package: str | None = None
    required: bool = True

    @property
    def line(self) -> str:
        mark = "ok" if self.ok else "missing" if self.required else "warning"
        return f"  {mark:<9}{self.name:<19}{self.detail}" + (f". Mend: {self.mend}" if self.mend else "")


@dataclass(frozen=True)
class Survey:
    """What is being set up, and where: the input of every check.

    Args:
        disk_mb: megabytes that the set-up will take.
        sandbox: whether the `local` sandbox has to work, as it has for the demo.
    """

    project: Path
    env_dir: Path
    environ: Mapping[str, str]
    harbor_python: Path | None = None
    disk_mb: int = 0
    sandbox: bool = False
    is_root: bool = False

    def mend(self, package: str) -> str:
        return f"run `{install_line([package], self.environ, is_root=self.is_root)}`"


def check_system(
    project: Path,
    env_dir: Path,
    *,
    environ: Mapping[str, str],
    harbor_python: Path | None = None,
    disk_mb: int = 0,
    sandbox: bool = False,
    authority: Authority | None = None,
) -> list[Check]:
    """Look at everything that set-up needs. Changes nothing; at most about five seconds, without a network too."""
    is_root = (authority or Authority.of_this_process()).is_root
    survey = Survey(project, env_dir, environ, harbor_python, disk_mb, sandbox, is_root)
    checks: tuple[Callable[[Survey], Check], ...] = (
        _system, _python, _harbor_python, _uv, _index, _disk, _memory, _git, _tmux, _bubblewrap,
    )  # fmt: skip
    with ThreadPoolExecutor(len(checks)) as pool:
        return list(pool.map(lambda check: check(survey), checks))


def check_tools(survey: Survey) -> list[Check]:
    """The part of `check_system` that may change after set-up: the programs that jobs call."""
    return [_git(survey), _tmux(survey), _bubblewrap(survey)]


def check_sandbox(survey: Survey) -> Check:
    """Whether the `local` sandbox can be made here."""
    return _bubblewrap(survey)


def _system(_survey: Survey) -> Check:
    name = f"{platform.system()} {platform.machine()}"
    is_linux = platform.system() == "Linux"
    return Check("system", is_linux, name, "" if is_linux else "run it on Linux, in a virtual machine for example")


def _python(survey: Survey) -> Check:
    try:
        interpreter = running_python(survey.environ)
    except RequirementError as error:
        return Check("Python", False, error.what, error.mend or "")
    return Check("Python", True, f"{interpreter.version_text} at {interpreter.path}")


def _harbor_python(survey: Survey) -> Check:
    name = "Python for Harbor"
    try:
        interpreter = find_harbor_python(survey.project, survey.harbor_python, survey.environ)
    except RequirementError as error:
        return Check(name, False, f"{error.where} {error.why}", error.mend or "")
    if interpreter is not None:
        return Check(name, True, f"{interpreter.version_text} at {interpreter.path}")
    if _downloads_are_refused(survey.environ):
        refusal = no_harbor_python("uv is told to download none")
        return Check(name, False, f"{refusal.what}: {refusal.why}", refusal.mend or "")
    return Check(name, True, f"none runs here; uv will download {DOWNLOADED_VERSION}, about 35 MB")


def _downloads_are_refused(environ: Mapping[str, str]) -> bool:
    yes = {"1", "true", "yes", "on"}
    return environ.get("UV_OFFLINE", "").lower() in yes or environ.get("UV_PYTHON_DOWNLOADS", "").lower() in {
        "never",
        "false",
    }


def _uv(survey: Survey) -> Check:
    if (uv := find_uv(survey.project, survey.environ)) is not None:
        return Check("uv", True, str(uv))
    if can_install_uv():
        return Check("uv", True, "none new enough; the pinned one will be installed into .uv/")
    package = "python3-venv"
    return Check(
        "uv", False, "none new enough, and this Python has no pip to install it", survey.mend(package), package
    )


def _index(survey: Survey) -> Check:
    """Ask the index for one small page, by the program that will download from it."""
    env = tool_environ(survey.environ) | {"UV_HTTP_TIMEOUT": "3", "UV_HTTP_RETRIES": "0"}
    uv = find_uv(survey.project, survey.environ)
    if uv is None and not can_install_uv():
        return Check("package index", True, "not asked: there is neither uv nor pip to ask with")
    timeout_s = PIP_TIMEOUT_S if uv is None else UV_TIMEOUT_S
    with tempfile.TemporaryDirectory(prefix="trajgen-check-") as folder:
        question = _ask_with_pip(survey.environ) if uv is None else _ask_with_uv(uv, Path(folder))
        outcome = run(question, env=env | bundled_pip(), timeout_s=timeout_s, cwd=Path(folder))
    if outcome.ok:
        return Check("package index", True, "answers")
    mend = "check network and proxy, or name an index: export UV_DEFAULT_INDEX=…"
    return Check("package index", False, f"does not answer: {outcome.reason}", mend)


def _ask_with_uv(uv: Path, folder: Path) -> list[str | Path]:
    requirement = folder / "requirement.in"
    requirement.write_text("uv\n", encoding="utf-8")
    return [
        uv,
        "pip",
        "compile",
        "--quiet",
        "--no-cache",
        "--no-deps",
        "--no-header",
        "--no-python-downloads",
        requirement,
    ]


def _ask_with_pip(environ: Mapping[str, str]) -> list[str | Path]:
    index = environ.get("UV_DEFAULT_INDEX") or environ.get("UV_INDEX_URL")
    asked = ["--index-url", index] if index else []
    return [base_python(), "-m", "pip", "index", "versions", "uv", "--retries", "0", "--timeout", "3", *asked]


def _disk(survey: Survey) -> Check:
    place = next(path for path in (survey.env_dir, *survey.env_dir.parents) if path.exists())
    free_mb = shutil.disk_usage(place).free // 2**20
    detail = f"{free_mb / 1024:.1f} GB free at {place}, about {survey.disk_mb / 1024:.1f} GB needed"
    enough = free_mb >= survey.disk_mb
    return Check("disk", enough, detail, "" if enough else "free some, or name another place: export TRAJGEN_ENV_DIR=…")


def _memory(_survey: Survey) -> Check:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        available_mb = next(int(line.split()[1]) // 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        return Check("memory", True, "not known on this system")
    enough = available_mb >= LOW_MEMORY_MB
    mend = "" if enough else "run one job at a time: a proxy alone takes about 350 MB"
    return Check("memory", enough, f"{available_mb / 1024:.1f} GB available", mend, required=False)


def _git(survey: Survey) -> Check:
    return _program("git", "git", survey)


def _tmux(survey: Survey) -> Check:
    return _program("tmux", "tmux", survey)


def _program(program: str, package: str, survey: Survey) -> Check:
    path = next(which(program, survey.environ), None)
    if path is not None:
        return Check(package, True, str(path))
    return Check(package, False, "not installed", survey.mend(package), package)


def _bubblewrap(survey: Survey) -> Check:
    """Bubblewrap, and whether the kernel lets it make a sandbox: a container or AppArmor often does not."""
    found = _program("bwrap", "bubblewrap", survey)
    if not found.ok:
        return found
    outcome = run(SANDBOX_PROOF, env=tool_environ(survey.environ), timeout_s=4)
    if outcome.ok:
        return found
    return Check(
        "bubblewrap",
        False,
        f"{found.detail} cannot make a sandbox: {outcome.reason}",
        "allow user namespaces (sysctl kernel.apparmor_restrict_unprivileged_userns=0), or use docker instead of local",
        required=survey.sandbox,
    )
