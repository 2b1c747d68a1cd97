"""What goes in and out over HTTP: models that parse requests, build replies, make OpenAPI."""

import re
import unicodedata
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    Strict,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from functions._problems import instant
from shared.availability.finding import (
    Availability,
    AvailabilityRequest,
)
from shared.availability.finding import (
    ParticipantTime as FoundTime,
)
from shared.availability.model import Obstacle, UnknownReason, WorkingHours
from shared.organizations.diagnosis import Finding, FindingState
from shared.organizations.model import (
    AccessMode,
    Background,
    ConsentState,
    OnlineMeetingChoice,
    Organization,
    Participation,
)
from shared.pairings.model import Pairing, ParticipantRole
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
from shared.sessions.series import OnConflict, Outcome, Planned, Scope, Series
from shared.timespan import TimeSpan

Step = Literal[5, 10, 15, 30, 60]
_RFC_3339 = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d([.,]\d{1,9})?)?([Zz]|[+-]\d\d:?\d\d)", re.ASCII
)
_EARLIEST, _LATEST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)


def _parsed(value: object) -> datetime:
    """Return an instant in UTC. pydantic by itself would take numbers and naive times as well."""
    if isinstance(value, str) and _RFC_3339.fullmatch(value):
        try:
            moment = datetime.fromisoformat(value.upper().replace(",", ".")).astimezone(UTC)
        except (ValueError, OverflowError):
            raise ValueError("is no time that exists") from None
        if not _EARLIEST <= moment <= _LATEST:
            raise ValueError("must be between the years 2000 and 2200")
        return moment
    raise ValueError("must be RFC 3339 text with an offset, such as 2026-03-02T09:00:00+01:00")


Instant = Annotated[
    datetime,
    BeforeValidator(_parsed),
    PlainSerializer(instant, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
"""An instant in a request: RFC 3339 with an offset."""
Moment = Annotated[
    datetime,
    PlainSerializer(instant, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
"""An instant in a reply: RFC 3339 with `Z`."""


def _known_zone(name: str) -> str:
    from shared.availability.working_hours import zone_of

    try:
        zone_of(name)
    except ValueError:
        raise ValueError("is not a time zone: use an IANA or Windows name") from None
    return name


ZoneName = Annotated[str, Field(max_length=64), AfterValidator(_known_zone)]


def _clean(text: str) -> str:
    if any(unicodedata.category(c) == "Cc" and c not in "\n\t" for c in text):
        raise ValueError("must not contain control characters")
    return text


def _line(text: str) -> str:
    if any(c in "\n\t\u2028\u2029" for c in text):
        raise ValueError("must be a single line")
    line = _clean(text).strip()
    if not line:
        raise ValueError("must have at least 1 character that shows")
    return line


Line = Annotated[str, AfterValidator(_line)]
Text = Annotated[str, AfterValidator(lambda text: _clean(text.replace("\r\n", "\n")))]


class Body(BaseModel):
    """A body of our API: unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", defer_build=True, frozen=True)


class Reply(BaseModel):
    """What we answer."""

    model_config = ConfigDict(defer_build=True, frozen=True)


class Problem(Reply):
    """RFC 9457. `type` is stable; `detail` is for people; `remedy` says what somebody can do."""

    model_config = ConfigDict(extra="allow", defer_build=True)

    type: str
    title: str
    status: int
    detail: str
    trace_id: str
    remedy: str | None = None
    errors: list[dict[str, str]] | None = None
    alternatives: list["SpanBody"] | None = None
    """Next best slots of a 409, nearest first."""
    conflicts: list["DateBody"] | None = None
    """Of a 409 about a series: the dates that are not free."""


class SpanBody(Reply):
    """A stretch of time, half-open."""

    start: Moment
    end: Moment

    @classmethod
    def of(cls, span: TimeSpan) -> Self:
        """Return the body of *span*."""
        return cls(start=span.start, end=span.end)


# --- who I am


class OrganizationBrief(Reply):
    """What a participant may know of their organization."""

    id: str
    consent: ConsentState
    access_mode: AccessMode
    background: Background


class FindingBody(Reply):
    """One thing that was checked: does it work, and if not, who must do what."""

    capability: str
    state: Literal["works", "fails", "unknown"]
    meaning: str
    """One sentence for people."""
    code: str | None = None
    """Microsoft's word for it: an error code or an AADSTS number."""
    ailment: str | None = None
    """Our stable word for what is wrong."""
    who: str | None = None
    """Who must act: `entra_admin`, `exchange_admin`, `user`, `platform`, `us` or `nobody`."""
    remedy: str | None = None
    takes: str | None = None
    """How long it takes to have an effect."""
    link: str | None = None
    request_id: str | None = None

    @classmethod
    def of(cls, finding: Finding) -> Self:
        """Return the body of *finding*."""
        return cls(
            capability=finding.capability,
            state=finding.state.value,
            meaning=finding.meaning,
            code=finding.code,
            ailment=finding.ailment,
            who=finding.who,
            remedy=finding.remedy,
            takes=finding.takes,
            link=finding.link,
            request_id=finding.request_id,
        )


class MailboxBody(Reply):
    """Whether the caller's mailbox can be used, and if not what to do."""

    usable: bool
    findings: list[FindingBody]


class MeBody(Reply):
    """The caller."""

    tenant_id: str
    object_id: str
    organization: OrganizationBrief
    mailbox: MailboxBody


# --- pairings


class ParticipantBody(Reply):
    """One of those who may meet."""

    role: ParticipantRole
    address: str
    object_id: str | None
    required: bool
    is_me: bool


class PairingBody(Reply):
    """The people who may meet."""

    id: str
    participants: list[ParticipantBody]

    @classmethod
    def of(cls, pairing: Pairing, object_id: str | None) -> Self:
        """Return the body of *pairing* as *object_id* sees it."""
        return cls(
            id=pairing.id,
            participants=[
                ParticipantBody(
                    role=p.role,
                    address=p.address,
                    object_id=p.object_id,
                    required=p.required,
                    is_me=p.object_id == object_id and object_id is not None,
                )
                for p in pairing.participants
            ],
        )


class PairingList(Reply):
    """A page of pairings."""

    items: list[PairingBody]
    next: str | None
    """Cursor of the next page."""


class PageQuery(Body):
    """Which page of a list."""

    cursor: str | None = Field(default=None, max_length=512)
    limit: int = Field(default=50, ge=1, le=100)


# --- availability


class AvailabilityQuery(Body):
    """When, for how long, and how the answer is to be told."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True, defer_build=True, frozen=True)

    from_: Instant = Field(alias="from")
    to: Instant
    """At most 42 days after *from*."""
    duration_minutes: int = Field(default=60, ge=15, le=480, multiple_of=5)
    step_minutes: Step | None = None
    """Default: the organization's."""
    time_zone: ZoneName = "UTC"
    """Whose full hours the slots are counted from."""
    include_unknown: bool = False
    """Also offer slots that are unknown for somebody; they say for whom."""
    at_least: int | None = Field(default=None, ge=1, le=20)
    """Offer slots that suit at least so many participants, not all who are required."""
    explain: bool = False
    """Say for every step why it is not offered."""

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
        return self

    def to_request(self) -> AvailabilityRequest:
        """Return what the use-case understands."""
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

    start: Moment
    end: Moment
    confirmed_for: list[str]
    """Addresses of those known to be free."""
    unknown_for: list[str]


class BusyBody(Reply):
    """Time somebody has given away: when and how, never what for."""

    start: Moment
    end: Moment
    status: Literal["tentative", "busy", "out_of_office"]


class WorkingHoursBody(Reply):
    """When somebody works, in their own zone."""

    days: list[str]
    start: str
    end: str
    time_zone: str
    utc_offset_minutes: int
    """At the start of the window."""


class UnknownBody(Reply):
    """Why it is not known whether somebody is free."""

    reason: UnknownReason
    detail: str
    remedy: str | None
    code: str | None


class ParticipantTime(Reply):
    """One participant's time in the window."""

    address: str
    object_id: str | None
    role: ParticipantRole
    status: Literal["known", "unknown"]
    busy: list[BusyBody]
    working_hours: WorkingHoursBody | None
    unknown: UnknownBody | None


class ObstacleBody(Reply):
    """Why a start is not offered, and because of whom."""

    obstacle: Obstacle
    participants: list[str]


class RefusalBody(Reply):
    """A start that is not offered."""

    start: Moment
    obstacles: list[ObstacleBody]


class AvailabilityBody(Reply):
    """When a pairing can meet."""

    start: Moment
    end: Moment
    duration_minutes: int
    step_minutes: int
    time_zone: str
    slots: list[SlotBody]
    participants: list[ParticipantTime]
    explanation: list[RefusalBody] | None = None
    """Only when asked for."""


# --- sessions


def _on_grid(start: datetime) -> datetime:
    if start.minute % 5 or start.second or start.microsecond:
        raise ValueError("must be on a multiple of five minutes")
    return start


GridInstant = Annotated[Instant, AfterValidator(_on_grid)]
"""An instant on a multiple of five minutes."""


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
    responded_at: Moment | None
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
    start: Moment
    end: Moment
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
    unreadable_since: Moment | None
    """Since when Outlook does not show it: its organizer's mailbox is gone, or shut to the app."""
    series_id: str | None
    occurrence: int | None
    created_at: Moment
    changed_at: Moment

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
    start: Moment
    """When it would be by the pattern."""
    end: Moment
    outcome: Outcome
    booked: SpanBody | None
    """When it is booked instead."""
    alternatives: list[SpanBody]
    """Slots that were free, nearest first."""

    @classmethod
    def of(cls, planned: Planned) -> Self:
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

    from_: Instant | None = Field(default=None, alias="from")
    """Those that start then or later."""
    to: Instant | None = None
    """Those that start before."""
    state: SessionState | None = None
    cursor: str | None = Field(default=None, max_length=512)
    limit: int = Field(default=50, ge=1, le=100)


class HealthBody(Reply):
    """Whether this deployment works."""

    status: Literal["ok", "degraded"]
    version: str
    time: Moment
    checks: dict[str, str]
    """Part by part: `ok`, or what is wrong."""
    poison: dict[str, int]
    """Messages that failed five times and wait to be looked at, by queue."""


def organization_brief(organization: Organization) -> OrganizationBrief:
    """Return what participants may know of *organization*."""
    return OrganizationBrief(
        id=organization.id,
        consent=organization.consent,
        access_mode=organization.settings.access_mode,
        background=organization.settings.background,
    )


def availability_body(found: Availability, time_zone: str) -> AvailabilityBody:
    """Return *found* as it is told."""
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
        participants=[_participant_time(time, found.window.start) for time in found.participants],
        explanation=None
        if found.refusals is None
        else [
            RefusalBody(
                start=refusal.start,
                obstacles=[
                    ObstacleBody(obstacle=obstacle, participants=list(people))
                    for obstacle, people in refusal.obstacles
                ],
            )
            for refusal in found.refusals
        ],
    )


def _participant_time(time: FoundTime, at: datetime) -> ParticipantTime:
    person, unknown = time.participant, time.unknown
    return ParticipantTime(
        address=person.address,
        object_id=person.object_id,
        role=person.role,
        status="unknown" if unknown else "known",
        busy=[
            BusyBody(start=b.span.start, end=b.span.end, status=b.status.value) for b in time.busy
        ],
        working_hours=_working_hours(time.hours, at) if time.hours else None,
        unknown=UnknownBody(
            reason=unknown.reason,
            detail=unknown.detail,
            remedy=unknown.remedy,
            code=unknown.code or None,
        )
        if unknown
        else None,
    )


def _working_hours(hours: WorkingHours, at: datetime) -> WorkingHoursBody:
    offset = at.astimezone(hours.zone).utcoffset() or timedelta()
    return WorkingHoursBody(
        days=[_DAYS[day] for day in sorted(hours.days)],
        start=hours.start.isoformat(timespec="minutes"),
        end=hours.end.isoformat(timespec="minutes"),
        time_zone=hours.zone_name,
        utc_offset_minutes=offset // timedelta(minutes=1),
    )


_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


def me_body(participation: Participation, findings: Sequence[Finding]) -> MeBody:
    """Return who calls and whether their mailbox is usable: only if everything is known to work."""
    return MeBody(
        tenant_id=participation.mailbox.tenant_id,
        object_id=participation.mailbox.object_id,
        organization=organization_brief(participation.organization),
        mailbox=MailboxBody(
            usable=all(finding.state is FindingState.WORKS for finding in findings),
            findings=[FindingBody.of(finding) for finding in findings],
        ),
    )
