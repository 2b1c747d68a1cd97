"""Graph's ``{dateTime, timeZone}``: a wall clock, its zone's name, seven digits of fraction."""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, tzinfo
from functools import cache
from typing import Final
from zoneinfo import ZoneInfo, available_timezones

from tzlocal.windows_tz import tz_win, win_tz

from local.graph.errors import GraphError, Json, bad_request, invalid_property

NEVER: Final = datetime(1, 1, 1, tzinfo=UTC)
"""Graph's "no time", for an attendee without an answer."""
RESET: Final = datetime(4501, 1, 1, tzinfo=UTC)
"""Graph's other "no time", for an answer that a reschedule has reset (sample proposal-5)."""

_WALL = re.compile(r"(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(?::\d{2})?)(?:\.(\d{1,7}))?")
_WINDOWS: Final = {name.casefold(): iana for name, iana in win_tz.items()}


@cache
def zone_named(name: str) -> tzinfo:
    """Return the zone of a Windows or IANA name, in any case.

    Raises:
        GraphError: 400 ``TimeZoneNotSupportedException`` for any other name.
    """
    if name.casefold() in {"utc", "etc/utc", "tzone://microsoft/utc"}:
        return UTC
    iana = _WINDOWS.get(name.casefold()) or _iana_names().get(name.casefold())
    if iana is None:
        raise GraphError(
            400,
            "TimeZoneNotSupportedException",
            f"A valid TimeZone value must be specified. The following TimeZone value "
            f"'{name}' is not supported.",
        )
    return ZoneInfo(iana)


@cache
def _iana_names() -> dict[str, str]:
    return {name.casefold(): name for name in available_timezones()}


def windows_names() -> list[str]:
    """Return the Windows names Graph lists, sorted."""
    return sorted(win_tz)


def iana_names() -> list[str]:
    """Return the IANA names Graph lists, sorted."""
    return sorted(tz_win)


@dataclass(frozen=True, slots=True)
class Moment:
    """A wall-clock time in a named zone, as an event keeps it."""

    wall: datetime
    """Naive."""
    zone: str

    @property
    def instant(self) -> datetime:
        """The same, in UTC."""
        return self.wall.replace(tzinfo=zone_named(self.zone)).astimezone(UTC)

    @classmethod
    def at(cls, instant: datetime, zone: str) -> "Moment":
        """Return *instant* as the clocks of *zone* show it."""
        return cls(instant.astimezone(zone_named(zone)).replace(tzinfo=None), zone)

    @classmethod
    def parse(cls, value: object, field: str) -> "Moment":
        """Read a ``dateTimeTimeZone`` of a request. GraphError 400 if it is none."""
        if not isinstance(value, dict) or not isinstance(value.get("dateTime"), str):
            raise invalid_property(field)
        zone = value.get("timeZone") or "UTC"
        if not isinstance(zone, str):
            raise invalid_property(field)
        zone_named(zone)
        return cls(parse_wall(value["dateTime"], field), zone)

    def on(self, day: date) -> "Moment":
        """Return the same time of day on another date."""
        return Moment(datetime.combine(day, self.wall.time()), self.zone)

    def date_json(self, zone: str | None = None) -> Json:
        """Write it as the midnight of an all-day event: the same in every zone that is asked for.

        Source: https://github.com/microsoftgraph/microsoft-graph-docs/issues/1802 (by design)
        """
        return {"dateTime": wall_text(self.wall), "timeZone": zone or "UTC"}

    def as_json(self, zone: str | None = None) -> Json:
        """Write it in *zone*, UTC if none is asked for."""
        shown = zone or "UTC"
        wall = self.wall if shown == self.zone else Moment.at(self.instant, shown).wall
        return {"dateTime": wall_text(wall), "timeZone": shown}


def parse_wall(text: str, field: str) -> datetime:
    """Read a wall-clock time without offset. GraphError 400 if it is none."""
    match = _WALL.fullmatch(text)
    try:
        if match:
            fraction = (match[2] or "0").ljust(6, "0")[:6]
            return datetime.fromisoformat(match[1]).replace(microsecond=int(fraction))
    except ValueError:
        pass
    raise invalid_property(field)


def parse_instant(text: str, field: str) -> datetime:
    """Read ISO 8601 as calendarView does: an offset counts, none means UTC."""
    # Python reads up to six digits of fraction, Graph writes seven.
    trimmed = re.sub(r"(\.\d{6})\d+", r"\1", text.strip())
    try:
        parsed = datetime.fromisoformat(trimmed)
    except ValueError:
        raise bad_request(f"The value '{text}' of '{field}' is not a date.") from None
    aware = parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
    try:
        return aware.astimezone(UTC)
    except OverflowError:
        raise bad_request(f"The value '{text}' of '{field}' is not a date.") from None


def wall_text(wall: datetime) -> str:
    """Write a naive time with seven digits: ``2026-03-01T09:00:00.0000000``."""
    return f"{wall.replace(microsecond=0).isoformat()}.{wall.microsecond:06d}0"


def instant_text(instant: datetime) -> str:
    """Write an instant: whole seconds shortly, as the special years are, else seven digits."""
    naive = instant.astimezone(UTC).replace(tzinfo=None)
    return f"{naive.isoformat()}Z" if not naive.microsecond else f"{wall_text(naive)}Z"
