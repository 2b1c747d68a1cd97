"""Writes and reads our events in people's calendars."""

import html
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from kiota_abstractions.base_request_configuration import RequestConfiguration
from kiota_abstractions.request_information import RequestInformation
from msgraph.generated.models.attendee import Attendee as AttendeeModel
from msgraph.generated.models.attendee_type import AttendeeType
from msgraph.generated.models.body_type import BodyType
from msgraph.generated.models.email_address import EmailAddress
from msgraph.generated.models.event import Event
from msgraph.generated.models.item_body import ItemBody
from msgraph.generated.models.location import Location
from msgraph.generated.models.online_meeting_provider_type import OnlineMeetingProviderType
from msgraph.generated.models.single_value_legacy_extended_property import (
    SingleValueLegacyExtendedProperty,
)
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

from shared.adapters.graph.batch import MAX_BATCH_REQUESTS, send_batch
from shared.adapters.graph.client import GraphCallFailed, GraphClient, GraphResponse, GraphSession
from shared.adapters.graph.event_parsing import parse_event
from shared.adapters.graph.times import to_date_time_zone, to_local_time, zone_name
from shared.errors import CalendarUnavailable, EventGone, SchedulingError
from shared.ids import EventId, ICalUid, Mailbox, SessionId
from shared.organizations.model import ActingUser, OnlineMeetingChoice
from shared.sessions.model import Attendee, CalendarEvent, EventDraft, ResponseState, Session
from shared.sessions.recurrence import Frequency, MonthlyBy, Pattern
from shared.timespan import TimeSpan

PROPERTY_ID: Final = "String {66f5a359-4659-4830-9070-00040ec6ac6e} Name mentoringSessionId"
"""Our tag on events. The GUID is ours; it may never change."""


SELECT: Final = [
    "id",
    "iCalUId",
    "start",
    "end",
    "isCancelled",
    "attendees",
    "organizer",
    "isOnlineMeeting",
    "onlineMeeting",
    "onlineMeetingProvider",
    "lastModifiedDateTime",
    "seriesMasterId",
]
"""What is read of an event. Nothing that `Calendars.ReadBasic` could not read; no texts."""


_SELECTED: Final = ",".join(SELECT)


_OF_AN_INSTANCE: Final = [*SELECT, "originalStart"]


_INSTANCES_PAGE: Final = 100


OFFER_KEPT_SECONDS: Final = 3600.0
"""How long it is believed which online meetings a calendar allows."""


_OFFERS_KEPT: Final = 10_000


_PROVIDERS: Final[Mapping[OnlineMeetingChoice, OnlineMeetingProviderType | None]] = {
    # No provider: Graph takes the calendar's own default, and booking needs no call to ask for it.
    OnlineMeetingChoice.AUTO: None,
    OnlineMeetingChoice.TEAMS: OnlineMeetingProviderType.TeamsForBusiness,
    OnlineMeetingChoice.SKYPE: OnlineMeetingProviderType.SkypeForBusiness,
}


_WEEKS: Final = ("first", "second", "third", "fourth", "last")


_OFFERED: Final = {
    "teamsforbusiness": OnlineMeetingChoice.TEAMS,
    "skypeforbusiness": OnlineMeetingChoice.SKYPE,
    "skypeforconsumer": OnlineMeetingChoice.SKYPE,
}


class GraphCalendar:
    """Our events in Outlook (the `Calendar` port)."""

    def __init__(
        self, client: GraphClient, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._client = client
        self._monotonic = monotonic
        self._offers: dict[Mailbox, tuple[float, frozenset[OnlineMeetingChoice]]] = {}

    async def create(self, acting: ActingUser, draft: EventDraft) -> CalendarEvent:
        """Create the event in the acting mailbox and invite the attendees, once per session.

        Raises what the port says; CalendarUnavailable also when Graph knows the session's
        transaction but shows no event of it (yet).
        """
        graph = self._client.acting(acting)
        builder = EventsRequestBuilder(graph.adapter, graph.path())
        try:
            # Repeatable, because the transactionId makes a second one be refused.
            answer = await graph.send(
                builder.to_post_request_information(to_graph_event(draft)), repeatable=True
            )
        except GraphCallFailed as failed:
            if failed.refusal.code.lower() != "errorduplicatetransactionid":
                raise graph.error(failed.refusal) from None
            return await self._find_duplicate(graph, failed, draft.session_id)
        return parse_event(answer.json(), session_id=draft.session_id)

    async def find(self, mailbox: Mailbox, session_id: SessionId) -> CalendarEvent | None:
        """Find the event of *session_id* by our extended property, by the app's own identity."""
        return await self._find(self._client.app(mailbox.tenant_id, mailbox.object_id), session_id)

    async def read(self, mailbox: Mailbox, event_id: EventId) -> CalendarEvent:
        """Read one event by the app's own identity. Raises EventGone."""
        graph = self._client.app(mailbox.tenant_id, mailbox.object_id)
        answer = await graph.call(_get_event_request(graph, event_id), repeatable=True)
        return parse_event(answer.json())

    async def read_many(
        self, events: Sequence[tuple[Mailbox, EventId]]
    ) -> list[CalendarEvent | Exception]:
        """Read up to 20 events of one tenant in one request; each its event or its error."""
        if not events:
            return []
        tenants = {mailbox.tenant_id for mailbox, _ in events}
        if len(tenants) > 1:
            raise ValueError("a batch is read in one tenant")
        graph = self._client.app(tenants.pop())
        requests = [_batched_get(graph, mailbox, event_id) for mailbox, event_id in events]
        try:
            outcomes = await send_batch(graph, requests)
        except GraphCallFailed as failed:
            raise graph.error(failed.refusal) from None
        return [_seen_or_error(graph, outcome) for outcome in outcomes]

    async def reschedule(
        self, acting: ActingUser, event_id: EventId, span: TimeSpan, time_zone: str
    ) -> CalendarEvent:
        """Give the event new times; never touches its body, which holds the online meeting."""
        graph = self._client.acting(acting)
        builder = EventItemRequestBuilder(graph.adapter, graph.path(event=event_id))
        patch = Event(
            start=to_date_time_zone(span.start, time_zone),
            end=to_date_time_zone(span.end, time_zone),
        )
        answer = await graph.call(builder.to_patch_request_information(patch))
        return parse_event(answer.json())

    async def instances(
        self, mailbox: Mailbox, master_id: EventId, window: TimeSpan
    ) -> list[CalendarEvent]:
        """Return the occurrences of a series in *window*, by the app's own identity."""
        graph = self._client.app(mailbox.tenant_id, mailbox.object_id)
        builder = InstancesRequestBuilder(graph.adapter, graph.path(event=master_id))
        wanted = InstancesRequestBuilder.InstancesRequestBuilderGetQueryParameters(
            start_date_time=_instant(window.start),
            end_date_time=_instant(window.end),
            select=_OF_AN_INSTANCE,
            top=_INSTANCES_PAGE,
        )
        request = builder.to_get_request_information(RequestConfiguration(query_parameters=wanted))
        seen: list[CalendarEvent] = []
        while True:
            payload = (await graph.call(request, repeatable=True)).json()
            seen += [parse_event(event) for event in payload.get("value") or ()]
            following = payload.get("@odata.nextLink")
            if not following:
                return seen
            request = builder.with_url(following).to_get_request_information()

    async def reschedule_series(
        self,
        acting: ActingUser,
        master_id: EventId,
        first: TimeSpan,
        time_zone: str,
        pattern: Pattern,
    ) -> CalendarEvent:
        """Give the whole series new times: what was changed of single dates is lost."""
        graph = self._client.acting(acting)
        builder = EventItemRequestBuilder(graph.adapter, graph.path(event=master_id))
        patch = Event(
            start=to_local_time(first.start, time_zone), end=to_local_time(first.end, time_zone)
        )
        patch.additional_data = {"recurrence": to_graph_recurrence(pattern, time_zone)}
        answer = await graph.call(builder.to_patch_request_information(patch))
        return parse_event(answer.json())

    async def reschedule_many(
        self, acting: ActingUser, events: Sequence[tuple[EventId, TimeSpan]], time_zone: str
    ) -> list[CalendarEvent | Exception]:
        """Give up to 52 events new times; each the event or its error."""
        graph = self._client.acting(acting)

        def patched(event_id: EventId, span: TimeSpan) -> RequestInformation:
            path = graph.path(user=acting.mailbox.object_id, event=event_id)
            patch = Event(
                start=to_date_time_zone(span.start, time_zone),
                end=to_date_time_zone(span.end, time_zone),
            )
            return EventItemRequestBuilder(graph.adapter, path).to_patch_request_information(patch)

        outcomes = await _in_batches(graph, [patched(*event) for event in events])
        return [_seen_or_error(graph, outcome) for outcome in outcomes]

    async def cancel_many(
        self, acting: ActingUser, events: Sequence[EventId], comment: str
    ) -> list[Exception | None]:
        """Cancel up to 52 meetings; each nothing or its error, EventGone among them."""
        graph = self._client.acting(acting)

        def cancelled(event_id: EventId) -> RequestInformation:
            path = graph.path(user=acting.mailbox.object_id, event=event_id)
            body = CancelPostRequestBody(comment=comment)
            return CancelRequestBuilder(graph.adapter, path).to_post_request_information(body)

        outcomes = await _in_batches(graph, [cancelled(event_id) for event_id in events])
        return [_error_of(graph, outcome) for outcome in outcomes]

    async def cancel(self, acting: ActingUser, event_id: EventId, comment: str) -> None:
        """Cancel the meeting; the attendees are told, with *comment*. Raises EventGone."""
        graph = self._client.acting(acting)
        builder = CancelRequestBuilder(graph.adapter, graph.path(event=event_id))
        body = CancelPostRequestBody(comment=comment)
        await graph.call(builder.to_post_request_information(body))

    async def respond(
        self,
        acting: ActingUser,
        session: Session,
        answer: ResponseState,
        comment: str,
        proposed: TimeSpan | None,
    ) -> None:
        """Answer in the attendee's own mailbox; EventGone if their copy is not there (yet).

        The copy has an id of its own; what both calendars share is the iCalUId.
        """
        graph = self._client.acting(acting)
        event_id = await (
            self._find_occurrence_copy(graph, session)
            if session.series_id
            else self._find_attendee_copy(graph, session.ical_uid)
        )
        request = _response(graph, event_id, answer, comment, proposed, session.time_zone)
        await graph.call(request)

    async def offered_meetings(self, acting: ActingUser) -> frozenset[OnlineMeetingChoice]:
        """Return which online meetings the acting mailbox's calendar allows; kept for an hour."""
        kept = self._offers.get(acting.mailbox)
        if kept and self._monotonic() - kept[0] < OFFER_KEPT_SECONDS:
            return kept[1]
        graph = self._client.acting(acting)
        builder = CalendarRequestBuilder(graph.adapter, graph.path())
        wanted = CalendarRequestBuilder.CalendarRequestBuilderGetQueryParameters(
            select=["allowedOnlineMeetingProviders", "defaultOnlineMeetingProvider"]
        )
        request = builder.to_get_request_information(RequestConfiguration(query_parameters=wanted))
        payload = (await graph.call(request, repeatable=True)).json()
        allowed = (str(p).lower() for p in payload.get("allowedOnlineMeetingProviders") or ())
        offer = frozenset(_OFFERED[name] for name in allowed if name in _OFFERED)
        if len(self._offers) >= _OFFERS_KEPT:
            self._offers.clear()
        self._offers[acting.mailbox] = (self._monotonic(), offer)
        return offer

    async def _find_duplicate(
        self, graph: GraphSession, failed: GraphCallFailed, session_id: SessionId
    ) -> CalendarEvent:
        """Return the event that a refused duplicate speaks of.

        Live clients saw the first event's id beside the code, but not always.
        """
        error = failed.refusal.error or {}
        existing = error.get("@event.existingEventId")
        if isinstance(existing, str) and existing:
            try:
                answer = await graph.send(
                    _get_event_request(graph, EventId(existing)), repeatable=True
                )
                return parse_event(answer.json(), session_id=session_id)
            except GraphCallFailed:
                pass  # an id of the other kind, perhaps: the tag finds it as well
        seen = await self._find(graph, session_id)
        if seen is None:
            raise CalendarUnavailable(
                "Graph has seen this booking but does not show its event.",
                code=failed.refusal.code,
                status=failed.refusal.status,
                request_id=failed.refusal.request_id,
            )
        return seen

    @staticmethod
    async def _find(graph: GraphSession, session_id: SessionId) -> CalendarEvent | None:
        has_it = (
            f"singleValueExtendedProperties/Any(ep: ep/id eq '{PROPERTY_ID}' "
            f"and ep/value eq '{_quoted(session_id)}')"
        )
        answer = await graph.call(_find_events_request(graph, has_it, SELECT), repeatable=True)
        found = [
            parse_event(event, session_id=session_id) for event in answer.json().get("value") or ()
        ]
        return min(found, key=lambda seen: seen.is_cancelled, default=None)

    @staticmethod
    async def _find_attendee_copy(graph: GraphSession, ical_uid: ICalUid | None) -> EventId:
        if ical_uid is not None:
            request = _find_events_request(graph, f"iCalUId eq '{_quoted(ical_uid)}'", ["id"])
            for event in (await graph.call(request, repeatable=True)).json().get("value") or ():
                return EventId(event["id"])
        raise EventGone("The invitation is not in this calendar.", code="no_copy")

    @staticmethod
    async def _find_occurrence_copy(graph: GraphSession, session: Session) -> EventId:
        """Find it by the time it is at: lists of events know series, not their occurrences."""
        builder = CalendarViewRequestBuilder(graph.adapter, graph.path())
        wanted = CalendarViewRequestBuilder.CalendarViewRequestBuilderGetQueryParameters(
            start_date_time=_instant(session.span.start),
            end_date_time=_instant(session.span.end),
            select=["id", "iCalUId"],
            top=_INSTANCES_PAGE,
        )
        request = builder.to_get_request_information(RequestConfiguration(query_parameters=wanted))
        for event in (await graph.call(request, repeatable=True)).json().get("value") or ():
            if event.get("iCalUId") == session.ical_uid:
                return EventId(event["id"])
        raise EventGone("The invitation is not in this calendar.", code="no_copy")


def to_graph_event(draft: EventDraft) -> Event:
    """Return *draft* as Graph's event, with the session's id as transaction and as our tag."""
    event = Event(
        subject=" ".join(draft.title.split()),
        start=to_date_time_zone(draft.span.start, draft.time_zone),
        end=to_date_time_zone(draft.span.end, draft.time_zone),
        attendees=[_attendee(attendee) for attendee in draft.attendees],
        transaction_id=draft.session_id,
        single_value_extended_properties=[
            SingleValueLegacyExtendedProperty(id=PROPERTY_ID, value=draft.session_id)
        ],
    )
    if draft.pattern:
        event.start = to_local_time(draft.span.start, draft.time_zone)
        event.end = to_local_time(draft.span.end, draft.time_zone)
        # The SDK's models of it would be eight modules more, for six words.
        event.additional_data = {"recurrence": to_graph_recurrence(draft.pattern, draft.time_zone)}
    if draft.agenda:
        event.body = ItemBody(content_type=BodyType.Html, content=agenda_html(draft.agenda))
    if draft.location:
        event.location = Location(display_name=draft.location)
    if draft.online_meeting is not OnlineMeetingChoice.NONE:
        event.is_online_meeting = True
        event.online_meeting_provider = _PROVIDERS[draft.online_meeting]
    return event


def to_graph_recurrence(pattern: Pattern, time_zone: str) -> dict[str, Any]:
    """Return *pattern* as Graph's ``patternedRecurrence``.

    Source: https://learn.microsoft.com/graph/api/resources/patternedrecurrence
    """
    day = pattern.anchor.strftime("%A").lower()
    payload: dict[str, Any]
    if pattern.frequency is not Frequency.MONTHLY:
        interval = 1 if pattern.frequency is Frequency.WEEKLY else 2
        payload = {"type": "weekly", "interval": interval, "daysOfWeek": [day]}
    elif pattern.monthly_by is MonthlyBy.DAY_OF_MONTH:
        payload = {"type": "absoluteMonthly", "interval": 1, "dayOfMonth": pattern.anchor.day}
    else:
        week = _WEEKS[pattern.week_of_month - 1]
        payload = {"type": "relativeMonthly", "interval": 1, "daysOfWeek": [day], "index": week}
    return {
        "pattern": payload,
        "range": {
            "type": "numbered",
            "startDate": pattern.first_on.isoformat(),
            "numberOfOccurrences": pattern.count,
            "recurrenceTimeZone": zone_name(time_zone),
        },
    }


def agenda_html(agenda: str) -> str:
    """Return plain text as HTML that shows the same: its lines, and nothing that is markup.

    HTML rather than Graph's `text`, because an online meeting's block makes HTML of the body
    anyway, and what Exchange then does with line breaks is its own affair.
    """
    lines = agenda.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return "<div>" + "<br>".join(html.escape(line) for line in lines) + "</div>"


def _attendee(attendee: Attendee) -> AttendeeModel:
    return AttendeeModel(
        email_address=EmailAddress(address=attendee.address),
        type=AttendeeType.Required if attendee.required else AttendeeType.Optional,
    )


def _get_event_request(graph: GraphSession, event_id: EventId) -> RequestInformation:
    builder = EventItemRequestBuilder(graph.adapter, graph.path(event=event_id))
    wanted = EventItemRequestBuilder.EventItemRequestBuilderGetQueryParameters(select=SELECT)
    return builder.to_get_request_information(RequestConfiguration(query_parameters=wanted))


def _batched_get(graph: GraphSession, mailbox: Mailbox, event_id: EventId) -> RequestInformation:
    """Return what reads an event, as part of a batch."""
    path = graph.path(user=mailbox.object_id, event=event_id)
    request = EventItemRequestBuilder(graph.adapter, path).to_get_request_information()
    # The template is expanded letter by letter: the same list twenty times is half of the cost.
    request.url = f"{request.url}?$select={_SELECTED}"
    return request


def _find_events_request(
    graph: GraphSession, condition: str, select: list[str]
) -> RequestInformation:
    builder = EventsRequestBuilder(graph.adapter, graph.path())
    wanted = EventsRequestBuilder.EventsRequestBuilderGetQueryParameters(
        filter=condition, select=select
    )
    return builder.to_get_request_information(RequestConfiguration(query_parameters=wanted))


def _response(
    graph: GraphSession,
    event_id: EventId,
    answer: ResponseState,
    comment: str,
    proposed: TimeSpan | None,
    time_zone: str,
) -> RequestInformation:
    """Return the request that answers. The SDK's bodies say ``sendResponse: false`` unless told."""
    path = graph.path(event=event_id)
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


def _slot(span: TimeSpan, time_zone: str) -> TimeSlot:
    return TimeSlot(
        start=to_date_time_zone(span.start, time_zone), end=to_date_time_zone(span.end, time_zone)
    )


def _seen_or_error(
    graph: GraphSession, outcome: GraphResponse | GraphCallFailed | SchedulingError
) -> CalendarEvent | Exception:
    if isinstance(outcome, GraphCallFailed):
        return graph.error(outcome.refusal)
    if isinstance(outcome, SchedulingError):
        return outcome
    try:
        return parse_event(outcome.json())
    except SchedulingError as error:
        return error


async def _in_batches(
    graph: GraphSession, requests: Sequence[RequestInformation]
) -> list[GraphResponse | GraphCallFailed | SchedulingError]:
    """Send *requests*, twenty at a time. A batch that failed is the answer to each of its parts.

    Raises what `Identity.get_token` does, if that was before anything was sent.
    """
    outcomes: list[GraphResponse | GraphCallFailed | SchedulingError] = []
    for start in range(0, len(requests), MAX_BATCH_REQUESTS):
        part = requests[start : start + MAX_BATCH_REQUESTS]
        try:
            outcomes += await send_batch(graph, part)
        except (GraphCallFailed, CalendarUnavailable) as failed:
            outcomes += [failed] * len(part)
        except SchedulingError as refused:
            if not outcomes:
                raise
            outcomes += [refused] * len(part)
    return outcomes


def _error_of(
    graph: GraphSession, outcome: GraphResponse | GraphCallFailed | SchedulingError
) -> Exception | None:
    if isinstance(outcome, GraphCallFailed):
        return graph.error(outcome.refusal)
    return outcome if isinstance(outcome, SchedulingError) else None


def _instant(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def _quoted(text: str) -> str:
    return text.replace("'", "''")
