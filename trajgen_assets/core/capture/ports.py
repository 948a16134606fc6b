"""Which port a job's proxy listens on: a free one, or the one that the configuration asks for and those after it."""

import socket
from pathlib import PurePath

import psutil

from trajgen_assets.core.errors import ProxyError

LAST_PORT = 65535
# So many jobs at once are more than any host has slots for.
N_FOLLOWING = 256

# What a proxy of ours is started on.
CONFIG_NAME = "litellm_config.yaml"


def choose_port(host: str, wanted: int | None) -> int:
    """A port on which a proxy can listen now.

    Without a wanted one it is any that is free. A wanted one is taken when it is free; while proxies of other jobs have
    it, the next free ones follow. Nothing is held: another program may take it before the proxy does.

    Raises:
        ProxyError: something else listens at the wanted port, or we may not listen there.
    """
    if wanted is None:
        return _bound(host, 0)
    ours = ports_of_proxies()
    following = range(wanted + 1, min(wanted + N_FOLLOWING, LAST_PORT) + 1)
    for port in (wanted, *(following if wanted in ours else ())):
        if port in ours:
            continue
        try:
            return _bound(host, port)
        except PermissionError:
            raise _refusal(host, port, "only root may listen below 1024") from None
        except OSError as error:
            if port == wanted:
                raise _refusal(host, port, _who_listens(port) or str(error.strerror)) from None
    raise _refusal(host, wanted, f"neither it nor any of the {N_FOLLOWING} ports after it is free")


def ports_of_proxies() -> set[int]:
    """The ports that proxies of jobs were started on, also of those that do not listen yet."""
    return {port for process in psutil.process_iter(["cmdline"]) if (port := _port_of(process.info["cmdline"] or []))}


def _port_of(argv: list[str]) -> int | None:
    """The port that a process was told to listen on, if it is a proxy of ours."""
    if not any(PurePath(word).name == CONFIG_NAME for word in argv) or "--port" not in argv[:-1]:
        return None
    text = argv[argv.index("--port") + 1]
    return int(text) if text.isdecimal() else None


def _bound(host: str, port: int) -> int:
    with socket.socket() as probe:
        # As the proxy itself binds: connections of an earlier one that linger do not keep it away, a listener does.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, int(port != 0))
        probe.bind((host, port))
        return int(probe.getsockname()[1])


def _refusal(host: str, port: int, why: str) -> ProxyError:
    mend = "end what listens there, choose another litellm_proxy.port, or leave it out: each job then takes a free one"
    return ProxyError(f"port {port} cannot be used", where=f"{host}:{port}", why=why, mend=mend)


def _who_listens(port: int) -> str | None:
    """Who has the port, in words; None where that cannot be seen."""
    for each in psutil.net_connections("tcp"):
        if each.status == psutil.CONN_LISTEN and each.laddr and each.laddr.port == port:
            if each.pid is None:
                return "a process of another user listens there"
            return f"{_name_of(each.pid)} (pid {each.pid}) listens there"
    return None


def _name_of(pid: int) -> str:
    try:
        return psutil.Process(pid).name()
    except psutil.Error:
        return "a process"
