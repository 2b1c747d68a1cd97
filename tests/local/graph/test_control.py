"""The control API, and acts in Outlook through it."""

from typing import Any

import pytest

from tests.local.graph.conftest import SESSION, Graph


async def session(graph: Graph, *invited: str) -> Any:
    tag = [{"id": SESSION, "value": "s-1"}]
    event = await graph.book("ada", *(invited or ("bob",)), singleValueExtendedProperties=tag)
    await graph.control("POST", "/settle")
    return event


async def act(graph: Graph, who: str, name: str, expect: int = 200, **more: Any) -> Any:
    path = f"/people/{who}/acts/{name}"
    found = await graph.control("POST", path, {"session": "s-1"} | more, expect)
    await graph.control("POST", "/settle")
    return found


async def test_switches_are_read_and_set(graph: Graph) -> None:
    await graph.control("PATCH", "/switches", {"duplicates": 3, "teams": "late"})
    shown = await graph.control("GET", "/switches")
    assert (shown["duplicates"], shown["teams"]) == (3, "late")
    await graph.control("PATCH", "/switches", {"nonsense": 1}, expect=404)
    await graph.control("PATCH", "/switches", {"teams": "sometimes"}, expect=400)
    await graph.control("PATCH", "/switches", {"duplicates": "many"}, expect=400)


async def test_faults_are_added_and_cleared(graph: Graph) -> None:
    rule = {"method": "GET", "path": "/me$", "status": 503, "retry_after": 2.5}
    await graph.control("POST", "/faults", rule)
    status, _, headers = await graph.call("GET", "/me")
    assert (status, headers["Retry-After"]) == (503, "2.5")
    assert (await graph.control("GET", "/faults"))[0]["hits"] == 1
    await graph.control("DELETE", "/faults")
    await graph.call("GET", "/me", expect=200)
    await graph.control("POST", "/faults", {"nonsense": 1}, expect=400)
    await graph.control("POST", "/faults", {"behaviour": "explode"}, expect=400)


async def test_the_clock_is_advanced(graph: Graph) -> None:
    answer = await graph.control("POST", "/clock/advance", {"seconds": 3600})
    assert answer == {"now": "2026-03-02T10:00:00Z"}
    assert await graph.control("GET", "/clock") == answer
    await graph.control("POST", "/run-due")


async def test_an_invitation_under_way_can_be_waited_for(graph: Graph) -> None:
    await graph.control("PATCH", "/switches", {"mail_delay_seconds": 60})
    await graph.book("ada", "bob", transactionId="s-1")
    path = "/people/bob/acts/accept"
    waiting = await graph.control("POST", path, {"session": "s-1"}, expect=409)
    assert "under way" in waiting["error"]
    await graph.control("POST", "/people/cid/acts/accept", {"session": "s-1"}, expect=404)
    await graph.control("POST", "/clock/advance", {"seconds": 60})
    await graph.control("POST", path, {"session": "s-1"})


@pytest.mark.parametrize(
    ("name", "more", "expected"),
    [
        ("accept", {"comment": "Yes"}, "accepted"),
        ("tentative", {}, "tentativelyAccepted"),
        ("decline", {}, "declined"),
        ("decline", {"send": False}, "none"),
        ("propose", {"start": "2026-03-03T14:00:00Z"}, "tentativelyAccepted"),
        ("propose", {"start": "2026-03-03T14:00:00Z", "decline": True}, "declined"),
    ],
)
async def test_people_answer(graph: Graph, name: str, more: Any, expected: str) -> None:
    event = await session(graph)
    await act(graph, "bob", name, **more)
    attendee = (await graph.get("ada", event["id"]))["attendees"][0]
    assert attendee["status"]["response"] == expected
    assert ("proposedNewTime" in attendee) == (name == "propose")


async def test_people_move_edit_forward_and_cancel(graph: Graph) -> None:
    event = await session(graph)
    await act(graph, "ada", "move", start="2026-03-05T10:00:00Z")
    await act(graph, "ada", "edit", subject="New", location="Room 1")
    await act(graph, "ada", "forward", to="cleo@contoso.test")
    copy = await graph.control("GET", "/people/cleo/events/s-1")
    assert (copy["subject"], copy["location"]["displayName"]) == ("New", "Room 1")
    assert copy["start"]["dateTime"] == "2026-03-05T11:00:00.0000000"
    await act(graph, "ada", "cancel", comment="Sorry")
    assert (await graph.control("GET", "/people/cleo/events/s-1"))["isCancelled"]
    status, _, _ = await graph.call("GET", f"/me/events/{event['id']}")
    assert status == 404
    kinds = [one["kind"] for one in await graph.control("GET", "/mail")]
    assert kinds == ["invitation", "update", "update", "invitation", "cancellation", "cancellation"]
    await graph.control("DELETE", "/mail")
    assert await graph.control("GET", "/mail") == []


async def test_people_delete_and_move_away(graph: Graph) -> None:
    await session(graph)
    await act(graph, "bob", "move-to", calendar="Elsewhere")
    assert (await graph.control("GET", "/people/bob/events/s-1"))["calendar"] == "Elsewhere"
    await act(graph, "bob", "delete")
    await graph.control("GET", "/people/bob/events/s-1", expect=404)
    await act(graph, "ada", "delete", hard=True)
    await graph.control("GET", "/people/ada/events/s-1", expect=404)


async def test_a_deleted_event_is_restored_by_each_of_its_names(graph: Graph) -> None:
    event = await session(graph)
    immutable = graph.simulator.outlook.find("ada", "s-1").id(immutable=True)
    for name in ("s-1", event["iCalUId"], immutable):
        await act(graph, "ada", "delete", send=False)
        await act(graph, "ada", "restore", session=name)
        await act(graph, "ada", "restore", 404, session=name)


async def test_people_are_added_made_optional_and_removed(graph: Graph) -> None:
    event = await session(graph)
    for kind in ("optional", "required", None):
        await act(graph, "ada", "attend", to="cleo@contoso.test", kind=kind)
        shown = (await graph.get("ada", event["id"]))["attendees"]
        kinds = {one["emailAddress"]["name"]: one["type"] for one in shown}
        assert kinds == {"Bob Test": "required"} | ({"Cleo Test": kind} if kind else {})


@pytest.mark.parametrize(
    ("name", "missing"),
    [("move", "start"), ("attend", "to"), ("forward", "to"), ("move-to", "calendar")],
)
async def test_what_an_act_needs_is_named(graph: Graph, name: str, missing: str) -> None:
    await session(graph)
    assert (await act(graph, "ada", name, 400))["error"] == f"{missing} is missing"
    refused = await act(graph, "ada", name, 400, session=None)
    assert refused["error"] == "session is missing"


async def test_refusals_are_answered_with_a_reason(graph: Graph) -> None:
    await session(graph)
    refused = await act(graph, "ada", "accept", 400)
    assert refused["code"] == "ErrorCalendarIsOrganizerForAccept"
    await act(graph, "ada", "juggle", 400)
    await act(graph, "nobody", "accept", 404)
    await act(graph, "ada", "move", 400)
    await act(graph, "ada", "cancel", 404, session="unknown")
    await graph.control("POST", "/people/ada/acts/accept", {}, expect=400)


async def test_a_persons_week_is_listed(graph: Graph) -> None:
    times = {"start": "2026-03-03T12:00:00Z", "end": "2026-03-03T13:00:00Z"}
    await graph.control("POST", "/people/bob/acts/busy", times | {"subject": "Lunch"})
    await session(graph)
    shown = await graph.control("GET", "/people/bob/events")
    assert [(one["subject"], one["showAs"]) for one in shown] == [
        ("Mentoring", "tentative"),
        ("Lunch", "busy"),
    ]
    later = "?start=2026-03-04T00:00:00Z&end=2026-03-05T00:00:00Z"
    assert await graph.control("GET", f"/people/bob/events{later}") == []


async def test_requests_are_counted_and_forgotten(graph: Graph) -> None:
    await session(graph)
    counted = await graph.control("GET", "/requests/count?method=POST&operation=events")
    assert counted == {"count": 1}
    (entry,) = await graph.control("GET", "/requests")
    assert (entry["method"], entry["path"], entry["status"]) == ("POST", "/me/events", 201)
    assert entry["user"] == graph.oid("ada")
    await graph.control("DELETE", "/requests")
    assert await graph.control("GET", "/requests/count") == {"count": 0}


async def test_unknown_subscriptions_have_no_lifecycle(graph: Graph) -> None:
    await graph.control("POST", "/subscriptions/nonsense/lifecycle/missed", expect=404)
    assert await graph.control("GET", "/subscriptions") == []
    assert (await graph.control("GET", "/notifications"))["posts"] == 0


async def test_a_mailbox_can_go_away_and_come_back(graph: Graph) -> None:
    await session(graph)
    shown = await graph.control("PATCH", "/people/ada", {"kind": "unlicensed"})
    assert shown["kind"] == "unlicensed"
    status, body, _ = await graph.call("GET", "/me/events")
    assert (status, body["error"]["code"]) == (404, "MailboxNotEnabledForRESTAPI")
    await graph.control("PATCH", "/people/ada", {"kind": "online", "teams": False})
    await graph.call("GET", "/me/events", expect=200)
    await graph.control("PATCH", "/people/ada", {"kind": "imaginary"}, expect=400)
    await graph.control("PATCH", "/people/ada", {"teams": "perhaps"}, expect=400)
    people = await graph.control("GET", "/people")
    assert [one["teams"] for one in people if one["key"] == "ada"] == [False]


async def test_a_claims_challenge_is_injected(graph: Graph) -> None:
    challenge = {"WWW-Authenticate": 'Bearer error="insufficient_claims", claims="e30="'}
    await graph.control("POST", "/faults", {"status": 401, "headers": challenge})
    status, body, headers = await graph.call("GET", "/me")
    assert (status, body["error"]["code"]) == (401, "InvalidAuthenticationToken")
    assert "insufficient_claims" in headers["WWW-Authenticate"]
