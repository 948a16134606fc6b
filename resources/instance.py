"""Dagster's instance under an artifacts root: made once, private to its owner, with telemetry off."""

import os
from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import Any

import dagster as dg
import sqlalchemy as sa
import yaml

from trajgen_assets.core.atomic import write_yaml
from trajgen_assets.core.errors import ConfigError, RequirementError
from trajgen_assets.core.ledger.place import server_at, server_environ, server_of
from trajgen_assets.core.paths import DAGSTER_URL_ENV, LEDGER_URL_ENV, Root
from trajgen_assets.core.rollout.trial_slots import HOST_ENV

ROLLOUT_POOL = "rollouts"

# Names a file of a deployment: see deploy/compose/dagster.yaml.
OVERLAY_VARIABLE = "TRAJGEN_DAGSTER_YAML"
_OVERLAY_MEND = f"correct that file, or have {OVERLAY_VARIABLE} name another"

# A run that has not announced itself by then is failed by run monitoring, and launched again by run retries.
START_TIMEOUT_S = 180
POLL_S = 10

# The daemon looks at its queue this often: it is most of the wait between a request and its run.
DEQUEUE_INTERVAL_S = 2

# The daemon deletes ticks of sensors that are older; a sensor ticks thousands of times a day. Of what a tick asked for,
# the ledger has the record.
TICK_DAYS = {"skipped": 7, "success": 90, "failure": 90}

POSTGRES_PORT = 5432

_ON_POSTGRES = "RedactingPostgresStorage"


def instance_settings(environ: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """The content of `dagster.yaml`. Dagster retries infrastructure deaths alone; failed tasks are the ledger's.

    Runs, events and ticks are kept on Postgres where DAGSTER_POSTGRES_URL names a database, else in SQLite.
    A deployment names a file whose sections take the place of ours.
    """
    overlay = environ.get(OVERLAY_VARIABLE)
    on_postgres = bool(environ.get(DAGSTER_URL_ENV))
    return _settings_of_one_machine(on_postgres=on_postgres) | (read_overlay(Path(overlay), environ) if overlay else {})


def read_overlay(path: Path, environ: Mapping[str, str]) -> dict[str, Any]:
    """The sections of a deployment's file, with each `${NAME}` taken from `environ`.

    Raises:
        ConfigError: the file is not there, is no mapping, or names a variable that is not set.
    """
    try:
        sections = yaml.safe_load(Template(path.read_text(encoding="utf-8")).substitute(environ))
    except (OSError, yaml.YAMLError, ValueError) as error:
        what = "a deployment's settings of Dagster cannot be read"
        raise ConfigError(what, where=path, why=str(error), mend=_OVERLAY_MEND) from error
    except KeyError as error:
        mend = "set it, as deploy/compose/compose.yaml does"
        raise ConfigError(
            "a variable that Dagster's settings name is not set", where=path, why=str(error), mend=mend
        ) from error
    if not isinstance(sections, dict):
        raise ConfigError("a deployment's settings of Dagster are no mapping", where=path, mend=_OVERLAY_MEND)
    return sections


def _settings_of_one_machine(*, on_postgres: bool) -> dict[str, Any]:
    return {
        "telemetry": {"enabled": False},
        "nux": {"enabled": False},
        "storage": _postgres_storage() if on_postgres else _sqlite_storage(),
        "run_launcher": {"module": "resources.run_launcher", "class": "LocalRunLauncher"},
        "run_coordinator": {
            "module": "dagster.core.run_coordinator",
            "class": "QueuedRunCoordinator",
            "config": {"dequeue_interval_seconds": DEQUEUE_INTERVAL_S},
        },
        "concurrency": {"pools": {"granularity": "run", "default_limit": 1}, "runs": {"max_concurrent_runs": 8}},
        "run_monitoring": {
            "enabled": True,
            "start_timeout_seconds": START_TIMEOUT_S,
            "poll_interval_seconds": POLL_S,
            "free_slots_after_run_end_seconds": 30,
        },
        "retention": {"sensor": {"purge_after_days": TICK_DAYS}},
        "run_retries": {"enabled": True, "max_retries": 2, "retry_on_asset_or_op_failure": False},
        "compute_logs": {
            "module": "resources.tick_logs",
            "class": "TickLogManager",
            "config": {"base_dir": {"env": "DAGSTER_HOME"}},
        },
    }


def _sqlite_storage() -> dict[str, Any]:
    base_dir = {"base_dir": {"env": "DAGSTER_HOME"}}  # by name, so that a root can be moved
    return {"custom": {"module": "resources.storage", "class": "RedactingStorage", "config": base_dir}}


def _postgres_storage() -> dict[str, Any]:
    url = {"postgres_url": {"env": DAGSTER_URL_ENV}}  # by name, because it may hold a password
    return {"custom": {"module": "resources.postgres_storage", "class": _ON_POSTGRES, "config": url}}


def prepare_instance(root: Root, *, max_jobs: int) -> None:
    """Make `DAGSTER_HOME` with its settings and the limit of pool `rollouts`; safe to repeat.

    The pool's limit is set explicitly, because the daemon reads the known pools before it stores a default
    limit, and so starts every run that it finds at its first look. The launcher is made once here, because an
    import failure would otherwise show only when the first run is launched.
    """
    root.dagster_home.mkdir(parents=True, exist_ok=True, mode=0o700)
    root.dagster_home.chmod(0o700)
    _refuse_without_url(root)
    _refuse_shared_database(root)
    write_yaml(_settings_file(root), instance_settings(), mode=0o600)
    with open_instance(root) as instance:
        instance.event_log_storage.set_concurrency_slots(ROLLOUT_POOL, max_jobs)
        if instance.run_launcher is None:
            mend = f"see what {OVERLAY_VARIABLE} says of run_launcher, and that its package is installed"
            raise RequirementError("Dagster's run launcher could not be made", where=root.dagster_home, mend=mend)


def has_instance(root: Root) -> bool:
    """Whether set-up has been run for this root."""
    return _settings_file(root).exists()


def _settings_file(root: Root) -> Path:
    return root.dagster_home / "dagster.yaml"


def _refuse_without_url(root: Root) -> None:
    """An instance on Postgres is never taken for an empty one in SQLite."""
    if has_instance(root) and not os.environ.get(DAGSTER_URL_ENV) and _ON_POSTGRES in _settings_file(root).read_text():
        raise ConfigError(
            f"Dagster's storage is on Postgres, and {DAGSTER_URL_ENV} is not set",
            where=_settings_file(root),
            mend=f"export {DAGSTER_URL_ENV}=…, or move that file away to begin an empty one in SQLite",
        )


def _refuse_shared_database(root: Root) -> None:
    """Dagster and the ledger each have a table `jobs`: the second to come would take the first one's for its own."""
    address, ledger = os.environ.get(DAGSTER_URL_ENV), server_of(root)
    if not address or ledger is None:
        return
    ours = server_at(root, address, named_by=DAGSTER_URL_ENV)
    if _database(ledger.url) == _database(ours.url):
        raise ConfigError(
            "the ledger and Dagster need a database each",
            where=ours.where,
            why="both have a table named jobs",
            mend=f"make a second database, and name it in {DAGSTER_URL_ENV}",
        )


def _database(url: sa.URL) -> tuple[object, ...]:
    """Which database an address leads to, by network or by socket."""
    return url.host, url.port or POSTGRES_PORT, url.query.get("host"), url.database


def open_instance(root: Root) -> dg.DagsterInstance:
    """The instance under `root`, as a context manager.

    Raises:
        RequirementError: set-up has not been run for this root.
    """
    home = root.dagster_home
    if not has_instance(root):
        raise RequirementError("there is no Dagster instance yet", where=home, mend="run `trajgen setup`")
    _refuse_without_url(root)
    os.environ["DAGSTER_HOME"] = str(home)  # its run workers inherit it
    return dg.DagsterInstance.from_config(str(home))


def dagster_environ(root: Root, config: Path) -> dict[str, str]:
    """What Dagster's own processes need to find the root, the configuration and the instance."""
    return {
        "DAGSTER_HOME": str(root.dagster_home),
        "TRAJGEN_ROOT": str(root.path),
        "TRAJGEN_ENV_DIR": str(root.env),
        "TRAJGEN_CONFIG": str(config),
        "DAGSTER_DISABLE_TELEMETRY": "yes",
        **server_environ(root, LEDGER_URL_ENV, DAGSTER_URL_ENV),
        **({HOST_ENV: host} if (host := os.environ.get(HOST_ENV)) else {}),  # commands and runs count as one host
    }
