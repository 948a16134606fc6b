"""What comes from outside and what goes there: the ends of the lineage."""

from pathlib import Path

from trajgen_assets.assets import columns
from trajgen_assets.assets.catalogue import Grain, Group, Words, entry
from trajgen_assets.core.intake.manifest import read_manifest
from trajgen_assets.core.sft.lf import dataset_entry
from trajgen_assets.names import SFT_DATA_SET, SFT_LF, TRAINING_RUN, VERIFIED_TASKS

HERE = Path(__file__).resolve()

verified_tasks = entry(
    VERIFIED_TASKS,
    Words(
        what=(
            "One materialization is one content of a manifest: the ids of those tasks that proved sound (a run without "
            "a change fails, a run with the reference solution passes). Only listed ids are ever rolled out. swegen "
            "makes it; the sensor `verified_tasks` reports it here when its digest has changed."
        ),
        writes="nothing here: swegen writes `verifiable_tasks.txt` beside the tasks.",
        fails=(
            "never here. A manifest that cannot be read gives no event: the sensor's tick and the check `manifest` say "
            "why, and no task of that data set is rolled out until it is mended."
        ),
    ),
    group=Group.UPSTREAM,
    grain=Grain.WHOLE,
    owner="team:swegen",
    kinds={"file"},
    columns=columns.MANIFEST,
    code=[read_manifest, HERE],
)

training_run = entry(
    TRAINING_RUN,
    Words(
        what=(
            "One materialization is one run of the trainer over a data set, or over the data of one job. It happens in "
            "the sft block; the trainer may report it here, so that a checkpoint leads back to the tasks that it was "
            "trained on."
        ),
        writes="nothing here: the trainer reads `lf.json` by the `dataset_info.json` beside it.",
        fails="never here: what the trainer does not report is not shown.",
    ),
    deps=[SFT_LF, SFT_DATA_SET],
    group=Group.DOWNSTREAM,
    grain=Grain.WHOLE,
    owner="team:sft",
    kinds={"llamafactory"},
    code=[dataset_entry, HERE],
)
