"""`manifest.json` of a runtime: what it holds, from where, and what it needs of the image."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from trajgen_assets.core.atomic import write_text

MANIFEST = "manifest.json"

_STRICT = ConfigDict(strict=True, frozen=True, extra="forbid")


class Package(BaseModel):
    """A package that was installed."""

    model_config = _STRICT

    version: str
    digest: str = Field(description="npm: of the archive. PyPI: of its RECORD, which has a digest for each file.")


class RuntimeManifest(BaseModel):
    """What a runtime is. A folder that has one is whole, unless somebody changed it since: `listing_sha256` tells."""

    model_config = _STRICT

    schema_version: Literal[1] = 1
    scaffold: str
    version: str
    digest: str = Field(description="What it was made from: 16 hex digits, part of its folder's name in the store.")
    programs: tuple[str, ...] = Field(strict=False)
    needs: str = Field(description="What an image has to have so that it works there.")
    lock_sha256: str
    packages: dict[str, Package]
    tree_sha256: str
    listing_sha256: str
    n_files: int
    size_bytes: int
    built_at: str
    build_s: float

    def write(self, folder: Path) -> None:
        """Write it to `folder`, atomically."""
        write_text(folder / MANIFEST, self.model_dump_json(indent=2) + "\n")

    @classmethod
    def read(cls, folder: Path) -> "RuntimeManifest | None":
        """The manifest in `folder`; None if there is none that we understand."""
        try:
            return cls.model_validate_json((folder / MANIFEST).read_bytes())
        except (OSError, ValidationError):
            return None


class RuntimeMade(BaseModel):
    """A runtime that a run's containers had, for its archive entry."""

    model_config = _STRICT

    scaffold: str
    origin: str = Field(description="`built`, `image` or `host_path`.")
    version: str | None = Field(default=None, description="Null where its folder has no manifest.json.")
    digest: str = Field(description="Built: of what it was made from. Image: the image's. Folder: of its listing.")
    tree_sha256: str | None = Field(default=None, description="Over all its content, where that is on record.")
    store: str = Field(description="Its folder: in the store of environments, or on the host.")
