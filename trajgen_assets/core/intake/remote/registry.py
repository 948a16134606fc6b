"""Data sets of Harbor's registry: fetched by Harbor's own program, from Harbor's environment."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from shutil import rmtree
from typing import Any

from trajgen_assets.core.errors import DownloadError, RequirementError
from trajgen_assets.core.git import NO_QUESTIONS
from trajgen_assets.core.intake.remote.remote import Remote
from trajgen_assets.core.process import child_env
from trajgen_assets.core.provision.command import Say, run

TIMEOUT_S = 24 * 3600.0
QUIET = {"HARBOR_TELEMETRY": "off", "DO_NOT_TRACK": "1", "NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "200"}
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


def fetch_registry(remote: Remote, harbor_env: Path, say: Say, keep_fd: int) -> Path:
    """Fetch `remote` into its hidden folder by `harbor download`, and return the folder of its tasks.

    Harbor has no way to go on with a download, so each begins anew.

    Raises:
        RequirementError: there is no Harbor yet.
        DownloadError: Harbor failed, or a registry's file names what is not pinned.
    """
    harbor = harbor_env / "bin" / "harbor"
    if not harbor.exists():
        raise RequirementError("Harbor's environment is not built", where=harbor_env, mend="trajgen setup-envs")
    is_file = remote.registry is not None and "://" not in remote.registry
    if remote.registry is not None and is_file:
        _refuse_unpinned(remote, Path(remote.registry))
    folder = remote.part / "download"
    rmtree(folder, ignore_errors=True)
    chosen = [] if remote.registry is None else ["--registry-path" if is_file else "--registry-url", remote.registry]
    outcome = run(
        [harbor, "download", remote.name, "--output-dir", folder, "--export", *chosen],
        env=child_env(QUIET | NO_QUESTIONS),
        timeout_s=TIMEOUT_S,
        on_line=say,
        cwd=remote.part,
        pass_fds=(keep_fd,),
    )
    if not outcome.ok:
        mend = "check the name and version, and download.registry; then do it again: it begins anew"
        raise DownloadError(
            "Harbor did not download the data set", where=remote.words, why=_complaint(outcome.tail), mend=mend
        )
    return folder


def _complaint(tail: tuple[str, ...]) -> str:
    """What Harbor said last: of a command that failed the command, and git's own words are not in it."""
    lines = [re.sub(r"^\W*(?:\d+/\S+ Downloading tasks\.\.\.[^E]*)?", "", line).strip(" │╭╮╰╯─") for line in tail]
    found = [line for line in lines if line]
    errors = [line for line in found if "Error" in line or "error" in line]
    return (errors or found or ["it said nothing"])[-1][:600]


def _refuse_unpinned(remote: Remote, registry: Path) -> None:
    try:
        specs = json.loads(registry.read_bytes())
        tasks = list(_tasks_of(specs, remote.name))
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        mend = "set download.registry to a registry.json as Harbor has it"
        raise DownloadError("the registry cannot be read", where=registry, why=error, mend=mend) from error
    for task in tasks:
        if not task.get("git_url"):
            mend = "name its folder as a source of its own: provider local"
            raise DownloadError("a task of the registry lies on this host", where=task.get("name"), mend=mend)
        if not _COMMIT.fullmatch(str(task.get("git_commit_id"))):
            mend = "pin each task of the data set by git_commit_id, a whole commit"
            raise DownloadError("a task of the registry is not pinned", where=task.get("name"), mend=mend)


def _tasks_of(specs: Any, name: str) -> Iterator[dict[str, Any]]:
    for spec in specs:
        if f"{spec['name']}@{spec['version']}" == name:
            yield from spec["tasks"]
