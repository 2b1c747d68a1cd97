"""Graph's formats of a time."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.adapters.graph.times import (
    read_instant,
    read_span,
    read_time,
    to_date_time_zone,
    to_local_time,
    zone_name,
)
from shared.errors import CalendarUnavailable

INSTANTS = st.integers(0, 20 * 365 * 24 * 60).map(
    lambda minutes: datetime(2020, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
)
ZONES = ["UTC", "Europe/Berlin", "W. Europe Standard Time", "America/New_York", "Asia/Kolkata"]
ZONES += ["Pacific/Chatham", "Australia/Lord_Howe", "Africa/Casablanca", "Pacific Standard Time"]
ZONES += ["America/Caracas", "Antarctica/Troll", "Etc/GMT+3"]


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2019-08-01T07:06:24.5046431Z", datetime(2019, 8, 1, 7, 6, 24, 504643, UTC)),
        ("2019-08-01T07:06:24Z", datetime(2019, 8, 1, 7, 6, 24, tzinfo=UTC)),
        ("2026-03-08T09:00:00.0000000+00:00", datetime(2026, 3, 8, 9, tzinfo=UTC)),
        ("2026-03-08T10:00:00+01:00", datetime(2026, 3, 8, 9, tzinfo=UTC)),
        ("2026-03-08T09:00:00", datetime(2026, 3, 8, 9, tzinfo=UTC)),
        ("0001-01-01T00:00:00Z", None),
        ("4501-01-01T00:00:00Z", None),
        (None, None),
    ],
)
def test_reads_instants(text: str | None, instant: datetime | None) -> None:
    assert read_instant(text) == instant


@pytest.mark.parametrize("text", ["", "yesterday", "2019-13-01T00:00:00Z"])
def test_an_instant_that_is_none_is_told(text: str) -> None:
    with pytest.raises(CalendarUnavailable):
        read_instant(text)


def test_reads_what_is_in_another_zone() -> None:
    payload = {"dateTime": "2019-08-15T12:00:00.0000000", "timeZone": "Pacific Standard Time"}
    assert read_time(payload) == datetime(2019, 8, 15, 19, tzinfo=UTC)
    assert read_time(payload).tzinfo is UTC


@pytest.mark.parametrize(
    "payload",
    [
        None,
        {},
        {"dateTime": None},
        {"dateTime": "x"},
        {"dateTime": "2020-01-01T00:00"},
        {"dateTime": "2020-01-01T00:00", "timeZone": None},
        {"dateTime": "2020-01-01T00:00", "timeZone": "?"},
        {"dateTime": "2020-01-01T00:00", "timeZone": "tzone://Microsoft/Custom"},
        {"dateTime": "0001-01-01T00:00:00.0000000", "timeZone": "UTC"},
        {"dateTime": "9999-12-31T23:59:00", "timeZone": "Pacific Standard Time"},
    ],
)
def test_a_time_that_is_none_is_told(payload: dict[str, Any]) -> None:
    with pytest.raises(CalendarUnavailable):
        read_time(payload)


def test_a_span_that_ends_before_it_starts_is_told() -> None:
    nine = {"dateTime": "2026-03-01T09:00:00.0000000", "timeZone": "UTC"}
    ten = {"dateTime": "2026-03-01T10:00:00.0000000", "timeZone": "UTC"}
    with pytest.raises(CalendarUnavailable):
        read_span(ten, nine)


def test_a_span_of_zero_minutes_is_read() -> None:
    nine = {"dateTime": "2026-03-01T09:00:00.0000000", "timeZone": "UTC"}
    assert read_span(nine, nine).is_empty


def test_writes_the_wall_clock_and_the_windows_name() -> None:
    written = to_date_time_zone(datetime(2026, 7, 1, 9, tzinfo=UTC), "Europe/Berlin")
    assert (written.date_time, written.time_zone) == (
        "2026-07-01T11:00:00",
        "W. Europe Standard Time",
    )


def test_an_unknown_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="zone"):
        to_date_time_zone(datetime(2026, 7, 1, 9, tzinfo=UTC), "Europe/Atlantis")


@pytest.mark.parametrize("fold", [0, 1])
def test_an_hour_that_comes_twice_is_not_mistaken(fold: int) -> None:
    wall = datetime(2026, 10, 25, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"), fold=fold)
    instant = wall.astimezone(UTC)
    written = to_date_time_zone(instant, "Europe/Berlin")
    assert written.time_zone == "UTC"
    assert read_time({"dateTime": written.date_time, "timeZone": written.time_zone}) == instant


@given(INSTANTS, st.sampled_from(ZONES))
def test_times_round_trip(instant: datetime, zone: str) -> None:
    written = to_date_time_zone(instant, zone)
    again = read_time({"dateTime": written.date_time, "timeZone": written.time_zone})
    assert abs(again - instant) < timedelta(seconds=1)


# --- every zone, every change of clocks in three years


def around_changes(zone: ZoneInfo) -> list[datetime]:
    """Return the instants around each change of clocks in *zone*, and one per month."""
    moments = [datetime(2026, 1, 1, 12, tzinfo=UTC) + timedelta(days=n) for n in range(1096)]
    offsets = [moment.astimezone(zone).utcoffset() for moment in moments]
    found = moments[::30]
    for moment, before, after in zip(moments[1:], offsets, offsets[1:], strict=False):
        if before != after:
            found += [moment - timedelta(minutes=30 * n) for n in range(-4, 52)]
    return found


def test_written_time_is_the_same_instant_in_any_zone() -> None:
    checked, named = 0, set()
    for name in sorted(available_timezones() - {"localtime", "Factory"}):
        for instant in around_changes(ZoneInfo(name)):
            written = to_date_time_zone(instant, name)
            payload = {"dateTime": written.date_time, "timeZone": written.time_zone}
            assert read_time(payload) == instant.replace(second=0), (name, instant, payload)
            checked += 1
            if written.time_zone != "UTC":
                named.add(name)
    assert checked > 50_000
    # Outlook has the organizer's own zone for nearly all zones.
    assert len(named) > 560


@pytest.mark.parametrize(
    ("zone", "sent"),
    [
        ("America/Scoresbysund", "America/Scoresbysund"),  # CLDR's table maps it to the Azores
        ("PST8PDT", "Pacific Standard Time"),
        ("Asia/Kolkata", "India Standard Time"),
        ("Tokyo Standard Time", "Tokyo Standard Time"),
        ("GMT", "UTC"),
    ],
)
def test_a_series_is_sent_in_a_zone_whose_clocks_are_those_of_its_organizer(
    zone: str, sent: str
) -> None:
    assert zone_name(zone) == sent
    assert to_local_time(datetime(2026, 7, 1, 9, tzinfo=UTC), zone).time_zone == sent


@pytest.mark.parametrize("name", ["w. europe standard time", "europe/BERLIN"])
def test_a_zone_is_known_in_any_letter_case(name: str) -> None:
    at = read_time({"dateTime": "2026-07-01T09:00:00", "timeZone": name})
    assert at == datetime(2026, 7, 1, 7, tzinfo=UTC)


def test_a_retired_name_of_a_zone_is_known() -> None:
    at = read_time({"dateTime": "2026-07-01T09:00:00", "timeZone": "Malay Peninsula Standard Time"})
    assert at == datetime(2026, 7, 1, 1, tzinfo=UTC)
