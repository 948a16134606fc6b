"""The final patch of a trial: taken by Harbor's guest outside every mount, published when the trial is settled."""

import hashlib
import logging
import shutil
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from trajgen_assets.core.capture.untrusted_folder import opened_folder, placed_file, remove_file
from trajgen_assets.core.counting import count_of
from trajgen_assets.core.paths import JobPaths
from trajgen_assets.core.redact import Redactor

log = logging.getLogger(__name__)

_REDACTED = "a known secret was taken out of it, so that it no longer leads to the graded state"


class ChangedFile(BaseModel):
    """One path that the agent changed; the size is that of the larger side."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    path: str
    size_bytes: int


class PatchRecord(BaseModel):
    """What `predict_patch.json` says; `docs/data-contracts.md` describes each field."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    schema_version: Literal[1]
    status: Literal["ok", "empty", "redacted", "too_large", "failed"]
    reason: str | None
    workdir: str | None
    read_by: Literal["engine", "sandbox", "command"] | None
    baseline_tree: str | None
    final_tree: str | None
    n_files: int | None
    size_bytes: int | None
    sha256: str | None
    left_out: dict[str, int]
    largest: list[ChangedFile]
    taking_s: float

    @property
    def words(self) -> str:
        """One line for people."""
        if self.status in {"ok", "redacted"}:
            said = f"{count_of(self.n_files or 0, 'file')}, {self.size_bytes} bytes"
            return said if self.status == "ok" else f"{said}; {self.reason}"
        return "nothing was changed" if self.status == "empty" else f"none: {self.reason}"


def publish_patch(files: JobPaths, trial_name: str, redactor: Redactor) -> None:
    """Put what the guest left of a trial's patch into the trial's folder, less known secrets. Safe to repeat.

    Whatever goes wrong is logged: a trial counts without its patch, too.
    """
    taken = files.patch_taken(trial_name)
    try:
        record = _read(taken / "patch.json")
        if record is not None:
            _publish(files.trial(trial_name), record, taken / "patch.diff", redactor)
            if record.status in {"too_large", "failed"}:
                log.warning("%s: no final patch: %s", trial_name, redactor.text(record.reason or "unknown"))
    except OSError as error:
        log.warning("%s: the final patch was not published: %s", trial_name, error)
        return
    shutil.rmtree(taken, ignore_errors=True)


def read_patch_record(files: JobPaths, trial_name: str) -> PatchRecord | None:
    """What was published about the patch of a trial; None where nothing was, or nothing readable."""
    try:
        return _read(files.patch_record(trial_name))
    except OSError:
        return None


def remove_patches(files: JobPaths) -> None:
    """Remove what trials that never ended left: states of whole folders."""
    shutil.rmtree(files.patches, ignore_errors=True)


def _publish(trial_dir: Path, record: PatchRecord, diff: Path, redactor: Redactor) -> None:
    data = diff.read_bytes() if record.status in {"ok", "empty"} else None
    if data is not None and redactor.is_in(data):
        data = redactor.text(data.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")
        sizes = {"size_bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        record = record.model_copy(update={"status": "redacted", "reason": _REDACTED, **sizes})
    with opened_folder(trial_dir, "artifacts") as folder_fd:
        if data is None:
            remove_file(folder_fd, "predict_patch.diff")
        else:
            with placed_file(folder_fd, "predict_patch.diff") as file:
                file.write(data)
        with placed_file(folder_fd, "predict_patch.json") as file:
            file.write(redactor.text(record.model_dump_json(indent=2) + "\n").encode())


def _read(path: Path) -> PatchRecord | None:
    try:
        return PatchRecord.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        log.warning("%s cannot be read: %s", path, error.errors()[0]["msg"])
        return None
