"""What an agent changed in the folder it worked in, as a patch against how that folder was when it began.

Both states are read from outside and lie in a repository of our own, outside every mount: the agent can change neither
the first one nor how they are compared. What comes of it are two files for the platform to publish, `patch.diff` and
`patch.json`; the first is there only where it is whole. Whatever fails here is on record in the second, and never
fails the trial.
"""

import asyncio
import hashlib
import json
import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from harbor.environments.base import BaseEnvironment
from tree_store import MAX_CHANGED_FILE_BYTES, N_LARGEST, Change, TooLargeError, Tree, TreeStore
from workdir import Workdir, workdir_of

SCHEMA_VERSION = 1
BEFORE, AFTER = "before", "after"
STEP_LIMIT_S = 80.0  # of the two minutes that there are after an agent's work
_MB = 1 << 20


@dataclass(frozen=True)
class Limits:
    """Beyond which no patch is taken."""

    tree_bytes: int
    patch_bytes: int

    @classmethod
    def of_environ(cls) -> "Limits | None":
        """As the platform set them; None where no patches are wanted."""
        tree_mb, patch_mb = (int(os.environ.get(f"TRAJGEN_PATCH_{name}_MB", "0")) for name in ("TREE", "FILE"))
        return cls(tree_mb * _MB, patch_mb * _MB) if patch_mb else None


def final_patch_of(environment: BaseEnvironment, trial: str) -> "list[FinalPatch]":
    """What takes the patch of `trial`; nothing where the platform wants none."""
    limits, proxy_dir = Limits.of_environ(), os.environ.get("TRAJGEN_PROXY_DIR")
    return [FinalPatch(environment, Path(proxy_dir, "patches", trial), limits)] if limits and proxy_dir else []


@dataclass
class Report:
    """What `patch.json` says. `docs/data-contracts.md` describes each field."""

    schema_version: int = SCHEMA_VERSION
    status: str = "failed"
    reason: str | None = None
    workdir: str | None = None
    read_by: str | None = None
    baseline_tree: str | None = None
    final_tree: str | None = None
    n_files: int | None = None
    size_bytes: int | None = None
    sha256: str | None = None
    left_out: dict[str, int] = field(default_factory=dict)
    largest: list[dict[str, Any]] = field(default_factory=list)
    taking_s: float = 0.0


class FinalPatch:
    """Takes the patch of one trial around the agent's work. A task in steps has one patch, from its first step on."""

    def __init__(self, environment: BaseEnvironment, folder: Path, limits: Limits) -> None:
        """Nothing is read or written yet.

        Args:
            folder: of this trial alone, outside every mount; the platform removes it.
        """
        self._environment = environment
        self._folder = folder
        self._limits = limits
        self._report = Report()
        self._workdir: Workdir | None = None
        self._before: Tree | None = None

    async def begin(self) -> None:
        """Keep the folder as it is before the agent works."""
        await self._on_record(self._take_before)

    async def end(self) -> None:
        """Compare the folder with how it was, and leave the two files."""
        if self._before is not None:
            await self._on_record(self._take_patch)
        try:
            await asyncio.to_thread(self._write_report)
        except OSError as error:  # the disk is full: no fault of this trial
            self._environment.logger.warning(f"{self._folder}: nothing is on record of the final patch: {error}")

    async def _on_record(self, step: Callable[[], Awaitable[None]]) -> None:
        """Do `step`; its failure is noted and goes no further."""
        began_at = time.monotonic()
        self._report.status, self._report.reason = "failed", None
        try:
            async with asyncio.timeout(STEP_LIMIT_S):
                await step()
        except TooLargeError as error:
            self._report.status, self._report.reason = "too_large", str(error)
        except TimeoutError:
            self._report.reason = f"it was not done after {STEP_LIMIT_S:g} s"
        except Exception as error:
            self._report.reason = f"{type(error).__name__}: {error}"[:500]
        self._report.taking_s = round(self._report.taking_s + time.monotonic() - began_at, 3)

    async def _take_before(self) -> None:
        self._workdir = await workdir_of(self._environment)
        self._report.workdir, self._report.read_by = self._workdir.path, self._workdir.read_by
        is_later_step = self._folder.exists()  # its patch leads from where the first one began
        before = await (self._kept_before() if is_later_step else self._keep(self._workdir, BEFORE))
        self._report.baseline_tree = before.digest
        self._before = before

    async def _kept_before(self) -> Tree:
        digest = await asyncio.to_thread(lambda: self._store().digest_of(BEFORE))
        return Tree(digest, n_files=0, size_bytes=0)

    async def _keep(self, workdir: Workdir, name: str) -> Tree:
        store = await asyncio.to_thread(self._store)
        kept: list[Tree] = []
        await workdir.read(lambda stream: kept.append(store.keep(name, stream, max_bytes=self._limits.tree_bytes)))
        return kept[0]

    def _store(self) -> TreeStore:
        self._folder.mkdir(parents=True, exist_ok=True)
        return TreeStore(self._folder / "store.git")

    async def _take_patch(self) -> None:
        assert self._workdir is not None
        after = await self._keep(self._workdir, AFTER)
        self._report.final_tree, self._report.left_out = after.digest, after.left_out
        await asyncio.to_thread(self._compare, after)

    def _compare(self, after: Tree) -> None:
        assert self._before is not None
        store, target = self._store(), self._folder / "patch.diff"
        target.unlink(missing_ok=True)
        changes = store.changes(self._before, after)
        self._report.n_files = len(changes)
        self._report.largest = [_named(change) for change in changes[:N_LARGEST]]
        if changes and changes[0].size_bytes > MAX_CHANGED_FILE_BYTES:
            raise TooLargeError(f"a changed file has more than {MAX_CHANGED_FILE_BYTES // _MB} MB")
        store.write_patch(self._before, after, target, max_bytes=self._limits.patch_bytes)
        with target.open("rb") as file:
            self._report.sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        self._report.size_bytes = target.stat().st_size
        self._report.status = "ok" if changes else "empty"

    def _write_report(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        temp = self._folder / "patch.json.tmp"
        temp.write_text(json.dumps(asdict(self._report), indent=2) + "\n")
        temp.replace(self._folder / "patch.json")


def _named(change: Change) -> dict[str, Any]:
    return {"path": change.path.decode("utf-8", "backslashreplace"), "size_bytes": change.size_bytes}
