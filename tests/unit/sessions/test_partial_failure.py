"""Refusals, throttling and timeouts of Outlook, for one date and for several."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from shared.errors import (
    CalendarRefused,
    CalendarThrottled,
    CalendarUnavailable,
    Conflict,
    SlotTaken,
    StoreUnavailable,
)
from shared.ids import EventId, Mailbox
from shared.organizations.model import ActingUser
from shared.sessions import reservations
from shared.sessions.booking import book
from shared.sessions.calendar_errors import OCCURRENCE_CROSSING_BOUNDARY
from shared.sessions.calendar_events import CalendarEvent, EventDraft
from shared.sessions.holds import Hold
from shared.sessions.model import HOLD_TTL, Session
from shared.sessions.recurrence import Frequency, Pattern, Repeat
from shared.sessions.requests import RescheduleRequest
from shared.sessions.rescheduling import reschedule
from shared.sessions.series import Occurrence, OnConflict, Scope
from shared.timespan import TimeSpan
from tests.builders import a_session_id, a_span, at
from tests.fake_outlook import FakeCalendar
from tests.unit.sessions.conftest import BookingEnv, a_request, book_one
from tests.unit.sessions.test_crash_recovery import is_consistent, time_passes

REFUSED = CalendarRefused("no", code="ErrorAccessDenied", status=403)
TIMED_OUT = CalendarUnavailable("no answer")


@dataclass
class UnkindCalendar(FakeCalendar):
    """A calendar that returns errors. A refused call has no effect; one that times out has."""

    creating: list[Exception] = field(default_factory=list)
    moving: Exception | None = None
    """The error of every move."""
    moving_nth: Mapping[int, Exception] = field(default_factory=dict)
    """The errors of a batch of moves, by index."""
    reading: Exception | None = None
    """The error of reading occurrences."""
    cancelling: list[Exception] = field(default_factory=list)
    """The errors of the next batches of cancellations, for every event of the batch."""

    async def create(self, acting: ActingUser, draft: EventDraft) -> CalendarEvent:
        """Create the event, unless an error is left."""
        if self.creating:
            raise self.creating.pop(0)
        return await super().create(acting, draft)

    async def instances(
        self, mailbox: Mailbox, master_id: EventId, window: TimeSpan
    ) -> list[Occurrence]:
        """Return the occurrences, or raise *reading*."""
        if self.reading:
            raise self.reading
        return await super().instances(mailbox, master_id, window)

    async def reschedule(
        self, acting: ActingUser, event_id: EventId, span: TimeSpan, time_zone: str
    ) -> CalendarEvent:
        """Move the event, or raise *moving*."""
        if self.moving:
            raise self.moving
        return await super().reschedule(acting, event_id, span, time_zone)

    async def reschedule_series(
        self,
        acting: ActingUser,
        master_id: EventId,
        first: TimeSpan,
        time_zone: str,
        pattern: Pattern,
    ) -> CalendarEvent:
        """Move the series, or raise *moving*."""
        if self.moving:
            raise self.moving
        return await super().reschedule_series(acting, master_id, first, time_zone, pattern)

    async def reschedule_many(
        self, acting: ActingUser, events: Sequence[tuple[EventId, TimeSpan]], time_zone: str
    ) -> list[CalendarEvent | Exception]:
        """Move each event; return its error, if it has one."""
        answers: list[CalendarEvent | Exception] = []
        for place, event in enumerate(events):
            error = self.moving or self.moving_nth.get(place)
            if error is None or isinstance(error, CalendarUnavailable):
                answers += await super().reschedule_many(acting, [event], time_zone)
            if error is not None:
                answers[place:] = [error]
        return answers

    async def cancel_many(
        self, acting: ActingUser, events: Sequence[EventId], comment: str
    ) -> list[Exception | None]:
        """Cancel each event, or return the next error for all of them."""
        if self.cancelling:
            return [self.cancelling.pop(0)] * len(events)
        return await super().cancel_many(acting, events, comment)


async def booked(env: BookingEnv, count: int = 4) -> list[Session]:
    """Book one session, or a weekly series of *count*."""
    acting = env.acting(env.mentee)
    if count == 1:
        return [await book_one(acting, env.pairing, a_request(), ports=env.ports)]
    request = a_request(repeat=Repeat(Frequency.WEEKLY, count=count), time_zone="UTC")
    return [*(await book(acting, env.pairing, request, ports=env.ports)).sessions]


async def moved(env: BookingEnv, session: Session, scope: Scope) -> list[Session]:
    """Move *session*, and the others in *scope*, by a day and four hours."""
    to = TimeSpan.lasting(session.span.start + timedelta(days=1, hours=4), session.span.duration)
    session = await env.sessions.get(env.mentee, session.id)
    return await reschedule(
        env.acting(env.mentee),
        env.pairing,
        session,
        RescheduleRequest(to, "UTC"),
        scope,
        ports=env.ports,
    )


async def known(env: BookingEnv, sessions: Sequence[Session]) -> list[Session]:
    """Return the stored rows of *sessions*."""
    return [await env.sessions.get(env.mentee, session.id) for session in sessions]


@pytest.mark.parametrize("timed_out_at", [0, 1, 2])
async def test_a_refused_date_does_not_abandon_those_whose_outcome_is_unknown(
    env: BookingEnv, timed_out_at: int
) -> None:
    sessions = await booked(env)
    refused_at = (timed_out_at + 1) % 3
    env.calendar = UnkindCalendar(
        env.outlook, moving_nth={timed_out_at: TIMED_OUT, refused_at: REFUSED}
    )
    with pytest.raises(CalendarUnavailable):  # a retry finds out the unknown outcome
        await moved(env, sessions[1], Scope.THIS_AND_FOLLOWING)
    pending = [s.pending_span is not None for s in (await known(env, sessions))[1:]]
    assert pending == [place == timed_out_at for place in range(3)]

    env.calendar = FakeCalendar(env.outlook)
    await time_passes(env)
    await is_consistent(env)
    hours = [s.span.start.hour for s in await known(env, sessions)]
    assert hours == [10, *(10 if place == refused_at else 14 for place in range(3))]


async def test_a_series_that_was_moved_stays_so_though_its_dates_cannot_be_read(
    env: BookingEnv,
) -> None:
    sessions = await booked(env)
    env.calendar = UnkindCalendar(env.outlook, reading=REFUSED)
    with pytest.raises(CalendarRefused):
        await moved(env, sessions[0], Scope.ALL)
    assert all(s.pending_span for s in await known(env, sessions))
    env.calendar = FakeCalendar(env.outlook)
    await time_passes(env)
    await is_consistent(env)
    assert {s.span.start.hour for s in await known(env, sessions)} == {14}


@pytest.mark.parametrize("scope", list(Scope))
async def test_refusal_of_every_date_leaves_nothing_held(env: BookingEnv, scope: Scope) -> None:
    sessions = await booked(env)
    env.calendar = UnkindCalendar(env.outlook, moving=REFUSED)
    with pytest.raises(CalendarRefused):
        await moved(env, sessions[1], scope)
    assert {s.pending_span for s in await known(env, sessions)} == {None}
    window = TimeSpan(at(0), at(0, day=60))
    for mailbox in (env.mentor, env.mentee):
        holds = await env.sessions.holds(mailbox, window, env.clock.now())
        assert [hold.span for hold in holds] == [s.span for s in sessions]


@pytest.mark.parametrize("count", [1, 4])
@pytest.mark.parametrize("error", [CalendarThrottled("wait"), TIMED_OUT])
async def test_retry_of_a_booking_that_was_given_up_does_not_wait(
    env: BookingEnv, count: int, error: Exception
) -> None:
    env.calendar = UnkindCalendar(env.outlook, creating=[error])
    with pytest.raises(type(error)):
        await booked(env, count)
    before = env.clock.now()
    assert len(await booked(env, count)) == count
    assert env.clock.now() == before


@pytest.mark.parametrize("count", [1, 4])
async def test_retry_of_a_crashed_booking_waits_for_a_concurrent_attempt(
    env: BookingEnv, count: int
) -> None:
    env.calendar = UnkindCalendar(env.outlook, creating=[RuntimeError("died")])
    with pytest.raises(RuntimeError):
        await booked(env, count)
    env.clock.advance(timedelta(seconds=2))
    before = env.clock.now()
    await booked(env, count)
    waited = env.clock.now() - before
    assert timedelta(seconds=0.8) < waited < timedelta(seconds=1.5)


@pytest.mark.parametrize("scope", list(Scope))
async def test_a_date_that_would_meet_its_neighbour_is_a_conflict_with_a_remedy(
    env: BookingEnv, scope: Scope
) -> None:
    sessions = await booked(env)
    crossing = CalendarRefused("no", code=OCCURRENCE_CROSSING_BOUNDARY, status=400)
    env.calendar = UnkindCalendar(env.outlook, moving=crossing)
    with pytest.raises(Conflict, match="neighbours") as refused:
        await moved(env, sessions[1], scope)
    assert refused.value.remedy
    assert {s.pending_span for s in await known(env, sessions)} == {None}


async def test_retry_of_a_throttled_series_does_not_wait(
    env: BookingEnv,
) -> None:
    env.calendar = UnkindCalendar(env.outlook, cancelling=[CalendarThrottled("wait")])
    env.outlook.busy[env.address(env.mentor)] = [a_span(at(10, day=8))]
    repeat = Repeat(Frequency.WEEKLY, count=4)
    request = a_request(repeat=repeat, time_zone="UTC", on_conflict=OnConflict.SKIP)
    acting = env.acting(env.mentee)
    with pytest.raises(CalendarThrottled):
        await book(acting, env.pairing, request, ports=env.ports)
    before = env.clock.now()
    again = await book(acting, env.pairing, request, ports=env.ports)
    assert len(again.sessions) == 3
    assert env.clock.now() == before


@pytest.mark.parametrize("taken", [0, 3])
@pytest.mark.parametrize("count", [1, 4])
async def test_retry_of_a_booking_with_an_unknown_outcome_is_unavailable_until_recovered(
    env: BookingEnv, count: int, taken: int
) -> None:
    """Outlook may have the event: only the recovery job finds out."""
    env.calendar = UnkindCalendar(env.outlook, creating=[TIMED_OUT])
    with pytest.raises(CalendarUnavailable):
        await booked(env, count)
    env.clock.advance(HOLD_TTL)
    now = env.clock.now()
    other = Hold(a_session_id(), a_span(at(10, day=1 + 7 * min(taken, count - 1))))
    await reservations.place_hold(env.sessions, env.mentor, other, env.mentor, now)
    with pytest.raises(StoreUnavailable):
        await booked(env, count)
    assert env.clock.now() == now
    await time_passes(env)
    with pytest.raises(SlotTaken) as refused:
        await booked(env, count)
    assert refused.value.alternatives
