"""Events of the app in Outlook: as it creates them, and as Graph returns them."""

from dataclasses import dataclass
from datetime import datetime

from shared.availability.working_hours import zone_of
from shared.ids import EventId, ICalUid, SessionId
from shared.organizations.model import OnlineMeetingChoice
from shared.sessions.model import Attendee, AttendeeResponse
from shared.sessions.online_meeting import MeetingProvider
from shared.sessions.recurrence import Pattern
from shared.timespan import DateSpan, TimeSpan


@dataclass(frozen=True, slots=True)
class EventDraft:
    """The event to create for a session or a series. Its texts are passed on, never stored."""

    session_id: SessionId
    """Also the event's `transactionId`, by which Graph refuses a duplicate, and the value of the
    app's extended property.

    Source: https://learn.microsoft.com/graph/api/resources/event
    """
    title: str
    agenda: str
    """Plain text; the adapter escapes it."""
    location: str | None
    span: TimeSpan
    time_zone: str
    attendees: tuple[Attendee, ...]
    online_meeting: OnlineMeetingChoice
    pattern: Pattern | None = None
    """Makes the event a series whose first date is *span*."""


@dataclass(frozen=True, slots=True)
class CalendarAttendee:
    """An attendee on the organizer's copy of an event; never the organizer."""

    address: str
    response: AttendeeResponse
    required: bool = True
    says_response: bool = True
    """False: the answer is missing or cannot be read, so *response* says nothing."""


@dataclass(frozen=True, slots=True)
class UnreadableEvent:
    """An event that Graph shows, and whose times or other parts cannot be read."""

    event_id: EventId
    original_start: datetime | None = None
    """As of a `CalendarEvent`."""
    series_master_id: EventId | None = None
    span: None = None


@dataclass(frozen=True, slots=True)
class CalendarEvent:
    """The organizer's copy of an event, as Graph returned it."""

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
    """The provider of its online meeting, if it has one."""
    session_id: SessionId | None = None
    """The value of the app's extended property, if the request expanded it."""
    series_master_id: EventId | None = None
    original_start: datetime | None = None
    """The start of an occurrence by the series' pattern; None if Graph does not return it."""
    has_all_attendees: bool = True
    """False: it cannot be read who is invited, so no attendee counts as added or removed."""
    is_whole: bool = True
    """False: a part of it cannot be read, and counts as unknown; the other parts are right."""
    dates: DateSpan | None = None
    """The dates of an all-day event; None for one with hours."""
    is_zone_known: bool = True
    """Whether Graph names the organizer's zone. If not, the *span* of an all-day event is every
    instant that its *dates* can mean."""
    response_requested: bool = True
    """False: the organizer asks for no responses, so Outlook sends none.

    Source: https://learn.microsoft.com/graph/api/resources/event, MS-OXOCAL 3.1.4.8.4
    """

    def span_in(self, time_zone: str) -> TimeSpan:
        """Return the event's span for a session whose organizer's zone is *time_zone*.

        That zone counts only for an all-day event whose own zone is not known. If it is none
        either, the widest possible days are taken: what may be busy is not free.
        """
        if self.dates is None or self.is_zone_known:
            return self.span
        try:
            return self.dates.span_in(zone_of(time_zone))
        except ValueError:
            return self.span

    def is_at(self, span: TimeSpan) -> bool:
        """Return whether the event takes place at *span*, and not all day."""
        return self.dates is None and self.span == span
