"""Booking a session, or a series of them: one event in Outlook, a row here for each date.

The order of effects is the protocol (docs/architecture.md), the same for one date and for several:
recovery message, holds of the others, hold and row of the organizer, event in Outlook, rows and
holds confirmed. What was planned is stored before anything is held, so whoever comes back to look
knows what to look for: of one date it is the session's own row, of several the series'. Ids are
derived from the idempotency key, so a retry finds what was left at any step and goes on from there.

Dates of a series that are left out or booked elsewhere are made exceptions of the event after it is
created. If that breaks off and nobody repeats the request, Outlook is right: those sessions exist.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from shared.availability.finding import rules_for
from shared.availability.working_hours import zone_of
from shared.clock import Clock
from shared.concurrency import gather_limited
from shared.errors import (
    CalendarThrottled,
    CalendarUnavailable,
    Invalid,
    KeyReused,
    SlotTaken,
    SlotUnknown,
    StaleRow,
    StoreUnavailable,
)
from shared.ids import SeriesId, SessionId
from shared.jobs import Job, JobKind
from shared.organizations.model import Caller, OnlineMeetingChoice
from shared.pairings.model import Pairing
from shared.sessions import reservations
from shared.sessions.calendar_errors import REFUSALS, raise_first_error
from shared.sessions.checking import Terms, resolve_conflicts, slot_taken_after_race
from shared.sessions.event_creation import create_event
from shared.sessions.holding import (
    expire_lease,
    find_session,
    place_holds,
    release_holds,
    renew_holds,
    roll_back_series,
    wait_for_concurrent_attempt,
)
from shared.sessions.model import (
    RECOVERY_DELAY,
    Attendee,
    CalendarEvent,
    EventDraft,
    OnlineMeeting,
    OnlineMeetingState,
    Session,
    SessionState,
)
from shared.sessions.occurrences import list_instances, load_sessions
from shared.sessions.ports import Calendar, SessionPorts, SessionStore
from shared.sessions.recording import confirm_booking, series_job
from shared.sessions.recurrence import occurrence_spans
from shared.sessions.requests import (
    BookingRequest,
    session_id_for,
    validate_quorum_size,
    validate_start,
)
from shared.sessions.series import (
    Booking,
    Outcome,
    PlannedDate,
    Series,
    match_occurrences,
    occurrence_id,
)
from shared.sessions.snapshots import check_with_alternatives, read_snapshots, with_holds
from shared.timespan import TimeSpan

_MAX_ATTEMPTS: Final = 5
"""How often a request looks what the same request, sent at the same time, has come to."""
_MAX_PLANS: Final = 3
"""How often a plan is made anew, because others took dates while they were being held."""


async def book(
    participation: Caller, pairing: Pairing, request: BookingRequest, *, ports: SessionPorts
) -> Booking:
    """Book with the caller as organizer, or find that it was booked already.

    Raises:
        KeyReused: the key belongs to another request.
        SlotTaken, SlotUnknown: with alternatives, of a series for each date that is not free and
            that the request does not want skipped or moved. Nothing is left behind.
        Invalid: the time breaks a rule of the organization.
        CalendarUnavailable, CalendarThrottled, StoreUnavailable: the same request with the same key
            goes on from here; if nobody repeats it, the recovery job finishes or undoes it.
    """
    key = session_id_for(participation, pairing.id, request.key)
    for _ in range(_MAX_ATTEMPTS):
        booking = await _find(
            participation, pairing, request, key, sessions=ports.sessions, clock=ports.clock
        )
        is_retry = booking is not None
        if booking is not None:
            if booking.row.fingerprint != request.fingerprint:
                raise _key_reused()
            if booking.row.state is not SessionState.REQUESTED:
                return booking
            if await _was_continued(
                booking, sessions=ports.sessions, clock=ports.clock, pause=ports.pause
            ):
                continue
        try:
            if booking is None:
                booking = await _reserve(participation, pairing, request, key, ports)
            else:
                booking = await _hold(booking, request, sessions=ports.sessions, clock=ports.clock)
            return await _create(participation, pairing, request, booking, ports)
        except (SlotTaken, SlotUnknown):
            if (
                await _find(
                    participation, pairing, request, key, sessions=ports.sessions, clock=ports.clock
                )
                is None
            ):
                raise
            if is_retry:
                break  # its holds ran out; whether Outlook has it the recovery job finds out
            # Taken by the same request, sent twice at once: its answer is ours.
        except StaleRow:
            continue  # the same request, elsewhere, is ahead of us, or has just given up
        except (CalendarThrottled, CalendarUnavailable):
            if booking is not None:
                await expire_lease(booking.sessions[0], sessions=ports.sessions, clock=ports.clock)
            raise
    raise StoreUnavailable("The same request is being handled elsewhere.")


async def _find(
    participation: Caller,
    pairing: Pairing,
    request: BookingRequest,
    key: SessionId,
    *,
    sessions: SessionStore,
    clock: Clock,
) -> Booking | None:
    """Return what an earlier attempt left; of a series with dates it did not get to hold."""
    organizer = participation.mailbox
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
    now = clock.now()
    planned = _new_sessions(participation, pairing, request, key, series.planned, now)
    return Booking(tuple(known.get(s.occurrence, s) for s in planned), series)


def _key_reused() -> KeyReused:
    return KeyReused("This Idempotency-Key was used for another request.")


async def _was_continued(
    booking: Booking,
    *,
    sessions: SessionStore,
    clock: Clock,
    pause: Callable[[float], Awaitable[None]],
) -> bool:
    """Wait a moment for whoever is booking it; tell whether they got any further.

    The first session's hold is the lease, also of a series.
    """
    first = booking.sessions[0]

    async def is_unchanged() -> bool:
        known = await find_session(first.organizer, first.id, sessions=sessions)
        if (known.version if known else "") != first.version:
            return False
        if booking.series is None:
            return True
        series = await sessions.get_series(first.organizer, booking.series.id)
        return series is not None and series.version == booking.series.version

    held = first if first.version else None
    return await wait_for_concurrent_attempt(held, is_unchanged, clock=clock, pause=pause)


async def _reserve(
    participation: Caller,
    pairing: Pairing,
    request: BookingRequest,
    key: SessionId,
    ports: SessionPorts,
) -> Booking:
    """Check that every date is free and hold those that are to be booked."""
    now, zone = ports.clock.now(), zone_of(request.time_zone)
    settings = participation.organization.settings
    rules = rules_for(settings, duration=request.duration, now=now, zone=zone)
    terms = Terms(rules, request.accept_unknown, request.at_least)
    validate_start(request.span, rules)
    validate_quorum_size(pairing, request.at_least)
    spans = _requested_spans(request, terms)
    own = frozenset({key, *(occurrence_id(SeriesId(key), number) for number in spans)})
    snapshots = await read_snapshots(
        participation, pairing, [*spans.values()], terms, schedules=ports.schedules
    )
    for _ in range(_MAX_PLANS):
        checked, snapshots = await check_with_alternatives(
            spans, snapshots, terms, own, sessions=ports.sessions, clock=ports.clock
        )
        planned = resolve_conflicts(checked, request, snapshots, terms)
        sessions = _new_sessions(participation, pairing, request, key, planned, now)
        booking = Booking(tuple(sessions))
        if request.repeat is not None:
            booking = replace(booking, series=_new_series(participation, pairing, request, planned))
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


def _requested_spans(request: BookingRequest, terms: Terms) -> dict[int, TimeSpan]:
    """Return every date by its number. Raises Invalid: some are beyond the horizon."""
    if request.repeat is None:
        return {0: request.span}
    spans = occurrence_spans(
        request.start, request.duration, zone_of(request.time_zone), request.repeat
    )
    inside = sum(span.start <= terms.rules.latest_start for span in spans)
    if inside < len(spans):
        raise Invalid(
            "body.repeat.count" if request.repeat.count else "body.repeat.until",
            f"Only {inside} of these {len(spans)} dates are within the horizon.",
        )
    return dict(enumerate(spans))


def _new_sessions(
    participation: Caller,
    pairing: Pairing,
    request: BookingRequest,
    key: SessionId,
    planned: Sequence[PlannedDate],
    now: datetime,
) -> list[Session]:
    """Return the sessions that are to be booked, before anything is held."""
    organization, organizer = participation.organization, participation.mailbox
    wanted = request.online_meeting or organization.settings.online_meeting
    series_id = SeriesId(key) if request.repeat else None
    return [
        Session(
            id=occurrence_id(series_id, date.number) if series_id else key,
            organization_id=organization.id,
            pairing_id=pairing.id,
            organizer=organizer,
            state=SessionState.REQUESTED,
            span=date.booked,
            time_zone=request.time_zone,
            attendees=tuple(
                Attendee(
                    p.address,
                    p.object_id,
                    required=p.required,
                    is_free=p.address not in date.busy,
                )
                for p in pairing.participants
                if p.object_id != organizer.object_id
            ),
            created_at=now,
            changed_at=now,
            online_meeting=OnlineMeeting(wanted, _expected(wanted)),
            fingerprint=request.fingerprint,
            unknown_for=date.unknown_for,
            series_id=series_id,
            occurrence=date.number,
        )
        for date in planned
        if date.booked is not None
    ]


def _expected(wanted: OnlineMeetingChoice) -> OnlineMeetingState:
    is_none = wanted is OnlineMeetingChoice.NONE
    return OnlineMeetingState.NONE if is_none else OnlineMeetingState.PENDING


def _new_series(
    participation: Caller,
    pairing: Pairing,
    request: BookingRequest,
    planned: Sequence[PlannedDate],
) -> Series:
    repeat = request.repeat
    if repeat is None:
        raise ValueError("no series was asked for")
    return Series(
        id=SeriesId(session_id_for(participation, pairing.id, request.key)),
        organization_id=participation.organization.id,
        pairing_id=pairing.id,
        organizer=participation.mailbox,
        attendee_mailboxes=tuple(
            m
            for p in pairing.participants
            if (m := pairing.mailbox(p)) and m != participation.mailbox
        ),
        state=SessionState.REQUESTED,
        fingerprint=request.fingerprint,
        time_zone=request.time_zone,
        frequency=repeat.frequency,
        monthly_by=repeat.monthly_by,
        planned=tuple(planned),
    )


def _recovery_job(booking: Booking) -> Job:
    """Return the job that finishes or undoes it. Of one date it names whose time may be held."""
    if booking.series is not None:
        return series_job(JobKind.SERIES, booking.series)
    (session,) = booking.sessions
    return Job(JobKind.VERIFY, session.organization_id, session.mailboxes, (session.id,))


async def _hold(
    booking: Booking, request: BookingRequest, *, sessions: SessionStore, clock: Clock
) -> Booking:
    """Hold every date that is to be booked; what is held already stays. Raises SlotTaken, StaleRow.

    The first date by itself: of two who want the same dates one loses here, and holds nothing else.
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
    participation: Caller,
    pairing: Pairing,
    request: BookingRequest,
    booking: Booking,
    ports: SessionPorts,
) -> Booking:
    first, occurrences = booking.sessions[0], dict[int, CalendarEvent]()
    try:
        event, meeting = await create_event(
            participation.acting,
            _event_draft(pairing, request, booking),
            first.online_meeting,
            calendar=ports.calendar,
        )
    except REFUSALS:
        # A definite no: nothing was created, so nothing stays held.
        await _roll_back(booking, sessions=ports.sessions)
        raise
    sessions = tuple(replace(s, online_meeting=meeting) for s in booking.sessions)
    booking = replace(booking, sessions=sessions)
    if booking.series is not None:
        booking = replace(booking, series=replace(booking.series, event_id=event.event_id))
        occurrences = await _apply_exceptions(participation, booking, calendar=ports.calendar)
    try:
        return await confirm_booking(
            booking, event, occurrences, participation.organization, ports=ports
        )
    except SlotTaken:
        # The row was lost, and the time with it: the event must not outlive them.
        await ports.calendar.cancel(participation.acting, event.event_id, "")
        await _roll_back(booking, sessions=ports.sessions)
        raise


async def _roll_back(booking: Booking, *, sessions: SessionStore) -> None:
    if booking.series is not None:
        await roll_back_series(booking.series, sessions=sessions)
    else:
        (session,) = booking.sessions
        await release_holds(session.mailboxes, session.id, sessions=sessions)


def _event_draft(pairing: Pairing, request: BookingRequest, booking: Booking) -> EventDraft:
    """Return what Outlook is asked for."""
    session = booking.sessions[0]
    draft = EventDraft(
        session_id=session.id,
        title=request.title or pairing.default_title,
        agenda=request.agenda,
        location=request.location,
        span=session.span,
        time_zone=session.time_zone,
        attendees=session.attendees,
        online_meeting=session.online_meeting.wanted,
    )
    if booking.series is None:
        return draft
    inside = booking.series.recurring_dates
    return replace(
        draft,
        session_id=SessionId(booking.series.id),
        span=inside[0].span,
        pattern=booking.series.pattern(inside[0], len(inside)),
    )


async def _apply_exceptions(
    participation: Caller, booking: Booking, *, calendar: Calendar
) -> dict[int, CalendarEvent]:
    """Take out what is skipped, move what is moved; return what is known of the occurrences."""
    series = booking.series
    if series is None or all(p.outcome is Outcome.BOOKED for p in series.recurring_dates):
        return {}
    instances = await list_instances(series, calendar=calendar)
    found = dict(match_occurrences(series.planned, [], instances))
    skipped = [p.number for p in series.planned if p.booked is None and p.number in found]
    if skipped:
        gone = [found.pop(number).event_id for number in skipped]
        raise_first_error(await calendar.cancel_many(participation.acting, gone, ""))
    moved: Mapping[int, TimeSpan] = {
        p.number: p.moved_to
        for p in series.planned
        if p.moved_to and p.number in found and found[p.number].span != p.moved_to
    }
    if moved:
        events = [(found[number].event_id, span) for number, span in moved.items()]
        answers = await calendar.reschedule_many(participation.acting, events, series.time_zone)
        raise_first_error(answers)
        seen = zip(moved, answers, strict=True)
        found |= {number: event for number, event in seen if isinstance(event, CalendarEvent)}
    return found
