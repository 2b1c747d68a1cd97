"""Sessions and series: what books, moves, cancels and answers them, and how they are shown."""

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, Strict, model_validator

from functions.schemas.base import (
    Body,
    GridInstant,
    Line,
    Reply,
    RequestInstant,
    ResponseInstant,
    SpanBody,
    Text,
    ZoneName,
)
from shared.organizations.model import OnlineMeetingChoice
from shared.sessions.model import (
    Attendee,
    MeetingProvider,
    OnlineMeetingReason,
    OnlineMeetingState,
    ResponseState,
    Session,
    SessionState,
)
from shared.sessions.recurrence import MAX_OCCURRENCES, Frequency, MonthlyBy, Repeat
from shared.sessions.requests import BookingRequest, InvitationResponse, RescheduleRequest
from shared.sessions.series import OnConflict, Outcome, PlannedDate, Scope, Series
from shared.timespan import TimeSpan


class RepeatBody(Body):
    """How a session is repeated: by `count` or `until`. The organizer's clock keeps the hour.

    An hour that the clocks skip starts as much later as they jump; of an hour that comes twice the
    first one is meant.
    """

    frequency: Frequency
    monthly_by: MonthlyBy = MonthlyBy.DAY_OF_MONTH
    """Only for `monthly`. A month without that day takes its last one."""
    count: int | None = Field(default=None, ge=2, le=MAX_OCCURRENCES)
    """How many in all, the first one included."""
    until: Annotated[date | None, Strict(strict=False)] = None
    """The last date it may have, in `time_zone`."""

    @model_validator(mode="after")
    def _is_one_way(self) -> Self:
        if (self.count is None) == (self.until is None):
            raise ValueError("say either count or until")
        return self

    def to_repeat(self) -> Repeat:
        """Return what the use-case understands."""
        return Repeat(self.frequency, self.monthly_by, self.count, self.until)


class BookingBody(Body):
    """A session to book."""

    start: GridInstant
    """On a multiple of five minutes; see the organization's notice and horizon.

    Its offset says which instant is meant, also in an hour that the clocks of `time_zone` skip or
    show twice.
    """
    duration_minutes: int = Field(ge=15, le=480, multiple_of=5)
    time_zone: ZoneName
    """The organizer's: what the event carries in Outlook."""
    title: Line | None = Field(default=None, max_length=255, min_length=1)
    """Goes to Outlook, is not kept here."""
    agenda: Text = Field(default="", max_length=8000)
    """Plain text. Goes to Outlook, is not kept here."""
    location: Line | None = Field(default=None, max_length=255, min_length=1)
    online_meeting: OnlineMeetingChoice | None = None
    """Default: the organization's."""
    accept_unknown: bool = False
    """Book although somebody's availability is unknown."""
    at_least: int | None = Field(default=None, ge=1, le=20)
    """Book when the caller and so many in all are free, not all required: on every date."""
    repeat: RepeatBody | None = None
    """Makes a series of it."""
    on_conflict: OnConflict = OnConflict.REFUSE
    """What becomes of dates of a series that are not free."""

    @model_validator(mode="after")
    def _is_one_or_a_series(self) -> Self:
        if self.on_conflict is not OnConflict.REFUSE and not self.repeat:
            raise ValueError("on_conflict goes with repeat")
        return self

    def to_request(self, key: str, fingerprint: str) -> BookingRequest:
        """Return what the use-case understands."""
        return BookingRequest(
            key=key,
            fingerprint=fingerprint,
            start=self.start,
            duration=timedelta(minutes=self.duration_minutes),
            time_zone=self.time_zone,
            title=self.title,
            agenda=self.agenda,
            location=self.location,
            online_meeting=self.online_meeting,
            accept_unknown=self.accept_unknown,
            at_least=self.at_least,
            repeat=self.repeat.to_repeat() if self.repeat else None,
            on_conflict=self.on_conflict,
        )


class RescheduleBody(Body):
    """New times for a session."""

    start: GridInstant
    duration_minutes: int | None = Field(default=None, ge=15, le=480, multiple_of=5)
    """Default: as long as it is now."""
    time_zone: ZoneName | None = None
    """Default: the session's."""
    accept_unknown: bool = False
    scope: Scope = Scope.ONE
    """How much of its series moves, by as many days and to the same hour. What is over stays."""
    at_least: int | None = Field(default=None, ge=1, le=20)
    """Move it when the caller and so many in all are free, not all required: on every date."""

    def to_request(self, session: Session) -> RescheduleRequest:
        """Return what the use-case understands."""
        minutes = self.duration_minutes
        duration = timedelta(minutes=minutes) if minutes else session.span.duration
        return RescheduleRequest(
            TimeSpan.lasting(self.start, duration),
            self.time_zone or session.time_zone,
            accept_unknown=self.accept_unknown,
            at_least=self.at_least,
        )


class CancelBody(Body):
    """A cancellation."""

    comment: Text = Field(default="", max_length=2000)
    """Goes to the attendees, is not kept here."""
    scope: Scope = Scope.ONE
    """How much of its series is cancelled. What is over stays."""


class ProposedBody(Body):
    """Another time that an attendee proposes."""

    start: GridInstant
    end: GridInstant

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not timedelta(minutes=15) <= self.end - self.start <= timedelta(minutes=480):
            raise ValueError("end must be 15 to 480 minutes after start")
        return self


class AnswerBody(Body):
    """An attendee's answer."""

    response: Literal["accepted", "tentative", "declined"]
    comment: Text = Field(default="", max_length=2000)
    """Goes to the organizer, is not kept here."""
    proposed: ProposedBody | None = None
    """Another time; not with `accepted`."""

    def to_request(self) -> InvitationResponse:
        """Return what the use-case understands."""
        other = self.proposed
        return InvitationResponse(
            ResponseState(self.response),
            self.comment,
            TimeSpan(other.start, other.end) if other else None,
        )


class OnlineMeetingBody(Reply):
    """What became of the wish for an online meeting."""

    wanted: OnlineMeetingChoice
    state: OnlineMeetingState
    join_url: str | None
    provider: MeetingProvider | None
    """Whose it has become."""
    reason: OnlineMeetingReason | None
    """Why there is none, or another one than was asked for."""
    detail: str | None
    """The reason in words."""


class AttendeeBody(Reply):
    """Somebody who was invited, and their answer."""

    address: str
    object_id: str | None
    required: bool
    is_free: bool
    """False: they were not, when it was booked, and their time is not held."""
    response: ResponseState
    responded_at: ResponseInstant | None
    proposed: SpanBody | None
    """Another time they propose."""
    forwarded: bool
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
            is_me=attendee.object_id == me,
        )


class ResponseSummary(Reply):
    """How many answered how."""

    accepted: int
    tentative: int
    declined: int
    pending: int


_REASONS = {
    OnlineMeetingReason.NOT_OFFERED: "The organizer's calendar offers no online meetings.",
    OnlineMeetingReason.SKYPE_RETIRED: "Skype is not offered: the calendar's own was taken.",
    OnlineMeetingReason.TEAMS_NOT_OFFERED: (
        "Teams is not offered by the organizer's calendar: its own was taken, if it has one."
    ),
    OnlineMeetingReason.NOT_CREATED: "Outlook booked the meeting without making it an online one.",
    OnlineMeetingReason.LINK_OVERDUE: "Outlook promised a link and never delivered it.",
}


class SessionBody(Reply):
    """A session: our booking and what Outlook says of it."""

    id: str
    pairing_id: str
    state: SessionState
    start: ResponseInstant
    end: ResponseInstant
    time_zone: str
    organizer_id: str
    is_organizer: bool
    """Whether the caller is."""
    attendees: list[AttendeeBody]
    responses: ResponseSummary
    online_meeting: OnlineMeetingBody
    unknown_for: list[str]
    """Whose availability was unknown when it was booked."""
    conflicts_with: list[str]
    unreadable_since: ResponseInstant | None
    """Since when Outlook does not show it: its organizer's mailbox is gone, or shut to the app."""
    series_id: str | None
    occurrence: int | None
    created_at: ResponseInstant
    changed_at: ResponseInstant

    @classmethod
    def of(cls, session: Session, me: str) -> Self:
        """Return the body of *session* as *me* (an object id) sees it."""
        states = [a.response.state for a in session.attendees]
        online = session.online_meeting
        return cls(
            id=session.id,
            pairing_id=session.pairing_id,
            state=session.state,
            start=session.span.start,
            end=session.span.end,
            time_zone=session.time_zone,
            organizer_id=session.organizer.object_id,
            is_organizer=session.organizer.object_id == me,
            attendees=[AttendeeBody.of(a, me) for a in session.attendees],
            responses=ResponseSummary(
                accepted=states.count(ResponseState.ACCEPTED),
                tentative=states.count(ResponseState.TENTATIVE),
                declined=states.count(ResponseState.DECLINED),
                pending=states.count(ResponseState.PENDING),
            ),
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
    """When it would be by the pattern."""
    end: ResponseInstant
    outcome: Outcome
    booked: SpanBody | None
    """When it is booked instead."""
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
    """Those that were booked or changed, by date."""
    conflicts: list[DateBody]
    """Dates that were not free, and what became of them; of a change always empty."""


class BookedBody(SessionBody):
    """A session; of a series the first one, or the one that was named."""

    series: SeriesBody | None = None

    @classmethod
    def of_many(
        cls, named: Session, sessions: Sequence[Session], series: Series | None, me: str
    ) -> Self:
        """Return the body of *named*, with all of *sessions* if they are of a series."""
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
    """Which sessions."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True, defer_build=True, frozen=True)

    from_: RequestInstant | None = Field(default=None, alias="from")
    """Those that start then or later."""
    to: RequestInstant | None = None
    """Those that start before."""
    state: SessionState | None = None
    cursor: str | None = Field(default=None, max_length=512)
    limit: int = Field(default=50, ge=1, le=100)
