"""The getSchedule request, and the parsing of its answer."""

import json
from datetime import UTC, datetime, time, timedelta
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.adapters.graph.schedules import (
    REASONS,
    GraphSchedules,
    halves,
    joined,
    schedules_of,
)
from shared.availability.model import SLOT_GRID, BusyStatus, Schedule, Unknown, UnknownReason
from shared.errors import CalendarRefused, CalendarUnavailable, MailboxUnusable
from shared.ids import Mailbox, ObjectId, TenantId
from shared.organizations.model import ActingUser
from shared.timespan import TimeSpan
from tests.graph_contract import graph_sample
from tests.unit.adapters.conftest import Graph
from tests.unit.adapters.entra_fixtures import TENANT, USER
from tests.unit.adapters.test_graph_client import refused

ACTING = ActingUser(Mailbox(TenantId(TENANT), ObjectId(USER)), "their token")
_CUSTOM = "tzone://Microsoft/Custom"
HOUR = TimeSpan.lasting(datetime(2026, 3, 1, 9, 0, tzinfo=UTC), timedelta(hours=1))


def answer(*value: dict[str, Any]) -> bytes:
    return json.dumps({"value": value}).encode()


def one(payload: dict[str, Any], window: TimeSpan = HOUR) -> Schedule:
    answered = {"value": [{"scheduleId": "ada@x.com"} | payload]}
    (schedule,) = schedules_of(answered, ["ada@x.com"], window)
    return schedule


def some_hours(**changes: Any) -> dict[str, Any]:
    return {
        "daysOfWeek": ["monday"],
        "startTime": "08:00:00.0000000",
        "endTime": "17:00:00.0000000",
        "timeZone": {"name": "W. Europe Standard Time"},
        **changes,
    }


def item(status: str, start: str = "09:10", end: str = "09:20") -> dict[str, Any]:
    return {
        "status": status,
        "start": {"dateTime": f"2026-03-01T{start}:00.0000000", "timeZone": "UTC"},
        "end": {"dateTime": f"2026-03-01T{end}:00.0000000", "timeZone": "UTC"},
    }


async def test_one_call_asks_for_everybody(graph: Graph) -> None:
    graph.respond_with(
        httpx.Response(
            200,
            content=answer(
                {"scheduleId": "BEN@x.com", "availabilityView": "0" * 12},
                {"scheduleId": "ada@X.com", "availabilityView": "2" * 12},
            ),
        )
    )
    found = await GraphSchedules(graph.client).read(ACTING, ["ada@x.com", "ben@x.com"], HOUR)
    assert [(s.address, s.view) for s in found] == [
        ("ada@x.com", "2" * 12),
        ("ben@x.com", "0" * 12),
    ]
    assert len(graph.answers.requests) == 1
    assert graph.answers.last.url.path == "/v1.0/me/calendar/getSchedule"
    asked = {name.lower(): value for name, value in graph.answers.body().items()}
    assert asked == {
        "schedules": ["ada@x.com", "ben@x.com"],
        "starttime": {"dateTime": "2026-03-01T09:00:00", "timeZone": "UTC"},
        "endtime": {"dateTime": "2026-03-01T10:00:00", "timeZone": "UTC"},
        "availabilityviewinterval": 5,
    }


def test_the_view_is_taken_as_it_is() -> None:
    schedule = one({"availabilityView": "012301234012", "scheduleItems": [{"broken": True}]})
    assert schedule.view == "012301234012"
    assert schedule.items == ()


@pytest.mark.parametrize(
    ("view", "taken"),
    [
        ("0" * 11, "0" * 11 + "5"),
        ("0" * 13, "0" * 12),
        ("2", "2" + "5" * 11),
        ("00000x000000", "000005000000"),
        ("22é55 7\ud8000000", "225555550000"),
    ],
)
def test_an_unknown_digit_is_unknown_time_and_the_others_count(view: str, taken: str) -> None:
    schedule = one({"availabilityView": view, "scheduleItems": [item("busy"), item("free")]})
    assert schedule.view == taken
    assert [i.status for i in schedule.items] == [BusyStatus.BUSY]


@pytest.mark.parametrize("view", [None, "", 7, ["0"]])
def test_without_a_view_items_count(view: object) -> None:
    schedule = one({"availabilityView": view, "scheduleItems": [item("busy"), item("free")]})
    assert schedule.view is None
    assert [(i.status, i.span.duration) for i in schedule.items] == [
        (BusyStatus.BUSY, timedelta(minutes=10))
    ]


def test_an_item_that_takes_no_time_blocks_nothing() -> None:
    schedule = one({"scheduleItems": [item("busy", "09:10", "09:10")]})
    assert (schedule.items, schedule.unknown) == ((), None)


@pytest.mark.parametrize(
    "broken", [{}, None, "x", item("busy", "09:20", "09:10"), {"start": {}, "end": {}}], ids=str
)
def test_an_item_that_cannot_be_read_is_unknown_time(broken: Any) -> None:
    items = [item("busy"), broken]
    assert one({"scheduleItems": items}).unknown == Unknown(UnknownReason.UNREADABLE)
    seen = one({"scheduleItems": items, "availabilityView": "0" * 12})
    # What could be read counts. The list does not say all, so no item can be taken out of the view.
    assert (seen.unknown, seen.items) == (None, ())
    assert set(seen.view or "") == {"0", "2"}


@pytest.mark.parametrize(
    ("status", "busy"),
    [
        ("free", None),
        ("workingElsewhere", None),
        ("Tentative", BusyStatus.TENTATIVE),
        ("busy", BusyStatus.BUSY),
        ("oof", BusyStatus.OUT_OF_OFFICE),
        ("unknown", BusyStatus.BUSY),
        ("somethingNew", BusyStatus.BUSY),
    ],
)
def test_each_status_of_an_item(status: str, busy: BusyStatus | None) -> None:
    schedule = one({"scheduleItems": [item(status)]})
    assert [i.status for i in schedule.items] == ([busy] if busy else [])
    assert schedule.unknown is None


@pytest.mark.parametrize("payload", [{}, {"scheduleItems": []}, {"availabilityView": ""}])
def test_nothing_said_is_not_free(payload: dict[str, Any]) -> None:
    assert one(payload).unknown == Unknown(UnknownReason.NO_ANSWER)


def test_address_missing_from_the_answer_is_not_free() -> None:
    (schedule,) = schedules_of({"value": []}, ["ada@x.com"], HOUR)
    assert schedule.unknown == Unknown(UnknownReason.NO_ANSWER)


def test_an_entry_of_zero_minutes_takes_no_time() -> None:
    payload = {"scheduleItems": [item("busy", "09:10", "09:10"), item("busy", "09:20", "09:30")]}
    assert [i.span.duration for i in one(payload).items] == [timedelta(minutes=10)]


@pytest.mark.parametrize(
    "odd",
    [
        item("busy", "09:20", "09:10"),
        {"status": "busy"},
        None,
        item("busy") | {"start": {"dateTime": "2026-03-01T09:00:00", "timeZone": _CUSTOM}},
    ],
)
def test_an_entry_that_cannot_be_read_leaves_its_person_unknown(odd: Any) -> None:
    entries = [
        {"scheduleId": "ada@x.com", "scheduleItems": [item("busy"), odd]},
        {"scheduleId": None, "availabilityView": "0" * 12},
        {"scheduleId": "ben@x.com", "availabilityView": "0" * 12},
        None,
    ]
    asked = ["ada@x.com", "ben@x.com", "cy@x.com"]
    ada, ben, cy = schedules_of({"value": entries}, asked, HOUR)
    assert ada.unknown == Unknown(UnknownReason.UNREADABLE)
    assert (ben.unknown, ben.view) == (None, "0" * 12)
    assert cy.unknown == Unknown(UnknownReason.NO_ANSWER)


@pytest.mark.parametrize(("code", "reason"), REASONS.items())
def test_each_error_of_a_mailbox_says_why(code: str, reason: UnknownReason) -> None:
    payload = {"error": {"responseCode": code, "message": "…"}, "scheduleItems": []}
    assert one(payload).unknown == Unknown(reason, code)


def test_an_error_nobody_knows_is_not_reachable() -> None:
    payload = {"error": {"responseCode": "ErrorNew"}, "availabilityView": "0" * 12}
    assert one(payload).unknown == Unknown(UnknownReason.NOT_REACHABLE, "ErrorNew")


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b'{"value": 1}'])
async def test_unreadable_answer_is_retryable(graph: Graph, body: bytes) -> None:
    graph.respond_with(httpx.Response(200, content=body))
    with pytest.raises(CalendarUnavailable):
        await GraphSchedules(graph.client).read(ACTING, ["ada@x.com"], HOUR)


def test_working_hours_in_a_windows_zone() -> None:
    payload = {
        "daysOfWeek": ["monday", "Tuesday"],
        "startTime": "08:30:00.0000000",
        "endTime": "17:00:00.0000000",
        "timeZone": {"name": "W. Europe Standard Time"},
    }
    hours = one({"availabilityView": "0" * 12, "workingHours": payload}).hours
    assert hours is not None
    assert (hours.days, hours.start, hours.end) == (frozenset({0, 1}), time(8, 30), time(17))
    assert str(hours.zone) == "Europe/Berlin"
    assert hours.zone_name == "W. Europe Standard Time"


@pytest.mark.parametrize(
    "payload",
    [
        None,
        {},
        {"daysOfWeek": [], "startTime": "x", "endTime": "y", "timeZone": {"name": "UTC"}},
        "x",
        some_hours(daysOfWeek=None),
        some_hours(daysOfWeek=[]),
        some_hours(daysOfWeek=["none"]),
        some_hours(daysOfWeek="monday"),
        some_hours(startTime=None),
        some_hours(endTime="25:00:00"),
        some_hours(endTime="08:00:00.0000000"),
    ],
    ids=str,
)
def test_hours_that_tell_nothing_are_no_hours(payload: Any) -> None:
    assert one({"availabilityView": "0" * 12, "workingHours": payload}).hours is None


@pytest.mark.parametrize(
    ("days", "numbers"),
    [
        (["weekday"], {0, 1, 2, 3, 4}),
        (["Weekdays", "Saturday"], {0, 1, 2, 3, 4, 5}),
        (["weekendDay"], {5, 6}),
        (["WeekEndDays", "monday"], {0, 5, 6}),
        (["day"], {0, 1, 2, 3, 4, 5, 6}),
        (["AllDays"], {0, 1, 2, 3, 4, 5, 6}),
        (["monday", "someday"], {0}),
        (["someday"], {0, 1, 2, 3, 4}),
    ],
    ids=str,
)
def test_days_by_all_their_names(days: list[str], numbers: set[int]) -> None:
    hours = one({"workingHours": some_hours(daysOfWeek=days)}).hours
    assert hours is not None
    assert hours.days == numbers


@pytest.mark.parametrize(
    ("zone", "offset"),
    [
        ({"name": "w. europe standard TIME"}, 60),
        ({"name": "EUROPE/BERLIN"}, 60),
        ({"name": "tzone://Microsoft/Utc"}, 0),
        ({"name": "Kamchatka Standard Time"}, 720),
        ({"name": "Mid-Atlantic Standard Time"}, -120),
        ({"name": "Russia TZ 2 Standard Time"}, 180),
        ({"name": "Customized Time Zone", "bias": -60}, 60),
        ({"name": "tzone://Microsoft/Custom", "bias": 480, "standardOffset": {"month": 99}}, -480),
        ({"name": "UTC", "bias": "x"}, 0),
        ("Tokyo Standard Time", 540),
    ],
    ids=str,
)
def test_zones_by_all_their_names(zone: Any, offset: int) -> None:
    hours = one({"workingHours": some_hours(timeZone=zone)}).hours
    assert hours is not None
    assert hours.zone is not None
    assert hours.zone.utcoffset(datetime(2026, 1, 15)) == timedelta(minutes=offset)  # noqa: DTZ001


@pytest.mark.parametrize(
    "zone",
    [
        *({"name": name} for name in ("Middle-earth Standard Time", "Customized Time Zone", "")),
        {"name": "tzone://Microsoft/Custom"},
        {"name": "Customized Time Zone", "bias": None},
        *({}, None, 7, {"name": None}, {"name": "\ud800"}, {"name": "x" * 5000}),
    ],
    ids=lambda zone: repr(zone)[:40],
)
def test_hours_in_a_zone_that_nobody_knows_are_hours(zone: Any) -> None:
    hours = one({"workingHours": some_hours(timeZone=zone)}).hours
    assert hours is not None
    assert (hours.start, hours.end, hours.zone) == (time(8), time(17), None)


def test_the_documented_answer() -> None:
    body = graph_sample("getschedule-two-users")["response"]
    window = TimeSpan.lasting(datetime(2019, 3, 15, 16, tzinfo=UTC), 9 * SLOT_GRID)
    adele, megan = schedules_of(body, ["AdeleV@contoso.com", "meganb@contoso.com"], window)
    assert (adele.view, megan.view) == ("000220130", "200120010")
    assert adele.hours is not None
    assert megan.hours is not None
    # Both mailboxes have the same zone: one by its name, the other by its rules.
    for month in (1, 7):
        moment = datetime(2019, month, 15, 12, tzinfo=UTC)
        local = [moment.astimezone(h.zone).utcoffset() for h in (adele.hours, megan.hours)]
        assert local[0] == local[1]


def test_items_in_another_zone_are_understood() -> None:
    payload = item("busy")
    for end in ("start", "end"):
        payload[end]["timeZone"] = "Pacific Standard Time"
    schedule = one({"scheduleItems": [payload]})
    assert schedule.items[0].span.start == datetime(2026, 3, 1, 17, 10, tzinfo=UTC)


async def test_too_many_entries_are_asked_for_in_halves(graph: Graph) -> None:
    window = TimeSpan.lasting(HOUR.start, timedelta(days=42))

    def answered(request: httpx.Request) -> httpx.Response:
        asked = {k.lower(): v for k, v in json.loads(request.content).items()}
        start, end = (
            datetime.fromisoformat(asked[k]["dateTime"]) for k in ("starttime", "endtime")
        )
        if end - start > timedelta(days=15):
            return refused(400, "5006", "The result set contains too many calendar entries.")
        digit = "2" if start.day % 2 else "0"
        view = digit * ((end - start) // SLOT_GRID)
        return httpx.Response(
            200, content=answer({"scheduleId": "ada@x.com", "availabilityView": view})
        )

    graph.respond_by(answered)
    (schedule,) = await GraphSchedules(graph.client).read(ACTING, ["ada@x.com"], window)
    assert schedule.view is not None
    assert len(schedule.view) == window.duration // SLOT_GRID
    assert len(graph.answers.requests) == 7


async def test_a_calendar_full_to_bursting_is_unknown(graph: Graph) -> None:
    graph.respond_with(refused(400, "5006"))
    window = TimeSpan.lasting(HOUR.start, timedelta(days=42))
    found = await GraphSchedules(graph.client).read(ACTING, ["Ada@x.com", "ben@x.com"], window)
    assert [s.unknown for s in found] == [Unknown(UnknownReason.TOO_MANY_ENTRIES, "5006")] * 2
    assert [s.address for s in found] == ["ada@x.com", "ben@x.com"]
    assert len(graph.answers.requests) == 4


async def test_other_refusals_are_told(graph: Graph) -> None:
    graph.respond_with(refused(404, "MailboxNotEnabledForRESTAPI"))
    with pytest.raises(MailboxUnusable):
        await GraphSchedules(graph.client).read(ACTING, ["ada@x.com"], HOUR)
    graph.respond_with(refused(400, "ErrorTimeIntervalTooBig"))
    with pytest.raises(CalendarRefused):
        await GraphSchedules(graph.client).read(ACTING, ["ada@x.com"], HOUR)


@given(st.integers(2, 42 * 288))
def test_halves_are_on_the_grid_and_miss_nothing(cells: int) -> None:
    window = TimeSpan.lasting(HOUR.start, cells * SLOT_GRID)
    first, second = halves(window)
    assert (first.start, first.end, second.end) == (window.start, second.start, window.end)
    assert not first.duration % SLOT_GRID


def test_unknown_in_one_half_is_unknown() -> None:
    known = Schedule("a", view="0")
    unknown = Schedule("a", unknown=Unknown(UnknownReason.NO_ACCESS))
    for pair in ((known, unknown), (unknown, known)):
        (whole,) = joined([pair[0]], [pair[1]])
        assert whole.unknown == unknown.unknown
        assert whole.view is None
