"""`trajgen clean --jobs` and `trajgen gc --jobs`: trials go, and the ledger says so."""

from collections.abc import Callable, Sequence

import typer

from trajgen_assets.cli.ledger.asking import agreed
from trajgen_assets.cli.resting import said
from trajgen_assets.core.clean.jobs import JobTrials, remove_job_trials, unfinished
from trajgen_assets.core.clean.trees import Size
from trajgen_assets.core.counting import count_of
from trajgen_assets.core.errors import RefusedError
from trajgen_assets.core.ledger.ledger import Ledger
from trajgen_assets.core.ledger.store import open_ledger
from trajgen_assets.core.ledger.view import PublishedView
from trajgen_assets.core.paths import Root

Find = Callable[[Ledger], list[JobTrials]]


def clean_jobs(
    root: Root, find: Find, *, dry_run: bool, force: bool, yes: bool, as_json: bool, named: bool
) -> dict[str, object]:
    """Remove the trials of jobs, those whose removal was cut short first.

    Returns:
        What went and what stays, or would, as `--json` has it; then it is not shown in words.

    Raises:
        RefusedError: a named job may not go, or not without `--force`; none goes then.
        UnknownNameError: there is no such job.
    """
    with open_ledger(root) as ledger:
        if not dry_run:
            finish_removals(root, ledger)
        found = find(ledger)
        refused = {each.name: why for each in found if (why := _why_refused(each, force=force))}
        if named and refused and not dry_run:
            name, why = next(iter(refused.items()))
            mend = "`trajgen convert` makes data of it, or add --force to give that up"
            raise RefusedError("its trials are not removed, and no others", where=name, why=why, mend=mend)
        going = [each for each in found if each.name not in refused]
        facts = _facts(going, refused, dry_run=dry_run)
        if not as_json:
            _show(going, refused)
        if dry_run or not going:
            return facts
        agreed("these trials were paid for: remove them for good?", yes=yes)
        remove_all(root, ledger, going)
        if not as_json:
            typer.echo("trajectories removed; their tasks stay done and are not rolled out again")
        return facts


def finish_removals(root: Root, ledger: Ledger) -> None:
    """Finish what was cut short: the ledger has it as removed already."""
    for each in unfinished(root, ledger):
        remove_job_trials(root, ledger, each)
        typer.echo(f"{each.name}: finished a removal that was cut short: {said(each.size)}", err=True)


def remove_all(root: Root, ledger: Ledger, jobs: Sequence[JobTrials]) -> None:
    """Remove the trials of several jobs, then publish what the ledger says of them."""
    for each in jobs:
        remove_job_trials(root, ledger, each)
    PublishedView(ledger, root).refresh(force=True)


def _why_refused(job: JobTrials, *, force: bool) -> str | None:
    return job.left or ("; ".join(job.objections) or None if not force else None)


def _show(going: Sequence[JobTrials], refused: dict[str, str]) -> None:
    for each in going:
        told = f"{count_of(each.n_accepted, 'accepted trial')}, ${each.cost_usd:.2f}"
        typer.echo(f"{each.name}: {said(each.size)}, {told}")
    for name, why in refused.items():
        typer.echo(f"stays: {name}: {why}")
    size, cost = sum((each.size for each in going), Size()), sum(each.cost_usd for each in going)
    typer.echo(f"{count_of(len(going), 'job')}: {said(size)}, ${cost:.2f}")


def _facts(going: Sequence[JobTrials], refused: dict[str, str], *, dry_run: bool) -> dict[str, object]:
    rows = [
        {
            "job": each.name,
            "n_files": each.size.n_files,
            "size_bytes": each.size.size_bytes,
            "n_accepted": each.n_accepted,
            "cost_usd": each.cost_usd,
        }
        for each in going
    ]
    return {"dry_run": dry_run, "jobs": rows, "stays": [{"job": job, "why": why} for job, why in refused.items()]}
