"""Mailboxes and the events in them: data and lookups. `exchange` has the acts."""

import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from itertools import count
from typing import Final

from local.clock import CloudClock
from local.graph.errors import Json, foreign_item, item_not_found
from local.graph.ids import calendar_id, change_key, item_id, parse_item_id
from local.graph.people import People
from local.graph.series import Recurrence
from local.graph.times import NEVER, Moment
from local.world import Person

CALENDAR: Final = "Calendar"
"""The default calendar's name."""
DELETED_ITEMS: Final = "Deleted Items"
_SLACK: Final = timedelta(days=2)  # more than any zone's offset, and than a night's wait


@dataclass(slots=True)
class Attendee:
    """An attendee, and their answer in this copy of the event."""

    address: str
    name: str
    kind: str = "required"
    response: str = "none"
    answered_at: datetime = NEVER
    proposed: tuple[Moment, Moment] | None = None

    def is_at(self, address: str) -> bool:
        """Whether this is the person at *address*."""
        return self.address.casefold() == address.casefold()


@dataclass(slots=True)
class Details:
    """The content of an invitation. All copies agree, until an attendee edits their own."""

    subject: str
    body: str
    """HTML, as Exchange wrote it."""
    start: Moment
    end: Moment
    organizer_name: str
    organizer_address: str
    attendees: list[Attendee] = field(default_factory=list)
    recurrence: Recurrence | None = None
    is_all_day: bool = False
    locations: list[Json] = field(default_factory=list)
    importance: str = "normal"
    sensitivity: str = "normal"
    allow_new_time_proposals: bool = True
    response_requested: bool = True
    hide_attendees: bool = False
    is_online: bool = False
    online_provider: str = "unknown"
    join_url: str | None = None

    def attendee(self, address: str) -> Attendee | None:
        """Return the attendee at *address*, without case."""
        return next((a for a in self.attendees if a.is_at(address)), None)

    def copy(self) -> "Details":
        """Return a copy which can be changed without touching this one."""
        return replace(
            self,
            attendees=[replace(attendee) for attendee in self.attendees],
            locations=[dict(location) for location in self.locations],
        )


@dataclass(slots=True)
class Event:
    """One entry of one mailbox: a single instance, a series, or one occurrence of a series."""

    mailbox_id: str
    """The owner's object id."""
    key: uuid.UUID
    ical_uid: str
    details: Details
    is_organizer: bool
    created_at: datetime
    modified_at: datetime
    version: int
    response: str = "organizer"
    """The owner's own answer."""
    responded_at: datetime = NEVER
    show_as: str = "busy"
    is_cancelled: bool = False
    categories: list[str] = field(default_factory=list)
    reminder_minutes: int = 15
    is_reminder_on: bool = True
    transaction_id: str | None = None
    properties: dict[str, str] = field(default_factory=dict)
    """Single-value extended properties."""
    extensions: dict[str, Json] = field(default_factory=dict)
    """Open extensions by name."""
    calendar: str = CALENDAR
    moves: int = 0
    mail_number: int = 0
    """Number of the latest message about it. Older messages are ignored."""
    sequence: int = 0
    """Number of the message that announced the present times: answers to older ones are void."""
    exceptions: dict[date, "Event"] = field(default_factory=dict)
    cancelled_on: set[date] = field(default_factory=set)
    master: "Event | None" = None
    occurrence_on: date | None = None
    """The date this occurrence had by the pattern, also after it was moved."""
    only_answers_differ: bool = False
    """An exception that exists only because of an attendee's answer."""

    @property
    def start_at(self) -> datetime:
        """Start in UTC."""
        return self.details.start.instant

    @property
    def end_at(self) -> datetime:
        """End in UTC, not part of it."""
        return self.details.end.instant

    @property
    def is_deleted(self) -> bool:
        """Whether it, or its series, lies in Deleted Items."""
        return (self.master or self).calendar == DELETED_ITEMS

    @property
    def change_key(self) -> str:
        """Different after each write."""
        return change_key(self.mailbox_id, self.version)

    @property
    def etag(self) -> str:
        """The change key as ``@odata.etag``."""
        return f'W/"{self.change_key}"'

    def id(self, *, immutable: bool) -> str:
        """Return its id, of either kind."""
        moves = (self.master or self).moves
        return item_id(self.mailbox_id, self.key, moves, self.occurrence_on, immutable=immutable)

    def occurrence(self, day: date) -> "Event":
        """Return the occurrence of a series on *day* by the pattern: the exception, or a view."""
        if day in self.exceptions:
            return self.exceptions[day]
        details = self.details.copy()
        length = details.end.wall - details.start.wall
        details.start = details.start.on(day)
        details.end = Moment(details.start.wall + length, details.end.zone)
        details.recurrence = None
        return replace(
            self,
            details=details,
            ical_uid=occurrence_uid(self.ical_uid, day),
            categories=list(self.categories),
            properties=dict(self.properties),
            extensions={},
            transaction_id=None,
            exceptions={},
            cancelled_on=set(),
            master=self,
            occurrence_on=day,
        )

    def occurrences(self, start: datetime, end: datetime) -> Iterator["Event"]:
        """Yield the occurrences of a series that touch [start, end), in pattern order."""
        recurrence = self.details.recurrence
        if recurrence is None:
            return
        length = self.details.end.wall - self.details.start.wall
        for day in recurrence.dates():
            if day in self.cancelled_on:
                continue
            if day not in self.exceptions:
                # A cheap check first: most dates of a long series are far from the window.
                noon = datetime.combine(day, self.details.start.wall.time(), start.tzinfo)
                if noon - _SLACK >= end:
                    if not any(later > day for later in self.exceptions):
                        return
                    continue
                if noon + length + _SLACK <= start:
                    continue
            instance = self.occurrence(day)
            if touches(instance, start, end):
                yield instance

    def dates(self) -> list[date]:
        """Return the dates on which a series takes place, cancelled ones left out."""
        recurrence = self.details.recurrence
        if recurrence is None:
            return []
        return [day for day in recurrence.dates() if day not in self.cancelled_on]


@dataclass(frozen=True, slots=True)
class Removed:
    """The ids of a removed event, and the version of its removal."""

    version: int
    default_id: str
    immutable_id: str


@dataclass(slots=True)
class Mailbox:
    """A person's calendars."""

    person: Person
    calendars: list[str] = field(default_factory=lambda: [CALENDAR])
    events: dict[uuid.UUID, Event] = field(default_factory=dict)
    """All events but occurrences; Deleted Items included."""
    transactions: dict[str, uuid.UUID] = field(default_factory=dict)
    removed: list["Removed"] = field(default_factory=list)
    """Events removed from the default calendar, oldest first, for delta."""

    @property
    def id(self) -> str:
        """The owner's object id."""
        return self.person.object_id

    def find(self, text: str, *, deleted_too: bool = False) -> Event:
        """Return the event or occurrence with this id.

        Raises:
            GraphError: 404 if it is gone, or of another mailbox; 400 if *text* is no id.
        """
        parsed = parse_item_id(text, self.id)
        if parsed is None:
            raise foreign_item(text, self.person.address)
        event = self.events.get(parsed.item)
        if event is None:
            raise item_not_found()
        if not parsed.is_immutable and parsed.moves != event.moves:
            raise item_not_found()
        if event.is_deleted and not (deleted_too and parsed.is_immutable):
            raise item_not_found()
        if parsed.occurrence_on is None:
            return event
        if parsed.occurrence_on not in event.dates():
            raise item_not_found()
        return event.occurrence(parsed.occurrence_on)

    def by_uid(self, ical_uid: str) -> Event | None:
        """Return the event, series or occurrence with this iCalUId."""
        for event in self.live():
            if event.ical_uid == ical_uid:
                return event
            if event.details.recurrence and series_uid(ical_uid) == event.ical_uid:
                day = uid_date(ical_uid)
                if day in event.dates():
                    return event.occurrence(day)
        return None

    def live(self, calendar: str | None = None) -> Iterator[Event]:
        """Yield single events and series that are not deleted, of one calendar or of all."""
        for event in self.events.values():
            if not event.is_deleted and calendar in {None, event.calendar}:
                yield event

    def deleted(self) -> list[Event]:
        """Return the single events and series in Deleted Items, last deleted first."""
        gone = [event for event in self.events.values() if event.is_deleted]
        return sorted(gone, key=lambda event: -event.version)

    def view(self, start: datetime, end: datetime, calendar: str | None = CALENDAR) -> list[Event]:
        """Return the events that touch [start, end), series expanded, ordered by start."""
        found: list[Event] = []
        for event in self.live(calendar):
            if event.details.recurrence:
                found += event.occurrences(start, end)
            elif touches(event, start, end):
                found.append(event)
        return sorted(found, key=lambda event: (event.start_at, event.key.bytes))

    def calendar_ids(self) -> dict[str, str]:
        """Return the calendars' names by id."""
        return {calendar_id(self.id, name): name for name in self.calendars}


ChangeListener = Callable[[Mailbox, Event, str], None]
"""Called with (mailbox, event, ``created`` | ``updated`` | ``deleted``)."""


class Store:
    """All mailboxes of the world."""

    def __init__(self, clock: CloudClock, people: People) -> None:
        self._clock = clock
        self._people = people
        self._mailboxes: dict[str, Mailbox] = {}
        self._versions = count(1)
        self._listeners: list[ChangeListener] = []
        self.version = 0
        """The latest version of any event."""

    def mailbox(self, person: Person) -> Mailbox:
        """Return a person's mailbox."""
        return self._mailboxes.setdefault(person.object_id, Mailbox(person))

    def at(self, address: str) -> Mailbox | None:
        """Return the mailbox at an SMTP address, if it belongs to this world."""
        person = self._people.at(address)
        return self.mailbox(person) if person else None

    def mailbox_of(self, event: Event) -> Mailbox:
        """Return the mailbox *event* is in, or was."""
        return self._mailboxes[event.mailbox_id]

    def all(self) -> Iterable[Mailbox]:
        """Return the mailboxes that were ever used."""
        return list(self._mailboxes.values())

    def on_change(self, listener: ChangeListener) -> None:
        """Call *listener* for every change from now on."""
        self._listeners.append(listener)

    def next_version(self) -> int:
        """Return a number higher than any before."""
        self.version = next(self._versions)
        return self.version

    def changed(self, event: Event, change: str) -> None:
        """Give *event* a new version and call every listener."""
        event.version = self.next_version()
        event.modified_at = self._clock.now()
        if event.master:
            event.master.version = event.version
        mailbox = self._mailboxes[event.mailbox_id]
        if change == "deleted":
            mailbox.removed.append(
                Removed(event.version, event.id(immutable=False), event.id(immutable=True))
            )
        for listener in self._listeners:
            listener(mailbox, event, change)


def touches(event: Event, start: datetime, end: datetime) -> bool:
    """Whether the event overlaps [start, end)."""
    return event.start_at < end and event.end_at > start


_UID_HEAD: Final = "040000008200E00074C5B7101A82E008"


def new_uid() -> str:
    """Return an iCalUId as Exchange makes them: the date of an occurrence has a place in it."""
    created = uuid.uuid4().hex[:16].upper()
    return f"{_UID_HEAD}00000000{created}000000000000000010000000{uuid.uuid4().hex.upper()}"


def occurrence_uid(ical_uid: str, day: date) -> str:
    """Return the iCalUId of one occurrence of a series."""
    return f"{ical_uid[:32]}{day.year:04X}{day.month:02X}{day.day:02X}{ical_uid[40:]}"


def series_uid(ical_uid: str) -> str:
    """Return the iCalUId of the series to which an occurrence belongs."""
    return f"{ical_uid[:32]}00000000{ical_uid[40:]}"


def uid_date(ical_uid: str) -> date | None:
    """Return the date in an occurrence's iCalUId; None for single events and series."""
    digits = ical_uid[32:40]
    if digits in {"", "00000000"}:
        return None
    try:
        return date(int(digits[:4], 16), int(digits[4:6], 16), int(digits[6:8], 16))
    except ValueError:
        return None
