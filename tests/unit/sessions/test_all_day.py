"""Sessions that the organizer made all-day in Outlook: their dates, their moves, their series."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from shared.adapters.tables.session_rows import session_of, session_values
from shared.calendar_sync.sync import sync_event
from shared.changes.model import ChangeKind
from shared.ids import EventId, ICalUid
from shared.sessions.calendar_events import CalendarEvent
from shared.sessions.holds import Hold
from shared.sessions.model import Session
from shared.sessions.occurrences import load_sessions
from shared.sessions.recording import save_rescheduled
from shared.sessions.recovering import recover_change
from shared.sessions.requests import RescheduleRequest
from shared.sessions.rescheduling import describe_state, find_already_moved, reschedule
from shared.sessions.series import Outcome, PlannedDate, Scope, match_occurrences
from shared.timespan import DateSpan
from tests.builders import a_series, a_session, a_span, at
from tests.fake_outlook import FakeEvent
from tests.unit.sessions.conftest import BookingEnv, a_request, book_one, the_series
from tests.unit.sessions.test_series import a_booked_series

BERLIN = "Europe/Berlin"


def days(first: date, count: int = 1) -> DateSpan:
    return DateSpan(first, first + timedelta(days=count))


def day_of(session: Session) -> DateSpan:
    return days(session.span.start.astimezone(ZoneInfo(BERLIN)).date())


async def synced(env: BookingEnv, event: FakeEvent) -> None:
    env.clock.advance(timedelta(minutes=1))
    await sync_event(env.mentee, event.seen.event_id, None, env.organization, ports=env.ports)


async def an_all_day_session(env: BookingEnv) -> Session:
    """Return a session that was made all-day on the day for which it was booked."""
    caller = env.acting(env.mentee)
    session = await book_one(caller, env.pairing, a_request(), ports=env.ports)
    (event,) = env.outlook.events
    env.calendar.ticked(event, day_of(session), BERLIN)
    await synced(env, event)
    return await env.sessions.get(env.mentee, session.id)


async def test_an_all_day_session_holds_its_day_and_is_told_as_moved(env: BookingEnv) -> None:
    session = await an_all_day_session(env)
    day = DateSpan(date(2026, 3, 3), date(2026, 3, 4))
    assert session.dates == day
    for mailbox in (env.mentee, env.mentor):
        held = await env.sessions.holds(mailbox, session.span, env.clock.now())
        assert held == [Hold(session.id, day.span_in(ZoneInfo(BERLIN)))]
    changes, _ = await env.changes.after(env.organization.id, None, 100)
    assert [c.kind for c in changes] == [ChangeKind.SCHEDULED, ChangeKind.RESCHEDULED]
    assert describe_state(session) == "scheduled for 2026-03-03, all day"


async def test_an_all_day_session_is_moved_to_hours_of_its_own_day(env: BookingEnv) -> None:
    session = await an_all_day_session(env)
    wanted = RescheduleRequest(a_span(at(15, day=1)), BERLIN)
    caller = env.acting(env.mentee)
    (moved,) = await reschedule(caller, env.pairing, session, wanted, ports=env.ports)
    assert (moved.span, moved.dates) == (wanted.span, None)
    assert env.outlook.events[0].seen.dates is None
    found = await find_already_moved(
        caller, moved, wanted, Scope.ONE, sessions=env.sessions, clock=env.clock
    )
    assert found == [moved]


async def test_an_all_day_session_at_the_wanted_hours_is_still_to_be_moved(
    env: BookingEnv,
) -> None:
    session = await an_all_day_session(env)
    same = RescheduleRequest(session.span, BERLIN)
    found = await find_already_moved(
        env.acting(env.mentee), session, same, Scope.ONE, sessions=env.sessions, clock=env.clock
    )
    assert found is None


async def test_a_move_that_outlook_made_all_day_is_not_recorded_as_done(env: BookingEnv) -> None:
    session = await an_all_day_session(env)
    pending = session.with_pending_move(session.span, env.clock.now() + timedelta(minutes=10))
    (event,) = env.outlook.events
    assert await save_rescheduled(pending, event.seen, BERLIN, ports=env.ports) is pending


@pytest.mark.parametrize("is_new", [False, True], ids=["same ids", "new ids"])
async def test_a_series_that_is_made_all_day_is_followed_date_by_date(
    env: BookingEnv, *, is_new: bool
) -> None:
    booked = await a_booked_series(env)
    master = next(e for e in env.outlook.events if e.pattern)
    await synced(env, master)
    env.clock.advance(at(12, day=2) - env.clock.now())  # the first date is over
    ticked(env, master, is_new=is_new)
    env.outlook.events = [
        e for e in env.outlook.events if e.pattern or e.seen.span.end > env.clock.now()
    ]
    await synced(env, master)
    sessions = [await env.sessions.get(env.mentee, s.id) for s in booked.sessions]
    assert [s.dates for s in sessions] == [None, *(day_of(s) for s in booked.sessions[1:])]
    assert sessions[1].span == day_of(booked.sessions[1]).span_in(ZoneInfo(BERLIN))


def ticked(env: BookingEnv, master: FakeEvent, *, is_new: bool = False) -> None:
    """Make the whole series all-day: a date of it begins at midnight by the pattern as well."""
    for event in [e for e in env.outlook.events if e.master is master]:
        local = event.seen.span.start.astimezone(ZoneInfo(BERLIN)).date()
        env.calendar.ticked(event, days(local), BERLIN)
        event.seen = replace(event.seen, original_start=event.seen.span.start)
        if is_new:
            event.seen = replace(event.seen, event_id=EventId(f"new-{event.seen.event_id}"))


async def test_the_dates_of_an_all_day_series_keep_their_length(env: BookingEnv) -> None:
    booked = await a_booked_series(env)
    series, master = the_series(booked), next(e for e in env.outlook.events if e.pattern)
    await synced(env, master)
    ticked(env, master)
    await synced(env, master)
    stored = await env.sessions.get_series(env.mentee, series.id)
    assert stored is not None
    known = await load_sessions(stored, sessions=env.sessions)
    await recover_change(known, env.organization, series=stored, ports=env.ports)
    stored = await env.sessions.get_series(env.mentee, series.id)
    assert stored is not None
    assert {p.span.duration for p in stored.planned} == {timedelta(minutes=30)}
    assert stored.irregular == frozenset()
    wanted = RescheduleRequest(a_span(at(15, day=9)), BERLIN)
    env.outlook.calls.clear()
    moved = await reschedule(
        env.acting(env.mentee), env.pairing, known[1], wanted, Scope.ALL, ports=env.ports
    )
    assert [s.span for s in moved] == [a_span(at(15, day=2 + 7 * n)) for n in range(4)]
    assert {s.dates for s in moved} == {None}
    assert "reschedule_series" in env.outlook.calls


def test_an_all_day_date_is_matched_by_its_day() -> None:
    series = a_series()
    sessions = [a_session(occurrence=n, series_id=series.id) for n in range(3)]
    third = series.planned[2].span.start.date()
    event = a_date_of(days(third))
    assert match_occurrences(series, sessions, [event]) == {2: event}


def test_of_fewer_events_each_is_that_of_the_nearest_date() -> None:
    series = a_series()
    sessions = [
        a_session(occurrence=p.number, series_id=series.id, span=p.span, event_id=f"{p.number}")
        for p in series.planned
    ]
    second = series.planned[1].span.start.date()
    event = replace(a_date_of(days(second + timedelta(days=1))), dates=None)
    assert match_occurrences(series, sessions, [event]) == {1: event}


def weekly(*weeks: int, split_at: int) -> list[CalendarEvent]:
    """Return events of the pattern's hour, some weeks from its first date.

    *split_at*: the week from which on they are of another master.
    """
    spans = [a_span(at(10, day=1 + 7 * week)) for week in weeks]
    return [
        replace(
            a_date_of(days(span.start.date())),
            event_id=EventId(f"week {week}"),
            span=span,
            dates=None,
            original_start=span.start,
            series_master_id=EventId("second" if week >= split_at else "first"),
        )
        for week, span in zip(weeks, spans, strict=True)
    ]


@pytest.mark.parametrize(
    ("dates", "known", "shown", "split_at", "expected"),
    [
        # A skipped date is not that of an event which prolongs the series.
        ((0, 2, 3, 4, 5), 3, (0, 2, 3, 4, 5, 6), 3, (0, 2, 3, 4, 5)),
        ((0, 2, 3, 4, 5), 0, (0, 2, 3, 4, 5, 6), 9, (0, 2, 3, 4, 5)),
        # Nor is one that was deleted just now.
        ((0, 1, 2, 3), 0, (0, 2, 3, 4), 9, (0, None, 2, 3)),
        # The second half is put off by a week, also before any id is known, as is the whole.
        ((0, 1, 2, 3), 2, (0, 1, 3, 4), 3, (0, 1, 3, 4)),
        ((0, 1, 2, 3), 0, (0, 1, 3, 4), 3, (0, 1, 3, 4)),
        ((0, 1, 2, 3), 0, (1, 2, 3, 4), 9, (1, 2, 3, 4)),
        ((0, 2, 3), 0, (1, 3, 4), 9, (1, 3, 4)),
    ],
)
def test_no_date_of_a_series_gets_the_event_of_another(
    dates: tuple[int, ...],
    known: int,
    shown: tuple[int, ...],
    split_at: int,
    expected: tuple[int | None, ...],
) -> None:
    """*known*: the ids of the events of so many weeks are stored."""
    spans = [a_span(at(10, day=1 + 7 * week)) for week in range(max(dates) + 1)]
    outcomes = {n: Outcome.BOOKED if n in dates else Outcome.SKIPPED for n in range(len(spans))}
    planned = tuple(PlannedDate(n, span, outcomes[n]) for n, span in enumerate(spans))
    series = a_series(planned=planned)
    sessions = [
        a_session(
            occurrence=n, series_id=series.id, event_id=f"week {n}" if n < known else f"old {n}"
        )
        for n in dates
    ]
    found = match_occurrences(series, sessions, weekly(*shown, split_at=split_at))
    ids = {f"week {week}": week for week in shown}
    assert tuple(ids[found[n].event_id] if n in found else None for n in dates) == expected


def a_date_of(dates: DateSpan) -> CalendarEvent:
    span = dates.span_in(ZoneInfo(BERLIN))
    return CalendarEvent(
        EventId("new"),
        ICalUid("i"),
        "etag",
        span,
        is_cancelled=False,
        attendees=(),
        is_online_meeting=False,
        join_url=None,
        modified_at=datetime(2026, 3, 1, tzinfo=UTC),
        original_start=span.start,
        dates=dates,
    )


def test_a_row_of_an_older_release_is_not_all_day() -> None:
    session = a_session()
    values = session_values(session)
    assert "dates" not in values
    assert session_of(values, session.organizer, "").dates is None
