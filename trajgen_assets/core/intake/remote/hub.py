"""The hub's data sets: fetched by its own client in a process of its own, and each file held to the hub's digest."""

import glob
import hashlib
import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from shutil import rmtree
from typing import Any

from trajgen_assets.core.atomic import write_json
from trajgen_assets.core.config.secrets import REDACTED
from trajgen_assets.core.errors import DownloadError
from trajgen_assets.core.intake.remote.archive import unpack
from trajgen_assets.core.intake.remote.hub_program import CLIENT_FOLDER
from trajgen_assets.core.intake.remote.remote import Remote
from trajgen_assets.core.process import child_env
from trajgen_assets.core.provision.command import Say, run

PROGRAM = "trajgen_assets.core.intake.remote.hub_program"
TIMEOUT_S = 24 * 3600.0
_CHUNK_SIZE_BYTES = 1 << 20

# Nothing is told to anybody, no token is taken that the configuration does not name, and files come by plain HTTP.
QUIET = {
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_XET": "1",
    "HF_HUB_DISABLE_UPDATE_CHECK": "1",
    "HF_HUB_DOWNLOAD_TIMEOUT": "60",
    "HF_HUB_ETAG_TIMEOUT": "60",
}
# The address of another hub than the public one.
ENDPOINT = "HF_ENDPOINT"
_QUERY = re.compile(r"(?<=\S)\?[^\s'\")]*=[^\s'\")]*")
_PROJECT = Path(__file__).resolve().parents[4]


def fetch_hub(remote: Remote, say: Say, keep_fd: int) -> Path:
    """Fetch the files of `remote` into its hidden folder, and return the folder that holds them.

    A connection that is cut is tried again five times from its byte. What came whole is not fetched again by the next
    call; a file that was cut then begins anew, since the client keeps no part of it for another process.

    Raises:
        DownloadError: the hub or the connection failed, a file has another digest, or the archive is refused.
    """
    folder, listing, request = (remote.part / name for name in ("download", "listing.json", "request.json"))
    patterns = [glob.escape(remote.archive)] if remote.archive else list(remote.allow_patterns)
    asked = {
        "repo": remote.name,
        "revision": remote.revision,
        "patterns": patterns,
        "folder": str(folder),
        "listing": str(listing),
        "size_bytes": remote.limits.size_bytes,
        "n_files": remote.limits.n_files,
    }
    for left in folder.glob(f"{CLIENT_FOLDER}/**/*.incomplete"):  # of a process that was killed: nobody goes on with it
        left.unlink()
    write_json(request, asked)
    command: list[str | Path] = [sys.executable, "-P", "-m", PROGRAM, request]
    environ = _environ(remote)
    clean = _cleaner(environ.get("HF_TOKEN"))
    outcome = run(
        command,
        env=environ,
        timeout_s=TIMEOUT_S,
        on_line=lambda line: say(clean(line)),
        cwd=remote.part,
        pass_fds=(keep_fd,),
    )
    if not outcome.ok:
        mend = (
            "check the name, the commit, and for a private or gated data set download.token; then do it again: files "
            "that came whole are not fetched again"
        )
        raise DownloadError(
            "the hub's data set was not downloaded whole", where=remote.words, why=clean(outcome.reason), mend=mend
        )
    _verify(remote, folder, json.loads(listing.read_bytes()))
    if remote.archive is None:
        rmtree(folder / CLIENT_FOLDER, ignore_errors=True)
        return folder
    unpack(folder / remote.archive, remote.part / "unpacked", remote.limits)
    return remote.part / "unpacked"


def _cleaner(token: str | None) -> Callable[[str], str]:
    """Takes out of a line the token, and the queries of addresses: with them anybody may fetch the file for a while."""

    def clean(line: str) -> str:
        return _QUERY.sub("?…", line.replace(token, REDACTED) if token else line)

    return clean


def _environ(remote: Remote) -> dict[str, str]:
    own = QUIET | {"PYTHONPATH": str(_PROJECT), "HF_HOME": str(remote.part / "client")}
    if os.environ.get(ENDPOINT):
        own[ENDPOINT] = os.environ[ENDPOINT]
    if remote.token is not None:
        own["HF_TOKEN"] = remote.token()
    return child_env(own)


def _verify(remote: Remote, folder: Path, files: list[dict[str, Any]]) -> None:
    for each in files:
        path = folder / each["name"]
        found = _sha256(path) if each["sha256"] else _git_blob(path)
        if found != (each["sha256"] or each["blob"]):
            path.unlink()  # so that it is fetched anew
            mend = "do it again: that file is fetched anew; if it stays so, the hub or something before it is broken"
            raise DownloadError(
                "a downloaded file is not what the hub says it is",
                where=f"{each['name'][:300]!r} of {remote.words}",
                why=f"its digest is {found}",
                mend=mend,
            )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _git_blob(path: Path) -> str:
    digest = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_SIZE_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
