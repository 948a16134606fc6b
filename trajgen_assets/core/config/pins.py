"""Which pins of Harbor a configuration may name, and what runs for each."""

import re
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

from trajgen_assets.core.paths import PROJECT

# What locks/harbor.txt installs; a test holds the two together.
HARBOR_VERSION = "0.25.0"

# Commits that configurations of the earlier system name, by their first digits. They are of a fork whose agents and
# record are replaced here; old configurations with these pins were tried with the Harbor of the lock.
TESTED_HARBOR_COMMITS: Mapping[str, str] = MappingProxyType(
    {
        "ff04349": "trajgen",
        "3062421": "trajgen",
        "4d76f38": "tracer",
        "348d10f": "tracer",
    }
)
N_DIGITS = 7


def harbor_commit_problem(commit: str) -> str | None:
    """Why this commit of Harbor is refused, or None for one that was tested."""
    if commit[:N_DIGITS] in TESTED_HARBOR_COMMITS:
        return None
    tested = ", ".join(TESTED_HARBOR_COMMITS)
    return (
        f"harbor.commit {commit} was never tested with this platform; tested: {tested}, and Harbor {HARBOR_VERSION}, "
        "which runs where the entry harbor is left out; with `build: true` it is built and runs untested"
    )


def package_problem(name: str, version: str, hashes: Sequence[str]) -> str | None:
    """Why this package of the index is refused, or None for the one that `locks/harbor.txt` pins."""
    if (name, version) != ("harbor", HARBOR_VERSION):
        return f"{name} {version} is not what the lock pins: harbor {HARBOR_VERSION}; another one takes `make locks`"
    lock = (PROJECT / "locks" / "harbor.txt").read_text(encoding="utf-8")
    locked = re.search(rf"^harbor=={re.escape(version)}((?: \\\n +--hash=\S+)+)", lock, re.MULTILINE)
    unknown = [each for each in hashes if locked is None or f"--hash={each}" not in locked[1].split()]
    return f"{', '.join(unknown)} is no hash of harbor {version} in locks/harbor.txt" if unknown else None


def no_wheel_problem(entry: str) -> str | None:
    """Why this entry cannot be a package of the index, where no version of it can."""
    if entry != "openhands":
        return None
    return (
        "openhands cannot be a package: its wheel has no evaluation/, and not the microagents/, pyproject.toml and "
        "poetry.lock that its runtime image is built from; pin a full checkout by url and commit"
    )


def stand_in(commit: str | None) -> Iterator[str]:
    """A word about a commit that something else runs for."""
    if commit and commit[:N_DIGITS] in TESTED_HARBOR_COMMITS:
        yield f" is not checked out: Harbor {HARBOR_VERSION} of the lock file runs in its place"
