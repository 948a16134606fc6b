"""The dashboard over three hundred trials, as a reader sees it: opened from disk, by mouse, by key and by link."""

import os
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, expect

from benchmarks.trajectory_page import PAGE as LONG_PAGE
from benchmarks.trajectory_page import RARE_WORD, make_long_root
from tests.e2e.browser.conftest import needs_chromium
from tests.e2e.browser.watching import Watched, pages_of, trials_of, watching
from tests.sites import RootSize, make_root
from trajgen_assets.core.dashboard.facts.funnel import Stage
from trajgen_assets.core.dashboard.site import build_site

pytestmark = [pytest.mark.e2e, needs_chromium]

N_TRIALS = 300
N_ALIKE = 20  # of the pages of trials and of tasks so many are opened: there are hundreds, of one template each

OUTCOMES = "(all) => all.map((row) => [...row.querySelectorAll('.outcome')].map((each) => each.className))"
FEWER_ROWS = (
    "() => document.querySelectorAll('tbody tr:nth-child(n + 25)').forEach((each) => each.remove())"  # all alike
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dashboard")
    return build_site(make_root(folder / "root", RootSize(n_trials=N_TRIALS)), folder / "site").folder


@pytest.fixture
def watched(chromium: Browser, site: Path) -> Iterator[Watched]:
    """A page in which nothing may go wrong."""
    with watching(chromium, site) as found:
        yield found
    assert found.faults == []


class Links(HTMLParser):
    """Where a page leads, what it loads, and what in it can be led to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.targets: set[str] = set()
        self.names: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("href", "src", "action") and value is not None:
                self.targets.add(value)
            elif name == "id" and value is not None:
                self.names.add(value)


def kinds_of(site: Path) -> list[str]:
    """A page of every kind: what lies in one folder beside others of its kind is shown once."""
    jobs = [each for each in pages_of(site) if re.fullmatch(r"jobs/[^/]+/index\.html", each)]
    others = [next(each for each in pages_of(site) if each.startswith(folder)) for folder in ("side/", "datasets/")]
    return [*(each for each in pages_of(site) if "/" not in each), jobs[0], trials_of(site)[0], *others]


def a_trial(site: Path) -> str:
    """A trial with more to see than others: five turns, and a call that failed."""
    for path in trials_of(site):
        if "1 failed call" in (site / path).read_text():
            return path
    raise AssertionError("no trial has a failed call")


def test_every_link_leads_to_a_file_of_the_folder(site: Path) -> None:
    broken: list[str] = []
    for path in pages_of(site):
        found = Links((site / path).read_text())
        for target in found.targets:
            parts = urlsplit(target)
            place = ((site / path).parent / unquote(parts.path)) if parts.path else site / path
            if parts.scheme or parts.netloc or not place.is_file() or not place.resolve().is_relative_to(site):
                broken.append(f"{path}: {target}")
    assert broken == []


def test_pages_open_from_disk_without_a_fault_and_without_the_network(watched: Watched) -> None:
    pages = pages_of(watched.site)
    trials = [each for each in pages if each.startswith("jobs/") and not each.endswith("/index.html")]
    tasks = [each for each in pages if each.startswith("side/")]
    assert len(trials) == N_TRIALS
    some = {each for alike in (trials, tasks) for each in alike[:: max(1, len(alike) // N_ALIKE)]}
    for path in some | (set(pages) - {*trials, *tasks}):
        assert watched.open(path).title().endswith("· trajgen")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_axe_finds_no_serious_fault(chromium: Browser, site: Path, dark: bool) -> None:
    axe, serious = Axe(), []
    only = {"runOnly": ["color-contrast"]} if dark else {}  # which is all that may be another in the dark
    with watching(chromium, site, dark=dark) as watched:
        for path in kinds_of(site):
            page = watched.open(path)
            for button in page.locator("[data-turns] .fold").all()[:2]:
                button.click()
            page.evaluate(FEWER_ROWS)
            for violation in axe.run(page, options={"resultTypes": ["violations"], **only}).response["violations"]:
                if violation["impact"] in ("serious", "critical"):
                    serious.append((path, violation["id"], [each["html"][:200] for each in violation["nodes"][:3]]))
    assert serious == []


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("phone", [False, True], ids=["wide", "phone"])
def test_no_page_is_wider_than_the_window(
    chromium: Browser, site: Path, tmp_path: Path, dark: bool, phone: bool
) -> None:
    """Takes pictures, too: into TRAJGEN_SCREENSHOTS, where that is set."""
    kept = os.environ.get("TRAJGEN_SCREENSHOTS")
    pictures = Path(kept, "dashboard") if kept else tmp_path
    wider: dict[str, int] = {}
    with watching(chromium, site, dark=dark, phone=phone) as watched:
        for number, path in enumerate(kinds_of(site)):
            page = watched.open(path)
            for button in page.locator("[data-turns] .fold").all()[:1]:
                button.click()
            name = f"{number:02}-{Path(path).stem[:30]}-{'phone' if phone else 'wide'}-{'dark' if dark else 'light'}"
            page.screenshot(path=pictures / f"{name}.png", full_page=True)
            if (by := page.evaluate("document.documentElement.scrollWidth - innerWidth")) > 0:
                wider[path] = by
    assert wider == {}


def test_jobs_are_sorted_by_number_with_what_is_not_known_last(watched: Watched) -> None:
    page = watched.open("jobs.html")
    rows = page.get_by_role("region", name="Jobs").locator("tbody tr")
    for _ in ("down", "up"):
        page.get_by_role("button", name="Rows").click()
        expect(rows.last).to_contain_text("not converted")
        expect(rows.first).not_to_contain_text("not converted")


def test_trials_are_apart_by_no_model_that_has_none(watched: Watched) -> None:
    page = watched.open("jobs.html")
    expect(page.get_by_role("row", name="py-cc-running")).to_contain_text("not converted")  # its model is not known yet
    expect(page.get_by_role("region", name="Apart by model").locator("tbody tr")).to_have_count(2)


def test_the_search_of_any_page_finds_tasks(watched: Watched) -> None:
    page = watched.open("ledger.html")
    page.keyboard.press("/")
    page.keyboard.type("PARSERparser go-cc")
    page.keyboard.press("Enter")
    rows = page.locator("[data-tasks] tbody tr")
    expect(rows.first).to_contain_text("parserparser")
    found = rows.all_inner_texts()
    assert all("go-cc" in each and "parserparser" in each for each in found)
    expect(page.locator("[data-count]")).to_have_text(re.compile(f"^{len(found)} of "))


def test_each_bar_and_each_reason_of_the_funnel_leads_to_as_many_tasks(watched: Watched) -> None:
    page = watched.open("index.html")
    links = page.locator(".funnel a").evaluate_all(
        "(all) => all.map((each) => [each.href, parseInt((each.querySelector('.value') ?? each).textContent)])"
    )
    assert len(links) > len(Stage)
    for address, n in links:
        page.goto("about:blank")
        page.goto(address)
        expect(page.locator("[data-count]")).to_have_text(re.compile(f"^{n} of "))


def test_two_jobs_are_compared_where_they_disagree(watched: Watched) -> None:
    page = watched.open("compare.html")
    page.get_by_label("Show").select_option("differ")
    region = page.get_by_role("region", name="Task by task")
    expect(page.get_by_role("heading", name=re.compile(r"^\d+ tasks$"))).not_to_have_text("0 tasks")
    pairs = region.locator("tbody tr").evaluate_all(OUTCOMES)
    assert pairs
    assert all(a != b for a, b in pairs)
    page.get_by_role("button", name="Exchange the jobs").click()
    expect(region.locator("tbody tr").first.locator(".outcome").first).to_have_class(pairs[0][1])


def test_the_grid_shows_what_jobs_disagree_on(watched: Watched) -> None:
    page = watched.open("grid.html")
    page.get_by_label("Show").select_option("differ")
    rows = page.locator("[data-grid] tbody tr")
    expect(rows.first).to_be_visible()
    assert all(len(set(found)) > 1 for found in rows.evaluate_all(OUTCOMES))


def test_the_theme_that_is_chosen_stays(watched: Watched) -> None:
    page = watched.open("jobs.html")
    page.get_by_role("button", name="Change between light and dark").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.reload()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")


def test_keys_lead_from_turn_to_turn(watched: Watched) -> None:
    page = watched.open(a_trial(watched.site))
    page.keyboard.press("j")
    expect(page.locator("#t1[aria-current]")).to_be_focused()
    page.keyboard.press("ArrowDown")
    expect(page.locator("article[aria-current]")).not_to_have_id("t1")
    page.keyboard.press("k")
    expect(page.locator("#t1[aria-current]")).to_be_visible()
    page.keyboard.press("Shift+G")
    expect(page.locator("#t5[aria-current]")).to_be_visible()
    page.keyboard.press("g")
    page.keyboard.press("Enter")
    expect(page.locator("#t1 .body")).to_be_visible()
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#t1 .body")).to_be_hidden()
    page.keyboard.press("e")  # the call that failed
    expect(page.locator("article.failed[aria-current]")).to_contain_text("Timeout")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()


def test_toggles_hide_and_show_what_they_name(watched: Watched) -> None:
    page = watched.open(a_trial(watched.site), fragment="#t1")
    turn = page.locator("#t1")
    for name, kind in (("Reasoning", "reasoning"), ("Tool calls", "calls"), ("Observations", "observation")):
        button, part = page.get_by_role("button", name=name, exact=True), turn.locator(f".part.{kind}").first
        expect(part).to_be_visible()
        button.click()
        expect(part).to_be_hidden()
        expect(button).to_have_attribute("aria-pressed", "false")
        button.click()
        expect(part).to_be_visible()
    page.get_by_role("button", name="Raw JSON", exact=True).click()
    expect(turn.locator(".part.raw pre")).to_contain_text('"call_id"')


def test_a_link_opens_its_turn(watched: Watched) -> None:
    page = watched.open(a_trial(watched.site), fragment="#t3")
    expect(page.locator("#t3[aria-current] .body")).to_be_visible()
    expect(page.locator("#t3")).to_be_in_viewport()
    assert page.locator(".body:not([hidden])").count() == 1


def test_the_search_goes_through_all_turns(watched: Watched) -> None:
    page = watched.open(a_trial(watched.site))
    page.keyboard.press("/")
    expect(page.get_by_label("Search all turns")).to_be_focused()
    page.keyboard.type("TESTS/TEST_2.py")  # stands in no turn but the third
    page.keyboard.press("Enter")
    expect(page.locator("#t3[aria-current] .body")).to_be_visible()
    expect(page.locator("[data-status]")).to_have_text("1 of 1 turns that have it")
    page.get_by_label("Search all turns").fill("no such words")
    page.keyboard.press("Enter")
    expect(page.locator("[data-status]")).to_have_text("No turn has it")


def test_a_copy_button_copies(chromium: Browser, site: Path) -> None:
    with watching(chromium, site) as watched:
        page = watched.open(a_trial(site), fragment="#t1")
        page.locator("#t1 .part.calls").first.get_by_role("button", name=re.compile("^Copy")).click()
        expect(page.locator("[data-status]")).to_have_text("Copied.")
        page.keyboard.press("/")
        page.keyboard.press("Control+v")
        expect(page.get_by_label("Search all turns")).to_have_value(re.compile("pytest tests/test_0.py"))


def test_the_page_says_why_a_trial_counts(watched: Watched) -> None:
    page = watched.open(a_trial(watched.site))
    expect(page.locator("#standing")).to_contain_text(re.compile("training data: "))
    expect(page.get_by_role("region", name="Conversations of this trial")).to_be_visible()
    page.get_by_text(re.compile(r"^Diff")).click()
    expect(page.locator(".diff .added")).to_have_text("+a + b")


def test_two_trajectories_stand_side_by_side(watched: Watched) -> None:
    side = next(each for each in pages_of(watched.site) if each.startswith("side/"))
    page = watched.open(side)
    expect(page.locator("[data-turns] > li")).to_have_count(5)
    page.keyboard.press("d")
    expect(page.locator("li.differs").first).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("li:focus .body:not([hidden])")).to_have_count(2)
    assert page.evaluate("location.hash") == "#a=0&b=1"


def test_rows_of_a_data_set_are_found(watched: Watched) -> None:
    page = watched.open(next(each for each in pages_of(watched.site) if each.startswith("datasets/")))
    rows = page.locator("[data-list] tr")
    expect(rows).to_have_count(20)
    page.get_by_label("Show").select_option("random")
    first = rows.all_inner_texts()
    page.get_by_label("Seed").fill("12345")
    assert rows.all_inner_texts() != first
    other = rows.all_inner_texts()
    page.reload()  # the address holds the seed
    expect(rows).to_have_count(20)
    assert rows.all_inner_texts() == other
    page.get_by_role("link", name=re.compile("^trial: ")).first.click()
    expect(page.get_by_label("Show")).to_have_value("trials")
    rows.first.get_by_role("link").click()
    expect(page.locator("#standing")).to_contain_text("Left out of the training data")


def test_a_trajectory_of_two_thousand_turns_is_usable(chromium: Browser, tmp_path: Path) -> None:
    """In twenty conversations, so that the record is small; `benchmarks/trajectory_page.py` times a single one."""
    root = make_long_root(tmp_path / "root", 2_000, n_per_conversation=100)
    folder = build_site(root, tmp_path / "site").folder
    with watching(chromium, folder) as watched:
        page = watched.open(LONG_PAGE)
        page.locator("[data-conversation]").select_option("")
        expect(page.locator("[data-later]")).to_contain_text("Later turns")
        page.keyboard.press("Tab")
        page.keyboard.press("j")
        expect(page.locator("#t1[aria-current]")).to_be_focused()
        page.keyboard.press("Shift+G")
        expect(page.locator("article[aria-current]")).to_have_id("c20t100")
        page.get_by_label("Search all turns").fill(RARE_WORD)
        page.keyboard.press("Enter")
        expect(page.locator("[data-status]")).to_have_text("1 of 1 turns that have it")
        assert page.locator("article").count() < 200
    assert watched.faults == []
