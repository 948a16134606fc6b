"""From the trajectories of one job to its training data: im.jsonl first, lf.json out of it.

Both steps read and write one trial or row at a time, into a folder that becomes the current version of the job's
data when both are done. On equal inputs and settings they write equal bytes; a version that stands is used again.
"""

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from trajgen_assets.core.errors import ConversionError
from trajgen_assets.core.faults import reached
from trajgen_assets.core.ledger.removals import REMOVED
from trajgen_assets.core.paths import JobPaths
from trajgen_assets.core.rollout.trials import is_removed
from trajgen_assets.core.sft.engine.converter import Converter
from trajgen_assets.core.sft.engine.step import Made, convert_by
from trajgen_assets.core.sft.filters import row_filters
from trajgen_assets.core.sft.im_step import convert_trials, write_im
from trajgen_assets.core.sft.lf_step import check_tokenizer, lf_signature, style_tokenizer, write_lf
from trajgen_assets.core.sft.plan import CODE_VERSION, Plan
from trajgen_assets.core.sft.reasons import Reason
from trajgen_assets.core.sft.receipt import (
    Balance,
    EngineRun,
    ImReceipt,
    Receipt,
    joint_signature,
    load_receipt,
    stands,
    version_name,
    write_receipt,
)
from trajgen_assets.core.sft.rescore import Rescored, scored_again, write_scored_again
from trajgen_assets.core.sft.score.rules import SCORE_VERSION
from trajgen_assets.core.sft.settings import ConversionSettings
from trajgen_assets.core.sft.task_today import TaskToday
from trajgen_assets.core.sft.tokens.source import TokenizerFiles
from trajgen_assets.core.sft.versions import Versions, carry_over

__all__ = ["ConversionSettings", "Receipt", "convert_job", "foresee_job", "rescore_job"]

logger = logging.getLogger(__name__)


def convert_job(
    job: JobPaths,
    settings: ConversionSettings,
    tasks: Mapping[str, TaskToday] | None = None,
    *,
    converter: Converter | None = None,
    n_workers: int | None = None,
) -> Receipt:
    """Make the training data behind `job.sft`: a new version, unless one of the same inputs and settings stands.

    Args:
        job: where its files lie.
        settings: what a person chose.
        tasks: what is known today of its tasks, by their ids; without it the bars about that are `unknown`.
        converter: what converts in place of the built-in converter; None for that.
        n_workers: processes to convert with, 0 for this one alone; None for as many as the job is worth.

    Returns:
        The receipt; `changed` says whether other data than before is the current one.

    Raises:
        ConversionError: the job as a whole cannot be converted: there is no readable trials.json, the scaffold is
            unknown or another one than the job's, the list of excluded repositories is missing, or LLaMA-Factory
            would lose a row; or a process died, or nothing can be written. A bad trial is rejected instead, and the
            rest goes on. Of `converter`, as for `convert_by`.
    """
    if is_removed(job):
        return _last_of_removed(job)
    plan, versions = _plan(job, settings, tasks, converter), Versions.of(job.sft)
    versions.adopt()
    if (standing := _standing(versions, _signature(plan))) is not None:
        is_changed = versions.make_current(standing.folder)
        return standing.model_copy(update={"changed": is_changed, "taken_again": is_changed, "folder": job.sft})
    check_tokenizer(settings)
    current = load_receipt(job.sft)
    with versions.making() as folder:
        if converter is None:
            im = _carried_over(plan, current, folder) or write_im(plan, folder, n_workers=n_workers)
            reached("im_written")
            made = Made(im, write_lf(plan.trials.job, settings, folder), EngineRun())
        else:
            made = convert_by(converter, plan, folder)
        receipt = _finished(versions, _receipt(plan, made, folder))
    n_kept, n_in = receipt.sft_im.trials.n_kept, receipt.sft_im.trials.n_in
    logger.info("job %s: %s of %s trials kept", receipt.job, n_kept, n_in)
    return receipt


@dataclass(frozen=True)
class Foreseen:
    """What a conversion would give; `changed` says whether other data than before would be the current one."""

    trials: Balance
    rows: Balance
    changed: bool


def foresee_job(
    job: JobPaths,
    settings: ConversionSettings,
    tasks: Mapping[str, TaskToday] | None = None,
    *,
    converter: Converter | None = None,
) -> Foreseen:
    """Convert a job as `convert_job` does, with the same errors, and write nothing."""
    if is_removed(job):
        last = _last_of_removed(job)
        return Foreseen(last.sft_im.trials, last.sft_im.rows, changed=False)
    plan, versions = _plan(job, settings, tasks, converter), Versions.of(job.sft)
    if (standing := _standing(versions, _signature(plan))) is not None:
        is_changed = not versions.is_current(standing.folder)
        return Foreseen(standing.sft_im.trials, standing.sft_im.rows, is_changed)
    check_tokenizer(settings)
    if converter is not None:
        with TemporaryDirectory() as folder:
            im = convert_by(converter, plan, Path(folder)).im
        return Foreseen(im.trials, im.rows, changed=True)
    with Path(os.devnull).open("wb") as nowhere:
        tally = convert_trials(plan, nowhere, nowhere, None, None)
    return Foreseen(Balance.of(tally.trial_reasons), Balance.of(tally.row_reasons), changed=True)


def rescore_job(job: JobPaths, settings: ConversionSettings, *, dry_run: bool = False) -> Rescored:
    """Score the rows of a job again, and let lf.json follow in the style that it has; `dry_run` only tells.

    Raises:
        ConversionError: there is no im.jsonl with its receipt, or another converter than ours scored it.
    """
    standing = load_receipt(job.sft)
    if standing is None or not stands(standing.sft_im.files, job.sft):
        mend = "convert the job first: `trajgen convert`"
        raise ConversionError("there is no im.jsonl with its receipt", where=job.sft, mend=mend)
    if standing.engine.name != "builtin":
        mend = "convert the job with sft_conversion.engine: builtin first"
        raise ConversionError(f"the rows have the scores of {standing.engine.name}", where=job.sft, mend=mend)
    result = scored_again(standing)
    if dry_run or not (result.n_changed or standing.sft_im.score_version != SCORE_VERSION):
        return result
    versions = Versions.of(job.sft)
    versions.adopt()
    chosen = settings.model_copy(update={"lf_format": standing.sft_lf.lf_format})
    _refuse_other_tokenizer(standing, style_tokenizer(chosen))
    with versions.making() as folder:
        im = write_scored_again(standing, folder)
        steps = {"sft_im": im, "sft_lf": write_lf(standing.job, chosen, folder), "folder": folder, "changed": True}
        result.receipt = _finished(versions, standing.model_copy(update=steps))
    return result


def _last_of_removed(job: JobPaths) -> Receipt:
    """The data as it was converted last: it cannot be made anew, and is not replaced by what is left."""
    standing = load_receipt(job.sft)
    if standing is None:
        mend = "it had not been converted; roll its tasks out again, or put its trials back from a backup"
        raise ConversionError(REMOVED, where=job.dir, mend=mend)
    logger.warning("job %s: %s; its data stays as it was converted last", standing.job, REMOVED)
    return standing.model_copy(update={"changed": False, "folder": job.sft})


def _refuse_other_tokenizer(standing: Receipt, tokenizer: TokenizerFiles | None) -> None:
    stated = tokenizer.stated if tokenizer else None
    if standing.sft_lf.lf_format != "sharegpt" and standing.settings.get("tokenizer") != stated:
        mend = "convert the job again, or name the tokenizer that it was converted with"
        raise ConversionError("the rows were written by another tokenizer", where=standing.folder, mend=mend)


def _plan(
    job: JobPaths, settings: ConversionSettings, tasks: Mapping[str, TaskToday] | None, converter: Converter | None
) -> Plan:
    return Plan.of(job, settings, tasks, engine=None if converter is None else converter.stated)


def _signature(plan: Plan) -> str:
    score_version = None if plan.engine else SCORE_VERSION
    return joint_signature(plan.signature(), score_version, lf_signature(plan.trials.job, plan.settings))


def _standing(versions: Versions, signature: str) -> Receipt | None:
    """Return the receipt of a whole version of this signature that need not be made again."""
    found = [load_receipt(folder) for folder in versions.named(version_name(signature))]
    whole = [each for each in found if each and each.signature == signature and each.is_final and each.is_whole]
    return whole[-1] if whole else None


def _carried_over(plan: Plan, current: Receipt | None, folder: Path) -> ImReceipt | None:
    """Bring the rows of the current version into `folder` where they are of the same inputs and settings."""
    if current is None or current.sft_im.signature != plan.signature() or not current.is_final:
        return None
    if not stands(current.sft_im.files, current.folder):
        return None
    if current.sft_im.score_version != SCORE_VERSION:
        return write_scored_again(current, folder)
    for name in current.sft_im.files:
        carry_over(current.folder / name, folder)
    return current.sft_im


def _finished(versions: Versions, receipt: Receipt) -> Receipt:
    """Write the receipt, last, and make the folder that it lies in the current version, unless an equal one is that."""
    write_receipt(receipt)
    current = load_receipt(versions.current)
    if current is not None and current.is_whole and current.model_dump() == receipt.model_dump():
        return current.model_copy(update={"changed": False})
    versions.publish(receipt.folder, version_name(receipt.signature))
    return receipt.model_copy(update={"folder": versions.current})


def _receipt(plan: Plan, made: Made, folder: Path) -> Receipt:
    return Receipt(
        job=plan.trials.job,
        scaffold=plan.scaffold.name,
        code_version=CODE_VERSION,
        engine=made.engine,
        settings=plan.stored_settings,
        filters={"trials": [each.reason.value for each in plan.filters], "rows": _row_reasons(plan)},
        sft_im=made.im,
        sft_lf=made.lf,
        folder=folder,
    )


def _row_reasons(plan: Plan) -> list[str]:
    """What rows were looked at for, in order; of another converter nothing is known."""
    if plan.engine:
        return []
    return [*(each.reason.value for each in row_filters(plan.settings)), Reason.OVER_LENGTH.value]
