"""Graph's answers with each part missing, null or of a wrong type: only that part is spoilt."""

import copy
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import httpx
import pytest

from shared.adapters.graph.event_parsing import parse_event
from shared.adapters.graph.events import GraphCalendar
from shared.adapters.graph.people import GraphDirectory
from shared.adapters.graph.probe_results import parse_account, schedule_result
from shared.adapters.graph.responses import GraphResponse
from shared.adapters.graph.schedules import schedules_of
from shared.adapters.graph.subscriptions import GraphSubscriptionService
from shared.availability.masks import busy_mask, cell_count, unknown_mask
from shared.availability.views import view_digits
from shared.calendar_sync.merge import merge
from shared.errors import CalendarRefused, EventUnreadable, SchedulingError
from shared.ids import SubscriptionId
from shared.sessions.calendar_events import CalendarEvent
from shared.sessions.model import Attendee, AttendeeResponse, ResponseState, SessionState
from shared.timespan import TimeSpan
from tests.graph_contract import graph_sample
from tests.unit.adapters.conftest import Graph
from tests.unit.adapters.entra_fixtures import NOW
from tests.unit.adapters.test_graph_events import AS_USER, EVENT, MAILBOX, a_session, event, invited

Json = Any
_WRONG: Final[tuple[Json, ...]] = (7, "x", True, [None], ["x"], {"x": 1})
_PARSED: Final = frozenset(
    {"dateTime", "time", "response", "status", "timeZone", "lastModifiedDateTime", "originalStart"}
    | {"startTime", "endTime", "responseCode", "name", "availabilityView"}
)
"""Members of text that are more than any text: for them some text is wrong, too."""


def spoilt(payload: Json, at: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Json]]:
    """Yield (path, copy) for each part of *payload*: without it, with null, with wrong types."""
    here = payload
    for name in at:
        here = here[name]
    if at:
        yield from _replaced(payload, at, here)
    if isinstance(here, dict | list):
        for name in here if isinstance(here, dict) else range(len(here)):
            yield from spoilt(payload, (*at, name))


def _replaced(
    payload: Json, at: tuple[Any, ...], now: Json
) -> Iterator[tuple[tuple[Any, ...], Json]]:
    wrong = [
        value
        for value in (None, *_WRONG)
        if type(value) is not type(now) or (value == "x" and at[-1] in _PARSED)
    ]
    for value in wrong:
        copied, holder = _copied(payload, at)
        holder[at[-1]] = value
        yield at, copied
    if isinstance(at[-1], str):
        copied, holder = _copied(payload, at)
        del holder[at[-1]]
        yield at, copied


def _copied(payload: Json, at: tuple[Any, ...]) -> tuple[Json, Json]:
    copied = copy.deepcopy(payload)
    holder = copied
    for name in at[:-1]:
        holder = holder[name]
    return copied, holder


# --- free/busy


WINDOW: Final = TimeSpan.lasting(datetime(2019, 3, 15, tzinfo=UTC), timedelta(days=2))
ADELE, MEGAN = "adelev@contoso.com", "meganb@contoso.com"


def free_busy(*, has_view: bool) -> Json:
    """Return the documented answer in UTC, with whole views, or with items alone."""
    answer = copy.deepcopy(graph_sample("getschedule-two-users")["response"])
    for entry in answer["value"]:
        for item in entry["scheduleItems"]:
            item["start"]["timeZone"] = item["end"]["timeZone"] = "UTC"
        if has_view:
            view = entry["availabilityView"]
            entry["availabilityView"] = view.ljust(cell_count(WINDOW), "0")
            entry["scheduleItems"] = []
        else:
            del entry["availabilityView"]
    return answer


@pytest.mark.parametrize("has_view", [True, False])
@pytest.mark.parametrize("number", [0, 1])
def test_spoilt_free_busy_is_unknown_or_busy_and_the_others_stay(
    number: int, *, has_view: bool
) -> None:
    whole = free_busy(has_view=has_view)
    before = schedules_of(whole, [ADELE, MEGAN], WINDOW)
    assert [s.unknown for s in before] == [None, None]
    count = 0
    for path, answer in spoilt(whole, ("value", number)):
        after = schedules_of(answer, [ADELE, MEGAN], WINDOW)
        assert after[1 - number] == before[1 - number], path
        digits = view_digits(after[number], WINDOW, cell_count(WINDOW))
        if digits is not None:
            known = view_digits(before[number], WINDOW, cell_count(WINDOW)) or ""
            lost = busy_mask(known, tentative_is_busy=True)
            lost &= ~(busy_mask(digits, tentative_is_busy=True) | unknown_mask(digits))
            assert not lost, path
        count += 1
    assert count > 50


# --- events


def whole_event() -> Json:
    """Return an event with every part that is read."""
    at = "2026-06-02T08:00:00Z"
    other = {
        "start": {"dateTime": "2026-07-02T09:00:00.0000000", "timeZone": "UTC"},
        "end": {"dateTime": "2026-07-02T10:00:00.0000000", "timeZone": "UTC"},
    }
    return event(
        attendees=[
            invited("ada@x.com", "organizer"),
            invited("ben@x.com", "accepted", at),
            invited("cy@x.com", "declined", at) | {"proposedNewTime": other},
            invited("dee@x.com"),
        ],
        onlineMeetingProvider="teamsForBusiness",
        seriesMasterId="master",
        originalStart="2026-07-01T09:00:00Z",
    )


SAMPLES: Final = ("event-create-teams-full", "event-organizer-copy-after-response")


@pytest.mark.parametrize("sample", [None, *SAMPLES])
def test_a_spoilt_event_changes_nothing_that_it_does_not_say(sample: str | None) -> None:
    payload = graph_sample(sample)["response"] if sample else whole_event()
    whole = parse_event(payload)
    assert (whole.is_whole, whole.has_all_attendees) == (True, True)
    session = a_session(
        span=whole.span,
        attendees=tuple(
            Attendee(a.address, response=AttendeeResponse(ResponseState.ACCEPTED, NOW))
            for a in whole.attendees
        ),
        event_modified_at=whole.modified_at - timedelta(minutes=1),
    )
    unreadable = 0
    for path, answer in spoilt(payload):
        try:
            seen = parse_event(answer)
        except EventUnreadable:
            unreadable += 1
            continue
        merged = merge(session, seen)
        assert (merged.state, merged.span) == (SessionState.SCHEDULED, session.span), path
        assert {a.address for a in session.attendees} == {a.address for a in merged.attendees}, path
        # Each answer is the one of the whole event, or else the one known before.
        known = {a.address: a.response.state for a in whole.attendees}
        for attendee in merged.attendees:
            said = {ResponseState.ACCEPTED, known[attendee.address]}
            assert attendee.response.state in said, path
    assert unreadable


def test_what_is_unreadable_in_an_event_is_told() -> None:
    whole = whole_event()
    read: Final = {"organizer", "attendees", "isCancelled", "isOnlineMeeting", "onlineMeeting"}
    silent = {"name", "type"}
    for path, answer in spoilt(whole):
        holder = answer
        for name in path[:-1]:
            holder = holder[name]
        value = holder[path[-1]] if path[-1] in holder or isinstance(holder, list) else None
        if path[0] not in read or path[-1] in silent or value is None:
            continue
        if path[:2] == ("attendees", 0) and path[2:]:
            continue  # the organizer, by the address or by the mark
        if path == ("attendees", 3, "status", "time"):
            continue  # no answer has no time
        with suppress(EventUnreadable):
            assert not parse_event(answer).is_whole, (path, value)


@pytest.mark.parametrize("attendees", [None, 7, "x", {}])
def test_a_list_of_attendees_that_cannot_be_read_removes_nobody(attendees: Json) -> None:
    seen = parse_event(event(attendees=attendees))
    session = a_session(attendees=(Attendee("ben@x.com"),))
    assert [a.address for a in merge(session, seen).attendees] == ["ben@x.com"]
    assert not seen.is_whole


# --- every other answer


Call = Callable[[Graph], Awaitable[Any]]


def _listed(*entries: Json) -> Json:
    return {"value": list(entries)}


_USER: Final = graph_sample("user-me")["response"]
_COPY: Final = {"id": EVENT, "iCalUId": "it's", "isCancelled": False}
CALLS: Final[dict[str, tuple[Json, Call]]] = {
    "find": (
        _listed(whole_event()),
        lambda g: GraphCalendar(g.client).find(MAILBOX, a_session().id),
    ),
    "search": (_listed(whole_event()), lambda g: GraphCalendar(g.client).search(a_session())),
    "copies": (
        _listed(_COPY),
        lambda g: GraphCalendar(g.client).is_copy_cancelled(a_session(), MAILBOX),
    ),
    "respond": (
        _listed(_COPY),
        lambda g: GraphCalendar(g.client).respond(
            AS_USER, a_session(), ResponseState.DECLINED, "", None
        ),
    ),
    "instances": (
        _listed(whole_event()),
        lambda g: GraphCalendar(g.client).instances(MAILBOX, EVENT, WINDOW),
    ),
    "offered": (
        graph_sample("calendar-get-online-providers")["response"],
        lambda g: GraphCalendar(g.client).offered_meetings(AS_USER),
    ),
    "user": (_USER, lambda g: GraphDirectory(g.client).get(MAILBOX)),
    "users": (
        _listed(_USER),
        lambda g: GraphDirectory(g.client).find(MAILBOX.tenant_id, "ada@x.com"),
    ),
    "subscription": (
        graph_sample("subscription-create")["response"],
        lambda g: GraphSubscriptionService(g.client, "https://x").create(MAILBOX, "state", NOW),
    ),
    "renewal": (
        {"responses": [{"id": "0", "status": 200, "body": {"expirationDateTime": "2026-07-01"}}]},
        lambda g: GraphSubscriptionService(g.client, "https://x").renew(
            MAILBOX.tenant_id, [SubscriptionId("one")], NOW
        ),
    ),
}


@pytest.mark.parametrize("name", CALLS)
async def test_a_spoilt_answer_is_an_error_of_ours_at_most(graph: Graph, name: str) -> None:
    answer, call = CALLS[name]
    graph.respond_with(httpx.Response(200, json=answer))
    await call(graph)
    for _, payload in spoilt(answer):
        graph.respond_with(httpx.Response(200, json=payload))
        with suppress(SchedulingError):
            await call(graph)


async def test_a_list_without_entries_is_no_proof_that_there_are_none(graph: Graph) -> None:
    answers: list[Json] = [{}, {"value": None}, {"value": {}}]
    for payload in answers:
        graph.respond_with(httpx.Response(200, json=payload))
        for name in ("find", "search", "instances", "users", "respond"):
            with pytest.raises(SchedulingError):
                await CALLS[name][1](graph)


async def test_a_spoilt_part_of_a_batch_leaves_the_others(graph: Graph) -> None:
    parts = [{"id": str(n), "status": 200, "headers": {}, "body": whole_event()} for n in (0, 1)]
    for path, payload in spoilt({"responses": parts}, ("responses", 0)):
        graph.respond_with(httpx.Response(200, json=payload))
        first, second = await GraphCalendar(graph.client).read_many([(MAILBOX, EVENT)] * 2)
        assert isinstance(second, CalendarEvent), path
        assert isinstance(first, CalendarEvent | SchedulingError), path


def test_probes_read_spoilt_answers() -> None:
    account = {"userPrincipalName": "a@x.com", "mail": "a@x.com"}
    plan = {"service": "exchange", "capabilityStatus": "Enabled"}
    more = {"userType": "Member", "accountEnabled": True, "assignedPlans": [plan]}
    settings = {"userPurpose": "user"}
    for _, (first, second, third) in spoilt([account, more, settings]):
        if all(isinstance(part, dict) for part in (first, second, third)):
            parse_account(first, second, third)
    for path, answer in spoilt(graph_sample("getschedule-two-users")["response"]):
        try:
            result = schedule_result(GraphResponse(200, {}, answer), as_user=False)
        except SchedulingError:
            continue
        assert result.ok or path[:2] == ("value", 0), path


@pytest.mark.parametrize("status", [200, 400])
async def test_a_series_that_was_made_into_one_meeting_has_this_meeting(
    graph: Graph, status: int
) -> None:
    event = whole_event()
    refusal = {"error": {"code": "ErrorInvalidRequest", "message": "no series"}}
    listed: Json = {"value": []} if status == 200 else refusal

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/instances"):
            return httpx.Response(status, json=listed)
        return httpx.Response(200, json=event | {"type": kind})

    graph.respond_by(answer)
    instances = CALLS["instances"][1]
    kind = "singleInstance"
    (found,) = await instances(graph)
    assert found.event_id == event["id"]
    kind = "seriesMaster"
    if status == 200:
        assert await instances(graph) == []
    else:
        with pytest.raises(CalendarRefused):
            await instances(graph)
