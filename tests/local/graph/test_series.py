"""Series: patterns, occurrences, exceptions, answers to one date or to all."""

from datetime import date, timedelta
from itertools import islice
from typing import Any

import pytest

from local.graph.errors import GraphError
from local.graph.series import parse_recurrence
from tests.local.graph.conftest import Graph, Webhook, a_meeting
from tests.local.graph.test_events import copy_of
from tests.local.graph.test_schedules import at
from tests.local.graph.test_subscriptions import subscribe


def pattern(kind: str, start: str = "2026-03-03", **more: Any) -> dict[str, Any]:
    span = {"type": "numbered", "numberOfOccurrences": 4} | more.pop("range", {})
    return {
        "pattern": {"type": kind, "interval": 1} | more,
        "range": {"startDate": start} | span,
    }


WEEKLY = pattern("weekly", daysOfWeek=["tuesday"])
DAY = [date(2026, 3, 3), date(2026, 3, 10), date(2026, 3, 17), date(2026, 3, 24)]
ALL = "startDateTime=2026-03-01&endDateTime=2026-06-01"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (pattern("daily", interval=3), ["03-03", "03-06", "03-09", "03-12"]),
        (WEEKLY, ["03-03", "03-10", "03-17", "03-24"]),
        (
            pattern("weekly", interval=2, daysOfWeek=["Tuesday", "thursday"]),
            ["03-03", "03-05", "03-17", "03-19"],
        ),
        (pattern("absoluteMonthly", dayOfMonth=3), ["03-03", "04-03", "05-03", "06-03"]),
        (
            pattern("absoluteMonthly", "2026-01-31", dayOfMonth=31),
            ["01-31", "02-28", "03-31", "04-30"],
        ),
        (
            pattern("relativeMonthly", daysOfWeek=["tuesday"], index="first"),
            ["03-03", "04-07", "05-05", "06-02"],
        ),
        (
            pattern("relativeMonthly", "2026-03-31", daysOfWeek=["tuesday"], index="last"),
            ["03-31", "04-28", "05-26", "06-30"],
        ),
        (
            pattern("weekly", daysOfWeek=["tuesday"], range={"type": "endDate"})
            | {"range": {"type": "endDate", "startDate": "2026-03-03", "endDate": "2026-03-17"}},
            ["03-03", "03-10", "03-17"],
        ),
    ],
)
def test_patterns_give_their_dates(body: Any, expected: list[str]) -> None:
    starts_on = date.fromisoformat(body["range"]["startDate"])
    dates = parse_recurrence(body, starts_on, "UTC").dates()
    assert [f"{day:%m-%d}" for day in islice(dates, 10)] == expected


@pytest.mark.parametrize(
    "body",
    [
        pattern("weekly"),
        pattern("hourly"),
        pattern("absoluteMonthly"),
        pattern("daily", interval=0),
        pattern("daily", start="2026-03-04"),
        pattern("daily", range={"numberOfOccurrences": 0}),
        pattern("daily", range={"type": "endDate", "endDate": "soon"}),
        {"pattern": {}},
    ],
)
def test_incomplete_patterns_are_400(body: Any) -> None:
    with pytest.raises(GraphError) as refused:
        parse_recurrence(body, date(2026, 3, 3), "UTC")
    assert refused.value.status == 400


async def a_series(graph: Graph, *invited: str) -> Any:
    return await graph.book("ada", *(invited or ("bob",)), recurrence=WEEKLY)


async def instances(graph: Graph, master: Any, who: str = "ada") -> list[Any]:
    path = f"/me/events/{master['id']}/instances?{ALL}&$top=50"
    found: list[Any] = (await graph.call("GET", path, who=who, expect=200))["value"]
    return found


async def test_a_master_is_listed_and_its_instances_are_viewed(graph: Graph) -> None:
    master = await a_series(graph)
    assert master["type"] == "seriesMaster"
    assert master["recurrence"]["range"]["recurrenceTimeZone"] == "W. Europe Standard Time"
    listed = await graph.call("GET", "/me/events", expect=200)
    assert [one["type"] for one in listed["value"]] == ["seriesMaster"]
    viewed = (await graph.call("GET", f"/me/calendarView?{ALL}&$top=50", expect=200))["value"]
    assert [one["type"] for one in viewed] == ["occurrence"] * 4
    assert len({one["id"] for one in viewed}) == 4
    assert len({one["iCalUId"] for one in viewed}) == 4
    assert {one["seriesMasterId"] for one in viewed} == {master["id"]}
    shown = await graph.get("ada", viewed[2]["id"])
    assert shown["start"] == viewed[2]["start"]


async def test_the_hour_stays_across_the_change_of_clocks(graph: Graph) -> None:
    recurrence = pattern("weekly", daysOfWeek=["tuesday"], range={"numberOfOccurrences": 6})
    master = await graph.book("ada", "bob", recurrence=recurrence)
    starts = [one["start"]["dateTime"][11:16] for one in await instances(graph, master)]
    assert starts == ["09:00"] * 4 + ["08:00"] * 2  # Berlin: 29 March


async def test_attendees_have_the_series_and_both_copies_share_uids(graph: Graph) -> None:
    master = await a_series(graph)
    await graph.simulator.settle()
    copy = await copy_of(graph, "bob", master)
    assert copy["type"] == "seriesMaster"
    theirs = await instances(graph, copy, "bob")
    assert [one["iCalUId"] for one in theirs] == [
        one["iCalUId"] for one in await instances(graph, master)
    ]


async def test_moving_one_occurrence_makes_an_exception_in_both(graph: Graph) -> None:
    master = await a_series(graph)
    await graph.simulator.settle()
    second = (await instances(graph, master))[1]
    times = {
        "start": {"dateTime": "2026-03-11T12:00:00", "timeZone": "UTC"},
        "end": {"dateTime": "2026-03-11T13:00:00", "timeZone": "UTC"},
    }
    moved = await graph.call("PATCH", f"/me/events/{second['id']}", times, expect=200)
    assert moved["type"] == "exception"
    assert moved["originalStart"] == "2026-03-10T09:00:00Z"
    await graph.simulator.settle()
    theirs = await instances(graph, await copy_of(graph, "bob", master), "bob")
    assert theirs[1]["start"]["dateTime"] == "2026-03-11T12:00:00.0000000"
    assert theirs[1]["type"] == "exception"
    assert theirs[0]["type"] == "occurrence"
    shown = await graph.get("ada", master["id"], "?$expand=exceptionOccurrences")
    assert [one["id"] for one in shown["exceptionOccurrences"]] == [second["id"]]


@pytest.mark.parametrize(
    ("start", "end", "status"),
    [
        ("2026-03-18T12:00", "2026-03-18T13:00", 400),  # beyond the next date
        ("2026-03-17T05:00", "2026-03-17T06:00", 400),  # on its day, before it
        ("2026-03-16T23:10", "2026-03-16T23:40", 400),  # on its day in Berlin
        ("2026-03-16T22:10", "2026-03-16T22:40", 200),
        ("2026-03-16T22:30", "2026-03-17T10:00", 400),  # into it
        ("2026-03-03T20:00", "2026-03-03T21:00", 400),  # on the day of the one before
        ("2026-03-03T23:10", "2026-03-03T23:40", 200),  # a day later in Berlin
    ],
)
async def test_an_occurrence_cannot_come_to_the_day_of_its_neighbour(
    graph: Graph, start: str, end: str, status: int
) -> None:
    master = await a_series(graph)
    second = (await instances(graph, master))[1]
    times = {
        "start": {"dateTime": f"{start}:00", "timeZone": "UTC"},
        "end": {"dateTime": f"{end}:00", "timeZone": "UTC"},
    }
    answered, body, _ = await graph.call("PATCH", f"/me/events/{second['id']}", times)
    assert answered == status
    if status == 400:
        assert body["error"]["code"] == "ErrorOccurrenceCrossingBoundary"
        assert (await graph.get("ada", second["id"]))["type"] == "occurrence"


async def test_an_occurrence_may_come_to_the_day_of_a_cancelled_one(graph: Graph) -> None:
    master = await a_series(graph)
    outlook, uid = graph.simulator.outlook, master["iCalUId"]
    outlook.cancel("ada", uid, on=DAY[2])
    outlook.move("ada", uid, outlook.find("ada", uid).start_at + timedelta(weeks=2), on=DAY[1])
    moved = (await instances(graph, master))[1]
    assert moved["start"]["dateTime"] == "2026-03-17T09:00:00.0000000"
    assert moved["originalStart"] == "2026-03-10T09:00:00Z"


async def test_only_a_series_has_instances(graph: Graph) -> None:
    master = await a_series(graph)
    for event in (await graph.book(), (await instances(graph, master))[1]):
        status, _, _ = await graph.call("GET", f"/me/events/{event['id']}/instances?{ALL}")
        assert status == 400


async def test_cancelling_one_occurrence(graph: Graph) -> None:
    master = await a_series(graph)
    await graph.simulator.settle()
    second = (await instances(graph, master))[1]
    await graph.call("POST", f"/me/events/{second['id']}/cancel", {}, expect=202)
    await graph.simulator.settle()
    assert len(await instances(graph, master)) == 3
    shown = await graph.get("ada", master["id"], "?$select=cancelledOccurrences")
    assert shown["cancelledOccurrences"] == [f"OID.{master['id']}.2026-03-10"]
    theirs = await instances(graph, await copy_of(graph, "bob", master), "bob")
    assert [one["isCancelled"] for one in theirs] == [False, True, False, False]
    status, _, _ = await graph.call("GET", f"/me/events/{second['id']}")
    assert status == 404


async def answers(graph: Graph, master: Any) -> list[str]:
    return [one["attendees"][0]["status"]["response"] for one in await instances(graph, master)]


async def test_one_occurrence_is_answered_by_itself(graph: Graph) -> None:
    master = await a_series(graph)
    await graph.simulator.settle()
    graph.simulator.outlook.accept("bob", master["iCalUId"], on=DAY[1])
    graph.simulator.outlook.decline("bob", master["iCalUId"], on=DAY[2])
    await graph.simulator.settle()
    assert await answers(graph, master) == ["none", "accepted", "declined", "none"]
    theirs = await instances(graph, await copy_of(graph, "bob", master), "bob")
    assert len(theirs) == 3
    assert theirs[1]["responseStatus"]["response"] == "accepted"
    types = [one["type"] for one in await instances(graph, master)]
    assert types == ["occurrence", "exception", "exception", "occurrence"]
    graph.simulator.switches.occurrence_answers_are_exceptions = False
    assert {one["type"] for one in await instances(graph, master)} == {"occurrence"}


async def test_the_series_is_answered_as_a_whole(graph: Graph) -> None:
    master = await a_series(graph)
    await graph.simulator.settle()
    graph.simulator.outlook.decline("bob", master["iCalUId"], on=DAY[1])
    await graph.simulator.settle()
    graph.simulator.outlook.accept("bob", master["iCalUId"])
    await graph.simulator.settle()
    assert await answers(graph, master) == ["accepted", "declined", "accepted", "accepted"]


async def test_rescheduling_the_series_starts_from_silence(graph: Graph) -> None:
    master = await a_series(graph)
    await graph.simulator.settle()
    graph.simulator.outlook.accept("bob", master["iCalUId"])
    graph.simulator.outlook.decline("bob", master["iCalUId"], on=DAY[1])
    await graph.simulator.settle()
    times = {
        "start": {"dateTime": "2026-03-03T14:00:00", "timeZone": "W. Europe Standard Time"},
        "end": {"dateTime": "2026-03-03T15:00:00", "timeZone": "W. Europe Standard Time"},
    }
    await graph.call("PATCH", f"/me/events/{master['id']}", times, expect=200)
    await graph.simulator.settle()
    assert await answers(graph, master) == ["notResponded"] * 4
    theirs = await instances(graph, await copy_of(graph, "bob", master), "bob")
    assert len(theirs) == 4
    assert theirs[1]["start"]["dateTime"] == "2026-03-10T13:00:00.0000000"


async def test_an_attendee_of_one_date_gets_a_single_event(graph: Graph) -> None:
    master = await a_series(graph)
    await graph.simulator.settle()
    graph.simulator.outlook.forward("ada", master["iCalUId"], "cleo@contoso.test", on=DAY[1])
    await graph.simulator.settle()
    second = (await instances(graph, master))[1]
    assert len(second["attendees"]) == 2
    copy = await copy_of(graph, "cleo", second)
    assert copy["type"] == "singleInstance"
    graph.simulator.outlook.accept("cleo", second["iCalUId"])
    await graph.simulator.settle()
    second = (await instances(graph, master))[1]
    assert [a["status"]["response"] for a in second["attendees"]] == ["none", "accepted"]


async def test_a_declined_date_comes_back_when_it_is_moved(graph: Graph) -> None:
    master = await a_series(graph)
    await graph.simulator.settle()
    graph.simulator.outlook.decline("bob", master["iCalUId"], on=DAY[1])
    await graph.simulator.settle()
    graph.simulator.outlook.move("ada", master["iCalUId"], at(15, day=10), on=DAY[1])
    await graph.simulator.settle()
    theirs = await instances(graph, await copy_of(graph, "bob", master), "bob")
    assert theirs[1]["start"]["dateTime"] == "2026-03-10T15:00:00.0000000"
    assert theirs[1]["responseStatus"]["response"] == "notResponded"
    assert await answers(graph, master) == ["none", "notResponded", "none", "none"]


async def test_busy_times_follow_the_series(graph: Graph) -> None:
    await a_series(graph)
    ask = {
        "schedules": ["ada@contoso.test"],
        "startTime": {"dateTime": "2026-03-10T00:00:00", "timeZone": "UTC"},
        "endTime": {"dateTime": "2026-03-11T00:00:00", "timeZone": "UTC"},
        "availabilityViewInterval": 60,
    }
    answer = await graph.call("POST", "/me/calendar/getSchedule", ask, expect=200)
    assert answer["value"][0]["availabilityView"] == "0" * 9 + "2" + "0" * 14


@pytest.mark.parametrize(
    ("names", "expected"),
    [("occurrence", 1), ("master", 1), ("both", 2)],
)
async def test_notification_names_master_or_occurrence(
    graph: Graph, webhook: Webhook, names: str, expected: int
) -> None:
    graph.simulator.switches.set("series_notifications", names)
    master = await a_series(graph)
    await graph.simulator.settle()
    await subscribe(graph, webhook)
    graph.simulator.outlook.accept("bob", master["iCalUId"], on=DAY[1])
    await graph.simulator.settle()
    named = [identifier for _, identifier in webhook.changes()]
    assert len(named) == expected
    assert (master["id"] in named) == (names != "occurrence")


async def test_deleting_the_series_ends_it_everywhere(graph: Graph) -> None:
    master = await a_series(graph)
    await graph.simulator.settle()
    second = (await instances(graph, master))[1]
    times = {
        "start": {"dateTime": "2026-03-11T12:00:00", "timeZone": "UTC"},
        "end": {"dateTime": "2026-03-11T13:00:00", "timeZone": "UTC"},
    }
    await graph.call("PATCH", f"/me/events/{second['id']}", times, expect=200)
    await graph.simulator.settle()
    await graph.call("DELETE", f"/me/events/{master['id']}", expect=204)
    await graph.simulator.settle()
    viewed = await graph.call("GET", f"/me/calendarView?{ALL}", who="bob", expect=200)
    assert {one["isCancelled"] for one in viewed["value"]} == {True}
    await graph.simulator.advance(timedelta(days=1))
    assert not (await graph.call("GET", f"/me/calendarView?{ALL}", expect=200))["value"]


async def test_a_single_event_has_no_instances(graph: Graph) -> None:
    event = await graph.call("POST", "/me/events", a_meeting(), expect=201)
    status, _, _ = await graph.call("GET", f"/me/events/{event['id']}/instances?{ALL}")
    assert status == 400
