"""The ledger on a real Postgres: where it is looked for, how it is made, and what is refused."""

import os
from pathlib import Path

import pytest

from tests.postgres import Cluster
from tests.unit.ledger.twins import batch, register
from trajgen_assets.core.dashboard.serving import state_of
from trajgen_assets.core.errors import ConfigError, LedgerCorruptError, LedgerError, LedgerMissingError
from trajgen_assets.core.ledger import Lease, create_ledger, open_ledger
from trajgen_assets.core.ledger.looking import looking_at_ledger
from trajgen_assets.core.ledger.place import server_of
from trajgen_assets.core.paths import LEDGER_URL_ENV, Root
from trajgen_assets.core.rollout.lost import lost_jobs
from trajgen_assets.core.rollout.trial_slots import sight


@pytest.fixture
def root(tmp_path: Path, postgres: Cluster) -> Root:
    return Root(tmp_path / "artifacts", ledger_url=postgres.new_database())


def test_set_up_makes_it_where_the_address_says_and_later_opens_need_no_address_but_the_password(
    root: Root, postgres: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(LedgerMissingError, match="trajgen setup"):
        open_ledger(root)
    assert create_ledger(root)
    assert not create_ledger(root)
    assert not root.ledger.exists()
    with open_ledger(root) as ledger:
        register(ledger, "a")
    monkeypatch.setenv("PGPASSWORD", postgres.password)  # as Postgres' own programs find it
    with open_ledger(Root(root.path)) as ledger:
        assert ledger.check_balance().registered == 1


def test_no_password_is_written_or_shown(root: Root, postgres: Cluster) -> None:
    create_ledger(root)
    assert postgres.password not in root.ledger_place.read_text()
    assert postgres.password not in repr(root)
    server = server_of(root)
    assert server is not None
    assert postgres.password not in repr(server) + server.where + server.named
    with open_ledger(root) as ledger:
        assert ledger.store.where == server.where


def test_a_password_by_name_stays_a_name(root: Root, postgres: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    assert root.ledger_url is not None
    monkeypatch.setenv("LEDGER_PW", postgres.password)
    by_name = Root(root.path, ledger_url=root.ledger_url.replace(postgres.password, "${LEDGER_PW}"))
    create_ledger(by_name)
    assert "${LEDGER_PW}" in by_name.ledger_place.read_text()
    open_ledger(Root(root.path)).close()
    monkeypatch.delenv("LEDGER_PW")
    with pytest.raises(ConfigError, match="LEDGER_PW is not set"):
        open_ledger(Root(root.path))


def test_a_root_with_work_of_an_earlier_ledger_gets_no_empty_one(root: Root) -> None:
    (root.jobs / "job-1").mkdir(parents=True)
    with pytest.raises(LedgerError, match="would deny work"):
        create_ledger(root)
    with pytest.raises(LedgerMissingError, match="put the ledger back"):
        open_ledger(root)


def test_an_older_schema_on_a_server_is_updated_by_who_works_with_it_and_not_by_who_looks(root: Root) -> None:
    create_ledger(root)
    with open_ledger(root) as ledger, ledger.store.write() as conn:
        conn.exec_driver_sql("DROP TABLE removals")
        conn.exec_driver_sql("DELETE FROM schema_migrations WHERE number > 3")
    for _ in range(2):
        with pytest.raises(LedgerError, match=r"of an older schema.*trajgen ledger check"), looking_at_ledger(root):
            pass
        state_of(root)  # by which a served dashboard tells whether it is to be made anew
    with open_ledger(root) as ledger:
        register(ledger, "a")
    with looking_at_ledger(root) as ledger:
        assert ledger.counts().registered == 1


def test_a_second_host_joins_the_ledger_that_is_there(root: Root, tmp_path: Path) -> None:
    create_ledger(root)
    other = Root(tmp_path / "other", ledger_url=root.ledger_url)
    assert not create_ledger(other)
    with open_ledger(root) as one, open_ledger(other) as two:
        register(one, "a")
        assert two.counts().registered == 1


def test_the_ledger_of_another_root_is_refused(root: Root, postgres: Cluster) -> None:
    create_ledger(root)
    elsewhere = Root(root.path.with_name("other"), ledger_url=postgres.new_database())
    create_ledger(elsewhere)
    with pytest.raises(LedgerCorruptError, match="another root's ledger"):
        open_ledger(Root(root.path, ledger_url=elsewhere.ledger_url))


def test_a_root_never_has_two_ledgers(root: Root) -> None:
    create_ledger(Root(root.path))
    for use in (open_ledger, create_ledger):
        with pytest.raises(LedgerError, match="ledger migrate --to"):
            use(root)


@pytest.mark.parametrize(
    "address",
    ["", "nonsense", "sqlite:///x.db", "mysql://u@h/db", "postgresql://u@h", "postgresql+psycopg://u@h/db",
     "postgresql://u@h/db?password=leaking", "postgresql://u:leaking@h:port/db"],
)  # fmt: skip
def test_what_is_no_address_is_refused_and_not_quoted(tmp_path: Path, address: str) -> None:
    with pytest.raises((ConfigError, LedgerMissingError)) as caught:
        open_ledger(Root(tmp_path, ledger_url=address or None))
    assert "leaking" not in str(caught.value)


def test_the_environment_names_the_server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(LEDGER_URL_ENV, "postgresql://u@h/db")
    assert Root.from_environ(tmp_path).ledger_url == os.environ[LEDGER_URL_ENV]


def test_a_job_on_another_host_is_lost_by_its_lease_alone(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    create_ledger(root)
    root.locks.mkdir()
    with open_ledger(root) as ledger:
        register(ledger, *"abcd")
        monkeypatch.setenv("TRAJGEN_HOST", "cluster")  # by which trial slots are counted, on all of its hosts
        name, boot = sight().split()
        noted = {"here": sight(), "there": "host-2 another-boot", "earlier": f"{name} an-earlier-boot"}
        for job, host in (noted | {"contained": f"a-container {boot}"}).items():
            ledger.assign(job, batch(limit=1))
            ledger.claim(job, "run", ttl_s=60, host=host)
        assert "cluster" not in sight()
        assert [job.row.name for job in lost_jobs(root, ledger)] == ["here", "earlier", "contained"]
        ledger.renew(Lease("there", "run", 1, ledger.now()), ttl_s=-1)
        assert [job.row.name for job in lost_jobs(root, ledger)] == ["here", "there", "earlier", "contained"]
