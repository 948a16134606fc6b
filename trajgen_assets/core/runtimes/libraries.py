"""The shared libraries that programs need, as the C library of this host tells."""

import platform
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from trajgen_assets.core.errors import EnvironmentBuildError, RequirementError
from trajgen_assets.core.provision.command import run, tool_environ

# `--argv0` of the loader, by which a program learns the name that it was called by.
LOWEST_GLIBC = (2, 33)
TIMEOUT_S = 300.0

_LIBRARY = re.compile(r"^\s*(\S+) => (/\S+) \(0x", re.MULTILINE)
_LOADER = re.compile(r"^\s*(/\S*/ld-linux\S*) \(0x", re.MULTILINE)
_GLIBC = re.compile(r"\(GLIBC_(\d+)\.(\d+)(?:\.\d+)?\)")

# What glibc opens by name and no program says that it needs: how hosts and users are looked up, and how threads end.
UNNAMED = ("libnss_files.so.2", "libnss_dns.so.2", "libresolv.so.2", "libgcc_s.so.1")


def host_glibc() -> tuple[int, int]:
    """The version of this host's glibc.

    Raises:
        RequirementError: its C library is another one, or too old to be taken along.
    """
    name, version = platform.libc_ver()
    parts = [int(part) for part in re.findall(r"\d+", version)[:2]]
    found = (parts[0], parts[1]) if name == "glibc" and len(parts) == 2 else (0, 0)
    if found < LOWEST_GLIBC:
        raise RequirementError(
            "the C library of this host cannot be taken along",
            where=f"{name} {version}".strip() or "unknown",
            why=f"a runtime with Python needs glibc {LOWEST_GLIBC[0]}.{LOWEST_GLIBC[1]} or newer where it is built",
            mend="build it on a newer host and copy the folder; agent.runtime_host_path then names it",
        )
    return found


def libraries_of(files: Sequence[Path], environ: Mapping[str, str]) -> dict[str, Path]:
    """Name to place of each library that one of `files` needs, and of the loader itself under its own name.

    Raises:
        EnvironmentBuildError: ldd does not tell; it is said to complain of single files, which is no matter.
    """
    text = _ldd(files, environ)
    found = {name: Path(place) for name, place in _LIBRARY.findall(text)}
    found |= {Path(place).name: Path(place) for place in _LOADER.findall(text)}
    if "libc.so.6" not in found:
        raise EnvironmentBuildError("ldd does not tell which libraries are needed", where=files[0], why=text[-300:])
    beside = found["libc.so.6"].parent
    return found | {name: beside / name for name in UNNAMED if (beside / name).exists()}


def needed_glibc(program: Path, environ: Mapping[str, str]) -> str:
    """The oldest glibc that `program` itself runs with."""
    text = _ldd([program], environ, "-v")
    own = text.partition(f"{program}:")[2].partition(":\n")[0]
    versions = [(int(major), int(minor)) for major, minor in _GLIBC.findall(own)]
    if not versions:
        raise EnvironmentBuildError("ldd does not tell which glibc is needed", where=program, why=text[-300:])
    return ".".join(map(str, max(versions)))


def _ldd(files: Iterable[Path], environ: Mapping[str, str], *options: str) -> str:
    lines: list[str] = []
    run(["ldd", *options, *files], env=tool_environ(environ), timeout_s=TIMEOUT_S, on_line=lines.append)
    return "\n".join(lines)
