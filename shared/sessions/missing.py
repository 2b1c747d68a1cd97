"""Deciding about an event that Graph does not find: cancelled, or only not shown now.

Graph's `ErrorItemNotFound` can pass, and it comes as well for an event that got another id. So one
look decides nothing. The event is gone if the organizer's mailbox can be searched and has it
neither under its iCalUId nor under the app's property, and either the attendees' calendars say that
it was cancelled, or a minute has passed since the first look.

Source: https://learn.microsoft.com/graph/api/resources/event (iCalUId), MS-OXOCAL 3.1.4.8.1
"""

from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from enum import Enum, auto
from typing import Final

from shared.errors import Conflict, SchedulingError, StaleRow
from shared.ids import SessionId
from shared.jobs import Job, JobKind, JobQueue
from shared.logs import log_event
from shared.sessions import reservations
from shared.sessions.calendar_events import CalendarEvent
from shared.sessions.model import Session
from shared.sessions.occurrences import search_event
from shared.sessions.ports import Calendar, SessionPorts
from shared.sessions.series_splits import is_split_off

SECOND_LOOK: Final = timedelta(seconds=60)
_ATTENDEES_ASKED: Final = 3
"""The number of attendees in whose calendars a cancellation is looked for."""
_LOOK_DELAYS: Final = (timedelta(seconds=10), SECOND_LOOK + timedelta(seconds=5))
"""The delays of the looks after the first one: a cancellation reaches the attendees meanwhile."""


class Absence(Enum):
    """The result for an event that is not found."""

    GONE = auto()
    """Cancelled or deleted in Outlook."""
    SUSPECTED = auto()
    """Not decided yet: a job looks again."""


async def find_missing(
    session: Session, *, ports: SessionPorts, series_is_read: bool = False
) -> CalendarEvent | Absence:
    """Return the event of *session* under another id, or what its absence means.

    *series_is_read*: the caller has followed the series, and so a split of it, and enqueues the
    next looks, once for all its dates. The first look is noted in the row, and else enqueues them.

    Raises:
        CalendarThrottled, CalendarUnavailable: passing.
        MailboxUnusable, CalendarRefused, ConsentMissing: nothing can be said about the event.
    """
    if await is_cancelled_for_attendees(session, calendar=ports.calendar):
        # Who was removed from a meeting has a cancelled copy too, while the meeting stands.
        return await _search(session, ports, series_is_read=series_is_read)
    now = ports.clock.now()
    if session.missing_since is None:
        with suppress(StaleRow):  # another worker has just written the row
            await reservations.save(ports.sessions, replace(session, missing_since=now))
        if not series_is_read:
            await enqueue_looks(session, jobs=ports.jobs)
        log_event("session.missing", session_id=session.id)
        return Absence.SUSPECTED
    if now < session.missing_since + SECOND_LOOK:
        return Absence.SUSPECTED
    return await _search(session, ports, series_is_read=series_is_read)


async def enqueue_looks(session: Session, *, jobs: JobQueue) -> None:
    """Enqueue the next looks for *session*, or for all dates of its series."""
    for delay in _LOOK_DELAYS:
        await jobs.put(_job(session), delay=delay)


async def _search(
    session: Session, ports: SessionPorts, *, series_is_read: bool
) -> CalendarEvent | Absence:
    event = await search_event(session, calendar=ports.calendar, sessions=ports.sessions)
    if event is not None:
        return event
    if not series_is_read and await is_split_off(session, ports=ports):
        await ports.jobs.put(_job(session))
        return Absence.SUSPECTED
    return Absence.GONE


async def is_cancelled_for_attendees(session: Session, *, calendar: Calendar) -> bool:
    """Return whether the copies of the invited attendees that can be read are all cancelled.

    One that stands is proof enough: who was removed from a meeting has a cancelled copy too.
    """
    is_cancelled = False
    invited = {a.object_id for a in session.attendees if a.invited}
    asked = [m for m in session.mailboxes[:-1] if m.object_id in invited]
    for mailbox in asked[:_ATTENDEES_ASKED]:
        with suppress(SchedulingError):  # no evidence from this calendar
            copy_is_cancelled = await calendar.is_copy_cancelled(session, mailbox)
            if copy_is_cancelled is False:
                return False
            is_cancelled |= copy_is_cancelled is True
    return is_cancelled


def not_found_now() -> Conflict:
    """Return the error for a caller whose session's event is not found, and may be there."""
    return Conflict(
        "Outlook does not find the meeting at the moment.",
        remedy="Read the session again in a minute: it is cancelled then, or can be changed again.",
    )


def _job(session: Session) -> Job:
    if session.series_id is not None:
        key = SessionId(session.series_id)
        return Job(JobKind.FOLLOW_SERIES, session.organization_id, (session.organizer,), (key,))
    return Job(JobKind.RECONCILE, session.organization_id, (session.organizer,), (session.id,))
