import asyncio
from datetime import timedelta

import pytest

from shared.availability.model import Unknown, UnknownReason
from shared.due import DueKind
from shared.errors import (
    CalendarRefused,
    Invalid,
    KeyReused,
    SlotTaken,
    SlotUnknown,
)
from shared.sessions.booking import book, verify
from shared.sessions.model import (
    HOLD_FOR,
    VERIFY_AFTER,
    Hold,
    OnlineMeetingState,
    SessionState,
)
from shared.sessions.ports import JobKind
from shared.timespan import TimeSpan
from tests.builders import a_session_id, a_span, at
from tests.outlook import RefusingCalendar
from tests.unit.sessions.conftest import Desk, a_desk, a_request


async def test_a_booked_session_is_an_event_and_a_row(desk: Desk) -> None:
    session = await book(desk.acting(desk.mentee), desk.pairing, a_request(), books=desk.books)
    assert session.state is SessionState.SCHEDULED
    assert session.organizer == desk.mentee
    assert [e.session_id for e in desk.outlook.events] == [session.id]
    assert await desk.sessions.get(desk.mentor, session.id) == session
    assert session.online_meeting.state is OnlineMeetingState.READY
    assert desk.outlook.calls == ["getSchedule", "create"]


async def test_everybody_s_time_is_held_for_good(desk: Desk) -> None:
    session = await book(desk.acting(desk.mentee), desk.pairing, a_request(), books=desk.books)
    desk.clock.advance(timedelta(days=1, hours=1))
    for mailbox in (desk.mentor, desk.mentee):
        held = await desk.sessions.holds(mailbox, session.span, desk.clock.now())
        assert held == [Hold(session.id, session.span)]


async def test_what_follows_is_written_down(desk: Desk) -> None:
    session = await book(desk.acting(desk.mentee), desk.pairing, a_request(), books=desk.books)
    for kind in (DueKind.RECONCILIATION, DueKind.PURGE):
        item = await desk.due.oldest(kind)
        assert item is not None
        assert item.key == session.id
    assert [job.kind for job, _ in desk.jobs.put_jobs] == [JobKind.VERIFY, JobKind.SUBSCRIBE]


async def test_the_same_key_again_is_the_same_answer(desk: Desk) -> None:
    first = await book(desk.acting(desk.mentee), desk.pairing, a_request(), books=desk.books)
    again = await book(desk.acting(desk.mentee), desk.pairing, a_request(), books=desk.books)
    assert again == first
    assert len(desk.outlook.events) == 1


async def test_the_same_key_with_another_wish_is_refused(desk: Desk) -> None:
    await book(desk.acting(desk.mentee), desk.pairing, a_request(), books=desk.books)
    with pytest.raises(KeyReused):
        await book(desk.acting(desk.mentee), desk.pairing, a_request(hour=11), books=desk.books)


async def test_the_same_key_twice_at_once_is_one_session(desk: Desk) -> None:
    sessions = await asyncio.gather(
        *(
            book(desk.acting(desk.mentee), desk.pairing, a_request(), books=desk.books)
            for _ in range(5)
        )
    )
    assert len({s.id for s in sessions}) == 1
    assert {s.state for s in sessions} == {SessionState.SCHEDULED}
    assert len(desk.outlook.events) == 1


async def test_a_busy_mentor_is_a_conflict_with_free_alternatives(desk: Desk) -> None:
    desk.outlook.busy[desk.address(desk.mentor)] = [a_span(at(9, 30, day=1), 60)]
    with pytest.raises(SlotTaken) as conflict:
        await book(desk.acting(desk.mentee), desk.pairing, a_request(), books=desk.books)
    offered = conflict.value.alternatives
    assert len(offered) == 5
    assert offered[0] == a_span(at(10, 30, day=1))
    assert not any(span.overlaps(a_span(at(9, 30, day=1), 60)) for span in offered)
    assert desk.outlook.calls == ["getSchedule"]
    assert not desk.jobs.put_jobs


async def test_an_unknown_mentor_is_not_free(desk: Desk) -> None:
    desk.outlook.unknown[desk.address(desk.mentor)] = Unknown(UnknownReason.NO_ACCESS)
    with pytest.raises(SlotUnknown) as conflict:
        await book(desk.acting(desk.mentee), desk.pairing, a_request(), books=desk.books)
    assert [p.address for p in conflict.value.unknown] == [desk.address(desk.mentor)]


async def test_unknown_can_be_accepted_and_is_remembered(desk: Desk) -> None:
    desk.outlook.unknown[desk.address(desk.mentor)] = Unknown(UnknownReason.NO_ACCESS)
    session = await book(
        desk.acting(desk.mentee),
        desk.pairing,
        a_request(accept_unknown=True),
        books=desk.books,
    )
    assert session.unknown_for == (desk.address(desk.mentor),)


async def test_a_hold_of_another_session_is_a_conflict_that_leaves_nothing(desk: Desk) -> None:
    taken = Hold(a_session_id(), a_span(at(10, day=1)), desk.clock.now() + HOLD_FOR)
    await desk.sessions.hold(desk.mentor, taken, desk.mentor, desk.clock.now())
    with pytest.raises(SlotTaken) as conflict:
        await book(desk.acting(desk.mentee), desk.pairing, a_request(), books=desk.books)
    assert taken.span not in conflict.value.alternatives
    assert conflict.value.alternatives
    day = TimeSpan(at(0, day=1), at(23, day=1))
    assert await desk.sessions.holds(desk.mentee, day, desk.clock.now()) == []
    assert await desk.sessions.holds(desk.mentor, day, desk.clock.now()) == [taken]


async def test_a_refusal_of_outlook_leaves_nothing_held(desk: Desk) -> None:
    desk.calendar = RefusingCalendar(desk.outlook)
    with pytest.raises(CalendarRefused):
        await book(desk.acting(desk.mentee), desk.pairing, a_request(), books=desk.books)
    for mailbox in (desk.mentor, desk.mentee):
        assert await desk.sessions.holds(mailbox, a_span(at(10, day=1)), desk.clock.now()) == []


async def test_the_past_cannot_be_booked(desk: Desk) -> None:
    with pytest.raises(Invalid) as refusal:
        await book(
            desk.acting(desk.mentee),
            desk.pairing,
            a_request(start=desk.clock.now() - timedelta(hours=1)),
            books=desk.books,
        )
    assert refusal.value.field == "body.start"


async def test_two_mentees_and_one_slot_are_one_session() -> None:
    desk = a_desk()
    outcomes = await asyncio.gather(
        book(desk.acting(desk.mentee), desk.pairing, a_request("one"), books=desk.books),
        book(desk.acting(desk.mentor), desk.pairing, a_request("two"), books=desk.books),
        return_exceptions=True,
    )
    assert len([o for o in outcomes if isinstance(o, SlotTaken)]) == 1
    assert len(desk.outlook.events) == 1


async def test_verifying_a_finished_booking_changes_nothing(desk: Desk) -> None:
    session = await book(desk.acting(desk.mentee), desk.pairing, a_request(), books=desk.books)
    desk.clock.advance(VERIFY_AFTER)
    job = next(job for job, _ in desk.jobs.put_jobs if job.kind is JobKind.VERIFY)
    await verify(job, desk.organization, books=desk.books)
    assert await desk.sessions.get(desk.mentee, session.id) == session
    assert len(desk.outlook.events) == 1
