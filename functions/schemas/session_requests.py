"""Requests about sessions and series: book, reschedule, cancel, answer."""

from datetime import date, timedelta
from typing import Annotated, Literal, Self

from pydantic import Field, Strict, model_validator

from functions.schemas.base import Body, GridInstant, Line, Text, ZoneName
from shared.organizations.model import OnlineMeetingChoice
from shared.sessions.model import ResponseState, Session
from shared.sessions.recurrence import MAX_OCCURRENCES, Frequency, MonthlyBy, Repeat
from shared.sessions.requests import BookingRequest, InvitationResponse, RescheduleRequest
from shared.sessions.series import OnConflict, Scope
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
