"""Writes and reads our events in people's calendars."""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from msgraph.generated.models.event import Event
from msgraph.generated.users.item.events.events_request_builder import EventsRequestBuilder
from msgraph.generated.users.item.events.item.event_item_request_builder import (
    EventItemRequestBuilder,
)

from shared.adapters.graph.batch import error_or_none, send_batch, send_in_batches
from shared.adapters.graph.client import GraphClient, GraphSession
from shared.adapters.graph.errors import REMEDIES
from shared.adapters.graph.event_parsing import parse_event
from shared.adapters.graph.event_requests import (
    batched_read_request,
    cancel_request,
    read_event_request,
    reschedule_request,
    respond_request,
)
from shared.adapters.graph.event_search import (
    ANY_DAY,
    date_of,
    find_attendee_copy,
    find_by_uid,
    find_in_view,
    find_occurrence_copy,
    find_tagged,
    is_copy_cancelled,
    list_tagged,
    searching,
)
from shared.adapters.graph.event_serialization import (
    to_graph_event,
    to_graph_recurrence,
)
from shared.adapters.graph.instances import list_instances
from shared.adapters.graph.invitations import respond_to_series
from shared.adapters.graph.known_people import KnownPeople
from shared.adapters.graph.meeting_offers import MeetingOffers
from shared.adapters.graph.people import GraphDirectory
from shared.adapters.graph.responses import GraphCallFailed, GraphResponse
from shared.adapters.graph.series_splits import find_continuations
from shared.adapters.graph.times import to_local_time
from shared.errors import (
    CalendarUnavailable,
    EventGone,
    EventUnreadable,
    SchedulingError,
)
from shared.ids import EventId, Mailbox, ObjectId, SessionId, TenantId
from shared.organizations.model import ActingUser, OnlineMeetingChoice
from shared.sessions.calendar_events import CalendarEvent, EventDraft
from shared.sessions.model import ResponseState, Session
from shared.sessions.recurrence import Pattern
from shared.sessions.series import Continuation, Occurrence, Series
from shared.timespan import TimeSpan

_IS_CREATED: Final = frozenset({"errorduplicatetransactionid", "errorinvalidrecipients"})
"""The codes of refusals after which the event of a booking is there."""


class GraphCalendar:
    """The `Calendar` port on Microsoft Graph. Each method raises what the port's does."""

    def __init__(
        self, client: GraphClient, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._client = client
        self._people = KnownPeople(GraphDirectory(client), monotonic=monotonic)
        self._offers = MeetingOffers(client, monotonic=monotonic)

    async def create(self, acting: ActingUser, draft: EventDraft) -> CalendarEvent:
        """Create the event in the acting mailbox and invite the attendees.

        Idempotent per session: Graph refuses a second event with the same ``transactionId``, and
        the first one is then found and returned. So is one with a recipient whom Outlook does not
        know, which Graph creates and refuses.

        Raises:
            CalendarUnavailable: also when Graph refuses so, but does not show the event (yet).

        Source: https://learn.microsoft.com/graph/api/user-post-events
        """
        graph = self._client.acting(acting)
        builder = EventsRequestBuilder(graph.adapter, graph.path())
        try:
            # Repeatable, because of the transactionId.
            answer = await graph.send(
                builder.to_post_request_information(to_graph_event(draft)), repeatable=True
            )
        except GraphCallFailed as failed:
            if failed.refusal.code.lower() not in _IS_CREATED:
                raise graph.error(failed.refusal) from None
            return await self._find_created(graph, failed, draft.session_id)
        return parse_event(answer.json(), session_id=draft.session_id)

    async def find(self, mailbox: Mailbox, session_id: SessionId) -> Occurrence | None:
        """Find the event of *session_id* by our extended property, by the app's own identity."""
        with searching():
            graph = self._client.app(mailbox.tenant_id, mailbox.object_id)
            return await find_tagged(graph, session_id)

    async def read(self, mailbox: Mailbox, event_id: EventId) -> CalendarEvent:
        """Read one event by the app's own identity. Raises EventGone."""
        graph = self._client.app(mailbox.tenant_id, mailbox.object_id)
        answer = await graph.call(read_event_request(graph, event_id), repeatable=True)
        return parse_event(answer.json())

    async def is_copy_cancelled(self, session: Session, mailbox: Mailbox) -> bool | None:
        """Return whether the copy in an attendee's *mailbox* is cancelled, as the app reads it."""
        graph = self._client.app(mailbox.tenant_id, mailbox.object_id)
        return await is_copy_cancelled(graph, session)

    async def addresses_of(self, mailbox: Mailbox) -> frozenset[str]:
        """Return the mail address and user principal name of a user; kept for a day."""
        return await self._people.addresses_of(mailbox)

    async def person_at(self, tenant_id: TenantId, address: str) -> ObjectId | None:
        """Return the object id of the user at *address*; kept for a day."""
        return await self._people.person_at(tenant_id, address)

    async def is_listed(self, mailbox: Mailbox, event_id: EventId) -> bool:
        """Return whether a listing has the event: read by its id, then searched by iCalUId."""
        graph = self._client.app(mailbox.tenant_id, mailbox.object_id)
        try:
            event = await self.read(mailbox, event_id)
        except EventGone:
            return False
        with searching():
            return await find_by_uid(graph, event.ical_uid) is not None

    async def find_continuations(
        self, series: Series, missing: Sequence[Session]
    ) -> list[Continuation]:
        """Find the series that may go on with the *missing* dates, by the app's own identity."""
        mailbox = series.organizer
        graph = self._client.app(mailbox.tenant_id, mailbox.object_id)
        with searching():
            return await find_continuations(graph, series, missing)

    async def search(
        self, session: Session, further: Sequence[EventId] = ()
    ) -> CalendarEvent | None:
        """Search by iCalUId, then by our property; for a date of a series, by its masters."""
        with searching():
            return await self._search(session, further)

    async def _search(self, session: Session, further: Sequence[EventId]) -> CalendarEvent | None:
        graph = self._client.app(session.tenant_id, session.organizer.object_id)
        if session.series_id is None:
            by_uid = await find_by_uid(graph, session.ical_uid) if session.ical_uid else None
            return by_uid or _readable(await find_tagged(graph, session.id))
        window, dates = session.span.widened(ANY_DAY, ANY_DAY), list[Occurrence]()
        tagged = {each.event_id async for each in list_tagged(graph, SessionId(session.series_id))}
        for master_id in tagged:
            dates += await list_instances(graph, master_id, window)
        for master_id in {*further} - tagged:
            with suppress(EventGone):
                dates += await list_instances(graph, master_id, window)
        # A master that its id does not find is not gone: its dates may be in the calendar.
        return date_of(session, dates) or await find_in_view(graph, session)

    async def read_many(
        self, events: Sequence[tuple[Mailbox, EventId]]
    ) -> list[CalendarEvent | Exception]:
        """Read up to 20 events of one tenant in one batch; return an event or an error for each.

        Raises:
            ValueError: the events are in several tenants.
        """
        if not events:
            return []
        tenants = {mailbox.tenant_id for mailbox, _ in events}
        if len(tenants) > 1:
            raise ValueError("a batch is read in one tenant")
        graph = self._client.app(tenants.pop())
        requests = [batched_read_request(graph, mailbox, event_id) for mailbox, event_id in events]
        try:
            outcomes = await send_batch(graph, requests)
        except GraphCallFailed as failed:
            raise graph.error(failed.refusal) from None
        return [_event_or_error(graph, outcome) for outcome in outcomes]

    async def reschedule(
        self, acting: ActingUser, event_id: EventId, span: TimeSpan, time_zone: str
    ) -> CalendarEvent:
        """Give the event new times. Its body is left as it is: it holds the online meeting's link.

        Source: https://learn.microsoft.com/graph/api/event-update
        """
        graph = self._client.acting(acting)
        request = reschedule_request(graph, graph.path(event=event_id), span, time_zone)
        answer = await graph.call(request)
        return parse_event(answer.json())

    async def instances(
        self, mailbox: Mailbox, master_id: EventId, window: TimeSpan
    ) -> list[Occurrence]:
        """Return the occurrences of a series in *window*, by the app's own identity."""
        graph = self._client.app(mailbox.tenant_id, mailbox.object_id)
        return await list_instances(graph, master_id, window)

    async def reschedule_series(
        self,
        acting: ActingUser,
        master_id: EventId,
        first: TimeSpan,
        time_zone: str,
        pattern: Pattern,
    ) -> CalendarEvent:
        """Give the whole series new times. Exchange then drops the changes of single dates."""
        graph = self._client.acting(acting)
        builder = EventItemRequestBuilder(graph.adapter, graph.path(event=master_id))
        patch = Event(
            is_all_day=False,
            start=to_local_time(first.start, time_zone),
            end=to_local_time(first.end, time_zone),
        )
        patch.additional_data = {"recurrence": to_graph_recurrence(pattern, time_zone)}
        answer = await graph.call(builder.to_patch_request_information(patch))
        return parse_event(answer.json())

    async def reschedule_many(
        self, acting: ActingUser, events: Sequence[tuple[EventId, TimeSpan]], time_zone: str
    ) -> list[CalendarEvent | Exception]:
        """Give up to 52 events new times; return an event or an error for each."""
        graph = self._client.acting(acting)
        user = acting.mailbox.object_id
        requests = [
            reschedule_request(graph, graph.path(user=user, event=event_id), span, time_zone)
            for event_id, span in events
        ]
        outcomes = await send_in_batches(graph, requests)
        return [_event_or_error(graph, outcome) for outcome in outcomes]

    async def cancel_many(
        self, acting: ActingUser, events: Sequence[EventId], comment: str
    ) -> list[Exception | None]:
        """Cancel up to 52 meetings; return None or an error for each (EventGone: it is gone)."""
        graph = self._client.acting(acting)
        user = acting.mailbox.object_id
        requests = [
            cancel_request(graph, graph.path(user=user, event=event_id), comment)
            for event_id in events
        ]
        outcomes = await send_in_batches(graph, requests)
        return [error_or_none(graph, outcome) for outcome in outcomes]

    async def cancel(self, acting: ActingUser, event_id: EventId, comment: str) -> None:
        """Cancel the meeting; Outlook sends *comment* to the attendees. Raises EventGone."""
        graph = self._client.acting(acting)
        await graph.call(cancel_request(graph, graph.path(event=event_id), comment))

    async def respond(
        self,
        acting: ActingUser,
        session: Session,
        answer: ResponseState,
        comment: str,
        proposed: TimeSpan | None,
    ) -> None:
        """Answer the invitation in the attendee's own mailbox.

        The attendee's copy has an id of its own; both copies share the iCalUId.

        Raises:
            EventGone: the attendee's mailbox has no copy (yet).

        Source: https://learn.microsoft.com/graph/api/resources/event
        """
        graph = self._client.acting(acting)
        event_id = await (
            find_occurrence_copy(graph, session)
            if session.series_id
            else find_attendee_copy(graph, session.ical_uid)
        )
        request = respond_request(graph, event_id, answer, comment, proposed, session.time_zone)
        await graph.call(request)

    async def respond_many(
        self,
        acting: ActingUser,
        sessions: Sequence[Session],
        answer: ResponseState,
        comment: str,
        *,
        whole: bool,
    ) -> list[Exception | None]:
        """Answer dates of a series in the attendee's own mailbox. Raises EventGone."""
        graph, mailbox = self._client.acting(acting), acting.mailbox
        return await respond_to_series(graph, mailbox, sessions, answer, comment, whole=whole)

    async def offered_meetings(self, acting: ActingUser) -> frozenset[OnlineMeetingChoice]:
        """Return the online meetings that the acting mailbox's calendar allows; cached an hour."""
        return await self._offers.of(acting)

    async def _find_created(
        self, graph: GraphSession, failed: GraphCallFailed, session_id: SessionId
    ) -> CalendarEvent:
        """Return the event of a session that is there, by the code of Graph's refusal.

        That of a duplicate may have the first event's id in an annotation, which Graph does not
        always add.
        """
        error = failed.refusal.error or {}
        existing = error.get("@event.existingEventId")
        if isinstance(existing, str) and existing:
            try:
                answer = await graph.send(
                    read_event_request(graph, EventId(existing)), repeatable=True
                )
                return parse_event(answer.json(), session_id=session_id)
            except GraphCallFailed:
                pass  # perhaps not an immutable id; the search by our tag needs no id
        event = _readable(await find_tagged(graph, session_id))
        if event is None:
            raise CalendarUnavailable(
                "Graph has seen this booking but does not show its event.",
                code=failed.refusal.code,
                status=failed.refusal.status,
                request_id=failed.refusal.request_id,
                remedy=REMEDIES.get(failed.refusal.code.lower()),
            )
        return event


def _readable(event: Occurrence | None) -> CalendarEvent | None:
    """Return *event*. Raises EventUnreadable: it is there, and cannot be read."""
    if event is None or isinstance(event, CalendarEvent):
        return event
    raise EventUnreadable("The event cannot be read.")


def _event_or_error(
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
