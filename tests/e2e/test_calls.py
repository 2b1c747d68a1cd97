"""How many calls to Graph each operation takes, counted by the simulated Graph itself."""

import os
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from tests.e2e.conftest import AppUnderTest
from tests.today import today

Counts = dict[str, int]


def counted(stage: AppUnderTest) -> Counts:
    """Return the requests since the last count, and reset the count.

    A request that is repeated because a slow machine let it time out is counted once.
    """
    recorder = stage.cloud.graph.requests
    distinct = {
        (entry.headers.get("client-request-id"), entry.method, entry.path, str(entry.body)): entry
        for entry in recorder.entries
        if "subscriptions" not in entry.operation
    }
    recorder.reset()
    return Counter(
        f"{entry.method} {entry.operation.rpartition('/')[2]}" for entry in distinct.values()
    )


async def of(stage: AppUnderTest, act: Callable[[], Awaitable[Any]]) -> tuple[Any, int]:
    """Return the result of *act* and its number of calls, with no other work in progress."""
    await stage.settled()
    counted(stage)
    result = await act()
    return result, sum(counted(stage).values())


async def test_the_table_of_calls(stage: AppUnderTest) -> None:
    _, availability = await of(stage, stage.slots)
    assert availability == 1
    slots = await stage.slots()

    async def book() -> Any:
        reply = await stage.call(
            "ben",
            "POST",
            "pairings/ada-ben/sessions",
            json={
                "start": slots[0]["start"],
                "duration_minutes": 30,
                "time_zone": "Europe/Berlin",
            },
            headers={"idempotency-key": os.urandom(8).hex()},
        )
        assert reply.status_code == 201, reply.text
        return reply.json()

    session, booking = await of(stage, book)
    assert booking == 2
    path = f"sessions/{session['id']}"

    async def move() -> Any:
        start = slots[-1]["start"]
        reply = await stage.call(
            "ben", "PATCH", path, json={"start": start}, headers={"if-match": "*"}
        )
        assert reply.status_code == 200, reply.text

    assert (await of(stage, move))[1] == 2

    async def answer() -> Any:
        proposed = {"start": slots[3]["start"], "end": slots[3]["end"]}
        body = {"response": "tentative", "proposed": proposed}
        reply = await stage.call("ada", "POST", f"{path}/response", json=body)
        assert reply.status_code == 202, reply.text

    assert (await of(stage, answer))[1] <= 2
    await stage.settled()

    async def take() -> Any:
        mentor = (await stage.call("ben", "GET", path)).json()["attendees"][0]["object_id"]
        reply = await stage.call("ben", "POST", f"{path}/proposals/{mentor}/accept")
        assert reply.status_code == 200, reply.text

    assert (await of(stage, take))[1] == 2

    stage.cloud.graph.switches.set("duplicates", 0)
    await stage.settled()

    async def rsvp() -> Any:
        stage.cloud.graph.outlook.accept("ada", session["id"])
        await stage.settled()

    assert (await of(stage, rsvp))[1] == 1

    async def cancel() -> Any:
        reply = await stage.call("ben", "POST", f"{path}/cancel", json={})
        assert reply.status_code == 200, reply.text

    assert (await of(stage, cancel))[1] == 1


async def test_a_series_of_twelve_is_checked_in_two_and_created_in_one(stage: AppUnderTest) -> None:
    # Twelve weeks from tomorrow are within the default horizon of 90 days.
    start = today(20) + timedelta(days=1)

    async def series() -> Any:
        reply = await stage.call(
            "ben",
            "POST",
            "pairings/ada-ben/sessions",
            json={
                "start": start.isoformat(),
                "duration_minutes": 30,
                "time_zone": "Europe/Berlin",
                "repeat": {"frequency": "weekly", "count": 12},
            },
            headers={"idempotency-key": os.urandom(8).hex()},
        )
        assert reply.status_code == 201, reply.text
        return reply.json()

    await stage.settled()
    counted(stage)
    booked = await series()
    counts = counted(stage)
    assert len(booked["series"]["sessions"]) == 12
    assert counts == {"POST getSchedule": 2, "POST events": 1}
