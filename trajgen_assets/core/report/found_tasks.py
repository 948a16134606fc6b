"""Which task an id of the earlier system means, and the entries of a published ledger as tasks."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from trajgen_assets.core.config.config import Config
from trajgen_assets.core.errors import ImportRefusedError, ManifestError
from trajgen_assets.core.intake.manifest import read_manifest
from trajgen_assets.core.keys import TaskKey
from trajgen_assets.core.ledger.importing import FoundTask
from trajgen_assets.core.ledger.models import TaskRow, TaskStatus
from trajgen_assets.core.ledger.published import N_PROBLEMS_SHOWN, PublishedTask

# Of several entries for one task the one that says most counts: the earlier system wrote one for each run.
_STRENGTH = [TaskStatus.PENDING, TaskStatus.RUNNING, TaskStatus.FAILED, TaskStatus.SKIPPED, TaskStatus.DONE]


@dataclass(frozen=True)
class Resolver:
    """Says which task a bare id means.

    Attributes:
        campaign: of ids that name none.
        dataset: the data set that a person named for bare ids, if any.
        owners: data sets that list or registered an id.
        datasets: all data sets that are configured.
    """

    campaign: str
    dataset: str | None = None
    owners: Mapping[str, frozenset[str]] = field(default_factory=dict)
    datasets: Sequence[str] = ()

    def __call__(self, task_id: str, folder: str | None = None) -> TaskKey:
        """The task. `folder` is the name of the folder that it lay in; it decides between data sets that have the id.

        Raises:
            ImportRefusedError: several data sets have the id, or none does and it is not plain whose it is.
        """
        owners = self.owners.get(task_id, frozenset())
        if self.dataset is not None and (self.dataset in owners or not owners):
            return TaskKey(self.campaign, self.dataset, task_id)
        if self.dataset is not None:
            why = f"it is listed by {', '.join(sorted(owners))}"
            raise ImportRefusedError(f"{task_id} is not of data set {self.dataset}", why=why)
        candidates = owners & {folder} or owners or frozenset(self.datasets)
        if len(candidates) == 1:
            return TaskKey(self.campaign, next(iter(candidates)), task_id)
        why = f"{' and '.join(sorted(owners))} list it" if owners else "no manifest lists it"
        raise ImportRefusedError(
            f"it is not plain which data set {task_id} is of",
            why=why,
            mend="say so with --dataset, one data set at a time",
        )


def resolver(config: Config | None, rows: Iterable[TaskRow], campaign: str, dataset: str | None) -> Resolver:
    """A resolver that knows the manifests of `config`, as far as they can be read, and the registered tasks.

    Raises:
        ConfigError: `dataset` is neither configured nor registered, so it is mistyped.
    """
    sources = config.sources() if config is not None else []
    owners: dict[str, set[str]] = {}
    registered = set()
    for row in rows:
        owners.setdefault(row.task_id, set()).add(row.dataset)
        registered.add(row.dataset)
    if config is not None and dataset is not None and dataset not in registered:
        config.source(dataset)
    for source in sources:
        try:
            entries = read_manifest(source.manifest).entries
        except ManifestError:
            continue
        for task_id in entries:
            owners.setdefault(task_id, set()).add(source.dataset)
    known = {task_id: frozenset(names) for task_id, names in owners.items()}
    return Resolver(campaign, dataset, known, [source.dataset for source in sources])


def found_tasks(entries: Iterable[PublishedTask], resolve: Resolver, where: object, *, edited: bool) -> list[FoundTask]:
    """The entries as tasks, each once.

    Args:
        edited: the file is a view of ours that a person changed, so what it takes back is meant.

    Raises:
        ImportRefusedError: an id may be of several data sets. It names every one with its line.
    """
    found: dict[TaskKey, FoundTask] = {}
    faults = []
    for entry in entries:
        try:
            key = _key(entry, resolve)
        except ImportRefusedError as error:
            faults.append(f"line {entry.line}: {error.what}, {error.why}")
            continue
        task = _found(key, entry, is_wish=edited and entry.n_attempts is not None)
        standing = found.get(key)
        if standing is None or _STRENGTH.index(task.status) >= _STRENGTH.index(standing.status):
            found[key] = task
    if faults:
        more = f"; and {len(faults) - N_PROBLEMS_SHOWN} more" if len(faults) > N_PROBLEMS_SHOWN else ""
        raise ImportRefusedError(
            "this ledger does not say which tasks it means",
            where=where,
            why="; ".join(faults[:N_PROBLEMS_SHOWN]) + more,
            mend="name the data set of bare ids with --dataset; nothing was taken",
        )
    return list(found.values())


def _key(entry: PublishedTask, resolve: Resolver) -> TaskKey:
    if entry.dataset is None:
        key = resolve(entry.task_id)
        return key if entry.campaign is None else replace(key, campaign=entry.campaign)
    return TaskKey(entry.campaign or resolve.campaign, entry.dataset, entry.task_id)


def _found(key: TaskKey, entry: PublishedTask, *, is_wish: bool) -> FoundTask:
    return FoundTask(
        key,
        entry.status,
        entry.submitted_at,
        entry.completed_at,
        entry.trajectory_path,
        entry.reward,
        entry.note,
        entry.digest,
        entry.n_attempts,
        is_wish,
    )
