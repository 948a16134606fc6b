"""What a person does in the web UI, one function for each thing."""

from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Locator, Page, expect

from tests.e2e.browser.conftest import Served
from trajgen_assets.assets.links import partition_page
from trajgen_assets.names import TRAJECTORIES


def open_job(page: Page, ui: Served, dagster_job: str) -> None:
    page.goto(f"{ui.url}/locations/trajgen/jobs/{dagster_job}")


def open_partition(page: Page, ui: Served, task: str) -> None:
    """Open a trajectory's own page. Loaded anew, because a page that stands does not always follow a failure."""
    page.goto(f"{ui.url}{partition_page(TRAJECTORIES, task)}")


@contextmanager
def materialize_dialog(page: Page) -> Iterator[Locator]:
    """The dialog behind "Materialize", which the block has to end by launching."""
    page.get_by_role("button", name="Materialize").first.click()
    confirm = page.get_by_role("button", name="Confirm", exact=True)
    launch = page.get_by_role("button", name="Launch")
    expect(confirm.or_(launch).first).to_be_visible()
    if confirm.is_visible():  # Dagster warns where an upstream partition is missing; ours is made by the same run
        confirm.click()
    dialog = page.get_by_role("dialog").filter(has=launch)
    yield dialog
    dialog.get_by_role("button", name="Launch").click()
    expect(dialog).to_have_count(0)


def choose_partitions(page: Page, dialog: Locator, search: str, *names: str) -> None:
    """Tick the named ones of the partitions that the search finds, or all of them."""
    dialog.get_by_text("Select a partition").click()
    page.keyboard.type(search)
    if names:
        for name in names:
            page.get_by_role("menuitem").filter(has_text=name).click()
    else:
        page.get_by_text("Select all (").click()
    page.keyboard.press("Escape")


def status_counts(page: Page) -> dict[str, int]:
    """The numbers above a list of partitions, by status."""
    counts = {}
    for status in ("Failed", "Materialized", "Materializing", "Missing"):
        text = page.get_by_text(f"{status} (").inner_text()
        counts[status] = int(text.rpartition("(")[2].rstrip(")"))
    return counts
