"""The table of contents, in the order in which data flows.

swegen/verified_tasks → prepared_tasks → trajectories → job_result → sft_im → sft_lf → sft_data_set → sft/training_run
   (one manifest)          [one task]    ↗ [one task]     [one job]   [one job] [one job] [one name]     (the sft block)
                    harbor_env, litellm_env                         ↘ dashboard_site  [the root]
"""

import dagster as dg

from resources.platform import PlatformResource
from sensors.alerts import alerts
from sensors.finished_jobs import finished_jobs
from sensors.verified_tasks import verified_tasks as verified_tasks_sensor
from trajgen_assets.assets.catalogue import with_bodies
from trajgen_assets.assets.checks.host import host_checks
from trajgen_assets.assets.dashboard import dashboard
from trajgen_assets.assets.data_sets import data_set
from trajgen_assets.assets.datasets import job_data
from trajgen_assets.assets.downloads import downloaded_tasks
from trajgen_assets.assets.environments import environment_assets
from trajgen_assets.assets.pausing import pause_rollouts, resume_rollouts
from trajgen_assets.assets.repositories import repository_assets
from trajgen_assets.assets.rollouts import rollout
from trajgen_assets.assets.sources import training_run, verified_tasks
from trajgen_assets.names import (
    DATA_JOB,
    DATA_SET_JOB,
    JOB_RESULT,
    PREPARED_TASKS,
    ROLLOUT_JOB,
    SFT_DATA_SET,
    SFT_IM,
    SFT_LF,
    TRAJECTORIES,
)

rollout_job = dg.define_asset_job(
    ROLLOUT_JOB,
    selection=dg.AssetSelection.assets(PREPARED_TASKS, TRAJECTORIES).without_checks(),
    description="Roll out a batch of tasks: stage, run the agent behind the recording proxy, verify, settle.",
)
data_job = dg.define_asset_job(
    DATA_JOB,
    selection=[JOB_RESULT, SFT_IM, SFT_LF],
    description="Sum up a finished job and turn its accepted trajectories into training data.",
)
data_set_job = dg.define_asset_job(
    DATA_SET_JOB,
    selection=[SFT_DATA_SET],
    description="Join the rows of chosen jobs into one data set, and look at it.",
)


@dg.definitions
def defs() -> dg.Definitions:
    """Everything that the web UI shows. Steps run in the run worker itself: a killed worker leaves none behind."""
    return dg.Definitions(
        assets=with_bodies(
            [
                downloaded_tasks,
                verified_tasks,
                *repository_assets(),
                *environment_assets(),
                rollout,
                job_data,
                data_set,
                dashboard,
                training_run,
            ]
        ),
        asset_checks=host_checks(),
        jobs=[rollout_job, data_job, data_set_job, pause_rollouts, resume_rollouts],
        sensors=[verified_tasks_sensor, finished_jobs, alerts],
        resources={"platform": PlatformResource()},
        executor=dg.in_process_executor,
    )
