"""The deployment of deploy/compose: brought up from nothing, and taken down without a trace but its data.

    python3 scripts/deployment.py up      build the images, make what is missing of the data folder, start all
    python3 scripts/deployment.py down    end runs in good order and remove every container, network and volume name
    python3 scripts/deployment.py down --images    the images, too

What it is made of is read from variables: see docs/deployment.md. It needs Python 3.11 or newer, and no package.
"""

import argparse
import os
import re
import secrets
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISSOCK
from typing import Self

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the system's Python has nothing of ours installed

from scripts.docker_engine import DEPLOY_BASE, ENGINE_VARIABLES, READY, ensure_base_image, machine_here, shortcomings
from trajgen_assets.core.errors import ConfigError, RequirementError, TrajgenError
from trajgen_assets.core.paths import PROJECT, Root
from trajgen_assets.core.provision.command import Say, tool_environ

COMPOSE_FILE = PROJECT / "deploy" / "compose" / "compose.yaml"
DEPLOYMENT_LABEL = "trajgen.deployment"
JOB_LABEL = "trajgen.job"
PROJECT_LABEL = "com.docker.compose.project"
RUN_LABEL = "dagster/run_id"

# The platform's user where root deploys it. It owns the data and nothing else on this machine.
SYSTEM_UID = 10001
OPERATOR = "operator"

# Folders of the deployment's home. Nobody but the platform's user looks into them.
FOLDERS = ("artifacts", "config", "database", "env", "run", "tmp", "web")

_PATH, _NUMBER = r"/[A-Za-z0-9._/+@-]+", r"[0-9]{1,9}"
FORMS = {
    "TRAJGEN_DEPLOYMENT": r"[a-z0-9][a-z0-9_-]{0,60}",
    "TRAJGEN_HOME": _PATH,
    "TRAJGEN_TASKS": _PATH,
    "TRAJGEN_TAG": r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,120}",
    "TRAJGEN_UID": _NUMBER,
    "TRAJGEN_GID": _NUMBER,
    "TRAJGEN_NAME": r"[a-z0-9.-]+",
    "TRAJGEN_PORT": r"[1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]",
    "TRAJGEN_RUN_MEMORY": r"[1-9][0-9]*[kmg]?",
    "TRAJGEN_RUN_CPUS": r"[1-9][0-9]{0,3}(\.[0-9]{1,3})?|0\.[0-9]{0,2}[1-9]",
}

READY_TIMEOUT_S = 300
# A run that is told to end stops Harbor, which removes its containers, and then the proxy, which drains.
RUN_GRACE_S = 120


@dataclass(frozen=True)
class Deployment:
    """What a deployment is made of.

    Args:
        name: the compose project, and the value of the label that everything has.
        home: the folder of the host with all data; it has the same path in every container.
        tasks: the folder with task sources, which the platform only reads.
        tag: of the three images.
        uid, gid: the user whose processes these are, in every container.
        host_name, port: where browsers find the web UI: on this host's loopback.
        socket: of the engine; group is the one that may use it.
        run_memory, run_cpus: what the container of one run may take.
    """

    name: str
    home: Path
    tasks: Path
    tag: str
    uid: int
    gid: int
    host_name: str
    port: int
    socket: Path
    group: int
    run_memory: str
    run_cpus: float

    @classmethod
    def from_environ(cls, environ: Mapping[str, str], *, euid: int, egid: int) -> Self:
        """As the variables say; what they leave open is chosen for this machine and user.

        Raises:
            ConfigError: a value cannot be one.
            RequirementError: there is no engine of this host.
        """
        home = Path(environ.get("TRAJGEN_HOME") or _default_home(environ, euid)).expanduser().absolute()
        socket = _socket(environ)
        uid, gid = (SYSTEM_UID, SYSTEM_UID) if euid == 0 else (euid, egid)
        chosen = {
            "TRAJGEN_DEPLOYMENT": environ.get("TRAJGEN_DEPLOYMENT") or "trajgen",
            "TRAJGEN_HOME": str(home),
            "TRAJGEN_TASKS": str(Path(environ.get("TRAJGEN_TASKS") or home / "tasks").expanduser().absolute()),
            "TRAJGEN_TAG": environ.get("TRAJGEN_TAG") or "1",
            "TRAJGEN_UID": environ.get("TRAJGEN_UID") or str(uid),
            "TRAJGEN_GID": environ.get("TRAJGEN_GID") or str(gid),
            "TRAJGEN_NAME": environ.get("TRAJGEN_NAME") or "localhost",
            "TRAJGEN_PORT": environ.get("TRAJGEN_PORT") or "8443",
            "TRAJGEN_RUN_MEMORY": environ.get("TRAJGEN_RUN_MEMORY") or "8g",
            "TRAJGEN_RUN_CPUS": environ.get("TRAJGEN_RUN_CPUS") or str(min(4, os.cpu_count() or 1)),
        }
        _refuse_misfits(chosen)
        return cls(
            name=chosen["TRAJGEN_DEPLOYMENT"],
            home=home,
            tasks=Path(chosen["TRAJGEN_TASKS"]),
            tag=chosen["TRAJGEN_TAG"],
            uid=int(chosen["TRAJGEN_UID"]),
            gid=int(chosen["TRAJGEN_GID"]),
            host_name=chosen["TRAJGEN_NAME"],
            port=int(chosen["TRAJGEN_PORT"]),
            socket=socket,
            group=socket.stat().st_gid,
            run_memory=chosen["TRAJGEN_RUN_MEMORY"],
            run_cpus=float(chosen["TRAJGEN_RUN_CPUS"]),
        )

    @property
    def variables(self) -> dict[str, str]:
        """What compose.yaml takes in."""
        return {
            "TRAJGEN_DEPLOYMENT": self.name,
            "TRAJGEN_HOME": str(self.home),
            "TRAJGEN_TASKS": str(self.tasks),
            "TRAJGEN_TAG": self.tag,
            "TRAJGEN_UID": str(self.uid),
            "TRAJGEN_GID": str(self.gid),
            "TRAJGEN_NAME": self.host_name,
            "TRAJGEN_PORT": str(self.port),
            "TRAJGEN_DOCKER_SOCKET": str(self.socket),
            "TRAJGEN_DOCKER_GROUP": str(self.group),
            "TRAJGEN_RUN_MEMORY": self.run_memory,
            "TRAJGEN_RUN_NANO_CPUS": str(round(self.run_cpus * 1e9)),
        }

    @property
    def url(self) -> str:
        return f"https://{self.host_name}:{self.port}"


def _default_home(environ: Mapping[str, str], euid: int) -> Path:
    data = Path(environ.get("XDG_DATA_HOME") or Path(environ.get("HOME", "/")) / ".local" / "share")
    return Path("/var/lib/trajgen") if euid == 0 else data / "trajgen"


def _refuse_misfits(chosen: Mapping[str, str]) -> None:
    """Refuse what would mean something else where it is put in: these words stand in YAML, in mounts, in nginx's file.

    Raises:
        ConfigError: a value has not the form that it needs.
    """
    for name, value in chosen.items():
        if not re.fullmatch(FORMS[name], value):
            mend = f"give it a value of the form {FORMS[name]}"
            raise ConfigError("this variable has no value of its kind", where=name, why=f"it is {value!r}", mend=mend)


def _socket(environ: Mapping[str, str]) -> Path:
    """The socket of this host's engine.

    Raises:
        RequirementError: the engine is elsewhere, or there is none.
    """
    address = environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock"
    path = Path(environ.get("TRAJGEN_DOCKER_SOCKET") or address.removeprefix("unix://"))
    if path.is_absolute() and path.exists() and S_ISSOCK(path.stat().st_mode):
        return path
    mend = "deploy on the engine's own host: the containers of trials mount folders by their path there"
    raise RequirementError("the engine has no socket here", where=address, mend=mend)


@dataclass(frozen=True)
class Engine:
    """The docker client, told which deployment it is about."""

    deployment: Deployment
    environ: Mapping[str, str]
    say: Say

    def compose(self, *arguments: str, timeout_s: float = 1800.0) -> None:
        """One command of compose; what it prints is for whoever waits.

        Raises:
            RequirementError: it failed.
        """
        argv = ("docker", "compose", "--file", str(COMPOSE_FILE), "--progress", "plain", *arguments)
        environ = {**self.environ, **self.deployment.variables}
        done = subprocess.run(argv, env=environ, timeout=timeout_s, check=False, stdin=subprocess.DEVNULL)
        if done.returncode != 0:
            raise RequirementError("compose failed", where=" ".join(arguments[:3]), mend="see what it says above")

    def ask(self, *arguments: str, given: str | None = None, timeout_s: float = 180.0) -> str:
        """What the docker client prints; `given` goes to its standard input.

        Raises:
            RequirementError: it failed.
        """
        done = subprocess.run(
            ("docker", *arguments), env=self.environ, input=given or "", text=True, capture_output=True,
            timeout=timeout_s, check=False,
        )  # fmt: skip
        if done.returncode != 0:
            raise RequirementError(
                "Docker refuses", where=" ".join(arguments[:2]), why=done.stderr.strip() or None,
                mend="mend what it names, and run the same again: what was done already stays",
            )  # fmt: skip
        return done.stdout

    def ids(self, *listing: str, labels: Sequence[str]) -> list[str]:
        """What a listing has that carries all of `labels`."""
        filters = (part for label in labels for part in ("--filter", f"label={label}"))
        return self.ask(*listing, "--quiet", *filters).split()


def up(engine: Engine) -> None:
    """Bring all up, from whatever there is. A second call changes nothing that runs as it should."""
    deployment, machine = engine.deployment, machine_here(Root.from_environ().logs, _images(), engine.say)
    if lacking := shortcomings(machine):
        raise RequirementError("containers cannot run here", why="; ".join(lacking), mend="run `make engine`")
    engine.say(READY)
    ensure_base_image(machine, DEPLOY_BASE)
    engine.compose("--profile", "setup", "build")
    make_home(engine)
    engine.compose("up", "--detach", "--wait", "--wait-timeout", str(READY_TIMEOUT_S), "postgres")
    engine.compose("run", "--rm", "--no-TTY", "setup")
    engine.compose("up", "--detach", "--wait", "--wait-timeout", str(READY_TIMEOUT_S), "--remove-orphans")
    engine.say(f"web UI: {deployment.url}, for who is named in {deployment.home / 'web'}")
    engine.say(f"data: {deployment.home}; configuration: {deployment.home / 'config' / 'config.yaml'}")


def _images() -> Path:
    return Root.from_environ().path / "images"


def make_home(engine: Engine) -> None:
    """Make what is missing of the data folder. What is there is left as it is."""
    deployment = engine.deployment
    deployment.home.mkdir(parents=True, exist_ok=True)
    for folder in (*(deployment.home / name for name in FOLDERS), deployment.tasks):
        if not folder.exists():
            folder.mkdir(parents=True, mode=0o700)
            _give(folder, deployment)
    config = deployment.home / "config" / "config.yaml"
    if not config.exists():
        shutil.copyfile(PROJECT / "config.yaml", config)
        _give(config, deployment)
        engine.say(f"made {config}: fill it in, and write the keys that it names into secrets.env beside it")
    _make_web(engine, deployment.home / "web")


def _make_web(engine: Engine, web: Path) -> None:
    """A certificate of our own, and a first login, where there are none."""
    if not (web / "trajgen.crt").exists():
        made = _self_signed(engine)
        _write(engine, web / "trajgen.key", made)
        _write(engine, web / "trajgen.crt", made)
        engine.say(f"made {web / 'trajgen.crt'}: browsers ask about it until it is replaced by one that they trust")
    if not (web / "trajgen.htpasswd").exists():
        word = secrets.token_urlsafe(18)
        hashed = engine.ask(*_openssl(engine, "passwd", "-6", "-stdin"), given=word).strip()
        _write(engine, web / "first-login", f"{OPERATOR} {word}\n")
        _write(engine, web / "trajgen.operators", f'"{OPERATOR}" 127.0.0.1:3000;\n')
        _write(engine, web / "trajgen.htpasswd", f"{OPERATOR}:{hashed}\n")
        engine.say(f"made a login, which is in {web / 'first-login'}")


def _self_signed(engine: Engine) -> str:
    """Key and certificate in one text: nginx takes from it what it needs."""
    name = engine.deployment.host_name
    request = ("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "825", "-subj", f"/CN={name}")
    return engine.ask(*_openssl(engine, *request, "-addext", f"subjectAltName=DNS:{name}", "-keyout", "-", "-out", "-"))


def _openssl(engine: Engine, *arguments: str) -> Sequence[str]:
    image = f"trajgen/app:{engine.deployment.tag}"
    return ("run", "--rm", "--interactive", "--network", "none", "--pull=never", image, "openssl", *arguments)


def _write(engine: Engine, path: Path, text: str) -> None:
    """Write a file that nobody else reads, whole or not at all."""
    making = path.with_name(f".{path.name}")
    making.unlink(missing_ok=True)
    with os.fdopen(os.open(making, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    _give(making, engine.deployment)
    making.replace(path)


def _give(path: Path, deployment: Deployment) -> None:
    if os.geteuid() == 0:
        os.chown(path, deployment.uid, deployment.gid)


def down(engine: Engine, *, images: bool) -> None:
    """End all in good order: first what would start runs, then the runs, then what they wrote to.

    Raises:
        RequirementError: something of the deployment is left.
    """
    deployment = engine.deployment
    engine.compose("stop", "daemon")
    if runs := _runs(engine):
        engine.say(f"ending {len(runs)} runs; their finished trials are kept")
        _cancel(engine)
        engine.ask("stop", "--time", str(RUN_GRACE_S), *runs, timeout_s=RUN_GRACE_S + 60)
    engine.compose("stop", "webserver", "viewer", "code")
    for job in _jobs_with_leftovers(engine):
        engine.compose("run", "--rm", "--no-TTY", "--no-deps", "code", "trajgen", "reap", "--force", job)
    if ended := _runs(engine, "--all"):
        engine.ask("rm", "--force", *ended)
    removal = ("--rmi", "all") if images else ()
    engine.compose("--profile", "setup", "down", "--volumes", "--remove-orphans", "--timeout", "60", *removal)
    if left := leftovers(engine):
        raise RequirementError("not all of the deployment is gone", why="; ".join(left), mend="run `make down` again")
    engine.say(f"nothing of {deployment.name} runs any more; its data stay in {deployment.home}")


def _cancel(engine: Engine) -> None:
    """Have runs end as cancelled: interrupted without a word they would be taken up again by the next `up`."""
    try:
        container = f"{engine.deployment.name}-code-1"
        engine.ask("exec", container, "python", "-m", "resources.cancelling", timeout_s=RUN_GRACE_S)
    except (RequirementError, subprocess.TimeoutExpired) as error:
        engine.say(f"they are interrupted, because they could not be cancelled: {error}")


def _runs(engine: Engine, *options: str) -> list[str]:
    """The containers of runs. They have a label of compose, too: their image was built for one of its services."""
    return engine.ids("ps", *options, labels=[f"{DEPLOYMENT_LABEL}={engine.deployment.name}", RUN_LABEL])


def _jobs_with_leftovers(engine: Engine) -> list[str]:
    """Jobs of this deployment that still have a container or a network, as one that was killed has."""
    listed = ("--filter", f"label={JOB_LABEL}", "--format", f'{{{{.Label "{JOB_LABEL}"}}}}')
    jobs = {*engine.ask("ps", "--all", *listed).split(), *engine.ask("network", "ls", *listed).split()}
    return sorted(job for job in jobs if (engine.deployment.home / "artifacts" / "litellm" / job).is_dir())


def leftovers(engine: Engine) -> list[str]:
    """What the engine still has of the deployment, in words."""
    labels = [f"{label}={engine.deployment.name}" for label in (DEPLOYMENT_LABEL, PROJECT_LABEL)]
    listings = {"container": ("ps", "--all"), "network": ("network", "ls"), "volume": ("volume", "ls")}
    found = {
        f"{kind} {each}"
        for kind, listing in listings.items()
        for label in labels
        for each in engine.ids(*listing, labels=[label])
    }
    return sorted(found)


def main() -> int:
    """Do what the command line asks. Returns 0 when it is done, 1 when it is not, 130 when it was interrupted."""
    parser = argparse.ArgumentParser(description="The deployment of deploy/compose on this machine.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up", help="build the images and start all")
    commands.add_parser("down", help="end all; data stay").add_argument("--images", action="store_true")
    arguments = parser.parse_args()
    environ = tool_environ(os.environ) | {name: os.environ[name] for name in ENGINE_VARIABLES if name in os.environ}
    try:
        deployment = Deployment.from_environ(os.environ, euid=os.geteuid(), egid=os.getegid())
        engine = Engine(deployment, environ, lambda line: print(line, flush=True))
        up(engine) if arguments.command == "up" else down(engine, images=arguments.images)
    except (TrajgenError, subprocess.TimeoutExpired) as error:
        print(f"deployment: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
