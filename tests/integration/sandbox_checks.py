"""Checks of the local sandbox that need its own Python: `python sandbox_checks.py NAME FOLDER` fails by exit code.

Run by tests/integration/test_local_sandbox.py, as root where the tests run as root, and as a user without rights.
"""

import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

from final_patch import FinalPatch, Limits
from harbor.environments.base import SandboxBuildFailedError
from harbor.models.task.config import EnvironmentConfig
from harbor.models.trial.paths import TrialPaths
from local_sandbox import LocalSandbox
from sandbox_namespace import CommandTimeoutError, SandboxError
from sandbox_transfer import TransferError
from tree_store import TreeStore
from workdir import CommandWorkdir

CHECKS: dict[str, Callable[[Path], Awaitable[None]]] = {}
SECRET = "what only the host may know"


def check(function: Callable[[Path], Awaitable[None]]) -> Callable[[Path], Awaitable[None]]:
    CHECKS[function.__name__] = function
    return function


def make(folder: Path, dockerfile: str = "FROM x\nWORKDIR /app\n", **options: str) -> LocalSandbox:
    context = folder / "context"
    context.mkdir(exist_ok=True)
    (context / "Dockerfile").write_text(dockerfile)
    return LocalSandbox(
        environment_dir=context,
        environment_name="check",
        session_id="trial__env",
        trial_paths=TrialPaths(folder / "trial"),
        task_env_config=EnvironmentConfig(),
        logger=logging.getLogger(),
        root_base=str(folder / "sandboxes"),
        **options,
    )


@contextlib.asynccontextmanager
async def sandbox(
    folder: Path, dockerfile: str = "FROM x\nWORKDIR /app\n", **options: str
) -> AsyncIterator[LocalSandbox]:
    environment = make(folder, dockerfile, **options)
    try:
        await environment.start(force_build=False)
        yield environment
    finally:
        await environment.stop(delete=True)
    assert list((folder / "sandboxes").iterdir()) == []


@contextlib.contextmanager
def refused(kind: type[Exception], text: str) -> Iterator[None]:
    """The block must raise `kind` with `text` in it. There is no pytest in Harbor's environment."""
    try:
        yield
    except kind as error:
        if text not in str(error):
            raise AssertionError(f"{text!r} is not in {error}") from error
        return
    raise AssertionError(f"no {kind.__name__} with {text!r} was raised")


async def said(environment: LocalSandbox, command: str, **options: object) -> str:
    done = await environment.exec(command, **options)
    assert done.return_code == 0, done
    return (done.stdout or "").strip()


def living(marker: str) -> list[str]:
    """Command lines on this host that contain `marker`; ours are left out."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if marker in line and entry.name != str(os.getpid()):
                found.append(line)
    return found


async def gone(marker: str) -> None:
    deadline = time.monotonic() + 5
    while living(marker):
        assert time.monotonic() < deadline, living(marker)
        await asyncio.sleep(0.02)


def host_secret(folder: Path) -> Path:
    (folder / "host").mkdir()
    secret = folder / "host" / "secret.txt"
    secret.write_text(SECRET)
    return secret


@check
async def downloads_follow_no_link_to_the_host(folder: Path) -> None:
    secret = host_secret(folder)
    up = "../" * 30
    async with sandbox(folder) as environment:
        await said(
            environment,
            f"cd /logs/agent && echo mine > plain && ln -s {secret} absolute && ln -s {up}{secret} relative"
            f" && mkdir deep && ln -s {secret.parent} deep/folder && ln plain hard && mkfifo pipe",
        )
        await environment.download_dir("/logs/agent", folder / "out")
    assert sorted(path.name for path in (folder / "out").rglob("*")) == ["deep", "hard", "plain"]
    assert (folder / "out" / "hard").read_text() == "mine\n"


@check
async def a_folder_replaced_by_a_link_leads_nowhere(folder: Path) -> None:
    secret = host_secret(folder)
    async with sandbox(folder) as environment:
        await said(environment, f"rm -rf /logs/verifier && ln -s {secret.parent} /logs/verifier")
        with contextlib.suppress(SandboxError, TransferError):
            await environment.download_dir("/logs/verifier", folder / "out")
        with contextlib.suppress(SandboxError, TransferError):
            await environment.download_file("/logs/verifier/secret.txt", folder / "file")
    assert not (folder / "file").exists()
    assert list((folder / "out").rglob("*")) == []


@check
async def uploads_follow_no_link_to_the_host(folder: Path) -> None:
    secret = host_secret(folder)
    (folder / "up").mkdir()
    (folder / "up" / "secret.txt").write_text("overwritten")
    async with sandbox(folder) as environment:
        await said(environment, f"rm -rf /tests && ln -s {secret.parent} /tests; ln -s {secret} /app/link")
        with contextlib.suppress(SandboxError):
            await environment.upload_dir(folder / "up", "/tests")
        await environment.upload_file(folder / "up" / "secret.txt", "/app/link")
        assert await said(environment, "cat /app/link") == "overwritten"
    assert secret.read_text() == SECRET
    assert [path.name for path in secret.parent.iterdir()] == ["secret.txt"]


@check
async def a_link_is_downloaded_as_what_it_means_inside(folder: Path) -> None:
    async with sandbox(folder) as environment:
        await said(environment, "echo inside > /app/real && ln -s /app/real /app/link && mkdir /app/folder")
        await environment.download_file("/app/link", folder / "out.txt")
        with refused(TransferError, "not a plain file"):
            await environment.download_file("/app/folder", folder / "wrong.txt")
        with refused(TransferError, "wrong.txt"):
            await environment.download_file("/app/missing", folder / "wrong.txt")
    assert (folder / "out.txt").read_text() == "inside\n"


@check
async def files_come_back_as_they_went_in(folder: Path) -> None:
    source = folder / "in"
    (source / "sub").mkdir(parents=True)
    (source / "sub" / "run.sh").write_text("#!/bin/sh\necho ran\n")
    (source / "sub" / "run.sh").chmod(0o755)
    (source / "big").write_bytes(os.urandom(3_000_000))
    async with sandbox(folder) as environment:
        await environment.upload_dir(source, "/data/new")
        await environment.upload_file(source / "big", "/data/")
        assert await said(environment, "/data/new/sub/run.sh && cmp /data/big /data/new/big") == "ran"
        await environment.download_dir("/data/new", folder / "out")
    assert (folder / "out" / "big").read_bytes() == (source / "big").read_bytes()
    assert os.access(folder / "out" / "sub" / "run.sh", os.X_OK)


@check
async def a_command_out_of_time_is_killed_with_what_it_started(folder: Path) -> None:
    async with sandbox(folder) as environment:
        with refused(CommandTimeoutError, "1 seconds"):
            await environment.exec("sleep 60.771 & set -m; sleep 60.771 & exec sleep 60.771", timeout_sec=1)
        await gone("sleep 60.771")
        assert await said(environment, "echo still here") == "still here"


@check
async def a_cancelled_command_is_killed(folder: Path) -> None:
    async with sandbox(folder) as environment:
        task = asyncio.create_task(environment.exec("sleep 60.772"))
        while not living("sleep 60.772"):
            await asyncio.sleep(0.02)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await gone("sleep 60.772")


@check
async def endless_output_is_cut_with_a_mark(folder: Path) -> None:
    async with sandbox(folder) as environment:
        done = await environment.exec("head -c 40000000 /dev/zero | tr '\\0' x; echo problem >&2")
    assert done.stdout is not None
    assert len(done.stdout) < 11_000_000
    assert "more bytes of output dropped]" in done.stdout[-100:]
    assert done.stderr == "problem\n"


@check
async def a_daemon_holds_up_nothing_and_lives_on(folder: Path) -> None:
    async with sandbox(folder) as environment:
        started = time.monotonic()
        assert await said(environment, "(while :; do echo noise; sleep 0.01; done) & echo $! > /tmp/pid; echo begun")
        assert time.monotonic() - started < 10
        await said(environment, 'kill -0 "$(cat /tmp/pid)"')
        await said(environment, "tmux new-session -d -s one 'sleep 50.773'")
        await said(environment, "tmux has-session -t one")
    await gone("sleep 50.773")


@check
async def no_signal_from_inside_ends_the_sandbox(folder: Path) -> None:
    async with sandbox(folder) as environment:
        await environment.exec("kill -9 -1")
        await environment.exec("kill -TERM 1; kill -9 1; pkill -9 bash; pkill bwrap")
        assert await said(environment, "echo alive") == "alive"
        await environment.exec("for i in $(seq 50); do (setsid sleep 0 &); done")
        await asyncio.sleep(0.3)
        assert await said(environment, "grep -l '^State:.Z' /proc/[0-9]*/status 2>/dev/null | wc -l") == "0"


@check
async def the_host_is_not_to_be_seen(folder: Path) -> None:
    async with sandbox(folder) as environment:
        assert await said(environment, "hostname; id -u; pwd") == "sandbox\n0\n/app"
        assert await said(environment, "ls -A /root /home /run") == "/home:\n\n/root:\n\n/run:"
        assert not (await environment.exec(f"ls {folder}")).stdout
        assert (await environment.exec("cat /etc/shadow")).return_code != 0
        assert (await environment.exec("touch /usr/x")).return_code != 0
        assert (await environment.exec("mount -t tmpfs x /mnt || umount /usr")).return_code != 0
        names = (await said(environment, "env")).splitlines()
        assert sorted(line.partition("=")[0] for line in names) == sorted(
            ["HOME", "HOSTNAME", "LANG", "PATH", "PWD", "SHLVL", "TERM", "_"]
        )
        assert len((await said(environment, "ls -d /proc/[0-9]*")).splitlines()) < 8


@check
async def there_is_no_network_unless_it_is_asked_for(folder: Path) -> None:
    count = "tail -n +3 /proc/net/dev | wc -l"
    async with sandbox(folder) as environment:
        assert await said(environment, count) == "1"
    async with sandbox(folder, network="host") as environment:
        assert int(await said(environment, count)) == len(Path("/proc/net/dev").read_text().splitlines()) - 2
        assert await said(environment, "cat /etc/hosts")


@check
async def files_without_permissions_are_removed_too(folder: Path) -> None:
    async with sandbox(folder) as environment:
        await said(
            environment, "mkdir -p /app/a/b/c && touch /app/a/b/c/f && chmod 000 /app/a/b/c /app/a/b /app/a /app"
        )


@check
async def a_kept_sandbox_is_left_without_processes(folder: Path) -> None:
    environment = make(folder)
    await environment.start(force_build=False)
    await said(environment, "setsid -f sleep 50.774; echo kept > /app/file")
    await environment.stop(delete=False)
    await gone("sleep 50.774")
    (left,) = (folder / "sandboxes").iterdir()
    assert left.name.startswith("sbx-trial-")
    assert (left / "root/app/file").read_text() == "kept\n"
    with refused(SandboxError, "not running"):
        await environment.exec("true")


@check
async def another_user_is_switched_to_or_refused(folder: Path) -> None:
    async with sandbox(folder) as environment:
        assert await said(environment, "id -u", user="root") == "0"
        if os.geteuid() == 0:
            assert await said(environment, "id -un; echo $HOME; grep CapEff /proc/self/status", user="nobody") == (
                "nobody\n/nonexistent\nCapEff:\t0000000000000000"
            )
            return
        with refused(SandboxError, "no user 'nobody'"):
            await environment.exec("id", user="nobody")


BUILD = """\
# syntax=docker/dockerfile:1
ARG BASE=debian
FROM ${BASE}:stable AS only
ARG NAME=world
ENV GREETING="hello there" \\
    # why not
    TARGET=/srv/data LEGACY=\\$HOME
ENV OLD form of it
ENV PATH=/srv/bin:$PATH
WORKDIR /srv
WORKDIR data
COPY one.txt renamed.txt
COPY one.txt sub/ ./into/
COPY --chmod=700 --chown=someone:else ["one.txt", "/opt/exec utable"]
COPY *.txt ${TARGET}/glob/
COPY sub /srv/sub
ADD one.txt /opt/
RUN echo "$GREETING $NAME" > said.txt \\
 && test "$(pwd)" = /srv/data
RUN ["sh", "-c", "echo json > json.txt"]
USER nobody
EXPOSE 80
LABEL a=b
CMD ["true"]
"""


@check
async def a_dockerfile_is_carried_out_as_docker_does(folder: Path) -> None:
    context = folder / "context"
    (context / "sub" / "deeper").mkdir(parents=True)
    (context / "one.txt").write_text("1")
    (context / "two.txt").write_text("2")
    (context / "sub" / "deeper" / "three").write_text("3")
    async with sandbox(folder, BUILD) as environment:
        listing = await said(environment, "pwd; find /srv /opt -type f | sort")
        assert listing.splitlines() == [
            "/srv/data", "/opt/exec utable", "/opt/one.txt", "/srv/data/glob/one.txt", "/srv/data/glob/two.txt",
            "/srv/data/into/deeper/three", "/srv/data/into/one.txt", "/srv/data/json.txt", "/srv/data/renamed.txt",
            "/srv/data/said.txt", "/srv/sub/deeper/three",
        ]  # fmt: skip
        assert (
            await said(environment, "cat said.txt; echo $OLD; echo $LEGACY") == "hello there world\nform of it\n$HOME"
        )
        assert (await said(environment, "echo $PATH")).startswith("/srv/bin:/usr/local/sbin:")
        assert await said(environment, "stat -c '%a %u' '/opt/exec utable'") == "700 0"


@check
async def a_dockerfile_that_cannot_be_done_names_its_line(folder: Path) -> None:
    (folder / "context").mkdir()
    (folder / "context" / "outside").symlink_to("/etc/passwd")
    wrong = {
        "FROM a\nFROM b\n": "line 2: FROM",
        "FROM a\nCOPY --from=x /a /b\n": "line 2: COPY with --from=x",
        "FROM a\n\nRUN a && \\\n  b\nSHELL ['x']\n": "line 5: SHELL",
        "FROM a\nADD https://example.org/x /x\n": "line 2: ADD",
        "FROM a\nCOPY missing /x\n": "line 2: COPY finds no missing",
        "FROM a\nCOPY ../up /x\n": "line 2: COPY",
        "FROM a\nCOPY outside /x\n": "line 2: COPY of outside leads outside",
        "FROM a\nRUN <<EOF\ntrue\nEOF\n": "line 2: RUN with a here-document",
        "FROM a\nRUN echo no; exit 3\n": "line 2: RUN failed with exit code 3: no",
    }
    for text, expected in wrong.items():
        with refused(SandboxBuildFailedError, expected):
            async with sandbox(folder, text):
                pass


async def patched(environment: LocalSandbox, folder: Path, work: str, *, tree_bytes: int = 1 << 20) -> dict[str, Any]:
    """The report of one agent's phase in which `work` was done."""
    part = FinalPatch(environment, folder, Limits(tree_bytes, patch_bytes=1 << 20))
    await part.begin()
    await said(environment, work, cwd="/")
    await part.end()
    return json.loads((folder / "patch.json").read_bytes())


@check
async def a_final_patch_or_why_there_is_none_is_on_record(folder: Path) -> None:
    async with sandbox(folder) as environment:
        await said(environment, "echo 1 > a; chmod 0 a")
        first = await patched(environment, folder / "p", "echo 2 > /app/b")
        second = await patched(environment, folder / "p", "rm -f /app/a")
        assert (first["status"], first["n_files"]) == ("ok", 1), first
        assert (second["status"], second["n_files"]) == ("ok", 2), second
        assert first["baseline_tree"] == second["baseline_tree"]

        store, packed = TreeStore(folder / "packed.git"), CommandWorkdir(environment, "/app")
        await packed.read(lambda stream: store.keep("now", stream, max_bytes=1 << 20))
        assert store.digest_of("now") == second["final_tree"]
        assert await said(environment, "ls -A /tmp") == ""

        idle = await patched(environment, folder / "idle", "true")
        assert (idle["status"], (folder / "idle" / "patch.diff").read_bytes()) == ("empty", b""), idle
        await said(environment, "head -c 4096 /dev/zero > big")
        large = await patched(environment, folder / "large", "true", tree_bytes=1024)
        grown = await patched(environment, folder / "grown", "head -c 2M /dev/zero > /app/big")
        await said(environment, "rm big")
        gone = await patched(environment, folder / "gone", "rm -rf /app")
        assert [each["status"] for each in (large, grown, gone)] == ["too_large", "too_large", "failed"], gone
        assert all(each["reason"] for each in (large, grown))
        assert "/app: Cannot open: No such file or directory" in gone["reason"], gone
        (folder / "a file").touch()
        nowhere = FinalPatch(environment, folder / "a file" / "p", Limits(1024, 1024))
        await nowhere.begin()
        await nowhere.end()
        assert not any((folder / name / "patch.diff").exists() for name in ("large", "grown", "gone"))


@check
async def a_sandbox_that_was_never_started_refuses_politely(folder: Path) -> None:
    environment = make(folder)
    with refused(SandboxError, "not been started"):
        await environment.download_dir("/logs/agent", folder / "out")
    await environment.stop(delete=True)


@check
async def a_killed_holder_leaves_a_clear_error(folder: Path) -> None:
    environment = make(folder)
    await environment.start(force_build=False)
    namespace = environment._namespace
    assert namespace is not None
    assert namespace._init_pid is not None
    os.kill(namespace._init_pid, signal.SIGKILL)
    await gone(str(folder / "sandboxes"))
    assert (await environment.exec("true")).return_code != 0
    await environment.stop(delete=True)
    assert list((folder / "sandboxes").iterdir()) == []


if __name__ == "__main__":
    asyncio.run(CHECKS[sys.argv[1]](Path(sys.argv[2])))  # type: ignore[arg-type]
