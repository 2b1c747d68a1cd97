"""Graph's ways to write a time, and nobody else's: `{dateTime, timeZone}` and instants.

Answers are asked for in UTC (``Prefer: outlook.timezone``). Requests carry the wall clock of the
organizer's zone, so that a series keeps its hour when the clocks change.

Source: https://learn.microsoft.com/graph/api/resources/datetimetimezone
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final

from msgraph.generated.models.date_time_time_zone import DateTimeTimeZone
from tzlocal.windows_tz import tz_win

from shared.availability.working_hours import zone_of
from shared.errors import CalendarUnavailable
from shared.timespan import TimeSpan

NEVER: Final = datetime(1, 1, 1, tzinfo=UTC)
"""Earlier than everything: for what must have a time where Graph says none."""
_NO_TIME: Final = frozenset({"0001", "4501"})
"""Years that Graph writes where there is no time."""
_UTC_NAMES: Final = frozenset({"UTC", "tzone://Microsoft/Utc", "Etc/UTC", "Etc/GMT"})


def read_instant(text: object) -> datetime | None:
    """Read an instant such as ``2019-08-01T07:06:24.5046431Z``; None where there is no time."""
    if not isinstance(text, str) or text[:4] in _NO_TIME:
        return None
    try:
        instant = datetime.fromisoformat(_shortened(text))
    except ValueError as error:
        raise CalendarUnavailable("Graph wrote a time that cannot be read.") from error
    return (instant if instant.tzinfo else instant.replace(tzinfo=UTC)).astimezone(UTC)


def read_time(value: Mapping[str, Any]) -> datetime:
    """Read a ``dateTimeTimeZone``. In UTC as asked for, or in whichever zone it says it is."""
    try:
        wall = datetime.fromisoformat(_shortened(value["dateTime"]))
        zone = value.get("timeZone") or "UTC"
        if wall.tzinfo is None:
            wall = wall.replace(tzinfo=UTC if zone in _UTC_NAMES else zone_of(zone))
        return wall.astimezone(UTC)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CalendarUnavailable("Graph wrote a time that cannot be read.") from error


def read_span(start: Mapping[str, Any], end: Mapping[str, Any]) -> TimeSpan:
    """Read a start and an end."""
    try:
        return TimeSpan(read_time(start), read_time(end))
    except ValueError as error:
        raise CalendarUnavailable("Graph wrote a time that ends before it starts.") from error


def to_date_time_zone(instant: datetime, zone_name: str = "UTC") -> DateTimeTimeZone:
    """Write *instant* as the wall clock of *zone_name*, an IANA or Windows name.

    Outlook knows every Windows name but only some IANA ones, so the Windows name is written. An
    hour that the clocks show twice cannot be told apart on a wall clock: those instants, and zones
    without a Windows name for what their clocks show, are written in UTC.

    Raises:
        ValueError: there is no such zone.
    """
    zone = zone_of(zone_name)
    windows_name = _windows_name(zone_name)
    wall = instant.astimezone(zone)
    if windows_name is None or _is_ambiguous(wall, instant) or not _shows(windows_name, wall):
        wall, windows_name = instant, "UTC"
    return DateTimeTimeZone(
        date_time=wall.replace(tzinfo=None).isoformat(timespec="seconds"), time_zone=windows_name
    )


def to_local_time(instant: datetime, zone: str) -> DateTimeTimeZone:
    """Write *instant* as the wall clock of *zone*, always: the times of a series follow its clock.

    Which of two equal hours is meant is then Outlook's to say. A zone that Windows does not know is
    sent by its IANA name, which Graph takes or refuses.
    """
    wall = instant.astimezone(zone_of(zone)).replace(tzinfo=None)
    return DateTimeTimeZone(date_time=wall.isoformat(timespec="seconds"), time_zone=zone_name(zone))


def zone_name(name: str) -> str:
    """Return what Outlook calls the zone *name*, or *name* where Windows has no such zone."""
    return _windows_name(name) or name


@lru_cache(maxsize=512)
def _windows_name(name: str) -> str | None:
    """Return the Windows zone whose clocks go as those of *name*, if there is one.

    CLDR's table has for each zone the nearest one, which may be hours away: for Ittoqqortoormiit
    in Greenland it still names the Azores.
    """
    if name in _UTC_NAMES:
        return "UTC"
    if name in _WINDOWS_NAMES:
        return name
    found = _OLD_NAMES.get(name) or tz_win.get(name)
    if found is None:
        return None
    zone = zone_of(name)
    return found if all(_shows(found, week.astimezone(zone)) for week in _WEEKS) else None


def _shows(windows_name: str, wall: datetime) -> bool:
    """Tell whether clocks of the Windows zone show *wall* at its instant."""
    return wall.astimezone(zone_of(windows_name)).utcoffset() == wall.utcoffset()


_WINDOWS_NAMES: Final = frozenset(tz_win.values())
_OLD_NAMES: Final = {
    "CST6CDT": "Central Standard Time",
    "EST5EDT": "Eastern Standard Time",
    "GMT": "UTC",
    "MST7MDT": "Mountain Standard Time",
    "PST8PDT": "Pacific Standard Time",
    "US/East-Indiana": "US Eastern Standard Time",
    "Europe/Uzhgorod": "FLE Standard Time",
    "Europe/Zaporozhye": "FLE Standard Time",
}
"""Names of zones that the table does not list any more."""
_WEEKS: Final = [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(weeks=n) for n in range(520)]
"""When clocks are compared: sessions are booked at most a year ahead."""


def _is_ambiguous(wall: datetime, instant: datetime) -> bool:
    naive = wall.replace(tzinfo=None)
    return any(
        naive.replace(tzinfo=wall.tzinfo, fold=fold).astimezone(UTC) != instant for fold in (0, 1)
    )


def _shortened(text: str) -> str:
    """Return *text* with at most six digits of fraction: Graph writes seven."""
    point = text.find(".")
    if point < 0:
        return text
    end = point + 1
    while end < len(text) and text[end].isdigit():
        end += 1
    return text[: min(end, point + 7)] + text[end:]
