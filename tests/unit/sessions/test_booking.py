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
from shared.sessions.holds import Hold
from shared.sessions.model import HOLD_TTL, RECOVERY_DELAY, SessionState
from shared.sessions.online_meeting import OnlineMeetingReason, OnlineMeetingState
from shared.sessions.recovering import recover
from shared.timespan import TimeSpan
from tests.builders import a_mailbox, a_pairing, a_session_id, a_span, at
from tests.fake_outlook import RefusingCalendar
from tests.unit.sessions.conftest import BookingEnv, a_booking_env, a_request, book_one


async def test_a_booked_session_is_an_event_and_a_row(env: BookingEnv) -> None:
    session = await book_one(env.acting(env.mentee), env.pairing, a_request(), ports=env.ports)
    assert session.state is SessionState.SCHEDULED
    assert session.organizer == env.mentee
    assert [e.session_id for e in env.outlook.events] == [session.id]
    assert await env.sessions.get(env.mentor, session.id) == session
    assert session.online_meeting.state is OnlineMeetingState.READY
    assert env.outlook.calls == ["getSchedule", "create"]


async def test_booking_holds_the_time_of_all_participants_for_good(env: BookingEnv) -> None:
    session = await book_one(env.acting(env.mentee), env.pairing, a_request(), ports=env.ports)
    env.clock.advance(timedelta(days=1, hours=1))
    for mailbox in (env.mentor, env.mentee):
        held = await env.sessions.holds(mailbox, session.span, env.clock.now())
        assert held == [Hold(session.id, session.span)]


async def test_booking_schedules_its_follow_ups(env: BookingEnv) -> None:
    session = await book_one(env.acting(env.mentee), env.pairing, a_request(), ports=env.ports)
    for kind in (DueKind.RECONCILIATION, DueKind.PURGE):
        item = await env.due.oldest(kind)
        assert item is not None
        assert item.key == session.id
    assert [job.kind for job, _ in env.jobs.put_jobs] == [JobKind.VERIFY, JobKind.SUBSCRIBE]


async def test_the_same_key_again_is_the_same_answer(env: BookingEnv) -> None:
    first = await book_one(env.acting(env.mentee), env.pairing, a_request(), ports=env.ports)
    again = await book_one(env.acting(env.mentee), env.pairing, a_request(), ports=env.ports)
    assert again == first
    assert len(env.outlook.events) == 1


async def test_the_same_key_with_another_wish_is_refused(env: BookingEnv) -> None:
    await book_one(env.acting(env.mentee), env.pairing, a_request(), ports=env.ports)
    with pytest.raises(KeyReused):
        await book_one(env.acting(env.mentee), env.pairing, a_request(hour=11), ports=env.ports)


async def test_the_same_key_twice_at_once_is_one_session(env: BookingEnv) -> None:
    sessions = await asyncio.gather(
        *(
            book_one(env.acting(env.mentee), env.pairing, a_request(), ports=env.ports)
            for _ in range(5)
        )
    )
    assert len({s.id for s in sessions}) == 1
    assert {s.state for s in sessions} == {SessionState.SCHEDULED}
    assert len(env.outlook.events) == 1


async def test_a_busy_mentor_is_a_conflict_with_free_alternatives(env: BookingEnv) -> None:
    env.outlook.busy[env.address(env.mentor)] = [a_span(at(9, 30, day=1), 60)]
    with pytest.raises(SlotTaken) as conflict:
        await book_one(env.acting(env.mentee), env.pairing, a_request(), ports=env.ports)
    offered = conflict.value.alternatives
    assert len(offered) == 5
    assert offered[0] == a_span(at(10, 30, day=1))
    assert not any(span.overlaps(a_span(at(9, 30, day=1), 60)) for span in offered)
    assert env.outlook.calls == ["getSchedule"]
    assert not env.jobs.put_jobs


async def test_an_unknown_mentor_is_not_free(env: BookingEnv) -> None:
    env.outlook.unknown[env.address(env.mentor)] = Unknown(UnknownReason.NO_ACCESS)
    with pytest.raises(SlotUnknown) as conflict:
        await book_one(env.acting(env.mentee), env.pairing, a_request(), ports=env.ports)
    assert [p.address for p in conflict.value.unknown] == [env.address(env.mentor)]


async def test_unknown_can_be_accepted_and_is_remembered(env: BookingEnv) -> None:
    env.outlook.unknown[env.address(env.mentor)] = Unknown(UnknownReason.NO_ACCESS)
    session = await book_one(
        env.acting(env.mentee),
        env.pairing,
        a_request(accept_unknown=True),
        ports=env.ports,
    )
    assert session.unknown_for == (env.address(env.mentor),)


async def test_a_hold_of_another_session_is_a_conflict_that_leaves_nothing(
    env: BookingEnv,
) -> None:
    taken = Hold(a_session_id(), a_span(at(10, day=1)), env.clock.now() + HOLD_TTL)
    await reservations.place_hold(env.sessions, env.mentor, taken, env.mentor, env.clock.now())
    with pytest.raises(SlotTaken) as conflict:
        await book_one(env.acting(env.mentee), env.pairing, a_request(), ports=env.ports)
    assert taken.span not in conflict.value.alternatives
    assert conflict.value.alternatives
    day = TimeSpan(at(0, day=1), at(23, day=1))
    assert await env.sessions.holds(env.mentee, day, env.clock.now()) == []
    assert await env.sessions.holds(env.mentor, day, env.clock.now()) == [taken]


async def test_a_refusal_of_outlook_leaves_nothing_held(env: BookingEnv) -> None:
    env.calendar = RefusingCalendar(env.outlook)
    with pytest.raises(CalendarRefused):
        await book_one(env.acting(env.mentee), env.pairing, a_request(), ports=env.ports)
    for mailbox in (env.mentor, env.mentee):
        assert await env.sessions.holds(mailbox, a_span(at(10, day=1)), env.clock.now()) == []


async def test_the_past_cannot_be_booked(env: BookingEnv) -> None:
    with pytest.raises(Invalid) as refusal:
        await book_one(
            env.acting(env.mentee),
            env.pairing,
            a_request(start=env.clock.now() - timedelta(hours=1)),
            ports=env.ports,
        )
    assert refusal.value.field == "body.start"


async def test_two_mentees_and_one_slot_are_one_session() -> None:
    env = a_booking_env()
    outcomes = await asyncio.gather(
        book_one(env.acting(env.mentee), env.pairing, a_request("one"), ports=env.ports),
        book_one(env.acting(env.mentor), env.pairing, a_request("two"), ports=env.ports),
        return_exceptions=True,
    )
    assert len([o for o in outcomes if isinstance(o, SlotTaken)]) == 1
    assert len(env.outlook.events) == 1


async def test_verifying_a_finished_booking_changes_nothing(env: BookingEnv) -> None:
    session = await book_one(env.acting(env.mentee), env.pairing, a_request(), ports=env.ports)
    env.clock.advance(RECOVERY_DELAY)
    job = next(job for job, _ in env.jobs.put_jobs if job.kind is JobKind.VERIFY)
    await recover(job, env.organization, ports=env.ports)
    assert await env.sessions.get(env.mentee, session.id) == session
    assert len(env.outlook.events) == 1


# --- groups


def a_group(env: BookingEnv, *, optional: int = 0, size: int = 4) -> list[Mailbox]:
    """Give the pairing *size* participants, the last *optional* of them not required."""
    mailboxes = [env.mentor, env.mentee]
    mailboxes += [a_mailbox(env.mentor.tenant_id) for _ in range(size - 2)]
    pairing = a_pairing(*mailboxes, organization_id=env.organization.id)
    people = [replace(p, required=n < size - optional) for n, p in enumerate(pairing.participants)]
    env.pairing = replace(pairing, participants=tuple(people))
    env.outlook.addresses = {p.address: p.object_id for p in people if p.object_id}
    return mailboxes


async def free(env: BookingEnv, mailbox: Mailbox) -> bool:
    return not await env.sessions.holds(mailbox, a_span(at(10, day=1)), env.clock.now())


async def test_a_group_is_invited_and_held_together(env: BookingEnv) -> None:
    people = a_group(env, size=20)
    session = await book_one(env.acting(env.mentee), env.pairing, a_request(), ports=env.ports)
    assert len(session.attendees) == 19
    assert not any([await free(env, mailbox) for mailbox in people])


async def test_optional_attendee_does_not_block_a_booking(env: BookingEnv) -> None:
    *_, third, fourth = a_group(env, optional=2)
    taken = Hold(a_session_id(), a_span(at(10, day=1)))
    await reservations.place_hold(env.sessions, fourth, taken, fourth, env.clock.now())
    session = await book_one(env.acting(env.mentee), env.pairing, a_request(), ports=env.ports)
    by_id = {a.object_id: a for a in session.attendees}
    assert not by_id[fourth.object_id].is_free
    assert by_id[third.object_id].is_free
    # Their time stays with the other session; they are invited to this one all the same.
    held = await env.sessions.holds(fourth, a_span(at(10, day=1)), env.clock.now())
    assert held == [taken]
    assert await env.sessions.get(fourth, session.id) == session


async def test_at_least_so_many_are_enough(env: BookingEnv) -> None:
    *_, third, fourth = a_group(env)
    env.outlook.busy[env.address(third)] = [a_span(at(10, day=1))]
    taken = Hold(a_session_id(), a_span(at(10, day=1)))
    await reservations.place_hold(env.sessions, fourth, taken, fourth, env.clock.now())
    request = a_request(at_least=2)
    session = await book_one(env.acting(env.mentee), env.pairing, request, ports=env.ports)
    assert {a.object_id for a in session.attendees if not a.is_free} == {
        third.object_id,
        fourth.object_id,
    }
    assert len(session.attendees) == 3


async def test_too_few_are_a_conflict_with_times_that_suit_enough(env: BookingEnv) -> None:
    *_, third, fourth = a_group(env)
    env.outlook.busy[env.address(third)] = [a_span(at(10, day=1))]
    taken = Hold(a_session_id(), a_span(at(10, day=1)))
    await reservations.place_hold(env.sessions, fourth, taken, fourth, env.clock.now())
    with pytest.raises(SlotTaken) as conflict:
        await book_one(env.acting(env.mentee), env.pairing, a_request(at_least=3), ports=env.ports)
    assert conflict.value.alternatives
    for mailbox in (env.mentor, env.mentee, third):
        assert await free(env, mailbox)


async def test_the_caller_is_never_left_out(env: BookingEnv) -> None:
    a_group(env)
    env.outlook.busy[env.address(env.mentee)] = [a_span(at(10, day=1))]
    with pytest.raises(SlotTaken):
        await book_one(env.acting(env.mentee), env.pairing, a_request(at_least=2), ports=env.ports)


# --- online meetings


async def test_skype_that_is_not_offered_says_what_was_done_instead(env: BookingEnv) -> None:
    request = a_request(online_meeting=OnlineMeetingChoice.SKYPE)
    session = await book_one(env.acting(env.mentee), env.pairing, request, ports=env.ports)
    assert session.online_meeting.state is OnlineMeetingState.READY
    assert session.online_meeting.reason is OnlineMeetingReason.SKYPE_RETIRED


async def test_a_link_that_comes_late_is_shown(env: BookingEnv) -> None:
    env.outlook.gives_links = False
    session = await book_one(env.acting(env.mentee), env.pairing, a_request(), ports=env.ports)
    assert session.online_meeting.state is OnlineMeetingState.PENDING
    job = next(job for job, _ in env.jobs.put_jobs if job.kind is JobKind.LINK)
    event = env.outlook.events[0]
    event.seen = replace(event.seen, join_url="https://teams.example/late", etag="later")
    await check_meeting_link(job, env.organization, ports=env.ports)
    known = await env.sessions.get(env.mentee, session.id)
    assert known.online_meeting.state is OnlineMeetingState.READY
    assert known.online_meeting.join_url == "https://teams.example/late"


async def test_a_link_that_never_comes_is_said(env: BookingEnv) -> None:
    env.outlook.gives_links = False
    session = await book_one(env.acting(env.mentee), env.pairing, a_request(), ports=env.ports)
    looks = 0
    while jobs := [job for job, _ in env.jobs.put_jobs if job.kind is JobKind.LINK]:
        env.jobs.put_jobs.clear()
        await check_meeting_link(jobs[0], env.organization, ports=env.ports)
        looks += 1
    known = await env.sessions.get(env.mentee, session.id)
    assert looks == 3
    assert known.online_meeting.state is OnlineMeetingState.UNAVAILABLE
    assert known.online_meeting.reason is OnlineMeetingReason.LINK_OVERDUE
    assert known.state is SessionState.SCHEDULED
