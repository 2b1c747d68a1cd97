"""Sessions whose people are not the pairing's any more: who may move them, and who must be free."""

from dataclasses import replace

import pytest

from shared.errors import Conflict, NotAllowed, SlotTaken
from shared.ids import Mailbox
from shared.pairings.model import Pairing, Participant, ParticipantRole
from shared.sessions import reservations
from shared.sessions.model import Attendee, AttendeeResponse, ResponseState, Session
from shared.sessions.requests import RescheduleRequest
from shared.sessions.rescheduling import reschedule
from shared.sessions.responding import accept_proposal
from tests.builders import a_mailbox, a_participant, a_span, at
from tests.unit.sessions.conftest import BookingEnv, a_request, book_one

OLD, NEW = a_span(at(10, day=1)), a_span(at(14, day=1))


def someone_new(env: BookingEnv) -> Mailbox:
    """Return the mailbox of a person who is in no pairing yet."""
    mailbox = a_mailbox(env.mentor.tenant_id)
    env.outlook.addresses[a_participant(mailbox).address] = mailbox.object_id
    return mailbox


def address_of(env: BookingEnv, mailbox: Mailbox) -> str:
    """Return the address of *mailbox* in Outlook."""
    found = env.outlook.addresses.items()
    return next(address for address, owner in found if owner == mailbox.object_id)


def participant_of(env: BookingEnv, mailbox: Mailbox) -> Participant:
    """Return the owner of *mailbox* as a participant."""
    return Participant(ParticipantRole.MENTEE, address_of(env, mailbox), mailbox.object_id)


def pairing_of(env: BookingEnv, *mailboxes: Mailbox) -> Pairing:
    """Return the pairing as it is today: with *mailboxes* alone."""
    return replace(
        env.pairing,
        participants=tuple(participant_of(env, each) for each in mailboxes),
    )


def make_busy(env: BookingEnv, mailbox: Mailbox) -> None:
    """Make the owner of *mailbox* busy at the time to move to."""
    env.outlook.busy[address_of(env, mailbox)] = [NEW]


async def booked(env: BookingEnv) -> Session:
    return await book_one(env.acting(env.mentee), env.pairing, a_request(), ports=env.ports)


async def move(
    env: BookingEnv, pairing: Pairing, session: Session, at_least: int | None = None
) -> Session:
    (moved,) = await reschedule(
        env.acting(env.mentee),
        pairing,
        session,
        RescheduleRequest(NEW, "UTC", at_least=at_least),
        ports=env.ports,
    )
    return moved


async def test_an_organizer_who_left_the_pairing_does_not_move_its_session(env: BookingEnv) -> None:
    session, new = await booked(env), someone_new(env)
    calls = list(env.outlook.calls)
    with pytest.raises(NotAllowed):
        await move(env, pairing_of(env, env.mentor, new), session)
    assert env.outlook.calls == calls  # nobody's time was read
    assert await env.sessions.get(env.mentee, session.id) == session


async def test_an_organizer_who_left_the_pairing_takes_no_proposal(env: BookingEnv) -> None:
    session, new = await booked(env), someone_new(env)
    (attendee,) = session.attendees
    answer = AttendeeResponse(ResponseState.TENTATIVE, session.changed_at, NEW)
    session = await reservations.save(
        env.sessions, replace(session, attendees=(replace(attendee, response=answer),))
    )
    with pytest.raises(NotAllowed):
        await accept_proposal(
            env.acting(env.mentee),
            pairing_of(env, env.mentor, new),
            session,
            env.mentor.object_id,
            ports=env.ports,
        )
    assert [e.seen.span for e in env.outlook.events] == [OLD]


async def test_an_attendee_who_left_the_pairing_must_be_free(env: BookingEnv) -> None:
    session, new = await booked(env), someone_new(env)
    make_busy(env, env.mentor)
    with pytest.raises(SlotTaken, match="An attendee is busy then"):
        await move(env, pairing_of(env, env.mentee, new), session)
    assert [e.seen.span for e in env.outlook.events] == [OLD]


async def test_whoever_came_to_the_pairing_since_is_not_asked(env: BookingEnv) -> None:
    session, new = await booked(env), someone_new(env)
    make_busy(env, new)
    read = await _addresses_read(env, pairing_of(env, env.mentee, env.mentor, new), session)
    assert read == {env.address(env.mentee), env.address(env.mentor)}


async def test_whom_the_organizer_removed_in_outlook_is_not_asked(env: BookingEnv) -> None:
    third = someone_new(env)
    pairing = pairing_of(env, env.mentee, env.mentor, third)
    session = await book_one(env.acting(env.mentee), pairing, a_request(), ports=env.ports)
    session = await reservations.save(
        env.sessions,
        replace(
            session,
            attendees=tuple(
                replace(a, invited=a.object_id != third.object_id) for a in session.attendees
            ),
        ),
    )
    make_busy(env, third)
    read = await _addresses_read(env, pairing, session)
    assert read == {env.address(env.mentee), env.address(env.mentor)}


async def test_whom_the_invitation_was_forwarded_to_is_not_asked(env: BookingEnv) -> None:
    session, stranger = await booked(env), someone_new(env)
    attendee = Attendee(address_of(env, stranger), stranger.object_id, forwarded=True)
    session = await reservations.save(
        env.sessions, replace(session, attendees=(*session.attendees, attendee))
    )
    make_busy(env, stranger)
    read = await _addresses_read(env, env.pairing, session)
    assert read == {env.address(env.mentee), env.address(env.mentor)}


async def test_so_many_are_counted_among_the_sessions_own_people(env: BookingEnv) -> None:
    session, new = await booked(env), someone_new(env)
    make_busy(env, env.mentor)
    with pytest.raises(SlotTaken, match="Only 1 of you"):
        await move(env, pairing_of(env, env.mentee, new), session, at_least=2)


async def test_a_session_with_none_of_the_pairing_left_is_not_moved(env: BookingEnv) -> None:
    session = await booked(env)
    session = await reservations.save(
        env.sessions,
        replace(session, attendees=tuple(replace(a, invited=False) for a in session.attendees)),
    )
    with pytest.raises(Conflict, match="no attendees"):
        await move(env, env.pairing, session)


async def _addresses_read(env: BookingEnv, pairing: Pairing, session: Session) -> set[str]:
    """Move *session*; return the addresses whose free/busy was read."""
    env.outlook.asked.clear()
    moved = await move(env, pairing, session)
    assert moved.span == NEW
    return env.outlook.asked
