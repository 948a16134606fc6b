"""Chromium for the tests of the web UI, from this system's own packages; nothing happens where there is one.

It needs Python 3.11 or newer, and no package.
"""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the system's Python has nothing of ours installed

from trajgen_assets.core.errors import TrajgenError
from trajgen_assets.core.provision.command import which
from trajgen_assets.core.provision.packages import Authority, install_packages

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
PACKAGES = ("chromium", "fonts-dejavu-core")  # without a font a page is all boxes


def main() -> int:
    """Install it. Returns 0 when there is one afterwards, else 1."""
    if is_there():
        return 0
    try:
        install_packages(PACKAGES, Authority.of_this_process(), os.environ, print)
    except TrajgenError as error:
        sys.stderr.write(f"no Chromium: {error}\n")
        return 1
    if not is_there():
        sys.stderr.write(f"no Chromium: none of {', '.join(PROGRAMS)} is on PATH after the installation\n")
        return 1
    return 0


def is_there() -> bool:
    """Whether one of the names leads to a program."""
    return any(path for program in PROGRAMS for path in which(program, os.environ))


if __name__ == "__main__":
    sys.exit(main())
