"""Saving in the rows what Outlook has done, and scheduling the follow-ups.

Idempotent: a retry and the recovery job may record the same; the second one changes nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from shared.clock import Clock
from shared.concurrency import gather_limited
from shared.errors import NotFound, StaleRow
from shared.ids import SessionId
from shared.jobs import Job, JobKind, JobQueue
from shared.logs import log_event
from shared.organizations.model import Organization
from shared.sessions import lifecycle, reservations
from shared.sessions.calendar_events import CalendarEvent
from shared.sessions.holding import place_holds
from shared.sessions.lifecycle import Action
from shared.sessions.model import LINK_CHECK_DELAYS, AttendeeResponse, Cause, Session, SessionState
from shared.sessions.online_meeting import is_link_pending, online_meeting_of
from shared.sessions.outbox import Origin
from shared.sessions.ports import SessionPorts, SessionStore
from shared.sessions.reconciliation_schedule import next_reconciliation, purge_due_item
from shared.sessions.series import Booking, Occurrence, Series


async def confirm_booking(
    booking: Booking,
    event: Occurrence,
    occurrences: Mapping[int, CalendarEvent],
    organization: Organization,
    *,
    ports: SessionPorts,
) -> Booking:
    """Save the booking as scheduled: Outlook has the *event*, for a series the master.

    Of an unreadable event only the id is saved. *occurrences*: the known events of a series' dates,
    by number. The series' own row is saved last: then the recovery job has nothing left to do.

    Raises SlotTaken: a concurrent rollback removed a single session's row, and its time was taken.
    """
    confirmed = await gather_limited(
        _save_confirmed(
            session,
            event,
            occurrences.get(session.occurrence),
            sessions=ports.sessions,
            clock=ports.clock,
        )
        for session in booking.sessions
    )
    sessions = tuple(await ports.sessions.publish([session for session, _ in confirmed]))
    if any(is_news for _, is_news in confirmed):
        await schedule_link_check(sessions[0], jobs=ports.jobs)  # a series has one link for all
    await schedule_follow_ups(sessions, organization, series=booking.series, ports=ports)
    if booking.series is None:
        for session, is_news in confirmed:
            if is_news:
                log_event("session.booked", session_id=session.id, state=session.state)
        return Booking(sessions)
    series = await _save_series(
        replace(booking.series, state=SessionState.SCHEDULED), sessions=ports.sessions
    )
    await ports.jobs.put(series_job(JobKind.FOLLOW_SERIES, series))
    log_event("series.booked", session_id=series.id, count=len(sessions))
    return Booking(sessions, series)


async def save_rescheduled(
    session: Session, event: CalendarEvent, time_zone: str, *, ports: SessionPorts
) -> Session:
    """Save the new times of *event*, and reset the attendees' answers.

    After an ETag conflict the row is read again. Nothing is saved if its move is not pending any
    more.
    """
    while session.pending_span and event.is_at(session.pending_span):
        former_conflicts = session.conflicts_with
        after = session.with_pending_move_resolved(applied=True)
        moved = replace(
            after,
            span=event.span,
            dates=None,
            time_zone=time_zone,
            sequence=session.sequence + 1,
            attendees=tuple(
                replace(a, response=AttendeeResponse(was_reset=True)) for a in after.attendees
            ),
            event_id=event.event_id,
            ical_uid=event.ical_uid,
            event_etag=event.etag,
            event_modified_at=event.modified_at,
            response_requested=event.response_requested,
            conflicts_with=(),
            changed_at=session.next_changed_at(ports.clock.now()),
        )
        try:
            session = await reservations.save(ports.sessions, moved)
        except StaleRow:
            session = await ports.sessions.get(session.organizer, session.id)
            continue
        await _enqueue_conflict_recheck(former_conflicts, session, jobs=ports.jobs)
        log_event("session.rescheduled", session_id=session.id)
    return session


async def save_cancelled(
    session: Session, cause: Cause, *, ports: SessionPorts, is_missing: bool = False
) -> Session:
    """Save the session as cancelled; after an ETag conflict the row is read again.

    *is_missing*: its event was not found, and no cancellation of it was seen.
    """
    while (state := lifecycle.after(session.state, Action.CANCEL)) is not session.state:
        former_conflicts, now = session.conflicts_with, ports.clock.now()
        cancelled = replace(
            session.with_pending_move_resolved(applied=False),
            state=state,
            missing_since=(session.missing_since or now) if is_missing else None,
            is_mailbox_lost=False,
            conflicts_with=(),
            changed_at=session.next_changed_at(now),
        )
        try:
            session = await reservations.save(ports.sessions, cancelled, Origin(cause))
        except StaleRow:
            session = await ports.sessions.get(session.organizer, session.id)
            continue
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
    """Sync what depends on the rows of *sessions*: mailboxes, due items, subscription. Idempotent.

    *series*: the sessions' series, if the change is about more than one date of it.
    """
    if not sessions:
        return
    now, settings = ports.clock.now(), organization.settings
    due = [purge_due_item(session, settings) for session in sessions]
    due += [d for s in sessions if (d := next_reconciliation(s, settings.sync_mode, now))]
    last = sessions[-1]
    if series is not None and last.id == [*series.session_ids.values()][-1]:
        # The series' own row is purged together with the last of its sessions.
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
    """Schedule a check for the join link, which Graph may create after the event.

    A change notification usually reports it; the check covers a lost one. An event that was created
    without its online meeting is checked as well: Graph has been seen to add it later.
    """
    if is_link_pending(session.online_meeting):
        job = Job(JobKind.LINK, session.organization_id, (session.organizer,), (session.id,))
        await jobs.put(job, delay=LINK_CHECK_DELAYS[0])


def series_job(kind: JobKind, series: Series) -> Job:
    """Return a job of *kind* for *series*."""
    return Job(kind, series.organization_id, (series.organizer,), (SessionId(series.id),))


async def _save_confirmed(
    session: Session,
    event: Occurrence,
    occurrence: CalendarEvent | None,
    *,
    sessions: SessionStore,
    clock: Clock,
) -> tuple[Session, bool]:
    """Return the session as scheduled, and whether this call confirmed it."""
    wanted, attendees, is_news = session.online_meeting, session.attendees, False
    while session.state is SessionState.REQUESTED:
        confirmed = replace(
            session,
            state=lifecycle.after(session.state, Action.CONFIRM),
            attendees=attendees,
            changed_at=session.next_changed_at(clock.now()),
            held_until=None,
        )
        if isinstance(event, CalendarEvent):
            confirmed = replace(confirmed, online_meeting=online_meeting_of(wanted, event))
        if session.series_id is None:
            confirmed = replace(confirmed, event_id=event.event_id)
            if isinstance(event, CalendarEvent):
                confirmed = replace(
                    confirmed,
                    ical_uid=event.ical_uid,
                    event_etag=event.etag,
                    event_modified_at=event.modified_at,
                    response_requested=event.response_requested,
                )
        elif occurrence is not None:
            confirmed = replace(
                confirmed,
                span=occurrence.span_in(session.time_zone),
                dates=occurrence.dates,
                event_id=occurrence.event_id,
                ical_uid=occurrence.ical_uid,
            )
        try:
            session, is_news = await reservations.save_unpublished(sessions, confirmed), True
        except StaleRow:
            session = await _reload_or_hold_again(session, sessions=sessions, clock=clock)
    return session, is_news


async def _save_series(series: Series, *, sessions: SessionStore) -> Series:
    while True:
        try:
            return await reservations.put_series(sessions, series)
        except StaleRow:
            known = await sessions.get_series(series.organizer, series.id)
            if known is not None and known.state is SessionState.SCHEDULED:
                return known
            series = replace(series, version=known.version if known else "")


async def _enqueue_conflict_recheck(
    former_conflicts: Sequence[SessionId], session: Session, *, jobs: JobQueue
) -> None:
    """Enqueue a reconciliation of the sessions that *session* overlapped, to clear the conflict.

    Each shares a participant with it, who need not be its organizer. If a job is lost, the periodic
    reconciliation clears it.
    """
    for other in former_conflicts:
        keys = (other,) * len(session.mailboxes)
        await jobs.put(Job(JobKind.RECONCILE, session.organization_id, session.mailboxes, keys))


async def _reload_or_hold_again(
    session: Session, *, sessions: SessionStore, clock: Clock
) -> Session:
    """Reload the session; if a concurrent attempt rolled it back, store it again.

    A date of a series is in Outlook with the others, so other sessions' holds do not refuse it.
    """
    try:
        return await sessions.get(session.organizer, session.id)
    except NotFound:
        if session.series_id is None:
            return await place_holds(session, sessions=sessions, clock=clock)
        now = clock.now()
        return await reservations.create(sessions, session, now, ignore_holds=True)
