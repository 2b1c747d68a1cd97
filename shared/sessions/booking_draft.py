"""The draft of a booking: dates, rows and event, before any hold is placed. Pure."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from shared.availability.model import Buffers
from shared.availability.working_hours import zone_of
from shared.errors import Invalid
from shared.ids import Mailbox, SeriesId, SessionId
from shared.organizations.model import Caller, OnlineMeetingChoice
from shared.pairings.model import Pairing
from shared.sessions.calendar_events import EventDraft
from shared.sessions.checking import Terms
from shared.sessions.model import Attendee, Session, SessionState
from shared.sessions.online_meeting import OnlineMeeting, OnlineMeetingState
from shared.sessions.recurrence import follows_pattern, occurrence_spans
from shared.sessions.requests import BookingRequest, session_id_for
from shared.sessions.series import Booking, PlannedDate, Series, occurrence_id
from shared.timespan import TimeSpan


def requested_spans(request: BookingRequest, terms: Terms) -> dict[int, TimeSpan]:
    """Return the span of every date by its number.

    Raises Invalid: a date is beyond the horizon, or a series in Outlook cannot start like this.
    """
    if request.repeat is None:
        return {0: request.span}
    zone = zone_of(request.time_zone)
    spans = occurrence_spans(request.start, request.duration, zone, request.repeat)
    if not follows_pattern(spans[0], request.start.astimezone(zone).time(), zone):
        raise _starts_irregularly()
    inside = sum(span.start <= terms.rules.latest_start for span in spans)
    if inside < len(spans):
        raise Invalid(
            "body.repeat.count" if request.repeat.count else "body.repeat.until",
            f"Only {inside} of these {len(spans)} dates are within the horizon.",
        )
    return dict(enumerate(spans))


def new_sessions(
    caller: Caller,
    pairing: Pairing,
    request: BookingRequest,
    key: SessionId,
    planned: Sequence[PlannedDate],
    now: datetime,
) -> list[Session]:
    """Return a requested session, not stored yet, for every date that is to be booked."""
    organization, organizer = caller.organization, caller.mailbox
    wanted = request.online_meeting or organization.settings.online_meeting
    series_id = SeriesId(key) if request.repeat else None
    buffers = Buffers(organization.settings.buffer_before, organization.settings.buffer_after)
    return [
        Session(
            id=occurrence_id(series_id, date.number) if series_id else key,
            organization_id=organization.id,
            pairing_id=pairing.id,
            organizer=organizer,
            state=SessionState.REQUESTED,
            span=date.booked,
            time_zone=request.time_zone,
            attendees=_attendees(pairing, organizer, date),
            created_at=now,
            changed_at=now,
            online_meeting=OnlineMeeting(wanted, _expected(wanted)),
            fingerprint=request.fingerprint,
            buffers=buffers,
            unknown_for=date.unknown_for,
            series_id=series_id,
            occurrence=date.number,
        )
        for date in planned
        if date.booked is not None
    ]


def new_series(
    caller: Caller,
    pairing: Pairing,
    request: BookingRequest,
    planned: Sequence[PlannedDate],
) -> Series:
    """Return the requested series, not stored yet. Raises Invalid: Outlook cannot have it."""
    repeat = request.repeat
    if repeat is None:
        raise ValueError("the request has no repetition")
    series = Series(
        id=SeriesId(session_id_for(caller, pairing.id, request.key)),
        organization_id=caller.organization.id,
        pairing_id=pairing.id,
        organizer=caller.mailbox,
        attendee_mailboxes=tuple(
            m for p in pairing.participants if (m := pairing.mailbox(p)) and m != caller.mailbox
        ),
        state=SessionState.REQUESTED,
        fingerprint=request.fingerprint,
        time_zone=request.time_zone,
        frequency=repeat.frequency,
        monthly_by=repeat.monthly_by,
        planned=tuple(planned),
    )
    if series.recurring_dates[0].number in series.irregular:
        raise _starts_irregularly()
    return series


def event_draft(pairing: Pairing, request: BookingRequest, booking: Booking) -> EventDraft:
    """Return the draft of the event that shows *booking* in Outlook."""
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


def _starts_irregularly() -> Invalid:
    return Invalid(
        "body.start",
        "The clocks change during the first date, or its hour is skipped or occurs twice that"
        " night. In Outlook all dates would get its local times, and so another length or hour."
        " Start the series on another date, or at another time.",
    )


def _attendees(pairing: Pairing, organizer: Mailbox, date: PlannedDate) -> tuple[Attendee, ...]:
    return tuple(
        Attendee(
            p.address,
            p.object_id,
            required=p.required,
            is_free=p.address not in date.busy,
        )
        for p in pairing.participants
        if p.object_id != organizer.object_id
    )


def _expected(wanted: OnlineMeetingChoice) -> OnlineMeetingState:
    is_none = wanted is OnlineMeetingChoice.NONE
    return OnlineMeetingState.NONE if is_none else OnlineMeetingState.PENDING
