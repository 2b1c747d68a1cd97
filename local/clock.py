"""The one clock of the local cloud: real time, shifted as far as a test or a person asks for."""

from datetime import UTC, datetime, timedelta


class CloudClock:
    """The present time of the simulated services."""

    def __init__(self, start_at: datetime | None = None) -> None:
        """*start_at* freezes time; only `advance` then moves it. Without it, time flows."""
        self._frozen_at = start_at
        self._shift = timedelta()

    def now(self) -> datetime:
        """Return the present instant in UTC."""
        return (self._frozen_at or datetime.now(UTC)) + self._shift

    def advance(self, by: timedelta) -> None:
        """Let *by* pass at once."""
        if by < timedelta():
            raise ValueError("time goes forward only")
        self._shift += by
