"""What the configuration says of sandboxes that are not on this host: their settings, and how they reach the proxy."""

from collections.abc import Mapping
from ipaddress import AddressValueError, IPv4Address
from typing import Any
from urllib.parse import urlsplit

from trajgen_assets.core.config.secrets import reference_name
from trajgen_assets.core.redact import looks_secret

# These have no settings that are not ours to make.
OWN = ("local", "docker")
EXAMPLE = {"host": "192.0.2.1", "port": 4000}


def is_listened_at(text: str | None) -> bool:
    """Whether a proxy could be told to listen there: an address, or a variable that holds one."""
    if text is None or reference_name(text) is not None:
        return True
    try:
        IPv4Address(text)
    except AddressValueError:
        return False
    return True


def filled_url(public_url: str, *, host: str, port: int) -> str:
    """The address at which agents call the proxy that listens at `host:port`, without a slash at its end."""
    return public_url.format(host=host, port=port).rstrip("/")


def public_url_problem(public_url: str, *, port: int | None) -> str | None:
    """Why agents cannot be told this address, or None if they can."""
    try:
        place = urlsplit(filled_url(public_url, **EXAMPLE))  # type: ignore[arg-type]
        is_address = place.scheme in ("http", "https") and bool(place.hostname) and place.port != 0
    except (ValueError, KeyError, IndexError):
        return "should be an address such as https://proxy.example.org; {host} and {port} in it stand for the proxy's"
    if not is_address or place.query or place.fragment or place.username:
        return "should be an http or https address without login, query or fragment"
    if "{port}" not in public_url and port is None:
        return "leads to one port, so litellm_proxy.port has to say which the proxy listens at; or put {port} into it"
    return None


def options_problem(options: Mapping[str, Any], environment: str) -> str | None:
    """Why an environment cannot be given these settings, or None if it can."""
    if options and environment in OWN:
        return f"are for the other environments of Harbor; {environment} has none"
    secret = next((name for name in options if looks_secret(name)), None)
    if secret is not None:
        return f"are written into files, and {secret} looks like a secret: name its variable in env_extra"
    return None
