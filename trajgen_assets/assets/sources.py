"""What comes from outside and what goes there: the ends of the lineage."""

import dagster as dg

from trajgen_assets.names import SFT_LF, TRAINING_RUN, VERIFIED_TASKS

verified_tasks = dg.AssetSpec(
    VERIFIED_TASKS,
    group_name="upstream",
    description=(
        "The manifests `verifiable_tasks.txt` that swegen writes: the ids of those tasks that proved sound (a run "
        "without a change fails, a run with the reference solution passes). Only listed ids are ever rolled out. "
        "The sensor `verified_tasks` reports an event here when a manifest's digest has changed."
    ),
    kinds={"file"},
    owners=["team:swegen"],
)

training_run = dg.AssetSpec(
    TRAINING_RUN,
    deps=[SFT_LF],
    group_name="downstream",
    description=(
        "The trainer's run over the LLaMA-Factory data set. It happens in the sft block; the trainer may report its "
        "own materializations here, so that a checkpoint leads back to the tasks it was trained on."
    ),
    kinds={"llamafactory"},
    owners=["team:sft"],
)
