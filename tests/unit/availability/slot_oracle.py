"""Availability worked out the slow way, minute by minute, to compare with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, tzinfo

from shared.availability.model import (
    SLOT_GRID,
    BusySpan,
    BusyStatus,
    HeldSpan,
    Quorum,
    Schedule,
    Slot,
    SlotRules,
    Unknown,
    UnknownReason,
    WorkingHours,
)
from shared.timespan import TimeSpan

MINUTE = timedelta(minutes=1)
STRENGTH = [BusyStatus.TENTATIVE, BusyStatus.BUSY, BusyStatus.OUT_OF_OFFICE]


@dataclass(frozen=True)
class Person:
    """Somebody with a plain list of what they do; *busy* None: unknown."""

    address: str
    busy: Sequence[BusySpan] | None = ()
    held: Sequence[HeldSpan] = ()
    hours: WorkingHours | None = None


def instants(span: TimeSpan, apart: timedelta) -> list[datetime]:
    """Return the instants from *span*'s start, *apart* from each other, before its end."""
    count = -((span.start - span.end) // apart)
    return [span.start + n * apart for n in range(count)]


def is_working(hours: WorkingHours, instant: datetime) -> bool:
    """Tell whether the clock on the wall shows a working time at *instant*."""
    wall = instant.astimezone(hours.zone)
    day, yesterday, now = wall.weekday(), (wall.weekday() - 1) % 7, wall.time()
    if hours.start < hours.end:
        return day in hours.days and hours.start <= now < hours.end
    return (day in hours.days and now >= hours.start) or (
        yesterday in hours.days and now < hours.end
    )


def is_on_step(zone: tzinfo, step: timedelta, instant: datetime) -> bool:
    """Tell whether *instant* is a multiple of *step* past a full hour in *zone*."""
    return instant.astimezone(zone).minute % (step // MINUTE) == 0


def view_of(busy: Sequence[BusySpan], window: TimeSpan) -> str:
    """Draw what Exchange would: the strongest status that touches each cell."""
    digits = ""
    for start in instants(window, SLOT_GRID):
        cell = TimeSpan.lasting(start, SLOT_GRID)
        touching = [STRENGTH.index(b.status) + 1 for b in busy if b.span.overlaps(cell)]
        digits += str(max(touching, default=0))
    return digits


def sweep(
    people: Sequence[Person],
    window: TimeSpan,
    rules: SlotRules,
    within: TimeSpan,
    quorum: Quorum,
) -> list[Slot]:
    """Return the slots: each start of the window tried by itself."""
    known = [p for p in people if p.busy is not None and p.address in quorum.required]
    working = {
        p.address: {
            m for m in instants(window, MINUTE) if p.hours is None or is_working(p.hours, m)
        }
        for p in people
    }
    slots = []
    for start in instants(window, SLOT_GRID):
        span = TimeSpan.lasting(start, rules.duration)
        if not (
            within.covers(span)
            and is_on_step(rules.zone, rules.step, start)
            and rules.earliest_start <= start <= rules.latest_start
        ):
            continue
        free = [p.address for p in people if is_free(p, span, rules, window, working[p.address])]
        unknown = [p.address for p in people if p.busy is None]
        blocking = set(quorum.required) - set(free)
        if quorum.include_unknown and known:
            blocking -= {
                p.address for p in people if p.busy is None and not is_held(p, span, rules)
            }
        if not blocking and len(free) >= (quorum.at_least or 0):
            slots.append(Slot(span, tuple(free), tuple(unknown)))
    return slots


def is_free(
    person: Person, span: TimeSpan, rules: SlotRules, window: TimeSpan, working: set[datetime]
) -> bool:
    """Tell whether *person* is known to be free around *span* and works all through it."""
    wide = span.widened(rules.buffer_before, rules.buffer_after)
    if person.busy is None or not window.covers(wide):
        return False
    counting = [
        b.span
        for b in person.busy
        if rules.tentative_is_busy or b.status is not BusyStatus.TENTATIVE
    ]
    return (
        not any(taken.overlaps(wide) for taken in counting)
        and not is_held(person, span, rules)
        and all(minute in working for minute in instants(span, MINUTE))
    )


def is_held(person: Person, span: TimeSpan, rules: SlotRules) -> bool:
    """Tell whether a session of *person* is at *span*, or too near by its buffers or the slot's."""
    return any(
        span.widened(
            max(rules.buffer_before, held.buffers.after),
            max(rules.buffer_after, held.buffers.before),
        ).overlaps(held.span)
        for held in person.held
    )


def schedules_of(
    people: Sequence[Person], window: TimeSpan, *, as_views: bool
) -> tuple[list[Schedule], Mapping[str, list[HeldSpan]]]:
    """Return what Exchange would answer, and what is held."""
    schedules = []
    for person in people:
        schedule = Schedule(person.address, hours=person.hours)
        if person.busy is None:
            schedule = replace(schedule, unknown=Unknown(UnknownReason.NO_ACCESS, "no"))
        elif as_views:
            schedule = replace(schedule, view=view_of(person.busy, window))
        else:
            schedule = replace(schedule, items=tuple(person.busy))
        schedules.append(schedule)
    return schedules, {p.address: list(p.held) for p in people}


def at(text: str) -> datetime:
    """Return the instant that ISO 8601 *text* names, in UTC if it has no offset."""
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
