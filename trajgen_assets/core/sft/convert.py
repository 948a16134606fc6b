"""From the trajectories of one job to its training data: im.jsonl first, lf.json out of it.

Both steps read and write one trial or row at a time and replace whole files, the receipt last. On equal
inputs and settings they write equal bytes, and where those stand already they write nothing.
"""

import logging
from collections import Counter
from dataclasses import dataclass, field
from typing import IO

from trajgen_assets.core import atomic
from trajgen_assets.core.atomic import open_atomic
from trajgen_assets.core.errors import ConversionError
from trajgen_assets.core.paths import JobPaths
from trajgen_assets.core.rollout.trials import TrialEntry
from trajgen_assets.core.sft.columns import unfit_keys
from trajgen_assets.core.sft.encoding import ArrayWriter, encode
from trajgen_assets.core.sft.filters import first_refusal, trial_filters
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
    load_receipt,
    stands,
    write_receipt,
)
from trajgen_assets.core.sft.rescore import Rescored, rescore_im
from trajgen_assets.core.sft.rows import TrialRows, without_duplicates
from trajgen_assets.core.sft.score.rules import SCORE_VERSION
from trajgen_assets.core.sft.settings import ConversionSettings, LfFormat
from trajgen_assets.core.sft.stats import LfStats

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
            )
        )


def convert_job(job: JobPaths, settings: ConversionSettings) -> Receipt:
    """Write all training data of a job into `job.sft`.

    Returns:
        The receipt; `changed` says whether any file was written.

    Raises:
        ConversionError: the job as a whole cannot be converted. A bad trial is rejected instead, and the rest goes on.
    """
    im = write_im(job, settings)
    lf = write_lf(job, settings)
    return lf.model_copy(update={"changed": im.changed or lf.changed})


def rescore_job(job: JobPaths, settings: ConversionSettings, *, dry_run: bool = False) -> Rescored:
    """Score the rows of a job again, and let lf.json follow in the style that it has; `dry_run` only tells.

    Raises:
        ConversionError: there is no im.jsonl with its receipt.
    """
    paths, standing = SftPaths(job.sft), load_receipt(job.sft)
    result = rescore_im(job, dry_run=dry_run)
    if not dry_run and paths.lf.exists():
        made = standing.sft_lf if standing else None
        chosen = settings.model_copy(update={"lf_format": made.lf_format if made else settings.lf_format})
        lf = write_lf(job, chosen)
        result.receipt = lf.model_copy(update={"changed": result.receipt.changed or lf.changed})
    return result


def write_im(job: JobPaths, settings: ConversionSettings, *, n_workers: int | None = None) -> Receipt:
    """Write im.jsonl, rejected.jsonl and receipt.json of a job, or nothing when they stand for the same inputs.

    Args:
        job: where its files lie.
        settings: what a person chose.
        n_workers: processes to convert with, 0 for this one alone; None for as many as the job is worth.

    Raises:
        ConversionError: there is no readable trials.json, the scaffold is unknown or another one than the job's, or
            the list of excluded repositories is missing; or a process died.
    """
    plan = Plan.of(job, settings)
    paths, signature = SftPaths(job.sft), plan.signature()
    standing = load_receipt(job.sft)
    if (
        standing
        and standing.sft_im.signature == signature
        and _is_final(standing)
        and stands(standing.sft_im.files, job.sft)
    ):
        return rescore_im(job).receipt if standing.sft_im.score_version != SCORE_VERSION else _unchanged(standing)
    with open_atomic(paths.im) as kept, open_atomic(paths.rejected) as rejected:
        tally = _convert_trials(plan, kept, rejected, n_workers)
    receipt = _receipt(plan, signature, tally, standing)
    write_receipt(receipt)
    logger.info("job %s: %s of %s trials kept", receipt.job, receipt.sft_im.trials.n_kept, receipt.sft_im.trials.n_in)
    return receipt


def write_lf(job: JobPaths, settings: ConversionSettings) -> Receipt:
    """Write lf.json, lf.stats.json and dataset_info.json from im.jsonl, or nothing when they stand for it.

    Raises:
        ConversionError: im.jsonl is missing or not the one of the receipt, or LLaMA-Factory would lose a row of it.
    """
    paths = SftPaths(job.sft)
    receipt = load_receipt(job.sft)
    if receipt is None or not stands(receipt.sft_im.files, job.sft):
        raise ConversionError("there is no im.jsonl with its receipt", where=job.sft, mend="write the IM rows first")
    signature = sha256_json([CODE_VERSION, settings.lf_format, receipt.job, receipt.sft_im.files[paths.im.name].sha256])
    if receipt.sft_lf and receipt.sft_lf.signature == signature and stands(receipt.sft_lf.files, job.sft):
        return _unchanged(receipt)
    n_rows, files = write_lf_files(paths, receipt.job, settings.lf_format)
    lf = LfReceipt(signature=signature, lf_format=settings.lf_format, n_rows=n_rows, files=files)
    receipt = receipt.model_copy(update={"sft_lf": lf, "changed": True})
    write_receipt(receipt)
    return receipt


def write_lf_files(paths: SftPaths, name: str, lf_format: LfFormat) -> tuple[int, dict[str, FileDigest]]:
    """Write all that LLaMA-Factory needs of the rows of im.jsonl, as data set `name`.

    Returns:
        The number of rows, and the digest of each file that was written.

    Raises:
        ConversionError: LLaMA-Factory would lose a row.
    """
    stats = _write_rows(paths, lf_format)
    atomic.write_json(paths.stats, stats.as_json())
    atomic.write_json(paths.dataset, dataset_entry(name, lf_format, paths.lf.name))
    return stats.n_rows, digests(paths.lf, paths.stats, paths.dataset)


def _unchanged(receipt: Receipt) -> Receipt:
    return receipt.model_copy(update={"changed": False})


def _is_final(receipt: Receipt) -> bool:
    """Whether nothing failed for a cause that may go away without any input changing."""
    return Reason.UNEXPECTED_ERROR not in receipt.sft_im.trials.rejected


def _convert_trials(plan: Plan, kept: IO[bytes], rejected: IO[bytes], n_workers: int | None) -> Tally:
    tally = Tally()
    filters = trial_filters(plan.settings, plan.excluded_repos, plan.patches)
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


def _receipt(plan: Plan, signature: str, tally: Tally, standing: Receipt | None) -> Receipt:
    paths = SftPaths(plan.job.sft)
    files = digests(paths.im, paths.rejected)
    is_same_im = standing is not None and standing.sft_im.files.get(paths.im.name) == files[paths.im.name]
    return Receipt(
        job=plan.trials.job,
        scaffold=plan.scaffold.name,
        code_version=CODE_VERSION,
        settings=plan.stored_settings,
        sft_im=ImReceipt(
            signature=signature,
            score_version=SCORE_VERSION,
            trials=Balance.of(tally.trial_reasons),
            rows=Balance.of(tally.row_reasons),
            per_trial=tuple(tally.per_trial),
            placeholders=dict(sorted(tally.placeholders.items())),
            files=files,
        ),
        sft_lf=standing.sft_lf if standing is not None and is_same_im else None,
        folder=paths.folder,
    )


def _mixed_facts(paths: SftPaths) -> frozenset[str]:
    """Read all rows once before any is written: only then is known which facts keep their shape."""
    return unfit_keys((im["meta_info"]["unique_info"] for im in read_im(paths.im)), COPIED_FACTS)


def _write_rows(paths: SftPaths, lf_format: LfFormat) -> LfStats:
    stats = LfStats()
    as_text = _mixed_facts(paths) if lf_format != "sharegpt" else frozenset()
    with open_atomic(paths.lf) as file:
        array = ArrayWriter(file)
        for im in read_im(paths.im):
            row = lf_row(im, lf_format, as_text)
            if fault := check_lf_row(row):
                where = f"row {stats.n_rows + 1} of {paths.im}"
                raise ConversionError("LLaMA-Factory would not load a row", where=where, why=fault, mend="report it")
            array.add(encode(row))
            stats.add(im)
        array.close()
    return stats
