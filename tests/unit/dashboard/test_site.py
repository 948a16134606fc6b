"""The site as a whole: what is missing or broken is said, what has not changed is not made again."""

import os
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.sites import RootSize, make_root
from tests.unit.ledger.twins import register
from trajgen_assets.core.dashboard import places
from trajgen_assets.core.dashboard.site import build_site, site_folder
from trajgen_assets.core.ledger import open_ledger
from trajgen_assets.core.paths import PROJECT, Root


@pytest.fixture
def small(tmp_path: Path) -> Root:
    """A root of its own, for a test that spoils it."""
    return make_root(tmp_path / "root", RootSize(n_trials=12, n_per_job=4, n_turns=2))


def shown(root: Root, path: str) -> str:
    build_site(root)
    return (site_folder(root) / path).read_text()


class Links(HTMLParser):
    """Every address in a page that a browser would load or lead to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if name in ("href", "src", "action") and value]


def test_every_link_leads_to_a_file_of_the_site_and_none_outside(worked_root: Root) -> None:
    build_site(worked_root)
    site = site_folder(worked_root)
    pages = [*site.glob("*.html"), *site.glob("datasets/*.html"), *site.glob("jobs/*/index.html")]
    for page in pages:
        for link in Links(page.read_text()).found:
            assert not link.startswith(("http:", "https:", "//", "/", "javascript:", "data:")), (page, link)
            target = link.partition("#")[0]
            assert not target or (page.parent / target).resolve().is_file(), (page, link)


def test_an_unchanged_root_gives_an_unchanged_site(worked_root: Root) -> None:
    build_site(worked_root)
    assert not build_site(worked_root).changed


def test_only_the_pages_that_show_it_change_with_a_new_task(small: Root) -> None:
    build_site(small)
    with open_ledger(small) as ledger:
        register(ledger, "another", dataset="new-cc")
    report = build_site(small)
    assert report.changed
    assert not [name for name in report.parts_made if name.startswith(("trial/", "job/"))]


def test_without_a_ledger_the_disk_is_shown_and_the_reason_said(small: Root) -> None:
    small.ledger.unlink()
    home = shown(small, places.HOME)
    assert "there is no ledger" in home
    assert "registered</b>" not in home
    assert "not in the ledger" in home
    assert shown(small, places.LEDGER).count("It balances") == 0


def test_a_broken_trials_json_is_a_problem_of_its_job_and_no_0(small: Root) -> None:
    job = next(folder for folder in sorted(small.jobs.iterdir()) if (folder / "trials.json").exists())
    (job / "trials.json").write_text("{")
    page = shown(small, places.job_page(job.name))
    assert "trials.json cannot be read" in page
    assert 'model <b><span class="unknown"' in page
    assert "<dd>4</dd>" in page  # the ledger still knows how its trials ended


def test_a_broken_receipt_is_said_and_its_job_counts_as_not_converted(small: Root) -> None:
    (job,) = [next(folder.name for folder in sorted(small.jobs.iterdir()) if small.job(folder.name).sft.exists())]
    receipt = small.job(job).sft / "receipt.json"
    receipt.write_text("{")
    page = shown(small, places.job_page(job))
    assert "receipt.json of its training data cannot be read" in page
    assert "not converted" in page


def test_a_job_that_the_ledger_does_not_know_is_shown_as_such(small: Root) -> None:
    job = next(folder for folder in sorted(small.jobs.iterdir()) if (folder / "trials.json").exists())
    copy = small.jobs / "from-elsewhere"
    shutil.copytree(job, copy)
    page = shown(small, places.job_page(copy.name))
    assert "not in the ledger" in page
    assert "trajgen ledger import" in page


def test_a_root_without_anything_has_a_site_that_says_so(tmp_path: Path) -> None:
    home = shown(Root(tmp_path / "empty"), places.HOME)
    assert "No job yet" in home
    assert "there is no ledger" in home


def test_building_changes_nothing_but_the_dashboard(small: Root) -> None:
    before = stamps(small)
    build_site(small)
    assert stamps(small) == before


def stamps(root: Root) -> dict[str, tuple[int, int]]:
    found = {}
    for parent, _, names in os.walk(root.path):
        for name in names:
            path = Path(parent) / name
            if not path.is_relative_to(root.dashboard):
                found[str(path)] = (path.stat().st_size, path.stat().st_mtime_ns)
    return found


def test_the_root_of_a_checkout_has_its_site_beside_it(tmp_path: Path) -> None:
    assert site_folder(Root(PROJECT / "artifacts")) == PROJECT / "dashboard" / "site"
    assert site_folder(Root(tmp_path)) == tmp_path / "dashboard" / "site"
