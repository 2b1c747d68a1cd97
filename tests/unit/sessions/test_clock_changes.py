"""Series over the nights in which clocks change: every date has the length that was asked for.

What Outlook has is computed here by itself: one local start and one local end for all dates.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest

from shared.calendar_sync.sync import sync_event, sync_series
from shared.changes.model import ChangeKind
from shared.errors import Invalid
from shared.sessions.booking import book
from shared.sessions.model import Cause, ResponseState, Session, SessionState
from shared.sessions.recurrence import (
    Frequency,
    MonthlyBy,
    Repeat,
    follows_pattern,
    occurrence_spans,
)
from shared.sessions.requests import RescheduleRequest
from shared.sessions.rescheduling import reschedule
from shared.sessions.series import Booking, Scope
from shared.timespan import TimeSpan
from tests.feed import assert_feed_matches
from tests.unit.sessions.conftest import BookingEnv, a_request, the_series

BERLIN = ZoneInfo("Europe/Berlin")
YEARS = datetime(2027, 1, 1, tzinfo=UTC), datetime(2029, 1, 1, tzinfo=UTC)
QUARTER = timedelta(minutes=15)
REPEATS = [
    Repeat(Frequency.WEEKLY, count=3),
    Repeat(Frequency.BIWEEKLY, count=2),
    Repeat(Frequency.MONTHLY, count=2),
    Repeat(Frequency.MONTHLY, MonthlyBy.WEEKDAY, count=2),
]
LENGTHS = [timedelta(minutes=15), timedelta(minutes=45), timedelta(hours=2)]


def changes_of(zone: ZoneInfo) -> list[datetime]:
    """Return the instants of two years at which the clocks of *zone* change."""
    found = []
    at, last = YEARS
    while at < last:
        day_later = at + timedelta(days=1)
        if at.astimezone(zone).utcoffset() != day_later.astimezone(zone).utcoffset():
            while at.astimezone(zone).utcoffset() == (at + QUARTER).astimezone(zone).utcoffset():
                at += QUARTER
            found.append(at + QUARTER)
        at = day_later
    return found


def zones_by_behaviour() -> list[tuple[str, list[datetime]]]:
    """Return every zone whose clocks change, once for all that change alike."""
    found: dict[tuple[object, ...], tuple[str, list[datetime]]] = {}
    for name in sorted(available_timezones()):
        zone = ZoneInfo(name)
        changes = changes_of(zone)
        offsets = [
            (at, (at - QUARTER).astimezone(zone).utcoffset(), at.astimezone(zone).utcoffset())
            for at in changes
        ]
        if changes:
            found.setdefault(tuple(offsets), (name, changes))
    return list(found.values())


def starts_around(change: datetime, zone: ZoneInfo) -> Iterator[tuple[date, time]]:
    """Yield the local starts of a series one of whose dates is around *change*."""
    on = change.astimezone(zone)
    for steps in range(-14, 11):
        wall = on.replace(tzinfo=None) + steps * QUARTER
        yield wall.date(), wall.time()
    yield on.date(), time(12)


def in_outlook(first: TimeSpan, day: date, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """Return start and end of the date *day* of a series whose first date is *first*."""
    start, end = (each.astimezone(zone).replace(tzinfo=None) for each in (first.start, first.end))
    wall = datetime.combine(day, start.time())
    return (
        wall.replace(tzinfo=zone).astimezone(UTC),
        (wall + (end - start)).replace(tzinfo=zone).astimezone(UTC),
    )


def test_what_a_pattern_gives_is_known_for_every_zone_and_change() -> None:
    checked = irregular = 0
    zones = zones_by_behaviour()
    assert len(zones) > 20
    for name, changes in zones:
        zone = ZoneInfo(name)
        for change in changes:
            for on, wall in starts_around(change, zone):
                for repeat in REPEATS:
                    back = 7 if repeat.frequency is Frequency.WEEKLY else 14
                    if repeat.frequency is Frequency.MONTHLY:
                        back = 0
                    local = datetime.combine(on - timedelta(days=back), wall)
                    start = local.replace(tzinfo=zone).astimezone(UTC)
                    for length in LENGTHS:
                        first, *others = occurrence_spans(start, length, zone, repeat)
                        if not follows_pattern(first, start.astimezone(zone).time(), zone):
                            irregular += 1
                            continue
                        for span in others:
                            day = span.start.astimezone(zone).date()
                            shown = in_outlook(first, day, zone)
                            assert span.duration == length
                            if follows_pattern(span, local.time(), zone):
                                assert shown == (span.start, span.end), (name, local, length)
                            else:
                                irregular += 1
                            checked += 1
    assert checked > 20_000
    assert irregular > 500


# --- the same, booked


async def a_weekly(env: BookingEnv, start: str, minutes: int, count: int = 3) -> Booking:
    at = datetime.fromisoformat(start)
    zoned = at if at.tzinfo else at.replace(tzinfo=BERLIN)
    env.clock.advance(zoned - timedelta(days=3) - env.clock.now())
    request = a_request(
        start=zoned.astimezone(UTC),
        duration=timedelta(minutes=minutes),
        time_zone="Europe/Berlin",
        repeat=Repeat(Frequency.WEEKLY, count=count),
    )
    return await book(env.acting(env.mentee), env.pairing, request, ports=env.ports)


async def stored(env: BookingEnv, booked: Booking) -> list[Session]:
    return [await env.sessions.get(env.mentee, s.id) for s in booked.sessions]


def in_calendar(env: BookingEnv) -> list[TimeSpan]:
    return sorted(e.seen.span for e in env.outlook.events if not e.is_gone and not e.pattern)


@pytest.mark.parametrize(
    ("start", "minutes"),
    [
        ("2027-03-28T01:30", 60),  # the clocks go forward during it
        ("2027-03-28T01:45", 15),  # it ends when they do
        ("2027-10-31T01:30", 60),  # it ends in an hour that occurs twice
        ("2027-10-31T01:30", 120),
        ("2027-10-31T02:30+01:00", 30),  # the second of two equal hours
        ("2027-10-31T02:30+02:00", 30),  # the first
    ],
)
async def test_a_series_does_not_start_when_clocks_change(
    env: BookingEnv, start: str, minutes: int
) -> None:
    with pytest.raises(Invalid, match="clocks change") as caught:
        await a_weekly(env, start, minutes)
    assert caught.value.field == "body.start"
    assert env.outlook.calls == []
    assert not any(ledger.holds for ledger in env.sessions.ledgers.values())


@pytest.mark.parametrize(
    ("start", "minutes"),
    [
        ("2027-03-21T01:30", 60),
        ("2027-03-21T02:45", 30),  # a week later its hour is skipped
        ("2027-03-21T02:15", 15),
        ("2027-10-24T01:30", 60),
        ("2027-10-24T02:15", 30),
        ("2027-10-24T01:30", 120),
    ],
)
async def test_a_later_date_has_the_length_that_was_asked_for(
    env: BookingEnv, start: str, minutes: int
) -> None:
    booked = await a_weekly(env, start, minutes)
    sessions = await stored(env, booked)
    assert {s.span.duration for s in sessions} == {timedelta(minutes=minutes)}
    assert in_calendar(env) == [s.span for s in sessions]
    assert {s.state for s in sessions} == {SessionState.SCHEDULED}
    assert "instances" in env.outlook.calls  # what Outlook made of them was looked at
    await sync_series(the_series(booked), env.organization, Cause.OUTLOOK, ports=env.ports)
    again = await stored(env, booked)
    assert [s.span for s in again] == [s.span for s in sessions]
    assert_feed_matches(await env.changes.recent(env.organization.id, 20), again)


async def test_a_series_that_is_moved_keeps_its_length_when_clocks_change(env: BookingEnv) -> None:
    booked = await a_weekly(env, "2027-03-21T12:00", 60)
    to = datetime(2027, 3, 21, 1, 30, tzinfo=BERLIN).astimezone(UTC)
    env.clock.advance(timedelta(days=-1))
    request = RescheduleRequest(TimeSpan.lasting(to, timedelta(hours=1)), "Europe/Berlin")
    first = booked.sessions[0]
    await reschedule(
        env.acting(env.mentee), env.pairing, first, request, Scope.ALL, ports=env.ports
    )
    assert in_calendar(env) == [s.span for s in await stored(env, booked)]
    assert {span.duration for span in in_calendar(env)} == {timedelta(hours=1)}


async def test_one_date_that_cannot_be_read_does_not_spoil_the_others(env: BookingEnv) -> None:
    booked = await a_weekly(env, "2027-03-21T12:00", 30)
    series = the_series(booked)
    await sync_series(series, env.organization, Cause.OUTLOOK, ports=env.ports)
    _, odd, answered = [e for e in env.outlook.events if e.master]
    odd.ends_before_it_starts = True
    env.calendar.answered(answered, env.address(env.mentor), ResponseState.ACCEPTED)
    for _ in range(2):
        await sync_series(series, env.organization, Cause.OUTLOOK, ports=env.ports)
        await sync_event(env.mentee, odd.seen.event_id, None, env.organization, ports=env.ports)
    first, second, third = await stored(env, booked)
    assert (first.unreadable_since, third.unreadable_since) == (None, None)
    assert second.unreadable_since is not None
    assert second.state is SessionState.SCHEDULED
    assert third.attendees[0].response.state is ResponseState.ACCEPTED
    told = await env.changes.recent(env.organization.id, 20)
    assert [(c.session_id, c.detail) for c in told if c.kind is ChangeKind.TROUBLE] == [
        (second.id, "event_unreadable")
    ]


async def test_a_date_that_can_be_read_again_is_moved_with_the_series(env: BookingEnv) -> None:
    booked = await a_weekly(env, "2027-03-21T12:00", 30)
    _, odd, _ = [e for e in env.outlook.events if e.master]
    odd.ends_before_it_starts = True
    series = the_series(booked)
    await sync_series(series, env.organization, Cause.OUTLOOK, ports=env.ports)
    to = booked.sessions[0].span.start + timedelta(hours=2)
    request = RescheduleRequest(TimeSpan.lasting(to, timedelta(minutes=30)), "Europe/Berlin")
    await reschedule(
        env.acting(env.mentee),
        env.pairing,
        booked.sessions[0],
        request,
        Scope.ALL,
        ports=env.ports,
    )
    await sync_series(series, env.organization, Cause.OUTLOOK, ports=env.ports)
    sessions = await stored(env, booked)
    assert {s.unreadable_since for s in sessions} == {None}
    assert in_calendar(env) == [s.span for s in sessions]
