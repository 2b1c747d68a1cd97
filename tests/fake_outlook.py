"""A fake Outlook: people's calendars, behind the ports `Schedules` and `Calendar`."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, tzinfo

from shared.availability.model import (
    MAX_WINDOW,
    SLOT_GRID,
    BusySpan,
    BusyStatus,
    Schedule,
    Unknown,
)
from shared.availability.working_hours import zone_of
from shared.errors import CalendarRefused, EventGone, EventUnreadable, ListingEndless
from shared.ids import EventId, ICalUid, Mailbox, ObjectId, SessionId, TenantId
from shared.organizations.model import ActingUser, OnlineMeetingChoice
from shared.sessions.calendar_events import (
    CalendarAttendee,
    CalendarEvent,
    EventDraft,
    UnreadableEvent,
)
from shared.sessions.model import AttendeeResponse, ResponseState, Session
from shared.sessions.online_meeting import MeetingProvider
from shared.sessions.recurrence import (
    Pattern,
    Repeat,
    occurrence_dates,
)
from shared.sessions.series import Continuation, Occurrence, Series
from shared.timespan import DateSpan, TimeSpan
from tests.fakes import FakeClock


@dataclass
class FakeEvent:
    """An event on its organizer's copy."""

    seen: CalendarEvent
    organizer: Mailbox
    session_id: SessionId
    is_gone: bool = False
    pattern: Pattern | None = None
    """Makes it the master of a series, which is no meeting by itself."""
    time_zone: str = "UTC"
    master: "FakeEvent | None" = None
    ends_before_it_starts: bool = False
    """Its times cannot be read; *seen* has others."""


@dataclass
class FakeOutlook:
    """All people's calendars. *addresses*: the mailbox of each address."""

    clock: FakeClock
    addresses: dict[str, ObjectId] = field(default_factory=dict)
    events: list[FakeEvent] = field(default_factory=list)
    busy: dict[str, list[TimeSpan]] = field(default_factory=dict)
    unknown: dict[str, Unknown] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    asked: set[str] = field(default_factory=set)
    """The addresses whose free/busy was read."""
    gives_links: bool = True
    offers: frozenset[OnlineMeetingChoice] = frozenset({OnlineMeetingChoice.TEAMS})
    delivers: bool = True
    """Whether invitations have arrived: attendees' calendars show the events."""
    tells_attendees: bool = True
    """Whether the attendees' copies of a cancelled meeting say so."""
    hidden: set[EventId] = field(default_factory=set)
    """Events that are there, and not found by their id."""
    in_deleted_items: set[EventId] = field(default_factory=set)
    """Events that are found by their id, and in no calendar."""
    cancelled_copies: set[EventId] = field(default_factory=set)
    """Events that the attendees know as cancelled, whatever became of the organizer's copy."""
    no_copies: bool = False
    """Whether the attendees have no copies."""
    removed: set[Mailbox] = field(default_factory=set)
    """Attendees whose copies are cancelled because they were removed."""
    lists_items: bool = True
    """Whether free/busy has items beside the view."""
    lists_endlessly: bool = False
    """Whether the listing of a series does not end, and no search."""
    refuses_others: bool = False
    """Refuse a provider that is not offered, instead of creating no online meeting."""
    _numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    # --- Schedules

    async def read(
        self, acting: ActingUser, addresses: Sequence[str], window: TimeSpan
    ) -> list[Schedule]:
        """Return views with busy time and every existing event."""
        assert window.duration <= MAX_WINDOW
        self.calls.append("getSchedule")
        self.asked.update(addresses)
        return [self._schedule(address, window) for address in addresses]

    def _schedule(self, address: str, window: TimeSpan) -> Schedule:
        if address in self.unknown:
            return Schedule(address, unknown=self.unknown[address])
        taken = [*self.busy.get(address, ()), *self._meetings(address)]
        view = bytearray(b"0") * ((window.end - window.start) // SLOT_GRID)
        for span in taken:
            if part := span.cut(window):
                first = (part.start - window.start) // SLOT_GRID
                last = -(-(part.end - window.start) // SLOT_GRID)
                view[first:last] = b"2" * (last - first)
        listed = taken if self.lists_items else []
        items = tuple(BusySpan(span, BusyStatus.BUSY) for span in listed)
        return Schedule(address, view=view.decode(), items=items)

    def _meetings(self, address: str) -> list[TimeSpan]:
        owner = self.addresses.get(address)
        return [
            event.seen.span
            for event in self.events
            if not event.is_gone
            and event.pattern is None
            and (
                event.organizer.object_id == owner
                or any(
                    self.delivers
                    and a.address == address
                    and a.response.state is not ResponseState.DECLINED
                    for a in event.seen.attendees
                )
            )
        ]


@dataclass
class FakeCalendar:
    """The `Calendar` port of a `FakeOutlook`."""

    outlook: FakeOutlook

    async def create(self, acting: ActingUser, draft: EventDraft) -> CalendarEvent:
        """Create the event, or return the one that the same transaction created before."""
        self.outlook.calls.append("create")
        known = self._find(acting.mailbox, draft.session_id)
        if known:
            return known.seen
        provider = self._provider(draft.online_meeting)
        number = next(self.outlook._numbers)
        seen = CalendarEvent(
            EventId(f"event-{number}"),
            ICalUid(f"ical-{number}"),
            f"etag-{number}",
            draft.span,
            is_cancelled=False,
            attendees=tuple(
                CalendarAttendee(a.address, AttendeeResponse(), a.required) for a in draft.attendees
            ),
            is_online_meeting=provider is not None,
            join_url=f"https://{provider}.example/1"
            if self.outlook.gives_links and provider
            else None,
            modified_at=self.outlook.clock.now(),
            provider=provider,
        )
        event = FakeEvent(
            seen, acting.mailbox, draft.session_id, pattern=draft.pattern, time_zone=draft.time_zone
        )
        self.outlook.events.append(event)
        if event.pattern:
            self._expand(event, event.pattern)
        return seen

    def _provider(self, asked: OnlineMeetingChoice) -> MeetingProvider | None:
        """Return the provider used: the requested or default one, if the calendar offers it."""
        if asked is OnlineMeetingChoice.NONE:
            return None
        default = max(self.outlook.offers, default=None)  # Teams sorts last
        wanted = default if asked is OnlineMeetingChoice.AUTO else asked
        if wanted in self.outlook.offers:
            return MeetingProvider(wanted.value)
        if self.outlook.refuses_others:
            raise CalendarRefused("not allowed", code="BadRequest", status=400)
        return None

    def _expand(self, master: FakeEvent, pattern: Pattern) -> None:
        """Create the occurrences, from the master's times on."""
        first, zone = master.seen.span, zone_of(master.time_zone)
        repeat = Repeat(pattern.frequency, pattern.monthly_by, count=pattern.count)
        # From the anchor on, without dates before the first one.
        dates = (
            [pattern.first_on]
            if pattern.count == 1
            else occurrence_dates(pattern.anchor, replace(repeat, count=52))
        )
        days = [d for d in dates if d >= pattern.first_on][: pattern.count]
        spans = [_by_the_clock(first, day, zone) for day in days]
        for day, span in zip(days, spans, strict=True):
            seen = replace(
                master.seen,
                # Like Exchange's, the ids of occurrences follow from their dates.
                event_id=EventId(f"{master.seen.event_id}-{day}"),
                ical_uid=ICalUid(f"{master.seen.ical_uid}-{day}"),
                span=span or first,
                series_master_id=master.seen.event_id,
                original_start=datetime.combine(
                    day, first.start.astimezone(zone).time(), zone
                ).astimezone(UTC),
            )
            self.outlook.events.append(
                FakeEvent(
                    seen,
                    master.organizer,
                    SessionId(""),
                    master=master,
                    ends_before_it_starts=span is None,
                )
            )

    async def instances(
        self, mailbox: Mailbox, master_id: EventId, window: TimeSpan
    ) -> list[Occurrence]:
        """Return the existing occurrences."""
        self.outlook.calls.append("instances")
        self._check_listing()
        master = self._of(mailbox, master_id)
        return [
            UnreadableEvent(event.seen.event_id, event.seen.original_start)
            if event.ends_before_it_starts
            else event.seen
            for event in self.outlook.events
            if event.master is master and not event.is_gone and window.covers(event.seen.span)
        ]

    async def reschedule_series(
        self,
        acting: ActingUser,
        master_id: EventId,
        first: TimeSpan,
        time_zone: str,
        pattern: Pattern,
    ) -> CalendarEvent:
        """Recreate all occurrences."""
        self.outlook.calls.append("reschedule_series")
        master = self._of(acting.mailbox, master_id)
        master.pattern, master.time_zone = pattern, time_zone
        self.outlook.events[:] = [e for e in self.outlook.events if e.master is not master]
        seen = self.moved(master, first)
        self._expand(master, pattern)
        return seen

    async def reschedule_many(
        self, acting: ActingUser, events: Sequence[tuple[EventId, TimeSpan]], time_zone: str
    ) -> list[CalendarEvent | Exception]:
        """Move the events."""
        self.outlook.calls.append("reschedule_many")
        answers: list[CalendarEvent | Exception] = []
        for event_id, span in events:
            try:
                answers.append(self.moved(self._of(acting.mailbox, event_id), span))
            except EventGone as gone:
                answers.append(gone)
        return answers

    async def cancel_many(
        self, acting: ActingUser, events: Sequence[EventId], comment: str
    ) -> list[Exception | None]:
        """Cancel the events."""
        self.outlook.calls.append("cancel_many")
        answers: list[Exception | None] = []
        for event_id in events:
            try:
                self._of(acting.mailbox, event_id).is_gone = True
                answers.append(None)
            except EventGone as gone:
                answers.append(gone)
        return answers

    async def find(self, mailbox: Mailbox, session_id: SessionId) -> Occurrence | None:
        """Find the event by the app's tag."""
        self.outlook.calls.append("find")
        self._check_listing()
        known = self._find(mailbox, session_id)
        if known is None or known.is_gone or known.seen.event_id in self.outlook.in_deleted_items:
            return None
        return UnreadableEvent(known.seen.event_id) if known.ends_before_it_starts else known.seen

    async def read(self, mailbox: Mailbox, event_id: EventId) -> CalendarEvent:
        """Read the event."""
        self.outlook.calls.append("read")
        return self._read(mailbox, event_id)

    def _read(self, mailbox: Mailbox, event_id: EventId) -> CalendarEvent:
        event = self._of(mailbox, event_id)
        if event.ends_before_it_starts:
            raise EventUnreadable("It ends before it starts.")
        return event.seen

    async def is_copy_cancelled(self, session: Session, mailbox: Mailbox) -> bool | None:
        """Return whether the attendee knows that the event is gone, or that they were removed."""
        self.outlook.calls.append("is_copy_cancelled")
        if self.outlook.no_copies:
            return None
        if session.event_id in self.outlook.cancelled_copies:
            return True
        for event in self.outlook.events:
            if event.seen.event_id == session.event_id:
                return self.outlook.tells_attendees and (
                    event.is_gone or mailbox in self.outlook.removed
                )
        return None

    async def addresses_of(self, mailbox: Mailbox) -> frozenset[str]:
        """Return the addresses of a mailbox."""
        self.outlook.calls.append("addresses_of")
        owners = self.outlook.addresses.items()
        return frozenset(address for address, owner in owners if owner == mailbox.object_id)

    async def person_at(self, tenant_id: TenantId, address: str) -> ObjectId | None:
        """Return the owner of an address."""
        self.outlook.calls.append("person_at")
        return self.outlook.addresses.get(address)

    async def is_listed(self, mailbox: Mailbox, event_id: EventId) -> bool:
        """Return whether a listing has the event."""
        self.outlook.calls.append("is_listed")
        return event_id not in self.outlook.in_deleted_items and any(
            event.seen.event_id == event_id and not event.is_gone for event in self.outlook.events
        )

    async def find_continuations(
        self, series: Series, missing: Sequence[Session]
    ) -> list[Continuation]:
        """Return the further masters with the app's tag that have dates."""
        self.outlook.calls.append("find_continuations")
        masters = [
            event
            for event in self.outlook.events
            if event.pattern is not None
            and event.session_id == SessionId(series.id)
            and event.seen.event_id not in series.master_ids
        ]
        found = []
        for master in masters:
            spans = [e.seen.span for e in self.outlook.events if e.master is master]
            window = TimeSpan(min(s.start for s in spans), max(s.end for s in spans))
            found.append(Continuation(master.seen.event_id, window))
        return found

    async def search(
        self, session: Session, further: Sequence[EventId] = ()
    ) -> CalendarEvent | None:
        """Find the event by its iCalUId."""
        self.outlook.calls.append("search")
        self._check_listing()
        return next(
            (
                event.seen
                for event in self.outlook.events
                if event.seen.ical_uid == session.ical_uid
                and not event.is_gone
                and event.seen.event_id not in self.outlook.in_deleted_items
            ),
            None,
        )

    async def read_many(
        self, events: Sequence[tuple[Mailbox, EventId]]
    ) -> list[CalendarEvent | Exception]:
        """Read the events in one request."""
        self.outlook.calls.append("read_many")
        answers: list[CalendarEvent | Exception] = []
        for mailbox, event_id in events:
            try:
                answers.append(self._read(mailbox, event_id))
            except (EventGone, EventUnreadable) as error:
                answers.append(error)
        return answers

    async def reschedule(
        self, acting: ActingUser, event_id: EventId, span: TimeSpan, time_zone: str
    ) -> CalendarEvent:
        """Move the event; responses are reset."""
        self.outlook.calls.append("reschedule")
        return self.moved(self._of(acting.mailbox, event_id), span)

    async def cancel(self, acting: ActingUser, event_id: EventId, comment: str) -> None:
        """Cancel the event."""
        self.outlook.calls.append("cancel")
        event = self._of(acting.mailbox, event_id)
        event.is_gone = True
        for occurrence in self.outlook.events:
            occurrence.is_gone |= occurrence.master is event

    async def respond(
        self,
        acting: ActingUser,
        session: Session,
        answer: ResponseState,
        comment: str,
        proposed: TimeSpan | None,
    ) -> None:
        """Answer; the organizer's copy has it at once. A declined attendee's copy is removed."""
        self.outlook.calls.append("respond")
        self._respond(acting, session, answer, proposed)

    async def respond_many(
        self,
        acting: ActingUser,
        sessions: Sequence[Session],
        answer: ResponseState,
        comment: str,
        *,
        whole: bool,
    ) -> list[Exception | None]:
        """Answer dates of a series."""
        self.outlook.calls.append("respond_series" if whole else "respond_many")
        errors: list[Exception | None] = []
        for session in sessions:
            try:
                self._respond(acting, session, answer, None)
                errors.append(None)
            except EventGone as gone:
                errors.append(gone)
        return errors

    def _respond(
        self,
        acting: ActingUser,
        session: Session,
        answer: ResponseState,
        proposed: TimeSpan | None,
    ) -> None:
        if session.event_id is None:
            raise EventGone("there is no copy")
        address = next(
            a for a, who in self.outlook.addresses.items() if who == acting.mailbox.object_id
        )
        event = self._of(session.organizer, session.event_id)
        given = {a.address: a.response.state for a in event.seen.attendees}
        if given.get(address) is ResponseState.DECLINED:
            raise EventGone("it was declined")
        self.answered(event, address, answer, proposed)

    async def offered_meetings(self, acting: ActingUser) -> frozenset[OnlineMeetingChoice]:
        """Return the providers that every calendar offers."""
        self.outlook.calls.append("offered_meetings")
        return self.outlook.offers

    # --- people's acts

    def moved(self, event: FakeEvent, span: TimeSpan) -> CalendarEvent:
        """Give *event* new times."""
        reset = tuple(
            replace(a, response=AttendeeResponse(was_reset=True)) for a in event.seen.attendees
        )
        event.ends_before_it_starts = False
        return self._write(event, replace(event.seen, span=span, dates=None, attendees=reset))

    def ticked(self, event: FakeEvent, dates: DateSpan, zone: str) -> CalendarEvent:
        """Make *event* all-day, for an organizer in *zone*."""
        self.moved(event, dates.span_in(zone_of(zone)))
        event.seen = replace(event.seen, dates=dates)
        return event.seen

    def answered(
        self,
        event: FakeEvent,
        address: str,
        answer: ResponseState,
        proposed: TimeSpan | None = None,
    ) -> CalendarEvent:
        """Answer as *address*."""
        response = AttendeeResponse(answer, self.outlook.clock.now(), proposed)
        attendees = tuple(
            replace(a, response=response) if a.address == address else a
            for a in event.seen.attendees
        )
        return self._write(event, replace(event.seen, attendees=attendees))

    def _write(self, event: FakeEvent, seen: CalendarEvent) -> CalendarEvent:
        number = next(self.outlook._numbers)
        now: datetime = self.outlook.clock.now()
        event.seen = replace(seen, etag=f"etag-{number}", modified_at=now)
        return event.seen

    def _find(self, mailbox: Mailbox, session_id: SessionId) -> FakeEvent | None:
        return next(
            (
                e
                for e in self.outlook.events
                if e.organizer == mailbox and e.session_id == session_id
            ),
            None,
        )

    def _check_listing(self) -> None:
        if self.outlook.lists_endlessly:
            raise ListingEndless("A listing does not end.", code="listing_endless")

    def _of(self, mailbox: Mailbox, event_id: EventId) -> FakeEvent:
        for event in self.outlook.events:
            if event.organizer == mailbox and event.seen.event_id == event_id:
                if event.is_gone or event_id in self.outlook.hidden:
                    break
                return event
        raise EventGone("not there", code="ErrorItemNotFound", status=404)


class RefusingCalendar(FakeCalendar):
    """A calendar that refuses every event."""

    async def create(self, acting: ActingUser, draft: EventDraft) -> CalendarEvent:
        """Refuse."""
        self.outlook.calls.append("create")
        raise CalendarRefused("no", code="ErrorAccessDenied", status=403)


def _by_the_clock(first: TimeSpan, day: date, zone: tzinfo) -> TimeSpan | None:
    """Return the occurrence of *day*: it has the local start and the local end of *first*.

    None: it ends before it starts, as its start is in the hour that is skipped.
    """
    start, end = (each.astimezone(zone).replace(tzinfo=None) for each in (first.start, first.end))
    wall = datetime.combine(day, start.time())
    begins, ends = (
        each.replace(tzinfo=zone).astimezone(UTC) for each in (wall, wall + (end - start))
    )
    return TimeSpan(begins, ends) if begins < ends else None
