"""Who the people are whom Outlook shows under unknown addresses."""

from dataclasses import replace
from datetime import timedelta

import pytest

from shared.calendar_sync.sync import sync_session
from shared.errors import ListingEndless
from shared.ids import Mailbox
from shared.sessions.calendar_events import CalendarAttendee
from shared.sessions.model import AttendeeResponse, Cause, ResponseState, Session
from tests.builders import a_span, at
from tests.unit.sessions.conftest import BookingEnv, a_booking_env, a_request, book_one

STRANGER = CalendarAttendee("unknown:1", AttendeeResponse())


@pytest.fixture
def env() -> BookingEnv:
    return a_booking_env()


async def an_accepted_session(env: BookingEnv) -> Session:
    session = await book_one(env.acting(env.mentee), env.pairing, a_request(), ports=env.ports)
    event = env.outlook.events[0]
    env.calendar.answered(event, env.address(env.mentor), ResponseState.ACCEPTED)
    return await synced(env, session)


async def synced(env: BookingEnv, session: Session) -> Session:
    env.clock.advance(timedelta(minutes=1))
    return await sync_session(session, env.organization, Cause.OUTLOOK, ports=env.ports)


def shows(env: BookingEnv, *rows: CalendarAttendee) -> None:
    event = env.outlook.events[0]
    etag, now = f"{event.seen.etag}+", env.clock.now()
    event.seen = replace(event.seen, attendees=rows, etag=etag, modified_at=now)


async def test_a_participant_whose_calendar_has_the_meeting_is_not_pushed_out(
    env: BookingEnv,
) -> None:
    session = await an_accepted_session(env)
    shows(env, STRANGER)
    seen = await synced(env, session)
    mentor, stranger = seen.attendees
    assert (mentor.invited, mentor.response.state) == (True, ResponseState.ACCEPTED)
    assert stranger.forwarded
    # The same picture again, and a copy that the mentor cleared away: they were removed.
    env.outlook.no_copies = True
    shows(env, STRANGER)
    assert not (await synced(env, seen)).attendees[0].invited


async def test_new_times_reset_the_answer_of_whoever_has_no_row(env: BookingEnv) -> None:
    session = await an_accepted_session(env)
    env.calendar.moved(env.outlook.events[0], a_span(at(15, day=1)))
    shows(env, STRANGER)
    mentor = (await synced(env, session)).attendees[0]
    assert (mentor.invited, mentor.response.state) == (True, ResponseState.PENDING)


async def test_a_calendar_that_cannot_be_listed_says_nothing(
    env: BookingEnv, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def endless(session: Session, mailbox: Mailbox) -> bool | None:
        raise ListingEndless("A listing of Graph does not end.")

    session = await an_accepted_session(env)
    monkeypatch.setattr(env.calendar, "is_copy_cancelled", endless)
    shows(env, STRANGER)
    seen = await synced(env, session)
    assert seen.unreadable_since is None
    assert seen.attendees[0].invited
