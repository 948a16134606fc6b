"""The checks of training data: what the files themselves show, row by row, whenever they are made or asked for."""

from collections.abc import Iterable, Iterator
from typing import Any

import dagster as dg

from trajgen_assets.assets.checks.partitioned import partition_check
from trajgen_assets.assets.standing import target_of
from trajgen_assets.core.platform import Platform
from trajgen_assets.core.sft.checks.files import Subject
from trajgen_assets.core.sft.checks.findings import Check, Verdict
from trajgen_assets.core.sft.checks.folders import (
    DATA_SET_CHECKS,
    IM_CHECKS,
    LF_CHECKS,
    look_at_data_set,
    look_at_im,
    look_at_lf,
)
from trajgen_assets.core.sft.checks.secrets import SecretFinder
from trajgen_assets.core.sft.filters import read_excluded_repos
from trajgen_assets.core.sft.settings import ConversionSettings
from trajgen_assets.names import SFT_DATA_SET, SFT_IM, SFT_LF
from trajgen_assets.partitions import data_set_partitions, job_partitions

LOOK = {SFT_IM: look_at_im, SFT_LF: look_at_lf, SFT_DATA_SET: look_at_data_set}

WORDS = {
    Check.ROLES_ALTERNATE: (
        "User, assistant and tool messages of each row follow each other as they can, and each call but the last "
        "turn's has its result."
    ),
    Check.NO_SECRETS: (
        "No row holds a secret of the configuration or a key that this platform makes: that fails. What only looks "
        "like a key, which a repository's own tests may hold, is a warning."
    ),
    Check.NO_EXCLUDED_REPOSITORY: (
        "No row is of a repository on the list of excluded ones, as the configuration has it now: a row of before the "
        "list grew fails, until its job is converted again."
    ),
    Check.LOADER_KEEPS_EVERY_ROW: (
        "LLaMA-Factory 0.9.5 would load each row whole, all rows fit one table, and `dataset_info.json` leads to them. "
        "It drops a row of the wrong shape with no more than a line in its log."
    ),
    Check.RECEIPT_BALANCES: (
        "The receipt is about these files: in = kept + rejected by reason, each file is the one that was written, and "
        "has as many rows as the receipt says."
    ),
}

COLUMNS = [dg.TableColumn("file"), dg.TableColumn("row", "int"), dg.TableColumn("field"), dg.TableColumn("found")]


def _specs(
    asset: dg.AssetKey, checks: Iterable[Check], partitions: dg.PartitionsDefinition[str]
) -> list[dg.AssetCheckSpec]:
    """All block: a training run over data that one of them fails for learns what nobody meant it to."""
    return [partition_check(each.value, asset, WORDS[each], partitions, blocking=True) for each in checks]


JOB_SPECS = [*_specs(SFT_IM, IM_CHECKS, job_partitions), *_specs(SFT_LF, LF_CHECKS, job_partitions)]
DATA_SET_SPECS = _specs(SFT_DATA_SET, DATA_SET_CHECKS, data_set_partitions)


def look(platform: Platform, asset: dg.AssetKey, name: str, wanted: Iterable[Check]) -> list[Verdict]:
    """Make the checks of one partition that are wanted, over its files as they stand.

    Raises:
        ConversionError: the list of excluded repositories cannot be read.
    """
    excluded = read_excluded_repos(ConversionSettings.of(platform.config).exclude_repos_file)
    folder = platform.root.job(name).sft.resolve()
    return LOOK[asset](Subject(name, folder, SecretFinder.of(platform.config), excluded), set(wanted))


def log_checks(context: dg.AssetExecutionContext, platform: Platform, asset: dg.AssetKey, partition: str) -> list[str]:
    """Make those checks of an asset that the run selects, and log what they found.

    Returns:
        What was found by those that block; the run has to fail by it.
    """
    wanted = {Check(key.name) for key in context.selected_asset_check_keys if key.asset_key == asset}
    verdicts = look(platform, asset, partition, wanted) if wanted else []
    for event in evaluations(context.instance, asset, partition, verdicts):
        context.log_event(event)
    return [f"{verdict.check.value} of {partition}: {verdict.words}" for verdict in verdicts if verdict.n_grave]


def fail_by(faults: list[str]) -> None:
    """End a run by what blocking checks found: nothing that is made from the data may begin in it.

    Raises:
        Failure: they found something.
    """
    if faults:
        raise dg.Failure("; ".join(faults), allow_retries=False)


def evaluations(
    instance: dg.DagsterInstance, asset: dg.AssetKey, partition: str, verdicts: Iterable[Verdict]
) -> Iterator[dg.AssetCheckEvaluation]:
    """What the web UI shows of verdicts, each beside the materialization that it is about."""
    target = target_of(instance, asset, partition)
    for verdict in verdicts:
        yield dg.AssetCheckEvaluation(
            asset,
            verdict.check.value,
            passed=not verdict.n_found,
            severity=dg.AssetCheckSeverity.WARN if not verdict.n_grave else dg.AssetCheckSeverity.ERROR,
            description=verdict.words,
            metadata=_metadata(verdict),
            target_materialization_data=target,
            blocking=True,
            partition=partition,
        )


def _metadata(verdict: Verdict) -> dict[str, Any]:
    rows = {"rows": dg.MetadataValue.int(verdict.n_rows), "found": dg.MetadataValue.int(verdict.n_found)}
    if not verdict.shown:
        return rows
    records = [
        dg.TableRecord({"file": each.file, "row": each.row, "field": each.field, "found": each.found})
        for each in verdict.shown
    ]
    return rows | {"findings": dg.MetadataValue.table(records, dg.TableSchema(COLUMNS))}
