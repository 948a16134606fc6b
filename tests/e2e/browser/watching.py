"""A page of the dashboard in Chromium, opened from disk, and all that goes wrong with it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Dialog, Page, Request

OPEN_TIME_MS = 20_000

# What hostile text tries to call, and a report of whatever the page's policy keeps from running.
TRAP = """
window.hostile = () => { window.hostileRan = true; console.error("foreign text ran"); };
document.addEventListener("securitypolicyviolation", (event) => {
  console.error(`refused: ${event.violatedDirective} ${event.blockedURI}`);
});
"""


@dataclass
class Watched:
    """A page, and the faults of everything that was opened in it: in words, with the address."""

    page: Page
    site: Path
    faults: list[str] = field(default_factory=list)

    def open(self, path: str, *, fragment: str = "") -> Page:
        """Open a file of the site from disk, and wait until its script is done."""
        self.page.goto("about:blank")  # else another fragment of the same page would load nothing
        self.page.goto((self.site / path).as_uri() + fragment, timeout=OPEN_TIME_MS)
        self.page.wait_for_function(
            "() => !document.querySelector('[data-trajectory] [data-turns], [data-side], [data-rows]')"
            " || document.querySelector('[data-ready]')",
            timeout=OPEN_TIME_MS,
        )
        return self.page

    def fault(self, text: str) -> None:
        """Note a fault."""
        self.faults.append(f"{self.page.url.rpartition('/site/')[2]}: {text}")


@contextmanager
def watching(browser: Browser, site: Path, *, dark: bool = False, phone: bool = False) -> Iterator[Watched]:
    """Yield a page of its own. A message of its console, a failed script or a request beside the site is a fault."""
    size = {"width": 390, "height": 844} if phone else {"width": 1280, "height": 900}
    context = browser.new_context(viewport=size, color_scheme="dark" if dark else "light")
    try:
        context.add_init_script(TRAP)
        watched = Watched(context.new_page(), site)
        _listen(context, watched)
        yield watched
    finally:
        context.close()


def _listen(context: BrowserContext, watched: Watched) -> None:
    def on_console(message: ConsoleMessage) -> None:
        watched.fault(f"console {message.type}: {message.text[:500]}")

    def on_request(request: Request) -> None:
        if not request.url.startswith((watched.site.as_uri(), "about:", "data:image/")):
            watched.fault(f"asked for {request.url[:500]}")

    def on_failure(request: Request) -> None:
        if request.failure != "net::ERR_ABORTED":  # an icon was on its way when the next page was opened
            watched.fault(f"failed: {request.url[:500]}")

    def on_dialog(dialog: Dialog) -> None:
        watched.fault(f"dialog: {dialog.message[:500]}")
        dialog.dismiss()

    context.on("console", on_console)
    context.on("request", on_request)
    context.on("requestfailed", on_failure)
    context.on("weberror", lambda error: watched.fault(f"script: {error.error}"))
    context.on("dialog", on_dialog)
    context.on("page", lambda _: watched.fault("another page was opened"))


def pages_of(site: Path) -> list[str]:
    """Every page, as its path below the site."""
    return sorted(each.relative_to(site).as_posix() for each in site.rglob("*.html"))


def trials_of(site: Path) -> list[str]:
    """The pages of trials."""
    return [each for each in pages_of(site) if each.startswith("jobs/") and not each.endswith("/index.html")]
