"""Merging an event as Graph returns it into the stored session. Pure.

Every read of the organizer's copy is a complete version of the event, dated by its
`lastModifiedDateTime`. Versions arrive late, twice and out of order, so merging is idempotent,
commutative and associative over any history that one calendar can have: the latest version says
everything, who is invited and what they answered.
"""

from dataclasses import replace

from shared.calendar_sync.attendees import merge_attendees
from shared.sessions.calendar_events import CalendarEvent
from shared.sessions.model import Session, SessionState
from shared.sessions.online_meeting import ANOTHER_PROVIDER, OnlineMeeting, OnlineMeetingState


def merge(session: Session, event: CalendarEvent) -> Session:
    """Return *session* with *event* merged into it.

    Compares times, cancellation, attendees with their answers, whether these are requested, and the
    join link, and nothing else.
    """
    if session.may_return:
        session = replace(session, state=SessionState.SCHEDULED)
    if session.state is SessionState.CANCELLED:
        return session
    session = replace(session, missing_since=None)
    if event.is_cancelled:
        return replace(_with_event_version(session, event), state=SessionState.CANCELLED)
    if _is_older(event, session):
        return session
    span = event.span_in(session.time_zone)
    merged = replace(
        _with_event_version(session, event),
        span=span,
        dates=event.dates,
        response_requested=event.response_requested,
    )
    # An event that becomes all-day is moved, also if it lasted from midnight to midnight before.
    is_moved = (merged.span, merged.dates) != (session.span, session.dates)
    if is_moved:
        # The caller of a pending move has not seen the times of this event.
        merged = replace(merged, sequence=session.sequence + 1, pending_base_version=None)
    if session.pending_span and merged.is_at(session.pending_span):
        # The app's own reschedule, read before Graph's reply to it was recorded.
        merged = merged.with_pending_move_resolved(applied=True)
    return replace(
        merged,
        attendees=merge_attendees(merged, event, is_moved=is_moved),
        online_meeting=_merge_join_link(session.online_meeting, event),
    )


def _with_event_version(session: Session, event: CalendarEvent) -> Session:
    return replace(
        session,
        event_id=event.event_id,
        ical_uid=event.ical_uid,
        event_etag=event.etag,
        event_modified_at=event.modified_at,
    )


def _is_older(event: CalendarEvent, session: Session) -> bool:
    # Of two versions of one instant the one that was read last counts: the row is read first.
    known_at = session.event_modified_at
    return known_at is not None and event.modified_at < known_at


def _merge_join_link(known: OnlineMeeting, event: CalendarEvent) -> OnlineMeeting:
    if event.join_url and event.join_url != known.join_url:
        # The link arrived: of the reasons only "another provider than requested" still holds.
        is_other = known.reason in ANOTHER_PROVIDER
        return replace(
            known,
            state=OnlineMeetingState.READY,
            join_url=event.join_url,
            reason=known.reason if is_other else None,
            provider=event.provider or known.provider,
        )
    return known
