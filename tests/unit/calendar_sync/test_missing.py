"""An event that is not found by its id: one look ends no session."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from shared.calendar_sync.reconciliation import reconcile_batch
from shared.calendar_sync.sync import sync_event, sync_series, sync_session
from shared.changes.model import ChangeKind
from shared.errors import CalendarUnavailable, Conflict
from shared.jobs import DueKind, Job, JobKind
from shared.sessions import reservations
from shared.sessions.booking import book
from shared.sessions.cancelling import cancel
from shared.sessions.missing import SECOND_LOOK
from shared.sessions.model import Cause, ResponseState, Session, SessionState
from shared.sessions.recurrence import Frequency, Repeat
from shared.sessions.requests import RescheduleRequest
from shared.sessions.rescheduling import reschedule
from shared.sessions.series import Continuation, Series
from shared.sessions.series_splits import find_split
from tests.builders import a_span, at
from tests.unit.sessions.conftest import BookingEnv, a_booking_env, a_request, book_one, the_series


@pytest.fixture
def env() -> BookingEnv:
    env = a_booking_env()
    env.outlook.tells_attendees = False  # the cancellation is still on its way
    return env


async def a_session(env: BookingEnv) -> Session:
    return await book_one(env.acting(env.mentee), env.pairing, a_request(), ports=env.ports)


async def looked_at(env: BookingEnv, session: Session) -> Session:
    """Reconcile as the jobs do that a first look enqueues, and return the session."""
    job = Job(JobKind.RECONCILE, env.organization.id, (session.organizer,), (session.id,))
    await reconcile_batch(job, env.organization, ports=env.ports)
    return await env.sessions.get(session.organizer, session.id)


async def kinds(env: BookingEnv) -> list[ChangeKind | str]:
    return [change.kind for change in await env.changes.recent(env.organization.id, 50)]


async def test_a_404_that_passes_ends_nothing(env: BookingEnv) -> None:
    session = await a_session(env)
    event = env.outlook.events[0]
    env.outlook.hidden.add(event.seen.event_id)
    seen = await sync_session(session, env.organization, Cause.OUTLOOK, ports=env.ports)
    assert seen.state is SessionState.SCHEDULED
    assert [delay for job, delay in env.jobs.put_jobs if job.kind is JobKind.RECONCILE][-1] > (
        SECOND_LOOK
    )
    env.clock.advance(timedelta(seconds=10))
    assert (await looked_at(env, session)).state is SessionState.SCHEDULED
    env.outlook.hidden.clear()
    env.calendar.answered(event, env.address(env.mentor), ResponseState.ACCEPTED)
    env.clock.advance(SECOND_LOOK)
    found = await looked_at(env, session)
    assert (found.state, found.missing_since) == (SessionState.SCHEDULED, None)
    assert found.attendees[0].response.state is ResponseState.ACCEPTED
    assert ChangeKind.CANCELLED not in await kinds(env)


async def test_an_event_under_another_id_is_found_by_its_uid(env: BookingEnv) -> None:
    session = await a_session(env)
    event = env.outlook.events[0]
    env.outlook.hidden.add(event.seen.event_id)
    await sync_session(session, env.organization, Cause.OUTLOOK, ports=env.ports)
    env.calendar.answered(event, env.address(env.mentor), ResponseState.ACCEPTED)
    env.clock.advance(SECOND_LOOK)
    found = await looked_at(env, session)
    assert found.state is SessionState.SCHEDULED
    assert found.attendees[0].response.state is ResponseState.ACCEPTED


async def test_a_deleted_event_ends_its_session_at_the_second_look(env: BookingEnv) -> None:
    session = await a_session(env)
    env.outlook.events[0].is_gone = True
    await sync_session(session, env.organization, Cause.OUTLOOK, ports=env.ports)
    assert (await looked_at(env, session)).state is SessionState.SCHEDULED
    env.clock.advance(SECOND_LOOK)
    assert (await looked_at(env, session)).state is SessionState.CANCELLED
    assert (await kinds(env))[-1] is ChangeKind.CANCELLED
    assert await env.sessions.holds(env.mentor, session.span, env.clock.now()) == []


async def test_a_cancellation_that_has_reached_an_attendee_counts_at_once(env: BookingEnv) -> None:
    session = await a_session(env)
    env.outlook.events[0].is_gone = env.outlook.tells_attendees = True
    seen = await sync_session(session, env.organization, Cause.OUTLOOK, ports=env.ports)
    assert seen.state is SessionState.CANCELLED


async def test_a_series_that_is_not_found_is_looked_for_as_well(env: BookingEnv) -> None:
    request = a_request(repeat=Repeat(Frequency.WEEKLY, count=3), time_zone="UTC")
    booked = await book(env.acting(env.mentee), env.pairing, request, ports=env.ports)
    series = the_series(booked)
    await sync_series(series, env.organization, Cause.OUTLOOK, ports=env.ports)
    env.outlook.hidden |= {event.seen.event_id for event in env.outlook.events}

    async def states() -> set[SessionState]:
        await sync_series(series, env.organization, Cause.OUTLOOK, ports=env.ports)
        return {(await env.sessions.get(env.mentee, s.id)).state for s in booked.sessions}

    assert await states() == {SessionState.SCHEDULED}
    env.clock.advance(SECOND_LOOK)
    assert await states() == {SessionState.SCHEDULED}  # the search finds its date
    for event in env.outlook.events:
        event.is_gone = True
    assert await states() == {SessionState.CANCELLED}


async def test_a_change_of_what_is_not_found_is_refused_and_undone(env: BookingEnv) -> None:
    session = await a_session(env)
    event = env.outlook.events[0]
    env.outlook.hidden.add(event.seen.event_id)
    to = RescheduleRequest(a_span(at(14, day=1)), "UTC")
    caller = env.acting(env.mentee)
    with pytest.raises(Conflict, match="does not find") as refused:
        await reschedule(caller, env.pairing, session, to, ports=env.ports)
    assert refused.value.remedy
    stored = await env.sessions.get(env.mentee, session.id)
    assert (stored.state, stored.pending_span) == (SessionState.SCHEDULED, None)
    with pytest.raises(CalendarUnavailable, match="does not find"):
        await cancel(caller, stored, "", ports=env.ports)
    stored = await env.sessions.get(env.mentee, session.id)
    assert stored.state is SessionState.SCHEDULED
    env.outlook.hidden.clear()
    (cancelled,) = await cancel(caller, stored, "", ports=env.ports)
    assert cancelled.state is SessionState.CANCELLED
    assert event.is_gone


async def test_cancelling_what_was_deleted_is_a_cancellation_after_the_second_look(
    env: BookingEnv,
) -> None:
    session = await a_session(env)
    env.outlook.events[0].is_gone = True
    caller = env.acting(env.mentee)
    with pytest.raises(CalendarUnavailable) as unknown:
        await cancel(caller, session, "", ports=env.ports)
    assert unknown.value.retry_after_seconds == SECOND_LOOK.total_seconds()
    env.clock.advance(SECOND_LOOK)
    stored = await env.sessions.get(env.mentee, session.id)
    (cancelled,) = await cancel(caller, stored, "", ports=env.ports)
    assert cancelled.state is SessionState.CANCELLED


async def test_cancelling_what_is_found_by_the_search_alone_is_no_cancellation(
    env: BookingEnv,
) -> None:
    session = await a_session(env)
    event = env.outlook.events[0]
    env.outlook.hidden.add(event.seen.event_id)
    caller = env.acting(env.mentee)
    for _ in range(3):
        stored = await env.sessions.get(env.mentee, session.id)
        with pytest.raises(CalendarUnavailable, match="does not find"):
            await cancel(caller, stored, "", ports=env.ports)
        env.clock.advance(SECOND_LOOK)
    assert (await env.sessions.get(env.mentee, session.id)).state is SessionState.SCHEDULED
    env.outlook.hidden.clear()
    stored = await env.sessions.get(env.mentee, session.id)
    (cancelled,) = await cancel(caller, stored, "", ports=env.ports)
    assert (cancelled.state, event.is_gone) == (SessionState.CANCELLED, True)


async def test_a_series_that_ended_before_its_dates_were_known_ends_as_well(
    env: BookingEnv,
) -> None:
    request = a_request(repeat=Repeat(Frequency.WEEKLY, count=3), time_zone="UTC")
    booked = await book(env.acting(env.mentee), env.pairing, request, ports=env.ports)
    for event in env.outlook.events:
        event.is_gone = True
    for state in (SessionState.SCHEDULED, SessionState.CANCELLED):
        await sync_series(the_series(booked), env.organization, Cause.OUTLOOK, ports=env.ports)
        stored = [await env.sessions.get(env.mentee, s.id) for s in booked.sessions]
        assert {session.state for session in stored} == {state}
        env.clock.advance(SECOND_LOOK)


async def a_session_whose_event_was_missing(env: BookingEnv) -> Session:
    session = await a_session(env)
    env.outlook.events[0].is_gone = True
    await sync_session(session, env.organization, Cause.OUTLOOK, ports=env.ports)
    env.clock.advance(SECOND_LOOK)
    session = await looked_at(env, session)
    assert session.state is SessionState.CANCELLED
    return session


async def test_a_session_whose_event_is_seen_again_is_scheduled_again(env: BookingEnv) -> None:
    session = await a_session_whose_event_was_missing(env)
    soon = env.clock.now() + timedelta(minutes=5)
    due = [d async for page in env.due.due(DueKind.RECONCILIATION, soon) for d in page]
    assert [d.key for d in due if d.due_at > env.clock.now()] == [session.id]
    assert (await looked_at(env, session)).state is SessionState.CANCELLED
    event = env.outlook.events[0]
    event.is_gone = False
    env.calendar.answered(event, env.address(env.mentor), ResponseState.ACCEPTED)
    restored = await looked_at(env, session)
    assert (restored.state, restored.missing_since) == (SessionState.SCHEDULED, None)
    assert restored.attendees[0].response.state is ResponseState.ACCEPTED
    for mailbox in (env.mentor, env.mentee):
        held = await env.sessions.holds(mailbox, session.span, env.clock.now())
        assert [hold.session_id for hold in held] == [session.id]
    assert (await kinds(env))[-3:] == [
        ChangeKind.CANCELLED,
        ChangeKind.RESTORED,
        ChangeKind.RESPONDED,
    ]


async def test_a_notification_restores_a_session_at_once(env: BookingEnv) -> None:
    session = await a_session_whose_event_was_missing(env)
    event = env.outlook.events[0]
    event.is_gone = False
    etag = event.seen.etag  # Graph was wrong: the event never changed
    seen = await sync_event(
        session.organizer, event.seen.event_id, etag, env.organization, ports=env.ports
    )
    assert isinstance(seen, Session)
    assert seen.state is SessionState.SCHEDULED


async def test_time_that_was_given_away_meanwhile_makes_a_conflict(env: BookingEnv) -> None:
    session = await a_session_whose_event_was_missing(env)
    other = await book_one(env.acting(env.mentee), env.pairing, a_request("other"), ports=env.ports)
    assert other.span == session.span
    env.outlook.events[0].is_gone = False
    restored = await looked_at(env, session)
    assert restored.conflicts_with == (other.id,)
    assert (await env.sessions.get(env.mentee, other.id)).conflicts_with == (session.id,)


async def test_what_the_attendees_know_as_cancelled_stays_cancelled(env: BookingEnv) -> None:
    session = await a_session_whose_event_was_missing(env)
    env.outlook.events[0].is_gone = False
    env.outlook.cancelled_copies.add(env.outlook.events[0].seen.event_id)
    assert (await looked_at(env, session)).state is SessionState.CANCELLED
    assert ChangeKind.RESTORED not in await kinds(env)


async def test_a_cancellation_that_was_seen_is_the_end(env: BookingEnv) -> None:
    session = await a_session(env)
    caller = env.acting(env.mentee)
    (cancelled,) = await cancel(caller, session, "", ports=env.ports)
    assert not cancelled.may_return
    env.outlook.events[0].is_gone = False
    assert (await looked_at(env, session)).state is SessionState.CANCELLED


async def test_a_session_cancelled_over_the_api_while_its_event_was_missing_returns(
    env: BookingEnv,
) -> None:
    session = await a_session(env)
    env.outlook.events[0].is_gone = True
    caller = env.acting(env.mentee)
    with pytest.raises(CalendarUnavailable):
        await cancel(caller, session, "", ports=env.ports)
    env.clock.advance(SECOND_LOOK)
    stored = await env.sessions.get(env.mentee, session.id)
    await cancel(caller, stored, "", ports=env.ports)
    env.outlook.events[0].is_gone = False
    assert (await looked_at(env, session)).state is SessionState.SCHEDULED


async def test_a_series_is_restored_date_by_date(env: BookingEnv) -> None:
    request = a_request(repeat=Repeat(Frequency.WEEKLY, count=3), time_zone="UTC")
    booked = await book(env.acting(env.mentee), env.pairing, request, ports=env.ports)
    series = the_series(booked)
    await sync_series(series, env.organization, Cause.OUTLOOK, ports=env.ports)
    for is_gone, state in ((True, SessionState.CANCELLED), (False, SessionState.SCHEDULED)):
        for event in env.outlook.events:
            event.is_gone = is_gone
        await sync_series(series, env.organization, Cause.OUTLOOK, ports=env.ports)
        env.clock.advance(SECOND_LOOK)
        await sync_series(series, env.organization, Cause.OUTLOOK, ports=env.ports)
        stored = [await env.sessions.get(env.mentee, s.id) for s in booked.sessions]
        assert {session.state for session in stored} == {state}


@pytest.mark.parametrize("is_pushed", [True, False])
async def test_an_id_that_is_good_for_a_deleted_event_proves_nothing(
    env: BookingEnv, *, is_pushed: bool
) -> None:
    """Graph may answer a read by an immutable id from Deleted Items."""
    session = await a_session(env)
    event = env.outlook.events[0]
    env.outlook.in_deleted_items.add(event.seen.event_id)
    env.calendar.moved(event, event.seen.span)  # a new version
    for state in (SessionState.SCHEDULED, SessionState.CANCELLED):
        if is_pushed:
            event_id = event.seen.event_id
            await sync_event(session.organizer, event_id, None, env.organization, ports=env.ports)
        assert (await looked_at(env, session)).state is state
        env.clock.advance(SECOND_LOOK)


async def test_the_new_version_of_a_deleted_event_does_not_hide_its_deletion(
    env: BookingEnv,
) -> None:
    """Deleting tells `updated` first: the version is known then, and its id still finds it."""
    session = await a_session(env)
    event = env.outlook.events[0]
    env.outlook.in_deleted_items.add(event.seen.event_id)
    env.calendar.moved(event, event.seen.span)
    for etag in (event.seen.etag, None):
        event_id = event.seen.event_id
        await sync_event(session.organizer, event_id, etag, env.organization, ports=env.ports)
    assert (await looked_at(env, session)).state is SessionState.SCHEDULED
    env.clock.advance(SECOND_LOOK)
    assert (await looked_at(env, session)).state is SessionState.CANCELLED


async def test_a_deleted_series_whose_ids_are_still_good_ends(env: BookingEnv) -> None:
    request = a_request(repeat=Repeat(Frequency.WEEKLY, count=3), time_zone="UTC")
    booked = await book(env.acting(env.mentee), env.pairing, request, ports=env.ports)
    series = the_series(booked)
    await sync_series(series, env.organization, Cause.OUTLOOK, ports=env.ports)
    env.outlook.in_deleted_items |= {event.seen.event_id for event in env.outlook.events}
    master = env.outlook.events[0].seen.event_id
    for state in (SessionState.SCHEDULED, SessionState.CANCELLED):
        await sync_event(series.organizer, master, None, env.organization, ports=env.ports)
        stored = [await env.sessions.get(env.mentee, s.id) for s in booked.sessions]
        assert {session.state for session in stored} == {state}
        env.clock.advance(SECOND_LOOK)


async def test_a_session_of_a_lost_mailbox_that_was_cancelled_as_missing_returns(
    env: BookingEnv,
) -> None:
    session = await a_session(env)
    env.outlook.events[0].is_gone = True
    lost = replace(session, is_mailbox_lost=True, missing_since=env.clock.now())
    lost = await reservations.save(env.sessions, lost)
    env.clock.advance(SECOND_LOOK)
    (cancelled,) = await cancel(env.acting(env.mentee), lost, "", ports=env.ports)
    assert cancelled.may_return
    env.outlook.events[0].is_gone = False
    assert (await looked_at(env, session)).state is SessionState.SCHEDULED


async def test_a_date_that_a_series_does_not_list_is_looked_for_twice(env: BookingEnv) -> None:
    request = a_request(repeat=Repeat(Frequency.WEEKLY, count=3), time_zone="UTC")
    booked = await book(env.acting(env.mentee), env.pairing, request, ports=env.ports)
    series = the_series(booked)
    await sync_series(series, env.organization, Cause.OUTLOOK, ports=env.ports)
    gone = next(e for e in env.outlook.events if e.seen.span == booked.sessions[1].span)
    gone.is_gone = True
    for state in (SessionState.SCHEDULED, SessionState.CANCELLED):
        await sync_series(series, env.organization, Cause.OUTLOOK, ports=env.ports)
        states = [(await env.sessions.get(env.mentee, s.id)).state for s in booked.sessions]
        assert states == [SessionState.SCHEDULED, state, SessionState.SCHEDULED]
        env.clock.advance(SECOND_LOOK)


@pytest.mark.parametrize("is_all", [False, True], ids=["all but one", "all"])
async def test_all_missing_dates_of_a_series_are_looked_for_by_two_jobs(
    env: BookingEnv, *, is_all: bool
) -> None:
    request = a_request(repeat=Repeat(Frequency.WEEKLY, count=6), time_zone="UTC")
    booked = await book(env.acting(env.mentee), env.pairing, request, ports=env.ports)
    series, kept = the_series(booked), booked.sessions[0].span
    await sync_series(series, env.organization, Cause.OUTLOOK, ports=env.ports)
    for event in env.outlook.events:
        event.is_gone = is_all or event.seen.span != kept
    env.jobs.put_jobs.clear()
    for _ in range(2):
        await sync_series(series, env.organization, Cause.OUTLOOK, ports=env.ports)
        looks = [job for job, _ in env.jobs.put_jobs if job.kind is JobKind.FOLLOW_SERIES]
        assert len(looks) == 2


async def test_dates_whose_events_were_never_known_may_be_of_a_new_series(
    env: BookingEnv, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = a_request(repeat=Repeat(Frequency.WEEKLY, count=3), time_zone="UTC")
    booked = await book(env.acting(env.mentee), env.pairing, request, ports=env.ports)
    asked: list[int] = []

    async def find(_: Series, missing: Sequence[Session]) -> list[Continuation]:
        asked.extend(session.occurrence for session in missing)
        return []

    monkeypatch.setattr(env.ports.calendar, "find_continuations", find)
    known = [replace(session, event_id=None) for session in booked.sessions]
    span = booked.sessions[0].span
    first = next(e.seen for e in env.outlook.events if e.seen.span == span)
    await find_split(the_series(booked), known, [first], ports=env.ports)
    assert asked == [1, 2]
