"""HTTP: events, their answers, series and views."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from local.graph.backend import GraphBackend, link_to, page_of
from local.graph.delta import DeltaState
from local.graph.errors import (
    GraphError,
    Json,
    access_denied,
    already_deleted,
    bad_request,
    invalid_property,
    invalid_recipients,
    item_not_found,
)
from local.graph.event_input import add_extension, check_names, read_proposal, read_recipients
from local.graph.filters import expansion, ordered, page_bounds, predicate, select_names
from local.graph.http import GraphReply, GraphRequest
from local.graph.ids import parse_item_id
from local.graph.mailbox import CALENDAR, Event
from local.graph.permissions import reads_bodies
from local.graph.rendering import EXTENSION_PREFIX, EventView, event_json, extension_json
from local.graph.times import parse_instant

_LONGEST_VIEW: Final = timedelta(days=2 * 366)
_DELTA_PAGE: Final = 50


async def list_events(backend: GraphBackend, call: GraphRequest) -> GraphReply:
    """GET events: single ones and series masters."""
    look, test = _requested_view(backend, call), predicate(call.query)
    default = CALENDAR if backend.switches.events_of_default_calendar else None
    found = [event for event in call.box.live(_calendar(call) or default) if test(event)]
    found.sort(key=lambda event: (event.start_at, event.key.bytes))
    return _page(call, ordered(found, call.query), look)


async def create_event(backend: GraphBackend, call: GraphRequest) -> GraphReply:
    """POST events."""
    body = call.json()
    check_names(body)
    event = backend.exchange.create(call.box, body, _calendar(call) or CALENDAR)
    unknown = {address.casefold() for address in backend.switches.invalid_recipients}
    if any(attendee.address.casefold() in unknown for attendee in event.details.attendees):
        raise invalid_recipients()
    return GraphReply(201, _entity(call, event, _requested_view(backend, call, plain=True)))


async def show_event(backend: GraphBackend, call: GraphRequest) -> GraphReply:
    """GET one event."""
    look = _requested_view(backend, call)
    event = _event(backend, call, deleted_too=backend.switches.deleted_items_readable)
    return GraphReply(200, _entity(call, event, look))


async def update_event(backend: GraphBackend, call: GraphRequest) -> GraphReply:
    """PATCH one event."""
    event = _event(backend, call)
    _check_match(backend, call, event)
    body = call.json()
    check_names(body)
    if "transactionId" in body and body["transactionId"] != event.transaction_id:
        raise invalid_property("transactionId")
    updated = backend.exchange.update(call.box, event, body)
    return GraphReply(200, _entity(call, updated, _requested_view(backend, call, plain=True)))


async def delete_event(backend: GraphBackend, call: GraphRequest) -> GraphReply:
    """DELETE one event."""
    event = _event(backend, call, deleted_too=True)
    if event.is_deleted:
        raise already_deleted()
    _check_match(backend, call, event)
    backend.exchange.delete(event)
    return GraphReply(204)


async def cancel_event(backend: GraphBackend, call: GraphRequest) -> GraphReply:
    """POST cancel."""
    body = call.json()
    _only(body, "comment")
    backend.exchange.cancel(_event(backend, call), str(body.get("comment") or ""))
    return GraphReply(202)


async def accept_event(backend: GraphBackend, call: GraphRequest) -> GraphReply:
    """POST accept."""
    return _respond(backend, call, "accept")


async def decline_event(backend: GraphBackend, call: GraphRequest) -> GraphReply:
    """POST decline."""
    return _respond(backend, call, "decline")


async def tentatively_accept_event(backend: GraphBackend, call: GraphRequest) -> GraphReply:
    """POST tentativelyAccept."""
    return _respond(backend, call, "tentativelyAccept")


async def forward_event(backend: GraphBackend, call: GraphRequest) -> GraphReply:
    """POST forward."""
    body = call.json()
    _only(body, "comment", "toRecipients")
    recipients = read_recipients(body.get("toRecipients"), "toRecipients")
    backend.exchange.forward(_event(backend, call), recipients, str(body.get("comment") or ""))
    return GraphReply(202)


async def list_instances(backend: GraphBackend, call: GraphRequest) -> GraphReply:
    """GET the occurrences of one series."""
    look = _requested_view(backend, call)
    start, end = _window(call)
    master = _event(backend, call)
    if master.details.recurrence is None:
        raise bad_request("Only a series has instances.", "ErrorInvalidRequest")
    found = sorted(master.occurrences(start, end), key=lambda event: event.start_at)
    return _page(call, ordered(found, call.query), look)


async def list_view(backend: GraphBackend, call: GraphRequest) -> GraphReply:
    """GET calendarView: everything that overlaps a range, series expanded."""
    look = _requested_view(backend, call)
    start, end = _window(call)
    test = predicate(call.query)
    found = [e for e in call.box.view(start, end, _calendar(call) or CALENDAR) if test(e)]
    return _page(call, ordered(found, call.query), look)


async def list_changes(backend: GraphBackend, call: GraphRequest) -> GraphReply:
    """GET calendarView/delta: a window, then what changed in it."""
    for name in ("$select", "$filter", "$orderby", "$expand", "$search", "$top"):
        if name in call.query:
            raise bad_request(f"The query option '{name}' is not supported here.")
    state = _delta_state(backend, call)
    look = EventView(
        immutable=call.prefers_immutable_ids,
        zone=call.time_zone,
        text=call.prefers_text,
        zone_names=backend.switches.original_zone_names,
    )
    items = _changes(call, state, look)
    size = call.page_size or _DELTA_PAGE
    page = items[state.skip : state.skip + size]
    body: Json = {"@odata.context": f"{call.root}/$metadata#Collection(event)", "value": page}
    bare = replace(call, query={})
    if state.skip + size < len(items):
        following = replace(state, skip=state.skip + size)
        body["@odata.nextLink"] = link_to(bare, {"$skiptoken": backend.delta.new(following)})
    else:
        done = DeltaState(state.mailbox_id, state.start, state.end, since=state.until)
        body["@odata.deltaLink"] = link_to(bare, {"$deltatoken": backend.delta.new(done)})
    return GraphReply(200, body)


async def list_extensions(backend: GraphBackend, call: GraphRequest) -> GraphReply:
    """GET the open extensions of an event."""
    event = _event(backend, call)
    found = [extension_json(name, one) for name, one in event.extensions.items()]
    return GraphReply(200, {"value": found})


async def create_extension(backend: GraphBackend, call: GraphRequest) -> GraphReply:
    """POST an open extension."""
    event = _event(backend, call)
    name = add_extension(event, call.json())
    backend.store.changed(event, "updated")
    return GraphReply(201, extension_json(name, event.extensions[name]))


async def show_extension(backend: GraphBackend, call: GraphRequest) -> GraphReply:
    """GET one open extension."""
    event = _event(backend, call)
    name = call.parameters["extension"].removeprefix(EXTENSION_PREFIX)
    if name not in event.extensions:
        raise item_not_found()
    return GraphReply(200, extension_json(name, event.extensions[name]))


def _requested_view(backend: GraphBackend, call: GraphRequest, *, plain: bool = False) -> EventView:
    """Return how this caller wants events; *plain*: the answer to a write, without options."""
    query = {} if plain else call.query
    expand = expansion(query)
    sees_all = reads_bodies(backend.authority.effective(call.caller))
    if expand.wants_more_than_basic and not sees_all:
        raise access_denied()
    return EventView(
        immutable=call.prefers_immutable_ids,
        zone=call.time_zone,
        text=call.prefers_text,
        basic=not sees_all,
        select=select_names(query),
        properties=expand.properties,
        extensions=expand.extensions,
        extension_name=expand.extension_name,
        exceptions=expand.exceptions,
        answers_make_exceptions=backend.switches.occurrence_answers_are_exceptions,
        zone_names=backend.switches.original_zone_names,
    )


def _calendar(call: GraphRequest) -> str | None:
    """Return the name of the calendar in the path; None if it names none."""
    wanted = call.parameters.get("calendar")
    if wanted is None or wanted == CALENDAR:
        return wanted
    names = call.box.calendar_ids()
    if wanted not in names:
        raise item_not_found()
    return names[wanted]


def _event(backend: GraphBackend, call: GraphRequest, *, deleted_too: bool = False) -> Event:
    """Return the event that the path names, as Graph finds it by its id at the moment."""
    identifier, switches = call.parameters["event"], backend.switches
    is_foreign = parse_item_id(identifier, call.box.id) is None
    if is_foreign and switches.foreign_id_code == "ErrorItemNotFound":
        raise item_not_found()
    event = call.box.find(identifier, deleted_too=deleted_too)
    age = backend.clock.now() - event.created_at
    if age < timedelta(seconds=switches.new_events_hidden_seconds):
        raise item_not_found()
    return event


def _entity(call: GraphRequest, event: Event, look: EventView) -> Json:
    selected = f"({','.join(look.select)})" if look.select else ""
    context = f"{call.root}/$metadata#users('{call.box.id}')/events{selected}/$entity"
    return {"@odata.context": context} | event_json(event, look)


def _page(call: GraphRequest, events: list[Event], look: EventView) -> GraphReply:
    skip, size = page_bounds(call.query, call.page_size)
    shown = [event_json(event, look) for event in events[skip : skip + size]]
    reply = page_of(
        shown,
        call,
        skip=skip,
        size=size,
        more=skip + size < len(events),
        context=f"users('{call.box.id}')/events",
    )
    if call.query.get("$count", "").lower() == "true":
        reply.body["@odata.count"] = len(events)
    return reply


def _respond(backend: GraphBackend, call: GraphRequest, action: str) -> GraphReply:
    body = call.json()
    allowed = ["comment", "sendResponse"]
    _only(body, *allowed, *([] if action == "accept" else ["proposedNewTime"]))
    send = body.get("sendResponse")
    proposed = body.get("proposedNewTime")
    backend.exchange.respond(
        _event(backend, call),
        action,
        send=str(send).lower() != "false",
        comment=str(body.get("comment") or ""),
        proposed=read_proposal(proposed) if proposed else None,
    )
    return GraphReply(202)


def _only(body: Json, *names: str) -> None:
    for name in body:
        if name not in names and not name.startswith("@odata"):
            raise bad_request(f"The parameter '{name}' in the request payload is not valid.")


def _check_match(backend: GraphBackend, call: GraphRequest, event: Event) -> None:
    wanted = call.headers.get("if-match", "*")
    if wanted not in {"*", event.etag}:
        raise GraphError(
            backend.switches.etag_conflict_status,
            "ErrorIrresolvableConflict",
            "The send or update operation could not be performed because the change key passed "
            "in the request does not match the current change key for the item.",
        )


def _window(call: GraphRequest) -> tuple[datetime, datetime]:
    texts = [call.query.get(name) for name in ("startdatetime", "enddatetime")]
    if None in texts:
        raise bad_request(
            "This request requires a time window specified by the query string parameters "
            "StartDateTime and EndDateTime.",
            "ErrorInvalidParameter",
        )
    start = parse_instant(texts[0] or "", "startDateTime")
    end = parse_instant(texts[1] or "", "endDateTime")
    if end < start:
        raise bad_request(
            "The end date is earlier than the start date.",
            "ErrorCalendarEndDateIsEarlierThanStartDate",
        )
    if end - start > _LONGEST_VIEW:
        raise bad_request(
            "The specified view range exceeds the maximum of two years.",
            "ErrorCalendarViewRangeTooBig",
        )
    return start, end


def _delta_state(backend: GraphBackend, call: GraphRequest) -> DeltaState:
    token = call.query.get("$skiptoken") or call.query.get("$deltatoken")
    if token is None:
        start, end = _window(call)
        return DeltaState(call.box.id, start, end, since=0, until=backend.store.version)
    state = backend.delta.state(token, call.box.id)
    if "$skiptoken" in call.query:
        return state
    return replace(state, until=backend.store.version)


def _changes(call: GraphRequest, state: DeltaState, look: EventView) -> list[Json]:
    """Return the items of a round: removed ids first, then events in their current state."""
    inside: dict[str, Event] = {}
    for event in call.box.view(state.start, state.end):
        if event.master:
            inside[event.master.id(immutable=look.immutable)] = event.master
        inside[event.id(immutable=look.immutable)] = event
    shown: list[Json] = []
    if state.since:
        shown += [
            {"@odata.type": "#microsoft.graph.event", "id": identifier}
            | {"@removed": {"reason": reason}}
            for identifier, reason in _gone(call, state, look)
            if identifier not in inside
        ]
    shown += [
        {"@odata.type": "#microsoft.graph.event"} | event_json(event, look)
        for event in inside.values()
        if event.version > state.since
    ]
    return shown


def _gone(call: GraphRequest, state: DeltaState, look: EventView) -> list[tuple[str, str]]:
    removed = [
        (one.immutable_id if look.immutable else one.default_id, "deleted")
        for one in call.box.removed
        if one.version > state.since
    ]
    moved_out = [
        (event.id(immutable=look.immutable), "changed")
        for event in call.box.live(CALENDAR)
        if event.version > state.since and event.details.recurrence is None
    ]
    return removed + moved_out
