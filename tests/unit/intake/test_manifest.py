import os
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trajgen_assets.core.errors import ManifestError, ManifestMissingError
from trajgen_assets.core.intake.manifest import AT_REST_AFTER_S, Manifest, read_appended, read_manifest
from trajgen_assets.core.keys import is_safe_name


def read(folder: Path, data: bytes) -> Manifest:
    path = folder / "verifiable_tasks.txt"
    path.write_bytes(data)
    return read_manifest(path)


def rest(path: Path) -> None:
    """As if nobody had written to the file for long enough."""
    written_s = time.time() - AT_REST_AFTER_S
    os.utime(path, (written_s, written_s))


def read_at_rest(folder: Path, data: bytes) -> Manifest:
    rest(read(folder, data).path)
    return read_manifest(folder / "verifiable_tasks.txt")


def test_a_missing_manifest_is_an_error_and_not_an_empty_one(tmp_path: Path) -> None:
    with pytest.raises(ManifestMissingError, match="there is no manifest"):
        read_manifest(tmp_path / "verifiable_tasks.txt")


def test_text_that_is_not_utf8_is_refused_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="line 3"):
        read(tmp_path, b"a-1\na-2\n\xff\xfe\na-4\n")


def test_a_folder_or_pipe_in_its_place_is_refused_without_hanging(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="not a file"):
        read_manifest(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ManifestError, match="not a file"):
        read_manifest(tmp_path / "pipe")


def test_a_file_that_never_keeps_still_is_refused() -> None:
    with pytest.raises(ManifestError, match="changes while it is read"):
        read_manifest(Path("/proc/self/status"))  # its size never agrees with what is read from it


def test_a_refused_manifest_leaves_no_descriptor_open(tmp_path: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        with pytest.raises(ManifestError):
            read_manifest(tmp_path)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_while_it_is_replaced_a_reader_sees_one_version_whole(tmp_path: Path) -> None:
    path = tmp_path / "m.txt"
    versions = [b"".join(b"%s-%d\n" % (name, n) for n in range(size)) for name, size in ((b"a", 2000), (b"b", 3000))]
    path.write_bytes(versions[0])
    stop = threading.Event()

    def replace() -> None:
        while not stop.wait(0.002):
            (tmp_path / "new").write_bytes(versions[1])
            os.replace(tmp_path / "new", path)

    writer = threading.Thread(target=replace, daemon=True)
    writer.start()
    try:
        seen = set()
        for _ in range(50):
            with suppress(ManifestError):  # it changed at each of the three reads
                seen.add(len(read_manifest(path).entries))
    finally:
        stop.set()
        writer.join()
    assert seen
    assert seen <= {2000, 3000}


def test_an_empty_manifest_has_no_entries_yet(tmp_path: Path) -> None:
    manifest = read(tmp_path, b"")
    assert (manifest.entries, manifest.problems, manifest.pending_line) == ((), (), False)


def test_blank_lines_comments_crlf_bom_and_margins_do_not_matter(tmp_path: Path) -> None:
    manifest = read(tmp_path, b"\xef\xbb\xbfa-1\r\n\r\n# a-2\r\n  # a-3\n \ta-4  \n")
    assert manifest.entries == ("a-1", "a-4")
    assert manifest.problems == ()


def test_a_last_line_without_newline_waits_even_when_it_is_torn_within_a_character(tmp_path: Path) -> None:
    manifest = read(tmp_path, b"a-1\na-\xc3")
    assert manifest.entries == ("a-1",)
    assert manifest.pending_line


def test_a_line_that_waits_is_said_with_its_number(tmp_path: Path) -> None:
    words = read(tmp_path, b"a-1\n\na-2").pending_words
    assert words == "line 3 has no newline yet: it is taken when nobody has written to the file for 60 s"
    assert read(tmp_path, b"a-1\n\na-2\n").pending_words is None


def test_a_last_line_without_newline_is_taken_once_the_file_is_at_rest(tmp_path: Path) -> None:
    manifest = read_at_rest(tmp_path, b"a-1\na-2")
    assert (manifest.entries, manifest.pending_line) == (("a-1", "a-2"), False)
    assert (manifest.end.position, manifest.end.n_lines, manifest.end.n_entries) == (7, 2, 2)


def test_a_file_at_rest_is_judged_as_if_it_ended_in_a_newline(tmp_path: Path) -> None:
    assert [each.line for each in read_at_rest(tmp_path, b"a-1\nbad id").problems] == [2]
    with pytest.raises(ManifestError, match="line 2"):
        read_at_rest(tmp_path, b"a-1\na-\xc3")


def test_a_line_that_waited_is_read_on_once_the_file_is_at_rest(tmp_path: Path) -> None:
    first = read(tmp_path, b"a-1\na-2")
    rest(first.path)
    taken = read_appended(first.path, first.end)
    assert taken is not None
    assert (taken.entries, taken.sha256, taken.end.n_entries) == (("a-2",), first.sha256, 2)


@pytest.mark.parametrize("newline", [b"\n", b"\r\n"])
def test_behind_a_line_that_was_taken_without_newline_the_file_is_read_on_after_its_newline(
    tmp_path: Path, newline: bytes
) -> None:
    first = read_at_rest(tmp_path, b"a-1\na-2")
    with first.path.open("ab") as file:
        file.write(newline + b"a-2\na-3\n")
    appended = read_appended(first.path, first.end)
    assert appended is not None
    assert appended.entries == ("a-3",)
    assert [(each.line, each.reason) for each in appended.problems] == [(3, "listed twice")]
    assert appended.end == read_manifest(first.path).end


@pytest.mark.parametrize("more", [b"3", b"3\n", b" ", b"\r", b"-4\na-5\n"], ids=repr)
def test_a_line_that_goes_on_after_it_was_taken_is_not_read_on(tmp_path: Path, more: bytes) -> None:
    first = read_at_rest(tmp_path, b"a-1\na-2")
    with first.path.open("ab") as file:
        file.write(more)
    assert read_appended(first.path, first.end) is None


def test_a_touch_takes_back_no_line(tmp_path: Path) -> None:
    first = read_at_rest(tmp_path, b"a-1\na-2")
    first.path.touch()
    again = read_appended(first.path, first.end)
    assert again is not None
    assert (again.entries, again.end, again.pending_line) == ((), first.end, False)


@pytest.mark.parametrize("is_at_rest", [False, True])
def test_trailing_blanks_are_no_pending_line(tmp_path: Path, is_at_rest: bool) -> None:
    manifest = (read_at_rest if is_at_rest else read)(tmp_path, b"a-1\n  ")
    assert (manifest.pending_line, manifest.end.n_lines, manifest.end.is_open) == (False, 1, False)


def test_a_duplicate_is_taken_once_and_reported_once(tmp_path: Path) -> None:
    manifest = read(tmp_path, b"x\na-2\nx\nx\n")
    assert manifest.entries == ("x", "a-2")
    assert [(each.line, each.text, each.reason) for each in manifest.problems] == [(3, "x", "listed twice")]


def test_ids_that_differ_only_in_case_are_a_problem_of_the_second(tmp_path: Path) -> None:
    manifest = read(tmp_path, b"Repo-1\nrepo-1\nRepo-1\n")
    assert manifest.entries == ("Repo-1",)
    assert [(each.line, each.reason) for each in manifest.problems] == [
        (2, "differs from Repo-1 only in case"),
        (3, "listed twice"),
    ]


@pytest.mark.parametrize(
    "line",
    ["../x", "/etc", "a/b", "..", ".hidden", "-flag", "a b", "a\\b", "a\x00b", "a\u2028b", "ä", "x" * 201, "a\rb"],
)
def test_an_unsafe_id_is_reported_by_name_and_keeps_no_other_back(tmp_path: Path, line: str) -> None:
    manifest = read(tmp_path, f"good-1\n{line}\ngood-2\n".encode())
    assert manifest.entries == ("good-1", "good-2")
    assert [(each.line, each.text) for each in manifest.problems] == [(2, line[:80])]


@settings(deadline=None)
@given(st.text())
def test_whatever_the_text_only_safe_distinct_names_come_out(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    manifest = read(tmp_path_factory.getbasetemp(), text.encode("utf-8", "replace"))
    assert all(is_safe_name(entry) for entry in manifest.entries)
    assert len({entry.lower() for entry in manifest.entries}) == len(manifest.entries)


@settings(deadline=None)
@given(st.lists(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,20}", fullmatch=True), unique_by=str.lower))
def test_every_safe_id_comes_out_in_order(tmp_path_factory: pytest.TempPathFactory, ids: list[str]) -> None:
    manifest = read(tmp_path_factory.getbasetemp(), "".join(f"{each}\n" for each in ids).encode())
    assert list(manifest.entries) == ids
    assert manifest.problems == ()


def test_what_was_appended_is_judged_by_what_came_before(tmp_path: Path) -> None:
    path = tmp_path / "verifiable_tasks.txt"
    first = read(tmp_path, b"Repo-1\na-2\na-2\n")
    with path.open("ab") as file:
        file.write(b"repo-1\na-2\nRepo-1\nnew-3\nnew-3\nbad id\n")
    appended = read_appended(path, first.end)
    assert appended is not None
    assert appended.entries == ("new-3",)
    assert [(each.line, each.text, each.reason[:12]) for each in appended.problems] == [
        (4, "repo-1", "differs from"),
        (6, "Repo-1", "listed twice"),
        (8, "new-3", "listed twice"),
        (9, "bad id", "not a task i"),
    ]
    assert appended.end.n_entries == 3
    assert appended.end.n_lines == 9


def test_an_unchanged_manifest_has_nothing_more(tmp_path: Path) -> None:
    first = read(tmp_path, b"a-1\n")
    again = read_appended(first.path, first.end)
    assert again is not None
    assert (again.entries, again.problems, again.sha256, again.end) == ((), (), first.sha256, first.end)


@pytest.mark.parametrize("now", [b"", b"a-1\n", b"a-9\na-2\na-3\n", b"\xff-1\na-2\n", b"b"], ids=repr)
def test_a_manifest_that_begins_with_other_bytes_is_not_read_on(tmp_path: Path, now: bytes) -> None:
    first = read(tmp_path, b"a-1\na-2\n")
    first.path.write_bytes(now)
    assert read_appended(first.path, first.end) is None


def test_another_file_in_its_place_is_not_read_on_even_if_it_begins_alike(tmp_path: Path) -> None:
    first = read(tmp_path, b"a-1\n")
    (tmp_path / "new").write_bytes(b"a-1\na-2\n")
    os.replace(tmp_path / "new", first.path)
    assert read_appended(first.path, first.end) is None


def test_an_appended_line_that_is_not_utf8_is_refused_with_its_line_in_the_file(tmp_path: Path) -> None:
    first = read(tmp_path, b"a-1\na-2\n")
    with first.path.open("ab") as file:
        file.write(b"a-3\n\xff\n")
    with pytest.raises(ManifestError, match="line 4"):
        read_appended(first.path, first.end)


LINES = st.sampled_from(
    ["a-1", "A-1", "b-2", " b-2 ", "c-3", "C-3\r", "", "# a-1", "bad id", "\u212aelvin-4", "kelvin-4", "\xa0a-1", "ä"]
)


@settings(deadline=None)
@given(st.lists(LINES, max_size=30), st.booleans(), st.lists(st.tuples(st.integers(0, 200), st.booleans()), max_size=5))
def test_reading_in_pieces_is_reading_in_full(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], has_bom: bool, cuts: list[tuple[int, bool]]
) -> None:
    data = b"\xef\xbb\xbf" * has_bom + "".join(f"{each}\n" for each in lines).encode()
    path = tmp_path_factory.getbasetemp() / "grows.txt"
    path.write_bytes(b"")
    pieces = [read_manifest(path)]
    for cut, is_at_rest in [*sorted(cuts), (len(data), True)]:  # also within a line, and within a character
        with path.open("ab") as file:
            file.write(data[path.stat().st_size : cut])
        if is_at_rest:
            rest(path)
        with suppress(ManifestError):  # at rest within a character
            appended = read_appended(path, pieces[-1].end)
            assert appended is not None or pieces[-1].end.is_open
            pieces = [read_manifest(path)] if appended is None else [*pieces, appended]
    whole = read_manifest(path)
    assert tuple(each for piece in pieces for each in piece.entries) == whole.entries
    assert tuple(each for piece in pieces for each in piece.problems) == whole.problems
    assert (pieces[-1].end, pieces[-1].sha256) == (whole.end, whole.sha256)


def test_a_manifest_larger_than_one_read_is_read_in_order(tmp_path: Path) -> None:
    ids = [f"some-owner__some-repository-{n}" for n in range(60_000)]
    first = read(tmp_path, "".join(f"{each}\n" for each in ids[:50_000]).encode())
    with first.path.open("a") as file:
        file.writelines(f"{each}\n" for each in [*ids[50_000:], ids[7].upper()])
    appended = read_appended(first.path, first.end)
    assert appended is not None
    assert [*first.entries, *appended.entries] == ids
    assert [each.reason for each in appended.problems] == [f"differs from {ids[7]} only in case"]


def test_rows_that_are_not_there_are_no_missing_manifest(tmp_path: Path) -> None:
    with pytest.raises(ManifestMissingError, match=r"there is no file of rows .*correct task_source\.dataset_name"):
        read_manifest(tmp_path / "rows.jsonl")
