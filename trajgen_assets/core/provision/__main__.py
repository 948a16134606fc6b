"""`python3 -m trajgen_assets.core.provision`: set-up by the system's own Python, before anything is installed."""

import argparse
import signal
import subprocess
import sys
from pathlib import Path

from trajgen_assets.core.errors import TrajgenError
from trajgen_assets.core.paths import PROJECT, Root
from trajgen_assets.core.provision.setup import PLATFORM, setup


def main() -> int:
    """Run set-up. Returns 0 when it is complete, 1 when it is not, 130 when it was interrupted."""
    arguments = _arguments()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that uv is ended and its work removed
    root = Root.from_environ()
    try:
        built = setup(
            PROJECT,
            root.env,
            harbor_python=arguments.harbor_python,
            say=_say,
            sandbox=arguments.sandbox,
            tests=arguments.tests,
        )
    except TrajgenError as error:
        sys.stderr.write(f"set-up stopped: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("set-up interrupted; nothing half-built is left, `make setup` goes on from here\n")
        return 130
    if built and (root.dagster_home / "dagster.yaml").exists():
        _report(root)
    return 0


def _report(root: Root) -> None:
    """Have the web UI show what was built. The command knows Dagster, which this Python does not."""
    argv: list[str | Path] = [PROJECT / PLATFORM / "bin" / "trajgen", "--root", root.path, "setup-envs"]
    done = subprocess.run(argv, capture_output=True, check=False)
    _say(
        f"the web UI of {root.path} shows what was built"
        if done.returncode == 0
        else "note: the web UI does not show what was built; `trajgen setup-envs` says why"
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bootstrap", description="Set up trajgen in this checkout.")
    parser.add_argument("--harbor-python", type=Path, help="the Python for Harbor, 3.12 or newer")
    parser.add_argument("--sandbox", action="store_true", help="fail where the local sandbox cannot work")
    parser.add_argument("--tests", action="store_true", help="build what only the tests need, too")
    return parser.parse_args()


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
