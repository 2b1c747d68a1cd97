"""Moving a session, or it and others of its series by as many days and to the same hour.

The same protocol as booking: recovery message, new holds, Outlook, rows. Until Outlook has the new
times the sessions hold both, the old ones for good and the new ones until the hold runs out. Where
everything that Outlook has of a series is meant, the series itself is moved; else each date by
itself, so that nobody's answer to another date is lost.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final

from shared.availability.finding import rules_for
from shared.availability.masks import round_out_to_grid
from shared.availability.working_hours import zone_of
from shared.clock import Clock
from shared.concurrency import gather_limited
from shared.errors import (
    Conflict,
    EventGone,
    Invalid,
    NotFound,
    SchedulingError,
    SlotTaken,
    StaleRow,
)
from shared.ids import EventId
from shared.logs import log_event
from shared.organizations.model import Caller
from shared.pairings.model import Pairing
from shared.pairings.ports import PairingStore
from shared.sessions import lifecycle, reservations
from shared.sessions.calendar_errors import REFUSALS, raise_first_error, raise_refusal
from shared.sessions.checking import Terms, slot_error, slot_taken_after_race
from shared.sessions.holding import hold_new_times, release_new_times
from shared.sessions.lifecycle import Action
from shared.sessions.model import HOLD_TTL, CalendarEvent, Cause, Session, SessionState
from shared.sessions.occurrences import list_instances
from shared.sessions.ports import Calendar, SessionPorts, SessionStore
from shared.sessions.recording import save_cancelled, save_rescheduled, schedule_follow_ups
from shared.sessions.recovering import recover_change
from shared.sessions.recurrence import Frequency, shift_like
from shared.sessions.requests import (
    RescheduleRequest,
    require_organizer,
    validate_duration,
    validate_quorum_size,
    validate_start,
)
from shared.sessions.scopes import (
    ScopedSessions,
    enqueue_recovery,
    event_ids,
    load_scope,
    with_event_id,
)
from shared.sessions.series import Outcome, PlannedDate, Scope, Series, match_occurrences
from shared.sessions.snapshots import check_with_alternatives, read_snapshots, with_holds
from shared.timespan import TimeSpan

_MAX_ATTEMPTS: Final = 3
"""How often a request goes on from what the same request, sent at the same time, has come to."""


async def reschedule(
    participation: Caller,
    pairing: Pairing,
    session: Session,
    request: RescheduleRequest,
    scope: Scope = Scope.ONE,
    *,
    ports: SessionPorts,
) -> list[Session]:
    """Move *session*, and what *scope* says of its series; attendees' answers start from silence.

    Returns those meant. Where they are already they stay, so the same again is the same answer.

    Raises:
        NotAllowed: the caller is not the organizer.
        SlotTaken, SlotUnknown: with alternatives; everything stays as it was.
        Invalid: also if it belongs to no series, or would pass its neighbours.
        Conflict, StaleRow
        CalendarUnavailable, CalendarThrottled: perhaps moved; the recovery job finds out.
    """
    for _ in range(_MAX_ATTEMPTS):
        try:
            return await _reschedule(participation, pairing, session, request, scope, ports)
        except StaleRow:
            session = await ports.sessions.get(session.organizer, session.id)
            # Else the same request, sent twice at once, is ahead of us: its answer is ours.
            if request.span not in {session.span, session.pending_span}:
                raise
    raise StaleRow("The session is being changed by too many at once.")


async def _reschedule(
    participation: Caller,
    pairing: Pairing,
    session: Session,
    request: RescheduleRequest,
    scope: Scope,
    ports: SessionPorts,
) -> list[Session]:
    require_organizer(participation, session)
    session = _with_accepted_proposal(session, request)
    scoped = await load_scope(session, scope, sessions=ports.sessions)
    scoped = await _recover_pending(participation, scoped, request, ports)
    now = ports.clock.now()
    lifecycle.after(scoped.named.state, Action.RESCHEDULE)
    if scoped.named.span.end <= now:
        raise Conflict("The session is over.")
    meant = scoped.changeable(now)
    spans = _target_spans(scoped, meant, request)
    if all(spans[s.occurrence] == s.span for s in meant):
        return meant
    if not scoped.named.attendees:
        raise Conflict(
            "Nobody is invited to this session any more.",
            remedy="Invite somebody to the meeting in Outlook, or cancel it and book anew.",
        )
    _require_order(scoped, meant, spans)
    terms = _terms(participation, pairing, request, spans, now)
    scoped = await with_event_id(scoped, calendar=ports.calendar, sessions=ports.sessions)
    meant = scoped.changeable(now)
    if scoped.series is None and (not meant or scoped.named.event_id is None):
        raise _event_missing(scoped.named)
    moving = await _hold(participation, pairing, scoped, meant, spans, terms, ports)
    if scoped.series is not None and _preserves_pattern(scoped, scoped.series, moving):
        return await _move_series(participation, scoped.series, moving, request, ports)
    return await _move_each(participation, scoped, moving, request, ports)


async def _recover_pending(
    participation: Caller,
    scoped: ScopedSessions,
    request: RescheduleRequest,
    ports: SessionPorts,
) -> ScopedSessions:
    """Record what Outlook has done of a move that was asked for before, unheard."""
    named, organization = scoped.named, participation.organization
    if scoped.series is not None:
        if any(s.pending_span for s in scoped.known):
            await recover_change(
                scoped.known, organization, series=scoped.series, releases=False, ports=ports
            )
            return await load_scope(named, scoped.scope, sessions=ports.sessions)
    elif named.pending_span == request.span and named.event_id is not None:
        (named,) = await recover_change([named], organization, releases=False, ports=ports)
        return replace(scoped, named=named, known=(named,))
    return scoped


def _with_accepted_proposal(session: Session, request: RescheduleRequest) -> Session:
    """Return *session* knowing whose proposal *request* is."""
    return replace(
        session,
        attendees=tuple(
            replace(a, taken=request.span) if a.address == request.proposed_by else a
            for a in session.attendees
        ),
    )


def _target_spans(
    scoped: ScopedSessions, meant: Sequence[Session], request: RescheduleRequest
) -> dict[int, TimeSpan]:
    """Return where each goes: from its date by the pattern by as many days as the named one."""
    # The named one goes to the very instant that was said, also in an hour that comes twice.
    named = {scoped.named.occurrence: request.span}
    if scoped.series is None:
        return named
    zone = zone_of(request.time_zone)
    by_pattern = {p.number: p.span for p in scoped.series.planned}
    moved_from = by_pattern[scoped.named.occurrence].start
    spans = {
        s.occurrence: shift_like(by_pattern[s.occurrence], moved_from, request.span, zone)
        for s in meant
    }
    return spans | named


def _require_order(
    scoped: ScopedSessions, meant: Sequence[Session], spans: Mapping[int, TimeSpan]
) -> None:
    """Raise Invalid if one would pass another one, as it is now or as it will be."""
    if scoped.series is None:
        return  # of one date Outlook says so itself
    first = meant[0].occurrence
    alive = [s for s in scoped.known if s.state is not SessionState.CANCELLED]
    before = [s.span for s in alive if s.occurrence < first]
    row = [*before[-1:], *(spans[s.occurrence] for s in meant)]
    passes_new = any(one.end > other.start for one, other in pairwise(row))
    # One after the other is moved: on the way none may meet the old time of the next one.
    passes_old = any(
        spans[s.occurrence].end > t.span.start or s.span.end > spans[t.occurrence].start
        for s, t in pairwise(meant)
    )
    if passes_new or passes_old:
        raise Invalid(
            "body.start",
            "Sessions of a series are moved by less than the time to the next one.",
        )


def _terms(
    participation: Caller,
    pairing: Pairing,
    request: RescheduleRequest,
    spans: Mapping[int, TimeSpan],
    now: datetime,
) -> Terms:
    """Return what each new date must fulfil. Raises Invalid if none can."""
    validate_duration(request.span)
    rules = rules_for(
        participation.organization.settings,
        duration=round_out_to_grid(request.span).duration,
        now=now,
        zone=zone_of(request.time_zone),
    )
    for span in spans.values():
        validate_start(span, rules)
    validate_quorum_size(pairing, request.at_least)
    return Terms(rules, request.accept_unknown, request.at_least)


def _event_missing(session: Session) -> Conflict:
    if session.series_id is None:
        return Conflict("The session is still being booked.")
    return Conflict(
        "Outlook does not show this date of the series.",
        remedy="Read the session again in a minute: it may have been cancelled in Outlook.",
    )


async def _hold(
    participation: Caller,
    pairing: Pairing,
    scoped: ScopedSessions,
    meant: Sequence[Session],
    spans: Mapping[int, TimeSpan],
    terms: Terms,
    ports: SessionPorts,
) -> list[Session]:
    """Check that every date is free and hold it besides the one it moves from."""
    own = frozenset(s.id for s in meant)
    targets = {s.occurrence: round_out_to_grid(spans[s.occurrence]) for s in meant}
    snapshots = await read_snapshots(
        participation, pairing, [*targets.values()], terms, freed=meant, schedules=ports.schedules
    )
    checked, snapshots = await check_with_alternatives(
        targets, snapshots, terms, own, sessions=ports.sessions, clock=ports.clock
    )
    if refused := slot_error(checked):
        raise refused
    dates = {date.planned.number: date.planned for date in checked}
    until = ports.clock.now() + HOLD_TTL
    moving = [_with_pending_move(s, spans[s.occurrence], dates[s.occurrence], until) for s in meant]
    await enqueue_recovery(scoped, jobs=ports.jobs)
    try:
        return await hold_new_times(
            moving, at_least=terms.at_least, sessions=ports.sessions, clock=ports.clock
        )
    except SlotTaken as lost:
        snapshots = await with_holds(
            snapshots, own, again=True, sessions=ports.sessions, clock=ports.clock
        )
        raise slot_taken_after_race(targets, snapshots, terms) from lost


def _with_pending_move(
    session: Session, span: TimeSpan, date: PlannedDate, until: datetime
) -> Session:
    """Return *session* on its way to *span*, with who of its people is free then."""
    return replace(
        session.with_pending_move(span, until),
        unknown_for=date.unknown_for,
        attendees=tuple(
            replace(a, is_free_at_pending=a.address not in date.busy) for a in session.attendees
        ),
    )


def _preserves_pattern(scoped: ScopedSessions, series: Series, moving: Sequence[Session]) -> bool:
    """Tell whether moving the series itself does just what is wanted.

    It does if every date there ever was is meant, for dates that were taken out would come back;
    and if the new dates make the same pattern, as those of a month do only on the same days.
    """
    is_whole = len(moving) == len(series.recurring_dates) and scoped.is_whole_series(moving)
    by_number = {p.number: p for p in series.planned}
    zone = zone_of(moving[0].time_zone)

    def days(session: Session) -> timedelta:
        to = session.pending_span or session.span
        since = by_number[session.occurrence].span.start.astimezone(zone).date()
        return to.start.astimezone(zone).date() - since

    return is_whole and (
        series.frequency is not Frequency.MONTHLY or not any(days(s) for s in moving)
    )


async def _move_series(
    participation: Caller,
    series: Series,
    moving: Sequence[Session],
    request: RescheduleRequest,
    ports: SessionPorts,
) -> list[Session]:
    if series.event_id is None:
        raise Conflict("The series is still being booked.")
    spans = {s.occurrence: s.pending_span or s.span for s in moving}
    planned = [
        replace(p, span=spans[p.number], outcome=Outcome.BOOKED, moved_to=None)
        if p.number in spans
        else p
        for p in series.planned
    ]
    moved = replace(series, planned=tuple(planned), time_zone=request.time_zone)
    first = next(p for p in planned if p.number == moving[0].occurrence)
    try:
        await ports.calendar.reschedule_series(
            participation.acting,
            series.event_id,
            first.span,
            request.time_zone,
            moved.pattern(first, len(moving)),
        )
    except REFUSALS as refused:
        await release_new_times(moving, sessions=ports.sessions)
        raise_refusal(refused)
    # Dates that moved have other ids.
    instances = await list_instances(moved, calendar=ports.calendar)
    found = match_occurrences(moved.planned, [], instances)
    recorded = await gather_limited(
        save_rescheduled(s, found[s.occurrence], request.time_zone, ports=ports)
        for s in moving
        if s.occurrence in found
    )
    await reservations.put_series(ports.sessions, moved)
    await schedule_follow_ups(recorded, participation.organization, series=moved, ports=ports)
    log_event("series.rescheduled", session_id=series.id, count=len(recorded))
    return recorded


async def _move_each(
    participation: Caller,
    scoped: ScopedSessions,
    moving: Sequence[Session],
    request: RescheduleRequest,
    ports: SessionPorts,
) -> list[Session]:
    """Move each date: what is refused is released, what nobody knows stays pending.

    What is gone was cancelled in Outlook meanwhile. Raises what `raise_first_error` does; Conflict:
    nothing is left of it.
    """
    try:
        events = await event_ids(scoped, moving, calendar=ports.calendar)
        there = [s for s in moving if s.occurrence in events]
        wanted = [(events[s.occurrence], s.pending_span or s.span) for s in there]
        answers = await _move_events(
            participation, wanted, request.time_zone, calendar=ports.calendar
        )
    except REFUSALS as refused:
        await release_new_times(moving, sessions=ports.sessions)
        raise_refusal(refused)
    answer_to = dict(zip((s.id for s in there), answers, strict=True))

    async def one(session: Session) -> Session | None:
        answer = answer_to.get(session.id)
        if isinstance(answer, CalendarEvent):
            return await save_rescheduled(session, answer, request.time_zone, ports=ports)
        if answer is None or isinstance(answer, EventGone):
            return await save_cancelled(session, Cause.API, ports=ports)
        if isinstance(answer, REFUSALS):
            await release_new_times([session], sessions=ports.sessions)
        return None  # else nobody knows; the recovery job finds out

    recorded = [s for s in await gather_limited(map(one, moving)) if s is not None]
    await schedule_follow_ups(
        recorded, participation.organization, series=scoped.series, ports=ports
    )
    if scoped.series is not None:
        log_event("series.rescheduled", session_id=scoped.series.id, count=len(recorded))
    raise_first_error(answers)
    if all(s.state is SessionState.CANCELLED for s in recorded):
        raise Conflict("The meeting was cancelled in Outlook meanwhile.")
    return recorded


async def _move_events(
    participation: Caller,
    wanted: Sequence[tuple[EventId, TimeSpan]],
    time_zone: str,
    *,
    calendar: Calendar,
) -> Sequence[CalendarEvent | Exception]:
    if len(wanted) != 1:
        return await calendar.reschedule_many(participation.acting, wanted, time_zone)
    ((event_id, span),) = wanted
    try:
        return [await calendar.reschedule(participation.acting, event_id, span, time_zone)]
    except SchedulingError as error:
        return [error]


# --- repeating a request


def acceptable_versions(session: Session, request: RescheduleRequest) -> tuple[str, ...]:
    """Return the versions that whoever asks for *request* may have seen.

    The present one; where just that is half done, also the one of which it was asked before.
    """
    if session.pending_base_version is None or session.pending_span != request.span:
        return (session.version,)
    return session.version, session.pending_base_version


async def find_already_moved(
    participation: Caller,
    session: Session,
    request: RescheduleRequest,
    scope: Scope,
    *,
    sessions: SessionStore,
    clock: Clock,
) -> list[Session] | None:
    """Return the sessions in scope if they are at the times of *request*, for a retry; else None.

    Of a series others than the named one may still be on their way there: that is to be finished.

    Raises:
        NotAllowed: the caller is not the organizer.
        Invalid, Conflict: it belongs to no series, or that is being booked.
    """
    require_organizer(participation, session)
    if session.state is not SessionState.SCHEDULED or session.span != request.span:
        return None
    scoped = await load_scope(session, scope, sessions=sessions)
    if scoped.series is None:
        return None if session.pending_span else [session]
    meant = scoped.changeable(clock.now())
    spans = _target_spans(scoped, meant, request)
    is_asked_again = all((s.pending_span or s.span) == spans[s.occurrence] for s in meant)
    return meant if is_asked_again else None


def describe_state(session: Session) -> str:
    """Describe the session's state for the `detail` of a 409 or 412."""
    start = f"{session.span.start:%Y-%m-%dT%H:%M:%SZ}"
    if session.state is SessionState.SCHEDULED:
        return f"scheduled for {start}"
    return f"{session.state}; it was to start at {start}"


async def pairing_for_reschedule(session: Session, *, pairings: PairingStore) -> Pairing:
    """Return the pairing whose calendars are read to move *session*. Raises Conflict: it is gone.

    Sessions outlive their pairing: they can still be answered and cancelled.
    """
    try:
        return await pairings.get(session.organization_id, session.pairing_id)
    except NotFound:
        raise Conflict(
            "The pairing was ended, so its sessions cannot be moved.", remedy="Cancel the session."
        ) from None
