"""NCRONTAB: the six fields of a timer's schedule, seconds first. UTC alone, as on Flex.

Source: https://learn.microsoft.com/azure/azure-functions/functions-bindings-timer#ncrontab-expressions
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Final, Self

_MONTHS: Final = re.findall("...", "janfebmaraprmayjunjulaugsepoctnovdec")
_DAYS: Final = re.findall("...", "sunmontuewedthufrisat")
_HORIZON: Final = timedelta(days=366 * 9)  # 29 February can be eight years away
_PART: Final = re.compile(r"(?P<first>\*|\w+)(?:-(?P<last>\w+))?(?:/(?P<step>\d+))?")


@dataclass(frozen=True, slots=True)
class Ncrontab:
    """A schedule: the values each field allows. Day and weekday must both fit."""

    seconds: frozenset[int]
    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    """0 is Sunday."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the schedule in *text*. ValueError names the error in it."""
        if re.fullmatch(r"[\d.:]+", text) and ":" in text:
            raise ValueError("a time span works on App Service plans alone; use six fields")
        fields = text.split()
        if len(fields) == 5:
            fields.insert(0, "0")
        if len(fields) != 6:
            raise ValueError(f"{text!r} has {len(fields)} fields, not six (seconds first)")
        return cls(
            _values(fields[0], 0, 59),
            _values(fields[1], 0, 59),
            _values(fields[2], 0, 23),
            _values(fields[3], 1, 31),
            _values(fields[4], 1, 12, _MONTHS),
            _values(fields[5], 0, 6, _DAYS),
        )

    def after(self, moment: datetime) -> datetime:
        """Return the first instant later than *moment* that fits. ValueError if there is none."""
        found = moment.astimezone(UTC).replace(microsecond=0) + timedelta(seconds=1)
        end = found + _HORIZON
        while found < end:
            if not self._fits_day(found):
                found = found.replace(hour=0, minute=0, second=0) + timedelta(days=1)
            elif found.hour not in self.hours:
                found = found.replace(minute=0, second=0) + timedelta(hours=1)
            elif found.minute not in self.minutes:
                found = found.replace(second=0) + timedelta(minutes=1)
            elif found.second not in self.seconds:
                found += timedelta(seconds=1)
            else:
                return found
        raise ValueError("the schedule never comes due")

    @property
    def is_within_a_minute(self) -> bool:
        """Whether some of the next times are less than a minute apart."""
        times = [self.after(datetime.now(UTC))]
        for _ in range(4):
            times.append(self.after(times[-1]))
        return any(later - earlier < timedelta(minutes=1) for earlier, later in pairwise(times))

    def _fits_day(self, moment: datetime) -> bool:
        return (
            moment.day in self.days
            and moment.month in self.months
            and moment.isoweekday() % 7 in self.weekdays
        )


def _values(field: str, least: int, most: int, names: list[str] | None = None) -> frozenset[int]:
    values: set[int] = set()
    for part in field.lower().split(","):
        found = _PART.fullmatch(part)
        if not found:
            raise ValueError(f"{part!r} is no value, range or step")
        step = int(found["step"] or 1)
        if found["first"] == "*":
            first, last = least, most
        else:
            first = _value(found["first"], least, names)
            # `5/10` counts on from 5 to the end.
            open_end = most if found["step"] else first
            last = _value(found["last"], least, names) if found["last"] else open_end
        if step < 1 or not least <= first <= last <= most:
            raise ValueError(f"{part!r} is not within {least} to {most}")
        values.update(range(first, last + 1, step))
    return frozenset(values)


def _value(text: str, least: int, names: list[str] | None) -> int:
    if text.isdecimal():
        return int(text)
    if names and text[:3] in names:
        return names.index(text[:3]) + least
    raise ValueError(f"{text!r} is no number")
