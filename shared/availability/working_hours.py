"""Local time: zones by name, working hours and full hours in them. Pure functions.

Masks are whole numbers with one bit per cell of `SLOT_GRID`, the lowest at the window's start.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import lru_cache
from typing import Any, Final
from zoneinfo import ZoneInfo

from shared.availability.masks import cells_of, mask_inside, span_of_cells
from shared.availability.model import SLOT_GRID, Schedule, WorkingHours
from shared.timespan import TimeSpan, merge

_DAY: Final = timedelta(days=1)
_LAST_MINUTE: Final = time(23, 59)
_WEEKDAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_NOT_OF_PEOPLE: Final = ("right/", "posix/", "localtime", "posixrules", "Factory")
"""Files in some zoneinfo directories that are no zone of a place: `right/` counts leap seconds,
`localtime` is the setting of the machine."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@lru_cache(maxsize=1024)
def zone_of(name: str) -> tzinfo:
    """Return the zone called *name*: an IANA name, or a Windows name as Exchange uses.

    A Windows name is mapped to the zone of its main territory, as CLDR has it.

    Raises:
        ValueError: *name* is neither.
    """
    # Imported here: only Windows names need the table, and most of them are in Graph's answers.
    from tzlocal.windows_tz import win_tz

    key = win_tz.get(name, name)
    if not key.startswith(_NOT_OF_PEOPLE):
        # ZoneInfo opens a file: *name* may also be a folder, too long, or no valid file name.
        try:
            return ZoneInfo(key)
        except (ValueError, LookupError, OSError):
            pass
    raise ValueError("not the name of a time zone")


def custom_zone(payload: Mapping[str, Any]) -> tzinfo:
    """Return the zone that *payload*, a `customTimeZone` of Graph in JSON, describes.

    UTC = local + `bias`, and + `daylightBias` in summer, in minutes: 480 and -60 are US Pacific.
    Graph's reference has the opposite sign; the service has always used this one.
    Source: https://github.com/microsoftgraph/microsoft-graph-docs-contrib/issues/15217

    Raises:
        ValueError: *payload* describes no zone.
    """
    try:
        standard, daylight = payload.get("standardOffset"), payload.get("daylightOffset")
        summer = _change(daylight) if daylight else None
        winter = _change(standard) if standard else None
        daylight_bias = int((daylight or {}).get("daylightBias") or 0)
        return CustomZone(
            bias=_offset(int(payload["bias"])),
            daylight_bias=_offset(daylight_bias),
            # There is no summer time without both changes, or if it has the same offset.
            daylight_from=summer if winter and daylight_bias else None,
            standard_from=winter if summer and daylight_bias else None,
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError("not a time zone that Graph describes") from error


@dataclass(frozen=True, slots=True)
class YearlyChange:
    """When clocks change, in *year* or in every year (0), as local time before the change."""

    month: int
    occurrence: int
    """The first to fourth *weekday* of the month; 5 is the last."""
    weekday: int
    """Monday is 0."""
    at: time
    year: int = 0

    def __post_init__(self) -> None:
        if not (1 <= self.month <= 12 and 1 <= self.occurrence <= 5 and 0 <= self.weekday <= 6):
            raise ValueError("no day of the year")

    def in_year(self, year: int) -> datetime | None:
        """Return the local time of the change in *year*; None if there is no change."""
        if self.year not in {0, year}:
            return None
        first = date(year, self.month, 1)
        days = (self.weekday - first.weekday()) % 7 + 7 * (self.occurrence - 1)
        day = first + timedelta(days=days)
        if day.month != self.month:
            day -= timedelta(days=7)
        return datetime.combine(day, self.at)


@dataclass(frozen=True)
class CustomZone(tzinfo):
    """A zone made of a bias and two yearly changes, as Windows describes zones."""

    bias: timedelta
    """Added to local standard time gives UTC."""
    daylight_bias: timedelta = timedelta()
    """Added in summer as well: mostly minus one hour."""
    daylight_from: YearlyChange | None = None
    standard_from: YearlyChange | None = None

    def utcoffset(self, moment: datetime | None) -> timedelta:
        """Return the offset from UTC of the local time *moment*; its fold resolves an overlap."""
        standard = -self.bias
        if moment is None:
            return standard
        wall = moment.replace(tzinfo=None)
        summer = standard - self.daylight_bias
        as_summer = self._is_summer(wall - summer)
        as_winter = not self._is_summer(wall - standard)
        if as_summer != as_winter:
            return summer if as_summer else standard
        # The local time exists twice (both) or never (neither). In Python fold 0 means the offset
        # before the change. Source: https://peps.python.org/pep-0495/
        is_twice = as_summer
        pick = max if is_twice == (moment.fold == 0) else min
        return pick(summer, standard)

    def dst(self, moment: datetime | None) -> timedelta:
        """Return the part of the offset that is summer time."""
        return self.utcoffset(moment) + self.bias

    def tzname(self, moment: datetime | None) -> str | None:
        """Return the offset as text: such a zone has no name."""
        return None if moment is None else f"{moment:%z}"

    def fromutc(self, moment: datetime) -> datetime:
        """Return the local time of *moment*, whose fields are UTC."""
        utc = moment.replace(tzinfo=None)
        standard = -self.bias
        summer = standard - self.daylight_bias
        offset = summer if self._is_summer(utc) else standard
        wall = (utc + offset).replace(tzinfo=self)
        return wall if self.utcoffset(wall) == offset else wall.replace(fold=1)

    def _is_summer(self, utc: datetime) -> bool:
        if self.daylight_from is None or self.standard_from is None:
            return False
        year = (utc - self.bias).year
        on, off = self.daylight_from.in_year(year), self.standard_from.in_year(year)
        if on is None or off is None:
            return False
        begin, end = on + self.bias, off + self.bias + self.daylight_bias
        return begin <= utc < end if begin < end else not end <= utc < begin


def assumed_zone(schedules: Iterable[Schedule], zone: tzinfo) -> tzinfo:
    """Return the zone for working hours whose own zone is not known.

    It is the one that most of the other *schedules* have, else *zone*, the caller's. Working hours
    only limit what is offered, so a wrong guess forbids no booking; without one, nights and
    week-ends would be offered.
    """
    known = Counter(s.hours.zone for s in schedules if s.hours and s.hours.zone)
    return known.most_common(1)[0][0] if known else zone


@lru_cache(maxsize=1024)
def working_mask(hours: WorkingHours, zone: tzinfo, window: TimeSpan) -> int:
    """Return the cells of *window* that lie wholly in *hours*, which are in *zone*.

    Local time counts: an hour that the clocks skip is no working time, an hour that they repeat
    counts twice. Hours that end at their start last 24 hours.
    """
    spans: list[TimeSpan] = []
    ends = hours.end if hours.end < _LAST_MINUTE else time()
    for regime, offset in _regimes(zone, window):
        # The night shift of the day before may reach into this part.
        day = (regime.start + offset).date() - _DAY
        while (start := datetime.combine(day, hours.start, UTC) - offset) < regime.end:
            if day.weekday() in hours.days:
                end = datetime.combine(day, ends, UTC) - offset
                shift = TimeSpan(start, end if start < end else end + _DAY).cut(regime)
                spans += [shift] if shift else []
            day += _DAY
    return mask_inside(merge(spans), window)


@lru_cache(maxsize=256)
def step_mask(zone: tzinfo, step: timedelta, window: TimeSpan) -> int:
    """Return the cells of *window* that start on a multiple of *step* past the full hour in *zone*.

    *step*: a multiple of `SLOT_GRID` that divides the hour. An offset off the grid (no zone of
    today has one) is rounded down to it.
    """
    stride = step // SLOT_GRID
    mask = 0
    for regime, offset in _regimes(zone, window):
        cells = cells_of(regime, window)
        past = ((regime.start - _EPOCH) // SLOT_GRID + offset // SLOT_GRID) % stride
        first = cells.start + -past % stride
        count = max(0, -((first - cells.stop) // stride))
        every = ((1 << stride * count) - 1) // ((1 << stride) - 1)
        mask |= every << first
    return mask


def _regimes(zone: tzinfo, window: TimeSpan) -> list[tuple[TimeSpan, timedelta]]:
    """Split *window* where clocks change in *zone*; return the parts with their offsets.

    The search compares offsets day by day: no zone changes twice in a day and ends where it was.
    """
    day, last = _DAY // SLOT_GRID, window.duration // SLOT_GRID - 1
    regimes: list[tuple[TimeSpan, timedelta]] = []
    begin = seen = 0
    offset = _offset_at(zone, window, 0)
    while seen < last:
        ahead = min(seen + day, last)
        if _offset_at(zone, window, ahead) != offset:
            while ahead - seen > 1:
                middle = (seen + ahead) // 2
                if _offset_at(zone, window, middle) == offset:
                    seen = middle
                else:
                    ahead = middle
            regimes.append((span_of_cells(begin, ahead, window), offset))
            begin, offset = ahead, _offset_at(zone, window, ahead)
        seen = ahead
    regimes.append((span_of_cells(begin, last + 1, window), offset))
    return regimes


def _offset_at(zone: tzinfo, window: TimeSpan, cell: int) -> timedelta:
    offset = (window.start + cell * SLOT_GRID).astimezone(zone).utcoffset()
    if offset is None:
        raise ValueError("a zone knows its offset")
    return offset


def _change(payload: Mapping[str, Any]) -> YearlyChange | None:
    # Month 0 means "no summer time" in Windows.
    if not payload.get("month"):
        return None
    return YearlyChange(
        month=int(payload["month"]),
        occurrence=int(payload["dayOccurrence"]),
        weekday=_WEEKDAYS.index(str(payload["dayOfWeek"]).lower()),
        at=time.fromisoformat(str(payload["time"]).partition(".")[0]),
        year=int(payload.get("year") or 0),
    )


def _offset(minutes: int) -> timedelta:
    if abs(minutes) >= 24 * 60:
        raise ValueError("no offset is a day or more")
    return timedelta(minutes=minutes)
