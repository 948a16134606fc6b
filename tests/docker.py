"""Whether there is a Docker engine to test with; where not, its tests are skipped and say why."""

import functools
import subprocess
import sys

import pytest

from trajgen_assets.core.paths import PROJECT


@functools.cache
def engine_problem() -> str | None:
    """Why containers cannot be tested here, or None."""
    command = [sys.executable, "-E", PROJECT / "scripts" / "docker_engine.py", "check"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return None if done.returncode == 0 else (done.stderr.strip() or "no Docker engine")


needs_docker = pytest.mark.skipif(engine_problem() is not None, reason=str(engine_problem()))
