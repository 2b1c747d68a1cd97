"""Merging an event as Graph returns it into the stored session. Pure.

Every read of the organizer's copy is a complete version of the event, dated by its
`lastModifiedDateTime`. Versions arrive late, twice and out of order, so merging is idempotent,
commutative and associative over any history that one calendar can have. The later version wins; a
pending response never replaces an answer to the same times; new times reset all answers.
"""

from dataclasses import replace
from typing import TYPE_CHECKING

from shared.sessions.calendar_events import CalendarAttendee, CalendarEvent
from shared.sessions.model import (
    Attendee,
    AttendeeResponse,
    OnlineMeeting,
    OnlineMeetingState,
    ResponseState,
    Session,
    SessionState,
)
from shared.sessions.online_meeting import ANOTHER_PROVIDER

if TYPE_CHECKING:
    from datetime import datetime


def newer(known: AttendeeResponse, other: AttendeeResponse) -> AttendeeResponse:
    """Return the response to keep, of two to the same times of a session.

    The later answer wins; a pending response never replaces an answer. Of two answers with the same
    instant the one that sorts last wins, so that their order of arrival does not matter.

    Source: https://learn.microsoft.com/graph/api/resources/responsestatus
    """
    return max(known, other, key=_rank)


def merge(session: Session, event: CalendarEvent) -> Session:
    """Return *session* with *event* merged into it.

    Compares times, cancellation, attendees with their answers and the join link, and nothing else.
    """
    if session.may_return:
        session = replace(session, state=SessionState.SCHEDULED)
    if session.state is SessionState.CANCELLED:
        return session
    session = replace(session, missing_since=None)
    if event.is_cancelled:
        return replace(_with_event_version(session, event), state=SessionState.CANCELLED)
    is_late = _is_older(event, session)
    if is_late and event.span != session.span:
        return session
    merged = session if is_late else replace(_with_event_version(session, event), span=event.span)
    is_moved = merged.span != session.span
    if is_moved:
        # The caller of a pending move has not seen the times of this event.
        merged = replace(merged, sequence=session.sequence + 1, pending_base_version=None)
    if merged.span == session.pending_span:
        # The app's own reschedule, read before Graph's reply to it was recorded.
        merged = merged.with_pending_move_resolved(applied=True)
    return replace(
        merged,
        attendees=_attendees(merged, event, is_moved=is_moved, is_late=is_late),
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
    known_at = session.event_modified_at
    return known_at is not None and (event.modified_at, event.etag) < (
        known_at,
        session.event_etag or "",
    )


def _attendees(
    session: Session, event: CalendarEvent, *, is_moved: bool, is_late: bool
) -> tuple[Attendee, ...]:
    known = {a.address: a for a in session.attendees}
    shown = {a.address: a for a in event.attendees}
    if is_late:
        # An older version may have an answer that the later one lost; its invitations are outdated.
        return tuple(
            replace(a, response=_newer_response(shown[a.address].response, a.response))
            if a.address in shown
            else a
            for a in session.attendees
        )
    kept = [
        _merge_attendee(a, shown[a.address], is_moved=is_moved)
        for a in known.values()
        if a.address in shown
    ]
    forwarded = [
        Attendee(a.address, required=a.required, response=a.response, forwarded=True)
        for a in shown.values()
        if a.address not in known
    ]
    return (*kept, *sorted(forwarded, key=lambda a: a.address))


def _merge_attendee(known: Attendee, shown: CalendarAttendee, *, is_moved: bool) -> Attendee:
    response = shown.response if is_moved else _newer_response(known.response, shown.response)
    return replace(known, response=response)


def _newer_response(earlier: AttendeeResponse, later: AttendeeResponse) -> AttendeeResponse:
    """Return the response to keep, of an earlier and a later version of the event."""
    if later.was_reset:
        return later
    if later.state is ResponseState.PENDING:
        return earlier
    return newer(earlier, later)


def _rank(response: AttendeeResponse) -> tuple[bool, float, str, str]:
    at: datetime | None = response.responded_at
    return (
        response.state is not ResponseState.PENDING,
        at.timestamp() if at else 0.0,
        response.state,
        response.proposed.start.isoformat() if response.proposed else "",
    )


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
