"""Zones by every name, and working hours on the days on which clocks change."""

import json
import zoneinfo
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tzlocal.windows_tz import win_tz

from shared.availability.masks import indices
from shared.availability.model import SLOT_GRID, WorkingHours
from shared.availability.working_hours import (
    CustomZone,
    YearlyChange,
    custom_zone,
    step_mask,
    working_mask,
    zone_of,
)
from shared.timespan import TimeSpan
from tests.graph_contract import graph_sample
from tests.unit.availability.slot_oracle import at, instants, is_on_step, is_working

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
EVERY_DAY = frozenset(range(7))
PACIFIC: dict[str, Any] = {
    "@odata.type": "#microsoft.graph.customTimeZone",
    "name": "Customized Time Zone",
    "bias": 480,
    "standardOffset": {
        "time": "02:00:00.0000000",
        "dayOccurrence": 1,
        "dayOfWeek": "sunday",
        "month": 11,
        "year": 0,
    },
    "daylightOffset": {
        "daylightBias": -60,
        "time": "02:00:00.0000000",
        "dayOccurrence": 2,
        "dayOfWeek": "sunday",
        "month": 3,
        "year": 0,
    },
}
"""What the service sends for US Pacific."""


def some_hours(zone: Any, start: str = "09:00", end: str = "17:00") -> WorkingHours:
    return WorkingHours(EVERY_DAY, time.fromisoformat(start), time.fromisoformat(end), zone, "")


def worked(hours: WorkingHours, window: TimeSpan) -> list[str]:
    """Return what is worked in *window*, as UTC times of day."""
    cells = list(indices(working_mask(hours, hours.zone or UTC, window)))
    begins = [c for c in cells if c - 1 not in cells]
    ends = [c + 1 for c in cells if c + 1 not in cells]
    return [
        f"{window.start + b * SLOT_GRID:%H:%M}-{window.start + e * SLOT_GRID:%H:%M}"
        for b, e in zip(begins, ends, strict=True)
    ]


def a_day(text: str) -> TimeSpan:
    return TimeSpan.lasting(at(f"{text}T00:00"), DAY)


# --- names


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("W. Europe Standard Time", "Europe/Berlin"),
        ("Tonga Standard Time", "Pacific/Tongatapu"),
        ("UTC", "Etc/UTC"),
        ("Europe/Lisbon", "Europe/Lisbon"),
        ("America/Argentina/Buenos_Aires", "America/Argentina/Buenos_Aires"),
    ],
)
def test_zones_have_windows_and_iana_names(name: str, key: str) -> None:
    assert zone_of(name) is ZoneInfo(key)


@pytest.mark.parametrize("name", ["supported-timezones-windows", "supported-timezones-iana"])
def test_the_names_in_printed_samples_are_known(name: str) -> None:
    for zone in graph_sample(name)["response"]["value"]:
        assert zone_of(zone["alias"]).tzname(datetime(2026, 3, 1, tzinfo=UTC)), zone


def test_every_windows_name_is_known() -> None:
    for name, key in win_tz.items():
        assert zone_of(name) is ZoneInfo(key), name


@pytest.mark.parametrize(
    "name",
    [
        *("", "Nowhere/Land", "W. Mars Standard Time", "America", "../UTC", "/etc/localtime"),
        *(
            "a\0b",
            "x" * 5000,
            "right/Europe/Berlin",
            "localtime",
            "Factory",
            "leapseconds",
            "\ud800",
        ),
    ],
)
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="time zone"):
        zone_of(name)


# --- zones that Graph describes


def test_a_custom_zone_has_the_sign_that_the_service_uses() -> None:
    zone = custom_zone(PACIFIC)
    assert at("2026-01-15T17:00").astimezone(zone).isoformat() == "2026-01-15T09:00:00-08:00"
    assert at("2026-07-15T16:00").astimezone(zone).isoformat() == "2026-07-15T09:00:00-07:00"


def test_the_printed_custom_zone_is_ahead_of_utc() -> None:
    zone = custom_zone(
        graph_sample("mailboxsettings-workinghours-custom-timezone")["response"]["timeZone"]
    )
    # bias -200, and -100 more from the second Sunday of October to the fourth of May.
    assert datetime(2026, 7, 1, tzinfo=zone).utcoffset() == timedelta(minutes=200)
    assert datetime(2026, 1, 1, tzinfo=zone).utcoffset() == timedelta(minutes=300)


SYDNEY = CustomZone(
    bias=-10 * HOUR,
    daylight_bias=-HOUR,
    daylight_from=YearlyChange(10, 1, 6, time(2)),
    standard_from=YearlyChange(4, 1, 6, time(3)),
)
BERLIN = CustomZone(
    bias=-HOUR,
    daylight_bias=-HOUR,
    daylight_from=YearlyChange(3, 5, 6, time(2)),
    standard_from=YearlyChange(10, 5, 6, time(3)),
)


@pytest.mark.parametrize(
    ("custom", "iana"),
    [
        (custom_zone(PACIFIC), "America/Los_Angeles"),
        (SYDNEY, "Australia/Sydney"),
        (BERLIN, "Europe/Berlin"),
    ],
)
def test_custom_zones_agree_with_iana_both_ways(custom: Any, iana: str) -> None:
    known = ZoneInfo(iana)
    window = TimeSpan(at("2026-01-01T00:00"), at("2028-01-01T00:00"))
    for instant in instants(window, timedelta(minutes=30)):
        wall, expected = instant.astimezone(custom), instant.astimezone(known)
        assert wall.replace(tzinfo=None) == expected.replace(tzinfo=None)
        assert wall.fold == expected.fold
        assert wall.utcoffset() == expected.utcoffset()
        assert wall.dst() == expected.dst()
        assert wall.astimezone(UTC) == instant
    # On the wall, in the hours that clocks skip too.
    for naive in instants(window, timedelta(minutes=30)):
        for fold in (0, 1):
            wall = naive.replace(tzinfo=custom, fold=fold)
            assert wall.utcoffset() == naive.replace(tzinfo=known, fold=fold).utcoffset()


@pytest.mark.parametrize(
    "change",
    [
        {"standardOffset": None},
        {"daylightOffset": None},
        {"standardOffset": {**PACIFIC["standardOffset"], "month": 0}},
        {"daylightOffset": {**PACIFIC["daylightOffset"], "daylightBias": 0}},
        {"daylightOffset": {**PACIFIC["daylightOffset"], "year": 2019}},
    ],
)
def test_without_both_changes_there_is_no_summer_time(change: dict[str, Any]) -> None:
    zone = custom_zone({**PACIFIC, **change})
    assert datetime(2026, 7, 1, tzinfo=zone).utcoffset() == -8 * HOUR
    assert not datetime(2026, 7, 1, tzinfo=zone).dst()


@pytest.mark.parametrize(
    "told",
    [
        {},
        {"bias": None},
        {"bias": 1440},
        {**PACIFIC, "standardOffset": "never"},
        {**PACIFIC, "standardOffset": {"month": 11}},
        {**PACIFIC, "standardOffset": {**PACIFIC["standardOffset"], "month": 13}},
        {**PACIFIC, "standardOffset": {**PACIFIC["standardOffset"], "dayOfWeek": "someday"}},
        {**PACIFIC, "standardOffset": {**PACIFIC["standardOffset"], "dayOccurrence": 6}},
    ],
)
def test_nonsense_is_no_zone(told: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        custom_zone(told)


def test_the_fifth_is_the_last() -> None:
    last = YearlyChange(month=2, occurrence=5, weekday=6, at=time(2))
    assert last.in_year(2026) == datetime(2026, 2, 22, 2)  # noqa: DTZ001  # a time on the wall
    assert YearlyChange(2, 5, 6, time(2), year=2027).in_year(2026) is None


def test_equal_zones_are_one_key() -> None:
    one, two = custom_zone(PACIFIC), custom_zone(json.loads(json.dumps(PACIFIC)))
    assert one == two
    assert hash(one) == hash(two)


# --- hours


def test_hours_are_those_on_the_wall() -> None:
    assert worked(some_hours(ZoneInfo("Europe/Berlin")), a_day("2026-01-14")) == ["08:00-16:00"]
    assert worked(some_hours(ZoneInfo("Europe/Berlin")), a_day("2026-07-14")) == ["07:00-15:00"]
    assert worked(some_hours(ZoneInfo("Asia/Kathmandu")), a_day("2026-01-14")) == ["03:15-11:15"]
    assert worked(some_hours(ZoneInfo("Pacific/Chatham")), a_day("2026-01-14")) == [
        "00:00-03:15",
        "19:15-00:00",
    ]


def test_only_working_days_count() -> None:
    office = WorkingHours(frozenset({0, 1, 2, 3, 4}), time(9), time(17), UTC, "UTC")
    week = TimeSpan.lasting(at("2026-03-02T00:00"), 7 * DAY)
    assert len(worked(office, week)) == 5
    assert worked(office, a_day("2026-03-07")) == []


def test_a_night_shift_belongs_to_the_day_it_begins_on() -> None:
    friday_night = WorkingHours(frozenset({4}), time(22), time(6), UTC, "UTC")
    assert worked(friday_night, a_day("2026-03-06")) == ["22:00-00:00"]
    assert worked(friday_night, a_day("2026-03-07")) == ["00:00-06:00"]
    assert worked(friday_night, a_day("2026-03-08")) == []


def test_a_night_shift_is_shorter_or_longer_when_clocks_change() -> None:
    night = some_hours(ZoneInfo("Europe/Berlin"), "22:00", "06:00")
    forward = TimeSpan.lasting(at("2026-03-28T12:00"), DAY)
    back = TimeSpan.lasting(at("2026-10-24T12:00"), DAY)
    assert worked(night, forward) == ["21:00-04:00"]
    assert worked(night, back) == ["20:00-05:00"]


def test_an_hour_that_is_skipped_is_worked_by_nobody_and_one_that_comes_twice_twice() -> None:
    early = some_hours(ZoneInfo("Europe/Berlin"), "02:00", "03:00")
    assert worked(early, a_day("2026-03-29")) == []
    assert worked(early, a_day("2026-10-25")) == ["00:00-02:00"]


def test_hours_round_the_clock() -> None:
    assert worked(some_hours(UTC, "08:02", "08:02"), a_day("2026-03-02")) == ["00:00-00:00"]


def test_cells_count_when_they_are_worked_wholly() -> None:
    assert worked(some_hours(UTC, "09:01", "16:59"), a_day("2026-03-02")) == ["09:05-16:55"]


@given(
    zone=st.sampled_from(sorted(zoneinfo.available_timezones() - {"localtime", "Factory"})),
    day=st.dates(date(2026, 1, 1), date(2028, 1, 1)),
    days=st.frozensets(st.integers(0, 6)),
    times=st.tuples(*[st.builds(time, st.integers(0, 23), st.sampled_from([0, 5, 30, 45]))] * 2),
)
def test_hours_on_any_day_anywhere(
    zone: str, day: date, days: frozenset[int], times: tuple[time, time]
) -> None:
    hours = WorkingHours(days, *times, ZoneInfo(zone), zone)
    window = TimeSpan.lasting(datetime.combine(day, time(1, 5), UTC), timedelta(hours=70))
    cells = set(indices(working_mask(hours, hours.zone or UTC, window)))
    assert cells == {n for n, i in enumerate(instants(window, SLOT_GRID)) if is_working(hours, i)}


# --- every zone, every change of clocks in three years

BEGIN, END = at("2026-01-01T00:00"), at("2029-01-01T00:00")
OFFICE, NIGHT = (time(1, 30), time(17)), (time(22), time(6, 15))


def changes(zone: ZoneInfo) -> list[datetime]:
    """Return about when clocks change in *zone*: within six hours after."""
    moments = instants(TimeSpan(BEGIN, END), timedelta(hours=6))
    offsets = [moment.astimezone(zone).utcoffset() for moment in moments]
    return [m for m, a, b in zip(moments[1:], offsets, offsets[1:], strict=False) if a != b]


def test_hours_and_steps_agree_with_the_wall_at_every_change_of_clocks() -> None:
    seen = 0
    cases: dict[tuple[Any, ...], str] = {}
    for name in sorted(zoneinfo.available_timezones() - {"localtime", "Factory"}):
        for change in changes(ZoneInfo(name)):
            window = TimeSpan.lasting(change - 18 * HOUR, 36 * HOUR)
            walls = [i.astimezone(ZoneInfo(name)).utcoffset() for i in instants(window, SLOT_GRID)]
            cases.setdefault((window, tuple(walls)), name)
            seen += 1
    # Zones that keep the same time through a change are one case.
    for (window, _), name in cases.items():
        zone = ZoneInfo(name)
        moments = instants(window, SLOT_GRID)
        for start, end in (OFFICE, NIGHT):
            hours = WorkingHours(frozenset({5, 6, 0}), start, end, zone, name)
            cells = set(indices(working_mask(hours, hours.zone or UTC, window)))
            assert cells == {n for n, i in enumerate(moments) if is_working(hours, i)}, name
        hourly = set(indices(step_mask(zone, HOUR, window)))
        assert hourly == {n for n, i in enumerate(moments) if is_on_step(zone, HOUR, i)}, name
    assert seen > 500


@pytest.mark.parametrize("minutes", [5, 10, 15, 30, 60])
def test_steps_through_half_an_hour_of_change(minutes: int) -> None:
    zone, step = ZoneInfo("Australia/Lord_Howe"), timedelta(minutes=minutes)
    window = TimeSpan.lasting(at("2026-04-04T00:05"), 2 * DAY)
    cells = set(indices(step_mask(zone, step, window)))
    assert cells == {
        n for n, i in enumerate(instants(window, SLOT_GRID)) if is_on_step(zone, step, i)
    }
