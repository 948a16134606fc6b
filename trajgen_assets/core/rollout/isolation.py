"""`harbor_job.network: proxy_only` in Docker: whether this host can keep an agent's container from all but the proxy.

The keeping itself happens in Harbor's process, around each agent's work: `guest/harbor/network_isolation.py`.
"""

import json
import tempfile
from pathlib import Path
from typing import Any

from trajgen_assets.core.errors import RequirementError
from trajgen_assets.core.guest import guest_modules
from trajgen_assets.core.rollout.docker import ask_docker
from trajgen_assets.guest.keeper_container import EMPTY_TAR, IMAGE, SCRIPT, keeper_argv

PROXY_ONLY = "proxy_only"

CHECK_LABEL = "isolation-check"
CHECK_TIMEOUT_S = 30.0
_ORDER = json.dumps({"address": "192.0.2.1", "port": 1024, "closes_names": True, "probes": ["198.51.100.1"]})
_CLOSED = {"interfaces": [], "ipv6_interfaces": [], "routes": [], "names_are_answered": False}
_HYPERVISOR = "the host of this virtual machine by AF_VSOCK, which belongs to no network"
_WHAT = "agents cannot be kept from all but the proxy"
_MEND = "use the Docker engine of this host, as its user sees its files; or set harbor_job.network: open"


def check_isolation(python: Path) -> str | None:
    """Let a keeper of an agent's network do all that it does in a trial, in a network of its own.

    Its image is made where it is missing: an empty file system of a few hundred bytes.

    Args:
        python: Harbor's interpreter, which the keeper runs on.

    Returns:
        What a container of this host reaches all the same, or None.

    Raises:
        RequirementError: the engine refuses it, or it cannot run there.
    """
    if not ask_docker("image", "ls", "--quiet", IMAGE).strip():
        _make_image()
    argv = keeper_argv(
        network="none", job=CHECK_LABEL, python=python, script=guest_modules()[SCRIPT], order=_ORDER, detached=False
    )
    report = ask_docker(*argv, what=_WHAT, mend=_MEND, timeout_s=CHECK_TIMEOUT_S)
    found: dict[str, Any] = json.loads(report)
    reaches_hypervisor = found.pop("hypervisor", False)
    if found != _CLOSED:
        raise RequirementError(_WHAT, where="docker run --network none", why=f"it has {report.strip()}", mend=_MEND)
    return _HYPERVISOR if reaches_hypervisor else None


def _make_image() -> None:
    with tempfile.NamedTemporaryFile(prefix="trajgen-", suffix=".tar") as archive:
        archive.write(EMPTY_TAR)
        archive.flush()
        ask_docker("import", archive.name, IMAGE)
