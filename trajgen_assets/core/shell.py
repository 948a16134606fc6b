"""A command that was executed, as a shell script: to be read, and to be run by hand. No secret is in it."""

import shlex
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path


def script_of(
    argv: Sequence[str | Path],
    *,
    title: str,
    cwd: Path,
    plain: Mapping[str, str],
    secret: Collection[str] = (),
) -> str:
    """A bash script that does what was done.

    Args:
        argv: program and arguments.
        title: one line about it, for its head.
        cwd: where it ran.
        plain: environment variables that it was given and that may be read by anybody.
        secret: names of those whose values are left out; the script asks for them.
    """
    lines = [
        "#!/usr/bin/env bash",
        f"# {title}",
        "# Run again as it stands it works in the same folders as then: change the paths first.",
        "set -euo pipefail",
        f"cd {shlex.quote(str(cwd))}",
        *(f"export {name}={shlex.quote(value)}" for name, value in plain.items()),
        *(f'export {name}="${{{name}:?its value is not kept: set it}}"' for name in sorted(secret)),
        "exec " + " \\\n    ".join(shlex.quote(str(word)) for word in argv),
    ]
    return "\n".join(lines) + "\n"
