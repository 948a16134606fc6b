"""How the keeper of an agent's network is started: a container of this host's own Python, in another one's network.

Its image is an empty file system, made here: nothing comes from a registry, and nothing has to be built. What runs in
it is mounted read-only from this host, whose engine must therefore be the one that is used.

Where we are in a container ourselves, the engine cannot mount what lies in there, and TRAJGEN_IMAGE names our image:
the keeper runs in that one then, which has the same Python under the same path.
"""

import os
from collections.abc import Iterable
from pathlib import Path

IMAGE = "trajgen/empty:1"
EMPTY_TAR = bytes(1024)  # `docker import` makes IMAGE of it
SCRIPT = "network_keeper.py"
SOCKET = "/keeper.sock"
OUR_IMAGE_VARIABLE = "TRAJGEN_IMAGE"
JOB_LABEL = "trajgen.job"

_LIBRARIES = ("/usr", "/lib", "/lib64")


def keeper_argv(
    *, network: str, job: str, python: Path, script: Path, order: str, socket: Path | None = None, detached: bool = True
) -> list[str]:
    """What starts the keeper by `docker run`.

    Args:
        network: as `--network` takes it: `container:<id>` of the container that it keeps, or `none` to try it out.
        job: value of the label by which it is found and removed where it outlives the job.
        python: an interpreter of this host.
        script: `network_keeper.py`.
        order: what it is to do, see there.
        socket: where it reports; it prints its report where there is none.
        detached: print its id when it has started, and leave it when it has ended; else wait for that, and remove it.
    """
    program = python.resolve()
    ours = os.environ.get(OUR_IMAGE_VARIABLE)
    mounts = [] if ours else _read_only(_folders(program))
    if socket is not None:
        mounts.append(f"type=bind,source={socket},target={SOCKET}")
    return [
        "run", "--detach" if detached else "--rm", "--pull=never", "--label", f"{JOB_LABEL}={job}",
        "--network", network, "--read-only", "--user", "0:0",
        "--cap-drop", "ALL", "--cap-add", "NET_ADMIN", "--cap-add", "DAC_OVERRIDE",  # the files are another user's
        "--security-opt", "no-new-privileges", "--security-opt", "label=disable",
        "--memory", "128m", "--pids-limit", "16",
        *(part for mount in mounts for part in ("--mount", mount)),
        ours or IMAGE, str(program), "-I", "-S", "-c", script.read_text(encoding="utf-8"), order,
    ]  # fmt: skip


def _folders(program: Path) -> list[Path]:
    """Where the interpreter and all that it loads lie. A Python of the system lies in the first of them."""
    libraries = [Path(name) for name in _LIBRARIES if Path(name).is_dir()]
    prefix = program.parents[1]
    return libraries if any(prefix.is_relative_to(each) for each in libraries) else [*libraries, prefix]


def _read_only(folders: Iterable[Path]) -> list[str]:
    return [f"type=bind,source={folder},target={folder},readonly" for folder in folders]
