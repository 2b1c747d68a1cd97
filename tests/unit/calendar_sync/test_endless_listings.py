"""Listings that do not end: nothing is gone, every date is followed, trouble is told once."""

from datetime import timedelta

import pytest

from shared.calendar_sync.reconciliation import reconcile_batch
from shared.calendar_sync.sync import sync_series, sync_session
from shared.changes.model import ChangeKind
from shared.jobs import Job, JobKind
from shared.sessions.booking import book
from shared.sessions.missing import SECOND_LOOK
from shared.sessions.model import Cause, Session, SessionState
from shared.sessions.recurrence import Frequency, Repeat
from shared.sessions.series import Booking
from shared.timespan import TimeSpan
from tests.unit.sessions.conftest import BookingEnv, a_booking_env, a_request, book_one, the_series


@pytest.fixture
def env() -> BookingEnv:
    env = a_booking_env()
    env.outlook.tells_attendees = False
    return env


async def a_series(env: BookingEnv) -> Booking:
    request = a_request(repeat=Repeat(Frequency.WEEKLY, count=3), time_zone="UTC")
    return await book(env.acting(env.mentee), env.pairing, request, ports=env.ports)


async def synced(env: BookingEnv, booked: Booking) -> list[Session]:
    await sync_series(the_series(booked), env.organization, Cause.OUTLOOK, ports=env.ports)
    return [await env.sessions.get(env.mentee, session.id) for session in booked.sessions]


async def troubles(env: BookingEnv) -> int:
    changes = await env.changes.recent(env.organization.id, 50)
    return sum(change.kind is ChangeKind.TROUBLE for change in changes)


async def test_dates_of_a_series_that_cannot_be_listed_are_read_one_by_one(env: BookingEnv) -> None:
    booked = await a_series(env)
    await synced(env, booked)
    second = env.outlook.events[2]
    later = TimeSpan.lasting(second.seen.span.start + timedelta(hours=2), second.seen.span.duration)
    env.calendar.moved(second, later)
    env.outlook.lists_endlessly = True
    env.outlook.calls.clear()
    dates = await synced(env, booked)
    assert {date.state for date in dates} == {SessionState.SCHEDULED}
    assert later in {date.span for date in dates}
    assert env.outlook.calls == ["instances", "read", "read", "read"]
    assert await troubles(env) == 0


async def test_dates_that_were_never_listed_are_told_once_and_listed_again(env: BookingEnv) -> None:
    booked = await a_series(env)
    env.outlook.lists_endlessly = True
    for _ in range(2):
        dates = await synced(env, booked)
        assert {date.state for date in dates} == {SessionState.SCHEDULED}
        assert all(date.unreadable_since for date in dates)
        assert await troubles(env) == len(dates)

    env.jobs.put_jobs.clear()
    job = Job(
        JobKind.RECONCILE,
        env.organization.id,
        (env.mentee,) * len(dates),
        tuple(date.id for date in dates),
    )
    await reconcile_batch(job, env.organization, ports=env.ports)
    assert [job.kind for job, _ in env.jobs.put_jobs] == [JobKind.FOLLOW_SERIES]
    env.outlook.lists_endlessly = False
    dates = await synced(env, booked)
    assert all(date.event_id and date.unreadable_since is None for date in dates)


async def test_an_event_is_not_gone_because_a_search_does_not_end(env: BookingEnv) -> None:
    session = await book_one(env.acting(env.mentee), env.pairing, a_request(), ports=env.ports)
    env.outlook.hidden.add(env.outlook.events[0].seen.event_id)
    env.outlook.lists_endlessly = True
    for _ in range(3):
        await sync_session(session, env.organization, Cause.OUTLOOK, ports=env.ports)
        session = await env.sessions.get(session.organizer, session.id)
        assert session.state is SessionState.SCHEDULED
        env.clock.advance(SECOND_LOOK)
    assert session.unreadable_since
    assert await troubles(env) == 1
