"""Answers of Graph that mislead: an event that is there and is refused, one nobody answers."""

from datetime import timedelta
from typing import Any

from shared.jobs import DueKind
from tests.e2e.conftest import AppUnderTest
from tests.e2e.test_following import booked, evening, read_again, shown, z
from tests.e2e.test_series import book, listed, local_date, starts
from tests.e2e.test_series import evening as tuesday

DAY = timedelta(days=1)


async def move(stage: AppUnderTest, session: Any, **body: Any) -> Any:
    return await stage.call(
        "ben", "PATCH", f"sessions/{session['id']}", json=body, headers={"if-match": "*"}
    )


async def test_a_meeting_with_an_unknown_recipient_is_booked(stage: AppUnderTest) -> None:
    graph = stage.cloud.graph
    graph.switches.invalid_recipients = [stage.cloud.world.person("ada").address]
    session = await stage.book()
    assert session["state"] == "scheduled"
    event = graph.outlook.find("ben", session["id"])
    assert z(event.start_at) == session["start"]
    assert (await shown(stage, session))["state"] == "scheduled"


async def test_a_new_meeting_that_is_not_found_yet_is_no_cancelled_session(
    stage: AppUnderTest,
) -> None:
    graph = stage.cloud.graph
    graph.switches.new_events_hidden_seconds = 600
    session = await stage.book()
    await graph.settle(within=timedelta(minutes=2))
    graph.outlook.edit("ben", session["id"], subject="Another")
    await graph.settle(within=timedelta(minutes=2))
    await stage.host.drain_queues()
    refused = await move(stage, session, start=z(evening()))
    assert (refused.status_code, refused.json()["type"]) == (409, "/api/problems/conflict")
    refused = await stage.call("ben", "POST", f"sessions/{session['id']}/cancel", json={})
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "60")
    await read_again(stage, DueKind.RECONCILIATION)
    assert (await shown(stage, session))["state"] == "scheduled"
    await graph.advance(timedelta(minutes=10))
    moved = await move(stage, session, start=z(evening()))
    assert moved.status_code == 200, moved.text
    cancelled = await stage.call("ben", "POST", f"sessions/{session['id']}/cancel", json={})
    assert (cancelled.status_code, cancelled.json()["state"]) == (200, "cancelled")


async def held(stage: AppUnderTest) -> list[Any]:
    return [(s["start"], s["moving_to"]) for s in await listed(stage)]


async def test_a_date_does_not_come_to_the_day_of_its_neighbour(stage: AppUnderTest) -> None:
    sessions = (await book(stage))["series"]["sessions"]
    await stage.settled()
    before = await held(stage)
    for there in (tuesday(2, hour=19), tuesday(2) + DAY, tuesday(0, hour=22)):
        refused = await move(stage, sessions[1], start=z(there))
        assert (refused.status_code, refused.json()["type"]) == (409, "/api/problems/conflict")
        assert "between" in refused.json()["remedy"]
    assert await held(stage) == before
    await stage.settled()
    assert await held(stage) == before
    # Nothing is held there: another session takes the time.
    assert (await stage.book(start=z(tuesday(2, hour=19))))["state"] == "scheduled"


async def test_dates_do_not_come_to_the_day_of_a_neighbour_either(stage: AppUnderTest) -> None:
    sessions = (await book(stage))["series"]["sessions"]
    await stage.settled()
    before = await held(stage)
    stage.cloud.graph.requests.reset()
    for there in (tuesday(2, hour=20), tuesday(0, hour=22)):
        body = {"start": z(there), "scope": "this_and_following"}
        refused = await move(stage, sessions[1], **body)
        assert refused.status_code == 422, refused.text
        assert refused.json()["errors"][0]["field"] == "body.start"
    assert stage.cloud.graph.requests.count("PATCH") == 0
    assert await held(stage) == before
    whole = await move(stage, sessions[0], start=z(tuesday(1, hour=20)), scope="all")
    assert whole.status_code == 200, whole.text
    assert starts(await listed(stage)) == [tuesday(n, hour=20) for n in (1, 2, 3, 4)]


async def test_a_date_that_is_dragged_to_the_day_of_a_cancelled_one_is_followed(
    stage: AppUnderTest,
) -> None:
    booked_series = await book(stage)
    series, outlook = booked_series["series"], stage.cloud.graph.outlook
    await stage.settled()
    outlook.cancel("ben", series["id"], on=local_date(tuesday(3)))
    outlook.move("ben", series["id"], tuesday(3), on=local_date(tuesday(2)))
    await stage.settled()
    ids = [s["id"] for s in series["sessions"]]
    seen = {s["id"]: s for s in await listed(stage)}
    assert list(seen) == ids[:3]
    assert starts([*seen.values()]) == [tuesday(0), tuesday(1), tuesday(3)]
    for _ in range(2):
        await read_again(stage)
    assert starts(await listed(stage)) == [tuesday(0), tuesday(1), tuesday(3)]
    assert (await shown(stage, series["sessions"][3]))["state"] == "cancelled"
    outlook.accept("ada", series["id"], on=local_date(tuesday(2)))
    await stage.settled()
    assert [s["attendees"][0]["response"] for s in await listed(stage)][2] == "accepted"
    back = await move(stage, series["sessions"][2], start=z(tuesday(2)))
    assert back.status_code == 200, back.text
    await stage.settled()
    again = await move(stage, series["sessions"][2], start=z(tuesday(3)))
    assert again.status_code == 200, again.text
    await stage.settled()
    assert starts(await listed(stage)) == [tuesday(0), tuesday(1), tuesday(3)]


async def test_a_meeting_that_asks_for_no_answers_says_so(stage: AppUnderTest) -> None:
    session, outlook = await booked(stage), stage.cloud.graph.outlook
    assert session["response_requested"] is True
    outlook.patch("ben", session["id"], {"responseRequested": False})
    assert (await shown(stage, session))["response_requested"] is False
    body = {"response": "accepted"}
    answered = await stage.call("ada", "POST", f"sessions/{session['id']}/response", json=body)
    assert (answered.status_code, answered.json()["response_requested"]) == (202, False)
    seen = await shown(stage, session, "ada")
    assert [a["response"] for a in seen["attendees"]] == ["pending"]
    moved = await move(stage, session, start=z(evening()))
    assert moved.json()["response_requested"] is False
    outlook.patch("ben", session["id"], {"responseRequested": True})
    assert (await shown(stage, session))["response_requested"] is True


async def test_a_series_of_which_one_date_asks_for_no_answers_says_so(
    stage: AppUnderTest,
) -> None:
    series = (await book(stage))["series"]
    await stage.settled()
    on = local_date(tuesday(1))
    stage.cloud.graph.outlook.patch("ben", series["id"], {"responseRequested": False}, on=on)
    await stage.settled()
    assert [s["response_requested"] for s in await listed(stage)] == [True, False, True, True]


async def test_a_new_series_that_is_not_found_yet_is_finished_by_a_retry(
    stage: AppUnderTest,
) -> None:
    graph, busy = stage.cloud.graph, tuesday(2)
    graph.outlook.busy("ada", busy, busy + timedelta(minutes=30))
    graph.switches.new_events_hidden_seconds = 600
    body = {
        "start": z(tuesday()),
        "duration_minutes": 30,
        "time_zone": "Europe/Berlin",
        "repeat": {"frequency": "weekly", "count": 4},
        "on_conflict": "skip",
    }

    async def asked() -> Any:
        headers, path = {"idempotency-key": "one-series"}, "pairings/ada-ben/sessions"
        return await stage.call("ben", "POST", path, json=body, headers=headers)

    assert (await asked()).status_code == 503
    await graph.advance(timedelta(minutes=10))
    reply = await asked()
    assert reply.status_code == 201, reply.text
    booked_dates = [tuesday(n) for n in (0, 1, 3)]
    assert starts(reply.json()["series"]["sessions"]) == booked_dates
    await stage.settled()
    assert starts(await listed(stage)) == booked_dates
    event = graph.outlook.find("ben", reply.json()["series"]["id"])
    assert event.dates() == [local_date(at) for at in booked_dates]
