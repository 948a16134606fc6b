"""Postgres for the tests, from this system's own packages; nothing happens where it is. No server is left running.

It needs Python 3.11 or newer, and no package.
"""

import os
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the system's Python has nothing of ours installed

from trajgen_assets.core.errors import TrajgenError
from trajgen_assets.core.provision.packages import Authority, install_packages

# Debian keeps the programs of each version apart, and puts none of them on PATH.
FOLDERS = "/usr/lib/postgresql/*/bin"
PACKAGES = ("postgresql",)
# Read by Debian's packages: a cluster of the system's own, and its server, is what nobody asked for.
NO_CLUSTER = Path("/etc/postgresql-common/createcluster.d/trajgen.conf")


def main() -> int:
    """Install it. Returns 0 when it is there afterwards, else 1."""
    if programs() is not None:
        return 0
    try:
        _install()
    except (TrajgenError, OSError) as error:
        sys.stderr.write(f"no Postgres: {error}\n")
        return 1
    if programs() is None:
        sys.stderr.write("no Postgres: initdb is neither on PATH nor in /usr/lib/postgresql after the installation\n")
        return 1
    return 0


def programs() -> Path | None:
    """The folder with `initdb` and `postgres`, of the newest version; None if there is none."""
    found = [Path(each).parent for each in [shutil.which("initdb")] if each]
    newest_first = sorted(Path("/").glob(FOLDERS[1:]), key=lambda folder: _version(folder.parent.name), reverse=True)
    return next((each for each in [*found, *newest_first] if (each / "postgres").exists()), None)


def _version(name: str) -> float:
    try:
        return float(name)
    except ValueError:
        return 0.0


def _install() -> None:
    authority = Authority.of_this_process()
    if authority.is_root and not NO_CLUSTER.exists():
        NO_CLUSTER.parent.mkdir(parents=True, exist_ok=True)
        NO_CLUSTER.write_text("create_main_cluster = false\nstart_conf = 'manual'\n")
    install_packages(PACKAGES, authority, os.environ, print)


if __name__ == "__main__":
    sys.exit(main())
