"""Which jobs a command is about, where a person may name them, or all, or those since a time or a job."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import typer

from trajgen_assets.cli.jobs import refuse_unknown_job
from trajgen_assets.core.errors import ConfigError, ConversionError, RefusedError, UnknownNameError
from trajgen_assets.core.ledger.models import JobRow
from trajgen_assets.core.ledger.removals import REMOVED
from trajgen_assets.core.platform import Platform
from trajgen_assets.core.rollout.trials import is_removed, load_trials
from trajgen_assets.core.sft.candidates import why_left_out
from trajgen_assets.core.sft.scaffolds import why_no_data

LATEST = "latest"


@dataclass(frozen=True)
class ChosenJobs:
    """Names of jobs, oldest first where they were not named, and why others are not among them."""

    names: Sequence[str]
    left_out: dict[str, str] = field(default_factory=dict)


def choose_jobs(platform: Platform, named: Sequence[str], *, take_all: bool, since: str | None) -> ChosenJobs:
    """Find the jobs that a conversion is about. `latest` names the newest one that data can be made of.

    Raises:
        ConfigError: nothing is asked for, or names and one of the others, or `since` is no job and no time.
        RefusedError: a named job is one that no training data can be made of.
        UnknownNameError: there is no such job.
    """
    if bool(named) == (take_all or since is not None):
        raise ConfigError("a conversion is about named jobs, or about --all, or about those --since", mend="say which")
    if named:
        return ChosenJobs(list(dict.fromkeys(_name(platform, name) for name in named)))
    rows = platform.ledger.jobs()
    if since is not None:
        rows = list(_since(rows, since))
    return _usable(platform, rows)


def _name(platform: Platform, name: str) -> str:
    if name == LATEST and not platform.root.job(name).dir.exists():
        usable = _usable(platform, platform.ledger.jobs()).names
        if not usable:
            raise UnknownNameError("there is no job that data can be made of", where=name)
        return usable[-1]
    refuse_unknown_job(platform.root, name)
    _refuse_if_never_data(platform, name)
    if is_removed(platform.root.job(name)):
        typer.echo(f"note: {name}: {REMOVED}; its data stays as it was converted last", err=True)
    return name


def _refuse_if_never_data(platform: Platform, name: str) -> None:
    try:
        why = why_no_data(load_trials(platform.root.job(name).trials))
    except ConversionError:  # said when it is its turn: others may be converted
        return
    if why is not None:
        mend = "roll the tasks out in another campaign, or with another scaffold: `trajgen start`"
        raise RefusedError("no training data can be made of the job", where=name, why=why, mend=mend)


def _usable(platform: Platform, rows: Sequence[JobRow]) -> ChosenJobs:
    left_out = {row.name: why for row in rows if (why := why_left_out(platform.root, row)) is not None}
    return ChosenJobs([row.name for row in rows if row.name not in left_out], left_out)


def _since(rows: Sequence[JobRow], since: str) -> Iterator[JobRow]:
    """The jobs that were assigned with or after another one, or at or after a time in UTC."""
    named = next((row for row in rows if row.name == since), None)
    start = named.assigned_at if named is not None else _time(since)
    yield from (row for row in rows if row.assigned_at >= start)


def _time(text: str) -> datetime:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        mend = "write 2026-11-25, 2026-11-25T08:30, or a name that `trajgen status` shows"
        raise ConfigError(f"{text[:80]!r} is no job and no time", where="--since", mend=mend) from None
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time
