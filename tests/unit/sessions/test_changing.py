"""Times that people choose in Outlook: off the grid, shorter and longer than can be booked here."""

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
from shared.sessions.model import (
    HOLD_FOR,
    RECOVERY_DELAY,
    AttendeeResponse,
    Hold,
    ResponseState,
    Session,
)
from shared.sessions.ports import Books
from shared.sessions.recovering import recover
from shared.sessions.recurrence import Frequency, Repeat
from shared.sessions.requests import RescheduleRequest
from shared.sessions.rescheduling import acceptable_versions, reschedule
from shared.sessions.responding import accept_proposal
from shared.sessions.series import Scope
from shared.timespan import TimeSpan
from tests.builders import a_mailbox, a_pairing, a_session_id, a_span, at
from tests.unit.sessions.conftest import Desk, a_request, book_one

ODD = at(14, 7, day=1)
OLD, NEW = a_span(at(10, day=1)), a_span(at(14, day=1))


def lasting(start: datetime, minutes: int) -> TimeSpan:
    return TimeSpan.lasting(start, timedelta(minutes=minutes))


async def booked(desk: Desk) -> Session:
    return await book_one(desk.acting(desk.mentee), desk.pairing, a_request(), books=desk.books)


async def proposed(desk: Desk, span: TimeSpan) -> Session:
    session = await booked(desk)
    seen = desk.calendar.answered(
        desk.outlook.events[0], desk.address(desk.mentor), ResponseState.TENTATIVE, span
    )
    return await reservations.save(desk.sessions, merge(session, seen).session)


async def moved(desk: Desk, span: TimeSpan) -> Session:
    session = await booked(desk)
    seen = desk.calendar.moved(desk.outlook.events[0], span)
    return await reservations.save(desk.sessions, merge(session, seen).session)


async def taken(desk: Desk, session: Session) -> Session:
    return await accept_proposal(
        desk.acting(desk.mentee), desk.pairing, session, desk.mentor.object_id, books=desk.books
    )


@pytest.mark.parametrize(
    "span",
    [
        lasting(ODD, 30),
        lasting(ODD, 37),
        lasting(ODD + timedelta(seconds=30), 30),
        lasting(at(10, 15, day=1), 30),  # overlaps the time it is at
        lasting(at(8, day=1), 480),
    ],
)
async def test_a_proposed_time_is_taken_as_it_is(desk: Desk, span: TimeSpan) -> None:
    session = await taken(desk, await proposed(desk, span))
    assert session.span == span
    for mailbox in (desk.mentor, desk.mentee):
        holds = await desk.sessions.holds(mailbox, a_span(at(0), 3 * 1440), desk.clock.now())
        assert [hold.span for hold in holds] == [span]


async def test_a_proposal_taken_twice_is_taken_once(desk: Desk) -> None:
    first = await taken(desk, await proposed(desk, NEW))
    calls = list(desk.outlook.calls)
    assert await taken(desk, first) == first
    assert desk.outlook.calls == calls


async def test_a_proposal_taken_twice_at_once_is_taken_once(desk: Desk) -> None:
    session = await proposed(desk, NEW)
    outcomes = await asyncio.gather(*(taken(desk, session) for _ in range(3)))
    assert {outcome.span for outcome in outcomes} == {NEW}
    assert [e.seen.span for e in desk.outlook.events] == [NEW]
    known = await desk.sessions.get(desk.mentee, session.id)
    assert (known.span, known.pending_span, known.scheduling) == (NEW, None, 1)


async def test_a_proposal_that_was_taken_and_left_since_is_not_taken_again(desk: Desk) -> None:
    session = await taken(desk, await proposed(desk, NEW))
    seen = desk.calendar.moved(desk.outlook.events[0], lasting(at(16, day=1), 30))
    session = await reservations.save(desk.sessions, merge(session, seen).session)
    with pytest.raises(Conflict, match="scheduled for 2026-03-03T16:00:00Z"):
        await taken(desk, session)
    assert desk.outlook.events[0].seen == seen


async def test_another_proposal_of_the_same_person_is_another_one(desk: Desk) -> None:
    session, other = await taken(desk, await proposed(desk, NEW)), lasting(at(16, day=1), 30)
    address = desk.address(desk.mentor)
    seen = desk.calendar.answered(desk.outlook.events[0], address, ResponseState.TENTATIVE, other)
    session = await taken(
        desk, await reservations.save(desk.sessions, merge(session, seen).session)
    )
    assert session.span == other
    assert await taken(desk, session) == session


async def test_a_move_to_a_proposed_time_by_hand_answers_no_proposal(desk: Desk) -> None:
    session = await move(desk, await proposed(desk, NEW))
    with pytest.raises(Conflict, match="no other time"):
        await taken(desk, session)


async def test_who_repeats_a_move_may_know_the_version_of_before(desk: Desk) -> None:
    session = await booked(desk)
    wanted = RescheduleRequest(NEW, "UTC")
    half_done = await reservations.save(
        desk.sessions, session.towards(NEW, desk.clock.now() + HOLD_FOR)
    )
    half_done = await reservations.save(
        desk.sessions, half_done.towards(NEW, desk.clock.now() + HOLD_FOR)
    )
    assert acceptable_versions(half_done, wanted) == (half_done.version, session.version)
    assert acceptable_versions(half_done, replace(wanted, span=OLD)) == (half_done.version,)
    seen = desk.calendar.moved(desk.outlook.events[0], lasting(at(16, day=1), 30))
    elsewhere = await reservations.save(desk.sessions, merge(half_done, seen).session)
    assert acceptable_versions(elsewhere, wanted) == (elsewhere.version,)


@pytest.mark.parametrize("busy", [lasting(at(14, 36, day=1), 10), lasting(at(14, day=1), 8)])
async def test_minutes_at_its_ends_count_too(desk: Desk, busy: TimeSpan) -> None:
    session = await proposed(desk, lasting(ODD, 30))
    desk.outlook.busy[desk.address(desk.mentor)] = [busy]
    with pytest.raises(SlotTaken):
        await taken(desk, session)


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
    desk: Desk, span: TimeSpan, word: str
) -> None:
    session = await proposed(desk, span)
    with pytest.raises(Conflict, match=word) as refused:
        await taken(desk, session)
    assert refused.value.remedy
    assert (await desk.sessions.get(desk.mentee, session.id)).span == session.span


@pytest.mark.parametrize("minutes", [37, 30])
async def test_a_session_moved_off_the_grid_in_outlook_is_moved_on(
    desk: Desk, minutes: int
) -> None:
    session = await moved(desk, lasting(ODD, minutes))
    wanted = RescheduleRequest(lasting(at(14, 10, day=1), minutes), "UTC")
    (again,) = await reschedule(
        desk.acting(desk.mentee), desk.pairing, session, wanted, Scope.ONE, books=desk.books
    )
    assert again.span == wanted.span


@pytest.mark.parametrize("minutes", [10, 600])
async def test_how_long_it_is_to_be_must_be_said_where_no_session_lasts_so_long(
    desk: Desk, minutes: int
) -> None:
    session = await moved(desk, lasting(at(9, day=1), minutes))
    wanted = RescheduleRequest(lasting(at(8, day=2), minutes), "UTC")
    with pytest.raises(Invalid) as refused:
        await reschedule(
            desk.acting(desk.mentee), desk.pairing, session, wanted, Scope.ONE, books=desk.books
        )
    assert refused.value.field == "body.duration_minutes"


@pytest.mark.parametrize(("minutes", "is_possible"), [(37, True), (10, False)])
async def test_a_series_with_a_date_of_odd_length_is_moved_on_or_told(
    desk: Desk, minutes: int, *, is_possible: bool
) -> None:
    request = a_request(repeat=Repeat(Frequency.WEEKLY, count=3), time_zone="UTC")
    series = await book(desk.acting(desk.mentee), desk.pairing, request, books=desk.books)
    wanted = RescheduleRequest(lasting(at(14, day=2), minutes), "UTC")

    async def move() -> list[Session]:
        return await reschedule(
            desk.acting(desk.mentee),
            desk.pairing,
            await desk.sessions.get(desk.mentee, series.sessions[0].id),
            wanted,
            Scope.ALL,
            books=desk.books,
        )

    if is_possible:
        assert {s.span.duration for s in await move()} == {timedelta(minutes=minutes)}
    else:
        with pytest.raises(Invalid) as refused:
            await move()
        assert refused.value.field == "body.duration_minutes"


# --- groups: who can be done without


async def a_group(desk: Desk, *, required: bool = True) -> tuple[Session, Mailbox]:
    """Book for three of whom the third, *required* or not, is busy then; return that one's too."""
    third = a_mailbox(desk.mentor.tenant_id)
    pairing = a_pairing(desk.mentor, desk.mentee, third, organization_id=desk.organization.id)
    *others, last = pairing.participants
    desk.pairing = replace(pairing, participants=(*others, replace(last, required=required)))
    desk.outlook.addresses[desk.address(third)] = third.object_id
    desk.outlook.busy[desk.address(third)] = [OLD]
    session = await book_one(
        desk.acting(desk.mentee), desk.pairing, a_request(at_least=2), books=desk.books
    )
    assert await held_by(desk, third) == []
    return session, third


async def held_by(desk: Desk, mailbox: Mailbox) -> list[TimeSpan]:
    holds = await desk.sessions.holds(mailbox, a_span(at(0), 3 * 1440), desk.clock.now())
    return [hold.span for hold in holds]


async def move(desk: Desk, session: Session, at_least: int | None = None) -> Session:
    (again,) = await reschedule(
        desk.acting(desk.mentee),
        desk.pairing,
        session,
        RescheduleRequest(NEW, "UTC", at_least=at_least),
        Scope.ONE,
        books=desk.books,
    )
    return again


async def hold_of_another(desk: Desk, mailbox: Mailbox) -> Hold:
    hold = Hold(a_session_id(), NEW, desk.clock.now() + timedelta(minutes=10))
    await reservations.place_hold(desk.sessions, mailbox, hold, mailbox, desk.clock.now())
    return hold


async def test_who_was_busy_and_is_free_then_is_held_then(desk: Desk) -> None:
    session, third = await a_group(desk)
    session = await move(desk, session)
    assert [a.is_free for a in session.attendees] == [True, True]
    for mailbox in (desk.mentor, desk.mentee, third):
        assert await held_by(desk, mailbox) == [NEW]


async def test_moving_needs_all_who_are_required_or_as_many_as_is_said(desk: Desk) -> None:
    session, third = await a_group(desk)
    desk.outlook.busy[desk.address(third)] = [OLD, NEW]
    with pytest.raises(SlotTaken) as refused:
        await move(desk, session)
    assert refused.value.alternatives
    with pytest.raises(SlotTaken):
        await move(desk, session, at_least=3)
    with pytest.raises(Invalid):
        await move(desk, session, at_least=4)
    assert await held_by(desk, desk.mentor) == [OLD]
    session = await move(desk, session, at_least=2)
    assert [a.is_free for a in session.attendees] == [True, False]
    assert (await held_by(desk, desk.mentor), await held_by(desk, third)) == ([NEW], [])


@pytest.mark.parametrize(("required", "at_least"), [(False, None), (True, 2)])
async def test_who_can_be_done_without_is_in_nobodys_way_when_held_by_another_session(
    desk: Desk, *, required: bool, at_least: int | None
) -> None:
    session, third = await a_group(desk, required=required)
    await hold_of_another(desk, third)
    session = await move(desk, session, at_least)
    assert [a.is_free for a in session.attendees] == [True, False]
    assert await held_by(desk, desk.mentor) == [NEW]
    assert await desk.sessions.get(third, session.id) == session


async def test_who_is_needed_and_held_by_another_session_leaves_it_where_it_is(desk: Desk) -> None:
    session, third = await a_group(desk)
    hold = await hold_of_another(desk, third)
    for at_least in (None, 3):
        with pytest.raises(SlotTaken):
            await move(desk, await desk.sessions.get(desk.mentee, session.id), at_least)
    assert await held_by(desk, desk.mentor) == [OLD]
    assert await held_by(desk, third) == [hold.span]
    known = await desk.sessions.get(desk.mentee, session.id)
    assert known.pending_span is None
    assert [(a.is_free, a.is_free_then) for a in known.attendees] == [(True, None), (False, None)]


async def test_two_who_move_it_at_once_leave_no_time_held_that_it_does_not_take(
    desk: Desk,
) -> None:
    session = await booked(desk)
    wanted = [RescheduleRequest(a_span(at(hour, day=1)), "UTC") for hour in (12, 14, 16)]
    outcomes = await asyncio.gather(
        *(
            reschedule(desk.acting(desk.mentee), desk.pairing, session, to, books=desk.books)
            for to in wanted
        ),
        return_exceptions=True,
    )
    assert any(isinstance(outcome, list) for outcome in outcomes)
    assert all(isinstance(outcome, list | StaleRow) for outcome in outcomes)
    known = await desk.sessions.get(desk.mentee, session.id)
    assert [known.span] == [e.seen.span for e in desk.outlook.events]
    for mailbox in (desk.mentor, desk.mentee):
        assert await held_by(desk, mailbox) == [known.span]


Operation = Callable[..., Any]


class Meanwhile:
    """A store in which something happens right before an *operation* the first time."""

    def __init__(
        self, desk: Desk, operation: Operation, happens: Callable[[], Awaitable[object]]
    ) -> None:
        self._sessions, self._operation, self._happens = desk.sessions, operation, happens
        self._has_happened = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sessions, name)

    async def change(self, mailbox: Any, key: Any, spans: Any, decide: Any, **hints: Any) -> Any:
        if decide.func is self._operation and not self._has_happened:
            self._has_happened = True
            await self._happens()
        return await self._sessions.change(mailbox, key, spans, decide, **hints)


def books_where(
    desk: Desk, operation: Operation, happens: Callable[[], Awaitable[object]]
) -> Books:
    sessions: Any = Meanwhile(desk, operation, happens)
    return replace(desk.books, sessions=sessions)


async def test_who_loses_to_an_answer_leaves_no_time_held(desk: Desk) -> None:
    session = await booked(desk)

    async def somebody_answers() -> None:
        address = desk.address(desk.mentor)
        seen = desk.calendar.answered(desk.outlook.events[0], address, ResponseState.ACCEPTED)
        await reservations.save(desk.sessions, merge(session, seen).session)

    with pytest.raises(StaleRow):
        await reschedule(
            desk.acting(desk.mentee),
            desk.pairing,
            session,
            RescheduleRequest(NEW, "UTC"),
            books=books_where(desk, ledger.save, somebody_answers),
        )
    for mailbox in (desk.mentor, desk.mentee):
        assert await held_by(desk, mailbox) == [session.span]


@pytest.mark.parametrize("is_taken", [False, True], ids=["too late", "taken"])
async def test_who_loses_takes_away_no_time_that_another_move_holds(
    desk: Desk, *, is_taken: bool
) -> None:
    """The other one has held its time, and not asked Outlook yet."""
    first, me = sorted((desk.mentor, desk.mentee))
    session = await book_one(desk.acting(me), desk.pairing, a_request(), books=desk.books)
    other = lasting(at(16, day=1), 30)
    if is_taken:
        await hold_of_another(desk, first)

    async def somebody_moves_it() -> None:
        desk.clock.advance(timedelta(seconds=1))
        until = desk.clock.now() + HOLD_FOR
        await hold_new_times([session.towards(other, until)], books=desk.books)

    with pytest.raises(SlotTaken if is_taken else StaleRow):
        await reschedule(
            desk.acting(me),
            desk.pairing,
            session,
            RescheduleRequest(NEW, "UTC"),
            books=books_where(
                desk, ledger.hold_new_time if is_taken else ledger.save, somebody_moves_it
            ),
        )
    assert await held_by(desk, first) == [session.span, *([NEW] if is_taken else []), other]
    assert await held_by(desk, me) == [session.span, other]
    assert (await desk.sessions.get(me, session.id)).pending_span == other


async def test_who_comes_to_look_undoes_no_move_that_began_just_now(desk: Desk) -> None:
    session = await booked(desk)
    job = Job(JobKind.SETTLE, desk.organization.id, session.holders, (session.id,))
    towards = session.towards(NEW, desk.clock.now() + HOLD_FOR)
    (moving,) = await hold_new_times([towards], books=desk.books)
    await recover(job, desk.organization, books=desk.books)
    assert await desk.sessions.get(desk.mentee, session.id) == moving
    desk.clock.advance(RECOVERY_DELAY)
    await recover(job, desk.organization, books=desk.books)
    assert (await desk.sessions.get(desk.mentee, session.id)).pending_span is None
    for mailbox in (desk.mentor, desk.mentee):
        assert await held_by(desk, mailbox) == [session.span]


async def test_who_loses_one_date_of_a_series_leaves_none_held(desk: Desk) -> None:
    request = a_request(repeat=Repeat(Frequency.WEEKLY, count=3), time_zone="UTC")
    series = await book(desk.acting(desk.mentee), desk.pairing, request, books=desk.books)
    before = [s.span for s in series.sessions]
    last = await desk.sessions.get(desk.mentee, series.sessions[2].id)

    async def somebody_answers() -> None:
        address = last.attendees[0].address
        answer = AttendeeResponse(ResponseState.ACCEPTED, desk.clock.now())
        await reservations.save(desk.sessions, last.with_response(address, answer))

    with pytest.raises(StaleRow):
        await reschedule(
            desk.acting(desk.mentee),
            desk.pairing,
            series.sessions[0],
            RescheduleRequest(NEW, "UTC"),
            Scope.ALL,
            books=books_where(desk, ledger.hold_new_time, somebody_answers),
        )
    window = a_span(at(0), 30 * 1440)
    for mailbox in (desk.mentor, desk.mentee):
        holds = await desk.sessions.holds(mailbox, window, desk.clock.now())
        assert [hold.span for hold in holds] == before
