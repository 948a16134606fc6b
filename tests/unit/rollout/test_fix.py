from pathlib import Path

import pytest

from trajgen_assets.core.rollout.fix import FIX, LARGEST_BYTES, changed_lines, fix_of

FIX_DIFF = b"""\
diff --git a/src/calc.py b/src/calc.py
index 1..2 100644
--- a/src/calc.py
+++ b/src/calc.py
@@ -1,3 +1,3 @@ def add
 def add(a, b):
-    return a - b
+    return a + b

diff --git a/src/new.py b/src/new.py
new file mode 100644
--- /dev/null
+++ b/src/new.py
@@ -0,0 +1,2 @@
+A = 1
+
"""


def test_the_changed_lines_of_each_file_are_counted_and_known_again() -> None:
    found = changed_lines(FIX_DIFF)
    assert (found.n_lines, list(found.files)) == (3, ["src/calc.py", "src/new.py"])


def test_the_place_in_a_file_the_context_and_other_files_do_not_count() -> None:
    elsewhere = FIX_DIFF.replace(b"@@ -1,3 +1,3 @@ def add", b"@@ -11,3 +12,3 @@").replace(b" def add(a", b" def add(x")
    tests = b"--- a/tests/t.py\n+++ b/tests/t.py\n@@ -1 +1,2 @@\n x\n+assert add(1, 1) == 2  \n"
    assert changed_lines(FIX_DIFF).is_in(tests + elsewhere)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"+    return a + b", b"+    return b + a"),
        (b"+1,3 @@ def add\n", b"+1,4 @@\n+# so\n"),
        (b"src/calc.py", b"src/other.py"),
        (b"+A = 1", b"+A = 2"),
    ],
)
def test_another_change_is_another(old: bytes, new: bytes) -> None:
    assert not changed_lines(FIX_DIFF).is_in(FIX_DIFF.replace(old, new))


def test_a_removed_line_of_dashes_is_no_header() -> None:
    diff = b"--- a/a.sql\n+++ b/a.sql\n@@ -1,2 +1,1 @@\n--- b/evil\n x\n"
    assert list(changed_lines(diff).files) == ["a.sql"]


@pytest.mark.parametrize(
    "diff", [b"", b"not a diff", b"@@ -1,9999999 +1,1 @@\n", b"\xff\xfe", b"Binary files a/x and b/x differ\n"]
)
def test_what_is_no_diff_changes_nothing(diff: bytes) -> None:
    assert changed_lines(diff).n_lines == 0


def test_a_task_without_a_readable_fix_has_none(tmp_path: Path) -> None:
    assert fix_of(tmp_path) is None
    (tmp_path / "solution").mkdir()
    (tmp_path / FIX).write_bytes(FIX_DIFF)
    assert fix_of(tmp_path) == changed_lines(FIX_DIFF)
    (tmp_path / FIX).write_bytes(b"x" * (LARGEST_BYTES + 1))
    assert fix_of(tmp_path) is None
