"""A Harbor environment without Docker: one bubblewrap sandbox for each trial.

It is for machines without Docker, for tests and for demonstrations. **It is not a security boundary**: it shares the
kernel, has no limits on memory, processes or disk, and with root on the host its root is the host's user 0, stripped
of most capabilities. Roll out untrusted models in Docker or in a remote environment.

What it does keep: the host's programs are read-only, its homes and the platform's files are not there, and every
path that a command or a transfer names is resolved inside the sandbox, so that a planted link leads nowhere else.
"""

import asyncio
import os
import shutil
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, Literal

from dockerfile_subset import (
    Copy,
    DockerfileError,
    Instruction,
    arg_pair,
    copy_words,
    env_pairs,
    expand,
    parse,
    run_command,
)
from harbor.environments.base import BaseEnvironment, ExecResult, SandboxBuildFailedError
from harbor.environments.capabilities import EnvironmentCapabilities, EnvironmentResourceCapabilities
from sandbox_namespace import Namespace, SandboxError, find_mode
from sandbox_root import HOSTNAME, make_root
from sandbox_transfer import Entry, pack, unpack, unpack_file

TRANSFER_TIMEOUT_S = 600.0
LOG_FOLDERS = ["/logs/agent", "/logs/verifier", "/logs/artifacts"]
BASE_ENV = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "HOSTNAME": HOSTNAME,
    "LANG": "C.UTF-8",
    "TERM": "xterm",
}
_PUT_FILE = (
    'case $1 in */) mkdir -p -- "$1" ;; *) mkdir -p -- "$(dirname -- "$1")" ;; esac && '
    'if [ -d "$1" ]; then t=$1/$2; else t=$1; fi && rm -f -- "$t" && cat > "$t" && chmod -- "$3" "$t"'
)
_PUT_FOLDER = 'mkdir -p -- "$1" && exec tar --extract --file=- --no-same-owner --preserve-permissions --directory="$1"'


class LocalSandbox(BaseEnvironment):
    """See the module. Configured as `environment: {import_path: "local_sandbox:LocalSandbox", kwargs: {...}}`."""

    def __init__(
        self, *args: Any, root_base: str | None = None, network: Literal["none", "host"] = "none", **kwargs: Any
    ) -> None:
        """Take Harbor's arguments and two of our own.

        Args:
            root_base: folder under which each sandbox gets its own `sbx-<trial>-…`; the system's temporary folder
                where it is not given. It must not lie in `/usr`, which sandboxes can read.
            network: `none`, or `host` to share the host's network, its loopback services included.
        """
        self._base = Path(root_base or tempfile.gettempdir()).absolute()
        self._wants_network = network == "host"
        self._folder: Path | None = None
        self._namespace: Namespace | None = None
        self._image_env: dict[str, str] = {}
        self._workdir = "/"
        super().__init__(*args, **kwargs)

    @staticmethod
    def type() -> str:
        return "local-sandbox"

    @property
    def has_network(self) -> bool:
        """Whether it shares the host's network, the task permitting; else it has none, also while it is verified."""
        return self._wants_network

    @property
    def capabilities(self) -> EnvironmentCapabilities:
        return EnvironmentCapabilities(disable_internet=True)

    @classmethod
    def resource_capabilities(cls) -> EnvironmentResourceCapabilities:
        return EnvironmentResourceCapabilities(fractional_cpus=True)

    @classmethod
    def preflight(cls) -> None:
        """Try to make a sandbox before any trial is queued. Raises SystemExit with the reason."""
        try:
            find_mode()
        except SandboxError as error:
            raise SystemExit(str(error)) from error

    def _validate_definition(self) -> None:
        """Nothing here: Harbor calls it while it makes the trial, where an error would end all trials of the job."""

    async def start(self, force_build: bool) -> None:  # noqa: ARG002 (nothing is ever cached)
        """Make the sandbox and carry out the Dockerfile in it.

        Raises:
            SandboxBuildFailedError: a line of the Dockerfile is not supported or failed.
            SandboxError: the sandbox could not be made.
        """
        network = self._wants_network and not self._network_disabled
        self._namespace = Namespace(self._make_folder(network=network), network=network)
        await self._namespace.start()
        await self.ensure_dirs(LOG_FOLDERS)
        await self._build()

    def _make_folder(self, *, network: bool) -> Path:
        if self._base.resolve().is_relative_to("/usr"):
            raise SandboxError(
                f"root_base {self._base} lies in /usr, which every sandbox can read: choose another folder"
            )
        self._base.mkdir(parents=True, exist_ok=True)
        name = self.session_id.removesuffix("__env")
        self._folder = Path(tempfile.mkdtemp(prefix=f"sbx-{name}-", dir=self._base))
        root = self._folder / "root"
        root.mkdir(mode=0o755)
        root.chmod(0o755)  # whatever the umask, other users of the sandbox pass through its root
        make_root(root, network=network)
        return root

    async def stop(self, delete: bool) -> None:
        """End all processes of the sandbox and, with `delete`, remove its files."""
        if self._namespace is not None:
            await self._namespace.stop()
        if delete and self._folder is not None:
            await asyncio.to_thread(remove_tree, self._folder)

    async def _build(self) -> None:
        dockerfile = self.environment_dir / "Dockerfile"
        if not dockerfile.exists():
            await self._without_dockerfile()
            return
        variables = _Variables()
        try:
            for instruction in parse(dockerfile.read_text()):
                await self._carry_out(instruction, variables)
        except DockerfileError as error:
            raise SandboxBuildFailedError(str(error)) from error

    async def _without_dockerfile(self) -> None:
        if not self.task_env_config.docker_image:
            raise SandboxBuildFailedError(
                f"no Dockerfile in {self.environment_dir}, and the local sandbox knows no other"
            )
        await self._upload_environment_dir_after_start()

    async def _carry_out(self, instruction: Instruction, variables: "_Variables") -> None:
        known = {"PATH": BASE_ENV["PATH"], **variables.args, **self._image_env}
        match instruction.name:
            case "WORKDIR":
                self._workdir = _join(self._workdir, expand(instruction.text.strip("\"'"), known))
                await self._checked(instruction, ["mkdir", "-p", "--", self._workdir], {}, "/")
            case "ENV":
                self._image_env |= env_pairs(instruction, known)
            case "ARG":
                name, default = arg_pair(instruction, known)
                variables.args.setdefault(name, default)
            case "COPY" | "ADD":
                await self._copy(instruction, copy_words(instruction, known))
            case "RUN":
                await self._checked(
                    instruction, ["/bin/sh", "-c", run_command(instruction)], variables.args, self._workdir
                )

    async def _checked(self, instruction: Instruction, command: list[str], args: dict[str, str], cwd: str) -> None:
        """Run one step of the build. ENV wins over ARG, as in Docker."""
        namespace = self._running()
        env = {**BASE_ENV, **args, **self._image_env}
        done = await namespace.run(namespace.argv(command, env=env, cwd=cwd))
        if done.return_code:
            said = (done.stdout + done.stderr).strip()[-2000:]
            raise instruction.error(f"failed with exit code {done.return_code}: {said}")

    async def _copy(self, instruction: Instruction, copy: Copy) -> None:
        sources = [path for source in copy.sources for path in _sources(instruction, self.environment_dir, source)]
        target = _join(self._workdir, copy.target) + ("/" if copy.target.rpartition("/")[2] in {"", ".", ".."} else "")
        if len(sources) == 1 and sources[0].is_file():
            await self._put_file(sources[0], target, mode=copy.mode)
            return
        if len(sources) > 1 and not target.endswith("/"):
            raise instruction.error("with more than one source needs a target that ends with /")
        entries = [entry for source in sources for entry in _contents(source)]
        await self._put_folder(entries, target, mode=copy.mode)

    async def exec(
        self,
        command: str,
        cwd: str | None = None,
        env: dict[str, str] | None = None,
        timeout_sec: int | None = None,
        user: str | int | None = None,
    ) -> ExecResult:
        """Run `command` in bash. A command that runs out of time is killed with its whole session.

        Raises:
            CommandTimeoutError: it took longer than `timeout_sec` seconds.
            SandboxError: the sandbox does not run, or has no such user.
        """
        namespace = self._running()
        done = await namespace.run(
            namespace.argv(
                ["/bin/bash", "-c", command],
                env={**BASE_ENV, **self._image_env, **(self._merge_env(env) or {})},
                cwd=cwd or self.workdir,
                user=_other_user(self._resolve_user(user)),
            ),
            timeout_s=timeout_sec or None,
        )
        return ExecResult(stdout=done.stdout, stderr=done.stderr, return_code=done.return_code)

    async def upload_file(self, source_path: Path | str, target_path: str) -> None:
        """Copy a host file to `target_path`, into it where that is a folder."""
        await self._put_file(Path(source_path), self._absolute(target_path), mode=None)

    async def upload_dir(self, source_dir: Path | str, target_dir: str) -> None:
        """Copy what `source_dir` holds into `target_dir`. Links stay links."""
        await self._put_folder(_contents(Path(source_dir)), self._absolute(target_dir), mode=None)

    async def download_file(self, source_path: str, target_path: Path | str) -> None:
        """Copy one plain file out; a link to one is followed inside the sandbox."""
        await self._get(
            ["--dereference", "--directory=/", "--", self._absolute(source_path)],
            lambda stream: unpack_file(stream, Path(target_path)),
        )

    async def download_dir(self, source_dir: str, target_dir: Path | str) -> None:
        """Copy the plain files and folders of `source_dir` out. Links are left out: their reader is on the host."""
        left_out: list[str] = []
        await self._get(
            ["--hard-dereference", f"--directory={self._absolute(source_dir)}", "."],
            lambda stream: left_out.extend(unpack(stream, Path(target_dir))),
        )
        if left_out:
            self.logger.warning(f"left {len(left_out)} links or devices in {source_dir}, for example {left_out[0]!r}")

    @property
    def workdir(self) -> str:
        """Where commands run: the task's own word, else the last WORKDIR of its Dockerfile."""
        return self.task_env_config.workdir or self._workdir

    async def read_folder(self, folder: str, consume: Callable[[IO[bytes]], None], *, timeout_s: float) -> None:
        """Let `consume` read the tar of all that `folder` holds, links and devices included."""
        await self._get([f"--directory={folder}", "."], consume, timeout_s=timeout_s)

    async def _get(
        self, tar_args: list[str], consume: Callable[[IO[bytes]], None], *, timeout_s: float = TRANSFER_TIMEOUT_S
    ) -> None:
        namespace = self._running()
        argv = namespace.argv(["/usr/bin/tar", "--create", "--file=-", *tar_args], env=BASE_ENV, cwd="/")
        await namespace.receive(argv, consume, timeout_s=timeout_s)

    async def _put_file(self, source: Path, target: str, *, mode: int | None) -> None:
        bits = mode if mode is not None else stat.S_IMODE(source.stat().st_mode)
        await self._put([_PUT_FILE, "sh", target, source.name, f"{bits:o}"], lambda stream: _pour(source, stream))

    async def _put_folder(self, entries: list[Entry], target: str, *, mode: int | None) -> None:
        await self._put([_PUT_FOLDER, "sh", target], lambda stream: pack(entries, stream, mode=mode))

    async def _put(self, script: list[str], feed: Callable[[IO[bytes]], None]) -> None:
        namespace = self._running()
        argv = namespace.argv(["/bin/sh", "-c", *script], env=BASE_ENV, cwd="/")
        await namespace.send(argv, feed, timeout_s=TRANSFER_TIMEOUT_S)

    def _absolute(self, path: str) -> str:
        return _join(self.workdir, str(path)) + ("/" if str(path).endswith("/") else "")

    def _running(self) -> Namespace:
        if self._namespace is None:
            raise SandboxError("the sandbox has not been started")
        return self._namespace


class _Variables:
    """What ARG has declared so far in one build."""

    def __init__(self) -> None:
        self.args: dict[str, str] = {}


def _other_user(user: str | int | None) -> str | None:
    return None if user in (None, "root", 0, "0", "") else str(user)


def _join(folder: str, path: str) -> str:
    return os.path.normpath(os.path.join(folder, path))  # noqa: PTH118 (a path of the sandbox, not of this host)


def _sources(instruction: Instruction, context: Path, pattern: str) -> list[Path]:
    """The files and folders of the build context that one source word means.

    Raises:
        DockerfileError: there is none, or it leads outside the context.
    """
    relative = os.path.normpath(pattern.lstrip("/")) if pattern.strip("/.") else "."
    found = [context] if relative == "." else sorted(context.glob(relative))
    if not found:
        raise instruction.error(f"finds no {pattern} in the build context")
    if not all(path.resolve().is_relative_to(context.resolve()) for path in found):
        raise instruction.error(f"of {pattern} leads outside the build context")
    return found


def _contents(source: Path) -> list[Entry]:
    """A file as itself; a folder as what it holds."""
    if source.is_dir():
        return [Entry(child, child.name) for child in sorted(source.iterdir())]
    return [Entry(source.resolve(), source.name)]


def _pour(source: Path, stream: IO[bytes]) -> None:
    with source.open("rb") as file:
        shutil.copyfileobj(file, stream)


def remove_tree(folder: Path) -> None:
    """Remove the folder of a stopped sandbox, also where a command took the permission to do so away."""
    try:
        shutil.rmtree(folder)
    except PermissionError:
        for parent, names, _files in os.walk(folder):
            for path in (Path(parent, name) for name in names):
                if not path.is_symlink():
                    path.chmod(0o700)  # before the walk goes into it
        shutil.rmtree(folder)
