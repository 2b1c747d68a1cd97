"""Saving what an event shows into its session: the row, holds, conflicts, due items."""

import asyncio
from dataclasses import replace
from datetime import datetime

from shared.calendar_sync.conflicts import update_conflicts
from shared.calendar_sync.identities import identify
from shared.calendar_sync.merge import merge
from shared.calendar_sync.unreadable import PARTLY_UNREADABLE
from shared.ids import Mailbox
from shared.jobs import DueItem
from shared.logs import LogFields, log_event
from shared.organizations.model import Organization
from shared.sessions import reservations
from shared.sessions.calendar_events import CalendarEvent
from shared.sessions.holds import Hold, mailbox_holds
from shared.sessions.model import Cause, Session, SessionState
from shared.sessions.outbox import Origin, differences
from shared.sessions.ports import SessionPorts, SessionStore
from shared.sessions.reconciliation_schedule import next_reconciliation, purge_due_item


async def apply_event(
    session: Session,
    event: CalendarEvent | None,
    organization: Organization,
    cause: Cause,
    *,
    ports: SessionPorts,
) -> Session:
    """Merge *event* (None: the event is gone) into *session* and save it. Raises StaleRow."""
    if not session.may_have_event:
        return session
    now = ports.clock.now()
    if event is None:
        merged = _as_missing(session, now)
    else:
        merged = merge(*await identify(session, event, calendar=ports.calendar))
    is_partial = event is not None and not event.is_whole
    unreadable_since = (session.unreadable_since or now) if is_partial else None
    merged = replace(merged, unreadable_since=unreadable_since, is_mailbox_lost=False)
    if merged == session:
        return session
    merged = replace(merged, changed_at=session.next_changed_at(now))
    moves_holds = _holds(merged) != _holds(session)
    if moves_holds:
        # Before saving: a missing due item would leave the row unpurged, and an extra one does no
        # harm.
        await ports.due.put(_due(merged, organization, now))
    # Graph does not say when a missing event came back.
    lag_ms = None if session.may_return else _lag_ms(event, now)
    origin = Origin(cause, lag_ms, *(PARTLY_UNREADABLE if is_partial else ("", "")))
    saved = await reservations.save(ports.sessions, merged, origin)
    if moves_holds:
        await sync_attendee_mailboxes(saved, sessions=ports.sessions)
        await update_conflicts(saved, cause, sessions=ports.sessions, clock=ports.clock)
    _log_changes(session, saved, origin)
    return saved


async def sync_attendee_mailboxes(session: Session, *, sessions: SessionStore) -> None:
    """Copy *session* into its attendees' mailboxes. A mailbox in sync costs one read."""
    async with asyncio.TaskGroup() as tasks:
        for mailbox in session.mailboxes[:-1]:
            tasks.create_task(reservations.sync_mailbox(sessions, mailbox, session))


def _as_missing(session: Session, now: datetime) -> Session:
    """Return *session* as cancelled because its event is not found; it is scheduled again if so."""
    return replace(
        session.with_pending_move_resolved(applied=False),
        state=SessionState.CANCELLED,
        missing_since=session.missing_since or now,
        is_mailbox_lost=False,
    )


def _holds(session: Session) -> dict[Mailbox, tuple[Hold, ...]]:
    """Return the holds of *session* in each mailbox. An attendee who declined has none."""
    return {mailbox: mailbox_holds(session, mailbox) for mailbox in session.mailboxes}


def _due(session: Session, organization: Organization, now: datetime) -> list[DueItem]:
    again = next_reconciliation(session, organization.settings.sync_mode, now)
    return [purge_due_item(session, organization.settings), *([again] if again else [])]


def _log_changes(before: Session, after: Session, origin: Origin) -> None:
    for difference in differences(before, after):
        facts: LogFields = {
            "session_id": after.id,
            "action": difference.kind.rpartition(".")[2],
            "cause": origin.cause,
            "state": after.state,
        }
        # Figures of lags would be too good if a change without a time counted as one of 0 ms.
        if origin.lag_ms is not None:
            facts["lag_ms"] = origin.lag_ms
        log_event("change.seen", **facts)


def _lag_ms(event: CalendarEvent | None, now: datetime) -> int | None:
    # Exchange's clock may be ahead of this instance's: a negative lag becomes 0.
    return max(0, round((now - event.modified_at).total_seconds() * 1000)) if event else None
