"""Listings that do not end: nothing is gone, every date is followed, trouble is told once."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from shared.calendar_sync.reconciliation import reconcile_batch
from shared.calendar_sync.sync import sync_series, sync_session
from shared.calendar_sync.unreadable import UNREADABLE_AGAIN, due_item
from shared.changes.model import ChangeKind
from shared.errors import ListingEndless
from shared.ids import EventId
from shared.jobs import DueKind, Job, JobKind, job_for_batch
from shared.sessions import reservations
from shared.sessions.booking import book
from shared.sessions.calendar_events import CalendarEvent
from shared.sessions.missing import SECOND_LOOK
from shared.sessions.model import Cause, Session, SessionState
from shared.sessions.recurrence import Frequency, Repeat
from shared.sessions.series import Booking
from shared.timespan import TimeSpan
from tests.fake_outlook import FakeCalendar
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


class _EndlessSearch(FakeCalendar):
    """The dates of a series can be listed; a search does not end."""

    async def search(
        self, session: Session, further: Sequence[EventId] = ()
    ) -> CalendarEvent | None:
        self.outlook.calls.append("search")
        raise ListingEndless("A listing does not end.", code="listing_endless")


async def test_a_series_is_not_gone_because_the_search_for_it_does_not_end(
    env: BookingEnv,
) -> None:
    booked = await a_series(env)
    await synced(env, booked)
    for event in env.outlook.events:
        event.is_gone = True
    await synced(env, booked)
    env.clock.advance(SECOND_LOOK)
    env.calendar = _EndlessSearch(env.outlook)
    env.outlook.calls.clear()
    dates = await synced(env, booked)
    assert {date.state for date in dates} == {SessionState.SCHEDULED}
    assert all(date.unreadable_since for date in dates)
    assert env.outlook.calls.count("search") == 1
    assert await troubles(env) == 1


async def test_a_date_without_a_known_event_waits_for_its_lost_mailbox(env: BookingEnv) -> None:
    booked = await a_series(env)
    dates = [await env.sessions.get(env.mentee, session.id) for session in booked.sessions]
    for date in dates:
        await reservations.save(env.sessions, replace(date, is_mailbox_lost=True))
    items = [due_item(date, env.clock.now()) for date in dates]
    await env.due.put(items)
    env.jobs.put_jobs.clear()
    env.outlook.calls.clear()
    job = job_for_batch(JobKind.RECONCILE, items)
    await reconcile_batch(job, env.organization, ports=env.ports)
    assert [job.kind for job, _ in env.jobs.put_jobs] == [JobKind.LOOK]
    assert env.outlook.calls == []
    env.clock.advance(UNREADABLE_AGAIN)
    due = [
        item.key
        async for batch in env.due.due(DueKind.RECONCILIATION, env.clock.now())
        for item in batch
    ]
    assert {*due} == {date.id for date in dates}


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
