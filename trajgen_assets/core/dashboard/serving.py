"""The site on a loopback port: nothing but its files, to be read, and made anew when the root has news.

A page of another origin may reach a loopback port, by a name that it has pointed there: such a name is refused. Nothing
here writes for a client, so that is all there is to guard.
"""

import logging
import socket
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from pathlib import Path
from threading import Event, Thread

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from trajgen_assets.core.dashboard.render import POLICY
from trajgen_assets.core.dashboard.site import build_site, site_folder
from trajgen_assets.core.errors import RequirementError, TrajgenError
from trajgen_assets.core.ledger.looking import looking_at_ledger
from trajgen_assets.core.paths import Root
from trajgen_assets.core.scripted.running import listen, origin_of

log = logging.getLogger(__name__)

LOOPBACK = "127.0.0.1"
LOOK_EVERY_S = 5.0

HEADERS = {
    "content-security-policy": f"{POLICY}; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-cache",
}


def serve_site(root: Root, port: int, say: Callable[[str], None]) -> None:
    """Serve the site about `root` until SIGINT or SIGTERM; `say` is told the address when it can be opened.

    Raises:
        RequirementError: the port is taken.
    """
    try:
        listener = listen(LOOPBACK, port)
    except OSError as error:
        raise RequirementError(
            "the dashboard cannot be served",
            where=f"{LOOPBACK}:{port}",
            why=error.strerror,
            mend="choose another --port",
        ) from error
    over = Event()
    with closing(listener):
        keeper = Thread(target=keep_fresh, args=(root, over), name="dashboard", daemon=True)
        keeper.start()
        say(origin_of(listener))
        try:
            run_server(site_app(site_folder(root)), listener)
        finally:
            over.set()
            keeper.join()


def site_app(folder: Path) -> Starlette:
    """The files of `folder`, by GET and HEAD, for clients that call us by a name of the loopback address."""
    files = StaticFiles(directory=folder, html=True)
    middleware = [Middleware(_Headers), Middleware(TrustedHostMiddleware, allowed_hosts=[LOOPBACK, "localhost"])]
    return Starlette(routes=[Mount("/", files)], middleware=middleware)


def run_server(app: ASGIApp, listener: socket.socket) -> None:
    """Answer on `listener` until a signal ends it."""
    config = uvicorn.Config(app, lifespan="off", ws="none", access_log=False, log_config=None, log_level="warning")
    uvicorn.Server(config).run([listener])


def keep_fresh(root: Root, over: Event, look_every_s: float = LOOK_EVERY_S) -> None:
    """Make the site anew whenever the root has changed, until `over`. A build that fails is said, and tried again."""
    seen: tuple[int, ...] = ()
    while not over.wait(look_every_s):
        found = state_of(root)
        if found == seen:
            continue
        try:
            report = build_site(root)
        except Exception as error:  # noqa: BLE001  whatever it is, what was built before can still be read
            log.error("the dashboard was not made anew: %s: %s", type(error).__name__, error)
            continue
        seen = found
        log.info("%d files written, %d removed", report.n_written, report.n_removed)


def state_of(root: Root) -> tuple[int, ...]:
    """When what the site is about was last written: the ledger and its log, the archive's index, jobs, their data."""
    log_of_ledger = root.ledger.with_name(f"{root.ledger.name}-wal")
    times = _times([root.ledger, log_of_ledger, root.index, *_entries(root.jobs), *_entries(root.sft_data)])
    return (*times, *_on_server(root))


def _on_server(root: Root) -> Iterable[int]:
    """A number that another state of a ledger on a server changes; none while it does not answer."""
    if root.ledger_place.exists():
        with suppress(TrajgenError), looking_at_ledger(root) as ledger:
            yield int(ledger.fingerprint()[:15], 16)


def _entries(folder: Path) -> Iterable[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else ()


def _times(paths: Iterable[Path]) -> Iterable[int]:
    for path in paths:
        with suppress(OSError):
            yield path.stat().st_mtime_ns


class _Headers:
    """Adds to each answer what tells a browser to trust it with nothing."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                added = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
                message = {**message, "headers": [*message["headers"], *added]}
            await send(message)

        await self._app(scope, receive, send_with_headers)
