"""Where a job's proxy listens, and what its agents call it: the host's own loopback, or Docker's bridge to the host.

It never listens on every address of the host: whoever is on its networks could then try keys. On the bridge only
containers of this host reach it, of other jobs too, and each call needs the key of a trial of this job.
"""

from trajgen_assets.core.capture.proxy import RunningProxy
from trajgen_assets.core.config.scaffolds import Place, Scaffold
from trajgen_assets.core.rollout.docker import HOST_NAME, gateway_address

LOOPBACK = "127.0.0.1"


def proxy_host(scaffold: Scaffold) -> str:
    """The address of this host that the proxy of a job with `scaffold` listens on.

    Raises:
        RequirementError: the agents run in containers, and the engine does not say how those reach this host.
    """
    return gateway_address() if scaffold.place is Place.CONTAINER else LOOPBACK


def agent_url(scaffold: Scaffold, proxy: RunningProxy) -> str:
    """The proxy as agents of `scaffold` reach it, without a path."""
    return f"http://{HOST_NAME}:{proxy.port}" if scaffold.place is Place.CONTAINER else proxy.base_url
