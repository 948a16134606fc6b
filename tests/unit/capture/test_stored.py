"""A trajectory is read alike in both forms, and no kill while it changes from one to the other loses a byte."""

import os
import shutil
import signal
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest

from tests.faults import Points
from trajgen_assets.core.capture.stored import (
    UNREADABLE,
    compress,
    compressed_name,
    content_sha256,
    content_size_bytes,
    opened,
    stored,
)

LINES = b"".join(b'{"turn": %d, "history": "%s"}\n' % (turn, b"step " * turn * 100) for turn in range(40))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    plain = tmp_path / "litellm-trajectory.jsonl"
    plain.write_bytes(LINES)
    return plain


def content(path: Path) -> bytes:
    with opened(path) as file:
        return b"".join(file)


def facts(path: Path) -> tuple[bytes, str | None, int | None]:
    return content(path), content_sha256(path), content_size_bytes(path)


def test_both_forms_say_the_same(path: Path) -> None:
    before = facts(path)
    assert before == (LINES, sha256(LINES).hexdigest(), len(LINES))
    written_at = path.stat().st_mtime_ns
    assert compress(path)
    assert stored(path) == compressed_name(path)
    assert not path.exists()
    assert facts(path) == before
    assert compressed_name(path).stat().st_size < len(LINES) / 50
    assert compressed_name(path).stat().st_mtime_ns == written_at


def test_what_is_compressed_can_be_read_from_the_middle_on(path: Path) -> None:
    compress(path)
    with opened(path) as file:
        file.seek(1000)
        assert file.read(500) == LINES[1000:1500]
        file.seek(len(LINES) - 10)
        assert file.read() == LINES[-10:]


def test_zstd_itself_reads_it(path: Path) -> None:
    if shutil.which("zstd") is None:
        pytest.skip("the program zstd is not here")
    compress(path)
    read = subprocess.run(["zstd", "-dc", compressed_name(path)], capture_output=True, check=True)
    assert read.stdout == LINES


def test_records_longer_than_the_usual_window_are_still_found_to_repeat(path: Path) -> None:
    record = os.urandom(3_000_000).hex().encode() + b"\n"
    path.write_bytes(record * 4)
    compress(path)
    assert compressed_name(path).stat().st_size < 1.2 * len(record) / 2  # one of four, and hex is half random
    assert content(path) == record * 4


def test_what_is_not_there_is_in_neither_form(tmp_path: Path) -> None:
    path = tmp_path / "none.jsonl"
    assert (stored(path), content_sha256(path), content_size_bytes(path), compress(path)) == (None, None, None, False)
    with pytest.raises(FileNotFoundError), opened(path):
        pytest.fail("there is nothing to open")


def test_a_link_is_no_trajectory(path: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.jsonl"
    link.symlink_to(path)
    assert (stored(link), content_sha256(link), compress(link)) == (None, None, False)
    assert path.read_bytes() == LINES


def test_compressing_twice_changes_nothing(path: Path) -> None:
    compress(path)
    before = compressed_name(path).stat()
    assert not compress(path)
    assert compressed_name(path).stat() == before


def test_while_the_plain_file_is_there_it_counts(path: Path) -> None:
    compressed_name(path).write_bytes(b"half of it")
    assert facts(path)[0] == LINES
    assert compress(path)
    assert content(path) == LINES


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-20], lambda data: data[:50] + b"xx" + data[52:], lambda _: b"x"]
)
def test_a_damaged_file_has_not_the_digest_that_was_recorded(path: Path, damage: object) -> None:
    compress(path)
    file = compressed_name(path)
    file.write_bytes(damage(file.read_bytes()))  # type: ignore[operator]
    assert content_sha256(path) not in (None, sha256(LINES).hexdigest())


def test_damage_is_said_where_it_is_seen(path: Path) -> None:
    compressed_name(path).write_bytes(b"no frame of zstd")
    path.unlink()
    assert (content_sha256(path), content_size_bytes(path)) == (UNREADABLE, None)


def test_an_empty_file_is_compressed_as_well(path: Path) -> None:
    path.write_bytes(b"")
    assert compress(path)
    assert facts(path) == (b"", sha256(b"").hexdigest(), 0)


@pytest.mark.parametrize(
    ("point", "has_plain"), [("before_replace", True), ("after_replace", True), ("before_plain_goes", True)]
)
def test_killed_at_any_point_it_leaves_whole_files_and_the_next_call_finishes(
    path: Path, tmp_path: Path, point: str, has_plain: bool
) -> None:
    points = Points(tmp_path / "faults")
    points.arm(point)
    code = f"from pathlib import Path; from {compress.__module__} import compress; compress(Path({str(path)!r}))"
    child = subprocess.Popen([sys.executable, "-c", code], env=os.environ | points.environ)
    os.kill(points.wait(point), signal.SIGKILL)
    child.wait()
    assert path.exists() == has_plain
    assert content(path) == LINES
    assert compress(path)
    assert (path.exists(), content(path)) == (False, LINES)


def test_a_full_disk_leaves_the_plain_file(path: Path) -> None:
    path.write_bytes(os.urandom(200_000).hex().encode() + b"\n")
    before = path.read_bytes()
    code = (
        f"import resource, signal; from pathlib import Path; from {compress.__module__} import compress\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))\n"
        f"try: compress(Path({str(path)!r}))\n"
        "except OSError: raise SystemExit(7)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 7
    assert (stored(path), content(path)) == (path, before)
    assert [each.name for each in path.parent.iterdir()] == [path.name]
