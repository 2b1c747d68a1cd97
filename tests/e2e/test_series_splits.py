"""Series that a person splits in Outlook, or makes into one meeting: the sessions stay the same."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest

from local.graph.mailbox import Event
from local.graph.outlook import Outlook
from local.graph.times import Moment
from shared.ids import Mailbox, ObjectId, OrganizationId, SessionId, TenantId
from shared.jobs import Job, JobKind
from tests.e2e.conftest import AppUnderTest, wiring_of
from tests.e2e.test_following import backdate_missing
from tests.e2e.test_series import answer, book, evening, listed, local_date, starts

HOUR = timedelta(hours=1)
CONTOSO = "organizations/contoso"


async def a_series(stage: AppUnderTest) -> Any:
    """Return a series of four Tuesdays whose mail and notifications have all arrived."""
    booked = await book(stage)
    await stage.settled()
    return booked["series"]


async def scheduled(stage: AppUnderTest, series: Any) -> dict[str, Any]:
    """Return the scheduled sessions by id, after the second look at what *series* misses."""
    await look_again(stage, series, JobKind.FOLLOW_SERIES, [series["id"]])
    return {session["id"]: session for session in await listed(stage)}


async def look_again(stage: AppUnderTest, series: Any, kind: JobKind, keys: Sequence[str]) -> None:
    """Run a job as if a minute had passed since the first look for what *series* misses."""
    await stage.settled()
    async with wiring_of(stage.cloud) as adapters:
        await backdate_missing(adapters, series["sessions"])
        ben = stage.cloud.world.person("ben")
        organizers = tuple(Mailbox(TenantId(ben.tenant_id), ObjectId(ben.object_id)) for _ in keys)
        job = Job(kind, OrganizationId("contoso"), organizers, tuple(map(SessionId, keys)))
        await adapters.jobs.put(job)
    await stage.settled()


def ids(series: Any) -> list[str]:
    return [session["id"] for session in series["sessions"]]


@pytest.mark.parametrize("copies", [True, False], ids=["with property", "without property"])
async def test_dates_that_go_on_as_another_series_stay_sessions(
    stage: AppUnderTest, *, copies: bool
) -> None:
    stage.cloud.graph.switches.split_copies_properties = copies
    series = await a_series(stage)
    stage.cloud.graph.outlook.split(
        "ben", series["id"], local_date(evening(2)), evening(2, hour=20)
    )
    found = await scheduled(stage, series)
    assert list(found) == ids(series)
    assert starts([*found.values()]) == [
        evening(0),
        evening(1),
        evening(2, hour=20),
        evening(3, hour=20),
    ]


async def test_what_happens_to_the_new_series_is_followed(stage: AppUnderTest) -> None:
    series = await a_series(stage)
    outlook = stage.cloud.graph.outlook
    new = outlook.split("ben", series["id"], local_date(evening(2)), evening(2, hour=20))
    await stage.settled()
    outlook.accept("ada", new.ical_uid, on=local_date(evening(2)))
    outlook.move("ben", new.ical_uid, evening(3, hour=19), on=local_date(evening(3)))
    found = [*(await scheduled(stage, series)).values()]
    answers = [session["attendees"][0]["response"] for session in found]
    assert answers == ["pending", "pending", "accepted", "pending"]
    assert starts(found)[3] == evening(3, hour=19)
    outlook.cancel("ben", new.ical_uid)
    assert list(await scheduled(stage, series)) == ids(series)[:2]


def standing(stage: AppUnderTest) -> set[str]:
    """Return the ids of what is not cancelled in the calendars of Ben and Ada."""
    outlook, until = stage.cloud.graph.outlook, evening(3) + HOUR
    calendars = [outlook.events(who, evening(0) - 5 * HOUR, until) for who in ("ben", "ada")]
    return {e.id(immutable=True) for each in calendars for e in each if not e.is_cancelled}


async def test_a_split_series_is_answered_moved_and_cancelled_as_one(stage: AppUnderTest) -> None:
    before = standing(stage)
    series = await a_series(stage)
    stage.cloud.graph.outlook.split(
        "ben", series["id"], local_date(evening(2)), evening(2, hour=20)
    )
    await scheduled(stage, series)
    await answer(stage, series["sessions"][0], response="accepted", scope="all")
    found = await scheduled(stage, series)
    assert [s["attendees"][0]["response"] for s in found.values()] == ["accepted"] * 4
    moved = await stage.call(
        "ben",
        "PATCH",
        f"sessions/{ids(series)[0]}",
        json={"start": evening(0, hour=19).isoformat(), "scope": "all"},
        headers={"if-match": "*"},
    )
    assert moved.status_code == 200, moved.text
    assert starts([*(await scheduled(stage, series)).values()])[0] == evening(0, hour=19)
    cancelled = await stage.call(
        "ben", "POST", f"sessions/{ids(series)[0]}/cancel", json={"scope": "all"}
    )
    assert cancelled.status_code == 200, cancelled.text
    assert await scheduled(stage, series) == {}
    assert standing(stage) == before


@pytest.mark.parametrize("act", ["cancel", "move", "answer"])
async def test_a_change_of_a_series_that_was_split_unheard_is_refused_and_then_done(
    stage: AppUnderTest, act: str
) -> None:
    series, switches = await a_series(stage), stage.cloud.graph.switches
    switches.set("drop_share", 1.0)
    switches.set("tell_missed", value=False)
    stage.cloud.graph.outlook.split(
        "ben", series["id"], local_date(evening(2)), evening(2, hour=20)
    )
    await stage.settled()
    switches.set("drop_share", 0.0)
    refused = await change_all(stage, series, act)
    assert (refused.status_code, refused.json()["type"]) == (
        503,
        "/api/problems/calendar-unavailable",
    )
    await stage.settled()
    done = await change_all(stage, series, act)
    assert done.status_code in {200, 202}, done.text
    found = await scheduled(stage, series)
    assert len(found) == (0 if act == "cancel" else 4)
    if act == "move":
        assert starts([*found.values()]) == [evening(n, hour=19) for n in range(4)]
    if act == "answer":
        assert [s["attendees"][0]["response"] for s in found.values()] == ["accepted"] * 4


async def change_all(stage: AppUnderTest, series: Any, act: str) -> Any:
    """Cancel, move or answer all dates of *series* through the API."""
    path, scope = f"sessions/{ids(series)[0]}", {"scope": "all"}
    if act == "cancel":
        return await stage.call("ben", "POST", f"{path}/cancel", json=scope)
    if act == "answer":
        body = scope | {"response": "accepted"}
        return await stage.call("ada", "POST", f"{path}/response", json=body)
    body = scope | {"start": evening(0, hour=19).isoformat()}
    return await stage.call("ben", "PATCH", path, json=body, headers={"if-match": "*"})


async def test_a_series_is_split_twice(stage: AppUnderTest) -> None:
    series = await a_series(stage)
    outlook = stage.cloud.graph.outlook
    new = outlook.split("ben", series["id"], local_date(evening(1)), evening(1, hour=20))
    await stage.settled()
    outlook.split("ben", new.ical_uid, local_date(evening(2)), evening(2, hour=19))
    found = await scheduled(stage, series)
    assert list(found) == ids(series)
    assert starts([*found.values()]) == [
        evening(0),
        evening(1, hour=20),
        evening(2, hour=19),
        evening(3, hour=19),
    ]


@pytest.mark.parametrize("copies", [True, False], ids=["with property", "without property"])
@pytest.mark.parametrize(("weeks", "hour"), [(1, 21), (2, 20), (4, 20)])
async def test_the_later_dates_are_put_off_by_some_weeks(
    stage: AppUnderTest, weeks: int, hour: int, *, copies: bool
) -> None:
    stage.cloud.graph.switches.split_copies_properties = copies
    series = await a_series(stage)
    stage.cloud.graph.outlook.split(
        "ben", series["id"], local_date(evening(2)), evening(2 + weeks, hour=hour)
    )
    found = await scheduled(stage, series)
    assert list(found) == ids(series)
    later = [evening(n + weeks, hour=hour) for n in (2, 3)]
    assert starts([*found.values()]) == [evening(0), evening(1), *later]


async def test_the_later_dates_are_put_off_before_any_id_is_known(stage: AppUnderTest) -> None:
    series = (await book(stage))["series"]
    stage.cloud.graph.outlook.split("ben", series["id"], local_date(evening(2)), evening(3))
    found = await scheduled(stage, series)
    assert list(found) == ids(series)
    assert starts([*found.values()]) == [evening(n) for n in (0, 1, 3, 4)]


async def test_a_split_that_is_heard_of_after_a_later_change_of_the_old_series(
    stage: AppUnderTest,
) -> None:
    series, switches = await a_series(stage), stage.cloud.graph.switches
    switches.split_copies_properties = False
    switches.set("drop_share", 1.0)
    switches.set("tell_missed", value=False)
    outlook = stage.cloud.graph.outlook
    outlook.split("ben", series["id"], local_date(evening(2)), evening(2, hour=20))
    outlook.find("ben", series["id"]).modified_at += timedelta(minutes=5)
    await stage.settled()
    switches.set("drop_share", 0.0)
    found = await scheduled(stage, series)
    assert list(found) == ids(series)
    assert starts([*found.values()])[2:] == [evening(2, hour=20), evening(3, hour=20)]


@pytest.mark.parametrize("copies", [True, False], ids=["with property", "without property"])
async def test_a_series_is_split_twice_before_it_is_read(
    stage: AppUnderTest, *, copies: bool
) -> None:
    stage.cloud.graph.switches.split_copies_properties = copies
    series = await a_series(stage)
    outlook = stage.cloud.graph.outlook
    new = outlook.split("ben", series["id"], local_date(evening(1)), evening(1, hour=20))
    outlook.split("ben", new.ical_uid, local_date(evening(2)), evening(2, hour=19))
    found = await scheduled(stage, series)
    assert list(found) == ids(series)
    times = [(0, 21), (1, 20), (2, 19), (3, 19)]
    assert starts([*found.values()]) == [evening(n, hour=hour) for n, hour in times]


async def test_a_series_that_is_split_goes_on_over_a_change_of_the_clocks(
    stage: AppUnderTest,
) -> None:
    farther = {"settings": {"horizon_days": 365}}
    anything = {"if-match": "*"}
    await stage.call("platform", "PATCH", CONTOSO, json=farther, headers=anything)
    # Within 27 weeks the clocks of Berlin change, whatever day it is.
    series = (await book(stage, repeat={"frequency": "weekly", "count": 28}))["series"]
    await stage.settled()
    stage.cloud.graph.outlook.split(
        "ben", series["id"], local_date(evening(1)), evening(1, hour=20)
    )
    found = await scheduled(stage, series)
    assert list(found) == ids(series)
    later = [evening(number, hour=20) for number in range(1, 28)]
    assert starts([*found.values()]) == [evening(0), *later]


async def test_the_later_dates_get_another_title_and_another_attendee(
    stage: AppUnderTest,
) -> None:
    series = await a_series(stage)
    outlook = stage.cloud.graph.outlook
    addresses = (address_of(outlook, "ada"), "x@else.example")
    rows = [{"emailAddress": {"address": address}} for address in addresses]
    outlook.split(
        "ben",
        series["id"],
        local_date(evening(2)),
        changes={"subject": "Another", "attendees": rows},
    )
    found = await scheduled(stage, series)
    assert list(found) == ids(series)
    forwarded = [[a["address"] for a in s["attendees"]] for s in found.values()]
    assert [len(addresses) for addresses in forwarded] == [1, 1, 2, 2]


@pytest.mark.parametrize("is_older", [True, False], ids=["made before", "made since"])
async def test_another_series_of_the_same_people_is_not_taken(
    stage: AppUnderTest, *, is_older: bool
) -> None:
    series = await a_series(stage)
    other = (await book(stage, start=evening(0, hour=18).isoformat()))["series"]
    outlook = stage.cloud.graph.outlook
    private = invited(outlook, evening(0, hour=19), "ada")
    if is_older:
        private.created_at -= timedelta(days=1)
    else:
        private.created_at += timedelta(minutes=5)
    await stage.settled()
    outlook.patch("ben", series["id"], {"recurrence": ending_on(outlook, series["id"], evening(1))})
    assert set(await scheduled(stage, series)) == {*ids(series)[:2], *ids(other)}


async def test_of_two_new_series_none_is_taken_and_it_is_said(stage: AppUnderTest) -> None:
    series = await a_series(stage)
    outlook = stage.cloud.graph.outlook
    outlook.split("ben", series["id"], local_date(evening(2)))
    other = invited(outlook, evening(2), "ada")
    found = await scheduled(stage, series)
    assert list(found) == ids(series)
    assert [bool(s.get("unreadable_since")) for s in found.values()] == [False, False, True, True]
    feed = (await stage.call("platform", "GET", f"{CONTOSO}/changes")).json()["items"]
    told = [entry for entry in feed if entry["kind"] == "organization.trouble"]
    assert len(told) == 1
    assert "cancels the others" in told[0]["remedy"]
    # A read of one date by its id does not end it either.
    for _ in range(2):
        await look_again(stage, series, JobKind.RECONCILE, ids(series)[2:])
        assert [session["id"] for session in await listed(stage)] == ids(series)
    # Nobody can change a date of which nobody knows the meeting, until a person has chosen.
    path = f"sessions/{ids(series)[2]}"
    wish = {"start": evening(2, hour=19).isoformat()}
    moved = await stage.call("ben", "PATCH", path, json=wish, headers={"if-match": "*"})
    cancelled = await stage.call("ben", "POST", f"{path}/cancel", json={})
    every = await change_all(stage, series, "cancel")
    for refused in (moved, cancelled, every):
        assert (refused.status_code, refused.json()["type"]) == (409, "/api/problems/conflict")
        assert "cancels the others" in refused.json()["remedy"]
    outlook.cancel("ben", other.ical_uid)
    found = await scheduled(stage, series)
    assert list(found) == ids(series)
    assert [bool(s.get("unreadable_since")) for s in found.values()] == [False] * 4
    assert (await change_all(stage, series, "cancel")).status_code == 200
    assert await scheduled(stage, series) == {}


async def test_a_series_made_into_one_meeting(stage: AppUnderTest) -> None:
    series = await a_series(stage)
    stage.cloud.graph.outlook.patch("ben", series["id"], {"recurrence": None})
    assert list(await scheduled(stage, series)) == ids(series)[:1]


async def test_a_date_that_is_deleted_and_restored(stage: AppUnderTest) -> None:
    series = await a_series(stage)
    outlook, third = stage.cloud.graph.outlook, local_date(evening(2))
    outlook.delete("ben", series["id"], on=third, send=False)
    one, two, gone, four = ids(series)
    assert list(await scheduled(stage, series)) == [one, two, four]
    outlook.restore("ben", series["id"], on=third)
    assert list(await scheduled(stage, series)) == [one, two, gone, four]


async def test_an_answer_to_all_reaches_the_new_series_after_declined_dates(
    stage: AppUnderTest,
) -> None:
    series = (await book(stage, repeat={"frequency": "weekly", "count": 6}))["series"]
    await stage.settled()
    stage.cloud.graph.outlook.split(
        "ben", series["id"], local_date(evening(4)), evening(4, hour=20)
    )
    await scheduled(stage, series)
    for session in series["sessions"][1:4]:
        await answer(stage, session, response="declined")
    await stage.settled()
    await answer(stage, series["sessions"][0], response="accepted", scope="all")
    found = await scheduled(stage, series)
    answers = [session["attendees"][0]["response"] for session in found.values()]
    assert answers == ["accepted", *["declined"] * 3, *["accepted"] * 2]


async def test_all_of_a_series_that_became_one_meeting_is_answered(stage: AppUnderTest) -> None:
    series = await a_series(stage)
    stage.cloud.graph.outlook.patch("ben", series["id"], {"recurrence": None})
    await scheduled(stage, series)
    await answer(stage, series["sessions"][0], response="accepted", scope="all")
    (found,) = (await scheduled(stage, series)).values()
    assert found["attendees"][0]["response"] == "accepted"


def ending_on(outlook: Outlook, series_id: str, at: datetime) -> Any:
    """Return the recurrence of a series with the day of *at* as its end."""
    recurrence = outlook.get(outlook.find("ben", series_id))["recurrence"]
    ending = {"type": "endDate", "endDate": local_date(at).isoformat()}
    return recurrence | {"range": recurrence["range"] | ending}


def invited(outlook: Outlook, at: datetime, who: str) -> Event:
    """Return a weekly meeting from *at* on that Ben makes in Outlook."""
    day = local_date(at)
    pattern = {"type": "weekly", "interval": 1, "daysOfWeek": [f"{day:%A}".lower()]}
    ends = {"type": "numbered", "startDate": day.isoformat(), "numberOfOccurrences": 4}
    zone = "Europe/Berlin"
    body = {
        "subject": "Another",
        "start": Moment.at(at, zone).as_json(zone),
        "end": Moment.at(at + timedelta(minutes=30), zone).as_json(zone),
        "attendees": [{"emailAddress": {"address": address_of(outlook, who)}}],
        "recurrence": {"pattern": pattern, "range": ends},
    }
    return outlook.invite("ben", body)


def address_of(outlook: Outlook, who: str) -> str:
    return outlook.backend.world.person(who).address
