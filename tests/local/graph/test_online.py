"""Teams links: at once, late, never; and the providers that the calendar allows."""

from typing import Any

from tests.local.graph.conftest import Graph

ONLINE = {"isOnlineMeeting": True, "onlineMeetingProvider": "teamsForBusiness"}


async def test_a_link_at_once_in_both_shapes(graph: Graph) -> None:
    event = await graph.book("ada", "bob", **ONLINE)
    url = event["onlineMeeting"]["joinUrl"]
    assert url.startswith("https://teams.microsoft.com/l/meetup-join/19%3ameeting_")
    assert "Join Microsoft Teams Meeting" in event["body"]["content"]
    assert event["onlineMeetingUrl"] is None
    graph.simulator.switches.set("teams_url", "short")
    event = await graph.book("ada", "bob", **ONLINE)
    assert event["onlineMeeting"]["joinUrl"].startswith("https://teams.microsoft.com/meet/")


async def test_a_late_link_comes_with_a_change(graph: Graph) -> None:
    graph.simulator.switches.set("teams", "late")
    event = await graph.book("ada", "bob", **ONLINE)
    assert (event["isOnlineMeeting"], event["onlineMeeting"]) == (True, None)
    await graph.simulator.settle()
    fresh = await graph.get("ada", event["id"])
    assert fresh["onlineMeeting"]["joinUrl"]
    assert fresh["changeKey"] != event["changeKey"]


async def test_never_a_link(graph: Graph) -> None:
    graph.simulator.switches.set("teams", "never")
    assert _nothing(await graph.book("ada", "bob", **ONLINE))
    graph.simulator.switches.set("teams", "at once")
    assert _nothing(await graph.book("cleo", "bob", **ONLINE))


def _nothing(event: Any) -> bool:
    seen = (event["isOnlineMeeting"], event["onlineMeetingProvider"], event["onlineMeeting"])
    return seen == (False, "unknown", None)


async def test_an_event_can_be_upgraded_and_not_switched_off(graph: Graph) -> None:
    event = await graph.book()
    path = f"/me/events/{event['id']}"
    event = await graph.call("PATCH", path, ONLINE, expect=200)
    assert event["onlineMeeting"]
    event = await graph.call("PATCH", path, {"isOnlineMeeting": False}, expect=200)
    assert event["onlineMeeting"]
    assert event["isOnlineMeeting"]


async def test_a_body_without_the_join_block_disables_the_meeting(graph: Graph) -> None:
    event = await graph.book("ada", "bob", **ONLINE)
    body = {"body": {"contentType": "html", "content": "New"}}
    event = await graph.call("PATCH", f"/me/events/{event['id']}", body, expect=200)
    assert event["onlineMeeting"] is None


async def test_calendars_name_their_providers(graph: Graph) -> None:
    select = "?$select=allowedOnlineMeetingProviders,defaultOnlineMeetingProvider"
    ada = await graph.call("GET", f"/me/calendar{select}", expect=200)
    assert ada["allowedOnlineMeetingProviders"] == ["teamsForBusiness"]
    graph.simulator.switches.skype_still_listed = True
    cleo = await graph.call("GET", f"/me/calendar{select}", who="cleo", expect=200)
    assert cleo["allowedOnlineMeetingProviders"] == ["skypeForBusiness"]
