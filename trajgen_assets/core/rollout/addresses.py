"""Where a job's proxy listens, and what its agents call it.

For agents on this host that is its loopback, and for those in containers Docker's bridge to the host. It never listens
on every address of the host by itself: whoever is on its networks could then try keys. On the bridge only containers of
this host reach it, of other jobs too, and each call needs the key of a trial of this job. Sandboxes that are elsewhere
come by an address that a person names: to loopback, where a tunnel or a reverse proxy passes it on, or to the address
of this host that the person names as well.
"""

from dataclasses import dataclass

from trajgen_assets.core.capture.proxy import RunningProxy
from trajgen_assets.core.config.config import Config
from trajgen_assets.core.config.remote import filled_url
from trajgen_assets.core.config.scaffolds import Place, Scaffold
from trajgen_assets.core.rollout.docker import HOST_NAME, gateway_address

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class ProxyPlace:
    """How proxies are reached; without a configuration, as nobody says otherwise.

    Where one listens is read when it is asked for: a variable may be set only where a job runs, as a pod's address is.
    """

    config: Config | None = None

    @property
    def public_url(self) -> str | None:
        """The address for sandboxes elsewhere, with `{host}` and `{port}` for the proxy's own."""
        return self.config.runtime_info.input.litellm_proxy.public_url if self.config else None

    def is_public(self, scaffold: Scaffold) -> bool:
        """Whether agents of `scaffold` call the proxy by its public address."""
        return self.public_url is not None and scaffold.place is Place.CONTAINER

    def listens_at(self, scaffold: Scaffold) -> str:
        """The address of this host that the proxy of a job with `scaffold` listens on.

        Raises:
            RequirementError: the agents run in containers, and the engine does not say how those reach this host.
            ConfigError: `litellm_proxy.host` names a variable that nothing sets.
        """
        if self.config is not None and self.is_public(scaffold):
            return self.config.proxy_host or LOOPBACK
        return gateway_address() if scaffold.place is Place.CONTAINER else LOOPBACK

    def agent_url(self, scaffold: Scaffold, proxy: RunningProxy) -> str:
        """The proxy as agents of `scaffold` reach it, without a path of the API."""
        if self.public_url is not None and self.is_public(scaffold):
            return filled_url(self.public_url, host=proxy.host, port=proxy.port)
        return f"http://{HOST_NAME}:{proxy.port}" if scaffold.place is Place.CONTAINER else proxy.base_url
