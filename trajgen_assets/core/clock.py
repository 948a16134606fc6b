"""Time as everything here writes it: aware UTC."""

from datetime import UTC, datetime


def now() -> datetime:
    """The current moment, aware, in UTC."""
    return datetime.now(UTC)


def stamp(moment: datetime | None = None) -> str:
    """ISO 8601 with microseconds and `+00:00`, which sorts as text in the order of time."""
    return (moment or now()).astimezone(UTC).isoformat(timespec="microseconds")
