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
    """How a session is repeated: by `count` or `until`, at the same local time of the organizer.

    If the clocks skip that time, the session starts later by as much as they jump. If the time
    comes twice, the first one counts.
    """

    frequency: Frequency
    monthly_by: MonthlyBy = MonthlyBy.DAY_OF_MONTH
    """Only for `monthly`. In a month without that day the session is on the last day."""
    count: int | None = Field(default=None, ge=2, le=MAX_OCCURRENCES)
    """The number of sessions, with the first one."""
    until: Annotated[date | None, Strict(strict=False)] = None
    """The last possible date, in `time_zone`."""

    @model_validator(mode="after")
    def _is_one_way(self) -> Self:
        if (self.count is None) == (self.until is None):
            raise ValueError("say either count or until")
        return self

    def to_repeat(self) -> Repeat:
        """Return the repetition for the use-case."""
        return Repeat(self.frequency, self.monthly_by, self.count, self.until)


class BookingBody(Body):
    """A session to book."""

    start: GridInstant
    """On a multiple of five minutes, between the organization's notice and horizon.

    The offset defines the instant, also in an hour that the clocks of `time_zone` skip or repeat.
    """
    duration_minutes: int = Field(ge=15, le=480, multiple_of=5)
    time_zone: ZoneName
    """The organizer's zone: the zone of the event in Outlook."""
    title: Line | None = None
    """Sent to Outlook, not stored here. At most 255 UTF-16 units, as Outlook counts: an emoji
    counts as two or more. Characters that reorder text (U+202A to U+202E, U+2066 to U+2069) are
    refused."""
    agenda: Text = Field(default="", max_length=8000)
    """Plain text. Sent to Outlook, not stored here."""
    location: Line | None = None
    """As `title`."""
    online_meeting: OnlineMeetingChoice | None = None
    """Default: the organization's."""
    accept_unknown: bool = False
    """Book although the availability of a required participant is unknown."""
    at_least: int | None = Field(default=None, ge=1, le=20)
    """Book if the caller and this many participants in all are free on every date, instead of all
    required ones."""
    repeat: RepeatBody | None = None
    """Book a series."""
    on_conflict: OnConflict = OnConflict.REFUSE
    """The treatment of dates of a series that are not free."""

    @model_validator(mode="after")
    def _is_one_or_a_series(self) -> Self:
        if self.on_conflict is not OnConflict.REFUSE and not self.repeat:
            raise ValueError("on_conflict goes with repeat")
        return self

    def to_request(self, key: str, fingerprint: str) -> BookingRequest:
        """Return the request of the use-case."""
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
    """Default: the session's duration. Required if that is none (`odd_time`)."""
    time_zone: ZoneName | None = None
    """Default: the session's."""
    accept_unknown: bool = False
    scope: Scope = Scope.ONE
    """The part of its series that moves by as many days and to the same local time. Past sessions
    stay."""
    at_least: int | None = Field(default=None, ge=1, le=20)
    """Move the session if the caller and this many participants in all are free on every date,
    instead of all required ones."""

    def to_request(self, session: Session) -> RescheduleRequest:
        """Return the request of the use-case."""
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
    """Plain text. Sent to the attendees, not stored here."""
    scope: Scope = Scope.ONE
    """The part of its series that is cancelled. Past sessions stay."""


class ProposedBody(Body):
    """The time that an attendee proposes instead."""

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
    """Plain text. Sent to the organizer, not stored here."""
    proposed: ProposedBody | None = None
    """The proposed time; not with `accepted`, and for one date only."""
    scope: Scope = Scope.ONE
    """The part of its series that is answered. Past sessions stay."""

    def to_request(self) -> InvitationResponse:
        """Return the response for the use-case."""
        other = self.proposed
        return InvitationResponse(
            ResponseState(self.response),
            self.comment,
            TimeSpan(other.start, other.end) if other else None,
        )
