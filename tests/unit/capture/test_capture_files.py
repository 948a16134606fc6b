import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import admission
import capture_files
import pytest

FULL_DISK = """
import resource, signal, sys
sys.path.insert(0, {folder!r})
import capture_files
from pathlib import Path
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    capture_files.append_line(Path({path!r}), b"x" * 5000)
except OSError as error:
    print(type(error).__name__)
"""


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TRAJGEN_PROXY_DIR", str(tmp_path))
    monkeypatch.setenv("TRAJGEN_MASTER_KEY", "sk-master")
    admission.subkey.cache_clear()
    capture_files.unnoted.clear()


def test_lines_are_appended_and_private(tmp_path: Path) -> None:
    path = tmp_path / "file"
    capture_files.append_line(path, b"one")
    capture_files.append_line(path, b"two")
    assert path.read_bytes() == b"one\ntwo\n"
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_torn_line_is_closed_before_the_next_one(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"whole\nto")
    capture_files.append_line(path, b"next")
    assert path.read_bytes() == b"whole\nto\nnext\n"


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "file").symlink_to(tmp_path / "victim")
    with pytest.raises(OSError, match="symbolic link"):
        capture_files.append_line(tmp_path / "file", b"one")
    assert not (tmp_path / "victim").exists()


def test_a_short_write_on_a_full_disk_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "file"
    program = FULL_DISK.format(folder=str(Path(capture_files.__file__).parent), path=str(path))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout.strip() == "ShortWriteError"
    assert path.stat().st_size == 1000


@pytest.mark.parametrize("trial", ["", ".", "..", "a/b", "../x", "a\n", "-x", "a" * 201, "ä"])
def test_a_trial_that_is_no_file_name_is_refused(trial: str) -> None:
    with pytest.raises(ValueError, match="no plain file name"):
        capture_files.trial_file("journal", trial)


def test_what_was_lost_is_noted(tmp_path: Path) -> None:
    capture_files.mark_broken("task__1", "record", OSError("disk full"))
    note = json.loads((tmp_path / "broken").read_text())
    assert (note["trial"], note["lost"], note["error"]) == ("task__1", "record", "OSError: disk full")


def test_a_loss_that_cannot_be_noted_does_not_raise_and_is_noted_when_it_can_be(tmp_path: Path) -> None:
    (tmp_path / "broken").mkdir()
    capture_files.mark_broken("task__1", "record", OSError("disk full"))
    with pytest.raises(OSError, match="directory"):
        capture_files.note_losses()
    (tmp_path / "broken").rmdir()
    capture_files.mark_broken("task__2", "begin", OSError("disk full"))
    notes = [json.loads(line) for line in (tmp_path / "broken").read_text().splitlines()]
    assert [(note["trial"], note["lost"]) for note in notes] == [("task__1", "record"), ("task__2", "begin")]
    assert capture_files.unnoted == []


def test_an_admission_opens_only_as_it_was_sealed() -> None:
    sealed = admission.admit("job", "task__1", "/v1/messages")
    assert sealed["dialect"] == "anthropic_messages"
    assert admission.opened(sealed) == sealed
    assert admission.opened(sealed | {"more": "x"}) == sealed
    for name in ("job", "trial", "admission_id", "dialect", "seal"):
        assert admission.opened(sealed | {name: "other"}) is None
        assert admission.opened({key: value for key, value in sealed.items() if key != name}) is None


@pytest.mark.parametrize("candidate", [None, "text", [], {}, {"trial": 1}, {"seal": "\udcff"}])
def test_what_is_no_admission_opens_to_nothing(candidate: object) -> None:
    assert admission.opened(candidate) is None


def test_writers_in_several_processes_never_mix_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "file"
    pids = [_writer(path, letter) for letter in (b"a", b"b", b"c")]
    for pid in pids:
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    lines = path.read_bytes().splitlines()
    assert len(lines) == 90
    assert all(len(line) == 100_000 and len(set(line)) == 1 for line in lines)


def _writer(path: Path, letter: bytes) -> int:
    pid = os.fork()
    if pid == 0:
        signal.alarm(60)
        try:
            for _ in range(30):
                capture_files.append_line(path, letter * 100_000)
            os._exit(0)
        finally:
            os._exit(1)
    return pid
