"""Whether a receipt is about the files beside it: in = kept + rejected, and the files are what it says."""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TypeVar

import orjson
from pydantic import BaseModel, ValidationError

from trajgen_assets.core.sft.checks.findings import Check, Finding, Verdict
from trajgen_assets.core.sft.data_sets.receipt import DataSetReceipt, total
from trajgen_assets.core.sft.encoding import read_array
from trajgen_assets.core.sft.receipt import Balance, FileDigest, Receipt, SftPaths

AnyReceipt = TypeVar("AnyReceipt", bound=BaseModel)


def check_im_balance(paths: SftPaths) -> Verdict:
    """Look at what the receipt of a job says of im.jsonl and rejected.jsonl."""
    verdict = Verdict(Check.RECEIPT_BALANCES)
    if (receipt := _read(Receipt, paths, verdict)) is None:
        return verdict
    made = receipt.sft_im
    verdict.n_rows = made.rows.n_in
    _hold(paths, total(each.rows for each in made.per_trial) == made.rows, "rows", "not the sum of its trials", verdict)
    _hold_files(paths, made.files, verdict)
    _hold_rows(paths, {"trial": made.trials, "row": made.rows}, verdict)
    _hold_table(paths, made.rows.n_in, verdict)
    return verdict


def check_lf_balance(paths: SftPaths) -> Verdict:
    """Look at what the receipt of a job says of lf.json and what lies beside it."""
    verdict = Verdict(Check.RECEIPT_BALANCES)
    if (receipt := _read(Receipt, paths, verdict)) is None:
        return verdict
    made = receipt.sft_lf
    verdict.n_rows = made.n_rows
    _hold(paths, made.n_rows == receipt.n_rows, "sft_lf.n_rows", "im.jsonl has another number of rows", verdict)
    _hold_files(paths, made.files, verdict)
    _hold_lf(paths, made.n_rows, verdict)
    return verdict


def check_data_set_balance(paths: SftPaths) -> Verdict:
    """Look at what the receipt of a data set says of all its files."""
    verdict = Verdict(Check.RECEIPT_BALANCES)
    if (receipt := _read(DataSetReceipt, paths, verdict)) is None:
        return verdict
    verdict.n_rows = receipt.rows.n_in
    _hold_files(paths, receipt.files, verdict)
    _hold_rows(paths, {"row": receipt.rows}, verdict)
    _hold_table(paths, receipt.rows.n_in, verdict)
    _hold_lf(paths, receipt.rows.n_kept, verdict)
    return verdict


def _read(kind: type[AnyReceipt], paths: SftPaths, verdict: Verdict) -> AnyReceipt | None:
    try:
        return kind.model_validate_json(paths.receipt.read_bytes())
    except FileNotFoundError:
        verdict.add(Finding(paths.receipt.name, None, "", "it is missing"))
    except ValidationError as error:
        for each in error.errors(include_url=False, include_input=False):
            place = ".".join(map(str, each["loc"]))
            verdict.add(Finding(paths.receipt.name, None, place, each["msg"]))
    return None


def _hold(paths: SftPaths, claim: bool, field: str, fault: str, verdict: Verdict) -> None:
    if not claim:
        verdict.add(Finding(paths.receipt.name, None, field, fault))


def _hold_files(paths: SftPaths, files: Mapping[str, FileDigest], verdict: Verdict) -> None:
    for name, digest in files.items():
        if not digest.matches(paths.folder / name):
            verdict.add(Finding(name, None, "", "it is missing, or not the file of the receipt"))


def _hold_rows(paths: SftPaths, balances: Mapping[str, Balance], verdict: Verdict) -> None:
    """Count the lines: im.jsonl has what was kept, rejected.jsonl each rejection under its reason."""
    n_lines = sum(1 for _ in _lines(paths.im))
    if n_lines != balances["row"].n_kept:
        found = f"{n_lines} rows, and the receipt has {balances['row'].n_kept} kept"
        verdict.add(Finding(paths.im.name, None, "", found))
    counted = Counter(map(_level_and_reason, _lines(paths.rejected)))
    expected = Counter({(level, reason): n for level, each in balances.items() for reason, n in each.rejected.items()})
    for level, reason in sorted(counted.keys() | expected.keys()):
        n, wanted = counted[level, reason], expected[level, reason]
        if n != wanted:
            found = f"{n} times {reason} of a {level}, and the receipt has {wanted}"
            verdict.add(Finding(paths.rejected.name, None, "reason", found))


def _hold_table(paths: SftPaths, n_rows: int, verdict: Verdict) -> None:
    """Count the lines of rows.parquet: one for each row, kept or not."""
    import polars as pl

    try:
        found = str(pl.scan_parquet(paths.table).select(pl.len()).collect().item())
    except (OSError, pl.exceptions.PolarsError):
        found = "unreadable"
    if found != str(n_rows):
        verdict.add(Finding(paths.table.name, None, "", f"{found} rows, and the receipt has {n_rows}"))


def _hold_lf(paths: SftPaths, n_rows: int, verdict: Verdict) -> None:
    try:
        n_elements = sum(1 for _ in read_array(paths.lf))
    except (OSError, ValueError):
        n_elements = None
    if n_elements != n_rows:
        found = f"{'unreadable' if n_elements is None else f'{n_elements} rows'}, and the receipt has {n_rows}"
        verdict.add(Finding(paths.lf.name, None, "", found))


def _lines(path: Path) -> Iterator[bytes]:
    if path.is_file():
        with path.open("rb") as file:
            yield from file


def _level_and_reason(line: bytes) -> tuple[str, str]:
    try:
        row = orjson.loads(line)
        return str(row["level"]), str(row["reason"])
    except (ValueError, KeyError, TypeError):
        return "broken line", ""
