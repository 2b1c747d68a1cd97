"""Recording in the rows what Outlook has done, and scheduling what follows from it.

Whoever comes second changes nothing: a retry and the recovery job may record the same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from shared.changes.model import Change, ChangeKind
from shared.clock import Clock
from shared.concurrency import gather_limited
from shared.errors import NotFound, StaleRow
from shared.ids import SessionId
from shared.jobs import Job, JobKind, JobQueue
from shared.logs import log_event
from shared.organizations.model import Organization
from shared.sessions import lifecycle, reservations
from shared.sessions.holding import place_holds
from shared.sessions.lifecycle import Action
from shared.sessions.model import (
    LINK_CHECK_DELAYS,
    AttendeeResponse,
    CalendarEvent,
    Cause,
    Session,
    SessionState,
)
from shared.sessions.online_meeting import is_link_pending, online_meeting_of
from shared.sessions.ports import SessionPorts, SessionStore
from shared.sessions.reconciliation_schedule import next_reconciliation, purge_due_item
from shared.sessions.series import Booking, Series


async def confirm_booking(
    booking: Booking,
    event: CalendarEvent,
    occurrences: Mapping[int, CalendarEvent],
    organization: Organization,
    *,
    ports: SessionPorts,
) -> Booking:
    """Record that Outlook has the *event*, of a series with what is known of its *occurrences*.

    The series' own row comes last, for it ends the search.

    Raises SlotTaken: the row of a single session was lost, and its time with it.
    """
    saved = await gather_limited(
        _save_confirmed(
            session,
            event,
            occurrences.get(session.occurrence),
            sessions=ports.sessions,
            clock=ports.clock,
        )
        for session in booking.sessions
    )
    sessions = tuple(session for session, _ in saved)
    news = [session for session, is_news in saved if is_news]
    await _announce_booked(news, ports)
    await schedule_follow_ups(sessions, organization, series=booking.series, ports=ports)
    if booking.series is None:
        for session in news:
            log_event("session.booked", session_id=session.id, state=session.state)
        return Booking(sessions)
    series = await _save_series(
        replace(booking.series, state=SessionState.SCHEDULED), sessions=ports.sessions
    )
    await ports.jobs.put(series_job(JobKind.FOLLOW_SERIES, series))
    log_event("series.booked", session_id=series.id, count=len(sessions))
    return Booking(sessions, series)


async def _announce_booked(news: Sequence[Session], ports: SessionPorts) -> None:
    """Append the newly scheduled sessions to the feed and schedule the check for their join link.

    After the rows are saved, so that the platform can read what the feed names. At most once: a
    crash in between loses the entries.
    """
    if not news:
        return
    await ports.changes.append(
        [_change(s, ChangeKind.SCHEDULED, Cause.API, clock=ports.clock) for s in news]
    )
    await schedule_link_check(news[0], jobs=ports.jobs)  # a series has one link for all its dates


async def _save_confirmed(
    session: Session,
    event: CalendarEvent,
    occurrence: CalendarEvent | None,
    *,
    sessions: SessionStore,
    clock: Clock,
) -> tuple[Session, bool]:
    """Return the session as scheduled, and whether it was confirmed here."""
    wanted, attendees, is_news = session.online_meeting, session.attendees, False
    while session.state is SessionState.REQUESTED:
        confirmed = replace(
            session,
            state=lifecycle.after(session.state, Action.CONFIRM),
            attendees=attendees,
            online_meeting=online_meeting_of(wanted, event),
            changed_at=session.next_changed_at(clock.now()),
            held_until=None,
        )
        if session.series_id is None:
            confirmed = replace(
                confirmed,
                event_id=event.event_id,
                ical_uid=event.ical_uid,
                event_etag=event.etag,
                event_modified_at=event.modified_at,
            )
        elif occurrence is not None:
            confirmed = replace(
                confirmed,
                span=occurrence.span,
                event_id=occurrence.event_id,
                ical_uid=occurrence.ical_uid,
            )
        try:
            session, is_news = await reservations.save(sessions, confirmed), True
        except StaleRow:
            session = await _reload_or_hold_again(session, sessions=sessions, clock=clock)
    return session, is_news


async def _reload_or_hold_again(
    session: Session, *, sessions: SessionStore, clock: Clock
) -> Session:
    """Reload the session; if a concurrent attempt rolled it back, store it again.

    A date of a series is in Outlook with the others, so it is stored whatever is held by now.
    """
    try:
        return await sessions.get(session.organizer, session.id)
    except NotFound:
        if session.series_id is None:
            return await place_holds(session, sessions=sessions, clock=clock)
        now = clock.now()
        return await reservations.create(sessions, session, now, ignore_holds=True)


async def _save_series(series: Series, *, sessions: SessionStore) -> Series:
    while True:
        try:
            return await reservations.put_series(sessions, series)
        except StaleRow:
            known = await sessions.get_series(series.organizer, series.id)
            if known is not None and known.state is SessionState.SCHEDULED:
                return known
            series = replace(series, version=known.version if known else "")


async def save_rescheduled(
    session: Session, event: CalendarEvent, time_zone: str, *, ports: SessionPorts
) -> Session:
    """Record the new times; a row that changed meanwhile is read again."""
    while session.pending_span == event.span:
        former_conflicts = session.conflicts_with
        after = session.with_pending_move_resolved(applied=True)
        moved = replace(
            after,
            span=event.span,
            time_zone=time_zone,
            sequence=session.sequence + 1,
            attendees=tuple(
                replace(a, response=AttendeeResponse(was_reset=True)) for a in after.attendees
            ),
            event_id=event.event_id,
            ical_uid=event.ical_uid,
            event_etag=event.etag,
            event_modified_at=event.modified_at,
            conflicts_with=(),
            changed_at=session.next_changed_at(ports.clock.now()),
        )
        try:
            session = await reservations.save(ports.sessions, moved)
        except StaleRow:
            session = await ports.sessions.get(session.organizer, session.id)
            continue
        await ports.changes.append(
            [_change(session, ChangeKind.RESCHEDULED, Cause.API, clock=ports.clock)]
        )
        await _enqueue_conflict_recheck(former_conflicts, session, jobs=ports.jobs)
        log_event("session.rescheduled", session_id=session.id)
    return session


async def save_cancelled(session: Session, cause: Cause, *, ports: SessionPorts) -> Session:
    """Record that the session is cancelled, whoever else writes its row at the same time."""
    while (state := lifecycle.after(session.state, Action.CANCEL)) is not session.state:
        former_conflicts = session.conflicts_with
        cancelled = replace(
            session.with_pending_move_resolved(applied=False),
            state=state,
            conflicts_with=(),
            changed_at=session.next_changed_at(ports.clock.now()),
        )
        try:
            session = await reservations.save(ports.sessions, cancelled)
        except StaleRow:
            session = await ports.sessions.get(session.organizer, session.id)
            continue
        await ports.changes.append(
            [_change(session, ChangeKind.CANCELLED, cause, clock=ports.clock)]
        )
        await _enqueue_conflict_recheck(former_conflicts, session, jobs=ports.jobs)
        log_event("session.cancelled", session_id=session.id, cause=cause)
    return session


async def schedule_follow_ups(
    sessions: Sequence[Session],
    organization: Organization,
    *,
    ports: SessionPorts,
    series: Series | None = None,
) -> None:
    """Bring everything that follows from the rows of *sessions* in line with them. Idempotent.

    *series*: the one they are of, if more than one date of it is concerned.
    """
    if not sessions:
        return
    now, settings = ports.clock.now(), organization.settings
    due = [purge_due_item(session, settings) for session in sessions]
    due += [d for s in sessions if (d := next_reconciliation(s, settings.sync_mode, now))]
    last = sessions[-1]
    if series is not None and last.id == [*series.session_ids.values()][-1]:
        # The series' own row goes with the last of its sessions.
        due.append(replace(purge_due_item(last, settings), key=series.id))
    subscribe = Job(JobKind.SUBSCRIBE, last.organization_id, (last.organizer,))
    await gather_limited(
        [
            *(
                reservations.sync_mailbox(ports.sessions, mailbox, session)
                for session in sessions
                for mailbox in session.mailboxes[:-1]
            ),
            ports.due.put(due),
            ports.jobs.put(subscribe),
        ]
    )


async def schedule_link_check(session: Session, *, jobs: JobQueue) -> None:
    """Schedule a look for the join link that Outlook promised, and not only hope for a push.

    Also where it made no online meeting of one that it offers: that was seen to come right.
    """
    if is_link_pending(session.online_meeting):
        job = Job(JobKind.LINK, session.organization_id, (session.organizer,), (session.id,))
        await jobs.put(job, delay=LINK_CHECK_DELAYS[0])


def series_job(kind: JobKind, series: Series) -> Job:
    """Return the job about *series*."""
    return Job(kind, series.organization_id, (series.organizer,), (SessionId(series.id),))


async def _enqueue_conflict_recheck(
    former_conflicts: Sequence[SessionId], session: Session, *, jobs: JobQueue
) -> None:
    """Have the sessions that *session* overlapped before be read, so that they say so no more.

    Should this be lost, they are read by the clock all the same.
    """
    if former_conflicts:
        organizers = (session.organizer,) * len(former_conflicts)
        await jobs.put(
            Job(JobKind.RECONCILE, session.organization_id, organizers, tuple(former_conflicts))
        )


def _change(session: Session, kind: ChangeKind, cause: Cause, *, clock: Clock) -> Change:
    return Change(
        session.organization_id,
        clock.now(),
        kind,
        cause,
        session.pairing_id,
        session.id,
    )
