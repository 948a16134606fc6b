"""`kill -9` at each write of the ledger, of its view, and at its making: all of it is there afterwards, or nothing."""

import inspect
import multiprocessing
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tests.faults import Points
from tests.postgres import Cluster
from tests.unit.ledger.twins import (
    DATASET,
    HELD,
    SetClock,
    batch,
    graded,
    key,
    listed,
    register,
    settle,
)
from trajgen_assets.core.faults import FAULTS_ENV
from trajgen_assets.core.ledger import (
    JobState,
    Ledger,
    ManifestSeen,
    PublishedView,
    ViewState,
    create_ledger,
    open_ledger,
)
from trajgen_assets.core.ledger.schema import WRITER, meta, metadata, tasks
from trajgen_assets.core.ledger.view import is_edited
from trajgen_assets.core.paths import Root

fork = multiprocessing.get_context("forkserver")
fork.set_forkserver_preload(["tests.unit.ledger.test_kills"])

LATER_S = 86_400.0
SEEN = ManifestSeen("verifiable_tasks.txt", "later", 9)

# Every method that writes, with one call of it that changes something in `filled`.
WRITES: dict[str, Callable[[Ledger], object]] = {
    "register": lambda ledger: register(ledger, *"abcdefgh", "new"),
    "enlist": lambda ledger: ledger.enlist("main", DATASET, [*"abcdefgh", "new"], SEEN),
    "note_looks": lambda ledger: ledger.note_looks("main", DATASET, [listed("h")]),
    "mark_partitioned": lambda ledger: ledger.mark_partitioned(ledger.partitions_to_add()),
    "assign": lambda ledger: ledger.assign("new", batch()),
    "claim": lambda ledger: ledger.claim("assigned", "run-2", ttl_s=60),
    "seize": lambda ledger: ledger.seize(ledger.job("running"), "recovery", ttl_s=60),
    "renew": lambda ledger: ledger.renew(HELD, ttl_s=60),
    "release": lambda ledger: ledger.release(HELD, JobState.FAILED),
    "give_back": lambda ledger: ledger.give_back(HELD, key("e"), "it is gone"),
    "withdraw": lambda ledger: ledger.withdraw("assigned", "no longer wanted"),
    "return_job": lambda ledger: ledger.return_job("assigned", "run-1"),
    "new_launch": lambda ledger: ledger.new_launch("assigned"),
    "mark_requested": lambda ledger: ledger.mark_requested("assigned", 1, "run-2"),
    "record_downstream": lambda ledger: ledger.record_downstream("over", "digest"),
    "record_attempt": lambda ledger: settle(ledger, HELD, "e", graded("e__1")),
    "begin_removal": lambda ledger: ledger.begin_removal("over"),
    "finish_removal": lambda ledger: ledger.finish_removal("over-0"),
    "skip": lambda ledger: ledger.skip([key("a")], "too slow"),
    "retry": lambda ledger: ledger.retry([key("c")]),
    "reset": lambda ledger: ledger.reset(key("b"), force=True),
    "trip": lambda ledger: ledger.trip("other", "sandbox"),
    "forgive": lambda ledger: ledger.forgive("over", "sandbox"),
    "try_probe": lambda ledger: ledger.try_probe(DATASET, within_s=60),
    "clear": lambda ledger: ledger.clear(DATASET),
    "acquire_slots": lambda ledger: ledger.acquire_slots("host", "assigned", want=2, max_trials=8),
    "ask_to_stop": lambda ledger: ledger.ask_to_stop("running", "somebody", drain=True),
    "pause": lambda ledger: ledger.pause("other", "somebody", "lunch"),
    "resume": lambda ledger: ledger.resume(DATASET),
    "wrong_since": lambda ledger: ledger.wrong_since("disk", is_wrong=True),
    "release_unclaimed_slots": lambda ledger: ledger.release_unclaimed_slots("assigned"),
}


def write_in_child(root: Root, points: Path, name: str) -> None:
    os.environ[FAULTS_ENV] = str(points)
    clock = SetClock()
    clock.pass_s(LATER_S)
    with open_ledger(root, now=clock) as ledger:
        WRITES[name](ledger)


def view_in_child(path: Path, points: Path) -> None:
    os.environ[FAULTS_ENV] = str(points)
    with open_ledger(Root(path)) as ledger:
        PublishedView(ledger, Root(path)).refresh()


def create_in_child(path: Path, points: Path) -> None:
    os.environ[FAULTS_ENV] = str(points)
    create_ledger(Root(path))


def kill_at(point: str, points: Points, target: Callable[..., None], *arguments: object) -> None:
    points.arm(point)
    child = fork.Process(target=target, args=arguments)
    child.start()
    assert points.wait(point) == child.pid
    child.kill()
    child.join(10)
    assert child.exitcode == -signal.SIGKILL
    points.release(point)


def content(root: Root) -> dict[str, list[Any]]:
    """All rows of all tables, numbered as they come: on a server a transaction that is rolled back uses numbers up."""
    with open_ledger(root) as ledger, ledger.store.read() as conn:
        found = {table: conn.execute(sa.select(table)).all() for table in metadata.sorted_tables}
    found[meta] = [row for row in found[meta] if not row.key.startswith(WRITER)]
    numbers = {row.position: n for n, row in enumerate(sorted(found[tasks]))}
    return {table.name: sorted((_numbered(row, numbers) for row in rows), key=repr) for table, rows in found.items()}


def _numbered(row: sa.Row[Any], numbers: dict[int, int]) -> dict[str, Any]:
    named = row._asdict()
    for name in {"position", "task"} & set(named):
        named[name] = numbers[named[name]]
    named.pop("attempt_id", None)
    return named


def test_every_write_of_the_ledger_is_tried_here() -> None:
    methods = [each for each in inspect.getmembers(Ledger, inspect.isfunction) if not each[0].startswith("_")]
    assert set(WRITES) == {name for name, method in methods if "store.write()" in inspect.getsource(method)}


# On a server the few that everything rests on; the rest of them with the long tests.
FEW = ("register", "assign", "claim", "record_attempt", "release")
ON_SERVER = [pytest.param(name, marks=[] if name in FEW else pytest.mark.faults) for name in WRITES]


@pytest.mark.parametrize("name", WRITES)
def test_a_kill_at_a_write_leaves_all_of_it_or_nothing(filled: Root, points: Points, tmp_path: Path, name: str) -> None:
    twin = Root(tmp_path / "twin")
    shutil.copytree(filled.path, twin.path)
    kill_at_a_write(filled, twin, points, name)


@pytest.mark.parametrize("name", ON_SERVER)
@pytest.mark.parametrize("place", ["server"], indirect=True)
def test_so_does_one_on_a_server(filled: Root, points: Points, tmp_path: Path, postgres: Cluster, name: str) -> None:
    assert filled.ledger_url is not None
    twin = Root(tmp_path / "twin", ledger_url=postgres.copy_of(filled.ledger_url))
    create_ledger(twin)  # joins it
    kill_at_a_write(filled, twin, points, name)


def kill_at_a_write(root: Root, twin: Root, points: Points, name: str) -> None:
    before = content(root)
    write_in_child(twin, points.folder, name)
    os.environ.pop(FAULTS_ENV)
    after = content(twin)
    assert after != before

    kill_at("before_commit", points, write_in_child, root, points.folder, name)
    with open_ledger(root) as ledger:
        ledger.check_balance()
    assert content(root) == before

    kill_at("after_commit", points, write_in_child, root, points.folder, name)
    with open_ledger(root) as ledger:
        ledger.check_balance()
    assert content(root) == after


@pytest.mark.parametrize("point", ["before_replace", "after_replace"])
def test_a_kill_at_a_write_of_the_view_leaves_the_old_one_or_the_new_one(
    filled: Root, points: Points, point: str
) -> None:
    with open_ledger(filled) as ledger:
        PublishedView(ledger, filled).refresh()
        old = filled.ledger_view.read_bytes()
        ledger.skip([key("a")], "too slow")
    kill_at(point, points, view_in_child, filled.path, points.folder)
    assert not is_edited(filled.ledger_view)
    assert (filled.ledger_view.read_bytes() == old) is (point == "before_replace")
    with open_ledger(filled) as ledger:
        expected = ViewState.WRITTEN if point == "before_replace" else ViewState.UNCHANGED
        assert PublishedView(ledger, filled).refresh() is expected
        ledger.check_balance()


def test_a_kill_before_a_new_ledger_has_its_name_leaves_none(root: Root, points: Points) -> None:
    kill_at("before_link", points, create_in_child, root.path, points.folder)
    assert not root.ledger.exists()
    assert create_ledger(root)
    open_ledger(root).close()
