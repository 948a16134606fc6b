import os
from pathlib import Path

from trajgen_assets.core.dashboard.trajectory.diff import MAX_LINES, diff_lines
from trajgen_assets.core.dashboard.trajectory.evidence import read_evidence
from trajgen_assets.core.paths import JobPaths, Root

DIFF = """\
diff --git a/a.py b/a.py
--- a/a.py
+++ b/a.py
@@ -1,2 +1,2 @@ def add():
-return a - b
+return a + b
 # that is all
--- no header, but a line that was removed and began with two dashes
"""


def trial(folder: Path) -> JobPaths:
    files = Root(folder).job("j")
    (files.trial("t") / "verifier").mkdir(parents=True)
    (files.trial("t") / "artifacts").mkdir()
    return files


def test_the_ends_of_what_the_verifier_printed_are_shown(tmp_path: Path) -> None:
    files = trial(tmp_path)
    printed = b"a" * 1000 + b"-" * 1000 + b"z" * 3000
    (files.trial("t") / "verifier" / "test-stdout.txt").write_bytes(printed)
    (shown,) = read_evidence(files, "t", 4000).verifier
    assert (set(shown.head), set(shown.tail), shown.n_left_out_bytes) == ({"a"}, {"z"}, 1000)
    assert shown.size_bytes == len(printed)


def test_a_short_file_is_shown_once(tmp_path: Path) -> None:
    files = trial(tmp_path)
    (files.trial("t") / "verifier" / "reward.txt").write_bytes(b"1\xff\n")
    (shown,) = read_evidence(files, "t", 4000).verifier
    assert (shown.head, shown.tail, shown.n_left_out_bytes) == ("1\ufffd\n", "", 0)


def test_no_link_is_followed_and_no_pipe_is_waited_for(tmp_path: Path) -> None:
    files = trial(tmp_path)
    (tmp_path / "secret").write_text("secret")
    (files.trial("t") / "verifier" / "link.txt").symlink_to(tmp_path / "secret")
    os.mkfifo(files.trial("t") / "verifier" / "pipe.txt")
    files.patch("t").symlink_to(tmp_path / "secret")
    found = read_evidence(files, "t", 4000)
    assert (found.verifier, found.diff) == ((), None)


def test_a_folder_that_is_gone_is_said_to_be(tmp_path: Path) -> None:
    assert read_evidence(Root(tmp_path).job("j"), "t", 4000).problems == ("its folder is gone",)


def test_a_result_that_cannot_be_read_hides_nothing_else(tmp_path: Path) -> None:
    files = trial(tmp_path)
    (files.trial("t") / "result.json").write_text("{")
    (files.trial("t") / "verifier" / "reward.txt").write_text("1")
    found = read_evidence(files, "t", 4000)
    assert (len(found.problems), len(found.verifier)) == (1, 1)


def test_each_line_of_a_patch_says_what_it_is() -> None:
    kinds = [each.kind for each in diff_lines(DIFF)[:-1]]
    assert kinds == ["file", "file", "file", "hunk", "removed", "added", "context", "removed"]


def test_a_huge_patch_is_cut_and_says_so() -> None:
    lines = diff_lines("@@ -1 +1 @@\n" + "+x\n" * (MAX_LINES + 10))
    assert len(lines) == MAX_LINES + 1
    assert lines[-1].text == "… 12 lines more"
