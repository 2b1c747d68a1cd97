"""Recurrence patterns: on which dates a series takes place. Pure; no times of day.

Source: https://learn.microsoft.com/graph/api/resources/patternedrecurrence
"""

import calendar
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from itertools import count, islice
from typing import Final

from local.graph.errors import GraphError, Json, invalid_property

WEEKDAYS: Final = (
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
)
_INDEXES: Final = ("first", "second", "third", "fourth", "last")
_TYPES: Final = (
    "daily",
    "weekly",
    "absoluteMonthly",
    "relativeMonthly",
    "absoluteYearly",
    "relativeYearly",
)
_ENDLESS: Final = 999  # occurrences that Exchange expands of a series without end


@dataclass(frozen=True, slots=True)
class Recurrence:
    """A ``patternedRecurrence``."""

    kind: str
    interval: int
    start_on: date
    days: tuple[int, ...] = ()
    """Weekdays, Monday is 0."""
    day_of_month: int = 0
    month: int = 0
    index: str = "first"
    first_day_of_week: int = 6
    range_kind: str = "noEnd"
    end_on: date | None = None
    count: int = 0
    zone: str = "UTC"

    def dates(self) -> Iterator[date]:
        """Yield the dates in order, cancelled ones included."""
        limit = self.count if self.range_kind == "numbered" else _ENDLESS
        for day in islice(self._candidates(), limit):
            if self.end_on and day > self.end_on:
                return
            yield day

    def starting_on(self, day: date) -> "Recurrence":
        """Return the same pattern from another first date on."""
        return replace(self, start_on=day)

    def ending_before(self, day: date) -> "Recurrence":
        """Return the same pattern with an end date: the last date before *day*."""
        last = max(each for each in self.dates() if each < day)
        return replace(self, range_kind="endDate", end_on=last, count=0)

    def going_on(self, day: date, moved_to: date) -> "Recurrence":
        """Return the pattern of the dates from *day* on, shifted to begin on *moved_to*."""
        left = sum(1 for each in self.dates() if each >= day)
        shifted = replace(
            self,
            start_on=moved_to,
            count=left if self.range_kind == "numbered" else 0,
            end_on=self.end_on and self.end_on + (moved_to - day),
        )
        if moved_to == day:
            return shifted
        return replace(
            shifted,
            days=tuple((each + (moved_to - day).days) % 7 for each in self.days),
            day_of_month=moved_to.day if self.day_of_month else 0,
        )

    def as_json(self) -> Json:
        """Write it as Graph does: all members, with zeros where they mean nothing."""
        pattern = {
            "type": self.kind,
            "interval": self.interval,
            "month": self.month,
            "dayOfMonth": self.day_of_month,
            "firstDayOfWeek": WEEKDAYS[self.first_day_of_week],
            "index": self.index,
        }
        if self.days:
            pattern["daysOfWeek"] = [WEEKDAYS[day] for day in self.days]
        ends = self.end_on if self.range_kind == "endDate" else None
        return {
            "pattern": pattern,
            "range": {
                "type": self.range_kind,
                "startDate": self.start_on.isoformat(),
                "endDate": (ends or date.min).isoformat(),
                "recurrenceTimeZone": self.zone,
                "numberOfOccurrences": self.count,
            },
        }

    def _candidates(self) -> Iterator[date]:
        days: Iterator[date]
        if self.kind == "daily":
            days = (self.start_on + timedelta(days=n * self.interval) for n in count())
        elif self.kind == "weekly":
            days = self._weekly()
        else:
            days = self._by_month()
        return (day for day in days if day >= self.start_on)

    def _weekly(self) -> Iterator[date]:
        into_week = (self.start_on.weekday() - self.first_day_of_week) % 7
        first_week = self.start_on - timedelta(days=into_week)
        offsets = sorted((day - self.first_day_of_week) % 7 for day in self.days)
        for week in count(step=self.interval):
            for offset in offsets:
                yield first_week + timedelta(days=week * 7 + offset)

    def _by_month(self) -> Iterator[date]:
        yearly = self.kind.endswith("Yearly")
        first = self.start_on.year * 12 + (self.month if yearly else self.start_on.month) - 1
        for months in count(first, self.interval * (12 if yearly else 1)):
            yield self._day_in(months // 12, months % 12 + 1)

    def _day_in(self, year: int, month: int) -> date:
        last = calendar.monthrange(year, month)[1]
        if self.kind.startswith("absolute"):
            # Outlook takes the month's last day where the day does not exist.
            return date(year, month, min(self.day_of_month, last))
        matching = [
            day
            for day in (date(year, month, number) for number in range(1, last + 1))
            if day.weekday() in self.days
        ]
        return matching[-1 if self.index == "last" else _INDEXES.index(self.index)]


def parse_recurrence(value: Json, starts_on: date, zone: str) -> Recurrence:
    """Read a ``patternedRecurrence`` of an event that starts on *starts_on*.

    Raises:
        GraphError: 400 for a pattern that misses what its type needs, or another start date.
    """
    pattern, span = value.get("pattern"), value.get("range")
    if not isinstance(pattern, dict) or not isinstance(span, dict):
        raise invalid_property("recurrence")
    try:
        recurrence = Recurrence(
            kind=_one_of(_TYPES, pattern.get("type")),
            interval=int(pattern.get("interval") or 0),
            start_on=date.fromisoformat(span.get("startDate") or ""),
            days=tuple(WEEKDAYS.index(str(d).lower()) for d in pattern.get("daysOfWeek") or []),
            day_of_month=int(pattern.get("dayOfMonth") or 0),
            month=int(pattern.get("month") or 0),
            index=_one_of(_INDEXES, pattern.get("index") or "first"),
            first_day_of_week=WEEKDAYS.index(
                str(pattern.get("firstDayOfWeek") or "sunday").lower()
            ),
            range_kind=_one_of(("endDate", "noEnd", "numbered"), span.get("type")),
            end_on=_end_date(span),
            count=int(span.get("numberOfOccurrences") or 0),
            zone=str(span.get("recurrenceTimeZone") or zone),
        )
    except (TypeError, ValueError):
        raise invalid_property("recurrence") from None
    _check(recurrence, starts_on)
    return recurrence


def _check(recurrence: Recurrence, starts_on: date) -> None:
    kind = recurrence.kind
    complete = (
        recurrence.interval >= 1
        and (bool(recurrence.days) or kind not in {"weekly", "relativeMonthly", "relativeYearly"})
        and (1 <= recurrence.day_of_month <= 31 or not kind.startswith("absolute"))
        and (1 <= recurrence.month <= 12 or not kind.endswith("Yearly"))
        and (recurrence.count >= 1 or recurrence.range_kind != "numbered")
        and (recurrence.end_on is not None or recurrence.range_kind != "endDate")
    )
    if not complete:
        raise invalid_property("recurrence")
    if recurrence.start_on != starts_on:
        raise GraphError(
            400,
            "ErrorInvalidRecurrenceRange",
            "The recurrence range's start date is not the date of the event's start.",
        )
    if next(recurrence.dates(), None) is None:
        raise GraphError(
            400,
            "ErrorRecurrenceHasNoOccurrence",
            "The recurrence pattern has no occurrence in its range.",
        )


def _one_of(names: tuple[str, ...], value: object) -> str:
    folded = {name.casefold(): name for name in names}
    if str(value).casefold() not in folded:
        raise ValueError(value)
    return folded[str(value).casefold()]


def _end_date(span: Json) -> date | None:
    if str(span.get("type")).casefold() != "enddate":
        return None
    return date.fromisoformat(span.get("endDate") or "")
