"""The real web UI behind the example of a reverse proxy, as a person reaches it who logs in."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.e2e.browser.conftest import (
    CHROMIUM,
    CHROMIUM_ARGS,
    PAGE_TIME_MS,
    UI_TIME_S,
    VIEWPORT,
    Served,
    needs_chromium,
)
from tests.nginx import NAME, OPERATOR, Door, before, needs_nginx
from tests.ports import free_port

# It takes a web UI of its own; the rules themselves are tried each time, by tests/integration/test_reverse_proxy.py.
pytestmark = [pytest.mark.e2e, pytest.mark.faults, needs_chromium, needs_nginx]


@pytest.fixture
def door(served: Served, tmp_path: Path) -> Iterator[Door]:
    full = served.url.removeprefix("http://")
    with before(tmp_path, full=full, read_only=f"127.0.0.1:{free_port()}") as made:
        yield made


@pytest.fixture
def outside(browser: BrowserContext, door: Door) -> Iterator[Page]:
    """A browser that finds nothing but the proxy, under its name, and has the operator's password."""
    assert browser.browser is not None
    rules = f"--host-resolver-rules=MAP {NAME} 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
    args = [*(each for each in CHROMIUM_ARGS if "resolver" not in each), rules]
    chromium = browser.browser.browser_type.launch(executable_path=CHROMIUM, args=args)
    login = {"username": OPERATOR[0], "password": OPERATOR[1]}
    context = chromium.new_context(viewport=VIEWPORT, ignore_https_errors=True, http_credentials=login)  # type: ignore[arg-type]
    context.set_default_timeout(PAGE_TIME_MS)
    yield context.new_page()
    chromium.close()


def test_an_operator_looks_at_an_asset_and_makes_a_check_through_the_proxy(door: Door, outside: Page) -> None:
    sockets: list[str] = []
    outside.on("websocket", lambda socket: sockets.append(socket.url))
    outside.goto(f"{door.ours}/assets/prepared_tasks?view=checks&checkDetail=staged_digests_hold")
    outside.get_by_role("button", name="Execute").first.click()
    expect(outside.get_by_text("nothing is staged").first).to_be_visible(timeout=UI_TIME_S * 1000)
    assert sockets
    assert {url.split("/graphql")[0] for url in sockets} == {door.ours.replace("https", "wss")}
