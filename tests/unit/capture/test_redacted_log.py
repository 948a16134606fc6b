"""What a child prints reaches its log file without secrets, and whatever happens to the file the child goes on."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from trajgen_assets.core.capture.redacted_log import CUT_MARK, MARGIN_CHARS, MAX_LINE_BYTES, RedactedLog
from trajgen_assets.core.redact import Redactor

SECRET = "upstream-secret-0123456789"
redact = Redactor({"key": SECRET}).text


def _logged(path: Path, *parts: bytes, using: Callable[[str], str] = redact) -> str:
    output = RedactedLog(path, using)
    with output.writer as writer:
        for part in parts:
            left = memoryview(part)
            while left:
                left = left[writer.write(left) :]
    output.join(10)
    return path.read_text() if path.is_file() else ""


@pytest.mark.parametrize("n_first", range(0, len(SECRET) + 8, 5))
def test_a_secret_written_in_two_parts_is_replaced(tmp_path: Path, n_first: int) -> None:
    line = f"a {SECRET} b\n".encode()
    assert _logged(tmp_path / "log", line[:n_first], line[n_first:]) == "a <redacted:key> b\n"


def test_lines_are_appended_in_order_and_the_last_one_is_ended(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("before\n")
    assert _logged(path, b"one\n\ntwo\nth", b"ree") == "before\none\n\ntwo\nthree\n"


def test_bytes_that_are_no_text_are_kept_readable(tmp_path: Path) -> None:
    assert _logged(tmp_path / "log", b"\xff " + SECRET.encode() + b"\n") == "\ufffd <redacted:key>\n"


@pytest.mark.parametrize("shift", range(0, len(SECRET), 6))
def test_of_an_endless_line_only_the_beginning_is_kept_and_no_half_of_a_secret(tmp_path: Path, shift: int) -> None:
    endless = b"x" * shift + SECRET.encode() * (2 * MAX_LINE_BYTES // len(SECRET))
    text = _logged(tmp_path / "log", endless + b"\nnext\n")
    first, last, end = text.split("\n")
    assert (last, end) == ("next", "")
    assert first.endswith(CUT_MARK)
    assert len(first) < MAX_LINE_BYTES
    assert "secret-" not in first


def test_the_beginning_of_an_endless_line_is_all_but_its_margin(tmp_path: Path) -> None:
    [first] = _logged(tmp_path / "log", b"x" * 3 * MAX_LINE_BYTES).splitlines()
    assert first.count("x") >= MAX_LINE_BYTES - MARGIN_CHARS


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk_does_not_block_the_child(caplog: pytest.LogCaptureFixture) -> None:
    _logged(Path("/dev/full"), b"line\n" * 100_000)
    assert "100000 lines could not be written to /dev/full" in caplog.text


def test_the_log_ends_with_its_last_writer(tmp_path: Path) -> None:
    output = RedactedLog(tmp_path / "log", redact)
    code = "import os; print('parent', flush=True); os.fork() or print(os.environ['SECRET'], flush=True)"
    with output.writer as writer:
        child = subprocess.Popen([sys.executable, "-c", code], stdout=writer, env=os.environ | {"SECRET": SECRET})
    assert child.wait(30) == 0
    output.join(10)
    assert (tmp_path / "log").read_text() == "parent\n<redacted:key>\n"


def test_waiting_for_the_log_is_bounded_while_somebody_holds_the_pipe(tmp_path: Path) -> None:
    output = RedactedLog(tmp_path / "log", redact)
    output.writer.write(b"line\n")
    output.join(0.2)
    output.writer.close()
    output.join(10)
    assert (tmp_path / "log").read_text() == "line\n"
