from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import Invalid
from shared.sessions.recurrence import (
    MAX_OCCURRENCES,
    Frequency,
    MonthlyBy,
    Pattern,
    Repeat,
    cover_with_windows,
    occurrence_dates,
    occurrence_spans,
    shift_like,
)
from shared.timespan import TimeSpan
from tests.builders import a_span

BERLIN = ZoneInfo("Europe/Berlin")
HALF_AN_HOUR = timedelta(minutes=30)
LONGEST = timedelta(days=42)


def starts(local: str, zone: ZoneInfo, repeat: Repeat) -> list[str]:
    """Return the local times of a series that starts at *local*."""
    start = datetime.fromisoformat(local).replace(tzinfo=zone).astimezone(UTC)
    spans = occurrence_spans(start, HALF_AN_HOUR, zone, repeat)
    return [f"{span.start.astimezone(zone):%Y-%m-%d %H:%M}" for span in spans]


def test_the_hour_stays_when_clocks_change() -> None:
    found = starts("2026-03-16T09:00", BERLIN, Repeat(Frequency.WEEKLY, count=4))
    assert found == [
        "2026-03-16 09:00",
        "2026-03-23 09:00",
        "2026-03-30 09:00",
        "2026-04-06 09:00",
    ]


def test_an_hour_that_is_skipped_starts_later() -> None:
    found = starts("2026-03-22T02:30", BERLIN, Repeat(Frequency.WEEKLY, count=3))
    assert found == ["2026-03-22 02:30", "2026-03-29 03:30", "2026-04-05 02:30"]


def test_of_an_hour_that_comes_twice_the_first_is_meant() -> None:
    start = datetime(2026, 10, 18, 2, 30, tzinfo=BERLIN).astimezone(UTC)
    _, second = occurrence_spans(start, HALF_AN_HOUR, BERLIN, Repeat(Frequency.WEEKLY, count=2))
    assert second.start == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)


def test_the_first_session_is_the_instant_that_was_said() -> None:
    said = datetime(2026, 10, 25, 1, 30, tzinfo=UTC)  # the second 02:30 of that night
    first, second = occurrence_spans(said, HALF_AN_HOUR, BERLIN, Repeat(Frequency.WEEKLY, count=2))
    assert first.start == said
    assert second.start == datetime(2026, 11, 1, 1, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("first", "repeat", "expected"),
    [
        ("2026-03-03", Repeat(Frequency.BIWEEKLY, count=3), ["03-03", "03-17", "03-31"]),
        (
            "2026-03-03",
            Repeat(Frequency.WEEKLY, until=date(2026, 3, 17)),
            ["03-03", "03-10", "03-17"],
        ),
        (
            "2026-01-31",
            Repeat(Frequency.MONTHLY, count=4),
            ["01-31", "02-28", "03-31", "04-30"],
        ),
        (
            "2026-03-10",
            Repeat(Frequency.MONTHLY, MonthlyBy.WEEKDAY, count=3),
            ["03-10", "04-14", "05-12"],
        ),
        (
            "2026-03-31",
            Repeat(Frequency.MONTHLY, MonthlyBy.WEEKDAY, count=3),
            ["03-31", "04-28", "05-26"],
        ),
        (
            "2026-02-24",
            Repeat(Frequency.MONTHLY, MonthlyBy.LAST_WEEKDAY, count=3),
            ["02-24", "03-31", "04-28"],
        ),
    ],
)
def test_dates(first: str, repeat: Repeat, expected: list[str]) -> None:
    assert [
        f"{day:%m-%d}" for day in occurrence_dates(date.fromisoformat(first), repeat)
    ] == expected


@pytest.mark.parametrize(
    ("repeat", "field"),
    [
        (Repeat(Frequency.WEEKLY, count=1), "body.repeat.count"),
        (Repeat(Frequency.WEEKLY, count=53), "body.repeat.count"),
        (Repeat(Frequency.WEEKLY, until=date(2026, 3, 9)), "body.repeat.until"),
        (Repeat(Frequency.WEEKLY, until=date(2027, 3, 9)), "body.repeat.until"),
        (Repeat(Frequency.WEEKLY), "body.repeat"),
        (Repeat(Frequency.WEEKLY, count=3, until=date(2026, 4, 1)), "body.repeat"),
        (
            Repeat(Frequency.MONTHLY, MonthlyBy.LAST_WEEKDAY, count=3),
            "body.repeat.monthly_by",
        ),
    ],
)
def test_repeat_that_is_no_series_is_refused(repeat: Repeat, field: str) -> None:
    with pytest.raises(Invalid) as refusal:
        occurrence_dates(date(2026, 3, 3), repeat)
    assert refusal.value.field == field


def test_fifty_two_weeks_are_a_series() -> None:
    repeat = Repeat(Frequency.WEEKLY, count=MAX_OCCURRENCES)
    assert len(occurrence_dates(date(2026, 3, 3), repeat)) == 52


def test_a_pattern_knows_its_week_of_the_month() -> None:
    def week(day: int, by: MonthlyBy = MonthlyBy.WEEKDAY) -> int:
        anchor = date(2026, 3, day)
        return Pattern(Frequency.MONTHLY, by, anchor, anchor, 3).week_of_month

    assert [week(1), week(7), week(8), week(28), week(29), week(31)] == [1, 1, 2, 4, 5, 5]
    assert week(24, MonthlyBy.LAST_WEEKDAY) == 5


def test_a_series_moves_by_days_and_to_another_hour() -> None:
    repeat = Repeat(Frequency.WEEKLY, count=3)
    first = datetime(2026, 3, 16, 8, tzinfo=UTC)  # 09:00 in Berlin
    spans = occurrence_spans(first, HALF_AN_HOUR, BERLIN, repeat)
    to = TimeSpan.lasting(datetime(2026, 3, 17, 13, tzinfo=UTC), timedelta(hours=1))  # 14:00
    moved = [shift_like(span, first, to, BERLIN) for span in spans]
    assert [f"{span.start.astimezone(BERLIN):%m-%d %H:%M}" for span in moved] == [
        "03-17 14:00",
        "03-24 14:00",
        "03-31 14:00",
    ]
    assert {span.duration for span in moved} == {timedelta(hours=1)}


@given(gaps=st.lists(st.integers(1, 60), min_size=1, max_size=52))
def test_windows_are_few_and_leave_no_span_out(gaps: list[int]) -> None:
    first, day = a_span(), 0
    spans = [first]
    for gap in gaps:
        day += gap
        spans.append(TimeSpan.lasting(first.start + timedelta(days=day), first.duration))
    windows = cover_with_windows(spans, LONGEST)
    assert all(window.duration <= LONGEST for window in windows)
    assert all(any(window.covers(span) for window in windows) for span in spans)
    assert len(windows) <= len(spans)


def test_twelve_weeks_fit_two_looks_into_the_calendars() -> None:
    first = a_span()
    spans = [
        TimeSpan.lasting(first.start + n * timedelta(weeks=1), first.duration) for n in range(12)
    ]
    assert len(cover_with_windows(spans, LONGEST)) == 2


def changes_of_clocks(zone: ZoneInfo) -> Iterator[datetime]:
    """Yield each hour after which *zone* has another UTC offset than at the start of the day."""
    day = datetime(2026, 3, 1, tzinfo=UTC)
    for _ in range(1035):
        hours = [day + timedelta(hours=n) for n in range(25)]
        if hours[0].astimezone(zone).utcoffset() != hours[-1].astimezone(zone).utcoffset():
            offsets = [at.astimezone(zone).utcoffset() for at in hours]
            yield next(
                at for at, offset in zip(hours, offsets, strict=True) if offset == offsets[-1]
            )
        day += timedelta(days=1)


def oracle(day: date, clock: datetime, zone: ZoneInfo) -> datetime:
    """Return the first instant with that local time, by trying every five minutes.

    A local time that no instant has was skipped: it moves later by the length of the gap.
    """
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC) - timedelta(hours=15)
    for minutes in range(0, 48 * 60, 5):
        at = midnight + timedelta(minutes=minutes)
        wall = at.astimezone(zone)
        if wall.date() == day and (wall.hour, wall.minute) == (clock.hour, clock.minute):
            return at
    wanted = datetime(day.year, day.month, day.day, clock.hour, clock.minute)  # noqa: DTZ001 - a wall clock
    for minutes in range(0, 48 * 60, 5):
        at = midnight + timedelta(minutes=minutes)
        if at.astimezone(zone).replace(tzinfo=None) > wanted:
            before = at - timedelta(minutes=5)
            shown = before.astimezone(zone).replace(tzinfo=None)
            return before + (wanted - shown)
    raise AssertionError("no such time")


ZONES = sorted(available_timezones() - {"localtime", "Factory"})


def test_every_change_of_clocks_of_every_zone_agrees_with_the_wall() -> None:
    checked = 0
    seen: set[tuple[object, ...]] = set()
    for name in ZONES:
        zone = ZoneInfo(name)
        changes = tuple(changes_of_clocks(zone))
        before = changes[0] - timedelta(days=10) if changes else datetime(2026, 3, 1, tzinfo=UTC)
        # Zones with the same offset and the same changes are one zone to this test.
        alike = (
            before.astimezone(zone).utcoffset(),
            *((c, c.astimezone(zone).utcoffset()) for c in changes),
        )
        if alike in seen:
            continue
        seen.add(alike)
        for change in changes:
            checked += 1
            # Around the hour of the change, a week before it: the second session meets it.
            for hours in (-2, -1, 0, 1):
                said = change - timedelta(weeks=1) + timedelta(hours=hours, minutes=30)
                start = said.astimezone(zone)
                spans = occurrence_spans(
                    said, HALF_AN_HOUR, zone, Repeat(Frequency.WEEKLY, count=3)
                )
                for number, span in enumerate(spans[1:], start=1):
                    day = start.date() + timedelta(weeks=number)
                    assert span.start == oracle(day, start, zone), (name, said, number)
    assert checked > 100
