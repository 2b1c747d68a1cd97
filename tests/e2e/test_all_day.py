"""All-day events: an organizer ticks "All day" in Outlook, and takes it back."""

import os
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tests.e2e.conftest import AppUnderTest
from tests.e2e.test_following import booked, evening, shown, z
from tests.e2e.test_series import BERLIN, book, listed, local_date
from tests.e2e.test_series import evening as tuesday
from tests.today import today

DAY = timedelta(days=1)


def day(days: int = 4) -> date:
    """Return a date in Berlin, some days from now."""
    return (today(12, BERLIN) + timedelta(days=days)).date()


def midnight(at: date, zone: str = "Europe/Berlin") -> datetime:
    return datetime(at.year, at.month, at.day, tzinfo=ZoneInfo(zone)).astimezone(UTC)


def when(session: Any) -> tuple[Any, ...]:
    return session["all_day"], session["dates"], session["start"], session["end"]


def all_of(first: date, last: date | None = None, zone: str = "Europe/Berlin") -> tuple[Any, ...]:
    """Return what a session on whole days shows."""
    last = last or first
    dates = {"first_on": first.isoformat(), "last_on": last.isoformat()}
    return True, dates, z(midnight(first, zone)), z(midnight(last + DAY, zone))


def timed(start: datetime, minutes: int = 30) -> tuple[Any, ...]:
    return False, None, z(start), z(start + timedelta(minutes=minutes))


async def test_an_all_day_session_is_the_day_of_its_organizer(stage: AppUnderTest) -> None:
    session, outlook = await booked(stage), stage.cloud.graph.outlook
    assert when(session)[:2] == (False, None)
    outlook.accept("ada", session["id"])
    assert (await shown(stage, session))["attendees"][0]["response"] == "accepted"
    outlook.all_day("ben", session["id"], day())
    seen = await shown(stage, session)
    assert when(seen) == all_of(day())
    assert seen["attendees"][0]["response"] == "pending"
    in_list = (await stage.call("ada", "GET", "sessions")).json()["items"]
    assert [when(each) for each in in_list if each["id"] == session["id"]] == [all_of(day())]
    outlook.all_day("ben", session["id"], day(), day(5))
    assert when(await shown(stage, session)) == all_of(day(), day(5))
    outlook.timed("ben", session["id"])
    seen = await shown(stage, session)
    assert when(seen) == timed(midnight(day()) + timedelta(hours=8))


@pytest.mark.parametrize("names", ["own", "custom", "utc of occurrences"])
async def test_the_organizers_zone_is_known_without_its_name(
    stage: AppUnderTest, names: str
) -> None:
    session = await booked(stage)
    switches = stage.cloud.graph.switches
    switches.set("original_zone_names", names)
    try:
        stage.cloud.graph.outlook.all_day("ben", session["id"], day())
        assert when(await shown(stage, session)) == all_of(day())
    finally:
        switches.set("original_zone_names", "own")


async def test_an_organizer_elsewhere_has_another_day(stage: AppUnderTest) -> None:
    session = await booked(stage)
    ben = stage.cloud.world.person("ben")
    at_home, ben.zone = ben.zone, "Tokyo Standard Time"
    try:
        stage.cloud.graph.outlook.all_day("ben", session["id"], day())
    finally:
        ben.zone = at_home
    assert when(await shown(stage, session)) == all_of(day(), zone="Asia/Tokyo")


async def test_moving_an_all_day_session_makes_it_timed(stage: AppUnderTest) -> None:
    session = await booked(stage)
    stage.cloud.graph.outlook.all_day("ben", session["id"], day())
    await shown(stage, session)
    path = f"sessions/{session['id']}"
    body: dict[str, Any] = {"start": z(evening(5))}
    refused = await stage.call("ben", "PATCH", path, json=body, headers={"if-match": "*"})
    assert refused.status_code == 422, refused.text  # the hours it had are lost
    assert refused.json()["errors"][0]["field"] == "body.duration_minutes"
    body |= {"duration_minutes": 30}
    moved = await stage.call("ben", "PATCH", path, json=body, headers={"if-match": "*"})
    assert moved.status_code == 200, moved.text
    assert when(moved.json()) == timed(evening(5))
    assert when(await shown(stage, session)) == timed(evening(5))
    event = stage.cloud.graph.outlook.find("ben", session["id"])
    assert not event.details.is_all_day
    again = await stage.call("ben", "PATCH", path, json=body, headers={"if-match": "*"})
    assert again.status_code == 200, again.text


async def test_moving_within_the_day_sees_what_else_is_on_it(stage: AppUnderTest) -> None:
    session, outlook = await booked(stage), stage.cloud.graph.outlook
    outlook.all_day("ben", session["id"], day())
    start = midnight(day()) + timedelta(hours=20)
    outlook.busy("ada", start, start + timedelta(minutes=30))
    await shown(stage, session)
    path = f"sessions/{session['id']}"
    body = {"start": z(start), "duration_minutes": 30}
    refused = await stage.call("ben", "PATCH", path, json=body, headers={"if-match": "*"})
    assert refused.status_code == 409, refused.text
    body["start"] = z(start + timedelta(hours=1))
    moved = await stage.call("ben", "PATCH", path, json=body, headers={"if-match": "*"})
    assert moved.status_code == 200, moved.text
    assert when(moved.json()) == timed(start + timedelta(hours=1))


async def test_a_date_of_a_series_is_made_all_day(stage: AppUnderTest) -> None:
    series = (await book(stage))["series"]["id"]
    await stage.settled()
    on = local_date(tuesday(1))
    stage.cloud.graph.outlook.all_day("ben", series, on=on)
    await stage.settled()
    hours = [timed(tuesday(n)) for n in range(4)]
    assert [when(s) for s in await listed(stage)] == [hours[0], all_of(on), *hours[2:]]
    answered = (await listed(stage))[1]
    reply = await stage.call(
        "ada", "POST", f"sessions/{answered['id']}/response", json={"response": "accepted"}
    )
    assert reply.status_code == 202, reply.text
    await stage.settled()
    assert (await listed(stage))[1]["attendees"][0]["response"] == "accepted"
    stage.cloud.graph.outlook.move("ben", series, tuesday(1, hour=20), on=on)
    await stage.settled()
    assert when((await listed(stage))[1]) == timed(tuesday(1, hour=20))


@pytest.mark.parametrize("names", ["own", "utc of occurrences"])
async def test_a_series_is_made_all_day_and_moved(stage: AppUnderTest, names: str) -> None:
    made = await book(stage)
    await stage.settled()
    outlook, series = stage.cloud.graph.outlook, made["series"]["id"]
    switches = stage.cloud.graph.switches
    switches.set("original_zone_names", names)
    try:
        outlook.all_day("ben", series)
        await stage.settled()
        days = [all_of(local_date(tuesday(n))) for n in range(4)]
        assert [when(s) for s in await listed(stage)] == days
        outlook.move("ben", series, tuesday(0, hour=20))
        await stage.settled()
        hours = [timed(tuesday(n, hour=20)) for n in range(4)]
        assert [when(s) for s in await listed(stage)] == hours
        outlook.all_day("ben", series)
        await stage.settled()
        assert [when(s) for s in await listed(stage)] == days
        for scope, expected in (
            ("one", [timed(tuesday(0, hour=19)), *days[1:]]),
            ("all", [timed(tuesday(n, hour=18)) for n in range(4)]),
        ):
            body = {"start": expected[0][2], "duration_minutes": 30, "scope": scope}
            path = f"sessions/{made['id']}"
            moved = await stage.call("ben", "PATCH", path, json=body, headers={"if-match": "*"})
            assert moved.status_code == 200, moved.text
            await stage.settled()
            assert [when(s) for s in await listed(stage)] == expected
    finally:
        switches.set("original_zone_names", "own")


@pytest.mark.parametrize("as_dates", [False, True], ids=["instants", "dates"])
@pytest.mark.parametrize("hour", [0, 23])
async def test_an_all_day_absence_is_busy_from_midnight_to_midnight(
    stage: AppUnderTest, hour: int, *, as_dates: bool
) -> None:
    zone = "W. Europe Standard Time"
    absence: dict[str, Any] = {"subject": "Away", "showAs": "oof", "isAllDay": True}
    for name, at in (("start", day()), ("end", day(5))):
        absence[name] = {"dateTime": f"{at}T00:00:00", "timeZone": zone}
    away = stage.cloud.graph.outlook.invite("ada", absence)
    switches = stage.cloud.graph.switches
    switches.set("schedule_all_day_as_dates", as_dates)
    try:
        start = midnight(day()) + timedelta(hours=hour)
        refused = await stage.call(
            "ben",
            "POST",
            "pairings/ada-ben/sessions",
            json={"start": z(start), "duration_minutes": 30, "time_zone": "Europe/Berlin"},
            headers={"idempotency-key": os.urandom(8).hex()},
        )
        assert refused.status_code == 409, refused.text
        assert refused.json()["type"] == "/api/problems/slot-taken"
    finally:
        switches.set("schedule_all_day_as_dates", value=False)
        stage.cloud.graph.backend.exchange.delete(away)
