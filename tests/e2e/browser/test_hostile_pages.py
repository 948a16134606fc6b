"""Text that tries to be more than text changes nothing on a page and runs nothing, whatever field it comes in by."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.browser.conftest import needs_chromium
from tests.e2e.browser.watching import Watched, pages_of, trials_of, watching
from tests.hostile import JOB, WITH_SCRIPT_TAGS, make_hostile_root
from trajgen_assets.core.dashboard.places import trial_page
from trajgen_assets.core.dashboard.site import build_site
from trajgen_assets.core.dashboard.text import visible

pytestmark = [pytest.mark.e2e, needs_chromium]

# What only foreign text could bring into a page of ours: kinds of elements, addresses beside the site, handlers.
FOREIGN = """(site) => {
  const isForeign = (each) =>
    each.matches("iframe, object, embed, base, style, animate")
    || (each.matches("script[src], img") && !each.src.startsWith(site))
    || (each.matches("a[href], link") && !each.href.startsWith(site))
    || (each.matches("form") && !each.action.startsWith(site) && each.method !== "dialog")
    || (each.matches("meta[http-equiv]") && each.httpEquiv !== "Content-Security-Policy")
    || [...each.attributes].some(({ name }) => name.startsWith("on") || name === "style");
  return [...document.querySelectorAll("*")].filter(isForeign).map((each) => each.outerHTML.slice(0, 200));
}"""
HIDDEN = """() => (document.documentElement.textContent + document.title).match(
  /[\\u202a-\\u202e\\u2066-\\u2069\\u200f\\u2028\\u2029\\u001b\\u0008\\ufeff]/g)"""


OPEN_ALL = """() => {
  for (const details of document.querySelectorAll("details")) details.open = true;
  const more = [...document.querySelectorAll("article button")].filter((each) => each.textContent.startsWith("Show"));
  for (const button of more) button.click();
}"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hostile")
    return build_site(make_hostile_root(folder / "root"), folder / "site").folder


@pytest.fixture
def watched(chromium: Browser, site: Path) -> Iterator[Watched]:
    with watching(chromium, site) as found:
        yield found
    assert found.faults == []


def assert_unharmed(page: Page, site: Path, path: str) -> None:
    assert page.evaluate("window.hostileRan") is None, path
    assert page.evaluate(FOREIGN, site.as_uri()) == [], path
    assert page.evaluate(HIDDEN) is None, path


def test_every_page_opens_and_nothing_runs(watched: Watched) -> None:
    assert len(trials_of(watched.site)) == 8
    for path in pages_of(watched.site):
        page = watched.open(path)
        assert page.get_by_role("heading", level=1).count() == 1, path
        assert_unharmed(page, watched.site, path)


def test_nothing_runs_when_all_is_opened(watched: Watched) -> None:
    for path in trials_of(watched.site):
        page = watched.open(path)
        page.locator("[data-conversation]").select_option("")
        page.get_by_role("button", name="Open all").click()
        page.get_by_role("button", name="Raw JSON", exact=True).click()
        page.evaluate(OPEN_ALL)
        expect(page.get_by_role("button", name=re.compile("^Show (all|raw)"))).to_have_count(0)
        assert page.locator("article").count() > 0, path
        assert_unharmed(page, watched.site, path)


def test_hostile_words_are_found_and_shown_as_they_are(watched: Watched) -> None:
    for path in (trial_page(JOB, name) for name in WITH_SCRIPT_TAGS):
        page = watched.open(path)
        page.locator("[data-conversation]").select_option("")
        page.get_by_label("Search all turns").fill("<script>hostile()")
        page.keyboard.press("Enter")
        expect(page.locator("[data-status]")).to_contain_text("turns that have it")
        expect(page.locator("article[aria-current]")).to_be_in_viewport()
        expect(page.locator("article[aria-current]")).to_contain_text("<script>hostile()</script>")
        assert_unharmed(page, watched.site, path)


@pytest.mark.parametrize(
    "fragment",
    [
        "#<img src=x onerror=hostile()>",
        "#t1'\"><script>hostile()</script>",
        "#__proto__",
        "#t1%00",
        "#a=__proto__&b=-1",
    ],
)
def test_a_hostile_link_to_a_page_does_nothing(watched: Watched, fragment: str) -> None:
    for path in [trials_of(watched.site)[0], "tasks.html", "datasets.html"]:
        assert_unharmed(watched.open(path, fragment=fragment), watched.site, path)


def test_every_page_forbids_all_but_its_own_files(site: Path) -> None:
    for path in pages_of(site):
        head = (site / path).read_text().partition("<title>")[0]
        assert "default-src &#39;none&#39;; script-src &#39;self&#39;; style-src &#39;self&#39;" in head, path


def test_no_file_holds_what_hides_or_reorders(site: Path) -> None:
    for file in site.rglob("*"):
        if file.suffix in (".html", ".js") and "static" not in file.parts:
            text = file.read_text()
            assert visible(text) == text, file.name
            assert "<script>hostile" not in text, file.name


def test_a_line_of_ten_million_characters_makes_no_file_of_that_size(site: Path) -> None:
    assert max(file.stat().st_size for file in site.rglob("*")) < 2_500_000


def test_what_is_readable_of_a_broken_trajectory_is_shown(watched: Watched) -> None:
    (path,) = [each for each in trials_of(watched.site) if each.endswith("/broken.html")]
    page = watched.open(path)
    text = page.locator("#content").inner_text()
    assert "of its lines cannot be read" in text
    assert "line 3" in text
    assert page.locator("article.turn:not(.failed):not(.unreadable)").count() >= 1
