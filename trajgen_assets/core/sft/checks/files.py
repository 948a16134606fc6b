"""The checks of one folder of training data: each file is read once, row by row, for all checks that are wanted."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import orjson

from trajgen_assets.core.sft.checks.findings import MAX_LENGTH, Check, Finding, Verdict
from trajgen_assets.core.sft.checks.secrets import SecretFinder
from trajgen_assets.core.sft.columns import unfit_keys
from trajgen_assets.core.sft.encoding import read_array
from trajgen_assets.core.sft.filters import pairing_fault, repo_pattern, role_fault
from trajgen_assets.core.sft.lf import COPIED_FACTS, check_lf_row, dataset_entry
from trajgen_assets.core.sft.messages import Json
from trajgen_assets.core.sft.receipt import SftPaths
from trajgen_assets.core.sft.settings import LfFormat

# A check of one row: the place and what is wrong there, and whether it is grave.
RowCheck = Callable[[bytes, Json], Iterator[tuple[str, str, bool]]]


@dataclass(frozen=True)
class Subject:
    """What is looked at, and what an installation knows of what must not be in it.

    Attributes:
        name: of the job or data set; that of the folder may be one of its versions.
    """

    name: str
    folder: Path
    secrets: SecretFinder
    excluded_repos: tuple[str, ...] = ()

    @property
    def paths(self) -> SftPaths:
        """The files."""
        return SftPaths(self.folder)


def check_im(subject: Subject, wanted: Collection[Check]) -> dict[Check, Verdict]:
    """Look at im.jsonl. Whatever it holds, this raises nothing: what cannot be read is a finding."""
    checks: dict[Check, RowCheck] = {
        Check.ROLES_ALTERNATE: _roles,
        Check.NO_SECRETS: subject.secrets.found_in,
        Check.NO_EXCLUDED_REPOSITORY: _exclusion_of(subject.excluded_repos),
    }
    chosen = {check: look for check, look in checks.items() if check in wanted}
    verdicts = {check: Verdict(check) for check in chosen}
    _look_at(subject.paths.im, _lines_of(subject.paths.im), chosen, verdicts)
    if Check.NO_EXCLUDED_REPOSITORY in verdicts and not subject.excluded_repos:
        verdicts[Check.NO_EXCLUDED_REPOSITORY].note = "no list of excluded repositories is configured"
    return verdicts


def check_lf(subject: Subject, wanted: Collection[Check]) -> dict[Check, Verdict]:
    """Look at lf.json and dataset_info.json as LLaMA-Factory would read them. Raises nothing either."""
    checks: dict[Check, RowCheck] = {
        Check.LOADER_KEEPS_EVERY_ROW: _loading,
        Check.NO_SECRETS: subject.secrets.found_in,
    }
    chosen = {check: look for check, look in checks.items() if check in wanted}
    verdicts = {check: Verdict(check) for check in chosen}
    paths = subject.paths
    _look_at(paths.lf, read_array(paths.lf), chosen, verdicts)
    if (verdict := verdicts.get(Check.LOADER_KEEPS_EVERY_ROW)) is not None:
        for finding in _loading_as_a_whole(paths, subject.name, verdict):
            verdict.add(finding)
    return verdicts


def _look_at(path: Path, lines: Iterator[bytes], checks: dict[Check, RowCheck], verdicts: dict[Check, Verdict]) -> None:
    """Give each row to each check; the end of a file that cannot be read on is a finding of each."""
    if not checks:
        return
    number = 0
    try:
        for number, line in enumerate(lines, 1):
            row = _parsed(line)
            for check, look in checks.items():
                verdicts[check].n_rows = number
                for field, found, is_grave in _found_by(look, line, row):
                    verdicts[check].add(Finding(path.name, number, field, found[:MAX_LENGTH], is_grave))
    except (OSError, ValueError) as error:
        why = (error.strerror if isinstance(error, OSError) else None) or str(error)
        for verdict in verdicts.values():
            verdict.add(Finding(path.name, number + 1 if number else None, "", why))


def _found_by(look: RowCheck, line: bytes, row: Json | None) -> list[tuple[str, str, bool]]:
    """What a check finds in a row. One that is not built as rows are is a fault, and not the end of the check."""
    if row is None:
        return [("", "it is no JSON object", True)]
    try:
        return list(look(line, row))
    except (KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
        return [("", f"it is not built as rows are: {type(error).__name__}: {error}", True)]


def _parsed(line: bytes) -> Json | None:
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return row if isinstance(row, dict) else None


def _lines_of(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        yield from file


def _roles(_: bytes, row: Json) -> Iterator[tuple[str, str, bool]]:
    messages = row["messages"]
    for fault in (role_fault(messages), pairing_fault(messages)):
        if fault is not None:
            yield "messages", fault, True


def _exclusion_of(repos: tuple[str, ...]) -> RowCheck:
    patterns = {repo: repo_pattern(repo) for repo in repos}

    def look(_: bytes, row: Json) -> Iterator[tuple[str, str, bool]]:
        task = row["meta_info"]["unique_info"]["_instance_id"]
        for repo, pattern in patterns.items():
            if pattern.fullmatch(task):
                yield "meta_info.unique_info._instance_id", f"{task} is of {repo}, which is excluded", True

    return look


def _loading(_: bytes, row: Json) -> Iterator[tuple[str, str, bool]]:
    if (fault := check_lf_row(row)) is not None:
        yield "conversations" if "conversations" in row else "messages", fault, True


def _loading_as_a_whole(paths: SftPaths, name: str, seen: Verdict) -> Iterator[Finding]:
    """What LLaMA-Factory needs of all rows together: one shape for each column, and a way to the file."""
    if not seen.n_found:
        rows = map(orjson.loads, read_array(paths.lf))
        for key in sorted(unfit_keys(rows, COPIED_FACTS)):
            yield Finding(paths.lf.name, None, key, "its values do not fit one column")
    try:
        entry = orjson.loads(paths.dataset.read_bytes())
    except (OSError, ValueError):
        yield Finding(paths.dataset.name, None, "", "it is missing, or no JSON")
        return
    if entry not in [dataset_entry(name, lf_format, paths.lf.name) for lf_format in get_args(LfFormat)]:
        yield Finding(paths.dataset.name, None, name, f"it does not lead to {paths.lf.name} as its rows are")
