"""System packages: which manager this machine has, what it calls them, and whether we may install them."""

import os
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from trajgen_assets.core.errors import RequirementError
from trajgen_assets.core.provision.command import Say, run, tool_environ, which

INSTALL_TIMEOUT_S = 900.0


@dataclass(frozen=True)
class PackageManager:
    """How one family of systems installs packages; `names` holds what it calls otherwise than we do."""

    install: tuple[str, ...]
    refresh: tuple[str, ...]
    names: Mapping[str, str] = field(default_factory=dict)

    def command(self, packages: Sequence[str]) -> tuple[str, ...]:
        """The argv that installs `packages`."""
        return (*self.install, *(self.names.get(package, package) for package in packages))


MANAGERS = (
    PackageManager(("apt-get", "install", "-y", "--no-install-recommends"), ("apt-get", "update")),
    PackageManager(("dnf", "install", "-y"), ("dnf", "makecache"), {"python3-venv": "python3-pip"}),
    PackageManager(("pacman", "-S", "--noconfirm", "--needed"), ("pacman", "-Sy"), {"python3-venv": "python"}),
    PackageManager(("zypper", "--non-interactive", "install"), ("zypper", "refresh"), {"python3-venv": "python3-pip"}),
    PackageManager(("apk", "add"), ("apk", "update"), {"python3-venv": "py3-pip"}),
)


def _no(_question: str) -> bool:
    return False


@dataclass(frozen=True)
class Authority:
    """What we may do to the system: everything as root, what `ask` agrees to with sudo, else nothing."""

    is_root: bool = False
    ask: Callable[[str], bool] = _no

    @classmethod
    def of_this_process(cls) -> "Authority":
        """Root's, or that of whoever sits at the terminal."""
        at_terminal = sys.stdin.isatty() and sys.stdout.isatty()
        return cls(is_root=os.geteuid() == 0, ask=_ask_at_terminal if at_terminal else _no)


def _ask_at_terminal(question: str) -> bool:
    return input(f"{question} [Y/n] ").strip().lower() in {"", "y", "yes"}


def find_manager(environ: Mapping[str, str]) -> PackageManager | None:
    """The package manager of this machine, if we know it."""
    return next((each for each in MANAGERS if any(which(each.install[0], environ))), None)


def install_line(packages: Sequence[str], environ: Mapping[str, str], *, is_root: bool) -> str:
    """The one line that a person runs to install `packages`."""
    manager = find_manager(environ)
    if manager is None:
        return f"install {' and '.join(packages)} with the package manager of this system"
    return shlex.join((*(() if is_root else ("sudo",)), *manager.command(packages)))


def install_packages(packages: Sequence[str], authority: Authority, environ: Mapping[str, str], say: Say) -> None:
    """Install `packages` where we may.

    Raises:
        RequirementError: we may not, do not know how, or it did not work; the mend is the line to run.
    """
    line = install_line(packages, environ, is_root=authority.is_root)
    manager = find_manager(environ)
    if manager is None or not (authority.is_root or authority.ask(f"Install what is missing with `{line}`?")):
        raise RequirementError(
            f"missing on this system: {', '.join(packages)}", mend=f"run `{line}`" if manager else line
        )
    say(f"installing: {line}")
    _install(manager, packages, () if authority.is_root else ("sudo",), environ, line)


def _install(
    manager: PackageManager, packages: Sequence[str], sudo: tuple[str, ...], environ: Mapping[str, str], line: str
) -> None:
    env = tool_environ(environ) | {"DEBIAN_FRONTEND": "noninteractive"}
    install, refresh = ((*sudo, *argv) for argv in (manager.command(packages), manager.refresh))
    outcome = run(install, env=env, timeout_s=INSTALL_TIMEOUT_S)
    if not outcome.ok:  # a fresh image has no package lists yet; where there are some, refreshing is time lost
        run(refresh, env=env, timeout_s=INSTALL_TIMEOUT_S)
        outcome = run(install, env=env, timeout_s=INSTALL_TIMEOUT_S)
    if not outcome.ok:
        why = " | ".join(outcome.tail[-3:])
        raise RequirementError(f"{', '.join(packages)} could not be installed", why=why, mend=f"run `{line}`")
