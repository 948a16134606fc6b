import subprocess
import sys
import time
from pathlib import Path

from tests.unit.provision.twins import script
from trajgen_assets.core.paths import PROJECT
from trajgen_assets.core.provision.command import TIMED_OUT, run, which

BARE = {"PATH": "/bin:/usr/bin"}


def test_a_program_that_is_not_there_ends_as_in_a_shell() -> None:
    assert run(["no-such-program"], env=BARE, timeout_s=5).code == 127


def test_a_program_that_hangs_is_ended(tmp_path: Path) -> None:
    started_at = time.monotonic()
    outcome = run([script(tmp_path / "hang", "exec sleep 60")], env=BARE, timeout_s=0.2)
    assert (outcome.code, outcome.reason) == (TIMED_OUT, "no answer in time")
    assert time.monotonic() - started_at < 5


def test_lines_arrive_in_order_and_the_last_are_kept(tmp_path: Path) -> None:
    told: list[str] = []
    outcome = run([script(tmp_path / "talk", "seq 40; exit 3")], env=BARE, timeout_s=5, on_line=told.append)
    assert told == [str(number) for number in range(1, 41)]
    assert (outcome.code, outcome.tail[-1], len(outcome.tail)) == (3, "40", 12)


def test_a_reason_is_the_last_line_without_the_programs_word_for_error(tmp_path: Path) -> None:
    outcome = run(
        [script(tmp_path / "x", "echo Resolved 3; echo 'error: a'; echo '  cause: b'; exit 1")], env=BARE, timeout_s=5
    )
    assert outcome.reason == "b"
    assert outcome.complaint == "error: a | cause: b"


def test_every_entry_of_path_is_seen_and_what_is_not_executable_is_not(tmp_path: Path) -> None:
    first, second = script(tmp_path / "a" / "x", ""), script(tmp_path / "b" / "x", "")
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "x").write_text("", encoding="utf-8")
    path = ":".join(str(tmp_path / name) for name in "abc")
    assert list(which("x", {"PATH": path})) == [first, second]


def test_set_up_needs_nothing_but_the_standard_library() -> None:
    """`-S` hides every installed package, as on a machine where nothing is installed yet."""
    code = f"import sys; sys.path.insert(0, {str(PROJECT)!r}); import trajgen_assets.core.provision.__main__"
    subprocess.run([sys.executable, "-I", "-S", "-c", code], check=True, timeout=30)
