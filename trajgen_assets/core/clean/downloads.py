"""Downloads of task sources that the configuration has left behind: another commit, version or choice of files."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from trajgen_assets.core.clean.outputs import named_by
from trajgen_assets.core.clean.trees import GOING, Size, entries, remove, size_of, why_left
from trajgen_assets.core.config.config import Config
from trajgen_assets.core.intake.remote.remote import RECORD
from trajgen_assets.core.locks import is_locked, locked_if_free
from trajgen_assets.core.paths import Root

# `<version>-<digest>`, as `Remote.folder` calls a download, and the hidden name under which it grows.
_NAME = re.compile(r"\.?(?P<whole>[^/]+-[0-9a-f]{10})(?P<part>\.part)?")


@dataclass(frozen=True)
class Download:
    """One download, whole or half, that no source of the configuration is; `left` is why it stays."""

    path: Path
    lock: Path
    size: Size
    left: str | None = None

    def remove(self) -> bool:
        """Remove it, and tell whether it went: not if somebody has begun to download it.

        What is left of one whose removal is cut short is found by the next call.
        """
        with locked_if_free(self.lock) as lock:
            if lock is not None and self.path.exists():
                remove(self.path)
        return lock is not None


def superseded_downloads(root: Root, config: Config | None) -> list[Download]:
    """The downloads beside those that the configuration names, of each data set that it downloads. Changes nothing.

    Of a data set that it downloads no more nothing is listed: its folder may be anywhere.
    """
    remotes = config.remotes() if config else []
    current = {path for each in remotes for path in (each.folder, each.part)}
    linked = set(_led_to(root))
    bases = dict.fromkeys(each.base for each in remotes)
    found = (each for base in bases for each in _downloads_in(base) if each.path not in current)
    return [replace(each, left=_why_left(each, config, linked)) for each in found]


def _downloads_in(base: Path) -> Iterator[Download]:
    for path in entries(base):
        matched = _NAME.fullmatch(path.name.removeprefix(GOING))
        if matched is None or path.is_symlink() or not path.is_dir():
            continue
        is_ours = matched["part"] or path.name.startswith(GOING) or (path / RECORD).is_file()
        if is_ours:
            yield Download(path, base / f".{matched['whole']}.lock", size_of(path))


def _led_to(root: Root) -> Iterator[Path]:
    """What staged tasks are links to, where `staging` is `link`."""
    for link in root.tasks.glob("*/*"):
        if link.is_symlink():
            yield link.resolve()


def _why_left(download: Download, config: Config | None, linked: set[Path]) -> str | None:
    place = download.path.resolve()
    if any(each.is_relative_to(place) for each in linked):
        return "staged tasks are links into it: `trajgen prepare-tasks` stages those of today"
    if download.lock.exists() and is_locked(download.lock):
        return "somebody downloads it now"
    return why_left(download.path, download.path.parent, named_by(config))
