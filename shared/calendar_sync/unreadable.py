"""Sessions whose events cannot be read: reported once, and read again after some hours.

An error of the mailbox concerns all of its sessions, so it is not reported here: a job looks at the
mailbox itself (`shared.administration.mailbox_looks`).
"""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import groupby
from typing import Final

from shared.errors import (
    CalendarError,
    CalendarRefused,
    ConsentMissing,
    EventUnreadable,
    ForeignId,
    MailboxUnusable,
    StaleRow,
)
from shared.jobs import DueItem, DueKind, Job, JobKind, JobQueue
from shared.sessions import reservations
from shared.sessions.model import Cause, Session, SessionState
from shared.sessions.outbox import Origin
from shared.sessions.ports import SessionPorts

OF_MAILBOX: Final = (MailboxUnusable, ConsentMissing, ForeignId)
"""Errors about the mailbox or the whole tenant: a wrong id is seldom the only one."""
UNREADABLE: Final = (EventUnreadable, CalendarRefused, *OF_MAILBOX)
"""Errors of reading an event that say nothing about the event: it may be there or not."""
PARTLY_UNREADABLE: Final = (
    "event_partly_unreadable",
    "The organizer opens the meeting in Outlook, checks its attendees and saves it.",
)
"""The trouble of an event that was read without some part, and its remedy. The rest is followed."""
UNREADABLE_AGAIN: Final = timedelta(hours=6)
_CORRECT_IT: Final = (
    "The organizer opens the meeting in Outlook and saves it with valid times, or cancels it there."
)


async def mark_unreadable(
    session: Session,
    error: Exception,
    cause: Cause,
    *,
    ports: SessionPorts,
    is_reported: bool = False,
) -> Session:
    """Note that a session cannot be read, and read it again after some hours.

    Reported as of `report_unreadable`. Frequent retries would not help: a person has to act.
    """
    if session.state is SessionState.CANCELLED:
        return session  # whether it returns is looked at again anyway
    session = await report_unreadable(session, error, cause, ports=ports, is_reported=is_reported)
    now = ports.clock.now()
    if session.span.end > now:
        await ports.due.put([due_item(session, now + UNREADABLE_AGAIN)])
    return session


async def report_unreadable(
    session: Session,
    error: Exception,
    cause: Cause,
    *,
    ports: SessionPorts,
    is_reported: bool = False,
) -> Session:
    """Note that a session cannot be read. The caller has it read again.

    Reported once, unless *error* is of the mailbox, or *is_reported* with another session.
    """
    if session.unreadable_since is not None:
        return session
    now = ports.clock.now()
    unreadable = replace(session, unreadable_since=now, changed_at=session.next_changed_at(now))
    with suppress(StaleRow):  # another worker has just written the row
        origin = Origin(cause) if is_reported else _origin(error, cause)
        return await reservations.save(ports.sessions, unreadable, origin)
    return session


async def mark_refused(
    sessions: Sequence[Session], refused: Exception, cause: Cause, *, ports: SessionPorts
) -> Session:
    """Mark *sessions*, of one read, as unreadable; return the first one as it is stored then."""
    first, *others = sessions
    marked = await mark_unreadable(first, refused, cause, ports=ports)
    for each in others:
        await mark_unreadable(each, refused, cause, ports=ports, is_reported=True)
    if isinstance(refused, OF_MAILBOX):
        await look_at_mailboxes([marked], jobs=ports.jobs)
    return marked


async def look_at_mailboxes(refused: Iterable[Session], *, jobs: JobQueue) -> None:
    """Enqueue a look at the organizer's mailbox of each session that it *refused* to show."""
    in_order = sorted(refused, key=lambda session: session.organizer)
    for _, sessions in groupby(in_order, key=lambda session: session.organizer):
        await jobs.put(look_job([*sessions]))


def look_job(refused: Sequence[Session]) -> Job:
    """Return the job that looks at the organizers' mailboxes of the *refused* sessions."""
    return Job(
        JobKind.LOOK,
        refused[0].organization_id,
        tuple(session.organizer for session in refused),
        tuple(session.id for session in refused),
    )


def due_item(session: Session, due_at: datetime) -> DueItem:
    """Return the item by which *session* is reconciled at *due_at*."""
    return DueItem(
        due_at, DueKind.RECONCILIATION, session.organization_id, session.organizer, session.id
    )


def trouble_of(error: Exception) -> tuple[str, str]:
    """Return the feed's word for *error* of reading one event, and its remedy."""
    if isinstance(error, EventUnreadable):
        return "event_unreadable", error.remedy or _CORRECT_IT
    word = "mailbox_unusable" if isinstance(error, MailboxUnusable) else "refused"
    code = error.code if isinstance(error, CalendarError | MailboxUnusable) else ""
    return word, getattr(error, "remedy", None) or f"Microsoft's support knows the code {code}."


def _origin(error: Exception, cause: Cause) -> Origin:
    if isinstance(error, OF_MAILBOX):
        return Origin(cause)
    word, remedy = trouble_of(error)
    return Origin(cause, trouble=word, remedy=remedy)
