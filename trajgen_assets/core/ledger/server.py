"""A ledger on a Postgres server: the same transactions, over a connection that may be lost at any moment.

Three rules make a lost connection harmless. What was lost before COMMIT was sent is rolled back by the server, and the
caller may do all of it again. What was lost at COMMIT is decided by reading: each transaction leaves a mark of its own,
which is there or not once the write lock is free. The server's own word on a transaction's number will not do: numbers
that were given away just before a crash are given away again. And a host that stands still within a transaction is
thrown out, so that it cannot keep the others waiting.
"""

import itertools
import re
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from trajgen_assets.core.clock import now as host_now
from trajgen_assets.core.clock import stamp
from trajgen_assets.core.errors import BusyError, LedgerCorruptError, LedgerError, TrajgenError
from trajgen_assets.core.faults import reached
from trajgen_assets.core.ledger.connect import BUSY_TIMEOUT_S, Interrupted, Store
from trajgen_assets.core.ledger.schema import WRITER, meta

WRITE_LOCK = 0x54524A47  # "TRJG"

# Nothing has answered yet, so it may as well be the wrong address: a person should not wait half a minute for that.
FIRST_PATIENCE_S = 10.0
RETRY_S = 0.1
CONNECT_TIMEOUT_S = 10
# Whoever holds the write lock and says nothing for so long has been stopped, or its host is gone.
SILENCE_MS = 60_000

_SETTINGS = {
    "synchronous_commit": "on",  # what was committed outlives the server's power supply, whatever its default is
    "idle_in_transaction_session_timeout": str(SILENCE_MS),
    "tcp_keepalives_idle": "30",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
    "timezone": "UTC",
    "client_encoding": "UTF8",
}
_KEEPALIVE = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3}

_BEGIN_READ = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"
# Read committed: each statement sees what was committed by those who had the lock before.
_BEGIN_WRITE = f"""
SET TRANSACTION ISOLATION LEVEL READ COMMITTED READ WRITE;
SET LOCAL lock_timeout = %s;
SELECT pg_advisory_xact_lock({WRITE_LOCK});
SELECT clock_timestamp()"""

_MARK = postgresql.insert(meta).values(key=sa.bindparam("writer"), value=sa.bindparam("mark"))
_MARK = _MARK.on_conflict_do_update(index_elements=[meta.c.key], set_={"value": _MARK.excluded.value})
_MARKED = sa.select(meta.c.value).where(meta.c.key == sa.bindparam("writer"))
# A mark tells its writer what became of its last transaction; a day later nobody asks any more.
_FORGET = sa.delete(meta).where(meta.c.key.startswith(WRITER, autoescape=True), meta.c.value < sa.bindparam("before"))
_KEPT_FOR = timedelta(days=1)

_PASSING = re.compile(
    r"starting up|shutting down|recovery mode|not yet accepting|too many (clients|connections)|connection slots|"
    r"terminating connection|server closed the connection|connection refused|timeout expired|timed out|"
    r"connection reset|could not receive data|SSL SYSCALL|Is the server running|Connection refused|No such file",
    re.IGNORECASE,
)
_PASSING_CODES = ("08", "57P", "53300", "40001", "40P01")


class ServerClock:
    """The server's time, carried on by this host's count of seconds since it was last asked.

    Hosts do not agree on the time, and one of them must not take the lease of another for run out: all of them go by
    the server's. The count goes on while the host sleeps, and no correction of the host's clock touches it.
    """

    def __init__(self) -> None:
        self._asked: tuple[datetime, float] | None = None

    @property
    def is_set(self) -> bool:
        """Whether the server was asked."""
        return self._asked is not None

    def set(self, moment: datetime) -> None:
        """Take `moment` for the present one."""
        self._asked = (moment, time.clock_gettime(time.CLOCK_BOOTTIME))

    def __call__(self) -> datetime:
        if self._asked is None:
            return host_now()
        moment, counted_s = self._asked
        return moment + timedelta(seconds=time.clock_gettime(time.CLOCK_BOOTTIME) - counted_s)


@dataclass(frozen=True)
class ServerStore(Store):
    """A database on a Postgres server.

    Attributes:
        patience_s: how long a lock, or a server that does not answer, is waited for.
        now: the server's clock.
        writer: under which its transactions leave their marks.
        n_marks: counts them.
    """

    patience_s: float = BUSY_TIMEOUT_S
    now: ServerClock = field(default_factory=ServerClock)
    writer: str = field(default_factory=lambda: WRITER + uuid.uuid4().hex)
    n_marks: Iterator[int] = field(default_factory=itertools.count)

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """As the inherited one. A lost connection is `Interrupted`, and then nothing of the block was written."""
        with self._explained(), self._begun(_BEGIN_WRITE, self._patience_ms) as conn:
            yield conn
            mark = self._leave_mark(conn)
            reached("before_commit")
            self._commit(conn, mark)
        reached("after_commit")

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """As the inherited one."""
        with self._explained(), self._begun(_BEGIN_READ) as conn:
            yield conn
            conn.commit()

    def close(self) -> None:
        self.engine.dispose()

    @property
    def _patience_ms(self) -> int:
        return max(1, round(self.patience_s * 1000))

    @contextmanager
    def _begun(self, begin: str, *parameters: int) -> Iterator[sa.Connection]:
        """A connection on which `begin` has begun a transaction; a server that is away is waited for."""
        deadline = time.monotonic() + self._patience_of_now_s
        while True:
            conn = None
            try:
                conn = self.engine.connect()
                answer = conn.exec_driver_sql(begin, parameters)
                if answer.returns_rows:
                    self.now.set(answer.scalar_one())
                break
            except sa.exc.DBAPIError as error:
                if conn is not None:
                    conn.close()
                if not is_passing(error) or time.monotonic() > deadline:
                    raise
                time.sleep(RETRY_S)
            except BaseException:
                if conn is not None:
                    conn.close()
                raise
        with conn:
            yield conn

    @property
    def _patience_of_now_s(self) -> float:
        return self.patience_s if self.now.is_set else min(self.patience_s, FIRST_PATIENCE_S)

    def _leave_mark(self, conn: sa.Connection) -> str:
        now = self.now()
        mark = f"{stamp(now)} {uuid.uuid4().hex}"
        conn.execute(_MARK, {"writer": self.writer, "mark": mark})
        if next(self.n_marks) == 0:  # others' old marks, once
            conn.execute(_FORGET, {"before": stamp(now - _KEPT_FOR)})
        return mark

    def _commit(self, conn: sa.Connection, mark: str) -> None:
        try:
            conn.commit()
        except sa.exc.DBAPIError as error:
            if not error.connection_invalidated or not self._was_committed(mark, error):
                raise

    def _was_committed(self, mark: str, lost: sa.exc.DBAPIError) -> bool:
        """Whether the transaction of this mark was made, once the server can be asked; BusyError while it cannot.

        The lost transaction has the write lock as long as it lasts: whoever gets it after that sees how it ended.
        """
        deadline = time.monotonic() + self.patience_s
        while time.monotonic() <= deadline:
            with suppress(sa.exc.DBAPIError), self._begun(_BEGIN_WRITE, self._patience_ms) as conn:
                return bool(conn.scalar(_MARKED, {"writer": self.writer}) == mark)
            time.sleep(RETRY_S)
        raise BusyError(
            "the connection was lost at the commit, and the server does not say whether it was made",
            where=self.where,
            why=first_line(lost),
            mend="look again when the server answers; a command that is repeated does nothing twice",
        ) from lost

    def explain(self, error: sa.exc.DBAPIError) -> TrajgenError:
        return explain(error, self.where)


def server_store(url: sa.URL, where: str, *, patience_s: float = BUSY_TIMEOUT_S) -> ServerStore:
    """Open the database at `url`, shown as `where`; it is first asked at the first transaction."""
    engine = sa.create_engine(
        url,
        connect_args={"connect_timeout": CONNECT_TIMEOUT_S, "application_name": "trajgen", **_KEEPALIVE},
        pool_size=1,  # a host's connections are the server's to give: one is kept, more are made while they are needed
        max_overflow=20,
        executemany_mode="values_plus_batch",
        hide_parameters=True,
    )
    sa.event.listen(engine, "connect", _set_up)
    return ServerStore(engine, where, patience_s=patience_s)


def ask_time(store: ServerStore) -> None:
    """See that the server answers, and by which clock.

    Raises:
        BusyError: it does not answer.
        LedgerError: it does not let us in.
    """
    try:
        with store.read() as conn:
            store.now.set(conn.exec_driver_sql("SELECT clock_timestamp()").scalar_one())
    except Interrupted:
        if not store.now.is_set:  # else it has answered, and went away behind that
            raise


def is_passing(error: sa.exc.DBAPIError) -> bool:
    """Whether the server may answer in a moment: it is restarting, out of connections, or not there yet."""
    code = getattr(error.orig, "pgcode", None)
    if code is not None:
        return bool(code.startswith(_PASSING_CODES))
    return error.connection_invalidated or _PASSING.search(str(error.orig)) is not None


# By the server's code for it: what to say, and the mend.
_BY_CODE: tuple[tuple[str, type[TrajgenError], str, str], ...] = (
    ("55P03", BusyError, "the ledger is locked", "wait for the process that writes to it, or end it"),
    ("57014", BusyError, "the server cancelled a question to the ledger", "raise its statement_timeout, or repeat it"),
    ("53100", LedgerError, "the disk of the ledger's server is full", "make room there; nothing of this was written"),
    (
        "53",
        BusyError,
        "the ledger's server has no room for this",
        "repeat it, or give the server more of it",
    ),
    ("25006", LedgerError, "the ledger's server takes no writes", "name the primary server, not its copy"),
    ("42501", LedgerError, "this user may not use the ledger", "grant it all rights on this database's schema"),
    ("28", LedgerError, "the ledger's server does not let us in", "correct user and password"),
    ("3D000", LedgerError, "there is no such database", "create it, or correct its name"),
    ("XX", LedgerCorruptError, "the ledger cannot be read", "put back a copy that you trust"),
    ("42P01", LedgerCorruptError, "the ledger is not whole", "put back a copy that you trust"),
)
# Before a connection stands there is no code, only the server's words.
_BY_WORDS = (
    (re.compile("password authentication failed|no password supplied|pg_hba"), "28"),
    (re.compile('database ".*" does not exist'), "3D000"),
)


def explain(error: sa.exc.DBAPIError, where: str) -> TrajgenError:
    """Say in our own words what the server refused."""
    why = first_line(error)
    code = getattr(error.orig, "pgcode", None) or next((code for words, code in _BY_WORDS if words.search(why)), "")
    for begins, kind, what, mend in _BY_CODE:
        if code and code.startswith(begins):
            return kind(what, where=where, why=why, mend=mend)
    if is_passing(error):
        mend = "start the server, or correct its address; nothing of this was written"
        return Interrupted("the ledger's server does not answer", where=where, why=why, mend=mend)
    return LedgerError("the ledger refused", where=where, why=why, mend="see the server's log")


def first_line(error: sa.exc.DBAPIError) -> str:
    """What the driver says, without the lines that quote a statement."""
    return str(error.orig).strip().split("\n", 1)[0]


def _set_up(connection: sa.engine.interfaces.DBAPIConnection, _record: object) -> None:
    cursor = connection.cursor()
    set_one = ", ".join(["set_config(%s, %s, false)"] * len(_SETTINGS))
    cursor.execute(f"SELECT {set_one}", tuple(part for pair in _SETTINGS.items() for part in pair))
    cursor.close()
    connection.commit()
