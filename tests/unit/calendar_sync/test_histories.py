"""Any history of an event, read by workers at any time: the session ends as the calendar shows it.

Pictures of the event arrive late, twice and out of order: a worker that has read one may wait while
others read and save, and a read by id may show a former version, or none. Neither is an absence: it
is no version, so it counts for the moment of its reading only. The honest rules are those of the
use cases: a worker reads the row before the event, and saves under the row's ETag; a search shows
what the calendar has at that moment.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import chain
from typing import Any, TypeVar

from hypothesis import example, given, settings
from hypothesis import strategies as st

from shared.calendar_sync.reconciliation import reconcile_batch
from shared.calendar_sync.sync import sync_event
from shared.errors import EventGone
from shared.ids import EventId, Mailbox, ObjectId, TenantId
from shared.jobs import Job, JobKind
from shared.pairings.model import Participant, ParticipantRole
from shared.sessions.calendar_events import CalendarEvent
from shared.sessions.missing import SECOND_LOOK
from shared.sessions.model import ResponseState, Session, SessionState
from shared.timespan import TimeSpan
from tests.builders import a_mailbox
from tests.fake_outlook import FakeCalendar
from tests.feed import assert_feed_matches
from tests.unit.calendar_sync.outlook_history import (
    ACTS,
    BEN,
    EVE,
    FIRST_NAMES,
    LAST_ACTS,
    ORGANIZER,
    PARTICIPANTS,
    Act,
    EventModel,
    history,
    weighted,
)
from tests.unit.sessions.conftest import BookingEnv, a_booking_env, a_request, book_one

Step = tuple[Any, ...]
_T = TypeVar("_T")

_ADA = a_mailbox()
_MAILBOXES = {who: Mailbox(_ADA.tenant_id, ObjectId(who)) for who in PARTICIPANTS}
_BASE = a_booking_env()
_PAIRING = replace(
    _BASE.pairing,
    tenant_id=_ADA.tenant_id,
    participants=(
        Participant(ParticipantRole.MENTOR, ORGANIZER, _ADA.object_id),
        *(
            Participant(ParticipantRole.MENTEE, FIRST_NAMES[who], mailbox.object_id)
            for who, mailbox in _MAILBOXES.items()
        ),
    ),
)

_acts = ACTS.map(lambda act: ("act", act))
_kinds = st.sampled_from(["reconciliation", "updated", "late", "deleted"])
_read = st.tuples(
    st.just("read"),
    _kinds,
    st.integers(0, 4),  # by how many versions a read by id is behind
    st.sampled_from([9, 0, 1, 2, 3]),  # how many calls are answered before the worker is held up
)
_go_on = st.tuples(st.just("go on"), st.integers(0, 3), st.integers(1, 6))
_step: st.SearchStrategy[Step] = weighted(
    (5, _acts), (4, _read), (2, _go_on), (1, st.just(("wait",)))
)
_steps = st.lists(_step, max_size=6)
_LOOK: Step = ("read", "reconciliation", 0, 9)
_absence = st.builds(
    lambda *parts: list(chain(*parts)),
    _steps,
    st.just([("act", ("delete",))]),
    _steps,
    st.just([("read", "deleted", 0, 9), ("wait",), _LOOK]),
    _steps,
    st.just([("act", ("restore",))]),
    _steps,
)
_STEPS: st.SearchStrategy[list[Step]] = st.builds(
    lambda parts, last: [*chain(*parts), *(("act", act) for act in last)],
    st.lists(weighted((3, _steps), (1, _absence)), min_size=3, max_size=6),
    LAST_ACTS,
)


@dataclass
class _World:
    """A session, the history of its event, and the workers that follow it."""

    env: BookingEnv
    session: Session
    states: list[EventModel]
    now: int = 0
    """The state that the calendar has now."""
    workers: list["_Worker"] = field(default_factory=list)

    @property
    def state(self) -> EventModel:
        """Return the calendar as it is now."""
        return self.states[self.now]

    @property
    def newest_seen(self) -> datetime:
        """Return the instant of the newest picture that was saved."""
        stored = self.env.sessions.find(_ADA, self.session.id)
        assert stored is not None
        assert stored.event_modified_at is not None
        return stored.event_modified_at

    async def begin(self, kind: str, behind: int = 0) -> "_Worker":
        """Have a worker begin, up to its first call."""
        calendar = _HeldUpCalendar(self.env.outlook, self, behind)
        worker = _Worker(calendar, asyncio.ensure_future(self._follow(kind, calendar)))
        self.workers.append(worker)
        await worker.go_on(0)
        return worker

    async def read(self, kind: str = "reconciliation") -> None:
        """Have a worker read and save, without being held up."""
        await (await self.begin(kind)).finish()

    def wait(self) -> None:
        """Let a second look be due."""
        self.env.clock.advance(SECOND_LOOK + timedelta(seconds=1))

    async def end(self) -> Session:
        """Let every worker finish, reconcile, and return the session."""
        for worker in self.workers:
            await worker.finish()
        for _ in range(3):
            await self.read()
            self.wait()
        return await self.env.sessions.get(_ADA, self.session.id)

    async def _follow(self, kind: str, calendar: FakeCalendar) -> None:
        ports, organization = replace(self.env.ports, calendar=calendar), self.env.organization
        if kind == "reconciliation":
            job = Job(JobKind.RECONCILE, organization.id, (_ADA,), (self.session.id,))
            await reconcile_batch(job, organization, ports=ports)
            return
        event, event_id = self.state.event(), self.state.first.event_id
        # Late ones tell of a former version; a deletion gives the event another version, too.
        version = event.etag if event and kind == "updated" else "another"
        etag = None if kind == "deleted" else version
        await sync_event(_ADA, event_id, etag, organization, ports=ports)


@dataclass
class _Worker:
    """A worker, and what it asks of Graph."""

    calendar: "_HeldUpCalendar"
    task: "asyncio.Future[None]"

    async def go_on(self, calls: int) -> None:
        """Answer as many *calls*, or all until it is done."""
        self.calendar.answer(calls)
        while not (self.task.done() or self.calendar.is_waiting):  # noqa: ASYNC110
            await asyncio.sleep(0)

    async def finish(self) -> None:
        """Answer every call, and raise the error that the worker met."""
        while not self.task.done():
            await self.go_on(1)
        await self.task


class _HeldUpCalendar(FakeCalendar):
    """The calendar as one worker sees it: what it asks is looked up at once, and arrives later."""

    def __init__(self, outlook: Any, world: _World, behind: int) -> None:
        super().__init__(outlook)
        self._world, self._behind = world, behind
        self._asked = self._answered = 0
        self._turns = asyncio.Semaphore(0)

    @property
    def is_waiting(self) -> bool:
        """Whether a call is held up."""
        return self._asked > self._answered

    def answer(self, calls: int) -> None:
        """Answer as many calls, the one that is held up first."""
        self._answered += calls
        for _ in range(calls):
            self._turns.release()

    async def _held_up(self, answer: _T) -> _T:
        self._asked += 1
        await self._turns.acquire()
        return answer

    async def read(self, mailbox: Mailbox, event_id: EventId) -> CalendarEvent:
        event = await self._held_up(self._by_id())
        if event is None:
            raise EventGone("not there", code="ErrorItemNotFound", status=404)
        return event

    async def read_many(
        self, events: Sequence[tuple[Mailbox, EventId]]
    ) -> list[CalendarEvent | Exception]:
        event = await self._held_up(self._by_id())
        return [event or EventGone("not there", code="ErrorItemNotFound", status=404)]

    async def search(
        self, session: Session, further: Sequence[EventId] = ()
    ) -> CalendarEvent | None:
        return await self._held_up(self._world.state.event())

    async def is_copy_cancelled(self, session: Session, mailbox: Mailbox) -> bool | None:
        return await self._held_up(self._world.state.copies[mailbox.object_id])

    async def addresses_of(self, mailbox: Mailbox) -> frozenset[str]:
        return await self._held_up(frozenset(self._world.state.names[mailbox.object_id]))

    async def person_at(self, tenant_id: TenantId, address: str) -> ObjectId | None:
        names = self._world.state.names
        owners = [ObjectId(who) for who in PARTICIPANTS if address in names[who]]
        return await self._held_up(owners[0] if owners else None)

    def _by_id(self) -> CalendarEvent | None:
        return self._world.states[max(0, self._world.now - self._behind)].event()


async def _a_world(acts: list[Act]) -> _World:
    """Return a session that was just booked, whose event is to have the history of *acts*."""
    env = a_booking_env()
    env.organization, env.pairing = _BASE.organization, _PAIRING
    env.outlook.addresses = {p.address: ObjectId(str(p.object_id)) for p in _PAIRING.participants}
    request = a_request(time_zone="UTC")
    session = await book_one(env.acting(_ADA), _PAIRING, request, ports=env.ports)
    return _World(env, session, history(env.outlook.events[0].seen, acts))


async def _in_order(acts: list[Act]) -> Session:
    """Return the session at the end if a worker reads after every act."""
    world = await _a_world(acts)
    for _ in acts:
        world.now += 1
        await world.read()
        if not world.state.is_there:
            world.wait()
            await world.read()
    return await world.end()


def _shown(session: Session) -> Session | SessionState:
    """Return what must not depend on the order of arrival.

    Of a session that is gone, the last times and answers are those that were seen in time.
    """
    if session.state is SessionState.CANCELLED:
        return session.state
    return replace(
        session,
        attendees=tuple(replace(a, known_as=()) for a in session.attendees),
        changed_at=session.created_at,
        sequence=0,  # the moves that were seen
        version="",
    )


async def _check(world: _World, session: Session) -> None:
    """Assert that *session* is what the calendar shows, as the model knows it."""
    state, now = world.state, world.env.clock.now()
    is_on = session.state is SessionState.SCHEDULED
    assert is_on is state.is_there
    assert session.may_return is not is_on
    if is_on:
        assert (session.span, session.dates) == (state.span, state.dates)
        names: dict[str, str] = {FIRST_NAMES[EVE]: EVE}
        names |= {mailbox.object_id: who for who, mailbox in _MAILBOXES.items()}
        invited = [a for a in session.attendees if a.invited]
        people = [(names[a.object_id or a.address], a) for a in invited]
        shown = {who: (a.response.state, a.response.proposed) for who, a in people}
        assert shown == state.answers()
        assert {who for who, a in people if a.required} == state.required()
        assert {who for who, a in people if a.forwarded} == {EVE} & shown.keys()
        assert {a.object_id for a in session.attendees} >= {*PARTICIPANTS}
    for who, mailbox in _MAILBOXES.items():
        response, _ = state.answers().get(who, (ResponseState.DECLINED, None))
        is_held = is_on and response is not ResponseState.DECLINED
        holds = await world.env.sessions.holds(mailbox, _EVER, now)
        assert [hold.span for hold in holds] == [state.span] * is_held, who
    feed = await world.env.changes.recent(world.env.organization.id, 1000)
    assert_feed_matches([c for c in feed if c.session_id], [session])


_EVER = TimeSpan.lasting(_BASE.clock.now() - timedelta(days=9), timedelta(days=30))


@example([("act", ("whole days", 1)), _LOOK, ("act", ("all day", 1)), _LOOK])
@example([("act", ("put back", EVE, "optional")), _LOOK, ("act", ("remove", BEN)), _LOOK])
@given(_STEPS)
@settings(max_examples=100)
def test_every_order_of_arrival_ends_as_the_calendar_shows_it(steps: list[Step]) -> None:
    asyncio.run(_compare(steps))


async def _compare(steps: list[Step]) -> None:
    acts = [step[1] for step in steps if step[0] == "act"]
    world = await _a_world(acts)
    seen = world.newest_seen
    for step in steps:
        match step:
            case "act", _:
                world.now += 1
            case "read", kind, behind, calls:
                worker = await world.begin(kind, behind)
                await worker.go_on(calls)
            case "go on", index, calls if index < len(world.workers):
                await world.workers[index].go_on(calls)
            case ("wait",):
                world.wait()
        seen_before, seen = seen, world.newest_seen
        assert seen >= seen_before, "an old picture has replaced a newer one"
    session = await world.end()
    await _check(world, session)
    assert _shown(session) == _shown(await _in_order(acts))
