"""What `force` takes back, and when: no result is given up for a job that would be refused."""

from collections.abc import Callable, Sequence

from trajgen_assets.core.errors import RefusedError
from trajgen_assets.core.keys import TaskKey
from trajgen_assets.core.platform import Platform
from trajgen_assets.core.rollout.batch import take_back
from trajgen_assets.core.rollout.harnesses import harness_of
from trajgen_assets.core.rollout.holding import check_job


def take_back_when_ready(platform: Platform, keys: Sequence[TaskKey], say: Callable[[str], None]) -> None:
    """Take back tasks of one campaign and data set, after what their job will be refused by was looked at.

    The job looks again when it begins. What breaks in between, and a model that listens but refuses to answer, still
    leaves the tasks pending; their earlier attempts are on record all the same.

    Args:
        say: told of each environment that has to be built first.

    Raises:
        RefusedError: a person has paused launches of the data set.
        TrajgenError: as `refuse_unless_ready`. Nothing was taken back.
    """
    if not keys:
        return
    pause = platform.ledger.pause_of(keys[0].dataset)
    if pause is not None:
        raise RefusedError(pause.words, mend=pause.mend)
    harness_of(platform.config).environments(platform.config, platform.root.env, say)
    check_job(platform, keys[0].campaign, len(keys))
    take_back(platform, keys)
