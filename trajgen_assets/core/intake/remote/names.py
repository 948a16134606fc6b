"""Names of files that somebody else chose: each must lead down, and be one name on any disk."""

import unicodedata
from dataclasses import dataclass, field

from trajgen_assets.core.intake.remote.remote import GIB, Limits

_MAX_NAME_BYTES = 255
_MAX_PATH_BYTES = 3000
_MAX_DEPTH = 100


def problem_of(name: str) -> str | None:
    """Why `name` cannot be the path of a file below a folder, or None if it can."""
    parts = name.split("/")
    if not name or name.startswith("/"):
        return "has an absolute path" if name else "has no name"
    if ".." in parts:
        return "leads out of its folder by .."
    if "\\" in name or not name.isprintable():
        return "has a backslash or a control character in its name"
    if "" in parts or "." in parts:
        return "has an empty part in its path"
    sizes = [len(part.encode("utf-8", "surrogateescape")) for part in parts]
    if max(sizes) > _MAX_NAME_BYTES or sum(sizes) > _MAX_PATH_BYTES or len(parts) > _MAX_DEPTH:
        return "has a name that is too long, or lies too deep"
    return None


def folded(name: str) -> str:
    """What is one name on a disk that minds neither case nor the form of an accent."""
    return unicodedata.normalize("NFC", name).casefold()


@dataclass
class Inventory:
    """Files as they come, each taken or told why not. Nothing of one that is not taken may be written.

    Attributes:
        limits: of all together.
        n_files, size_bytes: what was taken.
    """

    limits: Limits
    n_files: int = 0
    size_bytes: int = 0
    _names: dict[str, str] = field(default_factory=dict)
    _folders: dict[str, str] = field(default_factory=dict)

    def take_file(self, name: str, size_bytes: int) -> str | None:
        """Count a file. Returns why it is refused, or None."""
        problem = problem_of(name) or self._clash(name) or self._take_folders(name.rpartition("/")[0])
        self._names[folded(name)] = name
        self.n_files += 1
        return problem or self.take_bytes(size_bytes) or self._too_many()

    def take_folder(self, name: str) -> str | None:
        """Count a folder that has an entry of its own. Returns why it is refused, or None."""
        self.n_files += 1
        return problem_of(name) or self._take_folders(name) or self._too_many()

    def take_bytes(self, size_bytes: int) -> str | None:
        """Count bytes. Returns why there are too many, or None."""
        self.size_bytes += size_bytes
        if self.size_bytes > self.limits.size_bytes:
            return f"makes it more than the {self.limits.size_bytes / GIB:g} GiB of download.max_gb"
        return None

    def _too_many(self) -> str | None:
        if self.n_files > self.limits.n_files:
            return f"makes it more than the {self.limits.n_files} files of download.max_files"
        return None

    def _clash(self, name: str) -> str | None:
        key = folded(name)
        if key in self._folders:
            return "is a file and a folder"
        earlier = self._names.get(key)
        if earlier is None:
            return None
        return "is there twice" if earlier == name else f"differs from {earlier[:200]!r} only in case or accents"

    def _take_folders(self, name: str) -> str | None:
        while name:
            key = folded(name)
            if key in self._names:
                return "is a file and a folder"
            known = self._folders.setdefault(key, name)
            if known != name:
                return f"lies in a folder that differs from {known[:200]!r} only in case or accents"
            name = name.rpartition("/")[0]
        return None
