"""The ledger's tests run on a file, and those of modules that say so (`ON_BOTH_PLACES`) on a server, too."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults import Points
from tests.postgres import Cluster
from tests.unit.ledger.twins import (
    DATASET,
    HELD,
    POLICY,
    SetClock,
    batch,
    graded,
    listed,
    lost,
    register,
    settle,
    start,
)
from trajgen_assets.core.ledger import JobState, Ledger, create_ledger, open_ledger
from trajgen_assets.core.ledger.identity import LEDGER_ID
from trajgen_assets.core.ledger.schema import metadata
from trajgen_assets.core.paths import Root


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    is_chosen = any("place" in each.args for each in metafunc.definition.iter_markers("parametrize"))
    if "place" in metafunc.fixturenames and getattr(metafunc.module, "ON_BOTH_PLACES", False) and not is_chosen:
        metafunc.parametrize("place", ["file", "server"], indirect=True)


@pytest.fixture
def place(request: pytest.FixtureRequest) -> str:
    """`file`, or `server` where a test asks for it."""
    return str(getattr(request, "param", "file"))


@pytest.fixture(scope="session")
def server_url(postgres: Cluster, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A database with an empty ledger, which each test finds empty."""
    url = postgres.new_database()
    create_ledger(Root(tmp_path_factory.mktemp("first"), ledger_url=url))
    return url


@pytest.fixture
def root(tmp_path: Path, place: str, request: pytest.FixtureRequest) -> Root:
    if place == "file":
        return Root(tmp_path / "artifacts")
    root = Root(tmp_path / "artifacts", ledger_url=request.getfixturevalue("server_url"))
    create_ledger(root)
    with open_ledger(root) as ledger:
        empty(ledger)
    return root


def empty(ledger: Ledger) -> None:
    """Take every row out of a ledger on a server, and count from 1 again."""
    kept = ("meta", "schema_migrations")
    with ledger.store.write() as conn:
        names = ", ".join(name for name in metadata.tables if name not in kept)
        conn.exec_driver_sql(f"TRUNCATE {names} RESTART IDENTITY")
        conn.exec_driver_sql("DELETE FROM meta WHERE key <> %s", (LEDGER_ID,))


@pytest.fixture
def ledger(root: Root, clock: SetClock) -> Iterator[Ledger]:
    create_ledger(root)
    with open_ledger(root, now=clock) as opened:
        yield opened


@pytest.fixture
def points(tmp_path: Path) -> Points:
    return Points(tmp_path / "points")


@pytest.fixture
def filled(root: Root) -> Root:
    """A ledger with a job in each state, an open breaker, lent slots, and tasks in every status."""
    create_ledger(root)
    with open_ledger(root, now=SetClock()) as ledger:
        register(ledger, *"abcdefg", listed("h", reason="lacks the folder"))
        lease = start(ledger, "over", "run-0", "b", "c")
        settle(ledger, lease, "b", graded("b__1"))
        settle(ledger, lease, "c", lost("c__1"))
        ledger.release(lease, JobState.FINISHED)
        for n in range(POLICY.max_infra_retries):
            lease = start(ledger, f"over-{n}", "run-0", "c")
            settle(ledger, lease, "c", lost(f"c__{n}"))
            ledger.release(lease, JobState.FINISHED)
        assert ledger.assign("assigned", batch(task_ids=["d"]))
        assert start(ledger, "running", "run-1", "e", "f").fence == HELD.fence
        ledger.acquire_slots("host", "running", want=2, max_trials=8)
        ledger.acquire_slots("host", "assigned", want=1, max_trials=8)
        ledger.trip(DATASET, "sandbox")
        ledger.pause(DATASET, "somebody", "lunch")
        ledger.begin_removal("over-0")
        counts = ledger.check_balance()
        assert (counts.done, counts.failed, counts.running, counts.waiting) == (1, 1, 2, 1)
    return root
