"""The trees that the local environment keeps while its trials run."""

import os
import shutil
from contextlib import suppress
from pathlib import Path


def remove_sandboxes(folder: Path) -> None:
    """Delete what is left of a job's sandboxes, also where an agent took the permission to do so away."""
    for parent, names, _ in os.walk(folder):
        for path in (Path(parent, name) for name in names):
            if not path.is_symlink():
                with suppress(OSError):
                    path.chmod(0o700)  # before the walk goes into it
    shutil.rmtree(folder, ignore_errors=True)
