"""`receipt.json`: what went in, what was kept, and the reason for everything that was not.

It holds no time of day and no path of a machine, so equal inputs and settings give an equal receipt.
"""

import hashlib
from collections import Counter
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from trajgen_assets.core import atomic
from trajgen_assets.core.counting import count_of
from trajgen_assets.core.errors import ConversionError
from trajgen_assets.core.sft.reasons import Reason
from trajgen_assets.core.sft.settings import LfFormat

_STRICT = ConfigDict(strict=True, frozen=True, extra="forbid")


class Balance(BaseModel):
    """In equals kept plus rejected, always."""

    model_config = _STRICT

    n_in: int = 0
    n_kept: int = 0
    rejected: dict[str, int] = Field(default_factory=dict, description="Reason to number, sorted by reason.")

    @model_validator(mode="after")
    def _balances(self) -> Self:
        if self.n_in != self.n_kept + sum(self.rejected.values()):
            raise ValueError("in is not kept plus rejected")
        return self

    @classmethod
    def of(cls, reasons: list[Reason | None]) -> Self:
        """Count verdicts, None being kept."""
        counts = Counter(reason.value for reason in reasons if reason is not None)
        return cls(n_in=len(reasons), n_kept=reasons.count(None), rejected=dict(sorted(counts.items())))


class TrialReceipt(BaseModel):
    """What became of one trial: kept when at least one of its conversations is."""

    model_config = _STRICT

    task_id: str
    trial: str | None
    attempt: int
    reason: str | None = Field(default=None, description="Why nothing of it was kept; null when something was.")
    detail: str | None = None
    rows: Balance = Balance()
    n_unmatched_reasoning: int = Field(default=0, description="Model turns of kept rows whose thoughts are unknown.")
    n_joined_user_messages: int = 0
    n_cut_rows: int = Field(default=0, description="Kept rows whose end was left out, as they were too long.")


class FileDigest(BaseModel):
    """What a file has to be for the receipt to be about it."""

    model_config = _STRICT

    sha256: str
    size_bytes: int

    @classmethod
    def of(cls, path: Path) -> Self:
        """Digest the file at `path`."""
        return cls(sha256=sha256_file(path), size_bytes=path.stat().st_size)

    def matches(self, path: Path) -> bool:
        """Whether `path` is still this file."""
        return path.is_file() and path.stat().st_size == self.size_bytes and sha256_file(path) == self.sha256


class ImReceipt(BaseModel):
    """The making of im.jsonl."""

    model_config = _STRICT

    signature: str
    score_version: str | None = Field(default=None, description="Of the rules by which the rows were scored last.")
    trials: Balance
    rows: Balance
    per_trial: tuple[TrialReceipt, ...]
    placeholders: dict[str, int] = Field(
        default_factory=dict, description="How often each stands in kept rows, sorted by name."
    )
    files: dict[str, FileDigest]


class LfReceipt(BaseModel):
    """The making of lf.json out of im.jsonl; every row of the one is a row of the other."""

    model_config = _STRICT

    signature: str
    lf_format: LfFormat
    n_rows: int
    files: dict[str, FileDigest]


class EngineRun(BaseModel):
    """Which converter made the rows, and how it was run.

    Attributes:
        command: module and options. What they name lies in the folder that it ran in.
    """

    model_config = _STRICT

    name: Literal["builtin", "swe_data_process"] = "builtin"
    commit: str | None = None
    command: tuple[str, ...] = Field(default=(), strict=False)
    exit_code: int | None = None


class Receipt(BaseModel):
    """One conversion of one job.

    Attributes:
        changed: whether the call that returned this wrote anything. Not stored.
        taken_again: whether that was only the link, to an earlier version. Not stored.
        folder: where the files lie. Not stored.
    """

    model_config = _STRICT

    schema_version: Literal[1] = 1
    job: str
    scaffold: str
    code_version: str
    engine: EngineRun = EngineRun()
    settings: dict[str, Any]
    filters: dict[str, list[str]] = Field(
        default_factory=dict, description="Of trials and of rows: the reasons for which they were looked at, in order."
    )
    sft_im: ImReceipt
    sft_lf: LfReceipt
    changed: bool = Field(default=True, exclude=True)
    taken_again: bool = Field(default=False, exclude=True)
    folder: Path = Field(default=Path(), exclude=True)

    @property
    def signature(self) -> str:
        """The digest of all inputs and settings of both steps."""
        return joint_signature(self.sft_im.signature, self.sft_im.score_version, self.sft_lf.signature)

    @property
    def is_final(self) -> bool:
        """Whether nothing failed for a cause that may go away without any input changing."""
        return Reason.UNEXPECTED_ERROR not in self.sft_im.trials.rejected

    @property
    def is_whole(self) -> bool:
        """Whether all files still lie in the folder as they were written."""
        return stands(self.sft_im.files | self.sft_lf.files, self.folder)

    @property
    def n_rows(self) -> int:
        """Rows of im.jsonl, and of lf.json."""
        return self.sft_im.rows.n_kept

    @property
    def rejected(self) -> dict[str, dict[str, int]]:
        """Numbers by reason, of whole trials and of single conversations."""
        return {"trials": self.sft_im.trials.rejected, "rows": self.sft_im.rows.rejected}

    @property
    def why_empty(self) -> str | None:
        """Why there is no row, in words; None where there is one."""
        if self.n_rows:
            return None
        reasons = {**self.sft_im.trials.rejected, **self.sft_im.rows.rejected}
        told = ", ".join(f"{n} {reason}" for reason, n in reasons.items()) or "no trial has ended"
        return f"of {count_of(self.sft_im.trials.n_in, 'trial')} none became a row ({told})"

    @property
    def im(self) -> Path:
        return SftPaths(self.folder).im

    @property
    def lf(self) -> Path:
        return SftPaths(self.folder).lf


class SftPaths:
    """The files of one job's training data, in the folder of one version or behind the link to the current one.

    Whoever reads several files without the lock of `core.sft.making` resolves the link first, so that all are of one.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.im = folder / "im.jsonl"
        self.rejected = folder / "rejected.jsonl"
        self.table = folder / "rows.parquet"
        self.lf = folder / "lf.json"
        self.stats = folder / "lf.stats.json"
        self.dataset = folder / "dataset_info.json"
        self.receipt = folder / "receipt.json"

    @property
    def names(self) -> set[str]:
        """The names of all files."""
        return {path.name for path in vars(self).values()} - {self.folder.name}


def joint_signature(im: str, score_version: str | None, lf: str) -> str:
    """Return the signature of a whole result from those of its steps, and the version of the rules of scoring."""
    return hashlib.sha256(f"{im} {score_version} {lf}".encode()).hexdigest()


def version_name(signature: str) -> str:
    """Return the name of the folder of a result. The whole signature is in its receipt."""
    return signature[:16]


def load_receipt(folder: Path) -> Receipt | None:
    """Read the receipt of a folder, or None when there is none that this version can read: it is then made anew."""
    try:
        receipt = Receipt.model_validate_json(SftPaths(folder).receipt.read_bytes())
    except (FileNotFoundError, ValidationError):
        return None
    return receipt.model_copy(update={"folder": folder})


def write_receipt(receipt: Receipt) -> None:
    """Write a receipt into its folder, atomically and durably."""
    atomic.write_json(SftPaths(receipt.folder).receipt, receipt.model_dump(mode="json"))


def digests(*paths: Path) -> dict[str, FileDigest]:
    """Return file name to digest."""
    return {path.name: FileDigest.of(path) for path in paths}


def stands(files: dict[str, FileDigest], folder: Path) -> bool:
    """Whether all `files` still lie in `folder` as they were written."""
    return all(digest.matches(folder / name) for name, digest in files.items())


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file in hex.

    Raises:
        ConversionError: it is not a file.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (FileNotFoundError, IsADirectoryError) as error:
        raise ConversionError("there is no such file", where=path) from error
