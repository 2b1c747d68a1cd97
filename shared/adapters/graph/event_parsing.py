"""Parses Graph's JSON of an event into a `CalendarEvent`."""

from collections.abc import Mapping
from typing import Any, Final

from shared.adapters.graph.addresses import read_address
from shared.adapters.graph.times import NEVER, read_instant, read_span
from shared.errors import CalendarUnavailable, EventUnreadable
from shared.ids import EventId, ICalUid, SessionId
from shared.sessions.calendar_events import CalendarAttendee, CalendarEvent, UnreadableEvent
from shared.sessions.model import AttendeeResponse, MeetingProvider, ResponseState

_MEETINGS: Final = {
    "teamsforbusiness": MeetingProvider.TEAMS,
    "skypeforbusiness": MeetingProvider.SKYPE,
    "skypeforconsumer": MeetingProvider.SKYPE,
}


_RESPONSES: Final = {
    "accepted": ResponseState.ACCEPTED,
    "tentativelyaccepted": ResponseState.TENTATIVE,
    "declined": ResponseState.DECLINED,
}


def parse_event(
    payload: Mapping[str, Any], *, session_id: SessionId | None = None
) -> CalendarEvent:
    """Parse the organizer's copy of an event; the organizer is not among its attendees.

    Raises:
        EventUnreadable: the answer lacks a property that every event has, or its times cannot be
            read.
    """
    try:
        organizer = _address(payload.get("organizer") or {})
        return CalendarEvent(
            event_id=EventId(payload["id"]),
            ical_uid=ICalUid(payload["iCalUId"]),
            etag=payload["@odata.etag"],
            span=read_span(payload["start"], payload["end"]),
            is_cancelled=bool(payload.get("isCancelled")),
            attendees=tuple(
                _parse_attendee(attendee)
                for attendee in payload.get("attendees") or ()
                if not _is_organizer(attendee, organizer)
            ),
            is_online_meeting=bool(payload.get("isOnlineMeeting")),
            join_url=(payload.get("onlineMeeting") or {}).get("joinUrl") or None,
            modified_at=read_instant(payload["lastModifiedDateTime"]) or NEVER,
            provider=_provider(payload),
            session_id=session_id,
            series_master_id=EventId(m) if (m := payload.get("seriesMasterId")) else None,
            original_start=read_instant(payload.get("originalStart")),
        )
    except (CalendarUnavailable, KeyError, TypeError, AttributeError) as error:
        raise EventUnreadable("Graph's answer about the event cannot be read.") from error


def parse_instance(payload: Mapping[str, Any]) -> CalendarEvent | UnreadableEvent:
    """Parse an occurrence of a series; one that cannot be read does not spoil the others.

    Raises:
        EventUnreadable: it has no id.
    """
    try:
        return parse_event(payload)
    except EventUnreadable:
        if not isinstance(payload, Mapping) or not isinstance(payload.get("id"), str):
            raise
        try:
            original_start = read_instant(payload.get("originalStart"))
        except CalendarUnavailable:
            original_start = None
        return UnreadableEvent(EventId(payload["id"]), original_start)


def _provider(payload: Mapping[str, Any]) -> MeetingProvider | None:
    if not payload.get("isOnlineMeeting"):
        return None  # the provider's name can outlive the online meeting
    return _MEETINGS.get(str(payload.get("onlineMeetingProvider")).lower())


def _parse_attendee(payload: Mapping[str, Any]) -> CalendarAttendee:
    return CalendarAttendee(
        address=_address(payload),
        response=_parse_response(payload),
        required=str(payload.get("type") or "required").lower() == "required",
    )


def _parse_response(payload: Mapping[str, Any]) -> AttendeeResponse:
    """Parse an attendee's response. `none` and `notResponded` both mean pending, without a time.

    Source: https://learn.microsoft.com/graph/api/resources/responsestatus
    """
    status = payload.get("status") or {}
    word = str(status.get("response") or "none").lower()
    state = _RESPONSES.get(word, ResponseState.PENDING)
    proposal = payload.get("proposedNewTime")
    proposed = read_span(proposal["start"], proposal["end"]) if proposal else None
    if state is ResponseState.PENDING:
        return AttendeeResponse(proposed=proposed, was_reset=word == "notresponded")
    return AttendeeResponse(state, read_instant(status.get("time")), proposed)


def _is_organizer(attendee: Mapping[str, Any], organizer: str) -> bool:
    status = attendee.get("status") or {}
    is_marked = str(status.get("response")).lower() == "organizer"
    return is_marked or (bool(organizer) and _address(attendee) == organizer)


def _address(payload: Mapping[str, Any]) -> str:
    return read_address(str((payload.get("emailAddress") or {}).get("address") or ""))
