"""Parses Graph's JSON of an event into a `CalendarEvent`, part by part.

Without its ids, its version and its times an event cannot be read at all. If any other part cannot
be read, the event says so (`CalendarEvent.is_whole`) and the rest counts.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Any, Final, TypeVar

from shared.adapters.graph.addresses import read_address
from shared.adapters.graph.times import read_dates, read_instant, read_span
from shared.adapters.graph.zones import zone_named
from shared.errors import CalendarUnavailable, EventUnreadable
from shared.ids import EventId, ICalUid, SessionId
from shared.sessions.calendar_events import CalendarAttendee, CalendarEvent, UnreadableEvent
from shared.sessions.model import AttendeeResponse, ResponseState
from shared.sessions.online_meeting import MeetingProvider
from shared.timespan import DateSpan, TimeSpan

_T = TypeVar("_T")
_UNREADABLE: Final = "Graph's answer about the event cannot be read."

_MEETINGS: Final = {
    "teamsforbusiness": MeetingProvider.TEAMS,
    "skypeforbusiness": MeetingProvider.SKYPE,
    "skypeforconsumer": MeetingProvider.SKYPE,
}


RESPONSES: Final = {
    "none": ResponseState.PENDING,
    "notresponded": ResponseState.PENDING,
    "organizer": ResponseState.PENDING,
    "accepted": ResponseState.ACCEPTED,
    "tentativelyaccepted": ResponseState.TENTATIVE,
    "declined": ResponseState.DECLINED,
}


@dataclass(slots=True)
class _Notes:
    """What could not be read of an event so far."""

    is_whole: bool = True
    has_all_attendees: bool = True

    def miss(self) -> None:
        """Note that a part cannot be read."""
        self.is_whole = False

    def miss_attendee(self) -> None:
        """Note that it is not known who is invited."""
        self.is_whole = self.has_all_attendees = False

    def member(self, payload: Mapping[str, Any], name: str, kind: type[_T]) -> _T | None:
        """Return a member; None if it is missing, null, or (noted) of another type."""
        value = payload.get(name)
        if isinstance(value, kind):
            return value
        if value is not None:
            self.miss()
        return None


def parse_event(
    payload: Mapping[str, Any], *, session_id: SessionId | None = None
) -> CalendarEvent:
    """Parse the organizer's copy of an event; the organizer is not among its attendees.

    Raises:
        EventUnreadable: its ids, its version or its times are missing or cannot be read.
    """
    if not isinstance(payload, Mapping):
        raise EventUnreadable(_UNREADABLE)
    notes = _Notes()
    attendees = _attendees(payload, notes)
    # Of a mark that cannot be read nothing follows: it cancels no meeting.
    is_cancelled = notes.member(payload, "isCancelled", bool) or False
    is_online = notes.member(payload, "isOnlineMeeting", bool) or False
    meeting: Mapping[str, Any] = notes.member(payload, "onlineMeeting", dict) or {}
    response_requested = notes.member(payload, "responseRequested", bool) is not False
    master_id = notes.member(payload, "seriesMasterId", str)
    dates, zone = _dates(payload), _zone(payload)
    return CalendarEvent(
        event_id=EventId(_text(payload, "id")),
        ical_uid=ICalUid(_text(payload, "iCalUId")),
        etag=_text(payload, "@odata.etag"),
        span=_span(payload, dates, zone),
        is_cancelled=is_cancelled,
        attendees=attendees,
        is_online_meeting=is_online,
        join_url=notes.member(meeting, "joinUrl", str) or None,
        modified_at=_modified_at(payload),
        # The provider's name can outlive the online meeting.
        provider=_provider(payload) if is_online else None,
        session_id=session_id,
        series_master_id=EventId(master_id) if master_id else None,
        original_start=_instant(payload, "originalStart", notes),
        has_all_attendees=notes.has_all_attendees,
        is_whole=notes.is_whole,
        dates=dates,
        is_zone_known=zone is not None,
        response_requested=response_requested,
    )


def parse_listed(
    payload: Mapping[str, Any], *, session_id: SessionId | None = None
) -> CalendarEvent | UnreadableEvent:
    """Parse an event of a list; one that cannot be read does not spoil the others.

    Raises:
        EventUnreadable: it has no id.
    """
    try:
        return parse_event(payload, session_id=session_id)
    except EventUnreadable:
        if not isinstance(payload, Mapping):
            raise
        event_id = EventId(_text(payload, "id"))
        return UnreadableEvent(event_id, _instant(payload, "originalStart", _Notes()))


# --- without these an event cannot be read


def _text(payload: Mapping[str, Any], name: str) -> str:
    value = payload.get(name)
    if not isinstance(value, str) or not value:
        raise EventUnreadable(_UNREADABLE)
    return value


def _dates(payload: Mapping[str, Any]) -> DateSpan | None:
    """Return the dates of an all-day event; None for one with hours."""
    is_all_day = payload.get("isAllDay")
    if not isinstance(is_all_day, bool | None):
        raise EventUnreadable(_UNREADABLE)
    if not is_all_day:
        return None
    try:
        return read_dates(payload.get("start"), payload.get("end"))
    except CalendarUnavailable as error:
        raise EventUnreadable(_UNREADABLE) from error


def _zone(payload: Mapping[str, Any]) -> tzinfo | None:
    """Return the organizer's zone; None if Graph does not name it.

    For an occurrence Graph names UTC whatever its zone is.
    Source: https://github.com/microsoftgraph/microsoft-graph-docs/issues/2804
    """
    zone = zone_named(payload.get("originalStartTimeZone"))
    return None if zone is UTC and payload.get("seriesMasterId") else zone


def _span(payload: Mapping[str, Any], dates: DateSpan | None, zone: tzinfo | None) -> TimeSpan:
    try:
        if dates is None:
            return read_span(payload.get("start"), payload.get("end"))
        return dates.span_in(zone) if zone else dates.span_anywhere()
    except (CalendarUnavailable, OverflowError) as error:
        raise EventUnreadable(_UNREADABLE) from error


def _modified_at(payload: Mapping[str, Any]) -> datetime:
    try:
        modified_at = read_instant(payload.get("lastModifiedDateTime"))
    except CalendarUnavailable as error:
        raise EventUnreadable(_UNREADABLE) from error
    if modified_at is None:
        raise EventUnreadable(_UNREADABLE)
    return modified_at


# --- without these the rest counts


def _instant(payload: Mapping[str, Any], name: str, notes: _Notes) -> datetime | None:
    try:
        return read_instant(notes.member(payload, name, str))
    except CalendarUnavailable:
        notes.miss()
        return None


def _provider(payload: Mapping[str, Any]) -> MeetingProvider | None:
    return _MEETINGS.get(str(payload.get("onlineMeetingProvider")).lower())


def _attendees(payload: Mapping[str, Any], notes: _Notes) -> tuple[CalendarAttendee, ...]:
    organizer = _address(payload.get("organizer"))
    listed = payload.get("attendees")
    if not isinstance(listed, list) or not organizer:
        notes.miss_attendee()
    found = []
    for attendee in listed if isinstance(listed, list) else ():
        address = _address(attendee)
        if _is_marked_organizer(attendee) or (address and address == organizer):
            continue
        if not address:
            notes.miss_attendee()
            continue
        required = str(attendee.get("type") or "required").lower() == "required"
        response, is_said = _parse_response(attendee, notes)
        found.append(CalendarAttendee(address, response, required, is_said))
    return tuple(found)


def _parse_response(attendee: Mapping[str, Any], notes: _Notes) -> tuple[AttendeeResponse, bool]:
    """Parse an attendee's response, and return whether it is there and can be read.

    `none` and `notResponded` both mean pending, without a time.

    Source: https://learn.microsoft.com/graph/api/resources/responsestatus
    """
    status: Mapping[str, Any] = notes.member(attendee, "status", dict) or {}
    said = notes.member(status, "response", str)
    word = (said or "none").lower()
    if word not in RESPONSES:
        notes.miss()
    state = RESPONSES.get(word, ResponseState.PENDING)
    proposed = _proposed(attendee, notes)
    is_said = said is not None and word in RESPONSES
    if state is ResponseState.PENDING:
        return AttendeeResponse(proposed=proposed, was_reset=word == "notresponded"), is_said
    return AttendeeResponse(state, _instant(status, "time", notes), proposed), is_said


def _proposed(attendee: Mapping[str, Any], notes: _Notes) -> TimeSpan | None:
    proposal = notes.member(attendee, "proposedNewTime", dict)
    if proposal is None:
        return None
    try:
        return read_span(proposal.get("start"), proposal.get("end"))
    except CalendarUnavailable:
        notes.miss()
        return None


def _is_marked_organizer(attendee: object) -> bool:
    status = attendee.get("status") if isinstance(attendee, dict) else None
    word = status.get("response") if isinstance(status, dict) else None
    return isinstance(word, str) and word.lower() == "organizer"


def _address(recipient: object) -> str:
    """Return the address in lower case; an empty text if there is none."""
    mail = recipient.get("emailAddress") if isinstance(recipient, dict) else None
    address = mail.get("address") if isinstance(mail, dict) else None
    return read_address(address) if isinstance(address, str) else ""
