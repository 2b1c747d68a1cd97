"""A series: a recurring booking, with the plan and the outcome of each date. Pure."""

import uuid
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final

from shared.availability.working_hours import zone_of
from shared.ids import EventId, Mailbox, OrganizationId, PairingId, SeriesId, SessionId
from shared.sessions.calendar_events import CalendarEvent, UnreadableEvent
from shared.sessions.model import Session, SessionState
from shared.sessions.recurrence import Frequency, MonthlyBy, Pattern, follows_pattern
from shared.timespan import TimeSpan

Occurrence = CalendarEvent | UnreadableEvent
"""An event in Outlook, as of a date of a series, as far as it can be read."""
_UNKNOWN: Final = datetime.max.replace(tzinfo=UTC) - timedelta(days=2)


class OnConflict(StrEnum):
    """The rule of a booking for dates of a series that are not free."""

    REFUSE = "refuse"
    SKIP = "skip"
    """Book the other dates."""
    ALTERNATIVES = "alternatives"
    """Book each at the nearest free time between its neighbours; skip it if there is none."""


class Scope(StrEnum):
    """The dates of a series that a change applies to. Dates that are over stay as they are."""

    ONE = "one"
    THIS_AND_FOLLOWING = "this_and_following"
    ALL = "all"


class Outcome(StrEnum):
    """The outcome of one date of a booking."""

    BOOKED = "booked"
    """Booked at its time by the pattern."""
    MOVED = "moved"
    """Not free; booked at an alternative."""
    SKIPPED = "skipped"
    """Not free; not booked."""
    UNPLANNED = "kept"
    """Not free, yet in Outlook: the booking was interrupted before it cancelled the date there."""


@dataclass(frozen=True, slots=True)
class PlannedDate:
    """One date of a series."""

    number: int
    """Its number in the series, from 0."""
    span: TimeSpan
    """Its time by the pattern."""
    outcome: Outcome = Outcome.BOOKED
    moved_to: TimeSpan | None = None
    alternatives: tuple[TimeSpan, ...] = ()
    """Free slots near a date that was not free, nearest first."""
    busy: tuple[str, ...] = ()
    """Addresses of busy attendees that the meeting does not need: they are invited all the same."""
    unknown_for: tuple[str, ...] = ()
    """Addresses of attendees whose availability was unknown."""

    @property
    def booked(self) -> TimeSpan | None:
        """Return the span of its session; None if the date is skipped."""
        if self.outcome is Outcome.SKIPPED:
            return None
        return self.moved_to or self.span


@dataclass(frozen=True, slots=True)
class Series:
    """A recurring booking. Each of its sessions has a row of its own."""

    id: SeriesId
    """Also the event's `transactionId` and the value of the app's extended property."""
    organization_id: OrganizationId
    pairing_id: PairingId
    organizer: Mailbox
    attendee_mailboxes: tuple[Mailbox, ...]
    """The mailboxes of the attendees."""
    state: SessionState
    """Requested until the event is in Outlook, then scheduled; each session has its own state."""
    fingerprint: str
    time_zone: str
    frequency: Frequency
    monthly_by: MonthlyBy
    planned: tuple[PlannedDate, ...]
    """Every requested date, by date."""
    event_id: EventId | None = None
    """The id of the series master."""
    continued_by: tuple[EventId, ...] = ()
    """The ids of further masters: Outlook splits a series whose later dates a person edits."""
    version: str = ""
    """The stored row's etag; empty before it is stored."""

    @property
    def mailboxes(self) -> tuple[Mailbox, ...]:
        """Return the mailboxes of all participants, the organizer last."""
        return (*self.attendee_mailboxes, self.organizer)

    @property
    def master_ids(self) -> tuple[EventId, ...]:
        """Return the ids of its masters in Outlook; none before it is booked."""
        return (self.event_id, *self.continued_by) if self.event_id else ()

    @property
    def recurring_dates(self) -> tuple[PlannedDate, ...]:
        """Return the dates of the event's recurrence: without skipped dates at either end."""
        numbers = [p.number for p in self.planned if p.booked]
        return tuple(p for p in self.planned if numbers[0] <= p.number <= numbers[-1])

    @property
    def irregular(self) -> frozenset[int]:
        """Return the numbers of the dates that the event's recurrence does not express.

        Each is an exception in Outlook: the clocks change during it or at one of its ends.
        """
        zone = zone_of(self.time_zone)
        wall = self.planned[0].span.start.astimezone(zone).time()
        return frozenset(
            p.number for p in self.recurring_dates if not follows_pattern(p.span, wall, zone)
        )

    @property
    def conflicts(self) -> tuple[PlannedDate, ...]:
        """Return the dates that were not free."""
        return tuple(p for p in self.planned if p.outcome is not Outcome.BOOKED)

    @property
    def session_ids(self) -> dict[int, SessionId]:
        """Return the id of each session that is booked, by its number."""
        return {p.number: occurrence_id(self.id, p.number) for p in self.planned if p.booked}

    def pattern(self, first: PlannedDate, count: int) -> Pattern:
        """Return the event's recurrence: *count* dates from *first* on."""
        zone = zone_of(self.time_zone)
        return Pattern(
            self.frequency,
            self.monthly_by,
            anchor=self.planned[0].span.start.astimezone(zone).date(),
            first_on=first.span.start.astimezone(zone).date(),
            count=count,
        )


@dataclass(frozen=True, slots=True)
class Continuation:
    """A series in Outlook that may go on where another one ends."""

    master_id: EventId
    span: TimeSpan
    """From its first date to its last one, as far as they were read."""


@dataclass(frozen=True, slots=True)
class Booking:
    """The result of one booking: a session, or a series with a session for each booked date."""

    sessions: tuple[Session, ...]
    """By date."""
    series: Series | None = None

    @property
    def row(self) -> Session | Series:
        """Return the row with the state of the booking: the series', or the only session's."""
        return self.series or self.sessions[0]


def occurrence_id(series_id: SeriesId, number: int) -> SessionId:
    """Return the id of a session of a series: the same for every retry."""
    return SessionId(str(uuid.uuid5(uuid.UUID(series_id), str(number))))


def match_occurrences(
    series: Series, sessions: Sequence[Session], instances: Sequence[Occurrence]
) -> Mapping[int, Occurrence]:
    """Return the event of each number among the *instances* of *series* in Outlook.

    Matched by event id first, then by the original start in the pattern; an irregular date and an
    all-day event by the day. The remaining events, as after a move of the whole series, are matched
    in the order of time, if no date changes its place by that. So are all without a known id, if
    every date of a master was put off by as many days: a series moved by a week, or the later half
    of one, begins at times of the former pattern.
    """
    left = {event.event_id: event for event in sorted(instances, key=_begins)}
    by_id: dict[int, Occurrence] = {}
    for session in sessions:
        if session.event_id in left:
            by_id[session.occurrence] = left.pop(session.event_id)
    number_of = _numbers(series)
    by_start: dict[int, Occurrence] = {}
    for event in left.values():
        number = number_of(event)
        if number is not None and number not in by_id:
            by_start.setdefault(number, event)
    alive = {session.occurrence for session in sessions if session.may_have_event}
    matched = by_start | _match_in_turn(series, sessions, left, by_id | by_start)
    if not _is_in_turn({n: event for n, event in matched.items() if n in alive}):
        put_off = _match_in_turn(series, sessions, left, by_id)
        is_put_off = _is_put_off(series, {n: event for n, event in put_off.items() if n in alive})
        matched = put_off if is_put_off else by_start
    return by_id | matched


def _is_in_turn(found: Mapping[int, Occurrence]) -> bool:
    begins = [at for n in sorted(found) if (at := _begins(found[n])) != _UNKNOWN]
    return begins == sorted(begins)


def _is_put_off(series: Series, found: Mapping[int, Occurrence]) -> bool:
    """Return whether the dates of each master are all as many days after those of the pattern."""
    zone = zone_of(series.time_zone)
    planned = {p.number: p.span.start.astimezone(zone).date() for p in series.planned}
    days: dict[str | None, set[timedelta]] = defaultdict(set)
    for number, event in found.items():
        if (at := _begins(event)) != _UNKNOWN:
            put_off_by = at.astimezone(zone).date() - planned[number]
            days[event.series_master_id].add(put_off_by)
    return all(len(each) == 1 for each in days.values())


def _match_in_turn(
    series: Series,
    sessions: Sequence[Session],
    events: Mapping[EventId, Occurrence],
    found: Mapping[int, Occurrence],
) -> dict[int, Occurrence]:
    """Return the numbers of those of *events* that are not *found*, in the order of time."""
    known = {event.event_id for event in found.values()}
    left = [event for event in events.values() if event.event_id not in known]
    missing = {s.occurrence: s.span.start for s in sessions if s.may_have_event}
    every = [p.number for p in series.recurring_dates if p.number not in found]
    if len(left) == len(every):
        # A new pattern restores the dates that were cancelled.
        restored = dict(zip(every, left, strict=True))
        if _is_in_turn({**found, **restored}):
            return restored
    return _in_order({n: at for n, at in missing.items() if n not in found}, left)


def _in_order(
    missing: Mapping[int, datetime], events: Sequence[Occurrence]
) -> dict[int, Occurrence]:
    """Return the events of the *missing* dates in the order of time.

    Of fewer events each goes to the date that is nearest.
    """
    found: dict[int, Occurrence] = {}
    numbers = sorted(missing)
    for position, event in enumerate(events):
        # The events that follow need a number each.
        spare = len(numbers) - (len(events) - position)
        candidates = numbers[: max(spare, 0) + 1]
        if not candidates:
            break
        number = min(candidates, key=lambda n: abs(missing[n] - _begins(event)))
        found[number] = event
        numbers = [n for n in numbers if n > number]
    return found


def _numbers(series: Series) -> Callable[[Occurrence], int | None]:
    """Return a function from an event to its number, by its start or by its day."""
    zone, irregular = zone_of(series.time_zone), series.irregular
    by_start = {p.span.start: p.number for p in series.planned}
    by_day = {p.span.start.astimezone(zone).date(): p.number for p in series.planned}

    def number_of(event: Occurrence) -> int | None:
        begins = _begins(event)
        if begins in by_start:
            return by_start[begins]
        if isinstance(event, CalendarEvent) and event.dates:
            return by_day.get(event.dates.first_on)
        number = by_day.get(begins.astimezone(zone).date())
        return number if number in irregular else None

    return number_of


def _begins(event: Occurrence) -> datetime:
    """Return the start of *event* by the pattern, or its own; the end of time without either."""
    return event.original_start or (event.span.start if event.span else _UNKNOWN)
