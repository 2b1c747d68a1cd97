"""Following events with odd times, and events of which a part cannot be read."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from shared.adapters.tables.session_rows import session_of, session_values
from shared.calendar_sync.reconciliation import reconcile_batch
from shared.calendar_sync.sync import sync_series, sync_session
from shared.changes.model import ChangeKind
from shared.errors import EventUnreadable, Invalid
from shared.jobs import Job, JobKind
from shared.organizations.model import ActingUser
from shared.sessions.booking import book
from shared.sessions.calendar_events import CalendarEvent, EventDraft
from shared.sessions.model import Cause, OddTime, ResponseState, Session, SessionState
from shared.sessions.recovering import recover
from shared.sessions.recurrence import Frequency, MonthlyBy, Repeat
from shared.sessions.requests import RescheduleRequest
from shared.sessions.rescheduling import reschedule
from shared.sessions.series import Occurrence, Scope
from shared.timespan import TimeSpan
from tests.builders import a_span, at
from tests.fake_outlook import FakeCalendar
from tests.unit.sessions.conftest import (
    BookingEnv,
    a_booking_env,
    a_request,
    book_one,
    the_series,
)

ZERO = TimeSpan(at(12, day=1), at(12, day=1))


@pytest.fixture
def env() -> BookingEnv:
    """Provide a new booking environment."""
    return a_booking_env()


async def _synced(env: BookingEnv, session: Session) -> Session:
    current = await env.sessions.get(env.mentee, session.id)
    await sync_session(current, env.organization, Cause.OUTLOOK, ports=env.ports)
    return await env.sessions.get(env.mentee, session.id)


async def _details(env: BookingEnv, kind: ChangeKind) -> list[str]:
    changes, _ = await env.changes.after(env.organization.id, None, 100)
    return [change.detail for change in changes if change.kind is kind]


async def _booked(env: BookingEnv, key: str = "key", hour: int = 10) -> Session:
    request = a_request(key, hour)
    return await book_one(env.acting(env.mentee), env.pairing, request, ports=env.ports)


async def test_a_session_of_zero_minutes_holds_nothing_and_is_listed(env: BookingEnv) -> None:
    first, second = await _booked(env), await _booked(env, "other", 12)
    env.clock.advance(timedelta(minutes=1))
    env.calendar.moved(env.outlook.events[0], a_span(at(12, day=1)))
    assert (await _synced(env, first)).conflicts_with == (second.id,)
    env.clock.advance(timedelta(minutes=1))
    env.calendar.moved(env.outlook.events[0], ZERO)
    seen = await _synced(env, first)
    assert (seen.span, seen.odd_time, seen.conflicts_with) == (ZERO, OddTime.ZERO_MINUTES, ())
    assert (await env.sessions.get(env.mentee, second.id)).conflicts_with == ()
    for mailbox in (env.mentor, env.mentee):
        day = TimeSpan.lasting(at(0, day=1), timedelta(days=1))
        holds = await env.sessions.holds(mailbox, day, env.clock.now())
        assert {hold.session_id for hold in holds} == {second.id}
        assert first.id in env.sessions.ledgers[mailbox].listings
    assert await _details(env, ChangeKind.RESCHEDULED) == ["", "zero_minutes"]
    stored = session_of(session_values(seen), seen.organizer, seen.version)
    assert stored == replace(seen, outbox=stored.outbox)


async def test_a_move_gives_a_session_of_zero_minutes_a_length_again(env: BookingEnv) -> None:
    session = await _booked(env)
    env.calendar.moved(env.outlook.events[0], ZERO)
    seen = await _synced(env, session)
    caller = env.acting(env.mentee)
    for span in (ZERO, TimeSpan(at(14, day=1), at(14, day=1))):
        request = RescheduleRequest(span, "Europe/Berlin")
        with pytest.raises(Invalid, match="no length"):
            await reschedule(caller, env.pairing, seen, request, ports=env.ports)
    request = RescheduleRequest(a_span(at(12, day=1)), "Europe/Berlin")
    (moved,) = await reschedule(caller, env.pairing, seen, request, ports=env.ports)
    assert (moved.span, moved.odd_time) == (a_span(at(12, day=1)), None)
    holds = await env.sessions.holds(env.mentor, moved.span, env.clock.now())
    assert [hold.span for hold in holds] == [moved.span]


@pytest.mark.parametrize("scope", [Scope.ONE, Scope.ALL])
async def test_a_date_of_zero_minutes_moves_with_its_series(env: BookingEnv, scope: Scope) -> None:
    repeat = Repeat(Frequency.WEEKLY, MonthlyBy.DAY_OF_MONTH, count=3)
    caller = env.acting(env.mentee)
    booked = await book(caller, env.pairing, a_request(repeat=repeat), ports=env.ports)
    series = the_series(booked)
    await sync_series(series, env.organization, Cause.OUTLOOK, ports=env.ports)
    occurrences = [event for event in env.outlook.events if event.master]
    start = occurrences[1].seen.span.start
    env.clock.advance(timedelta(minutes=1))
    env.calendar.moved(occurrences[1], TimeSpan(start, start))
    await sync_series(series, env.organization, Cause.OUTLOOK, ports=env.ports)
    sessions = [await env.sessions.get(env.mentee, s.id) for s in booked.sessions]
    assert [s.odd_time for s in sessions] == [None, OddTime.ZERO_MINUTES, None]
    assert [s.unreadable_since for s in sessions] == [None] * 3
    named = sessions[1]
    request = RescheduleRequest(
        TimeSpan.lasting(start + timedelta(hours=2), timedelta(minutes=30)), "Europe/Berlin"
    )
    moved = await reschedule(caller, env.pairing, named, request, scope, ports=env.ports)
    assert {s.odd_time for s in moved} == {None}
    assert {s.span.duration for s in moved} == {timedelta(minutes=30)}


async def test_attendees_that_cannot_be_read_stay_as_they_are_known(env: BookingEnv) -> None:
    session = await _booked(env)
    event, mentor = env.outlook.events[0], env.address(env.mentor)
    env.calendar.answered(event, mentor, ResponseState.ACCEPTED)
    await _synced(env, session)
    whole = event.seen.attendees
    for span, response in (
        (event.seen.span, ResponseState.ACCEPTED),
        (a_span(at(15, day=1)), ResponseState.PENDING),
    ):
        env.clock.advance(timedelta(minutes=1))
        changed = replace(event.seen, span=span, attendees=(), has_all_attendees=False)
        env.calendar._write(event, replace(changed, is_whole=False))
        seen = await _synced(env, session)
        assert (seen.state, seen.span) == (SessionState.SCHEDULED, span)
        assert [(a.address, a.response.state) for a in seen.attendees] == [(mentor, response)]
        assert seen.unreadable_since is not None
    assert await _details(env, ChangeKind.TROUBLE) == ["event_partly_unreadable"]
    env.clock.advance(timedelta(minutes=1))
    changed = replace(event.seen, attendees=whole, has_all_attendees=True, is_whole=True)
    env.calendar._write(event, changed)
    assert (await _synced(env, session)).unreadable_since is None


class _UnreadableList(FakeCalendar):
    """Lists occurrences that cannot be told from each other."""

    async def instances(self, *_: Any) -> list[Occurrence]:
        raise EventUnreadable("An occurrence without an id.")


async def test_a_series_whose_dates_cannot_be_read_is_reported_and_ends_no_session(
    env: BookingEnv,
) -> None:
    repeat = Repeat(Frequency.WEEKLY, MonthlyBy.DAY_OF_MONTH, count=2)
    booked = await book(
        env.acting(env.mentee), env.pairing, a_request(repeat=repeat), ports=env.ports
    )
    env.calendar = _UnreadableList(env.outlook)
    for _ in range(2):
        series = the_series(booked)
        await sync_series(series, env.organization, Cause.OUTLOOK, ports=env.ports)
    sessions = [await env.sessions.get(env.mentee, s.id) for s in booked.sessions]
    assert {s.state for s in sessions} == {SessionState.SCHEDULED}
    assert all(s.unreadable_since for s in sessions)
    assert await _details(env, ChangeKind.TROUBLE) == ["event_unreadable"] * 2


class _SpoiltOnCreation(FakeCalendar):
    """Creates an event that cannot be read."""

    async def create(self, acting: ActingUser, draft: EventDraft) -> CalendarEvent:
        await super().create(acting, draft)
        for event in self.outlook.events:
            event.ends_before_it_starts = True
        raise EventUnreadable("It ends before it starts.")


@pytest.mark.parametrize("repeat", [None, Repeat(Frequency.WEEKLY, count=2)])
async def test_a_booking_whose_event_cannot_be_read_is_recovered_and_reported(
    env: BookingEnv, repeat: Repeat | None
) -> None:
    env.calendar = _SpoiltOnCreation(env.outlook)
    caller, request = env.acting(env.mentee), a_request(repeat=repeat)
    with pytest.raises(EventUnreadable):
        await book(caller, env.pairing, request, ports=env.ports)
    job = next(j for j, _ in env.jobs.put_jobs if j.kind in {JobKind.VERIFY, JobKind.SERIES})
    env.clock.advance(timedelta(minutes=2))
    for _ in range(2):
        await recover(job, env.organization, ports=env.ports)
    sessions = [
        entry
        for entry in env.sessions.ledgers[env.mentee].sessions.values()
        if isinstance(entry, Session)
    ]
    assert {s.state for s in sessions} == {SessionState.SCHEDULED}
    for session in sessions:
        batch = Job(JobKind.RECONCILE, env.organization.id, (env.mentee,), (session.id,))
        if session.event_id is not None:
            await reconcile_batch(batch, env.organization, ports=env.ports)
    if repeat is None:
        assert await _details(env, ChangeKind.TROUBLE) == ["event_unreadable"]
    # A retry of the request gets the booking.
    again = await book(caller, env.pairing, request, ports=env.ports)
    assert {s.id for s in again.sessions} == {s.id for s in sessions}
