"""Availability worked out the slow way, minute by minute, to compare with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta, tzinfo

from shared.availability.masks import round_out_to_grid
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
    """Somebody with a plain list of what they do; *busy* None: unknown.

    *hidden*: what Exchange has no data for. It hides free and tentative time.
    """

    address: str
    busy: Sequence[BusySpan] | None = ()
    hidden: Sequence[TimeSpan] = ()
    held: Sequence[HeldSpan] = ()
    hours: WorkingHours | None = None


def instants(span: TimeSpan, apart: timedelta) -> list[datetime]:
    """Return the instants from *span*'s start, *apart* from each other, before its end."""
    count = -((span.start - span.end) // apart)
    return [span.start + n * apart for n in range(count)]


def is_working(hours: WorkingHours, instant: datetime, assumed: tzinfo = UTC) -> bool:
    """Tell whether the clock on the wall shows a working time at *instant*."""
    wall = instant.astimezone(hours.zone or assumed)
    day, yesterday, now = wall.weekday(), (wall.weekday() - 1) % 7, wall.time()
    end = time(0) if hours.end >= time(23, 59) else hours.end
    if hours.start < end:
        return day in hours.days and hours.start <= now < end
    return (day in hours.days and now >= hours.start) or (yesterday in hours.days and now < end)


def zone_to_assume(people: Sequence[Person], rules: SlotRules) -> tzinfo:
    """Return the most frequent known zone of *people*, of equals the first; else the rules'."""
    known = [p.hours.zone for p in people if p.hours and p.hours.zone]
    return max(known, key=known.count, default=rules.zone)


def is_on_step(zone: tzinfo, step: timedelta, instant: datetime) -> bool:
    """Tell whether *instant* is a multiple of *step* past a full hour in *zone*."""
    return instant.astimezone(zone).minute % (step // MINUTE) == 0


def view_of(
    busy: Sequence[BusySpan],
    window: TimeSpan,
    hidden: Sequence[TimeSpan] = (),
    no_data: str = "5",
) -> str:
    """Draw what Exchange would: the strongest status that touches each cell."""
    digits = ""
    for start in instants(window, SLOT_GRID):
        cell = TimeSpan.lasting(start, SLOT_GRID)
        touching = [STRENGTH.index(b.status) + 1 for b in busy if b.span.overlaps(cell)]
        strongest = max(touching, default=0)
        is_hidden = strongest < 2 and any(span.overlaps(cell) for span in hidden)
        digits += no_data[len(digits) % len(no_data)] if is_hidden else str(strongest)
    return digits


def unknown_cells(person: Person, window: TimeSpan) -> set[datetime]:
    """Return the starts of the cells of which nothing is known."""
    if person.busy is None:
        return set(instants(window, SLOT_GRID))
    view = view_of(person.busy, window, person.hidden)
    return {at for at, digit in zip(instants(window, SLOT_GRID), view, strict=True) if digit == "5"}


def sweep(
    people: Sequence[Person],
    window: TimeSpan,
    rules: SlotRules,
    within: TimeSpan,
    quorum: Quorum,
) -> list[Slot]:
    """Return the slots: each start of the window tried by itself."""
    assumed = zone_to_assume(people, rules)
    hidden = {p.address: unknown_cells(p, window) for p in people}
    taken = {p.address: taken_cells(p, window, rules) for p in people}
    working = {
        p.address: {
            m
            for m in instants(window, MINUTE)
            if p.hours is None or p.busy is None or is_working(p.hours, m, assumed)
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
        wide = span.widened(rules.buffer_before, rules.buffer_after)
        around = set(instants(round_out_to_grid(wide), SLOT_GRID))
        unknown = [p.address for p in people if hidden[p.address] & around]
        possible = [
            p.address
            for p in people
            if window.covers(wide)
            and not taken[p.address] & around
            and not is_held(p, span, rules)
            and working[p.address].issuperset(instants(span, MINUTE))
        ]
        free = [address for address in possible if address not in unknown]
        blocking = set(quorum.required) - set(free)
        if quorum.include_unknown and quorum.required - set(unknown):
            blocking = set(quorum.required) - set(possible)
        if not blocking and len(free) >= (quorum.at_least or 0):
            slots.append(Slot(span, tuple(free), tuple(unknown)))
    return slots


def taken_cells(person: Person, window: TimeSpan, rules: SlotRules) -> set[datetime]:
    """Return the starts of the cells in which *person* is known not to be free."""
    busy, hidden = person.busy or (), unknown_cells(person, window)
    taken = set()
    for start in instants(window, SLOT_GRID):
        cell = TimeSpan.lasting(start, SLOT_GRID)
        statuses = {b.status for b in busy if b.span.overlaps(cell)}
        if not rules.tentative_is_busy or start in hidden:
            statuses.discard(BusyStatus.TENTATIVE)
        if statuses:
            taken.add(start)
    return taken


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
    people: Sequence[Person], window: TimeSpan, *, told_by: str
) -> tuple[list[Schedule], Mapping[str, list[HeldSpan]]]:
    """Return what Exchange would answer, and what is held.

    *told_by*: `view` has everything; `items` too, unless something is hidden; `both`: each has a
    part, and they contradict each other.
    """
    schedules = []
    for person in people:
        schedule = Schedule(person.address, hours=person.hours)
        if person.busy is None:
            schedule = replace(schedule, unknown=Unknown(UnknownReason.NO_ACCESS, "no"))
        elif told_by == "both":
            view = view_of(person.busy[::2], window, person.hidden, "5x79")
            schedule = replace(schedule, view=view, items=tuple(person.busy[1::2]))
        elif told_by == "view" or person.hidden:
            schedule = replace(schedule, view=view_of(person.busy, window, person.hidden))
        else:
            schedule = replace(schedule, items=tuple(person.busy))
        schedules.append(schedule)
    return schedules, {p.address: list(p.held) for p in people}


def at(text: str) -> datetime:
    """Return the instant that ISO 8601 *text* names, in UTC if it has no offset."""
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
