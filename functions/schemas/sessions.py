"""Sessions and series as the API shows them, and the query of their list."""

from collections.abc import Sequence
from datetime import date
from typing import Self

from pydantic import ConfigDict, Field

from functions.schemas.base import Body, Reply, RequestInstant, ResponseInstant, SpanBody
from shared.organizations.model import OnlineMeetingChoice
from shared.sessions.model import Attendee, OddTime, ResponseState, Session, SessionState
from shared.sessions.online_meeting import MeetingProvider, OnlineMeetingReason, OnlineMeetingState
from shared.sessions.series import Outcome, PlannedDate, Series
from shared.timespan import DateSpan


class OnlineMeetingBody(Reply):
    """The state of the requested online meeting."""

    wanted: OnlineMeetingChoice
    state: OnlineMeetingState
    join_url: str | None
    provider: MeetingProvider | None
    """The provider of the meeting."""
    reason: OnlineMeetingReason | None
    """Why there is no meeting, or another kind than requested."""
    detail: str | None
    """The reason in words."""


class AttendeeBody(Reply):
    """An attendee and their response."""

    address: str
    object_id: str | None
    required: bool
    is_free: bool
    """false: the attendee was busy at the time of booking, and their time is not held."""
    response: ResponseState
    responded_at: ResponseInstant | None
    proposed: SpanBody | None
    """The time that the attendee proposes instead. One of no length, or of any other length that a
    session cannot have, is shown and cannot be accepted."""
    forwarded: bool
    """Added in Outlook, by forwarding for example: no participant of the pairing."""
    invited: bool
    """false: the organizer has removed the person from the meeting in Outlook."""
    is_me: bool

    @classmethod
    def of(cls, attendee: Attendee, me: str) -> Self:
        """Return the body of *attendee* as *me* sees it."""
        response = attendee.response
        return cls(
            address=attendee.address,
            object_id=attendee.object_id,
            required=attendee.required,
            is_free=attendee.is_free,
            response=response.state,
            responded_at=response.responded_at,
            proposed=SpanBody.of(response.proposed) if response.proposed else None,
            forwarded=attendee.forwarded,
            invited=attendee.invited,
            is_me=attendee.object_id == me,
        )


class ResponseSummary(Reply):
    """The number of invited attendees by response."""

    accepted: int
    tentative: int
    declined: int
    pending: int

    @classmethod
    def of(cls, session: Session) -> Self:
        """Return the summary of *session*."""
        states = [a.response.state for a in session.attendees if a.invited]
        return cls(
            accepted=states.count(ResponseState.ACCEPTED),
            tentative=states.count(ResponseState.TENTATIVE),
            declined=states.count(ResponseState.DECLINED),
            pending=states.count(ResponseState.PENDING),
        )


_REASONS = {
    OnlineMeetingReason.NOT_OFFERED: "The organizer's calendar offers no online meetings.",
    OnlineMeetingReason.SKYPE_RETIRED: "Skype is not offered: the calendar's own was taken.",
    OnlineMeetingReason.TEAMS_NOT_OFFERED: (
        "Teams is not offered by the organizer's calendar: its own was taken, if it has one."
    ),
    OnlineMeetingReason.NOT_CREATED: "Outlook booked the meeting without making it an online one.",
    OnlineMeetingReason.LINK_OVERDUE: "Outlook promised a link and never delivered it.",
}


class DatesBody(Reply):
    """Whole days."""

    first_on: date
    last_on: date

    @classmethod
    def of(cls, dates: DateSpan) -> Self:
        """Return the body of *dates*."""
        return cls(first_on=dates.first_on, last_on=dates.last_on)


class SessionBody(Reply):
    """A session: our booking, and the state of its event in Outlook."""

    id: str
    pairing_id: str
    state: SessionState
    start: ResponseInstant
    end: ResponseInstant
    odd_time: OddTime | None
    """`zero_minutes`: in Outlook the session was given no length, so it holds no time. Moving it
    with `duration_minutes` gives it a length again."""
    all_day: bool
    """Whether the organizer made it all-day in Outlook: it is on `dates`, and has no hours."""
    dates: DatesBody | None
    """The dates of an all-day session; `start` and `end` are their midnights in the organizer's
    zone."""
    time_zone: str
    organizer_id: str
    is_organizer: bool
    """Whether the caller is the organizer."""
    attendees: list[AttendeeBody]
    responses: ResponseSummary
    response_requested: bool
    """False: in Outlook the organizer asks for no responses. Outlook sends none then, and every
    attendee stays `pending`; who answers sees it in their own calendar alone."""
    online_meeting: OnlineMeetingBody
    unknown_for: list[str]
    """Addresses of the attendees whose availability was unknown at the time of booking."""
    conflicts_with: list[str]
    moving_to: SpanBody | None
    """The times of a move that has begun: whether Outlook has made it is not known yet."""
    unreadable_since: ResponseInstant | None
    """The time since when the app cannot read the event, or a part of it: the organizer's mailbox
    no longer exists or denies access, or Outlook's answer is not understood."""
    series_id: str | None
    occurrence: int | None
    created_at: ResponseInstant
    changed_at: ResponseInstant

    @classmethod
    def of(cls, session: Session, me: str) -> Self:
        """Return the body of *session* as *me* (an object id) sees it."""
        online = session.online_meeting
        return cls(
            id=session.id,
            pairing_id=session.pairing_id,
            state=session.state,
            start=session.span.start,
            end=session.span.end,
            odd_time=session.odd_time,
            all_day=session.dates is not None,
            dates=DatesBody.of(session.dates) if session.dates else None,
            time_zone=session.time_zone,
            organizer_id=session.organizer.object_id,
            is_organizer=session.organizer.object_id == me,
            attendees=[AttendeeBody.of(a, me) for a in session.attendees],
            responses=ResponseSummary.of(session),
            response_requested=session.response_requested,
            online_meeting=OnlineMeetingBody(
                wanted=online.wanted,
                state=online.state,
                join_url=online.join_url,
                provider=online.provider,
                reason=online.reason,
                detail=_REASONS[online.reason] if online.reason else None,
            ),
            unknown_for=list(session.unknown_for),
            conflicts_with=list(session.conflicts_with),
            moving_to=SpanBody.of(session.pending_span) if session.pending_span else None,
            unreadable_since=session.unreadable_since,
            series_id=session.series_id,
            occurrence=session.occurrence if session.series_id else None,
            created_at=session.created_at,
            changed_at=session.changed_at,
        )


class DateBody(Reply):
    """A date of a series that was not free."""

    occurrence: int
    start: ResponseInstant
    """The start by the pattern of the series."""
    end: ResponseInstant
    outcome: Outcome
    booked: SpanBody | None
    """The span that is booked instead."""
    alternatives: list[SpanBody]
    """Slots that were free, nearest first."""

    @classmethod
    def of(cls, planned: PlannedDate) -> Self:
        """Return the body of *planned*."""
        return cls(
            occurrence=planned.number,
            start=planned.span.start,
            end=planned.span.end,
            outcome=planned.outcome,
            booked=SpanBody.of(planned.booked) if planned.booked else None,
            alternatives=[SpanBody.of(span) for span in planned.alternatives],
        )


class SeriesBody(Reply):
    """A series and its sessions."""

    id: str
    sessions: list[SessionBody]
    """The booked or changed sessions, by date."""
    conflicts: list[DateBody]
    """Dates that were not free, with their outcome; always empty after a change."""


class BookedBody(SessionBody):
    """A session; in a series the first one, or the one in the path."""

    series: SeriesBody | None = None

    @classmethod
    def of_many(
        cls, named: Session, sessions: Sequence[Session], series: Series | None, me: str
    ) -> Self:
        """Return the body of *named*, with all *sessions* of its series, if it has one."""
        body = None
        if named.series_id:
            body = SeriesBody(
                id=named.series_id,
                sessions=[SessionBody.of(session, me) for session in sessions],
                conflicts=[DateBody.of(p) for p in series.conflicts] if series else [],
            )
        return cls(**dict(SessionBody.of(named, me)), series=body)


class SessionList(Reply):
    """A page of sessions, by start."""

    items: list[SessionBody]
    next: str | None


class SessionsQuery(Body):
    """The sessions to list."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True, defer_build=True, frozen=True)

    from_: RequestInstant | None = Field(default=None, alias="from")
    """Only sessions that start at this instant or later."""
    to: RequestInstant | None = None
    """Only sessions that start before this instant."""
    state: SessionState | None = None
    cursor: str | None = Field(default=None, max_length=512)
    limit: int = Field(default=50, ge=1, le=100)
