"""Lists the occurrences of a series."""

from shared.adapters.graph.client import GraphSession
from shared.adapters.graph.event_parsing import parse_event, parse_listed
from shared.adapters.graph.event_requests import list_instances_request, read_event_request
from shared.adapters.graph.listings import list_items
from shared.errors import CalendarRefused
from shared.ids import EventId
from shared.sessions.calendar_events import CalendarEvent
from shared.sessions.series import Occurrence
from shared.timespan import TimeSpan


async def list_instances(
    graph: GraphSession, master_id: EventId, window: TimeSpan
) -> list[Occurrence]:
    """Return the occurrences of a series in *window*. Raises EventGone.

    A series that a person made into one meeting has this meeting, wherever it is. No document says
    how Graph lists the occurrences of such an event. (To settle it: remove a recurrence, list
    them.)
    """
    request = list_instances_request(graph, master_id, window)
    try:
        found = [parse_listed(event) async for event in list_items(graph, request)]
    except CalendarRefused:
        if (single := await _read_single(graph, master_id)) is None:
            raise
        return [single]
    if not found and (single := await _read_single(graph, master_id)):
        return [single]
    return found


async def _read_single(graph: GraphSession, event_id: EventId) -> CalendarEvent | None:
    """Return the event if it is no series. Raises EventGone."""
    request = read_event_request(graph, event_id, with_type=True)
    payload = (await graph.call(request, repeatable=True)).json()
    return parse_event(payload) if payload.get("type") == "singleInstance" else None
