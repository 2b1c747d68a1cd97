"""The requests about events, made by the SDK's builders. Nothing is sent here.

*path* is a builder's path parameters (`GraphSession.path`).
"""

from datetime import datetime
from typing import Any, Final
from urllib.parse import quote

from kiota_abstractions.base_request_configuration import RequestConfiguration
from kiota_abstractions.request_information import RequestInformation
from msgraph.generated.models.event import Event
from msgraph.generated.models.time_slot import TimeSlot
from msgraph.generated.users.item.calendar.calendar_request_builder import CalendarRequestBuilder
from msgraph.generated.users.item.calendar_view.calendar_view_request_builder import (
    CalendarViewRequestBuilder,
)
from msgraph.generated.users.item.events.events_request_builder import EventsRequestBuilder
from msgraph.generated.users.item.events.item.accept.accept_post_request_body import (
    AcceptPostRequestBody,
)
from msgraph.generated.users.item.events.item.accept.accept_request_builder import (
    AcceptRequestBuilder,
)
from msgraph.generated.users.item.events.item.cancel.cancel_post_request_body import (
    CancelPostRequestBody,
)
from msgraph.generated.users.item.events.item.cancel.cancel_request_builder import (
    CancelRequestBuilder,
)
from msgraph.generated.users.item.events.item.decline.decline_post_request_body import (
    DeclinePostRequestBody,
)
from msgraph.generated.users.item.events.item.decline.decline_request_builder import (
    DeclineRequestBuilder,
)
from msgraph.generated.users.item.events.item.event_item_request_builder import (
    EventItemRequestBuilder,
)
from msgraph.generated.users.item.events.item.instances.instances_request_builder import (
    InstancesRequestBuilder,
)
from msgraph.generated.users.item.events.item.tentatively_accept import (
    tentatively_accept_post_request_body,
    tentatively_accept_request_builder,
)

from shared.adapters.graph.client import GraphSession
from shared.adapters.graph.event_serialization import comment_text
from shared.adapters.graph.times import to_date_time_zone
from shared.ids import EventId, Mailbox
from shared.sessions.model import ResponseState
from shared.timespan import TimeSpan

SELECT: Final = [
    "id",
    "iCalUId",
    "start",
    "end",
    "isAllDay",
    "originalStartTimeZone",
    "isCancelled",
    "attendees",
    "organizer",
    "isOnlineMeeting",
    "onlineMeeting",
    "onlineMeetingProvider",
    "lastModifiedDateTime",
    "seriesMasterId",
    "responseRequested",
]
"""The properties read of an event: no subject, no body, only what `Calendars.ReadBasic` allows."""

_SELECTED: Final = ",".join(SELECT)

_INSTANCE_SELECT: Final = [*SELECT, "originalStart"]

IDS: Final = ["id", "iCalUId", "isCancelled", "seriesMasterId"]

_PAGE: Final = 100


def read_event_request(
    graph: GraphSession, event_id: EventId, *, with_type: bool = False
) -> RequestInformation:
    """Return the request that reads one event."""
    builder = EventItemRequestBuilder(graph.adapter, graph.path(event=event_id))
    select = [*SELECT, "type"] if with_type else SELECT
    wanted = EventItemRequestBuilder.EventItemRequestBuilderGetQueryParameters(select=select)
    return builder.to_get_request_information(RequestConfiguration(query_parameters=wanted))


def batched_read_request(
    graph: GraphSession, mailbox: Mailbox, event_id: EventId
) -> RequestInformation:
    """Return the request that reads one event as part of a batch."""
    path = graph.path(user=mailbox.object_id, event=event_id)
    request = EventItemRequestBuilder(graph.adapter, path).to_get_request_information()
    # The SDK expands a URL template character by character. For a batch of twenty, expanding the
    # same list each time is half of the cost, so $select is appended as text.
    request.url = f"{request.url}?$select={_SELECTED}"
    return request


def find_events_request(
    graph: GraphSession, condition: str, select: list[str]
) -> RequestInformation:
    """Return the request that lists the events of the mailbox that match the OData *condition*."""
    builder = EventsRequestBuilder(graph.adapter, graph.path())
    wanted = EventsRequestBuilder.EventsRequestBuilderGetQueryParameters(
        filter=condition, select=select
    )
    return builder.to_get_request_information(RequestConfiguration(query_parameters=wanted))


def list_calendars_request(graph: GraphSession) -> RequestInformation:
    """Return the request for the ids of the mailbox's calendars.

    Source: https://learn.microsoft.com/graph/api/user-list-calendars
    """
    return _calendars_request(graph, f"?$select=id,isDefaultCalendar&$top={_PAGE}")


def find_in_calendar_request(
    graph: GraphSession, calendar_id: str, condition: str
) -> RequestInformation:
    """Return the request that lists the events of one calendar that match *condition*.

    Source: https://learn.microsoft.com/graph/api/calendar-list-events
    """
    where = f"/{quote(calendar_id, safe='')}/events"
    return _calendars_request(graph, f"{where}?$filter={quote(condition)}&$select={_SELECTED}")


def list_instances_request(
    graph: GraphSession, master_id: EventId, window: TimeSpan
) -> RequestInformation:
    """Return the request for the occurrences of a series in *window*, 100 a page.

    Source: https://learn.microsoft.com/graph/api/event-list-instances
    """
    builder = InstancesRequestBuilder(graph.adapter, graph.path(event=master_id))
    wanted = InstancesRequestBuilder.InstancesRequestBuilderGetQueryParameters(
        start_date_time=_instant(window.start),
        end_date_time=_instant(window.end),
        select=_INSTANCE_SELECT,
        top=_PAGE,
    )
    return builder.to_get_request_information(RequestConfiguration(query_parameters=wanted))


def list_copies_request(
    graph: GraphSession, master_id: EventId, window: TimeSpan
) -> RequestInformation:
    """Return the request for an attendee's copies of a series' dates, with the answer to each.

    Source: https://learn.microsoft.com/graph/api/event-list-instances
    """
    builder = InstancesRequestBuilder(graph.adapter, graph.path(event=master_id))
    wanted = InstancesRequestBuilder.InstancesRequestBuilderGetQueryParameters(
        start_date_time=_instant(window.start),
        end_date_time=_instant(window.end),
        select=["id", "iCalUId", "isCancelled", "type", "responseStatus"],
        top=_PAGE,
    )
    return builder.to_get_request_information(RequestConfiguration(query_parameters=wanted))


def calendar_view_request(
    graph: GraphSession, window: TimeSpan, select: list[str] = IDS
) -> RequestInformation:
    """Return the request for the events and occurrences in *window*, 100 a page.

    Source: https://learn.microsoft.com/graph/api/user-list-calendarview
    """
    builder = CalendarViewRequestBuilder(graph.adapter, graph.path())
    wanted = CalendarViewRequestBuilder.CalendarViewRequestBuilderGetQueryParameters(
        start_date_time=_instant(window.start),
        end_date_time=_instant(window.end),
        select=select,
        top=_PAGE,
    )
    return builder.to_get_request_information(RequestConfiguration(query_parameters=wanted))


def reschedule_request(
    graph: GraphSession, path: dict[str, Any], span: TimeSpan, time_zone: str
) -> RequestInformation:
    """Return the request that gives one event or occurrence new times, with hours.

    Without `isAllDay` an all-day event would stay one, and times that are no midnights be refused.
    """
    patch = Event(
        is_all_day=False,
        start=to_date_time_zone(span.start, time_zone),
        end=to_date_time_zone(span.end, time_zone),
    )
    return EventItemRequestBuilder(graph.adapter, path).to_patch_request_information(patch)


def cancel_request(graph: GraphSession, path: dict[str, Any], comment: str) -> RequestInformation:
    """Return the request that cancels a meeting and sends *comment* to its attendees.

    Source: https://learn.microsoft.com/graph/api/event-cancel
    """
    body = CancelPostRequestBody(comment=comment_text(comment))
    return CancelRequestBuilder(graph.adapter, path).to_post_request_information(body)


def respond_request(
    graph: GraphSession,
    event_id: EventId,
    answer: ResponseState,
    comment: str,
    proposed: TimeSpan | None = None,
    time_zone: str = "UTC",
    *,
    user: str | None = None,
) -> RequestInformation:
    """Return the request that answers an invitation, with *proposed* as the proposed new time.

    *user*: the mailbox's object id, for a part of a batch.
    ``sendResponse`` is set, because the SDK's request bodies send false by default.

    Source: https://learn.microsoft.com/graph/api/event-tentativelyaccept

    Raises:
        ValueError: *answer* is not accepted, tentative or declined.
    """
    path = graph.path(event=event_id) | (graph.path(user=user) if user else {})
    comment = comment_text(comment)
    if answer is ResponseState.ACCEPTED:
        accept = AcceptPostRequestBody(comment=comment, send_response=True)
        return AcceptRequestBuilder(graph.adapter, path).to_post_request_information(accept)
    slot = _slot(proposed, time_zone) if proposed else None
    if answer is ResponseState.DECLINED:
        decline = DeclinePostRequestBody(
            comment=comment, send_response=True, proposed_new_time=slot
        )
        return DeclineRequestBuilder(graph.adapter, path).to_post_request_information(decline)
    if answer is ResponseState.TENTATIVE:
        tentative = tentatively_accept_post_request_body.TentativelyAcceptPostRequestBody(
            comment=comment, send_response=True, proposed_new_time=slot
        )
        return tentatively_accept_request_builder.TentativelyAcceptRequestBuilder(
            graph.adapter, path
        ).to_post_request_information(tentative)
    raise ValueError("an answer is accepted, tentative or declined")


def _calendars_request(graph: GraphSession, rest: str) -> RequestInformation:
    """Return the request of /calendars with *rest*: its path and query.

    The builders of these paths would be imported with the app, for requests that are rare.
    """
    builder = CalendarRequestBuilder(graph.adapter, graph.path())
    path = builder.to_get_request_information().url
    url = f"{graph.adapter.base_url}{path}s{rest}"
    return builder.with_url(url).to_get_request_information()


def _slot(span: TimeSpan, time_zone: str) -> TimeSlot:
    return TimeSlot(
        start=to_date_time_zone(span.start, time_zone), end=to_date_time_zone(span.end, time_zone)
    )


def _instant(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")
