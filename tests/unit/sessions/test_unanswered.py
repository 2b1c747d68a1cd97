"""Counting the invitations of an organizer that nobody has answered."""

from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest

from shared.errors import LimitReached
from shared.limits.limiter import CallLimiter
from shared.limits.model import Limits
from shared.sessions import reservations
from shared.sessions.listing import count_unanswered
from shared.sessions.model import AttendeeResponse, ResponseState, Session, SessionState
from tests.fakes import InMemoryUsages
from tests.unit.sessions.conftest import BookingEnv, a_request, book_one


async def book(env: BookingEnv, hour: int) -> Session:
    request = a_request(f"k{hour}", hour)
    return await book_one(env.acting(env.mentee), env.pairing, request, ports=env.ports)


async def test_only_what_is_ahead_and_unanswered_counts(env: BookingEnv) -> None:
    first, second, third, _ = [await book(env, hour) for hour in (10, 12, 14, 16)]
    count = partial(count_unanswered, sessions=env.sessions, clock=env.clock)
    assert await count(env.mentee, 100) == 4
    assert await count(env.mentee, 3) == 3
    assert await count(env.mentor, 100) == 0  # invited, and has invited nobody
    (attendee,) = first.attendees
    answered = replace(attendee, response=AttendeeResponse(ResponseState.DECLINED, env.clock.now()))
    removed = replace(attendee, invited=False)
    for changed in (
        replace(first, attendees=(answered,)),
        replace(second, attendees=(removed,)),
        replace(third, state=SessionState.CANCELLED),
    ):
        await reservations.save(env.sessions, changed)
    assert await count(env.mentee, 100) == 1
    env.clock.advance(timedelta(days=2))
    assert await count(env.mentee, 100) == 0


async def test_unanswered_invitations_end_the_booking(env: BookingEnv) -> None:
    env.limiter = CallLimiter(Limits(unanswered=2), InMemoryUsages(), env.clock)
    sessions = [await book(env, hour) for hour in (10, 12)]
    with pytest.raises(LimitReached, match="2 or more of your invitations"):
        await book(env, 14)
    assert len(env.outlook.events) == 2
    await reservations.save(env.sessions, replace(sessions[0], state=SessionState.CANCELLED))
    env.clock.advance(timedelta(minutes=10))
    await book(env, 14)
