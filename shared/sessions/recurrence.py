"""The dates and instants of a recurring session. Pure.

Local time in the organizer's zone decides: the hour stays the same when daylight saving begins or
ends. A local time that is skipped moves later by the length of the gap; of one that occurs twice,
the first is used. A month without the requested day uses its last day, as Outlook does.
"""

from calendar import monthrange
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from enum import StrEnum
from itertools import count
from typing import Final

from shared.errors import Invalid
from shared.timespan import TimeSpan

MAX_OCCURRENCES: Final = 52
_WEEK: Final = timedelta(days=7)


class Frequency(StrEnum):
    """The interval between the dates of a series."""

    WEEKLY = "weekly"
    BIWEEKLY = "biweekly"
    MONTHLY = "monthly"


class MonthlyBy(StrEnum):
    """The rule for the day of another month."""

    DAY_OF_MONTH = "day_of_month"
    """The 15th; the 31st is the last day of a shorter month."""
    WEEKDAY = "weekday"
    """The second Tuesday, for example; a fifth one becomes the last one of each month."""
    LAST_WEEKDAY = "last_weekday"
    """The last Tuesday."""


@dataclass(frozen=True, slots=True)
class Repeat:
    """The requested repetition of a session, limited by either *count* or *until*."""

    frequency: Frequency
    monthly_by: MonthlyBy = MonthlyBy.DAY_OF_MONTH
    """Used for a monthly repetition only."""
    count: int | None = None
    """The number of dates, the first included."""
    until: date | None = None
    """The last possible date, in the organizer's zone."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """The recurrence of a series in Outlook: *count* dates from *first_on*."""

    frequency: Frequency
    monthly_by: MonthlyBy
    anchor: date
    """The date whose day of the month, or weekday in the month, all dates share."""
    first_on: date
    count: int

    @property
    def week_of_month(self) -> int:
        """Return the ordinal of *anchor*'s weekday in its month: 1 to 4, or 5 for the last."""
        if self.monthly_by is MonthlyBy.LAST_WEEKDAY:
            return 5
        return (self.anchor.day - 1) // 7 + 1


def occurrence_spans(
    start: datetime, duration: timedelta, zone: tzinfo, repeat: Repeat
) -> tuple[TimeSpan, ...]:
    """Return the span of each date by start. All begin at the local time of *start* in *zone*.

    Raises:
        Invalid: fewer than two dates, more than `MAX_OCCURRENCES`, or *start* does not match the
            pattern.
    """
    first = start.astimezone(zone)
    dates = occurrence_dates(first.date(), repeat)
    # The first start is used as given: it is an instant, also within an hour that occurs twice.
    instants = (at_local_time(day, first, zone) for day in dates[1:])
    return tuple(TimeSpan.lasting(begin, duration) for begin in (start, *instants))


def occurrence_dates(first: date, repeat: Repeat) -> list[date]:
    """Return the dates from *first* on.

    Raises:
        Invalid: both or neither of count and until, fewer than two dates, more than
            `MAX_OCCURRENCES`, or *first* is not the last such weekday of its month.
    """
    if (repeat.count is None) == (repeat.until is None):
        raise Invalid("body.repeat", "Give either count or until.")
    is_last = first.day > monthrange(first.year, first.month)[1] - 7
    if repeat.monthly_by is MonthlyBy.LAST_WEEKDAY and not is_last:
        raise Invalid("body.repeat.monthly_by", "The start is not on the last such weekday.")
    dates: list[date] = []
    wanted = repeat.count or MAX_OCCURRENCES + 1
    for day in _candidates(first, repeat):
        if len(dates) == wanted or (repeat.until and day > repeat.until):
            break
        dates.append(day)
    field = "count" if repeat.count else "until"
    if len(dates) > MAX_OCCURRENCES:
        raise Invalid(f"body.repeat.{field}", f"A series has at most {MAX_OCCURRENCES} sessions.")
    if len(dates) < 2:
        raise Invalid(f"body.repeat.{field}", "A series has at least two sessions.")
    return dates


def at_local_time(day: date, clock: datetime, zone: tzinfo) -> datetime:
    """Return the instant at which the local time in *zone* is *clock*'s time on *day*."""
    # fold=0: the first of two equal local times; a skipped one moves later by the gap.
    wall = datetime.combine(day, clock.time().replace(fold=0), zone)
    return wall.astimezone(UTC)


def follows_pattern(span: TimeSpan, wall: time, zone: tzinfo) -> bool:
    """Return whether *span* is what a series in Outlook that starts at *wall* has on its day.

    A series has one local start and one local end for all dates. So a date has another length if
    the clocks change during it. If its local start or end is skipped or occurs twice, what Outlook
    shows is not documented; the answer is False then.
    """
    start = datetime.combine(span.start.astimezone(zone).date(), wall)
    ends = _once(start, zone), _once(start + span.duration, zone)
    return ends == (span.start, span.end)


def shift_like(span: TimeSpan, moved_from: datetime, moved_to: TimeSpan, zone: tzinfo) -> TimeSpan:
    """Return *span* moved by as many days as *moved_from*, to the local time of *moved_to*."""
    to = moved_to.start.astimezone(zone)
    days = to.date() - moved_from.astimezone(zone).date()
    day = span.start.astimezone(zone).date() + days
    return TimeSpan.lasting(at_local_time(day, to, zone), moved_to.duration)


def cover_with_windows(spans: Sequence[TimeSpan], longest: timedelta) -> list[TimeSpan]:
    """Return the fewest windows, each up to *longest*, that cover every one of *spans*, by start.

    Each window begins some days before its first span and ends some days after its last one, as far
    as *longest* allows, so that alternatives can be found there.
    """
    windows: list[TimeSpan] = []
    for span in spans:
        if windows and span.end <= windows[-1].start + longest:
            end = min(span.end + _SLACK_AFTER, windows[-1].start + longest)
            windows[-1] = TimeSpan(windows[-1].start, end)
        else:
            start = span.start - _SLACK_BEFORE
            windows.append(TimeSpan(start, min(span.end + _SLACK_AFTER, start + longest)))
    return windows


_SLACK_BEFORE, _SLACK_AFTER = timedelta(days=3), timedelta(days=4)


def _once(wall: datetime, zone: tzinfo) -> datetime | None:
    """Return the instant at which clocks in *zone* show *wall*; None: never, or twice."""
    first, second = (wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    return first if first == second else None


def _candidates(first: date, repeat: Repeat) -> Iterator[date]:
    if repeat.frequency is Frequency.MONTHLY:
        months = (divmod(first.year * 12 + first.month - 1 + n, 12) for n in count())
        return (_day_in(year, month + 1, first, repeat.monthly_by) for year, month in months)
    step = _WEEK if repeat.frequency is Frequency.WEEKLY else 2 * _WEEK
    return (first + n * step for n in count())


def _day_in(year: int, month: int, first: date, by: MonthlyBy) -> date:
    days = monthrange(year, month)[1]
    if by is MonthlyBy.DAY_OF_MONTH:
        return date(year, month, min(first.day, days))
    week = (first.day - 1) // 7
    if by is MonthlyBy.LAST_WEEKDAY or week == 4:
        last = date(year, month, days)
        return last - timedelta(days=(last.weekday() - first.weekday()) % 7)
    begin = date(year, month, 1)
    return begin + timedelta(days=(first.weekday() - begin.weekday()) % 7, weeks=week)
