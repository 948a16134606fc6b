"""`trajgen gc`: give back disk that jobs which are over do not need, and what was made anew."""

import json
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Annotated, Any

import typer

from resources.instance import has_instance, open_instance
from trajgen_assets.cli.clean_jobs import clean_jobs
from trajgen_assets.cli.ledger.asking import AsJson, Yes, agreed, check_choices
from trajgen_assets.cli.resting import configuration, resting, said
from trajgen_assets.cli.state import State, state_of
from trajgen_assets.core.clean.build_cache import build_cache, shrink_build_cache
from trajgen_assets.core.clean.downloads import superseded_downloads
from trajgen_assets.core.clean.images import trial_images
from trajgen_assets.core.clean.jobs import old_jobs
from trajgen_assets.core.counting import count_of
from trajgen_assets.core.errors import ConfigError, RefusedError
from trajgen_assets.core.ledger.store import open_ledger
from trajgen_assets.core.rollout.compressing import plain_jobs
from trajgen_assets.core.sft.superseded import superseded_versions

MB = 1_000_000
NO_CHOICE = (
    "add --compress, --versions, --jobs, --runs, --images, --sources or --build-cache-gb, and --dry-run to see it first"
)


@dataclass
class Call:
    """One call of the command; `facts` is what `--json` prints at its end."""

    state: State
    age: timedelta
    dry_run: bool
    yes: bool
    as_json: bool
    facts: dict[str, Any] = field(default_factory=dict)

    def say(self, line: str) -> None:
        """Show a line, unless a program reads."""
        if not self.as_json:
            typer.echo(line)

    @contextmanager
    def at_rest(self) -> Iterator[None]:
        """Hold the root, unless nothing is changed."""
        with nullcontext() if self.dry_run else resting(self.state, configuration(self.state)):
            yield


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("gc")(collect)


def collect(
    context: typer.Context,
    compress: Annotated[bool, typer.Option("--compress", help="Compress trajectories in place, as zstd.")] = False,
    versions: Annotated[
        bool,
        typer.Option("--versions", help="Delete training data that a later conversion replaced and no data set is of."),
    ] = False,
    jobs: Annotated[
        bool, typer.Option("--jobs", help="Remove trials of the oldest jobs, as `trajgen clean --jobs` does.")
    ] = False,
    runs: Annotated[
        bool, typer.Option("--runs", help="Delete Dagster's runs, with their events, that nothing shown rests on.")
    ] = False,
    images: Annotated[
        bool, typer.Option("--images", help="Remove Docker images that trials which were killed have left.")
    ] = False,
    sources: Annotated[
        bool, typer.Option("--sources", help="Delete downloads of task sources that the configuration names no more.")
    ] = False,
    build_cache_gb: Annotated[
        float | None,
        typer.Option(
            help="Bring the build cache of the whole Docker engine, not only ours, down to so many GB.", min=0
        ),
    ] = None,
    keep_gb: Annotated[
        float | None, typer.Option(help="With --jobs: only until the trials of all jobs take so many GB.", min=0)
    ] = None,
    older_than: Annotated[
        float, typer.Option(help="Only jobs that ended, and runs that were updated, so many days ago.", min=0)
    ] = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be done.")] = False,
    as_json: AsJson = False,
    yes: Yes = False,
) -> None:
    """Make what jobs that are over have left smaller.

    Compressing loses nothing: all of trajgen reads both forms. A version that went can be made again. These two take
    only what is over, and work while a job runs; all else is refused then.
    """
    shrink = build_cache_gb is not None
    if not any((compress, versions, jobs, runs, images, sources, shrink)):
        raise ConfigError("gc does only what it is told", mend=NO_CHOICE)
    _refuse_idle(None if jobs else keep_gb, 0 if compress or versions or jobs or runs else older_than)
    if jobs or runs or sources or shrink:
        check_choices(yes=yes, dry_run=dry_run, as_json=as_json)
    call = Call(state_of(context), timedelta(days=older_than), dry_run, yes, as_json, {"dry_run": dry_run})
    if jobs:
        _delete_jobs(call, keep_gb)
    if compress:
        _compress(call)
    if versions:
        _delete_versions(call)
    if runs:
        _delete_runs(call)
    if images:
        _remove_images(call)
    if sources:
        _delete_downloads(call)
    if build_cache_gb is not None:
        _shrink_build_cache(call, build_cache_gb)
    if as_json:
        typer.echo(json.dumps(call.facts))


def _refuse_idle(keep_gb: float | None, older_than: float) -> None:
    """Refuse options that nothing of what is asked for goes by, instead of passing over them.

    Raises:
        ConfigError
    """
    if keep_gb is not None:
        raise ConfigError("--keep-gb is about the trials of jobs", mend="add --jobs, or leave it out")
    if older_than:
        mend = "add one of these, or leave it out"
        raise ConfigError("--older-than is about --compress, --versions, --jobs and --runs", mend=mend)


def _delete_jobs(call: Call, keep_gb: float | None) -> None:
    keep_bytes = None if keep_gb is None else int(keep_gb * 1000 * MB)
    choice = partial(old_jobs, call.state.root, older_than=call.age, keep_bytes=keep_bytes)
    how = {"dry_run": call.dry_run, "force": False, "yes": call.yes, "as_json": call.as_json, "named": False}
    with call.at_rest():
        call.facts["jobs"] = clean_jobs(call.state.root, choice, **how)


def _compress(call: Call) -> None:
    with open_ledger(call.state.root) as ledger:
        jobs = list(plain_jobs(call.state.root, ledger, older_than=call.age))
    told = call.facts["compress"] = []
    for job in jobs:
        before, n_files = job.size_bytes, len(job.trajectories)
        if not call.dry_run:
            job.compress()
        after = None if call.dry_run else job.size_bytes
        done = "would be compressed" if after is None else f"are {after / MB:,.2f} MB now"
        call.say(f"{job.name}: {count_of(n_files, 'file')} of {before / MB:,.2f} MB {done}")
        told.append({"job": job.name, "n_files": n_files, "size_bytes": before, "compressed_bytes": after})
    if not jobs:
        call.say("nothing to compress")


def _delete_versions(call: Call) -> None:
    jobs = list(superseded_versions(call.state.root, older_than=call.age))
    done = "would be deleted" if call.dry_run else "deleted"
    told = call.facts["versions"] = []
    for job in jobs:
        size_bytes, n_versions = job.size_bytes, len(job.folders)
        if not call.dry_run:
            job.delete(call.state.root)
        call.say(f"{job.job}: {count_of(n_versions, 'version')} of {size_bytes / MB:,.2f} MB {done}")
        for name, why in job.kept.items():
            call.say(f"  {name} stays: {why}")
        told.append({"job": job.job, "n_versions": n_versions, "size_bytes": size_bytes, "stays": job.kept})
    if not jobs:
        call.say("no training data was replaced")


def _delete_runs(call: Call) -> None:
    from resources.old_runs import find_old_runs  # half a second of imports

    root = call.state.root
    if not has_instance(root):
        raise RefusedError("there is no Dagster instance here", where=root.path, mend="run `trajgen setup`")
    with call.at_rest(), open_ledger(root) as ledger, open_instance(root) as instance:
        open_jobs = {job.name for job in ledger.jobs() if not job.state.is_over}
        found = find_old_runs(instance, older_than=call.age, is_open=open_jobs.__contains__)
        for why, n in sorted(found.kept.items()):
            call.say(f"{count_of(n, 'run')} {'stays' if n == 1 else 'stay'}: {why}")
        done = "would be deleted" if call.dry_run else "deleted"
        if found.going and not call.dry_run:
            agreed(f"delete {count_of(len(found.going), 'run')} of Dagster, with what it logged?", yes=call.yes)
            for run_id in found.going:
                instance.delete_run(run_id)
        call.say(f"{count_of(len(found.going), 'run')} {done}")
    call.facts["runs"] = {"deleted": found.going, "stays": dict(sorted(found.kept.items()))}


def _remove_images(call: Call) -> None:
    told = call.facts["images"] = []
    with call.at_rest(), open_ledger(call.state.root) as ledger:
        for each in trial_images(call.state.root, ledger):
            why = None if call.dry_run else each.remove()
            done = f"stays: {why}" if why else "would be removed" if call.dry_run else "removed"
            call.say(f"{each.trial}: {each.image[7:19]} of {each.size_bytes / MB:,.2f} MB {done}")
            facts = {"job": each.job, "trial": each.trial, "image": each.image, "size_bytes": each.size_bytes}
            told.append(facts | {"stays": why})
    if not told:
        call.say("no trial has left an image")


def _delete_downloads(call: Call) -> None:
    with call.at_rest():
        found = superseded_downloads(call.state.root, configuration(call.state))
        going = [each for each in found if each.left is None]
        done = "would be deleted" if call.dry_run else "to be deleted"
        for each in found:
            call.say(f"{each.path}: {said(each.size)} {f'stays: {each.left}' if each.left else done}")
        n_gone = len(going)
        if going and not call.dry_run:
            agreed(
                "delete these downloads? Other roots whose configuration names the folder lose them, too", yes=call.yes
            )
            n_gone = sum(each.remove() for each in going)
        call.say(f"{count_of(n_gone, 'download')} {'would be deleted' if call.dry_run else 'deleted'}")
    call.facts["sources"] = [
        {"path": str(each.path), "size_bytes": each.size.size_bytes, "stays": each.left} for each in found
    ]


def _shrink_build_cache(call: Call, limit_gb: float) -> None:
    with call.at_rest():
        before = build_cache()
        call.say(f"the build cache of the whole Docker engine, whoever built it: {before.size}, {before.unused} unused")
        after = before
        if call.dry_run:
            call.say(f"the oldest of what is unused would be deleted, down to {limit_gb:g} GB")
        else:
            agreed(f"have the engine delete the oldest of what is unused, down to {limit_gb:g} GB?", yes=call.yes)
            shrink_build_cache(int(limit_gb * 1000 * MB))
            after = build_cache()
            call.say(f"the build cache takes {after.size} now")
    call.facts["build_cache"] = {"limit_gb": limit_gb, "size": before.size, "unused": before.unused, "now": after.size}
