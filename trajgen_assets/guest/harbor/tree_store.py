"""Two states of a folder in a git repository of our own, and the patch that leads from one to the other.

Nothing of the folder acts here: its content comes as raw bytes, so no attribute, filter, hook or configuration in it is
ever read, and git is given none of the host's either. There is no working tree.
"""

import subprocess
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from tar_entries import Kind, TarEntry, tar_entries

GIT_TIMEOUT_S = 60.0
MAX_ENTRIES = 1_000_000

# git holds a changed file several times in memory while it compares it.
MAX_CHANGED_FILE_BYTES = 256 << 20
N_LARGEST = 10

_ENV = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LC_ALL": "C",
    "HOME": "/nonexistent",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_ATTR_NOSYSTEM": "1",
}
# Packed without compression: what is kept is read once and removed, and deflating it would cost ten times as much.
_SETTINGS = {
    "core.attributesFile": "/dev/null",
    "core.hooksPath": "/dev/null",
    "core.compression": "0",
    "core.bigFileThreshold": "16m",
    "fastimport.unpackLimit": "1",
}
_DIFF = ("--binary", "--full-index", "--no-ext-diff", "--no-textconv", "--no-renames", "--no-color")
_CHUNK_BYTES = 1 << 20


class StoreError(RuntimeError):
    """git failed, or what it made is not what was asked for."""


class TooLargeError(RuntimeError):
    """A limit was exceeded; what was made up to then is gone."""


@dataclass(frozen=True)
class Tree:
    """One state of the folder.

    Attributes:
        digest: git's id of it.
        left_out: how many entries are not part of it, by kind.
    """

    digest: str
    n_files: int
    size_bytes: int
    left_out: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Change:
    """One path that differs between two states. A size is that of the larger side."""

    path: bytes
    size_bytes: int


class TreeStore:
    """A bare repository in `folder`, which is made where it is not there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        if not (folder / "HEAD").exists():
            self._git("init", "--quiet", "--bare", "--template=")

    def keep(self, name: str, stream: IO[bytes], *, max_bytes: int) -> Tree:
        """Take the tar in `stream` in as the state `name`.

        Raises:
            TooLargeError: its files have more than `max_bytes` bytes, or there are too many.
            TarError: it is no whole tar.
            StoreError: git failed.
        """
        counted = _Counted(max_bytes)
        argv = self._argv("fast-import", "--quiet", "--force", "--done", "--depth=0", "--date-format=raw")
        with tempfile.TemporaryFile() as errors:
            process = subprocess.Popen(argv, env=_ENV, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=errors)
            try:
                assert process.stdin is not None
                self._feed(name, stream, process.stdin, counted)
            except BrokenPipeError:
                pass  # git says why
            except BaseException:  # git has not been told that this was all, and keeps nothing
                process.kill()
                process.wait()
                raise
            _check(process.wait(timeout=GIT_TIMEOUT_S), "fast-import", errors)
        return Tree(self.digest_of(name), counted.n_files, counted.size_bytes, dict(counted.left_out))

    def _feed(self, name: str, stream: IO[bytes], to_git: IO[bytes], counted: "_Counted") -> None:
        with to_git:
            to_git.write(b"commit refs/trees/%b\ncommitter - <-> 0 +0000\ndata 0\n\ndeleteall\n" % name.encode())
            for entry in tar_entries(stream):
                if counted.takes(entry):
                    _write_entry(entry, to_git)
            to_git.write(b"done\n")

    def digest_of(self, name: str) -> str:
        """git's id of the state `name`. Raises StoreError where there is none."""
        return self._git("rev-parse", "--verify", f"refs/trees/{name}^{{tree}}").decode().strip()

    def changes(self, before: Tree, after: Tree) -> list[Change]:
        """The paths that differ, the largest first."""
        raw = self._git("diff-tree", "-r", "-z", "--raw", "--no-renames", before.digest, after.digest).split(b"\0")
        blobs = [line.split()[2:4] for line in raw[0:-1:2]]
        sizes = iter(self._sizes([blob for pair in blobs for blob in pair]))
        changes = [Change(path, max(next(sizes), next(sizes))) for path in raw[1::2]]
        return sorted(changes, key=lambda change: (-change.size_bytes, change.path))

    def _sizes(self, blobs: Sequence[bytes]) -> Iterator[int]:
        """The size of each blob, 0 for none at all."""
        asked = b"".join(blob + b"\n" for blob in blobs)
        for line in self._git("cat-file", "--batch-check=%(objectsize)", stdin=asked).splitlines():
            yield int(line) if line.isdigit() else 0

    def write_patch(self, before: Tree, after: Tree, target: Path, *, max_bytes: int) -> None:
        """Write the patch from `before` to `after`, and make sure that it leads there.

        Raises:
            TooLargeError: it has more than `max_bytes` bytes; `target` is gone.
            StoreError: git failed, or does not get to `after` with it.
        """
        argv = self._argv("diff-tree", "-r", "-p", *_DIFF, before.digest, after.digest)
        try:
            with tempfile.TemporaryFile() as errors, target.open("wb") as file, _started(argv, errors) as process:
                assert process.stdout is not None
                _copy(process.stdout, file, max_bytes)
                _check(process.wait(), "diff-tree", errors)
            self._check_leads(target, before, after)
        except BaseException:
            target.unlink(missing_ok=True)
            raise

    def _check_leads(self, patch: Path, before: Tree, after: Tree) -> None:
        if before.digest == after.digest:
            return  # git takes an empty patch for none at all
        index = {"GIT_INDEX_FILE": str(self._folder / "index")}
        self._git("read-tree", before.digest, more_env=index)
        self._git("apply", "--cached", "--whitespace=nowarn", str(patch.absolute()), more_env=index)
        reached = self._git("write-tree", more_env=index).decode().strip()
        if reached != after.digest:
            raise StoreError(f"the patch leads to tree {reached}, not to {after.digest}")

    def _argv(self, *args: str) -> list[str]:
        settings = [word for name, value in _SETTINGS.items() for word in ("-c", f"{name}={value}")]
        return ["git", f"--git-dir={self._folder}", *settings, *args]

    def _git(self, *args: str, stdin: bytes = b"", more_env: dict[str, str] | None = None) -> bytes:
        argv, env = self._argv(*args), {**_ENV, **(more_env or {})}
        done = subprocess.run(argv, env=env, input=stdin, capture_output=True, timeout=GIT_TIMEOUT_S, check=False)
        if done.returncode:
            raise StoreError(f"git {args[0]} failed: {done.stderr.decode(errors='replace').strip()[-300:]}")
        return done.stdout


@contextmanager
def _started(argv: Sequence[str], errors: IO[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """Start git with its output as a pipe; it is killed when its time is up, and on leaving the block."""
    process = subprocess.Popen(argv, env=_ENV, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors)
    limit = threading.Timer(GIT_TIMEOUT_S, process.kill)
    limit.start()
    try:
        yield process
    finally:
        limit.cancel()
        process.kill()
        process.wait()


class _Counted:
    """What has been taken of one tar so far."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._n_entries = 0
        self._taken: set[bytes] = set()
        self.size_bytes = 0
        self.left_out: Counter[str] = Counter()

    @property
    def n_files(self) -> int:
        return len(self._taken)

    def takes(self, entry: TarEntry) -> bool:
        """Whether the entry is part of the state; it is counted either way."""
        self._n_entries += 1
        self.size_bytes += entry.size_bytes
        if self.size_bytes > self._max_bytes:
            raise TooLargeError(f"the folder holds more than {self._max_bytes >> 20} MB")
        if self._n_entries > MAX_ENTRIES:
            raise TooLargeError(f"the folder holds more than {MAX_ENTRIES:,} entries")
        if entry.kind is Kind.FOLDER:
            return False  # git knows of folders only by what they hold
        if entry.kind in {Kind.SPECIAL, Kind.GIT}:
            self.left_out[entry.kind.value] += 1
            return False
        if entry.kind is Kind.HARD_LINK and entry.target not in self._taken:
            self.left_out[entry.kind.value] += 1  # to what was left out itself
            return False
        self._taken.add(entry.path)
        return True


def _write_entry(entry: TarEntry, to_git: IO[bytes]) -> None:
    """Tell git of one file or link, in the language of `git fast-import`."""
    path = _quoted(entry.path)
    if entry.kind is Kind.HARD_LINK:
        to_git.write(b"C %b %b\n" % (_quoted(entry.target), path))
    elif entry.kind is Kind.LINK:
        to_git.write(b"M 120000 inline %b\ndata %d\n%b\n" % (path, len(entry.target), entry.target))
    else:
        assert entry.source is not None
        mode = b"100755" if entry.is_executable else b"100644"
        to_git.write(b"M %b inline %b\ndata %d\n" % (mode, path, entry.size_bytes))
        while chunk := entry.source.read(_CHUNK_BYTES):
            to_git.write(chunk)
        to_git.write(b"\n")


def _quoted(path: bytes) -> bytes:
    return b'"' + path.replace(b"\\", b"\\\\").replace(b'"', b'\\"').replace(b"\n", b"\\n") + b'"'


def _copy(source: IO[bytes], target: IO[bytes], max_bytes: int) -> None:
    n_bytes = 0
    while chunk := source.read(_CHUNK_BYTES):
        n_bytes += len(chunk)
        if n_bytes > max_bytes:
            raise TooLargeError(f"the patch has more than {max_bytes >> 20} MB")
        target.write(chunk)


def _check(return_code: int, what: str, errors: IO[bytes]) -> None:
    if return_code:
        errors.seek(0)
        said = errors.read(2000).decode(errors="replace").strip()
        raise StoreError(f"git {what} failed: {said[-300:] or f'exit code {return_code}'}")
