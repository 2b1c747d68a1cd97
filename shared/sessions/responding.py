"""Answering an invitation, and accepting the time that an attendee proposes with the answer."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Final

from shared.errors import (
    CalendarRefused,
    Conflict,
    EventGone,
    Invalid,
    NotAllowed,
    NotFound,
    SchedulingError,
)
from shared.ids import ObjectId
from shared.jobs import Job, JobKind, JobQueue
from shared.logs import log_event
from shared.organizations.model import Caller
from shared.pairings.model import Pairing
from shared.sessions import lifecycle
from shared.sessions.calendar_errors import raise_first_error
from shared.sessions.calendar_events import CalendarEvent
from shared.sessions.lifecycle import Action
from shared.sessions.model import ResponseState, Session
from shared.sessions.occurrences import ensure_event_id, list_instances
from shared.sessions.ports import Calendar, SessionPorts
from shared.sessions.recording import series_job
from shared.sessions.requests import InvitationResponse, RescheduleRequest, require_organizer
from shared.sessions.rescheduling import describe_state, reschedule
from shared.sessions.scopes import ScopedSessions, load_scope
from shared.sessions.series import Scope, Series, match_occurrences
from shared.sessions.series_splits import refuse_unheard_split

_ANSWER_TAKES: Final = timedelta(seconds=20)
"""About how long Exchange takes to carry an answer into the organizer's copy."""


async def respond(
    caller: Caller,
    session: Session,
    answer: InvitationResponse,
    scope: Scope = Scope.ONE,
    *,
    ports: SessionPorts,
) -> list[Session]:
    """Answer in the attendee's own mailbox *session* and the dates of its series in *scope*.

    Returns the answered sessions. The rows follow once the organizer's copy has the answer.

    Idempotent: declining removes the attendee's copy, so a retry compares its answer with the
    organizer's copy.

    Raises:
        NotAllowed, NotFound: the caller is the organizer, or not invited.
        Invalid: another time is proposed with an acceptance, or for more than one date; the scope
            needs a series.
        LimitReached: the caller or the organization has done too much; nothing has changed.
        Conflict: the session's state does not allow it, the meeting was cancelled in Outlook, or
            the attendee's copy is missing.
    """
    _require_attendee(caller, session)
    scoped = await load_scope(session, scope, sessions=ports.sessions)
    if scoped.series is None:
        return [await _respond_to_one(caller, session, answer, ports)]
    if answer.proposed is not None:
        raise Invalid("body.proposed", "Another time goes with one date only.")
    # The series is read in the organizer's calendar, which answers only so many requests.
    await ports.limiter.admit_read(caller, before="")
    return await _respond_to_series(caller, scoped, scoped.series, answer, ports)


async def _respond_to_one(
    caller: Caller, session: Session, answer: InvitationResponse, ports: SessionPorts
) -> Session:
    calendar, jobs = ports.calendar, ports.jobs
    lifecycle.after(session.state, Action.RESPOND)
    if session.event_id is None:
        # It is read in the organizer's calendar, which answers only so many requests.
        await ports.limiter.admit_read(caller, before="")
        session = await ensure_event_id(session, calendar=calendar, sessions=ports.sessions)
    if answer.proposed is not None and answer.state is ResponseState.ACCEPTED:
        raise Invalid("body.proposed", "Another time goes with tentative or declined only.")
    await ports.limiter.admit_change(caller, 1)
    try:
        await calendar.respond(
            caller.acting, session, answer.state, answer.comment, answer.proposed
        )
    except EventGone as gone:
        me = caller.mailbox.object_id
        if await _is_already_answered(session, me, answer, calendar=calendar):
            return session
        raise _invitation_missing() from gone
    except CalendarRefused as refused:
        if not await _is_cancelled(session, calendar=calendar):
            raise
        await _enqueue_reconciliation(session, timedelta(), jobs=jobs)
        raise _cancelled_meanwhile() from refused
    await _enqueue_reconciliation(session, _ANSWER_TAKES, jobs=jobs)
    log_event("session.answered", session_id=session.id, state=answer.state)
    return session


async def _respond_to_series(
    caller: Caller,
    scoped: ScopedSessions,
    series: Series,
    answer: InvitationResponse,
    ports: SessionPorts,
) -> list[Session]:
    """Answer the dates ahead in *scoped*; the series at once if these are all dates ahead."""
    me, now = caller.mailbox.object_id, ports.clock.now()
    dates = [s for s in scoped.changeable(now) if _is_invited(me, s)]
    if not dates:
        return scoped.in_scope
    if len(dates) == 1:  # it may be all that is left: a series that was made into one meeting
        return [await _respond_to_one(caller, dates[0], answer, ports)]
    await refuse_unheard_split(series, scoped.known, ports=ports)
    await ports.limiter.admit_change(caller, len(dates))
    # The named date first, by which the attendee's copy of the series is found.
    dates.sort(key=lambda session: session.id != scoped.named.id)
    dates = await _with_uids(series, scoped.known, dates, calendar=ports.calendar)
    whole = len(dates) == len(replace(scoped, scope=Scope.ALL).changeable(now))
    try:
        errors: Sequence[Exception | None] = await ports.calendar.respond_many(
            caller.acting, dates, answer.state, answer.comment, whole=whole
        )
    except EventGone as gone:
        errors = [gone for _ in dates]
    except CalendarRefused as refused:
        if not await _is_cancelled(scoped.named, calendar=ports.calendar):
            raise
        await ports.jobs.put(series_job(JobKind.FOLLOW_SERIES, series))
        raise _cancelled_meanwhile() from refused
    await ports.jobs.put(series_job(JobKind.FOLLOW_SERIES, series), delay=_ANSWER_TAKES)
    raise_first_error(errors)
    answered = [s for s, error in zip(dates, errors, strict=True) if error is None]
    if not answered:
        if not await _is_series_answered(series, dates, me, answer, calendar=ports.calendar):
            raise _invitation_missing()
        answered = dates
    log_event("series.answered", session_id=series.id, state=answer.state, count=len(answered))
    return sorted(answered, key=lambda session: session.occurrence)


async def _with_uids(
    series: Series, known: Sequence[Session], dates: list[Session], *, calendar: Calendar
) -> list[Session]:
    """Return *dates*, of the *known* sessions, with their events' ids, read after the booking."""
    if all(session.ical_uid for session in dates):
        return dates
    found = match_occurrences(series, known, await list_instances(series, calendar=calendar))
    return [
        replace(session, event_id=event.event_id, ical_uid=event.ical_uid)
        if isinstance(event := found.get(session.occurrence), CalendarEvent)
        else session
        for session in dates
    ]


async def accept_proposal(
    caller: Caller, pairing: Pairing, session: Session, attendee: str, *, ports: SessionPorts
) -> Session:
    """Move *session* to the time that *attendee* (object id or address) proposed.

    Idempotent: a session that is at the accepted time already is returned as it is.

    Raises the errors of `reschedule`, and:
        NotFound: there is no such attendee.
        Conflict: the attendee proposes no other time, or the proposed time breaks a rule.
    """
    require_organizer(caller, session)
    lifecycle.after(session.state, Action.RESCHEDULE)
    proposer = next(
        (a for a in session.attendees if attendee.lower() in {a.object_id, a.address}), None
    )
    if proposer is None:
        raise NotFound("There is no such attendee.")
    if proposer.response.proposed is None:
        if proposer.taken and session.is_at(proposer.taken):
            return session
        raise Conflict(
            f"This attendee proposes no other time. The session is {describe_state(session)}."
        )
    request = RescheduleRequest(
        proposer.response.proposed,
        session.time_zone,
        accept_unknown=True,
        proposed_by=proposer.address,
    )
    try:
        (moved,) = await reschedule(caller, pairing, session, request, ports=ports)
    except Invalid as refused:
        # A Conflict, since the caller's request is valid: Outlook lets attendees propose any time.
        raise Conflict(
            f"The proposed time cannot be taken. {refused}",
            remedy="Move the session to another time, or ask for another proposal.",
        ) from refused
    return moved


def _require_attendee(caller: Caller, session: Session) -> None:
    """Raise NotAllowed for the organizer, NotFound or Conflict for a caller who is not invited."""
    if session.organizer == caller.mailbox:
        raise NotAllowed(
            "The organizer has nothing to answer.", remedy="Reschedule or cancel the session."
        )
    me = session.attendee(caller.mailbox.object_id)
    if me is None:
        raise NotFound("There is no such session.")
    if not me.invited:
        raise Conflict(
            "The organizer has removed you from this meeting in Outlook.",
            remedy="Ask the organizer to invite you again.",
        )


def _is_invited(me: ObjectId, session: Session) -> bool:
    attendee = session.attendee(me)
    return attendee is not None and attendee.invited


async def _is_already_answered(
    session: Session, me: ObjectId, answer: InvitationResponse, *, calendar: Calendar
) -> bool:
    """Return whether the organizer's copy has that answer: an earlier attempt gave it."""
    if session.event_id is None:
        return False
    try:
        event = await calendar.read(session.organizer, session.event_id)
    except EventGone:
        return False
    return _shows(event, session, me, answer)


async def _is_series_answered(
    series: Series,
    dates: Sequence[Session],
    me: ObjectId,
    answer: InvitationResponse,
    *,
    calendar: Calendar,
) -> bool:
    """Return whether the organizer's copies have that answer: an earlier attempt gave it."""
    found = match_occurrences(series, dates, await list_instances(series, calendar=calendar))
    shown = [(found.get(session.occurrence), session) for session in dates]
    return all(
        isinstance(event, CalendarEvent) and _shows(event, session, me, answer)
        for event, session in shown
    )


def _shows(
    event: CalendarEvent, session: Session, me: ObjectId, answer: InvitationResponse
) -> bool:
    """Return whether *event*, the organizer's copy, has the *answer*."""
    names = {
        name for a in session.attendees if a.object_id == me for name in (a.address, *a.known_as)
    }
    return any(
        (a.response.state, a.response.proposed) == (answer.state, answer.proposed)
        for a in event.attendees
        if a.address in names
    )


def _invitation_missing() -> Conflict:
    return Conflict(
        "The invitation is not in your calendar.",
        remedy="It may still be on its way: try again in a minute. If you removed it, ask the"
        " organizer to invite you again.",
    )


def _cancelled_meanwhile() -> Conflict:
    return Conflict(
        "The meeting was cancelled in Outlook.",
        remedy="Read the session again in a moment: it says so then.",
    )


async def _is_cancelled(session: Session, *, calendar: Calendar) -> bool:
    """Return whether the organizer's copy is cancelled or gone: the refusal's code may be any."""
    if session.event_id is None:
        return False
    try:
        return (await calendar.read(session.organizer, session.event_id)).is_cancelled
    except EventGone:
        return True
    except SchedulingError:
        return False  # not known: the refusal itself is raised


async def _enqueue_reconciliation(session: Session, delay: timedelta, *, jobs: JobQueue) -> None:
    """Read the organizer's copy after *delay*, should its change notification be lost."""
    job = Job(JobKind.RECONCILE, session.organization_id, (session.organizer,), (session.id,))
    await jobs.put(job, delay=delay)
