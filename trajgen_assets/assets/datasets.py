"""From a job's trajectories to training data: one partition is one job."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

import dagster as dg

from resources.platform import PlatformResource
from trajgen_assets.assets import columns
from trajgen_assets.assets.catalogue import Grain, Group, Words, entry
from trajgen_assets.assets.checks.jobs import check_job, job_check_specs
from trajgen_assets.assets.checks.partitioned import conclude, partitions_of
from trajgen_assets.assets.checks.training_data import JOB_SPECS, fail_by, log_checks
from trajgen_assets.assets.dashboard import show_on_dashboard
from trajgen_assets.assets.failing import failing_by
from trajgen_assets.assets.links import task_table
from trajgen_assets.assets.standing import is_news, log_version
from trajgen_assets.assets.summaries import im_summary, job_summary, lf_figures
from trajgen_assets.core.faults import reached
from trajgen_assets.core.placing import place_data
from trajgen_assets.core.platform import Platform
from trajgen_assets.core.redact import Redactor
from trajgen_assets.core.report.job_result import JobResult, job_result_of
from trajgen_assets.core.rollout.trials import TrialEntry, load_trials, supersede
from trajgen_assets.core.sft.convert import ConversionSettings, Receipt, convert_job
from trajgen_assets.core.sft.engine.converter import converter_of
from trajgen_assets.core.sft.im_step import write_im
from trajgen_assets.core.sft.lf import lf_row
from trajgen_assets.core.sft.lf_step import write_lf
from trajgen_assets.core.sft.making import is_data_being_made, making_data
from trajgen_assets.core.sft.receipt import SftPaths
from trajgen_assets.core.sft.scaffolds import why_no_data
from trajgen_assets.core.sft.tasks_today import tasks_today
from trajgen_assets.names import JOB_RESULT, SFT_IM, SFT_LF, TRAJECTORIES
from trajgen_assets.partitions import data_assets, is_converted, job_partitions

# Which tasks a job has is known to the ledger, and to none of Dagster's own mappings: with the one for all tasks, each
# new trajectory would make every earlier job look out of date. So no task partition is upstream of a job's; its events
# name its tasks instead, each with a link.
NO_PARTITION = dg.SpecificPartitionsPartitionMapping([])


@dg.multi_asset(
    name="job_data",
    specs=[
        entry(
            JOB_RESULT,
            Words(
                what=(
                    "One partition is one job: counts, rewards, errors by cause, tokens, cost and durations over its "
                    "trials. The mean reward is over graded trials only: a trial that the sandbox, the model provider "
                    "or the verifier ended is an error, not a 0."
                ),
                writes="nothing of its own: it sums up `<root>/jobs/<job>/trials.json`, which the rollout wrote.",
                fails=(
                    "when `trials.json` is missing or cannot be read; the sensor `finished_jobs` asks for it three "
                    "times."
                ),
            ),
            deps=[dg.AssetDep(TRAJECTORIES, partition_mapping=NO_PARTITION)],
            skippable=True,
            group=Group.JOBS,
            grain=Grain.JOB,
            kinds={"harbor"},
            columns=columns.TRIALS,
            code=[job_result_of],
        ),
        entry(
            SFT_IM,
            Words(
                what=(
                    "One partition is one job's conversations as OpenAI messages (IM 2.0.0), one JSON line each. Every "
                    "trial is accounted for: in = kept + rejected, each rejection with its reason."
                ),
                writes="`im.jsonl`, `rejected.jsonl` and `receipt.json` in `<root>/sft_data/<job>/`.",
                fails=(
                    "when a trial or a setting cannot be read; what stood before stays. It is not made of a job "
                    "without a valid result, nor by an agent without a model."
                ),
            ),
            deps=[JOB_RESULT],
            skippable=True,
            group=Group.DATASETS,
            grain=Grain.JOB,
            kinds={"json"},
            columns=columns.IM,
            code=[convert_job, write_im],
        ),
        entry(
            SFT_LF,
            Words(
                what="One partition is one job's rows as LLaMA-Factory ShareGPT, in the order of `im.jsonl`.",
                writes=(
                    "`lf.json`, `dataset_info.json` to point the trainer at, and `lf.stats.json` with token, turn and "
                    "error figures, in `<root>/sft_data/<job>/`."
                ),
                fails="when LLaMA-Factory would lose or damage a row of it; what stood before stays.",
            ),
            deps=[SFT_IM],
            skippable=True,
            group=Group.DATASETS,
            grain=Grain.JOB,
            kinds={"json", "llamafactory"},
            columns=columns.LF,
            code=[write_lf, lf_row],
        ),
    ],
    check_specs=[*job_check_specs(), *JOB_SPECS],
    partitions_def=job_partitions,
    can_subset=True,
)
def job_data(context: dg.AssetExecutionContext, platform: PlatformResource) -> Iterator[dg.AssetMaterialization]:
    """Summarize each selected job, convert it and look at its data; on unchanged inputs the events and files stay."""
    faults: list[str] = []
    with platform.opened() as opened:
        for job in partitions_of(context):
            with failing_by(Redactor.of(opened.config)):
                faults += _make(context, opened, job)
        show_on_dashboard(context, opened)
    conclude(context)
    fail_by(faults)
    yield from ()


def _make(context: dg.AssetExecutionContext, platform: Platform, job: str) -> list[str]:
    """Make what was selected of a job, and tell the ledger last: whoever dies before has made nothing.

    What another process made meanwhile is no news, so two runs of one job leave one event of each asset.

    Returns:
        What blocking checks found. The data was made all the same, and made again it would be no other.
    """
    if is_data_being_made(platform.root, job):
        context.log.info(f"{job}: another process is making its data; this run waits for it")
    with making_data(platform.root, job):
        row = platform.ledger.job(job)
        may_have_data = _report(context, platform, job)
        faults = _check(context, platform, job) if may_have_data else []
        convert = is_converted(platform.config, row.campaign, platform.root.job(job).trials)
        if context.selected_asset_keys.issuperset(data_assets(convert=convert)):  # a click may leave out a part
            platform.ledger.record_downstream(job, row.accepted_digest or "")
        return faults


def _check(context: dg.AssetExecutionContext, platform: Platform, job: str) -> list[str]:
    """Look at the data of a job, whether it was made just now or stands."""
    return [fault for asset in (SFT_IM, SFT_LF) for fault in log_checks(context, platform, asset, job)]


def _report(context: dg.AssetExecutionContext, platform: Platform, job: str) -> bool:
    """Make and log what was selected and is news. Returns whether the job is one that data can be made of."""
    files, selected = platform.root.job(job), context.selected_asset_keys
    supersede(files.trials, platform.ledger.superseded_trials(job))
    trials = load_trials(files.trials)
    tasks = {"tasks": task_table(platform.ledger.tasks_of_job(job), trials.trials)}
    result = job_result_of(files.dir, trials)
    if JOB_RESULT in selected and is_news(context.instance, JOB_RESULT, job, result.digest):
        log_version(context, JOB_RESULT, job, result.digest, result_metadata(result, trials.trials) | tasks)
    why_none = "; ".join(check_job(context, job, files, trials)) or why_no_data(trials)
    if {SFT_IM, SFT_LF} & selected:
        if why_none:
            context.log.warning(f"{job}: no training data is made of it: {why_none}")
        else:
            _convert(context, platform, job, tasks)
    return not why_none


def _convert(context: dg.AssetExecutionContext, platform: Platform, job: str, tasks: dict[str, Any]) -> None:
    reached("during_conversion")
    files = platform.root.job(job)
    place_data(platform.root, platform.config, files)
    converter = converter_of(platform.config, platform.root.env, context.log.info)
    settings = ConversionSettings.of(platform.config)
    receipt = convert_job(files, settings, tasks_today(platform, job), converter=converter)
    for asset, metadata in ((SFT_IM, im_metadata(receipt)), (SFT_LF, lf_metadata(receipt) | tasks)):
        if asset in context.selected_asset_keys and is_news(context.instance, asset, job, receipt.signature):
            log_version(context, asset, job, receipt.signature, metadata)


def result_metadata(result: JobResult, trials: Iterable[TrialEntry]) -> dict[str, Any]:
    """The figures of a job; counts are plotted over jobs by the web UI."""
    priced = {"cost_usd": result.cost_usd} if result.cost_usd else {}
    return priced | {
        "n_trials": result.n_trials,
        "n_graded": result.n_graded,
        "n_resolved": result.n_resolved,
        "mean_reward": result.mean_reward,
        "n_errors": result.n_errors,
        "causes": dg.MetadataValue.json(dict(result.causes)),
        "summary": job_summary(result, trials),
        "tokens": result.n_tokens,
        "duration_s": result.duration_s,
        "path": dg.MetadataValue.path(str(result.folder)),
    }


def im_metadata(receipt: Receipt) -> dict[str, Any]:
    """What was kept, and why the rest was not."""
    return {
        "dagster/row_count": receipt.n_rows,
        "n_trials": receipt.sft_im.trials.n_in,
        "rejected": dg.MetadataValue.json(dict(receipt.rejected)),
        "summary": im_summary(receipt),
        "engine": " ".join([receipt.engine.name, *([receipt.engine.commit] if receipt.engine.commit else [])]),
        "path": dg.MetadataValue.path(str(receipt.im)),
    }


def lf_metadata(receipt: Receipt) -> dict[str, Any]:
    """What the trainer gets, with the figures of `lf.stats.json`."""
    files = SftPaths(receipt.folder)
    return lf_figures(json.loads(files.stats.read_bytes())) | {
        "dagster/row_count": receipt.n_rows,
        "path": dg.MetadataValue.path(str(files.lf)),
        "dataset_info": dg.MetadataValue.path(str(files.dataset)),
        "summary": im_summary(receipt),
    }
