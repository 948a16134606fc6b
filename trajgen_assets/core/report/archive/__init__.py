"""The run archive: one numbered folder and one index entry for every run, however it ended."""

from trajgen_assets.core.report.archive.entry import (
    ArchiveEntry,
    archived,
    archived_after,
    file_left_open,
    unfiled_jobs,
)
from trajgen_assets.core.report.archive.index import Runs, mend_index, read_metadata, read_runs
from trajgen_assets.core.report.archive.models import RunMetadata, RunRow, Status

__all__ = [
    "ArchiveEntry",
    "RunMetadata",
    "RunRow",
    "Runs",
    "Status",
    "archived",
    "archived_after",
    "file_left_open",
    "mend_index",
    "read_metadata",
    "read_runs",
    "unfiled_jobs",
]
