"""Series over HTTP: one recurring event, exceptions, scopes, and changes in Outlook."""

import os
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from tests.e2e.conftest import AppUnderTest
from tests.today import today

BERLIN = ZoneInfo("Europe/Berlin")
WEEK = timedelta(weeks=1)


def evening(weeks: int = 0, hour: int = 21) -> datetime:
    """Return an evening when all seeded people are free, *weeks* from next Tuesday."""
    day = today(zone=BERLIN).date()
    tuesday = day + timedelta(days=(1 - day.weekday()) % 7 + 7, weeks=weeks)
    return datetime(tuesday.year, tuesday.month, tuesday.day, hour, tzinfo=BERLIN).astimezone(UTC)


async def book(stage: AppUnderTest, status: int = 201, **changes: Any) -> Any:
    body: dict[str, Any] = {
        "start": evening().isoformat(),
        "duration_minutes": 30,
        "time_zone": "Europe/Berlin",
        "repeat": {"frequency": "weekly", "count": 4},
        **changes,
    }
    reply = await stage.call(
        "ben",
        "POST",
        "pairings/ada-ben/sessions",
        json=body,
        headers={"idempotency-key": os.urandom(8).hex()},
    )
    assert reply.status_code == status, reply.text
    return reply.json()


def starts(sessions: list[Any]) -> list[datetime]:
    return [datetime.fromisoformat(s["start"]) for s in sessions]


async def listed(stage: AppUnderTest, who: str = "ada") -> list[Any]:
    reply = await stage.call(who, "GET", "sessions?state=scheduled")
    assert reply.status_code == 200
    return list(reply.json()["items"])


def local_date(at: datetime) -> date:
    return at.astimezone(BERLIN).date()


async def test_a_series_is_booked_answered_moved_and_cancelled(stage: AppUnderTest) -> None:
    booked = await book(stage, online_meeting="teams", title="Every week")
    series = booked["series"]
    assert starts(series["sessions"]) == [evening(n) for n in range(4)]
    assert series["conflicts"] == []
    assert {s["online_meeting"]["state"] for s in series["sessions"]} == {"ready"}
    await stage.settled()
    assert starts(await listed(stage)) == [evening(n) for n in range(4)]

    second = series["sessions"][1]
    stage.cloud.graph.outlook.accept("ada", series["id"], on=local_date(evening(1)))
    await stage.settled()
    answers = [s["attendees"][0]["response"] for s in await listed(stage)]
    assert answers == ["pending", "accepted", "pending", "pending"]

    declined = await stage.call(
        "ada",
        "POST",
        f"sessions/{series['sessions'][3]['id']}/response",
        json={"response": "declined", "comment": "away"},
    )
    assert declined.status_code == 202, declined.text
    await stage.settled()
    answers = [s["attendees"][0]["response"] for s in await listed(stage)]
    assert answers == ["pending", "accepted", "pending", "declined"]

    shown = await stage.call("ben", "GET", f"sessions/{second['id']}")
    moved = await stage.call(
        "ben",
        "PATCH",
        f"sessions/{second['id']}",
        json={
            "start": (evening(1, hour=20) + timedelta(days=1)).isoformat(),
            "scope": "this_and_following",
        },
        headers={"if-match": shown.headers["etag"]},
    )
    assert moved.status_code == 200, moved.text
    expected = [evening(n, hour=20) + timedelta(days=1) for n in (1, 2, 3)]
    assert starts(moved.json()["series"]["sessions"]) == expected
    await stage.settled()
    assert starts(await listed(stage)) == [evening(0), *expected]
    cancelled = await stage.call(
        "ben", "POST", f"sessions/{second['id']}/cancel", json={"scope": "all"}
    )
    assert cancelled.status_code == 200, cancelled.text
    assert cancelled.json()["state"] == "cancelled"
    await stage.settled()
    assert await listed(stage) == []


async def test_dates_that_are_not_free(stage: AppUnderTest) -> None:
    busy = evening(2)
    stage.cloud.graph.outlook.busy("ada", busy, busy + timedelta(minutes=30))
    refused = await book(stage, status=409)
    assert refused["type"] == "/api/problems/slot-taken"
    (conflict,) = refused["conflicts"]
    assert datetime.fromisoformat(conflict["start"]) == busy
    assert conflict["alternatives"]
    skipped = await book(stage, on_conflict="skip")
    assert starts(skipped["series"]["sessions"]) == [evening(n) for n in (0, 1, 3)]
    assert skipped["series"]["conflicts"][0]["outcome"] == "skipped"
    await stage.settled()
    assert starts(await listed(stage)) == [evening(n) for n in (0, 1, 3)]
    await stage.call("ben", "POST", f"sessions/{skipped['id']}/cancel", json={"scope": "all"})
    await stage.settled()
    moved = await book(stage, on_conflict="alternatives")
    dates = starts(moved["series"]["sessions"])
    assert len(dates) == 4
    assert dates[2] != busy
    assert datetime.fromisoformat(moved["series"]["conflicts"][0]["booked"]["start"]) == dates[2]
    await stage.settled()
    assert starts(await listed(stage)) == dates


async def test_series_changed_in_outlook_is_synced(stage: AppUnderTest) -> None:
    booked = await book(stage)
    series = booked["series"]["id"]
    await stage.settled()
    outlook = stage.cloud.graph.outlook
    outlook.move("ben", series, evening(1, hour=20), on=local_date(evening(1)))
    outlook.cancel("ben", series, on=local_date(evening(2)))
    await stage.settled()
    assert starts(await listed(stage)) == [evening(0), evening(1, hour=20), evening(3)]
    outlook.cancel("ben", series)
    await stage.settled()
    assert await listed(stage) == []


async def test_a_series_that_is_moved_as_a_whole_is_followed(stage: AppUnderTest) -> None:
    booked = await book(stage)
    await stage.settled()
    stage.cloud.graph.outlook.move("ben", booked["series"]["id"], evening(0, hour=20))
    await stage.settled()
    assert starts(await listed(stage)) == [evening(n, hour=20) for n in range(4)]
    shown = await stage.call("ben", "GET", f"sessions/{booked['id']}")
    everything = await stage.call(
        "ben",
        "PATCH",
        f"sessions/{booked['id']}",
        json={"start": (evening(0, hour=19) + timedelta(days=2)).isoformat(), "scope": "all"},
        headers={"if-match": shown.headers["etag"]},
    )
    assert everything.status_code == 200, everything.text
    await stage.settled()
    expected = [evening(n, hour=19) + timedelta(days=2) for n in range(4)]
    assert starts(await listed(stage)) == expected


async def answer(stage: AppUnderTest, session: Any, **body: Any) -> Any:
    """Answer as Ada; return the reply's body once Outlook has carried the answer over."""
    reply = await stage.call("ada", "POST", f"sessions/{session['id']}/response", json=body)
    assert reply.status_code == 202, reply.text
    await stage.settled()
    return reply.json()


async def answers(stage: AppUnderTest) -> list[str]:
    return [s["attendees"][0]["response"] for s in await listed(stage)]


async def test_an_attendee_answers_a_whole_series_at_once(stage: AppUnderTest) -> None:
    sessions = (await book(stage))["series"]["sessions"]
    await stage.settled()
    requests = stage.cloud.graph.requests
    requests.reset()
    answered = await answer(stage, sessions[1], response="accepted", scope="all")
    assert answered["id"] == sessions[1]["id"]
    assert [s["id"] for s in answered["series"]["sessions"]] == [s["id"] for s in sessions]
    assert requests.count("POST", "{mailbox}/events/{event}/accept") == 1
    assert await answers(stage) == ["accepted"] * 4
    assert starts(await listed(stage)) == [evening(n) for n in range(4)]


async def test_a_date_that_was_answered_alone_is_answered_with_its_series(
    stage: AppUnderTest,
) -> None:
    booked = await book(stage)
    await stage.settled()
    outlook = stage.cloud.graph.outlook
    outlook.tentative("ada", booked["series"]["id"], on=local_date(evening(2)))
    await stage.settled()
    assert await answers(stage) == ["pending", "pending", "tentative", "pending"]
    await answer(stage, booked, response="accepted", scope="all")
    assert await answers(stage) == ["accepted"] * 4


async def test_this_date_and_those_after_it_are_answered(stage: AppUnderTest) -> None:
    sessions = (await book(stage))["series"]["sessions"]
    await stage.settled()
    body = {"response": "declined", "scope": "this_and_following", "comment": "away"}
    answered = await answer(stage, sessions[2], **body)
    assert [s["occurrence"] for s in answered["series"]["sessions"]] == [2, 3]
    assert await answers(stage) == ["pending", "pending", "declined", "declined"]
    again = await answer(stage, sessions[2], **body)
    assert [s["occurrence"] for s in again["series"]["sessions"]] == [2, 3]
    await answer(stage, sessions[0], response="accepted", scope="all")
    assert await answers(stage) == ["accepted", "accepted", "declined", "declined"]


async def test_a_series_that_is_not_there_yet_is_not_answered(stage: AppUnderTest) -> None:
    stage.cloud.graph.switches.mail_delay_seconds = 3600
    booked = await book(stage)
    await stage.host.drain_queues()
    path = f"sessions/{booked['id']}/response"
    body = {"response": "accepted", "scope": "all"}
    reply = await stage.call("ada", "POST", path, json=body)
    assert (reply.status_code, reply.json()["type"]) == (409, "/api/problems/conflict")
    assert "on its way" in reply.json()["remedy"]
    span = {"start": evening(1).isoformat(), "end": evening(1, hour=22).isoformat()}
    proposing = {"response": "tentative", "scope": "all", "proposed": span}
    reply = await stage.call("ada", "POST", path, json=proposing)
    assert reply.json()["errors"][0]["field"] == "body.proposed"
