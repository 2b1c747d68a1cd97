"""Placing and releasing the holds of sessions in the mailboxes of all participants.

Mailboxes are always taken in the same order, independent of the organizer: two callers who book
each other at the same instant compete for the same mailbox first, so exactly one of them wins.
"""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Final

from shared.clock import Clock
from shared.concurrency import gather_limited
from shared.errors import NotFound, SchedulingError, SlotTaken, StaleRow
from shared.ids import Mailbox, SessionId
from shared.logs import log_event
from shared.sessions import reservations
from shared.sessions.holds import Hold
from shared.sessions.model import HOLD_TTL, Session
from shared.sessions.ports import SessionStore
from shared.sessions.series import Series

_CONCURRENT_ATTEMPT_TIMEOUT: Final = timedelta(seconds=3)
"""The time a retry waits for the attempt under way. Waiting improves the reply, not the safety."""
_POLL_INTERVAL: Final = timedelta(seconds=0.2)
_ABANDONED_AFTER: Final = timedelta(minutes=1)
"""Longer than any request runs, shorter than the delay of the recovery job."""


async def find_session(
    mailbox: Mailbox, session_id: SessionId, *, sessions: SessionStore
) -> Session | None:
    """Return the stored session, or None."""
    try:
        return await sessions.get(mailbox, session_id)
    except NotFound:
        return None


async def place_holds(
    session: Session, *, at_least: int | None = None, sessions: SessionStore, clock: Clock
) -> Session:
    """Place a hold in every mailbox, and store the session with the organizer's hold.

    An attendee whose time another session holds is invited all the same if the meeting does not
    need them: they are optional, or *at_least* so many participants are free.

    Raises:
        SlotTaken: the holds of this attempt are released.
        StaleRow: the session exists already.
    """
    held_here: list[Mailbox] = []
    until = clock.now() + HOLD_TTL
    try:
        return await _place_holds(
            replace(session, held_until=until), held_here, at_least, sessions=sessions, clock=clock
        )
    except SlotTaken:
        # Only this attempt's holds: a concurrent attempt of the same request relies on the others.
        for mailbox in held_here:
            await reservations.release(sessions, mailbox, session.id, only_expiring_at=until)
        raise


async def _place_holds(
    session: Session,
    held_here: list[Mailbox],
    at_least: int | None,
    *,
    sessions: SessionStore,
    clock: Clock,
) -> Session:
    """Place the holds in order; append each mailbox that this attempt holds to *held_here*."""
    now, opened = clock.now(), session
    hold = Hold(session.id, session.span, session.held_until, session.buffers)
    for mailbox in sorted(session.mailboxes):
        if mailbox == session.organizer:
            opened = await reservations.create(sessions, opened, now)
            held_here.append(mailbox)
        elif session.holds_time_of(mailbox):
            try:
                if not await reservations.place_hold(
                    sessions, mailbox, hold, session.organizer, now
                ):
                    held_here.append(mailbox)
            except SlotTaken:
                if at_least is None and _is_required(session, mailbox):
                    raise
                opened = opened.marking_busy(mailbox)
    free = {a.address for a in opened.attendees if a.is_free}
    _require_quorum(free - {*opened.unknown_for}, at_least)
    if opened.attendees != session.attendees:
        # Saved, so that a retry or the recovery job does not take the busy attendees' time either.
        opened = await reservations.save(sessions, opened)
    return opened


async def renew_holds(session: Session, *, sessions: SessionStore, clock: Clock) -> Session:
    """Place the holds again for a retry: the first attempt may have stopped before the last one.

    Raises SlotTaken: the first attempt's holds had expired, and another session took the time.
    """
    now = clock.now()
    hold = Hold(session.id, session.span, now + HOLD_TTL, session.buffers)
    for mailbox in sorted(session.mailboxes):
        if mailbox == session.organizer:
            await reservations.hold_new_time(sessions, mailbox, session, hold, now)
        elif session.holds_time_of(mailbox) and _is_required(session, mailbox):
            await reservations.place_hold(sessions, mailbox, hold, session.organizer, now)
    try:
        return await reservations.save(sessions, replace(session, held_until=hold.expires_at))
    except StaleRow:
        return await sessions.get(session.organizer, session.id)


async def release_holds(
    holders: Sequence[Mailbox], session_id: SessionId, *, sessions: SessionStore
) -> None:
    """Release the session's holds in every mailbox, the organizer's row last.

    While that row exists, an interrupted release can be found and finished.
    """
    for mailbox in holders:
        await reservations.release(sessions, mailbox, session_id)


async def roll_back_series(series: Series, *, sessions: SessionStore) -> None:
    """Release the holds of every date of the series, and remove its own row last.

    While that row exists, an interrupted rollback can be found and finished.
    """
    await gather_limited(
        release_holds(series.mailboxes, session_id, sessions=sessions)
        for session_id in series.session_ids.values()
    )
    await reservations.remove_series(sessions, series.organizer, series.id)


async def wait_for_concurrent_attempt(
    held: Session | None,
    is_unchanged: Callable[[], Awaitable[bool]],
    *,
    clock: Clock,
    pause: Callable[[float], Awaitable[None]],
) -> bool:
    """Wait for a concurrent attempt while its lease is fresh; return whether it made progress.

    *held*: the session whose lease dates the start of that attempt; None: it started now.
    """
    began_at = clock.now()
    if held is not None:
        began_at = (held.held_until or held.created_at) - HOLD_TTL
    # The loop is bounded as well: the clock of the other instance may be ahead of this one's.
    for _ in range(_CONCURRENT_ATTEMPT_TIMEOUT // _POLL_INTERVAL):
        if clock.now() >= began_at + _CONCURRENT_ATTEMPT_TIMEOUT:
            break
        await pause(_POLL_INTERVAL.total_seconds())
        if not await is_unchanged():
            return True
    return False


async def expire_lease(session: Session, *, sessions: SessionStore, clock: Clock) -> None:
    """Shorten the lease of an interrupted booking, so that a retry takes over at once."""
    if not session.version:
        return
    until = clock.now() + HOLD_TTL - _CONCURRENT_ATTEMPT_TIMEOUT
    with suppress(SchedulingError):
        await reservations.save(sessions, replace(session, held_until=until))


# --- moving


async def hold_new_times(
    moving: Sequence[Session], *, at_least: int | None = None, sessions: SessionStore, clock: Clock
) -> list[Session]:
    """Hold the pending time of each session beside its present time.

    An attendee whose time another session holds stays invited if the meeting does not need them.

    Raises SlotTaken; StaleRow: a session changed since it was read. Both release the holds of this
    attempt, and no hold of another attempt.
    """
    try:
        return await gather_limited(
            _hold_new_time(each, at_least, sessions=sessions, clock=clock) for each in moving
        )
    except (SlotTaken, StaleRow):
        await release_new_times(moving, sessions=sessions)
        raise


async def _hold_new_time(
    moving: Session, at_least: int | None, *, sessions: SessionStore, clock: Clock
) -> Session:
    hold, now = _pending_hold(moving), clock.now()
    for mailbox in sorted(m for m in moving.mailboxes if moving.holds_pending_time_of(m)):
        try:
            await reservations.hold_new_time(sessions, mailbox, moving, hold, now)
        except SlotTaken:
            is_needed = at_least is None and _is_required(moving, mailbox)
            if is_needed or mailbox == moving.organizer:
                raise
            moving = moving.marking_busy_at_pending(mailbox)
    free = {a.address for a in moving.attendees if a.is_free_at_pending}
    _require_quorum(free - {*(moving.pending_unknown_for or ())}, at_least)
    return await reservations.save(sessions, replace(moving, changed_at=now))


async def release_new_times(moving: Sequence[Session], *, sessions: SessionStore) -> None:
    """Release the pending time of each session after a failed move; its present time stays held."""
    await gather_limited(_release_new_time(each, sessions=sessions) for each in moving)


async def _release_new_time(moving: Session, *, sessions: SessionStore) -> None:
    hold = _pending_hold(moving)
    known = await sessions.get(moving.organizer, moving.id)
    is_ours = known.version == moving.version or known.held_until == moving.held_until
    if known.pending_span == moving.pending_span and not is_ours:
        return  # a concurrent attempt at the same move uses these holds and may have written it
    for mailbox in moving.mailboxes:
        await reservations.remove_hold(sessions, mailbox, hold)
    if known.pending_span != moving.pending_span:
        return
    try:
        await reservations.save(sessions, known.with_pending_move_resolved(applied=False))
    except StaleRow:
        log_event("session.changed_meanwhile", session_id=moving.id)


def is_abandoned(moving: Session, *, clock: Clock) -> bool:
    """Return whether the pending reschedule began so long ago that its request must have ended."""
    began_at = (moving.held_until or moving.changed_at + HOLD_TTL) - HOLD_TTL
    return clock.now() >= began_at + _ABANDONED_AFTER


def _pending_hold(moving: Session) -> Hold:
    if moving.pending_span is None:
        raise ValueError("the session has no pending move")
    return Hold(
        moving.id,
        moving.pending_span,
        moving.held_until,
        moving.pending_buffers or moving.buffers,
    )


def _is_required(session: Session, mailbox: Mailbox) -> bool:
    return any(a.required for a in session.attendees if a.object_id == mailbox.object_id)


def _require_quorum(free: set[str], at_least: int | None) -> None:
    if at_least is not None and 1 + len(free) < at_least:
        raise SlotTaken("Too few participants are free then.")
