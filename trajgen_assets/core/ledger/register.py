"""Registration: what a manifest lists becomes tasks, and what it dropped is marked."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from trajgen_assets.core.keys import TaskKey
from trajgen_assets.core.ledger.models import ListedTask, ManifestSeen, RegisterResult, SkipKind, TaskStatus
from trajgen_assets.core.ledger.rows import DUPLICATE_NOTE, REVOKED_NOTE, UNSEEN_REASON, chunked
from trajgen_assets.core.ledger.schema import manifests, tasks


@dataclass(frozen=True, slots=True)
class _Standing:
    """The columns of a task that a registration may change, as they are or as they become."""

    position: int
    digest: str | None
    changed_digest: str | None
    status: TaskStatus
    skip_kind: SkipKind | None
    note: str | None
    listed: bool
    eligible: bool
    ineligible_reason: str | None
    job: str | None
    completed_at: datetime | None

    @property
    def is_free(self) -> bool:
        return self.status is TaskStatus.PENDING and self.job is None


_COLUMNS = tuple(_Standing.__slots__)
_CHANGEABLE = tuple(name for name in _COLUMNS if name not in ("position", "job"))


def register(
    conn: sa.Connection,
    now: datetime,
    campaign: str,
    dataset: str,
    listed: Iterable[ListedTask],
    manifest: ManifestSeen,
    *,
    whole: bool = True,
) -> RegisterResult:
    """Bring the tasks of one data set in line with its manifest.

    Args:
        listed: the whole manifest, or with `whole=False` only some of its lines: then nothing is revoked.

    Raises:
        TaskError: an id cannot be used as a name.
    """
    wanted = {each.task_id: each for each in listed}
    known = _known(conn, campaign, dataset, None if whole else list(wanted))
    after = {task_id: _meet(known[task_id], each) for task_id, each in wanted.items() if task_id in known}
    if whole:
        after |= {task_id: _drop(row, now) for task_id, row in known.items() if task_id not in wanted}
    fresh = [each for task_id, each in wanted.items() if task_id not in known]
    originals = _originals(conn, campaign, dataset, _unseen_content(fresh, known, after))
    after |= {i: _as_duplicate(after[i], of, now) for i, of in originals.items() if i in after}
    _insert(conn, campaign, dataset, fresh, originals, now)
    _update(conn, [row for task_id, row in after.items() if row != known[task_id]], now)
    _record_manifest(conn, campaign, dataset, manifest, now)
    return _result(fresh, known, after, wanted, originals)


def enlist(
    conn: sa.Connection,
    now: datetime,
    campaign: str,
    dataset: str,
    task_ids: Sequence[str],
    manifest: ManifestSeen,
    *,
    whole: bool = True,
) -> RegisterResult:
    """As `register`, for ids whose folders nobody has looked at: the new ones wait, the known keep what they have.

    Only rows that change are held in memory.
    """
    fresh, back, gone = _compare(conn, campaign, dataset, task_ids, whole=whole)
    known = _known(conn, campaign, dataset, [*back, *gone])
    after = {task_id: _meet(known[task_id], _as_it_was(task_id, known[task_id])) for task_id in back}
    after |= {task_id: _drop(known[task_id], now) for task_id in gone}
    originals = _originals(conn, campaign, dataset, _unseen_content((), known, after))
    after |= {i: _as_duplicate(after[i], of, now) for i, of in originals.items()}
    _insert_unseen(conn, campaign, dataset, fresh, now)
    _update(conn, [row for task_id, row in after.items() if row != known[task_id]], now)
    _record_manifest(conn, campaign, dataset, manifest, now)
    return replace(_result((), known, after, {}, originals), new=tuple(fresh))


def note_looks(
    conn: sa.Connection, now: datetime, campaign: str, dataset: str, looked: Iterable[ListedTask]
) -> RegisterResult:
    """Write down what folders look like that could not be used so far. What a job has, or nobody lists, stays so."""
    seen = {each.task_id: each for each in looked}
    found = _known(conn, campaign, dataset, list(seen))
    known = {task_id: row for task_id, row in found.items() if row.listed and row.job is None and not row.eligible}
    after = {task_id: _meet(row, seen[task_id]) for task_id, row in known.items()}
    originals = _originals(conn, campaign, dataset, _unseen_content((), known, after))
    after |= {i: _as_duplicate(after[i], of, now) for i, of in originals.items()}
    _update(conn, [row for task_id, row in after.items() if row != known[task_id]], now)
    return _result((), known, after, seen, originals)


def _compare(
    conn: sa.Connection, campaign: str, dataset: str, task_ids: Sequence[str], *, whole: bool
) -> tuple[list[str], list[str], list[str]]:
    """Of the ids listed those that are new and those that are back, and the ids that are gone."""
    left, back, gone = dict.fromkeys(task_ids, True), [], []
    for task_id, listed in _listings(conn, campaign, dataset, None if whole else task_ids):
        if not left.pop(task_id, False):
            gone += [task_id] * listed
        elif not listed:
            back.append(task_id)
    return list(left), back, gone


def _listings(
    conn: sa.Connection, campaign: str, dataset: str, task_ids: Sequence[str] | None
) -> Iterator[tuple[str, bool]]:
    """Id and whether it is listed, of these tasks or of all."""
    query = sa.select(tasks.c.task_id, tasks.c.listed).where(tasks.c.campaign == campaign, tasks.c.dataset == dataset)
    queries = [query] if task_ids is None else [query.where(tasks.c.task_id.in_(ids)) for ids in chunked(task_ids)]
    return ((task_id, listed) for each in queries for task_id, listed in conn.execute(each))


def _as_it_was(task_id: str, row: _Standing) -> ListedTask:
    return ListedTask(task_id, None, eligible=row.eligible, reason=row.ineligible_reason)


def _known(conn: sa.Connection, campaign: str, dataset: str, task_ids: Sequence[str] | None) -> dict[str, _Standing]:
    query = sa.select(tasks.c.task_id, *(tasks.c[name] for name in _COLUMNS)).where(
        tasks.c.campaign == campaign, tasks.c.dataset == dataset
    )
    if task_ids is None:
        return {row[0]: _Standing(*row[1:]) for row in conn.execute(query)}
    found: dict[str, _Standing] = {}
    for chunk in chunked(task_ids):
        found |= {row[0]: _Standing(*row[1:]) for row in conn.execute(query.where(tasks.c.task_id.in_(chunk)))}
    return found


def _meet(row: _Standing, seen: ListedTask) -> _Standing:
    """What becomes of a known task that is listed."""
    returns = row.skip_kind is SkipKind.REVOKED
    status = TaskStatus.PENDING if returns else row.status
    digest, changed_digest = _contents(row, seen.digest, is_pending=status is TaskStatus.PENDING)
    return _Standing(  # not `replace`, which takes six times as long, a hundred thousand times over
        position=row.position,
        digest=digest,
        changed_digest=changed_digest,
        status=status,
        skip_kind=None if returns else row.skip_kind,
        note=None if returns else row.note,
        listed=True,
        eligible=seen.eligible,
        ineligible_reason=seen.reason,
        job=row.job,
        completed_at=None if returns else row.completed_at,
    )


def _contents(row: _Standing, seen: str | None, *, is_pending: bool) -> tuple[str | None, str | None]:
    """The task's digest and changed digest: what is pending takes the new content, anything else only notes it."""
    if seen is None:
        return row.digest, row.changed_digest
    if is_pending or row.digest in (None, seen):
        return seen, None
    return row.digest, seen


def _drop(row: _Standing, now: datetime) -> _Standing:
    """What becomes of a known task that is listed no more."""
    row = replace(row, listed=False)
    return _skipped(row, SkipKind.REVOKED, REVOKED_NOTE, now) if row.is_free else row


def _as_duplicate(row: _Standing, of: TaskKey, now: datetime) -> _Standing:
    return _skipped(row, SkipKind.DUPLICATE, _duplicate_note(of), now)


def _duplicate_note(of: TaskKey) -> str:
    return f"{DUPLICATE_NOTE}{of.partition}"


def _skipped(row: _Standing, kind: SkipKind, note: str, now: datetime) -> _Standing:
    return replace(row, status=TaskStatus.SKIPPED, skip_kind=kind, note=note, completed_at=now)


def _unseen_content(
    fresh: Iterable[ListedTask], known: Mapping[str, _Standing], after: Mapping[str, _Standing]
) -> dict[str, str]:
    """Id and digest of what may be rolled out from now on and was not compared with other data sets as it is."""
    new = {each.task_id: each.digest for each in fresh}
    moved = {i: row.digest for i, row in after.items() if row.is_free and not _was_free(known[i], row.digest)}
    return {task_id: digest for task_id, digest in (new | moved).items() if digest is not None}


def _was_free(before: _Standing, digest: str | None) -> bool:
    return before.is_free and before.digest == digest


def _originals(conn: sa.Connection, campaign: str, dataset: str, digests: Mapping[str, str]) -> dict[str, TaskKey]:
    """Find the tasks of other data sets that are the same by id and content, and stand for themselves."""
    other = (tasks.c.campaign == campaign) & (tasks.c.dataset != dataset)
    if not digests or not conn.scalar(sa.select(sa.exists().where(other))):
        return {}
    not_copy = tasks.c.skip_kind.is_(None) | (tasks.c.skip_kind == SkipKind.PERSON)
    query = sa.select(tasks.c.task_id, tasks.c.digest, tasks.c.dataset).where(other, not_copy)
    found: dict[str, TaskKey] = {}
    for chunk in chunked(list(digests)):
        for task_id, digest, name in conn.execute(query.where(tasks.c.task_id.in_(chunk))):
            if digest == digests[task_id]:
                found[task_id] = TaskKey(campaign, name, task_id)
    return found


def _insert(
    conn: sa.Connection,
    campaign: str,
    dataset: str,
    fresh: Sequence[ListedTask],
    originals: Mapping[str, TaskKey],
    now: datetime,
) -> None:
    for chunk in chunked(fresh, 10_000):  # rows as dicts are large: a million of them at once would not fit
        keys = [TaskKey(campaign, dataset, each.task_id) for each in chunk]
        rows = [_new_row(key, each, originals.get(each.task_id), now) for key, each in zip(keys, chunk, strict=True)]
        conn.execute(tasks.insert(), rows)


def _insert_unseen(conn: sa.Connection, campaign: str, dataset: str, task_ids: Sequence[str], now: datetime) -> None:
    unseen = ListedTask("any", None, eligible=False, reason=UNSEEN_REASON)
    row = _new_row(TaskKey(campaign, dataset, "any"), unseen, None, now)
    same = {name: value for name, value in row.items() if value is not None}
    statement = tasks.insert().values(same | {"task_id": sa.bindparam("new_id")})
    for chunk in chunked(task_ids, 10_000):
        conn.execute(statement, [{"new_id": TaskKey(campaign, dataset, task_id).task_id} for task_id in chunk])


def _new_row(key: TaskKey, seen: ListedTask, original: TaskKey | None, now: datetime) -> dict[str, Any]:
    return {
        "campaign": key.campaign,
        "dataset": key.dataset,
        "task_id": key.task_id,
        "digest": seen.digest,
        "status": TaskStatus.SKIPPED if original else TaskStatus.PENDING,
        "skip_kind": SkipKind.DUPLICATE if original else None,
        "note": _duplicate_note(original) if original else None,
        "completed_at": now if original else None,
        "listed": True,
        "eligible": seen.eligible,
        "ineligible_reason": seen.reason,
        "registered_at": now,
        "updated_at": now,
    }


def _update(conn: sa.Connection, rows: Sequence[_Standing], now: datetime) -> None:
    if not rows:
        return
    statement = (
        sa.update(tasks)
        .where(tasks.c.position == sa.bindparam("at"))
        .values({name: sa.bindparam(f"new_{name}") for name in _CHANGEABLE} | {"updated_at": now})
    )
    conn.execute(
        statement,
        [{"at": row.position} | {f"new_{name}": getattr(row, name) for name in _CHANGEABLE} for row in rows],
    )


def _record_manifest(conn: sa.Connection, campaign: str, dataset: str, seen: ManifestSeen, now: datetime) -> None:
    conn.execute(sa.delete(manifests).where(manifests.c.campaign == campaign, manifests.c.dataset == dataset))
    row = {"path": seen.path, "sha256": seen.sha256, "n_entries": seen.n_entries, "read_at": now}
    conn.execute(manifests.insert(), {"campaign": campaign, "dataset": dataset} | row)


def _result(
    fresh: Sequence[ListedTask],
    known: Mapping[str, _Standing],
    after: Mapping[str, _Standing],
    wanted: Mapping[str, ListedTask],
    originals: Mapping[str, TaskKey],
) -> RegisterResult:
    moved = {i: (known[i], row) for i, row in after.items() if row != known[i]}
    pending = {i for i, row in after.items() if row.status is TaskStatus.PENDING} | {each.task_id for each in fresh}
    return RegisterResult(
        new=tuple(each.task_id for each in fresh),
        changed=tuple(i for i, (a, b) in moved.items() if b.changed_digest and b.changed_digest != a.changed_digest),
        revoked=tuple(i for i, (_, b) in moved.items() if b.skip_kind is SkipKind.REVOKED),
        returned=tuple(i for i, (a, _) in moved.items() if a.skip_kind is SkipKind.REVOKED),
        duplicates=tuple(originals),
        waiting=tuple(i for i, each in wanted.items() if i in pending and not each.eligible),
    )
