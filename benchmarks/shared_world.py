"""A world shared by several processes: tables with ETags and people's calendars, in a server.

The tables keep the promises of Table Storage, and no others: a row has an ETag, an entity-group
transaction happens whole or not at all, reads are of one row. So production's own store, with its
optimistic writes, runs on them as it does on Azure, some thirty times as fast as on the emulator.
"""

import asyncio
import os
import pickle
import random
import struct
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any, Final

from shared.adapters.tables.client import Put, Remove, Row, Tables, Write
from shared.adapters.tables.keys import CHANGES, Key, Rows
from shared.availability.model import SLOT_GRID, Schedule
from shared.errors import CalendarUnavailable, EventGone, StaleRow, StoreUnavailable
from shared.ids import EventId, ICalUid, Mailbox, ObjectId, SeriesId, SessionId, TenantId
from shared.jobs import Job
from shared.organizations.model import ActingUser, OnlineMeetingChoice
from shared.sessions.calendar_events import CalendarAttendee, CalendarEvent, EventDraft
from shared.sessions.model import AttendeeResponse, ResponseState, Session
from shared.sessions.online_meeting import MeetingProvider
from shared.sessions.recurrence import Pattern
from shared.sessions.series import Continuation, Occurrence, Series, occurrence_id
from shared.timespan import TimeSpan

NOW: Final = datetime(2026, 3, 2, 6, 0, tzinfo=UTC)
_WEEK: Final = timedelta(weeks=1)
_STORAGE: Final = {"get", "between", "transact", "remove", "put_job"}
_SIZE: Final = struct.Struct("!I")


@dataclass(frozen=True, slots=True)
class Meeting:
    """An event of the ledger. *number*: its position in the order of creation."""

    number: int
    session_id: SessionId
    organizer: Mailbox
    addresses: tuple[str, ...]
    """The addresses of all participants, the organizer's first."""
    seen: CalendarEvent
    is_gone: bool = False
    was_moved: bool = False
    master: int | None = None
    """For an occurrence: the number of its series' master."""
    is_master: bool = False
    """For the master of a series: it is no meeting by itself."""


@dataclass
class World:
    """The server's state. Clients call its methods by name, one at a time."""

    addresses: dict[Mailbox, str]
    lag: float = 0.5
    """The chance that a person's free/busy does not show the app's own meetings yet."""
    chance: random.Random = field(default_factory=lambda: random.Random(1))
    rows: dict[str, dict[Key, tuple[Mapping[str, Any], str]]] = field(
        default_factory=lambda: defaultdict(dict)
    )
    days: dict[str, dict[tuple[str, str], dict[str, Key]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(dict))
    )
    meetings: list[Meeting] = field(default_factory=list)
    by_session: dict[SessionId, int] = field(default_factory=dict)
    of_master: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))
    by_day: dict[tuple[str, date], list[int]] = field(default_factory=lambda: defaultdict(list))
    jobs: list[Job] = field(default_factory=list)
    """The queue of recovery jobs, in the order of their arrival."""
    is_away: bool = False
    """Storage does not answer."""
    trouble: float = 0.0
    """The share of calls that fail, half of them after their effect."""
    feed_trouble: float = 0.0
    """The same of writes to the change feed."""
    _etags: "count[int]" = field(default_factory=lambda: count(1))

    def call(self, method: str, args: Sequence[Any]) -> object:
        """Call *method* for a client; return its result or its error."""
        fails_after = None
        error: Exception = StoreUnavailable("Away.")
        if method not in _STORAGE:
            error = CalendarUnavailable("Away.", code="no_answer")
        trouble = self.feed_trouble if (method, args[0]) == ("transact", CHANGES) else self.trouble
        if (self.is_away and method in _STORAGE) or self.chance.random() < trouble:
            fails_after = self.chance.random() < 0.5
        if fails_after is False:
            return error
        try:
            outcome: object = getattr(self, method)(*args)
        except Exception as refused:  # noqa: BLE001 - every error is an answer: the client waits for one
            outcome = refused
        return error if fails_after else outcome

    def put_job(self, job: Job) -> None:
        """Add a job to the queue."""
        self.jobs.append(job)

    # --- tables

    def get(self, table: str, key: Key) -> Row | None:
        """Read one row."""
        found = self.rows[table].get(key)
        return Row(key, *found) if found else None

    def between(self, table: str, rows: Rows, limit: int) -> list[Row]:
        """Read a range of one partition."""
        keys = sorted(
            key
            for key in self._partition(table, rows.partition, rows.after)
            if rows.after < key.row < rows.before
        )
        return [Row(key, *self.rows[table][key]) for key in keys[:limit]]

    def transact(self, table: str, changes: Sequence[Write]) -> list[str]:
        """Make all changes or none; StaleRow if a condition fails.

        Return the etag of each, empty for a removal.
        """
        stored = self.rows[table]
        for change in changes:
            known = stored.get(change.key)
            if isinstance(change, Put) and change.force:
                continue
            is_wanted = isinstance(change, Remove) or change.etag is not None
            if is_wanted != (known is not None) or (
                known and change.etag and known[1] != change.etag
            ):
                raise StaleRow("The row changed since it was read.")
        etags = []
        for change in changes:
            kind = change.key.row.partition(";")[0]
            index = self.days[table][change.key.partition, kind]
            if isinstance(change, Remove):
                etags.append("")
                del stored[change.key]
                index.pop(change.key.row, None)
            else:
                etags.append(f'W/"{next(self._etags)}"')
                stored[change.key] = (change.values, etags[-1])
                index[change.key.row] = change.key
        return etags

    def remove(self, table: str, key: Key, etag: str | None = None) -> None:
        """Remove a row if it exists, with *etag* only that version. Raises StaleRow."""
        if key in self.rows[table]:
            self.transact(table, [Remove(key, etag)])

    def _partition(self, table: str, partition: str, after: str) -> list[Key]:
        return list(self.days[table][partition, after.partition(";")[0]].values())

    # --- Outlook

    def schedules(self, addresses: Sequence[str], window: TimeSpan) -> list[Schedule]:
        """Return free/busy, which may lag behind."""
        return [self._schedule(address, window) for address in addresses]

    def create(self, acting: ActingUser, draft: EventDraft) -> CalendarEvent:
        """Create an event, once for a transaction."""
        if (known := self.by_session.get(draft.session_id)) is not None:
            return self.meetings[known].seen
        number = len(self.meetings)
        people = (self.addresses[acting.mailbox], *(a.address for a in draft.attendees))
        seen = CalendarEvent(
            EventId(f"event-{number}"),
            ICalUid(f"ical-{number}"),
            f"etag-{number}",
            draft.span,
            is_cancelled=False,
            attendees=tuple(
                CalendarAttendee(a.address, AttendeeResponse()) for a in draft.attendees
            ),
            is_online_meeting=True,
            join_url="https://teams.example/1",
            modified_at=NOW,
            provider=MeetingProvider.TEAMS,
        )
        is_master = draft.pattern is not None
        meeting = Meeting(
            number, draft.session_id, acting.mailbox, people, seen, is_master=is_master
        )
        self._add(meeting)
        self.by_session[draft.session_id] = number
        if draft.pattern:
            skipped = (draft.pattern.first_on - draft.pattern.anchor) // _WEEK
            series = SeriesId(draft.session_id)
            ids = [occurrence_id(series, skipped + n) for n in range(draft.pattern.count)]
            self._expand(meeting, ids)
        return seen

    def _add(self, meeting: Meeting) -> None:
        self.meetings.append(meeting)
        if meeting.master is not None:
            self.of_master[meeting.master].append(meeting.number)
        if not meeting.is_master:
            self._show(meeting, meeting.seen.span)

    def _show(self, meeting: Meeting, span: TimeSpan) -> None:
        for day in span.days():
            for address in meeting.addresses:
                if meeting.number not in self.by_day[address, day]:
                    self.by_day[address, day].append(meeting.number)

    def _expand(self, master: Meeting, ids: Sequence[SessionId]) -> None:
        """Create the occurrences, a week apart, each with its session for the checks."""
        for week, session_id in enumerate(ids):
            number = len(self.meetings)
            span = TimeSpan(
                master.seen.span.start + week * _WEEK, master.seen.span.end + week * _WEEK
            )
            seen = replace(
                master.seen,
                event_id=EventId(f"event-{number}"),
                ical_uid=ICalUid(f"ical-{number}"),
                span=span,
                series_master_id=master.seen.event_id,
                original_start=span.start,
            )
            self._add(
                replace(
                    master,
                    number=number,
                    session_id=session_id,
                    seen=seen,
                    master=master.number,
                    is_master=False,
                )
            )

    def find(self, session_id: SessionId) -> CalendarEvent | None:
        """Find an event by the app's tag."""
        number = self.by_session.get(session_id)
        meeting = None if number is None else self.meetings[number]
        return meeting.seen if meeting and not meeting.is_gone else None

    def cancel(self, event_id: EventId) -> None:
        """Cancel an event. Raises EventGone."""
        number = self._number(event_id)
        self.meetings[number] = replace(self.meetings[number], is_gone=True)
        for occurrence in self._occurrences(number):
            self.meetings[occurrence.number] = replace(occurrence, is_gone=True)

    def cancel_many(self, events: Sequence[EventId]) -> list[Exception | None]:
        """Cancel several events, each by itself."""
        answers: list[Exception | None] = []
        for event_id in events:
            try:
                self.cancel(event_id)
                answers.append(None)
            except EventGone as gone:
                answers.append(gone)
        return answers

    def instances(self, master_id: EventId) -> list[CalendarEvent]:
        """Return the existing occurrences of a series. Raises EventGone."""
        return [meeting.seen for meeting in self._occurrences(self._number(master_id))]

    def reschedule_series(self, master_id: EventId, first: TimeSpan) -> CalendarEvent:
        """Recreate all occurrences, from *first* on. Raises EventGone."""
        number = self._number(master_id)
        before = self._occurrences(number)
        for occurrence in before:
            self.meetings[occurrence.number] = replace(occurrence, is_gone=True, was_moved=True)
        master = self.meetings[number]
        seen = replace(master.seen, span=first, etag=f"etag-{number}-{next(self._etags)}")
        self.meetings[number] = replace(master, seen=seen, was_moved=True)
        self._expand(self.meetings[number], [occurrence.session_id for occurrence in before])
        return seen

    def reschedule_many(
        self, events: Sequence[tuple[EventId, TimeSpan]]
    ) -> list[CalendarEvent | Exception]:
        """Move several events, each by itself."""
        answers: list[CalendarEvent | Exception] = []
        for event_id, span in events:
            try:
                answers.append(self.reschedule(event_id, span))
            except EventGone as gone:
                answers.append(gone)
        return answers

    def _occurrences(self, number: int) -> list[Meeting]:
        if not self.meetings[number].is_master:
            return []
        return [self.meetings[n] for n in self.of_master[number] if not self.meetings[n].is_gone]

    def reschedule(self, event_id: EventId, span: TimeSpan) -> CalendarEvent:
        """Move an event. Raises EventGone."""
        number = self._number(event_id)
        meeting = self.meetings[number]
        reset = AttendeeResponse(was_reset=True)
        attendees = tuple(replace(a, response=reset) for a in meeting.seen.attendees)
        version = next(self._etags)
        seen = replace(self._version(meeting.seen, version), span=span, attendees=attendees)
        self.meetings[number] = replace(meeting, seen=seen, was_moved=True)
        self._show(meeting, span)
        return seen

    def event(self, event_id: EventId) -> CalendarEvent:
        """Read an event. Raises EventGone."""
        return self.meetings[self._number(event_id)].seen

    def events(self, events: Sequence[EventId]) -> list[CalendarEvent | Exception]:
        """Read several events."""
        answers: list[CalendarEvent | Exception] = []
        for event_id in events:
            try:
                answers.append(self.event(event_id))
            except EventGone as gone:
                answers.append(gone)
        return answers

    def answer(self, event_id: EventId, state: ResponseState) -> None:
        """Let every attendee answer in Outlook who has not declined. Raises EventGone.

        Who declined may have given the time away.
        """
        number = self._number(event_id)
        meeting, version = self.meetings[number], next(self._etags)
        response = AttendeeResponse(state, NOW + timedelta(microseconds=version))
        attendees = tuple(
            a if a.response.state is ResponseState.DECLINED else replace(a, response=response)
            for a in meeting.seen.attendees
        )
        seen = replace(self._version(meeting.seen, version), attendees=attendees)
        self.meetings[number] = replace(meeting, seen=seen)

    @staticmethod
    def _version(seen: CalendarEvent, version: int) -> CalendarEvent:
        """Return a new version of *seen*."""
        modified_at = NOW + timedelta(microseconds=version)
        return replace(seen, etag=f"{seen.event_id}-{version}", modified_at=modified_at)

    def _number(self, event_id: EventId) -> int:
        number = int(event_id.removeprefix("event-"))
        if self.meetings[number].is_gone:
            raise EventGone("not there", code="ErrorItemNotFound", status=404)
        return number

    def ledger(self, since: int = 0) -> list[Meeting]:
        """Return every event ever created, from number *since* on."""
        return self.meetings[since:]

    def _schedule(self, address: str, window: TimeSpan) -> Schedule:
        view = bytearray(b"0") * ((window.end - window.start) // SLOT_GRID)
        if self.chance.random() >= self.lag:
            for day in window.days():
                for number in self.by_day.get((address, day), ()):
                    meeting = self.meetings[number]
                    if not meeting.is_gone and (part := meeting.seen.span.cut(window)):
                        first = (part.start - window.start) // SLOT_GRID
                        last = (part.end - window.start) // SLOT_GRID
                        view[first:last] = b"2" * (last - first)
        return Schedule(address, view=view.decode())


@asynccontextmanager
async def serving(world: World, path: Path) -> AsyncIterator[None]:
    """Serve *world* at the unix socket *path*."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            while True:
                number, method, args = await _read(reader)
                outcome = world.call(method, args)
                _write(writer, (number, outcome, len(world.meetings)))
                await writer.drain()
        writer.close()

    server = await asyncio.start_unix_server(answer, path)
    try:
        yield
    finally:
        server.close()


class Client:
    """The connection of one process to the world."""

    def __init__(self) -> None:
        self._numbers = count()
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None
        self.events_known = 0
        """The number of events at the server's last answer."""

    async def connect(self, path: Path) -> None:
        """Connect."""
        reader, self._writer = await asyncio.open_unix_connection(path)
        self._reading = asyncio.create_task(self._read(reader))

    async def call(self, method: str, *args: object) -> Any:  # noqa: ANN401 - whatever it answers
        """Call the world's *method*."""
        if self._writer is None:
            raise RuntimeError("not connected")
        number = next(self._numbers)
        self._waiting[number] = asyncio.get_running_loop().create_future()
        _write(self._writer, (number, method, args))
        outcome = await self._waiting[number]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def aclose(self) -> None:
        """Disconnect."""
        if self._writer and self._reading:
            self._reading.cancel()
            self._writer.close()
            with suppress(asyncio.CancelledError):
                await self._reading

    async def _read(self, reader: asyncio.StreamReader) -> None:
        try:
            while True:
                number, outcome, self.events_known = await _read(reader)
                waiting = self._waiting.pop(number)
                if not waiting.done():
                    waiting.set_result(outcome)
        except Exception as error:  # noqa: BLE001 - else every call would wait for ever
            for waiting in self._waiting.values():
                if not waiting.done():
                    waiting.set_exception(error)


class SharedTables(Tables):
    """The tables of a shared world, with the interface of Azure's."""

    def __init__(self, client: Client) -> None:
        self._world = client

    async def aclose(self) -> None:
        """Do nothing: the caller owns the connection."""

    async def get(self, table: str, key: Key, select: Sequence[str] = ()) -> Row | None:  # noqa: ARG002
        """Read one row."""
        found: Row | None = await self._world.call("get", table, key)
        return found

    async def remove(self, table: str, key: Key, etag: str | None = None) -> None:
        """Remove a row, if it is there."""
        await self._world.call("remove", table, key, etag)

    async def transact(self, table: str, changes: Sequence[Write]) -> list[str]:
        """Make all changes or none."""
        etags: list[str] = await self._world.call("transact", table, list(changes))
        return etags

    async def between(
        self,
        table: str,
        rows: Rows,
        limit: int,
        *,
        select: Sequence[str] = (),  # noqa: ARG002
    ) -> list[Row]:
        """Read a range of complete rows."""
        found: list[Row] = await self._world.call("between", table, rows, limit)
        return found


class SharedJobs:
    """The queue of a shared world, which outlives the process that enqueued."""

    def __init__(self, client: Client) -> None:
        self._world = client

    async def put(self, job: Job, *, delay: timedelta = timedelta()) -> None:  # noqa: ARG002
        """Add a job to the queue."""
        await self._world.call("put_job", job)


class SharedSchedules:
    """Free/busy of a shared world."""

    def __init__(self, client: Client) -> None:
        self._world = client

    async def read(
        self, _: ActingUser, addresses: Sequence[str], window: TimeSpan
    ) -> list[Schedule]:
        """Return schedules."""
        found: list[Schedule] = await self._world.call("schedules", list(addresses), window)
        return found


class SharedCalendar:
    """Events of a shared world: the part of `Calendar` for booking, moving and cancelling."""

    def __init__(self, client: Client) -> None:
        self._world = client

    async def read(self, _: Mailbox, event_id: EventId) -> CalendarEvent:
        """Read an event."""
        seen: CalendarEvent = await self._world.call("event", event_id)
        return seen

    async def is_copy_cancelled(self, session: Session, _: Mailbox) -> bool | None:
        """Return whether the event is gone; None if its id is not known yet."""
        if session.event_id is None:
            return None
        try:
            await self._world.call("event", session.event_id)
        except EventGone:
            return True
        return False

    async def addresses_of(self, mailbox: Mailbox) -> frozenset[str]:
        """Return an address: every account is there."""
        return frozenset({f"{mailbox.object_id}@contoso.example"})

    async def search(self, session: Session, _: Sequence[EventId] = ()) -> CalendarEvent | None:
        """Return the event; it keeps its id. A date whose id is not known yet has no other mark."""
        if session.event_id is None:
            return None
        try:
            found: CalendarEvent = await self._world.call("event", session.event_id)
        except EventGone:
            return None
        return found

    async def person_at(self, _: TenantId, __: str) -> ObjectId | None:
        """Return None: every address is known here."""
        return None

    async def is_listed(self, _: Mailbox, event_id: EventId) -> bool:
        """Return whether the event is there."""
        try:
            await self._world.call("event", event_id)
        except EventGone:
            return False
        return True

    async def find_continuations(self, _: Series, __: Sequence[Session]) -> list[Continuation]:
        """Return nothing: no organizer splits a series here."""
        return []

    async def respond(
        self, _: ActingUser, __: Session, ___: ResponseState, ____: str, _____: TimeSpan | None
    ) -> None:
        """Not here: no attendee answers."""
        raise NotImplementedError

    async def respond_many(
        self,
        _: ActingUser,
        __: Sequence[Session],
        ___: ResponseState,
        ____: str,
        *,
        whole: bool,
    ) -> list[Exception | None]:
        """Not here: no attendee answers."""
        raise NotImplementedError

    async def read_many(
        self, events: Sequence[tuple[Mailbox, EventId]]
    ) -> list[CalendarEvent | Exception]:
        """Read events."""
        ids = [event_id for _, event_id in events]
        answers: list[CalendarEvent | Exception] = await self._world.call("events", ids)
        return answers

    async def reschedule(
        self, _: ActingUser, event_id: EventId, span: TimeSpan, __: str
    ) -> CalendarEvent:
        """Move an event."""
        seen: CalendarEvent = await self._world.call("reschedule", event_id, span)
        return seen

    async def create(self, acting: ActingUser, draft: EventDraft) -> CalendarEvent:
        """Create an event."""
        seen: CalendarEvent = await self._world.call("create", acting, draft)
        return seen

    async def find(self, _: Mailbox, session_id: SessionId) -> CalendarEvent | None:
        """Find an event."""
        seen: CalendarEvent | None = await self._world.call("find", session_id)
        return seen

    async def cancel(self, _: ActingUser, event_id: EventId, __: str) -> None:
        """Cancel an event."""
        await self._world.call("cancel", event_id)

    async def instances(self, _: Mailbox, master_id: EventId, window: TimeSpan) -> list[Occurrence]:
        """Return the occurrences of a series."""
        seen: list[CalendarEvent] = await self._world.call("instances", master_id)
        return [each for each in seen if each.span.overlaps(window)]

    async def reschedule_series(
        self, _: ActingUser, master_id: EventId, first: TimeSpan, __: str, ___: Pattern
    ) -> CalendarEvent:
        """Move a series. All series here are weekly."""
        seen: CalendarEvent = await self._world.call("reschedule_series", master_id, first)
        return seen

    async def reschedule_many(
        self, _: ActingUser, events: Sequence[tuple[EventId, TimeSpan]], __: str
    ) -> list[CalendarEvent | Exception]:
        """Move events."""
        answers: list[CalendarEvent | Exception] = await self._world.call("reschedule_many", events)
        return answers

    async def cancel_many(
        self, _: ActingUser, events: Sequence[EventId], __: str
    ) -> list[Exception | None]:
        """Cancel events."""
        answers: list[Exception | None] = await self._world.call("cancel_many", events)
        return answers

    async def offered_meetings(self, _: ActingUser) -> frozenset[OnlineMeetingChoice]:
        """Return Teams."""
        return frozenset({OnlineMeetingChoice.TEAMS})


async def _read(reader: asyncio.StreamReader) -> Any:  # noqa: ANN401 - whatever was sent
    size = _SIZE.unpack(await reader.readexactly(_SIZE.size))[0]
    # Pickle is safe here: both ends belong to this run, and the socket lies in its folder.
    return pickle.loads(await reader.readexactly(size))


def _write(writer: asyncio.StreamWriter, message: object) -> None:
    packed = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    writer.write(_SIZE.pack(len(packed)) + packed)


def processes() -> int:
    """Return the number of processes to race with."""
    return max(2, os.cpu_count() or 2)
