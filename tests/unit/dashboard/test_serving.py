import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from threading import Event, Thread

import httpx
import pytest
import uvicorn

from tests.unit.ledger.twins import register
from tests.waiting import wait_until
from trajgen_assets.core.dashboard.render import SiteFile
from trajgen_assets.core.dashboard.serving import keep_fresh, serve_site, site_app
from trajgen_assets.core.dashboard.site import build_site, site_folder
from trajgen_assets.core.dashboard.writing import Part, write_site
from trajgen_assets.core.errors import RequirementError
from trajgen_assets.core.ledger import Ledger
from trajgen_assets.core.paths import Root
from trajgen_assets.core.scripted.running import listen, origin_of


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A served site of one page, beside which lies what is nobody's business."""
    tmp_path = tmp_path_factory.mktemp("served")
    (tmp_path / "secret.txt").write_text("nobody's business")
    site = tmp_path / "site"
    write_site(site, [Part("a", "1", lambda: [SiteFile("index.html", b"<p>home"), SiteFile("data/x.js", b"1")])])
    (site / "link").symlink_to(tmp_path / "secret.txt")
    with closing(listen("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(site_app(site), lifespan="off", ws="none", log_config=None))
        thread = Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        yield origin_of(listener)
        server.should_exit = True
        thread.join()


def ask(origin: str, path: str, method: str = "GET", **headers: str) -> httpx.Response:
    """Ask for a path as it is: a client would tidy it up first."""
    host, _, port = origin.removeprefix("http://").partition(":")
    head = "".join(f"{name}: {value}\r\n" for name, value in {"Host": f"{host}:{port}", **headers}.items())
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(f"{method} {path} HTTP/1.1\r\n{head}Connection: close\r\n\r\n".encode())
        data = b"".join(iter(lambda: connection.recv(65536), b""))
    first, _, rest = data.partition(b"\r\n")
    lines, _, body = rest.partition(b"\r\n\r\n")
    pairs = [line.split(b": ", 1) for line in lines.split(b"\r\n")]
    return httpx.Response(int(first.split()[1]), headers=[(name, value) for name, value in pairs], content=body)


def test_pages_come_with_what_keeps_a_browser_from_trusting_them(origin: str) -> None:
    answer = ask(origin, "/")
    assert (answer.status_code, answer.content) == (200, b"<p>home")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert "access-control-allow-origin" not in answer.headers
    assert ask(origin, "/data/x.js").headers["content-type"].startswith("text/javascript")


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:80", "169.254.169.254", ""])
def test_who_calls_us_by_another_name_gets_nothing(origin: str, host: str) -> None:
    assert ask(origin, "/", Host=host).status_code == 400


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_nothing_but_reading_is_answered(origin: str, method: str) -> None:
    assert ask(origin, "/index.html", method).status_code == 405


def test_the_head_of_a_page_can_be_asked_for(origin: str) -> None:
    answer = ask(origin, "/index.html", "HEAD")
    assert (answer.status_code, answer.content, answer.headers["content-length"]) == (200, b"", "7")


@pytest.mark.parametrize(
    "path", ["/../secret.txt", "/%2e%2e/secret.txt", "/data/..%2f..%2fsecret.txt", "//secret.txt", "/link", "/data/"]
)
def test_nothing_beside_the_site_is_served_and_no_folder_is_listed(origin: str, path: str) -> None:
    answer = ask(origin, path)
    assert answer.status_code == 404
    assert b"business" not in answer.content


def test_a_taken_port_is_said_with_its_mend(tmp_path: Path) -> None:
    with closing(listen("127.0.0.1", 0)) as taken, pytest.raises(RequirementError, match="--port"):
        serve_site(Root(tmp_path), taken.getsockname()[1], print)


def test_the_site_follows_the_ledger_while_it_is_served(root: Root, ledger: Ledger) -> None:
    register(ledger, "a", "b")
    build_site(root)
    home = site_folder(root) / "index.html"
    assert "<b>2</b> registered" in home.read_text()
    over = Event()
    keeper = Thread(target=keep_fresh, args=(root, over, 0.05), daemon=True)
    keeper.start()
    register(ledger, "a", "b", "c")
    wait_until(lambda: "<b>3</b> registered" in home.read_text(), limit_s=20, alive=keeper.is_alive)
    over.set()
    keeper.join()
