"""The day on which the running test began: the same for a test that goes on after midnight."""

from datetime import UTC, datetime, tzinfo

_began_at: datetime | None = None


def begin() -> None:
    """Start a test now."""
    global _began_at  # noqa: PLW0603  # one per test process, which runs one test at a time
    _began_at = datetime.now(UTC)


def today(hour: int = 0, zone: tzinfo = UTC) -> datetime:
    """Return *hour* o'clock in *zone* of the day on which the test began."""
    began_at = (_began_at or datetime.now(UTC)).astimezone(zone)
    return began_at.replace(hour=hour, minute=0, second=0, microsecond=0)
