"""`$batch`, throttling and injected faults."""

import asyncio
from datetime import timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp
import pytest

from local.graph.faults import FaultRule
from tests.local.graph.conftest import NOW, Graph, Webhook, a_meeting
from tests.local.graph.test_subscriptions import AS_APP, in_minutes, subscribe


def get(identifier: str, url: str, **more: Any) -> dict[str, Any]:
    return {"id": identifier, "method": "GET", "url": url} | more


def by_id(answer: Any) -> dict[str, Any]:
    return {one["id"]: one for one in answer["responses"]}


async def test_a_batch_answers_each_by_itself(graph: Graph) -> None:
    event = await graph.book()
    requests = [
        get("1", f"/me/events/{event['id']}?$select=subject"),
        get("2", "/me/events/nonsense"),
        get("3", f"/users/{graph.oid('bob')}/events"),
        {
            "id": "4",
            "method": "POST",
            "url": "/me/events",
            "headers": {"Content-Type": "application/json", "Prefer": 'IdType="ImmutableId"'},
            "body": a_meeting(),
        },
    ]
    answer = by_id(await graph.call("POST", "/$batch", {"requests": requests}, expect=200))
    assert {key: one["status"] for key, one in answer.items()} == {
        "1": 200,
        "2": 400,
        "3": 403,
        "4": 201,
    }
    assert answer["1"]["body"]["subject"] == "Mentoring"
    assert answer["4"]["body"]["id"].startswith("AAkALg")
    assert graph.simulator.requests.count("POST", "{mailbox}/events") == 2
    assert graph.simulator.requests.in_batch["POST", "{mailbox}/events"] == 1


async def test_request_depending_on_a_failed_one_is_424(graph: Graph) -> None:
    requests = [
        get("a", "/me/events/nonsense"),
        get("b", "/me", dependsOn=["A"]),
        get("c", "/me"),
        get("d", "/me", dependsOn=["c"]),
    ]
    answer = by_id(await graph.call("POST", "/$batch", {"requests": requests}, expect=200))
    assert [answer[key]["status"] for key in "abcd"] == [400, 424, 200, 200]


@pytest.mark.parametrize(
    "requests",
    [
        [],
        [get(str(n), "/me") for n in range(21)],
        [get("1", "/me"), get("1", "/me")],
        [get("1", "/me", dependsOn=["2"])],
        [{"id": "1", "method": "GET"}],
    ],
    ids=["empty", "too many", "same id", "unknown dependency", "no url"],
)
async def test_impossible_batches_are_400(graph: Graph, requests: Any) -> None:
    status, _, _ = await graph.call("POST", "/$batch", {"requests": requests})
    assert status == 400


async def test_an_inner_body_needs_its_content_type(graph: Graph) -> None:
    request = {"id": "1", "method": "POST", "url": "/me/events", "body": a_meeting()}
    answer = await graph.call("POST", "/$batch", {"requests": [request]}, expect=200)
    assert answer["responses"][0]["status"] == 400


async def test_subscriptions_are_renewed_in_a_batch(graph: Graph, webhook: Webhook) -> None:
    made = [await subscribe(graph, webhook) for _ in range(3)]
    body = {"expirationDateTime": in_minutes(10_050)}
    requests = [
        {
            "id": str(n),
            "method": "PATCH",
            "url": f"/subscriptions/{one['id']}",
            "headers": {"Content-Type": "application/json"},
            "body": body,
        }
        for n, one in enumerate([*made, {"id": "gone"}])
    ]
    answer = by_id(
        await graph.call("POST", "/$batch", {"requests": requests}, **AS_APP, expect=200)
    )
    assert [answer[str(n)]["status"] for n in range(4)] == [200, 200, 200, 404]


async def test_inner_requests_are_throttled_by_themselves(graph: Graph) -> None:
    graph.simulator.faults.add(FaultRule(path="/me/events", status=429, count=1, retry_after=7))
    requests = [get(str(n), "/me/events") for n in range(3)]
    answer = await graph.call("POST", "/$batch", {"requests": requests}, expect=200)
    statuses = sorted(one["status"] for one in answer["responses"])
    assert statuses == [200, 200, 429]
    (refused,) = [one for one in answer["responses"] if one["status"] == 429]
    assert refused["headers"]["Retry-After"] == "7"


async def test_an_answer_is_spoilt_in_the_parts_that_the_rule_names(graph: Graph) -> None:
    made = await graph.book()
    rule = FaultRule(
        "GET",
        "/me/events",
        "spoil",
        parts={"value.*.attendees.0.status": None, "value.0.nothing.here": 1},
        without=["value.*.start", "value.7.end"],
    )
    graph.simulator.faults.add(rule)
    (event,) = (await graph.call("GET", "/me/events", expect=200))["value"]
    assert event["attendees"][0]["status"] is None
    assert "start" not in event
    assert event["end"] == made["end"]
    graph.simulator.faults.clear()
    (event,) = (await graph.call("GET", "/me/events", expect=200))["value"]
    assert event["start"] == made["start"]


async def test_a_batch_sends_four_at_a_time_to_one_mailbox(graph: Graph) -> None:
    graph.simulator.faults.add(FaultRule(behaviour="delay", delay_seconds=0.01))
    requests = [get(str(n), "/me/events") for n in range(20)]
    answer = await graph.call("POST", "/$batch", {"requests": requests}, expect=200)
    assert {one["status"] for one in answer["responses"]} == {200}


async def test_a_fifth_request_at_once_to_one_mailbox_is_429(graph: Graph) -> None:
    graph.simulator.faults.add(FaultRule(behaviour="delay", delay_seconds=0.2))
    path = f"/users/{graph.oid('ada')}/events"
    other = f"/users/{graph.oid('bob')}/events"
    calls = [graph.call("GET", one, **AS_APP) for one in [path] * 6 + [other]]
    answers = await asyncio.gather(*calls)
    assert sorted(status for status, _, _ in answers[:6]) == [200] * 4 + [429] * 2
    assert answers[6][0] == 200
    refused = next(answer for answer in answers if answer[0] == 429)
    assert refused[1]["error"]["code"] == "ApplicationThrottled"
    assert refused[2]["Retry-After"] == "10"


@pytest.mark.parametrize("shape", [3, 2.128, None, "date"])
async def test_retry_after_in_all_its_shapes(graph: Graph, shape: Any) -> None:
    graph.simulator.faults.add(FaultRule(status=429, retry_after=shape))
    status, body, headers = await graph.call("GET", "/me/events")
    assert (status, body["error"]["code"]) == (429, "TooManyRequests")
    waits = headers.get("Retry-After")
    if shape == "date":
        assert parsedate_to_datetime(waits) == NOW + timedelta(seconds=10)
    else:
        assert waits == (None if shape is None else str(shape))


async def test_a_rule_stops_after_its_count(graph: Graph) -> None:
    rule = FaultRule(method="GET", path="/me/events$", status=503, count=2, after=1)
    graph.simulator.faults.add(rule)
    statuses = [(await graph.call("GET", "/me/events"))[0] for _ in range(5)]
    assert statuses == [200, 503, 503, 200, 200]


async def test_an_answer_lost_after_success_has_had_its_effect(graph: Graph) -> None:
    graph.simulator.faults.add(FaultRule(method="POST", behaviour="lost", count=1))
    with pytest.raises(aiohttp.ClientError):
        await graph.call("POST", "/me/events", a_meeting(transactionId="t-1"))
    status, body, _ = await graph.call("POST", "/me/events", a_meeting(transactionId="t-1"))
    assert (status, body["error"]["code"]) == (400, "ErrorDuplicateTransactionId")
    assert [entry.status for entry in graph.simulator.requests.entries] == [0, 400]


async def test_a_reset_has_no_effect(graph: Graph) -> None:
    graph.simulator.faults.add(FaultRule(method="POST", behaviour="reset", count=1))
    with pytest.raises(aiohttp.ClientError):
        await graph.call("POST", "/me/events", a_meeting())
    assert not (await graph.call("GET", "/me/events", expect=200))["value"]


async def test_a_reset_inside_a_batch_is_a_504_there(graph: Graph) -> None:
    graph.simulator.faults.add(FaultRule(path="^/me$", behaviour="reset"))
    answer = await graph.call("POST", "/$batch", {"requests": [get("1", "/me")]}, expect=200)
    assert answer["responses"][0]["status"] == 504


def test_a_rule_refuses_nonsense() -> None:
    with pytest.raises(ValueError, match="behaviour"):
        FaultRule(behaviour="explode")  # type: ignore[arg-type]  # what a control request may send
    with pytest.raises(ValueError, match="regular"):
        FaultRule(path="(")
