"""Results of conversions side by side, and a link to the current one, so that a result changes whole or not at all.

A result is made in a folder that nobody reads, gets its name when it is whole, and becomes the current one when
the link is replaced. No later step touches it: what replaces it, and what mends it, is another folder.
"""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Self

from trajgen_assets.core.atomic import fsync_dir
from trajgen_assets.core.errors import ConversionError
from trajgen_assets.core.faults import reached

VERSIONS = ".versions"
EARLIER = "earlier"  # what lay in the place of the link before there were versions
DATA_FILES = frozenset({"im.jsonl", "lf.json", "dataset_info.json", "receipt.json"})  # one of them is in each release's
_MAKING, _NEXT_LINK = ".making", ".current"


@dataclass(frozen=True)
class Versions:
    """The results of one name: `current` is a relative link to one of the folders in `folder`.

    All methods that write are for one process at a time; see `core.sft.making`.
    """

    current: Path

    @classmethod
    def of(cls, place: Path) -> Self:
        """Return the versions behind `place`, which may be a link to where the configuration wants the data."""
        if place.is_symlink() and not _is_link_to_version(place):
            return cls(place.parent / place.readlink())
        return cls(place)

    @property
    def folder(self) -> Path:
        return self.current.parent / VERSIONS / self.current.name

    def adopt(self) -> None:
        """Make a version of a folder of training data that stands where the link belongs, whatever else it holds.

        Raises:
            ConversionError: a file or another folder is in the place of the link, or the folder cannot be moved.
        """
        if self.current.is_symlink():
            return
        if self.current.is_dir():
            self._move_aside()
            reached("result_adopted")
        elif self.current.exists():
            raise ConversionError("a file is in the place of a folder", where=self.current, mend="move it away")
        if adopted := self.named(EARLIER):  # just now, or by one that was killed before it made the link
            self.make_current(adopted[-1])

    def named(self, name: str) -> list[Path]:
        """Return what stands under `name`, and under it with a number because another was not whole any more."""
        numbered = re.compile(rf"{re.escape(name)}(-\d+)?")
        found = self.folder.iterdir() if self.folder.is_dir() else ()
        return sorted(version for version in found if numbered.fullmatch(version.name))

    @contextmanager
    def making(self) -> Iterator[Path]:
        """Yield an empty folder to make a result in; what `publish` has not taken is removed at the end.

        So is what others have left that were killed.

        Raises:
            ConversionError: the system refuses to write: no room, no right, a limit.
        """
        making = self.folder / _MAKING
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._clean()
            making.mkdir()
            yield making
        except OSError as error:
            mend = "give the disk room, or this user the right to write there, and convert again"
            why = f"{error.strerror}; what stood before is as it was"
            raise ConversionError("training data cannot be written", where=self.folder, why=why, mend=mend) from error
        finally:
            shutil.rmtree(making, ignore_errors=True)

    def publish(self, making: Path, name: str) -> Path:
        """Give a whole result its name and make it the current one. Returns its folder."""
        reached("result_whole")
        version = self._free(name)
        making.rename(version)
        fsync_dir(self.folder)
        reached("result_named")
        self.make_current(version)
        return version

    def is_current(self, version: Path) -> bool:
        """Whether the link leads to `version`."""
        return self.current.is_symlink() and self.current.readlink() == version.relative_to(self.current.parent)

    def make_current(self, version: Path) -> bool:
        """Let the link lead to `version`, in one step. Returns whether it led elsewhere before."""
        if self.is_current(version):
            return False
        target = version.relative_to(self.current.parent)
        following = self.folder / _NEXT_LINK
        following.unlink(missing_ok=True)
        following.symlink_to(target)
        reached("before_link")
        os.replace(following, self.current)
        reached("after_link")
        fsync_dir(self.current.parent)
        return True

    def superseded(self) -> list[Path]:
        """Return the versions that are not the current one, by name."""
        if not self.folder.is_dir():
            return []
        named = sorted(path for path in self.folder.iterdir() if not path.name.startswith("."))
        return [path for path in named if not self.is_current(path)]

    def _refuse_other_folders(self) -> None:
        names = {path.name for path in self.current.iterdir()}
        if names and not names & DATA_FILES:
            raise ConversionError(
                "the place of training data holds something else", where=self.current, mend="choose another folder"
            )

    def _move_aside(self) -> None:
        self._refuse_other_folders()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.current.rename(self._free(EARLIER))
            fsync_dir(self.folder)
        except OSError as error:
            mend = f"move it into {self.folder} by hand, if it is a mount for example"
            raise ConversionError(
                "a folder cannot become a version", where=self.current, why=error.strerror, mend=mend
            ) from error

    def _clean(self) -> None:
        for left in self.folder.glob(".*"):
            shutil.rmtree(left) if left.is_dir() and not left.is_symlink() else left.unlink()

    def _free(self, name: str) -> Path:
        return next(each for each in self._names(name) if not each.exists())

    def _names(self, name: str) -> Iterator[Path]:
        yield self.folder / name
        yield from (self.folder / f"{name}-{number}" for number in count(2))


def carry_over(file: Path, folder: Path) -> None:
    """Have `file` of a version in another folder, too, under its name and without its bytes twice where that can be."""
    try:
        (folder / file.name).hardlink_to(file)
    except OSError:  # a file system without hard links
        shutil.copyfile(file, folder / file.name)


def _is_link_to_version(link: Path) -> bool:
    return link.readlink().parts[:1] == (VERSIONS,)
