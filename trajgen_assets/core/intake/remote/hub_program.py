"""Run as a program: fetch one commit of a repository of data sets by the hub's own client.

It is a process of its own because the client reads its settings from the environment when it is imported, and so
that a download ends when its process does. Its argument is a JSON file: `repo`, `revision`, `patterns`, `folder`,
`listing`, `size_bytes`, `n_files`. The token is in the environment as `HF_TOKEN`, or there is none.
"""

import errno
import json
import os
import sys
from pathlib import Path
from shutil import disk_usage
from typing import Any

from httpx import HTTPError
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.utils._paths import filter_repo_objects

from trajgen_assets.core.atomic import write_json
from trajgen_assets.core.counting import count_of
from trajgen_assets.core.intake.remote.names import Inventory
from trajgen_assets.core.intake.remote.remote import Limits

TIMEOUT_S = 60.0
# Where the client keeps its own notes within a download.
CLIENT_FOLDER = ".cache/huggingface"
_N_WORKERS = 4


def main(request: Path) -> str | None:
    """Fetch what `request` says. Returns what is wrong, or None; what is half here stays, to be gone on with."""
    asked = json.loads(request.read_bytes())
    token = os.environ.get("HF_TOKEN") or False
    try:
        return _fetch(HfApi(token=token, library_name="trajgen"), asked)
    except (HfHubHTTPError, HTTPError, OSError, ValueError, RuntimeError) as error:
        return _line(error)


def _fetch(api: HfApi, asked: dict[str, Any]) -> str | None:
    repo, revision = asked["repo"], asked["revision"]
    info = api.dataset_info(repo, revision=revision, files_metadata=True, timeout=TIMEOUT_S)
    if info.sha != revision:
        return f"the hub answers with commit {info.sha} instead of {revision}"
    every = {each.rfilename: each for each in info.siblings or []}
    names = list(filter_repo_objects(list(every), allow_patterns=asked["patterns"] or None))
    if not names:
        return f"no file of it is like {', '.join(asked['patterns'])}" if every else "it has no files"
    files = [_described(every[name]) for name in names]
    if problem := _problem(files, Limits(asked["size_bytes"], asked["n_files"])):
        return problem
    if problem := _no_room(files, Path(asked["folder"])):
        return problem
    write_json(Path(asked["listing"]), files)
    _say(f"{count_of(len(files), 'file')}, {sum(each['size_bytes'] for each in files)} bytes")
    api.snapshot_download(
        repo,
        repo_type="dataset",
        revision=revision,
        local_dir=asked["folder"],
        allow_patterns=asked["patterns"] or None,
        max_workers=_N_WORKERS,
    )
    return None


def _described(sibling: Any) -> dict[str, Any]:
    sha256 = sibling.lfs.sha256 if sibling.lfs else None
    return {"name": sibling.rfilename, "size_bytes": sibling.size, "blob": sibling.blob_id, "sha256": sha256}


def _problem(files: list[dict[str, Any]], limits: Limits) -> str | None:
    inventory = Inventory(limits)
    for each in files:
        problem = inventory.take_file(each["name"], each["size_bytes"] or 0)
        if problem is None and each["name"].startswith(CLIENT_FOLDER):
            problem = "lies where the hub's client keeps its notes"
        if problem is None and (each["size_bytes"] is None or not each["blob"]):
            problem = "has no size or no digest in the hub's answer"
        if problem:
            return f"{each['name'][:300]!r} {problem}"
    return None


def _no_room(files: list[dict[str, Any]], folder: Path) -> str | None:
    """Why what is still to come does not fit on the disk, in the words of the system that a full one has."""
    wanted = sum(each["size_bytes"] for each in files if not _has_size(folder / each["name"], each["size_bytes"]))
    free = disk_usage(folder.parent).free
    if wanted <= free:
        return None
    return f"{os.strerror(errno.ENOSPC)}: {wanted:,} bytes are to come, and {free:,} are free"


def _has_size(path: Path, size_bytes: int) -> bool:
    return path.is_file() and path.stat().st_size == size_bytes


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _line(error: BaseException) -> str:
    """What happened, in one line, with what caused it: the client's own words may be of how to mend it only."""
    words = " ".join(str(error).split()) or type(error).__name__
    cause = error.__cause__ or error.__context__
    if isinstance(cause, OSError) and cause.strerror and cause.strerror not in words:
        words = f"{words} ({cause.strerror})"
    return words[:600]


if __name__ == "__main__":
    said = main(Path(sys.argv[1]))
    if said is not None:
        _say(f"error: {said}")
        sys.exit(1)
