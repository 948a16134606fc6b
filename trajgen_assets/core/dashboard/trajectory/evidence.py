"""What else lies with a trial: what its verifier printed, what it changed, and what ended it.

An agent could write there. No link is followed, what is no plain file is passed over, and no file is read whole.
"""

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from trajgen_assets.core.capture.untrusted_folder import opened_file, walked
from trajgen_assets.core.errors import HarnessError
from trajgen_assets.core.paths import JobPaths
from trajgen_assets.core.rollout.patch import PatchRecord, read_patch_record
from trajgen_assets.core.rollout.results import read_trial_result

MAX_VERIFIER_FILES = 12


@dataclass(frozen=True, slots=True)
class Excerpt:
    """A text file, or its beginning and its end; `n_left_out_bytes` stood between `head` and `tail`."""

    name: str
    size_bytes: int
    head: str
    tail: str = ""
    n_left_out_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was found with a trial.

    Attributes:
        error: what ended it before its time, as Harbor has it: type, and message.
        patch: what is known of the final patch; `diff` is its text, as far as it is shown.
        problems: what could not be read, in words.
    """

    verifier: tuple[Excerpt, ...] = ()
    patch: PatchRecord | None = None
    diff: Excerpt | None = None
    error: tuple[str, str] | None = None
    problems: tuple[str, ...] = ()


def read_evidence(files: JobPaths, trial: str, n_bytes: int) -> Evidence:
    """Look into the folder of a trial.

    Args:
        files: those of its job.
        trial: its name.
        n_bytes: how much of a file is read, most of it from its end; of the patch the first four times as many.
    """
    problems: list[str] = []
    error: tuple[str, str] | None = None
    try:
        result = read_trial_result(files.trial(trial))
        if result and result.exception_info:
            error = result.exception_info.exception_type, result.exception_info.exception_message
    except (HarnessError, OSError) as fault:
        problems.append(f"Harbor's result.json cannot be read: {fault.__class__.__name__}")
    with suppress(OSError), _opened(files.trial(trial)) as folder_fd:
        paths = walked(folder_fd, ("verifier",), limit=MAX_VERIFIER_FILES)
        verifier = [
            found for path in paths if (found := _excerpt(folder_fd, path, n_bytes // 4, n_bytes - n_bytes // 4))
        ]
        diff = _excerpt(folder_fd, ("artifacts", files.patch(trial).name), 4 * n_bytes, 0)
        return Evidence(tuple(verifier), read_patch_record(files, trial), diff, error, tuple(problems))
    return Evidence(error=error, problems=(*problems, "its folder is gone"))


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    folder_fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        yield folder_fd
    finally:
        os.close(folder_fd)


def _excerpt(folder_fd: int, path: Sequence[str], n_head: int, n_tail: int) -> Excerpt | None:
    """The beginning and the end of a plain file; None where it is anything else."""
    with suppress(OSError), opened_file(folder_fd, path) as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            return None
        head = file.read(n_head)
        n_rest = max(0, found.st_size - len(head))
        file.seek(found.st_size - min(n_tail, n_rest))
        tail = file.read(min(n_tail, n_rest))
        name = "/".join(path[1:])
        return Excerpt(name, found.st_size, _text(head), _text(tail), max(0, n_rest - n_tail))
    return None


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")
