"""Booking a session or a series: one event in Outlook, and one stored row for each date.

The order of effects is the protocol (docs/architecture.md), the same for one date and for several:
enqueue the recovery job, place the holds (the organizer's together with the session's row), create
the event in Outlook, confirm rows and holds. The recovery job has what it needs to find an event:
for one date the session's id and its mailboxes, for several dates the series' row, which is stored
before any hold. Ids are derived from the idempotency key, so a retry finds the state that an
earlier attempt left at any step, and continues from there.

A series is created with all its dates; afterwards skipped dates are cancelled and moved dates are
rescheduled, as exceptions of the event. If that is interrupted and the caller does not retry,
Outlook is authoritative: the recovery job stores a session for every date that Outlook has.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Final

from shared.availability.finding import rules_for
from shared.availability.working_hours import zone_of
from shared.clock import Clock
from shared.concurrency import gather_limited
from shared.errors import (
    CalendarThrottled,
    CalendarUnavailable,
    KeyReused,
    SlotTaken,
    SlotUnknown,
    StaleRow,
    StoreUnavailable,
)
from shared.ids import SeriesId, SessionId
from shared.jobs import Job, JobKind
from shared.organizations.model import Caller
from shared.pairings.model import Pairing
from shared.sessions import reservations
from shared.sessions.booking_draft import event_draft, new_series, new_sessions, requested_spans
from shared.sessions.calendar_errors import REFUSALS
from shared.sessions.calendar_events import CalendarEvent
from shared.sessions.checking import Terms, resolve_conflicts, slot_taken_after_race
from shared.sessions.event_creation import apply_exceptions, create_event
from shared.sessions.holding import (
    expire_lease,
    find_session,
    place_holds,
    release_holds,
    renew_holds,
    roll_back_series,
    wait_for_concurrent_attempt,
)
from shared.sessions.listing import count_unanswered
from shared.sessions.model import RECOVERY_DELAY, Session, SessionState
from shared.sessions.occurrences import load_sessions
from shared.sessions.ports import SessionPorts, SessionStore
from shared.sessions.recording import confirm_booking, series_job
from shared.sessions.requests import (
    BookingRequest,
    session_id_for,
    validate_quorum_size,
    validate_start,
)
from shared.sessions.series import Booking, PlannedDate, occurrence_id
from shared.sessions.snapshots import check_with_alternatives, read_snapshots, with_holds

_MAX_ATTEMPTS: Final = 5
"""The number of times a request starts again from the state of a concurrent attempt."""
_MAX_PLANS: Final = 3
"""The number of plans a request makes before it gives up a race for its dates."""


async def book(
    caller: Caller, pairing: Pairing, request: BookingRequest, *, ports: SessionPorts
) -> Booking:
    """Book with the caller as organizer; idempotent by the request's key.

    Raises:
        KeyReused: the key belongs to another request.
        SlotTaken, SlotUnknown: with alternatives; of a series for each date that is not free and
            that the request does not allow to be skipped or moved. All holds are released.
        Invalid: the time breaks a rule of the organization.
        LimitReached: the caller or the organization has done too much; nothing has changed.
        CalendarUnavailable, CalendarThrottled, StoreUnavailable: the outcome is unknown. A retry
            with the same key continues; without one the recovery job finishes or undoes the
            booking.
    """
    key = session_id_for(caller, pairing.id, request.key)
    for _ in range(_MAX_ATTEMPTS):
        booking = await _find(caller, pairing, request, key, ports)
        is_retry = booking is not None
        if booking is not None:
            if booking.row.fingerprint != request.fingerprint:
                raise _key_reused()
            if booking.row.state is not SessionState.REQUESTED:
                return booking
            if await _was_continued(booking, ports):
                continue
        try:
            return await _hold_and_create(caller, pairing, request, key, booking, ports)
        except (SlotTaken, SlotUnknown):
            if await _find(caller, pairing, request, key, ports) is None:
                raise
            if is_retry:
                break  # the holds expired; the recovery job reads whether Outlook has the event
            # A concurrent attempt with the same key holds the time: return its result.
        except StaleRow:
            continue  # a concurrent attempt with the same key wrote or removed the row first
    raise StoreUnavailable("A concurrent attempt handles the same request.")


async def _find(
    caller: Caller,
    pairing: Pairing,
    request: BookingRequest,
    key: SessionId,
    ports: SessionPorts,
) -> Booking | None:
    """Return the booking as an earlier attempt stored it; None if there is none.

    Sessions of a series that the attempt had not stored yet are included, without a version.
    """
    organizer, sessions = caller.mailbox, ports.sessions
    if request.repeat is None:
        session = await find_session(organizer, key, sessions=sessions)
        if session is not None:
            return Booking((session,))
        if await sessions.get_series(organizer, SeriesId(key)):
            raise _key_reused()
        return None
    series = await sessions.get_series(organizer, SeriesId(key))
    if series is None:
        if await find_session(organizer, key, sessions=sessions):
            raise _key_reused()
        return None
    known = {s.occurrence: s for s in await load_sessions(series, sessions=sessions)}
    if series.state is not SessionState.REQUESTED:
        return Booking(tuple(known.values()), series)
    now = ports.clock.now()
    planned = new_sessions(caller, pairing, request, key, series.planned, now)
    return Booking(tuple(known.get(s.occurrence, s) for s in planned), series)


def _key_reused() -> KeyReused:
    return KeyReused("This Idempotency-Key was used for another request.")


async def _was_continued(booking: Booking, ports: SessionPorts) -> bool:
    """Wait for a concurrent attempt while its lease is fresh; return whether it made progress.

    The lease is the first session's hold, also for a series.
    """
    first = booking.sessions[0]

    async def is_unchanged() -> bool:
        known = await find_session(first.organizer, first.id, sessions=ports.sessions)
        if (known.version if known else "") != first.version:
            return False
        if booking.series is None:
            return True
        series = await ports.sessions.get_series(first.organizer, booking.series.id)
        return series is not None and series.version == booking.series.version

    held = first if first.version else None
    return await wait_for_concurrent_attempt(
        held, is_unchanged, clock=ports.clock, pause=ports.pause
    )


async def _hold_and_create(
    caller: Caller,
    pairing: Pairing,
    request: BookingRequest,
    key: SessionId,
    booking: Booking | None,
    ports: SessionPorts,
) -> Booking:
    """Place the holds, or those that an earlier attempt (*booking*) left out; create the event.

    If Outlook cannot be reached, the lease is shortened so that a retry takes over at once.
    """
    try:
        if booking is None:
            booking = await _reserve(caller, pairing, request, key, ports)
        else:
            booking = await _hold(booking, request, sessions=ports.sessions, clock=ports.clock)
        return await _create(caller, pairing, request, booking, ports)
    except (CalendarThrottled, CalendarUnavailable):
        if booking is not None:
            await expire_lease(booking.sessions[0], sessions=ports.sessions, clock=ports.clock)
        raise


async def _reserve(
    caller: Caller,
    pairing: Pairing,
    request: BookingRequest,
    key: SessionId,
    ports: SessionPorts,
) -> Booking:
    """Check that every date is free, store the plan and hold the dates to be booked."""
    now = ports.clock.now()
    terms = _terms(caller, pairing, request, now)
    spans = requested_spans(request, terms)
    attempt = f"{key} {request.fingerprint}"
    await ports.limiter.admit_read(caller, before=attempt)
    own = frozenset({key, *(occurrence_id(SeriesId(key), number) for number in spans)})
    snapshots = await read_snapshots(
        caller, pairing.people, [*spans.values()], terms, schedules=ports.schedules
    )
    for _ in range(_MAX_PLANS):
        checked, snapshots = await check_with_alternatives(
            spans, snapshots, terms, own, sessions=ports.sessions, clock=ports.clock
        )
        planned = resolve_conflicts(checked, request, snapshots, terms)
        sessions = new_sessions(caller, pairing, request, key, planned, now)
        booking = Booking(tuple(sessions))
        if request.repeat is not None:
            booking = replace(booking, series=new_series(caller, pairing, request, planned))
        await _admit(caller, planned, attempt, ports)
        await ports.jobs.put(_recovery_job(booking), delay=RECOVERY_DELAY)
        if booking.series is not None:
            series = await reservations.put_series(ports.sessions, booking.series)
            booking = replace(booking, series=series)
        try:
            return await _hold(booking, request, sessions=ports.sessions, clock=ports.clock)
        except SlotTaken:
            if booking.series is not None:
                await roll_back_series(booking.series, sessions=ports.sessions)
            snapshots = await with_holds(
                snapshots, own, again=True, sessions=ports.sessions, clock=ports.clock
            )
    raise slot_taken_after_race(spans, snapshots, terms)


async def _admit(
    caller: Caller, planned: Sequence[PlannedDate], attempt: str, ports: SessionPorts
) -> None:
    """Count the dates that are to be booked, once for all attempts of the request."""
    dates = sum(date.booked is not None for date in planned)
    count = partial(count_unanswered, caller.mailbox, sessions=ports.sessions, clock=ports.clock)
    await ports.limiter.admit_change(caller, dates, key=attempt, count_unanswered=count)


def _terms(caller: Caller, pairing: Pairing, request: BookingRequest, now: datetime) -> Terms:
    """Return the conditions for every date. Raises Invalid: the request can never meet them."""
    settings, zone = caller.organization.settings, zone_of(request.time_zone)
    rules = rules_for(settings, duration=request.duration, now=now, zone=zone)
    validate_start(request.span, rules)
    validate_quorum_size(pairing.people, request.at_least)
    return Terms(rules, request.accept_unknown, request.at_least)


def _recovery_job(booking: Booking) -> Job:
    """Return the job that finishes or undoes the booking.

    For one date it names every mailbox that may have a hold: the session's row may not exist yet.
    """
    if booking.series is not None:
        return series_job(JobKind.SERIES, booking.series)
    (session,) = booking.sessions
    return Job(JobKind.VERIFY, session.organization_id, session.mailboxes, (session.id,))


async def _hold(
    booking: Booking, request: BookingRequest, *, sessions: SessionStore, clock: Clock
) -> Booking:
    """Hold every date that is to be booked; existing holds stay. Raises SlotTaken, StaleRow.

    The first date is held before the others start: of two requests for the same dates the loser
    fails here, without holds on any other date.
    """

    async def one(session: Session) -> Session:
        if not session.version:
            return await place_holds(
                session, at_least=request.at_least, sessions=sessions, clock=clock
            )
        if session.state is SessionState.REQUESTED:
            return await renew_holds(session, sessions=sessions, clock=clock)
        return session

    first, *others = booking.sessions
    held = [await one(first), *await gather_limited(map(one, others))]
    return replace(booking, sessions=tuple(held))


async def _create(
    caller: Caller,
    pairing: Pairing,
    request: BookingRequest,
    booking: Booking,
    ports: SessionPorts,
) -> Booking:
    """Create the event in Outlook and confirm the rows. A refusal rolls the booking back."""
    first, occurrences = booking.sessions[0], dict[int, CalendarEvent]()
    try:
        event, meeting = await create_event(
            caller.acting,
            event_draft(pairing, request, booking),
            first.online_meeting,
            calendar=ports.calendar,
        )
    except REFUSALS:
        # A refusal: Outlook created no event, so all holds are released.
        await _roll_back(booking, sessions=ports.sessions)
        raise
    sessions = tuple(replace(s, online_meeting=meeting) for s in booking.sessions)
    booking = replace(booking, sessions=sessions)
    if booking.series is not None:
        series = replace(booking.series, event_id=event.event_id)
        booking = replace(booking, series=series)
        occurrences = await apply_exceptions(caller.acting, series, calendar=ports.calendar)
    try:
        return await confirm_booking(booking, event, occurrences, caller.organization, ports=ports)
    except SlotTaken:
        # The row and its holds were removed and the time is taken: cancel the event, too.
        await ports.calendar.cancel(caller.acting, event.event_id, "")
        await _roll_back(booking, sessions=ports.sessions)
        raise


async def _roll_back(booking: Booking, *, sessions: SessionStore) -> None:
    if booking.series is not None:
        await roll_back_series(booking.series, sessions=sessions)
    else:
        (session,) = booking.sessions
        await release_holds(session.mailboxes, session.id, sessions=sessions)
