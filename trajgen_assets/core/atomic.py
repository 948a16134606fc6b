"""Files that are whole or not there: written beside the target, synced, then renamed over it."""

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import yaml

from trajgen_assets.core.faults import reached


def fsync_dir(folder: Path) -> None:
    """Make renames within `folder` durable."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


@contextmanager
def open_atomic(path: Path, *, mode: int = 0o644) -> Iterator[IO[bytes]]:
    """Yield a binary file that becomes `path` when the block ends well, and vanishes when it does not.

    The folder of `path` is made if missing. Data and folder entry are both synced, so that the file is
    durable when the block has ended. Any OSError (a full disk too) leaves the earlier `path` as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    fd, temp_name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:100]}.", suffix=".tmp")
    try:
        with os.fdopen(fd, "wb") as file:
            yield file
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        reached("before_replace")
        os.replace(temp_name, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temp_name)
        raise
    reached("after_replace")
    fsync_dir(path.parent)


def write_bytes(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Write `data` to `path`, atomically and durably."""
    with open_atomic(path, mode=mode) as file:
        file.write(data)


def write_text(path: Path, text: str, *, mode: int = 0o644) -> None:
    """Write `text` to `path` as UTF-8, atomically and durably."""
    write_bytes(path, text.encode("utf-8"), mode=mode)


def write_json(path: Path, value: Any, *, mode: int = 0o644) -> None:
    """Write `value` to `path` as indented JSON, atomically and durably."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n", mode=mode)


def write_yaml(path: Path, value: Any, *, mode: int = 0o644) -> None:
    """Write `value` to `path` as YAML in the order of its keys, atomically and durably."""
    write_text(path, yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=110), mode=mode)


def replace_link(link: Path, target: str | Path) -> None:
    """Point the symbolic link `link` at `target`, whatever it pointed at before, in one step."""
    link.parent.mkdir(parents=True, exist_ok=True)
    temp = link.with_name(f".{link.name}.{os.getpid()}.tmp")
    with suppress(FileNotFoundError):
        temp.unlink()
    temp.symlink_to(target)
    os.replace(temp, link)
    fsync_dir(link.parent)
