"""Questions to git about a checkout that change nothing in it."""

import subprocess
from pathlib import Path

from trajgen_assets.core.process import child_env

GIT_TIMEOUT_S = 10.0


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
