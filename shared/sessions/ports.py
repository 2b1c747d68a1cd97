"""The ports of sessions: their store and the Outlook calendar."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from shared.availability.ports import Schedules
from shared.clock import Clock
from shared.ids import EventId, Mailbox, ObjectId, SeriesId, SessionId, TenantId
from shared.jobs import DueStore, JobQueue
from shared.organizations.model import ActingUser, OnlineMeetingChoice
from shared.sessions.calendar_events import CalendarEvent, EventDraft
from shared.sessions.holds import Hold
from shared.sessions.ledger import Decide, LedgerChange, SeriesKey
from shared.sessions.model import ResponseState, Session
from shared.sessions.recurrence import Pattern
from shared.sessions.series import Continuation, Occurrence, Series
from shared.timespan import TimeSpan

if TYPE_CHECKING:  # a cold start for the webhook needs no limits
    from shared.limits.limiter import CallLimiter


class SessionStore(Protocol):
    """Stores sessions and their holds; one partition per mailbox.

    Every method may raise StoreUnavailable. `reservations` has the operations that use `change`.
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
        """Apply *decide* to *mailbox*'s ledger, and write the difference as one transaction.

        The ledger has at least the session or series of *key* and the days of *spans*. *decide*
        must be pure: it is called again after it has raised `Unread`, and after an ETag conflict.
        Its other errors are raised, and nothing is written.

        *expects_new*: the row of *key* probably does not exist, so it is not read first.
        """
        ...

    async def publish(self, sessions: Sequence[Session]) -> list[Session]:
        """Append the outboxes of *sessions* to the change feed, and empty them.

        Returns the sessions as they are stored then. Idempotent: an entry is in the feed once.
        """
        ...

    async def get(self, mailbox: Mailbox, session_id: SessionId) -> Session:
        """Return the session that *mailbox* organizes or is invited to. Raises NotFound.

        Publishes what is left in its outbox.
        """
        ...

    async def find_by_event(self, mailbox: Mailbox, event_id: EventId) -> Session | Series | None:
        """Return the session, or the series, that the event in the organizer's *mailbox* shows.

        None: the app did not create the event. Costs one read in that case.
        """
        ...

    async def get_series(self, mailbox: Mailbox, series_id: SeriesId) -> Series | None:
        """Return the series that *mailbox* organizes, or None."""
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

        A page may have fewer than *limit* sessions though more follow: stale index rows are left
        out. Raises Invalid for a cursor that this store did not issue.
        """
        ...

    async def holds(self, mailbox: Mailbox, window: TimeSpan, now: datetime) -> list[Hold]:
        """Return the holds active at *now* that overlap *window*, by start."""
        ...


class Calendar(Protocol):
    """Writes and reads the app's events in participants' Outlook calendars.

    Every method may raise CalendarThrottled, CalendarUnavailable, CalendarRefused, ConsentMissing,
    SignInAgain, MailboxUnusable.
    """

    async def create(self, acting: ActingUser, draft: EventDraft) -> CalendarEvent:
        """Create the event in the acting mailbox and invite the attendees.

        Idempotent by `EventDraft.session_id`: Graph refuses a duplicate, and the existing event is
        returned.
        """
        ...

    async def find(self, mailbox: Mailbox, session_id: SessionId) -> Occurrence | None:
        """Find the event by the app's extended property, with the app's own identity."""
        ...

    async def read(self, mailbox: Mailbox, event_id: EventId) -> CalendarEvent:
        """Read one event with the app's own identity. Raises EventGone, EventUnreadable."""
        ...

    async def is_copy_cancelled(self, session: Session, mailbox: Mailbox) -> bool | None:
        """Return whether an attendee's copy says that it was cancelled; None: there is no copy.

        An attendee's copy is cancelled with the meeting, and when the attendee is removed from it.
        """
        ...

    async def addresses_of(self, mailbox: Mailbox) -> frozenset[str]:
        """Return the person's addresses in the directory, in lower case; none: no such user.

        An answer is kept for a day.
        """
        ...

    async def person_at(self, tenant_id: TenantId, address: str) -> ObjectId | None:
        """Return the user of *address*; None: not found, though it may be a user's alias.

        An answer is kept for a day.
        """
        ...

    async def search(
        self, session: Session, further: Sequence[EventId] = ()
    ) -> CalendarEvent | None:
        """Search the organizer's calendar for the event, by its iCalUId and the app's property.

        *further*: masters of the session's series beside the one that has the property.
        """
        ...

    async def is_listed(self, mailbox: Mailbox, event_id: EventId) -> bool:
        """Return whether the calendar lists the event: an id may be good for a deleted one too."""
        ...

    async def find_continuations(
        self, series: Series, missing: Sequence[Session]
    ) -> list[Continuation]:
        """Return the series that may go on with the *missing* dates of a split one."""
        ...

    async def read_many(
        self, events: Sequence[tuple[Mailbox, EventId]]
    ) -> list[CalendarEvent | Exception]:
        """Read up to 20 events of one tenant in one batch; return each event or its error."""
        ...

    async def reschedule(
        self, acting: ActingUser, event_id: EventId, span: TimeSpan, time_zone: str
    ) -> CalendarEvent:
        """Change the event's times only, never its body. Raises EventGone.

        Graph disables an online meeting whose body is replaced without its join details.

        Source: https://learn.microsoft.com/graph/api/event-update
        """
        ...

    async def cancel(self, acting: ActingUser, event_id: EventId, comment: str) -> None:
        """Cancel the meeting; Outlook notifies the attendees with *comment*. Raises EventGone."""
        ...

    async def instances(
        self, mailbox: Mailbox, master_id: EventId, window: TimeSpan
    ) -> list[Occurrence]:
        """Return the occurrences of a series in *window*, read with the app's own identity.

        Sends one request per hundred occurrences. Raises EventGone if the series is gone.
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
        """Change the times of the whole series; exceptions of single dates are lost.

        Source: https://learn.microsoft.com/graph/api/event-update
        """
        ...

    async def reschedule_many(
        self, acting: ActingUser, events: Sequence[tuple[EventId, TimeSpan]], time_zone: str
    ) -> list[CalendarEvent | Exception]:
        """Change the times of up to 52 events; return each event or its error.

        An error that is raised occurred before the first event was changed.
        """
        ...

    async def cancel_many(
        self, acting: ActingUser, events: Sequence[EventId], comment: str
    ) -> list[Exception | None]:
        """Cancel up to 52 meetings; return None or the error of each, EventGone among them.

        An error that is raised occurred before the first meeting was cancelled.
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
        """Answer in the attendee's own mailbox. Raises EventGone: it has no copy, or not yet."""
        ...

    async def respond_many(
        self,
        acting: ActingUser,
        sessions: Sequence[Session],
        answer: ResponseState,
        comment: str,
        *,
        whole: bool,
    ) -> list[Exception | None]:
        """Answer up to 52 dates of one series in the attendee's own mailbox.

        *whole*: they are all that is ahead, so the series is answered at once. Returns None or the
        error of each, EventGone among them: the date has no invitation (any more). Raises EventGone
        if the mailbox has no copy of the series, or not yet.
        """
        ...

    async def offered_meetings(self, acting: ActingUser) -> frozenset[OnlineMeetingChoice]:
        """Return the online meeting providers that the acting mailbox's calendar allows."""
        ...


@dataclass(frozen=True, slots=True)
class SessionPorts:
    """The ports that the use cases of sessions share."""

    schedules: Schedules
    calendar: Calendar
    sessions: SessionStore
    jobs: JobQueue
    due: DueStore
    limiter: "CallLimiter"
    clock: Clock
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep
    """Waits for a number of seconds; replaced in tests."""
