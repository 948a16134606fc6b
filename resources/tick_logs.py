"""Keeps what sensors log at a tick, for the web UI's "View logs"; what runs print is not captured.

Dagster's local manager does both: for each step it starts two processes that copy the output, and it makes a file
for each tick, also for one that said nothing. A run's words are events, and its programs' output lies with the job.
What is kept holds no secret.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Self, cast

from dagster._core.storage.compute_log_manager import CapturedLogContext, CapturedLogMetadata, ComputeIOType
from dagster._core.storage.local_compute_log_manager import IO_TYPE_EXTENSION, LocalComputeLogManager
from dagster._serdes import ConfigurableClassData

from resources.redaction import known_secrets


class TickLogManager(LocalComputeLogManager):
    """Dagster's local log manager without the capture of what runs print."""

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]) -> Self:
        """Make one below the `base_dir` of `dagster.yaml`; the inherited method would make a plain local manager."""
        return cls(base_dir=str(Path(config_value["base_dir"]) / "tick_logs"), inst_data=inst_data)

    @contextmanager
    def capture_logs(self, log_key: Sequence[str]) -> Iterator[CapturedLogContext]:
        """Capture nothing."""
        yield CapturedLogContext(log_key=log_key)

    def is_capture_complete(self, log_key: Sequence[str]) -> bool:  # noqa: ARG002  the same for all
        """Always: nothing is ever being captured that a page would have to watch."""
        return True

    def get_log_metadata(self, log_key: Sequence[str]) -> CapturedLogMetadata:  # noqa: ARG002  the same for all
        """Name no file: a run has none."""
        return CapturedLogMetadata()

    @contextmanager
    def open_log_stream(self, log_key: Sequence[str], io_type: ComputeIOType) -> Iterator[IO[Any] | None]:
        """Yield a stream whose file is made by the first word."""
        stream = _FileOnFirstWrite(Path(self.get_captured_local_path(log_key, IO_TYPE_EXTENSION[io_type])))
        try:
            yield cast("IO[Any]", stream)  # the logger that gets it only ever writes
        finally:
            stream.close()


class _FileOnFirstWrite:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[str] | None = None

    def write(self, text: str) -> int:
        if self._file is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            self._file = os.fdopen(fd, "a", encoding="utf-8")
        self._file.write(known_secrets().text(text))
        return len(text)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
