"""All-day events: dates in events, instants in free/busy, ticked and unticked by people."""

from typing import Any

import pytest

from tests.local.graph.conftest import Graph, a_meeting
from tests.local.graph.test_control import act, session
from tests.local.graph.test_events import copy_of, response_of
from tests.local.graph.test_schedules import BOB, ask, one
from tests.local.graph.test_series import a_series, instances

DAY = ("2026-03-03T00:00:00.0000000", "2026-03-04T00:00:00.0000000")
WINDOW = "startDateTime=2026-03-01T00:00:00Z&endDateTime=2026-03-31T00:00:00Z"


def midnight(day: int, zone: str = "W. Europe Standard Time") -> dict[str, str]:
    return {"dateTime": f"2026-03-{day:02}T00:00:00", "timeZone": zone}


def all_day(*invited: str, **more: Any) -> Any:
    times = {"isAllDay": True, "start": midnight(3), "end": midnight(4)}
    return a_meeting(*invited, **times, **more)


def times_of(event: Any) -> tuple[str, str]:
    return event["start"]["dateTime"], event["end"]["dateTime"]


@pytest.mark.parametrize("zone", [None, "Tokyo Standard Time", "Pacific Standard Time"])
@pytest.mark.parametrize("path", ["/me/events?", f"/me/calendarView?{WINDOW}"])
async def test_an_all_day_event_is_the_same_dates_in_every_zone(
    graph: Graph, path: str, zone: str | None
) -> None:
    await graph.call("POST", "/me/events", all_day(), expect=201)
    prefer = {"Prefer": f'outlook.timezone="{zone}"'} if zone else {}
    (event,) = (await graph.call("GET", path, headers=prefer, expect=200))["value"]
    assert (event["isAllDay"], times_of(event)) == (True, DAY)
    assert event["start"]["timeZone"] == (zone or "UTC")
    assert event["originalStartTimeZone"] == "W. Europe Standard Time"


async def test_the_copy_of_an_attendee_elsewhere_has_the_same_dates(graph: Graph) -> None:
    event = await graph.call("POST", "/me/events", all_day("cleo"), expect=201)
    await graph.simulator.settle()
    copy = await copy_of(graph, "cleo", event)
    assert (copy["isAllDay"], times_of(copy)) == (True, DAY)


async def test_free_busy_has_the_instants_of_an_all_day_event(graph: Graph) -> None:
    await graph.call("POST", "/me/events", all_day(), who="bob", expect=201)
    body = ask(BOB, start="2026-03-02T22:00:00", hours=27)
    answer = await one(graph, body)
    assert answer["availabilityView"] == "0" + "2" * 24 + "00"
    (item,) = answer["scheduleItems"]
    assert item["start"]["dateTime"] == "2026-03-02T23:00:00.0000000"
    graph.simulator.switches.set("schedule_all_day_as_dates", value=True)
    answer = await one(graph, body)
    assert answer["availabilityView"] == "00" + "2" * 24 + "0"
    assert times_of(answer["scheduleItems"][0]) == DAY


async def test_a_person_ticks_and_unticks_all_day(graph: Graph) -> None:
    event = await session(graph)
    await act(graph, "bob", "accept")
    await act(graph, "ada", "all-day")
    shown = await graph.get("ada", event["id"])
    assert (shown["isAllDay"], times_of(shown)) == (True, DAY)
    assert await response_of(graph, event) == {"bob@contoso.test": "notResponded"}
    assert (await copy_of(graph, "bob", event))["isAllDay"]
    await act(graph, "bob", "accept")
    await act(graph, "ada", "timed")
    shown = await graph.get("ada", event["id"])
    hours = ("2026-03-03T07:00:00.0000000", "2026-03-03T07:30:00.0000000")
    assert (shown["isAllDay"], times_of(shown)) == (False, hours)  # eight in Berlin
    assert await response_of(graph, event) == {"bob@contoso.test": "notResponded"}


async def test_an_all_day_event_has_several_days(graph: Graph) -> None:
    event = await session(graph)
    await act(graph, "ada", "all-day", first="2026-03-05", last="2026-03-06")
    ends = ("2026-03-05T00:00:00.0000000", "2026-03-07T00:00:00.0000000")
    assert times_of(await graph.get("ada", event["id"])) == ends


async def test_hours_alone_do_not_make_an_event_timed(graph: Graph) -> None:
    event = await graph.call("POST", "/me/events", all_day(), expect=201)
    path, hours = (
        f"/me/events/{event['id']}",
        {name: a_meeting()[name] for name in ("start", "end")},
    )
    await graph.call("PATCH", path, hours, expect=400)
    days = {"start": midnight(5), "end": midnight(6)}
    moved = await graph.call("PATCH", path, days, expect=200)
    assert moved["isAllDay"]
    timed = await graph.call("PATCH", path, hours | {"isAllDay": False}, expect=200)
    assert not timed["isAllDay"]


async def test_one_date_of_a_series_is_made_all_day(graph: Graph) -> None:
    master = await a_series(graph)
    uid = master["iCalUId"]
    await act(graph, "ada", "all-day", session=uid, on="2026-03-10")
    first, second, *_ = await instances(graph, master)
    assert (first["isAllDay"], second["isAllDay"]) == (False, True)
    assert second["start"]["dateTime"] == "2026-03-10T00:00:00.0000000"
    assert second["originalStart"] == "2026-03-10T09:00:00Z"


async def test_a_whole_series_is_made_all_day(graph: Graph) -> None:
    master = await a_series(graph)
    await act(graph, "ada", "all-day", session=master["iCalUId"])
    dates = await instances(graph, master)
    assert {one["isAllDay"] for one in dates} == {True}
    # The instant that `start` does not tell.
    assert dates[0]["originalStart"] == "2026-03-02T23:00:00Z"
    assert dates[0]["start"]["dateTime"] == "2026-03-03T00:00:00.0000000"


@pytest.mark.parametrize(
    ("names", "single", "occurrence"),
    [
        ("own", "W. Europe Standard Time", "W. Europe Standard Time"),
        ("utc of occurrences", "W. Europe Standard Time", "UTC"),
        ("custom", "tzone://Microsoft/Custom", "tzone://Microsoft/Custom"),
    ],
)
async def test_the_original_zone_has_odd_names(
    graph: Graph, names: str, single: str, occurrence: str
) -> None:
    graph.simulator.switches.set("original_zone_names", names)
    event, master = await graph.book("ada"), await a_series(graph)
    assert event["originalStartTimeZone"] == single
    assert (await instances(graph, master))[0]["originalStartTimeZone"] == occurrence
