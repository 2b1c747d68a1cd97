"""Finishing or undoing an interrupted booking or change, depending on what Outlook has.

A recovery job runs some minutes after every booking and change; a retry of a change recovers first.
Idempotent, safe at any time, and never writes to Outlook.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from shared.clock import Clock
from shared.concurrency import gather_limited
from shared.errors import EventGone, EventUnreadable, SplitUnclear, StaleRow
from shared.ids import SeriesId, SessionId
from shared.jobs import Job, JobKind
from shared.logs import log_event, log_warning
from shared.organizations.model import Organization
from shared.sessions import reservations
from shared.sessions.calendar_events import CalendarEvent, UnreadableEvent
from shared.sessions.holding import (
    find_session,
    is_abandoned,
    release_holds,
    release_new_times,
    roll_back_series,
)
from shared.sessions.missing import Absence, find_missing
from shared.sessions.model import Cause, Session, SessionState
from shared.sessions.occurrences import list_instances, load_sessions
from shared.sessions.ports import Calendar, SessionPorts, SessionStore
from shared.sessions.recording import (
    confirm_booking,
    save_cancelled,
    save_rescheduled,
    schedule_follow_ups,
)
from shared.sessions.series import (
    Booking,
    Occurrence,
    Outcome,
    PlannedDate,
    Series,
    match_occurrences,
    occurrence_id,
)
from shared.sessions.series_splits import find_split
from shared.timespan import TimeSpan


async def recover(job: Job, organization: Organization, *, ports: SessionPorts) -> None:
    """Run a recovery job: kind `VERIFY`, `SETTLE` or `SERIES`."""
    organizer, key = job.mailboxes[-1], job.session_ids[0]
    if job.kind is JobKind.SERIES:
        series = await ports.sessions.get_series(organizer, SeriesId(key))
        if series is None:
            return
        known = await load_sessions(series, sessions=ports.sessions)
        if series.state is SessionState.REQUESTED:
            await _recover_series_booking(series, known, organization, ports)
        else:
            await recover_change(known, organization, series=series, ports=ports)
        return
    session = await find_session(organizer, key, sessions=ports.sessions)
    if session is None:
        if job.kind is JobKind.VERIFY:
            # The request ended before it wrote the row: the job names the mailboxes it may hold.
            await release_holds(job.mailboxes, key, sessions=ports.sessions)
    elif session.state is SessionState.REQUESTED:
        if job.kind is JobKind.VERIFY:
            await _recover_booking(session, organization, ports)
    elif job.kind is JobKind.VERIFY or session.state is SessionState.CANCELLED:
        await schedule_follow_ups([session], organization, ports=ports)
    elif session.event_id is not None:
        await recover_change([session], organization, ports=ports)


async def recover_change(
    sessions: Sequence[Session],
    organization: Organization,
    *,
    ports: SessionPorts,
    series: Series | None = None,
    releases: bool = True,
) -> list[Session]:
    """Finish or undo a reschedule or cancellation of *sessions*: one session, or a whole *series*.

    Returns the sessions as they are stored then. A move that began less than a minute ago is not
    undone: its request may still be running, and has a recovery job of its own. *releases* False:
    nothing is undone, because the caller is about to repeat the change.
    """
    now, instances = ports.clock.now(), list[Occurrence]()
    found: Mapping[int, Occurrence]
    if series is None:
        (session,) = sessions
        found = await _read_event(session, calendar=ports.calendar)
    else:
        instances = await list_instances(series, calendar=ports.calendar)
        found = match_occurrences(series, sessions, instances)
        # A series can lose its past dates in Outlook: a past session without an event stays as is.
        sessions = [s for s in sessions if s.span.end > now or s.pending_span]
    recovered = await gather_limited(
        _recover_one(s, found.get(s.occurrence), releases=releases, ports=ports) for s in sessions
    )
    await schedule_follow_ups(recovered, organization, series=series, ports=ports)
    if series is not None:
        await _update_planned_dates(series, recovered, instances, sessions=ports.sessions)
    return recovered


async def _recover_series_booking(
    series: Series, known: Sequence[Session], organization: Organization, ports: SessionPorts
) -> None:
    """Finish the booking of a series that Outlook has; roll back one that it does not have.

    A date that was to be skipped, and was not cancelled in Outlook before the interruption, becomes
    a session as well: the organizer sees it and can cancel it.
    """
    master = await ports.calendar.find(series.organizer, SessionId(series.id))
    if master is None:
        await roll_back_series(series, sessions=ports.sessions)
        log_event("series.undone", session_id=series.id)
        return
    series = replace(series, event_id=master.event_id)
    if not known:
        # Rows are stored before the event is created: a concurrent attempt is running right now.
        log_warning("series.finished", session_id=series.id, count=0)
        return
    instances = await list_instances(series, calendar=ports.calendar, is_there=True)
    split = await find_split(series, known, instances, ports=ports)
    if split and split.is_clear:
        series = split.continued(series)
        instances = await list_instances(series, calendar=ports.calendar, is_there=True)
    found = match_occurrences(series, known, instances)
    readable = {n: event for n, event in found.items() if isinstance(event, CalendarEvent)}
    rows = {session.occurrence: session for session in known}
    for number in readable.keys() - rows.keys():
        rows[number] = await _adopt_occurrence(
            known[0], number, readable[number], sessions=ports.sessions, clock=ports.clock
        )
    # A person keeps one of the series that may have the later dates: nothing is lost till then.
    unclear = split.unclear if split else frozenset[int]()
    for number in rows.keys() - found.keys() - unclear:
        missing = rows.pop(number)
        if missing.state is SessionState.REQUESTED:
            await release_holds(missing.mailboxes, missing.id, sessions=ports.sessions)
    plans = (_plan_as_created(p, found.get(p.number), unclear) for p in series.planned)
    booking = Booking(tuple(rows[n] for n in sorted(rows)), replace(series, planned=tuple(plans)))
    await confirm_booking(booking, master, readable, organization, ports=ports)
    log_event("series.finished", session_id=series.id, count=len(rows))


async def _recover_booking(
    session: Session, organization: Organization, ports: SessionPorts
) -> None:
    event = await ports.calendar.find(session.organizer, session.id)
    if event is None:
        await release_holds(session.mailboxes, session.id, sessions=ports.sessions)
        log_event("booking.undone", session_id=session.id)
        return
    await confirm_booking(Booking((session,)), event, {}, organization, ports=ports)
    log_event("booking.finished", session_id=session.id)


async def _read_event(session: Session, *, calendar: Calendar) -> dict[int, Occurrence]:
    if session.event_id is None:
        raise ValueError("the session has no event id")
    try:
        event = await calendar.read(session.organizer, session.event_id)
    except EventGone:
        return {}
    except EventUnreadable:
        return {session.occurrence: UnreadableEvent(session.event_id)}
    return {session.occurrence: event}


async def _recover_one(
    session: Session, event: Occurrence | None, *, releases: bool, ports: SessionPorts
) -> Session:
    """Bring one session in line with its *event*, None if Outlook does not show it."""
    if session.state is not SessionState.SCHEDULED:
        return session
    if event is None:
        try:
            absent = await find_missing(session, ports=ports)
        except SplitUnclear:
            return session  # following the series reports it
        if absent is Absence.SUSPECTED:
            return session
        if absent is Absence.GONE:
            cause = Cause.RECONCILIATION
            return await save_cancelled(session, cause, ports=ports, is_missing=True)
        event = absent
    if session.pending_span is None or isinstance(event, UnreadableEvent):
        return session
    if event.is_at(session.pending_span):
        return await save_rescheduled(session, event, session.time_zone, ports=ports)
    if releases and is_abandoned(session, clock=ports.clock):
        await release_new_times([session], sessions=ports.sessions)
        return await ports.sessions.get(session.organizer, session.id)
    return session


async def _update_planned_dates(
    series: Series,
    dates: Sequence[Session],
    instances: Sequence[Occurrence],
    *,
    sessions: SessionStore,
) -> None:
    """Save the pattern's dates in the series' row, if the whole series was moved in Outlook."""
    originals = {event.event_id: event.original_start for event in instances}
    scheduled: Mapping[int, Session] = {
        s.occurrence: s for s in dates if s.state is SessionState.SCHEDULED
    }

    def updated(planned: PlannedDate) -> PlannedDate:
        session = scheduled.get(planned.number)
        start = originals.get(session.event_id) if session and session.event_id else None
        if session is None or start is None or start == planned.span.start:
            return planned
        # An all-day event says on which date it was, and not how long it takes otherwise.
        length = session.span.duration if session.dates is None else planned.span.duration
        return replace(planned, span=TimeSpan.lasting(start, length or planned.span.duration))

    planned = tuple(map(updated, series.planned))
    if planned != series.planned:
        await reservations.put_series(sessions, replace(series, planned=planned))


async def _adopt_occurrence(
    sibling: Session, number: int, event: CalendarEvent, *, sessions: SessionStore, clock: Clock
) -> Session:
    """Store a session for an occurrence that was to be skipped and is in Outlook."""
    now = clock.now()
    if sibling.series_id is None:
        raise ValueError("the session belongs to no series")
    session = replace(
        sibling,
        id=occurrence_id(sibling.series_id, number),
        occurrence=number,
        state=SessionState.REQUESTED,
        span=event.span_in(sibling.time_zone),
        dates=event.dates,
        event_id=None,
        # The sibling's free/busy is of another date.
        attendees=tuple(replace(a, is_free=True) for a in sibling.attendees),
        held_until=now,
        version="",
    )
    try:
        return await reservations.create(sessions, session, now, ignore_holds=True)
    except StaleRow:
        return await sessions.get(session.organizer, session.id)


def _plan_as_created(
    planned: PlannedDate, event: Occurrence | None, unclear: frozenset[int]
) -> PlannedDate:
    """Return *planned* with the outcome that Outlook shows: *event*, or None for a missing one.

    *unclear*: the numbers of dates whose event is unknown; they stay as they are.
    """
    if planned.number in unclear:
        return planned
    if event is None:
        return replace(planned, outcome=Outcome.SKIPPED, moved_to=None)
    if planned.outcome is Outcome.BOOKED or event.span == planned.moved_to:
        return planned
    return replace(planned, outcome=Outcome.UNPLANNED, moved_to=None)
