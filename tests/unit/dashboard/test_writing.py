from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread

import pytest

from trajgen_assets.core.dashboard.render import SiteFile
from trajgen_assets.core.dashboard.writing import MARK, Part, write_site
from trajgen_assets.core.errors import DashboardError


def part(name: str, inputs: str | None = None, **files: str) -> Part:
    return Part(
        name, inputs, lambda: (SiteFile(path.replace("__", "/"), text.encode()) for path, text in files.items())
    )


def failing(name: str) -> Part:
    def make() -> Iterator[SiteFile]:
        yield SiteFile("jobs/half.html", b"whole")
        raise RuntimeError("killed")

    return Part(name, None, make)


def files_in(folder: Path) -> set[str]:
    return {each.relative_to(folder).as_posix() for each in folder.rglob("*") if each.is_file()}


def test_an_unchanged_build_writes_nothing(tmp_path: Path) -> None:
    parts = [part("a", "1", jobs__x="one"), part("b", None, index="two")]
    assert write_site(tmp_path / "site", parts).n_written == 2
    before = {each: each.stat().st_mtime_ns for each in (tmp_path / "site").rglob("*") if each.is_file()}
    report = write_site(tmp_path / "site", parts)
    assert not report.changed
    assert report.parts_made == ["b"]  # of which the inputs do not tell
    assert {each: each.stat().st_mtime_ns for each in before} == before


def test_a_part_is_made_again_when_its_inputs_or_its_files_are_others(tmp_path: Path) -> None:
    site = tmp_path / "site"
    write_site(site, [part("a", "1", x="one")])
    assert write_site(site, [part("a", "2", x="two")]).n_written == 1
    assert (site / "x").read_text() == "two"
    (site / "x").write_text("edited by hand")
    write_site(site, [part("a", "2", x="two")])
    assert (site / "x").read_text() == "two"


def test_what_is_no_more_is_taken_away_and_what_others_put_there_stays(tmp_path: Path) -> None:
    site = tmp_path / "site"
    write_site(site, [part("a", "1", jobs__x__y="one", top="x"), part("b", "1", jobs__z="two")])
    (site / "CNAME").write_text("pages.example")
    report = write_site(site, [part("b", "1", jobs__z="two")])
    assert report.n_removed == 2
    assert files_in(site) == {MARK, "jobs/z", "CNAME"}
    assert not (site / "jobs/x").exists()


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(DashboardError, match="something else"):
        write_site(tmp_path, [part("a", "1", x="one")])
    assert files_in(tmp_path) == {"thesis.txt"}


def test_a_file_in_the_place_of_the_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(DashboardError, match="a file is in the place of a folder"):
        write_site(tmp_path / "thesis.txt", [part("a", "1", jobs__x="one")])


def test_a_build_that_fails_leaves_whole_files_and_the_next_one_goes_on(tmp_path: Path) -> None:
    site = tmp_path / "site"
    with pytest.raises(RuntimeError):
        write_site(site, [part("a", "1", jobs__x="one"), failing("b")])
    assert (site / "jobs/half.html").read_text() == "whole"
    report = write_site(site, [part("a", "1", jobs__x="one")])
    assert report.parts_made == []
    assert files_in(site) == {MARK, "jobs/x"}


def test_two_parts_may_not_make_one_file(tmp_path: Path) -> None:
    with pytest.raises(DashboardError, match="one file"):
        write_site(tmp_path / "site", [part("a", "1", x="one"), part("b", "1", x="two")])


def test_a_record_that_cannot_be_read_makes_the_site_anew(tmp_path: Path) -> None:
    site = tmp_path / "site"
    write_site(site, [part("a", "1", x="one")])
    (site / MARK).write_text("{")
    assert write_site(site, [part("a", "1", x="one")]).parts_made == ["a"]
    assert files_in(site) == {MARK, "x"}


def test_who_reads_meanwhile_sees_whole_pages(tmp_path: Path) -> None:
    site, over, seen = tmp_path / "site", Event(), set[str]()
    versions = [letter * 500_000 for letter in "ab"]
    write_site(site, [part("a", None, index=versions[0])])

    def read() -> None:
        while not over.is_set():
            seen.add((site / "index").read_text())

    reader = Thread(target=read)
    reader.start()
    try:
        for number in range(60):
            write_site(site, [part("a", None, index=versions[number % 2])])
    finally:
        over.set()
        reader.join()
    assert seen == set(versions)
