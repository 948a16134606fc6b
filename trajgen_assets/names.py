"""What Dagster calls our things: one name for each, which sensors, assets and the command line share."""

import dagster as dg

# Assets, in the order of flow.
VERIFIED_TASKS = dg.AssetKey(["swegen", "verified_tasks"])
DOWNLOADED_TASKS = dg.AssetKey("downloaded_tasks")
PREPARED_TASKS = dg.AssetKey("prepared_tasks")
HARBOR_REPO = dg.AssetKey("harbor_repo")
SWE_DATA_PROCESS_REPO = dg.AssetKey("swe_data_process_repo")
HARBOR_ENV = dg.AssetKey("harbor_env")
LITELLM_ENV = dg.AssetKey("litellm_env")
SWE_DATA_PROCESS_ENV = dg.AssetKey("swe_data_process_env")
TRAJECTORIES = dg.AssetKey("trajectories")
JOB_RESULT = dg.AssetKey("job_result")
SFT_IM = dg.AssetKey("sft_im")
SFT_LF = dg.AssetKey("sft_lf")
SFT_DATA_SET = dg.AssetKey("sft_data_set")
DASHBOARD_SITE = dg.AssetKey("dashboard_site")
TRAINING_RUN = dg.AssetKey(["sft", "training_run"])

# Partitions definitions.
TASKS = "tasks"
JOBS = "jobs"
DATA_SETS = "data_sets"

# The Dagster jobs over each of them, and the multi-asset that the first consists of.
ROLLOUT_JOB, ROLLOUT_OP = "rollout_job", "rollout"
DATA_JOB = "data_job"
DATA_SET_JOB, DATA_SET_OP = "data_set_job", "data_set"


def repository_asset(name: str) -> dg.AssetKey:
    """The asset of the repository that `meta_info.repositories` calls `name`."""
    return dg.AssetKey(f"{name}_repo")
