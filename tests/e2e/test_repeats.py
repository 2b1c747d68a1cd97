"""A client that lost the answer retries over HTTP: the true answer for each change of a session."""

from datetime import timedelta
from typing import Any

import httpx

from local.graph.faults import FaultRule
from tests.e2e.conftest import AppUnderTest
from tests.e2e.test_following import evening, shown, z


async def booked(stage: AppUnderTest) -> tuple[str, Any, str]:
    """Return the path of a session, the session, and its ETag for the organizer."""
    session = await stage.book()
    await stage.settled()
    path = f"sessions/{session['id']}"
    seen = await stage.call("ben", "GET", path)
    stage.cloud.graph.requests.reset()
    return path, session, seen.headers["etag"]


async def move(stage: AppUnderTest, path: str, etag: str, days: int = 3) -> httpx.Response:
    body = {"start": z(evening(days))}
    return await stage.call("ben", "PATCH", path, json=body, headers={"if-match": etag})


def same(first: httpx.Response, again: httpx.Response) -> bool:
    assert (first.status_code, again.status_code) == (200, 200), again.text
    return bool(first.json() == again.json() and first.headers["etag"] == again.headers["etag"])


async def test_a_move(stage: AppUnderTest) -> None:
    path, session, etag = await booked(stage)
    first, again = await move(stage, path, etag), await move(stage, path, etag)
    assert same(first, again)
    assert stage.cloud.graph.requests.count() == 2  # those of the first

    start = evening(5)
    stage.cloud.graph.outlook.move("ben", session["id"], start, start + timedelta(minutes=30))
    await stage.settled()
    late = await move(stage, path, etag)
    assert (late.status_code, z(start) in late.json()["detail"]) == (412, True)


async def test_a_move_is_repeated_after_outlook_lost_its_answer_as_well(
    stage: AppUnderTest,
) -> None:
    path, session, etag = await booked(stage)
    faults = stage.cloud.graph.faults
    faults.add(FaultRule(method="PATCH", path="/events/", behaviour="lost"))
    lost = await move(stage, path, etag)
    assert lost.status_code == 503, lost.text
    faults.clear()
    other = await move(stage, path, etag, days=4)
    assert other.status_code == 412, other.text
    found = await move(stage, path, etag)
    assert (found.status_code, found.json()["start"]) == (200, z(evening())), found.text
    assert same(found, await move(stage, path, etag))
    assert (await shown(stage, session))["start"] == z(evening())


async def test_a_proposed_time_that_is_taken(stage: AppUnderTest) -> None:
    path, session, _ = await booked(stage)
    start = evening()
    outlook = stage.cloud.graph.outlook
    outlook.propose("ada", session["id"], start, start + timedelta(minutes=30))
    (ada,) = (await shown(stage, session))["attendees"]
    accept = f"{path}/proposals/{ada['object_id']}/accept"

    first = await stage.call("ben", "POST", accept)
    stage.cloud.graph.requests.reset()
    assert same(first, await stage.call("ben", "POST", accept))
    assert first.json()["start"] == z(start)
    await stage.settled()
    later = await stage.call("ben", "POST", accept)
    assert (later.status_code, later.json()["start"]) == (200, z(start))
    assert stage.cloud.graph.requests.count() == 0

    outlook.move("ben", session["id"], evening(5), evening(5) + timedelta(minutes=30))
    await stage.settled()
    late = await stage.call("ben", "POST", accept)
    assert late.status_code == 409, late.text
    assert z(evening(5)) in late.json()["detail"]


async def test_an_acceptance_is_repeated_after_outlook_did_not_answer(stage: AppUnderTest) -> None:
    path, session, _ = await booked(stage)
    start = evening()
    stage.cloud.graph.outlook.propose("ada", session["id"], start, start + timedelta(minutes=30))
    (ada,) = (await shown(stage, session))["attendees"]
    accept = f"{path}/proposals/{ada['object_id']}/accept"
    faults = stage.cloud.graph.faults
    faults.add(FaultRule(method="PATCH", path="/events/", behaviour="lost"))
    assert (await stage.call("ben", "POST", accept)).status_code == 503
    faults.clear()
    # Its notification may be faster than the organizer.
    await stage.settled()
    again = await stage.call("ben", "POST", accept)
    assert (again.status_code, again.json()["start"]) == (200, z(start)), again.text


async def test_a_cancellation(stage: AppUnderTest) -> None:
    path, _, _ = await booked(stage)
    body = {"comment": "sorry"}
    first = await stage.call("ben", "POST", f"{path}/cancel", json=body)
    await stage.settled()
    assert same(first, await stage.call("ben", "POST", f"{path}/cancel", json=body))
    assert stage.cloud.graph.requests.count("POST", "/cancel") <= 1


async def test_an_answer(stage: AppUnderTest) -> None:
    path, session, _ = await booked(stage)
    for answer in ("accepted", "tentative", "declined"):
        for heard in (False, True):
            reply = await stage.call("ada", "POST", f"{path}/response", json={"response": answer})
            assert reply.status_code == 202, (answer, heard, reply.text)
            (ada,) = (await shown(stage, session))["attendees"]
            assert ada["response"] == answer
    late = await stage.call("ada", "POST", f"{path}/response", json={"response": "accepted"})
    assert (late.status_code, late.json()["type"]) == (409, "/api/problems/conflict")
