"""All-day events: dates, whose instants depend on a zone that Graph does not always tell."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from shared.adapters.graph.event_parsing import parse_event, parse_listed
from shared.errors import EventUnreadable
from shared.sessions.calendar_events import UnreadableEvent
from shared.timespan import DateSpan, TimeSpan
from tests.graph_contract import graph_sample
from tests.unit.adapters.test_graph_events import event

DAY = DateSpan(date(2026, 7, 1), date(2026, 7, 2))
BERLIN = TimeSpan(datetime(2026, 6, 30, 22, tzinfo=UTC), datetime(2026, 7, 1, 22, tzinfo=UTC))
ANYWHERE = TimeSpan(datetime(2026, 6, 30, 10, tzinfo=UTC), datetime(2026, 7, 2, 12, tzinfo=UTC))


def midnight(day: date | str, zone: str = "UTC") -> dict[str, str]:
    return {"dateTime": f"{day}T00:00:00.0000000", "timeZone": zone}


def all_day(zone: str | None, dates: DateSpan = DAY, **changes: Any) -> dict[str, Any]:
    return event(
        isAllDay=True,
        originalStartTimeZone=zone,
        start=midnight(dates.first_on),
        end=midnight(dates.end_on),
        **changes,
    )


@pytest.mark.parametrize("label", ["UTC", "Tokyo Standard Time", "Pacific Standard Time"])
@pytest.mark.parametrize("zone", ["W. Europe Standard Time", "Europe/Berlin"])
def test_an_all_day_event_is_the_day_of_its_organizer(zone: str, label: str) -> None:
    times = {"start": midnight(DAY.first_on, label), "end": midnight(DAY.end_on, label)}
    seen = parse_event(all_day(zone) | times)
    assert (seen.dates, seen.span, seen.span_in("Asia/Tokyo")) == (DAY, BERLIN, BERLIN)


@pytest.mark.parametrize(
    "zone", ["tzone://Microsoft/Custom", "Customized Time Zone", "Nowhere", "", None]
)
def test_without_a_zone_the_zone_of_the_session_counts(zone: str | None) -> None:
    seen = parse_event(all_day(zone))
    assert (seen.dates, seen.span_in("Europe/Berlin")) == (DAY, BERLIN)
    # If that is none either, all that the date can mean is held.
    assert (seen.span, seen.span_in("Nowhere")) == (ANYWHERE, ANYWHERE)


@pytest.mark.parametrize("zone", ["UTC", "tzone://Microsoft/Utc"])
def test_utc_is_no_zone_of_an_occurrence(zone: str) -> None:
    utc = TimeSpan(datetime(2026, 7, 1, tzinfo=UTC), datetime(2026, 7, 2, tzinfo=UTC))
    assert parse_event(all_day(zone)).span_in("Europe/Berlin") == utc
    occurrence = all_day(zone, seriesMasterId="master")
    assert parse_event(occurrence).span_in("Europe/Berlin") == BERLIN


@pytest.mark.parametrize(
    ("first_on", "hours"), [("2026-03-29", 23), ("2026-10-25", 25), ("2026-07-01", 24)]
)
def test_a_day_is_as_long_as_its_clocks_say(first_on: str, hours: int) -> None:
    first = date.fromisoformat(first_on)
    seen = parse_event(all_day("Europe/Berlin", DateSpan(first, first + timedelta(days=1))))
    assert seen.span.duration == timedelta(hours=hours)


def test_an_all_day_event_may_have_several_days() -> None:
    two = DateSpan(date(2026, 7, 1), date(2026, 7, 3))
    seen = parse_event(all_day("Europe/Berlin", two))
    assert (seen.dates, seen.span.duration) == (two, timedelta(days=2))


def test_the_observed_event_is_the_day_of_its_organizer() -> None:
    sample = event() | graph_sample("observed-allday-event")["response"]
    new_york = datetime(2026, 3, 19, 4, tzinfo=UTC)
    assert parse_event(sample).span == TimeSpan.lasting(new_york, timedelta(days=1))


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("2026-07-01T09:00:00", "2026-07-02T00:00:00"),
        ("2026-07-01T00:00:00", "2026-07-01T00:00:00"),
        ("2026-07-02T00:00:00", "2026-07-01T00:00:00"),
        ("0001-01-01T00:00:00", "0001-01-02T00:00:00"),
    ],
)
def test_dates_that_are_none_are_told(start: str, end: str) -> None:
    payload = all_day(None) | {
        name: {"dateTime": at, "timeZone": "UTC"} for name, at in (("start", start), ("end", end))
    }
    with pytest.raises(EventUnreadable):
        parse_event(payload)
    assert isinstance(parse_listed(payload), UnreadableEvent)
