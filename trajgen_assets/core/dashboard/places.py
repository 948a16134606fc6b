"""Where each page of the site lies. Paths are below the site's folder, with forward slashes, and plain ASCII."""

import hashlib

from trajgen_assets.core.keys import is_safe_name

HOME = "index.html"
JOBS = "jobs.html"
COMPARE = "compare.html"
TASKS = "tasks.html"
GRID = "grid.html"
LEDGER = "ledger.html"
RUNS = "runs.html"
DATA_SETS = "datasets.html"


def job_page(job: str) -> str:
    """The page of a job."""
    return f"jobs/{slug(job)}/index.html"


def trial_page(job: str, trial: str) -> str:
    """The page of a trial's trajectory."""
    return f"jobs/{slug(job)}/{slug(trial)}.html"


def trial_data(job: str, trial: str) -> str:
    """The name under which the data of a trial's page lies."""
    return f"jobs/{slug(job)}/{slug(trial)}"


def side_page(task_key: str) -> str:
    """The page with two trajectories of a task side by side."""
    return f"side/{slug(task_key)}.html"


def data_set_page(name: str) -> str:
    """The page of a job's training data, or of a data set that was joined of several jobs'."""
    return f"datasets/{slug(name)}.html"


def data_set_data(name: str) -> str:
    """The name under which the data of that page lies."""
    return f"datasets/{slug(name)}"


def slug(name: str) -> str:
    """`name` where it is a plain one; else a name made of its digest, so that no page lies where its name says.

    `index` is taken by the page of the job itself.
    """
    if is_safe_name(name) and name != "index":
        return name
    return "_" + hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def up_to_top(path: str) -> str:
    """What leads from the page at `path` to the site's folder: empty, or `../` once for each folder."""
    return "../" * path.count("/")
