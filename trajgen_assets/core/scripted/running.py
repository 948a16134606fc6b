"""Run the scripted model: in a thread of this process, or as a process of its own until it is told to stop."""

import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

import uvicorn

from trajgen_assets.core.atomic import write_text
from trajgen_assets.core.scripted.faults import Fault, FaultPlan
from trajgen_assets.core.scripted.script import SCRIPTS
from trajgen_assets.core.scripted.server import ScriptedServer


@dataclass(frozen=True)
class ScriptedModel:
    """A scripted model that runs in this process.

    Attributes:
        origin: `http://host:port`, below which `/_fault` and `/_requests` are.
        base_url: what an OpenAI client takes as its base, with `/v1` at the end.
    """

    origin: str
    server: ScriptedServer

    @property
    def base_url(self) -> str:
        return f"{self.origin}/v1"

    def set_fault(
        self, fault: Fault, *, count: int | None = None, match: str | None = None, delay_s: float = 1.0
    ) -> None:
        """Let the next requests fail; see `FaultPlan` for the arguments."""
        self.server.faults.set(FaultPlan(fault=fault, count=count, match=match, delay_s=delay_s))

    def n_requests(self) -> int:
        """How many completions were asked for so far, failed ones included."""
        return self.server.n_requests


@contextmanager
def running_scripted_model(
    *, fault: Fault | None = None, api_key: str | None = None, latency_s: float = 0.0, scripts: Path = SCRIPTS
) -> Iterator[ScriptedModel]:
    """Serve the scripted model on a free loopback port while the block runs. What is still open then gets a 500."""
    scripted = ScriptedServer(api_key=api_key, latency_s=latency_s, scripts=scripts)
    with closing(listen("127.0.0.1", 0)) as listener:
        model = ScriptedModel(origin_of(listener), scripted)
        if fault is not None:
            model.set_fault(fault)
        uvicorn_server = _uvicorn_server(scripted)
        thread = Thread(target=uvicorn_server.run, args=([listener],), name="scripted-model", daemon=True)
        thread.start()
        try:
            yield model
        finally:
            uvicorn_server.should_exit = True
            thread.join()


def serve(scripted: ScriptedServer, *, host: str, port: int, ready_file: Path | None) -> None:
    """Serve until SIGINT or SIGTERM. `ready_file` appears, with the base URL in it, once the port accepts connections.

    Raises:
        OSError: the address cannot be bound.
    """
    with closing(listen(host, port)) as listener:
        if ready_file is not None:
            write_text(ready_file, f"{origin_of(listener)}/v1\n")
        _uvicorn_server(scripted).run([listener])


def listen(host: str, port: int) -> socket.socket:
    """Bind and listen; port 0 takes a free one. From here on a client may connect, though it waits for the server."""
    listener = socket.create_server((host, port))
    # asyncio sets this only on sockets made with an explicit protocol number; without it each answer on a kept
    # connection waits 40 ms for a delayed acknowledgement. Accepted sockets inherit it.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def origin_of(listener: socket.socket) -> str:
    """`http://host:port` of a listening socket."""
    host, port = listener.getsockname()[:2]
    return f"http://{host}:{port}"


def _uvicorn_server(scripted: ScriptedServer) -> uvicorn.Server:
    config = uvicorn.Config(
        scripted.app(),
        loop="asyncio",
        lifespan="off",
        ws="none",
        access_log=False,
        log_config=None,  # uvicorn would configure the logging of the whole process
        log_level="critical",  # a cut answer and a request dropped at the end are meant, not errors
        timeout_graceful_shutdown=0,
    )
    return uvicorn.Server(config)
