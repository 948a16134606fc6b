"""The ledger's tables, for SQLite and for Postgres."""

from datetime import datetime
from enum import StrEnum

import sqlalchemy as sa

from trajgen_assets.core.clock import stamp
from trajgen_assets.core.ledger.models import (
    AskedBy,
    AttemptKind,
    BreakerState,
    CaptureVerdict,
    JobState,
    SkipKind,
    TaskStatus,
)


class Moment(sa.types.TypeDecorator[datetime]):
    """An aware UTC time, kept as ISO 8601 text: equal in every database, and in order when sorted as text."""

    impl = sa.String(32)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> str | None:  # noqa: ARG002
        return None if value is None else stamp(value)

    def process_result_value(self, value: str | None, dialect: sa.Dialect) -> datetime | None:  # noqa: ARG002
        return None if value is None else datetime.fromisoformat(value)


def without_nul(text: str) -> str:
    """`text` as every database can hold it: Postgres takes no NUL, and what a program leaves may hold one."""
    return text.replace("\0", "\ufffd")


class Line(sa.types.TypeDecorator[str]):
    """A short text. Its length is a promise to readers, which Postgres would hold a note of a program to: so untold."""

    impl = sa.String
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[str]:
        return dialect.type_descriptor(sa.Text() if dialect.name == "postgresql" else self.impl_instance)

    def process_bind_param(self, value: str | None, dialect: sa.Dialect) -> str | None:  # noqa: ARG002
        return None if value is None else without_nul(value)


class Words(sa.types.TypeDecorator[str]):
    """A text of any length."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: sa.Dialect) -> str | None:  # noqa: ARG002
        return None if value is None else without_nul(value)


def _word(kind: type[StrEnum], name: str) -> sa.Enum:
    """A column type that holds the values of `kind` as text, checked by the database."""
    return sa.Enum(
        kind,
        name=name,
        native_enum=False,
        create_constraint=True,
        length=16,
        values_callable=lambda members: [member.value for member in members],
    )


metadata = sa.MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)

meta = sa.Table(
    "meta",
    metadata,
    sa.Column("key", Line(200), primary_key=True),
    sa.Column("value", Words, nullable=False),
)

WRITER = "last write of "
"""Begins those keys of `meta` that tell writers of a server what became of their last transaction."""

jobs = sa.Table(
    "jobs",
    metadata,
    sa.Column("name", Line(300), primary_key=True),
    sa.Column("campaign", Line(200), nullable=False),
    sa.Column("dataset", Line(200), nullable=False),
    sa.Column("state", _word(JobState, "state"), nullable=False),
    sa.Column("launch", sa.Integer, nullable=False),
    sa.Column("run_id", Line(200)),
    sa.Column("owner", Line(300)),
    sa.Column("host", Line(300)),
    sa.Column("fence", sa.Integer, nullable=False),
    sa.Column("lease_expires_at", Moment),
    sa.Column("config_digest", Line(80)),
    sa.Column("n_tasks", sa.Integer, nullable=False),
    sa.Column("assigned_at", Moment, nullable=False),
    sa.Column("requested_at", Moment),
    sa.Column("started_at", Moment),
    sa.Column("finished_at", Moment),
    sa.Column("note", Words),
    sa.Column("accepted_digest", Line(80)),
    sa.Column("downstream_digest", Line(80)),
    sa.Column("asked_by", _word(AskedBy, "asked_by")),  # null in jobs that are older than the column
    sa.CheckConstraint("(state = 'running') = (lease_expires_at IS NOT NULL)", name="lease"),
    sa.Index("ix_jobs_state", "state"),
)

tasks = sa.Table(
    "tasks",
    metadata,
    sa.Column("position", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("campaign", Line(200), nullable=False),
    sa.Column("dataset", Line(200), nullable=False),
    sa.Column("task_id", Line(200), nullable=False),
    sa.Column("digest", Line(80)),
    sa.Column("changed_digest", Line(80)),
    sa.Column("status", _word(TaskStatus, "status"), nullable=False),
    sa.Column("skip_kind", _word(SkipKind, "skip_kind")),
    sa.Column("note", Words),
    sa.Column("listed", sa.Boolean, nullable=False),
    sa.Column("eligible", sa.Boolean, nullable=False),
    sa.Column("ineligible_reason", Words),
    sa.Column("partitioned", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("imported", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("job", sa.ForeignKey("jobs.name")),
    sa.Column("last_job", sa.ForeignKey("jobs.name")),
    sa.Column("last_cause", Line(80)),
    sa.Column("n_attempts", sa.Integer, nullable=False, server_default="0"),
    sa.Column("n_counted", sa.Integer, nullable=False, server_default="0"),
    sa.Column("n_infra", sa.Integer, nullable=False, server_default="0"),
    sa.Column("n_capture", sa.Integer, nullable=False, server_default="0"),
    sa.Column("reward", sa.Float),
    sa.Column("trajectory_path", Words),
    sa.Column("memory_multiplier", sa.Float),
    sa.Column("registered_at", Moment, nullable=False),
    sa.Column("updated_at", Moment, nullable=False),
    sa.Column("submitted_at", Moment),
    sa.Column("completed_at", Moment),
    sa.UniqueConstraint("campaign", "task_id", "dataset"),  # id first: duplicates are looked for across data sets
    sa.CheckConstraint("(status = 'skipped') = (skip_kind IS NOT NULL)", name="skip_has_kind"),
    sa.CheckConstraint("status <> 'running' OR job IS NOT NULL", name="running_has_job"),
    sa.CheckConstraint("status IN ('pending', 'running') OR job IS NULL", name="over_has_no_job"),
    sa.CheckConstraint(
        "status <> 'done' OR imported OR (reward IS NOT NULL AND trajectory_path IS NOT NULL)", name="done_is_graded"
    ),
    sa.Index("ix_tasks_queue", "campaign", "dataset", "status", "position"),
    sqlite_autoincrement=True,  # a position that was given away is never given again
)
sa.Index("ix_tasks_job", tasks.c.job, sqlite_where=tasks.c.job.is_not(None), postgresql_where=tasks.c.job.is_not(None))
sa.Index(
    "ix_tasks_to_partition",
    tasks.c.position,
    sqlite_where=tasks.c.eligible & ~tasks.c.partitioned,
    postgresql_where=tasks.c.eligible & ~tasks.c.partitioned,
)

job_tasks = sa.Table(
    "job_tasks",
    metadata,
    sa.Column("job", sa.ForeignKey("jobs.name"), primary_key=True),
    sa.Column("task", sa.ForeignKey("tasks.position"), primary_key=True),
    sa.Column("ordinal", sa.Integer, nullable=False),
)

attempts = sa.Table(
    "attempts",
    metadata,
    sa.Column("attempt_id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("task", sa.ForeignKey("tasks.position"), nullable=False),
    sa.Column("job", sa.ForeignKey("jobs.name"), nullable=False),
    sa.Column("ordinal", sa.Integer, nullable=False),
    sa.Column("trial_name", Line(300), nullable=False),
    sa.Column("kind", _word(AttemptKind, "kind"), nullable=False),
    sa.Column("cause", Line(80)),
    sa.Column("reward", sa.Float),
    sa.Column("capture", _word(CaptureVerdict, "capture")),
    sa.Column("n_input_tokens", sa.BigInteger),
    sa.Column("n_output_tokens", sa.BigInteger),
    sa.Column("n_cache_tokens", sa.BigInteger),
    sa.Column("cost_usd", sa.Float),
    sa.Column("started_at", Moment),
    sa.Column("finished_at", Moment),
    sa.Column("duration_s", sa.Float),
    sa.Column("trajectory_path", Words),
    sa.Column("trajectory_sha256", Line(80)),
    sa.Column("accepted", sa.Boolean, nullable=False),
    sa.Column("note", Words),
    sa.Column("fence", sa.Integer, nullable=False),
    sa.Column("recorded_at", Moment, nullable=False),
    sa.UniqueConstraint("job", "trial_name"),
    sa.UniqueConstraint("task", "ordinal"),
    sa.CheckConstraint(
        "NOT accepted OR (kind = 'graded' AND reward IS NOT NULL AND trajectory_path IS NOT NULL"
        " AND capture IN ('complete', 'cut'))",
        name="accepted_is_graded",
    ),
)
# Exactly once, said to the database: no code path can accept two attempts of one task.
sa.Index(
    "ux_attempts_accepted",
    attempts.c.task,
    unique=True,
    sqlite_where=attempts.c.accepted,
    postgresql_where=attempts.c.accepted,
)

breakers = sa.Table(
    "breakers",
    metadata,
    sa.Column("dataset", Line(200), primary_key=True),
    sa.Column("state", _word(BreakerState, "state"), nullable=False),
    sa.Column("cause", Line(80)),
    sa.Column("opened_at", Moment),
    sa.Column("until", Moment),
    sa.Column("delay_s", sa.Float, nullable=False),
    sa.Column("n_trips", sa.Integer, nullable=False),
    sa.Column("alerted_at", Moment),
)

trial_slots = sa.Table(
    "trial_slots",
    metadata,
    sa.Column("host", Line(300), primary_key=True),
    sa.Column("job", sa.ForeignKey("jobs.name"), primary_key=True),
    sa.Column("n", sa.Integer, nullable=False),
    sa.Column("updated_at", Moment, nullable=False),
)

stop_requests = sa.Table(
    "stop_requests",
    metadata,
    sa.Column("job", sa.ForeignKey("jobs.name"), primary_key=True),
    sa.Column("drain", sa.Boolean, nullable=False),
    sa.Column("asked_by", Line(300), nullable=False),
    sa.Column("asked_at", Moment, nullable=False),
)

pauses = sa.Table(
    "pauses",
    metadata,
    sa.Column("dataset", Line(200), primary_key=True),  # empty: every data set
    sa.Column("paused_by", Line(300), nullable=False),
    sa.Column("paused_at", Moment, nullable=False),
    sa.Column("reason", Words, nullable=False),
)

removals = sa.Table(
    "removals",
    metadata,
    sa.Column("job", sa.ForeignKey("jobs.name"), primary_key=True),
    sa.Column("note", Words, nullable=False),
    sa.Column("begun_at", Moment, nullable=False),
    sa.Column("finished_at", Moment),  # null: files of it may still be there
)

manifests = sa.Table(
    "manifests",
    metadata,
    sa.Column("campaign", Line(200), primary_key=True),
    sa.Column("dataset", Line(200), primary_key=True),
    sa.Column("path", Words, nullable=False),
    sa.Column("sha256", Line(80), nullable=False),
    sa.Column("n_entries", sa.Integer, nullable=False),
    sa.Column("read_at", Moment, nullable=False),
)

schema_migrations = sa.Table(
    "schema_migrations",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("name", Line(200), nullable=False),
    sa.Column("applied_at", Moment, nullable=False),
)
