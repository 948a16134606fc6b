"""The example of a reverse proxy, run as it stands: who gets through to the web UI, and with what."""

import json
import os
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import httpx
import pytest

from tests.ports import free_port
from tests.serving import QuietHandler, serving
from tests.waiting import wait_until
from trajgen_assets.core.paths import PROJECT

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
pytestmark = pytest.mark.skipif(NGINX is None, reason="there is no nginx here: `apt-get install nginx-light`")

EXAMPLE = PROJECT / "deploy" / "reverse-proxy" / "trajgen.conf"
NAME = "trajgen.example"
FOREIGN = "https://evil.example"
MUTATION = {"query": "mutation { launchRun }"}
JSON, TEXT = "application/json", "text/plain"
OPERATOR, VIEWER = ("ann", "of-operators"), ("bob", "of-viewers")

AROUND = """\
daemon off; pid nginx.pid; error_log stderr; {user}
events {{}}
http {{
    access_log off;
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;
    include trajgen.conf;
}}
"""


def backend(name: str) -> type[BaseHTTPRequestHandler]:
    """A web UI that says who it is, and what reached it."""

    class Handler(QuietHandler):
        def do_GET(self) -> None:  # noqa: N802  the name by which it is called
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            said = json.dumps({"ui": name, "path": self.path, "headers": dict(self.headers)}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        do_POST = do_GET  # noqa: N815  so is this

    return Handler


@dataclass(frozen=True)
class Door:
    """The proxy, as a browser reaches it that was led to `host`."""

    port: int
    certificate: Path

    @property
    def ours(self) -> str:
        """The origin of its own pages."""
        return f"https://{NAME}:{self.port}"

    def ask(
        self,
        path: str = "/",
        *,
        login: tuple[str, str] | None = OPERATOR,
        host: str = NAME,
        headers: dict[str, str] | None = None,
        post: object = None,
    ) -> httpx.Response:
        context = ssl.create_default_context(cafile=str(self.certificate))
        with httpx.Client(verify=context, trust_env=False) as client:
            return client.request(
                "GET" if post is None else "POST",
                f"https://127.0.0.1:{self.port}{path}",
                auth=login,
                headers={"Host": host} | (headers or {}),
                content=None if post is None else json.dumps(post).encode(),
                extensions={"sni_hostname": NAME},
            )

    def post(self, origin: str | None, content_type: str, **more: str) -> int:
        headers = {"Content-Type": content_type} | ({"Origin": origin} if origin else {}) | more
        return self.ask("/graphql", headers=headers, post=MUTATION).status_code


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    folder = tmp_path_factory.mktemp("nginx")
    port, certificate = free_port(), folder / "trajgen.crt"
    make_certificate(folder)
    (folder / "trajgen.htpasswd").write_text("".join(f"{name}:{hashed(word)}\n" for name, word in (OPERATOR, VIEWER)))
    (folder / "nginx.conf").write_text(AROUND.format(user="user root;" if os.geteuid() == 0 else ""))
    with ExitStack() as stack:
        full, read_only = (stack.enter_context(serving(backend(name))) for name in ("full", "read-only"))
        (folder / "trajgen.operators").write_text(f'"{OPERATOR[0]}" {full.removeprefix("http://")};\n')
        text = EXAMPLE.read_text().replace("127.0.0.1:3001", read_only.removeprefix("http://"))
        (folder / "trajgen.conf").write_text(text.replace(" 443 ssl", f" 127.0.0.1:{port} ssl"))
        argv = [str(NGINX), "-p", str(folder), "-c", "nginx.conf"]
        tested = subprocess.run([*argv, "-t"], capture_output=True, text=True, check=False)
        assert tested.returncode == 0, tested.stderr
        child = subprocess.Popen(argv)
        try:
            made = Door(port, certificate)
            wait_until(lambda: answers(made), alive=lambda: child.poll() is None)
            yield made
        finally:
            child.terminate()
            child.wait(10)


def make_certificate(folder: Path) -> None:
    argv = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", f"/CN={NAME}"]
    argv += ["-addext", f"subjectAltName=DNS:{NAME}", "-keyout", "trajgen.key", "-out", "trajgen.crt"]
    subprocess.run(argv, cwd=folder, capture_output=True, check=True)


def hashed(word: str) -> str:
    done = subprocess.run(["openssl", "passwd", "-apr1", word], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def answers(door: Door) -> bool:
    try:
        return door.ask().status_code > 0
    except httpx.HTTPError:
        return False


def test_without_a_name_and_password_nothing_is_shown(door: Door) -> None:
    assert door.ask(login=None).status_code == 401
    assert door.ask(login=(OPERATOR[0], "wrong")).status_code == 401


def test_an_operator_gets_the_web_ui_and_anybody_else_the_one_that_changes_nothing(door: Door) -> None:
    assert door.ask(login=OPERATOR).json()["ui"] == "full"
    assert door.ask(login=VIEWER).json()["ui"] == "read-only"


def test_the_password_goes_no_further_and_no_page_may_be_framed(door: Door) -> None:
    found = door.ask()
    assert "authorization" not in {name.lower() for name in found.json()["headers"]}
    assert found.headers["X-Frame-Options"] == "DENY"


def test_under_another_name_there_is_nothing(door: Door) -> None:
    assert door.ask(host="rebound.example").status_code == 421


def test_a_change_comes_from_a_page_of_our_own_and_as_json(door: Door) -> None:
    assert door.post(door.ours, JSON) == 200
    assert door.post(door.ours, "application/json; charset=utf-8") == 200
    assert door.post(FOREIGN, JSON) == 403
    assert door.post("null", JSON) == 403
    assert door.post(None, JSON) == 403
    assert door.post(f"https://{NAME}", JSON) == 403  # another port is another origin
    assert door.post(f"https://{NAME}.evil.example:{door.port}", JSON) == 403
    assert door.post(door.ours, TEXT) == 415
    assert door.post(door.ours, "application/x-www-form-urlencoded") == 415


def test_no_change_comes_by_get_nor_by_another_method(door: Door) -> None:
    assert door.ask("/graphql?query=mutation{launchRun}").status_code == 405
    assert door.ask("/graphql?query=mutation{launchRun}", headers={"Origin": door.ours}).status_code == 405
    with httpx.Client(verify=ssl.create_default_context(cafile=str(door.certificate)), trust_env=False) as client:
        for method in ("PUT", "DELETE", "PATCH", "OPTIONS"):
            url, headers = f"https://127.0.0.1:{door.port}/graphql", {"Host": NAME, "Origin": door.ours}
            reply = client.request(method, url, auth=OPERATOR, headers=headers, extensions={"sni_hostname": NAME})
            assert reply.status_code == 403, method


def test_the_socket_by_which_pages_follow_runs_opens_for_a_page_of_our_own(door: Door) -> None:
    upgrade = {"Upgrade": "websocket", "Connection": "Upgrade"}
    found = door.ask("/graphql", headers=upgrade | {"Origin": door.ours})
    assert found.status_code == 200
    assert found.json()["headers"]["Upgrade"] == "websocket"
    assert door.ask("/graphql", headers=upgrade | {"Origin": FOREIGN}).status_code == 403
    assert door.ask("/graphql", headers=upgrade).status_code == 403


def test_events_are_reported_from_nowhere_outside(door: Door) -> None:
    headers = {"Origin": door.ours, "Content-Type": JSON}
    assert door.ask("/report_asset_materialization/a", headers=headers, post={}).status_code == 403
