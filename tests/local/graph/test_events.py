"""Events: the effect of a POST body, ids, etags, mail between copies, answers."""

from typing import Any

import pytest
from multidict import CIMultiDict

from tests.local.graph.conftest import SESSION, Graph, a_meeting, person
from tests.local.graph.test_schedules import at

IMMUTABLE = {"Prefer": 'IdType="ImmutableId"'}


def tagged(value: str) -> dict[str, Any]:
    return {"singleValueExtendedProperties": [{"id": SESSION, "value": value}]}


async def copy_of(graph: Graph, who: str, event: Any) -> Any:
    """Return the copy of the event in a person's mailbox."""
    found = await graph.call(
        "GET", f"/me/events?$filter=iCalUId eq '{event['iCalUId']}'", who=who, expect=200
    )
    return found["value"][0] if found["value"] else None


async def response_of(graph: Graph, event: Any) -> dict[str, str]:
    fresh = await graph.get("ada", event["id"])
    return {a["emailAddress"]["address"]: a["status"]["response"] for a in fresh["attendees"]}


async def test_a_new_event_looks_as_graph_shows_it(graph: Graph) -> None:
    event = await graph.book("ada", "bob", transactionId="t-1", **tagged("s-1"))
    assert event["start"] == {"dateTime": "2026-03-03T09:00:00.0000000", "timeZone": "UTC"}
    assert event["originalStartTimeZone"] == "W. Europe Standard Time"
    assert event["responseStatus"] == {"response": "organizer", "time": "0001-01-01T00:00:00Z"}
    assert event["attendees"][0]["status"] == {"response": "none", "time": "0001-01-01T00:00:00Z"}
    assert event["body"]["content"].startswith("<html>\r\n<head>")
    assert event["bodyPreview"] == "Hello"
    assert event["organizer"]["emailAddress"]["address"] == "ada@contoso.test"
    assert (event["type"], event["showAs"], event["isOrganizer"]) == (
        "singleInstance",
        "busy",
        True,
    )
    assert event["transactionId"] == "t-1"
    assert event["@odata.etag"] == f'W/"{event["changeKey"]}"'
    assert "singleValueExtendedProperties" not in event


async def test_the_app_books_into_a_mailbox_whose_owner_organizes(graph: Graph) -> None:
    event = await graph.call(
        "POST",
        f"/users/{graph.oid('bob')}/events",
        a_meeting("ada"),
        who=None,
        permissions="Calendars.ReadWrite",
        expect=201,
    )
    assert event["organizer"]["emailAddress"]["address"] == "bob@contoso.test"


async def test_prefer_is_honoured_and_named(graph: Graph) -> None:
    event = await graph.book()
    headers = {
        "Prefer": 'outlook.timezone="Europe/Berlin", outlook.body-content-type="text"',
        "client-request-id": "c-1",
        "return-client-request-id": "true",
    }
    _, shown, sent = await graph.call("GET", f"/me/events/{event['id']}", headers=headers)
    assert shown["start"] == {
        "dateTime": "2026-03-03T10:00:00.0000000",
        "timeZone": "Europe/Berlin",
    }
    assert shown["body"] == {"contentType": "text", "content": "Hello"}
    assert "outlook.timezone" in sent["Preference-Applied"]
    assert sent["client-request-id"] == "c-1"


async def test_several_prefer_headers_count_as_one(graph: Graph) -> None:
    headers = CIMultiDict(
        [
            ("Authorization", f"Bearer {graph.token()}"),
            ("Prefer", 'IdType="ImmutableId"'),
            ("Prefer", 'outlook.timezone="Europe/Berlin"'),
        ]
    )
    url = f"{graph.url}/v1.0/me/events"
    async with graph.session.post(url, json=a_meeting(), headers=headers) as answer:
        event = await answer.json()
    assert event["id"].startswith("AAkALg")
    assert event["start"]["timeZone"] == "Europe/Berlin"


async def test_null_leaves_flags_as_they_are_and_names_come_from_the_book(graph: Graph) -> None:
    attendees = [{"emailAddress": {"address": "bob@contoso.test"}}]
    event = await graph.book(
        "ada", isOnlineMeeting=True, onlineMeetingProvider=None, attendees=attendees
    )
    assert event["onlineMeetingProvider"] == "teamsForBusiness"
    assert event["attendees"][0]["emailAddress"]["name"] == "Bob Test"
    assert event["attendees"][0]["type"] == "required"


async def test_invitees_get_a_copy_with_an_own_id_after_a_delay(graph: Graph) -> None:
    event = await graph.book("ada", "bob", "zoe@fabrikam.test", **tagged("s-1"))
    assert await copy_of(graph, "bob", event) is None
    await graph.simulator.settle()
    copy = await copy_of(graph, "bob", event)
    assert copy["iCalUId"] == event["iCalUId"]
    assert copy["id"] != event["id"]
    assert (copy["isOrganizer"], copy["showAs"]) == (False, "tentative")
    assert copy["responseStatus"]["response"] == "notResponded"
    status, body, _ = await graph.call("GET", f"/me/events/{event['id']}", who="bob")
    assert (status, body["error"]["code"]) == (404, "ErrorInvalidMailboxItemId")
    assert graph.simulator.outlook.find("zoe", "s-1").ical_uid == event["iCalUId"]
    assert [m.recipient for m in graph.simulator.mail] == ["bob@contoso.test", "zoe@fabrikam.test"]


async def test_a_tag_is_read_by_expand_and_found_by_filter(graph: Graph) -> None:
    event = await graph.book("ada", "bob", **tagged("s-1"))
    await graph.book("ada", "bob", **tagged("s-2"))
    expand = f"$expand=singleValueExtendedProperties($filter=id eq '{SESSION}')"
    shown = await graph.get("ada", event["id"], f"?{expand}&$select=subject")
    assert shown["singleValueExtendedProperties"] == [{"id": SESSION, "value": "s-1"}]
    assert "start" not in shown
    test = f"singleValueExtendedProperties/Any(ep: ep/id eq '{SESSION}' and ep/value eq 'S-1')"
    found = await graph.call("GET", f"/me/events?$filter={test}", expect=200)
    assert [one["id"] for one in found["value"]] == [event["id"]]


async def test_a_repeated_transaction_is_refused(graph: Graph) -> None:
    event = await graph.book("ada", "bob", transactionId="t-1")
    body = a_meeting(transactionId="t-1")
    status, answer, _ = await graph.call("POST", "/me/events", body)
    assert (status, answer["error"]["code"]) == (400, "ErrorDuplicateTransactionId")
    graph.simulator.switches.set("duplicate_transaction_status", 409)
    graph.simulator.switches.set("duplicate_transaction_names_event", True)
    status, answer, _ = await graph.call("POST", "/me/events", body)
    named = answer["error"]["@event.existingEventId"]
    assert status == 409
    assert (await graph.get("ada", named))["iCalUId"] == event["iCalUId"]
    await graph.call("POST", "/me/events", body, who="bob", expect=201)


async def test_default_ids_change_on_a_move_and_immutable_ones_stay(graph: Graph) -> None:
    event = await graph.book()
    lasting = await graph.call("GET", f"/me/events/{event['id']}", headers=IMMUTABLE, expect=200)
    assert lasting["id"] != event["id"]
    graph.simulator.outlook.move_to("ada", event["iCalUId"], "Mentoring")
    status, _, _ = await graph.call("GET", f"/me/events/{event['id']}")
    assert status == 404
    again = await graph.get("ada", lasting["id"])
    assert again["id"] not in {event["id"], lasting["id"]}
    assert (await copy_of(graph, "ada", event))["id"] == again["id"]


async def test_a_malformed_id_is_400(graph: Graph) -> None:
    for text in ("nonsense", "AAMkAGxyz", "AAMkAG" + "A" * 96):
        status, body, _ = await graph.call("GET", f"/me/events/{text}")
        assert (status, body["error"]["code"]) == (400, "ErrorInvalidIdMalformed")


async def test_an_answer_reaches_the_organizer_by_mail(graph: Graph) -> None:
    event = await graph.book()
    await graph.simulator.settle()
    copy = await copy_of(graph, "bob", event)
    body = {"comment": "Gladly", "sendResponse": True}
    await graph.call("POST", f"/me/events/{copy['id']}/accept", body, who="bob", expect=202)
    assert await response_of(graph, event) == {"bob@contoso.test": "none"}
    await graph.simulator.settle()
    fresh = await graph.get("ada", event["id"])
    assert fresh["attendees"][0]["status"]["response"] == "accepted"
    assert fresh["attendees"][0]["status"]["time"].startswith("2026-03-02T09:00:")
    assert fresh["changeKey"] != event["changeKey"]
    own = await graph.get("bob", copy["id"])
    assert (own["responseStatus"]["response"], own["showAs"]) == ("accepted", "busy")


async def test_an_answer_not_sent_stays_in_the_own_mailbox(graph: Graph) -> None:
    event = await graph.book()
    await graph.simulator.settle()
    graph.simulator.outlook.accept("bob", event["iCalUId"], send=False)
    await graph.simulator.settle()
    assert await response_of(graph, event) == {"bob@contoso.test": "none"}


async def test_declining_takes_the_copy_away(graph: Graph) -> None:
    event = await graph.book()
    await graph.simulator.settle()
    copy = await copy_of(graph, "bob", event)
    await graph.call("POST", f"/me/events/{copy['id']}/decline", {}, who="bob", expect=202)
    await graph.simulator.settle()
    assert await copy_of(graph, "bob", event) is None
    assert await response_of(graph, event) == {"bob@contoso.test": "declined"}


async def test_a_proposal_shows_and_goes_with_the_next_reschedule(graph: Graph) -> None:
    event = await graph.book()
    await graph.simulator.settle()
    graph.simulator.outlook.propose("bob", event["iCalUId"], at(14))
    await graph.simulator.settle()
    attendee = (await graph.get("ada", event["id"]))["attendees"][0]
    assert attendee["status"]["response"] == "tentativelyAccepted"
    assert attendee["proposedNewTime"]["start"]["dateTime"] == "2026-03-03T14:00:00.0000000"
    moved = await graph.call(
        "PATCH", f"/me/events/{event['id']}", attendee["proposedNewTime"], expect=200
    )
    attendee = moved["attendees"][0]
    assert attendee["status"] == {"response": "notResponded", "time": "4501-01-01T00:00:00Z"}
    assert "proposedNewTime" not in attendee
    await graph.simulator.settle()
    copy = await copy_of(graph, "bob", event)
    assert copy["start"]["dateTime"] == "2026-03-03T14:00:00.0000000"
    assert copy["responseStatus"]["response"] == "notResponded"


async def test_an_answer_to_old_times_is_void(graph: Graph) -> None:
    event = await graph.book()
    await graph.simulator.settle()
    graph.simulator.outlook.accept("bob", event["iCalUId"])
    graph.simulator.outlook.move("ada", event["iCalUId"], at(14))
    await graph.simulator.settle()
    assert await response_of(graph, event) == {"bob@contoso.test": "notResponded"}


@pytest.mark.parametrize(
    ("body", "more"),
    [
        ({"sendResponse": False}, {}),
        ({}, {"allowNewTimeProposals": False}),
    ],
    ids=["without sending", "not allowed"],
)
async def test_impossible_proposals_are_400(graph: Graph, body: Any, more: Any) -> None:
    event = await graph.book("ada", "bob", **more)
    await graph.simulator.settle()
    copy = await copy_of(graph, "bob", event)
    slot = {name: a_meeting()[name] for name in ("start", "end")}
    path = f"/me/events/{copy['id']}/tentativelyAccept"
    status, _, _ = await graph.call("POST", path, body | {"proposedNewTime": slot}, who="bob")
    assert status == 400


async def test_the_organizer_cannot_answer_nor_an_attendee_cancel(graph: Graph) -> None:
    event = await graph.book()
    await graph.simulator.settle()
    status, body, _ = await graph.call("POST", f"/me/events/{event['id']}/accept", {})
    assert (status, body["error"]["code"]) == (400, "ErrorCalendarIsOrganizerForAccept")
    copy = await copy_of(graph, "bob", event)
    status, body, _ = await graph.call("POST", f"/me/events/{copy['id']}/cancel", {}, who="bob")
    assert (status, body["error"]["code"]) == (400, "ErrorCalendarIsNotOrganizer")


@pytest.mark.parametrize("way", ["cancel", "delete"])
async def test_cancelling_is_seen_in_the_copies_and_final(graph: Graph, way: str) -> None:
    event = await graph.book()
    await graph.simulator.settle()
    path = f"/me/events/{event['id']}"
    if way == "cancel":
        await graph.call("POST", f"{path}/cancel", {"Comment": "Sorry"}, expect=202)
    else:
        await graph.call("DELETE", path, expect=204)
    await graph.simulator.settle()
    copy = await copy_of(graph, "bob", event)
    assert (copy["isCancelled"], copy["subject"], copy["showAs"]) == (
        True,
        "Canceled: Mentoring",
        "free",
    )
    for method, target in (("GET", path), ("DELETE", path), ("POST", f"{path}/cancel")):
        status, body, _ = await graph.call(method, target, None if method == "GET" else {})
        assert (status, body["error"]["code"]) == (404, "ErrorItemNotFound")


async def test_changed_attendees_alone_tell_only_those_added_or_removed(graph: Graph) -> None:
    event = await graph.book("ada", "bob")
    await graph.simulator.settle()
    graph.simulator.mail.clear()
    await graph.call(
        "PATCH",
        f"/me/events/{event['id']}",
        {"attendees": a_meeting("bob", "cleo")["attendees"]},
        expect=200,
    )
    await graph.simulator.settle()
    assert [(m.kind, m.recipient) for m in graph.simulator.mail] == [
        ("invitation", "cleo@contoso.test")
    ]
    await graph.call(
        "PATCH", f"/me/events/{event['id']}", {"attendees": a_meeting()["attendees"]}, expect=200
    )
    await graph.simulator.settle()
    assert (await copy_of(graph, "cleo", event))["isCancelled"]


async def test_an_update_of_text_keeps_answers(graph: Graph) -> None:
    event = await graph.book()
    await graph.simulator.settle()
    graph.simulator.outlook.accept("bob", event["iCalUId"])
    await graph.simulator.settle()
    graph.simulator.outlook.edit("ada", event["iCalUId"], subject="Coaching")
    await graph.simulator.settle()
    assert await response_of(graph, event) == {"bob@contoso.test": "accepted"}
    copy = await copy_of(graph, "bob", event)
    assert (copy["subject"], copy["responseStatus"]["response"]) == ("Coaching", "accepted")
    assert graph.simulator.mail[-1].changed == ("subject",)


async def test_an_attendee_edits_only_the_own_copy(graph: Graph) -> None:
    event = await graph.book()
    await graph.simulator.settle()
    graph.simulator.mail.clear()
    graph.simulator.outlook.move("bob", event["iCalUId"], at(16))
    await graph.simulator.settle()
    assert not graph.simulator.mail
    assert (await graph.get("ada", event["id"]))["start"] == event["start"]


async def test_forwarding_adds_an_attendee_for_the_organizer(graph: Graph) -> None:
    event = await graph.book()
    await graph.simulator.settle()
    graph.simulator.outlook.forward("bob", event["iCalUId"], "cleo@contoso.test")
    await graph.simulator.settle()
    assert set(await response_of(graph, event)) == {"bob@contoso.test", "cleo@contoso.test"}
    assert await copy_of(graph, "cleo", event)


async def test_an_external_attendee_answers_by_mail(graph: Graph) -> None:
    event = await graph.book("ada", "guest@gmail.test")
    await graph.simulator.settle()
    uid = event["iCalUId"]
    graph.simulator.outlook.answer_as_external("guest@gmail.test", uid, "declined")
    await graph.simulator.settle()
    assert await response_of(graph, event) == {"guest@gmail.test": "declined"}


async def test_hidden_attendees_see_only_themselves(graph: Graph) -> None:
    event = await graph.book("ada", "bob", "cleo", hideAttendees=True)
    await graph.simulator.settle()
    copy = await copy_of(graph, "bob", event)
    assert [a["emailAddress"]["address"] for a in copy["attendees"]] == ["bob@contoso.test"]


async def test_if_match_guards_against_lost_updates(graph: Graph) -> None:
    event = await graph.book()
    path, headers = f"/me/events/{event['id']}", {"If-Match": event["@odata.etag"]}
    await graph.call("PATCH", path, {"subject": "One"}, headers=headers, expect=200)
    status, body, _ = await graph.call("PATCH", path, {"subject": "Two"}, headers=headers)
    assert (status, body["error"]["code"]) == (412, "ErrorIrresolvableConflict")


@pytest.mark.parametrize(
    ("more", "code"),
    [
        (
            {"end": {"dateTime": "2020-03-03T10:00:00", "timeZone": "UTC"}},
            "ErrorPropertyValidationFailure",
        ),
        (
            {"start": {"dateTime": "2026-03-03T10:00:00", "timeZone": "Nowhere"}},
            "TimeZoneNotSupportedException",
        ),
        ({"isAllDay": True}, "ErrorPropertyValidationFailure"),
        ({"subjekt": "typo"}, "RequestBodyRead"),
        ({"attendees": [{"emailAddress": {"name": "x"}}]}, "ErrorPropertyValidationFailure"),
        ({"showAs": "asleep"}, "ErrorPropertyValidationFailure"),
        ({"start": None}, "ErrorInvalidRequest"),
        (
            {"end": {"dateTime": "2036-03-03T10:00:00", "timeZone": "UTC"}},
            "ErrorCalendarDurationIsTooLong",
        ),
    ],
)
async def test_impossible_events_are_400(graph: Graph, more: Any, code: str) -> None:
    status, body, _ = await graph.call("POST", "/me/events", a_meeting(**more))
    assert (status, body["error"]["code"]) == (400, code)


async def test_an_event_may_last_zero_minutes(graph: Graph) -> None:
    event = await graph.book(end=a_meeting()["start"])
    assert event["end"] == event["start"]


@pytest.mark.parametrize(
    ("subject", "kept"),
    [
        ("x" * 255, "x" * 255),
        ("x" * 256, "x" * 252 + "..."),
        ("x" + 127 * "😀", "x" + 127 * "😀"),
        (128 * "😀", 126 * "😀" + "..."),
    ],
)
async def test_a_long_subject_is_cut_in_utf_16_units(graph: Graph, subject: str, kept: str) -> None:
    assert (await graph.book(subject=subject))["subject"] == kept


async def test_a_body_needs_its_content_type(graph: Graph) -> None:
    headers = {"Authorization": f"Bearer {graph.token()}", "Content-Type": "text/plain"}
    url = f"{graph.url}/v1.0/me/events"
    async with graph.session.post(url, data="{}", headers=headers) as answer:
        assert answer.status == 400


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("$select=nonsense", "RequestBroker--ParseUri"),
        ("$filter=transactionId eq 't-1'", "ErrorInvalidUrlQueryFilter"),
        ("$filter=what", "ErrorInvalidUrlQueryFilter"),
        ("$expand=attachments", "RequestBroker--ParseUri"),
        ("$top=1001", "ErrorInvalidUrlQuery"),
    ],
)
async def test_unknown_options_are_400(graph: Graph, query: str, code: str) -> None:
    status, body, _ = await graph.call("GET", f"/me/events?{query}")
    assert (status, body["error"]["code"]) == (400, code)


async def test_lists_come_in_pages(graph: Graph) -> None:
    for number in range(3):
        await graph.book("ada", "bob", subject=f"n{number}")
    first = await graph.call("GET", "/me/events?$top=2&$select=subject", expect=200)
    assert len(first["value"]) == 2
    rest = first["@odata.nextLink"].partition("/v1.0")[2]
    second = await graph.call("GET", rest, expect=200)
    assert len(second["value"]) == 1
    assert "@odata.nextLink" not in second


async def test_a_view_needs_its_window(graph: Graph) -> None:
    status, body, _ = await graph.call("GET", "/me/calendarView?startDateTime=2026-03-01")
    assert (status, body["error"]["code"]) == (400, "ErrorInvalidParameter")
    for query, code in (
        (
            "startDateTime=2026-03-03&endDateTime=2026-03-01",
            "ErrorCalendarEndDateIsEarlierThanStartDate",
        ),
        ("startDateTime=2026-03-03&endDateTime=2029-03-01", "ErrorCalendarViewRangeTooBig"),
    ):
        status, body, _ = await graph.call("GET", f"/me/calendarView?{query}")
        assert (status, body["error"]["code"]) == (400, code)


async def test_a_view_reads_offsets_and_shows_overlapping_events(graph: Graph) -> None:
    await graph.book()
    inside = "startDateTime=2026-03-03T10:30:00%2B01:00&endDateTime=2026-03-03T12:00:00%2B01:00"
    outside = "startDateTime=2026-03-03T10:30:00&endDateTime=2026-03-03T12:00:00"
    assert (await graph.call("GET", f"/me/calendarView?{inside}", expect=200))["value"]
    assert not (await graph.call("GET", f"/me/calendarView?{outside}", expect=200))["value"]


async def test_open_extensions(graph: Graph) -> None:
    event = await graph.book()
    path = f"/me/events/{event['id']}/extensions"
    body = {"@odata.type": "microsoft.graph.openTypeExtension", "extensionName": "x.y", "a": 1}
    made = await graph.call("POST", path, body, expect=201)
    assert made["id"] == "microsoft.graph.openTypeExtension.x.y"
    shown = await graph.call("GET", f"{path}/x.y", expect=200)
    assert shown["a"] == 1


async def test_deleted_items_may_be_readable_by_immutable_id(graph: Graph) -> None:
    event = await graph.call("POST", "/me/events", a_meeting(), headers=IMMUTABLE, expect=201)
    await graph.call("DELETE", f"/me/events/{event['id']}", expect=204)
    status, _, _ = await graph.call("GET", f"/me/events/{event['id']}")
    assert status == 404
    graph.simulator.switches.deleted_items_readable = True
    await graph.get("ada", event["id"])


async def test_an_organizer_may_hear_of_a_deleted_copy(graph: Graph) -> None:
    event = await graph.book()
    await graph.simulator.settle()
    graph.simulator.switches.organizer_hears_of_deletion = True
    graph.simulator.outlook.delete("bob", event["iCalUId"])
    await graph.simulator.settle()
    assert await response_of(graph, event) == {"bob@contoso.test": "declined"}


async def test_transactions_may_be_forgotten_with_their_event(graph: Graph) -> None:
    body = a_meeting(transactionId="t-1")
    event = await graph.call("POST", "/me/events", body, expect=201)
    await graph.call("DELETE", f"/me/events/{event['id']}", expect=204)
    status, _, _ = await graph.call("POST", "/me/events", body)
    assert status == 400
    graph.simulator.switches.remember_transactions = False
    await graph.call("POST", "/me/events", body, expect=201)


async def test_people_who_join_later_are_found(graph: Graph) -> None:
    late = person("dora")
    graph.world.tenants[late.tenant_id].people.append(late)
    await graph.call("GET", "/users/Dora@contoso.test", expect=200)
    late.address = "dora.new@contoso.test"
    status, _, _ = await graph.call("GET", "/users/dora@contoso.test")
    assert status == 404
    await graph.call("GET", "/users/dora.new@contoso.test", expect=200)
