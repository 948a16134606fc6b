"""The end of all runs in good order: cancelled, so that they settle what they did, and are not taken up again.

`python -m resources.cancelling` does it for the root of the environment, as the end of a deployment needs it.
"""

import time

import dagster as dg

from resources.instance import open_instance
from trajgen_assets.core.paths import Root

# A cancelled run stops Harbor, which removes its sandboxes, and then the proxy, which drains.
CANCEL_TIMEOUT_S = 90.0


def cancel_runs(root: Root) -> None:
    """Cancel what run workers execute, and wait until they have settled it."""
    with open_instance(root) as instance:
        launcher = instance.run_launcher
        runs = instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED]))
        cancelled = [run.run_id for run in runs if launcher.terminate(run.run_id)]
        deadline = time.monotonic() + CANCEL_TIMEOUT_S
        while cancelled and time.monotonic() < deadline:
            cancelled = [run_id for run_id in cancelled if not _is_finished(instance, run_id)]
            time.sleep(0.2)


def _is_finished(instance: dg.DagsterInstance, run_id: str) -> bool:
    run = instance.get_run_by_id(run_id)
    return run is None or run.is_finished


if __name__ == "__main__":
    cancel_runs(Root.from_environ())
