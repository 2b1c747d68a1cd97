from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from shared.administration.job_runner import run_job
from shared.availability.model import Unknown, UnknownReason
from shared.calendar_sync.sync import sync_event, sync_session
from shared.errors import (
    CalendarRefused,
    CalendarUnavailable,
    Conflict,
    Invalid,
    KeyReused,
    NotAllowed,
    SlotTaken,
)
from shared.ids import Mailbox
from shared.jobs import DueKind, JobKind, job_for_batch
from shared.sessions import ledger, reservations
from shared.sessions.booking import book
from shared.sessions.cancelling import cancel
from shared.sessions.holds import Hold
from shared.sessions.missing import SECOND_LOOK
from shared.sessions.model import Cause, ResponseState, Session, SessionState
from shared.sessions.recurrence import Frequency, Repeat
from shared.sessions.requests import InvitationResponse, RescheduleRequest
from shared.sessions.rescheduling import reschedule
from shared.sessions.responding import respond
from shared.sessions.retention import purge_batch
from shared.sessions.series import Booking, OnConflict, Outcome, Scope
from shared.timespan import TimeSpan
from tests.builders import a_mailbox, a_pairing, a_session_id, a_span, at
from tests.fakes import InMemorySessions
from tests.unit.sessions.conftest import BookingEnv, a_request, book_one, the_series
from tests.unit.sessions.test_crash_recovery import NO_LOOK_PORTS, NO_SUBSCRIPTION_PORTS
from tests.unit.sessions.test_partial_failure import UnkindCalendar

WEEK = timedelta(weeks=1)
THIRTY = timedelta(minutes=30)


def weekly(count: int = 4, **changes: object) -> dict[str, object]:
    return {"repeat": Repeat(Frequency.WEEKLY, count=count), "time_zone": "UTC", **changes}


async def a_booked_series(env: BookingEnv, **changes: object) -> Booking:
    request = a_request(**weekly(**changes))  # type: ignore[arg-type]  # a builder's keywords
    return await book(env.acting(env.mentee), env.pairing, request, ports=env.ports)


def starts(sessions: list[Session] | tuple[Session, ...]) -> list[str]:
    return [f"{s.span.start:%m-%d %H:%M}" for s in sessions]


def meetings(env: BookingEnv) -> list[str]:
    spans = [e.seen.span for e in env.outlook.events if not e.is_gone and not e.pattern]
    return [f"{span.start:%m-%d %H:%M}" for span in sorted(spans)]


async def jobs_done(env: BookingEnv) -> None:
    jobs = [job for job, _ in env.jobs.put_jobs]
    env.jobs.put_jobs.clear()
    for job in jobs:
        if job.kind is not JobKind.SUBSCRIBE:
            await run_job(
                job,
                env.organization,
                ports=env.ports,
                subscription_ports=NO_SUBSCRIPTION_PORTS,
                look_ports=NO_LOOK_PORTS,
            )


async def test_a_series_is_one_event_and_a_session_for_each_date(env: BookingEnv) -> None:
    booked = await a_booked_series(env)
    assert starts(booked.sessions) == ["03-03 10:00", "03-10 10:00", "03-17 10:00", "03-24 10:00"]
    assert meetings(env) == starts(booked.sessions)
    assert {s.state for s in booked.sessions} == {SessionState.SCHEDULED}
    assert {s.series_id for s in booked.sessions} == {the_series(booked).id}
    assert [s.occurrence for s in booked.sessions] == [0, 1, 2, 3]
    for session in booked.sessions:
        for mailbox in (env.mentor, env.mentee):
            held = await env.sessions.holds(mailbox, session.span, env.clock.now())
            assert held == [Hold(session.id, session.span)]


@pytest.mark.parametrize(("count", "calls"), [(2, 1), (6, 1), (12, 2)])
async def test_a_series_takes_few_calls(env: BookingEnv, count: int, calls: int) -> None:
    await a_booked_series(env, count=count)
    assert env.outlook.calls == ["getSchedule"] * calls + ["create"]


async def test_the_ids_of_its_events_are_learned_afterwards(env: BookingEnv) -> None:
    booked = await a_booked_series(env)
    env.outlook.calls.clear()
    await jobs_done(env)
    for session in booked.sessions:
        known = await env.sessions.get(env.mentee, session.id)
        assert known.event_id
        assert await env.sessions.find_by_event(env.mentee, known.event_id) == known
    assert set(env.outlook.calls) == {"instances"}


async def test_the_same_key_again_is_the_same_series(env: BookingEnv) -> None:
    first = await a_booked_series(env)
    again = await a_booked_series(env)
    assert again == first
    assert len([e for e in env.outlook.events if e.pattern]) == 1


async def test_a_key_is_for_one_session_or_for_one_series(env: BookingEnv) -> None:
    await a_booked_series(env)
    with pytest.raises(KeyReused):
        await book_one(env.acting(env.mentee), env.pairing, a_request(), ports=env.ports)
    with pytest.raises(KeyReused):
        await a_booked_series(env, fingerprint="another")
    single = a_request("other", hour=12)
    await book_one(env.acting(env.mentee), env.pairing, single, ports=env.ports)
    request = a_request("other", **weekly())  # type: ignore[arg-type]  # a builder's keywords
    with pytest.raises(KeyReused):
        await book(env.acting(env.mentee), env.pairing, request, ports=env.ports)


async def test_a_date_that_is_not_free_refuses_the_series_and_says_which(env: BookingEnv) -> None:
    env.outlook.busy[env.address(env.mentor)] = [a_span(at(10, day=8))]
    with pytest.raises(SlotTaken) as conflict:
        await a_booked_series(env)
    (date,) = conflict.value.conflicts
    assert (date.number, date.span) == (1, a_span(at(10, day=8)))
    assert date.alternatives[0] == a_span(at(9, 30, day=8))
    assert len(date.alternatives) == 5
    assert env.outlook.events == []
    assert env.jobs.put_jobs == []


async def test_dates_that_are_not_free_are_skipped(env: BookingEnv) -> None:
    env.outlook.busy[env.address(env.mentor)] = [a_span(at(10, day=8))]
    booked = await a_booked_series(env, on_conflict=OnConflict.SKIP)
    assert starts(booked.sessions) == ["03-03 10:00", "03-17 10:00", "03-24 10:00"]
    assert meetings(env) == starts(booked.sessions)
    (skipped,) = the_series(booked).conflicts
    assert (skipped.number, skipped.outcome) == (1, Outcome.SKIPPED)
    assert skipped.alternatives


async def test_skipped_dates_at_the_ends_are_no_exceptions(env: BookingEnv) -> None:
    env.outlook.busy[env.address(env.mentor)] = [a_span(at(10, day=1)), a_span(at(10, day=22))]
    booked = await a_booked_series(env, on_conflict=OnConflict.SKIP)
    assert meetings(env) == ["03-10 10:00", "03-17 10:00"] == starts(booked.sessions)
    assert env.outlook.calls == ["getSchedule", "create"]


async def test_dates_that_are_not_free_are_booked_at_alternatives(env: BookingEnv) -> None:
    env.outlook.busy[env.address(env.mentor)] = [a_span(at(10, day=8))]
    booked = await a_booked_series(env, on_conflict=OnConflict.ALTERNATIVES)
    assert starts(booked.sessions) == ["03-03 10:00", "03-10 09:30", "03-17 10:00", "03-24 10:00"]
    assert meetings(env) == starts(booked.sessions)
    (moved,) = the_series(booked).conflicts
    assert (moved.outcome, moved.moved_to) == (Outcome.MOVED, a_span(at(9, 30, day=8)))


async def test_a_series_without_any_free_date_is_refused(env: BookingEnv) -> None:
    weeks = [a_span(at(0, day=1) + n * WEEK, 23 * 60) for n in range(4)]
    env.outlook.busy[env.address(env.mentor)] = weeks
    with pytest.raises(SlotTaken) as conflict:
        await a_booked_series(env, on_conflict=OnConflict.SKIP)
    assert len(conflict.value.conflicts) == 4


async def test_hold_of_another_session_is_a_conflict_of_that_date(env: BookingEnv) -> None:
    taken = Hold(a_session_id(), a_span(at(10, day=15)))
    await reservations.place_hold(env.sessions, env.mentor, taken, env.mentor, env.clock.now())
    with pytest.raises(SlotTaken) as conflict:
        await a_booked_series(env)
    assert [c.number for c in conflict.value.conflicts] == [2]
    held = await env.sessions.holds(env.mentor, TimeSpan(at(0), at(0, day=60)), env.clock.now())
    assert held == [taken]


async def test_a_series_ends_within_the_horizon(env: BookingEnv) -> None:
    with pytest.raises(Invalid) as refusal:
        await a_booked_series(env, count=20)
    assert refusal.value.field == "body.repeat.count"
    assert "13 of these 20" in str(refusal.value)


async def test_one_date_is_cancelled_alone(env: BookingEnv) -> None:
    booked = await a_booked_series(env)
    await cancel(env.acting(env.mentee), booked.sessions[1], "", ports=env.ports)
    assert meetings(env) == ["03-03 10:00", "03-17 10:00", "03-24 10:00"]


async def test_this_and_following_are_cancelled(env: BookingEnv) -> None:
    booked = await a_booked_series(env)
    acting, session = env.acting(env.mentee), booked.sessions[2]
    scope = Scope.THIS_AND_FOLLOWING
    cancelled = await cancel(acting, session, "", scope, ports=env.ports)
    assert [s.occurrence for s in cancelled] == [2, 3]
    assert {s.state for s in cancelled} == {SessionState.CANCELLED}
    assert meetings(env) == ["03-03 10:00", "03-10 10:00"]
    again = await cancel(acting, cancelled[0], "", scope, ports=env.ports)
    assert again == cancelled


async def test_all_are_cancelled_by_one_call(env: BookingEnv) -> None:
    booked = await a_booked_series(env)
    env.outlook.calls.clear()
    acting = env.acting(env.mentee)
    await cancel(acting, booked.sessions[2], "", Scope.ALL, ports=env.ports)
    assert meetings(env) == []
    assert env.outlook.calls == ["instances", "cancel"]


async def test_past_dates_are_not_cancelled(env: BookingEnv) -> None:
    booked = await a_booked_series(env)
    env.clock.advance(timedelta(days=2))
    acting = env.acting(env.mentee)
    cancelled = await cancel(acting, booked.sessions[2], "", Scope.ALL, ports=env.ports)
    assert [s.occurrence for s in cancelled] == [1, 2, 3]
    assert meetings(env) == ["03-03 10:00"]


async def test_one_date_is_moved_alone(env: BookingEnv) -> None:
    booked = await a_booked_series(env)
    wanted = RescheduleRequest(a_span(at(15, day=9)), "UTC")
    (moved,) = await reschedule(
        env.acting(env.mentee),
        env.pairing,
        booked.sessions[1],
        wanted,
        Scope.ONE,
        ports=env.ports,
    )
    assert moved.span == wanted.span
    assert meetings(env) == ["03-03 10:00", "03-11 15:00", "03-17 10:00", "03-24 10:00"]


async def test_this_and_following_are_moved_by_as_many_days(env: BookingEnv) -> None:
    booked = await a_booked_series(env)
    wanted = RescheduleRequest(a_span(at(15, day=9)), "UTC")
    moved = await reschedule(
        env.acting(env.mentee),
        env.pairing,
        booked.sessions[1],
        wanted,
        Scope.THIS_AND_FOLLOWING,
        ports=env.ports,
    )
    assert starts(moved) == ["03-11 15:00", "03-18 15:00", "03-25 15:00"]
    assert meetings(env) == ["03-03 10:00", *starts(moved)]


async def test_all_are_moved_by_moving_the_series(env: BookingEnv) -> None:
    booked = await a_booked_series(env)
    env.outlook.calls.clear()
    wanted = RescheduleRequest(a_span(at(15, day=9)), "UTC")
    moved = await reschedule(
        env.acting(env.mentee),
        env.pairing,
        booked.sessions[1],
        wanted,
        Scope.ALL,
        ports=env.ports,
    )
    assert starts(moved) == ["03-04 15:00", "03-11 15:00", "03-18 15:00", "03-25 15:00"]
    assert meetings(env) == starts(moved)
    assert env.outlook.calls == ["instances", "getSchedule", "reschedule_series", "instances"]
    series = await env.sessions.get_series(env.mentee, the_series(booked).id)
    assert series is not None
    assert [p.span for p in series.planned] == [s.span for s in moved]


async def test_a_series_is_not_moved_past_itself(env: BookingEnv) -> None:
    booked = await a_booked_series(env)
    with pytest.raises(Invalid):
        await reschedule(
            env.acting(env.mentee),
            env.pairing,
            booked.sessions[1],
            RescheduleRequest(a_span(at(15, day=16)), "UTC"),
            Scope.THIS_AND_FOLLOWING,
            ports=env.ports,
        )


async def test_moving_to_where_somebody_is_busy_leaves_everything(env: BookingEnv) -> None:
    booked = await a_booked_series(env)
    before = meetings(env)
    env.outlook.busy[env.address(env.mentor)] = [a_span(at(15, day=16))]
    with pytest.raises(SlotTaken) as conflict:
        await reschedule(
            env.acting(env.mentee),
            env.pairing,
            booked.sessions[1],
            RescheduleRequest(a_span(at(15, day=9)), "UTC"),
            Scope.THIS_AND_FOLLOWING,
            ports=env.ports,
        )
    assert [c.number for c in conflict.value.conflicts] == [2]
    assert meetings(env) == before


async def test_only_the_organizer_changes_a_series(env: BookingEnv) -> None:
    booked = await a_booked_series(env)
    with pytest.raises(NotAllowed):
        await cancel(env.acting(env.mentor), booked.sessions[0], "", Scope.ALL, ports=env.ports)


async def test_a_single_session_has_no_following_ones(env: BookingEnv) -> None:
    session = await book_one(env.acting(env.mentee), env.pairing, a_request(), ports=env.ports)
    with pytest.raises(Invalid) as refusal:
        await cancel(env.acting(env.mentee), session, "", Scope.ALL, ports=env.ports)
    assert refusal.value.field == "body.scope"


async def test_each_date_has_its_own_answers(env: BookingEnv) -> None:
    booked = await a_booked_series(env)
    await respond(
        env.acting(env.mentor),
        booked.sessions[1],
        InvitationResponse(ResponseState.DECLINED),
        ports=env.ports,
    )
    await jobs_done(env)
    answers = [
        (await env.sessions.get(env.mentee, s.id)).attendees[0].response.state
        for s in booked.sessions
    ]
    assert answers == ["pending", "declined", "pending", "pending"]


async def _answers(env: BookingEnv, booked: Booking) -> list[str]:
    await jobs_done(env)
    rows = [await env.sessions.get(env.mentee, session.id) for session in booked.sessions]
    return [row.attendees[0].response.state.value for row in rows]


async def _answer(
    env: BookingEnv, session: Session, state: ResponseState, scope: Scope, **more: Any
) -> list[Session]:
    answer = InvitationResponse(state, **more)
    return await respond(env.acting(env.mentor), session, answer, scope, ports=env.ports)


async def test_a_whole_series_is_answered_in_one_call(env: BookingEnv) -> None:
    booked = await a_booked_series(env)
    env.outlook.calls.clear()
    answered = await _answer(env, booked.sessions[1], ResponseState.ACCEPTED, Scope.ALL)
    assert [session.id for session in answered] == [session.id for session in booked.sessions]
    assert env.outlook.calls.count("respond_series") == 1
    assert "respond_many" not in env.outlook.calls
    assert await _answers(env, booked) == ["accepted"] * 4


async def test_this_date_and_the_following_are_answered_each(env: BookingEnv) -> None:
    booked = await a_booked_series(env)
    scope = Scope.THIS_AND_FOLLOWING
    answered = await _answer(env, booked.sessions[2], ResponseState.TENTATIVE, scope)
    assert [session.occurrence for session in answered] == [2, 3]
    assert "respond_many" in env.outlook.calls
    assert await _answers(env, booked) == ["pending", "pending", "tentative", "tentative"]


async def test_declining_a_whole_series_twice_is_not_an_error(env: BookingEnv) -> None:
    booked = await a_booked_series(env)
    for _ in range(2):
        answered = await _answer(env, booked.sessions[0], ResponseState.DECLINED, Scope.ALL)
        assert len(answered) == 4
    assert await _answers(env, booked) == ["declined"] * 4
    with pytest.raises(Conflict):
        await _answer(env, booked.sessions[0], ResponseState.ACCEPTED, Scope.ALL)


async def test_a_date_that_was_declined_alone_stays_so(env: BookingEnv) -> None:
    booked = await a_booked_series(env)
    await _answer(env, booked.sessions[1], ResponseState.DECLINED, Scope.ONE)
    answered = await _answer(env, booked.sessions[0], ResponseState.ACCEPTED, Scope.ALL)
    assert [session.occurrence for session in answered] == [0, 2, 3]
    assert await _answers(env, booked) == ["accepted", "declined", "accepted", "accepted"]


async def test_a_date_from_which_the_attendee_was_removed_is_not_answered(env: BookingEnv) -> None:
    booked = await a_booked_series(env)
    await jobs_done(env)
    removed = await env.sessions.get(env.mentee, booked.sessions[2].id)
    rows = tuple(replace(attendee, invited=False) for attendee in removed.attendees)
    await reservations.save(env.sessions, replace(removed, attendees=rows))
    env.outlook.calls.clear()
    answered = await _answer(env, booked.sessions[0], ResponseState.ACCEPTED, Scope.ALL)
    assert [session.occurrence for session in answered] == [0, 1, 3]
    assert "respond_series" not in env.outlook.calls


async def test_another_time_is_proposed_for_one_date_only(env: BookingEnv) -> None:
    booked = await a_booked_series(env)
    with pytest.raises(Invalid) as refusal:
        await _answer(
            env,
            booked.sessions[0],
            ResponseState.TENTATIVE,
            Scope.ALL,
            proposed=a_span(at(15, day=8)),
        )
    assert refusal.value.field == "body.proposed"


async def test_a_single_session_is_not_answered_as_a_series(env: BookingEnv) -> None:
    session = await book_one(env.acting(env.mentee), env.pairing, a_request(), ports=env.ports)
    with pytest.raises(Invalid) as refusal:
        await _answer(env, session, ResponseState.ACCEPTED, Scope.ALL)
    assert refusal.value.field == "body.scope"


async def test_the_organizer_does_not_answer_a_series(env: BookingEnv) -> None:
    booked = await a_booked_series(env)
    answer = InvitationResponse(ResponseState.ACCEPTED)
    caller = env.acting(env.mentee)
    with pytest.raises(NotAllowed):
        await respond(caller, booked.sessions[0], answer, Scope.ALL, ports=env.ports)


async def test_a_date_that_outlook_does_not_show_cannot_be_moved(env: BookingEnv) -> None:
    booked = await a_booked_series(env)
    gone = next(e for e in env.outlook.events if e.seen.span == booked.sessions[1].span)
    gone.is_gone = True
    wanted = RescheduleRequest(a_span(at(15, day=8)), "UTC")
    with pytest.raises(Conflict):
        await reschedule(
            env.acting(env.mentee),
            env.pairing,
            booked.sessions[1],
            wanted,
            Scope.ONE,
            ports=env.ports,
        )
    acting = env.acting(env.mentee)
    with pytest.raises(CalendarUnavailable):
        await cancel(acting, booked.sessions[1], "", ports=env.ports)
    env.clock.advance(SECOND_LOOK)
    stored = await env.sessions.get(env.mentee, booked.sessions[1].id)
    (cancelled,) = await cancel(acting, stored, "", ports=env.ports)
    assert cancelled.state is SessionState.CANCELLED


async def test_a_series_that_was_moved_in_outlook_is_followed(env: BookingEnv) -> None:
    booked = await a_booked_series(env)
    await jobs_done(env)
    master = next(e for e in env.outlook.events if e.pattern)
    assert master.pattern
    first = a_span(at(16, day=2))
    day = first.start.date()
    pattern = replace(master.pattern, anchor=day, first_on=day)
    acting = env.acting(env.mentee).acting
    await env.calendar.reschedule_series(acting, master.seen.event_id, first, "UTC", pattern)
    await sync_event(env.mentee, master.seen.event_id, None, env.organization, ports=env.ports)
    known = [await env.sessions.get(env.mentor, s.id) for s in booked.sessions]
    assert starts(known) == ["03-04 16:00", "03-11 16:00", "03-18 16:00", "03-25 16:00"]
    for session in known:
        held = await env.sessions.holds(env.mentor, session.span, env.clock.now())
        assert held == [Hold(session.id, session.span)]


async def test_a_series_that_was_moved_is_found_date_by_date(env: BookingEnv) -> None:
    booked = await a_booked_series(env)
    await jobs_done(env)
    old = await env.sessions.get(env.mentee, booked.sessions[2].id)
    master = next(e for e in env.outlook.events if e.pattern)
    assert master.pattern
    first = a_span(at(16, day=2))
    day = first.start.date()
    pattern = replace(master.pattern, anchor=day, first_on=day)
    acting = env.acting(env.mentee).acting
    await env.calendar.reschedule_series(acting, master.seen.event_id, first, "UTC", pattern)
    # Reconciliation reads by the former id, which Outlook does not have any more.
    now = await sync_session(old, env.organization, Cause.RECONCILIATION, ports=env.ports)
    assert (now.state, now.span) == (SessionState.SCHEDULED, a_span(at(16, day=16)))


async def test_a_series_that_was_cancelled_in_outlook_is_followed(env: BookingEnv) -> None:
    booked = await a_booked_series(env)
    await jobs_done(env)
    master = next(e for e in env.outlook.events if e.pattern)
    acting = env.acting(env.mentee).acting
    await env.calendar.cancel(acting, master.seen.event_id, "")
    await sync_event(env.mentee, master.seen.event_id, None, env.organization, ports=env.ports)
    known = [await env.sessions.get(env.mentee, s.id) for s in booked.sessions]
    assert {s.state for s in known} == {SessionState.CANCELLED}


async def test_the_rows_of_a_series_go_when_its_last_session_goes(env: BookingEnv) -> None:
    booked = await a_booked_series(env)
    env.clock.advance(timedelta(days=60))
    items = [i async for page in env.due.due(DueKind.PURGE, env.clock.now()) for i in page]
    assert len(items) == 5
    await purge_batch(
        job_for_batch(JobKind.PURGE, items),
        env.organization,
        sessions=env.sessions,
        due=env.due,
        clock=env.clock,
    )
    assert await env.sessions.get_series(env.mentee, the_series(booked).id) is None
    assert not any(each.row_count for each in env.sessions.ledgers.values())


async def test_the_rows_of_a_series_stay_while_one_of_its_sessions_stays(env: BookingEnv) -> None:
    booked = await a_booked_series(env)
    stored = await env.sessions.get(env.mentee, booked.sessions[1].id)
    await reservations.save(env.sessions, replace(stored, span=a_span(at(10, day=70))))
    series_id, purged = the_series(booked).id, []
    for days in (60, 50):
        env.clock.advance(timedelta(days=days))
        items = [i async for page in env.due.due(DueKind.PURGE, env.clock.now()) for i in page]
        await purge_batch(
            job_for_batch(JobKind.PURGE, items[::-1]),
            env.organization,
            sessions=env.sessions,
            due=env.due,
            clock=env.clock,
        )
        purged.append(await env.sessions.get_series(env.mentee, series_id) is None)
    assert purged == [False, True]
    assert not any(each.row_count for each in env.sessions.ledgers.values())
    assert [i for i in env.due._items if i.kind is DueKind.PURGE] == []


# --- groups: attendees that the meeting does not need, on each date


DATES = [a_span(at(10, day=1 + 7 * week)) for week in range(4)]
DAYS = a_span(at(0), 60 * 1440)


def add_third(env: BookingEnv, *, required: bool = True) -> Mailbox:
    """Add a third participant, busy on the second and third date; return their mailbox."""
    third = a_mailbox(env.mentor.tenant_id)
    pairing = a_pairing(env.mentor, env.mentee, third, organization_id=env.organization.id)
    *others, last = pairing.participants
    env.pairing = replace(pairing, participants=(*others, replace(last, required=required)))
    env.outlook.addresses[env.address(third)] = third.object_id
    env.outlook.busy[env.address(third)] = DATES[1:3]
    return third


def free(
    env: BookingEnv, sessions: list[Session] | tuple[Session, ...], who: Mailbox
) -> list[bool]:
    return [a.is_free for s in sessions for a in s.attendees if a.object_id == who.object_id]


async def held(env: BookingEnv, mailbox: Mailbox) -> list[TimeSpan]:
    return [hold.span for hold in await env.sessions.holds(mailbox, DAYS, env.clock.now())]


async def test_on_each_date_so_many_are_enough(env: BookingEnv) -> None:
    third = add_third(env)
    with pytest.raises(SlotTaken) as refused:
        await a_booked_series(env)
    assert [c.number for c in refused.value.conflicts] == [1, 2]
    with pytest.raises(SlotTaken) as refused:
        await a_booked_series(env, at_least=3)
    assert [c.number for c in refused.value.conflicts] == [1, 2]
    with pytest.raises(Invalid):
        await a_booked_series(env, at_least=4)
    assert env.outlook.events == []

    booked = await a_booked_series(env, at_least=2)
    assert free(env, booked.sessions, third) == [True, False, False, True]
    assert free(env, booked.sessions, env.mentor) == [True] * 4
    assert await held(env, third) == [DATES[0], DATES[3]]
    assert await held(env, env.mentor) == DATES
    assert await a_booked_series(env, at_least=2) == booked


async def test_a_date_that_suits_fewer_is_skipped_or_booked_elsewhere(env: BookingEnv) -> None:
    third = add_third(env)
    env.outlook.busy[env.address(env.mentor)] = [DATES[2]]
    skipped = await a_booked_series(env, at_least=2, on_conflict=OnConflict.SKIP)
    assert starts(skipped.sessions) == ["03-03 10:00", "03-10 10:00", "03-24 10:00"]
    assert free(env, skipped.sessions, third) == [True, False, True]
    assert await held(env, third) == [DATES[0], DATES[3]]


async def test_attendee_free_at_the_alternative_is_held_there(env: BookingEnv) -> None:
    third = add_third(env)
    env.outlook.busy[env.address(env.mentor)] = [DATES[2]]
    booked = await a_booked_series(env, at_least=2, on_conflict=OnConflict.ALTERNATIVES)
    assert starts(booked.sessions) == ["03-03 10:00", "03-10 10:00", "03-17 09:30", "03-24 10:00"]
    assert free(env, booked.sessions, third) == [True, False, True, True]


async def test_the_caller_must_be_free_whoever_else_is(env: BookingEnv) -> None:
    add_third(env)
    env.outlook.busy[env.address(env.mentee)] = [DATES[3]]
    with pytest.raises(SlotTaken) as refused:
        await a_booked_series(env, at_least=2)
    assert [c.number for c in refused.value.conflicts] == [3]


async def test_attendee_held_by_another_session_is_not_counted(env: BookingEnv) -> None:
    third = add_third(env)
    other = Hold(a_session_id(), DATES[0], env.clock.now() + timedelta(minutes=10))
    await reservations.place_hold(env.sessions, third, other, third, env.clock.now())
    with pytest.raises(SlotTaken) as refused:
        await a_booked_series(env, at_least=3)
    assert [c.number for c in refused.value.conflicts] == [0, 1, 2]
    booked = await a_booked_series(env, at_least=2)
    assert free(env, booked.sessions, third) == [False, False, False, True]
    assert await held(env, third) == [DATES[0], DATES[3]]


async def test_optional_attendee_is_invited_on_each_date_and_held_where_free(
    env: BookingEnv,
) -> None:
    third = add_third(env, required=False)
    booked = await a_booked_series(env)
    assert free(env, booked.sessions, third) == [True, False, False, True]
    assert await held(env, third) == [DATES[0], DATES[3]]


async def test_of_whom_nobody_knows_is_not_counted_and_told(env: BookingEnv) -> None:
    third = add_third(env)
    address = env.address(third)
    env.outlook.busy[address] = []
    env.outlook.unknown[address] = Unknown(UnknownReason.NO_ANSWER)
    with pytest.raises(SlotTaken):
        await a_booked_series(env, at_least=3)
    booked = await a_booked_series(env, at_least=2)
    assert {s.unknown_for for s in booked.sessions} == {(address,)}


@pytest.mark.parametrize("scope", [Scope.THIS_AND_FOLLOWING, Scope.ALL])
async def test_a_series_is_moved_where_it_suits_so_many(env: BookingEnv, scope: Scope) -> None:
    third = add_third(env)
    booked = await a_booked_series(env, at_least=2)
    session = await env.sessions.get(env.mentee, booked.sessions[0 if scope is Scope.ALL else 1].id)
    later = [TimeSpan(s.start + timedelta(hours=4), s.end + timedelta(hours=4)) for s in DATES]
    env.outlook.busy[env.address(third)] = [*DATES[1:3], later[3]]

    async def move(at_least: int | None) -> list[Session]:
        to = RescheduleRequest(later[session.occurrence], "UTC", at_least=at_least)
        return await reschedule(
            env.acting(env.mentee), env.pairing, session, to, scope, ports=env.ports
        )

    for at_least in (None, 3):
        with pytest.raises(SlotTaken) as refused:
            await move(at_least)
        assert [c.number for c in refused.value.conflicts] == [3]
    with pytest.raises(Invalid):
        await move(4)
    assert await held(env, env.mentor) == DATES

    moved = await move(2)
    first = session.occurrence
    assert free(env, moved, third) == [True, True, True, False][first:]
    assert await held(env, third) == [*DATES[:first], *later[first:3]]
    assert await held(env, env.mentor) == [*DATES[:first], *later[first:]]


# --- a lost race whose winner releases the time again


class LosesRaceStore:
    """A store in which another request always takes the time first, and then releases it."""

    def __init__(self, sessions: InMemorySessions, operation: Callable[..., Any]) -> None:
        self._sessions, self._operation = sessions, operation

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sessions, name)

    async def change(self, mailbox: Any, key: Any, spans: Any, decide: Any, **hints: Any) -> Any:
        if decide.func is self._operation:
            raise SlotTaken("Another session holds this time.")
        return await self._sessions.change(mailbox, key, spans, decide, **hints)


async def test_loser_of_a_race_is_offered_other_times(env: BookingEnv) -> None:
    request = a_request(**weekly())  # type: ignore[arg-type]  # a builder's keywords
    sessions: Any = LosesRaceStore(env.sessions, ledger.place_hold)
    with pytest.raises(SlotTaken) as refused:
        await book(
            env.acting(env.mentee),
            env.pairing,
            request,
            ports=replace(env.ports, sessions=sessions),
        )
    assert refused.value.conflicts == ()
    assert refused.value.alternatives[0] == a_span(at(9, 30, day=1))
    assert len(refused.value.alternatives) == 5
    assert await held(env, env.mentee) == []


async def test_loser_of_a_race_for_a_move_is_offered_other_times(
    env: BookingEnv,
) -> None:
    booked = await a_booked_series(env)
    sessions: Any = LosesRaceStore(env.sessions, ledger.hold_new_time)
    with pytest.raises(SlotTaken) as refused:
        await reschedule(
            env.acting(env.mentee),
            env.pairing,
            booked.sessions[0],
            RescheduleRequest(a_span(at(14, day=1)), "UTC"),
            Scope.ALL,
            ports=replace(env.ports, sessions=sessions),
        )
    assert refused.value.alternatives[0] == a_span(at(13, 30, day=1))
    assert len(refused.value.alternatives) == 5
    assert await held(env, env.mentee) == DATES


async def test_a_series_whose_first_date_was_skipped_moves_to_another_weekday(
    env: BookingEnv,
) -> None:
    env.outlook.busy[env.address(env.mentor)] = [a_span(at(10, day=1))]
    booked = await a_booked_series(env, on_conflict=OnConflict.SKIP)
    first = booked.sessions[0]
    to = RescheduleRequest(TimeSpan.lasting(first.span.start + timedelta(days=1), THIRTY), "UTC")
    moved = await reschedule(
        env.acting(env.mentee), env.pairing, first, to, Scope.ALL, ports=env.ports
    )
    assert starts(moved) == ["03-11 10:00", "03-18 10:00", "03-25 10:00"]
    assert meetings(env) == starts(moved)
    await jobs_done(env)
    stored = [await env.sessions.get(env.mentee, s.id) for s in booked.sessions]
    assert starts(stored) == starts(moved)


async def test_dates_that_meet_their_neighbours_buffer_are_refused_by_name(env: BookingEnv) -> None:
    env.organization = replace(
        env.organization,
        settings=replace(env.organization.settings, buffer_after=timedelta(minutes=15)),
    )
    booked = await a_booked_series(env)
    first = booked.sessions[0]
    to = RescheduleRequest(TimeSpan.lasting(first.span.start + WEEK - THIRTY, THIRTY), "UTC")
    with pytest.raises(Invalid, match="less than the time to the next one"):
        await reschedule(env.acting(env.mentee), env.pairing, first, to, Scope.ALL, ports=env.ports)


async def test_a_date_restored_by_a_move_in_outlook_is_not_taken_for_another(
    env: BookingEnv,
) -> None:
    booked = await a_booked_series(env)
    series = the_series(booked)
    assert series.event_id is not None
    await sync_event(env.mentee, series.event_id, None, env.organization, ports=env.ports)
    second = await env.sessions.get(env.mentee, booked.sessions[1].id)
    await cancel(env.acting(env.mentee), second, "", ports=env.ports)
    stored = await env.sessions.get_series(env.mentee, series.id)
    assert stored is not None
    master = next(e for e in env.outlook.events if e.pattern)
    assert master.pattern is not None
    first = stored.planned[0]
    await env.calendar.reschedule_series(
        env.acting(env.mentee).acting,
        master.seen.event_id,
        TimeSpan.lasting(first.span.start + timedelta(hours=3), THIRTY),
        "UTC",
        master.pattern,
    )
    await sync_event(env.mentee, master.seen.event_id, None, env.organization, ports=env.ports)
    sessions = [await env.sessions.get(env.mentee, s.id) for s in booked.sessions]
    assert starts(sessions) == ["03-03 13:00", "03-10 10:00", "03-17 13:00", "03-24 13:00"]
    assert sessions[1].state is SessionState.CANCELLED


async def test_a_refused_move_leaves_the_buffers_and_who_was_unknown(env: BookingEnv) -> None:
    session = await book_one(env.acting(env.mentee), env.pairing, a_request(), ports=env.ports)
    env.organization = replace(
        env.organization,
        settings=replace(env.organization.settings, buffer_after=timedelta(minutes=60)),
    )
    to = RescheduleRequest(a_span(at(14, day=1)), "UTC")
    calendar = UnkindCalendar(env.outlook, moving=CalendarRefused("no", code="no", status=400))
    ports = replace(env.ports, calendar=calendar)
    with pytest.raises(CalendarRefused):
        await reschedule(env.acting(env.mentee), env.pairing, session, to, ports=ports)
    stored = await env.sessions.get(env.mentee, session.id)
    assert (stored.buffers, stored.pending_buffers) == (session.buffers, None)
    (moved,) = await reschedule(env.acting(env.mentee), env.pairing, stored, to, ports=env.ports)
    assert moved.buffers.after == timedelta(minutes=60)
    (hold,) = await env.sessions.holds(env.mentor, moved.span, env.clock.now())
    assert hold.buffers == moved.buffers
