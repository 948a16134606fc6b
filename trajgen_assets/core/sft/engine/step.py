"""Both steps of a conversion by the pinned converter: what is chosen goes in, and all of it is accounted for."""

import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from trajgen_assets.core import atomic
from trajgen_assets.core.atomic import open_atomic
from trajgen_assets.core.errors import ConversionError
from trajgen_assets.core.rollout.trials import TrialEntry
from trajgen_assets.core.sft.encoding import ArrayWriter, encode
from trajgen_assets.core.sft.engine.accounts import account_for, by_task, judged_before, write_rejected
from trajgen_assets.core.sft.engine.converter import (
    JOB_DIR,
    LF_FORMAT,
    NAME,
    TOKENIZER,
    Converter,
    arguments_for,
    module_of,
    refuse_unfit,
)
from trajgen_assets.core.sft.engine.facts import Source, with_platform_facts
from trajgen_assets.core.sft.engine.job_folder import write_job_folder
from trajgen_assets.core.sft.engine.output import MEND, NOT_TAKEN, Pair, pairs_in, stats_in
from trajgen_assets.core.sft.engine.running import run_converter
from trajgen_assets.core.sft.lf import dataset_entry
from trajgen_assets.core.sft.lf_step import lf_signature
from trajgen_assets.core.sft.messages import Json
from trajgen_assets.core.sft.plan import Plan
from trajgen_assets.core.sft.receipt import (
    Balance,
    EngineRun,
    ImReceipt,
    LfReceipt,
    SftPaths,
    TrialReceipt,
    digests,
)
from trajgen_assets.core.sft.stats import LfStats
from trajgen_assets.core.sft.table import RowTable, row_columns, trial_columns
from trajgen_assets.core.sft.tokens import source as tokenizers
from trajgen_assets.core.sft.tokens.length import ruler_of
from trajgen_assets.core.sft.tokens.source import TokenizerFiles

WORK = "converter"
KEPT: Json = {"reason": None, "detail": None}


@dataclass(frozen=True)
class Made:
    """What a run made."""

    im: ImReceipt
    lf: LfReceipt
    engine: EngineRun


def convert_by(converter: Converter, plan: Plan, folder: Path) -> Made:
    """Write all files of a job's training data but the receipt into `folder`, by `converter`.

    Raises:
        ConversionError: it has no option for what is chosen, fails, or writes what is no IM and LF.
        EnvironmentBuildError, RequirementError: there is no environment for it.
    """
    refuse_unfit(plan.settings, plan.scaffold.name)
    judged = judged_before(plan)
    trials, work, paths = by_task(judged), folder / WORK, SftPaths(folder)
    environment = converter.environment()
    work.mkdir()
    placeholders = write_job_folder(plan, trials.values(), work / JOB_DIR)
    _give_tokenizer(plan.tokenizer, work / TOKENIZER)
    module, arguments = (
        module_of(environment.path, plan.scaffold.name),
        arguments_for(plan.settings, plan.scaffold.name),
    )
    run_converter(environment, module, arguments, work)
    n_rows = _take_over(_rows(plan, converter, trials, work), plan, paths)
    stats = stats_in(work, n_rows.total())
    atomic.write_json(paths.stats, LfStats().as_json() if stats is None else stats)
    atomic.write_json(paths.dataset, dataset_entry(plan.trials.job, LF_FORMAT, paths.lf.name))
    shutil.rmtree(work)
    receipts = account_for(judged, n_rows, plan.settings.max_instances)
    write_rejected(receipts, paths.rejected)
    command = ("python", "-m", module, *arguments)
    return Made(
        _im_receipt(plan, receipts, placeholders, paths),
        _lf_receipt(plan, n_rows.total(), paths),
        EngineRun(name=NAME, commit=converter.commit, command=command, exit_code=0),
    )


def _give_tokenizer(tokenizer: TokenizerFiles | None, folder: Path) -> None:
    """Lay the tokenizer's files where the converter's library looks for them, as it knows them."""
    if tokenizer is None:
        return
    folder.mkdir()
    named = {
        tokenizers.TOKENIZER: tokenizer.tokenizer,
        tokenizers.CONFIG: tokenizer.config,
        tokenizers.TEMPLATE: tokenizer.template,
    }
    for name, file in named.items():
        if file is not None:
            (folder / name).symlink_to(file.resolve())


@dataclass(frozen=True)
class _Row:
    """A row of both files, and the trial that it is of."""

    trial: TrialEntry
    im: Json
    lf: Json


def _rows(plan: Plan, converter: Converter, trials: dict[str, TrialEntry], work: Path) -> Iterator[_Row]:
    ruler, n_before = ruler_of(plan.tokenizer), Counter[str]()
    for pair in pairs_in(work):
        source = Source(plan, converter, _trial_of(pair, trials), n_before[pair.task_id])
        n_before[pair.task_id] += 1
        yield _Row(source.trial, with_platform_facts(pair.im, source, ruler), pair.lf)


def _trial_of(pair: Pair, trials: dict[str, TrialEntry]) -> TrialEntry:
    if pair.task_id in trials:
        return trials[pair.task_id]
    why = f"a row is of {pair.task_id[:80]!r}, which it was not given"
    raise ConversionError(NOT_TAKEN, where="im.jsonl", why=why, mend=MEND)


def _take_over(rows: Iterator[_Row], plan: Plan, paths: SftPaths) -> Counter[str]:
    """Write im.jsonl, lf.json and rows.parquet. Returns how many rows each task has."""
    n_rows, table = Counter[str](), RowTable()
    with open_atomic(paths.im) as im, open_atomic(paths.lf) as lf:
        array = ArrayWriter(lf)
        for row in rows:
            line = encode(row.im)
            im.write(line + b"\n")
            array.add(encode(row.lf))
            patch = plan.patches.get(str(row.trial.trial_name))
            table.add(row_columns(row.im, len(line)) | trial_columns(row.trial, patch) | KEPT)
            n_rows[row.trial.task_id] += 1
        array.close()
    table.write(paths.table)
    return n_rows


def _im_receipt(plan: Plan, trials: tuple[TrialReceipt, ...], placeholders: Counter[str], paths: SftPaths) -> ImReceipt:
    n_rows = sum(each.rows.n_kept for each in trials)
    reasons = Counter(each.reason for each in trials if each.reason is not None)
    n_kept = len(trials) - reasons.total()
    return ImReceipt(
        signature=plan.signature(),
        trials=Balance(n_in=len(trials), n_kept=n_kept, rejected=dict(sorted(reasons.items()))),
        rows=Balance(n_in=n_rows, n_kept=n_rows),
        per_trial=trials,
        placeholders=dict(sorted(placeholders.items())),
        files=digests(paths.im, paths.rejected, paths.table),
    )


def _lf_receipt(plan: Plan, n_rows: int, paths: SftPaths) -> LfReceipt:
    return LfReceipt(
        signature=lf_signature(plan.trials.job, plan.settings),
        lf_format=LF_FORMAT,
        n_rows=n_rows,
        files=digests(paths.lf, paths.stats, paths.dataset),
    )
