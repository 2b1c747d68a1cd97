"""Writing new times to Outlook, for the whole series or date by date, and recording them."""

from collections.abc import Sequence
from dataclasses import replace

from shared.availability.working_hours import zone_of
from shared.concurrency import gather_limited
from shared.errors import Conflict, EventGone, SchedulingError, SplitUnclear
from shared.ids import EventId
from shared.jobs import Job, JobKind
from shared.logs import log_event
from shared.organizations.model import Caller
from shared.sessions import reservations
from shared.sessions.calendar_errors import REFUSALS, raise_first_error, raise_refusal
from shared.sessions.calendar_events import CalendarEvent
from shared.sessions.holding import release_new_times
from shared.sessions.missing import Absence, find_missing, not_found_now
from shared.sessions.model import Cause, Session, SessionState
from shared.sessions.occurrences import list_instances
from shared.sessions.ports import Calendar, SessionPorts
from shared.sessions.recording import save_cancelled, save_rescheduled, schedule_follow_ups
from shared.sessions.recurrence import shift_like
from shared.sessions.requests import RescheduleRequest
from shared.sessions.scopes import ScopedSessions, event_ids
from shared.sessions.series import Outcome, Series, match_occurrences
from shared.sessions.series_splits import unclear_for_caller
from shared.timespan import TimeSpan


async def move_series(
    caller: Caller,
    series: Series,
    moving: Sequence[Session],
    request: RescheduleRequest,
    ports: SessionPorts,
) -> list[Session]:
    """Move the series itself in one request, and record the new time of each date.

    A refusal releases the new times. Raises Conflict (the series has no event yet), and what
    `raise_refusal` does.
    """
    if series.event_id is None:
        raise Conflict("The series is still being booked.")
    moved = _with_new_dates(series, moving, request.time_zone)
    first = next(p for p in moved.planned if p.number == moving[0].occurrence)
    try:
        await ports.calendar.reschedule_series(
            caller.acting,
            series.event_id,
            first.span,
            request.time_zone,
            moved.pattern(first, len(moving)),
        )
    except REFUSALS as refused:
        await release_new_times(moving, sessions=ports.sessions)
        raise_refusal(refused)
    # Occurrences of a moved series have new ids.
    instances = await list_instances(moved, calendar=ports.calendar, is_there=True)
    found = match_occurrences(moved, [], instances)
    recorded = await gather_limited(
        save_rescheduled(s, event, request.time_zone, ports=ports)
        for s in moving
        if isinstance(event := found.get(s.occurrence), CalendarEvent)
    )
    await reservations.put_series(ports.sessions, moved)
    await schedule_follow_ups(recorded, caller.organization, series=moved, ports=ports)
    log_event("series.rescheduled", session_id=series.id, count=len(recorded))
    return recorded


async def move_each(
    caller: Caller,
    scoped: ScopedSessions,
    moving: Sequence[Session],
    request: RescheduleRequest,
    ports: SessionPorts,
) -> list[Session]:
    """Move each date by itself, and record every answer.

    A refusal releases the date's new time; an unknown outcome leaves the move pending; a missing
    event means that the date was cancelled in Outlook.

    Raises the errors of `raise_first_error`, and Conflict: all dates were cancelled in Outlook.
    """
    try:
        events = await event_ids(scoped, moving, calendar=ports.calendar)
        there = [s for s in moving if s.occurrence in events]
        wanted = [(events[s.occurrence], s.pending_span or s.span) for s in there]
        answers = await _move_events(caller, wanted, request.time_zone, calendar=ports.calendar)
    except REFUSALS as refused:
        await release_new_times(moving, sessions=ports.sessions)
        raise_refusal(refused)
    answer_to = dict(zip((s.id for s in there), answers, strict=True))
    found = await gather_limited(
        _record_answer(s, answer_to.get(s.id), request.time_zone, ports) for s in moving
    )
    recorded = [s for s in found if s is not None]
    await schedule_follow_ups(recorded, caller.organization, series=scoped.series, ports=ports)
    if scoped.series is not None:
        log_event("series.rescheduled", session_id=scoped.series.id, count=len(recorded))
    raise_first_error(answers)
    if not recorded:
        raise not_found_now()
    if all(s.state is SessionState.CANCELLED for s in recorded):
        raise Conflict("The meeting was cancelled in Outlook meanwhile.")
    return recorded


def _with_new_dates(series: Series, moving: Sequence[Session], time_zone: str) -> Series:
    """Return *series* with the new time of each session of *moving* as its planned date.

    A date that was skipped shifts like the others: the days of the pattern are those of the first.
    """
    spans = {s.occurrence: s.pending_span or s.span for s in moving}
    by_pattern, zone = {p.number: p.span for p in series.planned}, zone_of(time_zone)
    moved_from, moved_to = next((by_pattern[n].start, span) for n, span in spans.items())
    planned = tuple(
        replace(p, span=spans[p.number], outcome=Outcome.BOOKED, moved_to=None)
        if p.number in spans
        else replace(p, span=shift_like(p.span, moved_from, moved_to, zone))
        for p in series.planned
    )
    return replace(series, planned=planned, time_zone=time_zone)


async def _move_events(
    caller: Caller,
    wanted: Sequence[tuple[EventId, TimeSpan]],
    time_zone: str,
    *,
    calendar: Calendar,
) -> Sequence[CalendarEvent | Exception]:
    if len(wanted) != 1:
        return await calendar.reschedule_many(caller.acting, wanted, time_zone)
    ((event_id, span),) = wanted
    try:
        return [await calendar.reschedule(caller.acting, event_id, span, time_zone)]
    except SchedulingError as error:
        return [error]


async def _record_answer(
    session: Session,
    answer: CalendarEvent | Exception | None,
    time_zone: str,
    ports: SessionPorts,
) -> Session | None:
    """Record Outlook's *answer* for one date, None if Outlook does not show it.

    Returns the session as it is stored then; None if it was refused or the outcome is unknown.
    Raises Conflict: one of several new series in Outlook may have it.
    """
    if isinstance(answer, CalendarEvent):
        return await save_rescheduled(session, answer, time_zone, ports=ports)
    if answer is None or isinstance(answer, EventGone):
        try:
            absent = await find_missing(session, ports=ports)
        except SplitUnclear as unclear:
            await release_new_times([session], sessions=ports.sessions)
            raise unclear_for_caller() from unclear
        if absent is Absence.GONE:
            return await save_cancelled(session, Cause.API, ports=ports, is_missing=True)
        if absent is not Absence.SUSPECTED:  # it has another id, which reconciliation stores
            organizers, keys = (session.organizer,), (session.id,)
            job = Job(JobKind.RECONCILE, session.organization_id, organizers, keys)
            await ports.jobs.put(job)
        await release_new_times([session], sessions=ports.sessions)
        return None
    if isinstance(answer, REFUSALS):
        await release_new_times([session], sessions=ports.sessions)
    return None  # the outcome of any other error is unknown: the recovery job reads it
