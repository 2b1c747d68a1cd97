"""Rescheduling a session, or several dates of its series by the same days and to the same hour.

The protocol is booking's: enqueue the recovery job, hold the new times, write to Outlook, save the
rows. Until Outlook has the new times each session holds both: the old time without an expiry, the
new time until the hold expires. If the scope has every date that Outlook has, the series itself is
moved; otherwise each date by itself, so that answers to other dates are kept.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from shared.availability.finding import rules_for
from shared.availability.masks import round_out_to_grid
from shared.availability.working_hours import zone_of
from shared.clock import Clock
from shared.errors import Conflict, NotFound, SlotTaken, StaleRow
from shared.organizations.model import Caller
from shared.pairings.model import Invitee, Pairing
from shared.pairings.ports import PairingStore
from shared.sessions import lifecycle
from shared.sessions.checking import Terms, slot_error, slot_taken_after_race
from shared.sessions.holding import hold_new_times
from shared.sessions.lifecycle import Action
from shared.sessions.model import HOLD_TTL, Session, SessionState
from shared.sessions.moving import move_each, move_series
from shared.sessions.new_times import preserves_pattern, require_order, target_spans
from shared.sessions.people import people_to_meet, require_member
from shared.sessions.ports import SessionPorts, SessionStore
from shared.sessions.recovering import recover_change
from shared.sessions.requests import (
    RescheduleRequest,
    require_organizer,
    validate_duration,
    validate_quorum_size,
    validate_start,
)
from shared.sessions.scopes import ScopedSessions, enqueue_recovery, load_scope, with_event_id
from shared.sessions.series import PlannedDate, Scope
from shared.sessions.series_splits import refuse_unheard_split
from shared.sessions.snapshots import check_with_alternatives, read_snapshots, with_holds
from shared.timespan import TimeSpan

_MAX_ATTEMPTS: Final = 3
"""The number of attempts of a request that meets a concurrent attempt of the same request."""


async def reschedule(
    caller: Caller,
    pairing: Pairing,
    session: Session,
    request: RescheduleRequest,
    scope: Scope = Scope.ONE,
    *,
    ports: SessionPorts,
) -> list[Session]:
    """Move *session* and the dates of its series in *scope*; attendees' answers are reset.

    Returns the sessions in scope. Idempotent: sessions that are at the new times already stay.
    The people of the sessions themselves must be free. *pairing* is the one as it is today.

    Raises:
        NotAllowed: the caller is not the organizer, or is not in the pairing any more.
        SlotTaken, SlotUnknown: with alternatives; nothing has changed.
        Invalid: the time breaks a rule, the scope needs a series, or a date would pass a neighbour.
        Conflict: the session's state does not allow it.
        LimitReached: the caller or the organization has done too much; nothing has changed.
        StaleRow: another request changed the session first.
        CalendarUnavailable, CalendarThrottled: the outcome is unknown; the recovery job reads it.
    """
    for _ in range(_MAX_ATTEMPTS):
        try:
            return await _reschedule(caller, pairing, session, request, scope, ports)
        except StaleRow:
            before, session = session, await ports.sessions.get(session.organizer, session.id)
            # A concurrent attempt of the same request has the same target: continue from its row.
            # So does this one where nothing changed that the caller could have seen.
            is_same = session.is_at(request.span) or session.pending_span == request.span
            if not is_same and session.revision != before.revision:
                raise
    raise StaleRow("Too many requests change this session at the same time.")


async def _reschedule(
    caller: Caller,
    pairing: Pairing,
    session: Session,
    request: RescheduleRequest,
    scope: Scope,
    ports: SessionPorts,
) -> list[Session]:
    """Try once. Raises StaleRow: a concurrent attempt or another request wrote the row first."""
    require_organizer(caller, session)
    require_member(caller, pairing)
    session = _with_accepted_proposal(session, request)
    scoped = await load_scope(session, scope, sessions=ports.sessions)
    scoped = await _recover_pending(caller, scoped, request, ports)
    now = ports.clock.now()
    lifecycle.after(scoped.named.state, Action.RESCHEDULE)
    if scoped.named.span.end <= now:
        raise Conflict("The session is over.")
    changeable = scoped.changeable(now)
    spans = target_spans(scoped, changeable, request)
    is_there = all(s.is_at(spans[s.occurrence]) for s in changeable)
    if is_there and not request.span.is_empty:
        return changeable
    _require_attendees(scoped.named)
    people = people_to_meet(caller, pairing, changeable)
    terms = _terms(caller, people, request, spans, now)
    moves_series = preserves_pattern(scoped, changeable, spans, request.time_zone)
    require_order(scoped, changeable, spans, terms.rules.buffers, by_day=not moves_series)
    attempt = _attempt(scoped, request)
    await ports.limiter.admit_read(caller, before=attempt)
    await refuse_unheard_split(scoped.series, scoped.known, ports=ports)
    scoped = await with_event_id(scoped, calendar=ports.calendar, sessions=ports.sessions)
    changeable = scoped.changeable(now)
    if scoped.series is None and (not changeable or scoped.named.event_id is None):
        raise _event_missing(scoped.named)
    moving = await _hold(caller, people, scoped, changeable, spans, terms, attempt, ports)
    if scoped.series is not None and moves_series:
        return await move_series(caller, scoped.series, moving, request, ports)
    return await move_each(caller, scoped, moving, request, ports)


async def _recover_pending(
    caller: Caller,
    scoped: ScopedSessions,
    request: RescheduleRequest,
    ports: SessionPorts,
) -> ScopedSessions:
    """Record an earlier attempt's move, whose outcome was unknown, as Outlook has it now."""
    named, organization = scoped.named, caller.organization
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
    """Return *session* with the proposal that *request* accepts noted on its attendee."""
    return replace(
        session,
        attendees=tuple(
            replace(a, taken=request.span) if a.address == request.proposed_by else a
            for a in session.attendees
        ),
    )


def _require_attendees(session: Session) -> None:
    if not any(attendee.invited for attendee in session.attendees):
        raise Conflict(
            "The session has no attendees any more.",
            remedy="Invite an attendee to the meeting in Outlook, or cancel it and book a new one.",
        )


def _attempt(scoped: ScopedSessions, request: RescheduleRequest) -> str:
    """Return a text that is the same for each retry of a request, and for no other one."""
    session, base = scoped.named, acceptable_revisions(scoped.named, request)[-1]
    return f"{session.id} {scoped.scope} {base} {request.span.start} {request.span.end}"


def _terms(
    caller: Caller,
    people: Sequence[Invitee],
    request: RescheduleRequest,
    spans: Mapping[int, TimeSpan],
    now: datetime,
) -> Terms:
    """Return the conditions for every new date. Raises Invalid: a date can never meet them."""
    validate_duration(request.span)
    rules = rules_for(
        caller.organization.settings,
        duration=round_out_to_grid(request.span).duration,
        now=now,
        zone=zone_of(request.time_zone),
    )
    for span in spans.values():
        validate_start(span, rules)
    validate_quorum_size(people, request.at_least)
    return Terms(rules, request.accept_unknown, request.at_least)


def _event_missing(session: Session) -> Conflict:
    if session.series_id is None:
        return Conflict("The session is still being booked.")
    return Conflict(
        "Outlook does not show this date of the series.",
        remedy="Read the session again in a minute: it may have been cancelled in Outlook.",
    )


async def _hold(
    caller: Caller,
    people: Sequence[Invitee],
    scoped: ScopedSessions,
    changeable: Sequence[Session],
    spans: Mapping[int, TimeSpan],
    terms: Terms,
    attempt: str,
    ports: SessionPorts,
) -> list[Session]:
    """Check that every new time is free, and hold it beside the session's present time."""
    own = frozenset(s.id for s in changeable)
    targets = {s.occurrence: round_out_to_grid(spans[s.occurrence]) for s in changeable}
    asked = [*targets.values()]
    snapshots = await read_snapshots(
        caller, people, asked, terms, freed=changeable, schedules=ports.schedules
    )
    checked, snapshots = await check_with_alternatives(
        targets, snapshots, terms, own, sessions=ports.sessions, clock=ports.clock
    )
    if refused := slot_error(checked):
        raise refused
    dates = {date.planned.number: date.planned for date in checked}
    until = ports.clock.now() + HOLD_TTL
    moving = [
        _with_pending_move(s, spans[s.occurrence], dates[s.occurrence], terms, until)
        for s in changeable
    ]
    await ports.limiter.admit_change(caller, len(moving), key=attempt)
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
    session: Session, span: TimeSpan, date: PlannedDate, terms: Terms, until: datetime
) -> Session:
    """Return *session* with a pending move to *span*, and which attendees are free then."""
    return replace(
        session.with_pending_move(span, until),
        pending_buffers=terms.rules.buffers,
        pending_unknown_for=date.unknown_for,
        attendees=tuple(
            replace(a, is_free_at_pending=a.address not in date.busy) for a in session.attendees
        ),
    )


# --- repeating a request


def acceptable_revisions(session: Session, request: RescheduleRequest) -> tuple[str, ...]:
    """Return the revisions that the caller of *request* may name in If-Match.

    The current one. While the same move is pending, also the one that the move was based
    on: a retry has seen no later one.
    """
    if session.pending_base_version is None or session.pending_span != request.span:
        return (session.revision,)
    return session.revision, session.pending_base_version


async def find_already_moved(
    caller: Caller,
    session: Session,
    request: RescheduleRequest,
    scope: Scope,
    *,
    sessions: SessionStore,
    clock: Clock,
) -> list[Session] | None:
    """Return the sessions in scope if they are at the times of *request*, for a retry; else None.

    Other dates of a series than the named one may have that move pending; `reschedule` finishes it.

    Raises:
        NotAllowed: the caller is not the organizer.
        Invalid: the scope needs a series.
        Conflict: the series is still being booked.
    """
    require_organizer(caller, session)
    is_there = session.is_at(request.span) and not request.span.is_empty
    if session.state is not SessionState.SCHEDULED or not is_there:
        return None
    scoped = await load_scope(session, scope, sessions=sessions)
    if scoped.series is None:
        return None if session.pending_span else [session]
    changeable = scoped.changeable(clock.now())
    spans = target_spans(scoped, changeable, request)
    return changeable if all(_goes_to(spans[s.occurrence], s) for s in changeable) else None


def _goes_to(span: TimeSpan, session: Session) -> bool:
    return session.pending_span == span if session.pending_span else session.is_at(span)


def describe_state(session: Session) -> str:
    """Describe the session's state for the `detail` of a 409 or 412."""
    start = f"{session.span.start:%Y-%m-%dT%H:%M:%SZ}"
    if session.dates:
        start = f"{session.dates.first_on}, all day"
    if session.state is SessionState.SCHEDULED:
        return f"scheduled for {start}"
    return f"{session.state}; it was to start at {start}"


async def pairing_for_reschedule(session: Session, *, pairings: PairingStore) -> Pairing:
    """Return the pairing of *session*, whose present participants may move it.

    Raises Conflict: the pairing was ended. Sessions outlive their pairing: they can still be
    answered and cancelled.
    """
    try:
        return await pairings.get(session.organization_id, session.pairing_id)
    except NotFound:
        raise Conflict(
            "The pairing was ended, so its sessions cannot be moved.", remedy="Cancel the session."
        ) from None
