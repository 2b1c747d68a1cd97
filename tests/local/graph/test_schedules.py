"""getSchedule: views, items, errors inside a 200, limits."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from local.graph.switches import BehaviorFlags
from local.world import CustomZone
from tests.local.graph.conftest import Graph

PATH = "/me/calendar/getSchedule"
ADA, BOB = "ada@contoso.test", "bob@contoso.test"


def ask(*addresses: str, start: str = "2026-03-03T08:00:00", hours: float = 9, **more: Any) -> Any:
    ends = datetime.fromisoformat(start) + timedelta(hours=hours)
    return {
        "schedules": list(addresses),
        "startTime": {"dateTime": start, "timeZone": "UTC"},
        "endTime": {"dateTime": ends.isoformat(), "timeZone": "UTC"},
        "availabilityViewInterval": 60,
    } | more


def at(hour: int, minute: int = 0, day: int = 3) -> datetime:
    return datetime(2026, 3, day, hour, minute, tzinfo=UTC)


async def one(graph: Graph, body: Any, **options: Any) -> Any:
    answer = await graph.call("POST", PATH, body, expect=200, **options)
    return answer["value"][0]


async def test_the_strongest_status_that_touches_an_interval_wins(graph: Graph) -> None:
    outlook = graph.simulator.outlook
    outlook.busy("bob", at(9), at(10), show_as="free")
    outlook.busy("bob", at(10), at(11), show_as="workingElsewhere")
    outlook.busy("bob", at(11, 30), at(13, 30), show_as="tentative")
    outlook.busy("bob", at(12), at(13))
    outlook.busy("bob", at(15), at(16), show_as="oof")
    answer = await one(graph, ask(BOB))
    assert answer["availabilityView"] == "000121030"
    assert [item["status"] for item in answer["scheduleItems"]] == [
        "free",
        "workingElsewhere",
        "tentative",
        "busy",
        "oof",
    ]


async def test_an_entry_of_zero_minutes_is_listed_and_takes_no_time(graph: Graph) -> None:
    graph.simulator.outlook.busy("bob", at(9, 30), at(9, 30))
    answer = await one(graph, ask(BOB))
    assert answer["availabilityView"] == "0" * 9
    (item,) = answer["scheduleItems"]
    assert item["start"] == item["end"]


async def test_items_are_whole_and_name_nothing(graph: Graph) -> None:
    graph.simulator.outlook.busy("bob", at(7), at(9), subject="Secret")
    answer = await one(graph, ask(BOB))
    (item,) = answer["scheduleItems"]
    assert item == {
        "status": "busy",
        "start": {"dateTime": "2026-03-03T07:00:00.0000000", "timeZone": "UTC"},
        "end": {"dateTime": "2026-03-03T09:00:00.0000000", "timeZone": "UTC"},
    }
    assert answer["availabilityView"] == "200000000"


async def test_the_own_items_have_subjects_unless_private(graph: Graph) -> None:
    graph.simulator.outlook.busy("ada", at(9), at(10), subject="Mine", sensitivity="normal")
    graph.simulator.outlook.busy("ada", at(11), at(12), subject="Secret")
    answer = await one(graph, ask(ADA))
    assert [item.get("subject") for item in answer["scheduleItems"]] == ["Mine", None]


async def test_prefer_gives_another_zone(graph: Graph) -> None:
    graph.simulator.outlook.busy("bob", at(9), at(10))
    zone = "W. Europe Standard Time"
    answer = await one(graph, ask(BOB), headers={"Prefer": f'outlook.timezone="{zone}"'})
    start = answer["scheduleItems"][0]["start"]
    assert start == {"dateTime": "2026-03-03T10:00:00.0000000", "timeZone": zone}


async def test_an_invitee_is_tentative_until_answering(graph: Graph) -> None:
    await graph.book("ada", "bob")
    await graph.simulator.settle()
    assert (await one(graph, ask(BOB)))["availabilityView"].startswith("01")
    graph.simulator.outlook.accept("bob", _uid(graph))
    assert (await one(graph, ask(BOB)))["availabilityView"].startswith("02")


def _uid(graph: Graph) -> str:
    return graph.simulator.outlook.events("ada", at(0), at(23))[0].ical_uid


async def test_older_casing_and_an_interval_as_string_are_read(graph: Graph) -> None:
    body = ask(BOB)
    pascal = {name[0].upper() + name[1:]: value for name, value in body.items()}
    answer = await one(graph, pascal | {"AvailabilityViewInterval": "15"})
    assert answer["availabilityView"] == "0" * 36


async def test_unreadable_mailboxes_are_errors_inside_the_200(graph: Graph) -> None:
    graph.simulator.switches.schedule_errors = {BOB: "ErrorNoFreeBusyAccess"}
    names = ["nobody@contoso.test", "nolic@contoso.test", "zoe@fabrikam.test", BOB]
    body = await graph.call("POST", PATH, ask(*names), expect=200)
    assert [one["error"]["responseCode"] for one in body["value"]] == [
        "ErrorMailRecipientNotFound",
        "ErrorMailRecipientNotFound",
        "ErrorMailRecipientNotFound",
        "ErrorNoFreeBusyAccess",
    ]
    assert all("availabilityView" not in one for one in body["value"])


async def test_on_premises_mailboxes_answer_unless_they_cannot(graph: Graph) -> None:
    body = ask("prem@contoso.test")
    assert "availabilityView" in await one(graph, body)
    graph.simulator.switches.schedule_on_premises_answers = False
    error = (await one(graph, body))["error"]
    assert error["responseCode"] == "ErrorProxyRequestProcessingFailed"


async def test_view_or_items_may_be_missing(graph: Graph) -> None:
    graph.simulator.switches.schedule_without_items = [BOB]
    graph.simulator.switches.schedule_without_view = [ADA]
    value = (await graph.call("POST", PATH, ask(ADA, BOB), expect=200))["value"]
    assert "availabilityView" not in value[0]
    assert "scheduleItems" not in value[1]


async def test_view_and_items_can_be_odd(graph: Graph) -> None:
    outlook, switches = graph.simulator.outlook, graph.simulator.switches
    outlook.busy("bob", at(10), at(11))
    outlook.busy("bob", at(14), at(15))
    view = (await one(graph, ask(BOB)))["availabilityView"]
    switches.set("schedule_no_data", {BOB: [12, 13]})
    switches.set("schedule_first_item_only", [BOB])
    odd = await one(graph, ask(BOB))
    assert [a for a, b in zip(odd["availabilityView"], view, strict=True) if a != b] == ["5"]
    assert len(odd["scheduleItems"]) == 1
    switches.set("schedule_free_view", [BOB])
    switches.set("schedule_digits", {BOB: 2})
    assert (await one(graph, ask(BOB)))["availabilityView"] == "000050000" + "00"
    switches.set("schedule_digits", {BOB: -7})
    assert (await one(graph, ask(BOB)))["availabilityView"] == "00"


async def test_working_hours_are_as_the_mailbox_has_them(graph: Graph) -> None:
    hours = {"start": "00:00", "end": "23:59:59", "days": ["sunday"]}
    change = {"hours": hours, "hours_zone": "Customized Time Zone"}
    shown = await graph.control("PATCH", "/people/bob", change)
    assert (shown["hours"], shown["hours_zone"]) == (hours, "Customized Time Zone")
    assert (await one(graph, ask(BOB)))["workingHours"] == {
        "daysOfWeek": ["sunday"],
        "startTime": "00:00:00.0000000",
        "endTime": "23:59:59.0000000",
        "timeZone": {"name": "Customized Time Zone"},
    }
    await graph.control("PATCH", "/people/bob", {"hours": {"lunch": "12:00"}}, expect=400)


async def test_a_custom_zone_has_the_sign_of_the_live_service(graph: Graph) -> None:
    graph.world.person("bob").custom_zone = CustomZone(
        480, -60, (11, 1, "sunday", "02:00"), (3, 2, "sunday", "02:00")
    )
    hours = (await one(graph, ask(BOB)))["workingHours"]
    assert hours["startTime"] == "08:00:00.0000000"
    assert hours["timeZone"]["bias"] == 480
    assert hours["timeZone"]["daylightOffset"]["daylightBias"] == -60
    assert hours["timeZone"]["standardOffset"]["time"] == "02:00:00.0000000"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (ask(*[f"p{n}@contoso.test" for n in range(21)]), "ErrorInvalidRequest"),
        (ask(), "ErrorInvalidRequest"),
        (ask(BOB, hours=62 * 24), "ErrorTimeIntervalTooBig"),
        (ask(BOB, hours=-1), "ErrorInvalidTimeInterval"),
        (ask(BOB, availabilityViewInterval=4), "ErrorInvalidMergedFreeBusyInterval"),
        (ask(BOB, availabilityViewInterval=1441), "ErrorInvalidMergedFreeBusyInterval"),
        (
            ask(BOB, startTime={"dateTime": "2026-03-03T08:00:00", "timeZone": "Mars"}),
            "TimeZoneNotSupportedException",
        ),
        (
            ask(BOB, startTime={"dateTime": "2026-03-03T08:00:00Z", "timeZone": "UTC"}),
            "ErrorPropertyValidationFailure",
        ),
    ],
)
async def test_impossible_requests_are_400(graph: Graph, body: Any, code: str) -> None:
    status, answer, _ = await graph.call("POST", PATH, body)
    assert (status, answer["error"]["code"]) == (400, code)


async def test_too_many_entries_are_5006(graph: Graph) -> None:
    switches: BehaviorFlags = graph.simulator.switches
    switches.schedule_entries_limit = 1
    graph.simulator.outlook.busy("bob", at(9), at(10))
    graph.simulator.outlook.busy("bob", at(11), at(12))
    status, answer, _ = await graph.call("POST", PATH, ask(BOB))
    assert (status, answer["error"]["code"]) == (400, "5006")
    switches.schedule_too_many_answers = "mailbox"
    assert (await one(graph, ask(BOB)))["error"]["responseCode"] == "5006"
