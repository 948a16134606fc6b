"""git, told what to do: it asks nobody for a password, and runs nothing that a repository brings along."""

import os
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from trajgen_assets.core.errors import CheckoutError
from trajgen_assets.core.process import child_env
from trajgen_assets.core.provision.command import TIMED_OUT, run

GIT_TIMEOUT_S = 10.0
LOCAL_TIMEOUT_S = 300.0  # the state of a large work tree on a cold disk
NETWORK_TIMEOUT_S = 1800.0

# A connection that brings less than a kilobyte a second for a minute is taken for lost.
SAFE = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "advice.detachedHead=false",
    "gc.auto=0",
    "http.lowSpeedLimit=1000",
    "http.lowSpeedTime=60",
)
# What reaches an agent that holds a person's keys, and the program that a site has for ssh.
OF_SSH = ("SSH_AUTH_SOCK", "GIT_SSH", "GIT_SSH_COMMAND")
NO_QUESTIONS = {"GIT_TERMINAL_PROMPT": "0", "GIT_ASKPASS": "", "SSH_ASKPASS_REQUIRE": "never", "LC_ALL": "C"}


def git_says(folder: Path, *arguments: str) -> str | None:
    """What `git ARGUMENTS` prints in `folder`; None if it fails, takes too long, or there is no git."""
    try:
        done = subprocess.run(
            ["git", "-C", folder, *arguments],
            capture_output=True,
            text=True,
            env=child_env({"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0"}),
            timeout=GIT_TIMEOUT_S,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


@dataclass(frozen=True)
class Git:
    """git in one folder, and in no folder around it.

    Attributes:
        protocols: the transports that it may use, as `GIT_ALLOW_PROTOCOL` has them; none by default.
        keep_fds: descriptors of locks that a git which outlives us goes on holding.
        environ: more of its environment.
    """

    folder: Path
    protocols: str = ""
    keep_fds: tuple[int, ...] = ()
    environ: Mapping[str, str] = field(default_factory=dict)

    def ask(self, *arguments: str) -> str | None:
        """What `git ARGUMENTS` prints; None where it fails."""
        done = self._ask(arguments)
        return done.stdout if done.returncode == 0 else None

    def told(self, *arguments: str) -> str:
        """What `git ARGUMENTS` prints, without the line's end.

        Raises:
            CheckoutError: it failed.
        """
        return self._told(arguments).strip()

    def names(self, *arguments: str) -> list[str]:
        """The names that `git ARGUMENTS -z` prints. Raises as `told` does."""
        return [each for each in self._told(arguments).split("\0") if each]

    def do(self, *arguments: str, timeout_s: float = NETWORK_TIMEOUT_S) -> None:
        """Run `git ARGUMENTS`, which may take long or ask the network.

        Raises:
            CheckoutError: it failed, with git's own words, or took too long.
        """
        env = self._env()
        outcome = run(self._argv(arguments), env=env, timeout_s=timeout_s, cwd=self.folder, pass_fds=self.keep_fds)
        if not outcome.ok:
            words = "no answer in time" if outcome.code == TIMED_OUT else " | ".join(outcome.tail[-4:])
            raise self._failed(arguments, words or f"it ended with code {outcome.code}")

    def _told(self, arguments: Iterable[str]) -> str:
        done = self._ask(arguments)
        if done.returncode != 0:
            raise self._failed(arguments, done.stderr.strip() or f"it ended with code {done.returncode}")
        return done.stdout

    def _ask(self, arguments: Iterable[str]) -> "subprocess.CompletedProcess[str]":
        try:
            return subprocess.run(
                self._argv(arguments),
                capture_output=True,
                encoding="utf-8",
                errors="surrogateescape",
                env=self._env() | {"GIT_OPTIONAL_LOCKS": "0"},
                cwd=self.folder,
                timeout=LOCAL_TIMEOUT_S,
                check=False,
                stdin=subprocess.DEVNULL,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise self._failed(arguments, error) from error

    def _argv(self, arguments: Iterable[str]) -> list[str]:
        return ["git", *(part for setting in SAFE for part in ("-c", setting)), *arguments]

    def _env(self) -> dict[str, str]:
        ssh = {name: os.environ[name] for name in OF_SSH if name in os.environ}
        bounds = {"GIT_ALLOW_PROTOCOL": self.protocols, "GIT_CEILING_DIRECTORIES": str(self.folder.parent)}
        return child_env(ssh | NO_QUESTIONS | bounds | dict(self.environ))

    def _failed(self, arguments: Iterable[str], why: object) -> CheckoutError:
        words = " ".join(arguments)
        mend = "see what git says; nothing of the checkout was changed, and the next call begins anew"
        return CheckoutError(
            f"`git {words.split(' -- ', maxsplit=1)[0]}` failed", where=self.folder, why=why, mend=mend
        )
