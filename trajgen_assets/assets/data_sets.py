"""Rows of several jobs as one data set: one partition is one name that a person has given."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
import orjson
from pydantic import Field, ValidationError

from resources.platform import PlatformResource
from trajgen_assets.assets import columns
from trajgen_assets.assets.catalogue import Grain, Group, Words, entry
from trajgen_assets.assets.checks.partitioned import conclude, partitions_of
from trajgen_assets.assets.checks.training_data import DATA_SET_SPECS, fail_by, log_checks
from trajgen_assets.assets.datasets import NO_PARTITION
from trajgen_assets.assets.failing import failing_by
from trajgen_assets.assets.receipts import part_table
from trajgen_assets.assets.standing import is_news, log_version
from trajgen_assets.assets.summaries import lf_figures
from trajgen_assets.core.errors import ConfigError
from trajgen_assets.core.platform import Platform
from trajgen_assets.core.redact import Redactor
from trajgen_assets.core.sft.data_sets.build import build_data_set
from trajgen_assets.core.sft.data_sets.joining import join
from trajgen_assets.core.sft.data_sets.making import make_data_set
from trajgen_assets.core.sft.data_sets.receipt import DataSetReceipt
from trajgen_assets.core.sft.data_sets.selection import Selection
from trajgen_assets.core.sft.receipt import SftPaths
from trajgen_assets.names import DATA_SET_OP, SFT_DATA_SET, SFT_LF
from trajgen_assets.partitions import data_set_partitions


class DataSetConfig(dg.Config):
    """What a data set is made of; with nothing named, what it was made of before."""

    jobs: list[str] = Field(default=[], description="Names of jobs.")
    campaigns: list[str] = Field(default=[], description="Instead of jobs: all of these campaigns that are over.")
    one_per_task: str = Field(
        default="", description="best or first: rows of one trial of each task alone. Empty keeps those of all jobs."
    )

    def selection(self) -> Selection:
        """The same as the command line has it.

        Raises:
            ConfigError: one_per_task is neither.
        """
        try:
            asked = {"jobs": tuple(self.jobs), "campaigns": tuple(self.campaigns)}
            return Selection.model_validate(asked | {"one_per_task": self.one_per_task or None})
        except ValidationError as error:
            raise ConfigError(
                f"one_per_task cannot be {self.one_per_task[:80]!r}", mend="write best or first, or leave it empty"
            ) from error


@dg.multi_asset(
    name=DATA_SET_OP,
    specs=[
        entry(
            SFT_DATA_SET,
            Words(
                what=(
                    "One partition is one data set that a person has named: the rows of chosen jobs, joined in the "
                    "order of the jobs. Equal conversations are in it once, each row that is left out has its reason. "
                    "`trajgen dataset build NAME --jobs JOB` makes it, or a new partition here with its jobs or "
                    "campaigns in the run's configuration."
                ),
                writes=(
                    "`im.jsonl`, `rejected.jsonl`, `rows.parquet`, `lf.json`, `dataset_info.json`, `lf.stats.json` and "
                    "`receipt.json` in `<root>/sft_data/<name>/`."
                ),
                fails=(
                    "when a job was not converted or its files are not those of its receipt, and when the name is a "
                    "job's; what stood before stays."
                ),
            ),
            deps=[dg.AssetDep(SFT_LF, partition_mapping=NO_PARTITION)],
            skippable=True,
            group=Group.DATASETS,
            grain=Grain.DATA_SET,
            kinds={"json", "llamafactory"},
            columns=columns.LF,
            code=[build_data_set, join],
        ),
    ],
    check_specs=DATA_SET_SPECS,
    partitions_def=data_set_partitions,
    can_subset=True,
)
def data_set(
    context: dg.AssetExecutionContext, config: DataSetConfig, platform: PlatformResource
) -> Iterator[dg.AssetMaterialization]:
    """Build each selected data set and look at it; on unchanged inputs the events and files stay."""
    faults: list[str] = []
    with platform.opened() as opened:
        for name in partitions_of(context):
            with failing_by(Redactor.of(opened.config)):
                if SFT_DATA_SET in context.selected_asset_keys:
                    _make(context, opened, name, config.selection())
                faults += log_checks(context, opened, SFT_DATA_SET, name)
    conclude(context)
    fail_by(faults)
    yield from ()


def _make(context: dg.AssetExecutionContext, platform: Platform, name: str, selection: Selection) -> None:
    made = make_data_set(platform, name, selection)
    for job, why in made.left_out.items():
        context.log.info(f"{job} is not in it: {why}")
    if is_news(context.instance, SFT_DATA_SET, name, made.receipt.signature):
        log_version(context, SFT_DATA_SET, name, made.receipt.signature, data_set_metadata(made.receipt))


def data_set_metadata(receipt: DataSetReceipt) -> dict[str, Any]:
    """What is in a data set, and what became of the rest; numbers are plotted over its builds by the web UI."""
    paths = SftPaths(receipt.folder)
    return {
        "dagster/row_count": receipt.rows.n_kept,
        "tasks": receipt.tasks.n_tasks,
        "tasks_in_several_jobs": receipt.tasks.n_in_several_jobs,
        "jobs": len(receipt.jobs),
        **lf_figures(orjson.loads(paths.stats.read_bytes())),
        "rejected": dg.MetadataValue.json(dict(receipt.rows.rejected)),
        "receipt": part_table(receipt),
        "differences": dg.MetadataValue.json(receipt.model_dump(mode="json")["differences"]),
        "path": dg.MetadataValue.path(str(paths.lf)),
        "dataset_info": dg.MetadataValue.path(str(paths.dataset)),
        "receipt_path": dg.MetadataValue.path(str(paths.receipt)),
    }
