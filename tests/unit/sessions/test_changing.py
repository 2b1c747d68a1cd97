"""Rescheduling to times as chosen in Outlook: off the grid, shorter or longer than bookable."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from shared.calendar_sync.merge import merge
from shared.errors import Conflict, Invalid, SlotTaken, StaleRow
from shared.ids import Mailbox
from shared.jobs import Job, JobKind
from shared.sessions import ledger, reservations
from shared.sessions.booking import book
from shared.sessions.holding import hold_new_times
from shared.sessions.holds import Hold
from shared.sessions.model import HOLD_TTL, RECOVERY_DELAY, AttendeeResponse, ResponseState, Session
from shared.sessions.ports import SessionPorts
from shared.sessions.recovering import recover
from shared.sessions.recurrence import Frequency, Repeat
from shared.sessions.requests import RescheduleRequest
from shared.sessions.rescheduling import acceptable_revisions, reschedule
from shared.sessions.responding import accept_proposal
from shared.sessions.series import Scope
from shared.timespan import TimeSpan
from tests.builders import a_mailbox, a_pairing, a_session_id, a_span, at
from tests.unit.sessions.conftest import BookingEnv, a_request, book_one

ODD = at(14, 7, day=1)
OLD, NEW = a_span(at(10, day=1)), a_span(at(14, day=1))


def lasting(start: datetime, minutes: int) -> TimeSpan:
    return TimeSpan.lasting(start, timedelta(minutes=minutes))


async def booked(env: BookingEnv) -> Session:
    return await book_one(env.acting(env.mentee), env.pairing, a_request(), ports=env.ports)


async def proposed(env: BookingEnv, span: TimeSpan) -> Session:
    session = await booked(env)
    seen = env.calendar.answered(
        env.outlook.events[0], env.address(env.mentor), ResponseState.TENTATIVE, span
    )
    return await reservations.save(env.sessions, merge(session, seen))


async def moved(env: BookingEnv, span: TimeSpan) -> Session:
    session = await booked(env)
    seen = env.calendar.moved(env.outlook.events[0], span)
    return await reservations.save(env.sessions, merge(session, seen))


async def taken(env: BookingEnv, session: Session) -> Session:
    return await accept_proposal(
        env.acting(env.mentee), env.pairing, session, env.mentor.object_id, ports=env.ports
    )


@pytest.mark.parametrize(
    "span",
    [
        lasting(ODD, 30),
        lasting(ODD, 37),
        lasting(ODD + timedelta(seconds=30), 30),
        lasting(at(10, 15, day=1), 30),  # overlaps the session's present time
        lasting(at(8, day=1), 480),
    ],
)
async def test_a_proposed_time_is_taken_as_it_is(env: BookingEnv, span: TimeSpan) -> None:
    session = await taken(env, await proposed(env, span))
    assert session.span == span
    for mailbox in (env.mentor, env.mentee):
        holds = await env.sessions.holds(mailbox, a_span(at(0), 3 * 1440), env.clock.now())
        assert [hold.span for hold in holds] == [span]


async def test_a_proposal_taken_twice_is_taken_once(env: BookingEnv) -> None:
    first = await taken(env, await proposed(env, NEW))
    calls = list(env.outlook.calls)
    assert await taken(env, first) == first
    assert env.outlook.calls == calls


async def test_a_proposal_taken_twice_at_once_is_taken_once(env: BookingEnv) -> None:
    session = await proposed(env, NEW)
    outcomes = await asyncio.gather(*(taken(env, session) for _ in range(3)))
    assert {outcome.span for outcome in outcomes} == {NEW}
    assert [e.seen.span for e in env.outlook.events] == [NEW]
    known = await env.sessions.get(env.mentee, session.id)
    assert (known.span, known.pending_span, known.sequence) == (NEW, None, 1)


async def test_a_proposal_that_was_taken_and_left_since_is_not_taken_again(
    env: BookingEnv,
) -> None:
    session = await taken(env, await proposed(env, NEW))
    seen = env.calendar.moved(env.outlook.events[0], lasting(at(16, day=1), 30))
    session = await reservations.save(env.sessions, merge(session, seen))
    with pytest.raises(Conflict, match="scheduled for 2026-03-03T16:00:00Z"):
        await taken(env, session)
    assert env.outlook.events[0].seen == seen


async def test_another_proposal_of_the_same_person_is_another_one(env: BookingEnv) -> None:
    session, other = await taken(env, await proposed(env, NEW)), lasting(at(16, day=1), 30)
    address = env.address(env.mentor)
    seen = env.calendar.answered(env.outlook.events[0], address, ResponseState.TENTATIVE, other)
    session = await taken(env, await reservations.save(env.sessions, merge(session, seen)))
    assert session.span == other
    assert await taken(env, session) == session


async def test_a_move_to_a_proposed_time_by_hand_answers_no_proposal(env: BookingEnv) -> None:
    session = await move(env, await proposed(env, NEW))
    with pytest.raises(Conflict, match="no other time"):
        await taken(env, session)


async def test_repeated_move_may_name_the_revision_of_before(env: BookingEnv) -> None:
    session = await booked(env)
    wanted = RescheduleRequest(NEW, "UTC")
    half_done = await reservations.save(
        env.sessions, session.with_pending_move(NEW, env.clock.now() + HOLD_TTL)
    )
    half_done = await reservations.save(
        env.sessions, half_done.with_pending_move(NEW, env.clock.now() + HOLD_TTL)
    )
    assert acceptable_revisions(half_done, wanted) == (half_done.revision, session.revision)
    assert acceptable_revisions(half_done, replace(wanted, span=OLD)) == (half_done.revision,)
    seen = env.calendar.moved(env.outlook.events[0], lasting(at(16, day=1), 30))
    elsewhere = await reservations.save(env.sessions, merge(half_done, seen))
    assert acceptable_revisions(elsewhere, wanted) == (elsewhere.revision,)


@pytest.mark.parametrize("busy", [lasting(at(14, 36, day=1), 10), lasting(at(14, day=1), 8)])
async def test_minutes_at_its_ends_count_too(env: BookingEnv, busy: TimeSpan) -> None:
    session = await proposed(env, lasting(ODD, 30))
    env.outlook.busy[env.address(env.mentor)] = [busy]
    with pytest.raises(SlotTaken):
        await taken(env, session)


@pytest.mark.parametrize(
    ("span", "word"),
    [
        (lasting(at(14, day=1), 10), "15 to 480"),
        (lasting(at(8, day=1), 600), "15 to 480"),
        (lasting(at(8, 2, day=1), 480), "15 to 480"),
        (lasting(at(14, day=200), 30), "horizon"),
        (lasting(at(2, day=-1), 30), "too soon"),
    ],
)
async def test_a_proposed_time_that_cannot_be_is_a_conflict_that_says_why(
    env: BookingEnv, span: TimeSpan, word: str
) -> None:
    session = await proposed(env, span)
    with pytest.raises(Conflict, match=word) as refused:
        await taken(env, session)
    assert refused.value.remedy
    assert (await env.sessions.get(env.mentee, session.id)).span == session.span


@pytest.mark.parametrize("minutes", [37, 30])
async def test_a_session_moved_off_the_grid_in_outlook_is_moved_on(
    env: BookingEnv, minutes: int
) -> None:
    session = await moved(env, lasting(ODD, minutes))
    wanted = RescheduleRequest(lasting(at(14, 10, day=1), minutes), "UTC")
    (again,) = await reschedule(
        env.acting(env.mentee), env.pairing, session, wanted, Scope.ONE, ports=env.ports
    )
    assert again.span == wanted.span


@pytest.mark.parametrize("minutes", [10, 600])
async def test_how_long_it_is_to_be_must_be_said_where_no_session_lasts_so_long(
    env: BookingEnv, minutes: int
) -> None:
    session = await moved(env, lasting(at(9, day=1), minutes))
    wanted = RescheduleRequest(lasting(at(8, day=2), minutes), "UTC")
    with pytest.raises(Invalid) as refused:
        await reschedule(
            env.acting(env.mentee), env.pairing, session, wanted, Scope.ONE, ports=env.ports
        )
    assert refused.value.field == "body.duration_minutes"


@pytest.mark.parametrize(("minutes", "is_possible"), [(37, True), (10, False)])
async def test_a_series_with_a_date_of_odd_length_is_moved_on_or_told(
    env: BookingEnv, minutes: int, *, is_possible: bool
) -> None:
    request = a_request(repeat=Repeat(Frequency.WEEKLY, count=3), time_zone="UTC")
    series = await book(env.acting(env.mentee), env.pairing, request, ports=env.ports)
    wanted = RescheduleRequest(lasting(at(14, day=2), minutes), "UTC")

    async def move() -> list[Session]:
        return await reschedule(
            env.acting(env.mentee),
            env.pairing,
            await env.sessions.get(env.mentee, series.sessions[0].id),
            wanted,
            Scope.ALL,
            ports=env.ports,
        )

    if is_possible:
        assert {s.span.duration for s in await move()} == {timedelta(minutes=minutes)}
    else:
        with pytest.raises(Invalid) as refused:
            await move()
        assert refused.value.field == "body.duration_minutes"


# --- groups: attendees that the meeting does not need


async def a_group(env: BookingEnv, *, required: bool = True) -> tuple[Session, Mailbox]:
    """Book for three; the third, *required* or not, is busy. Return their mailbox as well."""
    third = a_mailbox(env.mentor.tenant_id)
    pairing = a_pairing(env.mentor, env.mentee, third, organization_id=env.organization.id)
    *others, last = pairing.participants
    env.pairing = replace(pairing, participants=(*others, replace(last, required=required)))
    env.outlook.addresses[env.address(third)] = third.object_id
    env.outlook.busy[env.address(third)] = [OLD]
    session = await book_one(
        env.acting(env.mentee), env.pairing, a_request(at_least=2), ports=env.ports
    )
    assert await held_by(env, third) == []
    return session, third


async def held_by(env: BookingEnv, mailbox: Mailbox) -> list[TimeSpan]:
    holds = await env.sessions.holds(mailbox, a_span(at(0), 3 * 1440), env.clock.now())
    return [hold.span for hold in holds]


async def move(
    env: BookingEnv,
    session: Session,
    ports: SessionPorts | None = None,
    at_least: int | None = None,
) -> Session:
    (again,) = await reschedule(
        env.acting(env.mentee),
        env.pairing,
        session,
        RescheduleRequest(NEW, "UTC", at_least=at_least),
        Scope.ONE,
        ports=ports or env.ports,
    )
    return again


async def hold_of_another(env: BookingEnv, mailbox: Mailbox) -> Hold:
    hold = Hold(a_session_id(), NEW, env.clock.now() + timedelta(minutes=10))
    await reservations.place_hold(env.sessions, mailbox, hold, mailbox, env.clock.now())
    return hold


async def test_attendee_busy_before_and_free_at_the_new_time_is_held_there(env: BookingEnv) -> None:
    session, third = await a_group(env)
    session = await move(env, session)
    assert [a.is_free for a in session.attendees] == [True, True]
    for mailbox in (env.mentor, env.mentee, third):
        assert await held_by(env, mailbox) == [NEW]


async def test_moving_needs_all_who_are_required_or_as_many_as_is_said(env: BookingEnv) -> None:
    session, third = await a_group(env)
    env.outlook.busy[env.address(third)] = [OLD, NEW]
    with pytest.raises(SlotTaken) as refused:
        await move(env, session)
    assert refused.value.alternatives
    with pytest.raises(SlotTaken):
        await move(env, session, at_least=3)
    with pytest.raises(Invalid):
        await move(env, session, at_least=4)
    assert await held_by(env, env.mentor) == [OLD]
    session = await move(env, session, at_least=2)
    assert [a.is_free for a in session.attendees] == [True, False]
    assert (await held_by(env, env.mentor), await held_by(env, third)) == ([NEW], [])


@pytest.mark.parametrize(("required", "at_least"), [(False, None), (True, 2)])
async def test_dispensable_attendee_held_by_another_session_blocks_no_move(
    env: BookingEnv, *, required: bool, at_least: int | None
) -> None:
    session, third = await a_group(env, required=required)
    await hold_of_another(env, third)
    session = await move(env, session, at_least=at_least)
    assert [a.is_free for a in session.attendees] == [True, False]
    assert await held_by(env, env.mentor) == [NEW]
    assert await env.sessions.get(third, session.id) == session


@pytest.mark.parametrize("answer", [ResponseState.DECLINED, ResponseState.ACCEPTED])
@pytest.mark.parametrize("lists_items", [True, False])
async def test_what_an_attendee_has_at_the_time_of_a_session_blocks_its_move(
    env: BookingEnv, answer: ResponseState, *, lists_items: bool
) -> None:
    env.outlook.lists_items = lists_items
    session, address = await booked(env), env.address(env.mentor)
    seen = env.calendar.answered(env.outlook.events[0], address, answer)
    session = await reservations.save(env.sessions, merge(session, seen))
    env.outlook.busy[address] = [session.span]
    later = lasting(session.span.start + timedelta(minutes=15), 30)
    wanted = RescheduleRequest(later, "Europe/Berlin")
    moving = reschedule(
        env.acting(env.mentee), env.pairing, session, wanted, Scope.ONE, ports=env.ports
    )
    if lists_items or answer is ResponseState.DECLINED:
        with pytest.raises(SlotTaken):
            await moving
    else:
        # A view shows the session itself and cannot show a second entry at its time.
        assert [each.span for each in await moving] == [later]


async def test_needed_attendee_held_by_another_session_blocks_the_move(
    env: BookingEnv,
) -> None:
    session, third = await a_group(env)
    hold = await hold_of_another(env, third)
    for at_least in (None, 3):
        with pytest.raises(SlotTaken):
            await move(env, await env.sessions.get(env.mentee, session.id), at_least=at_least)
    assert await held_by(env, env.mentor) == [OLD]
    assert await held_by(env, third) == [hold.span]
    known = await env.sessions.get(env.mentee, session.id)
    assert known.pending_span is None
    assert [(a.is_free, a.is_free_at_pending) for a in known.attendees] == [
        (True, None),
        (False, None),
    ]


async def test_two_who_move_it_at_once_leave_no_time_held_that_it_does_not_take(
    env: BookingEnv,
) -> None:
    session = await booked(env)
    wanted = [RescheduleRequest(a_span(at(hour, day=1)), "UTC") for hour in (12, 14, 16)]
    outcomes = await asyncio.gather(
        *(
            reschedule(env.acting(env.mentee), env.pairing, session, to, ports=env.ports)
            for to in wanted
        ),
        return_exceptions=True,
    )
    assert any(isinstance(outcome, list) for outcome in outcomes)
    assert all(isinstance(outcome, list | StaleRow) for outcome in outcomes)
    known = await env.sessions.get(env.mentee, session.id)
    assert [known.span] == [e.seen.span for e in env.outlook.events]
    for mailbox in (env.mentor, env.mentee):
        assert await held_by(env, mailbox) == [known.span]


Operation = Callable[..., Any]


class InterleavedStore:
    """A store that runs *happens* right before the first call of *operation*."""

    def __init__(
        self, env: BookingEnv, operation: Operation, happens: Callable[[], Awaitable[object]]
    ) -> None:
        self._sessions, self._operation, self._happens = env.sessions, operation, happens
        self._has_happened = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sessions, name)

    async def change(self, mailbox: Any, key: Any, spans: Any, decide: Any, **hints: Any) -> Any:
        if decide.func is self._operation and not self._has_happened:
            self._has_happened = True
            await self._happens()
        return await self._sessions.change(mailbox, key, spans, decide, **hints)


def ports_where(
    env: BookingEnv, operation: Operation, happens: Callable[[], Awaitable[object]]
) -> SessionPorts:
    sessions: Any = InterleavedStore(env, operation, happens)
    return replace(env.ports, sessions=sessions)


async def test_move_that_loses_to_an_answer_leaves_no_hold(env: BookingEnv) -> None:
    session = await booked(env)

    async def somebody_answers() -> None:
        address = env.address(env.mentor)
        seen = env.calendar.answered(env.outlook.events[0], address, ResponseState.ACCEPTED)
        await reservations.save(env.sessions, merge(session, seen))

    with pytest.raises(StaleRow):
        await reschedule(
            env.acting(env.mentee),
            env.pairing,
            session,
            RescheduleRequest(NEW, "UTC"),
            ports=ports_where(env, ledger.save, somebody_answers),
        )
    for mailbox in (env.mentor, env.mentee):
        assert await held_by(env, mailbox) == [session.span]


@pytest.mark.parametrize("is_taken", [False, True], ids=["too late", "taken"])
async def test_losing_move_releases_no_hold_of_another_move(
    env: BookingEnv, *, is_taken: bool
) -> None:
    """The other move has placed its holds, and has not written to Outlook yet."""
    first, me = sorted((env.mentor, env.mentee))
    session = await book_one(env.acting(me), env.pairing, a_request(), ports=env.ports)
    other = lasting(at(16, day=1), 30)
    if is_taken:
        await hold_of_another(env, first)

    async def somebody_moves_it() -> None:
        env.clock.advance(timedelta(seconds=1))
        until = env.clock.now() + HOLD_TTL
        await hold_new_times(
            [session.with_pending_move(other, until)],
            sessions=env.sessions,
            clock=env.clock,
        )

    with pytest.raises(SlotTaken if is_taken else StaleRow):
        await reschedule(
            env.acting(me),
            env.pairing,
            session,
            RescheduleRequest(NEW, "UTC"),
            ports=ports_where(
                env, ledger.hold_new_time if is_taken else ledger.save, somebody_moves_it
            ),
        )
    assert await held_by(env, first) == [session.span, *([NEW] if is_taken else []), other]
    assert await held_by(env, me) == [session.span, other]
    assert (await env.sessions.get(me, session.id)).pending_span == other


async def test_recovery_undoes_no_move_that_began_just_now(env: BookingEnv) -> None:
    session = await booked(env)
    job = Job(JobKind.SETTLE, env.organization.id, session.mailboxes, (session.id,))
    pending = session.with_pending_move(NEW, env.clock.now() + HOLD_TTL)
    (moving,) = await hold_new_times([pending], sessions=env.sessions, clock=env.clock)
    await recover(job, env.organization, ports=env.ports)
    assert await env.sessions.get(env.mentee, session.id) == moving
    env.clock.advance(RECOVERY_DELAY)
    await recover(job, env.organization, ports=env.ports)
    assert (await env.sessions.get(env.mentee, session.id)).pending_span is None
    for mailbox in (env.mentor, env.mentee):
        assert await held_by(env, mailbox) == [session.span]


async def test_move_that_meets_an_answer_to_another_date_goes_on_and_leaves_no_hold(
    env: BookingEnv,
) -> None:
    request = a_request(repeat=Repeat(Frequency.WEEKLY, count=3), time_zone="UTC")
    series = await book(env.acting(env.mentee), env.pairing, request, ports=env.ports)
    last = await env.sessions.get(env.mentee, series.sessions[2].id)

    async def somebody_answers() -> None:
        address = last.attendees[0].address
        answer = AttendeeResponse(ResponseState.ACCEPTED, env.clock.now())
        await reservations.save(env.sessions, last.with_response(address, answer))

    moved = await reschedule(
        env.acting(env.mentee),
        env.pairing,
        series.sessions[0],
        RescheduleRequest(NEW, "UTC"),
        Scope.ALL,
        ports=ports_where(env, ledger.hold_new_time, somebody_answers),
    )
    assert moved[0].span == NEW
    window = a_span(at(0), 30 * 1440)
    for mailbox in (env.mentor, env.mentee):
        holds = await env.sessions.holds(mailbox, window, env.clock.now())
        assert [hold.span for hold in holds] == [s.span for s in moved]


async def test_move_that_meets_a_change_of_its_own_session_is_refused(env: BookingEnv) -> None:
    session = await booked(env)

    async def somebody_answers() -> None:
        address = session.attendees[0].address
        answer = AttendeeResponse(ResponseState.ACCEPTED, env.clock.now())
        await reservations.save(env.sessions, session.with_response(address, answer))

    with pytest.raises(StaleRow):
        await move(env, session, ports_where(env, ledger.hold_new_time, somebody_answers))


async def test_move_that_meets_what_nobody_can_see_goes_on(env: BookingEnv) -> None:
    session = await booked(env)

    async def a_new_etag() -> None:
        await reservations.save(env.sessions, replace(session, event_etag="of another subject"))

    moved = await move(env, session, ports_where(env, ledger.hold_new_time, a_new_etag))
    assert moved.span == NEW
