"""Unknown is not free: the unreadable calendars, the reasons, and the effect on slots."""

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from local.graph.switches import BehaviorFlags
from local.world import WorkingHours
from tests.e2e.conftest import AppUnderTest
from tests.today import today


def next_monday() -> datetime:
    """Return the midnight before next Monday, in UTC."""
    return today() + timedelta(days=7 - today().weekday())


async def asked(stage: AppUnderTest, pairing: str, who: str, **query: str) -> Any:
    """Return the availability of next week."""
    monday = next_monday()
    window = {"from": monday.isoformat(), "to": (monday + timedelta(days=5)).isoformat()}
    reply = await stage.call(
        who, "GET", f"pairings/{pairing}/availability", params={**window, **query}
    )
    assert reply.status_code == 200, reply.text
    return reply.json()


def of(found: Any, name: str) -> Any:
    """Return one participant's time."""
    return next(p for p in found["participants"] if p["address"].startswith(name))


def set_switches(stage: AppUnderTest, **switches: Any) -> None:
    """Set switches of the simulated Graph."""
    known: BehaviorFlags = stage.cloud.graph.switches
    for name, value in switches.items():
        known.set(name, value)


@pytest.mark.parametrize(
    ("pairing", "who", "unknown", "switches", "reason"),
    [
        (
            "oskar-ben",
            "ben",
            "oskar",
            {"schedule_on_premises_answers": False},
            "not_reachable",
        ),
        ("ada-gil", "ada", "gil", {}, "outside_tenant"),
        ("ada-lena", "ada", "lena", {}, "not_found"),
        (
            "ada-ben",
            "ben",
            "ada",
            {"schedule_errors": {"ada@contoso.example": "ErrorNoFreeBusyAccess"}},
            "no_access",
        ),
        (
            "ada-ben",
            "ben",
            "ada",
            {
                "schedule_without_view": ["ada@contoso.example"],
                "schedule_without_items": ["ada@contoso.example"],
            },
            "no_answer",
        ),
    ],
)
async def test_unreadable_calendar_blocks_every_slot_with_a_reason(
    stage: AppUnderTest, pairing: str, who: str, unknown: str, switches: dict[str, Any], reason: str
) -> None:
    set_switches(stage, **switches)
    found = await asked(stage, pairing, who)
    assert found["slots"] == []
    person = of(found, unknown)
    assert (person["status"], person["unknown"]["reason"]) == ("unknown", reason)
    assert person["unknown"]["detail"]
    assert person["unknown"]["remedy"]
    offered = await asked(stage, pairing, who, include_unknown="true")
    assert offered["slots"]
    for slot in offered["slots"]:
        assert slot["unknown_for"] == [person["address"]]
        assert slot["confirmed_for"] == [of(offered, who)["address"]]


@pytest.mark.parametrize(
    ("switches", "not_offered"),
    [
        # No data from 12 to 13, while the view has an event that the items lack.
        (
            {
                "schedule_no_data": {"ada@contoso.example": [12, 13]},
                "schedule_first_item_only": ["ada@contoso.example"],
            },
            [(10, 11), (12, 13), (14, 15)],
        ),
        ({"schedule_first_item_only": ["ada@contoso.example"]}, [(10, 11), (14, 15)]),
        ({"schedule_free_view": ["ada@contoso.example"]}, [(10, 11), (14, 15)]),
        ({"schedule_digits": {"ada@contoso.example": 12}}, [(10, 11), (14, 15)]),
        # The last digits are missing: the evening of the last day is unknown.
        ({"schedule_digits": {"ada@contoso.example": -12 * 8}}, [(10, 11), (14, 15), (112, 120)]),
    ],
    ids=str,
)
async def test_of_view_and_items_what_is_less_free_counts(
    stage: AppUnderTest, switches: dict[str, Any], not_offered: list[tuple[int, int]]
) -> None:
    monday = next_monday()
    for hour in (10, 14):
        start = monday + timedelta(hours=hour)
        stage.cloud.graph.outlook.busy("ada", start, start + timedelta(hours=1))
    free = {slot["start"] for slot in (await asked(stage, "ada-ben", "ben"))["slots"]}
    assert free
    set_switches(stage, **switches)
    found = await asked(stage, "ada-ben", "ben", explain="true")
    ada = of(found, "ada")
    assert ada["status"] == "known"
    taken = [
        (monday + timedelta(hours=first), monday + timedelta(hours=last))
        for first, last in not_offered
    ]
    offered = {slot["start"]: slot["end"] for slot in found["slots"]}
    for start, end in offered.items():
        for begins, ends in taken:
            overlaps = datetime.fromisoformat(start) < ends and begins < datetime.fromisoformat(end)
            assert not overlaps, start
    lost = free - set(offered)
    if "schedule_no_data" in switches:
        assert len(ada["unknown_times"]) == 5
        assert ada["unknown_times"][0]["start"] == f"{taken[1][0]:%Y-%m-%dT%H:%M:%SZ}"
        refused = {one["start"]: one["obstacles"] for one in found["explanation"]}
        assert lost
        assert all("unknown" in {o["obstacle"] for o in refused[start]} for start in lost)
        wider = await asked(stage, "ada-ben", "ben", include_unknown="true")
        assert {slot["start"] for slot in wider["slots"]} >= free
        unknown = {s["start"] for s in wider["slots"] if s["unknown_for"] == [ada["address"]]}
        assert unknown >= lost
    elif switches.get("schedule_digits", {}).get("ada@contoso.example", 0) > 0:
        assert ada["unknown_times"] == []
        assert not lost


async def test_unknown_participant_is_booked_only_with_accept_unknown(stage: AppUnderTest) -> None:
    offered = await asked(stage, "ada-gil", "ada", include_unknown="true")
    body = {
        "start": offered["slots"][0]["start"],
        "duration_minutes": 30,
        "time_zone": "Europe/Berlin",
    }
    path, headers = "pairings/ada-gil/sessions", {"idempotency-key": "one"}
    refused = await stage.call("ada", "POST", path, json=body, headers=headers)
    assert (refused.status_code, refused.json()["type"]) == (409, "/api/problems/slot-unknown")
    assert [u["reason"] for u in refused.json()["unknown"]] == ["outside_tenant"]
    booked = await stage.call(
        "ada",
        "POST",
        path,
        json={**body, "accept_unknown": True},
        headers={"idempotency-key": "two"},
    )
    assert booked.status_code == 201, booked.text
    assert booked.json()["unknown_for"] == [of(offered, "gil")["address"]]
    # A guest answers by mail.
    await stage.settled()
    stage.cloud.graph.outlook.answer_as_external(
        of(offered, "gil")["address"], booked.json()["id"], "accepted"
    )
    await stage.settled()
    seen = (await stage.call("ada", "GET", f"sessions/{booked.json()['id']}")).json()
    assert seen["attendees"][0]["response"] == "accepted"


async def test_every_step_is_offered_or_explained(stage: AppUnderTest) -> None:
    found = await asked(stage, "ada-ben", "ben", explain="true", step_minutes="30")
    starts = {slot["start"] for slot in found["slots"]}
    refused = {refusal["start"]: refusal["obstacles"] for refusal in found["explanation"]}
    assert starts.isdisjoint(refused)
    monday = next_monday()
    # A slot must still end within the window.
    steps = {f"{monday + timedelta(minutes=30 * n):%Y-%m-%dT%H:%M:%SZ}" for n in range(5 * 48 - 1)}
    assert starts | set(refused) >= steps
    kinds = {obstacle["obstacle"] for obstacles in refused.values() for obstacle in obstacles}
    assert {"busy", "working_hours"} <= kinds
    assert all(
        o["participants"] for each in refused.values() for o in each if o["obstacle"] == "busy"
    )


async def test_busy_times_come_without_subjects(stage: AppUnderTest) -> None:
    start = next_monday() + timedelta(hours=11)
    stage.cloud.graph.outlook.busy("ada", start, start + timedelta(hours=1), subject="Takeover")
    found = await asked(stage, "ada-ben", "ben")
    assert "Takeover" not in str(found)
    assert {key for p in found["participants"] for busy in p["busy"] for key in busy} == {
        "start",
        "end",
        "status",
    }


def local(text: str) -> datetime:
    """Return the local time in Berlin, where ada and ben work."""
    return datetime.fromisoformat(text).astimezone(ZoneInfo("Europe/Berlin"))


@pytest.mark.parametrize(
    ("name", "is_assumed"),
    [
        ("W. Europe Standard Time", False),
        ("w. europe standard time", False),
        ("Customized Time Zone", True),
        ("tzone://Microsoft/Custom", True),
        ("Middle-earth Standard Time", True),
    ],
)
async def test_hours_in_a_zone_that_nobody_knows_still_limit_what_is_offered(
    stage: AppUnderTest, name: str, is_assumed: bool
) -> None:
    for who in ("ada", "ben"):
        stage.cloud.world.person(who).hours = WorkingHours()
    before = await asked(stage, "ada-ben", "ben")
    stage.cloud.world.person("ada").hours_zone = name
    found = await asked(stage, "ada-ben", "ben")
    assert found["slots"]
    assert [s["start"] for s in found["slots"]] == [s["start"] for s in before["slots"]]
    hours = of(found, "ada")["working_hours"]
    assert (hours["time_zone"], hours["zone_assumed"]) == (name, is_assumed)
    assert hours["utc_offset_minutes"] == of(found, "ben")["working_hours"]["utc_offset_minutes"]
    # If nobody's zone is known, the caller's is taken, as the query names it.
    stage.cloud.world.person("ben").hours_zone = "Customized Time Zone"
    stage.cloud.world.person("ada").hours_zone = "Customized Time Zone"
    found = await asked(stage, "ada-ben", "ben", time_zone="Europe/Berlin")
    assert found["slots"]
    for slot in found["slots"]:
        assert 8 <= local(slot["start"]).hour < 17
        assert local(slot["start"]).weekday() < 5


@pytest.mark.parametrize("end", ["23:59", "23:59:59"])
async def test_working_hours_until_the_end_of_a_day_have_its_last_minutes(
    stage: AppUnderTest, end: str
) -> None:
    for who in ("ada", "ben"):
        stage.cloud.world.person(who).hours = WorkingHours(WorkingHours().days, "00:00", end)
    found = await asked(stage, "ada-ben", "ben")
    ends = {f"{local(slot['end']):%H:%M}" for slot in found["slots"]}
    assert {"00:00", "00:30"} <= ends  # up to midnight, and across it
