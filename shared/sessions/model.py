"""A session: the app's booking with its state, its attendees and their answers."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from shared.availability.model import NO_BUFFERS, Buffers
from shared.changes.model import Change
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
from shared.sessions.online_meeting import NOT_REQUESTED, OnlineMeeting
from shared.timespan import DateSpan, TimeSpan

HOLD_TTL = timedelta(minutes=10)
"""The lifetime of an unconfirmed hold: longer than the recovery job and its retries need."""
RECOVERY_DELAY = timedelta(minutes=2)
"""The delay of the recovery job after the start of a booking or change."""
LINK_CHECK_DELAYS = (timedelta(seconds=20), timedelta(minutes=1), timedelta(minutes=5))
"""The delay of each check for a late join link after the check before. After the last check without
one the link is overdue."""


class SessionState(StrEnum):
    """The state of a session. There is no state `ended`: such a session is scheduled, and over."""

    REQUESTED = "requested"
    """Its time is held; the event in Outlook may not exist yet."""
    SCHEDULED = "scheduled"
    CANCELLED = "cancelled"


class ResponseState(StrEnum):
    """An attendee's answer. Graph's `none` and `notResponded` are both `pending` here."""

    PENDING = "pending"
    ACCEPTED = "accepted"
    TENTATIVE = "tentative"
    DECLINED = "declined"


class Cause(StrEnum):
    """The source of a change to a session."""

    API = "api"
    OUTLOOK = "outlook"
    """Found after a change notification."""
    RECONCILIATION = "reconciliation"


class OddTime(StrEnum):
    """What is odd about the times of a session: Outlook allows more than a booking does."""

    ZERO_MINUTES = "zero_minutes"
    """It ends when it starts. Such a session holds no time."""


@dataclass(frozen=True, slots=True)
class AttendeeResponse:
    """An attendee's answer and its time. It belongs to one `Session.sequence`."""

    state: ResponseState = ResponseState.PENDING
    responded_at: datetime | None = None
    """None while pending."""
    proposed: TimeSpan | None = None
    """The time that the attendee proposes, until the organizer answers the proposal."""
    was_reset: bool = False
    """Pending because a reschedule reset an earlier answer (Graph's `notResponded`), not because
    the attendee has never answered (`none`).

    Source: https://learn.microsoft.com/graph/api/resources/responsestatus
    """


@dataclass(frozen=True, slots=True)
class Attendee:
    """A person invited to a session; never the organizer."""

    address: str
    """SMTP address, lower case."""
    object_id: ObjectId | None = None
    required: bool = True
    response: AttendeeResponse = AttendeeResponse()
    is_free: bool = True
    """False: the attendee was busy when the session was booked or moved, and the meeting does not
    need them. They are invited all the same, and their time is not held."""
    is_free_at_pending: bool | None = None
    """The same for the target of a pending reschedule; None: as at the present time."""
    taken: TimeSpan | None = None
    """The last proposal that the organizer accepted, to recognize a retry of the acceptance."""
    forwarded: bool = False
    """Added in Outlook, by forwarding for example: no participant of the pairing."""
    invited: bool = True
    """False: removed from the meeting in Outlook. The organizer may put them back."""
    known_as: tuple[str, ...] = ()
    """Other addresses of the same person under which Outlook has shown them."""


@dataclass(frozen=True, slots=True)
class Session:
    """One meeting of a pairing."""

    id: SessionId
    organization_id: OrganizationId
    pairing_id: PairingId
    organizer: Mailbox
    """The mailbox whose calendar has the event, and in whose partition the session is stored."""
    state: SessionState
    span: TimeSpan
    time_zone: str
    """The organizer's zone as given when booking: an IANA or Windows name."""
    attendees: tuple[Attendee, ...]
    created_at: datetime
    changed_at: datetime
    """The version that readers see: it grows with every change that they can see."""
    online_meeting: OnlineMeeting = NOT_REQUESTED
    fingerprint: str = ""
    """Hash of the booking request: another request under the same key has another one."""
    unknown_for: tuple[str, ...] = ()
    """Addresses whose availability was unknown when the session was booked."""
    event_id: EventId | None = None
    ical_uid: ICalUid | None = None
    event_etag: str | None = None
    """Graph's etag of the event as last read or written: the notification of it has the same."""
    event_modified_at: datetime | None = None
    """Graph's `lastModifiedDateTime` of that version: an event modified earlier is outdated."""
    sequence: int = 0
    """The number of reschedules (iCalendar's SEQUENCE): an answer belongs to one of them."""
    conflicts_with: tuple[SessionId, ...] = ()
    """Sessions that it overlaps since a move in Outlook."""
    missing_since: datetime | None = None
    """Since when Graph does not find the event; a second look decides. In a cancelled session: it
    was cancelled because of that, and is scheduled again once the event is seen again."""
    unreadable_since: datetime | None = None
    """Since when the event cannot be read, or a part of it: the mailbox is gone, refuses the app,
    or Graph's answer is not understood."""
    is_mailbox_lost: bool = False
    """The app cannot read any event of the organizer: none is tried until the mailbox is back."""
    series_id: SeriesId | None = None
    occurrence: int = 0
    """Its number in the series, from 0."""
    pending_span: TimeSpan | None = None
    """The target of a pending reschedule, held beside *span* until the move is done or undone."""
    pending_base_version: str | None = None
    """The *revision* that the pending reschedule is based on: its retry has seen no later one."""
    buffers: Buffers = NO_BUFFERS
    """The organization's when it was booked or moved: other sessions keep away by them."""
    pending_buffers: Buffers | None = None
    """The buffers of the pending reschedule, and from its end on the session's."""
    pending_unknown_for: tuple[str, ...] | None = None
    """As *unknown_for*, for the target of a pending reschedule."""
    held_until: datetime | None = None
    """The expiry of an unconfirmed hold (state requested, or *pending_span*)."""
    dates: DateSpan | None = None
    """The dates of a session that was made all-day in Outlook; *span* has their instants."""
    response_requested: bool = True
    """False: in Outlook the organizer asks for no responses, so none ever reaches the event."""
    outbox: tuple[Change, ...] = ()
    """The changes that are not in the change feed yet, oldest first."""
    version: str = ""
    """The stored row's etag; empty before it is stored."""

    @property
    def tenant_id(self) -> TenantId:
        """Return the organizer's tenant."""
        return self.organizer.tenant_id

    @property
    def odd_time(self) -> OddTime | None:
        """Return the oddity of its times, or None."""
        return OddTime.ZERO_MINUTES if self.span.is_empty else None

    @property
    def mailboxes(self) -> tuple[Mailbox, ...]:
        """Return the mailboxes of all participants, attendees first, the organizer last."""
        return (
            *(
                Mailbox(self.tenant_id, a.object_id)
                for a in self.attendees
                if a.object_id and not a.forwarded
            ),
            self.organizer,
        )

    @property
    def declined_addresses(self) -> frozenset[str]:
        """Return the addresses of the attendees who declined, or are not invited any more."""
        return frozenset(
            a.address
            for a in self.attendees
            if not a.invited or a.response.state is ResponseState.DECLINED
        )

    def attendee(self, object_id: ObjectId) -> Attendee | None:
        """Return the participant with *object_id*; None for the organizer, or a stranger."""
        return next((a for a in self.attendees if a.object_id == object_id), None)

    @property
    def may_return(self) -> bool:
        """Return whether it is cancelled only because its event was not found any more."""
        return self.state is SessionState.CANCELLED and self.missing_since is not None

    @property
    def may_have_event(self) -> bool:
        """Return whether there may be an event in Outlook: it is not cancelled for good."""
        return self.state is not SessionState.CANCELLED or self.may_return

    @property
    def revision(self) -> str:
        """Return *changed_at* as text: the same as long as no reader sees a difference."""
        return self.changed_at.isoformat()

    def is_at(self, span: TimeSpan) -> bool:
        """Return whether the session takes place at *span*, and not all day."""
        return self.dates is None and self.span == span

    def next_changed_at(self, now: datetime) -> datetime:
        """Return *now*, or a microsecond after *changed_at* if that is later.

        Clocks of instances differ; *changed_at* must grow with every change.
        """
        return max(now, self.changed_at + timedelta(microseconds=1))

    def holds_time_of(self, mailbox: Mailbox) -> bool:
        """Return whether the session holds time in *mailbox*.

        Not of an attendee who was busy when it was booked or moved, who declined, or who is not
        invited any more.
        """
        return mailbox == self.organizer or not any(
            a.object_id == mailbox.object_id
            and (not a.is_free or not a.invited or a.response.state is ResponseState.DECLINED)
            for a in self.attendees
        )

    def holds_pending_time_of(self, mailbox: Mailbox) -> bool:
        """Return whether the pending reschedule holds time in *mailbox*."""
        # A move asks those again who declined.
        then = {
            a.object_id: a.invited
            and (a.is_free if a.is_free_at_pending is None else a.is_free_at_pending)
            for a in self.attendees
        }
        return then.get(mailbox.object_id, True)

    def marking_busy(self, mailbox: Mailbox) -> "Session":
        """Return the session with the attendee of *mailbox* marked busy at its present time."""
        return replace(
            self,
            attendees=tuple(
                replace(a, is_free=False) if a.object_id == mailbox.object_id else a
                for a in self.attendees
            ),
        )

    def marking_busy_at_pending(self, mailbox: Mailbox) -> "Session":
        """Return the session with the attendee of *mailbox* marked busy at its pending time."""
        return replace(
            self,
            attendees=tuple(
                replace(a, is_free_at_pending=False) if a.object_id == mailbox.object_id else a
                for a in self.attendees
            ),
        )

    def with_pending_move(self, span: TimeSpan, until: datetime) -> "Session":
        """Return the session with a pending reschedule to *span*, held *until* then."""
        is_same = span == self.pending_span and self.pending_base_version is not None
        return replace(
            self,
            pending_span=span,
            held_until=until,
            pending_base_version=self.pending_base_version if is_same else self.revision,
        )

    def with_pending_move_resolved(self, *, applied: bool) -> "Session":
        """Return the session without its pending reschedule, which was *applied* or undone.

        *span* stays as it is: the caller sets it.
        """
        moved = self
        if applied:
            unknown_for = self.pending_unknown_for
            moved = replace(
                self,
                buffers=self.pending_buffers or self.buffers,
                unknown_for=self.unknown_for if unknown_for is None else unknown_for,
            )
        return replace(
            moved,
            pending_buffers=None,
            pending_unknown_for=None,
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
        """Return the session with the response of *address* replaced."""
        return replace(
            self,
            attendees=tuple(
                replace(a, response=response) if a.address == address else a for a in self.attendees
            ),
        )
