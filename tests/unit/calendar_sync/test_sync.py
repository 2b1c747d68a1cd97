import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from shared.calendar_sync.merge import merge
from shared.calendar_sync.reconciliation import (
    enqueue_reconciliations,
    purge_batch,
    reconcile_batch,
)
from shared.calendar_sync.sync import sync_event, sync_session
from shared.changes.model import ChangeKind
from shared.errors import CalendarThrottled, CalendarUnavailable
from shared.ids import EventId, Mailbox
from shared.jobs import DueKind, Job, JobKind, job_for_batch
from shared.sessions import reservations
from shared.sessions.cancelling import cancel
from shared.sessions.model import Cause, ResponseState, SeenEvent, Session, SessionState
from shared.sessions.requests import RescheduleRequest
from shared.sessions.rescheduling import reschedule
from shared.timespan import TimeSpan
from tests.builders import a_span, at
from tests.fake_outlook import FakeCalendar
from tests.unit.sessions.conftest import Desk, a_desk, a_request, book_one


async def _booked(desk: Desk, key: str = "key", hour: int = 10) -> Session:
    return await book_one(
        desk.acting(desk.mentee), desk.pairing, a_request(key, hour), books=desk.books
    )


async def _kinds(desk: Desk) -> list[ChangeKind]:
    changes, _ = await desk.changes.after(desk.organization.id, None, 100)
    return [change.kind for change in changes]


async def test_a_foreign_event_costs_no_call() -> None:
    desk = a_desk()
    await _booked(desk)
    desk.outlook.calls.clear()
    seen = await sync_event(
        desk.mentee, EventId("other"), "etag", desk.organization, books=desk.books
    )
    assert seen is None
    assert desk.outlook.calls == []


async def test_an_echo_of_our_own_write_costs_no_call() -> None:
    desk = a_desk()
    session = await _booked(desk)
    assert session.event_id
    desk.outlook.calls.clear()
    await sync_event(
        desk.mentee, session.event_id, session.event_etag, desk.organization, books=desk.books
    )
    assert desk.outlook.calls == []


async def test_an_answer_costs_one_call_and_is_told_once() -> None:
    desk = a_desk()
    session = await _booked(desk)
    assert session.event_id
    desk.outlook.calls.clear()
    desk.clock.advance(timedelta(minutes=5))
    seen = desk.calendar.answered(
        desk.outlook.events[0], desk.address(desk.mentor), ResponseState.ACCEPTED
    )
    for _ in range(2):
        await sync_event(
            desk.mentee, session.event_id, seen.etag, desk.organization, books=desk.books
        )
    assert desk.outlook.calls == ["read"]
    stored = await desk.sessions.get(desk.mentor, session.id)
    assert stored.attendees[0].response.state is ResponseState.ACCEPTED
    assert await _kinds(desk) == [ChangeKind.SCHEDULED, ChangeKind.RESPONDED]


async def test_a_clock_that_is_ahead_makes_no_negative_lag() -> None:
    desk = a_desk()
    session = await _booked(desk)
    assert session.event_id
    desk.clock.advance(timedelta(minutes=5))
    seen = desk.calendar.answered(
        desk.outlook.events[0], desk.address(desk.mentor), ResponseState.ACCEPTED
    )
    desk.clock.advance(timedelta(seconds=-2))
    await sync_event(desk.mentee, session.event_id, seen.etag, desk.organization, books=desk.books)
    changes, _ = await desk.changes.after(desk.organization.id, None, 100)
    assert changes[-1].lag_ms == 0


async def test_an_event_that_is_gone_cancels_and_frees_the_time() -> None:
    desk = a_desk()
    session = await _booked(desk)
    desk.outlook.events[0].is_gone = True
    cancelled = await sync_session(session, desk.organization, Cause.OUTLOOK, books=desk.books)
    assert cancelled.state is SessionState.CANCELLED
    for mailbox in (desk.mentor, desk.mentee):
        assert await desk.sessions.holds(mailbox, session.span, desk.clock.now()) == []


async def test_an_overlap_that_outlook_made_is_said_on_both_and_taken_back() -> None:
    desk = a_desk()
    first, second = await _booked(desk), await _booked(desk, "other", 14)
    assert second.event_id
    desk.clock.advance(timedelta(minutes=1))
    seen = desk.calendar.moved(desk.outlook.events[1], a_span(at(10, 15, day=1)))
    await sync_event(desk.mentee, second.event_id, seen.etag, desk.organization, books=desk.books)
    assert (await desk.sessions.get(desk.mentor, first.id)).conflicts_with == (second.id,)
    assert (await desk.sessions.get(desk.mentor, second.id)).conflicts_with == (first.id,)
    assert (await _kinds(desk)).count(ChangeKind.CONFLICT) == 2
    desk.clock.advance(timedelta(minutes=1))
    seen = desk.calendar.moved(desk.outlook.events[1], a_span(at(16, day=1)))
    await sync_event(desk.mentee, second.event_id, seen.etag, desk.organization, books=desk.books)
    assert (await desk.sessions.get(desk.mentor, first.id)).conflicts_with == ()
    assert (await desk.sessions.get(desk.mentor, second.id)).conflicts_with == ()


@pytest.mark.parametrize("is_cancelled", [True, False], ids=["cancelled", "moved"])
async def test_ending_an_overlap_clears_both_conflicts(*, is_cancelled: bool) -> None:
    desk = a_desk()
    first, second = await _booked(desk), await _booked(desk, "other", 14)
    assert second.event_id
    desk.clock.advance(timedelta(minutes=1))
    seen = desk.calendar.moved(desk.outlook.events[1], a_span(at(10, 15, day=1)))
    await sync_event(desk.mentee, second.event_id, seen.etag, desk.organization, books=desk.books)
    acting = desk.acting(desk.mentee)
    second = await desk.sessions.get(desk.mentee, second.id)
    desk.jobs.put_jobs.clear()
    if is_cancelled:
        (ended,) = await cancel(acting, second, "", books=desk.books)
    else:
        wanted = RescheduleRequest(a_span(at(16, day=1)), "UTC")
        (ended,) = await reschedule(acting, desk.pairing, second, wanted, books=desk.books)
    assert ended.conflicts_with == ()
    (job,) = [job for job, _ in desk.jobs.put_jobs if job.kind is JobKind.RECONCILE]
    await reconcile_batch(job, desk.organization, books=desk.books)
    assert (await desk.sessions.get(desk.mentee, first.id)).conflicts_with == ()


async def test_reconciliation_mends_what_a_dead_worker_left() -> None:
    desk = a_desk()
    session = await _booked(desk)
    moved = a_span(at(15, day=1))
    desk.clock.advance(timedelta(minutes=1))
    seen = desk.calendar.moved(desk.outlook.events[0], moved)
    # The row was written, and then nothing more.
    await reservations.save(
        desk.sessions,
        replace(
            session,
            span=moved,
            event_etag=seen.etag,
            event_modified_at=seen.modified_at,
            changed_at=desk.clock.now(),
        ),
    )
    await reconcile_batch(
        Job(JobKind.RECONCILE, desk.organization.id, (session.organizer,), (session.id,)),
        desk.organization,
        books=desk.books,
    )
    day = TimeSpan(at(0, day=1), at(23, day=1))
    held = await desk.sessions.holds(desk.mentor, day, desk.clock.now())
    assert [hold.span for hold in held] == [moved]


class _Throttled(FakeCalendar):
    """Lets the first two of a batch be read."""

    async def read_many(
        self, events: Sequence[tuple[Mailbox, EventId]]
    ) -> list[SeenEvent | Exception]:
        late = CalendarThrottled("wait", retry_after_seconds=600)
        return [*await super().read_many(events[:2]), *(late for _ in events[2:])]


async def test_throttled_session_is_postponed_and_the_rest_reconciled() -> None:
    desk = a_desk()
    sessions = [await _booked(desk, f"key{hour}", hour) for hour in range(8, 12)]
    desk.calendar = _Throttled(desk.outlook)
    desk.jobs.put_jobs.clear()
    desk.clock.advance(timedelta(hours=1))
    await enqueue_reconciliations(books=desk.books)
    ((job, _),) = desk.jobs.put_jobs
    assert len(job.session_ids) == 4
    outcomes = await asyncio.gather(
        *(reconcile_batch(job, desk.organization, books=desk.books) for _ in range(2))
    )
    assert outcomes == [frozenset(), frozenset()]
    assert len(desk.jobs.put_jobs) == 1
    left = [i for i in desk.due._items if i.kind is DueKind.RECONCILIATION]
    assert {i.key for i in left} == {session.id for session in sessions}
    assert len(left) == 4
    late = [i for i in left if i.key in job.session_ids[2:]]
    waits = [i.due_at - desk.clock.now() for i in late]
    assert all(timedelta(minutes=10) <= wait <= timedelta(minutes=11) for wait in waits)


async def test_moves_and_readings_out_of_turn_do_not_have_a_session_read_more_often() -> None:
    desk = a_desk()
    session = await _booked(desk)
    job = Job(JobKind.RECONCILE, desk.organization.id, (session.organizer,), (session.id,))
    for hour in range(11, 16):
        desk.clock.advance(timedelta(seconds=7))
        desk.calendar.moved(desk.outlook.events[0], a_span(at(hour, day=1)))
        stored = await desk.sessions.get(desk.mentee, session.id)
        await sync_session(stored, desk.organization, Cause.OUTLOOK, books=desk.books)
        await reconcile_batch(job, desk.organization, books=desk.books)
    reads = [i for i in desk.due._items if i.kind is DueKind.RECONCILIATION]
    now = desk.clock.now()
    assert len([i for i in reads if i.due_at > now]) == 1


class _Down(FakeCalendar):
    """Shows the first of a batch; the others are to be asked for later."""

    async def read_many(
        self, events: Sequence[tuple[Mailbox, EventId]]
    ) -> list[SeenEvent | Exception]:
        return [
            *await super().read_many(events[:1]),
            *(CalendarUnavailable("") for _ in events[1:]),
        ]


async def test_unreadable_session_is_rescheduled_without_poison() -> None:
    desk = a_desk()
    sessions = [await _booked(desk, f"key{hour}", hour) for hour in (10, 12)]
    desk.calendar = _Down(desk.outlook)
    desk.due._items.clear()
    job = Job(
        JobKind.RECONCILE, desk.organization.id, (desk.mentee,) * 2, tuple(s.id for s in sessions)
    )
    await reconcile_batch(job, desk.organization, books=desk.books)
    again = {i.key: i.due_at - desk.clock.now() for i in desk.due._items}
    assert again[sessions[1].id] == timedelta(minutes=1)


async def test_reconciliation_says_what_a_dead_worker_did_not_of_overlaps() -> None:
    desk = a_desk()
    first, second = await _booked(desk), await _booked(desk, "other", 14)
    seen = desk.calendar.moved(desk.outlook.events[1], a_span(at(10, 15, day=1)))
    stored = await desk.sessions.get(desk.mentee, second.id)
    await reservations.save(desk.sessions, merge(stored, seen).session)
    for session in (first, second):
        job = Job(JobKind.RECONCILE, desk.organization.id, (desk.mentee,), (session.id,))
        await reconcile_batch(job, desk.organization, books=desk.books)
    assert (await desk.sessions.get(desk.mentee, first.id)).conflicts_with == (second.id,)
    assert (await desk.sessions.get(desk.mentee, second.id)).conflicts_with == (first.id,)


async def test_a_session_that_was_moved_is_purged_when_its_own_time_has_come() -> None:
    desk = a_desk()
    session = await _booked(desk)
    (reminder,) = (i for i in desk.due._items if i.kind is DueKind.PURGE)
    stored = await desk.sessions.get(desk.mentee, session.id)
    await reservations.save(desk.sessions, replace(stored, span=a_span(at(10, day=9))))
    desk.clock.advance(reminder.due_at - desk.clock.now())
    await purge_batch(job_for_batch(JobKind.PURGE, [reminder]), desk.organization, books=desk.books)
    left = [i for i in desk.due._items if i.kind is DueKind.PURGE]
    assert [i.due_at - reminder.due_at for i in left] == [timedelta(days=8)]


async def test_time_that_is_still_held_of_a_session_moved_away_is_no_overlap() -> None:
    desk = a_desk()
    first, second = await _booked(desk), await _booked(desk, "other", 14)
    seen = desk.calendar.moved(desk.outlook.events[0], a_span(at(16, day=1)))
    stored = await desk.sessions.get(desk.mentee, first.id)
    await reservations.save(desk.sessions, merge(stored, seen).session)  # and then the worker died
    desk.calendar.moved(desk.outlook.events[1], a_span(at(10, 15, day=1)))
    moved = await sync_session(second, desk.organization, Cause.OUTLOOK, books=desk.books)
    assert (await desk.sessions.get(desk.mentee, moved.id)).conflicts_with == ()
    assert ChangeKind.CONFLICT not in await _kinds(desk)
