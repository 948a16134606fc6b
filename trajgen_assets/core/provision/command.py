"""Outside programs, run with a bare environment, line by line, and never left behind.

This folder runs on a Python without any package installed, before there is an environment: it imports the
standard library, `core.errors` and `core.paths` only.
"""

import os
import re
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from trajgen_assets.core.provision.index import index_settings

Say = Callable[[str], None]

TAIL_LINES = 12
TIMED_OUT = 124

# What uv, pip and a system's package manager need. An API key in our environment is none of it.
PASSED = frozenset((
    "PATH", "HOME", "USER", "LOGNAME", "SHELL", "TERM", "LANG", "LC_ALL", "LC_CTYPE", "TMPDIR", "NETRC",
    "LD_LIBRARY_PATH",
    "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NIX_SSL_CERT_FILE",
    "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy",
))  # fmt: skip
PASSED_PREFIXES = ("UV_", "PIP_", "PYENV_", "XDG_")

HARBOR_PYTHON_VARIABLE = "TRAJGEN_HARBOR_PYTHON"

# Settings of other work that would send packages elsewhere, or other packages here.
REFUSED = frozenset((
    "UV_PYTHON", "UV_SYSTEM_PYTHON", "UV_BREAK_SYSTEM_PACKAGES", "UV_PROJECT_ENVIRONMENT", "UV_PROJECT",
    "UV_WORKING_DIR", "UV_CONSTRAINT", "UV_BUILD_CONSTRAINT", "UV_OVERRIDE", "UV_EXCLUDE", "UV_EXCLUDE_NEWER",
    "UV_NO_BINARY", "UV_NO_BUILD", "UV_PRERELEASE", "UV_RESOLUTION", "UV_TORCH_BACKEND",
    "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_USER", "PIP_PYTHON", "PIP_REQUIRE_VIRTUALENV", "PIP_CONSTRAINT",
    "PIP_NO_BINARY", "PIP_ONLY_BINARY", "PIP_NO_INDEX",
))  # fmt: skip


def tool_environ(environ: Mapping[str, str]) -> dict[str, str]:
    """The part of `environ` that an installing program gets, with pip's package index told to uv too."""
    passed = {name: value for name, value in environ.items() if _is_passed(name)}
    return (
        passed | index_settings(environ) | {"NO_COLOR": "1", "PIP_NO_INPUT": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    )


def build_settings(environ: Mapping[str, str]) -> dict[str, str]:
    """Where `environ` has packages and Pythons looked for: what a process needs that may have to build later."""
    return {
        name: value
        for name, value in environ.items()
        if (name.startswith(PASSED_PREFIXES) and _is_passed(name)) or name == HARBOR_PYTHON_VARIABLE
    }


def _is_passed(name: str) -> bool:
    return name in PASSED or (name.startswith(PASSED_PREFIXES) and name not in REFUSED)


@dataclass(frozen=True)
class Outcome:
    """How a program ended: its exit code (`TIMED_OUT` when we ended it) and its last lines."""

    code: int
    tail: tuple[str, ...]

    @property
    def ok(self) -> bool:
        return self.code == 0

    @property
    def complaint(self) -> str:
        """What the program said from its first error on, in one line."""
        lines = [line.strip() for line in self.tail]
        first = next((number for number, line in enumerate(lines) if line.lower().startswith("error")), 0)
        return " | ".join(lines[first:]) or f"it ended with code {self.code}"

    @property
    def reason(self) -> str:
        """The last thing that the program said, without its own word for an error."""
        if self.code == TIMED_OUT:
            return "no answer in time"
        last = self.tail[-1].strip() if self.tail else f"it ended with code {self.code}"
        return re.sub(r"^(error|cause|warning): *", "", last, flags=re.IGNORECASE)


def run(
    argv: Sequence[str | Path],
    *,
    env: Mapping[str, str],
    timeout_s: float,
    on_line: Say | None = None,
    cwd: Path | None = None,
    pass_fds: Iterable[int] = (),
) -> Outcome:
    """Run `argv` to its end and hand every line that it prints to `on_line`.

    A program that is not there ends with code 127, as in a shell. Whatever interrupts us ends it first.
    """
    try:
        with _running([str(part) for part in argv], env, cwd, tuple(pass_fds)) as process:
            return _follow(process, timeout_s, on_line)
    except OSError as error:
        return Outcome(127, (f"{argv[0]}: {error.strerror}",))


def _follow(process: subprocess.Popen[str], timeout_s: float, on_line: Say | None) -> Outcome:
    tail: deque[str] = deque(maxlen=TAIL_LINES)
    expired = threading.Event()

    def expire() -> None:
        expired.set()
        process.kill()

    timer = threading.Timer(timeout_s, expire)
    timer.daemon = True
    timer.start()
    try:
        for line in _lines(process):
            tail.append(line)
            if on_line is not None:
                on_line(line)
        code = process.wait()
    finally:
        timer.cancel()
    return Outcome(TIMED_OUT if expired.is_set() else code, tuple(tail))


def _lines(process: subprocess.Popen[str]) -> Iterator[str]:
    if process.stdout is not None:
        yield from (line.rstrip() for line in process.stdout if line.strip())


@contextmanager
def _running(
    argv: list[str], env: Mapping[str, str], cwd: Path | None, pass_fds: tuple[int, ...]
) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        argv,
        env=dict(env),
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        pass_fds=pass_fds,
    )
    try:
        yield process
    finally:
        _end(process)


def _end(process: subprocess.Popen[str]) -> None:
    """End `process` if it still runs: TERM, then KILL after three seconds."""
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(3)
    process.kill()
    process.wait()
    if process.stdout is not None:
        process.stdout.close()


def which(name: str, environ: Mapping[str, str]) -> Iterator[Path]:
    """Every executable `name` on the PATH of `environ`, in order; whether it runs is another question."""
    for folder in environ.get("PATH", os.defpath).split(os.pathsep):
        path = Path(folder or ".") / name
        if path.is_file() and os.access(path, os.X_OK):
            yield path.absolute()
