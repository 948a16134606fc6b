"""The tasks: what each manifest lists, and which of it could be rolled out."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from trajgen_assets.core.counting import count_of, some_of
from trajgen_assets.core.errors import ManifestError, TaskError
from trajgen_assets.core.intake.exclusions import excluded_ids
from trajgen_assets.core.intake.manifest import Manifest, read_manifest
from trajgen_assets.core.intake.source import TaskSource
from trajgen_assets.core.intake.task import TaskFolder, inspect_task
from trajgen_assets.core.preflight.findings import Finding, Subject, fail, ok, warn

# Folders are looked at for so long, shared by the data sets: a hundred thousand of them take minutes on a cold disk.
LOOK_S = 10.0
N_SHOWN = 3

# Dagster's pages take seconds from a hundred thousand partitions on.
MANY_PARTITIONS = 80_000


def manifests(subject: Subject) -> Iterator[Finding]:
    """Each data set's manifest and folders; one that cannot be read does not hide the others."""
    sources = subject.config.sources()
    for source in sources:
        try:
            yield from _manifest(source, LOOK_S / len(sources))
        except ManifestError as error:
            yield fail(error, subject=source.dataset)


def exclusions(subject: Subject) -> Finding:
    """The list of retired tasks can be read."""
    n = len(excluded_ids(subject.config, subject.root))
    return ok(count_of(n, "id") if n else "none")


def partitions(subject: Subject, *, many: int = MANY_PARTITIONS) -> Finding:
    """How many partitions the tasks of this root are, or become."""
    counts = subject.ledger.counts()
    n = counts.registered - counts.waiting
    if n >= many:
        mend = "give further data sets a root of their own: `trajgen --root DIR setup`"
        return warn(f"{n:,} tasks are partitions; the web UI gets slow from 100,000 on", mend)
    return ok(f"{n:,} of at most {many:,}")


def _manifest(source: TaskSource, within_s: float) -> Iterator[Finding]:
    manifest = read_manifest(source.manifest)
    looked = _look(source, manifest, within_s)
    n_listed, n_looked, n_usable = len(manifest.entries), len(looked), sum(each.is_usable for each in looked)
    seen = "" if n_looked == n_listed else f" of {n_looked} that were looked at"
    if n_listed and not n_usable:
        mend = "name the folder in which the task folders are (task_source.dataset_name), or complete them"
        where = source.folder
        yield fail(TaskError(f"none of {n_listed} listed tasks is usable{seen}", where=where, mend=mend),
                   subject=source.dataset)  # fmt: skip
    elif not n_listed:
        yield warn(f"{source.manifest} lists nothing yet", "let the upstream block write it", subject=source.dataset)
    else:
        yield ok(f"{n_listed} listed, {n_usable} usable{seen}", subject=source.dataset)
    yield from _problems(source, manifest, looked)


def _look(source: TaskSource, manifest: Manifest, within_s: float) -> list[TaskFolder]:
    deadline = time.monotonic() + within_s
    looked = []
    for task_id in manifest.entries:
        if time.monotonic() > deadline:
            break
        looked.append(inspect_task(source.folder / task_id))
    return looked


def _problems(source: TaskSource, manifest: Manifest, looked: Sequence[TaskFolder]) -> Iterator[Finding]:
    name = source.dataset
    if manifest.pending_line:
        text = "the manifest's last line has no newline, and waits for one"
        yield warn(text, f"end {_named(source.manifest)} with a newline if it is complete", subject=name)
    if manifest.problems:
        first = manifest.problems[0]
        left_out = count_of(len(manifest.problems), "line is", "lines are")
        text = f"{left_out} left out, the first is line {first.line}: {first.reason}"
        yield warn(text, f"correct {_named(source.manifest)}", subject=name)
    absent = [each for each in looked if "the folder" in each.missing]
    if absent:
        names = some_of([each.task_id for each in absent])
        yield warn(
            f"{len(absent)} listed without a folder: {names}", "put it there; until then they wait", subject=name
        )
    incomplete = [each for each in looked if not each.is_usable and each not in absent]
    if incomplete:
        shown = "; ".join(f"{each.task_id} {each.note}" for each in incomplete[:N_SHOWN])
        more = f"; {len(incomplete) - N_SHOWN} more" if len(incomplete) > N_SHOWN else ""
        yield warn(f"{len(incomplete)} incomplete: {shown}{more}", "complete them; until then they wait", subject=name)


def _named(path: Path) -> str:
    return path.name
