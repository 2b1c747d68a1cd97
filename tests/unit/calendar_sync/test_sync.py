import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from shared.calendar_sync.conflicts import update_conflicts
from shared.calendar_sync.merge import merge
from shared.calendar_sync.reconciliation import (
    enqueue_reconciliations,
    reconcile_batch,
)
from shared.calendar_sync.sync import sync_event, sync_session
from shared.calendar_sync.unreadable import due_item
from shared.changes.model import ChangeKind
from shared.errors import CalendarThrottled, CalendarUnavailable, ConsentMissing
from shared.ids import EventId, Mailbox
from shared.jobs import DueKind, Job, JobKind, job_for_batch
from shared.sessions import reservations
from shared.sessions.calendar_events import CalendarEvent
from shared.sessions.cancelling import cancel
from shared.sessions.model import Cause, ResponseState, Session, SessionState
from shared.sessions.requests import RescheduleRequest
from shared.sessions.rescheduling import reschedule
from shared.sessions.retention import purge_batch
from shared.timespan import TimeSpan
from tests.builders import a_mailbox, a_pairing, a_session, a_span, at
from tests.fake_outlook import FakeCalendar
from tests.unit.sessions.conftest import BookingEnv, a_booking_env, a_request, book_one


async def _booked(env: BookingEnv, key: str = "key", hour: int = 10) -> Session:
    return await book_one(
        env.acting(env.mentee), env.pairing, a_request(key, hour), ports=env.ports
    )


async def _kinds(env: BookingEnv) -> list[ChangeKind | str]:
    changes, _ = await env.changes.after(env.organization.id, None, 100)
    return [change.kind for change in changes]


async def test_a_foreign_event_costs_no_call() -> None:
    env = a_booking_env()
    await _booked(env)
    env.outlook.calls.clear()
    seen = await sync_event(env.mentee, EventId("other"), "etag", env.organization, ports=env.ports)
    assert seen is None
    assert env.outlook.calls == []


async def test_an_echo_of_our_own_write_costs_no_call() -> None:
    env = a_booking_env()
    session = await _booked(env)
    assert session.event_id
    env.outlook.calls.clear()
    await sync_event(
        env.mentee, session.event_id, session.event_etag, env.organization, ports=env.ports
    )
    assert env.outlook.calls == []


async def test_an_answer_costs_one_call_and_is_told_once() -> None:
    env = a_booking_env()
    session = await _booked(env)
    assert session.event_id
    env.outlook.calls.clear()
    env.clock.advance(timedelta(minutes=5))
    seen = env.calendar.answered(
        env.outlook.events[0], env.address(env.mentor), ResponseState.ACCEPTED
    )
    for _ in range(2):
        await sync_event(env.mentee, session.event_id, seen.etag, env.organization, ports=env.ports)
    assert env.outlook.calls == ["read"]
    stored = await env.sessions.get(env.mentor, session.id)
    assert stored.attendees[0].response.state is ResponseState.ACCEPTED
    assert await _kinds(env) == [ChangeKind.SCHEDULED, ChangeKind.RESPONDED]


async def test_a_clock_that_is_ahead_makes_no_negative_lag() -> None:
    env = a_booking_env()
    session = await _booked(env)
    assert session.event_id
    env.clock.advance(timedelta(minutes=5))
    seen = env.calendar.answered(
        env.outlook.events[0], env.address(env.mentor), ResponseState.ACCEPTED
    )
    env.clock.advance(timedelta(seconds=-2))
    await sync_event(env.mentee, session.event_id, seen.etag, env.organization, ports=env.ports)
    changes, _ = await env.changes.after(env.organization.id, None, 100)
    assert changes[-1].lag_ms == 0


@pytest.mark.parametrize("is_gone", [False, True])
async def test_the_log_has_a_lag_only_where_outlook_has_a_time(
    caplog: pytest.LogCaptureFixture, *, is_gone: bool
) -> None:
    env = a_booking_env()
    session = await _booked(env)
    env.clock.advance(timedelta(minutes=5))
    env.outlook.events[0].is_gone = is_gone
    if not is_gone:
        env.calendar.moved(env.outlook.events[0], a_span(at(16, day=1)))
    env.clock.advance(timedelta(seconds=2))
    with caplog.at_level("INFO", "mentor_calendar"):
        await sync_session(session, env.organization, Cause.OUTLOOK, ports=env.ports)
    (seen,) = [line for line in caplog.messages if line.startswith("change.seen ")]
    assert ("lag_ms=2000" in seen, "lag_ms" in seen) == (not is_gone, not is_gone)


async def test_an_event_that_is_gone_cancels_and_frees_the_time() -> None:
    env = a_booking_env()
    session = await _booked(env)
    env.outlook.events[0].is_gone = True
    cancelled = await sync_session(session, env.organization, Cause.OUTLOOK, ports=env.ports)
    assert cancelled.state is SessionState.CANCELLED
    for mailbox in (env.mentor, env.mentee):
        assert await env.sessions.holds(mailbox, session.span, env.clock.now()) == []


async def test_an_overlap_that_outlook_made_is_said_on_both_and_taken_back() -> None:
    env = a_booking_env()
    first, second = await _booked(env), await _booked(env, "other", 14)
    assert second.event_id
    env.clock.advance(timedelta(minutes=1))
    seen = env.calendar.moved(env.outlook.events[1], a_span(at(10, 15, day=1)))
    await sync_event(env.mentee, second.event_id, seen.etag, env.organization, ports=env.ports)
    assert (await env.sessions.get(env.mentor, first.id)).conflicts_with == (second.id,)
    assert (await env.sessions.get(env.mentor, second.id)).conflicts_with == (first.id,)
    assert (await _kinds(env)).count(ChangeKind.CONFLICT) == 2
    env.clock.advance(timedelta(minutes=1))
    seen = env.calendar.moved(env.outlook.events[1], a_span(at(16, day=1)))
    await sync_event(env.mentee, second.event_id, seen.etag, env.organization, ports=env.ports)
    assert (await env.sessions.get(env.mentor, first.id)).conflicts_with == ()
    assert (await env.sessions.get(env.mentor, second.id)).conflicts_with == ()


@pytest.mark.parametrize("is_cancelled", [True, False], ids=["cancelled", "moved"])
async def test_ending_an_overlap_clears_both_conflicts(*, is_cancelled: bool) -> None:
    env = a_booking_env()
    first, second = await _booked(env), await _booked(env, "other", 14)
    assert second.event_id
    env.clock.advance(timedelta(minutes=1))
    seen = env.calendar.moved(env.outlook.events[1], a_span(at(10, 15, day=1)))
    await sync_event(env.mentee, second.event_id, seen.etag, env.organization, ports=env.ports)
    acting = env.acting(env.mentee)
    second = await env.sessions.get(env.mentee, second.id)
    env.jobs.put_jobs.clear()
    if is_cancelled:
        (ended,) = await cancel(acting, second, "", ports=env.ports)
    else:
        wanted = RescheduleRequest(a_span(at(16, day=1)), "UTC")
        (ended,) = await reschedule(acting, env.pairing, second, wanted, ports=env.ports)
    assert ended.conflicts_with == ()
    (job,) = [job for job, _ in env.jobs.put_jobs if job.kind is JobKind.RECONCILE]
    await reconcile_batch(job, env.organization, ports=env.ports)
    assert (await env.sessions.get(env.mentee, first.id)).conflicts_with == ()


async def _overlapping_of_another_pair(env: BookingEnv) -> tuple[Session, Session]:
    """Return a session of mentor and mentee, and one of the mentor with somebody else."""
    first = await _booked(env)
    theirs = a_session(
        env.mentor,
        organizer=a_mailbox(env.mentee.tenant_id),
        organization_id=env.organization.id,
        span=first.span,
        state=SessionState.SCHEDULED,
        event_id="theirs",
    )
    theirs = await reservations.create(env.sessions, theirs, env.clock.now(), ignore_holds=True)
    await reservations.sync_mailbox(env.sessions, env.mentor, theirs)
    await update_conflicts(first, Cause.OUTLOOK, sessions=env.sessions, clock=env.clock)
    first = await env.sessions.get(env.mentee, first.id)
    assert first.conflicts_with == (theirs.id,)
    assert (await env.sessions.get(env.mentor, theirs.id)).conflicts_with == (first.id,)
    return first, theirs


async def test_an_overlap_with_a_session_of_another_organizer_ends_for_both() -> None:
    env = a_booking_env()
    first, theirs = await _overlapping_of_another_pair(env)
    assert first.event_id
    env.clock.advance(timedelta(minutes=1))
    seen = env.calendar.moved(env.outlook.events[0], a_span(at(16, day=1)))
    await sync_event(env.mentee, first.event_id, seen.etag, env.organization, ports=env.ports)
    assert (await env.sessions.get(env.mentor, theirs.id)).conflicts_with == ()


async def test_a_cancelled_session_overlaps_none_of_another_organizer() -> None:
    env = a_booking_env()
    first, theirs = await _overlapping_of_another_pair(env)
    env.jobs.put_jobs.clear()
    await cancel(env.acting(env.mentee), first, "", ports=env.ports)
    for job, _ in [*env.jobs.put_jobs]:
        if job.kind is JobKind.RECONCILE:
            await reconcile_batch(job, env.organization, ports=env.ports)
    assert (await env.sessions.get(env.mentor, theirs.id)).conflicts_with == ()


async def test_reconciliation_mends_what_a_dead_worker_left() -> None:
    env = a_booking_env()
    session = await _booked(env)
    moved = a_span(at(15, day=1))
    env.clock.advance(timedelta(minutes=1))
    seen = env.calendar.moved(env.outlook.events[0], moved)
    # The worker crashed right after it wrote the row.
    await reservations.save(
        env.sessions,
        replace(
            session,
            span=moved,
            event_etag=seen.etag,
            event_modified_at=seen.modified_at,
            changed_at=env.clock.now(),
        ),
    )
    await reconcile_batch(
        Job(JobKind.RECONCILE, env.organization.id, (session.organizer,), (session.id,)),
        env.organization,
        ports=env.ports,
    )
    day = TimeSpan(at(0, day=1), at(23, day=1))
    held = await env.sessions.holds(env.mentor, day, env.clock.now())
    assert [hold.span for hold in held] == [moved]


class _Throttled(FakeCalendar):
    """Throttles all of a batch but the first two."""

    async def read_many(
        self, events: Sequence[tuple[Mailbox, EventId]]
    ) -> list[CalendarEvent | Exception]:
        late = CalendarThrottled("wait", retry_after_seconds=600)
        return [*await super().read_many(events[:2]), *(late for _ in events[2:])]


async def test_throttled_session_is_postponed_and_the_rest_reconciled() -> None:
    env = a_booking_env()
    sessions = [await _booked(env, f"key{hour}", hour) for hour in range(8, 12)]
    env.calendar = _Throttled(env.outlook)
    env.jobs.put_jobs.clear()
    env.clock.advance(timedelta(hours=1))
    await enqueue_reconciliations(jobs=env.jobs, due=env.due, clock=env.clock)
    ((job, _),) = env.jobs.put_jobs
    assert len(job.session_ids) == 4
    outcomes = await asyncio.gather(
        *(reconcile_batch(job, env.organization, ports=env.ports) for _ in range(2))
    )
    assert outcomes == [frozenset(), frozenset()]
    assert len(env.jobs.put_jobs) == 1
    left = [i for i in env.due._items if i.kind is DueKind.RECONCILIATION]
    assert {i.key for i in left} == {session.id for session in sessions}
    assert len(left) == 4
    late = [i for i in left if i.key in job.session_ids[2:]]
    waits = [i.due_at - env.clock.now() for i in late]
    assert all(timedelta(minutes=10) <= wait <= timedelta(minutes=11) for wait in waits)


async def test_moves_and_readings_out_of_turn_do_not_have_a_session_read_more_often() -> None:
    env = a_booking_env()
    session = await _booked(env)
    job = Job(JobKind.RECONCILE, env.organization.id, (session.organizer,), (session.id,))
    for hour in range(11, 16):
        env.clock.advance(timedelta(seconds=7))
        env.calendar.moved(env.outlook.events[0], a_span(at(hour, day=1)))
        stored = await env.sessions.get(env.mentee, session.id)
        await sync_session(stored, env.organization, Cause.OUTLOOK, ports=env.ports)
        await reconcile_batch(job, env.organization, ports=env.ports)
    reads = [i for i in env.due._items if i.kind is DueKind.RECONCILIATION]
    now = env.clock.now()
    assert len([i for i in reads if i.due_at > now]) == 1


class _Down(FakeCalendar):
    """Returns the first of a batch; the others are unavailable."""

    async def read_many(
        self, events: Sequence[tuple[Mailbox, EventId]]
    ) -> list[CalendarEvent | Exception]:
        return [
            *await super().read_many(events[:1]),
            *(CalendarUnavailable("") for _ in events[1:]),
        ]


async def test_unreadable_session_is_rescheduled_without_poison() -> None:
    env = a_booking_env()
    sessions = [await _booked(env, f"key{hour}", hour) for hour in (10, 12)]
    env.calendar = _Down(env.outlook)
    env.due._items.clear()
    job = Job(
        JobKind.RECONCILE, env.organization.id, (env.mentee,) * 2, tuple(s.id for s in sessions)
    )
    await reconcile_batch(job, env.organization, ports=env.ports)
    again = {i.key: i.due_at - env.clock.now() for i in env.due._items}
    assert again[sessions[1].id] == timedelta(minutes=1)


class _Strange(FakeCalendar):
    """One event of a batch fails in a way that nobody expects."""

    async def read_many(
        self, events: Sequence[tuple[Mailbox, EventId]]
    ) -> list[CalendarEvent | Exception]:
        return [*(await super().read_many(events))[:-1], ZeroDivisionError()]


async def test_a_session_that_fails_leaves_its_batch_so_that_the_others_are_not_read_again() -> (
    None
):
    env = a_booking_env()
    sessions = [await _booked(env, f"key{hour}", hour) for hour in (10, 12, 14)]
    env.calendar = _Strange(env.outlook)
    env.jobs.put_jobs.clear()
    now = env.clock.now()
    items = [due_item(session, now) for session in sessions]
    await env.due.put(items)
    await reconcile_batch(
        job_for_batch(JobKind.RECONCILE, items), env.organization, ports=env.ports
    )
    assert not [i for i in env.due._items if i.kind is DueKind.RECONCILIATION and i.due_at <= now]
    ((alone, _),) = env.jobs.put_jobs
    assert alone.session_ids == (sessions[2].id,)
    with pytest.raises(ZeroDivisionError):
        await reconcile_batch(alone, env.organization, ports=env.ports)
    again = {i.key for i in env.due._items if i.kind is DueKind.RECONCILIATION}
    assert again == {session.id for session in sessions}


class _Denied(FakeCalendar):
    """The app is denied every event."""

    async def read(self, mailbox: Mailbox, event_id: EventId) -> CalendarEvent:
        self.outlook.calls.append("read")
        raise ConsentMissing("no")

    async def read_many(
        self, events: Sequence[tuple[Mailbox, EventId]]
    ) -> list[CalendarEvent | Exception]:
        return [ConsentMissing("no") for _ in events]


async def test_a_mailbox_that_refuses_is_looked_at_once_and_its_sessions_report_nothing() -> None:
    env = a_booking_env()
    sessions = [await _booked(env, f"key{hour}", hour) for hour in (10, 12)]
    env.calendar = _Denied(env.outlook)
    env.jobs.put_jobs.clear()
    told = await _kinds(env)
    job = Job(
        JobKind.RECONCILE, env.organization.id, (env.mentee,) * 2, tuple(s.id for s in sessions)
    )
    await reconcile_batch(job, env.organization, ports=env.ports)
    ((look, _),) = env.jobs.put_jobs
    assert (look.kind, look.mailboxes) == (JobKind.LOOK, (env.mentee,) * 2)
    rows = [await env.sessions.get(env.mentee, s.id) for s in sessions]
    assert all(row.unreadable_since for row in rows)
    assert await _kinds(env) == told


async def test_no_event_of_a_lost_mailbox_is_read() -> None:
    env = a_booking_env()
    session = await _booked(env)
    await reservations.save(env.sessions, replace(session, is_mailbox_lost=True))
    env.outlook.calls.clear()
    job = Job(JobKind.RECONCILE, env.organization.id, (env.mentee,), (session.id,))
    await reconcile_batch(job, env.organization, ports=env.ports)
    assert session.event_id
    await sync_event(env.mentee, session.event_id, "new", env.organization, ports=env.ports)
    assert env.outlook.calls == []


async def test_reconciliation_says_what_a_dead_worker_did_not_of_overlaps() -> None:
    env = a_booking_env()
    first, second = await _booked(env), await _booked(env, "other", 14)
    seen = env.calendar.moved(env.outlook.events[1], a_span(at(10, 15, day=1)))
    stored = await env.sessions.get(env.mentee, second.id)
    await reservations.save(env.sessions, merge(stored, seen))
    for session in (first, second):
        job = Job(JobKind.RECONCILE, env.organization.id, (env.mentee,), (session.id,))
        await reconcile_batch(job, env.organization, ports=env.ports)
    assert (await env.sessions.get(env.mentee, first.id)).conflicts_with == (second.id,)
    assert (await env.sessions.get(env.mentee, second.id)).conflicts_with == (first.id,)


async def test_a_session_that_was_moved_is_purged_when_its_own_time_has_come() -> None:
    env = a_booking_env()
    session = await _booked(env)
    (reminder,) = (i for i in env.due._items if i.kind is DueKind.PURGE)
    stored = await env.sessions.get(env.mentee, session.id)
    await reservations.save(env.sessions, replace(stored, span=a_span(at(10, day=9))))
    env.clock.advance(reminder.due_at - env.clock.now())
    await purge_batch(
        job_for_batch(JobKind.PURGE, [reminder]),
        env.organization,
        sessions=env.sessions,
        due=env.due,
        clock=env.clock,
    )
    left = [i for i in env.due._items if i.kind is DueKind.PURGE]
    assert [i.due_at - reminder.due_at for i in left] == [timedelta(days=8)]


async def test_time_that_is_still_held_of_a_session_moved_away_is_no_overlap() -> None:
    env = a_booking_env()
    first, second = await _booked(env), await _booked(env, "other", 14)
    seen = env.calendar.moved(env.outlook.events[0], a_span(at(16, day=1)))
    stored = await env.sessions.get(env.mentee, first.id)
    await reservations.save(env.sessions, merge(stored, seen))  # then the worker crashed
    env.calendar.moved(env.outlook.events[1], a_span(at(10, 15, day=1)))
    moved = await sync_session(second, env.organization, Cause.OUTLOOK, ports=env.ports)
    assert (await env.sessions.get(env.mentee, moved.id)).conflicts_with == ()
    assert ChangeKind.CONFLICT not in await _kinds(env)


async def test_who_declines_is_free_from_then_on() -> None:
    env = a_booking_env()
    session = await _booked(env)
    event, mentor = env.outlook.events[0], env.address(env.mentor)

    async def held() -> list[TimeSpan]:
        holds = await env.sessions.holds(env.mentor, session.span, env.clock.now())
        return [hold.span for hold in holds]

    for answer, spans in (
        (ResponseState.DECLINED, []),
        (ResponseState.ACCEPTED, [session.span]),
        (ResponseState.DECLINED, []),
    ):
        env.clock.advance(timedelta(minutes=1))
        env.calendar.answered(event, mentor, answer)
        current = await env.sessions.get(env.mentee, session.id)
        await sync_session(current, env.organization, Cause.OUTLOOK, ports=env.ports)
        assert await held() == spans
    # The organizer's time is held all the while, and a move asks the attendee again.
    holds = await env.sessions.holds(env.mentee, session.span, env.clock.now())
    assert [hold.span for hold in holds] == [session.span]
    env.clock.advance(timedelta(minutes=1))
    env.calendar.moved(event, a_span(at(16, day=1)))
    current = await env.sessions.get(env.mentee, session.id)
    await sync_session(current, env.organization, Cause.OUTLOOK, ports=env.ports)
    found = await env.sessions.holds(env.mentor, a_span(at(16, day=1)), env.clock.now())
    assert [hold.span for hold in found] == [a_span(at(16, day=1))]


async def test_a_time_given_away_by_declining_conflicts_when_it_is_accepted_after_all() -> None:
    env = a_booking_env()
    session = await _booked(env)
    event, mentor = env.outlook.events[0], env.address(env.mentor)
    for answer in (ResponseState.DECLINED, ResponseState.ACCEPTED):
        env.clock.advance(timedelta(minutes=1))
        env.calendar.answered(event, mentor, answer)
        current = await env.sessions.get(env.mentee, session.id)
        await sync_session(current, env.organization, Cause.OUTLOOK, ports=env.ports)
        if answer is ResponseState.DECLINED:
            other = a_mailbox(env.mentor.tenant_id)
            pairing = a_pairing(env.mentor, other, organization_id=env.organization.id)
            env.outlook.addresses |= {
                p.address: p.object_id for p in pairing.participants if p.object_id
            }
            second = await book_one(env.acting(other), pairing, a_request("other"), ports=env.ports)
    for each, against in ((session, second), (second, session)):
        stored = await env.sessions.get(each.organizer, each.id)
        assert stored.conflicts_with == (against.id,)


async def test_a_session_at_the_time_of_a_declined_one_is_no_conflict() -> None:
    env = a_booking_env()
    session = await _booked(env)
    env.calendar.answered(env.outlook.events[0], env.address(env.mentor), ResponseState.DECLINED)
    await sync_session(session, env.organization, Cause.OUTLOOK, ports=env.ports)
    other = a_mailbox(env.mentor.tenant_id)
    pairing = a_pairing(env.mentor, other, organization_id=env.organization.id)
    env.outlook.addresses |= {p.address: p.object_id for p in pairing.participants if p.object_id}
    second = await book_one(env.acting(env.mentor), pairing, a_request("other"), ports=env.ports)
    for _ in range(2):
        for each in (session, second):
            job = Job(JobKind.RECONCILE, env.organization.id, (each.organizer,), (each.id,))
            await reconcile_batch(job, env.organization, ports=env.ports)
            stored = await env.sessions.get(each.organizer, each.id)
            assert stored.conflicts_with == ()
    assert ChangeKind.CONFLICT not in await _kinds(env)
