"""A Postgres of the tests' own: a cluster in a temporary folder, on a loopback port, ended by its process id.

Postgres refuses to run as root, so a root gives it to an unprivileged user. `make postgres` installs its programs.
"""

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg2

from scripts.postgres import programs
from tests.ports import free_port
from tests.waiting import wait_until
from trajgen_assets.core.ledger.place import DRIVER

ADMIN = "postgres"
START_S = 60.0


@dataclass
class Cluster:
    """One running server. `password` is that of its only user."""

    folder: Path
    port: int
    settings: dict[str, str]
    password: str = field(default_factory=lambda: secrets.token_urlsafe(12))
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def log(self) -> Path:
        return self.folder / "log"

    def url(self, database: str, *, password: str | None = None, port: int | None = None) -> str:
        return f"{DRIVER}://{ADMIN}:{password or self.password}@127.0.0.1:{port or self.port}/{database}"

    def new_database(self) -> str:
        """Make an empty database; returns its address."""
        name = f"db_{secrets.token_hex(6)}"
        self.sql(f"CREATE DATABASE {name}")
        return self.url(name)

    def copy_of(self, url: str) -> str:
        """Make a database that holds what the one at `url` does; nobody may be connected to that."""
        name = f"db_{secrets.token_hex(6)}"
        self.sql(f"CREATE DATABASE {name} TEMPLATE {url.rpartition('/')[2]}")
        return self.url(name)

    def sql(self, text: str, database: str = "postgres") -> list[tuple[object, ...]]:
        conn = psycopg2.connect(
            host="127.0.0.1", port=self.port, user=ADMIN, password=self.password, dbname=database, connect_timeout=5
        )
        try:
            conn.autocommit = True
            with conn.cursor() as cursor:
                cursor.execute(text)
                return list(cursor.fetchall()) if cursor.description else []
        finally:
            conn.close()

    def make(self) -> None:
        pwfile = self.folder / "password"
        pwfile.write_text(self.password)
        pwfile.chmod(0o644)
        how = ["--auth=scram-sha-256", f"--username={ADMIN}", f"--pwfile={pwfile}", "--encoding=UTF8", "--locale=C"]
        subprocess.run(
            [*_as_somebody(), self._program("initdb"), "-D", self.data, "--no-sync", *how],
            check=True, cwd=self.folder, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        pwfile.unlink()

    def start(self) -> None:
        settings = [part for name, value in self.settings.items() for part in ("-c", f"{name}={value}")]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*_as_somebody(), self._program("postgres"), "-D", self.data, "-p", str(self.port),
                 "-h", "127.0.0.1", "-k", self.folder, *settings],
                cwd=self.folder, stdout=log, stderr=log,
            )  # fmt: skip
        wait_until(self._answers, limit_s=START_S)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End the server: INT is its fast way, QUIT its immediate one, as after a crash."""
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(START_S)
            self.process = None

    def restart(self) -> None:
        """As `pg_ctl restart -m immediate`: nothing is finished, and the log is recovered at the start."""
        self.stop(signal.SIGQUIT)
        self.start()

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text()
        try:
            self.sql("SELECT 1")
        except psycopg2.OperationalError:
            return False
        return True

    @staticmethod
    def _program(name: str) -> Path:
        folder = programs()
        assert folder is not None, "there is no Postgres here: `make postgres` installs it"
        return folder / name


def _as_somebody() -> list[str]:
    """The way to start a program that ends with us, as an unprivileged user where we are root."""
    dying = ["setpriv", "--pdeathsig", "INT"]
    return [*dying, f"--reuid={_user().pw_uid}", f"--regid={_user().pw_gid}", "--clear-groups"] if _is_root() else dying


def _is_root() -> bool:
    return os.geteuid() == 0


def _user() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")


@contextmanager
def running_cluster(**settings: str) -> Iterator[Cluster]:
    """A server with these settings, which is gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="trajgen-postgres-"))
    if _is_root():
        os.chown(folder, _user().pw_uid, _user().pw_gid)
    cluster = Cluster(folder, free_port(), {"max_connections": "100", "lc_messages": "C", **settings})
    try:
        cluster.make()
        cluster.start()
        yield cluster
    finally:
        cluster.stop(signal.SIGQUIT)
        shutil.rmtree(folder)
