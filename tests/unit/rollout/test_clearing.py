"""What Harbor and its sandboxes leave is cleared of secrets and of nothing else, whatever an agent made of it."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from trajgen_assets.core.redact import Redactor
from trajgen_assets.core.rollout.clearing import MAX_BYTES, clear, clear_tree
from trajgen_assets.guest.trial_keys import derive_subkey, mint

NOBODY = 65534
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
    assert not any(clear(inside / name, REDACTOR) for name in ("link", "pipe", "folder", "none"))


def test_of_a_folder_that_is_named_all_files_are_cleared(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "file").write_text(SECRET)
    assert (clear(tmp_path / "a", REDACTOR), clear(tmp_path / "a" / "file", REDACTOR)) == (1, 0)


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


@pytest.fixture
def as_owner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of ours, and we are not root, whom no permission keeps out. It is relative: those above are root's."""
    (tmp_path / "job").mkdir()
    monkeypatch.chdir(tmp_path)
    is_root = os.geteuid() == 0
    if is_root:
        os.chown(tmp_path, NOBODY, NOBODY)
        os.chown(tmp_path / "job", NOBODY, NOBODY)
        os.seteuid(NOBODY)
    yield Path("job")
    if is_root:
        os.seteuid(0)


@pytest.mark.parametrize("mode", [0o000, 0o500, 0o300])
def test_a_folder_that_an_agent_closed_is_opened_and_cleared(as_owner: Path, mode: int) -> None:
    closed = as_owner / "outer" / "inner"
    closed.mkdir(parents=True)
    (closed / "log").write_text(SECRET)
    for folder in (closed, closed.parent, as_owner):
        folder.chmod(mode)
    assert clear_tree(as_owner, REDACTOR) == 1
    assert (closed / "log").read_text() == "<redacted:HF_TOKEN>"


def test_no_folder_outside_is_opened_by_a_link_to_it(as_owner: Path, caplog: pytest.LogCaptureFixture) -> None:
    outside = Path("outside")
    outside.mkdir()
    outside.chmod(0o000)
    (as_owner / "link").symlink_to(Path("..", "outside"))
    assert clear_tree(as_owner, REDACTOR) == 0
    assert clear_tree(as_owner / "link", REDACTOR) == 0
    assert stat.S_IMODE(outside.stat().st_mode) == 0
    assert caplog.text == ""
    outside.chmod(0o700)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a folder of another user")
@pytest.mark.parametrize("name", ["job", "job/theirs"])
def test_a_folder_of_another_user_is_reported_and_the_rest_cleared(
    as_owner: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    (as_owner / "log").write_text(SECRET)
    (as_owner / "theirs").mkdir()
    os.seteuid(0)
    os.chown(name, 0, 0)
    Path(name).chmod(0o700)
    os.seteuid(NOBODY)
    assert clear_tree(as_owner, REDACTOR) == (0 if name == "job" else 1)
    assert f"{Path(name).name} in job was not searched for secrets: Permission denied" in caplog.text
