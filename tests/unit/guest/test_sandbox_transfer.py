"""What comes out of a sandbox is a tar that an agent may have written byte by byte."""

import io
import tarfile
from pathlib import Path

import pytest

from trajgen_assets.guest.harbor.sandbox_transfer import Entry, TransferError, pack, unpack, unpack_file


def tar_of(*members: tuple[str, bytes, str]) -> io.BytesIO:
    """A tar of (name, kind, content), where the content of a link is its target."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, kind, content in members:
            member = tarfile.TarInfo(name)
            member.type = kind
            if kind in {tarfile.SYMTYPE, tarfile.LNKTYPE}:
                member.linkname = content
                archive.addfile(member)
            else:
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content.encode()))
    stream.seek(0)
    return stream


FILE, FOLDER, LINK, HARD = tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE


@pytest.mark.parametrize("name", ["/etc/x", "../x", "a/../../x", "a/..", "./../x"])
def test_a_name_that_leads_outside_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(TransferError, match="outside"):
        unpack(tar_of((name, FILE, "x")), tmp_path / "out")
    assert not (tmp_path / "x").exists()


def test_a_link_and_a_file_below_it_do_not_leave_the_target(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    left_out = unpack(
        tar_of(("a", LINK, str(outside)), ("a/x", FILE, "x"), ("h", HARD, "/etc/passwd")), tmp_path / "out"
    )
    assert left_out == ["a", "h"]
    assert list(outside.iterdir()) == []
    assert (tmp_path / "out/a/x").read_text() == "x"


def test_a_link_that_lies_in_the_target_already_is_replaced_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "precious").write_text("kept")
    (tmp_path / "out/f").symlink_to(tmp_path / "precious")
    (tmp_path / "out/d").symlink_to(tmp_path)
    unpack(tar_of(("f", FILE, "new"), ("d/precious", FILE, "new")), tmp_path / "out")
    assert (tmp_path / "precious").read_text() == "kept"
    assert (tmp_path / "out/d/precious").read_text() == "new"


def test_a_file_in_place_of_the_whole_target_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/earlier").touch()
    with pytest.raises(TransferError, match="in place of"):
        unpack(tar_of((".", FILE, "x")), tmp_path / "out")
    assert (tmp_path / "out/earlier").exists()


def test_more_than_the_limit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TransferError, match="more came out"):
        unpack(tar_of(("a", FILE, "x" * 60), ("b", FILE, "x" * 60)), tmp_path, max_bytes=100)
    with pytest.raises(TransferError, match="more came out"):
        unpack_file(tar_of(("a", FILE, "x" * 160)), tmp_path / "a", max_bytes=100)


@pytest.mark.parametrize("data", [b"", b"no tar at all" * 100, b"\0" * 10240])
def test_what_is_no_tar_is_refused_or_empty(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(TransferError):
        unpack_file(io.BytesIO(data), tmp_path / "file")
    assert not (tmp_path / "file").exists()


def test_a_torn_tar_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TransferError, match="readable tar"):
        unpack(io.BytesIO(tar_of(("a", FILE, "x" * 5000)).getvalue()[:3000]), tmp_path)


@pytest.mark.parametrize("member", [("a", FOLDER, ""), ("a", LINK, "/etc/passwd"), ("a", tarfile.FIFOTYPE, "")])
def test_only_a_plain_file_is_taken_as_a_file(tmp_path: Path, member: tuple[str, bytes, str]) -> None:
    with pytest.raises(TransferError, match="plain file"):
        unpack_file(tar_of(member), tmp_path / "file")


def test_neither_owner_nor_special_bits_come_along(tmp_path: Path) -> None:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, mode in (("run", 0o6777), ("text", 0o666)):
            member = tarfile.TarInfo(name)
            member.mode, member.uid, member.size = mode, 4242, 1
            archive.addfile(member, io.BytesIO(b"x"))
    stream.seek(0)
    unpack(stream, tmp_path)
    assert {path.name: oct(path.stat().st_mode & 0o7777) for path in tmp_path.iterdir()} == {
        "run": "0o755",
        "text": "0o644",
    }
    assert (tmp_path / "run").stat().st_uid != 4242


def test_what_was_packed_is_unpacked_without_its_links(tmp_path: Path) -> None:
    source = tmp_path / "in"
    (source / "deep/er").mkdir(parents=True)
    (source / "deep/er/file").write_text("content")
    (source / "link").symlink_to("/etc/passwd")
    stream = io.BytesIO()
    pack([Entry(child, child.name) for child in sorted(source.iterdir())], stream)
    stream.seek(0)
    assert unpack(stream, tmp_path / "out") == ["link"]
    assert (tmp_path / "out/deep/er/file").read_text() == "content"
