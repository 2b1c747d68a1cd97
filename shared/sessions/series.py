"""A series: what was planned for each date of a recurring booking. Pure."""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from shared.availability.working_hours import zone_of
from shared.ids import EventId, Mailbox, OrganizationId, PairingId, SeriesId, SessionId
from shared.sessions.model import CalendarEvent, Session, SessionState
from shared.sessions.recurrence import Frequency, MonthlyBy, Pattern
from shared.timespan import TimeSpan


class OnConflict(StrEnum):
    """What becomes of a series some dates of which are not free."""

    REFUSE = "refuse"
    SKIP = "skip"
    """Book the others."""
    ALTERNATIVES = "alternatives"
    """Book those dates at the nearest free time between their neighbours; skip where none is."""


class Scope(StrEnum):
    """How much of a series a change is about. What is over stays as it was."""

    ONE = "one"
    THIS_AND_FOLLOWING = "this_and_following"
    ALL = "all"


class Outcome(StrEnum):
    """What became of one date."""

    BOOKED = "booked"
    """At its time by the pattern."""
    MOVED = "moved"
    """It was not free; booked at an alternative."""
    SKIPPED = "skipped"
    """It was not free."""
    UNPLANNED = "kept"
    """It was not free, yet Outlook has it: the booking broke off before it could be taken out."""


@dataclass(frozen=True, slots=True)
class PlannedDate:
    """One date of a series."""

    number: int
    """Which of the series, from 0."""
    span: TimeSpan
    """By the pattern."""
    outcome: Outcome = Outcome.BOOKED
    moved_to: TimeSpan | None = None
    alternatives: tuple[TimeSpan, ...] = ()
    """Of a date that was not free: slots that were, nearest first."""
    busy: tuple[str, ...] = ()
    """Addresses of those who were known not to be free when it is booked and can be done without:
    invited all the same."""
    unknown_for: tuple[str, ...] = ()
    """Addresses of those whose availability was unknown then."""

    @property
    def booked(self) -> TimeSpan | None:
        """Return when its session is booked; None: there is none."""
        if self.outcome is Outcome.SKIPPED:
            return None
        return self.moved_to or self.span


@dataclass(frozen=True, slots=True)
class Series:
    """A recurring booking. Its sessions have rows of their own."""

    id: SeriesId
    """Also the transactionId of its event, and our tag on it."""
    organization_id: OrganizationId
    pairing_id: PairingId
    organizer: Mailbox
    attendee_mailboxes: tuple[Mailbox, ...]
    """Whose time it takes besides."""
    state: SessionState
    """Requested until Outlook is known to have it; what became of its sessions they say."""
    fingerprint: str
    time_zone: str
    frequency: Frequency
    monthly_by: MonthlyBy
    planned: tuple[PlannedDate, ...]
    """Every date that was asked for, by date."""
    event_id: EventId | None = None
    """The series master's."""
    version: str = ""
    """The stored row's etag; empty before it is stored."""

    @property
    def mailboxes(self) -> tuple[Mailbox, ...]:
        """Return every mailbox whose time this takes, the organizer last."""
        return (*self.attendee_mailboxes, self.organizer)

    @property
    def recurring_dates(self) -> tuple[PlannedDate, ...]:
        """Return the dates that the event in Outlook recurs on: no skipped ones at either end."""
        numbers = [p.number for p in self.planned if p.booked]
        return tuple(p for p in self.planned if numbers[0] <= p.number <= numbers[-1])

    @property
    def conflicts(self) -> tuple[PlannedDate, ...]:
        """Return the dates that were not free."""
        return tuple(p for p in self.planned if p.outcome is not Outcome.BOOKED)

    @property
    def session_ids(self) -> dict[int, SessionId]:
        """Return the id of each session that is booked, by its number."""
        return {p.number: occurrence_id(self.id, p.number) for p in self.planned if p.booked}

    def pattern(self, first: PlannedDate, count: int) -> Pattern:
        """Return what the calendar is to repeat, from *first* on *count* times."""
        zone = zone_of(self.time_zone)
        return Pattern(
            self.frequency,
            self.monthly_by,
            anchor=self.planned[0].span.start.astimezone(zone).date(),
            first_on=first.span.start.astimezone(zone).date(),
            count=count,
        )


@dataclass(frozen=True, slots=True)
class Booking:
    """What was booked by one request: a session, or a series with a session for each date."""

    sessions: tuple[Session, ...]
    """By date."""
    series: Series | None = None

    @property
    def row(self) -> Session | Series:
        """Return the row that says how far the booking got: of one date its session's."""
        return self.series or self.sessions[0]


def occurrence_id(series_id: SeriesId, number: int) -> SessionId:
    """Return the id of a series' session: the same for every retry."""
    return SessionId(str(uuid.uuid5(uuid.UUID(series_id), str(number))))


def match_occurrences(
    planned: Iterable[PlannedDate], sessions: Sequence[Session], instances: Sequence[CalendarEvent]
) -> Mapping[int, CalendarEvent]:
    """Return which of a series' *instances* in Outlook each number is.

    By their id; else by the date they have by the pattern; what then is left, because the whole
    series was moved, in the order of time.
    """
    left = {event.event_id: event for event in sorted(instances, key=lambda event: event.span)}
    found: dict[int, CalendarEvent] = {}
    for session in sessions:
        if session.event_id in left:
            found[session.occurrence] = left.pop(session.event_id)
    by_start = {p.span.start: p.number for p in planned}
    for event in list(left.values()):
        number = by_start.get(event.original_start or event.span.start)
        if number is not None and number not in found:
            found[number] = left.pop(event.event_id)
    missing = sorted(
        s.occurrence
        for s in sessions
        if s.occurrence not in found and s.state is not SessionState.CANCELLED
    )
    return found | dict(zip(missing, left.values(), strict=False))
