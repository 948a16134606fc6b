"""From the trajectories of one job to its training data: im.jsonl first, lf.json out of it.

Both steps read and write one trial or row at a time, into a folder that becomes the current version of the job's
data when both are done. On equal inputs and settings they write equal bytes; a version that stands is used again.
"""

import logging
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from trajgen_assets.core import atomic
from trajgen_assets.core.atomic import open_atomic
from trajgen_assets.core.errors import ConversionError
from trajgen_assets.core.faults import reached
from trajgen_assets.core.paths import JobPaths
from trajgen_assets.core.rollout.trials import TrialEntry
from trajgen_assets.core.sft.columns import unfit_keys
from trajgen_assets.core.sft.encoding import ArrayWriter, encode
from trajgen_assets.core.sft.filters import first_refusal, row_filters
from trajgen_assets.core.sft.im import read_im
from trajgen_assets.core.sft.lf import COPIED_FACTS, check_lf_row, dataset_entry, lf_row
from trajgen_assets.core.sft.messages import Json
from trajgen_assets.core.sft.parallel import n_cores, n_workers_for, verdicts_on
from trajgen_assets.core.sft.plan import CODE_VERSION, Plan, sha256_json
from trajgen_assets.core.sft.reasons import Reason
from trajgen_assets.core.sft.receipt import (
    Balance,
    FileDigest,
    ImReceipt,
    LfReceipt,
    Receipt,
    SftPaths,
    TrialReceipt,
    digests,
    joint_signature,
    load_receipt,
    stands,
    version_name,
    write_receipt,
)
from trajgen_assets.core.sft.rescore import Rescored, scored_again, write_scored_again
from trajgen_assets.core.sft.rows import TrialRows, without_duplicates
from trajgen_assets.core.sft.score.rules import SCORE_VERSION
from trajgen_assets.core.sft.settings import ConversionSettings, LfFormat
from trajgen_assets.core.sft.stats import LfStats
from trajgen_assets.core.sft.task_today import TaskToday
from trajgen_assets.core.sft.tokens import RefusedByTemplateError
from trajgen_assets.core.sft.tokens.source import TokenizerFiles, find_tokenizer
from trajgen_assets.core.sft.versions import Versions, carry_over

__all__ = ["ConversionSettings", "Receipt", "convert_job", "rescore_job", "write_im", "write_lf", "write_lf_files"]

logger = logging.getLogger(__name__)


@dataclass
class Tally:
    """The verdicts of one conversion, as they come in."""

    per_trial: list[TrialReceipt] = field(default_factory=list)
    trial_reasons: list[Reason | None] = field(default_factory=list)
    row_reasons: list[Reason | None] = field(default_factory=list)
    n_kept: int = 0
    placeholders: Counter[str] = field(default_factory=Counter)

    def add(self, trial: TrialEntry, verdict: TrialRows) -> None:
        """Take in the verdict on one trial and on its rows."""
        reasons = [row.reason for row in verdict.rows]
        kept = [row for row in verdict.rows if row.reason is None]
        self.n_kept += verdict.reason is None
        self.trial_reasons.append(verdict.reason)
        self.row_reasons.extend(reasons)
        for row in kept:
            self.placeholders.update(row.n_placeholders)
        self.per_trial.append(
            TrialReceipt(
                task_id=trial.task_id,
                trial=trial.trial_name,
                attempt=trial.attempt,
                reason=verdict.reason,
                detail=verdict.detail,
                rows=Balance.of(reasons),
                n_unmatched_reasoning=sum(row.n_unmatched_reasoning for row in kept),
                n_joined_user_messages=sum(row.n_joined_user_messages for row in kept),
                n_cut_rows=sum(row.n_left_out_messages > 0 for row in kept),
            )
        )


def convert_job(
    job: JobPaths,
    settings: ConversionSettings,
    tasks: Mapping[str, TaskToday] | None = None,
    *,
    n_workers: int | None = None,
) -> Receipt:
    """Make the training data behind `job.sft`: a new version, unless one of the same inputs and settings stands.

    Args:
        job: where its files lie.
        settings: what a person chose.
        tasks: what is known today of its tasks, by their ids; without it the bars about that are `unknown`.
        n_workers: processes to convert with, 0 for this one alone; None for as many as the job is worth.

    Returns:
        The receipt; `changed` says whether other data than before is the current one.

    Raises:
        ConversionError: the job as a whole cannot be converted: there is no readable trials.json, the scaffold is
            unknown or another one than the job's, the list of excluded repositories is missing, or LLaMA-Factory
            would lose a row; or a process died, or nothing can be written. A bad trial is rejected instead, and the
            rest goes on.
    """
    plan, versions = Plan.of(job, settings, tasks), Versions.of(job.sft)
    versions.adopt()
    if (standing := _standing(versions, _signature(plan))) is not None:
        is_changed = versions.make_current(standing.folder)
        return standing.model_copy(update={"changed": is_changed, "folder": job.sft})
    current = load_receipt(job.sft)
    with versions.making() as folder:
        im = _carried_over(plan, current, folder) or write_im(plan, folder, n_workers=n_workers)
        reached("im_written")
        receipt = _finished(versions, _receipt(plan, im, write_lf(plan.trials.job, settings, folder), folder))
    n_kept, n_in = receipt.sft_im.trials.n_kept, receipt.sft_im.trials.n_in
    logger.info("job %s: %s of %s trials kept", receipt.job, n_kept, n_in)
    return receipt


@dataclass(frozen=True)
class Foreseen:
    """What a conversion would give; `changed` says whether other data than before would be the current one."""

    trials: Balance
    rows: Balance
    changed: bool


def foresee_job(job: JobPaths, settings: ConversionSettings, tasks: Mapping[str, TaskToday] | None = None) -> Foreseen:
    """Convert a job as `convert_job` does, with the same errors, and write nothing."""
    plan, versions = Plan.of(job, settings, tasks), Versions.of(job.sft)
    if (standing := _standing(versions, _signature(plan))) is not None:
        is_changed = not versions.is_current(standing.folder)
        return Foreseen(standing.sft_im.trials, standing.sft_im.rows, is_changed)
    with Path(os.devnull).open("wb") as nowhere:
        tally = _convert_trials(plan, nowhere, nowhere, None)
    return Foreseen(Balance.of(tally.trial_reasons), Balance.of(tally.row_reasons), changed=True)


def rescore_job(job: JobPaths, settings: ConversionSettings, *, dry_run: bool = False) -> Rescored:
    """Score the rows of a job again, and let lf.json follow in the style that it has; `dry_run` only tells.

    Raises:
        ConversionError: there is no im.jsonl with its receipt.
    """
    standing = load_receipt(job.sft)
    if standing is None or not stands(standing.sft_im.files, job.sft):
        mend = "convert the job first: `trajgen convert`"
        raise ConversionError("there is no im.jsonl with its receipt", where=job.sft, mend=mend)
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


def _refuse_other_tokenizer(standing: Receipt, tokenizer: TokenizerFiles | None) -> None:
    stated = tokenizer.stated if tokenizer else None
    if standing.sft_lf.lf_format != "sharegpt" and standing.settings.get("tokenizer") != stated:
        mend = "convert the job again, or name the tokenizer that it was converted with"
        raise ConversionError("the rows were written by another tokenizer", where=standing.folder, mend=mend)


def write_im(plan: Plan, folder: Path, *, n_workers: int | None = None) -> ImReceipt:
    """Write im.jsonl and rejected.jsonl of a job into `folder`.

    Args:
        plan: what the conversion starts from.
        folder: where to write.
        n_workers: processes to convert with, 0 for this one alone; None for as many as the job is worth.

    Raises:
        ConversionError: a process died.
    """
    paths = SftPaths(folder)
    with open_atomic(paths.im) as kept, open_atomic(paths.rejected) as rejected:
        tally = _convert_trials(plan, kept, rejected, n_workers)
    return ImReceipt(
        signature=plan.signature(),
        score_version=SCORE_VERSION,
        trials=Balance.of(tally.trial_reasons),
        rows=Balance.of(tally.row_reasons),
        per_trial=tuple(tally.per_trial),
        placeholders=dict(sorted(tally.placeholders.items())),
        files=digests(paths.im, paths.rejected),
    )


def write_lf(job: str, settings: ConversionSettings, folder: Path) -> LfReceipt:
    """Write lf.json, lf.stats.json and dataset_info.json from the im.jsonl in `folder`.

    Raises:
        ConversionError: LLaMA-Factory would lose a row of it.
    """
    n_rows, files = write_lf_files(SftPaths(folder), job, settings.lf_format, style_tokenizer(settings))
    return LfReceipt(signature=lf_signature(job, settings), lf_format=settings.lf_format, n_rows=n_rows, files=files)


def lf_signature(job: str, settings: ConversionSettings) -> str:
    """Digest what makes lf.json of a job what it is, beside its im.jsonl."""
    tokenizer = style_tokenizer(settings)
    return sha256_json([CODE_VERSION, settings.lf_format, job, tokenizer.sha256 if tokenizer else None])


def style_tokenizer(settings: ConversionSettings) -> TokenizerFiles | None:
    """Return the tokenizer whose template writes the rows of lf.json, if the style has them written by one.

    Raises:
        ConversionError: it is not to be had.
    """
    if settings.lf_format == "sharegpt" or settings.tokenizer_name is None:
        return None
    return find_tokenizer(settings.tokenizer_name)


def _signature(plan: Plan) -> str:
    return joint_signature(plan.signature(), SCORE_VERSION, lf_signature(plan.trials.job, plan.settings))


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


def write_lf_files(
    paths: SftPaths, name: str, lf_format: LfFormat, tokenizer: TokenizerFiles | None = None
) -> tuple[int, dict[str, FileDigest]]:
    """Write all that LLaMA-Factory needs of the rows of im.jsonl, as data set `name`; `lf_row` says what for.

    Returns:
        The number of rows, and the digest of each file that was written.

    Raises:
        ConversionError: LLaMA-Factory would lose a row, or the tokenizer's template does not write one.
    """
    stats = _write_rows(paths, lf_format, tokenizer)
    atomic.write_json(paths.stats, stats.as_json())
    atomic.write_json(paths.dataset, dataset_entry(name, lf_format, paths.lf.name))
    return stats.n_rows, digests(paths.lf, paths.stats, paths.dataset)


def _receipt(plan: Plan, im: ImReceipt, lf: LfReceipt, folder: Path) -> Receipt:
    return Receipt(
        job=plan.trials.job,
        scaffold=plan.scaffold.name,
        code_version=CODE_VERSION,
        settings=plan.stored_settings,
        filters={
            "trials": [each.reason.value for each in plan.filters],
            "rows": [*(each.reason.value for each in row_filters(plan.settings)), Reason.OVER_LENGTH.value],
        },
        sft_im=im,
        sft_lf=lf,
        folder=folder,
    )


def _convert_trials(plan: Plan, kept: IO[bytes], rejected: IO[bytes], n_workers: int | None) -> Tally:
    tally = Tally()
    filters = plan.filters
    refusals = [first_refusal(filters, trial, unknown=plan.settings.unknown) for trial in plan.trials.trials]
    taken = plan.restricted_to(
        trial for trial, refusal in zip(plan.trials.trials, refusals, strict=True) if refusal is None
    )
    seen: dict[bytes, str] = {}
    n_workers = n_workers_for(taken, n_cores=n_cores()) if n_workers is None else n_workers
    with verdicts_on(taken, n_workers=n_workers) as verdicts:
        for trial, refusal in zip(plan.trials.trials, refusals, strict=True):
            if refusal is None and tally.n_kept == plan.settings.max_instances:
                verdict = TrialRows(Reason.MAX_INSTANCES)
            elif refusal is None:
                verdict = without_duplicates(next(verdicts), str(trial.trial_name), seen)
            else:
                verdict = TrialRows(refusal.reason, refusal.detail)
            _write_trial(trial, verdict, kept, rejected)
            tally.add(trial, verdict)
    return tally


def _write_trial(trial: TrialEntry, verdict: TrialRows, kept: IO[bytes], rejected: IO[bytes]) -> None:
    """Write kept rows to one file; a trial's rejection, and rejected rows with their reason, to the other."""
    label: Json = {"task_id": trial.task_id, "trial": trial.trial_name}
    if verdict.reason is not None:
        rejected.write(encode({**label, "level": "trial", "reason": verdict.reason, "detail": verdict.detail}) + b"\n")
    for ordinal, row in enumerate(verdict.rows):
        if row.reason is None:
            kept.write(row.line + b"\n")
        else:
            refusal = {**label, "level": "row", "conversation": ordinal, "reason": row.reason, "detail": row.detail}
            rejected.write(encode(refusal)[:-1] + b',"row":' + row.line + b"}\n")


def _mixed_facts(paths: SftPaths) -> frozenset[str]:
    """Read all rows once before any is written: only then is known which facts keep their shape."""
    return unfit_keys((im["meta_info"]["unique_info"] for im in read_im(paths.im)), COPIED_FACTS)


def _write_rows(paths: SftPaths, lf_format: LfFormat, tokenizer: TokenizerFiles | None) -> LfStats:
    stats = LfStats()
    as_text = _mixed_facts(paths) if lf_format != "sharegpt" else frozenset()
    with open_atomic(paths.lf) as file:
        array = ArrayWriter(file)
        for im in read_im(paths.im):
            array.add(encode(_loadable_row(im, lf_format, as_text, tokenizer, f"row {stats.n_rows + 1} of {paths.im}")))
            stats.add(im)
        array.close()
    return stats


def _loadable_row(
    im: Json, lf_format: LfFormat, as_text: frozenset[str], tokenizer: TokenizerFiles | None, where: str
) -> Json:
    try:
        row = lf_row(im, lf_format, as_text, tokenizer)
    except RefusedByTemplateError as error:
        mend = "choose the format sharegpt, or a tokenizer with another chat template"
        raise ConversionError("the chat template does not write a row", where=where, why=error, mend=mend) from error
    if fault := check_lf_row(row):
        raise ConversionError("LLaMA-Factory would not load a row", where=where, why=fault, mend="report it")
    return row
