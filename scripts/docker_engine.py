"""A Docker engine with compose v2 on a Debian-like machine, and the base image of the bundled tasks, without a registry.

    python3 scripts/docker_engine.py check        0 when engine, compose v2 and buildx answer, else 1 and what is missing
    python3 scripts/docker_engine.py ensure       install what is missing and start the engine (as root)
    python3 scripts/docker_engine.py base-image   make `trajgen/sample-base:1` from the packages of this system's release
    python3 scripts/docker_engine.py stop         end the engine that `ensure` started, and no other

Every download goes through apt, from the mirror that the machine itself is set to, so that signature, proxy and
credentials are apt's own. It needs Python 3.11 or newer and no package.
"""

import argparse
import hashlib
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from trajgen_assets.core.errors import RequirementError, TrajgenError
from trajgen_assets.core.paths import Root
from trajgen_assets.core.provision.command import Outcome, Say, run, tool_environ, which
from trajgen_assets.core.provision.environments import locked
from trajgen_assets.core.provision.packages import Authority, install_packages

ENGINE_VARIABLES = ("DOCKER_HOST", "DOCKER_CONFIG", "DOCKER_CONTEXT", "DOCKER_CERT_PATH", "DOCKER_TLS_VERIFY")
QUESTION_TIMEOUT_S = 20.0
INSTALL_TIMEOUT_S = 900.0
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 45.0  # an engine gives its containers 15 s

# Compose v2 and buildx go by the first name in Debian, Ubuntu and Docker's own repository. Where a release has
# neither, the packages of the next one fit: they depend on nothing but an older libc.
COMPOSE_PACKAGES = ("docker-compose", "docker-compose-v2", "docker-compose-plugin")
BUILDX_PACKAGES = ("docker-buildx", "docker-buildx-plugin")
NEXT_RELEASE = {"bookworm": "trixie"}
ARCHIVE_KEYRING = "usr/share/keyrings/debian-archive-keyring.gpg"

# Harbor makes a network for every trial, and the engine's own pools end at about 30. The first is the usual one of
# the default bridge; the engine passes over what overlaps with a route of the host.
ADDRESS_POOLS = ("base=172.17.0.0/16,size=16", "base=10.208.0.0/12,size=24")

IMAGE = "trajgen/sample-base:1"
IMAGE_PACKAGES = ("ca-certificates", "git", "python3", "tmux")
IMAGE_OMITS = ("/usr/share/doc/*", "/usr/share/info/*", "/usr/share/locale/*", "/usr/share/man/*")
CA_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
IMAGE_SETTINGS = (
    "ENV LANG=C.UTF-8",
    *(f"ENV {name}={CA_BUNDLE}" for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS")),
    'CMD ["/bin/bash"]',
    "LABEL trajgen.image=sample-base",
)


@dataclass(frozen=True)
class Machine:
    """Where we are, and what we may do.

    Args:
        environ: what programs get; `Machine.here` makes it from ours.
        state_dir: keeps the log of the engine that we start, and the record by which it is stopped.
        cache_dir: keeps the file system of the base image.
        is_root: whether packages may be installed and an engine started.
        system: the folder that counts as `/`.
    """

    environ: Mapping[str, str]
    state_dir: Path
    cache_dir: Path
    say: Say
    is_root: bool
    system: Path = Path("/")

    @classmethod
    def here(cls, state_dir: Path, cache_dir: Path, say: Say) -> "Machine":
        """This machine. Daemons and package tools live in folders that a user's PATH often lacks."""
        environ = tool_environ(os.environ) | {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
        environ |= {name: os.environ[name] for name in ENGINE_VARIABLES if name in os.environ}
        environ["PATH"] = os.pathsep.join((environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"))
        return cls(environ, state_dir, cache_dir, say, is_root=os.geteuid() == 0)

    @property
    def log(self) -> Path:
        return self.state_dir / "docker-engine.log"

    @property
    def record(self) -> Path:
        return self.state_dir / "docker-engine.json"

    @property
    def lock(self) -> Path:
        return self.system / "run" / "trajgen-docker-engine.lock"  # one engine a machine, however many checkouts

    def has(self, program: str) -> bool:
        return any(which(program, self.environ))

    def ask(self, *argv: str | Path) -> tuple[Outcome, list[str]]:
        """Run a command that only looks. Returns how it ended and every line that it printed."""
        lines: list[str] = []
        return run(argv, env=self.environ, timeout_s=QUESTION_TIMEOUT_S, on_line=lines.append), lines

    def do(self, failure: str, *argv: str | Path, cwd: Path | None = None, mend: str | None = None) -> None:
        """Run a command that changes something.

        Raises:
            RequirementError: it failed; `failure` says what that means.
        """
        outcome = run(argv, env=self.environ, timeout_s=INSTALL_TIMEOUT_S, cwd=cwd)
        if not outcome.ok:
            why = "no answer in time" if outcome.timed_out else " | ".join(outcome.tail[-3:])
            raise RequirementError(
                failure, where=Path(argv[0]).name, why=why, mend=mend or "see the reason, then rerun"
            )
