"""`secrets.env` beside config.yaml: the values of `${NAME}` that the environment does not hold."""

import os
import re
import stat
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from trajgen_assets.core.config.secrets import read_environ
from trajgen_assets.core.errors import SecretsFileError
from trajgen_assets.core.process import child_env

SECRETS_NAME = "secrets.env"

_MAX_BYTES = 1 << 20
_OTHERS_READ = stat.S_IRGRP | stat.S_IROTH | stat.S_IWGRP | stat.S_IWOTH
_LINE = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=(.*)", re.DOTALL)
_DOUBLE = re.compile(r'"((?:[^"\\]|\\.)*)"\s*(#.*)?')
_SINGLE = re.compile(r"'([^']*)'\s*(#.*)?")
_ESCAPE = re.compile(r"\\(.)")
_GIT_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class SecretsFile:
    """The lines of one `secrets.env`. What the environment holds goes before them.

    Attributes:
        path: where it lies, or would.
        values: name to value; empty where there is no such file.
    """

    path: Path
    values: Mapping[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def beside(cls, config: Path) -> Self:
        """Read the file in the folder of the configuration `config`; a missing one holds nothing.

        Raises:
            SecretsFileError: others can read it, git keeps it or would, or a line of it is not `NAME=value`.
        """
        path = config.with_name(SECRETS_NAME)
        text = _read_private(path)
        if text is None:
            return cls(path)
        _refuse_kept_by_git(path)
        return cls(path, _parse(text, path))

    def read(self, name: str) -> str:
        """Return `name` from the environment, else from the file.

        Raises:
            ConfigError: neither sets it, or it holds more than one line.
        """
        if not os.environ.get(name, "").strip() and name in self.values:
            return self.values[name]
        return read_environ(name)

    def __contains__(self, name: object) -> bool:
        return name in self.values


def values_to_hide(config: Path) -> dict[str, str]:
    """Whatever stands as a value in the file beside `config`, in order or not: what nobody may use is a secret, too."""
    path = config.with_name(SECRETS_NAME)
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_BYTES).decode("utf-8-sig", errors="replace")
    except OSError:
        return {}
    found = (_LINE.fullmatch(line) for line in text.split("\n") if not line.lstrip().startswith("#"))
    values = [(each[1], _value_or_text(each[2].strip(), path)) for each in found if each is not None]
    return {f"{name}#{n}" if name in dict(values[:n]) else name: value for n, (name, value) in enumerate(values)}


def _value_or_text(text: str, path: Path) -> str:
    try:
        return _value(text, path, 0)
    except SecretsFileError:
        return text.strip("'\"")


def _read_private(path: Path) -> str | None:
    """The text of a file that nobody but its owner may open; None if there is none."""
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode  # of what was opened, not of what the name leads to a moment later
            if mode & _OTHERS_READ:
                why = f"its mode is {stat.S_IMODE(mode):04o}"
                raise SecretsFileError("others can read the secrets", where=path, why=why, mend=f"chmod 600 {path}")
            data = file.read(_MAX_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SecretsFileError("the secrets cannot be read", where=path, why=error.strerror) from None
    if len(data) > _MAX_BYTES:
        raise SecretsFileError("this is no file of secrets", where=path, why=f"it is over {_MAX_BYTES} bytes")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise SecretsFileError("the secrets are not UTF-8", where=f"{path}, line {line}") from None


def _refuse_kept_by_git(path: Path) -> None:
    """A file that git tracks, or would add, is one `git add .` away from everybody."""
    real = path.resolve()
    asked = _git(real, "check-ignore", "--quiet", "--", real.name)
    if asked is None or asked.returncode == 0 or "not a git repository" in asked.stderr:
        return
    if asked.returncode != 1:
        why = asked.stderr.strip().removeprefix("fatal: ").split("\n", 1)[0]
        raise SecretsFileError(
            "git does not say whether it keeps the secrets", where=path, why=why, mend="mend that, or move it away"
        )
    tracked = _git(real, "ls-files", "--error-unmatch", "--", real.name)
    if tracked is not None and tracked.returncode == 0:
        mend = f"git rm --cached {real}; name it in .gitignore; take new keys for those that were committed"
        raise SecretsFileError("git keeps the secrets", where=path, mend=mend)
    raise SecretsFileError("git would add the secrets", where=path, mend=f"put a line {SECRETS_NAME} into .gitignore")


def _git(path: Path, *arguments: str) -> subprocess.CompletedProcess[str] | None:
    """What git answers about a file of its folder; None where there is no git, and so nothing that would keep it."""
    try:
        return subprocess.run(
            ["git", *arguments],
            cwd=path.parent,
            env=child_env({"LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0"}),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_GIT_TIMEOUT_S,
            check=False,
        )
    except FileNotFoundError:
        return None
    except subprocess.TimeoutExpired:
        raise SecretsFileError("git did not answer whether it keeps the secrets", where=path) from None


def _parse(text: str, path: Path) -> dict[str, str]:
    """No error quotes a line: whatever is wrong with it, it may hold a secret."""
    values: dict[str, str] = {}
    lines: dict[str, int] = {}
    for number, name, value in _entries(text, path):
        if name in lines:
            raise _wrong(path, number, f"{name} is set a second time", f"it was set in line {lines[name]}")
        lines[name] = number
        if value:
            values[name] = value
    return values


def _entries(text: str, path: Path) -> Iterator[tuple[int, str, str]]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        found = _LINE.fullmatch(line)
        if found is None:
            raise _wrong(path, number, "this is not NAME=value")
        yield number, found[1], _value(found[2].strip(), path, number)


def _value(text: str, path: Path, number: int) -> str:
    if text.startswith("'"):
        found = _SINGLE.fullmatch(text)
        value = found[1] if found else None
    elif text.startswith('"'):
        found = _DOUBLE.fullmatch(text)
        value = _ESCAPE.sub(r"\1", found[1]) if found else None
    else:
        value = re.split(r"(?:^|\s)#", text, maxsplit=1)[0].rstrip()
        if "${" in value or "$(" in value or '"' in value or "'" in value:
            why = "nothing is filled in here, and quotes stand around a whole value"
            raise _wrong(path, number, "this value cannot stand without quotes", why, "put it in single quotes")
    if value is None:
        raise _wrong(path, number, "the quotes of this value do not close, or something follows them")
    if not value.isprintable():
        raise _wrong(path, number, "this value holds a control character")
    return value.strip()


def _wrong(path: Path, number: int, what: str, why: str | None = None, mend: str | None = None) -> SecretsFileError:
    return SecretsFileError(what, where=f"{path}, line {number}", why=why, mend=mend)
