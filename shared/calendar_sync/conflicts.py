"""Conflicts: sessions that overlap after a move in Outlook, recorded on both until resolved.

Sessions booked by the app cannot overlap, because a hold keeps other sessions out. A move in
Outlook checks no holds.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial

from shared.clock import Clock
from shared.errors import NotFound, StaleRow
from shared.ids import SessionId
from shared.logs import log_event
from shared.sessions import reservations
from shared.sessions.model import Cause, Session, SessionState
from shared.sessions.outbox import Origin
from shared.sessions.ports import SessionStore


async def update_conflicts(
    session: Session, cause: Cause, *, sessions: SessionStore, clock: Clock
) -> Session:
    """Compare *session* with the holds in its participants' mailboxes; return it as stored then."""
    overlapping = await _overlapping(session, sessions=sessions, clock=clock)
    before = set(session.conflicts_with)
    if overlapping.keys() == before:
        return session
    new = overlapping.keys() - before
    save = partial(_save_conflicts, origin=Origin(cause), sessions=sessions, clock=clock)
    # The session's own row is saved last: a retry after a crash in between finds what is left.
    for other_id in sorted(new):
        await save(overlapping[other_id], _add(session.id))
    over = before - overlapping.keys()
    for other_id in over:
        if other := await _find_other(session, other_id, sessions=sessions):
            await save(other, _remove(session.id))
    log_event("session.conflicts", session_id=session.id, count=len(overlapping))
    return await save(
        session, lambda row: tuple(sorted(({*row.conflicts_with} | overlapping.keys()) - over))
    )


async def _overlapping(
    session: Session, *, sessions: SessionStore, clock: Clock
) -> dict[SessionId, Session]:
    """Return the other scheduled sessions that overlap *session* and share a participant."""
    found: dict[SessionId, Session] = {}
    if session.state is not SessionState.SCHEDULED or session.span.is_empty:
        return found
    now = clock.now()
    # Who declined, or was invited while busy, may have another session then.
    for mailbox in filter(session.holds_time_of, session.mailboxes):
        for hold in await sessions.holds(mailbox, session.span, now):
            if hold.session_id == session.id or hold.session_id in found:
                continue
            if hold.expires_at is not None or not hold.span.overlaps(session.span):
                continue  # a pending booking or move reads free/busy itself
            try:
                other = await sessions.get(mailbox, hold.session_id)
            except NotFound:
                continue
            # A worker that crashed may have left a hold at a former time of its session.
            is_on = other.state is SessionState.SCHEDULED and other.holds_time_of(mailbox)
            if is_on and other.span.overlaps(session.span):
                found[other.id] = other
    return found


async def _find_other(
    session: Session, other_id: SessionId, *, sessions: SessionStore
) -> Session | None:
    """Return a session that shares a participant with *session*; None if it was purged."""
    for mailbox in session.mailboxes:
        with suppress(NotFound):
            return await sessions.get(mailbox, other_id)
    return None


def _add(session_id: SessionId) -> Callable[[Session], tuple[SessionId, ...]]:
    return lambda other: tuple(sorted({*other.conflicts_with, session_id}))


def _remove(session_id: SessionId) -> Callable[[Session], tuple[SessionId, ...]]:
    return lambda other: tuple(sorted({*other.conflicts_with} - {session_id}))


async def _save_conflicts(
    session: Session,
    conflicts: Callable[[Session], tuple[SessionId, ...]],
    *,
    origin: Origin,
    sessions: SessionStore,
    clock: Clock,
) -> Session:
    while (wanted := conflicts(session)) != session.conflicts_with:
        changed_at = session.next_changed_at(clock.now())
        changed = replace(session, conflicts_with=wanted, changed_at=changed_at)
        try:
            return await reservations.save(sessions, changed, origin)
        except StaleRow:
            session = await sessions.get(session.organizer, session.id)
    return session
