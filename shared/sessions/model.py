"""A session: our booking, with a state; its attendees and what they answered."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from shared.ids import (
    EventId,
    ICalUid,
    Mailbox,
    ObjectId,
    OrganizationId,
    PairingId,
    SeriesId,
    SessionId,
    TenantId,
)
from shared.organizations.model import OnlineMeetingChoice
from shared.sessions.recurrence import Pattern
from shared.timespan import TimeSpan

HOLD_TTL = timedelta(minutes=10)
"""How long an unconfirmed hold counts: longer than the verify job and its retries need."""
RECOVERY_DELAY = timedelta(minutes=2)
"""When somebody looks whether a booking got through."""
LINK_CHECK_DELAYS = (timedelta(seconds=20), timedelta(minutes=1), timedelta(minutes=5))
"""How long after the look before a late link of an online meeting is looked for. After the last
look it is overdue."""


class SessionState(StrEnum):
    """Where a session stands. `ended` is not a state: it is scheduled, and over."""

    REQUESTED = "requested"
    """Its time is held; Outlook has perhaps not heard of it yet."""
    SCHEDULED = "scheduled"
    CANCELLED = "cancelled"


class ResponseState(StrEnum):
    """An attendee's answer. Graph's `none` and `notResponded` are both `pending` here."""

    PENDING = "pending"
    ACCEPTED = "accepted"
    TENTATIVE = "tentative"
    DECLINED = "declined"


class OnlineMeetingState(StrEnum):
    """What became of the wish for an online meeting."""

    NONE = "none"
    """Not asked for."""
    READY = "ready"
    PENDING = "pending"
    """Asked for; the link comes late."""
    UNAVAILABLE = "unavailable"
    """There will be none; the reason says why."""


class OnlineMeetingReason(StrEnum):
    """Why there is no online meeting, or another one than asked for."""

    NOT_OFFERED = "not_offered"
    """The organizer's calendar allows no online meetings."""
    SKYPE_RETIRED = "skype_retired"
    """Skype was asked for and is not offered; Teams was taken instead, where there is one."""
    TEAMS_NOT_OFFERED = "teams_not_offered"
    """Teams was asked for and is not offered; what the calendar has was taken instead, if any."""
    NOT_CREATED = "not_created"
    """Graph accepted the event without making it an online meeting."""
    LINK_OVERDUE = "link_overdue"
    """The link was promised and never came."""


class MeetingProvider(StrEnum):
    """Whose online meeting it is."""

    TEAMS = "teams"
    SKYPE = "skype"


class Cause(StrEnum):
    """Who or what changed a session."""

    API = "api"
    OUTLOOK = "outlook"
    """Seen after a change notification."""
    RECONCILIATION = "reconciliation"


@dataclass(frozen=True, slots=True)
class OnlineMeeting:
    """What was asked for and what there is."""

    wanted: OnlineMeetingChoice = OnlineMeetingChoice.NONE
    state: OnlineMeetingState = OnlineMeetingState.NONE
    join_url: str | None = None
    """Opaque; never parsed."""
    reason: OnlineMeetingReason | None = None
    provider: MeetingProvider | None = None
    """Whose it has become; None where there is none, or Graph does not say."""


@dataclass(frozen=True, slots=True)
class AttendeeResponse:
    """What an attendee answered, and when. Belongs to one scheduling of the session."""

    state: ResponseState = ResponseState.PENDING
    responded_at: datetime | None = None
    """None while pending."""
    proposed: TimeSpan | None = None
    """Another time they propose, until it is answered."""
    was_reset: bool = False
    """Pending because new times took an earlier answer back (Graph's `notResponded`), not because
    nothing was ever heard (`none`)."""


@dataclass(frozen=True, slots=True)
class Attendee:
    """Somebody who was invited. The organizer is not among them."""

    address: str
    """SMTP address, lower case."""
    object_id: ObjectId | None = None
    required: bool = True
    response: AttendeeResponse = AttendeeResponse()
    is_free: bool = True
    """False: was known not to be free when it was booked or moved and could be done without.
    Invited all the same; their time is not held."""
    is_free_at_pending: bool | None = None
    """The same of where a reschedule under way wants it; None: as it is now."""
    taken: TimeSpan | None = None
    """The last time they proposed that the organizer took, to know the same acceptance again."""
    forwarded: bool = False
    """Added in Outlook, not by us: no participant of the pairing."""


@dataclass(frozen=True, slots=True)
class Session:
    """One meeting of a pairing."""

    id: SessionId
    organization_id: OrganizationId
    pairing_id: PairingId
    organizer: Mailbox
    """Whose calendar holds the event: also the partition this session is stored in."""
    state: SessionState
    span: TimeSpan
    time_zone: str
    """The organizer's zone as given when booking: an IANA or Windows name."""
    attendees: tuple[Attendee, ...]
    created_at: datetime
    changed_at: datetime
    online_meeting: OnlineMeeting = OnlineMeeting()
    fingerprint: str = ""
    """Hash of the booking request, to tell a retry from another request under the same key."""
    unknown_for: tuple[str, ...] = ()
    """Addresses whose availability was unknown when it was booked."""
    event_id: EventId | None = None
    ical_uid: ICalUid | None = None
    event_etag: str | None = None
    """Graph's etag of the event as last read or written: an echo carries the same."""
    event_modified_at: datetime | None = None
    """Graph's `lastModifiedDateTime` of that: what was modified earlier is old news."""
    sequence: int = 0
    """Counts reschedulings: answers belong to one of them."""
    conflicts_with: tuple[SessionId, ...] = ()
    """Sessions that a move in Outlook made it overlap."""
    unreadable_since: datetime | None = None
    """Since when its event cannot be read: the organizer's mailbox is gone, or shut to the app."""
    series_id: SeriesId | None = None
    occurrence: int = 0
    """Which of its series, from 0."""
    pending_span: TimeSpan | None = None
    """Where a reschedule under way wants it; held besides *span* until it is done or undone."""
    pending_base_version: str | None = None
    """The *version* that reschedule was asked of: who repeats it knows no later one."""
    held_until: datetime | None = None
    """Until when an unconfirmed hold (requested, or *pending_span*) counts."""
    version: str = ""
    """The stored row's etag; empty before it is stored."""

    @property
    def tenant_id(self) -> TenantId:
        """Return the tenant of its organizer."""
        return self.organizer.tenant_id

    @property
    def mailboxes(self) -> tuple[Mailbox, ...]:
        """Return every mailbox whose time this takes, attendees first, the organizer last."""
        return (
            *(
                Mailbox(self.tenant_id, a.object_id)
                for a in self.attendees
                if a.object_id and not a.forwarded
            ),
            self.organizer,
        )

    def next_changed_at(self, now: datetime) -> datetime:
        """Return *now*, or if it is not yet later, the next instant after it last changed.

        Clocks of instances differ; what changed later must say so.
        """
        return max(now, self.changed_at + timedelta(microseconds=1))

    def holds_time_of(self, mailbox: Mailbox) -> bool:
        """Tell whether it takes *mailbox*'s time: not of who is invited though not free."""
        return mailbox == self.organizer or not any(
            a.object_id == mailbox.object_id and not a.is_free for a in self.attendees
        )

    def holds_pending_time_of(self, mailbox: Mailbox) -> bool:
        """Tell whether a reschedule under way takes *mailbox*'s time."""
        then = {a.object_id: a.is_free_at_pending for a in self.attendees}.get(mailbox.object_id)
        return self.holds_time_of(mailbox) if then is None else then

    def marking_busy(self, mailbox: Mailbox) -> "Session":
        """Return it with the attendee of *mailbox* invited though not free."""
        return replace(
            self,
            attendees=tuple(
                replace(a, is_free=False) if a.object_id == mailbox.object_id else a
                for a in self.attendees
            ),
        )

    def marking_busy_at_pending(self, mailbox: Mailbox) -> "Session":
        """Return it with the attendee of *mailbox* not free where it is to go."""
        return replace(
            self,
            attendees=tuple(
                replace(a, is_free_at_pending=False) if a.object_id == mailbox.object_id else a
                for a in self.attendees
            ),
        )

    def with_pending_move(self, span: TimeSpan, until: datetime) -> "Session":
        """Return it with a reschedule to *span* under way, which holds that time *until* then."""
        is_same = span == self.pending_span and self.pending_base_version is not None
        return replace(
            self,
            pending_span=span,
            held_until=until,
            pending_base_version=self.pending_base_version if is_same else self.version,
        )

    def with_pending_move_resolved(self, *, applied: bool) -> "Session":
        """Return it without the reschedule under way, which was *applied* or came to nothing.

        Its times are the caller's to say.
        """
        return replace(
            self,
            pending_span=None,
            held_until=None,
            pending_base_version=None,
            attendees=tuple(
                replace(
                    a,
                    is_free=a.is_free
                    if a.is_free_at_pending is None or not applied
                    else a.is_free_at_pending,
                    is_free_at_pending=None,
                )
                for a in self.attendees
            ),
        )

    def with_response(self, address: str, response: AttendeeResponse) -> "Session":
        """Return it with *address*'s response replaced."""
        return replace(
            self,
            attendees=tuple(
                replace(a, response=response) if a.address == address else a for a in self.attendees
            ),
        )


@dataclass(frozen=True, slots=True)
class Hold:
    """Time of one mailbox that a session takes."""

    session_id: SessionId
    span: TimeSpan
    expires_at: datetime | None = None
    """None: confirmed, counts for good. Else it stops counting then."""

    def is_active_at(self, now: datetime) -> bool:
        """Tell whether it still keeps others out."""
        return self.expires_at is None or now < self.expires_at


@dataclass(frozen=True, slots=True)
class EventDraft:
    """What is written into Outlook for a session. Texts pass through; they are never stored."""

    session_id: SessionId
    """Also the transactionId and our extended property."""
    title: str
    agenda: str
    """Plain text; the adapter escapes it."""
    location: str | None
    span: TimeSpan
    time_zone: str
    attendees: tuple[Attendee, ...]
    online_meeting: OnlineMeetingChoice
    pattern: Pattern | None = None
    """Makes a series of it, *span* being the first."""


@dataclass(frozen=True, slots=True)
class CalendarAttendee:
    """An attendee on the organizer's copy of an event; never the organizer."""

    address: str
    response: AttendeeResponse
    required: bool = True


@dataclass(frozen=True, slots=True)
class CalendarEvent:
    """The organizer's copy of an event, as Graph showed it."""

    event_id: EventId
    ical_uid: ICalUid
    etag: str
    span: TimeSpan
    is_cancelled: bool
    attendees: tuple[CalendarAttendee, ...]
    is_online_meeting: bool
    join_url: str | None
    modified_at: datetime
    """`lastModifiedDateTime`."""
    provider: MeetingProvider | None = None
    """Of its online meeting, if it is one."""
    session_id: SessionId | None = None
    """Our extended property, where it was asked for."""
    series_master_id: EventId | None = None
    original_start: datetime | None = None
    """Of an occurrence: when it would start by the pattern; None where Graph does not say."""
