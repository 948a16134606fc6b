"""The build cache of the Docker engine, brought down to a limit by the engine itself.

Nothing in it says whose it is: what goes is the oldest of the whole engine, whoever built it. So it is done only when
a person names a limit. What a build uses at the moment stays, and so does what images are made of.
"""

import json
from dataclasses import dataclass

from trajgen_assets.core.errors import RequirementError
from trajgen_assets.core.rollout.docker import ask_docker

# The engine measures, and deletes, layer by layer: minutes on a disk that is slow or full.
TIMEOUT_S = 1800.0
_MEND = "see `docker system df`, and `docker builder prune --help`"


@dataclass(frozen=True)
class BuildCache:
    """What there is, in the engine's own words, such as `18.56GB`; `unused` is what could go."""

    size: str
    unused: str


def build_cache() -> BuildCache:
    """Measure the engine's build cache.

    Raises:
        RequirementError: the engine does not answer, or not in the form that is known.
    """
    lines = ask_docker("system", "df", "--format", "{{json .}}", timeout_s=TIMEOUT_S).splitlines()
    try:
        rows = {row["Type"]: row for row in map(json.loads, lines)}
        row = rows["Build Cache"]
        return BuildCache(row["Size"], row["Reclaimable"])
    except (ValueError, LookupError, TypeError) as error:
        what = "the engine does not tell the size of its build cache"
        raise RequirementError(what, where="docker system df", why=error, mend=_MEND) from error


def prune_command(keep_bytes: int) -> tuple[str, ...]:
    """How the engine is told. Without `--all` it keeps the programs that read Dockerfiles, which a build without a
    registry needs again. The limit goes in bytes: of units the client and the engine do not think alike."""
    return ("builder", "prune", "--force", "--keep-storage", str(keep_bytes))


def shrink_build_cache(keep_bytes: int) -> None:
    """Have the engine delete unused build cache, the oldest first, until all of it takes no more than `keep_bytes`.

    Raises:
        RequirementError: the engine does not answer, or does not know such a limit.
    """
    ask_docker(*prune_command(keep_bytes), what="the build cache stays", mend=_MEND, timeout_s=TIMEOUT_S)
