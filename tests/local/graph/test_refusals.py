"""Refusals that mislead: of what is there, of what is gone, of what belongs elsewhere."""

from datetime import timedelta
from typing import Any

import pytest

from tests.local.graph.conftest import Graph, a_meeting
from tests.local.graph.test_events import IMMUTABLE, copy_of, response_of


async def refused(graph: Graph, method: str, path: str, body: Any = None, **who: Any) -> Any:
    """Return status and code of a refusal."""
    status, answer, _ = await graph.call(method, f"/me/events{path}", body, **who)
    return status, answer["error"]["code"]


async def test_a_second_delete_by_the_immutable_id_is_forbidden(graph: Graph) -> None:
    event = await graph.call("POST", "/me/events", a_meeting(), headers=IMMUTABLE, expect=201)
    path = f"/me/events/{event['id']}"
    await graph.call("DELETE", path, expect=204)
    assert await refused(graph, "DELETE", f"/{event['id']}") == (403, "ErrorCannotDeleteObject")
    assert await refused(graph, "GET", f"/{event['id']}") == (404, "ErrorItemNotFound")


@pytest.mark.parametrize("code", ["ErrorInvalidMailboxItemId", "ErrorItemNotFound"])
async def test_an_id_of_another_mailbox_is_not_found(graph: Graph, code: str) -> None:
    event = await graph.book()
    graph.simulator.switches.set("foreign_id_code", code)
    for method, more in (("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/cancel")):
        body: dict[str, str] | None = None if method == "GET" else {}
        assert await refused(graph, method, f"/{event['id']}{more}", body, who="bob") == (404, code)


async def test_a_new_event_is_found_by_its_id_after_a_while(graph: Graph) -> None:
    graph.simulator.switches.new_events_hidden_seconds = 20
    event = await graph.book()
    path = f"/{event['id']}"
    for method, more in (("GET", ""), ("PATCH", ""), ("POST", "/cancel")):
        body: dict[str, str] | None = None if method == "GET" else {}
        found = await refused(graph, method, f"{path}{more}", body)
        assert found == (404, "ErrorItemNotFound")
    listed = await graph.call("GET", "/me/events", expect=200)
    assert [one["id"] for one in listed["value"]] == [event["id"]]
    await graph.simulator.advance(timedelta(seconds=21))
    assert (await graph.get("ada", event["id"]))["id"] == event["id"]


async def test_an_event_with_an_unknown_recipient_is_there_although_it_is_refused(
    graph: Graph,
) -> None:
    graph.simulator.switches.invalid_recipients = ["Gone@fabrikam.test"]
    body = a_meeting("bob", "gone@fabrikam.test", transactionId="t-1")
    assert await refused(graph, "POST", "", body) == (400, "ErrorInvalidRecipients")
    assert await refused(graph, "POST", "", body) == (400, "ErrorDuplicateTransactionId")
    await graph.simulator.settle()
    (event,) = (await graph.call("GET", "/me/events", expect=200))["value"]
    assert await copy_of(graph, "bob", event)


async def test_to_an_event_that_asks_for_no_answers_none_is_sent(graph: Graph) -> None:
    event = await graph.book("ada", "bob", "cleo", responseRequested=False)
    await graph.simulator.settle()
    graph.simulator.outlook.decline("cleo", event["iCalUId"])
    copy = await copy_of(graph, "bob", event)
    assert copy["responseRequested"] is False
    await graph.call("POST", f"/me/events/{copy['id']}/accept", {}, who="bob", expect=202)
    await graph.simulator.settle()
    assert set((await response_of(graph, event)).values()) == {"none"}
    assert (await copy_of(graph, "bob", event))["responseStatus"]["response"] == "accepted"


async def test_an_organizer_who_asks_for_no_answers_any_more_gets_none(graph: Graph) -> None:
    event = await graph.book()
    await graph.simulator.settle()
    graph.simulator.outlook.patch("ada", event["iCalUId"], {"responseRequested": False})
    await graph.simulator.settle()
    graph.simulator.outlook.accept("bob", event["iCalUId"])
    await graph.simulator.settle()
    assert set((await response_of(graph, event)).values()) == {"none"}
