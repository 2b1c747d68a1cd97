"""Finds events without their id: by the app's property, by iCalUId, in a calendar view."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from kiota_abstractions.request_information import RequestInformation

from shared.adapters.graph.client import GraphSession
from shared.adapters.graph.event_parsing import parse_event
from shared.adapters.graph.event_requests import (
    SELECT,
    calendar_view_request,
    find_events_request,
    find_in_calendar_request,
    list_calendars_request,
)
from shared.adapters.graph.event_serialization import PROPERTY_ID
from shared.errors import EventGone
from shared.ids import EventId, ICalUid, SessionId
from shared.sessions.calendar_events import CalendarEvent
from shared.sessions.model import Session

ANY_DAY: Final = timedelta(days=180)
"""How far from its day a date of a series is searched for."""


async def find_tagged(graph: GraphSession, session_id: SessionId) -> CalendarEvent | None:
    """Find the event that has *session_id* in the app's extended property."""
    has_it = (
        f"singleValueExtendedProperties/Any(ep: ep/id eq '{PROPERTY_ID}' "
        f"and ep/value eq '{_quoted(session_id)}')"
    )
    answer = await graph.call(find_events_request(graph, has_it, SELECT), repeatable=True)
    found = [
        parse_event(event, session_id=session_id) for event in answer.json().get("value") or ()
    ]
    return min(found, key=lambda event: event.is_cancelled, default=None)


async def find_by_uid(graph: GraphSession, ical_uid: ICalUid) -> CalendarEvent | None:
    """Find the event of *ical_uid* in the mailbox: its other ids may have changed.

    No document says whether the events of a mailbox are those of its default calendar alone. So
    each other calendar is asked too. (To settle it: move an event to another calendar, list them.)
    """
    condition = f"iCalUId eq '{_quoted(ical_uid)}'"
    found = await _events(graph, find_events_request(graph, condition, SELECT))
    if not found:
        calendars = await _events(graph, list_calendars_request(graph))
        for each in calendars:
            if not found and not each.get("isDefaultCalendar"):
                request = find_in_calendar_request(graph, str(each["id"]), condition)
                found = await _events(graph, request)
    return next(map(parse_event, found), None)


async def find_attendee_copy(graph: GraphSession, ical_uid: ICalUid | None) -> EventId:
    """Return the id of an attendee's copy. Raises EventGone: there is none, or not yet."""
    if ical_uid is not None:
        request = find_events_request(graph, f"iCalUId eq '{_quoted(ical_uid)}'", ["id"])
        for event in (await graph.call(request, repeatable=True)).json().get("value") or ():
            return EventId(event["id"])
    raise EventGone("The invitation is not in this calendar.", code="no_copy")


async def find_occurrence_copy(graph: GraphSession, session: Session) -> EventId:
    """Return the id of the copy of one occurrence, by its time and iCalUId, in the calendar view.

    A list of events has the master of a series, but not its occurrences. Raises EventGone.

    Source: https://learn.microsoft.com/graph/api/user-list-events
    """
    request = calendar_view_request(graph, session.span)
    for event in (await graph.call(request, repeatable=True)).json().get("value") or ():
        if event.get("iCalUId") == session.ical_uid:
            return EventId(event["id"])
    raise EventGone("The invitation is not in this calendar.", code="no_copy")


async def is_copy_cancelled(graph: GraphSession, session: Session) -> bool | None:
    """Return whether the copy in an attendee's calendar is cancelled; None: there is no copy.

    Source: https://learn.microsoft.com/graph/api/resources/event (isCancelled)
    """
    request = calendar_view_request(graph, session.span)
    for event in (await graph.call(request, repeatable=True)).json().get("value") or ():
        if session.ical_uid is not None and event.get("iCalUId") == session.ical_uid:
            return event.get("isCancelled") is True
    return None


async def _events(graph: GraphSession, request: RequestInformation) -> list[Mapping[str, Any]]:
    return list((await graph.call(request, repeatable=True)).json().get("value") or ())


def _quoted(text: str) -> str:
    """Return *text* for an OData string literal, in which a quote is doubled."""
    return text.replace("'", "''")
