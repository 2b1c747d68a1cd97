"""Answers the invitation to a series, in the attendee's own calendar."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Final

from shared.adapters.graph.batch import error_or_none, send_in_batches
from shared.adapters.graph.client import GraphSession
from shared.adapters.graph.event_parsing import RESPONSES
from shared.adapters.graph.event_requests import (
    list_copies_request,
    respond_request,
)
from shared.adapters.graph.event_search import MOMENT, list_copies
from shared.adapters.graph.listings import list_items
from shared.errors import EventGone
from shared.ids import EventId, Mailbox, SessionId
from shared.sessions.model import ResponseState, Session
from shared.timespan import TimeSpan

_DATES_ASKED: Final = 3
"""The number of dates by which the attendee's copy of a series is looked for."""


async def respond_to_series(
    graph: GraphSession,
    mailbox: Mailbox,
    sessions: Sequence[Session],
    answer: ResponseState,
    comment: str,
    *,
    whole: bool,
) -> list[Exception | None]:
    """Answer *sessions*, dates of one series, in *mailbox*; return None or the error of each.

    *whole*: they are all that is ahead, so the series is answered, in one call. A date that has an
    answer of its own keeps it then, so it is answered first.

    A series that was split in Outlook has several copies, which are answered in turn.

    Raises:
        EventGone: the mailbox has no copy of the series (yet).
        ListingEndless: the copies cannot be listed to an end.
    """
    left, masters = [*sessions], set[EventId]()
    errors: dict[SessionId, Exception | None] = {}
    while left:
        # Dates before those of a further copy may have been declined, and so have no copy.
        asked = left if masters else left[:_DATES_ASKED]
        master_id = await _find_master(graph, asked, masters)
        if master_id is None:
            break
        masters.add(master_id)
        errors |= await _respond_to_copy(
            graph, mailbox, master_id, left, answer, comment, whole=whole
        )
        left = [session for session in left if session.id not in errors]
    if not masters:
        raise _no_copy()
    nothing = None if whole else _no_copy()
    return [errors.get(session.id, nothing) for session in sessions]


async def _respond_to_copy(
    graph: GraphSession,
    mailbox: Mailbox,
    master_id: EventId,
    sessions: Sequence[Session],
    answer: ResponseState,
    comment: str,
    *,
    whole: bool,
) -> dict[SessionId, Exception | None]:
    """Answer the *sessions* that are dates of *master_id*; return None or the error of each."""
    copies = await _list_copies(graph, master_id, sessions)
    own = {s.id: copy for s in sessions if (copy := copies.get(str(s.ical_uid)))}
    wanted = [c for c in own.values() if not whole or _has_another_answer(c, answer)]
    errors = await _respond_each(graph, mailbox, wanted, answer, comment)
    if whole:
        await graph.call(respond_request(graph, master_id, answer, comment))
    return {key: errors.get(str(copy["id"])) for key, copy in own.items()}


async def _find_master(
    graph: GraphSession, sessions: Sequence[Session], known: AbstractSet[EventId]
) -> EventId | None:
    """Return the id of a copy of the series that is not *known*: each copy of a date has it."""
    for session in sessions:
        async for event in list_copies(graph, session):
            master_id = event.get("seriesMasterId")
            if isinstance(master_id, str) and master_id not in known:
                return EventId(master_id)
    return None


async def _list_copies(
    graph: GraphSession, master_id: EventId, sessions: Sequence[Session]
) -> dict[str, Mapping[str, Any]]:
    """Return the copies that can be answered, by iCalUId."""
    window = TimeSpan(min(s.span.start for s in sessions), max(s.span.end for s in sessions))
    window = window.widened(MOMENT, MOMENT)  # an event of zero minutes is in no empty window
    request = list_copies_request(graph, master_id, window)
    return {
        str(event.get("iCalUId")): event
        async for event in list_items(graph, request)
        if isinstance(event, dict) and event.get("id") and not event.get("isCancelled")
    }


async def _respond_each(
    graph: GraphSession,
    mailbox: Mailbox,
    copies: Sequence[Mapping[str, Any]],
    answer: ResponseState,
    comment: str,
) -> dict[str, Exception | None]:
    """Answer each of *copies* by itself; return None or the error of each, by its id."""
    user = mailbox.object_id
    outcomes = await send_in_batches(
        graph,
        [
            respond_request(graph, EventId(copy["id"]), answer, comment, user=user)
            for copy in copies
        ],
    )
    errors = [error_or_none(graph, outcome) for outcome in outcomes]
    return dict(zip((str(copy["id"]) for copy in copies), errors, strict=True))


def _has_another_answer(copy: Mapping[str, Any], answer: ResponseState) -> bool:
    """Return whether *copy* is an exception of the series that was answered differently."""
    given = RESPONSES.get(str((copy.get("responseStatus") or {}).get("response")).lower())
    return copy.get("type") == "exception" and given not in {None, ResponseState.PENDING, answer}


def _no_copy() -> EventGone:
    return EventGone("The invitation is not in this calendar.", code="no_copy")
