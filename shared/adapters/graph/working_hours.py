"""Reads `workingHours`: the days by all their names, and the zone.

Source: https://learn.microsoft.com/graph/api/resources/workinghours
"""

import json
from collections.abc import Iterable, Mapping
from datetime import time, tzinfo
from functools import lru_cache
from typing import Any, Final

from shared.adapters.graph.zones import zone_named
from shared.availability.model import WorkingHours
from shared.availability.working_hours import custom_zone

_WORK_DAYS: Final = frozenset(range(5))
_DAYS: Final[Mapping[str, frozenset[int]]] = {
    "monday": frozenset({0}),
    "tuesday": frozenset({1}),
    "wednesday": frozenset({2}),
    "thursday": frozenset({3}),
    "friday": frozenset({4}),
    "saturday": frozenset({5}),
    "sunday": frozenset({6}),
    "weekday": _WORK_DAYS,
    "weekdays": _WORK_DAYS,
    "weekendday": frozenset({5, 6}),
    "weekenddays": frozenset({5, 6}),
    "day": frozenset(range(7)),
    "alldays": frozenset(range(7)),
    "none": frozenset(),
}
"""Graph's names of days, and those of Exchange's own setting.

Source: https://learn.microsoft.com/powershell/module/exchangepowershell/set-mailboxcalendarconfiguration
"""


def read_hours(payload: object) -> WorkingHours | None:
    """Return the working hours; None if *payload* tells none: no days, no times, or equal times.

    Hours in a zone that is not known are hours: their zone is None.
    """
    if not isinstance(payload, dict):
        return None
    zone = payload.get("timeZone")
    zone = zone if isinstance(zone, dict) else {"name": zone}
    days = payload.get("daysOfWeek")
    # Cached: colleagues mostly have the same hours, and building a time zone is expensive.
    return _cached_hours(
        tuple(str(day).lower() for day in days) if isinstance(days, list) else (),
        str(payload.get("startTime")),
        str(payload.get("endTime")),
        str(zone.get("name") or ""),
        json.dumps(zone) if zone.get("bias") is not None else "",
    )


@lru_cache(maxsize=1024)
def _cached_hours(
    days: tuple[str, ...], start: str, end: str, zone_name: str, custom: str
) -> WorkingHours | None:
    try:
        begins, ends = _time_of_day(start), _time_of_day(end)
    except ValueError:
        return None
    numbers = _numbers(days)
    if not numbers or begins == ends:
        return None
    zone = (_described(json.loads(custom)) if custom else None) or zone_named(zone_name)
    return WorkingHours(numbers, begins, ends, zone, zone_name)


def _numbers(days: Iterable[str]) -> frozenset[int]:
    """Return the numbers of *days*. If no name is known, they are Exchange's default."""
    named = list(days)
    known = [_DAYS[day] for day in named if day in _DAYS]
    if named and not known:
        return _WORK_DAYS
    return frozenset().union(*known)


def _described(payload: Mapping[str, Any]) -> tzinfo | None:
    """Return the zone of a `customTimeZone`; without summer time if its changes cannot be read."""
    for described in (payload, {"bias": payload.get("bias")}):
        try:
            return custom_zone(described)
        except ValueError:
            continue
    return None


def _time_of_day(text: str) -> time:
    """Parse an Edm.TimeOfDay such as ``08:00:00.0000000``."""
    return time.fromisoformat(text.partition(".")[0])
