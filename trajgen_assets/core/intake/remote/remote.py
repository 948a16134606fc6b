"""What is to be downloaded, and where it lies when it is whole."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

HUGGINGFACE = "huggingface"
HARBOR_REGISTRY = "harbor_registry"
REMOTE_PROVIDERS = (HUGGINGFACE, HARBOR_REGISTRY)

GIB = 1 << 30
RECORD = "source.json"


@dataclass(frozen=True)
class Limits:
    """What a download may come to, packed and unpacked, before it is refused."""

    size_bytes: int = 100 * GIB
    n_files: int = 1_000_000


@dataclass(frozen=True)
class Remote:
    """One content of one task source elsewhere.

    Attributes:
        provider: `huggingface` or `harbor_registry`.
        dataset: the data set's name here.
        name: `owner/name` of the hub, or `name@version` of a registry.
        base: folder of all downloads of this data set, absolute.
        revision: commit of the hub's repository.
        allow_patterns: which files of it; empty for all.
        archive: path in it of the one file that holds the tasks packed.
        subfolder: folder of what was downloaded in which the tasks lie; None looks for it.
        registry: a registry's file or address, absolute; None is Harbor's own.
        limits: of its size.
        token: reads the hub's token when it is needed; it is not part of what the source is.
        is_all_verified: the configuration says that it has no manifest and each complete task is verified.
    """

    provider: str
    dataset: str
    name: str
    base: Path
    revision: str | None = None
    allow_patterns: tuple[str, ...] = ()
    archive: str | None = None
    subfolder: str | None = None
    registry: str | None = None
    limits: Limits = Limits()
    token: Callable[[], str] | None = None
    is_all_verified: bool = False

    @property
    def words(self) -> str:
        """What it is, for a person."""
        return f"{self.name}@{self.revision[:12]}" if self.revision else self.name

    @property
    def folder(self) -> Path:
        """The whole download. Another commit, version or choice of files is another folder."""
        chosen = [
            self.provider, self.name, self.revision, *self.allow_patterns, self.archive, self.subfolder, self.registry
        ]  # fmt: skip
        digest = hashlib.sha256("\0".join(each or "" for each in chosen).encode()).hexdigest()[:10]
        version = self.revision[:12] if self.revision else self.name.rpartition("@")[2][:40].replace(":", "-")
        return self.base / f"{version}-{digest}"

    @property
    def part(self) -> Path:
        """Where it grows, hidden, until it is whole."""
        return self.base / f".{self.folder.name}.part"

    @property
    def lock(self) -> Path:
        """Held by whoever downloads it."""
        return self.base / f".{self.folder.name}.lock"

    @property
    def tasks(self) -> Path:
        """The folder of task folders in it."""
        return self.folder / "tasks"

    @property
    def every_task(self) -> Path:
        """A list of all complete tasks in it, where it has no manifest, for who says that each is verified."""
        return self.folder / "every_task.txt"

    @property
    def record(self) -> Path:
        """What was downloaded. Where it is, the download is whole."""
        return self.folder / RECORD

    @property
    def is_whole(self) -> bool:
        """Whether it is here."""
        return self.record.is_file()
