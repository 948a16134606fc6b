"""Is the model there? Asked before a task is claimed, and once more through the job's own proxy."""

import socket
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx

from trajgen_assets.core.errors import EndpointError

CONNECT_TIMEOUT_S = 5.0
COMPLETION_TIMEOUT_S = 60.0
MEND = "check runtime_info.input.llm_api (api_base_url, model, api_key), and that the endpoint is up"


def check_reachable(api_base_url: str, *, mend: str = MEND) -> None:
    """Open one connection to the endpoint and close it; behind an HTTP proxy only the job's own first call can tell.

    Raises:
        EndpointError: nothing listens there, or the name does not resolve.
    """
    parts = urlsplit(api_base_url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    if parts.scheme in getproxies() and not proxy_bypass(host):
        return
    try:
        socket.create_connection((host, port), timeout=CONNECT_TIMEOUT_S).close()
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise EndpointError("the model endpoint is out of reach", where=api_base_url, why=why, mend=mend) from error


def check_answers(base_url: str, *, key: str, model: str, where: str) -> None:
    """Ask for one short completion over OpenAI's chat interface at `base_url`.

    Args:
        base_url: `…/v1` of the endpoint, or of the proxy before it.
        key: bearer key for it.
        model: the name to ask for.
        where: what to call the endpoint in an error.

    Raises:
        EndpointError: no reply, an error status, or a reply without a choice.
    """
    body = {"model": model, "messages": [{"role": "user", "content": "Reply with the word pong."}], "max_tokens": 256}
    try:
        with httpx.Client(trust_env=False, timeout=COMPLETION_TIMEOUT_S) as client:
            reply = client.post(
                f"{base_url.rstrip('/')}/chat/completions", json=body, headers={"Authorization": f"Bearer {key}"}
            )
    except httpx.HTTPError as error:
        raise EndpointError("the model endpoint does not answer", where=where, why=error, mend=MEND) from error
    if reply.status_code != httpx.codes.OK:
        why = f"HTTP {reply.status_code}: {reply.text[:300]}"
        raise EndpointError("the model endpoint refuses a completion", where=where, why=why, mend=MEND)
    if not _has_choice(reply):
        raise EndpointError("the model endpoint answers without a choice", where=where, why=reply.text[:300], mend=MEND)


def check_one_answers(base_url: str, *, key: str, places: Mapping[str, str]) -> dict[str, EndpointError]:
    """Ask each endpoint for one short completion, all at once, through the proxy before them.

    Args:
        base_url: `…/v1` of the proxy.
        key: a key that may ask for an endpoint by its name.
        places: the name of each, and what to call it in an error.

    Returns:
        What is wrong with those that do not answer.

    Raises:
        EndpointError: none answers; it is the first one's.
    """

    def asked(name: str) -> EndpointError | None:
        try:
            check_answers(base_url, key=key, model=name, where=places[name])
        except EndpointError as error:
            return error
        return None

    with ThreadPoolExecutor(len(places)) as pool:
        errors = dict(zip(places, pool.map(asked, places), strict=True))
    wrong = {name: error for name, error in errors.items() if error is not None}
    if len(wrong) == len(places):
        raise next(iter(wrong.values()))
    return wrong


def _has_choice(reply: httpx.Response) -> bool:
    try:
        return bool(reply.json()["choices"])
    except (ValueError, KeyError, TypeError):
        return False
