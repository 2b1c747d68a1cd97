"""Reading what Outlook says of our sessions, and recording it: after a push, or by the clock."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from shared.calendar_sync.conflicts import update_conflicts
from shared.calendar_sync.merge import Difference, Merged, merge
from shared.changes.model import Change, ChangeKind
from shared.changes.ports import ChangeStore
from shared.clock import Clock
from shared.concurrency import gather_limited
from shared.errors import EventGone, NotFound, StaleRow
from shared.ids import EventId, Mailbox, SessionId
from shared.jobs import DueItem
from shared.logs import log_event
from shared.organizations.model import Organization
from shared.sessions import reservations
from shared.sessions.model import CalendarEvent, Cause, Session, SessionState
from shared.sessions.occurrences import find_occurrence, list_instances, load_sessions
from shared.sessions.ports import Calendar, SessionPorts, SessionStore
from shared.sessions.reconciliation_schedule import next_reconciliation, purge_due_item
from shared.sessions.series import Series, match_occurrences

_ATTEMPTS: Final = 5
"""How often a lost race for the row is run again."""
_KINDS: Final[Mapping[Difference, ChangeKind]] = {
    Difference.RESCHEDULED: ChangeKind.RESCHEDULED,
    Difference.CANCELLED: ChangeKind.CANCELLED,
    Difference.RESPONDED: ChangeKind.RESPONDED,
    Difference.PROPOSED: ChangeKind.PROPOSED,
    Difference.ATTENDEES: ChangeKind.ATTENDEES,
    Difference.ONLINE_MEETING: ChangeKind.ONLINE_MEETING,
}


async def sync_event(
    mailbox: Mailbox,
    event_id: EventId,
    etag: str | None,
    organization: Organization,
    *,
    ports: SessionPorts,
) -> Session | Series | None:
    """Bring the session of *event_id* up to date; None, and no call to Graph, if it is not ours.

    The master of a series stands for all of its dates, read in one request.

    *etag* as the notification has it; None where it says nothing certain.

    Raises:
        CalendarThrottled, CalendarUnavailable, StoreUnavailable: worth trying again later.
    """
    session = await ports.sessions.find_by_event(mailbox, event_id)
    if isinstance(session, Series):
        await sync_series(session, organization, Cause.OUTLOOK, ports=ports)
        return session
    if session is None or session.state is SessionState.CANCELLED:
        return None
    if etag is not None and etag == session.event_etag:
        return session  # an echo of our own write, or a duplicate
    return await sync_session(session, organization, Cause.OUTLOOK, ports=ports)


async def sync_session(
    session: Session, organization: Organization, cause: Cause, *, ports: SessionPorts
) -> Session:
    """Read *session*'s event once and merge it in. The row is read before the event, always."""
    for _ in range(_ATTEMPTS):
        event = await _read(session, calendar=ports.calendar)
        try:
            return await apply_event(session, event, organization, cause, ports=ports)
        except StaleRow:
            # Somebody wrote meanwhile: what was read may be older than what they wrote.
            session = await ports.sessions.get(session.organizer, session.id)
    raise StaleRow("The session is being changed by too many at once.")


async def sync_series(
    series: Series, organization: Organization, cause: Cause, *, ports: SessionPorts
) -> None:
    """Bring every session of *series* up to date out of one read; learn the ids of their events.

    What is over when it is missing in Outlook stays as it was: series are cut off behind.
    """
    # The rows are read before the events, always.
    known = await load_sessions(series, sessions=ports.sessions)
    found = match_occurrences(
        series.planned, known, await list_instances(series, calendar=ports.calendar)
    )

    async def one(session: Session) -> None:
        event = found.get(session.occurrence)
        if session.state is not SessionState.SCHEDULED or (
            event is None and _is_over(session, clock=ports.clock)
        ):
            return
        if session.event_id is None:
            if event is None:
                return  # not learned, not there: the job that settles knows why
            session = replace(session, event_id=event.event_id)
        try:
            await _apply_event(session, event, organization, cause, ports)
        except StaleRow:
            fresh = await ports.sessions.get(session.organizer, session.id)
            await sync_session(fresh, organization, cause, ports=ports)

    await gather_limited(map(one, known))


def _is_over(session: Session, *, clock: Clock) -> bool:
    return session.span.end <= clock.now()


async def apply_event(
    session: Session,
    event: CalendarEvent | None,
    organization: Organization,
    cause: Cause,
    *,
    ports: SessionPorts,
) -> Session:
    """Record what *event* (None: the event is gone) says of *session*. Raises StaleRow."""
    if event is None and session.series_id and session.event_id is not None:
        # Its id is another one since somebody moved the whole series, or it is gone.
        event = await find_occurrence(session, calendar=ports.calendar, sessions=ports.sessions)
    return await _apply_event(session, event, organization, cause, ports)


async def _apply_event(
    session: Session,
    event: CalendarEvent | None,
    organization: Organization,
    cause: Cause,
    ports: SessionPorts,
) -> Session:
    if session.event_id is None or session.state is SessionState.CANCELLED:
        return session
    merged = merge(session, event) if event is not None else _cancelled_merge(session)
    if merged.session == session:
        return session
    now = ports.clock.now()
    if merged.differences:
        at = session.next_changed_at(now)
        merged = replace(merged, session=replace(merged.session, changed_at=at))
        # Told before it is saved: a worker that dies in between tells it twice, none forgets it.
        await ports.changes.append(_to_changes(merged, event, cause, now))
    if moves_holds(merged.differences):
        # Before it is saved as well: without them it would not be purged, and too many are no harm.
        await ports.due.put(_due(merged.session, organization, now))
    saved = await reservations.save(ports.sessions, merged.session)
    if merged.differences:
        await _follow_up(
            saved,
            merged,
            event,
            cause,
            now,
            sessions=ports.sessions,
            changes=ports.changes,
            clock=ports.clock,
        )
    for mailbox in set(session.mailboxes) - set(saved.mailboxes):
        # Taken off the meeting in Outlook: their time is their own again.
        await reservations.release(ports.sessions, mailbox, session.id)
    return saved


async def _read(session: Session, *, calendar: Calendar) -> CalendarEvent | None:
    if session.event_id is None:
        return None
    try:
        return await calendar.read(session.organizer, session.event_id)
    except EventGone:
        return None


def _cancelled_merge(session: Session) -> Merged:
    # 404 is how a cancellation in Outlook looks to us, as are a hard delete and a move away.
    return Merged(replace(session, state=SessionState.CANCELLED), (Difference.CANCELLED,))


async def _follow_up(
    session: Session,
    merged: Merged,
    event: CalendarEvent | None,
    cause: Cause,
    now: datetime,
    *,
    sessions: SessionStore,
    changes: ChangeStore,
    clock: Clock,
) -> None:
    if moves_holds(merged.differences):
        await sync_attendee_mailboxes(session, sessions=sessions)
        await update_conflicts(session, cause, sessions=sessions, changes=changes, clock=clock)
    for difference in merged.differences:
        log_event(
            "change.seen",
            session_id=session.id,
            action=difference,
            cause=cause,
            state=session.state,
            lag_ms=_lag_ms(event, now) or 0,
        )


def _due(session: Session, organization: Organization, now: datetime) -> list[DueItem]:
    again = next_reconciliation(session, organization.settings.sync_mode, now)
    return [purge_due_item(session, organization.settings), *([again] if again else [])]


async def sync_attendee_mailboxes(session: Session, *, sessions: SessionStore) -> None:
    """Make the attendees' mailboxes say what *session*'s row says; a read each if they do."""
    async with asyncio.TaskGroup() as tasks:
        for mailbox in session.mailboxes[:-1]:
            tasks.create_task(reservations.sync_mailbox(sessions, mailbox, session))


def _to_changes(
    merged: Merged, event: CalendarEvent | None, cause: Cause, now: datetime
) -> list[Change]:
    session = merged.session
    return [
        Change(
            session.organization_id,
            now,
            _KINDS[difference],
            cause,
            session.pairing_id,
            session.id,
            _lag_ms(event, now),
        )
        for difference in merged.differences
    ]


def _lag_ms(event: CalendarEvent | None, now: datetime) -> int | None:
    # Exchange's clock may be ahead of ours: nothing is seen before it happens.
    return max(0, round((now - event.modified_at).total_seconds() * 1000)) if event else None


def moves_holds(differences: Sequence[Difference]) -> bool:
    """Tell whether other mailboxes' rows must follow."""
    return Difference.RESCHEDULED in differences or Difference.CANCELLED in differences


async def find_session(
    mailbox: Mailbox, session_id: SessionId, *, sessions: SessionStore
) -> Session | None:
    """Return a session that may be gone."""
    try:
        return await sessions.get(mailbox, session_id)
    except NotFound:
        return None
