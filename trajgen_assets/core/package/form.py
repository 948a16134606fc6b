"""The form of a state package: a tar behind zstd whose first member lists all others with size and digest."""

from pathlib import PurePosixPath
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

MANIFEST = "manifest.json"
LEDGER = "ledger.sqlite"
MOVED = "moved"  # what a person puts where it belongs on the new host: nothing reads it there
MAX_MANIFEST_BYTES = 256 << 20
BLOCK_BYTES = 1 << 20
WINDOW_LOG = 27  # the widest that `zstd -d` takes without being asked

_STRICT = ConfigDict(strict=True, frozen=True, extra="forbid")


def _inside(path: str) -> str:
    parts = path.split("/")
    if not path or PurePosixPath(path).is_absolute() or {"", ".", ".."} & set(parts) or "\0" in path:
        raise ValueError("it leads out of the package")
    return path


Inside = Annotated[str, AfterValidator(_inside)]


class PackedFile(BaseModel):
    """One file, by its path below the root."""

    model_config = _STRICT

    path: Inside
    size_bytes: int = Field(ge=0)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


class Manifest(BaseModel):
    """The first member. `left` are files that were not packed, with the reason."""

    model_config = _STRICT

    schema_version: Literal[1] = 1
    packed_at: str
    jobs: tuple[str, ...]
    files: tuple[PackedFile, ...]
    left: dict[str, str] = Field(default_factory=dict)

    @property
    def size_bytes(self) -> int:
        """What the files take when they are unpacked."""
        return sum(each.size_bytes for each in self.files)

    @property
    def top(self) -> list[str]:
        """The entries of the root that it has, the ledger last: while that is missing, nothing is taken for whole."""
        names = {each.path.partition("/")[0] for each in self.files}
        return [*sorted(names - {LEDGER}), LEDGER]
