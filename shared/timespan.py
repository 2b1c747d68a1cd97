"""Half-open spans of time in UTC: union, difference and intersection. Spans of dates."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo


@dataclass(frozen=True, slots=True, order=True)
class TimeSpan:
    """``[start, end)``, both aware and in UTC.

    A span may be empty, as an event of zero minutes is: it shares no instant with any other span.
    """

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        if self.start.tzinfo is not UTC or self.end.tzinfo is not UTC:
            raise ValueError("a TimeSpan is made of UTC datetimes")
        if self.start > self.end:
            raise ValueError("a TimeSpan does not end before it starts")

    @classmethod
    def lasting(cls, start: datetime, duration: timedelta) -> "TimeSpan":
        """Return the span of *duration* from *start*."""
        return cls(start, start + duration)

    @property
    def duration(self) -> timedelta:
        """Return the length of the span."""
        return self.end - self.start

    @property
    def is_empty(self) -> bool:
        """Return whether the span has no length."""
        return self.start == self.end

    def overlaps(self, other: "TimeSpan") -> bool:
        """Return whether the spans share an instant; spans that only touch do not."""
        return max(self.start, other.start) < min(self.end, other.end)

    def covers(self, other: "TimeSpan") -> bool:
        """Return whether *other* lies wholly inside this span."""
        return self.start <= other.start and other.end <= self.end

    def cut(self, window: "TimeSpan") -> "TimeSpan | None":
        """Return the part inside *window*, or None."""
        start, end = max(self.start, window.start), min(self.end, window.end)
        return TimeSpan(start, end) if start < end else None

    def widened(self, before: timedelta, after: timedelta) -> "TimeSpan":
        """Return the span with *before* and *after* added at its ends."""
        return TimeSpan(self.start - before, self.end + after)

    def days(self) -> list[date]:
        """Return the UTC dates that the span touches, in order; none of an empty span."""
        if self.is_empty:
            return []
        last = (self.end - timedelta(microseconds=1)).date()
        count = (last - self.start.date()).days + 1
        return [self.start.date() + timedelta(days=n) for n in range(count)]


def merge(spans: Iterable[TimeSpan]) -> list[TimeSpan]:
    """Return the union of *spans*, sorted; none is empty, and no two of them overlap or touch."""
    merged: list[TimeSpan] = []
    for span in sorted(span for span in spans if not span.is_empty):
        if merged and span.start <= merged[-1].end:
            if span.end > merged[-1].end:
                merged[-1] = TimeSpan(merged[-1].start, span.end)
        else:
            merged.append(span)
    return merged


def subtract(spans: Iterable[TimeSpan], busy: Iterable[TimeSpan]) -> list[TimeSpan]:
    """Return the parts of *spans* outside *busy*, sorted and merged."""
    taken = merge(busy)
    free: list[TimeSpan] = []
    for span in merge(spans):
        start = span.start
        for block in taken:
            if block.end <= start:
                continue
            if block.start >= span.end:
                break
            if block.start > start:
                free.append(TimeSpan(start, block.start))
            start = max(start, block.end)
        if start < span.end:
            free.append(TimeSpan(start, span.end))
    return free


@dataclass(frozen=True, slots=True)
class DateSpan:
    """``[first_on, end_on)``: whole days. Their instants depend on the zone."""

    first_on: date
    end_on: date

    def __post_init__(self) -> None:
        if self.first_on >= self.end_on:
            raise ValueError("a DateSpan ends after it starts")

    @property
    def last_on(self) -> date:
        """Return the last date."""
        return self.end_on - timedelta(days=1)

    def span_in(self, zone: tzinfo) -> TimeSpan:
        """Return the dates in *zone*, from midnight to midnight.

        A day in which clocks change has 23 or 25 hours. One whose midnight is skipped begins with
        its first instant.
        """
        return TimeSpan(_midnight(self.first_on, zone), _midnight(self.end_on, zone))

    def span_anywhere(self) -> TimeSpan:
        """Return every instant that has one of the dates somewhere in the world."""
        return TimeSpan(_midnight(self.first_on, _EARLIEST), _midnight(self.end_on, _LATEST))


_EARLIEST, _LATEST = timezone(timedelta(hours=14)), timezone(timedelta(hours=-12))
"""The zones in which a date begins first, and ends last."""


def _midnight(day: date, zone: tzinfo) -> datetime:
    return datetime.combine(day, time(), zone).astimezone(UTC)
