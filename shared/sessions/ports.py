"""What sessions need from outside."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

from shared.ids import EventId, Mailbox, OrganizationId, SeriesId, SessionId
from shared.organizations.model import Acting, OnlineMeetingChoice
from shared.sessions.model import EventDraft, Hold, ResponseState, SeenEvent, Session
from shared.sessions.recurrence import Pattern
from shared.sessions.series import Series
from shared.timespan import TimeSpan


class SessionStore(Protocol):
    """Where sessions and the time they hold are kept; one partition per mailbox.

    Every method may raise StoreUnavailable. What it changes in one mailbox it changes in one
    transaction.
    """

    async def hold(self, mailbox: Mailbox, hold: Hold, organizer: Mailbox, now: datetime) -> bool:
        """Take *hold*'s span in an attendee's *mailbox*, with the pointer and the time index row.

        A hold of the same session is replaced, whatever its span, but one that is confirmed for
        exactly this span stays confirmed. Raises SlotTaken if a hold of another session counts at
        *now* and overlaps; then nothing has changed. Returns whether the session was there already:
        another attempt at the same booking relies on it.
        """
        ...

    async def open(
        self, session: Session, now: datetime, *, whatever_is_held: bool = False
    ) -> Session:
        """Take the span in the organizer's mailbox and store the new (requested) session.

        *whatever_is_held*: it records what is so in Outlook. Raises SlotTaken as `hold` does,
        StaleRow if the session is there already.
        """
        ...

    async def save(self, session: Session) -> Session:
        """Replace the stored session, the organizer's hold, time index and event index with it.

        A scheduled session holds its span for good (and *pending_span* until *held_until*); a
        cancelled one holds nothing and stays in the index.
        Raises StaleRow if *session.version* is not the stored one.
        """
        ...

    async def settle(self, mailbox: Mailbox, session: Session) -> None:
        """Make an attendee's *mailbox* say what *session* says: holds, pointer, time index.

        Where somebody is about to move it stays held as well, unless it is cancelled.

        Never refuses: it records what is so (moved in Outlook, confirmed, cancelled). Once settled
        with a later *changed_at* it stays as it is: workers overtake each other. For the
        organizer's own mailbox there is nothing to do, `save` did it.
        """
        ...

    async def move(self, mailbox: Mailbox, session: Session, to: Hold, now: datetime) -> None:
        """Take *to* besides what *session* holds in *mailbox*. Raises SlotTaken as `hold` does.

        Where somebody else is about to move it stays held as well, until that runs out or they
        take it back. Also for the organizer's mailbox, where it leaves the session and its version
        alone. Raises StaleRow if the mailbox is known to hold what a later version says.
        """
        ...

    async def take_back(self, mailbox: Mailbox, hold: Hold) -> None:
        """Free just *hold*, if *mailbox* still has it like that; twice is fine.

        Whatever else its session holds stays, as does the time if another attempt holds it: until
        when a hold counts tells whose it is.
        """
        ...

    async def release(
        self, mailbox: Mailbox, session_id: SessionId, *, of: datetime | None = None
    ) -> None:
        """Free what *session_id* holds in *mailbox* and remove its rows; twice is fine.

        *of*: only holds that count until then. Another attempt at the same booking has put others
        in their place.

        In the organizer's mailbox this undoes a booking: raises StaleRow if it was confirmed
        meanwhile, and nothing has changed.
        """
        ...

    async def get(self, mailbox: Mailbox, session_id: SessionId) -> Session:
        """Return the session that *mailbox* organizes or was invited to, or raise NotFound."""
        ...

    async def of_event(self, mailbox: Mailbox, event_id: EventId) -> Session | None:
        """Return the session that *event_id* of the organizer's *mailbox* shows, if it is ours."""
        ...

    async def shown_by(self, mailbox: Mailbox, event_id: EventId) -> Session | Series | None:
        """Return whose event of the organizer's *mailbox* it is: of a session, or a series' master.

        None: not ours. For that it reads one row.
        """
        ...

    async def put_series(self, series: Series) -> Series:
        """Store *series* and its master in the event index. Raises StaleRow: it changed, or exists.

        A new one has no *version*.
        """
        ...

    async def get_series(self, mailbox: Mailbox, series_id: SeriesId) -> Series | None:
        """Return the series that *mailbox* organizes."""
        ...

    async def remove_series(self, mailbox: Mailbox, series_id: SeriesId) -> int:
        """Remove the rows of the series itself; return how many. Twice is fine."""
        ...

    async def of_mailbox(
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

    async def purge(self, session: Session) -> int:
        """Remove every row of *session* in every mailbox; return how many. Twice is fine.

        Rows of days count where nobody else holds anything of that day.
        """
        ...


class Calendar(Protocol):
    """Writes and reads our events in people's Outlook calendars.

    Every method may raise CalendarThrottled, CalendarUnavailable, CalendarRefused, ConsentMissing,
    SignInAgain, MailboxUnusable.
    """

    async def create(self, acting: Acting, draft: EventDraft) -> SeenEvent:
        """Create the event in the acting mailbox and invite the attendees.

        The same session twice is one event: a refused duplicate is found and returned.
        """
        ...

    async def find(self, mailbox: Mailbox, session_id: SessionId) -> SeenEvent | None:
        """Find the event of *session_id* by our extended property, by the app's own identity."""
        ...

    async def read(self, mailbox: Mailbox, event_id: EventId) -> SeenEvent:
        """Read one event by the app's own identity. Raises EventGone."""
        ...

    async def read_many(
        self, events: Sequence[tuple[Mailbox, EventId]]
    ) -> list[SeenEvent | Exception]:
        """Read up to 20 events of one tenant in one request; each its event or its error."""
        ...

    async def reschedule(
        self, acting: Acting, event_id: EventId, span: TimeSpan, time_zone: str
    ) -> SeenEvent:
        """Give the event new times; never touches its body. Raises EventGone."""
        ...

    async def cancel(self, acting: Acting, event_id: EventId, comment: str) -> None:
        """Cancel the meeting; the attendees are told, with *comment*. Raises EventGone."""
        ...

    async def instances(
        self, mailbox: Mailbox, master_id: EventId, window: TimeSpan
    ) -> list[SeenEvent]:
        """Return the occurrences of a series in *window*, by the app's own identity.

        One request for up to a hundred. Raises EventGone if the series is.
        """
        ...

    async def reschedule_series(
        self,
        acting: Acting,
        master_id: EventId,
        first: TimeSpan,
        time_zone: str,
        pattern: Pattern,
    ) -> SeenEvent:
        """Give the whole series new times: what was changed of single dates is lost."""
        ...

    async def reschedule_many(
        self, acting: Acting, events: Sequence[tuple[EventId, TimeSpan]], time_zone: str
    ) -> list[SeenEvent | Exception]:
        """Give up to 52 events new times; each the event or its error."""
        ...

    async def cancel_many(
        self, acting: Acting, events: Sequence[EventId], comment: str
    ) -> list[Exception | None]:
        """Cancel up to 52 meetings; each nothing or its error, EventGone among them."""
        ...

    async def respond(
        self,
        acting: Acting,
        session: Session,
        answer: ResponseState,
        comment: str,
        proposed: TimeSpan | None,
    ) -> None:
        """Answer in the attendee's own mailbox; EventGone if their copy is not there (yet)."""
        ...

    async def offered_meetings(self, acting: Acting) -> frozenset[OnlineMeetingChoice]:
        """Return which online meetings the acting mailbox's calendar allows."""
        ...


class JobKind(StrEnum):
    """What the `jobs` queue carries."""

    VERIFY = "verify"
    """See whether a booking got through; finish it or undo it."""
    SETTLE = "settle"
    """See whether a reschedule or a cancellation got through; finish it or undo it."""
    SERIES = "series"
    """See whether a change of a series got through; finish it or undo it."""
    FOLLOW_SERIES = "follow_series"
    """Read a series' occurrences: their ids, and what people did to them."""
    LINK = "link"
    """Look for the link of an online meeting that comes late."""
    SUBSCRIBE = "subscribe"
    """Make sure that a mailbox has a subscription."""
    RENEW = "renew"
    RECONCILE = "reconcile"
    PURGE = "purge"
    DELIVER = "deliver"


@dataclass(frozen=True, slots=True)
class Job:
    """Work for later: ids only."""

    kind: JobKind
    organization_id: OrganizationId
    mailboxes: tuple[Mailbox, ...]
    session_ids: tuple[SessionId, ...] = ()
    """As many as *mailboxes*, pairwise, or empty."""
    due_ats: tuple[datetime, ...] = ()
    """When each came due: these rows of `Due` are removed once the work is done."""
    attempt: int = 0


class Jobs(Protocol):
    """The `jobs` queue."""

    async def put(self, job: Job, *, delay: timedelta = timedelta()) -> None:
        """Queue *job*, to be seen after *delay*. Raises StoreUnavailable."""
        ...
