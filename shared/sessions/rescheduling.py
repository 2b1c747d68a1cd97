"""Moving a session, or it and others of its series by as many days and to the same hour.

The same protocol as booking: recovery message, new holds, Outlook, rows. Until Outlook has the new
times the sessions hold both, the old ones for good and the new ones until the hold runs out. Where
everything that Outlook has of a series is meant, the series itself is moved; else each date by
itself, so that nobody's answer to another date is lost.
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
from shared.pairings.model import Pairing
from shared.pairings.ports import PairingStore
from shared.sessions import lifecycle
from shared.sessions.checking import Terms, slot_error, slot_taken_after_race
from shared.sessions.holding import hold_new_times
from shared.sessions.lifecycle import Action
from shared.sessions.model import HOLD_TTL, Session, SessionState
from shared.sessions.moving import move_each, move_series
from shared.sessions.new_times import preserves_pattern, require_order, target_spans
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
    spans = target_spans(scoped, meant, request)
    if all(spans[s.occurrence] == s.span for s in meant):
        return meant
    if not scoped.named.attendees:
        raise Conflict(
            "Nobody is invited to this session any more.",
            remedy="Invite somebody to the meeting in Outlook, or cancel it and book anew.",
        )
    require_order(scoped, meant, spans)
    terms = _terms(participation, pairing, request, spans, now)
    scoped = await with_event_id(scoped, calendar=ports.calendar, sessions=ports.sessions)
    meant = scoped.changeable(now)
    if scoped.series is None and (not meant or scoped.named.event_id is None):
        raise _event_missing(scoped.named)
    moving = await _hold(participation, pairing, scoped, meant, spans, terms, ports)
    if scoped.series is not None and preserves_pattern(scoped, scoped.series, moving):
        return await move_series(participation, scoped.series, moving, request, ports)
    return await move_each(participation, scoped, moving, request, ports)


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
    spans = target_spans(scoped, meant, request)
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
