"""Pairings of up to twenty: required participants, optional ones, and their responses."""

from datetime import datetime, timedelta
from typing import Any

from tests.e2e.conftest import AppUnderTest
from tests.today import today

REQUIRED = ("ada", "ben", "priya", "misaki")
GUESTS = 15


async def put_team(stage: AppUnderTest, guests: int = GUESTS) -> Any:
    """Register four required participants, one optional one, and optional guests from outside."""
    people = [
        {
            "role": "mentor" if name == "ada" else "mentee",
            "address": f"{name}@contoso.example",
            "required": name in REQUIRED,
        }
        for name in (*REQUIRED, "tashi")
    ]
    people += [
        {"role": "mentee", "address": f"guest{n}@partner.example", "required": False}
        for n in range(guests)
    ]
    token = stage.cloud.entra.platform_token()
    return await stage.http.put(
        "/api/organizations/contoso/pairings/team",
        headers={"authorization": f"Bearer {token}"},
        json={"participants": people},
    )


def saturday(hour: int) -> datetime:
    return today(hour) + timedelta(days=(5 - today().weekday()) % 7 or 7)


async def book(stage: AppUnderTest, key: str, **changes: Any) -> Any:
    body = {"start": saturday(10).isoformat(), "duration_minutes": 30, "time_zone": "UTC"}
    return await stage.call(
        "ben",
        "POST",
        "pairings/team/sessions",
        json=body | changes,
        headers={"idempotency-key": key},
    )


def of(session: Any, name: str) -> Any:
    return next(a for a in session["attendees"] if a["address"].startswith(name))


async def test_a_group_of_twenty_meets_when_enough_of_them_can(stage: AppUnderTest) -> None:
    assert (await put_team(stage, GUESTS + 1)).status_code == 422
    team = await put_team(stage)
    assert team.status_code == 200, team.text
    assert len(team.json()["participants"]) == 20
    outlook = stage.cloud.graph.outlook
    for busy in ("misaki", "tashi"):
        outlook.busy(busy, saturday(9), saturday(12))

    refused = await book(stage, "all")
    assert refused.status_code == 409, refused.text
    assert refused.json()["type"] == "/api/problems/slot-taken"
    alternatives = refused.json()["alternatives"]
    busy_until = saturday(12).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert alternatives
    assert all(
        a["end"] <= saturday(9).strftime("%Y-%m-%dT%H:%M:%SZ") or a["start"] >= busy_until
        for a in alternatives
    )
    too_many = await book(stage, "four", at_least=4)
    assert (too_many.status_code, too_many.json()["type"]) == (409, "/api/problems/slot-taken")

    stage.cloud.graph.requests.reset()
    booked = await book(stage, "three", at_least=3)
    assert booked.status_code == 201, booked.text
    assert stage.cloud.graph.requests.count() == 2
    session = booked.json()
    assert len(session["attendees"]) == 19
    assert [a["address"].split("@")[0] for a in session["attendees"] if not a["is_free"]] == [
        "misaki",
        "tashi",
    ]
    assert not of(session, "tashi")["required"]
    assert len(session["unknown_for"]) == GUESTS

    path = f"sessions/{session['id']}"
    to = {"start": saturday(11).isoformat(), "at_least": 3}
    for status, changes in ((409, to | {"at_least": 4}), (200, to)):
        moved = await stage.call("ben", "PATCH", path, json=changes, headers={"if-match": "*"})
        assert moved.status_code == status, moved.text
    assert [a["is_free"] for a in moved.json()["attendees"]].count(False) == 2

    await stage.settled()
    for who, answer in (("priya", "accepted"), ("misaki", "declined"), ("ada", "tentative")):
        reply = await stage.call(who, "POST", f"{path}/response", json={"response": answer})
        assert reply.status_code == 202, reply.text
    outlook.answer_as_external("guest3@partner.example", session["id"], "accepted")
    await stage.settled()
    for who in ("ben", "tashi"):
        seen = (await stage.call(who, "GET", path)).json()
        assert seen["responses"] == {
            "accepted": 2,
            "tentative": 1,
            "declined": 1,
            "pending": 15,
        }
        assert of(seen, "misaki")["response"] == "declined"


async def test_a_series_of_a_group_suits_enough_of_them_on_each_date(stage: AppUnderTest) -> None:
    await put_team(stage, guests=0)
    weeks = [timedelta(weeks=week) for week in range(3)]
    outlook = stage.cloud.graph.outlook
    outlook.busy("misaki", saturday(9) + weeks[1], saturday(12) + weeks[1])
    wish = {"repeat": {"frequency": "weekly", "count": 3}}

    refused = await book(stage, "all", **wish)
    assert refused.status_code == 409, refused.text
    assert [c["occurrence"] for c in refused.json()["conflicts"]] == [1]
    too_many = await book(stage, "six", **wish, at_least=6)
    assert (too_many.status_code, too_many.json()["errors"][0]["field"]) == (422, "body.at_least")

    booked = await book(stage, "three", **wish, at_least=3)
    assert booked.status_code == 201, booked.text
    sessions = booked.json()["series"]["sessions"]
    assert [of(s, "misaki")["is_free"] for s in sessions] == [True, False, True]
    again = await book(stage, "three", **wish, at_least=3)
    assert [s["id"] for s in again.json()["series"]["sessions"]] == [s["id"] for s in sessions]

    await stage.settled()
    outlook.busy("misaki", saturday(13) + weeks[2], saturday(16) + weeks[2])
    path = f"sessions/{sessions[0]['id']}"
    to = {"start": saturday(14).isoformat(), "scope": "all"}
    for status, changes in ((409, {}), (409, {"at_least": 5}), (200, {"at_least": 3})):
        moved = await stage.call("ben", "PATCH", path, json=to | changes, headers={"if-match": "*"})
        assert moved.status_code == status, moved.text
    sessions = moved.json()["series"]["sessions"]
    assert [of(s, "misaki")["is_free"] for s in sessions] == [True, True, False]
    await stage.settled()
    shown = (await stage.call("priya", "GET", f"sessions/{sessions[2]['id']}")).json()
    assert shown["start"] == (saturday(14) + weeks[2]).strftime("%Y-%m-%dT%H:%M:%SZ")


async def test_slots_for_at_least_so_many_are_more_than_those_for_all(stage: AppUnderTest) -> None:
    await put_team(stage, guests=0)
    window = {"from": saturday(0).isoformat(), "to": (saturday(0) + timedelta(days=7)).isoformat()}

    async def found(**query: str) -> list[Any]:
        reply = await stage.call("ben", "GET", "pairings/team/availability", params=window | query)
        assert reply.status_code == 200, reply.text
        return list(reply.json()["slots"])

    everybody, three, two = await found(), await found(at_least="3"), await found(at_least="2")
    starts = [{slot["start"] for slot in slots} for slots in (everybody, three, two)]
    assert starts[0] <= starts[1] <= starts[2]
    assert len(starts[2]) > len(starts[1])
    for least, slots in ((4, everybody), (3, three), (2, two)):
        for slot in slots:
            assert "ben@contoso.example" in slot["confirmed_for"]
            assert len(slot["confirmed_for"]) >= least
