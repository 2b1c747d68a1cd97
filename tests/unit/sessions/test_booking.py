import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from shared.availability.model import Unknown, UnknownReason
from shared.calendar_sync.meeting_links import check_meeting_link
from shared.errors import (
    CalendarRefused,
    Invalid,
    KeyReused,
    SlotTaken,
    SlotUnknown,
)
from shared.ids import Mailbox
from shared.jobs import DueKind, JobKind
from shared.organizations.model import OnlineMeetingChoice
from shared.sessions import reservations
from shared.sessions.model import (
    HOLD_FOR,
    RECOVERY_DELAY,
    Hold,
    OnlineMeetingReason,
    OnlineMeetingState,
    SessionState,
)
from shared.sessions.recovering import recover
from shared.timespan import TimeSpan
from tests.builders import a_mailbox, a_pairing, a_session_id, a_span, at
from tests.fake_outlook import RefusingCalendar
from tests.unit.sessions.conftest import Desk, a_desk, a_request, book_one


async def test_a_booked_session_is_an_event_and_a_row(desk: Desk) -> None:
    session = await book_one(desk.acting(desk.mentee), desk.pairing, a_request(), books=desk.books)
    assert session.state is SessionState.SCHEDULED
    assert session.organizer == desk.mentee
    assert [e.session_id for e in desk.outlook.events] == [session.id]
    assert await desk.sessions.get(desk.mentor, session.id) == session
    assert session.online_meeting.state is OnlineMeetingState.READY
    assert desk.outlook.calls == ["getSchedule", "create"]


async def test_everybody_s_time_is_held_for_good(desk: Desk) -> None:
    session = await book_one(desk.acting(desk.mentee), desk.pairing, a_request(), books=desk.books)
    desk.clock.advance(timedelta(days=1, hours=1))
    for mailbox in (desk.mentor, desk.mentee):
        held = await desk.sessions.holds(mailbox, session.span, desk.clock.now())
        assert held == [Hold(session.id, session.span)]


async def test_what_follows_is_written_down(desk: Desk) -> None:
    session = await book_one(desk.acting(desk.mentee), desk.pairing, a_request(), books=desk.books)
    for kind in (DueKind.RECONCILIATION, DueKind.PURGE):
        item = await desk.due.oldest(kind)
        assert item is not None
        assert item.key == session.id
    assert [job.kind for job, _ in desk.jobs.put_jobs] == [JobKind.VERIFY, JobKind.SUBSCRIBE]


async def test_the_same_key_again_is_the_same_answer(desk: Desk) -> None:
    first = await book_one(desk.acting(desk.mentee), desk.pairing, a_request(), books=desk.books)
    again = await book_one(desk.acting(desk.mentee), desk.pairing, a_request(), books=desk.books)
    assert again == first
    assert len(desk.outlook.events) == 1


async def test_the_same_key_with_another_wish_is_refused(desk: Desk) -> None:
    await book_one(desk.acting(desk.mentee), desk.pairing, a_request(), books=desk.books)
    with pytest.raises(KeyReused):
        await book_one(desk.acting(desk.mentee), desk.pairing, a_request(hour=11), books=desk.books)


async def test_the_same_key_twice_at_once_is_one_session(desk: Desk) -> None:
    sessions = await asyncio.gather(
        *(
            book_one(desk.acting(desk.mentee), desk.pairing, a_request(), books=desk.books)
            for _ in range(5)
        )
    )
    assert len({s.id for s in sessions}) == 1
    assert {s.state for s in sessions} == {SessionState.SCHEDULED}
    assert len(desk.outlook.events) == 1


async def test_a_busy_mentor_is_a_conflict_with_free_alternatives(desk: Desk) -> None:
    desk.outlook.busy[desk.address(desk.mentor)] = [a_span(at(9, 30, day=1), 60)]
    with pytest.raises(SlotTaken) as conflict:
        await book_one(desk.acting(desk.mentee), desk.pairing, a_request(), books=desk.books)
    offered = conflict.value.alternatives
    assert len(offered) == 5
    assert offered[0] == a_span(at(10, 30, day=1))
    assert not any(span.overlaps(a_span(at(9, 30, day=1), 60)) for span in offered)
    assert desk.outlook.calls == ["getSchedule"]
    assert not desk.jobs.put_jobs


async def test_an_unknown_mentor_is_not_free(desk: Desk) -> None:
    desk.outlook.unknown[desk.address(desk.mentor)] = Unknown(UnknownReason.NO_ACCESS)
    with pytest.raises(SlotUnknown) as conflict:
        await book_one(desk.acting(desk.mentee), desk.pairing, a_request(), books=desk.books)
    assert [p.address for p in conflict.value.unknown] == [desk.address(desk.mentor)]


async def test_unknown_can_be_accepted_and_is_remembered(desk: Desk) -> None:
    desk.outlook.unknown[desk.address(desk.mentor)] = Unknown(UnknownReason.NO_ACCESS)
    session = await book_one(
        desk.acting(desk.mentee),
        desk.pairing,
        a_request(accept_unknown=True),
        books=desk.books,
    )
    assert session.unknown_for == (desk.address(desk.mentor),)


async def test_a_hold_of_another_session_is_a_conflict_that_leaves_nothing(desk: Desk) -> None:
    taken = Hold(a_session_id(), a_span(at(10, day=1)), desk.clock.now() + HOLD_FOR)
    await reservations.place_hold(desk.sessions, desk.mentor, taken, desk.mentor, desk.clock.now())
    with pytest.raises(SlotTaken) as conflict:
        await book_one(desk.acting(desk.mentee), desk.pairing, a_request(), books=desk.books)
    assert taken.span not in conflict.value.alternatives
    assert conflict.value.alternatives
    day = TimeSpan(at(0, day=1), at(23, day=1))
    assert await desk.sessions.holds(desk.mentee, day, desk.clock.now()) == []
    assert await desk.sessions.holds(desk.mentor, day, desk.clock.now()) == [taken]


async def test_a_refusal_of_outlook_leaves_nothing_held(desk: Desk) -> None:
    desk.calendar = RefusingCalendar(desk.outlook)
    with pytest.raises(CalendarRefused):
        await book_one(desk.acting(desk.mentee), desk.pairing, a_request(), books=desk.books)
    for mailbox in (desk.mentor, desk.mentee):
        assert await desk.sessions.holds(mailbox, a_span(at(10, day=1)), desk.clock.now()) == []


async def test_the_past_cannot_be_booked(desk: Desk) -> None:
    with pytest.raises(Invalid) as refusal:
        await book_one(
            desk.acting(desk.mentee),
            desk.pairing,
            a_request(start=desk.clock.now() - timedelta(hours=1)),
            books=desk.books,
        )
    assert refusal.value.field == "body.start"


async def test_two_mentees_and_one_slot_are_one_session() -> None:
    desk = a_desk()
    outcomes = await asyncio.gather(
        book_one(desk.acting(desk.mentee), desk.pairing, a_request("one"), books=desk.books),
        book_one(desk.acting(desk.mentor), desk.pairing, a_request("two"), books=desk.books),
        return_exceptions=True,
    )
    assert len([o for o in outcomes if isinstance(o, SlotTaken)]) == 1
    assert len(desk.outlook.events) == 1


async def test_verifying_a_finished_booking_changes_nothing(desk: Desk) -> None:
    session = await book_one(desk.acting(desk.mentee), desk.pairing, a_request(), books=desk.books)
    desk.clock.advance(RECOVERY_DELAY)
    job = next(job for job, _ in desk.jobs.put_jobs if job.kind is JobKind.VERIFY)
    await recover(job, desk.organization, books=desk.books)
    assert await desk.sessions.get(desk.mentee, session.id) == session
    assert len(desk.outlook.events) == 1


# --- groups


def a_group(desk: Desk, *, optional: int = 0, size: int = 4) -> list[Mailbox]:
    """Let the desk's pairing be of *size* people, the last *optional* of them not required."""
    mailboxes = [desk.mentor, desk.mentee]
    mailboxes += [a_mailbox(desk.mentor.tenant_id) for _ in range(size - 2)]
    pairing = a_pairing(*mailboxes, organization_id=desk.organization.id)
    people = [replace(p, required=n < size - optional) for n, p in enumerate(pairing.participants)]
    desk.pairing = replace(pairing, participants=tuple(people))
    desk.outlook.addresses = {p.address: p.object_id for p in people if p.object_id}
    return mailboxes


async def free(desk: Desk, mailbox: Mailbox) -> bool:
    return not await desk.sessions.holds(mailbox, a_span(at(10, day=1)), desk.clock.now())


async def test_a_group_is_invited_and_held_together(desk: Desk) -> None:
    people = a_group(desk, size=20)
    session = await book_one(desk.acting(desk.mentee), desk.pairing, a_request(), books=desk.books)
    assert len(session.attendees) == 19
    assert not any([await free(desk, mailbox) for mailbox in people])


async def test_who_is_optional_does_not_stand_in_the_way(desk: Desk) -> None:
    *_, third, fourth = a_group(desk, optional=2)
    taken = Hold(a_session_id(), a_span(at(10, day=1)))
    await reservations.place_hold(desk.sessions, fourth, taken, fourth, desk.clock.now())
    session = await book_one(desk.acting(desk.mentee), desk.pairing, a_request(), books=desk.books)
    by_id = {a.object_id: a for a in session.attendees}
    assert not by_id[fourth.object_id].is_free
    assert by_id[third.object_id].is_free
    # Their time stays the other session's; they see this one all the same.
    held = await desk.sessions.holds(fourth, a_span(at(10, day=1)), desk.clock.now())
    assert held == [taken]
    assert await desk.sessions.get(fourth, session.id) == session


async def test_at_least_so_many_are_enough(desk: Desk) -> None:
    *_, third, fourth = a_group(desk)
    desk.outlook.busy[desk.address(third)] = [a_span(at(10, day=1))]
    taken = Hold(a_session_id(), a_span(at(10, day=1)))
    await reservations.place_hold(desk.sessions, fourth, taken, fourth, desk.clock.now())
    request = a_request(at_least=2)
    session = await book_one(desk.acting(desk.mentee), desk.pairing, request, books=desk.books)
    assert {a.object_id for a in session.attendees if not a.is_free} == {
        third.object_id,
        fourth.object_id,
    }
    assert len(session.attendees) == 3


async def test_too_few_are_a_conflict_with_times_that_suit_enough(desk: Desk) -> None:
    *_, third, fourth = a_group(desk)
    desk.outlook.busy[desk.address(third)] = [a_span(at(10, day=1))]
    taken = Hold(a_session_id(), a_span(at(10, day=1)))
    await reservations.place_hold(desk.sessions, fourth, taken, fourth, desk.clock.now())
    with pytest.raises(SlotTaken) as conflict:
        await book_one(
            desk.acting(desk.mentee), desk.pairing, a_request(at_least=3), books=desk.books
        )
    assert conflict.value.alternatives
    for mailbox in (desk.mentor, desk.mentee, third):
        assert await free(desk, mailbox)


async def test_the_caller_is_never_left_out(desk: Desk) -> None:
    a_group(desk)
    desk.outlook.busy[desk.address(desk.mentee)] = [a_span(at(10, day=1))]
    with pytest.raises(SlotTaken):
        await book_one(
            desk.acting(desk.mentee), desk.pairing, a_request(at_least=2), books=desk.books
        )


# --- online meetings


async def test_skype_that_is_not_offered_says_what_was_done_instead(desk: Desk) -> None:
    request = a_request(online_meeting=OnlineMeetingChoice.SKYPE)
    session = await book_one(desk.acting(desk.mentee), desk.pairing, request, books=desk.books)
    assert session.online_meeting.state is OnlineMeetingState.READY
    assert session.online_meeting.reason is OnlineMeetingReason.SKYPE_RETIRED


async def test_a_link_that_comes_late_is_shown(desk: Desk) -> None:
    desk.outlook.gives_links = False
    session = await book_one(desk.acting(desk.mentee), desk.pairing, a_request(), books=desk.books)
    assert session.online_meeting.state is OnlineMeetingState.PENDING
    job = next(job for job, _ in desk.jobs.put_jobs if job.kind is JobKind.LINK)
    event = desk.outlook.events[0]
    event.seen = replace(event.seen, join_url="https://teams.example/late", etag="later")
    await check_meeting_link(job, desk.organization, books=desk.books)
    known = await desk.sessions.get(desk.mentee, session.id)
    assert known.online_meeting.state is OnlineMeetingState.READY
    assert known.online_meeting.join_url == "https://teams.example/late"


async def test_a_link_that_never_comes_is_said(desk: Desk) -> None:
    desk.outlook.gives_links = False
    session = await book_one(desk.acting(desk.mentee), desk.pairing, a_request(), books=desk.books)
    looks = 0
    while jobs := [job for job, _ in desk.jobs.put_jobs if job.kind is JobKind.LINK]:
        desk.jobs.put_jobs.clear()
        await check_meeting_link(jobs[0], desk.organization, books=desk.books)
        looks += 1
    known = await desk.sessions.get(desk.mentee, session.id)
    assert looks == 3
    assert known.online_meeting.state is OnlineMeetingState.UNAVAILABLE
    assert known.online_meeting.reason is OnlineMeetingReason.LINK_OVERDUE
    assert known.state is SessionState.SCHEDULED
