"""The systemd user unit that keeps the daemon of one root running: its text, its place, and what systemd says of it.

The unit holds no secret and names no file of secrets: the daemon reads `secrets.env` itself, and systemd would read the
same file by other rules (a comment behind a value, an `export`), whose result would go before it.
"""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from trajgen_assets.core.atomic import fsync_dir, write_text
from trajgen_assets.core.errors import ConfigError, RequirementError
from trajgen_assets.core.paths import Root

DEFAULT_NAME = "trajgen"
SUFFIX = ".service"

# systemd passes over keys with this beginning; we tell by it whose unit a file is.
ROOT_KEY = "X-Trajgen-Root="

# The daemon's runs are cancelled and settled before it ends.
STOP_TIMEOUT_S = 240
ANSWER_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Unit:
    """One unit to be: all paths absolute, `search_path` is the PATH under which Docker, git and the like are found."""

    name: str
    program: Path
    root: Root
    config: Path
    folder: Path
    port: int
    search_path: str

    @property
    def path(self) -> Path:
        return unit_folder() / f"{self.name}{SUFFIX}"

    @property
    def text(self) -> str:
        """The file, for `systemd --user`."""
        words = [str(self.program), "--root", str(self.root.path), "--config", str(self.config), "ui"]
        command = " ".join(_quoted(word.replace("$", "$$")) for word in [*words, "--port", str(self.port)])
        return f"""\
[Unit]
Description=trajgen: web UI and daemon of {_escaped(str(self.root.path))}
{ROOT_KEY}{self.root.path}
StartLimitIntervalSec=0

[Service]
ExecStart={command}
WorkingDirectory={_escaped(str(self.folder))}
Environment={_quoted(f"PATH={self.search_path}")}
Environment={_quoted(f"TRAJGEN_ENV_DIR={self.root.env}")}
Restart=on-failure
RestartSec=30
KillMode=mixed
TimeoutStopSec={STOP_TIMEOUT_S}

[Install]
WantedBy=default.target
"""


def unit_folder() -> Path:
    """Where the units of this user lie."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or "~/.config").expanduser() / "systemd" / "user"


def unit_of(root: Root) -> Path | None:
    """The unit that is installed for a root."""
    try:
        units = sorted(unit_folder().glob(f"{DEFAULT_NAME}*{SUFFIX}"))
        return next((path for path in units if _root_of(path) == str(root.path)), None)
    except (OSError, RuntimeError):  # no home, or one that cannot be read: then nothing is installed there either
        return None


def install(unit: Unit) -> bool:
    """Write the unit. Returns whether that changed anything.

    Raises:
        ConfigError: its name is another root's, or the root has a unit of another name.
    """
    if any(char in f"{unit.root.path}{unit.config}" for char in "\n\r"):
        raise ConfigError("a path with a line break cannot stand in a unit", where=unit.root.path)
    present = unit_of(unit.root)
    if present is not None and present != unit.path:
        mend = f"use --name {present.name.removesuffix(SUFFIX)}, or `trajgen service uninstall` first"
        raise ConfigError("this root has a service of another name", where=present, mend=mend)
    if unit.path.exists() and present is None:
        why = f"it is of {_root_of(unit.path) or 'somebody else'}"
        mend = f"choose another name, such as --name {DEFAULT_NAME}-{unit.root.path.name}"
        raise ConfigError("there is a unit of that name already", where=unit.path, why=why, mend=mend)
    if present is not None and present.read_text(encoding="utf-8") == unit.text:
        return False
    write_text(unit.path, unit.text)
    return True


def uninstall(path: Path) -> None:
    """Remove a unit."""
    path.unlink()
    fsync_dir(path.parent)


def systemd_is_there() -> bool:
    """Whether this user has a service manager that answers."""
    return _systemctl("show-environment").returncode == 0


def tell_systemd(*arguments: str) -> None:
    """Have systemd do something.

    Raises:
        RequirementError: it would not.
    """
    done = _systemctl(*arguments)
    if done.returncode != 0:
        command = " ".join(("systemctl --user", *arguments))
        raise RequirementError("systemd would not do it", where=command, why=done.stderr.strip() or None)


def state_of_unit(name: str) -> str:
    """What systemd says of a unit in one word: `active`, `failed`, `inactive` and the like."""
    return _systemctl("is-active", name).stdout.strip() or "unknown"


def _systemctl(*arguments: str) -> subprocess.CompletedProcess[str]:
    argv = ["systemctl", "--user", *arguments]
    try:
        return subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=ANSWER_TIMEOUT_S if arguments[0] in ("show-environment", "is-active") else STOP_TIMEOUT_S,
            check=False,
        )
    except (FileNotFoundError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(argv, 1, "", str(error))


def _root_of(path: Path) -> str | None:
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return next((line.removeprefix(ROOT_KEY) for line in lines if line.startswith(ROOT_KEY)), None)


def _escaped(text: str) -> str:
    """`%` begins a specifier everywhere in a unit."""
    return text.replace("%", "%%")


def _quoted(text: str) -> str:
    inner = _escaped(text).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{inner}"'
