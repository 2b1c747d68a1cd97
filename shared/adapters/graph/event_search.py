"""Finds events without their id: by the app's property, by iCalUId, in a calendar view.

Each search reads until it finds, or to the end. ListingEndless: there may be one or not.
"""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Final

from shared.adapters.graph.client import GraphSession
from shared.adapters.graph.event_parsing import parse_event, parse_listed
from shared.adapters.graph.event_requests import (
    IDS,
    SELECT,
    calendar_view_request,
    find_events_request,
    find_in_calendar_request,
    list_calendars_request,
)
from shared.adapters.graph.event_serialization import PROPERTY_ID
from shared.adapters.graph.listings import list_items
from shared.errors import CalendarUnavailable, EventGone, EventUnreadable
from shared.ids import EventId, ICalUid, SessionId
from shared.sessions.calendar_events import CalendarEvent, UnreadableEvent
from shared.sessions.model import Session
from shared.sessions.series import Occurrence
from shared.timespan import TimeSpan

ANY_DAY: Final = timedelta(days=180)
"""How far from its day a date of a series is searched for."""
MOMENT: Final = timedelta(minutes=1)
"""Around an event of zero minutes, as no time is no window."""
_DAY: Final = timedelta(days=1)


@contextmanager
def searching() -> Iterator[None]:
    """Raise CalendarUnavailable for a 404 within a search: something listed a moment ago is gone.

    It proves nothing about the event. The retry does not find what is really gone.
    """
    try:
        yield
    except EventGone as gone:
        raise CalendarUnavailable(
            "A calendar or a series went away while it was searched.",
            code=gone.code,
            status=gone.status,
            request_id=gone.request_id,
        ) from gone


async def find_tagged(
    graph: GraphSession, session_id: SessionId
) -> CalendarEvent | UnreadableEvent | None:
    """Find the event that has *session_id* in the app's extended property.

    Of several one that is not cancelled comes first, and then one that cannot be read.
    """
    best: CalendarEvent | UnreadableEvent | None = None
    async for event in list_tagged(graph, session_id):
        if isinstance(event, CalendarEvent) and not event.is_cancelled:
            return event
        if best is None or isinstance(event, UnreadableEvent):
            best = event
    return best


async def list_tagged(
    graph: GraphSession, session_id: SessionId
) -> AsyncIterator[CalendarEvent | UnreadableEvent]:
    """Yield every event that has *session_id* in the app's extended property."""
    has_it = (
        f"singleValueExtendedProperties/Any(ep: ep/id eq '{PROPERTY_ID}' "
        f"and ep/value eq '{_quoted(session_id)}')"
    )
    async for payload in _in_calendars(graph, has_it):
        yield parse_listed(payload, session_id=session_id)


async def find_by_uid(graph: GraphSession, ical_uid: ICalUid) -> CalendarEvent | None:
    """Find the event of *ical_uid* in the mailbox: its other ids may have changed."""
    async for event in _in_calendars(graph, f"iCalUId eq '{_quoted(ical_uid)}'"):
        return parse_event(event)
    return None


async def _in_calendars(graph: GraphSession, condition: str) -> AsyncIterator[Any]:
    """Yield the events of the mailbox that match *condition*.

    No document says whether the events of a mailbox are those of its default calendar alone. So
    each other calendar is asked too, if there are none. (To settle it: move an event to another
    calendar, list them.)
    """
    is_found = False
    async for event in list_items(graph, find_events_request(graph, condition, SELECT)):
        is_found = True
        yield event
    if is_found:
        return
    async for each in list_items(graph, list_calendars_request(graph)):
        if not (isinstance(each, dict) and each.get("isDefaultCalendar")):
            request = find_in_calendar_request(graph, _id(each), condition)
            async for event in list_items(graph, request):
                yield event


def date_of(session: Session, dates: Sequence[Occurrence]) -> CalendarEvent | None:
    """Return the event of *session* among the *dates* of its series, by its iCalUId or its time.

    Raises EventUnreadable: it is not there, and may be one that cannot be read.
    """
    readable = [each for each in dates if isinstance(each, CalendarEvent)]
    same = [each for each in readable if each.ical_uid == session.ical_uid]
    # Not one that was dragged there from another date.
    same += [
        each
        for each in readable
        if each.span_in(session.time_zone) == session.span
        and each.original_start in {None, each.span.start}
    ]
    if not same and len(readable) < len(dates):
        raise EventUnreadable("The date of the series may be one that cannot be read.")
    return next(iter(same), None)


async def find_attendee_copy(graph: GraphSession, ical_uid: ICalUid | None) -> EventId:
    """Return the id of an attendee's copy. Raises EventGone: there is none, or not yet."""
    if ical_uid is not None:
        request = find_events_request(graph, f"iCalUId eq '{_quoted(ical_uid)}'", ["id"])
        async for event in list_items(graph, request):
            return _id(event)
    raise EventGone("The invitation is not in this calendar.", code="no_copy")


async def find_occurrence_copy(graph: GraphSession, session: Session) -> EventId:
    """Return the id of the copy of one occurrence, by its time and iCalUId, in the calendar view.

    A list of events has the master of a series, but not its occurrences. Raises EventGone.

    Source: https://learn.microsoft.com/graph/api/user-list-events
    """
    async for event in list_copies(graph, session):
        return _id(event)
    raise EventGone("The invitation is not in this calendar.", code="no_copy")


async def is_copy_cancelled(graph: GraphSession, session: Session) -> bool | None:
    """Return whether the copy in an attendee's calendar is cancelled; None: there is no copy.

    Source: https://learn.microsoft.com/graph/api/resources/event (isCancelled)
    """
    async for event in list_copies(graph, session):
        return event.get("isCancelled") is True
    return None


async def find_in_view(graph: GraphSession, session: Session) -> CalendarEvent | None:
    """Find the event of *session* in the organizer's calendar view, by its time and iCalUId."""
    async for event in list_copies(graph, session, SELECT):
        return parse_event(event)
    return None


async def list_copies(
    graph: GraphSession, session: Session, select: list[str] = IDS
) -> AsyncIterator[Mapping[str, Any]]:
    """Yield the events at the time of *session* that have its iCalUId."""
    request = calendar_view_request(graph, _search_window(session), select)
    async for event in list_items(graph, request):
        has_uid = isinstance(event, dict) and event.get("iCalUId") == session.ical_uid
        if has_uid and session.ical_uid is not None:
            yield event


def _search_window(session: Session) -> TimeSpan:
    """Return the range of the calendar view in which a copy of *session* is.

    The range selects by instants, and those of an all-day event depend on a zone that Graph may not
    have named.
    """
    if session.dates:
        return session.span.widened(_DAY, _DAY)
    return session.span.widened(MOMENT, MOMENT) if session.span.is_empty else session.span


def _id(event: object) -> EventId:
    found = event.get("id") if isinstance(event, dict) else None
    if not isinstance(found, str) or not found:
        raise EventUnreadable("Graph's answer has an entry without an id.")
    return EventId(found)


def _quoted(text: str) -> str:
    """Return *text* for an OData string literal, in which a quote is doubled."""
    return text.replace("'", "''")
