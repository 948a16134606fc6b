"""Dagster's storage on a real Postgres: runs, events and ticks are there, and no secret is."""

import os
from pathlib import Path

import dagster as dg
import pytest

from resources.instance import dagster_environ, has_instance, open_instance, prepare_instance
from resources.postgres_storage import Events
from tests.postgres import Cluster
from trajgen_assets.core.errors import ConfigError
from trajgen_assets.core.paths import DAGSTER_URL_ENV, LEDGER_URL_ENV, Root
from trajgen_assets.core.redact import environ_secrets
from trajgen_assets.core.rollout.trial_slots import HOST_ENV

SECRET = "sk-quoted-by-an-upstream"


@dg.op
def failing() -> None:
    raise ValueError(f"upstream refused {SECRET}")


@dg.job
def job_that_fails() -> None:
    failing()


@pytest.fixture
def root(tmp_path: Path, postgres: Cluster, monkeypatch: pytest.MonkeyPatch) -> Root:
    monkeypatch.setenv("TRAJGEN_TEST_PASSWORD", postgres.password)
    monkeypatch.setenv("TRAJGEN_TEST_KEY", SECRET)
    by_reference = postgres.new_database().replace(postgres.password, "${TRAJGEN_TEST_PASSWORD}")
    monkeypatch.setenv(DAGSTER_URL_ENV, by_reference)
    root = Root(tmp_path / "artifacts")
    prepare_instance(root, max_jobs=3)
    return root


def test_runs_and_events_are_kept_on_postgres_and_hold_no_secret(root: Root) -> None:
    with open_instance(root) as instance:
        assert isinstance(instance.event_log_storage, Events)
        found = job_that_fails.execute_in_process(instance=instance, raise_on_error=False)
    with open_instance(root) as again:
        assert again.get_run_by_id(found.run_id).status is dg.DagsterRunStatus.FAILURE
        said = repr(again.all_logs(found.run_id))
        assert "upstream refused" in said
        assert SECRET not in said
    assert not (root.dagster_home / "history").exists()


def test_its_settings_name_the_address_and_do_not_hold_it(root: Root, postgres: Cluster) -> None:
    said = (root.dagster_home / "dagster.yaml").read_text()
    assert DAGSTER_URL_ENV in said
    assert postgres.password not in said


def test_without_its_address_it_is_not_taken_for_an_empty_one(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(DAGSTER_URL_ENV)
    with pytest.raises(ConfigError, match=DAGSTER_URL_ENV):
        prepare_instance(root, max_jobs=3)
    with pytest.raises(ConfigError, match=DAGSTER_URL_ENV):
        open_instance(root)


def test_dagsters_processes_are_told_both_addresses_and_the_variables_that_they_name(
    root: Root, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(LEDGER_URL_ENV, "postgresql://trajgen:${LEDGER_PW}@db/ledger")
    monkeypatch.setenv("LEDGER_PW", "never written")
    monkeypatch.setenv(HOST_ENV, "host-1")
    told = dagster_environ(root, tmp_path / "config.yaml")
    assert {LEDGER_URL_ENV, DAGSTER_URL_ENV, "LEDGER_PW", "TRAJGEN_TEST_PASSWORD"} <= set(told)
    assert told[HOST_ENV] == "host-1"
    assert "TRAJGEN_TEST_KEY" not in told


def test_a_password_within_an_address_is_known_for_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LEDGER_URL_ENV, "postgresql://trajgen:p%40ss-word@db/ledger")
    assert "p@ss-word" in environ_secrets().values()
    monkeypatch.setenv(LEDGER_URL_ENV, "postgresql://trajgen:${LEDGER_PW}@db/ledger")
    assert "${LEDGER_PW}" not in environ_secrets().values()


def test_the_database_of_the_ledger_is_refused_because_both_have_a_table_of_one_name(
    tmp_path: Path, postgres: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(DAGSTER_URL_ENV, postgres.new_database())
    root = Root(tmp_path / "artifacts", ledger_url=os.environ[DAGSTER_URL_ENV])
    with pytest.raises(ConfigError, match=r"a database each.*both have a table"):
        prepare_instance(root, max_jobs=1)
    assert not has_instance(root)
