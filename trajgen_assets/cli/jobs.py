"""Jobs that a person names on the command line."""

from trajgen_assets.core.errors import UnknownNameError
from trajgen_assets.core.paths import Root

SHOWN = "see `trajgen status` for their names"


def refuse_unknown_job(root: Root, job: str) -> None:
    """Make sure that a job of this name has left something on disk.

    Raises:
        UnknownNameError: it has not.
    """
    files = root.job(job)
    if not (files.dir.exists() or files.proxy.exists()):
        raise UnknownNameError("there is no job of that name", where=job, mend=SHOWN)
