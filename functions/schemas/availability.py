"""Availability of a pairing: the query, and the reply with its slots."""

import re
from datetime import datetime, timedelta
from typing import Any, Final, Literal, Self

from pydantic import ConfigDict, Field, field_validator, model_validator

from functions.schemas.base import Body, Reply, RequestInstant, ResponseInstant, Step, ZoneName
from shared.availability.finding import Availability, AvailabilityRequest, ParticipantAvailability
from shared.availability.model import Obstacle, UnknownReason, WorkingHours
from shared.pairings.model import ParticipantRole
from shared.timespan import TimeSpan

_MAX_EXPLAINED: Final = timedelta(days=8)
"""A week, also one with a change of the clocks: each start takes some 20 bytes for each person."""


class AvailabilityQuery(Body):
    """The window, the length of a session, and the form of the answer."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True, defer_build=True, frozen=True)

    from_: RequestInstant = Field(alias="from")
    to: RequestInstant
    """At most 42 days after *from*."""
    duration_minutes: int = Field(default=60, ge=15, le=480, multiple_of=5)
    step_minutes: Step | None = None
    """Default: the organization's."""
    time_zone: ZoneName = "UTC"
    """Slots are counted from the full hour of this zone."""
    include_unknown: bool = False
    """Also offer slots that are unknown for a participant; `unknown_for` names them."""
    at_least: int | None = Field(default=None, ge=1, le=20)
    """Offer slots that suit at least this many participants, instead of all required ones."""
    explain: bool = False
    """List for every start that is not offered its obstacles; *to* is then at most 8 days after
    *from*."""

    @field_validator("step_minutes", mode="before")
    @classmethod
    def _number(cls, value: Any) -> Any:  # noqa: ANN401  # what pydantic hands over
        return int(value) if isinstance(value, str) and re.fullmatch("[0-9]{1,2}", value) else value

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.to <= self.from_:
            raise ValueError("to must be after from")
        if self.to - self.from_ > timedelta(days=42):
            raise ValueError("to may be at most 42 days after from")
        if self.explain and self.to - self.from_ > _MAX_EXPLAINED:
            raise ValueError("with explain, to may be at most 8 days after from: ask in parts")
        return self

    def to_request(self) -> AvailabilityRequest:
        """Return the request of the use-case."""
        return AvailabilityRequest(
            window=TimeSpan(self.from_, self.to),
            duration=timedelta(minutes=self.duration_minutes),
            step=timedelta(minutes=self.step_minutes) if self.step_minutes else None,
            time_zone=self.time_zone,
            include_unknown=self.include_unknown,
            at_least=self.at_least,
            explain=self.explain,
        )


class SlotBody(Reply):
    """A time that can be booked."""

    start: ResponseInstant
    end: ResponseInstant
    confirmed_for: list[str]
    """Addresses of the participants who are known to be free."""
    unknown_for: list[str]


class BusyBody(Reply):
    """A busy span of a participant: its times and status, never its subject."""

    start: ResponseInstant
    end: ResponseInstant
    status: Literal["tentative", "busy", "out_of_office"]


class UnknownTimeBody(Reply):
    """A part of the window of which a participant's calendar says nothing: it is not free."""

    start: ResponseInstant
    end: ResponseInstant


class WorkingHoursBody(Reply):
    """A participant's working hours, in their own zone."""

    days: list[str]
    start: str
    end: str
    time_zone: str
    utc_offset_minutes: int
    """At the start of the window."""
    zone_assumed: bool
    """The mailbox names a zone that is not known (*time_zone*). The hours are taken in the zone of
    most other participants, else in that of the query: *utc_offset_minutes* is that zone's."""


class UnknownBody(Reply):
    """Why it is not known whether a participant is free."""

    reason: UnknownReason
    detail: str
    remedy: str | None
    code: str | None


class ParticipantAvailabilityBody(Reply):
    """One participant's time in the window."""

    address: str
    object_id: str | None
    role: ParticipantRole
    status: Literal["known", "unknown"]
    busy: list[BusyBody]
    unknown_times: list[UnknownTimeBody]
    """What Exchange has no data for, while *status* is known. No slot lies there, unless
    `include_unknown` offers it."""
    working_hours: WorkingHoursBody | None
    unknown: UnknownBody | None


class ObstacleBody(Reply):
    """Why a start is not offered, and the addresses of the participants concerned."""

    obstacle: Obstacle
    participants: list[str]


class UnavailableStartBody(Reply):
    """A start that is not offered."""

    start: ResponseInstant
    obstacles: list[ObstacleBody]


class AvailabilityBody(Reply):
    """When a pairing can meet."""

    start: ResponseInstant
    end: ResponseInstant
    duration_minutes: int
    step_minutes: int
    time_zone: str
    slots: list[SlotBody]
    participants: list[ParticipantAvailabilityBody]
    explanation: list[UnavailableStartBody] | None = None
    """Only with `explain`."""


def availability_body(found: Availability, time_zone: str) -> AvailabilityBody:
    """Return the body of *found*, with *time_zone* as in the query."""
    return AvailabilityBody(
        start=found.window.start,
        end=found.window.end,
        duration_minutes=found.rules.duration // timedelta(minutes=1),
        step_minutes=found.rules.step // timedelta(minutes=1),
        time_zone=time_zone,
        slots=[
            SlotBody(
                start=slot.span.start,
                end=slot.span.end,
                confirmed_for=list(slot.confirmed_for),
                unknown_for=list(slot.unknown_for),
            )
            for slot in found.slots
        ],
        participants=[
            _participant_availability(time, found.window.start) for time in found.participants
        ],
        explanation=None
        if found.unavailable_starts is None
        else [
            UnavailableStartBody(
                start=refusal.start,
                obstacles=[
                    ObstacleBody(obstacle=obstacle, participants=list(people))
                    for obstacle, people in refusal.obstacles
                ],
            )
            for refusal in found.unavailable_starts
        ],
    )


def _participant_availability(
    time: ParticipantAvailability, at: datetime
) -> ParticipantAvailabilityBody:
    person, unknown = time.participant, time.unknown
    return ParticipantAvailabilityBody(
        address=person.address,
        object_id=person.object_id,
        role=person.role,
        status="unknown" if unknown else "known",
        busy=[
            BusyBody(start=b.span.start, end=b.span.end, status=b.status.value) for b in time.busy
        ],
        unknown_times=[
            UnknownTimeBody(start=span.start, end=span.end) for span in time.unknown_spans
        ],
        working_hours=_working_hours(time, time.hours, at) if time.hours else None,
        unknown=UnknownBody(
            reason=unknown.reason,
            detail=unknown.detail,
            remedy=unknown.remedy,
            code=unknown.code or None,
        )
        if unknown
        else None,
    )


def _working_hours(
    time: ParticipantAvailability, hours: WorkingHours, at: datetime
) -> WorkingHoursBody:
    offset = at.astimezone(hours.zone).utcoffset() or timedelta()
    return WorkingHoursBody(
        days=[_DAYS[day] for day in sorted(hours.days)],
        start=hours.start.isoformat(timespec="minutes"),
        end=hours.end.isoformat(timespec="minutes"),
        time_zone=hours.zone_name,
        utc_offset_minutes=offset // timedelta(minutes=1),
        zone_assumed=time.is_zone_assumed,
    )


_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
