"""What sessions need from outside."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from shared.availability.ports import Schedules
from shared.changes.ports import ChangeStore
from shared.clock import Clock
from shared.ids import EventId, Mailbox, SeriesId, SessionId
from shared.jobs import DueStore, JobQueue
from shared.organizations.model import ActingUser, OnlineMeetingChoice
from shared.sessions.ledger import Decide, LedgerChange, SeriesKey
from shared.sessions.model import CalendarEvent, EventDraft, Hold, ResponseState, Session
from shared.sessions.recurrence import Pattern
from shared.sessions.series import Series
from shared.timespan import TimeSpan


class SessionStore(Protocol):
    """Where sessions and the time they hold are kept; one partition per mailbox.

    Every method may raise StoreUnavailable. `reservations` has what is done with `change`.
    """

    async def change(
        self,
        mailbox: Mailbox,
        key: SessionId | SeriesKey,
        spans: Iterable[TimeSpan],
        decide: Decide,
        *,
        expects_new: bool = False,
    ) -> LedgerChange:
        """Make what *decide* makes of *mailbox*'s ledger: all of it in one transaction, or nothing.

        The ledger has at least the session or series of *key* and the days of *spans*; what else
        *decide* looks at is read when it does, so it may be asked several times, as it is when
        somebody else changed a row meanwhile. Raises what *decide* raises.

        *expects_new*: nothing is likely to be stored of *key*, so that is not read first.
        """
        ...

    async def get(self, mailbox: Mailbox, session_id: SessionId) -> Session:
        """Return the session that *mailbox* organizes or was invited to, or raise NotFound."""
        ...

    async def find_by_event(self, mailbox: Mailbox, event_id: EventId) -> Session | Series | None:
        """Return whose event of the organizer's *mailbox* it is: of a session, or a series' master.

        None: not ours. For that it reads one row.
        """
        ...

    async def get_series(self, mailbox: Mailbox, series_id: SeriesId) -> Series | None:
        """Return the series that *mailbox* organizes."""
        ...

    async def list_by_mailbox(
        self,
        mailbox: Mailbox,
        *,
        since: datetime | None,
        until: datetime | None,
        after: str | None,
        limit: int,
    ) -> tuple[Sequence[Session], str | None]:
        """Return a page of sessions that start in [since, until), by start; the cursor or None.

        A page may hold fewer than *limit* though more follow: rows that lead nowhere are left out.
        Raises Invalid for a cursor that was not given out here.
        """
        ...

    async def holds(self, mailbox: Mailbox, window: TimeSpan, now: datetime) -> list[Hold]:
        """Return the holds that count at *now* and touch *window*, by start."""
        ...


class Calendar(Protocol):
    """Writes and reads our events in people's Outlook calendars.

    Every method may raise CalendarThrottled, CalendarUnavailable, CalendarRefused, ConsentMissing,
    SignInAgain, MailboxUnusable.
    """

    async def create(self, acting: ActingUser, draft: EventDraft) -> CalendarEvent:
        """Create the event in the acting mailbox and invite the attendees.

        The same session twice is one event: a refused duplicate is found and returned.
        """
        ...

    async def find(self, mailbox: Mailbox, session_id: SessionId) -> CalendarEvent | None:
        """Find the event of *session_id* by our extended property, by the app's own identity."""
        ...

    async def read(self, mailbox: Mailbox, event_id: EventId) -> CalendarEvent:
        """Read one event by the app's own identity. Raises EventGone."""
        ...

    async def read_many(
        self, events: Sequence[tuple[Mailbox, EventId]]
    ) -> list[CalendarEvent | Exception]:
        """Read up to 20 events of one tenant in one request; each its event or its error."""
        ...

    async def reschedule(
        self, acting: ActingUser, event_id: EventId, span: TimeSpan, time_zone: str
    ) -> CalendarEvent:
        """Give the event new times; never touches its body. Raises EventGone."""
        ...

    async def cancel(self, acting: ActingUser, event_id: EventId, comment: str) -> None:
        """Cancel the meeting; the attendees are told, with *comment*. Raises EventGone."""
        ...

    async def instances(
        self, mailbox: Mailbox, master_id: EventId, window: TimeSpan
    ) -> list[CalendarEvent]:
        """Return the occurrences of a series in *window*, by the app's own identity.

        One request for up to a hundred. Raises EventGone if the series is.
        """
        ...

    async def reschedule_series(
        self,
        acting: ActingUser,
        master_id: EventId,
        first: TimeSpan,
        time_zone: str,
        pattern: Pattern,
    ) -> CalendarEvent:
        """Give the whole series new times: what was changed of single dates is lost."""
        ...

    async def reschedule_many(
        self, acting: ActingUser, events: Sequence[tuple[EventId, TimeSpan]], time_zone: str
    ) -> list[CalendarEvent | Exception]:
        """Give up to 52 events new times; each the event or its error.

        What is raised instead was so before any of them was asked for.
        """
        ...

    async def cancel_many(
        self, acting: ActingUser, events: Sequence[EventId], comment: str
    ) -> list[Exception | None]:
        """Cancel up to 52 meetings; each nothing or its error, EventGone among them.

        What is raised instead was so before any of them was asked for.
        """
        ...

    async def respond(
        self,
        acting: ActingUser,
        session: Session,
        answer: ResponseState,
        comment: str,
        proposed: TimeSpan | None,
    ) -> None:
        """Answer in the attendee's own mailbox; EventGone if their copy is not there (yet)."""
        ...

    async def offered_meetings(self, acting: ActingUser) -> frozenset[OnlineMeetingChoice]:
        """Return which online meetings the acting mailbox's calendar allows."""
        ...


@dataclass(frozen=True, slots=True)
class SessionPorts:
    """The ports that everything about sessions needs, together."""

    schedules: Schedules
    calendar: Calendar
    sessions: SessionStore
    jobs: JobQueue
    changes: ChangeStore
    due: DueStore
    clock: Clock
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep
    """Waits for so many seconds."""
