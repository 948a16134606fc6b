"""The making of one data set by whoever asks for it: the command line, or a run in Dagster."""

from dataclasses import dataclass

from trajgen_assets.core.errors import ConfigError
from trajgen_assets.core.paths import JobPaths
from trajgen_assets.core.placing import place_data
from trajgen_assets.core.platform import Platform
from trajgen_assets.core.sft.data_sets.build import Order, build_data_set, foresee_data_set
from trajgen_assets.core.sft.data_sets.receipt import DataSetReceipt, load_data_set
from trajgen_assets.core.sft.data_sets.selection import Selection, choose_jobs, refuse_name
from trajgen_assets.core.sft.making import making_data
from trajgen_assets.core.sft.settings import ConversionSettings


@dataclass(frozen=True)
class Made:
    """A data set as it stands now, and why jobs of its campaigns are not in it."""

    receipt: DataSetReceipt
    left_out: dict[str, str]


def make_data_set(platform: Platform, name: str, selection: Selection, *, dry_run: bool = False) -> Made:
    """Build what is selected under `name`, one process at a time; with `dry_run` only say what would be built.

    Raises:
        ConfigError: the name cannot be one, or nothing is selected and there is no such data set yet.
        RefusedError: a job has the name, or a campaign is the smoke test's.
        UnknownNameError: there is no such job, or no job of that campaign has ended with data.
        ConversionError: a job was not converted, or its files are not those of its receipt.
    """
    root, files = platform.root, platform.root.job(name)
    refuse_name(root, name, {job.name for job in platform.ledger.jobs()})
    asked = _asked_before(files, name, selection) if selection.is_empty else selection
    chosen = choose_jobs(root, platform.ledger, asked)
    order = Order.of(name, map(root.job, chosen.jobs), asked, ConversionSettings.of(platform.config))
    if dry_run:
        return Made(foresee_data_set(order, files.sft), chosen.left_out)
    place_data(root, platform.config, files)
    with making_data(root, name):
        return Made(build_data_set(order, files.sft), chosen.left_out)


def _asked_before(files: JobPaths, name: str, selection: Selection) -> Selection:
    """What a data set was made of, for whoever names nothing; a choice of trials that is made now counts."""
    standing = load_data_set(files.sft)
    if standing is None:
        mend = "name them: `trajgen dataset build NAME --jobs JOB` or `--campaign CAMPAIGN`"
        raise ConfigError("nothing says which jobs this data set is made of", where=name, mend=mend)
    before = standing.selection
    return before.model_copy(update={"one_per_task": selection.one_per_task or before.one_per_task})
