"""What Harbor and its sandboxes leave is cleared of secrets and of nothing else, whatever an agent made of it."""

import os
from pathlib import Path

import psutil
import pytest

from trajgen_assets.core.redact import Redactor
from trajgen_assets.core.rollout.clearing import MAX_BYTES, clear_files, clear_tree
from trajgen_assets.guest.trial_keys import derive_subkey, mint

SECRET = "hf-of-a-verifier-ä4711"
REDACTOR = Redactor({"HF_TOKEN": SECRET})
KEY = mint(derive_subkey("sk-tm-of-a-proxy"), "job", "trial")


def test_a_secret_is_taken_out_of_each_file_and_everything_else_stays_byte_for_byte(tmp_path: Path) -> None:
    (tmp_path / "verifier").mkdir()
    log = tmp_path / "verifier" / "test-stdout.txt"
    log.write_bytes(b"\xff before " + SECRET.encode() + b" between " + KEY.encode() + b" after \r\n\x00")
    log.chmod(0o640)
    other = tmp_path / "result.json"
    other.write_bytes(b"{}\xff")
    stamp = other.stat()
    assert clear_tree(tmp_path, REDACTOR) == 1
    assert log.read_bytes() == b"\xff before <redacted:HF_TOKEN> between <redacted:trial key> after \r\n\x00"
    assert log.stat().st_mode & 0o777 == 0o640
    assert (other.stat().st_mtime_ns, other.stat().st_ino) == (stamp.st_mtime_ns, stamp.st_ino)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["result.json", "test-stdout.txt", "verifier"]


def test_the_record_of_calls_is_left_alone(tmp_path: Path) -> None:
    record = tmp_path / "litellm-trajectory.jsonl"
    record.write_text(KEY)
    assert clear_tree(tmp_path, REDACTOR, but=["litellm-trajectory.jsonl"]) == 0
    assert record.read_text() == KEY


def test_no_link_is_followed_and_what_is_no_plain_file_is_left_alone(tmp_path: Path) -> None:
    outside, inside = tmp_path / "outside", tmp_path / "inside"
    for folder in (outside, inside):
        folder.mkdir()
    (outside / "theirs").write_text(SECRET)
    (inside / "link").symlink_to(outside / "theirs")
    (inside / "folder").symlink_to(outside)
    os.link(outside / "theirs", inside / "hard")
    os.mkfifo(inside / "pipe")
    assert clear_tree(inside, REDACTOR) == 1
    assert (outside / "theirs").read_text() == SECRET
    assert (inside / "hard").read_text() == "<redacted:HF_TOKEN>"
    assert clear_files([inside / "link", inside / "pipe", inside / "folder", inside / "none"], REDACTOR) == 0


def test_a_file_that_is_too_large_is_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "log").write_text(SECRET)
    os.truncate(tmp_path / "log", MAX_BYTES + 1)  # of holes: it takes no room
    assert clear_tree(tmp_path, REDACTOR) == 0
    assert "was not searched for secrets" in caplog.text


def test_where_nothing_can_be_written_the_file_stays_and_is_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "log").write_text(SECRET)
    soft, hard = psutil.Process().rlimit(psutil.RLIMIT_FSIZE)
    psutil.Process().rlimit(psutil.RLIMIT_FSIZE, (4, hard))
    try:
        assert clear_tree(tmp_path, REDACTOR) == 0
    finally:
        psutil.Process().rlimit(psutil.RLIMIT_FSIZE, (soft, hard))
    assert [path.name for path in tmp_path.iterdir()] == ["log"]
    assert (tmp_path / "log").read_text() == SECRET
    assert "could not be cleared: File too large" in caplog.text
