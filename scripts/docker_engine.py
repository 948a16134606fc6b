"""A Docker engine with compose v2 on a Debian-like machine, and the base image of the bundled tasks, no registry asked.

    python3 scripts/docker_engine.py check        0 when engine, compose v2 and buildx answer; else 1 and why not
    python3 scripts/docker_engine.py ensure       as root: install what is missing and start the engine
    python3 scripts/docker_engine.py base-image   as root: make `trajgen/sample-base:1` from this system's own packages
    python3 scripts/docker_engine.py deploy-base  as root: make `trajgen/deploy-base:1`, which deploy/compose builds on
    python3 scripts/docker_engine.py stop         end the engine that `ensure` started, and no other

Every download goes through apt from the mirror that the machine is set to, so that signatures, proxies and
credentials are apt's own matter. It needs Python 3.11 or newer, and no package.
"""

import argparse
import hashlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the system's Python has nothing of ours installed

from trajgen_assets.core.errors import RequirementError, TrajgenError
from trajgen_assets.core.paths import Root
from trajgen_assets.core.provision.command import Outcome, Say, run, tool_environ
from trajgen_assets.core.provision.environments import locked
from trajgen_assets.core.provision.packages import Authority, install_packages

QUESTION_TIMEOUT_S = 20.0
CHANGE_TIMEOUT_S = 900.0
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 45.0  # the engine itself gives its containers 15 s
LOG_LINES = 8
READY = "engine, compose v2 and buildx answer"

# Where a client finds its engine. tool_environ leaves them out, because an installer has no use for them.
ENGINE_VARIABLES = ("DOCKER_HOST", "DOCKER_CONFIG", "DOCKER_CONTEXT", "DOCKER_CERT_PATH", "DOCKER_TLS_VERIFY")

# Releases without compose v2, and the first one that has it: its packages need nothing newer than libc 2.34.
LATER_RELEASE = {"bookworm": "trixie"}
ARCHIVE_KEYRING = "usr/share/keyrings/debian-archive-keyring.gpg"

# Harbor makes a network for every trial, and the engine's own pools end at about 30. The first pool is the usual one
# of the default bridge. The engine passes over a network that overlaps with a route of this machine.
ADDRESS_POOLS = ("base=172.17.0.0/16,size=16", "base=10.208.0.0/12,size=24")

# mmdebstrap binds this machine's own /dev/shm into what it makes. Here its mounts are seen by nobody else and end with
# it, and it ends with us: so a folder that is removed after an interrupt never leads to a file of the machine.
APART = ("setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")

IMAGE_OMITS = ("/usr/share/doc/*", "/usr/share/info/*", "/usr/share/locale/*", "/usr/share/man/*")
# For programs that do not look where Debian keeps certificates.
CA_VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS")
IMAGE_SETTINGS = (
    "ENV LANG=C.UTF-8",
    *(f"ENV {name}=/etc/ssl/certs/ca-certificates.crt" for name in CA_VARIABLES),
    'CMD ["/bin/bash"]',
)


@dataclass(frozen=True)
class Plugin:
    """A plugin of the docker client, and what Debian, Ubuntu and Docker's own archive call its package."""

    name: str
    packages: tuple[str, ...]
    lowest_major: int


PLUGINS = (
    Plugin("compose", ("docker-compose", "docker-compose-v2", "docker-compose-plugin"), 2),
    Plugin("buildx", ("docker-buildx", "docker-buildx-plugin"), 0),
)


@dataclass(frozen=True)
class Machine:
    """Where we are and what we may do.

    Args:
        environ: what every program gets.
        state_dir: keeps the log of the engine that we start, and the record by which it is stopped.
        cache_dir: keeps the file system of the base image.
        say: gets one line of progress at a time.
        is_root: whether packages may be installed and an engine started.
        system: the folder that counts as `/`.
    """

    environ: Mapping[str, str]
    state_dir: Path
    cache_dir: Path
    say: Say
    is_root: bool
    system: Path = Path("/")

    @property
    def log(self) -> Path:
        return self.state_dir / "docker-engine.log"

    @property
    def record(self) -> Path:
        return self.state_dir / "docker-engine.json"

    @property
    def lock(self) -> Path:
        return self.system / "run" / "trajgen-docker-engine.lock"  # one for the machine, however many checkouts

    def has(self, program: str) -> bool:
        return shutil.which(program, path=self.environ.get("PATH")) is not None

    def ask(self, *argv: str) -> tuple[Outcome, list[str]]:
        """Run a command that only looks. Returns how it ended and every line that it printed."""
        lines: list[str] = []
        return run(argv, env=self.environ, timeout_s=QUESTION_TIMEOUT_S, on_line=lines.append), lines

    def do(self, failure: str, *argv: str | Path, folder: Path | None = None) -> None:
        """Run a command that changes something; `folder` is where it works and keeps temporary files.

        Raises:
            RequirementError: it failed; `failure` says what that means.
        """
        environ = {**self.environ, "TMPDIR": str(folder)} if folder else self.environ
        outcome = run(argv, env=environ, timeout_s=CHANGE_TIMEOUT_S, cwd=folder)
        if not outcome.ok:
            why = " | ".join(outcome.tail[-3:]) or outcome.reason
            raise RequirementError(failure, why=why, mend="put that right, then run this again")

    def require_root(self, purpose: str) -> None:
        """Refuse to go on without root.

        Raises:
            RequirementError: we are not root.
        """
        if not self.is_root:
            line = shlex.join(["sudo", "python3", *sys.argv])
            raise RequirementError(f"only root may {purpose}", mend=f"run `{line}`")


def machine_here(state_dir: Path, cache_dir: Path, say: Say) -> Machine:
    """This machine. Daemons and package tools live in folders that a user's PATH often lacks."""
    environ = tool_environ(os.environ) | {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    environ |= {name: os.environ[name] for name in ENGINE_VARIABLES if name in os.environ}
    environ["PATH"] = os.pathsep.join((environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"))
    return Machine(environ, state_dir.absolute(), cache_dir.absolute(), say, is_root=os.geteuid() == 0)


def shortcomings(machine: Machine) -> list[str]:
    """What keeps trials from running in containers here, one clause each; empty when nothing does."""
    silence = _silence(machine)
    missing = [f"the client has no {each.name} of version {each.lowest_major} or newer" for each in _lacking(machine)]
    return [f"no engine answers: {silence}", *missing] if silence else missing


def _silence(machine: Machine) -> str:
    """Why the engine does not answer; empty when it does."""
    if not machine.has("docker"):
        return "there is no docker client"
    outcome, _ = machine.ask("docker", "version", "--format", "{{.Server.Version}}")
    return "" if outcome.ok else outcome.reason.removesuffix(". Is the docker daemon running?")


def _lacking(machine: Machine) -> list[Plugin]:
    return [plugin for plugin in PLUGINS if not _has_plugin(machine, plugin)]


def _has_plugin(machine: Machine, plugin: Plugin) -> bool:
    outcome, lines = machine.ask("docker", plugin.name, "version")
    return outcome.ok and _major("".join(lines[-1:])) >= plugin.lowest_major


def _major(text: str) -> int:
    """The first number of the first version in `text`, without Debian's epoch; -1 when there is none."""
    match = re.search(r"(?<![\d.])v?(\d+)\.\d", text)
    return int(match[1]) if match else -1


def ensure(machine: Machine) -> None:
    """Bring the machine to where `shortcomings` finds none.

    Raises:
        RequirementError: not root, not Debian-like, no mirror, or an engine that cannot run here.
    """
    if not shortcomings(machine):
        machine.say(READY)
        return
    if (host := machine.environ.get("DOCKER_HOST")) and machine.has("docker") and (silence := _silence(machine)):
        raise RequirementError(
            "DOCKER_HOST names an engine that does not answer", where=host, why=silence, mend="start it, or unset it"
        )
    machine.require_root("install and start an engine")
    with locked(machine.lock, machine.say):
        _install_engine(machine)
        _install_plugins(machine, _lacking(machine))
        _start_engine(machine)
    if lacking := shortcomings(machine):
        raise RequirementError("containers cannot run here yet", why="; ".join(lacking), mend="install what is named")
    machine.say(READY)


def _install_engine(machine: Machine) -> None:
    if not _silence(machine):
        return
    for program, package in (("dockerd", "docker.io"), ("docker", "docker-cli")):  # newer releases split the client off
        if not machine.has(program):
            _install(machine, [package])


def _install(machine: Machine, packages: Sequence[str]) -> None:
    _codename(machine)
    install_packages(packages, Authority(is_root=True), machine.environ, machine.say)


def _codename(machine: Machine) -> str:
    """The release of this system.

    Raises:
        RequirementError: it is not Debian or of its kind.
    """
    with suppress(OSError):
        text = (machine.system / "etc" / "os-release").read_text(encoding="utf-8")
        match = re.search(r'^VERSION_CODENAME="?([\w.-]+)', text, re.MULTILINE)
        if match and machine.has("apt-get"):
            return match[1]
    mend = "install Docker with compose v2 by its own instructions, then run `check`"
    raise RequirementError("this can be installed on Debian and its kind only", mend=mend)


def _install_plugins(machine: Machine, plugins: Sequence[Plugin]) -> None:
    """Install `plugins` from this release where it has them, else from the first later one that does."""
    if not plugins:
        return
    candidates = _candidates(machine, plugins)
    own = [_own_package(plugin, candidates) for plugin in plugins]
    if here := [package for package in own if package]:
        _install(machine, here)
    if later := [plugin.packages[0] for plugin, package in zip(plugins, own, strict=True) if not package]:
        _install_later(machine, later)


def _own_package(plugin: Plugin, candidates: Mapping[str, str]) -> str | None:
    fitting = (each for each in plugin.packages if _major(candidates.get(each, "")) >= plugin.lowest_major)
    return next(fitting, None)


def _candidates(machine: Machine, plugins: Sequence[Plugin]) -> dict[str, str]:
    """The version that apt would install of each package that it knows. A fresh image knows none: refreshed first."""
    names = [package for plugin in plugins for package in plugin.packages]
    if not (found := _policy(machine, names)):
        machine.do("the package lists could not be fetched", "apt-get", "update")
        found = _policy(machine, names)
    return found


def _policy(machine: Machine, names: Sequence[str]) -> dict[str, str]:
    _, lines = machine.ask("apt-cache", "policy", *names)
    pairs = re.findall(r"^(\S+):$.*?^ +Candidate: (\S+)", "\n".join(lines), re.MULTILINE | re.DOTALL)
    return dict(pairs)


def _install_later(machine: Machine, packages: Sequence[str]) -> None:
    codename = _codename(machine)
    if (later := LATER_RELEASE.get(codename)) is None:
        mend = "install docker compose v2 and buildx by Docker's own instructions"
        raise RequirementError(f"{codename} has no {' and '.join(packages)}", mend=mend)
    mirror = mirror_of(machine, codename)
    machine.say(f"installing {', '.join(packages)} of {later}")
    with tempfile.TemporaryDirectory(prefix="trajgen-apt-") as folder:
        debs = download(machine, mirror, later, packages, Path(folder))
        install = ("apt-get", "install", "-y", "--no-install-recommends")
        machine.do(f"the packages of {later} could not be installed", *install, *debs)


def mirror_of(machine: Machine, codename: str) -> str:
    """Where this machine gets `codename` from, by apt's own reading of its sources in either format.

    Raises:
        RequirementError: apt has no source for it.
    """
    columns = "$(RELEASE) $(CODENAME) $(COMPONENT) $(REPO_URI)"
    _, lines = machine.ask("apt-get", "indextargets", "--format", columns, "Created-By: Packages")
    rows = [line.split() for line in lines]
    fitting = (row[3] for row in rows if len(row) == 4 and codename in row[:2] and row[2] == "main")
    if (mirror := next(fitting, None)) is None:
        mend = "name one in /etc/apt/sources.list.d, run `apt-get update`, then run this again"
        raise RequirementError(f"apt has no mirror of {codename} main", mend=mend)
    return mirror


def download(machine: Machine, mirror: str, release: str, packages: Sequence[str], folder: Path) -> list[Path]:
    """Fetch `packages` of another release of the mirror into `folder`, by an apt of its own that changes nothing else.

    apt verifies the release by the archive's keyring, the list by the release and each package by the list.

    Raises:
        RequirementError: the mirror does not answer, has none, or cannot be trusted.
    """
    options = _private_options(machine, mirror, release, folder)
    machine.do(f"the mirror has no {release} that can be trusted", "apt-get", *options, "update")
    machine.do(f"{release} lacks a package", "apt-get", *options, "download", *packages, folder=folder)
    return sorted(folder.glob("*.deb"))


def _private_options(machine: Machine, mirror: str, release: str, folder: Path) -> list[str]:
    """Options by which apt knows one source alone, and keeps all its state in `folder`."""
    for part in ("lists/partial", "cache/archives/partial"):
        (folder / part).mkdir(parents=True)
    keyring = machine.system / ARCHIVE_KEYRING
    signed_by = f" [signed-by={keyring}]" if keyring.is_file() else ""
    source = folder / "sources.list"
    source.write_text(f"deb{signed_by} {mirror} {release} main\n", encoding="utf-8")
    settings = {
        "Dir::Etc::SourceList": source,
        "Dir::Etc::SourceParts": "/dev/null",
        "Dir::State::Lists": folder / "lists",
        "Dir::Cache": folder / "cache",
        "Acquire::Languages": "none",
        "APT::Sandbox::User": "root",  # the folder is nobody else's to read
        "APT::Update::Error-Mode": "any",  # else a mirror that does not answer is a warning
        "Acquire::AllowInsecureRepositories": "false",
        "APT::Get::AllowUnauthenticated": "false",
    }
    return [part for name, value in settings.items() for part in ("-o", f"{name}={value}")]


def _start_engine(machine: Machine) -> None:
    """Start an engine unless one answers; it stays when we end."""
    if not _silence(machine):
        return
    _forget_dead(machine)
    machine.state_dir.mkdir(parents=True, exist_ok=True)
    with machine.log.open("ab") as log:
        offset = log.tell()
        argv = ["dockerd", *engine_options(machine)]
        machine.say(f"starting {shlex.join(argv)}, log in {machine.log}")
        process = subprocess.Popen(
            argv, env=machine.environ, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    try:
        _write_record(machine, process.pid)
        _wait_until_it_answers(machine, process, offset)
    except BaseException:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_TIMEOUT_S)
        machine.record.unlink(missing_ok=True)
        raise


def engine_options(machine: Machine) -> list[str]:
    """What `dockerd` is started with. It refuses an option that its settings file has too."""
    try:
        settings = json.loads((machine.system / "etc/docker/daemon.json").read_text(encoding="utf-8") or "{}")
    except (OSError, ValueError):
        settings = {}
    level = [] if "log-level" in settings else ["--log-level=warn"]
    pools = [] if "default-address-pools" in settings else [f"--default-address-pool={pool}" for pool in ADDRESS_POOLS]
    return [*level, *pools]


def _forget_dead(machine: Machine) -> None:
    """Remove pid files whose number a dead process or another program has: the engine would refuse to start.

    It happens where `/run` outlives a restart of the machine, and after a kill.
    """
    for name, path in (("dockerd", "docker.pid"), ("containerd", "docker/containerd/containerd.pid")):
        file = machine.system / "run" / path
        with suppress(OSError, ValueError):
            pid = int(file.read_text(encoding="ascii"))
            if start_ticks(pid) is None or Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip() != name:
                file.unlink()


def _wait_until_it_answers(machine: Machine, process: "subprocess.Popen[bytes]", offset: int) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while process.poll() is None and time.monotonic() < deadline:
        if not _silence(machine):
            machine.say(f"the engine answers, pid {process.pid}")
            return
        time.sleep(0.2)
    lines = machine.log.read_bytes()[offset:].decode("utf-8", "replace").splitlines()[-LOG_LINES:]
    for line in lines:
        machine.say(f"  | {line}")
    raise RequirementError(
        "the engine does not run here",
        where=machine.log,
        why=next((line for line in lines if line.startswith("failed to start")), "it did not answer in time"),
        mend="it needs cgroups, mounts and network rules: use a virtual machine or a privileged container, "
        "or roll out with `environment: local`",
    )


def _write_record(machine: Machine, pid: int) -> None:
    record = {"schema_version": 1, "pid": pid, "start_ticks": start_ticks(pid)}
    machine.record.write_text(json.dumps(record) + "\n", encoding="utf-8")


def start_ticks(pid: int) -> int | None:
    """When the process `pid` started, in clock ticks since boot; None when it has ended. It tells a reused pid."""
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return None
    return None if state == "Z" else int(fields[18])


def stop(machine: Machine) -> None:
    """End the engine that `ensure` started from this state folder, with its containers.

    Raises:
        RequirementError: it is not ours to end, or did not end.
    """
    pid = _recorded_pid(machine)
    if pid is None:
        machine.say("no engine that this started is running")
    else:
        machine.say(f"stopping the engine, pid {pid}")
        _end(machine, pid)
    machine.record.unlink(missing_ok=True)


def _recorded_pid(machine: Machine) -> int | None:
    """The pid of the engine that we started, if that very process still lives."""
    try:
        record: dict[str, Any] = json.loads(machine.record.read_text(encoding="utf-8"))
        pid, ticks = int(record["pid"]), record["start_ticks"]
    except (OSError, ValueError, KeyError):
        return None
    return pid if ticks is not None and start_ticks(pid) == ticks else None


def _end(machine: Machine, pid: int) -> None:
    ticks, deadline = start_ticks(pid), time.monotonic() + STOP_TIMEOUT_S
    try:
        os.kill(pid, signal.SIGTERM)
    except PermissionError:
        machine.require_root("end an engine that root started")
    while start_ticks(pid) == ticks:
        if time.monotonic() > deadline:
            raise RequirementError("the engine does not end", where=f"pid {pid}", mend=f"read {machine.log}")
        time.sleep(0.1)


@dataclass(frozen=True)
class BaseImage:
    """An image of nothing but Debian's packages: what it is called, and which it has beside what apt needs."""

    name: str
    packages: tuple[str, ...]

    @property
    def short_name(self) -> str:
        """Without owner and version."""
        return self.name.partition("/")[2].partition(":")[0]

    @property
    def settings(self) -> tuple[str, ...]:
        return (f"LABEL trajgen.image={self.short_name}", *IMAGE_SETTINGS)


SAMPLE_BASE = BaseImage("trajgen/sample-base:1", ("ca-certificates", "git", "python3", "tmux"))
DEPLOY_BASE = BaseImage("trajgen/deploy-base:1", ("ca-certificates", "passwd"))  # its Dockerfile installs the rest


@dataclass(frozen=True)
class Recipe:
    """What a base image is made of. `certificates` are files of this machine that its containers trust too."""

    codename: str
    architecture: str
    certificates: tuple[Path, ...] = ()
    image: BaseImage = SAMPLE_BASE

    @property
    def options(self) -> tuple[str, ...]:
        omits = (f"--dpkgopt=path-exclude={pattern}" for pattern in IMAGE_OMITS)
        return (
            "--mode=root",
            "--variant=apt",
            "--dpkgopt=force-unsafe-io",
            *omits,
            f"--include={','.join(self.image.packages)}",
        )

    @property
    def digest(self) -> str:
        trusted = [hashlib.sha256(path.read_bytes()).hexdigest() for path in self.certificates]
        parts = [self.codename, self.architecture, self.options, self.image.settings, trusted]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    @property
    def hooks(self) -> tuple[str, ...]:
        """What is done in the finished file system: the certificates are copied in and made known."""
        if not self.certificates:
            return ()
        copy = ("copy-in", *map(str, self.certificates), "/usr/local/share/ca-certificates")
        return (f"--customize-hook={shlex.join(copy)}", '--customize-hook=chroot "$1" update-ca-certificates')


def recipe_here(machine: Machine, image: BaseImage = SAMPLE_BASE) -> Recipe:
    """The recipe for this machine: its release, its architecture, its own certificates.

    What is deployed needs Harbor's Python and compose v2, which come with a later release than that of some machines.
    """
    codename = _codename(machine)
    if image is DEPLOY_BASE:
        codename = LATER_RELEASE.get(codename, codename)
    _, lines = machine.ask("dpkg", "--print-architecture")
    certificates = (machine.system / "usr/local/share/ca-certificates").glob("*.crt")
    return Recipe(codename, "".join(lines[-1:]), tuple(sorted(certificates)), image)


def ensure_base_image(machine: Machine, image: BaseImage = SAMPLE_BASE) -> None:
    """Make `image` unless it is there by the same recipe.

    Raises:
        RequirementError: no engine answers, not root, not Debian-like, no mirror, or a step failed.
    """
    if silence := _silence(machine):
        raise RequirementError("no engine answers", why=silence, mend=_mend(silence))
    recipe = recipe_here(machine, image)
    if _standing_recipe(machine, image) == recipe.digest:
        machine.say(f"{image.name} is up to date")
        return
    machine.require_root(f"make {image.name}")
    with locked(machine.lock, machine.say):
        if _standing_recipe(machine, image) != recipe.digest:
            started_at = time.monotonic()
            size_bytes = _make_image(machine, recipe)
            machine.say(f"made {image.name}: {size_bytes / 1e6:.0f} MB in {time.monotonic() - started_at:.0f} s")


def _standing_recipe(machine: Machine, image: BaseImage) -> str:
    outcome, lines = machine.ask(
        "docker", "image", "inspect", "--format", '{{index .Config.Labels "trajgen.recipe"}}', image.name
    )
    return lines[-1] if outcome.ok and lines else ""


def _make_image(machine: Machine, recipe: Recipe) -> int:
    """Import the file system of `recipe`, which an earlier call may have left. Returns its size in bytes."""
    archive = file_system(machine, recipe)
    settings = (*recipe.image.settings, f"LABEL trajgen.recipe={recipe.digest}")
    changes = [part for setting in settings for part in ("--change", setting)]
    machine.do(f"{recipe.image.name} could not be imported", "docker", "import", *changes, archive, recipe.image.name)
    ours = ("--filter", f"label=trajgen.image={recipe.image.short_name}")
    machine.ask("docker", "image", "prune", "--force", *ours)  # the one that this replaced, once nothing uses it
    return archive.stat().st_size


def file_system(machine: Machine, recipe: Recipe) -> Path:
    """The file system of `recipe` as a tar file in the cache, complete or not there at all.

    Raises:
        RequirementError: it could not be made.
    """
    archive = machine.cache_dir / f"{recipe.image.short_name}-{recipe.digest[:16]}.tar"
    if archive.is_file():
        return archive
    source = f"deb {mirror_of(machine, _codename(machine))} {recipe.codename} main"
    if not machine.has("mmdebstrap"):
        _install(machine, ["mmdebstrap"])
    machine.say(f"making a file system of {recipe.codename} with {', '.join(recipe.image.packages)}")
    machine.cache_dir.mkdir(parents=True, exist_ok=True)
    for leftover in machine.cache_dir.glob(".building-*"):  # of one that was killed: we hold the lock
        shutil.rmtree(leftover, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=".building-", dir=machine.cache_dir, ignore_cleanup_errors=True) as folder:
        building = Path(folder, archive.name)
        argv: tuple[str | Path, ...] = ("mmdebstrap", *recipe.options, *recipe.hooks, recipe.codename, building, source)
        machine.do("the file system of the base image could not be made", *APART, *argv, folder=Path(folder))
        with building.open("rb") as file:
            os.fsync(file.fileno())  # a power cut must not leave half of it under its final name
        for outdated in machine.cache_dir.glob(f"{recipe.image.short_name}-*.tar"):
            outdated.unlink()
        building.rename(archive)
    return archive


def _mend(why: str) -> str:
    if "permission denied" in why:
        return "run it as root, or join the group of the engine (`sudo usermod -aG docker $USER`) and log in again"
    return "run `python3 scripts/docker_engine.py ensure` as root"


def _check(machine: Machine) -> None:
    if lacking := shortcomings(machine):
        raise RequirementError("containers cannot run here", why="; ".join(lacking), mend=_mend(lacking[0]))
    machine.say(READY)


def _ensure_deploy_base(machine: Machine) -> None:
    ensure_base_image(machine, DEPLOY_BASE)


COMMANDS = {
    "check": _check,
    "ensure": ensure,
    "base-image": ensure_base_image,
    "deploy-base": _ensure_deploy_base,
    "stop": stop,
}


def main() -> int:
    """Do what the command line asks. Returns 0 when it is done, 1 when it is not, 130 when it was interrupted."""
    root = Root.from_environ()
    parser = argparse.ArgumentParser(description="A Docker engine for trials in containers.")
    parser.add_argument("command", choices=COMMANDS)
    parser.add_argument("--state-dir", type=Path, default=root.logs, help="log and record of the engine (%(default)s)")
    parser.add_argument("--cache-dir", type=Path, default=root.path / "images", help="base image (%(default)s)")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that what we run ends and half-made files go
    machine = machine_here(arguments.state_dir, arguments.cache_dir, lambda line: print(line, flush=True))
    try:
        COMMANDS[arguments.command](machine)
    except TrajgenError as error:
        print(f"docker engine: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
