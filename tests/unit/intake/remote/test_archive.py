"""Archives that somebody else packed: what is not plain is refused by its name, and nothing of it stays."""

import gzip
import io
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from trajgen_assets.core.errors import DownloadError
from trajgen_assets.core.intake.remote.archive import unpack
from trajgen_assets.core.intake.remote.remote import Limits

Entry = tuple[str, bytes] | tarfile.TarInfo


def tar(path: Path, *entries: Entry, mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as packed:  # type: ignore[call-overload]
        for each in entries:
            if isinstance(each, tarfile.TarInfo):
                packed.addfile(each)
                continue
            info = tarfile.TarInfo(each[0])
            info.size = len(each[1])
            packed.addfile(info, io.BytesIO(each[1]))
    return path


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def zipped(path: Path, *entries: tuple[str, bytes], mode: int | None = None) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in entries:
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = (stat.S_IFREG | 0o644 if mode is None else mode) << 16
            packed.writestr(info, content)
    return path


FINE: Entry = ("a/task.toml", b"version = '1'\n")

REFUSED: dict[str, tuple[tuple[Entry, ...], str]] = {
    "dot dot": ((FINE, ("a/../../evil", b"x")), "'a/../../evil' leads out of its folder"),
    "absolute": ((FINE, ("/etc/evil", b"x")), "'/etc/evil' has an absolute path"),
    "link up": ((FINE, special("a/up", tarfile.SYMTYPE, "../../..")), "'a/up' is a link to '../../..'"),
    "link within": ((FINE, special("a/same", tarfile.SYMTYPE, "task.toml")), "'a/same' is a link to 'task.toml'"),
    "hard link": ((FINE, special("a/hard", tarfile.LNKTYPE, "a/task.toml")), "'a/hard' is a hard link"),
    "device": ((FINE, special("a/null", tarfile.CHRTYPE)), "'a/null' is a device"),
    "disk": ((FINE, special("a/sda", tarfile.BLKTYPE)), "'a/sda' is a device"),
    "pipe": ((FINE, special("a/pipe", tarfile.FIFOTYPE)), "'a/pipe' is a device, a pipe"),
    "unknown kind": ((FINE, special("a/odd", b"Z")), "'a/odd'"),
    "twice": ((FINE, FINE), "'a/task.toml' is there twice"),
    "case": ((FINE, ("a/TASK.toml", b"x")), "'a/TASK.toml' differs from 'a/task.toml' only in case"),
    "case of a folder": ((FINE, ("A/other", b"x")), "'A/other' lies in a folder that differs from 'a'"),
    "accents": ((("a/\u00e9", b"x"), ("a/e\u0301", b"x")), "only in case or accents"),
    "file as folder": ((FINE, ("a/task.toml/x", b"x")), "'a/task.toml/x' is a file and a folder"),
    "folder as file": ((FINE, ("a", b"x")), "'a' is a file and a folder"),
    "backslash": ((FINE, ("a\\..\\evil", b"x")), "has a backslash"),
    "control": ((FINE, ("a/\x1b[2J", b"x")), "control character"),
    "long": ((FINE, ("a/" + "n" * 300, b"x")), "name that is too long"),
    "deep": ((FINE, ("a/" * 500 + "x", b"x")), "lies too deep"),
    "after a link": (
        (special("a", tarfile.SYMTYPE, "/tmp"), ("a/evil", b"x")),
        "'a' is a link to '/tmp'",
    ),
}


@pytest.mark.parametrize(("entries", "words"), REFUSED.values(), ids=REFUSED)
def test_what_is_not_plain_is_refused_by_its_name_and_nothing_stays(
    tmp_path: Path, entries: tuple[Entry, ...], words: str
) -> None:
    archive = tar(tmp_path / "tasks.tar.gz", *entries)
    with pytest.raises(DownloadError) as caught:
        unpack(archive, tmp_path / "in" / "here", Limits())
    assert words in str(caught.value)
    assert "tasks.tar.gz" in str(caught.value)
    assert sorted(tmp_path.rglob("*")) == [tmp_path / "in", archive]


ZIPS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "dot dot": (lambda path: zipped(path, ("a/../../evil", b"x")), "'a/../../evil' leads out of its folder"),
    "absolute": (lambda path: zipped(path, ("/etc/evil", b"x")), "'/etc/evil' has an absolute path"),
    "link": (lambda path: zipped(path, ("a", b"/etc"), mode=stat.S_IFLNK | 0o777), "'a' is a link"),
    "device": (lambda path: zipped(path, ("a", b""), mode=stat.S_IFCHR | 0o600), "'a' is a device"),
    "case": (lambda path: zipped(path, ("a/x", b""), ("a/X", b"")), "'a/X' differs from 'a/x' only in case"),
}


@pytest.mark.parametrize(("pack", "words"), ZIPS.values(), ids=ZIPS)
def test_a_zip_is_held_to_the_same(tmp_path: Path, pack: Callable[[Path], Path], words: str) -> None:
    archive = pack(tmp_path / "tasks.zip")
    with pytest.raises(DownloadError) as caught:
        unpack(archive, tmp_path / "here", Limits())
    assert words in str(caught.value)
    assert list(tmp_path.iterdir()) == [archive]


@pytest.mark.parametrize("suffix", ["tar.gz", "zip"])
def test_a_bomb_is_refused_by_its_size_before_the_disk_is_full(tmp_path: Path, suffix: str) -> None:
    archive = tmp_path / f"bomb.{suffix}"
    content = ("a/zeros", b"\0" * (8 << 20))
    zipped(archive, content) if suffix == "zip" else tar(archive, content)
    assert archive.stat().st_size < 64 << 10
    with pytest.raises(DownloadError, match=r"'a/zeros' makes it more than the 0.00390625 GiB of download.max_gb"):
        unpack(archive, tmp_path / "here", Limits(size_bytes=4 << 20))
    assert list(tmp_path.iterdir()) == [archive]


@pytest.mark.parametrize("kind", ["files", "folders"])
def test_a_bomb_of_many_entries_is_refused_by_their_number(tmp_path: Path, kind: str) -> None:
    entries = [special(f"a{n}", tarfile.DIRTYPE) if kind == "folders" else (f"a{n}", b"") for n in range(12)]
    archive = tar(tmp_path / "bomb.tar", *entries, mode="w")
    with pytest.raises(DownloadError, match=r"'a10' makes it more than the 10 files of download.max_files"):
        unpack(archive, tmp_path / "here", Limits(n_files=10))
    assert list(tmp_path.iterdir()) == [archive]


def test_a_zip_that_holds_more_than_it_announces_is_refused(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "liar.zip", ("a", b"x" * 5000))
    data = bytearray(archive.read_bytes())
    for header, at in ((b"PK\x01\x02", 24), (b"PK\x03\x04", 22)):
        place = data.index(header) + at
        data[place : place + 4] = (10).to_bytes(4, "little")
    archive.write_bytes(data)
    with pytest.raises(DownloadError):
        unpack(archive, tmp_path / "here", Limits())
    assert list(tmp_path.iterdir()) == [archive]


@pytest.mark.parametrize("name", ["tasks.tar.gz", "tasks.zip", "tasks.tar"])
@pytest.mark.parametrize("kept", [0.5, 0.0])
def test_a_cut_archive_is_refused_and_nothing_stays(tmp_path: Path, name: str, kept: float) -> None:
    archive = tmp_path / name
    content = ("a/x", bytes(range(256)) * 1000)
    if name.endswith("zip"):
        zipped(archive, content)
    else:
        tar(archive, content, mode="w:gz" if name.endswith("gz") else "w")
    archive.write_bytes(archive.read_bytes()[: int(archive.stat().st_size * kept)])
    with pytest.raises(DownloadError, match=r"cannot be unpacked|refused"):
        unpack(archive, tmp_path / "here", Limits())
    assert list(tmp_path.iterdir()) == [archive]


def damaged(path: Path, at: int) -> None:
    """Put other bytes at a place of a file that keeps its size."""
    content = bytearray(path.read_bytes())
    content[at : at + 8] = bytes(each ^ 0xFF for each in content[at : at + 8])
    path.write_bytes(content)


# Squares: they pack well, so that no part of them stands in the archive as it is.
SQUARES = b"".join(b"%d\n" % (each * each) for each in range(100_000))
DAMAGES: dict[str, tuple[Callable[[Path], Path], float]] = {
    "tar.gz, within": (lambda folder: tar(folder / "tasks.tar.gz", FINE, ("a/data", SQUARES)), 0.6),
    "tar.xz by another name": (lambda folder: tar(folder / "tasks.tgz", FINE, ("a/data", SQUARES), mode="w:xz"), 0.6),
    "tar.gz, its checksum": (lambda folder: tar(folder / "tasks.tar.gz", FINE, ("a/data", SQUARES)), 1.0),
    "zip, within": (lambda folder: zipped(folder / "tasks.zip", ("a/data", SQUARES)), 0.6),
}


@pytest.mark.parametrize(("pack", "part"), DAMAGES.values(), ids=DAMAGES)
def test_an_archive_with_other_bytes_in_it_is_refused_in_words_and_nothing_stays(
    tmp_path: Path, pack: Callable[[Path], Path], part: float
) -> None:
    archive = pack(tmp_path)
    size_bytes = archive.stat().st_size
    damaged(archive, min(int(size_bytes * part), size_bytes - 8))

    with pytest.raises(DownloadError, match="the archive cannot be unpacked"):
        unpack(archive, tmp_path / "out", Limits())

    assert not (tmp_path / "out").exists()


def test_what_follows_behind_the_end_of_a_tar_is_read_within_a_bound(tmp_path: Path) -> None:
    archive = tar(tmp_path / "tasks.tar.gz", FINE)
    with gzip.open(archive, "ab") as file:
        for _ in range(80):
            file.write(bytes(1 << 20))

    with pytest.raises(DownloadError, match="more follows behind its end"):
        unpack(archive, tmp_path / "out", Limits())


def test_plain_files_are_unpacked_with_their_execute_bit_and_no_other(tmp_path: Path) -> None:
    script = tarfile.TarInfo("./a/tests/test.sh")
    script.mode, script.uid = 0o4777, 12345
    archive = tar(tmp_path / "tasks.tgz", special("./", tarfile.DIRTYPE), FINE, script)
    unpack(archive, tmp_path / "here", Limits())
    found = tmp_path / "here" / "a" / "tests" / "test.sh"
    assert stat.S_IMODE(found.stat().st_mode) == 0o755
    assert stat.S_IMODE((tmp_path / "here" / "a" / "task.toml").stat().st_mode) == 0o644
    assert (tmp_path / "here" / "a" / "task.toml").read_bytes() == FINE[1]  # type: ignore[index]
