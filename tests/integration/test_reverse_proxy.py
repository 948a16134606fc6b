"""Who gets through the example of a reverse proxy to the web UI, and with what."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler

import pytest

from tests.nginx import NAME, OPERATOR, VIEWER, Door, before, needs_nginx
from tests.serving import QuietHandler, serving

pytestmark = needs_nginx

FOREIGN = "https://evil.example"
MUTATION = {"query": "mutation { launchRun }"}
JSON, TEXT = "application/json", "text/plain"


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


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    folder = tmp_path_factory.mktemp("nginx")
    with ExitStack() as stack:
        full, read_only = (stack.enter_context(serving(backend(name))) for name in ("full", "read-only"))
        places = {"full": full.removeprefix("http://"), "read_only": read_only.removeprefix("http://")}
        yield stack.enter_context(before(folder, **places))


def post(door: Door, origin: str | None, content_type: str) -> int:
    headers = {"Content-Type": content_type} | ({"Origin": origin} if origin else {})
    return door.ask("/graphql", headers=headers, post=MUTATION).status_code


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
    assert post(door, door.ours, JSON) == 200
    assert post(door, door.ours, "application/json; charset=utf-8") == 200
    assert post(door, FOREIGN, JSON) == 403
    assert post(door, "null", JSON) == 403
    assert post(door, None, JSON) == 403
    assert post(door, f"https://{NAME}", JSON) == 403  # another port is another origin
    assert post(door, f"https://{NAME}.evil.example:{door.port}", JSON) == 403
    assert post(door, door.ours, TEXT) == 415
    assert post(door, door.ours, "application/x-www-form-urlencoded") == 415


def test_no_change_comes_by_get_nor_by_another_method(door: Door) -> None:
    assert door.ask("/graphql?query=mutation{launchRun}").status_code == 405
    assert door.ask("/graphql?query=mutation{launchRun}", headers={"Origin": door.ours}).status_code == 405
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS"):
        assert door.ask("/graphql", method=method, headers={"Origin": door.ours}).status_code == 403


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
