"""A server that restarts, hangs up or refuses, at any moment: nothing is lost, nothing is written twice."""

import multiprocessing
import select
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from tests.ports import free_port
from tests.postgres import Cluster, running_cluster
from tests.unit.ledger.test_processes import drive_in_child
from tests.unit.ledger.twins import graded, register, settle, start
from tests.waiting import wait_until
from trajgen_assets.core.errors import BusyError, LedgerCorruptError, LedgerError
from trajgen_assets.core.ledger import Ledger, TaskStatus, create_ledger, open_ledger, server
from trajgen_assets.core.ledger.connect import Interrupted
from trajgen_assets.core.paths import Root

spawn = multiprocessing.get_context("spawn")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with running_cluster(fsync="off") as running:
        yield running


@pytest.fixture
def root(tmp_path: Path, cluster: Cluster) -> Root:
    root = Root(tmp_path / "artifacts", ledger_url=cluster.new_database())
    create_ledger(root)
    return root


def test_a_server_that_crashes_under_two_drivers_loses_nothing_and_doubles_nothing(
    root: Root, cluster: Cluster
) -> None:
    with open_ledger(root) as ledger:
        register(ledger, *(f"task-{n}" for n in range(1000)))
        drivers = [spawn.Process(target=drive_in_child, args=(root, name)) for name in ("one", "two")]
        for each in drivers:
            each.start()
        for n_done in (50, 200, 400):
            wait_until(lambda least=n_done: ledger.counts().done >= least)  # type: ignore[misc]
            cluster.restart()
        for each in drivers:
            each.join(120)
        assert [each.exitcode for each in drivers] == [0, 0]
        assert ledger.check_balance().done == 1000
        assert [row.n_attempts for row in ledger.rows()] == [1] * 1000
        assert sum(job.n_tasks for job in ledger.jobs()) == 1000


class HangingUp:
    """Between client and server: passes on what both say; armed, it hangs up `before` or `behind` the next COMMIT."""

    def __init__(self, server_port: int) -> None:
        self._server_port = server_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.armed: str | None = None
        self.is_deaf = False
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                if self.is_deaf:
                    client.close()
                    continue
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", self._server_port)) as server_side:
            is_over = False
            while True:
                for each in select.select([client, server_side], [], [])[0]:
                    data = each.recv(65536)
                    if not data or (is_over and each is server_side):
                        return
                    if each is client and b"COMMIT\0" in data and self.armed is not None:
                        how, self.armed = self.armed, None
                        if how == "before":
                            return
                        is_over = True
                    (server_side if each is client else client).sendall(data)


@pytest.fixture
def between(cluster: Cluster) -> Iterator[HangingUp]:
    with closing(HangingUp(cluster.port)) as proxy:
        yield proxy


@pytest.mark.parametrize("moment", ["before", "behind"])
def test_what_was_lost_at_a_commit_is_written_once(
    root: Root, cluster: Cluster, between: HangingUp, moment: str
) -> None:
    assert root.ledger_url is not None
    through = Root(root.path, ledger_url=root.ledger_url.replace(str(cluster.port), str(between.port)))
    with open_ledger(through) as ledger:
        register(ledger, "a", "b")
        lease = start(ledger)
        for task_id in ("a", "b"):
            between.armed = moment
            row = settle(ledger, lease, task_id, graded(f"{task_id}__1"))
            assert between.armed is None
            assert (row.status, row.n_attempts) == (TaskStatus.DONE, 1)
        between.armed = moment
        assert ledger.claim("job-1", "run-1", ttl_s=60).fence == lease.fence + 1
    with open_ledger(root) as ledger:
        assert ledger.check_balance().done == 2
        assert [row.n_attempts for row in ledger.rows()] == [1, 1]


def test_a_server_that_does_not_come_back_at_a_commit_leaves_it_open_and_says_so(
    root: Root, cluster: Cluster, between: HangingUp
) -> None:
    assert root.ledger_url is not None
    through = Root(root.path, ledger_url=root.ledger_url.replace(str(cluster.port), str(between.port)))
    with open_ledger(through, busy_timeout_s=0.3) as ledger:
        between.armed, between.is_deaf = "behind", True
        with pytest.raises(BusyError, match="does not say whether it was made") as caught:
            register(ledger, "a")
        assert not isinstance(caught.value, Interrupted)
    with open_ledger(root) as ledger:  # and it was made: whoever repeats it changes nothing
        assert ledger.counts().registered == 1
        assert register(ledger, "a").new == ()


def test_a_host_that_stands_still_with_the_lock_is_thrown_out(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(server._SETTINGS, "idle_in_transaction_session_timeout", "300")
    with open_ledger(root) as stopped, open_ledger(root) as other:
        with pytest.raises(Interrupted):
            stand_still(stopped, lambda: register(other, "a"))  # waits until the server has thrown the first one out
        assert other.counts().registered == 1


def stand_still(ledger: Ledger, meanwhile: Callable[[], object]) -> None:
    with ledger.store.write() as conn:
        meanwhile()
        conn.exec_driver_sql("DELETE FROM tasks")


def test_the_leases_of_all_hosts_go_by_the_servers_clock(root: Root, cluster: Cluster) -> None:
    with open_ledger(root) as ledger:
        register(ledger, "a")
        lease = start(ledger, ttl_s=60)
        with ledger.store.read() as conn:
            now = conn.exec_driver_sql("SELECT clock_timestamp()").scalar_one()
        assert 59 < (lease.expires_at - now).total_seconds() <= 60
        assert abs((ledger.now() - now).total_seconds()) < 1


def refused(root: Root, url: str, kind: type[Exception]) -> str:
    with pytest.raises(kind) as caught:
        open_ledger(Root(root.path, ledger_url=url), busy_timeout_s=0.2)
    assert "Mend: " in str(caught.value)
    return str(caught.value)


def test_what_a_server_refuses_is_said_with_its_mend_and_without_the_password(root: Root, cluster: Cluster) -> None:
    name = str(root.ledger_url).rpartition("/")[2]
    said = [
        refused(root, cluster.url(name, password="wrong-password"), LedgerError),
        refused(root, cluster.url("nowhere"), LedgerError),
        refused(root, cluster.url(name, port=free_port()), BusyError),
    ]
    assert "correct user and password" in said[0]
    assert "no such database" in said[1]
    assert "start the server" in said[2]
    assert not any(word in text for text in said for word in ("wrong-password", cluster.password, "sqlalche"))


def test_a_database_of_another_program_is_no_ledger(root: Root, cluster: Cluster) -> None:
    url = cluster.new_database()
    cluster.sql("CREATE TABLE tasks (x int)", url.rpartition("/")[2])
    refused(root, url, LedgerCorruptError)
    with pytest.raises(LedgerCorruptError, match="not a ledger"):
        create_ledger(Root(root.path.with_name("new"), ledger_url=url))


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        ("INSERT INTO schema_migrations VALUES (99, 'to come', '2030-01-01')", "schema version 99"),
        ("DROP TABLE removals", "half-written: table removals"),
        ("ALTER TABLE attempts DROP COLUMN note", "half-written: table attempts lacks note"),
    ],
)
def test_another_schema_is_refused(root: Root, cluster: Cluster, harm: str, said: str) -> None:
    cluster.sql(harm, str(root.ledger_url).rpartition("/")[2])
    with pytest.raises(LedgerCorruptError, match=said):
        open_ledger(root)


def test_a_locked_ledger_is_busy(root: Root) -> None:
    with (
        open_ledger(root) as holder,
        open_ledger(root, busy_timeout_s=0.2) as waiting,
        holder.store.write(),
        pytest.raises(BusyError, match="locked"),
    ):
        register(waiting, "a")


def test_a_user_without_rights_is_told_so(root: Root, cluster: Cluster) -> None:
    name = str(root.ledger_url).rpartition("/")[2]
    cluster.sql(f"CREATE ROLE reader LOGIN PASSWORD '{cluster.password}'")
    url = cluster.url(name).replace("postgres:", "reader:", 1)
    assert "grant it all rights" in refused(root, url, LedgerError)


def test_a_full_disk_of_the_server_is_said_and_nothing_was_written(root: Root, cluster: Cluster) -> None:
    with open_ledger(root) as ledger:
        register(ledger, "a")
        with ledger.store.write() as conn:
            conn.exec_driver_sql(RAISING)
        with pytest.raises(LedgerError, match="disk of the ledger's server is full"):
            register(ledger, "a", "b")
        assert ledger.counts().registered == 1


# The server itself says it, from within: a disk of its own is more than a test may ask of a machine.
RAISING = """
CREATE FUNCTION no_room() RETURNS trigger AS $$
BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full'; END $$ LANGUAGE plpgsql;
CREATE TRIGGER full_disk BEFORE INSERT ON tasks EXECUTE FUNCTION no_room();
"""
