"""Sessions whose events cannot be read: reported once, and read again after some hours."""

from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from shared.errors import (
    CalendarRefused,
    ConsentMissing,
    EventUnreadable,
    MailboxUnusable,
    StaleRow,
)
from shared.jobs import DueItem, DueKind
from shared.sessions import reservations
from shared.sessions.model import Cause, Session, SessionState
from shared.sessions.outbox import Origin
from shared.sessions.ports import SessionPorts

UNREADABLE: Final = (EventUnreadable, MailboxUnusable, CalendarRefused, ConsentMissing)
"""Errors of reading an event that say nothing about the event: it may be there or not."""
PARTLY_UNREADABLE: Final = "event_partly_unreadable"
"""The trouble of an event that was read without some part. It is followed as before."""
_UNREADABLE_AGAIN: Final = timedelta(hours=6)


async def mark_unreadable(
    session: Session, error: Exception, cause: Cause, *, ports: SessionPorts
) -> Session:
    """Report once that a session cannot be read, and read it again after some hours.

    Frequent retries would not help: a person has to act.
    """
    if session.state is SessionState.CANCELLED:
        return session  # whether it returns is looked at again anyway
    session = await report_unreadable(session, error, cause, ports=ports)
    now = ports.clock.now()
    if session.span.end > now:
        await ports.due.put([due_item(session, now + _UNREADABLE_AGAIN)])
    return session


async def report_unreadable(
    session: Session, error: Exception, cause: Cause, *, ports: SessionPorts
) -> Session:
    """Report once that a session cannot be read. The caller has it read again."""
    if session.unreadable_since is not None:
        return session
    now = ports.clock.now()
    unreadable = replace(session, unreadable_since=now, changed_at=session.next_changed_at(now))
    with suppress(StaleRow):  # another worker has just written the row
        return await reservations.save(
            ports.sessions, unreadable, Origin(cause, trouble=_trouble(error))
        )
    return session


def due_item(session: Session, due_at: datetime) -> DueItem:
    """Return the item by which *session* is reconciled at *due_at*."""
    return DueItem(
        due_at, DueKind.RECONCILIATION, session.organization_id, session.organizer, session.id
    )


def _trouble(error: Exception) -> str:
    if isinstance(error, MailboxUnusable):
        return "mailbox_unusable"
    return "event_unreadable" if isinstance(error, EventUnreadable) else "refused"
