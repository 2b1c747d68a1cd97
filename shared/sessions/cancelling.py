"""Cancelling a session, or several dates of its series.

The protocol: enqueue the recovery job, cancel in Outlook, save the rows. If the scope has every
date that Outlook has, the series itself is cancelled; otherwise each date by itself, so that the
others stay as they are.
"""

from collections.abc import Sequence

from shared.concurrency import gather_limited
from shared.errors import CalendarUnavailable, EventGone, SchedulingError, SplitUnclear
from shared.ids import EventId, SessionId
from shared.logs import log_event
from shared.organizations.model import Caller
from shared.sessions import lifecycle
from shared.sessions.calendar_errors import raise_first_error
from shared.sessions.calendar_events import CalendarEvent
from shared.sessions.lifecycle import Action
from shared.sessions.missing import SECOND_LOOK, Absence, find_missing
from shared.sessions.model import Cause, Session
from shared.sessions.ports import Calendar, SessionPorts
from shared.sessions.recording import save_cancelled, schedule_follow_ups
from shared.sessions.requests import require_organizer
from shared.sessions.scopes import (
    ScopedSessions,
    enqueue_recovery,
    event_ids,
    load_scope,
    with_event_id,
)
from shared.sessions.series import Scope
from shared.sessions.series_splits import refuse_unheard_split, unclear_for_caller


async def cancel(
    caller: Caller,
    session: Session,
    comment: str,
    scope: Scope = Scope.ONE,
    *,
    ports: SessionPorts,
) -> list[Session]:
    """Cancel *session* and the dates of its series in *scope*; return them. Idempotent.

    Outlook sends the attendees a cancellation with *comment*.

    Raises:
        Invalid: the scope needs a series.
        NotAllowed, Conflict: the caller is not the organizer, or the state does not allow it.
        CalendarUnavailable, CalendarThrottled: the outcome is unknown; the recovery job reads it.
    """
    require_organizer(caller, session)
    scoped = await load_scope(session, scope, sessions=ports.sessions)
    if scoped.series is None:
        lifecycle.after(session.state, Action.CANCEL)
    if not scoped.changeable(now := ports.clock.now()):
        return scoped.in_scope
    await refuse_unheard_split(scoped.series, scoped.known, ports=ports)
    scoped = await with_event_id(scoped, calendar=ports.calendar, sessions=ports.sessions)
    changeable = scoped.changeable(now)
    await enqueue_recovery(scoped, jobs=ports.jobs)
    outcomes = await _cancel_in_outlook(caller, scoped, changeable, comment, ports=ports)
    missing = {key for key, outcome in outcomes.items() if isinstance(outcome, EventGone)}
    errors = {k: v for k, v in outcomes.items() if v is not None and k not in missing}
    cancelled = await gather_limited(
        save_cancelled(s, Cause.API, ports=ports, is_missing=s.id in missing)
        for s in changeable
        if s.id not in errors
    )
    await schedule_follow_ups(cancelled, caller.organization, series=scoped.series, ports=ports)
    if scoped.series is not None:
        log_event("series.cancelled", session_id=scoped.series.id, count=len(cancelled))
    raise_first_error(errors.values())
    return cancelled


async def _cancel_in_outlook(
    caller: Caller,
    scoped: ScopedSessions,
    changeable: Sequence[Session],
    comment: str,
    *,
    ports: SessionPorts,
) -> dict[SessionId, Exception | None]:
    """Cancel the events of *changeable*; return None or the error of each session.

    EventGone: the event was cancelled or deleted in Outlook; one that is only not found now has
    another error.
    """
    series, calendar = scoped.series, ports.calendar
    answers: dict[SessionId, Exception | None]
    if series is not None and series.event_id is not None and scoped.is_whole_series(changeable):
        (answer,) = await _cancel_events(caller, [series.event_id], comment, calendar=calendar)
        answers = dict.fromkeys((s.id for s in changeable), answer)
    else:
        events = await event_ids(scoped, changeable, calendar=calendar)
        there = [s for s in changeable if s.occurrence in events]
        wanted = [events[s.occurrence] for s in there]
        found = await _cancel_events(caller, wanted, comment, calendar=calendar)
        # A date that Outlook does not list is not found, like one that it refuses.
        unlisted = EventGone("Outlook does not list the date.")
        answers = dict.fromkeys((s.id for s in changeable), unlisted)
        answers |= zip((s.id for s in there), found, strict=True)
    gone = [s for s in changeable if isinstance(answers.get(s.id), EventGone)]
    suspected = dict(
        await gather_limited(_cancel_missing(caller, s, comment, ports=ports) for s in gone)
    )
    return answers | suspected


async def _cancel_missing(
    caller: Caller, session: Session, comment: str, *, ports: SessionPorts
) -> tuple[SessionId, Exception | None]:
    """Cancel the event of *session* under another id; return None or the error, as above."""
    try:
        found = await find_missing(session, ports=ports)
    except SplitUnclear:
        return session.id, unclear_for_caller()
    if found is Absence.GONE:
        log_event("session.gone", session_id=session.id)
        return session.id, EventGone("It is not in the calendar any more.")
    if isinstance(found, CalendarEvent):
        wanted = [found.event_id]
        (error,) = await _cancel_events(caller, wanted, comment, calendar=ports.calendar)
        if not isinstance(error, EventGone):
            return session.id, error
        # The search has it: an id that is not found proves nothing against that.
    return session.id, CalendarUnavailable(
        "Outlook does not find the meeting at the moment.",
        retry_after_seconds=SECOND_LOOK.total_seconds(),
        remedy="Repeat the request in a minute; a job looks again as well.",
    )


async def _cancel_events(
    caller: Caller, events: Sequence[EventId], comment: str, *, calendar: Calendar
) -> Sequence[Exception | None]:
    if len(events) > 1:
        return await calendar.cancel_many(caller.acting, events, comment)
    try:
        for event_id in events:
            await calendar.cancel(caller.acting, event_id, comment)
    except SchedulingError as error:
        return [error]
    return [None] * len(events)
