"""Reads and writes Graph's formats of a time: `{dateTime, timeZone}` and instants.

Graph answers in UTC (``Prefer: outlook.timezone``). Requests have the local time of the organizer's
zone, so that a series keeps its hour when the clocks change.

Source: https://learn.microsoft.com/graph/api/resources/datetimetimezone
"""

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Any, Final

from msgraph.generated.models.date_time_time_zone import DateTimeTimeZone
from tzlocal.windows_tz import tz_win

from shared.adapters.graph.zones import UTC_NAMES, zone_named
from shared.availability.working_hours import zone_of
from shared.errors import CalendarUnavailable
from shared.timespan import DateSpan, TimeSpan

_NO_TIME: Final = frozenset({"0001", "4501"})
"""The years by which Graph writes that there is no time."""


def read_instant(text: object) -> datetime | None:
    """Parse an instant such as ``2019-08-01T07:06:24.5046431Z``; None if there is no time.

    Raises:
        CalendarUnavailable: the text cannot be parsed.
    """
    if not isinstance(text, str) or text[:4] in _NO_TIME:
        return None
    try:
        instant = datetime.fromisoformat(_shortened(text))
        return (instant if instant.tzinfo else instant.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise CalendarUnavailable("Graph wrote a time that cannot be read.") from error


def read_time(value: Mapping[str, Any] | None) -> datetime:
    """Parse a ``dateTimeTimeZone``, which may be in another zone than the UTC asked for.

    Raises:
        CalendarUnavailable: it has no readable time or no known zone.
    """
    try:
        if value is None or value["dateTime"][:4] in _NO_TIME:
            raise CalendarUnavailable("Graph left out a time that is needed.")
        wall = datetime.fromisoformat(_shortened(value["dateTime"]))
        if wall.tzinfo is None:
            zone = zone_named(value["timeZone"])
            if zone is None:
                raise CalendarUnavailable("Graph wrote a time in a zone that is not known.")
            wall = wall.replace(tzinfo=zone)
        return wall.astimezone(UTC)
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise CalendarUnavailable("Graph wrote a time that cannot be read.") from error


def read_span(start: Mapping[str, Any] | None, end: Mapping[str, Any] | None) -> TimeSpan:
    """Parse a start and an end, which may be the same: then the span is empty.

    Raises:
        CalendarUnavailable: one is missing or cannot be parsed, or the end is before the start.
    """
    try:
        return TimeSpan(read_time(start), read_time(end))
    except ValueError as error:
        raise CalendarUnavailable("Graph wrote a time that ends before it starts.") from error


def read_dates(start: object, end: object) -> DateSpan:
    """Parse the start and the end of an all-day event.

    Graph shows both as midnight in whatever zone is asked for: the zone beside them is not its own.
    Source: https://github.com/microsoftgraph/microsoft-graph-docs/issues/1802

    Raises:
        CalendarUnavailable: one of them is no midnight, or the end is not after the start.
    """
    try:
        return DateSpan(_date_of_midnight(start), _date_of_midnight(end))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CalendarUnavailable("Graph wrote dates that cannot be read.") from error


def _date_of_midnight(value: object) -> date:
    if not isinstance(value, dict):
        raise TypeError("no dateTimeTimeZone")
    wall = datetime.fromisoformat(_shortened(value["dateTime"]))
    if wall.time() != time():
        raise ValueError("an all-day event begins and ends at midnight")
    return wall.date()


def to_date_time_zone(instant: datetime, zone_name: str = "UTC") -> DateTimeTimeZone:
    """Write *instant* as the local time of *zone_name*, an IANA or Windows name.

    Outlook knows every Windows name but only some IANA names, so the Windows name is written. Two
    cases are written in UTC instead: an ambiguous local time, in the hour that occurs twice when
    the clocks go back, and a zone whose clocks no Windows zone matches.

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
    """Write *instant* as the local time of *zone*, never in UTC: a series follows its zone's clock.

    Outlook chooses when the local time is ambiguous. A zone without a Windows name is sent by its
    IANA name, which Graph accepts or refuses.
    """
    wall = instant.astimezone(zone_of(zone)).replace(tzinfo=None)
    return DateTimeTimeZone(date_time=wall.isoformat(timespec="seconds"), time_zone=zone_name(zone))


def zone_name(name: str) -> str:
    """Return the Windows name of the zone *name*, or *name* if no Windows zone matches it."""
    return _windows_name(name) or name


@lru_cache(maxsize=512)
def _windows_name(name: str) -> str | None:
    """Return the Windows zone whose clocks match those of *name*, or None.

    CLDR's table alone does not suffice: it maps each zone to the nearest Windows zone, which may be
    hours away. For Ittoqqortoormiit in Greenland it still has the Azores.
    """
    if name in UTC_NAMES:
        return "UTC"
    if name in _WINDOWS_NAMES:
        return name
    found = _OLD_NAMES.get(name) or tz_win.get(name)
    if found is None:
        return None
    zone = zone_of(name)
    return found if all(_shows(found, week.astimezone(zone)) for week in _WEEKS) else None


def _shows(windows_name: str, wall: datetime) -> bool:
    """Return whether the clocks of the Windows zone show *wall* at its instant."""
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
"""Old IANA names, which CLDR's table no longer has."""
_WEEKS: Final = [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(weeks=n) for n in range(520)]
"""The instants at which clocks are compared: ten years, as sessions are at most a year ahead."""


def _is_ambiguous(wall: datetime, instant: datetime) -> bool:
    naive = wall.replace(tzinfo=None)
    return any(
        naive.replace(tzinfo=wall.tzinfo, fold=fold).astimezone(UTC) != instant for fold in (0, 1)
    )


def _shortened(text: str) -> str:
    """Return *text* with at most six fractional digits: Graph writes seven, Python reads six."""
    point = text.find(".")
    if point < 0:
        return text
    end = point + 1
    while end < len(text) and text[end].isdigit():
        end += 1
    return text[: min(end, point + 7)] + text[end:]
