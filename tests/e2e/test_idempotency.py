"""The same Idempotency-Key over HTTP: at the same time, later, with another body, after a loss."""

import asyncio
from typing import Any

import httpx

from local.graph.faults import FaultRule
from tests.e2e.conftest import AppUnderTest

PATH = "pairings/ada-ben/sessions"


async def booking_request(stage: AppUnderTest, **changes: Any) -> dict[str, Any]:
    start = (await stage.slots())[0]["start"]
    return {"start": start, "duration_minutes": 30, "time_zone": "Europe/Berlin"} | changes


async def post(stage: AppUnderTest, body: Any, key: str = "the-key") -> httpx.Response:
    return await stage.call("ben", "POST", PATH, json=body, headers={"idempotency-key": key})


def events(stage: AppUnderTest) -> int:
    """Return the number of the app's events in organizers' calendars."""
    return sum(
        event.is_organizer and event.transaction_id is not None
        for mailbox in stage.cloud.graph.backend.store.all()
        for event in mailbox.live()
    )


async def test_the_same_request_while_the_first_is_still_running(stage: AppUnderTest) -> None:
    body = await booking_request(stage)
    slow = FaultRule(method="POST", path="/events$", behaviour="delay", delay_seconds=1.5, count=1)
    stage.cloud.graph.faults.add(slow)
    first = asyncio.create_task(post(stage, body))
    while not slow.hits:  # noqa: ASYNC110 - nobody tells of a hit
        await asyncio.sleep(0.01)
    other = asyncio.create_task(post(stage, body | {"title": "Something else"}))
    again = asyncio.create_task(post(stage, body))
    refused = await other
    assert not first.done()
    assert (refused.status_code, refused.json()["type"]) == (422, "/api/problems/key-reused")
    answers = [await first, await again]
    assert [a.status_code for a in answers] == [201, 201], [a.text for a in answers]
    assert answers[0].json()["id"] == answers[1].json()["id"]
    assert {a.json()["state"] for a in answers} == {"scheduled"}
    assert events(stage) == 1


async def test_the_same_again_is_the_same_answer_and_another_person_s_key_is_another(
    stage: AppUnderTest,
) -> None:
    body = await booking_request(stage)
    first, again = await post(stage, body), await post(stage, body)
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    assert first.headers["etag"] == again.headers["etag"]
    other = await stage.call("ada", "POST", PATH, json=body, headers={"idempotency-key": "the-key"})
    assert other.status_code == 409  # a booking of her own, of a time that is taken
    assert events(stage) == 1


async def test_an_answer_that_was_lost_is_found_at_once_or_by_repeating_the_request(
    stage: AppUnderTest,
) -> None:
    faults = stage.cloud.graph.faults
    faults.add(FaultRule(method="POST", path="/events$", behaviour="lost", count=1))
    found = await post(stage, await booking_request(stage), "found-at-once")
    assert (found.status_code, found.json()["state"]) == (201, "scheduled"), found.text
    assert events(stage) == 1

    body = await booking_request(stage)
    faults.add(FaultRule(method="POST", path="/events$", behaviour="lost", count=1))
    faults.add(FaultRule(path="/events", behaviour="status", status=503))
    lost = await post(stage, body)
    assert lost.status_code == 503, lost.text
    assert "same Idempotency-Key" in lost.json()["remedy"]
    assert lost.headers["retry-after"]
    faults.clear()
    found = await post(stage, body)
    assert (found.status_code, found.json()["state"]) == (201, "scheduled"), found.text
    assert events(stage) == 2
