"""Our events: their serialization, parsing and requests."""

import json
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.adapters.graph.event_parsing import parse_event
from shared.adapters.graph.event_requests import SELECT
from shared.adapters.graph.event_search import date_of
from shared.adapters.graph.event_serialization import (
    PROPERTY_ID,
    agenda_html,
    comment_text,
)
from shared.adapters.graph.events import GraphCalendar
from shared.errors import (
    CalendarRefused,
    CalendarThrottled,
    CalendarUnavailable,
    ConsentMissing,
    EventGone,
    EventUnreadable,
    MailboxUnusable,
)
from shared.ids import (
    EventId,
    ICalUid,
    Mailbox,
    ObjectId,
    OrganizationId,
    PairingId,
    SeriesId,
    SessionId,
)
from shared.ids import TenantId as Tenant
from shared.organizations.model import ActingUser, OnlineMeetingChoice
from shared.sessions.calendar_events import CalendarEvent, EventDraft, UnreadableEvent
from shared.sessions.model import Attendee, ResponseState, Session, SessionState
from shared.timespan import TimeSpan
from tests.graph_contract import graph_sample
from tests.unit.adapters.conftest import Graph
from tests.unit.adapters.entra_fixtures import NOW, OTHER_TENANT, TENANT, USER, FakeClock
from tests.unit.adapters.test_graph_client import refused

MAILBOX = Mailbox(Tenant(TENANT), ObjectId(USER))
AS_USER = ActingUser(MAILBOX, "their token")
SESSION = SessionId("6f9619ff-8b86-4011-b42d-00c04fc964ff")
EVENT = EventId("AAkALgAA==")
SPAN = TimeSpan.lasting(datetime(2026, 7, 1, 9, tzinfo=UTC), timedelta(hours=1))


def draft(**changes: Any) -> EventDraft:
    fields: dict[str, Any] = {
        "session_id": SESSION,
        "title": "Mentoring",
        "agenda": "First\nthen <b>& more</b>",
        "location": "Room 1",
        "span": SPAN,
        "time_zone": "Europe/Berlin",
        "attendees": (Attendee("ben@x.com"), Attendee("cy@x.com", required=False)),
        "online_meeting": OnlineMeetingChoice.TEAMS,
    }
    return EventDraft(**fields | changes)


def event(**changes: Any) -> dict[str, Any]:
    return {
        "@odata.etag": 'W/"1"',
        "id": EVENT,
        "iCalUId": "uid-1",
        "lastModifiedDateTime": "2026-06-01T08:00:00.1234567Z",
        "start": {"dateTime": "2026-07-01T09:00:00.0000000", "timeZone": "UTC"},
        "end": {"dateTime": "2026-07-01T10:00:00.0000000", "timeZone": "UTC"},
        "isCancelled": False,
        "isOnlineMeeting": True,
        "onlineMeeting": {"joinUrl": "https://teams.example/1"},
        "organizer": {"emailAddress": {"address": "Ada@x.com", "name": "Ada"}},
        "attendees": [invited("Ben@X.com")],
        "seriesMasterId": None,
    } | changes


def invited(address: str, response: str = "none", at: str = "0001-01-01T00:00:00Z") -> Any:
    return {
        "type": "required",
        "status": {"response": response, "time": at},
        "emailAddress": {"address": address, "name": "x"},
    }


def a_session(**changes: Any) -> Session:
    fields: dict[str, Any] = {
        "id": SESSION,
        "organization_id": OrganizationId("acme"),
        "pairing_id": PairingId("p"),
        "organizer": MAILBOX,
        "state": SessionState.SCHEDULED,
        "span": SPAN,
        "time_zone": "Europe/Berlin",
        "attendees": (Attendee("ben@x.com"),),
        "created_at": NOW,
        "changed_at": NOW,
        "ical_uid": ICalUid("it's"),
    }
    return Session(**fields | changes)


async def test_creating_writes_the_whole_event(graph: Graph) -> None:
    graph.respond_with(httpx.Response(201, json=event()))
    seen = await GraphCalendar(graph.client).create(AS_USER, draft())
    assert (seen.event_id, seen.session_id) == (EVENT, SESSION)
    assert graph.answers.last.url.path == "/v1.0/me/events"
    assert graph.answers.body() == {
        "subject": "Mentoring",
        "body": {
            "contentType": "html",
            "content": "<div>First<br>then &lt;b&gt;&amp; more&lt;/b&gt;</div>",
        },
        "start": {"dateTime": "2026-07-01T11:00:00", "timeZone": "W. Europe Standard Time"},
        "end": {"dateTime": "2026-07-01T12:00:00", "timeZone": "W. Europe Standard Time"},
        "attendees": [
            {
                "@odata.type": "#microsoft.graph.attendee",
                "emailAddress": {"address": "ben@x.com"},
                "type": "required",
            },
            {
                "@odata.type": "#microsoft.graph.attendee",
                "emailAddress": {"address": "cy@x.com"},
                "type": "optional",
            },
        ],
        "location": {"displayName": "Room 1"},
        "isOnlineMeeting": True,
        "onlineMeetingProvider": "teamsForBusiness",
        "transactionId": SESSION,
        "singleValueExtendedProperties": [{"id": PROPERTY_ID, "value": SESSION}],
        "@odata.type": "#microsoft.graph.event",
    }


@pytest.mark.parametrize(
    ("choice", "is_online", "provider"),
    [
        (OnlineMeetingChoice.NONE, None, None),
        (OnlineMeetingChoice.AUTO, True, None),
        (OnlineMeetingChoice.TEAMS, True, "teamsForBusiness"),
        (OnlineMeetingChoice.SKYPE, True, "skypeForBusiness"),
    ],
)
async def test_each_choice_of_an_online_meeting(
    graph: Graph, choice: OnlineMeetingChoice, is_online: bool | None, provider: str | None
) -> None:
    graph.respond_with(httpx.Response(201, json=event()))
    await GraphCalendar(graph.client).create(AS_USER, draft(online_meeting=choice))
    body = graph.answers.body()
    assert body.get("isOnlineMeeting") == is_online
    assert body.get("onlineMeetingProvider") == provider
    assert len(graph.answers.requests) == 1


async def test_empty_fields_are_left_out(graph: Graph) -> None:
    graph.respond_with(httpx.Response(201, json=event()))
    await GraphCalendar(graph.client).create(AS_USER, draft(agenda="", location=None))
    assert not {"body", "location"} & graph.answers.body().keys()


@given(st.text())
def test_an_agenda_is_never_markup(agenda: str) -> None:
    shown = agenda_html(agenda).removeprefix("<div>").removesuffix("</div>").replace("<br>", "\n")
    assert "<" not in shown
    assert ">" not in shown


async def test_creating_is_repeated_with_its_transaction(
    graph: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.adapters.graph.retry.QUICK_SECONDS", 0.0)
    graph.respond_with(refused(504), httpx.Response(201, json=event()))
    await GraphCalendar(graph.client).create(AS_USER, draft())
    first, second = (json.loads(r.content)["transactionId"] for r in graph.answers.requests)
    assert first == second == SESSION


@pytest.mark.parametrize("status", [400, 409])
async def test_a_refused_duplicate_is_the_event_it_names(graph: Graph, status: int) -> None:
    error = {"code": "ErrorDuplicateTransactionId", "@event.existingEventId": "first/id="}
    graph.respond_with(
        httpx.Response(status, json={"error": error}), httpx.Response(200, json=event())
    )
    seen = await GraphCalendar(graph.client).create(AS_USER, draft())
    assert seen.session_id == SESSION
    assert graph.answers.last.url.raw_path.startswith(b"/v1.0/me/events/first%2Fid%3D?$select=")


async def test_a_refused_duplicate_without_a_name_is_found_by_our_tag(graph: Graph) -> None:
    cancelled = event(id="cancelled", isCancelled=True)
    graph.respond_with(
        refused(409, "ErrorDuplicateTransactionId"),
        httpx.Response(200, json={"value": [cancelled, event()]}),
    )
    seen = await GraphCalendar(graph.client).create(AS_USER, draft())
    assert seen.event_id == EVENT
    asked = graph.answers.last.url.params["$filter"]
    assert asked == (
        f"singleValueExtendedProperties/Any(ep: ep/id eq '{PROPERTY_ID}' "
        f"and ep/value eq '{SESSION}')"
    )


async def test_a_named_event_that_is_gone_is_looked_for_by_our_tag(graph: Graph) -> None:
    error = {"code": "ErrorDuplicateTransactionId", "@event.existingEventId": "gone"}
    graph.respond_with(
        httpx.Response(409, json={"error": error}),
        refused(404, "ErrorItemNotFound"),
        httpx.Response(200, json={"value": [event()]}),
    )
    assert (await GraphCalendar(graph.client).create(AS_USER, draft())).event_id == EVENT


async def test_an_event_with_an_unknown_recipient_is_looked_for(graph: Graph) -> None:
    graph.respond_with(
        refused(400, "ErrorInvalidRecipients"), httpx.Response(200, json={"value": [event()]})
    )
    assert (await GraphCalendar(graph.client).create(AS_USER, draft())).event_id == EVENT


@pytest.mark.parametrize("code", ["ErrorDuplicateTransactionId", "ErrorInvalidRecipients"])
async def test_a_duplicate_of_nothing_is_worth_trying_again(graph: Graph, code: str) -> None:
    graph.respond_with(refused(400, code), httpx.Response(200, json={"value": []}))
    with pytest.raises(CalendarUnavailable):
        await GraphCalendar(graph.client).create(AS_USER, draft())


async def test_reading_asks_for_little_and_as_the_app(graph: Graph) -> None:
    graph.respond_with(httpx.Response(200, json=event()))
    await GraphCalendar(graph.client).read(MAILBOX, EVENT)
    request = graph.answers.last
    assert request.url.params["$select"] == ",".join(SELECT)
    assert request.headers["authorization"] == "Bearer app-0"
    assert not {"subject", "body", "location"} & set(SELECT)


async def test_finding_nothing_is_none(graph: Graph) -> None:
    graph.respond_with(httpx.Response(200, json={"value": []}))
    assert await GraphCalendar(graph.client).find(MAILBOX, SESSION) is None


async def test_reading_what_is_gone(graph: Graph) -> None:
    graph.respond_with(refused(404, "ErrorItemNotFound"))
    with pytest.raises(EventGone):
        await GraphCalendar(graph.client).read(MAILBOX, EVENT)


async def test_a_404_within_a_search_proves_nothing(graph: Graph) -> None:
    date = a_session(series_id=SeriesId("series"))
    empty = httpx.Response(200, json={"value": []})
    another = httpx.Response(200, json={"value": [{"id": "shared", "isDefaultCalendar": False}]})
    calendar, gone = GraphCalendar(graph.client), refused(404, "ErrorItemNotFound")
    # The series is there, and its dates are not found.
    graph.respond_with(httpx.Response(200, json={"value": [event()]}), gone)
    with pytest.raises(CalendarUnavailable):
        await calendar.search(date)
    # A calendar is listed, and is not found.
    for search in (calendar.search(date), calendar.find(MAILBOX, SESSION)):
        graph.respond_with(empty, another, gone)
        with pytest.raises(CalendarUnavailable):
            await search


async def test_many_are_read_in_one_request(graph: Graph) -> None:
    def answered(request: httpx.Request) -> httpx.Response:
        parts = json.loads(request.content)["requests"]
        assert request.url.path == "/v1.0/$batch"
        assert all(part["url"].startswith(f"/users/{USER}/events/id-") for part in parts)
        assert all('IdType="ImmutableId"' in part["headers"]["prefer"] for part in parts)
        assert all("?$select=" in part["url"] for part in parts)
        gone = {"error": {"code": "ErrorItemNotFound"}}
        busy = {"error": {"code": "TooManyRequests"}}
        responses = [
            {"id": parts[0]["id"], "status": 200, "body": event()},
            {"id": parts[1]["id"], "status": 404, "body": gone},
            {"id": parts[2]["id"], "status": 429, "headers": {"Retry-After": "9"}, "body": busy},
            {"id": parts[3]["id"], "status": 200, "body": {"id": "broken"}},
        ]
        return httpx.Response(200, json={"responses": responses[::-1]})

    graph.respond_by(answered)
    wanted = [(MAILBOX, EventId(f"id-{n}")) for n in range(5)]
    seen = await GraphCalendar(graph.client).read_many(wanted)
    assert isinstance(seen[0], CalendarEvent)
    assert isinstance(seen[1], EventGone)
    assert isinstance(seen[2], CalendarThrottled)
    assert seen[2].retry_after_seconds == 9
    assert isinstance(seen[3], CalendarUnavailable)
    assert isinstance(seen[4], CalendarUnavailable)
    assert len(graph.answers.requests) == 1


async def test_only_what_was_throttled_is_sent_again(graph: Graph) -> None:
    asked: list[list[str]] = []

    def answered(request: httpx.Request) -> httpx.Response:
        parts = json.loads(request.content)["requests"]
        asked.append([part["id"] for part in parts])
        busy = {"status": 429, "headers": {"retry-after": "0"}, "body": {"error": {"code": "x"}}}
        done = {"status": 200, "body": event()}
        responses = [
            {"id": p["id"]} | (busy if len(asked) == 1 and p["id"] == "1" else done) for p in parts
        ]
        return httpx.Response(200, json={"responses": responses})

    graph.respond_by(answered)
    wanted = [(MAILBOX, EventId(f"id-{n}")) for n in range(3)]
    seen = await GraphCalendar(graph.client).read_many(wanted)
    assert all(isinstance(one, CalendarEvent) for one in seen)
    assert asked == [["0", "1", "2"], ["1"]]


async def test_a_batch_has_bounds(graph: Graph) -> None:
    calendar = GraphCalendar(graph.client)
    assert await calendar.read_many([]) == []
    with pytest.raises(ValueError, match="20"):
        await calendar.read_many([(MAILBOX, EVENT)] * 21)
    other = Mailbox(Tenant(OTHER_TENANT), ObjectId(USER))
    with pytest.raises(ValueError, match="tenant"):
        await calendar.read_many([(MAILBOX, EVENT), (other, EVENT)])


async def test_moves_before_a_refused_batch_stay_made(graph: Graph) -> None:
    asked: list[int] = []

    def answered(request: httpx.Request) -> httpx.Response:
        parts = json.loads(request.content)["requests"]
        asked.append(len(parts))
        if len(asked) > 1:
            raise ConsentMissing("it was withdrawn meanwhile")
        done = [{"id": p["id"], "status": 200, "body": event()} for p in parts]
        return httpx.Response(200, json={"responses": done})

    graph.respond_by(answered)
    calendar = GraphCalendar(graph.client)
    events = [(EventId(f"id-{n}"), SPAN) for n in range(22)]
    moved = await calendar.reschedule_many(AS_USER, events, "UTC")
    assert asked == [20, 2]
    assert all(isinstance(one, CalendarEvent) for one in moved[:20])
    assert all(isinstance(one, ConsentMissing) for one in moved[20:])


@pytest.mark.parametrize("again", [refused(403, "ErrorAccessDenied"), httpx.Response(500)])
async def test_moves_before_a_repeated_batch_stay_made(graph: Graph, again: httpx.Response) -> None:
    asked: list[int] = []

    def answered(request: httpx.Request) -> httpx.Response:
        parts = json.loads(request.content)["requests"]
        asked.append(len(parts))
        if len(asked) > 1:
            return httpx.Response(again.status_code, content=again.content)
        busy = {"status": 429, "headers": {"retry-after": "0"}, "body": {"error": {"code": "x"}}}
        done = {"status": 200, "body": event()}
        responses = [{"id": p["id"]} | (busy if p["id"] == "1" else done) for p in parts]
        return httpx.Response(200, json={"responses": responses})

    graph.respond_by(answered)
    calendar = GraphCalendar(graph.client)
    events = [(EventId(f"id-{n}"), SPAN) for n in range(2)]
    first, second = await calendar.reschedule_many(AS_USER, events, "UTC")
    assert asked[:2] == [2, 1]
    assert isinstance(first, CalendarEvent)
    assert isinstance(second, CalendarThrottled)


async def test_rescheduling_touches_times_alone(graph: Graph) -> None:
    graph.respond_with(httpx.Response(200, json=event()))
    await GraphCalendar(graph.client).reschedule(AS_USER, EVENT, SPAN, "Europe/Berlin")
    assert graph.answers.last.method == "PATCH"
    assert set(graph.answers.body()) == {"start", "end", "isAllDay", "@odata.type"}
    assert graph.answers.body()["isAllDay"] is False


async def test_cancelling_tells_why(graph: Graph) -> None:
    graph.respond_with(httpx.Response(202))
    await GraphCalendar(graph.client).cancel(AS_USER, EVENT, "Ill, <sorry>")
    assert graph.answers.last.url.path == f"/v1.0/me/events/{EVENT}/cancel"
    assert list(graph.answers.body().values()) == ["Ill, <\u200bsorry>"]
    graph.respond_with(refused(404, "ErrorItemNotFound"))
    with pytest.raises(EventGone):
        await GraphCalendar(graph.client).cancel(AS_USER, EVENT, "")


@pytest.mark.parametrize(
    "text",
    ["<b>bold</b>", "<!-- x -->", "<?x?>", "a < b", "I <3 you", "&lt;b&gt;", "R&D", "&#60;b"],
)
def test_a_comment_reads_the_same_as_text_and_as_html(text: str) -> None:
    """HTML shows the comment as it is, and a reader of the text sees no difference either."""
    seen: list[str] = []
    tags: list[str] = []

    class Reader(HTMLParser):
        def handle_data(self, data: str) -> None:
            seen.append(data)

        def handle_starttag(self, tag: str, attrs: object) -> None:
            tags.append(tag)

    reader = Reader(convert_charrefs=True)
    reader.feed(comment_text(text))
    reader.close()
    assert tags == []
    assert "".join(seen).replace("\u200b", "") == text
    assert comment_text(text).replace("\u200b", "") == text


@pytest.mark.parametrize(
    ("answer", "action", "proposed"),
    [
        (ResponseState.ACCEPTED, "accept", None),
        (ResponseState.TENTATIVE, "tentativelyAccept", SPAN),
        (ResponseState.DECLINED, "decline", SPAN),
        (ResponseState.DECLINED, "decline", None),
    ],
)
async def test_answering_in_the_attendees_own_copy(
    graph: Graph, answer: ResponseState, action: str, proposed: TimeSpan | None
) -> None:
    graph.respond_with(httpx.Response(200, json={"value": [{"id": "theirs"}]}), httpx.Response(202))
    await GraphCalendar(graph.client).respond(AS_USER, a_session(), answer, "ok", proposed)
    search, sent = graph.answers.requests
    assert search.url.params["$filter"] == "iCalUId eq 'it''s'"
    assert sent.url.path == f"/v1.0/me/events/theirs/{action}"
    body = {name.lower(): value for name, value in json.loads(sent.content).items()}
    assert body["sendresponse"] is True
    assert body["comment"] == "ok"
    assert ("proposednewtime" in body) == (proposed is not None)


async def test_answering_an_invitation_that_has_not_arrived(graph: Graph) -> None:
    graph.respond_with(httpx.Response(200, json={"value": []}))
    calendar = GraphCalendar(graph.client)
    for session in (a_session(), a_session(ical_uid=None)):
        with pytest.raises(EventGone):
            await calendar.respond(AS_USER, session, ResponseState.ACCEPTED, "", None)
    assert len(graph.answers.requests) == 1


async def test_offered_online_meetings_are_cached_for_an_hour(graph: Graph) -> None:
    clock = FakeClock()
    calendar = GraphCalendar(graph.client, monotonic=clock.monotonic)
    allowed = {"allowedOnlineMeetingProviders": ["TeamsForBusiness", "unknown"]}
    graph.respond_with(httpx.Response(200, json=allowed))
    for _ in range(2):
        assert await calendar.offered_meetings(AS_USER) == {OnlineMeetingChoice.TEAMS}
    assert len(graph.answers.requests) == 1
    clock.advance(timedelta(hours=1))
    graph.respond_with(httpx.Response(200, json={"allowedOnlineMeetingProviders": []}))
    assert await calendar.offered_meetings(AS_USER) == frozenset()


def test_an_event_is_read_whole() -> None:
    answered = invited("cy@x.com", "TentativelyAccepted", "2026-06-02T08:00:00Z")
    answered["type"] = "optional"
    answered["proposedNewTime"] = {
        "start": {"dateTime": "2026-07-02T09:00:00.0000000", "timeZone": "UTC"},
        "end": {"dateTime": "2026-07-02T10:00:00.0000000", "timeZone": "UTC"},
    }
    people = [
        invited("Ben@X.com"),
        answered,
        invited("dan@x.com", "notResponded", "4501-01-01T00:00:00Z"),
        invited("eve@x.com", "somethingNew", "2026-06-02T08:00:00Z"),
        invited("ADA@x.com", "accepted"),
        invited("also@x.com", "organizer"),
    ]
    seen = parse_event(event(attendees=people, seriesMasterId="master"))
    assert seen.span == SPAN
    assert seen.join_url == "https://teams.example/1"
    assert seen.series_master_id == "master"
    assert [a.address for a in seen.attendees] == [
        "ben@x.com",
        "cy@x.com",
        "dan@x.com",
        "eve@x.com",
    ]
    ben, cy, dan, eve = (a.response for a in seen.attendees)
    assert (ben.state, ben.responded_at, ben.was_reset) == (ResponseState.PENDING, None, False)
    assert cy.state is ResponseState.TENTATIVE
    assert cy.responded_at == datetime(2026, 6, 2, 8, tzinfo=UTC)
    assert cy.proposed == TimeSpan.lasting(SPAN.start + timedelta(days=1), SPAN.duration)
    assert not seen.attendees[1].required
    assert (dan.state, dan.responded_at, dan.was_reset) == (ResponseState.PENDING, None, True)
    assert eve.state is ResponseState.PENDING


@pytest.mark.parametrize("link", [None, {}, {"joinUrl": None}, {"joinUrl": ""}])
def test_a_link_may_be_missing(link: Any) -> None:
    seen = parse_event(event(onlineMeeting=link))
    assert seen.join_url is None
    assert seen.is_online_meeting


def test_the_documented_proposal() -> None:
    payload = graph_sample("proposal-4-organizer-copy")["response"]
    # The page leaves out what its own $select does not name.
    seen = parse_event(payload | {"iCalUId": "x", "lastModifiedDateTime": "2019-08-01T08:00:00Z"})
    (adele,) = seen.attendees
    assert adele.response.state is ResponseState.TENTATIVE
    assert adele.response.proposed is not None
    assert adele.response.proposed.start == datetime(2019, 8, 16, 19, tzinfo=UTC)


async def test_a_mailbox_elsewhere_is_told(graph: Graph) -> None:
    graph.respond_with(refused(404, "MailboxNotEnabledForRESTAPI"))
    with pytest.raises(MailboxUnusable):
        await GraphCalendar(graph.client).create(AS_USER, draft())
    graph.respond_with(refused(400, "ErrorPropertyValidationFailure"))
    with pytest.raises(CalendarRefused):
        await GraphCalendar(graph.client).create(AS_USER, draft())


def test_a_date_that_was_dragged_to_the_time_of_another_is_not_taken_for_it() -> None:
    session = a_session(ical_uid=ICalUid("third"), span=parse_event(event()).span)
    fourth = event(iCalUId="fourth", seriesMasterId="m", originalStart="2026-07-08T09:00:00Z")
    assert date_of(session, [parse_event(fourth)]) is None
    # One that stands on its own day is the date, also under another iCalUId.
    own = event(iCalUId="new", seriesMasterId="m", originalStart="2026-07-01T09:00:00Z")
    found = date_of(session, [parse_event(fourth), parse_event(own)])
    assert found is not None
    assert found.ical_uid == "new"
    odd = UnreadableEvent(EventId("e"))
    with pytest.raises(EventUnreadable):
        date_of(session, [parse_event(fourth), odd])
