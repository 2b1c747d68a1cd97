from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from shared.administration.job_runner import run_job
from shared.availability.model import Unknown, UnknownReason
from shared.calendar_sync.reconciliation import purge_batch
from shared.calendar_sync.sync import sync_event, sync_session
from shared.errors import Conflict, Invalid, KeyReused, NotAllowed, SlotTaken
from shared.ids import Mailbox
from shared.jobs import DueKind, JobKind, job_for_batch
from shared.sessions import ledger, reservations
from shared.sessions.booking import book
from shared.sessions.cancelling import cancel
from shared.sessions.model import Cause, Hold, ResponseState, Session, SessionState
from shared.sessions.recurrence import Frequency, Repeat
from shared.sessions.requests import InvitationResponse, RescheduleRequest
from shared.sessions.rescheduling import reschedule
from shared.sessions.responding import respond
from shared.sessions.series import Booking, OnConflict, Outcome, Scope
from shared.timespan import TimeSpan
from tests.builders import a_mailbox, a_pairing, a_session_id, a_span, at
from tests.fakes import InMemorySessions
from tests.unit.sessions.conftest import Desk, a_request, book_one, the_series
from tests.unit.sessions.test_crash_recovery import NOBODY

WEEK = timedelta(weeks=1)


def weekly(count: int = 4, **changes: object) -> dict[str, object]:
    return {"repeat": Repeat(Frequency.WEEKLY, count=count), "time_zone": "UTC", **changes}


async def a_booked_series(desk: Desk, **changes: object) -> Booking:
    request = a_request(**weekly(**changes))  # type: ignore[arg-type]  # a builder's keywords
    return await book(desk.acting(desk.mentee), desk.pairing, request, books=desk.books)


def starts(sessions: list[Session] | tuple[Session, ...]) -> list[str]:
    return [f"{s.span.start:%m-%d %H:%M}" for s in sessions]


def meetings(desk: Desk) -> list[str]:
    spans = [e.seen.span for e in desk.outlook.events if not e.is_gone and not e.pattern]
    return [f"{span.start:%m-%d %H:%M}" for span in sorted(spans)]


async def jobs_done(desk: Desk) -> None:
    jobs = [job for job, _ in desk.jobs.put_jobs]
    desk.jobs.put_jobs.clear()
    for job in jobs:
        if job.kind is not JobKind.SUBSCRIBE:
            await run_job(job, desk.organization, books=desk.books, subscription_ports=NOBODY)


async def test_a_series_is_one_event_and_a_session_for_each_date(desk: Desk) -> None:
    booked = await a_booked_series(desk)
    assert starts(booked.sessions) == ["03-03 10:00", "03-10 10:00", "03-17 10:00", "03-24 10:00"]
    assert meetings(desk) == starts(booked.sessions)
    assert {s.state for s in booked.sessions} == {SessionState.SCHEDULED}
    assert {s.series_id for s in booked.sessions} == {the_series(booked).id}
    assert [s.occurrence for s in booked.sessions] == [0, 1, 2, 3]
    for session in booked.sessions:
        for mailbox in (desk.mentor, desk.mentee):
            held = await desk.sessions.holds(mailbox, session.span, desk.clock.now())
            assert held == [Hold(session.id, session.span)]


@pytest.mark.parametrize(("count", "calls"), [(2, 1), (6, 1), (12, 2)])
async def test_a_series_takes_few_calls(desk: Desk, count: int, calls: int) -> None:
    await a_booked_series(desk, count=count)
    assert desk.outlook.calls == ["getSchedule"] * calls + ["create"]


async def test_the_ids_of_its_events_are_learned_afterwards(desk: Desk) -> None:
    booked = await a_booked_series(desk)
    desk.outlook.calls.clear()
    await jobs_done(desk)
    for session in booked.sessions:
        known = await desk.sessions.get(desk.mentee, session.id)
        assert known.event_id
        assert await desk.sessions.shown_by(desk.mentee, known.event_id) == known
    assert set(desk.outlook.calls) == {"instances"}


async def test_the_same_key_again_is_the_same_series(desk: Desk) -> None:
    first = await a_booked_series(desk)
    again = await a_booked_series(desk)
    assert again == first
    assert len([e for e in desk.outlook.events if e.pattern]) == 1


async def test_a_key_is_for_one_session_or_for_one_series(desk: Desk) -> None:
    await a_booked_series(desk)
    with pytest.raises(KeyReused):
        await book_one(desk.acting(desk.mentee), desk.pairing, a_request(), books=desk.books)
    with pytest.raises(KeyReused):
        await a_booked_series(desk, fingerprint="another")
    single = a_request("other", hour=12)
    await book_one(desk.acting(desk.mentee), desk.pairing, single, books=desk.books)
    request = a_request("other", **weekly())  # type: ignore[arg-type]  # a builder's keywords
    with pytest.raises(KeyReused):
        await book(desk.acting(desk.mentee), desk.pairing, request, books=desk.books)


async def test_a_date_that_is_not_free_refuses_the_series_and_says_which(desk: Desk) -> None:
    desk.outlook.busy[desk.address(desk.mentor)] = [a_span(at(10, day=8))]
    with pytest.raises(SlotTaken) as conflict:
        await a_booked_series(desk)
    (date,) = conflict.value.conflicts
    assert (date.number, date.span) == (1, a_span(at(10, day=8)))
    assert date.alternatives[0] == a_span(at(9, 30, day=8))
    assert len(date.alternatives) == 5
    assert desk.outlook.events == []
    assert desk.jobs.put_jobs == []


async def test_dates_that_are_not_free_are_skipped(desk: Desk) -> None:
    desk.outlook.busy[desk.address(desk.mentor)] = [a_span(at(10, day=8))]
    booked = await a_booked_series(desk, on_conflict=OnConflict.SKIP)
    assert starts(booked.sessions) == ["03-03 10:00", "03-17 10:00", "03-24 10:00"]
    assert meetings(desk) == starts(booked.sessions)
    (skipped,) = the_series(booked).conflicts
    assert (skipped.number, skipped.outcome) == (1, Outcome.SKIPPED)
    assert skipped.alternatives


async def test_skipped_dates_at_the_ends_are_no_exceptions(desk: Desk) -> None:
    desk.outlook.busy[desk.address(desk.mentor)] = [a_span(at(10, day=1)), a_span(at(10, day=22))]
    booked = await a_booked_series(desk, on_conflict=OnConflict.SKIP)
    assert meetings(desk) == ["03-10 10:00", "03-17 10:00"] == starts(booked.sessions)
    assert desk.outlook.calls == ["getSchedule", "create"]


async def test_dates_that_are_not_free_are_booked_at_alternatives(desk: Desk) -> None:
    desk.outlook.busy[desk.address(desk.mentor)] = [a_span(at(10, day=8))]
    booked = await a_booked_series(desk, on_conflict=OnConflict.ALTERNATIVES)
    assert starts(booked.sessions) == ["03-03 10:00", "03-10 09:30", "03-17 10:00", "03-24 10:00"]
    assert meetings(desk) == starts(booked.sessions)
    (moved,) = the_series(booked).conflicts
    assert (moved.outcome, moved.moved_to) == (Outcome.MOVED, a_span(at(9, 30, day=8)))


async def test_a_series_without_any_free_date_is_refused(desk: Desk) -> None:
    weeks = [a_span(at(0, day=1) + n * WEEK, 23 * 60) for n in range(4)]
    desk.outlook.busy[desk.address(desk.mentor)] = weeks
    with pytest.raises(SlotTaken) as conflict:
        await a_booked_series(desk, on_conflict=OnConflict.SKIP)
    assert len(conflict.value.conflicts) == 4


async def test_what_another_session_holds_is_a_conflict_of_that_date(desk: Desk) -> None:
    taken = Hold(a_session_id(), a_span(at(10, day=15)))
    await reservations.place_hold(desk.sessions, desk.mentor, taken, desk.mentor, desk.clock.now())
    with pytest.raises(SlotTaken) as conflict:
        await a_booked_series(desk)
    assert [c.number for c in conflict.value.conflicts] == [2]
    held = await desk.sessions.holds(desk.mentor, TimeSpan(at(0), at(0, day=60)), desk.clock.now())
    assert held == [taken]


async def test_a_series_ends_within_the_horizon(desk: Desk) -> None:
    with pytest.raises(Invalid) as refusal:
        await a_booked_series(desk, count=20)
    assert refusal.value.field == "body.repeat.count"
    assert "13 of these 20" in str(refusal.value)


async def test_one_date_is_cancelled_alone(desk: Desk) -> None:
    booked = await a_booked_series(desk)
    await cancel(desk.acting(desk.mentee), booked.sessions[1], "", books=desk.books)
    assert meetings(desk) == ["03-03 10:00", "03-17 10:00", "03-24 10:00"]


async def test_this_and_following_are_cancelled(desk: Desk) -> None:
    booked = await a_booked_series(desk)
    acting, session = desk.acting(desk.mentee), booked.sessions[2]
    scope = Scope.THIS_AND_FOLLOWING
    cancelled = await cancel(acting, session, "", scope, books=desk.books)
    assert [s.occurrence for s in cancelled] == [2, 3]
    assert {s.state for s in cancelled} == {SessionState.CANCELLED}
    assert meetings(desk) == ["03-03 10:00", "03-10 10:00"]
    again = await cancel(acting, cancelled[0], "", scope, books=desk.books)
    assert again == cancelled


async def test_all_are_cancelled_by_one_call(desk: Desk) -> None:
    booked = await a_booked_series(desk)
    desk.outlook.calls.clear()
    acting = desk.acting(desk.mentee)
    await cancel(acting, booked.sessions[2], "", Scope.ALL, books=desk.books)
    assert meetings(desk) == []
    assert desk.outlook.calls == ["cancel"]


async def test_what_is_over_is_not_cancelled(desk: Desk) -> None:
    booked = await a_booked_series(desk)
    desk.clock.advance(timedelta(days=2))
    acting = desk.acting(desk.mentee)
    cancelled = await cancel(acting, booked.sessions[2], "", Scope.ALL, books=desk.books)
    assert [s.occurrence for s in cancelled] == [1, 2, 3]
    assert meetings(desk) == ["03-03 10:00"]


async def test_one_date_is_moved_alone(desk: Desk) -> None:
    booked = await a_booked_series(desk)
    wanted = RescheduleRequest(a_span(at(15, day=9)), "UTC")
    (moved,) = await reschedule(
        desk.acting(desk.mentee),
        desk.pairing,
        booked.sessions[1],
        wanted,
        Scope.ONE,
        books=desk.books,
    )
    assert moved.span == wanted.span
    assert meetings(desk) == ["03-03 10:00", "03-11 15:00", "03-17 10:00", "03-24 10:00"]


async def test_this_and_following_are_moved_by_as_many_days(desk: Desk) -> None:
    booked = await a_booked_series(desk)
    wanted = RescheduleRequest(a_span(at(15, day=9)), "UTC")
    moved = await reschedule(
        desk.acting(desk.mentee),
        desk.pairing,
        booked.sessions[1],
        wanted,
        Scope.THIS_AND_FOLLOWING,
        books=desk.books,
    )
    assert starts(moved) == ["03-11 15:00", "03-18 15:00", "03-25 15:00"]
    assert meetings(desk) == ["03-03 10:00", *starts(moved)]


async def test_all_are_moved_by_moving_the_series(desk: Desk) -> None:
    booked = await a_booked_series(desk)
    desk.outlook.calls.clear()
    wanted = RescheduleRequest(a_span(at(15, day=9)), "UTC")
    moved = await reschedule(
        desk.acting(desk.mentee),
        desk.pairing,
        booked.sessions[1],
        wanted,
        Scope.ALL,
        books=desk.books,
    )
    assert starts(moved) == ["03-04 15:00", "03-11 15:00", "03-18 15:00", "03-25 15:00"]
    assert meetings(desk) == starts(moved)
    assert desk.outlook.calls == ["getSchedule", "reschedule_series", "instances"]
    series = await desk.sessions.get_series(desk.mentee, the_series(booked).id)
    assert series is not None
    assert [p.span for p in series.planned] == [s.span for s in moved]


async def test_a_series_is_not_moved_past_itself(desk: Desk) -> None:
    booked = await a_booked_series(desk)
    with pytest.raises(Invalid):
        await reschedule(
            desk.acting(desk.mentee),
            desk.pairing,
            booked.sessions[1],
            RescheduleRequest(a_span(at(15, day=16)), "UTC"),
            Scope.THIS_AND_FOLLOWING,
            books=desk.books,
        )


async def test_moving_to_where_somebody_is_busy_leaves_everything(desk: Desk) -> None:
    booked = await a_booked_series(desk)
    before = meetings(desk)
    desk.outlook.busy[desk.address(desk.mentor)] = [a_span(at(15, day=16))]
    with pytest.raises(SlotTaken) as conflict:
        await reschedule(
            desk.acting(desk.mentee),
            desk.pairing,
            booked.sessions[1],
            RescheduleRequest(a_span(at(15, day=9)), "UTC"),
            Scope.THIS_AND_FOLLOWING,
            books=desk.books,
        )
    assert [c.number for c in conflict.value.conflicts] == [2]
    assert meetings(desk) == before


async def test_only_the_organizer_changes_a_series(desk: Desk) -> None:
    booked = await a_booked_series(desk)
    with pytest.raises(NotAllowed):
        await cancel(desk.acting(desk.mentor), booked.sessions[0], "", Scope.ALL, books=desk.books)


async def test_a_single_session_has_no_following_ones(desk: Desk) -> None:
    session = await book_one(desk.acting(desk.mentee), desk.pairing, a_request(), books=desk.books)
    with pytest.raises(Invalid) as refusal:
        await cancel(desk.acting(desk.mentee), session, "", Scope.ALL, books=desk.books)
    assert refusal.value.field == "body.scope"


async def test_each_date_has_its_own_answers(desk: Desk) -> None:
    booked = await a_booked_series(desk)
    await respond(
        desk.acting(desk.mentor),
        booked.sessions[1],
        InvitationResponse(ResponseState.DECLINED),
        books=desk.books,
    )
    await jobs_done(desk)
    answers = [
        (await desk.sessions.get(desk.mentee, s.id)).attendees[0].response.state
        for s in booked.sessions
    ]
    assert answers == ["pending", "declined", "pending", "pending"]


async def test_a_date_that_outlook_does_not_show_cannot_be_moved(desk: Desk) -> None:
    booked = await a_booked_series(desk)
    gone = next(e for e in desk.outlook.events if e.seen.span == booked.sessions[1].span)
    gone.is_gone = True
    wanted = RescheduleRequest(a_span(at(15, day=8)), "UTC")
    with pytest.raises(Conflict):
        await reschedule(
            desk.acting(desk.mentee),
            desk.pairing,
            booked.sessions[1],
            wanted,
            Scope.ONE,
            books=desk.books,
        )
    acting = desk.acting(desk.mentee)
    (cancelled,) = await cancel(acting, booked.sessions[1], "", books=desk.books)
    assert cancelled.state is SessionState.CANCELLED


async def test_a_series_that_was_moved_in_outlook_is_followed(desk: Desk) -> None:
    booked = await a_booked_series(desk)
    await jobs_done(desk)
    master = next(e for e in desk.outlook.events if e.pattern)
    assert master.pattern
    first = a_span(at(16, day=2))
    day = first.start.date()
    pattern = replace(master.pattern, anchor=day, first_on=day)
    acting = desk.acting(desk.mentee).acting
    await desk.calendar.reschedule_series(acting, master.seen.event_id, first, "UTC", pattern)
    await sync_event(desk.mentee, master.seen.event_id, None, desk.organization, books=desk.books)
    known = [await desk.sessions.get(desk.mentor, s.id) for s in booked.sessions]
    assert starts(known) == ["03-04 16:00", "03-11 16:00", "03-18 16:00", "03-25 16:00"]
    for session in known:
        held = await desk.sessions.holds(desk.mentor, session.span, desk.clock.now())
        assert held == [Hold(session.id, session.span)]


async def test_a_series_that_was_moved_is_found_date_by_date(desk: Desk) -> None:
    booked = await a_booked_series(desk)
    await jobs_done(desk)
    old = await desk.sessions.get(desk.mentee, booked.sessions[2].id)
    master = next(e for e in desk.outlook.events if e.pattern)
    assert master.pattern
    first = a_span(at(16, day=2))
    day = first.start.date()
    pattern = replace(master.pattern, anchor=day, first_on=day)
    acting = desk.acting(desk.mentee).acting
    await desk.calendar.reschedule_series(acting, master.seen.event_id, first, "UTC", pattern)
    # Reconciliation asks by the id of old, which Outlook does not know any more.
    now = await sync_session(old, desk.organization, Cause.RECONCILIATION, books=desk.books)
    assert (now.state, now.span) == (SessionState.SCHEDULED, a_span(at(16, day=16)))


async def test_a_series_that_was_cancelled_in_outlook_is_followed(desk: Desk) -> None:
    booked = await a_booked_series(desk)
    await jobs_done(desk)
    master = next(e for e in desk.outlook.events if e.pattern)
    acting = desk.acting(desk.mentee).acting
    await desk.calendar.cancel(acting, master.seen.event_id, "")
    await sync_event(desk.mentee, master.seen.event_id, None, desk.organization, books=desk.books)
    known = [await desk.sessions.get(desk.mentee, s.id) for s in booked.sessions]
    assert {s.state for s in known} == {SessionState.CANCELLED}


async def test_the_rows_of_a_series_go_when_its_last_session_goes(desk: Desk) -> None:
    booked = await a_booked_series(desk)
    desk.clock.advance(timedelta(days=60))
    items = [i async for page in desk.due.due(DueKind.PURGE, desk.clock.now()) for i in page]
    assert len(items) == 5
    await purge_batch(job_for_batch(JobKind.PURGE, items), desk.organization, books=desk.books)
    assert await desk.sessions.get_series(desk.mentee, the_series(booked).id) is None
    assert not any(each.row_count for each in desk.sessions.ledgers.values())


# --- groups: who can be done without, on each date


DATES = [a_span(at(10, day=1 + 7 * week)) for week in range(4)]
DAYS = a_span(at(0), 60 * 1440)


def add_third(desk: Desk, *, required: bool = True) -> Mailbox:
    """Let a third meet with them who is busy on the second and third date; return whose it is."""
    third = a_mailbox(desk.mentor.tenant_id)
    pairing = a_pairing(desk.mentor, desk.mentee, third, organization_id=desk.organization.id)
    *others, last = pairing.participants
    desk.pairing = replace(pairing, participants=(*others, replace(last, required=required)))
    desk.outlook.addresses[desk.address(third)] = third.object_id
    desk.outlook.busy[desk.address(third)] = DATES[1:3]
    return third


def free(desk: Desk, sessions: list[Session] | tuple[Session, ...], who: Mailbox) -> list[bool]:
    return [a.is_free for s in sessions for a in s.attendees if a.object_id == who.object_id]


async def held(desk: Desk, mailbox: Mailbox) -> list[TimeSpan]:
    return [hold.span for hold in await desk.sessions.holds(mailbox, DAYS, desk.clock.now())]


async def test_on_each_date_so_many_are_enough(desk: Desk) -> None:
    third = add_third(desk)
    with pytest.raises(SlotTaken) as refused:
        await a_booked_series(desk)
    assert [c.number for c in refused.value.conflicts] == [1, 2]
    with pytest.raises(SlotTaken) as refused:
        await a_booked_series(desk, at_least=3)
    assert [c.number for c in refused.value.conflicts] == [1, 2]
    with pytest.raises(Invalid):
        await a_booked_series(desk, at_least=4)
    assert desk.outlook.events == []

    booked = await a_booked_series(desk, at_least=2)
    assert free(desk, booked.sessions, third) == [True, False, False, True]
    assert free(desk, booked.sessions, desk.mentor) == [True] * 4
    assert await held(desk, third) == [DATES[0], DATES[3]]
    assert await held(desk, desk.mentor) == DATES
    assert await a_booked_series(desk, at_least=2) == booked


async def test_a_date_that_suits_fewer_is_skipped_or_booked_elsewhere(desk: Desk) -> None:
    third = add_third(desk)
    desk.outlook.busy[desk.address(desk.mentor)] = [DATES[2]]
    skipped = await a_booked_series(desk, at_least=2, on_conflict=OnConflict.SKIP)
    assert starts(skipped.sessions) == ["03-03 10:00", "03-10 10:00", "03-24 10:00"]
    assert free(desk, skipped.sessions, third) == [True, False, True]
    assert await held(desk, third) == [DATES[0], DATES[3]]


async def test_who_is_free_at_the_alternative_is_held_there(desk: Desk) -> None:
    third = add_third(desk)
    desk.outlook.busy[desk.address(desk.mentor)] = [DATES[2]]
    booked = await a_booked_series(desk, at_least=2, on_conflict=OnConflict.ALTERNATIVES)
    assert starts(booked.sessions) == ["03-03 10:00", "03-10 10:00", "03-17 09:30", "03-24 10:00"]
    assert free(desk, booked.sessions, third) == [True, False, True, True]


async def test_the_caller_must_be_free_whoever_else_is(desk: Desk) -> None:
    add_third(desk)
    desk.outlook.busy[desk.address(desk.mentee)] = [DATES[3]]
    with pytest.raises(SlotTaken) as refused:
        await a_booked_series(desk, at_least=2)
    assert [c.number for c in refused.value.conflicts] == [3]


async def test_who_is_held_by_another_session_is_not_counted(desk: Desk) -> None:
    third = add_third(desk)
    other = Hold(a_session_id(), DATES[0], desk.clock.now() + timedelta(minutes=10))
    await reservations.place_hold(desk.sessions, third, other, third, desk.clock.now())
    with pytest.raises(SlotTaken) as refused:
        await a_booked_series(desk, at_least=3)
    assert [c.number for c in refused.value.conflicts] == [0, 1, 2]
    booked = await a_booked_series(desk, at_least=2)
    assert free(desk, booked.sessions, third) == [False, False, False, True]
    assert await held(desk, third) == [DATES[0], DATES[3]]


async def test_who_is_optional_is_invited_on_each_date_and_held_where_free(desk: Desk) -> None:
    third = add_third(desk, required=False)
    booked = await a_booked_series(desk)
    assert free(desk, booked.sessions, third) == [True, False, False, True]
    assert await held(desk, third) == [DATES[0], DATES[3]]


async def test_of_whom_nobody_knows_is_not_counted_and_told(desk: Desk) -> None:
    third = add_third(desk)
    address = desk.address(third)
    desk.outlook.busy[address] = []
    desk.outlook.unknown[address] = Unknown(UnknownReason.NO_ANSWER)
    with pytest.raises(SlotTaken):
        await a_booked_series(desk, at_least=3)
    booked = await a_booked_series(desk, at_least=2)
    assert {s.unknown_for for s in booked.sessions} == {(address,)}


@pytest.mark.parametrize("scope", [Scope.THIS_AND_FOLLOWING, Scope.ALL])
async def test_a_series_is_moved_where_it_suits_so_many(desk: Desk, scope: Scope) -> None:
    third = add_third(desk)
    booked = await a_booked_series(desk, at_least=2)
    session = await desk.sessions.get(
        desk.mentee, booked.sessions[0 if scope is Scope.ALL else 1].id
    )
    later = [TimeSpan(s.start + timedelta(hours=4), s.end + timedelta(hours=4)) for s in DATES]
    desk.outlook.busy[desk.address(third)] = [*DATES[1:3], later[3]]

    async def move(at_least: int | None) -> list[Session]:
        to = RescheduleRequest(later[session.occurrence], "UTC", at_least=at_least)
        return await reschedule(
            desk.acting(desk.mentee), desk.pairing, session, to, scope, books=desk.books
        )

    for at_least in (None, 3):
        with pytest.raises(SlotTaken) as refused:
            await move(at_least)
        assert [c.number for c in refused.value.conflicts] == [3]
    with pytest.raises(Invalid):
        await move(4)
    assert await held(desk, desk.mentor) == DATES

    moved = await move(2)
    first = session.occurrence
    assert free(desk, moved, third) == [True, True, True, False][first:]
    assert await held(desk, third) == [*DATES[:first], *later[first:3]]
    assert await held(desk, desk.mentor) == [*DATES[:first], *later[first:]]


# --- whoever is outrun by somebody who gives up again


class Outrunning:
    """A store in which somebody always has the time a moment before, and never keeps it."""

    def __init__(self, sessions: InMemorySessions, operation: Callable[..., Any]) -> None:
        self._sessions, self._operation = sessions, operation

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sessions, name)

    async def change(self, mailbox: Any, key: Any, spans: Any, decide: Any, **hints: Any) -> Any:
        if decide.func is self._operation:
            raise SlotTaken("Another session holds this time.")
        return await self._sessions.change(mailbox, key, spans, decide, **hints)


async def test_who_is_outrun_is_offered_other_times_all_the_same(desk: Desk) -> None:
    request = a_request(**weekly())  # type: ignore[arg-type]  # a builder's keywords
    sessions: Any = Outrunning(desk.sessions, ledger.place_hold)
    with pytest.raises(SlotTaken) as refused:
        await book(
            desk.acting(desk.mentee),
            desk.pairing,
            request,
            books=replace(desk.books, sessions=sessions),
        )
    assert refused.value.conflicts == ()
    assert refused.value.alternatives[0] == a_span(at(9, 30, day=1))
    assert len(refused.value.alternatives) == 5
    assert await held(desk, desk.mentee) == []


async def test_who_is_outrun_while_moving_is_offered_other_times_all_the_same(desk: Desk) -> None:
    booked = await a_booked_series(desk)
    sessions: Any = Outrunning(desk.sessions, ledger.hold_new_time)
    with pytest.raises(SlotTaken) as refused:
        await reschedule(
            desk.acting(desk.mentee),
            desk.pairing,
            booked.sessions[0],
            RescheduleRequest(a_span(at(14, day=1)), "UTC"),
            Scope.ALL,
            books=replace(desk.books, sessions=sessions),
        )
    assert refused.value.alternatives[0] == a_span(at(13, 30, day=1))
    assert len(refused.value.alternatives) == 5
    assert await held(desk, desk.mentee) == DATES
