"""Managed repositories, where the configuration names them and a checkout is there."""

import re
from collections.abc import Iterator
from pathlib import Path

from trajgen_assets.core.config.models import Repository
from trajgen_assets.core.git import git_says
from trajgen_assets.core.preflight.findings import Finding, NotLookedError, Subject, ok, warn

UNUSED = "nothing here uses it yet: Harbor and LiteLLM come from the lock files"


def checkouts(subject: Subject) -> Iterator[Finding]:
    """Each checkout is of the configured address, at the pin, and clean. None of it keeps a job back now."""
    named = subject.config.meta_info.repositories
    if not named:
        yield ok("the configuration names none")
    for name, repository in named.items():
        folder = subject.config.resolve(repository.path)
        if not folder.exists():
            yield ok(f"not checked out; {UNUSED}", subject=name)
        elif not (folder / ".git").exists():  # of a submodule it is a file
            yield warn(f"{folder} is there and is no git checkout", "move it away", subject=name)
        else:
            yield from _checkout(name, repository, folder)


def _checkout(name: str, repository: Repository, folder: Path) -> Iterator[Finding]:
    head = git_says(folder, "rev-parse", "HEAD")
    if head is None:
        raise NotLookedError(f"git cannot read {folder}")
    origin = git_says(folder, "config", "--get", "remote.origin.url") or "none"
    faults = []
    if normal_url(origin) != normal_url(repository.url):
        faults.append(f"its origin is {origin} and not {repository.url}")
    if head != (git_says(folder, "rev-parse", "--verify", "--quiet", f"{repository.target}^{{commit}}") or ""):
        faults.append(f"its HEAD {head[:12]} is not {repository.target}")
    if git_says(folder, "--no-optional-locks", "status", "--porcelain"):
        faults.append("it has changes that are not committed")
    for fault in faults:
        yield warn(f"{folder}: {fault}", "mend the checkout with git, or the pin in the configuration", subject=name)
    if not faults:
        yield ok(f"at {head[:12]}, clean", subject=name)


def normal_url(url: str) -> str:
    """`host/owner/name` of a git address, whether written as https, ssh or git@host:owner/name."""
    text = re.sub(r"^[a-z+]+://", "", url.strip()).removesuffix("/").removesuffix(".git")
    text = text.rpartition("@")[2]
    return re.sub(r"^([^/:]+):(?!\d+/)", r"\1/", text)
